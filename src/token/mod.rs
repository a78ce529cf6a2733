//! The token: one chip as PKCS#11 objects. Safe Rust, no raw pointers; knows nothing of sessions' operation
//! state or of C.

pub mod error;
pub mod mechanism;
pub mod template;

use std::sync::Arc;

use cryptoki_sys::*;

pub use error::{Error, Result};
pub use mechanism::{Mechanism, MechanismInfo, Parameter};
pub use template::Template;

use crate::config::{Config, TokenConfig};

/// An object's handle within one token and process.
pub type ObjectHandle = u64;

/// The session on whose behalf something is done: session objects belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    /// The session's handle.
    pub id: u64,
    /// Whether it may change token objects.
    pub read_write: bool,
}

/// What C_GetTokenInfo says, apart from session counts.
#[derive(Clone, Debug)]
pub struct TokenInfo {
    /// The token's label.
    pub label: String,
    /// "ATECC608A", "ATECC608B", or "ATECC608-SIM".
    pub model: String,
    /// 16 hex digits.
    pub serial_number: String,
    /// CKF flags.
    pub flags: CK_FLAGS,
    /// Longest PIN, in bytes.
    pub max_pin_len: CK_ULONG,
    /// Shortest PIN, in bytes.
    pub min_pin_len: CK_ULONG,
    /// The chip's revision as a hardware version.
    pub hardware_version: CK_VERSION,
}

/// What C_GetSlotInfo says.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// Bus and address, at most 64 bytes.
    pub description: String,
    /// Whether a chip answers there.
    pub present: bool,
}

/// One configured chip.
pub struct Token {}
