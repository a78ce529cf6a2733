// SPDX-License-Identifier: MIT OR Apache-2.0
//! The data line, bit by bit: the duration of its low level (fact sheet sections 1.4 and 11).

use atecc608_wire::timing::WAKE_LOW_US;

/// The longest low run of SDA in one transfer.
#[derive(Default)]
pub(crate) struct DataLine {
    run: u64,
    longest: u64,
}

impl DataLine {
    /// A (repeated) START: the line was high before it.
    pub(crate) fn start(&mut self) {
        self.run = 0;
    }

    /// Eight bits, most significant first, and the acknowledge bit, which is low if a chip acknowledges.
    pub(crate) fn byte(&mut self, byte: u8, acknowledged: bool) {
        for bit in (0..8).rev() {
            self.bit(byte >> bit & 1 == 1);
        }
        self.bit(!acknowledged);
    }

    fn bit(&mut self, high: bool) {
        self.run = if high { 0 } else { self.run + 1 };
        self.longest = self.longest.max(self.run);
    }

    /// Whether the line was low for at least tWLO.
    pub(crate) fn wakes(&self, i2c_hz: u32) -> bool {
        self.longest * 1_000_000 >= WAKE_LOW_US * u64::from(i2c_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(byte: u8) -> DataLine {
        let mut line = DataLine::default();
        line.start();
        line.byte(byte, false);
        line
    }

    #[test]
    fn address_00_wakes_up_to_133_khz() {
        assert!(address(0x00).wakes(100_000));
        assert!(address(0x00).wakes(133_333));
        assert!(!address(0x00).wakes(140_000));
        assert!(!address(0x00).wakes(400_000));
    }

    #[test]
    fn address_c0_has_six_low_bits_and_c1_five() {
        assert!(address(0xC0).wakes(100_000));
        assert!(!address(0xC1).wakes(100_000));
    }

    #[test]
    fn an_acknowledged_byte_continues_the_run_and_a_refused_one_ends_it() {
        let mut line = DataLine::default();
        line.byte(0xC0, true);
        line.byte(0x01, true);
        assert_eq!(line.longest, 14);
        let mut line = DataLine::default();
        line.byte(0x00, false);
        line.byte(0x00, false);
        assert_eq!(line.longest, 8);
    }
}
