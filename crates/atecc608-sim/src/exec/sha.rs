// SPDX-License-Identifier: MIT OR Apache-2.0
//! SHA (fact sheet section 3.18).

use zeroize::Zeroizing;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::rules::Nonce;
use super::Execute;
use crate::buffers::TempKey;
use crate::sha_context::ShaContext;
use atecc608_wire::commands::{DigestTarget, KeyLocation, Sha};
use atecc608_wire::config_zone::KeyType;
use atecc608_wire::messages::TempKeyFlags;
use atecc608_wire::Slot;

impl Execute for Sha {
    fn execute(&self, core: &mut Core) -> Outcome {
        match self {
            Sha::Start => {
                core.sram.sha = Some(ShaContext::new());
                success()
            }
            Sha::Update(bytes) => update(core, bytes),
            Sha::Public(slot) => {
                // Slots can't be read before the configuration is locked (section 5.7).
                allow(core.config().config_locked())?;
                let (point, _) = core.stored_public_key(*slot)?;
                update(core, &point)
            }
            Sha::HmacStart(key) => {
                let key = hmac_key(core, *key)?;
                core.sram.sha = Some(ShaContext::hmac(&*key));
                success()
            }
            Sha::End { rest, .. } if rest.len() > 63 && !core.switches.sha_end_takes_64 => Err(Refusal::PARSE),
            Sha::End { rest, target } => end(core, rest, *target),
            Sha::ReadContext => core.sram.sha.as_ref().and_then(ShaContext::read).ok_or(Refusal::EXECUTION),
            Sha::WriteContext(context) => {
                core.sram.sha = Some(ShaContext::write(context).ok_or(Refusal::PARSE)?);
                success()
            }
        }
    }
}

fn update(core: &mut Core, bytes: &[u8]) -> Outcome {
    core.sram.sha.as_mut().ok_or(Refusal::EXECUTION)?.update(bytes);
    success()
}

fn end(core: &mut Core, rest: &[u8], target: DigestTarget) -> Outcome {
    let mut context = core.sram.sha.take().ok_or(Refusal::EXECUTION)?;
    context.update(rest);
    let digest = context.finish();
    match target {
        DigestTarget::TempKey => {
            let source_fixed = core.switches.sha_digest_is_fixed;
            core.sram.temp_key = Some(TempKey::new(&digest, TempKeyFlags { source_fixed, ..TempKeyFlags::default() }));
        }
        DigestTarget::MessageDigestBuffer => core.sram.digest = Some(Zeroizing::new(digest.to_vec())),
        DigestTarget::Output => {}
    }
    Ok(digest.to_vec())
}

fn hmac_key(core: &mut Core, key: KeyLocation) -> Result<Zeroizing<[u8; 32]>, Refusal> {
    core.require_lock_for_temp_key()?;
    match key {
        KeyLocation::TempKey => Ok(core.temp_key()?.1),
        KeyLocation::Slot(slot) => slot_key(core, slot),
    }
}

/// Returns a symmetric key whose slot permits HMAC: no NoMac, no ReqRandom (section 11).
fn slot_key(core: &mut Core, slot: Slot) -> Result<Zeroizing<[u8; 32]>, Refusal> {
    let config = core.config();
    let key_config = config.key_config(slot);
    allow(key_config.key_type() == KeyType::ShaOrData && !key_config.req_random())?;
    allow(!config.slot_config(slot).no_mac())?;
    let key_use = core.use_key(slot, Nonce::NotAsked)?;
    let key = core.symmetric_key(slot)?;
    core.count_use(key_use)?;
    Ok(key)
}
