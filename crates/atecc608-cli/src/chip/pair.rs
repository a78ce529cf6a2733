// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 pair`: writes an IO protection key to a chip that came without one, such as Trust&GO. Results of ECDH then
//! cross the bus encrypted. That protects against listeners only: an attacker who can write to the bus can replace the
//! key.

use clap::Args;
use serde::Serialize;

use crate::chip::config::findings::finding;
use crate::chip_keys::ChipKeys;
use crate::error::{Error, Result};
use crate::output::check::{self, Check, Remedies, Verdict};
use crate::output::{warn, Output};
use crate::target::{Selection, Target};
use atecc608::secrets::SharedSecret;
use atecc608_token::io_key::IoKey;
use atecc608_token::profile;
use atecc608_wire::config_zone::WritePolicy;
use atecc608_wire::zone::Address;
use atecc608_wire::{ConfigZone, Slot};

/// Arguments of `pair`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Write this host's key over another one in the chip; the host that has the other one then works without
    #[arg(long)]
    replace: bool,
}

#[derive(Serialize)]
struct Paired {
    serial_number: String,
    /// The same under its earlier name, which will be removed in the next version.
    serial: String,
    slot: u8,
    io_key_file: String,
    result: Outcome,
    checks: Vec<Check>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Outcome {
    #[serde(rename = "paired")]
    Paired,
    #[serde(rename = "already paired")]
    AlreadyPaired,
}

/// Writes a common IO protection key to chip and host, and makes the chip prove that it has it.
///
/// # Errors
/// [`Error::Refused`] if the chip's configuration allows none, or the chip has another key than the host's file;
/// [`Error::KeyFile`] if that file can't be used; the [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let zone = target.read_config_locked()?;
    let slot = writable_slot(&zone, &target)?;
    let serial = zone.serial_number();
    let file = target.key_file(&serial);
    file.prepare()?;
    let result = match file.load()? {
        Some(key) if proves(&mut target, &zone, slot, &key)? => Outcome::AlreadyPaired,
        Some(_) if !arguments.replace => {
            return Err(Error::Refused(format!(
            "{}: the chip {serial} has another IO protection key than {}: another host may have paired it since, or \
                 pairing was interrupted here; --replace writes this host's key into the chip",
            target.place(),
            file.path().display()
        )))
        }
        known => {
            let key = match known {
                Some(key) => key,
                // On the disk before the chip gets it.
                None => file.store(&*target.converse(|awake| awake.fresh_secret())?)?,
            };
            let place = target.place();
            let written = target.chip.write_secret(&serial, None, Address::slot(slot, 0, 0), &key);
            written.map_err(|cause| Error::Chip { place, cause })?;
            if !proves(&mut target, &zone, slot, &key)? {
                return Err(Error::Refused(format!(
                    "{}: the chip {serial} did not prove that it has the new key: run the same command again",
                    target.place()
                )));
            }
            Outcome::Paired
        }
    };
    drop(guard);
    // A user who may write this host's key may also store the chip's public keys as trusted.
    if let Err(error) = ChipKeys::of(&target).trust_all() {
        warn(&error.to_string());
    }
    let path = file.path().display().to_string();
    let proven = format!("the chip has proved that it has the one in {path}: ECDH results now cross the bus encrypted");
    let replaceable = "it can be written in clear, so this protects against listeners only: an attacker who can write \
                       to the bus can replace the key";
    let checks =
        vec![Check::new("IO protection key", Verdict::Ok, proven), finding(Verdict::Warning, Some(slot), replaceable)];
    let word = match result {
        Outcome::Paired => "paired",
        Outcome::AlreadyPaired => "already paired",
    };
    let text = format!("{word}: the chip {serial} and this host have an IO protection key (slot {slot}, {path}).\n");
    let report = Paired {
        serial_number: serial.to_string(),
        serial: serial.to_string(),
        slot: slot.number(),
        io_key_file: path,
        result,
        checks,
    };
    Output::new(text + &check::text(&report.checks, Remedies::All), &report)
}

fn proves(target: &mut Target, zone: &ConfigZone, slot: Slot, key: &IoKey) -> Result<bool> {
    target.converse(|awake| awake.proves(&zone.serial_number(), &SharedSecret { slot, value: key }))
}

/// Returns the slot of the IO protection key, if it is writable without a key.
fn writable_slot(zone: &ConfigZone, target: &Target) -> Result<Slot> {
    let refused = |problem: String| {
        Err(Error::Refused(format!("{}: the chip {}: {problem}", target.place(), zone.serial_number())))
    };
    if !zone.config_locked() || !zone.data_locked() {
        return refused(format!("it is not provisioned: provision it first with `{}`", profile::next_command(zone)));
    }
    let (options, slot) = (zone.chip_options(), zone.chip_options().io_key());
    if !options.io_protection() {
        return refused("its configuration has no IO protection key (ChipOptions bit 1)".to_owned());
    }
    match zone.slot_config(slot).write_config().write_policy() {
        WritePolicy::Always if !zone.slot_locked(slot) => Ok(slot),
        _ => refused(format!(
            "slot {slot}, where its IO protection key is, can't be written in clear; it keeps the key from \
             provisioning"
        )),
    }
}
