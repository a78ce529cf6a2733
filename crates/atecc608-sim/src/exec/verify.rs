// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verify (fact sheet section 3.21).

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::ecc;
use super::super::image::Part;
use super::super::rules::{Nonce, INVALIDATED, VALIDATED};
use super::sign::take_digest;
use super::Execute;
use atecc608_wire::commands::{DigestSource, Verify, VerifyKey};
use atecc608_wire::{messages, Slot, Status};

/// OtherData's byte with the purpose of the signature: 00 validates, 01 invalidates.
const PURPOSE: usize = 17;

impl Execute for Verify {
    fn execute(&self, core: &mut Core) -> Outcome {
        let marks = matches!(self.key, VerifyKey::Validate { .. } | VerifyKey::Invalidate { .. });
        if self.mac && marks && !core.switches.verify_validate_answers_mac {
            return Err(Refusal::PARSE);
        }
        if self.mac {
            // Refuse before anything is checked or marked.
            core.io_key()?;
        }
        match &self.key {
            VerifyKey::External { source, public_key } => {
                let needs_lock = core.switches.verify_external_needs_config_lock;
                allow(core.config().config_locked() || !needs_lock)?;
                let key = ecc::public_key(public_key).ok_or(Refusal::EXECUTION)?;
                let nonce = mac_nonce(core, self, *source)?;
                let digest = take_digest(core, *source)?;
                matches(ecc::verify(&key, &digest, &self.signature))?;
                answer(core, self, &digest, nonce)
            }
            VerifyKey::Stored { source, slot } => {
                core.require_key_use_lock_state()?;
                // A message that the caller put into the digest buffer is not a random nonce.
                let req_random = core.config().key_config(*slot).req_random();
                allow(!(req_random && *source == DigestSource::MessageDigestBuffer))?;
                let key_use = core.use_key(*slot, Nonce::WantedByReqRandom)?;
                let key = core.usable_public_key(*slot)?;
                let nonce = mac_nonce(core, self, *source)?;
                let digest = take_digest(core, *source)?;
                matches(ecc::verify(&key, &digest, &self.signature))?;
                core.count_use(key_use)?;
                answer(core, self, &digest, nonce)
            }
            VerifyKey::ValidateExternal { .. } => Err(Refusal::Status(core.switches.verify_validate_external)),
            VerifyKey::Validate { slot, other_data } => mark(core, self, *slot, other_data, true),
            VerifyKey::Invalidate { slot, other_data } => mark(core, self, *slot, other_data, false),
        }
    }
}

fn matches(valid: bool) -> Result<(), Refusal> {
    if valid {
        Ok(())
    } else {
        Err(Refusal::Status(Status::MISCOMPARE))
    }
}

/// The system nonce of a MAC: the half of the digest buffer that does not hold the message.
fn mac_nonce(core: &Core, verify: &Verify, source: DigestSource) -> Result<[u8; 32], Refusal> {
    if !verify.mac {
        return Ok([0; 32]);
    }
    let buffer = core.sram.digest.as_ref().ok_or(Refusal::EXECUTION)?;
    let at = match source {
        DigestSource::MessageDigestBuffer => 32,
        DigestSource::TempKey => 0,
    };
    buffer.get(at..).and_then(|nonce| nonce.first_chunk()).copied().ok_or(Refusal::EXECUTION)
}

fn answer(core: &Core, verify: &Verify, message: &[u8; 32], nonce: [u8; 32]) -> Outcome {
    if !verify.mac {
        return success();
    }
    let io_key = core.io_key()?;
    Ok(messages::verify_mac(&io_key, message, &nonce, verify).to_vec())
}

/// Validates or invalidates a stored public key by its parent's signature.
fn mark(core: &mut Core, verify: &Verify, slot: Slot, other_data: &[u8; 19], valid: bool) -> Outcome {
    let config = core.config();
    let key_use = core.use_key(slot, Nonce::WantedByReqRandom)?;
    allow(config.key_config(slot).pub_info() && !config.slot_locked(slot))?;
    core.stored_public_key(slot)?;
    let parent = core.usable_public_key(config.slot_config(slot).read_key())?;
    let (temp_key, value) = core.temp_key()?;
    allow(temp_key.flags.gen_key && temp_key.flags.key_id == slot.number())?;
    allow(other_data[PURPOSE] == u8::from(!valid))?;
    let nonce = mac_nonce(core, verify, DigestSource::TempKey)?;
    let digest = messages::verify_validate(&value, other_data, &core.serial());
    core.sram.temp_key = None;
    matches(ecc::verify(&parent, &digest, &verify.signature))?;
    let state = if valid { VALIDATED } else { INVALIDATED };
    let first = core.image().part(Part::Slot(slot))[0] & 0x0F | state;
    core.program(Part::Slot(slot), 0, &[first])?;
    core.count_use(key_use)?;
    answer(core, verify, &digest, nonce)
}
