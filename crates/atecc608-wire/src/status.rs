// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one-byte status codes of a response (fact sheet section 2.4). Unknown codes are kept as they are and print as
//! hex.

use core::fmt;

/// A status byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// 00: the command was executed.
    pub const SUCCESS: Status = Status(0x00);
    /// 01: CheckMac, Verify, SecureBoot were executed and the value did not match.
    pub const MISCOMPARE: Status = Status(0x01);
    /// 03: length, opcode or parameter is illegal in every state of the chip.
    pub const PARSE_ERROR: Status = Status(0x03);
    /// 05: an ECC computation gave an invalid result; a retry may work.
    pub const ECC_FAULT: Status = Status(0x05);
    /// 07: a self-test failed; the chip executes only Read(config) and SelfTest.
    pub const SELF_TEST_ERROR: Status = Status(0x07);
    /// 08: the random number generator's health test failed.
    pub const HEALTH_TEST_ERROR: Status = Status(0x08);
    /// 0F: legal, but not possible in the present state (locks, slot policy, TempKey, missing key).
    pub const EXECUTION_ERROR: Status = Status(0x0F);
    /// 11: directly after wake, before the first command.
    pub const AFTER_WAKE: Status = Status(0x11);
    /// EE: the watchdog is about to expire; the command was not run.
    pub const WATCHDOG_EXPIRING: Status = Status(0xEE);
    /// FF: the packet was damaged; nothing was executed, and the command can be sent again.
    pub const CRC_ERROR: Status = Status(0xFF);

    /// The datasheet's name of the code.
    pub fn name(self) -> &'static str {
        match self {
            Self::SUCCESS => "success",
            Self::MISCOMPARE => "miscompare",
            Self::PARSE_ERROR => "parse error",
            Self::ECC_FAULT => "ECC fault",
            Self::SELF_TEST_ERROR => "self-test error",
            Self::HEALTH_TEST_ERROR => "health test error",
            Self::EXECUTION_ERROR => "execution error",
            Self::AFTER_WAKE => "after wake",
            Self::WATCHDOG_EXPIRING => "watchdog about to expire",
            Self::CRC_ERROR => "CRC or communication error",
            _ => "unknown status",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (status {:02X})", self.name(), self.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
