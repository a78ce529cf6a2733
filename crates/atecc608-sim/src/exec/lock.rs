// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lock (fact sheet section 3.10).

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::Execute;
use crate::image::Part;
use atecc608_wire::commands::{Lock, LockZone};
use atecc608_wire::config_zone::offset;
use atecc608_wire::crc::crc16_update;
use atecc608_wire::Slot;

const LOCKED: u8 = 0x00;

impl Execute for Lock {
    fn execute(&self, core: &mut Core) -> Outcome {
        let config = core.config();
        match self.zone {
            LockZone::Config => {
                allow(!config.config_locked())?;
                check(core, self.summary, config_summary(core))?;
                core.program(Part::Config, offset::LOCK_CONFIG, &[LOCKED])?;
            }
            LockZone::Data => {
                allow(config.config_locked() && !config.data_locked())?;
                check(core, self.summary, data_summary(core))?;
                core.program(Part::Config, offset::LOCK_VALUE, &[LOCKED])?;
            }
            LockZone::Slot(slot) => {
                allow(config.config_locked())?;
                allow(config.data_locked() || !core.switches.slot_lock_needs_data_lock)?;
                allow(config.key_config(slot).lockable() && !config.slot_locked(slot))?;
                let at = offset::SLOT_LOCKED + slot.index() / 8;
                let bits = config.as_bytes()[at] & !(1 << (slot.index() % 8));
                core.program(Part::Config, at, &[bits])?;
            }
        }
        success()
    }
}

fn check(core: &Core, claimed: Option<[u8; 2]>, actual: u16) -> Result<(), Refusal> {
    match claimed {
        Some(claimed) if claimed != actual.to_le_bytes() => Err(Refusal::Status(core.switches.lock_summary_mismatch)),
        _ => Ok(()),
    }
}

/// Over all 128 bytes, with the lock bytes still 55.
fn config_summary(core: &Core) -> u16 {
    crc16_update(0, core.image().part(Part::Config))
}

/// Slots 0 to 15 without those of ECC private keys, then OTP.
fn data_summary(core: &Core) -> u16 {
    let config = core.config();
    let slots = Slot::all().filter(|slot| !config.key_config(*slot).is_p256_private()).map(Part::Slot);
    slots.chain([Part::Otp]).fold(0, |crc, part| crc16_update(crc, core.image().part(part)))
}
