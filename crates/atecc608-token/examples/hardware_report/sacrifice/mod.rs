// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes that consume a chip: a configuration for tests, locks, and the probes that require them (fact sheet section
//! 5.7 and the switches of the simulated chip that no other chip can settle).

mod authorised;
mod layout;
mod locked;
mod unlocked;

use atecc608::provision::writable_config_words;
use atecc608_wire::commands::{CheckMac, GenDig, Lock, LockZone, Write};
use atecc608_wire::crc::crc16;
use atecc608_wire::messages::{self, GenDigInput};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot};
use zeroize::Zeroizing;

use crate::bench::{Bench, Step};
use crate::examine::{facts, read_config, repeated};
use crate::probe::{Facts, Probe};
use crate::report::Finding;
use crate::{commands, line};

/// Configures a blank chip for tests, runs all probes on it, and locks it permanently.
pub fn spend(bench: &mut Bench, blank: &Facts, rounds: u32, findings: &mut Vec<Finding>) {
    if let Err(trouble) = try_to_spend(bench, blank, rounds, findings) {
        findings.push(Finding {
            state: "any".to_owned(),
            name: "the sacrifice".to_owned(),
            section: "5.7".to_owned(),
            question: "Can the chip be configured and locked?".to_owned(),
            seen: Some(format!("stopped: {trouble}")),
            switch: None,
            not_asked: None,
        });
    }
}

fn try_to_spend(bench: &mut Bench, blank: &Facts, rounds: u32, findings: &mut Vec<Finding>) -> Step<()> {
    let mut ask = |bench: &mut Bench, facts: &Facts, probes: &[Probe]| {
        findings.extend(probes.iter().map(|probe| probe.run(bench, facts)));
    };
    let config = configure(bench, blank)?;
    let now = facts(bench, blank.i2c_hz)?;
    ask(bench, &now, unlocked::BLANK);
    lock(bench, LockZone::Config, Some(crc16(config.as_bytes())), ConfigZone::config_locked)?;

    let now = facts(bench, blank.i2c_hz)?;
    ask(bench, &now, unlocked::BETWEEN);
    lock(bench, LockZone::Data, None, ConfigZone::data_locked)?;

    let now = facts(bench, blank.i2c_hz)?;
    ask(bench, &now, line::PROBES);
    ask(bench, &now, locked::PROBES);
    ask(bench, &now, authorised::PROBES);
    let now = facts(bench, blank.i2c_hz)?;
    findings.extend(commands::PROBES.iter().map(|probe| repeated(probe, bench, &now, rounds)));
    // Last, because it replaces the key that the others use.
    findings.extend(locked::LAST.iter().map(|probe| probe.run(bench, &now)));
    Ok(())
}

/// Writes the configuration and reads it back.
fn configure(bench: &mut Bench, blank: &Facts) -> Step<ConfigZone> {
    let wanted = layout::configuration(&blank.config);
    for at in writable_config_words() {
        let word: [u8; 4] = std::array::from_fn(|i| wanted.as_bytes()[at + i]);
        // As often as the watchdog may require.
        bench.fresh()?;
        bench.must(&Write::word(Zone::Config, Address::block((at / 32) as u8, (at % 32 / 4) as u8), word))?;
    }
    match read_config(bench)? {
        read if read == wanted => Ok(read),
        _ => Err("the configuration reads back as something else".to_owned()),
    }
}

/// Locks a zone, unless a probe has already locked it.
fn lock(bench: &mut Bench, zone: LockZone, summary: Option<[u8; 2]>, locked: impl Fn(&ConfigZone) -> bool) -> Step<()> {
    if !locked(&read_config(bench)?) {
        bench.must(&Lock { zone, summary })?;
    }
    match locked(&read_config(bench)?) {
        true => Ok(()),
        false => Err("Lock answered 00 and locked nothing".to_owned()),
    }
}

/// CheckMac mode 01 over the random nonce in TempKey, with the correct response.
fn proof(facts: &Facts, slot: Slot, nonce: &[u8; 32]) -> CheckMac {
    let mut command = CheckMac {
        slot,
        temp_key_second: true,
        temp_key_first: false,
        source_fixed: false,
        otp: false,
        challenge: [0; 32],
        response: [0; 32],
        other_data: [0x77; 13],
    };
    let serial = facts.config.serial_number();
    command.response = messages::check_mac(&layout::secret(slot), nonce, &command, &[0; 11], &serial);
    command
}

/// Loads TempKey with GenDig of the parent key over a nonce; returns its value.
fn parent_digest(bench: &mut Bench, facts: &Facts, nonce: &[u8; 32]) -> Step<[u8; 32]> {
    let gen_dig = GenDig::slot(layout::PARENT);
    bench.must(&gen_dig)?;
    let key = GenDigInput::Block(Zeroizing::new(layout::secret(layout::PARENT)));
    Ok(messages::gen_dig(nonce, &gen_dig, &key, &facts.config.serial_number()))
}
