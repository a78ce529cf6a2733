// SPDX-License-Identifier: MIT OR Apache-2.0
//! Public keys that root stores as trusted (`atecc608_token::trusted`).

use std::path::PathBuf;

use super::ChipKeys;
use crate::error::Result;
use crate::output::warn;
use atecc608::presence::Held;
use atecc608_token::inventory::{self, KeyReport};
use atecc608_token::point::Point;
use atecc608_token::trusted::{TrustError, TrustedKeys};
use atecc608_wire::Slot;

/// A key whose public key was just read from the chip.
pub struct TrustedKey {
    /// Its slot.
    pub slot: Slot,
    /// CKA_LABEL.
    pub label: String,
    /// Its public key.
    pub point: Point,
}

impl ChipKeys {
    /// Reads all public keys from the chip and stores them as trusted, replacing earlier ones, and the chip's
    /// configuration. Returns the keys, and their file.
    ///
    /// # Errors
    /// [`Error::Refused`] if the file can't be written; the [chip errors](crate::Error#chip-errors).
    pub fn trust_all(&self) -> Result<(Vec<TrustedKey>, PathBuf)> {
        // Before a login the public keys come from the state folder.
        let shown = |key: &KeyReport| key.held == Some(Held::Key) && !key.wants_login;
        let keys: Vec<TrustedKey> = self
            .list()?
            .into_iter()
            .filter(shown)
            .filter_map(|key| Some(TrustedKey { slot: key.key.slot, label: key.label, point: key.point? }))
            .collect();
        let trusted = self.trusted_keys()?;
        let stored = trusted.store(&keys.iter().map(|key| (key.slot.number(), key.point)).collect());
        stored.map_err(|error| self.refused(&error.to_string()))?;
        self.keep_configuration()?;
        Ok((keys, trusted.path().to_owned()))
    }

    /// For root, stores the public key that was just read from this slot as trusted; `None`: the slot holds no key any
    /// more.
    pub(super) fn vouch(&self, slot: Slot, point: Option<Point>) -> Result<()> {
        if rustix::process::geteuid().is_root() {
            self.trusted_keys()?.set(slot, point).unwrap_or_else(|error: TrustError| warn(&error.to_string()));
            self.keep_configuration()?;
        }
        Ok(())
    }

    /// Stores the chip's configuration, which saves the module two Reads in each process.
    fn keep_configuration(&self) -> Result<()> {
        let kept = inventory::keep_configuration(&self.token).map_err(|error| self.failed(error))?;
        kept.or_else(|error| {
            warn(&format!("cannot store the chip's configuration: {error}"));
            Ok(())
        })
    }

    fn trusted_keys(&self) -> Result<TrustedKeys> {
        inventory::trusted_keys(&self.token).map_err(|error| self.failed(error))
    }
}
