// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes before the configuration is locked, and between the locks. The order matters: some prepare the chip for
//! others.

use atecc608_wire::commands::{
    DeriveKey, DigestSource, GenKey, Lock, LockZone, Nonce, PrivWrite, SecureBoot, SecureBootMode, Sign, Write,
};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{messages, Slot, Status};

use super::layout;
use crate::bench::{Bench, Step};
use crate::probe::{probes, refusal_switch, seen, status_switch, switch, Facts, Outcome, Probe};
use crate::vectors::*;

probes! { BLANK:
    reserved_word_address: "reserved_word_address_nacks", "1.5", "Is word address 04 not acknowledged?";
    serial_word: "config_place_not_writable", "3.22", "What does Write answer for the serial number?";
    wrong_config_summary: "lock_summary_mismatch", "3.10", "What does Lock answer to a wrong summary?";
}

probes! { BETWEEN:
    create_silent: "create_needs_pub_info", "3.7", "Does GenKey(create) need PubInfo?";
    keys: "keys before the data lock", "3.7, 3.13", "Can keys be created, and written in clear?";
    public_silent: "public_needs_pub_info_before_data_lock", "3.7", "Does GenKey(public) need PubInfo?";
    words: "words before the data lock", "3.22", "Is a write of 4 bytes refused?";
    slots: "slots before the data lock", "3.22", "Can slots and OTP be written in clear?";
    sign: "key_use_needs_data_lock", "3.19", "Does Sign need the data lock?";
    derive: "derive_key_needs_data_lock", "5.7", "Does DeriveKey need the data lock?";
    secure_boot: "secure_boot_needs_data_lock", "3.16", "Does SecureBoot need the data lock?";
    slot_lock: "slot_lock_needs_data_lock", "3.10", "Does Lock(slot) need the data lock?";
    wrong_data_summary: "Lock(data) with a wrong summary", "3.10", "What does it answer?";
}

fn reserved_word_address(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let acknowledged = bench.write(&[0x04])?;
    switch(!acknowledged, "not acknowledged", "acknowledged")
}

fn serial_word(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    // The present bytes, so that nothing would change.
    let word = std::array::from_fn(|i| facts.config.as_bytes()[i]);
    status_switch(bench.status(&Write::word(Zone::Config, Address::block(0, 0), word))?, "the serial number")
}

fn wrong_config_summary(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let right = atecc608_wire::crc::crc16(facts.config.as_bytes());
    let summary = Some([right[0] ^ 0x01, right[1]]);
    status_switch(bench.status(&Lock { zone: LockZone::Config, summary })?, "a wrong summary")
}

fn wrong_data_summary(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    // It covers blank slots with unknown contents: right by chance once in 65536.
    let status = bench.status(&Lock { zone: LockZone::Data, summary: Some([0x12, 0x34]) })?;
    seen(format!("{:02X}", status.0))
}

fn create_silent(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    refusal_switch(bench.status(&GenKey::create(layout::SILENT))?, false, "GenKey(create) without PubInfo")
}

fn clear_key(slot: Slot) -> PrivWrite {
    let mut key = [0; 36];
    key[4..].copy_from_slice(&EC_SCALAR);
    PrivWrite { slot, encrypted: false, key, mac: [0; 32] }
}

fn keys(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    for slot in [layout::AGREES_TO_SLOT, layout::GUARDED_KEY] {
        bench.must(&GenKey::create(slot))?;
    }
    bench.must(&clear_key(layout::SIGNER))?;
    let public = bench.must(&GenKey::public(layout::SIGNER))?;
    seen(match public == Some(EC_PUBLIC) {
        true => "both; the public key is right",
        false => "both; the public key is wrong",
    })
}

fn public_silent(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.must(&clear_key(layout::SILENT))?;
    refusal_switch(bench.status(&GenKey::public(layout::SILENT))?, false, "GenKey(public) without PubInfo")
}

fn words(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let write = Write::word(Zone::Data, Address::slot(layout::GUARDED_DATA, 0, 0), [0; 4]);
    seen(format!("{:02X}", bench.status(&write)?.0))
}

fn slots(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    for slot in Slot::all() {
        for (number, block) in (0..).zip(layout::blocks(slot)) {
            bench.fresh()?;
            bench.must(&Write::block(Zone::Data, Address::slot(slot, number, 0), block))?;
        }
    }
    bench.must(&Write::block(Zone::Otp, Address::block(0, 0), [0x07; 32]))?;
    seen("both")
}

fn sign(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.must(&Nonce::digest(&EC_DIGEST))?;
    let sign = Sign::External { source: DigestSource::MessageDigestBuffer, slot: layout::SIGNER };
    refusal_switch(bench.status(&sign)?, false, "Sign between the locks")
}

fn derive(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    bench.random_nonce()?;
    let mut derive = DeriveKey { target: layout::DERIVED, source_fixed: false, mac: None };
    derive.mac =
        Some(messages::derive_key_mac(&layout::secret(layout::PARENT), &derive, &facts.config.serial_number()));
    refusal_switch(bench.status(&derive)?, false, "DeriveKey between the locks")
}

/// SecureBoot with the signature of RFC 6979's vector.
pub(super) fn boot() -> SecureBoot {
    let mode = SecureBootMode::Full { signature: EC_SIGNATURE };
    SecureBoot { mode, prohibit: false, mac: false, digest: EC_DIGEST }
}

fn secure_boot(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.random_nonce()?;
    refusal_switch(bench.status(&boot())?, false, "SecureBoot between the locks")
}

fn slot_lock(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let lock = Lock { zone: LockZone::Slot(layout::UNWRITTEN), summary: None };
    let status = bench.status(&lock)?;
    debug_assert_ne!(status, Status::AFTER_WAKE);
    refusal_switch(status, false, "Lock(slot) between the locks")
}
