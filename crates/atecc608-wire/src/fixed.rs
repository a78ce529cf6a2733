// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of the configuration zone that can't change once both zones are locked, so that a host may cache it.

use core::ops::Range;

use super::config_zone::offset;
use super::ConfigZone;

/// Counter0 and Counter1.
const COUNTERS: Range<usize> = offset::COUNTERS..offset::COUNTERS + 16;
/// The bytes that a chip changes after both locks (fact sheet section 5.1).
const CHANGING: [Range<usize>; 3] =
    [COUNTERS, offset::USER_EXTRA..offset::USER_EXTRA_ADD + 1, offset::SLOT_LOCKED..offset::SLOT_LOCKED + 2];

impl ConfigZone {
    /// Returns the zone with zeros where a chip can change it after both locks: counters, UserExtra, UserExtraAdd, SlotLocked.
    #[must_use]
    pub fn fixed(&self) -> Self {
        let mut fixed = self.clone();
        CHANGING.into_iter().for_each(|changing| fixed.as_bytes_mut()[changing].fill(0));
        fixed
    }

    /// Returns this zone, of which blocks 0 and 2 were read, with blocks 1 and 3 of `kept`. Returns `None` if the bytes
    /// that can't change after both locks differ between the two. The counters are zeros, because cached ones are
    /// outdated.
    pub fn completed_by(&self, kept: &Self) -> Option<Self> {
        let (seen, mut zone) = (self.fixed(), kept.fixed());
        for block in [0..32, 64..96] {
            if seen.as_bytes()[block.clone()] != zone.as_bytes()[block.clone()] {
                return None;
            }
            zone.as_bytes_mut()[block.clone()].copy_from_slice(&self.as_bytes()[block]);
        }
        zone.as_bytes_mut()[COUNTERS].fill(0);
        Some(zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> ConfigZone {
        ConfigZone::new(core::array::from_fn(|at| at as u8 + 1))
    }

    fn with(at: usize, value: u8) -> ConfigZone {
        let mut zone = zone();
        zone.as_bytes_mut()[at] = value;
        zone
    }

    #[test]
    fn only_counters_user_extras_and_slot_locks_change_after_both_locks() {
        let changing = |at| (52..68).contains(&at) || [84, 85, 88, 89].contains(&at);
        for at in 0..ConfigZone::LEN {
            let same = with(at, 0xEE).fixed() == zone().fixed();
            assert_eq!(same, changing(at), "byte {at}");
        }
    }

    #[test]
    fn blocks_0_and_2_are_what_was_read_and_the_others_what_was_kept_but_for_the_counters() {
        let mut read = with(88, 0x77);
        read.as_bytes_mut()[32..64].fill(0);
        read.as_bytes_mut()[96..].fill(0);
        let whole = read.completed_by(&zone()).unwrap();
        let mut expected = with(88, 0x77);
        expected.as_bytes_mut()[52..68].fill(0);
        assert_eq!(whole, expected);
    }

    #[test]
    fn a_kept_zone_of_another_configuration_completes_nothing() {
        for at in [0, 12, 19, 31, 69, 86, 95] {
            assert_eq!(with(at, 0xEE).completed_by(&zone()), None, "byte {at}");
        }
    }
}
