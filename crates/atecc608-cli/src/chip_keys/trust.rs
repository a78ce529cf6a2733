//! Public keys that root vouches for (`atecc608_token::trusted`).

use std::path::PathBuf;

use super::ChipKeys;
use crate::error::Result;
use crate::output::warn;
use atecc608::presence::Held;
use atecc608_token::inventory::{self, KeyReport};
use atecc608_token::point::Point;
use atecc608_token::trusted::{TrustError, TrustedKeys};
use atecc608_wire::Slot;

/// A key whose public key the chip has just shown.
pub struct TrustedKey {
    /// Where it is.
    pub slot: Slot,
    /// CKA_LABEL.
    pub label: String,
    /// Its public key.
    pub point: Point,
}

impl ChipKeys {
    /// Reads all public keys from the chip and stores them as trusted, in the place of those of before, and the chip's configuration. Returns the keys, and their file.
    ///
    /// # Errors
    /// [`Error::Refused`] if the file can't be written; those of the chip.
    pub fn trust_all(&self) -> Result<(Vec<TrustedKey>, PathBuf)> {
        // What is shown before a login is what the state folder says.
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

    /// Where root works, keeps what the chip has just shown of this slot as trusted; `None`: it holds no key any more.
    pub(super) fn vouch(&self, slot: Slot, point: Option<Point>) -> Result<()> {
        if rustix::process::geteuid().is_root() {
            self.trusted_keys()?.set(slot, point).unwrap_or_else(|error: TrustError| warn(&error.to_string()));
            self.keep_configuration()?;
        }
        Ok(())
    }

    /// Keeps the chip's configuration, which saves the module two Reads in each process.
    fn keep_configuration(&self) -> Result<()> {
        let kept = inventory::keep_configuration(&self.token).map_err(|error| self.failed(error))?;
        kept.or_else(|error| {
            warn(&format!("the chip's configuration is not kept: {error}"));
            Ok(())
        })
    }

    fn trusted_keys(&self) -> Result<TrustedKeys> {
        inventory::trusted_keys(&self.token).map_err(|error| self.failed(error))
    }
}
