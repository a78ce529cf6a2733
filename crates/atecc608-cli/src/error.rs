// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a command failed: what, where, and the remedy.

use atecc608 as chip;
use atecc608_token::bus::{LockError, OpenError};
use atecc608_token::config::ConfigError;
use atecc608_token::error::explain;
use atecc608_token::io_key::KeyFileError;

/// The result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command failed.
///
/// # Chip errors
/// Every command that uses a chip can fail with these:
///
/// - [`Error::Config`]: the configuration is invalid.
/// - [`Error::Token`]: it names no such chip, or an operation on the token failed in the chip or the state folder.
/// - [`Error::Open`], [`Error::Lock`]: the bus can't be opened, or was in use for longer than `lock_timeout`.
/// - [`Error::Chip`]: the chip or the bus failed.
/// - [`Error::Refused`]: the chip requires the PIN, or the PIN is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration names no such chip, or an operation on the token failed.
    #[error("{0}")]
    Token(String),
    /// The bus can't be opened.
    #[error("{place}: {cause}")]
    Open {
        /// Bus and address.
        place: String,
        /// The cause.
        cause: OpenError,
    },
    /// The bus could not be locked.
    #[error("{place}: {cause}")]
    Lock {
        /// Bus and address.
        place: String,
        /// The cause.
        cause: LockError,
    },
    /// The chip or the bus failed.
    #[error("{place}: {}", explain(cause))]
    Chip {
        /// Bus and address.
        place: String,
        /// The cause.
        cause: chip::Error,
    },
    /// The command can't be executed: the chip's state or rules, a file, or another input does not allow it.
    #[error("{0}")]
    Refused(String),
    /// Provisioning stopped before its end.
    #[error("stopped while {step}: {}. {standing}", explain(cause))]
    Stopped {
        /// The step.
        step: String,
        /// The cause.
        cause: chip::Error,
        /// The progress, and the remedy.
        standing: String,
    },
    /// The file with the IO protection key can't be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The result can't be written to stdout.
    #[error("standard output: {0}")]
    Output(std::io::Error),
    /// The system has no random numbers.
    #[error("cannot get random bytes from the system: {0}")]
    HostRandom(getrandom::Error),
}

impl Error {
    /// The error's code in JSON; `usage` is that of a wrong command line.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(_) => "configuration",
            Self::Token(_) => "token",
            Self::Open { .. } => "bus",
            Self::Lock { .. } => "bus-in-use",
            Self::Chip { cause: chip::Error::NotAnswering(_), .. } => "no-chip",
            Self::Chip { .. } => "chip",
            Self::Refused(_) => "refused",
            Self::Stopped { .. } => "stopped",
            Self::KeyFile(_) => "io-key-file",
            Self::Output(_) => "output",
            Self::HostRandom(_) => "random",
        }
    }

    /// Whether nothing responds at the chip's address.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Chip { cause: chip::Error::NotAnswering(_), .. })
    }
}
