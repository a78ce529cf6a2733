// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration zone's fields down to the bit, with their names in the TOML form (fact sheet section 5).

use atecc608_wire::config_zone::offset;
use atecc608_wire::{ConfigZone, Slot};

/// One field: bits of a little-endian word, or bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Its name in the TOML form.
    pub(super) name: &'static str,
    /// Its byte, or its first byte. For a slot's field: that of slot 0; the other slots' follow, two bytes each.
    pub(super) byte: usize,
    /// Its kind of value.
    pub(super) shape: Shape,
    /// Its meaning.
    pub(super) meaning: &'static str,
}

/// The kind of value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// This many bytes, as hex digits in their order.
    Bytes(usize),
    /// One bit, true or false.
    Flag(u8),
    /// `width` bits from bit `shift` on.
    Number {
        /// The lowest bit.
        shift: u8,
        /// Number of bits.
        width: u8,
    },
    /// The same, reserved: should be 0, and is printed only if it is not.
    Reserved {
        /// The lowest bit.
        shift: u8,
        /// Number of bits.
        width: u8,
    },
    /// The same, with names for its values.
    Choice {
        /// The lowest bit.
        shift: u8,
        /// Number of bits.
        width: u8,
        /// The values with names; others are numbers.
        names: &'static [(u16, &'static str)],
    },
}

const fn field(name: &'static str, byte: usize, shape: Shape, meaning: &'static str) -> Field {
    Field { name, byte, shape, meaning }
}

const fn number(shift: u8, width: u8) -> Shape {
    Shape::Number { shift, width }
}

const fn reserved(shift: u8, width: u8) -> Shape {
    Shape::Reserved { shift, width }
}

const LOCK: &[(u16, &str)] = &[(0x55, "unlocked"), (0x00, "locked")];
const SECURE_BOOT: &[(u16, &str)] = &[(0, "off"), (1, "FullBoth"), (2, "FullSig"), (3, "FullDig")];
const KEY_TYPE: &[(u16, &str)] = &[(4, "P-256"), (6, "AES"), (7, "SHA or data")];

/// The factory's fields, and those that only Lock and UpdateExtra change: Write can't change them.
pub(super) const NOT_WRITTEN: &[Field] = &[
    field("serial_number_0_3", 0, Shape::Bytes(4), "factory"),
    field("revision", 4, Shape::Bytes(4), "factory; it does not identify the model"),
    field("serial_number_4_8", 8, Shape::Bytes(5), "factory"),
    field("aes_enable", 13, Shape::Bytes(1), "factory; bit 0: AES"),
    field("i2c_enable", 14, Shape::Bytes(1), "factory; bit 0: I2C"),
    field("reserved_15", 15, Shape::Bytes(1), "factory"),
    field("user_extra", offset::USER_EXTRA, number(0, 8), "written once by UpdateExtra"),
    field("user_extra_add", offset::USER_EXTRA_ADD, number(0, 8), "another I2C address, written once by UpdateExtra"),
    field(
        "lock_value",
        offset::LOCK_VALUE,
        Shape::Choice { shift: 0, width: 8, names: LOCK },
        "data and OTP zones: `atecc608 lock data`",
    ),
    field(
        "lock_config",
        offset::LOCK_CONFIG,
        Shape::Choice { shift: 0, width: 8, names: LOCK },
        "configuration zone: `atecc608 lock config`",
    ),
];

