// SPDX-License-Identifier: MIT OR Apache-2.0
//! New keys for a chip between its locks.

use super::{ChipKey, ChipKeys, NewKeyNames};
use crate::error::{Error, Result};
use atecc608::presence::Held;
use atecc608_token as token;
use atecc608_token::attest::KeyName;
use atecc608_token::between_locks::{self, KeyNames, Made};
use atecc608_token::inventory::{self, KeyReport, NewKey};
use atecc608_token::layout::gets_key_now_or_never;
use atecc608_wire::Slot;

/// A chip between its locks: its configuration is locked and is the user's own, its data zone is not locked.
pub struct BetweenLocks<'k>(&'k ChipKeys);

impl ChipKeys {
    /// Returns the chip as one between its locks; `None` if it is not, or these keys were not opened for that.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn between_locks(&self) -> Result<Option<BetweenLocks<'_>>> {
        let open = between_locks::is_open(&self.token).map_err(|error| self.failed(error))?;
        Ok(open.then_some(BetweenLocks(self)))
    }
}

impl BetweenLocks<'_> {
    /// Generates a key pair.
    ///
    /// # Errors
    /// [`Error::Refused`] if no slot is named, the slot can't hold a key or holds one and `replace` is false, or
    /// another key has the label; the [chip errors](crate::Error#chip-errors).
    pub fn generate(&self, names: &NewKeyNames, replace: bool) -> Result<(ChipKey, Made)> {
        let names = self.place(names, NewKey::Generated)?;
        let slot = names.slot;
        let made = between_locks::generate(&self.0.token, names, replace).map_err(|error| self.failed(error))?;
        Ok((self.0.vouched(self.0.key(&KeyName::Slot(slot))?)?, made))
    }

    /// Imports a private key into the chip, in clear: `scalar` is the key, big-endian.
    ///
    /// # Errors
    /// As [`BetweenLocks::generate`].
    pub fn import(&self, scalar: &[u8; 32], names: &NewKeyNames, replace: bool) -> Result<ChipKey> {
        let names = self.place(names, NewKey::Imported)?;
        let slot = names.slot;
        between_locks::import(&self.0.token, scalar, names, replace).map_err(|error| self.failed(error))?;
        self.0.vouched(self.0.key(&KeyName::Slot(slot))?)
    }

    /// Returns the empty slots that can't get a key once the data zone is locked.
    ///
    /// # Errors
    /// The [chip errors](crate::Error#chip-errors).
    pub fn missing(&self) -> Result<Vec<Slot>> {
        let known = self.0.list()?;
        let zone = self.0.zone()?;
        let is_missing =
            |key: &&KeyReport| key.held == Some(Held::Nothing) && gets_key_now_or_never(&zone, key.key.slot);
        Ok(known.iter().filter(is_missing).map(|key| key.key.slot).collect())
    }

    /// Returns the requested slot, if it can hold a new key.
    fn place(&self, names: &NewKeyNames, new: NewKey) -> Result<KeyNames> {
        let slot = names.slot.ok_or_else(|| self.which_slot().unwrap_or_else(|error| error))?;
        if let Some(problem) =
            inventory::slot_problem(&self.0.token, slot, new).map_err(|error| self.0.failed(error))?
        {
            return Err(self.0.refused(&problem));
        }
        Ok(KeyNames { slot, label: names.label.clone(), id: names.id.clone() })
    }

    fn which_slot(&self) -> Result<Error> {
        let numbers = |slots: &[Slot]| slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(", ");
        let missing = self.missing()?;
        let all: Vec<Slot> = self.0.list()?.iter().map(|key| key.key.slot).collect();
        let need = match missing.as_slice() {
            [] => String::new(),
            slots => format!("; slot {} must get a key now, and none after the data lock", numbers(slots)),
        };
        Ok(self.0.refused(&format!(
            "the data zone is not locked yet, so a new key needs its slot: add --slot N (slot {} can{need})",
            numbers(&all)
        )))
    }

    fn failed(&self, cause: token::Error) -> Error {
        self.0.prohibited(cause)
    }
}
