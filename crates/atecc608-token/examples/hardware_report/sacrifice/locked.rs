// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes of the locked chip that require no authorisation.

use atecc608_wire::commands::{
    Aes, Counter, DeriveKey, Ecdh, EcdhKey, EcdhTarget, GenKey, GenKeyMode, Kdf, KdfAlgorithm, KdfSource, KdfTarget,
    KeyLocation, Lock, LockZone, Mac, PrivWrite, Read, Sign, UpdateExtra, Verify, VerifyKey, Write,
};
use atecc608_wire::messages::{self, SlotStatement, TempKeyFlags};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{Command, Slot, Status};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::unlocked::boot;
use super::{layout, parent_digest, proof};
use crate::bench::{Bench, Step};
use crate::probe::{byte_switch, probes, refusal_switch, seen, status_switch, switch, Facts, Outcome, Probe};
use crate::vectors::*;

probes! { PROBES:
    unwritten: "blank_slots", "5.8", "What is in a slot where nothing was written?";
    unwritten_otp: "blank_otp", "5.8", "What is in the OTP zone where nothing was written?";
    short_block: "short_block_padding", "3.0", "What is read past the end of a slot's last block?";
    write_mac: "write_mac_mismatch", "3.22", "What does an encrypted Write answer to a wrong MAC?";
    encrypted_write: "encrypted Write", "3.22", "Is it done with a random nonce and a right MAC?";
    fixed_write: "encrypted_write_needs_random", "3.22", "Does an encrypted Write need a random nonce?";
    priv_write_mac: "priv_write_mac_mismatch", "3.13", "What does an encrypted PrivWrite answer to a wrong MAC?";
    priv_write: "encrypted PrivWrite", "3.13", "Is it done with a right MAC?";
    derive_mac: "derive_key_mac_mismatch", "3.4", "What does DeriveKey answer to a wrong MAC?";
    derive: "DeriveKey", "3.4", "Is it done with a right MAC?";
    roll: "derive_key_rolls_no_mac", "11", "Is a key rolled whose slot has NoMac?";
    kdf: "kdf_slot_rules_are_hmacs", "3.9", "Does KDF refuse a slot with NoMac?";
    kdf_target: "kdf_target_needs_always_write", "3.9", "Does KDF store only where a clear Write may?";
    ecdh_target: "ecdh_target_follows_write_config", "3.5", "Does ECDH store only where a clear Write may?";
    validate_external: "verify_validate_external", "3.21", "What does Verify(ValidateExternal) answer?";
    validate_mac: "verify_validate_answers_mac", "3.21", "Is Verify(Validate) with a MAC another thing than 03?";
    aes_random: "req_random_gates_aes", "3.0", "Does a ReqRandom key want a random TempKey for AES?";
    aes: "AES with a slot", "3.1", "Is FIPS 197's block right?";
    aes_type: "aes_wrong_key_type", "3.1", "What does AES answer to a slot that is not of type AES?";
    no_limit: "count_match_must_be_a_limit", "5.6", "Is a limited key refused while the slot of CountMatch holds other data?";
    limited_use: "limited use", "3.0", "Do two MACs with a limited key count two uses?";
    decrement: "update_extra_decrements", "3.20", "Has UpdateExtra mode 2, the decrement?";
    user_extra: "UpdateExtra", "3.20", "Can UserExtra be written once, and not twice?";
    counter: "counting up", "3.3", "Does Counter1 count up by one?";
    boot_nonce: "secure_boot_nonce_always", "5.1", "Does SecureBoot in clear need the nonce that its configuration wants?";
    boot_random: "SecureBoot", "3.16", "Is a right signature accepted after a random nonce?";
    copies: "check_mac_copies", "3.2", "Does CheckMac copy the slot after a password's?";
    copied_idle: "copied_temp_key_survives_idle", "1.3", "Does a copied TempKey survive idle?";
    slot_lock: "Lock(slot)", "3.10", "Can a slot be locked alone, and is it then?";
}

probes! { LAST:
    attestation: "GenKey 0C and Sign(internal)", "3.7, 3.19", "Does the chip's statement verify on the host?";
}

