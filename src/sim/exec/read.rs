//! Read (fact sheet sections 3.0 and 3.15).

use super::super::core::{allow, Core, Outcome, Refusal};
use super::Execute;
use crate::sim::image::Part;
use crate::wire::commands::Read;
use crate::wire::zone::{Address, Zone};
use crate::wire::Slot;

impl Execute for Read {
    fn execute(&self, core: &mut Core) -> Outcome {
        let (part, at) = place(self.zone, self.address, self.block)?;
        match part {
            Part::Config => Ok(stored(core, part, at, self.len())),
            Part::Otp => {
                allow(core.config().data_locked())?;
                Ok(stored(core, part, at, self.len()))
            }
            Part::Slot(slot) => read_slot(core, self, slot, at),
        }
    }
}

/// Where an address points; 03 if nowhere. Of 32-byte accesses the word is ignored.
pub(super) fn place(zone: Zone, address: Address, block: bool) -> Result<(Part, usize), Refusal> {
    let (part, number) = match zone {
        Zone::Config => (Part::Config, usize::from(address.zone_block())),
        Zone::Otp => (Part::Otp, usize::from(address.zone_block())),
        Zone::Data => {
            let (slot, block) = address.slot_block().ok_or(Refusal::PARSE)?;
            (Part::Slot(slot), usize::from(block))
        }
    };
    let at = 32 * number + if block { 0 } else { 4 * usize::from(address.word()) };
    if at < part.size() {
        Ok((part, at))
    } else {
        Err(Refusal::PARSE)
    }
}

/// `len` bytes at a place; what a short last block lacks is 00.
fn stored(core: &Core, part: Part, at: usize, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = core.image().part(part)[at..].iter().copied().take(len).collect();
    bytes.resize(len, 0);
    bytes
}

fn read_slot(core: &mut Core, read: &Read, slot: Slot, at: usize) -> Outcome {
    let config = core.config();
    let slot_config = config.slot_config(slot);
    allow(config.data_locked() && !config.key_config(slot).private())?;
    let mut bytes = stored(core, Part::Slot(slot), at, read.len());
    match (slot_config.is_secret(), slot_config.encrypt_read()) {
        (false, false) => {}
        // The fact sheet forbids the second combination: no data is given out for it.
        (true, false) | (false, true) => return Err(Refusal::EXECUTION),
        (true, true) => {
            allow(read.block)?;
            let (temp_key, key) = core.temp_key()?;
            let flags = temp_key.flags;
            allow(!flags.source_fixed && flags.gen_dig && !flags.no_mac)?;
            allow(flags.key_id == slot_config.read_key().number())?;
            bytes.iter_mut().zip(key.iter()).for_each(|(byte, key)| *byte ^= key);
            core.sram.temp_key = None;
        }
    }
    Ok(bytes)
}
