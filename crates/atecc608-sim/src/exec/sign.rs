// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sign (fact sheet section 3.19).

use sha2::{Digest, Sha256};

use super::super::core::{allow, Core, Outcome, Refusal};
use super::super::ecc;
use super::Execute;
use atecc608_wire::commands::{DigestSource, Sign};
use atecc608_wire::messages::{self, SlotStatement};
use atecc608_wire::Slot;

impl Execute for Sign {
    fn execute(&self, core: &mut Core) -> Outcome {
        let (slot, allowed) = match *self {
            Sign::External { slot, .. } => (slot, core.config().slot_config(slot).external_sign()),
            Sign::Internal { slot, .. } => (slot, core.config().slot_config(slot).internal_sign()),
        };
        core.require_key_use_lock_state()?;
        let key_use = core.use_key(slot, core.switches.nonce_for_sign())?;
        let key = core.private_key(slot)?;
        allow(allowed)?;
        let digest = match self {
            Sign::External { source, .. } => take_digest(core, *source)?,
            Sign::Internal { .. } => internal_digest(core, self)?,
        };
        let signature = ecc::sign(core, &key, &digest)?;
        core.count_use(key_use)?;
        Ok(signature.to_vec())
    }
}

/// Returns the 32 bytes that are signed or verified. Clears TempKey, but not the message digest buffer.
pub(super) fn take_digest(core: &mut Core, source: DigestSource) -> Result<[u8; 32], Refusal> {
    match source {
        DigestSource::TempKey => {
            let (_, value) = core.temp_key()?;
            core.sram.temp_key = None;
            Ok(*value)
        }
        DigestSource::MessageDigestBuffer => core.sram.digest_32().ok_or(Refusal::EXECUTION),
    }
}

fn internal_digest(core: &mut Core, sign: &Sign) -> Result<[u8; 32], Refusal> {
    let (temp_key, value) = core.temp_key()?;
    let flags = temp_key.flags;
    allow(flags.gen_dig || flags.gen_key)?;
    let config = core.config();
    let slot = Slot::from_nibble(flags.key_id);
    let statement = SlotStatement {
        slot_config: config.slot_config(slot),
        key_config: config.key_config(slot),
        flags,
        slot_locked: config.slot_locked(slot),
        validated: core.is_validated(slot),
    };
    let message = messages::sign_internal(&value, sign, &statement, &core.serial());
    core.sram.temp_key = None;
    Ok(Sha256::digest(message).into())
}
