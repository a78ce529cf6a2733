// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of a sacrificed chip: one slot for each rule to observe.

use atecc608_wire::config_zone::offset;
use atecc608_wire::{ConfigZone, Slot};

use crate::vectors::{AES_KEY, EC_PUBLIC};

/// Signs and does ECDH; may be created, and written encrypted with the key in [`PARENT`].
pub const SIGNER: Slot = Slot::from_nibble(0);
/// A private key without PubInfo, with ReqRandom.
pub const SILENT: Slot = Slot::from_nibble(1);
/// A private key whose ECDH results go to a slot.
pub const AGREES_TO_SLOT: Slot = Slot::from_nibble(2);
/// A key with a limited number of uses.
pub const COUNTED: Slot = Slot::from_nibble(3);
/// The key with which others are written and derived; also the IO protection key.
pub const PARENT: Slot = Slot::from_nibble(4);
/// The key that gives the authorisation.
pub const AUTHORITY: Slot = Slot::from_nibble(5);
/// A password; on a match CheckMac copies the next slot.
pub const PASSWORD: Slot = Slot::from_nibble(6);
/// The slot that is copied: its ReadKey is 0.
pub const COPIED: Slot = Slot::from_nibble(7);
/// Data in clear that requires an authorisation.
pub const GUARDED_DATA: Slot = Slot::from_nibble(8);
/// A private key that requires an authorisation.
pub const GUARDED_KEY: Slot = Slot::from_nibble(9);
/// Written encrypted, with the key in [`PARENT`].
pub const ENCRYPTED: Slot = Slot::from_nibble(10);
/// Derived from the key in [`PARENT`], with a MAC; a target of KDF, by PubInfo.
pub const DERIVED: Slot = Slot::from_nibble(11);
/// A key that can be rolled, with NoMac.
pub const ROLLED: Slot = Slot::from_nibble(12);
/// AES keys, with ReqRandom.
pub const AES: Slot = Slot::from_nibble(13);
/// The public key of SecureBoot: that of RFC 6979's vector.
pub const PUBLIC: Slot = Slot::from_nibble(14);
/// Not written before the data lock; afterwards with the limit of the counted key. Locked individually at the end.
pub const UNWRITTEN: Slot = Slot::from_nibble(15);

/// SlotConfig and KeyConfig of each slot (fact sheet sections 5.2 to 5.4).
const SLOTS: [(u16, u16); 16] = [
    (0x6487, 0x0033),
    (0x2081, 0x0071),
    (0x208C, 0x0033),
    (0x80A3, 0x003C),
    (0x8084, 0x003C),
    (0x8085, 0x003C),
    (0x8086, 0x003C),
    (0x8080, 0x003C),
    (0x000F, 0x05BC),
    (0x6487, 0x05B3),
    (0x448A, 0x003C),
    (0xB48B, 0x003E),
    (0x209C, 0x003C),
    (0x808D, 0x0078),
    (0x000F, 0x0030),
    (0x000F, 0x003C),
];

/// Returns the configuration zone: the chip's own bytes and those of the tests.
pub fn configuration(blank: &ConfigZone) -> ConfigZone {
    let mut config = blank.clone();
    let bytes = config.as_bytes_mut();
    for (slot, (slot_config, key_config)) in SLOTS.iter().enumerate() {
        let (slot_at, key_at) = (offset::SLOT_CONFIG + 2 * slot, offset::KEY_CONFIG + 2 * slot);
        bytes[slot_at..slot_at + 2].copy_from_slice(&slot_config.to_le_bytes());
        bytes[key_at..key_at + 2].copy_from_slice(&key_config.to_le_bytes());
    }
    // The limit of counted keys is in slot 15.
    bytes[offset::COUNT_MATCH] = 0xF1;
    // The latch can be set with the authorisation of slot 5.
    bytes[offset::VOLATILE_KEY_PERMISSION] = 0x85;
    // FullBoth, with a random nonce, public key in slot 14.
    bytes[offset::SECURE_BOOT..offset::SECURE_BOOT + 2].copy_from_slice(&0xE011_u16.to_le_bytes());
    // IO protection key in slot 4, KDF with AES, health test clears itself.
    bytes[offset::CHIP_OPTIONS..offset::CHIP_OPTIONS + 2].copy_from_slice(&0x400E_u16.to_le_bytes());
    config
}

/// Returns the contents of a slot without a private key, in blocks of 32 bytes; empty for a slot that keeps the
/// factory's bytes.
pub fn blocks(slot: Slot) -> Vec<[u8; 32]> {
    match slot {
        AES => vec![secret(AES)],
        PUBLIC => {
            let mut stored = [0; 96];
            stored[4..36].copy_from_slice(&EC_PUBLIC[..32]);
            stored[40..72].copy_from_slice(&EC_PUBLIC[32..]);
            stored.chunks_exact(32).map(|chunk| std::array::from_fn(|i| chunk[i])).collect()
        }
        COUNTED | PARENT | AUTHORITY | PASSWORD | COPIED | GUARDED_DATA | ENCRYPTED | DERIVED | ROLLED => {
            vec![secret(slot)]
        }
        _ => Vec::new(),
    }
}

/// The first 32 bytes of a slot; not secret.
pub fn secret(slot: Slot) -> [u8; 32] {
    match slot {
        AES => std::array::from_fn(|i| AES_KEY[i % 16]),
        other => [0xC0 | other.number(); 32],
    }
}
