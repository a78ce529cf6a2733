// SPDX-License-Identifier: MIT OR Apache-2.0
//! MAC (fact sheet sections 3.11 and 11).

use zeroize::Zeroizing;

use super::super::core::{allow, Core, Outcome, Refusal};
use super::super::rules::{KeyUse, Nonce};
use super::Execute;
use crate::image::Part;
use atecc608_wire::commands::{Mac, MacOtp};
use atecc608_wire::{messages, Slot};

impl Execute for Mac {
    fn execute(&self, core: &mut Core) -> Outcome {
        if self.otp != MacOtp::None && !core.switches.mac_takes_otp {
            return Err(Refusal::PARSE);
        }
        core.require_lock_for_temp_key()?;
        let temp_key = core.message_temp_key(self.uses_temp_key(), self.source_fixed)?;
        let (first, key_use) = if self.temp_key_first {
            (temp_key.clone().ok_or(Refusal::EXECUTION)?, None)
        } else {
            let no_mac = core.config().slot_config(self.slot).no_mac();
            allow(!no_mac)?;
            let (key, key_use) = core.mac_key(self.slot, self.challenge.is_none())?;
            (key, Some(key_use))
        };
        if self.uses_temp_key() {
            allow(core.sram.temp_key.as_ref().is_some_and(|temp_key| !temp_key.flags.no_mac))?;
        }
        let second = match self.challenge {
            Some(challenge) => Zeroizing::new(challenge),
            None => temp_key.ok_or(Refusal::EXECUTION)?,
        };
        let mac = messages::mac(&first, &second, self, &core.otp_start(), &core.serial());
        if self.uses_temp_key() {
            core.sram.temp_key = None;
        }
        if let Some(key_use) = key_use {
            core.count_use(key_use)?;
        }
        Ok(mac.to_vec())
    }
}

impl Core {
    /// TempKey as a block of the message of MAC or CheckMac: valid, and with the SourceFlag of bit 2.
    pub(super) fn message_temp_key(
        &self,
        used: bool,
        source_fixed: bool,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, Refusal> {
        if !used {
            return Ok(None);
        }
        let (temp_key, value) = self.temp_key()?;
        allow(temp_key.flags.source_fixed == source_fixed)?;
        Ok(Some(value))
    }

    /// A slot's key for MAC and CheckMac. ReqRandom requires a random nonce in the message, not only in TempKey.
    pub(super) fn mac_key(&self, slot: Slot, over_temp_key: bool) -> Result<(Zeroizing<[u8; 32]>, KeyUse), Refusal> {
        let key_use = self.use_key(slot, Nonce::WantedByReqRandom)?;
        allow(over_temp_key || !self.config().key_config(slot).req_random())?;
        Ok((self.symmetric_key(slot)?, key_use))
    }

    /// OTP\[0..11\], as far as messages contain it.
    pub(super) fn otp_start(&self) -> [u8; 11] {
        let mut start = [0; 11];
        start.copy_from_slice(&self.image().part(Part::Otp)[..11]);
        start
    }
}
