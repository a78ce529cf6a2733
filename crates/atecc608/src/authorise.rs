// SPDX-License-Identifier: MIT OR Apache-2.0
//! Authorisation: slots with KeyConfig.ReqAuth work only after CheckMac has proved that the host knows the secret in
//! their AuthKey slot (fact sheet sections 3.0 and 3.2).
//!
//! The authorisation ends with the conversation; on some chips also with the next Nonce into TempKey, and with idle. So
//! each operation authorises itself again, as late as possible.

use alloc::boxed::Box;

use core::fmt;

use zeroize::Zeroizing;

use super::awake::Awake;
use super::secrets::SharedSecret;
use super::{Chip, Error, Result, Transport};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

/// 32 secret bytes, in any storage of the host: locked memory, a hardware register.
pub trait Secret {
    /// Returns the secret.
    fn value(&self) -> &[u8; 32];
}

impl Secret for Zeroizing<[u8; 32]> {
    fn value(&self) -> &[u8; 32] {
        self
    }
}

#[cfg(target_has_atomic = "ptr")]
impl<T: Secret + ?Sized> Secret for alloc::sync::Arc<T> {
    fn value(&self) -> &[u8; 32] {
        T::value(self)
    }
}

/// Which slots require an authorisation, and the secret for it.
pub struct Gate {
    /// The chip's serial number.
    pub serial: SerialNumber,
    /// The slot of the authorisation secret.
    pub key: Slot,
    /// Bit N: slot N requires it.
    pub slots: u16,
    /// The secret, if the host has it.
    pub secret: Option<Box<dyn Secret + Send>>,
}

impl Gate {
    /// Whether the slot requires an authorisation.
    pub fn guards(&self, slot: Slot) -> bool {
        self.slots & 1 << slot.number() != 0
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("key", &self.key).field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl<P: Transport> Chip<P> {
    /// Sets how conversations authorise themselves before they use a slot that requires it; `None` turns that off.
    pub fn set_gate(&mut self, gate: Option<Gate>) {
        self.gate = gate;
    }

    /// Whether the slot requires an authorisation.
    pub fn guards(&self, slot: Slot) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.guards(slot))
    }
}

impl<P: Transport> Awake<'_, P> {
    /// Prepares a use of a slot's contents whose result the host can't verify: [`Awake::confirm`], and the
    /// authorisation if the gate guards the slot. Overwrites TempKey.
    ///
    /// # Errors
    /// As [`Awake::confirm`]; [`Error::NotAuthorised`] if the gate has no secret, or the chip refuses it.
    pub fn before_use(&mut self, slot: Slot) -> Result<()> {
        self.confirm()?;
        self.authorise(slot)
    }

    /// Authorises the conversation if the gate guards the slot and it is not authorised yet.
    pub(super) fn authorise(&mut self, slot: Slot) -> Result<()> {
        let Some(gate) = self.gate_of(slot).filter(|_| !self.is_authorised()) else { return Ok(()) };
        let secret = gate.secret.as_ref().ok_or(Error::NotAuthorised { slot, refused: false })?;
        let (serial, key, value) = (gate.serial, gate.key, Zeroizing::new(*secret.value()));
        if self.check_mac(&serial, &SharedSecret { slot: key, value: &value })? {
            self.set_authorised();
            Ok(())
        } else {
            Err(Error::NotAuthorised { slot, refused: true })
        }
    }
}
