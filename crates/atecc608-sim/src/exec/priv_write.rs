// SPDX-License-Identifier: MIT OR Apache-2.0
//! PrivWrite (fact sheet sections 3.13 and 5.7).

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::{ecc, image::Part};
use super::Execute;
use atecc608_wire::commands::PrivWrite;
use atecc608_wire::messages;

impl Execute for PrivWrite {
    fn execute(&self, core: &mut Core) -> Outcome {
        let config = core.config();
        // Section 5.7.
        allow(config.config_locked())?;
        core.require_private_slot(self.slot)?;
        allow(!config.slot_locked(self.slot))?;
        if config.data_locked() && core.switches.req_auth_gates_priv_write {
            core.require_authorisation(&config, self.slot)?;
        }
        let key = if self.encrypted {
            allow(config.slot_config(self.slot).write_config().priv_write())?;
            decrypted(core, self)?
        } else {
            allow(!config.data_locked())?;
            Zeroizing::new(self.key)
        };
        allow(key[..4] == [0; 4] && ecc::private_key(&key[4..]).is_some())?;
        core.program(Part::Slot(self.slot), 0, &*key)?;
        success()
    }
}

/// Returns the key, decrypted with TempKey, which is cleared, and checked against the MAC.
fn decrypted(core: &mut Core, command: &PrivWrite) -> Result<Zeroizing<[u8; 36]>, Refusal> {
    let temp_key = core.take_write_key(command.slot)?;
    let stream = messages::priv_write_key_stream(&temp_key);
    let mut key = Zeroizing::new(command.key);
    key.iter_mut().zip(stream.iter()).for_each(|(byte, stream)| *byte ^= stream);
    let expected = messages::priv_write_mac(&temp_key, command, &core.serial(), &key);
    if bool::from(expected.ct_eq(&command.mac)) {
        Ok(key)
    } else {
        Err(Refusal::Status(core.switches.priv_write_mac_mismatch))
    }
}