/// The fields that Write changes while the configuration is not locked, without the slots.
pub(super) const CHIP: &[Field] = &[
    field("i2c_address", offset::I2C_ADDRESS, number(0, 8), "8-bit form: twice what i2cdetect prints"),
    field("reserved_17", 17, Shape::Bytes(1), ""),
    field("count_match", offset::COUNT_MATCH, Shape::Flag(0), "a slot holds a limit for LimitedUse keys"),
    field("count_match_reserved", offset::COUNT_MATCH, reserved(1, 3), "reserved, should be 0"),
    field("count_match_slot", offset::COUNT_MATCH, number(4, 4), "the slot with that limit"),
    field("user_extra_add_is_address", offset::CHIP_MODE, Shape::Flag(0), "user_extra_add is the I2C address"),
    field("ttl_levels", offset::CHIP_MODE, Shape::Flag(1), "input levels by VCC; false: fixed levels"),
    field("watchdog_13_s", offset::CHIP_MODE, Shape::Flag(2), "false: 1.3 s"),
    field("clock_divider", offset::CHIP_MODE, number(3, 5), "0 fastest, 5 slower, 13 slowest"),
    field("counter_0", offset::COUNTERS, Shape::Bytes(8), "monotonic; ffffffff00000000 is 0"),
    field("counter_1", offset::COUNTERS + 8, Shape::Bytes(8), "monotonic; ffffffff00000000 is 0"),
    field("use_lock", offset::USE_LOCK, number(0, 4), "10 is on, all else off"),
    field("use_lock_slot", offset::USE_LOCK, number(4, 4), "its key"),
    field("volatile_key_slot", offset::VOLATILE_KEY_PERMISSION, number(0, 4), "the key that gives the permission"),
    field("volatile_key_reserved", offset::VOLATILE_KEY_PERMISSION, reserved(4, 3), "reserved, should be 0"),
    field(
        "volatile_key_permission",
        offset::VOLATILE_KEY_PERMISSION,
        Shape::Flag(7),
        "keys work only after a permission",
    ),
    field(
        "secure_boot",
        offset::SECURE_BOOT,
        Shape::Choice { shift: 0, width: 2, names: SECURE_BOOT },
        "off, FullBoth, FullSig, FullDig",
    ),
    field("secure_boot_reserved_2", offset::SECURE_BOOT, reserved(2, 1), "reserved, should be 0"),
    field("secure_boot_sets_latch", offset::SECURE_BOOT, Shape::Flag(3), "success sets the persistent latch"),
    field("secure_boot_wants_random", offset::SECURE_BOOT, Shape::Flag(4), "a random nonce is required"),
    field("secure_boot_reserved_5", offset::SECURE_BOOT, reserved(5, 3), "reserved, should be 0"),
    field("secure_boot_storage_slot", offset::SECURE_BOOT, number(8, 4), "the stored digest or signature"),
    field("secure_boot_key_slot", offset::SECURE_BOOT, number(12, 4), "the public key"),
    field("kdf_iv_loc", offset::KDF_IV_LOC, number(0, 8), "offset of kdf_iv_str in the message of HKDF"),
    field("kdf_iv_str", offset::KDF_IV_LOC + 1, Shape::Bytes(2), ""),
    field("reserved_75", 75, Shape::Bytes(9), ""),
    field("slot_locked", offset::SLOT_LOCKED, number(0, 16), "bit n set: slot n is not locked"),
    field("power_on_self_test", offset::CHIP_OPTIONS, Shape::Flag(0), "at each wake"),
    field("io_protection", offset::CHIP_OPTIONS, Shape::Flag(1), "the IO protection key may be used"),
    field("kdf_aes", offset::CHIP_OPTIONS, Shape::Flag(2), "KDF may use AES"),
    field("health_test_auto_clear", offset::CHIP_OPTIONS, Shape::Flag(3), "a failed health test clears itself"),
    field("chip_options_reserved", offset::CHIP_OPTIONS, reserved(4, 4), "reserved, should be 0"),
    field("ecdh_protection", offset::CHIP_OPTIONS, number(8, 2), PROTECTION),
    field("kdf_protection", offset::CHIP_OPTIONS, number(10, 2), PROTECTION),
    field("io_protection_slot", offset::CHIP_OPTIONS, number(12, 4), "the IO protection key"),
    field("x509_format", 92, Shape::Bytes(4), ""),
];

const PROTECTION: &str = "results: 0 may leave in clear, 1 encrypted only, 2 stay in TempKey, 3 stay in a slot";

/// SlotConfig bits 3 to 0 of a private key.
pub(super) const PRIVATE_USE: &[Field] = &[
    field("external_sign", offset::SLOT_CONFIG, Shape::Flag(0), "signs data of the host"),
    field("internal_sign", offset::SLOT_CONFIG, Shape::Flag(1), "signs data of the chip"),
    field("ecdh", offset::SLOT_CONFIG, Shape::Flag(2), "agrees on secrets"),
    field("ecdh_to_slot", offset::SLOT_CONFIG, Shape::Flag(3), "and keeps them in the next odd slot"),
];

/// SlotConfig bits 3 to 0 of other slots.
pub(super) const READ_KEY: Field =
    field("read_key", offset::SLOT_CONFIG, number(0, 4), "encrypts reads; 0 allows CheckMac's copy");

/// SlotConfig from bit 4 on.
pub(super) const ACCESS: &[Field] = &[
    field("no_mac", offset::SLOT_CONFIG, Shape::Flag(4), "MAC is refused"),
    field("limited_use", offset::SLOT_CONFIG, Shape::Flag(5), "counter 0 counts its uses"),
    field("encrypt_read", offset::SLOT_CONFIG, Shape::Flag(6), "reads are encrypted"),
    field("is_secret", offset::SLOT_CONFIG, Shape::Flag(7), "never read in clear"),
    field("write_key", offset::SLOT_CONFIG, number(8, 4), "encrypts writes"),
    field("write_config", offset::SLOT_CONFIG, number(12, 4), WRITE_CONFIG),
];

