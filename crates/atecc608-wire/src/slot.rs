// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sixteen data slots and their sizes (fact sheet section 5.8).

use core::fmt;

/// The number of a data slot, 0 to 15.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u8);

impl Slot {
    /// Returns the slot with this number, `None` above 15.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 16 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The slot that the low four bits of a configuration field name.
    pub const fn from_nibble(value: u8) -> Self {
        Self(value & 0x0F)
    }

    /// All slots in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Slot> + Clone {
        (0..16).map(Slot)
    }

    /// The slot's number, 0 to 15.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The slot's number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes the slot holds: 36, 416 or 72.
    pub const fn size(self) -> usize {
        match self.0 {
            0..=7 => 36,
            8 => 416,
            _ => 72,
        }
    }

    /// 32-byte blocks the slot has, the short last one included.
    pub const fn blocks(self) -> u8 {
        self.size().div_ceil(32) as u8
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}
