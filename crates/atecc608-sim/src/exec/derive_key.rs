// SPDX-License-Identifier: MIT OR Apache-2.0
//! DeriveKey (fact sheet sections 3.4 and 5.4).

use subtle::ConstantTimeEq;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::rules::Nonce;
use super::Execute;
use crate::image::Part;
use atecc608_wire::commands::DeriveKey;
use atecc608_wire::messages;

impl Execute for DeriveKey {
    fn execute(&self, core: &mut Core) -> Outcome {
        let config = core.config();
        // Section 3.0: before the lock no slot can be used as a key.
        allow(config.config_locked())?;
        allow(config.data_locked() || !core.switches.derive_key_needs_data_lock)?;
        let slot_config = config.slot_config(self.target);
        let policy = slot_config.write_config();
        allow(policy.gen_key() && !config.key_config(self.target).private() && !config.slot_locked(self.target))?;
        // The derived value is not a point of the curve.
        allow(!core.is_public_slot(self.target))?;
        let rolls = !policy.derive_creates();
        let parent = if rolls { self.target } else { slot_config.write_key() };
        let no_mac = config.slot_config(parent).no_mac();
        allow(!(rolls && no_mac) || core.switches.derive_key_rolls_no_mac)?;
        if core.switches.req_auth_gates_write {
            core.require_authorisation(&config, self.target)?;
        }
        let key_use = core.use_key(parent, Nonce::WantedByReqRandom)?;
        let parent = core.symmetric_key(parent)?;
        let (temp_key, value) = core.temp_key()?;
        core.sram.temp_key = None;
        allow(temp_key.flags.source_fixed == self.source_fixed && !temp_key.flags.no_mac)?;
        match self.mac {
            None => allow(!policy.derive_wants_mac())?,
            Some(mac) => {
                let expected = messages::derive_key_mac(&parent, self, &core.serial());
                if !bool::from(expected.ct_eq(&mac)) {
                    return Err(Refusal::Status(core.switches.derive_key_mac_mismatch));
                }
            }
        }
        let key = messages::derive_key(&parent, &value, self, &core.serial());
        core.program(Part::Slot(self.target), 0, &*key)?;
        core.count_use(key_use)?;
        success()
    }
}
