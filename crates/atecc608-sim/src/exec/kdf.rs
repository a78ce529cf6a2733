// SPDX-License-Identifier: MIT OR Apache-2.0
//! KDF (fact sheet sections 3.9, 5.3 and 5.5).

use zeroize::Zeroizing;

use super::super::core::{allow, success, Core, Outcome, Refusal};
use super::super::rules::{KeyUse, Nonce};
use super::{aes, Execute};
use crate::buffers::{Content, TempKey};
use crate::image::Part;
use crate::sha_context::ShaContext;
use atecc608_wire::commands::{HkdfMessage, Kdf, KdfAlgorithm, KdfSource, KdfTarget};
use atecc608_wire::config_zone::{offset, KeyType};
use atecc608_wire::messages::{io_key_stream, TempKeyFlags};
use atecc608_wire::Slot;

type Bytes = Zeroizing<Vec<u8>>;

impl Execute for Kdf {
    fn execute(&self, core: &mut Core) -> Outcome {
        core.require_lock_for_temp_key()?;
        check_target(self, core)?;
        let zero_key = matches!(self.algorithm, KdfAlgorithm::Hkdf { zero_key: true, .. });
        let mut message_use = None;
        let (source, key_use) = if zero_key { (Zeroizing::new(vec![0; 32]), None) } else { source(self, core)? };
        let result = match self.algorithm {
            KdfAlgorithm::Prf { key_len, .. } => {
                let key = source.get(..16 * (usize::from(key_len) + 1)).ok_or(Refusal::EXECUTION)?;
                prf(key, &self.message, self.result_len())
            }
            KdfAlgorithm::Aes { unit } => {
                allow(core.config().aes_enabled() && core.config().chip_options().kdf_aes())?;
                let input = self.message.as_slice().try_into().map_err(|_| Refusal::PARSE)?;
                let key = aes::unit_of(&source, unit)?;
                let block = Zeroizing::new(aes::block(&key, false, &input));
                Zeroizing::new([&block[..], &[0; 16]].concat())
            }
            KdfAlgorithm::Hkdf { message, .. } => {
                let (message, message_slot) = hkdf_message(self, core, message)?;
                message_use = message_slot;
                let key = source.get(..32).ok_or(Refusal::EXECUTION)?;
                hmac(key, &[&message])
            }
        };
        let answer = deliver(self, core, &result)?;
        for key_use in [key_use, message_use].into_iter().flatten() {
            core.count_use(key_use)?;
        }
        Ok(answer)
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Bytes {
    let mut context = ShaContext::hmac(key);
    parts.iter().for_each(|part| context.update(part));
    Zeroizing::new(context.finish().to_vec())
}

/// P_SHA256 of TLS 1.2 (RFC 5246 section 5), without a label.
fn prf(key: &[u8], message: &[u8], len: usize) -> Bytes {
    let mut result = Zeroizing::new(Vec::with_capacity(64));
    let mut a = hmac(key, &[message]);
    while result.len() < len {
        result.extend(hmac(key, &[&a, message]).iter());
        a = hmac(key, &[&a]);
    }
    result
}

/// Returns all bytes that the key may be taken from.
fn source(kdf: &Kdf, core: &mut Core) -> Result<(Bytes, Option<KeyUse>), Refusal> {
    let bytes = match kdf.source {
        KdfSource::TempKey => temp_key(core)?,
        KdfSource::TempKeyUpper => Zeroizing::new(temp_key(core)?.get(32..64).ok_or(Refusal::EXECUTION)?.to_vec()),
        KdfSource::AlternateKeyBuffer => {
            Zeroizing::new(core.sram.alternate_key.as_ref().ok_or(Refusal::EXECUTION)?.to_vec())
        }
        KdfSource::Slot(slot) => return slot_bytes(kdf, core, slot).map(|(bytes, key_use)| (bytes, Some(key_use))),
    };
    Ok((bytes, None))
}

/// Returns the bytes of a slot as key or message.
fn slot_bytes(kdf: &Kdf, core: &Core, slot: Slot) -> Result<(Bytes, KeyUse), Refusal> {
    let config = core.config();
    let key_config = config.key_config(slot);
    allow(!key_config.private())?;
    allow(match kdf.algorithm {
        KdfAlgorithm::Aes { .. } => key_config.key_type() == KeyType::Aes,
        _ => matches!(key_config.key_type(), KeyType::Aes | KeyType::ShaOrData),
    })?;
    let no_mac = config.slot_config(slot).no_mac();
    allow(!((no_mac || key_config.req_random()) && core.switches.kdf_slot_rules_are_hmacs))?;
    let key_use = core.use_key(slot, Nonce::NotAsked)?;
    Ok((Zeroizing::new(core.image().part(Part::Slot(slot)).to_vec()), key_use))
}

fn temp_key(core: &Core) -> Result<Bytes, Refusal> {
    match core.sram.temp_key.as_ref().map(|temp_key| &temp_key.content) {
        Some(Content::Bytes(bytes)) => Ok(bytes.clone()),
        _ => Err(Refusal::EXECUTION),
    }
}

/// Returns HKDF's message; and, if it is in a slot, the use of that slot.
fn hkdf_message(kdf: &Kdf, core: &Core, message: HkdfMessage) -> Result<(Bytes, Option<KeyUse>), Refusal> {
    let (held, key_use) = match message {
        HkdfMessage::SpecialIv => {
            let config = core.config();
            let [at, iv @ ..] = [0, 1, 2].map(|i| config.as_bytes()[offset::KDF_IV_LOC + i]);
            let at = usize::from(at);
            allow(kdf.message.get(at..at + 2) == Some(&iv))?;
            return Ok((Zeroizing::new(kdf.message.clone()), None));
        }
        HkdfMessage::Input => return Ok((Zeroizing::new(kdf.message.clone()), None)),
        HkdfMessage::TempKey => (temp_key(core)?, None),
        HkdfMessage::Slot(slot) => {
            let (bytes, key_use) = slot_bytes(kdf, core, slot)?;
            (bytes, Some(key_use))
        }
    };
    // The number of bytes of a message in the chip, as details says.
    let len = kdf.message.len();
    allow(matches!(len, 32 | 64) || (core.switches.hkdf_message_length_is_free && len > 0))?;
    Ok((Zeroizing::new(held.get(..len).ok_or(Refusal::EXECUTION)?.to_vec()), key_use))
}

/// Checks the target of the result: KDFProt, and the rules of target slots, before anything is used.
fn check_target(kdf: &Kdf, core: &Core) -> Result<(), Refusal> {
    let aead = matches!(kdf.algorithm, KdfAlgorithm::Prf { aead: true, .. });
    let clear = aead || kdf.target == KdfTarget::Output;
    let encrypted = kdf.target == KdfTarget::OutputEncrypted;
    if encrypted {
        core.io_key()?;
    }
    allow(match core.config().chip_options().kdf_protection() {
        0 => true,
        1 => !clear,
        2 | 3 if core.switches.output_protection_means_inside => !(clear || encrypted),
        2 => !(clear || encrypted || matches!(kdf.target, KdfTarget::Slot(_))),
        _ => !clear && matches!(kdf.target, KdfTarget::Slot(_)),
    })?;
    match kdf.target {
        KdfTarget::Slot(slot) => {
            core.require_destination(slot, kdf.result_len(), core.switches.kdf_target_needs_always_write)
        }
        // The upper half is filled only if there is a lower half.
        KdfTarget::TempKeyUpper => temp_key(core).map(drop),
        _ => Ok(()),
    }
}

fn deliver(kdf: &Kdf, core: &mut Core, result: &[u8]) -> Outcome {
    let (kept, output) = match kdf.algorithm {
        KdfAlgorithm::Prf { aead: true, .. } => result.split_at(32),
        _ => (result, &[][..]),
    };
    // The caller chose the message: it never counts as the chip's own random number.
    let flags = TempKeyFlags { source_fixed: true, ..TempKeyFlags::default() };
    match kdf.target {
        KdfTarget::TempKey => core.sram.temp_key = Some(TempKey::new(kept, flags)),
        KdfTarget::TempKeyUpper => {
            let lower = temp_key(core)?;
            let both = Zeroizing::new([lower.get(..32).ok_or(Refusal::EXECUTION)?, kept].concat());
            core.sram.temp_key = Some(TempKey::new(&both, flags));
        }
        KdfTarget::Slot(slot) => core.program(Part::Slot(slot), 0, kept)?,
        KdfTarget::AlternateKeyBuffer => {
            core.sram.alternate_key = Some(Zeroizing::new(kept.try_into().map_err(|_| Refusal::PARSE)?));
        }
        KdfTarget::Output => return Ok(result.to_vec()),
        KdfTarget::OutputEncrypted => {
            let io_key = core.io_key()?;
            let nonce = core.random_32()?;
            let stream = Zeroizing::new(io_key_stream(&io_key, &nonce));
            let mut answer: Vec<u8> = result.iter().zip(stream.iter()).map(|(byte, key)| byte ^ key).collect();
            answer.extend(nonce);
            return Ok(answer);
        }
    }
    if output.is_empty() {
        success()
    } else {
        Ok(output.to_vec())
    }
}
