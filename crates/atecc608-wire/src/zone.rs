// SPDX-License-Identifier: MIT OR Apache-2.0
//! Zones and the addresses of Read and Write (fact sheet section 3.0, "Zone/address encoding").

use super::slot::Slot;

/// A memory zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// 128 bytes of configuration.
    Config,
    /// 64 one-time-programmable bytes.
    Otp,
    /// The sixteen slots.
    Data,
}

impl Zone {
    /// The two zone bits of Read, Write and GenDig.
    pub const fn bits(self) -> u8 {
        match self {
            Zone::Config => 0,
            Zone::Otp => 1,
            Zone::Data => 2,
        }
    }

    /// Returns the zone that bits 1..0 name; `None` for 3.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 3 {
            0 => Some(Zone::Config),
            1 => Some(Zone::Otp),
            2 => Some(Zone::Data),
            _ => None,
        }
    }
}

/// A position in a zone, as param2 of Read and Write encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub u16);

impl Address {
    /// Word `word` (0 to 7) of 32-byte block `block` in the configuration (0 to 3) or OTP zone (0, 1).
    pub const fn block(block: u8, word: u8) -> Self {
        Self(((block as u16) << 3) | (word as u16 & 7))
    }

    /// Word `word` (0 to 7) of 32-byte block `block` of a slot.
    pub const fn slot(slot: Slot, block: u8, word: u8) -> Self {
        Self(((block as u16) << 8) | ((slot.number() as u16) << 3) | (word as u16 & 7))
    }

    /// The word within the block.
    pub const fn word(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// The block of a configuration or OTP address.
    pub const fn zone_block(self) -> u16 {
        self.0 >> 3
    }

    /// Returns slot and block of a data address; `None` if bit 7 is set, which names no slot.
    pub fn slot_block(self) -> Option<(Slot, u8)> {
        let slot = Slot::new(((self.0 >> 3) & 0x1F) as u8)?;
        Some((slot, (self.0 >> 8) as u8))
    }
}
