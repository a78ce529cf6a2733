// SPDX-License-Identifier: MIT OR Apache-2.0
//! SecureBoot (fact sheet sections 3.16 and 5.1).

use subtle::ConstantTimeEq;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::rules::Nonce;
use super::super::{ecc, image::Part};
use super::write::store;
use super::Execute;
use atecc608_wire::commands::{SecureBoot, SecureBootMode};
use atecc608_wire::config_zone::{SecureBootConfig, SecureBootStorage};
use atecc608_wire::{messages, Slot, Status};

impl Execute for SecureBoot {
    fn execute(&self, core: &mut Core) -> Outcome {
        let config = core.config();
        let boot = config.secure_boot();
        // Section 3.0: no slot can be used as a key before the configuration is locked.
        allow(config.config_locked() && boot.storage() != SecureBootStorage::Off)?;
        allow(config.data_locked() || !core.switches.secure_boot_needs_data_lock)?;
        allow(!core.secure_boot_prohibited)?;
        let stores = matches!(boot.storage(), SecureBootStorage::Signature | SecureBootStorage::Digest);
        allow(stores || matches!(self.mode, SecureBootMode::Full { .. }))?;
        let key = opened(core, self, boot)?;
        let digest = key.as_ref().map_or(self.digest, |key| xor(&self.digest, key));
        if self.prohibit {
            core.secure_boot_prohibited = true;
        }
        let (matches, signature) = compare(core, self, boot, &digest)?;
        if !matches {
            return Err(Refusal::Status(Status::MISCOMPARE));
        }
        if let SecureBootMode::FullCopy { signature } = &self.mode {
            let bytes: &[u8] = if boot.storage() == SecureBootStorage::Digest { &digest } else { signature };
            copy(core, boot.storage_slot(), bytes)?;
        }
        if boot.sets_latch() {
            core.latch = true;
        }
        match key {
            None => success(),
            Some(key) => Ok(messages::secure_boot_mac(&key, &digest, signature.as_ref(), self).to_vec()),
        }
    }
}

fn xor(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|i| left[i] ^ right[i])
}

/// Returns HashedKey of an encrypted digest, which clears TempKey; and checks the nonce that the configuration may
/// require.
fn opened(core: &mut Core, command: &SecureBoot, boot: SecureBootConfig) -> Result<Option<[u8; 32]>, Refusal> {
    if boot.wants_random() && (command.mac || core.switches.secure_boot_nonce_always) {
        allow(!core.temp_key()?.0.flags.source_fixed)?;
    }
    if !command.mac {
        return Ok(None);
    }
    let io_key = core.io_key()?;
    let (_, temp_key) = core.temp_key()?;
    core.sram.temp_key = None;
    Ok(Some(messages::secure_boot_hashed_key(&io_key, &temp_key)))
}

/// Returns whether the digest matches, and the signature that was checked (`None` if a stored digest was compared).
fn compare(
    core: &mut Core,
    command: &SecureBoot,
    boot: SecureBootConfig,
    digest: &[u8; 32],
) -> Result<(bool, Option<[u8; 64]>), Refusal> {
    let stored = || core.image().part(Part::Slot(boot.storage_slot()));
    let signature = match command.signature() {
        Some(signature) => *signature,
        None if boot.storage() == SecureBootStorage::Digest => {
            allow(!core.config().key_config(boot.storage_slot()).private())?;
            return Ok((bool::from(stored()[..32].ct_eq(digest)), None));
        }
        None => {
            allow(!core.config().key_config(boot.storage_slot()).private())?;
            stored().first_chunk().copied().ok_or(Refusal::EXECUTION)?
        }
    };
    let key_use = core.use_key(boot.key_slot(), Nonce::NotAsked)?;
    let key = core.usable_public_key(boot.key_slot())?;
    let matches = ecc::verify(&key, digest, &signature);
    if matches {
        core.count_use(key_use)?;
    }
    Ok((matches, Some(signature)))
}

fn copy(core: &mut Core, slot: Slot, bytes: &[u8]) -> Result<(), Refusal> {
    let config = core.config();
    allow(!config.key_config(slot).private() && !config.slot_locked(slot) && bytes.len() <= slot.size())?;
    core.require_authorisation_to_write(&config, slot)?;
    store(core, slot, 0, bytes)
}