const WRITE_CONFIG: &str =
    "private: +2 GenKey, +4 import; else: 0 clear, 1 clear if invalid, 4.. encrypted, 2.. 8.. never; +2 DeriveKey";

/// KeyConfig.
pub(super) const KEY: &[Field] = &[
    field("private", offset::KEY_CONFIG, Shape::Flag(0), "holds a private key"),
    field(
        "pub_info",
        offset::KEY_CONFIG,
        Shape::Flag(1),
        "private: its public key can be read; public: needs validation",
    ),
    field(
        "key_type",
        offset::KEY_CONFIG,
        Shape::Choice { shift: 2, width: 3, names: KEY_TYPE },
        "P-256, AES, SHA or data",
    ),
    field("lockable", offset::KEY_CONFIG, Shape::Flag(5), "can be locked by itself"),
    field("req_random", offset::KEY_CONFIG, Shape::Flag(6), "a random nonce is required"),
    field("req_auth", offset::KEY_CONFIG, Shape::Flag(7), "an authorisation is required"),
    field("auth_key", offset::KEY_CONFIG, number(8, 4), "with this key"),
    field("persistent_disable", offset::KEY_CONFIG, Shape::Flag(12), "works only while the persistent latch is set"),
    field("key_config_reserved", offset::KEY_CONFIG, reserved(13, 1), "reserved, should be 0"),
    field("x509_id", offset::KEY_CONFIG, number(14, 2), "which part of x509_format"),
];

/// Returns the fields of a slot in order; `private` as in its KeyConfig.
pub(super) fn slot_fields(private: bool) -> impl Iterator<Item = &'static Field> {
    let first: &[Field] = if private { PRIVATE_USE } else { std::slice::from_ref(&READ_KEY) };
    KEY[..3].iter().chain(first).chain(ACCESS).chain(&KEY[3..])
}

impl Field {
    /// The same field of another slot.
    pub(super) fn of(&self, slot: Slot) -> Self {
        Self { byte: self.byte + 2 * slot.index(), ..*self }
    }

    /// Its bits, right-aligned; 0 for bytes.
    pub(super) fn bits(&self, zone: &ConfigZone) -> u16 {
        let Some((shift, width)) = self.place() else { return 0 };
        let bytes = zone.as_bytes();
        let word = u16::from_le_bytes([bytes[self.byte], bytes.get(self.byte + 1).copied().unwrap_or(0)]);
        word >> shift & mask(width)
    }

    /// Sets its bits; does nothing for bytes.
    pub(super) fn set_bits(&self, zone: &mut ConfigZone, value: u16) {
        let Some((shift, width)) = self.place() else { return };
        for bit in 0..width {
            let at = usize::from(shift + bit);
            let (byte, bit_of_byte) = (self.byte + at / 8, at % 8);
            let byte = &mut zone.as_bytes_mut()[byte];
            *byte = *byte & !(1 << bit_of_byte) | (((value >> bit & 1) as u8) << bit_of_byte);
        }
    }

    /// The largest value of its bits.
    pub(super) fn maximum(&self) -> u16 {
        self.place().map_or(0, |(_, width)| mask(width))
    }

    fn place(&self) -> Option<(u8, u8)> {
        match self.shape {
            Shape::Bytes(_) => None,
            Shape::Flag(bit) => Some((bit, 1)),
            Shape::Number { shift, width } | Shape::Reserved { shift, width } | Shape::Choice { shift, width, .. } => {
                Some((shift, width))
            }
        }
    }
}

fn mask(width: u8) -> u16 {
    (u32::from(u16::MAX) >> (16 - width)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of the 1024 bits is named.
    fn coverage(private: bool) -> Vec<u8> {
        let slots = Slot::all().flat_map(|slot| slot_fields(private).map(move |field| field.of(slot)));
        let mut named = vec![0; 8 * ConfigZone::LEN];
        for field in NOT_WRITTEN.iter().chain(CHIP).copied().chain(slots) {
            let (first, count) = match (field.shape, field.place()) {
                (Shape::Bytes(len), _) => (0, 8 * len),
                (_, place) => place.map_or((0, 0), |(shift, width)| (shift.into(), width.into())),
            };
            named[8 * field.byte + first..][..count].iter_mut().for_each(|bit| *bit += 1);
        }
        named
    }

    #[test]
    fn every_bit_of_the_zone_belongs_to_exactly_one_field() {
        assert!(coverage(true).iter().all(|count| *count == 1));
        assert!(coverage(false).iter().all(|count| *count == 1));
    }
}
