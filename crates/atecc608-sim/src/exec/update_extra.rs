// SPDX-License-Identifier: MIT OR Apache-2.0
//! UpdateExtra (fact sheet section 3.20).

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::rules::Nonce;
use super::Execute;
use crate::image::Part;
use atecc608_wire::commands::UpdateExtra;
use atecc608_wire::config_zone::offset;
use atecc608_wire::Slot;

impl Execute for UpdateExtra {
    fn execute(&self, core: &mut Core) -> Outcome {
        let (at, value) = match *self {
            UpdateExtra::UserExtra(value) => (offset::USER_EXTRA, value),
            UpdateExtra::UserExtraAdd(value) => (offset::USER_EXTRA_ADD, value),
            UpdateExtra::Decrement(slot) => return decrement(core, slot),
        };
        allow(core.config().as_bytes()[at] == 0)?;
        if value != 0 {
            core.program(Part::Config, at, &[value])?;
        }
        success()
    }
}

/// Mode 2 of the older chips: consumes one use of a limited-use key; no effect if the slot has no limit (public data
/// sheet of the ATSHA204A, section 8.5.17; the 508 counts with Counter0).
fn decrement(core: &mut Core, slot: u8) -> Outcome {
    if !core.switches.update_extra_decrements {
        return Err(Refusal::PARSE);
    }
    let slot = Slot::new(slot).ok_or(Refusal::PARSE)?;
    if core.config().slot_config(slot).limited_use() {
        let key_use = core.use_key(slot, Nonce::NotAsked)?;
        core.count_use(key_use)?;
    }
    success()
}
