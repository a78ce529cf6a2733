// SPDX-License-Identifier: MIT OR Apache-2.0
//! ECDH (fact sheet section 3.5).

use p256::SecretKey;
use zeroize::Zeroizing;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::ecc;
use super::super::rules::KeyUse;
use super::write::store;
use super::Execute;
use crate::buffers::{Content, TempKey};
use atecc608_wire::commands::{Ecdh, EcdhKey, EcdhTarget};
use atecc608_wire::config_zone::WritePolicy;
use atecc608_wire::messages::{io_key_stream, TempKeyFlags};
use atecc608_wire::Slot;

/// The length of a shared secret.
const SECRET_LEN: usize = 32;

impl Execute for Ecdh {
    fn execute(&self, core: &mut Core) -> Outcome {
        // Section 5.7. GenKey, which creates the key in TempKey, has the same rule.
        allow(core.config().config_locked())?;
        core.require_key_use_lock_state()?;
        let (key, key_use) = take_key(self, core)?;
        let target = resolved_target(self, core)?;
        check_protection(self, core, target)?;
        let other = ecc::public_key(&self.public_key).ok_or(Refusal::Status(core.switches.ecdh_bad_point))?;
        let secret = ecc::shared_secret(&key, &other);
        let answer = deliver(self, core, target, &secret)?;
        if let Some(key_use) = key_use {
            core.count_use(key_use)?;
        }
        Ok(answer)
    }
}

/// Returns the slot's key if it may be used for ECDH, or the ephemeral key, which is cleared.
fn take_key(command: &Ecdh, core: &mut Core) -> Result<(SecretKey, Option<KeyUse>), Refusal> {
    match command.key {
        EcdhKey::Slot(slot) => {
            let key_use = core.use_key(slot, core.switches.nonce_for_sign())?;
            let key = core.private_key(slot)?;
            allow(core.config().slot_config(slot).ecdh())?;
            Ok((key, Some(key_use)))
        }
        EcdhKey::TempKey => {
            let scalar = match core.sram.temp_key.take() {
                Some(TempKey { content: Content::PrivateKey(scalar), .. }) => scalar,
                _ => return Err(Refusal::EXECUTION),
            };
            Ok((ecc::private_key(&*scalar).ok_or(Refusal::EXECUTION)?, None))
        }
    }
}

/// Returns the target of the secret, if it is permitted.
fn resolved_target(command: &Ecdh, core: &Core) -> Result<EcdhTarget, Refusal> {
    let config = core.config();
    let target = match (command.key, command.target) {
        (EcdhKey::Slot(slot), EcdhTarget::Compatible) => {
            if config.slot_config(slot).ecdh_to_slot() {
                // Slot N|1 differs from slot N only if N is even.
                allow(slot.number() % 2 == 0 && !command.encrypted)?;
                let target = Slot::from_nibble(slot.number() | 1);
                check_next_slot(core, target)?;
                return Ok(EcdhTarget::Slot(target));
            }
            EcdhTarget::Output
        }
        (EcdhKey::Slot(slot), EcdhTarget::Output) => {
            let to_slot = config.slot_config(slot).ecdh_to_slot();
            allow(!(to_slot && core.switches.ecdh_to_slot_forbids_output))?;
            EcdhTarget::Output
        }
        (_, target) => target,
    };
    if let EcdhTarget::Slot(slot) = target {
        core.require_destination(slot, SECRET_LEN, core.switches.ecdh_target_follows_write_config)?;
    }
    Ok(target)
}

/// Checks slot N|1, which SlotConfig of slot N names: in the vendor's unit test ecdh it is a slot of any type, written
/// encrypted.
fn check_next_slot(core: &Core, slot: Slot) -> Result<(), Refusal> {
    let config = core.config();
    allow(!config.key_config(slot).private() && !config.slot_locked(slot))?;
    let policy = config.slot_config(slot).write_config().write_policy();
    let writable = matches!(policy, WritePolicy::Always | WritePolicy::Encrypted);
    allow(writable || !config.data_locked() || !core.switches.ecdh_target_follows_write_config)?;
    core.require_authorisation_to_write(&config, slot)
}

/// Checks ChipOptions.ECDHProt, and the conditions of encryption.
fn check_protection(command: &Ecdh, core: &Core, target: EcdhTarget) -> Result<(), Refusal> {
    if command.encrypted && target == EcdhTarget::Output {
        core.io_key()?;
    }
    allow(match core.config().chip_options().ecdh_protection() {
        0 => true,
        1 => target != EcdhTarget::Output || command.encrypted,
        2 | 3 if core.switches.output_protection_means_inside => target != EcdhTarget::Output,
        2 => target == EcdhTarget::TempKey,
        _ => matches!(target, EcdhTarget::Slot(_)),
    })
}

fn deliver(command: &Ecdh, core: &mut Core, target: EcdhTarget, secret: &Zeroizing<[u8; 32]>) -> Outcome {
    match target {
        EcdhTarget::Slot(slot) => {
            store(core, slot, 0, &**secret)?;
            success()
        }
        EcdhTarget::TempKey => {
            // The other party influences the secret: it never counts as the chip's own random number.
            let flags = TempKeyFlags { source_fixed: true, ..TempKeyFlags::default() };
            core.sram.temp_key = Some(TempKey::new(&**secret, flags));
            success()
        }
        EcdhTarget::Output | EcdhTarget::Compatible if command.encrypted => {
            let io_key = core.io_key()?;
            let nonce = core.random_32()?;
            let stream = Zeroizing::new(io_key_stream(&io_key, &nonce));
            let mut answer: Vec<u8> = secret.iter().zip(stream.iter()).map(|(byte, key)| byte ^ key).collect();
            answer.extend(nonce);
            Ok(answer)
        }
        EcdhTarget::Output | EcdhTarget::Compatible => Ok(secret.to_vec()),
    }
}