fn block(bench: &mut Bench, zone: Zone, address: Address) -> Step<Vec<u8>> {
    bench.must(&Read { zone, address, block: true })
}

fn unwritten(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    byte_switch(&block(bench, Zone::Data, Address::slot(layout::UNWRITTEN, 0, 0))?)
}

fn unwritten_otp(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    byte_switch(&block(bench, Zone::Otp, Address::block(1, 0))?)
}

fn short_block(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let last = block(bench, Zone::Data, Address::slot(layout::PUBLIC, 2, 0))?;
    byte_switch(last.get(8..).unwrap_or_default())
}

/// An encrypted Write of 32 bytes with this TempKey; with a damaged MAC on request.
fn encrypted(facts: &Facts, key: &[u8; 32], damage: bool) -> Write {
    let plain = [0xD4; 32];
    let data = plain.iter().zip(key).map(|(plain, key)| plain ^ key).collect();
    let address = Address::slot(layout::ENCRYPTED, 0, 0);
    let mut write = Write { zone: Zone::Data, address, data, mac: Some([0; 32]) };
    let mut mac = messages::write_mac(key, &write, &facts.config.serial_number(), &plain);
    mac[0] ^= u8::from(damage);
    write.mac = Some(mac);
    write
}

fn write_encrypted(bench: &mut Bench, facts: &Facts, damage: bool) -> Step<Status> {
    let nonce = bench.random_nonce()?;
    let key = parent_digest(bench, facts, &nonce)?;
    bench.status(&encrypted(facts, &key, damage))
}

fn write_mac(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    status_switch(write_encrypted(bench, facts, true)?, "a wrong MAC")
}

fn encrypted_write(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    seen(format!("{:02X}", write_encrypted(bench, facts, false)?.0))
}

fn fixed_write(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    bench.fixed_nonce(&[0x33; 32])?;
    let key = parent_digest(bench, facts, &[0x33; 32])?;
    refusal_switch(bench.status(&encrypted(facts, &key, false))?, false, "after a fixed nonce")
}

/// An encrypted PrivWrite of RFC 6979's key with this TempKey; with a damaged MAC on request.
pub(super) fn encrypted_key(facts: &Facts, slot: Slot, temp_key: &[u8; 32], damage: bool) -> PrivWrite {
    let mut plain = [0; 36];
    plain[4..].copy_from_slice(&EC_SCALAR);
    let stream = messages::priv_write_key_stream(temp_key);
    let key = std::array::from_fn(|i| plain[i] ^ stream[i]);
    let mut write = PrivWrite { slot, encrypted: true, key, mac: [0; 32] };
    write.mac = messages::priv_write_mac(temp_key, &write, &facts.config.serial_number(), &plain);
    write.mac[0] ^= u8::from(damage);
    write
}

fn write_key(bench: &mut Bench, facts: &Facts, damage: bool) -> Step<Status> {
    let nonce = bench.random_nonce()?;
    let key = parent_digest(bench, facts, &nonce)?;
    bench.status(&encrypted_key(facts, layout::SIGNER, &key, damage))
}

fn priv_write_mac(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    status_switch(write_key(bench, facts, true)?, "a wrong MAC")
}

fn priv_write(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let status = write_key(bench, facts, false)?;
    let public = bench.must(&GenKey::public(layout::SIGNER))?;
    let word = if public == Some(EC_PUBLIC) { "right" } else { "wrong" };
    seen(format!("{:02X}, the key in the slot is {word}", status.0))
}

fn derive_status(bench: &mut Bench, facts: &Facts, damage: bool) -> Step<Status> {
    bench.random_nonce()?;
    let mut derive = DeriveKey { target: layout::DERIVED, source_fixed: false, mac: None };
    let parent = layout::secret(layout::PARENT);
    let mut mac = messages::derive_key_mac(&parent, &derive, &facts.config.serial_number());
    mac[0] ^= u8::from(damage);
    derive.mac = Some(mac);
    bench.status(&derive)
}

fn derive_mac(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    status_switch(derive_status(bench, facts, true)?, "a wrong MAC")
}

