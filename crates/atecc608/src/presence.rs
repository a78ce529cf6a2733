// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether a slot holds a private key: Info(KeyValid), or GenKey(public) if the chip refuses that (fact sheet sections
//! 3.7 and 3.8).

use super::{Awake, Error, Result, Transport};
use atecc608_wire::{ConfigZone, Slot, Status};

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A private key.
    Key,
    /// No private key.
    Nothing,
    /// The chip refuses to tell.
    Unknown,
}

/// Whether a slot holds a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The contents of the slot, from Info or else GenKey.
    pub held: Held,
    /// The status with which the chip refused Info(KeyValid). Such a slot never counts as free, whatever GenKey shows.
    pub refused: Option<Status>,
}

impl<P: Transport> Awake<'_, P> {
    /// Returns whether a slot for private keys holds one: one Info. If the chip refuses that, GenKey(public) shows it
    /// if the slot's rules allow that. `zone` is the chip's configuration.
    ///
    /// # Errors
    /// As [`Awake::execute`], except for refusals.
    pub fn key_presence(&mut self, zone: &ConfigZone, slot: Slot) -> Result<Presence> {
        match self.key_valid(slot) {
            Ok(true) => Ok(Presence { held: Held::Key, refused: None }),
            Ok(false) => Ok(Presence { held: Held::Nothing, refused: None }),
            Err(error) => match error.refusal() {
                Some(status) => Ok(Presence { held: self.held_by_gen_key(zone, slot)?, refused: Some(status) }),
                None => Err(error),
            },
        }
    }

    /// As [`Awake::public_key`]; also returns `None` if the chip refuses with another status than for an empty slot.
    ///
    /// # Errors
    /// As [`Awake::execute`], except for a refusal.
    pub fn public_key_if_told(&mut self, slot: Slot) -> Result<Option<[u8; 64]>> {
        match self.public_key(slot) {
            Err(error) if error.refusal().is_some() => Ok(None),
            told => told,
        }
    }

    /// Returns what GenKey(public) shows. A refusal means an empty slot only if no rule of the slot explains it.
    fn held_by_gen_key(&mut self, zone: &ConfigZone, slot: Slot) -> Result<Held> {
        let rules = zone.key_config(slot);
        if !rules.is_p256_private() || !rules.pub_info() || rules.req_auth() {
            return Ok(Held::Unknown);
        }
        match self.public_key(slot) {
            Ok(Some(_)) => Ok(Held::Key),
            Ok(None) if rules.persistent_disable() || zone.use_lock_enabled() => Ok(Held::Unknown),
            Ok(None) => Ok(Held::Nothing),
            Err(error) if error.refusal().is_some() => Ok(Held::Unknown),
            Err(error) => Err(error),
        }
    }

    /// As [`Awake::key_valid`], before a key is put into the slot.
    ///
    /// # Errors
    /// As [`Awake::key_valid`]; [`Error::KeyNotTold`] if the chip refuses to tell.
    pub(super) fn key_valid_for_certain(&mut self, slot: Slot) -> Result<bool> {
        self.key_valid(slot).map_err(|error| match error.refusal() {
            Some(status) => Error::KeyNotTold { slot, status },
            None => error,
        })
    }
}
