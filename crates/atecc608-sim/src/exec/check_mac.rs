// SPDX-License-Identifier: MIT OR Apache-2.0
//! CheckMac with its copy function and its authorisation (fact sheet sections 3.2 and 11).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::core::{success, Core, Outcome, Refusal};
use super::Execute;
use crate::buffers::TempKey;
use crate::image::Part;
use atecc608_wire::commands::CheckMac;
use atecc608_wire::messages::{self, TempKeyFlags};
use atecc608_wire::{Slot, Status};

impl Execute for CheckMac {
    fn execute(&self, core: &mut Core) -> Outcome {
        let outcome = check(core, self);
        if outcome.is_err() && core.switches.failed_check_mac_clears_authorisation {
            core.sram.authorised = None;
        }
        outcome
    }
}

fn check(core: &mut Core, command: &CheckMac) -> Outcome {
    core.require_lock_for_temp_key()?;
    let temp_key = core.message_temp_key(command.uses_temp_key(), command.source_fixed)?;
    let (first, key_use) = if command.temp_key_first {
        (temp_key.clone().ok_or(Refusal::EXECUTION)?, None)
    } else {
        let (key, key_use) = core.mac_key(command.slot, command.temp_key_second)?;
        (key, Some(key_use))
    };
    let second =
        if command.temp_key_second { temp_key.ok_or(Refusal::EXECUTION)? } else { Zeroizing::new(command.challenge) };
    let expected = messages::check_mac(&first, &second, command, &core.otp_start(), &core.serial());
    if command.uses_temp_key() {
        core.sram.temp_key = None;
    }
    if !bool::from(expected.ct_eq(&command.response)) {
        return Err(Refusal::Status(Status::MISCOMPARE));
    }
    if let Some(key_use) = key_use {
        core.count_use(key_use)?;
        if command.temp_key_second {
            if !command.source_fixed {
                core.sram.authorised = Some(command.slot);
            }
            if !command.otp {
                copy(core, command.slot);
            }
        }
    }
    success()
}

/// Modes 01 and 05: copies the slot that is paired with the password's, if its ReadKey is 0, to TempKey.
fn copy(core: &mut Core, password: Slot) {
    let config = core.config();
    if !core.switches.check_mac_copies || password.number() % 2 != 0 {
        return;
    }
    let target = Slot::from_nibble(password.number() + 1);
    if config.slot_config(target).read_key().number() != 0 || config.key_config(target).private() {
        return;
    }
    let flags = TempKeyFlags { source_fixed: true, ..TempKeyFlags::default() };
    let mut temp_key = TempKey::new(&core.image().part(Part::Slot(target))[..32], flags);
    temp_key.copied = true;
    core.sram.temp_key = Some(temp_key);
}
