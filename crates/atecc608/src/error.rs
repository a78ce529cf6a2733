//! What can go wrong between driver and chip.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::{FrameError, Opcode, ResponseError, Status};

/// Result of talking to a chip.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// The text of an error. It takes one word, so that the many results that carry an [`Error`] are small.
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

/// Why the chip did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing responds where the chip should be, not even after a wake pulse and the longest execution time. The text is the
    /// transport's ([`Transport::absence`](crate::Transport::absence)).
    #[error("{0}")]
    NotAnswering(Text),
    /// Something answers after the wake pulse, but not as this chip does.
    #[error("the chip at {chip} answered {response:02X?} to the wake pulse instead of 04 11 33 43")]
    WakeResponse {
        /// The chip's name ([`Transport::name`](crate::Transport::name)).
        chip: Text,
        /// The four bytes that came.
        response: [u8; 4],
    },
    /// The chip reports a failed self-test at wake.
    #[error("the chip reports a failed self-test (07): it does nothing else until it passes")]
    SelfTestFailed,
    /// Another chip is where one was expected ([`Chip::expect`](crate::Chip::expect)). Nothing was used or changed in it.
    #[error("another chip is in the place of {expected}: {found}")]
    AnotherChip {
        /// The serial number that was expected.
        expected: SerialNumber,
        /// The one that was read.
        found: SerialNumber,
    },
    /// The chip has another configuration than the one that was kept of it ([`Chip::expect_configuration`](crate::Chip::expect_configuration)).
    /// Nothing was used or changed in it.
    #[error("the configuration of the chip {0} is not the one that was kept: nothing was used or changed in it")]
    OtherConfiguration(SerialNumber),
    /// The bus itself failed. The text is the transport's ([`Fault::Failed`](crate::transport::Fault::Failed)).
    #[error("{0}")]
    Bus(Text),
    /// The chip stopped acknowledging: it fell asleep, or was pulled.
    #[error("the chip stopped answering at {0}")]
    Lost(Opcode),
    /// The chip stayed busy for longer than the command may take.
    #[error("{opcode} did not finish within {millis} ms")]
    Timeout {
        /// The command.
        opcode: Opcode,
        /// How long it was waited for.
        millis: u64,
    },
    /// The reply stayed damaged however often it was read.
    #[error("the reply to {opcode} is damaged: {cause}")]
    Damaged {
        /// The command.
        opcode: Opcode,
        /// What is wrong with it.
        cause: FrameError,
    },
    /// The chip refused the command.
    #[error("the chip refused {opcode}: {status}")]
    Status {
        /// The command.
        opcode: Opcode,
        /// Why, as the chip puts it.
        status: Status,
    },
    /// The chip refuses to say whether the slot holds a key: it is not free, and must not get one.
    #[error("slot {slot}: the chip refuses to say whether it holds a key ({status}): nothing is generated or imported there")]
    KeyNotTold {
        /// The slot.
        slot: atecc608_wire::Slot,
        /// Why, as the chip puts it.
        status: Status,
    },
    /// The slot holds a key, and the chip does not return its public key.
    #[error("slot {0} holds a key whose public key the chip does not return: take another slot (`atecc608 info` lists the rules of each)")]
    PublicKeyNotTold(atecc608_wire::Slot),
    /// The reply is whole, but not one to this command.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// A command that may take effect only once was sent, and its outcome is not known.
    #[error("it is not known whether {opcode} took effect: {cause}")]
    Uncertain {
        /// The command.
        opcode: Opcode,
        /// What happened.
        cause: Box<Error>,
    },
    /// The caller's source of random bytes has none.
    #[error("the system gives no random bytes: {0}")]
    HostRandom(Text),
    /// The slot's key works only after an authorisation, and there is none.
    #[error("slot {slot} works only after an authorisation{}", if *refused { ", and the chip refuses the secret" } else { "" })]
    NotAuthorised {
        /// The slot.
        slot: atecc608_wire::Slot,
        /// Whether the chip refused what the host believed to be the secret.
        refused: bool,
    },
    /// The chip did something else than it was asked: a check after the fact failed.
    #[error("{0}")]
    Mismatch(Text),
}

impl Error {
    /// Whether a new conversation may well succeed.
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

    /// Whether the chip certainly did not execute the command. Not so after a fault of the ECC engine, or if all there
    /// is to read is the answer to a wake: the command may have been executed before the chip fell asleep.
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

    /// Whether the chip is not there: nothing responds, or another chip.
    pub fn is_absence(&self) -> bool {
        matches!(self, Error::NotAnswering(_) | Error::AnotherChip { .. })
    }

    /// Returns the status with which the chip refused this one command. None if there is no answer, or one about the bus or
    /// the whole chip: a damaged packet, the watchdog, a failed self-test or health test.
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
