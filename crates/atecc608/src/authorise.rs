//! Authorisation: slots with KeyConfig.ReqAuth work only after CheckMac has proved that the host knows the secret in their
//! AuthKey slot (fact sheet sections 3.0 and 3.2).
//!
//! What the chip remembers of it ends with the conversation, and on a chip that is stricter than it must be, with the next
//! Nonce into TempKey and with idle. So each operation proves it anew, as late as it can.

use alloc::boxed::Box;

use core::fmt;

use zeroize::Zeroizing;

use super::awake::Awake;
use super::secrets::SharedSecret;
use super::{Chip, Error, Result, Transport};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

/// 32 secret bytes, wherever the host keeps them: memory that is not swapped out, a hardware register.
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

/// Which slots ask for an authorisation, and what gives it.
pub struct Gate {
    /// The chip's.
    pub serial: SerialNumber,
    /// The slot of the authorisation secret.
    pub key: Slot,
    /// Bit N: slot N asks for it.
    pub slots: u16,
    /// The secret, while the host has it.
    pub secret: Option<Box<dyn Secret + Send>>,
}

impl Gate {
    /// Whether the slot asks for an authorisation.
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
    /// Sets how conversations authorise themselves before they use a slot that asks for it; `None`: not at all.
    pub fn set_gate(&mut self, gate: Option<Gate>) {
        self.gate = gate;
    }

    /// Whether the slot asks for an authorisation.
    pub fn guards(&self, slot: Slot) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.guards(slot))
    }
}

impl<P: Transport> Awake<'_, P> {
    /// What comes before each use of a slot's contents whose result nobody can check: [`Awake::confirm`], and the authorisation
    /// where the gate guards the slot. Uses TempKey up.
    ///
    /// # Errors
    /// As [`Awake::confirm`]; [`Error::NotAuthorised`] if the gate has no secret, or the chip refuses it.
    pub fn before_use(&mut self, slot: Slot) -> Result<()> {
        self.confirm()?;
        self.authorise(slot)
    }

    /// Authorises the conversation if the gate guards the slot and that was not done yet.
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
