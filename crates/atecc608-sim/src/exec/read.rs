// SPDX-License-Identifier: MIT OR Apache-2.0
//! Read (fact sheet sections 3.0 and 3.15).

use super::super::core::{allow, Core, Outcome, Refusal};
use super::Execute;
use crate::image::Part;
use atecc608_wire::commands::Read;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::Slot;

impl Execute for Read {
    fn execute(&self, core: &mut Core) -> Outcome {
        let (part, at) = place(core, self.zone, self.address, self.block)?;
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

/// Returns the place of an address, or a refusal if there is none. 32-byte accesses ignore the word.
pub(super) fn place(core: &Core, zone: Zone, address: Address, block: bool) -> Result<(Part, usize), Refusal> {
    let nowhere = Refusal::Status(core.switches.address_out_of_range);
    let (part, number) = match zone {
        Zone::Config => (Part::Config, usize::from(address.zone_block())),
        Zone::Otp => (Part::Otp, usize::from(address.zone_block())),
        Zone::Data => {
            let (slot, block) = address.slot_block().ok_or(nowhere)?;
            (Part::Slot(slot), usize::from(block))
        }
    };
    let at = 32 * number + if block { 0 } else { 4 * usize::from(address.word()) };
    if at < part.size() {
        Ok((part, at))
    } else {
        Err(nowhere)
    }
}

/// Returns `len` bytes at a place, padded if the last block is shorter.
fn stored(core: &Core, part: Part, at: usize, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = core.image().part(part)[at..].iter().copied().take(len).collect();
    bytes.resize(len, core.switches.short_block_padding);
    bytes
}

fn read_slot(core: &mut Core, read: &Read, slot: Slot, at: usize) -> Outcome {
    let config = core.config();
    let slot_config = config.slot_config(slot);
    allow(config.data_locked() && !config.key_config(slot).private())?;
    let mut bytes = stored(core, Part::Slot(slot), at, read.len());
    match (slot_config.is_secret(), slot_config.encrypt_read()) {
        (false, false) => {}
        // The fact sheet forbids the second combination: no data is returned.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::TempKey;
    use crate::eeprom::Eeprom;
    use crate::profiles::Profile;
    use atecc608_wire::config_zone::{offset, SerialNumber};
    use atecc608_wire::messages::TempKeyFlags;

    const GEN_DIG_4: TempKeyFlags =
        TempKeyFlags { key_id: 4, source_fixed: false, gen_dig: true, gen_key: false, no_mac: false };

    /// Both zones locked; slot 8 is secret, read encrypted with key 4. `slot_config` is its SlotConfig's low byte.
    fn core(slot_config: u8, flags: TempKeyFlags) -> Core {
        let mut image = Profile::Blank608B.image(SerialNumber([1, 0x23, 0, 0, 0, 0, 0, 0, 0xEE]), 0x60);
        image.part_mut(Part::Slot(Slot::from_nibble(8))).fill(0x88);
        let config = image.part_mut(Part::Config);
        config[offset::LOCK_CONFIG] = 0;
        config[offset::LOCK_VALUE] = 0;
        config[offset::SLOT_CONFIG + 16] = slot_config;
        let mut core = Core::new(Eeprom::in_memory(image));
        core.sram.temp_key = Some(TempKey::new(&[0x0F; 32], flags));
        core
    }

    fn read(block: bool) -> Read {
        Read { zone: Zone::Data, address: Address(0x0040), block }
    }

    #[test]
    fn encrypted_read_answers_data_xor_temp_key_once() {
        let mut core = core(0xC4, GEN_DIG_4);
        assert_eq!(read(true).execute(&mut core), Ok(vec![0x87; 32]));
        assert_eq!(read(true).execute(&mut core), Err(Refusal::EXECUTION));
    }

    #[test]
    fn encrypted_read_is_refused_when_temp_key_or_slot_is_wrong() {
        for flags in [
            TempKeyFlags { gen_dig: false, ..GEN_DIG_4 },
            TempKeyFlags { key_id: 5, ..GEN_DIG_4 },
            TempKeyFlags { no_mac: true, ..GEN_DIG_4 },
            TempKeyFlags { source_fixed: true, ..GEN_DIG_4 },
        ] {
            assert_eq!(read(true).execute(&mut core(0xC4, flags)), Err(Refusal::EXECUTION), "{flags:?}");
        }
        assert_eq!(read(false).execute(&mut core(0xC4, GEN_DIG_4)), Err(Refusal::EXECUTION), "a word");
        assert_eq!(read(true).execute(&mut core(0x84, GEN_DIG_4)), Err(Refusal::EXECUTION), "secret, not for reading");
        assert_eq!(read(true).execute(&mut core(0x44, GEN_DIG_4)), Err(Refusal::EXECUTION), "forbidden combination");
    }
}
