// SPDX-License-Identifier: MIT OR Apache-2.0
//! The errors of the driver.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::{FrameError, Opcode, ResponseError, Status};

/// The result of an operation on the chip.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// The text of an error. One word in size, so that results that carry an [`Error`] stay small.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Box<Box<str>>);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Box::new(text.into()))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Box::new(text.into()))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an operation on the chip failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing responds at the chip's address, even after a wake pulse and the longest execution time. The text comes
    /// from the transport ([`Transport::absence`](crate::Transport::absence)).
    #[error("{0}")]
    NotAnswering(Text),
    /// A device responds to the wake pulse, but not as this chip does.
    #[error("the chip at {chip} responded {response:02X?} to the wake pulse instead of 04 11 33 43")]
    WakeResponse {
        /// The chip's name ([`Transport::name`](crate::Transport::name)).
        chip: Text,
        /// The four bytes received.
        response: [u8; 4],
    },
    /// The chip reports a failed self-test after the wake.
    #[error(
        "the chip reports a failed self-test (07), and refuses every command until it passes: power-cycle the chip"
    )]
    SelfTestFailed,
    /// Another chip than the expected one responds ([`Chip::expect`](crate::Chip::expect)). Nothing was used or changed
    /// in it.
    #[error("another chip is in the place of {expected}: {found}")]
    AnotherChip {
        /// The expected serial number.
        expected: SerialNumber,
        /// The serial number that was read.
        found: SerialNumber,
    },
    /// The chip's configuration differs from the one that was kept
    /// ([`Chip::expect_configuration`](crate::Chip::expect_configuration)). Nothing was used or changed in it.
    #[error("the configuration of the chip {0} differs from the kept one: nothing was used or changed")]
    OtherConfiguration(SerialNumber),
    /// The bus failed. The text comes from the transport ([`Fault::Failed`](crate::transport::Fault::Failed)).
    #[error("{0}")]
    Bus(Text),
    /// The chip stopped acknowledging: it fell asleep, or was removed.
    #[error("the chip stopped responding at {0}")]
    Lost(Opcode),
    /// The chip stayed busy for longer than the command may take.
    #[error("{opcode} did not finish within {millis} ms")]
    Timeout {
        /// The command.
        opcode: Opcode,
        /// How long the driver waited, in milliseconds.
        millis: u64,
    },
    /// The reply was damaged every time it was read.
    #[error("the reply to {opcode} is damaged: {cause}")]
    Damaged {
        /// The command.
        opcode: Opcode,
        /// The kind of damage.
        cause: FrameError,
    },
    /// The chip refused the command.
    #[error("the chip refused {opcode}: {status}")]
    Status {
        /// The command.
        opcode: Opcode,
        /// The status that the chip returned.
        status: Status,
    },
    /// The chip refuses to tell whether the slot holds a key. The slot is not treated as free.
    #[error(
        "slot {slot}: the chip refuses to report whether it holds a key ({status}): nothing is generated or imported \
         there"
    )]
    KeyNotTold {
        /// The slot.
        slot: atecc608_wire::Slot,
        /// The status that the chip returned.
        status: Status,
    },
    /// The slot holds a key, and the chip does not return its public key.
    #[error(
        "slot {0} holds a key whose public key the chip does not return: use another slot (`atecc608 info` lists the \
         rules of each)"
    )]
    PublicKeyNotTold(atecc608_wire::Slot),
    /// The reply is undamaged, but does not fit this command.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// A command that may take effect only once was sent, and its outcome is unknown.
    #[error("it is not known whether {opcode} took effect: {cause}")]
    Uncertain {
        /// The command.
        opcode: Opcode,
        /// The error that hides the outcome.
        cause: Box<Error>,
    },
    /// The caller's source of random bytes failed.
    #[error("cannot get random bytes from the system: {0}")]
    HostRandom(Text),
    /// The slot's key requires an authorisation, and there is none.
    #[error("slot {slot} works only after an authorisation{}", if *refused { ", and the chip refuses the secret" } else { "" })]
    NotAuthorised {
        /// The slot.
        slot: atecc608_wire::Slot,
        /// Whether the chip refused the secret that the host has.
        refused: bool,
    },
    /// A check of the result failed: the chip did not do what was requested.
    #[error("{0}")]
    Mismatch(Text),
}

impl Error {
    /// Whether a new conversation may succeed.
    pub fn is_recoverable(&self) -> bool {
        match self {
            Error::Bus(_)
            | Error::Lost(_)
            | Error::Timeout { .. }
            | Error::Damaged { .. }
            | Error::WakeResponse { .. }
            | Error::Response(_) => true,
            // Health test: sticky until the next wake.
            Error::Status { status, .. } => matches!(
                *status,
                Status::WATCHDOG_EXPIRING | Status::AFTER_WAKE | Status::CRC_ERROR | Status::HEALTH_TEST_ERROR
            ),
            Error::NotAnswering(_)
            | Error::AnotherChip { .. }
            | Error::OtherConfiguration(_)
            | Error::SelfTestFailed
            | Error::Uncertain { .. }
            | Error::HostRandom(_)
            | Error::KeyNotTold { .. }
            | Error::PublicKeyNotTold(_)
            | Error::NotAuthorised { .. }
            | Error::Mismatch(_) => false,
        }
    }

    /// Whether the chip certainly did not execute the command. Not after a fault of the ECC engine, and not if the only
    /// reply is the response to a wake: the command may have been executed before the chip fell asleep.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Error::Status {
                status: Status::PARSE_ERROR
                    | Status::EXECUTION_ERROR
                    | Status::SELF_TEST_ERROR
                    | Status::HEALTH_TEST_ERROR
                    | Status::WATCHDOG_EXPIRING
                    | Status::CRC_ERROR,
                ..
            }
        )
    }

    /// Whether the chip is absent: nothing responds, or another chip does.
    pub fn is_absence(&self) -> bool {
        matches!(self, Error::NotAnswering(_) | Error::AnotherChip { .. })
    }

    /// Returns the status with which the chip refused this one command. `None` if there is no response, or one about
    /// the bus or the whole chip: a damaged packet, the watchdog, a failed self-test or health test.
    pub fn refusal(&self) -> Option<Status> {
        match self {
            Error::Status { status, .. } if !self.is_recoverable() && *status != Status::SELF_TEST_ERROR => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// Whether the chip refused with this status.
    pub fn has_status(&self, wanted: Status) -> bool {
        matches!(self, Error::Status { status, .. } if *status == wanted)
    }
}
