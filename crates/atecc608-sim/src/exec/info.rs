// SPDX-License-Identifier: MIT OR Apache-2.0
//! Info (fact sheet section 3.8).

use super::super::core::{allow, Core, Outcome};
use super::Execute;
use crate::buffers::TempKey;
use atecc608_wire::commands::Info;
use atecc608_wire::config_zone::offset;
use atecc608_wire::Slot;

impl Execute for Info {
    fn execute(&self, core: &mut Core) -> Outcome {
        let answer = match *self {
            Info::Revision => core.image().revision(),
            Info::KeyValid(slot) => [u8::from(holds_valid_key(core, slot)), 0, 0, 0],
            Info::State => state(core),
            Info::LatchRead => {
                let permission = core.config().as_bytes()[offset::VOLATILE_KEY_PERMISSION];
                allow(permission & 0x80 != 0 || !core.switches.latch_read_needs_permission)?;
                [u8::from(core.latch), 0, 0, 0]
            }
            Info::LatchSet(latch) => {
                let permission = core.config().as_bytes()[offset::VOLATILE_KEY_PERMISSION];
                allow(permission & 0x80 != 0)?;
                let free = !latch && core.switches.latch_clear_is_free;
                allow(free || core.sram.authorised == Some(Slot::from_nibble(permission)))?;
                core.latch = latch;
                [u8::from(latch), 0, 0, 0]
            }
        };
        Ok(answer.to_vec())
    }
}

/// A private key in range, or a public key on the curve that is validated if it must be.
fn holds_valid_key(core: &Core, slot: Slot) -> bool {
    if core.config().key_config(slot).private() {
        core.private_key(slot).is_ok()
    } else {
        core.usable_public_key(slot).is_ok()
    }
}

fn state(core: &Core) -> [u8; 4] {
    let temp_key = core.sram.temp_key.as_ref();
    let flags = temp_key.map_or(0, |TempKey { flags, .. }| flags.to_byte());
    let valid = u8::from(temp_key.is_some()) << 7;
    let authorised = core.sram.authorised.map_or(0, |slot| slot.number() << 3 | 0x04);
    [flags, valid | authorised, 0, 0]
}
