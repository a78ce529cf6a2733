// SPDX-License-Identifier: MIT OR Apache-2.0
//! Write (fact sheet sections 3.22 and 5.4).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::rules::INVALIDATED;
use super::read::place;
use super::Execute;
use crate::image::Part;
use atecc608_wire::commands::Write;
use atecc608_wire::config_zone::WritePolicy;
use atecc608_wire::zone::Zone;
use atecc608_wire::{messages, Slot};

impl Execute for Write {
    fn execute(&self, core: &mut Core) -> Outcome {
        let block = self.data.len() == 32;
        // Only the data zone can be written encrypted.
        if self.mac.is_some() && self.zone != Zone::Data {
            return Err(Refusal::PARSE);
        }
        let (part, at) = place(core, self.zone, self.address, block)?;
        let config = core.config();
        match part {
            Part::Config => {
                allow(!config.config_locked())?;
                if !config_place_is_writable(at, block) {
                    return Err(Refusal::Status(core.switches.config_place_not_writable));
                }
                core.program(part, at, &self.data)?;
            }
            Part::Otp => {
                // Section 5.7.
                allow(config.config_locked() && !config.data_locked() && block)?;
                core.program(part, at, &self.data)?;
            }
            Part::Slot(slot) => write_slot(core, self, slot, at)?,
        }
        success()
    }
}

/// Words 4 to 20 and 22 to 31 can be written; as whole blocks only 1 and 3, because the others contain bytes that Write
/// cannot change.
fn config_place_is_writable(at: usize, block: bool) -> bool {
    if block {
        matches!(at / 32, 1 | 3)
    } else {
        matches!(at / 4, 4..=20 | 22..=31)
    }
}

fn write_slot(core: &mut Core, write: &Write, slot: Slot, at: usize) -> Result<(), Refusal> {
    let config = core.config();
    // Section 5.7.
    allow(config.config_locked())?;
    allow(!config.key_config(slot).private() && !config.slot_locked(slot))?;
    core.require_authorisation_to_write(&config, slot)?;
    if config.data_locked() {
        let slot_config = config.slot_config(slot);
        let encrypted = write.mac.is_some();
        allow(match slot_config.write_config().write_policy() {
            WritePolicy::Always => !encrypted,
            WritePolicy::PubInvalid => !encrypted && !core.is_validated(slot),
            WritePolicy::Never => false,
            WritePolicy::Encrypted => encrypted,
        })?;
        allow(write.data.len() == 32 || !(slot_config.is_secret() || slot_config.encrypt_read()))?;
    } else {
        allow(write.data.len() == 32)?;
    }
    let plaintext = plaintext(core, write, slot)?;
    // Of a short last block only the existing bytes are stored.
    let stored = &plaintext[..plaintext.len().min(slot.size() - at)];
    store(core, slot, at, stored)
}

/// Programs the bytes; a public key that requires validation is marked as not validated (section 5.9).
pub(super) fn store(core: &mut Core, slot: Slot, at: usize, bytes: &[u8]) -> Result<(), Refusal> {
    let mut bytes = Zeroizing::new(bytes.to_vec());
    if core.is_public_slot(slot) && core.config().key_config(slot).pub_info() {
        if at == 0 {
            bytes[0] = bytes[0] & 0x0F | INVALIDATED;
        } else {
            // Clear the mark first, so that power loss in between cannot leave changed bytes that count as validated.
            let first = core.image().part(Part::Slot(slot))[0] & 0x0F | INVALIDATED;
            core.program(Part::Slot(slot), 0, &[first])?;
        }
    }
    core.program(Part::Slot(slot), at, &bytes)
}