fn derive(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    seen(format!("{:02X}", derive_status(bench, facts, false)?.0))
}

fn roll(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.random_nonce()?;
    let derive = DeriveKey { target: layout::ROLLED, source_fixed: false, mac: None };
    refusal_switch(bench.status(&derive)?, true, "DeriveKey(roll) of a NoMac slot")
}

fn kdf(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let kdf = Kdf {
        source: KdfSource::Slot(layout::ROLLED),
        target: KdfTarget::Output,
        algorithm: KdfAlgorithm::Prf { key_len: 1, long: false, aead: false },
        message: vec![0x5A; 16],
    };
    refusal_switch(bench.status(&kdf)?, false, "KDF with a NoMac slot")
}

fn kdf_target(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.fixed_nonce(&PRF_KEY)?;
    let kdf = Kdf {
        source: KdfSource::TempKey,
        target: KdfTarget::Slot(layout::DERIVED),
        algorithm: KdfAlgorithm::Prf { key_len: 1, long: false, aead: false },
        message: vec![0x5A; 16],
    };
    refusal_switch(bench.status(&kdf)?, false, "a slot that is not for clear writes")
}

fn ecdh_target(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let create = GenKey { mode: GenKeyMode::Create { digest: false }, key: KeyLocation::TempKey };
    bench.must(&create)?;
    let target = EcdhTarget::Slot(layout::DERIVED);
    let ecdh = Ecdh { key: EcdhKey::TempKey, target, encrypted: false, public_key: EC_PUBLIC };
    refusal_switch(bench.status(&ecdh)?, false, "a slot that is not for clear writes")
}

fn validate_external(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let key = VerifyKey::ValidateExternal { slot: layout::PUBLIC, public_key: EC_PUBLIC };
    let verify = Verify { key, signature: EC_SIGNATURE, mac: false };
    status_switch(bench.status(&verify)?, "a packet of the right form")
}

fn validate_mac(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let key = VerifyKey::Validate { slot: layout::PUBLIC, other_data: [0; 19] };
    let status = bench.status(&Verify { key, signature: EC_SIGNATURE, mac: true })?;
    switch(status != Status::PARSE_ERROR, "something else than 03", "03")
}

fn aes_with(slot: Slot) -> Aes {
    Aes::Block { key: KeyLocation::Slot(slot), unit: 1, decrypt: false, input: AES_PLAIN }
}

fn aes(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    if !facts.config.aes_enabled() {
        return crate::probe::not_here("AES_Enable is 0");
    }
    bench.random_nonce()?;
    let right = bench.must(&aes_with(layout::AES))? == AES_CIPHER;
    seen(if right { "right" } else { "wrong" })
}

fn aes_random(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    if !facts.config.aes_enabled() {
        return crate::probe::not_here("AES_Enable is 0");
    }
    refusal_switch(bench.status(&aes_with(layout::AES))?, false, "AES without a nonce")
}

fn aes_type(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    if !facts.config.aes_enabled() {
        return crate::probe::not_here("AES_Enable is 0");
    }
    bench.random_nonce()?;
    status_switch(bench.status(&aes_with(layout::PARENT))?, "a slot of another type")
}

fn count(bench: &mut Bench, number: u8, increment: bool) -> Step<u32> {
    bench.must(&Counter { number, increment })
}

fn no_limit(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let status = bench.status(&Mac::challenge(layout::COUNTED, [1; 32]))?;
    // From here on the slot has a limit, which the following probes do not reach.
    let limit = std::array::from_fn(|i| if i < 8 && i % 4 == 0 { 96 } else { 0 });
    bench.fresh()?;
    bench.must(&Write::block(Zone::Data, Address::slot(layout::UNWRITTEN, 0, 0), limit))?;
    refusal_switch(status, false, "MAC with a limited key")
}

fn limited_use(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let before = count(bench, 0, false)?;
    for challenge in [[1; 32], [2; 32]] {
        bench.must(&Mac::challenge(layout::COUNTED, challenge))?;
    }
    let uses = count(bench, 0, false)?.wrapping_sub(before);
    bench.fresh()?;
    bench.must(&Mac::challenge(layout::PARENT, [3; 32]))?;
    let others = count(bench, 0, false)?.wrapping_sub(before.wrapping_add(uses));
    seen(format!("two uses count {uses}; one of another key counts {others}"))
}

