// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fields of the configuration zone other than the slots': name, place, and their values in words (fact sheet
//! section 5.1).

use atecc608_contents::words;
use atecc608_wire::config_zone::offset;
use atecc608_wire::{ConfigZone, Slot};

/// One field other than the slots'.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its first byte.
    pub(crate) at: usize,
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Its value in words.
    pub(crate) meaning: String,
    /// What can change it on a locked chip.
    pub(crate) changed_by: ChangedBy,
}

/// What can change a field of the configuration once it is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedBy {
    /// Nothing.
    Nothing,
    /// Normal use: counters.
    Use,
    /// The owner: locks of single slots.
    Owner,
}

/// Returns the fields in the order of their bytes, without those of the slots (fact sheet section 5.1).
pub(crate) fn fields(zone: &ConfigZone) -> Vec<Field> {
    let bytes = zone.as_bytes();
    let counter = |number| zone.counter(number).map_or("no valid encoding".to_owned(), |value| format!("= {value}"));
    let lock = |locked| format!("{}; 55 is not locked", words::locked(locked));
    let locked_slots: Vec<String> =
        Slot::all().filter(|slot| zone.slot_locked(*slot)).map(|slot| slot.to_string()).collect();
    let locked_slots = match locked_slots.as_slice() {
        [] => "no slot is locked".to_owned(),
        slots => format!("slots {} are locked", slots.join(", ")),
    };
    let on_off = |on: bool| if on { "on" } else { "off" }.to_owned();
    let field = |name, at, len, meaning| Field { name, at, len, meaning, changed_by: ChangedBy::Nothing };
    let changing = |field, changed_by| Field { changed_by, ..field };
    vec![
        field("serial_number_0_3", 0, 4, format!("of {}; factory", zone.serial_number())),
        field("revision", 4, 4, "factory; the model is in Info(Revision), not here".to_owned()),
        field("serial_number_4_8", 8, 5, "factory".to_owned()),
        field("aes_enable", 13, 1, format!("AES {}; factory", on_off(zone.aes_enabled()))),
        field("i2c_enable", 14, 1, "bit 0: I2C; factory".to_owned()),
        field("reserved_15", 15, 1, String::new()),
        field("i2c_address", offset::I2C_ADDRESS, 1, format!("{:#04x} in 7 bits", bytes[offset::I2C_ADDRESS] >> 1)),
        field("reserved_17", 17, 1, String::new()),
        field("count_match", offset::COUNT_MATCH, 1, on_off(bytes[offset::COUNT_MATCH] & 1 == 1)),
        field("chip_mode", offset::CHIP_MODE, 1, chip_mode(zone)),
        changing(field("counter_0", offset::COUNTERS, 8, counter(0)), ChangedBy::Use),
        changing(field("counter_1", offset::COUNTERS + 8, 8, counter(1)), ChangedBy::Use),
        field("use_lock", offset::USE_LOCK, 1, on_off(bytes[offset::USE_LOCK] & 0x0F == 0x0A)),
        field("volatile_key_permission", offset::VOLATILE_KEY_PERMISSION, 1, {
            on_off(bytes[offset::VOLATILE_KEY_PERMISSION] & 0x80 != 0)
        }),
        field("secure_boot", offset::SECURE_BOOT, 2, secure_boot(bytes[offset::SECURE_BOOT]).to_owned()),
        field("kdf_iv_loc", 72, 1, "offset of KdfIvStr in the message of HKDF".to_owned()),
        field("kdf_iv_str", 73, 2, String::new()),
        field("reserved_75", 75, 9, String::new()),
        field("user_extra", offset::USER_EXTRA, 1, String::new()),
        field(
            "user_extra_add",
            offset::USER_EXTRA_ADD,
            1,
            match bytes[offset::USER_EXTRA_ADD] {
                0 => "not written: no other I2C address".to_owned(),
                byte => format!("{:#04x} in 7 bits; the I2C address if ChipMode bit 0 is set", byte >> 1),
            },
        ),
        field("lock_value", offset::LOCK_VALUE, 1, format!("data and OTP {}", lock(zone.data_locked()))),
        field("lock_config", offset::LOCK_CONFIG, 1, format!("configuration {}", lock(zone.config_locked()))),
        changing(field("slot_locked", offset::SLOT_LOCKED, 2, locked_slots), ChangedBy::Owner),
        field("chip_options", offset::CHIP_OPTIONS, 2, words::chip_options(zone.chip_options()).join("; ")),
        field("x509_format", 92, 4, String::new()),
    ]
}

fn chip_mode(zone: &ConfigZone) -> String {
    let mode = zone.chip_mode();
    let mut words = vec![format!("clock divider {}", words::clock_divider(zone.clock_divider()))];
    if mode & 1 != 0 {
        words.push("UserExtraAdd is the I2C address".to_owned());
    }
    words.push(if mode & 2 != 0 { "input levels by VCC" } else { "fixed input levels" }.to_owned());
    if mode & 4 != 0 {
        words.push("watchdog 13 s".to_owned());
    }
    words.join("; ")
}

fn secure_boot(low: u8) -> &'static str {
    match low & 3 {
        0 => "off",
        1 => "FullBoth",
        2 => "FullSig",
        _ => "FullDig",
    }
}
