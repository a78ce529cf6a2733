// SPDX-License-Identifier: MIT OR Apache-2.0
//! The knowledge about TempKey of an observer of bus and EEPROM (fact sheet section 3.0, "TempKey effects").
//!
//! It may report a TempKey that is already cleared, but never the reverse: so a transfer that succeeds without the
//! right TempKey is detected.

use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_wire::{CommandPacket, Opcode};

use atecc608_testkit::master::{sha, slot, SN};

#[derive(Clone, Debug)]
pub struct TempKey {
    /// `None`: not computed here.
    pub value: Option<[u8; 32]>,
    /// The slot whose key was digested last, if that was the last input.
    pub key: Option<u8>,
    pub random: bool,
    pub no_mac: bool,
}

impl TempKey {
    /// Chosen by the caller, or unknown.
    const FIXED: Self = Self { value: None, key: None, random: false, no_mac: false };

    /// Whether transfers encrypted with this slot's key may use it.
    pub fn is_session_of(&self, key: u8) -> bool {
        self.key == Some(key) && self.random && !self.no_mac
    }
}

/// TempKey after a command that succeeded.
pub fn after(old: Option<TempKey>, packet: &CommandPacket, payload: &[u8], before: &Image) -> Option<TempKey> {
    let (mode, param2, data) = (packet.param1, packet.param2, &packet.data[..]);
    let [low, high] = param2.to_le_bytes();
    let random = old.as_ref().is_some_and(|old| old.random);
    let no_mac = old.as_ref().is_some_and(|old| old.no_mac);
    let used = |used: bool| if used { None } else { old.clone() };
    match packet.opcode {
        Opcode::NONCE => match (mode & 3, mode >> 6) {
            (0 | 1, _) if param2 == 0 => {
                let value = sha(&[payload, data, &[0x16, mode, 0]]);
                Some(TempKey { value: Some(value), random: true, ..TempKey::FIXED })
            }
            (0 | 1, _) => Some(TempKey { value: payload.try_into().ok(), random, ..TempKey::FIXED }),
            (_, 0) => Some(TempKey { value: data.first_chunk().copied(), ..TempKey::FIXED }),
            _ => old,
        },
        Opcode::GEN_DIG if mode == 2 => {
            let config = before.config();
            let no_mac = config.slot_config(slot(low)).no_mac();
            let header = if no_mac { data.to_vec() } else { vec![0x15, 2, low, high] };
            let block = &before.part(Part::Slot(slot(low)))[..32];
            let value = old.and_then(|old| old.value);
            let value = value.map(|value| sha(&[block, &header, &SN, &[0; 25], &value]));
            Some(TempKey { value, key: Some(low), random, no_mac })
        }
        Opcode::GEN_DIG => Some(TempKey { random, no_mac, ..TempKey::FIXED }),
        Opcode::GEN_KEY if param2 == 0xFFFF => None,
        Opcode::GEN_KEY if mode & 0x18 != 0 => Some(TempKey { random, no_mac, ..TempKey::FIXED }),
        // It may have copied a secret.
        Opcode::CHECK_MAC if matches!(mode, 1 | 5) => Some(TempKey::FIXED),
        Opcode::MAC | Opcode::CHECK_MAC => used(mode & 3 != 0),
        Opcode::DERIVE_KEY => None,
        Opcode::WRITE | Opcode::PRIV_WRITE => used(mode & 0x40 != 0),
        Opcode::READ => {
            let encrypted = mode & 3 == 2 && before.config().slot_config(slot((low >> 3) & 15)).encrypt_read();
            used(encrypted)
        }
        Opcode::SIGN => used(mode & 0xA0 != 0xA0),
        Opcode::VERIFY => used(mode & 0x20 == 0),
        Opcode::ECDH if mode & 0x0C == 8 => Some(TempKey::FIXED),
        Opcode::ECDH => used(mode & 1 != 0),
        Opcode::KDF if mode & 0x18 == 0 => Some(TempKey::FIXED),
        Opcode::SHA if mode == 2 => Some(TempKey { value: payload.try_into().ok(), ..TempKey::FIXED }),
        _ => old,
    }
}
