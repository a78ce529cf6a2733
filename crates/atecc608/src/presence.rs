//! Whether a slot holds a private key: Info(KeyValid), and another way where the chip refuses that (fact sheet sections 3.7 and
//! 3.8).

use super::{Awake, Error, Result, Transport};
use atecc608_wire::{ConfigZone, Slot, Status};

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A private key.
    Key,
    /// None.
    Nothing,
    /// The chip refuses to say.
    Unknown,
}

/// What the chip says about the private key in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// What the slot holds, by Info or else by GenKey.
    pub held: Held,
    /// The status with which Info(KeyValid) was refused. Such a slot is never free, whatever GenKey shows.
    pub refused: Option<Status>,
}

impl<P: Transport> Awake<'_, P> {
    /// Returns what a slot for a private key holds: one Info. If the chip refuses that, GenKey(public) shows it where the slot's
    /// rules let it. `zone` is the chip's configuration.
    ///
    /// # Errors
    /// As [`Awake::execute`], except that the chip refuses these questions.
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

    /// As [`Awake::public_key`]; also none if the chip refuses with another status than for an empty slot.
    ///
    /// # Errors
    /// As [`Awake::execute`], except that the chip refuses the question.
    pub fn public_key_if_told(&mut self, slot: Slot) -> Result<Option<[u8; 64]>> {
        match self.public_key(slot) {
            Err(error) if error.refusal().is_some() => Ok(None),
            told => told,
        }
    }

    /// What GenKey(public) shows. Its refusal means an empty slot only where no rule of the slot explains it.
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

    /// As [`Awake::key_valid`], before the slot is to get a key.
    ///
    /// # Errors
    /// As [`Awake::key_valid`]; [`Error::KeyNotTold`] if the chip refuses to say.
    pub(super) fn key_valid_for_certain(&mut self, slot: Slot) -> Result<bool> {
        self.key_valid(slot).map_err(|error| match error.refusal() {
            Some(status) => Error::KeyNotTold { slot, status },
            None => error,
        })
    }
}
