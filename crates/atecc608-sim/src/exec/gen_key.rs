// SPDX-License-Identifier: MIT OR Apache-2.0
//! GenKey (fact sheet section 3.7).

use zeroize::Zeroizing;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::{ecc, image::Part};
use super::Execute;
use crate::buffers::{Content, TempKey};
use atecc608_wire::commands::{GenKey, GenKeyMode, KeyLocation};
use atecc608_wire::messages::{self, TempKeyFlags};
use atecc608_wire::{Command, ConfigZone, Slot};

impl Execute for GenKey {
    fn execute(&self, core: &mut Core) -> Outcome {
        // Sections 3.7 and 5.7; the vendor's tests require this lock too.
        allow(core.config().config_locked())?;
        let packet = self.packet();
        let [low, high] = packet.param2.to_le_bytes();
        let params = [packet.param1, low, high];
        match (self.key, self.mode) {
            (KeyLocation::TempKey, _) => create_in_temp_key(core),
            (KeyLocation::Slot(slot), GenKeyMode::Create { digest }) => create(core, slot, digest.then_some(params)),
            (KeyLocation::Slot(slot), GenKeyMode::Public { digest }) => public(core, slot, digest.then_some(params)),
            (KeyLocation::Slot(slot), GenKeyMode::StoredDigest { other_data }) => {
                gate(core, &core.config(), slot)?;
                let (point, _) = core.stored_public_key(slot)?;
                load_digest(core, slot, other_data, &point)?;
                success()
            }
        }
    }
}

fn create_in_temp_key(core: &mut Core) -> Outcome {
    let key = ecc::generate(core)?;
    let content = Content::PrivateKey(Zeroizing::new(key.to_bytes().into()));
    core.sram.temp_key = Some(TempKey { content, flags: TempKeyFlags::default(), copied: false });
    Ok(ecc::public_point(&key).to_vec())
}

fn create(core: &mut Core, slot: Slot, digest: Option<[u8; 3]>) -> Outcome {
    let config = core.config();
    core.require_private_slot(slot)?;
    allow(!config.slot_locked(slot))?;
    // Before the data lock WriteConfig is ignored.
    allow(!config.data_locked() || config.slot_config(slot).write_config().gen_key())?;
    allow(config.key_config(slot).pub_info() || !core.switches.create_needs_pub_info)?;
    gate(core, &config, slot)?;
    if digest.is_some() {
        // Refuse before the old key is overwritten.
        digest_source(core, slot)?;
    }
    let key = ecc::generate(core)?;
    let mut stored = Zeroizing::new([0; 36]);
    stored[4..].copy_from_slice(&key.to_bytes());
    core.program(Part::Slot(slot), 0, &*stored)?;
    answer(core, slot, digest, ecc::public_point(&key))
}

fn public(core: &mut Core, slot: Slot, digest: Option<[u8; 3]>) -> Outcome {
    let config = core.config();
    let key = core.private_key(slot)?;
    let needs_pub_info = config.data_locked() || core.switches.public_needs_pub_info_before_data_lock;
    allow(config.key_config(slot).pub_info() || !needs_pub_info)?;
    gate(core, &config, slot)?;
    answer(core, slot, digest, ecc::public_point(&key))
}

/// The conditions for using the key, except that GenKey does not count as a use (section 3.0, rule 5) and that ReqAuth
/// applies only once the data zone is locked, because keys must be created before.
fn gate(core: &Core, config: &ConfigZone, slot: Slot) -> Result<(), Refusal> {
    core.require_use_lock(config, slot)?;
    if config.data_locked() && core.switches.req_auth_gates_gen_key {
        core.require_authorisation(config, slot)?;
    }
    allow(!config.key_config(slot).persistent_disable() || core.latch)
}

fn answer(core: &mut Core, slot: Slot, digest: Option<[u8; 3]>, point: [u8; 64]) -> Outcome {
    if let Some(params) = digest {
        load_digest(core, slot, params, &point)?;
    }
    Ok(point.to_vec())
}

/// Returns the TempKey that a digest mode starts from: valid, and random if the slot requires that.
fn digest_source(core: &Core, slot: Slot) -> Result<(TempKeyFlags, Zeroizing<[u8; 32]>), Refusal> {
    core.require_random(&core.config(), slot)?;
    let (temp_key, value) = core.temp_key()?;
    Ok((temp_key.flags, value))
}

fn load_digest(core: &mut Core, slot: Slot, params: [u8; 3], point: &[u8; 64]) -> Result<(), Refusal> {
    let (flags, value) = digest_source(core, slot)?;
    let digest = messages::gen_key_digest(&value, params, &core.serial(), point);
    let flags = TempKeyFlags { key_id: slot.number(), gen_dig: false, gen_key: true, ..flags };
    core.sram.temp_key = Some(TempKey::new(&digest, flags));
    Ok(())
}
