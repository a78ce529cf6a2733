// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configurations of chips as sold, and of other tools and examples (fact sheet section 6): the purpose of their keys,
//! so that they have names without a configuration.
//!
//! A configuration is recognised by its key slots. Properties that differ between such chips are ignored: whether the
//! key may be replaced or its slot be locked, and everything in other slots.

use atecc608_wire::{ConfigZone, Slot};

/// A configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Its origin.
    pub name: &'static str,
    /// SlotConfig and KeyConfig of its first slots.
    slots: &'static [(u16, u16)],
}

/// All known ones.
const KNOWN: [Recognised; 4] = [
    Recognised {
        name: "Trust&GO or TrustFLEX",
        slots: &[(0x0085, 0x0053), (0x0082, 0x0053), (0x2085, 0x0073), (0x2085, 0x0073), (0x2085, 0x0073)],
    },
    Recognised {
        name: "mongoose-os",
        slots: &[(0x6487, 0x0033), (0x6487, 0x0033), (0x6487, 0x0033), (0x6487, 0x0033), (0x0F80, 0x003C)],
    },
    Recognised {
        name: "Arduino ECCX08",
        slots: &[(0x2083, 0x0033), (0x2087, 0x0033), (0x2087, 0x0033), (0x2F87, 0x0033), (0x2F87, 0x0033)],
    },
    Recognised {
        name: "the vendor's PKCS#11 example",
        slots: &[(0x208F, 0x0033), (0x44C4, 0x001C), (0x2087, 0x0013), (0x2087, 0x0013), (0x0F8F, 0x007C)],
    },
];

/// WriteConfig bit 3: GenKey can't replace the key.
const PERMANENT: u16 = 0x8000;
/// KeyConfig bits 5 and 12: lockable, and usable only while the persistent latch is set.
const VARIANTS: u16 = 0x1020;

/// Returns the configuration of a chip, if it is a known one.
pub fn recognise(zone: &ConfigZone) -> Option<&'static Recognised> {
    KNOWN.iter().find(|known| {
        Slot::all().zip(known.slots).all(|(slot, (access, key))| {
            (zone.slot_config(slot).0 ^ access) & !PERMANENT == 0 && (zone.key_config(slot).0 ^ key) & !VARIANTS == 0
        })
    })
}

/// Returns the name of a slot's object: in all these configurations slot 0 is the key for TLS.
pub fn name(zone: &ConfigZone, slot: Slot) -> String {
    match (recognise(zone), slot.number()) {
        (None, _) => format!("slot-{slot}"),
        (Some(_), 0) => "device".to_owned(),
        (Some(_), _) => format!("key-{slot}"),
    }
}
