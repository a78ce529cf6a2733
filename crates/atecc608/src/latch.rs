// SPDX-License-Identifier: MIT OR Apache-2.0
//! The persistent latch: slots with KeyConfig.PersistentDisable work only while it is set. It survives sleep, but not a
//! loss of power (fact sheet sections 3.0 and 3.8).

use super::secrets::SharedSecret;
use super::{Awake, Chip, Result, Transport};
use atecc608_wire::commands::Info;
use atecc608_wire::config_zone::SerialNumber;

/// The state of the latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latch {
    /// Set: the slots behind it work.
    Set,
    /// Not set.
    Clear,
    /// The chip refuses to tell, as it may if its configuration does not enable the latch.
    NotTold,
}

/// The result of a change of the latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatchChange {
    /// The chip executed the change.
    Done,
    /// The chip holds another secret.
    WrongSecret,
}

impl<P: Transport> Awake<'_, P> {
    /// Returns the state of the latch: one Info.
    ///
    /// # Errors
    /// As [`Awake::execute`], except for a refusal, which gives [`Latch::NotTold`].
    pub fn latch(&mut self) -> Result<Latch> {
        match self.execute(&Info::LatchRead) {
            Ok(answer) if answer[0] & 1 == 1 => Ok(Latch::Set),
            Ok(_) => Ok(Latch::Clear),
            Err(error) if error.refusal().is_some() => Ok(Latch::NotTold),
            Err(error) => Err(error),
        }
    }
}

impl<P: Transport> Chip<P> {
    /// Sets the latch, or clears it: Nonce (random) and CheckMac with the secret of the slot that VolatileKeyPermission
    /// names, then Info. Without a secret only Info.
    ///
    /// # Errors
    /// As [`Chip::converse`] and [`Awake::confirm`](crate::Awake::confirm); [`Error::Status`](crate::Error::Status)
    /// with 0F if the chip's configuration does not enable the latch, the slot's rules forbid CheckMac, or an
    /// authorisation is missing.
    pub fn change_latch(
        &mut self,
        serial: &SerialNumber,
        secret: Option<&SharedSecret<'_>>,
        set: bool,
    ) -> Result<LatchChange> {
        self.converse(|awake| {
            awake.confirm()?;
            if let Some(secret) = secret {
                if !awake.proves(serial, secret)? {
                    return Ok(LatchChange::WrongSecret);
                }
                awake.set_authorised();
            }
            awake.execute(&Info::LatchSet(set)).map(|_| LatchChange::Done)
        })
    }
}
