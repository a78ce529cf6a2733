// SPDX-License-Identifier: MIT OR Apache-2.0
//! The information about a token: C_GetSlotInfo and C_GetTokenInfo.

use cryptoki_sys::*;

use super::pin::{token_flags, MAX_PIN_LEN, MIN_PIN_CHARS};
use super::snapshot::Known;

/// The contents of C_GetTokenInfo, without the session counts.
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

/// The contents of C_GetSlotInfo.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// Bus and address.
    pub description: String,
    /// Whether a chip responds there.
    pub present: bool,
}

impl TokenInfo {
    /// Returns the information about a chip; `configured` is the label in the configuration.
    pub(super) fn of(known: &Known, configured: Option<String>) -> Self {
        let (identity, zone) = (&known.identity, known.zone());
        let serial_number = zone.serial_number().short();
        let label = configured
            .or_else(|| known.state().label.clone())
            .unwrap_or_else(|| format!("ATECC608-{}", &serial_number[8..]));
        let model = if identity.simulated { "ATECC608-SIM".to_owned() } else { identity.model.to_string() };
        let mut flags = 0;
        if zone.config_locked() {
            // Without a locked configuration its random numbers are constant.
            flags |= CKF_RNG;
        }
        if identity.is_provisioned() {
            flags |= CKF_TOKEN_INITIALIZED;
        }
        flags |= token_flags(identity.scheme, !known.state().pins.is_empty());
        Self {
            label,
            model,
            serial_number,
            flags,
            // If no PIN is required, clients that always send one may.
            max_pin_len: MAX_PIN_LEN as CK_ULONG,
            min_pin_len: if identity.scheme.is_some() { MIN_PIN_CHARS as CK_ULONG } else { 0 },
            hardware_version: CK_VERSION { major: 0x60, minor: identity.model.revision()[3] },
        }
    }
}
