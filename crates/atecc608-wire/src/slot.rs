//! The sixteen data slots and their sizes (fact sheet section 5.8).

use std::fmt;
use std::str::FromStr;

/// The number of a data slot, 0 to 15.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u8);

impl Slot {
    /// The slot with this number, if there is one.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 16 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns the slot with this number, of whatever type: the one way from outside numbers to a slot.
    ///
    /// # Errors
    /// [`NoSuchSlot`] for a number beyond 15 or below 0.
    pub fn numbered(number: impl TryInto<u8>) -> Result<Self, NoSuchSlot> {
        number.try_into().ok().and_then(Self::new).ok_or(NoSuchSlot)
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

/// A number that is none of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchSlot;

impl fmt::Display for NoSuchSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a slot, 0 to 15")
    }
}

impl std::error::Error for NoSuchSlot {}

/// Decimal digits.
impl FromStr for Slot {
    type Err = NoSuchSlot;

    fn from_str(text: &str) -> Result<Self, NoSuchSlot> {
        text.parse::<u8>().map_err(|_| NoSuchSlot).and_then(Self::numbered)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_type_and_decimal_digits_name_the_slots_0_to_15_and_nothing_else() {
        assert_eq!((Slot::numbered(15_i64), Slot::numbered(0_u64)), (Ok(Slot(15)), Ok(Slot(0))));
        assert_eq!(
            (Slot::numbered(16_u8), Slot::numbered(-1_i64), Slot::numbered(u64::MAX)),
            (Err(NoSuchSlot), Err(NoSuchSlot), Err(NoSuchSlot))
        );
        assert_eq!("7".parse(), Ok(Slot(7)));
        for text in ["", "16", "-1", "0x1", " 1", "256", "a"] {
            assert_eq!(text.parse::<Slot>(), Err(NoSuchSlot), "{text:?}");
        }
    }
}
