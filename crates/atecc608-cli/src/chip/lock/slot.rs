// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 lock slot`.

use atecc608::presence::{Held, Presence};
use atecc608_contents::words;
use base16ct::lower::encode_string as hex;
use clap::Args;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{stopped, Outcome, UNCERTAIN};
use crate::chip::stage::Stage;
use crate::error::{Error, Result};
use crate::input::values::parse_slot;
use crate::output::Output;
use crate::target::Target;
use crate::x509::pem;
use atecc608_token::point::Point;
use atecc608_token::profile;
use atecc608_wire::{ConfigZone, Slot};

/// Arguments of `lock slot`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which of the chip's slots
    #[arg(value_parser = parse_slot)]
    slot: Slot,
    /// Do it: nothing can ever undo it
    #[arg(long)]
    lock_forever: bool,
}

#[derive(Serialize)]
struct Report {
    result: Outcome,
    serial_number: String,
    place: String,
    slot: u8,
    kind: &'static str,
    /// Its contents, which become permanent.
    holds: String,
}

pub(super) fn run(target: &mut Target, zone: &ConfigZone, arguments: &Arguments) -> Result<Output> {
    let slot = arguments.slot;
    ensure_lockable(target, zone, slot)?;
    let already = zone.slot_locked(slot);
    let holds = holds(target, zone, slot)?;
    let result = if already {
        Outcome::AlreadyLocked
    } else if arguments.lock_forever {
        let step = format!("locking slot {slot} permanently");
        target.chip.permanently_lock_slot(slot).map_err(|cause| stopped(&step, UNCERTAIN, cause))?;
        if !target.read_config_locked()?.slot_locked(slot) {
            return Err(Error::Refused(format!("{}: the chip says that slot {slot} is not locked", target.place())));
        }
        Outcome::Locked
    } else {
        Outcome::WouldLock
    };
    let report = Report {
        result,
        serial_number: zone.serial_number().to_string(),
        place: target.place(),
        slot: slot.number(),
        kind: words::kind(zone, slot),
        holds,
    };
    Output::new(text(&report), &report)
}

fn ensure_lockable(target: &Target, zone: &ConfigZone, slot: Slot) -> Result<()> {
    let refused = |problem: String| {
        Err(Error::Refused(format!("{}: the chip {}: {problem}", target.place(), zone.serial_number())))
    };
    if zone.slot_locked(slot) {
        return Ok(());
    }
    if !zone.config_locked() || !zone.data_locked() {
        return refused(format!(
            "it is {}: a slot can be locked once both zones are: `{}` shows what to do",
            Stage::of(zone),
            profile::next_command(zone)
        ));
    }
    if !zone.key_config(slot).lockable() {
        return refused(format!("slot {slot} can't be locked individually (KeyConfig.Lockable is 0, permanently)"));
    }
    Ok(())
}

/// Returns the contents of the slot, as far as the chip tells.
fn holds(target: &mut Target, zone: &ConfigZone, slot: Slot) -> Result<String> {
    let access = zone.slot_config(slot);
    if zone.key_config(slot).private() {
        let key = target.converse(|awake| {
            match awake.key_presence(zone, slot)? {
                Presence { held: Held::Key, .. } => {}
                Presence { refused: Some(status), .. } => return Err(atecc608::Error::KeyNotTold { slot, status }),
                Presence { .. } => return Ok(None),
            }
            // A key that requires an authorisation does not return its public key without it.
            Ok(Some(if zone.key_config(slot).req_auth() { None } else { awake.public_key(slot)? }))
        })?;
        return match key {
            None if !zone.slot_locked(slot) => Err(Error::Refused(format!(
                "{}: slot {slot} holds no key, and after the lock it can never get one: generate one first (`atecc608 \
                 key generate --slot {slot}`)",
                target.place()
            ))),
            None => Ok("no key".to_owned()),
            Some(None) => Ok("a private key, whose public key can't be read".to_owned()),
            Some(Some(xy)) => {
                let pem = Point::from_xy(&xy).map(|point| pem::public_key(&point)).unwrap_or_default();
                Ok(format!("the private key of\n{pem}"))
            }
        };
    }
    if access.is_secret() || access.encrypt_read() {
        return Ok("a secret, which can't be read".to_owned());
    }
    let bytes = target.converse(|awake| awake.read_slot(slot, slot.size()))?;
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Ok(format!("{} bytes, all {:02x}", bytes.len(), bytes[0]));
    }
    Ok(format!("{} bytes, SHA-256 {}", bytes.len(), hex(&Sha256::digest(&bytes))))
}

fn text(report: &Report) -> String {
    let Report { serial_number, place, slot, kind, holds, .. } = report;
    let chip = format!("{serial_number} ({place})");
    let holds = holds.trim_end();
    match report.result {
        Outcome::AlreadyLocked => format!("{chip}: slot {slot} is locked already. It holds {holds}\n"),
        Outcome::Locked => format!("{chip}: slot {slot} is locked. It keeps {holds}\n"),
        Outcome::WouldLock => format!(
            "{chip}: what `lock slot {slot}` would make permanent\n\n   slot {slot} ({kind}) holds {holds}\n\nNo key could be \
             generated or written there any more; what it may do stays.\nNothing was changed. To do it: atecc608 lock slot \
             {slot} --lock-forever\nNo command, reset or tool can undo it.\n"
        ),
    }
}