/// Returns the data to store: as sent, or decrypted with TempKey and checked against the MAC.
fn plaintext(core: &mut Core, write: &Write, slot: Slot) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let Some(mac) = &write.mac else {
        return Ok(Zeroizing::new(write.data.clone()));
    };
    let key = core.take_write_key(slot)?;
    let mut plaintext = Zeroizing::new([0; 32]);
    for ((plain, cipher), key) in plaintext.iter_mut().zip(&write.data).zip(key.iter()) {
        *plain = cipher ^ key;
    }
    let expected = messages::write_mac(&key, write, &core.serial(), &plaintext);
    if !bool::from(expected.ct_eq(mac)) {
        return Err(Refusal::Status(core.switches.write_mac_mismatch));
    }
    Ok(Zeroizing::new(plaintext.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::TempKey;
    use crate::eeprom::Eeprom;
    use crate::profiles::Profile;
    use atecc608_wire::config_zone::{offset, SerialNumber};
    use atecc608_wire::messages::TempKeyFlags;
    use atecc608_wire::zone::Address;

    const SERIAL: SerialNumber = SerialNumber([0x01, 0x23, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6, 0xEE]);

    fn range<const N: usize>(first: u8) -> [u8; N] {
        std::array::from_fn(|i| first + i as u8)
    }

    /// Both zones locked, slot 8 written encrypted with key 4; TempKey as GenDig(slot 4) leaves it.
    fn core(flags: TempKeyFlags) -> Core {
        let mut image = Profile::Blank608B.image(SERIAL, 0x60);
        let config = image.part_mut(Part::Config);
        config[offset::LOCK_CONFIG] = 0;
        config[offset::LOCK_VALUE] = 0;
        config[offset::SLOT_CONFIG + 16..offset::SLOT_CONFIG + 18].copy_from_slice(&[0xC4, 0x44]);
        let mut core = Core::new(Eeprom::in_memory(image));
        core.sram.temp_key = Some(TempKey::new(&range::<32>(0x40), flags));
        core
    }

    /// The fact sheet's vector (section 9): TempKey 40.., plaintext 60.., param1 C2, address 0040 (slot 8, block 0).
    fn encrypted_write() -> Write {
        let mac = "96b235f055418425122cb4902e190e37206ad99db124e1d9af97b52902880f74";
        let mac = base16ct::lower::decode_vec(mac).unwrap().try_into().unwrap();
        let data = range::<32>(0x60).iter().zip(range::<32>(0x40)).map(|(d, t)| d ^ t).collect();
        Write { zone: Zone::Data, address: Address(0x0040), data, mac: Some(mac) }
    }

    const GEN_DIG_4: TempKeyFlags =
        TempKeyFlags { key_id: 4, source_fixed: false, gen_dig: true, gen_key: false, no_mac: false };

    #[test]
    fn encrypted_write_with_the_fact_sheets_mac_stores_the_plaintext_and_uses_up_temp_key() {
        let mut core = core(GEN_DIG_4);
        assert_eq!(encrypted_write().execute(&mut core), success());
        assert_eq!(core.image().part(Part::Slot(Slot::from_nibble(8)))[..32], range::<32>(0x60));
        assert!(core.sram.temp_key.is_none());
        assert_eq!(encrypted_write().execute(&mut core), Err(Refusal::EXECUTION));
    }

    #[test]
    fn encrypted_write_is_refused_when_temp_key_or_mac_is_wrong() {
        for flags in [
            TempKeyFlags { gen_dig: false, ..GEN_DIG_4 },
            TempKeyFlags { key_id: 5, ..GEN_DIG_4 },
            TempKeyFlags { no_mac: true, ..GEN_DIG_4 },
            TempKeyFlags { source_fixed: true, ..GEN_DIG_4 },
        ] {
            assert_eq!(encrypted_write().execute(&mut core(flags)), Err(Refusal::EXECUTION), "{flags:?}");
        }
        let mut forged = encrypted_write();
        forged.mac.as_mut().unwrap()[31] ^= 1;
        assert_eq!(forged.execute(&mut core(GEN_DIG_4)), Err(Refusal::EXECUTION));
    }

    #[test]
    fn clear_write_to_an_encrypted_slot_is_refused() {
        let mut clear = encrypted_write();
        clear.mac = None;
        assert_eq!(clear.execute(&mut core(GEN_DIG_4)), Err(Refusal::EXECUTION));
    }
}