fn decrement(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    refusal_switch(bench.status(&UpdateExtra::Decrement(layout::COUNTED.number()))?, true, "UpdateExtra mode 2")
}

fn user_extra(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let mut status = |value| bench.status(&UpdateExtra::UserExtra(value));
    let statuses = [status(0x00)?, status(0x5A)?, status(0x5A)?];
    let [zero, first, second] = statuses.map(|status| format!("{:02X}", status.0));
    seen(format!("zero over zero {zero}, once {first}, twice {second}"))
}

fn counter(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let before = count(bench, 1, false)?;
    let after = count(bench, 1, true)?;
    seen(format!("by {}", after.wrapping_sub(before)))
}

fn boot_nonce(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    refusal_switch(bench.status(&boot())?, false, "SecureBoot without a nonce")
}

fn boot_random(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.random_nonce()?;
    seen(format!("{:02X}", bench.status(&boot())?.0))
}

/// CheckMac on the password, then a check whether TempKey is the next slot.
fn copy(bench: &mut Bench, facts: &Facts) -> Step<()> {
    let nonce = bench.random_nonce()?;
    bench.must(&proof(facts, layout::PASSWORD, &nonce))
}

fn copies(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    copy(bench, facts)?;
    let state = bench.state()?;
    if !state.valid {
        return switch(false, "", "TempKey is not valid afterwards");
    }
    let mac =
        Mac { temp_key_first: true, source_fixed: state.source_fixed(), ..Mac::challenge(layout::PARENT, [0x5A; 32]) };
    let answer = bench.must(&mac)?;
    let serial = facts.config.serial_number();
    let expected = messages::mac(&layout::secret(layout::COPIED), &[0x5A; 32], &mac, &[0; 11], &serial);
    match answer == expected {
        true => switch(true, "TempKey is the slot after it", ""),
        false => switch(false, "", "TempKey is valid, but not the slot after it"),
    }
}

fn copied_idle(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    copy(bench, facts)?;
    if !bench.state()?.valid {
        return crate::probe::not_here("nothing is copied");
    }
    bench.nap()?;
    switch(bench.state()?.valid, "it does", "it does not")
}

fn slot_lock(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let lock = Lock { zone: LockZone::Slot(layout::UNWRITTEN), summary: None };
    let status = bench.status(&lock)?;
    let write = Write::block(Zone::Data, Address::slot(layout::UNWRITTEN, 0, 0), [0; 32]);
    seen(format!("Lock {:02X}, then Write {:02X}", status.0, bench.status(&write)?.0))
}

fn attestation(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let slot = layout::SIGNER;
    let nonce = bench.random_nonce()?;
    let create = GenKey { mode: GenKeyMode::Create { digest: true }, key: KeyLocation::Slot(slot) };
    let public = bench.must(&create)?.ok_or("GenKey answered no public key")?;
    let sign = Sign::Internal { slot, full_serial: true, invalidate: false };
    let signature = bench.must(&sign)?;

    let serial = facts.config.serial_number();
    let [low, high] = create.packet().param2.to_le_bytes();
    let temp_key = messages::gen_key_digest(&nonce, [create.packet().param1, low, high], &serial, &public);
    let statement = SlotStatement {
        slot_config: facts.config.slot_config(slot),
        key_config: facts.config.key_config(slot),
        flags: TempKeyFlags { key_id: slot.number(), gen_key: true, ..TempKeyFlags::default() },
        slot_locked: false,
        validated: false,
    };
    let digest = Sha256::digest(messages::sign_internal(&temp_key, &sign, &statement, &serial));
    let key = VerifyingKey::from_sec1_bytes(&[&[4], &public[..]].concat()).map_err(|error| error.to_string())?;
    let signature = Signature::from_slice(&signature).map_err(|error| error.to_string())?;
    seen(if key.verify_prehash(&digest, &signature).is_ok() { "it does" } else { "it does not" })
}
