//! Authorisation: slots with KeyConfig.ReqAuth work only after CheckMac has proved that the host knows the secret in their
//! AuthKey slot (fact sheet sections 3.0 and 3.2).
//!
//! What the chip remembers of it ends with the conversation, and on a chip that is stricter than it must be, with the next
//! Nonce into TempKey and with idle. So each operation proves it anew, as late as it can.

use std::sync::Arc;

use super::awake::Awake;
use super::locked::LockedSecret;
use super::secrets::SharedSecret;
use super::{Chip, Error, Result, Transport};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

/// Which slots ask for an authorisation, and what gives it.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The chip's.
    pub serial: SerialNumber,
    /// The slot of the authorisation secret.
    pub key: Slot,
    /// Bit N: slot N asks for it.
    pub slots: u16,
    /// The secret, while somebody is logged in.
    pub secret: Option<Arc<LockedSecret>>,
}

impl Gate {
    /// Whether the slot asks for an authorisation.
    pub fn guards(&self, slot: Slot) -> bool {
        self.slots & 1 << slot.number() != 0
    }
}

impl<P: Transport> Chip<P> {
    /// From now on conversations authorise themselves as this says before they use a slot that asks for it.
    pub fn set_gate(&mut self, gate: Option<Gate>) {
        self.gate = gate;
    }

    /// Whether the slot asks for an authorisation.
    pub fn guards(&self, slot: Slot) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.guards(slot))
    }
}

impl<P: Transport> Awake<'_, P> {
    /// Authorises the conversation if the slot asks for it and that was not done yet. Uses TempKey up.
    ///
    /// # Errors
    /// [`Error::NotAuthorised`] if nobody is logged in or the chip refuses the secret; those of [`Awake::execute`].
    pub fn before_use(&mut self, slot: Slot) -> Result<()> {
        let Some(gate) = self.gate_of(slot) else { return Ok(()) };
        if self.is_authorised() {
            return Ok(());
        }
        let secret = gate.secret.as_ref().ok_or(Error::NotAuthorised { slot, refused: false })?;
        let shared = SharedSecret { slot: gate.key, value: secret.value() };
        if self.proves(&gate.serial, &shared)? {
            self.set_authorised();
            Ok(())
        } else {
            Err(Error::NotAuthorised { slot, refused: true })
        }
    }
}
