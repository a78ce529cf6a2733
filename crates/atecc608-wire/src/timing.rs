// SPDX-License-Identifier: MIT OR Apache-2.0
//! Execution times (fact sheet section 4) and bus timing (section 1.2), in milliseconds unless a name says otherwise.
//!
//! The driver waits for the typical times and times out by the maxima; the simulated chip counts the maxima.

use core::time::Duration;

use super::opcode::Opcode;

/// SDA low for at least this long is a wake condition, in microseconds (tWLO).
pub const WAKE_LOW_US: u64 = 60;
/// From the wake pulse to the first communication, in microseconds (tWHI).
pub const WAKE_HIGH_US: u64 = 1500;
/// The same when the power-on self-test is enabled (tWHIST), in microseconds.
pub const WAKE_HIGH_SELF_TEST_US: u64 = 20_000;
/// Shortest watchdog time after a wake, in milliseconds (ChipMode bit 2 = 0).
pub const WATCHDOG_MIN_MS: u64 = 700;
/// Longest watchdog time, in milliseconds.
pub const WATCHDOG_MAX_MS: u64 = 1700;

/// Bits 7..3 of ChipMode: how the ECC clock is divided. Unknown values are treated as the slowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockDivider {
    /// 0x00, fastest.
    M0,
    /// 0x05.
    M1,
    /// 0x0D, slowest.
    M2,
}

impl ClockDivider {
    /// The divider that a ChipMode byte (Config\[19\]) selects.
    pub const fn from_chip_mode(chip_mode: u8) -> Self {
        match chip_mode >> 3 {
            0x00 => Self::M0,
            0x05 => Self::M1,
            _ => Self::M2,
        }
    }
}

/// Opcode, maxima at M0, M1, M2 in ms, typical in microseconds at M0 (508-DS scale; 608 typicals are not public).
type Row = (Opcode, [u16; 3], u32);

const TABLE: &[Row] = &[
    (Opcode::AES, [27, 27, 27], 1_000),
    (Opcode::CHECK_MAC, [40, 40, 40], 5_000),
    (Opcode::COUNTER, [25, 25, 25], 5_000),
    (Opcode::DERIVE_KEY, [50, 50, 50], 2_000),
    (Opcode::ECDH, [75, 172, 531], 38_000),
    (Opcode::GEN_DIG, [25, 35, 35], 5_000),
    (Opcode::GEN_KEY, [115, 215, 653], 11_000),
    (Opcode::INFO, [5, 5, 5], 100),
    (Opcode::KDF, [165, 165, 165], 5_000),
    (Opcode::LOCK, [35, 35, 35], 8_000),
    (Opcode::MAC, [55, 55, 55], 5_000),
    (Opcode::NONCE, [20, 20, 20], 100),
    (Opcode::PRIV_WRITE, [50, 50, 50], 1_000),
    (Opcode::RANDOM, [23, 23, 23], 1_000),
    (Opcode::READ, [5, 5, 5], 100),
    (Opcode::SECURE_BOOT, [80, 160, 480], 38_000),
    (Opcode::SELF_TEST, [250, 625, 2324], 100_000),
    (Opcode::SHA, [36, 42, 75], 7_000),
    (Opcode::SIGN, [115, 220, 665], 42_000),
    (Opcode::UPDATE_EXTRA, [10, 10, 10], 8_000),
    (Opcode::VERIFY, [105, 295, 1085], 38_000),
    (Opcode::WRITE, [45, 45, 45], 7_000),
];

fn row(opcode: Opcode) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.0 == opcode)
}

/// Longest time the command may take; 5 ms for an opcode the chip does not have.
pub fn maximum(opcode: Opcode, divider: ClockDivider) -> Duration {
    let millis = row(opcode).map_or(5, |row| row.1[divider as usize]);
    Duration::from_millis(millis.into())
}

/// Returns the time that the command usually takes. Polling earlier gains nothing.
///
/// Scaled with the maximum where the divider slows the command down.
pub fn typical(opcode: Opcode, divider: ClockDivider) -> Duration {
    let Some((_, maxima, micros)) = row(opcode) else {
        return Duration::from_micros(100);
    };
    Duration::from_micros(u64::from(*micros) * u64::from(maxima[divider as usize]) / u64::from(maxima[0]))
}

/// The longest of all maxima: a chip that was left busy has finished after this time.
pub fn longest(divider: ClockDivider) -> Duration {
    Duration::from_millis(TABLE.iter().map(|row| row.1[divider as usize]).max().unwrap_or(0).into())
}
