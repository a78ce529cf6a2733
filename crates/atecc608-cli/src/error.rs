//! Why the tool did not do what was asked: what, where, and what to do.

use atecc608 as chip;
use atecc608_token::bus::{LockError, OpenError};
use atecc608_token::config::ConfigError;
use atecc608_token::error::explain;
use atecc608_token::io_key::KeyFileError;

/// Result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration names no chip, or not the one asked for.
    #[error("{0}")]
    Token(String),
    /// The bus can't be opened.
    #[error("{place}: {cause}")]
    Open {
        /// Bus and address.
        place: String,
        /// Why.
        cause: OpenError,
    },
    /// The bus could not be locked.
    #[error("{place}: {cause}")]
    Lock {
        /// Bus and address.
        place: String,
        /// Why.
        cause: LockError,
    },
    /// The chip, or the way to it, failed.
    #[error("{place}: {}", explain(cause))]
    Chip {
        /// Bus and address.
        place: String,
        /// Why.
        cause: chip::Error,
    },
    /// The chip is not in a state in which this can be done.
    #[error("{0}")]
    Refused(String),
    /// Provisioning stopped on the way.
    #[error("stopped while {step}: {}. {standing}", explain(cause))]
    Stopped {
        /// What was being done.
        step: String,
        /// What went wrong.
        cause: chip::Error,
        /// How far it has come, and what to do now.
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
    /// The error's name in JSON, beside `usage` for a wrong command line.
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
