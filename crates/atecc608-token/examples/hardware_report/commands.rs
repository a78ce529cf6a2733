// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes of commands that write nothing, count nothing and use no secret of the user: keys come from the caller or
//! from the chip's random numbers, and of the slots only ECC private keys that are free to use are used.

use atecc608_wire::commands::{
    Aes, CheckMac, Counter, DigestSource, DigestTarget, Ecdh, EcdhKey, EcdhResponse, EcdhTarget, GenDig, GenKey,
    GenKeyMode, HkdfMessage, Info, Kdf, KdfAlgorithm, KdfResponse, KdfSource, KdfTarget, KeyLocation, Mac, MacOtp,
    Nonce, Random, Read, SelfTest, Sha, ShaResponse, Sign, Verify, VerifyKey,
};
use atecc608_wire::config_zone::offset;
use atecc608_wire::messages::{self, GenDigInput};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{Command, Opcode, Slot, Status};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use zeroize::Zeroizing;

use crate::bench::{Bench, Step};
use crate::line::raw_status;
use crate::probe::{not_here, probes, refusal_switch, seen, status_switch, switch, Facts, Outcome, Probe};
use crate::vectors::*;

probes! { PROBES:
    revision: "revision", "3.8", "Is the revision of Info that of the configuration zone?";
    random: "random numbers", "3.14", "Do random numbers differ?";
    sha: "SHA", "3.18", "Is the digest of \"abc\" right?";
    self_test: "self-test", "3.17", "What does SelfTest answer to the vendor's mode 3B?";
    self_test_temp_key: "self_test_keeps_temp_key", "3.0", "Does SelfTest leave TempKey as it was?";
    sha_64: "sha_end_takes_64", "3.18", "Does SHA(End) take 64 bytes?";
    out_of_range: "address_out_of_range", "3.22", "What does Read answer to an address outside the zone?";
    latch_read: "latch_read_needs_permission", "3.8", "Is the latch not to be read where it is not enabled?";
    gpio: "info_gpio", "3.8", "What does Info mode 03 answer on I2C?";
    unknown: "unknown opcodes", "3.0", "What do the 508's HMAC (11) and Pause (01) answer?";
    refusal_clears: "refusal_clears_temp_key", "3.0", "Does a command refused with 0F invalidate TempKey?";
    derived: "derived_nonce_is_random", "3.12", "Does a nonce derived from a fixed TempKey count as random?";
    sha_fixed: "sha_digest_is_fixed", "3.18", "Does a digest that SHA leaves in TempKey count as chosen by the caller?";
    verify_blank: "verify_external_needs_config_lock", "5.7", "Does a blank chip refuse Verify(external)?";
    temp_key_blank: "temp_key_macs_need_config_lock", "5.7", "Does a blank chip refuse HMAC, KDF, MAC, CheckMac and GenDig with TempKey?";
    verify: "Verify(external)", "3.21", "What is answered to a right and a wrong signature, and to no point?";
    digest_buffer: "digest buffer", "1.3", "Do idle and sleep keep the digest buffer?";
    counter_blank: "counter_needs_config_lock", "5.7", "Does a blank chip refuse to read a counter?";
    counters: "counters", "3.3", "Are both counters read as the configuration zone encodes them?";
    otp_before_lock: "reading before the data lock", "3.15", "Are OTP and data refused before the data lock?";
    galois: "AES(GFM)", "3.1", "Is the product right?";
    aes: "AES with TempKey", "3.1", "Is FIPS 197's block right?";
    aes_uses_up: "aes_uses_up_temp_key", "3.0", "Does AES with TempKey use it up?";
    hmac: "HMAC with TempKey", "3.18", "Is RFC 4231's HMAC right?";
    prf: "KDF(PRF) with TempKey", "3.9", "Is the vendor's vector right?";
    hkdf: "KDF(HKDF) with TempKey", "3.9", "Is HKDF one HMAC over the message?";
    gen_dig: "GenDig and MAC with TempKey", "3.6, 3.11", "Are both as the host computes them?";
    check_mac: "CheckMac with TempKey", "3.2", "Is the host's MAC accepted, and a wrong one refused?";
    mac_otp: "mac_takes_otp", "3.11", "Does MAC take the modes that digest OTP bytes?";
    ephemeral: "ECDH with TempKey", "3.5", "Does an ephemeral key agree with the host?";
    bad_point: "ecdh_bad_point", "3.5", "What does ECDH answer to a point that is not on the curve?";
    to_slot: "ecdh_to_slot_forbids_output", "3.5", "Does a key whose result goes to a slot refuse the output?";
    sign: "Sign(external)", "3.19", "Does a signature verify?";
    public: "GenKey(public)", "3.7", "Which slots with a private key tell the public key?";
    gen_dig_private: "gen_dig_refuses_private_keys", "3.6", "Does GenDig refuse a private key's slot?";
    sign_random: "req_random_gates_sign", "3.0", "Does a ReqRandom key want a random TempKey for Sign?";
    hkdf_length: "hkdf_message_length_is_free", "3.9", "Does HKDF take 16 bytes of TempKey as its message?";
    inside: "output_protection_means_inside", "3.5, 3.9", "Does ECDHProt or KDFProt 3 allow targets that are no slots?";
    latch_clear: "latch_clear_is_free", "3.8", "May the latch be cleared without authorisation?";
}

const BLANK: &str = "only a chip with an unlocked configuration can tell";
const LOCKED: &str = "it needs a locked configuration";

/// Ends a probe that does not work with an unlocked configuration.
macro_rules! needs {
    ($condition:expr, $why:expr) => {
        if !$condition {
            return not_here($why);
        }
    };
}

fn right(is: bool) -> Step<Outcome> {
    seen(if is { "right" } else { "wrong" })
}

fn revision(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let revision = bench.must(&Info::Revision)?;
    seen(if revision == facts.config.as_bytes()[4..8] { "the same" } else { "another" })
}

fn random(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let first = bench.must(&Random { update_seed: true })?;
    let second = bench.must(&Random { update_seed: false })?;
    seen(match first == second {
        true if first == Random::UNLOCKED_PATTERN => "always FF FF 00 00",
        true => "always the same",
        false => "different each time",
    })
}

/// Digest or HMAC of one short message after a start command.
fn digest(bench: &mut Bench, start: &Sha, message: &[u8], target: DigestTarget) -> Step<[u8; 32]> {
    bench.must(start)?;
    match bench.must(&Sha::End { rest: message.to_vec(), target })? {
        ShaResponse::Digest(digest) => Ok(digest),
        _ => Err("SHA answered no digest".to_owned()),
    }
}

fn sha(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    right(digest(bench, &Sha::Start, b"abc", DigestTarget::Output)? == ABC_DIGEST)
}

fn self_test(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let failed = bench.must(&SelfTest::ALL)?;
    seen(format!("{failed:02X}"))
}

fn self_test_temp_key(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.fixed_nonce(&[0x5A; 32])?;
    bench.must(&SelfTest::ALL)?;
    switch(bench.state()?.valid, "it does", "it does not")
}

fn sha_64(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.must(&Sha::Start)?;
    let end = Sha::End { rest: vec![0x5A; 64], target: DigestTarget::Output };
    refusal_switch(bench.status(&end)?, true, "64 bytes")
}

fn out_of_range(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let read = Read { zone: Zone::Config, address: Address::block(4, 0), block: true };
    status_switch(bench.status(&read)?, "block 4 of the configuration")
}

fn latch_read(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let permission = facts.config.as_bytes()[offset::VOLATILE_KEY_PERMISSION];
    needs!(permission & 0x80 == 0, "VolatileKeyPermission is on");
    refusal_switch(bench.status(&Info::LatchRead)?, false, "reading")
}

fn gpio(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let text = raw_status(bench, Opcode::INFO, 3, 0)?;
    let position = (text.len() == 2).then(|| text.clone());
    Ok(Outcome::Seen { text: format!("answered {text}"), position })
}

fn unknown(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    let hmac = raw_status(bench, Opcode(0x11), 0, 0)?;
    seen(format!("HMAC {hmac}, Pause {}", raw_status(bench, Opcode(0x01), 0, 0)?))
}

/// Two commands that always fail: SHA without a start, and a read of OTP before the lock, or of a secret after it.
fn refusal_clears(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    bench.fixed_nonce(&[0x5A; 32])?;
    let sha = bench.status(&Sha::End { rest: Vec::new(), target: DigestTarget::Output })?;
    let after_sha = bench.state()?.valid;
    bench.fixed_nonce(&[0x5A; 32])?;
    let secret = Slot::all().find(|slot| facts.config.key_config(*slot).private());
    let (zone, address) = match secret.filter(|_| facts.config.data_locked()) {
        Some(slot) => (Zone::Data, Address::slot(slot, 0, 0)),
        None => (Zone::Otp, Address::block(0, 0)),
    };
    let read = bench.status(&Read { zone, address, block: true })?;
    let after_read = bench.state()?.valid;
    if (sha, read) != (Status::EXECUTION_ERROR, Status::EXECUTION_ERROR) {
        return seen(format!("nothing was refused with 0F: SHA {:02X}, Read {:02X}", sha.0, read.0));
    }
    match (after_sha, after_read) {
        (false, false) => switch(true, "SHA and Read do", ""),
        (true, true) => switch(false, "", "neither SHA nor Read does"),
        (false, true) => seen("SHA does, Read does not"),
        (true, false) => seen("Read does, SHA does not"),
    }
}

fn derived(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    bench.fixed_nonce(&[0x5A; 32])?;
    bench.must(&Nonce::Derived { update_seed: true, num_in: [1; 20] })?;
    switch(!bench.state()?.source_fixed(), "as random", "as chosen by the caller")
}

fn sha_fixed(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    digest(bench, &Sha::Start, b"abc", DigestTarget::TempKey)?;
    let state = bench.state()?;
    match state.valid {
        true => switch(state.source_fixed(), "as chosen by the caller", "as random"),
        false => seen("TempKey is not valid"),
    }
}

fn verify_status(bench: &mut Bench, public_key: [u8; 64], signature: [u8; 64]) -> Step<Status> {
    bench.must(&Nonce::digest(&EC_DIGEST))?;
    verify_buffer(bench, public_key, signature)
}

/// Verify with the contents of the digest buffer.
fn verify_buffer(bench: &mut Bench, public_key: [u8; 64], signature: [u8; 64]) -> Step<Status> {
    let key = VerifyKey::External { source: DigestSource::MessageDigestBuffer, public_key };
    bench.status(&Verify { key, signature, mac: false })
}

fn verify_blank(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(!facts.config.config_locked(), BLANK);
    refusal_switch(verify_status(bench, EC_PUBLIC, EC_SIGNATURE)?, false, "a right signature")
}

fn temp_key_blank(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(!facts.config.config_locked(), BLANK);
    let algorithm = KdfAlgorithm::Prf { key_len: 1, long: false, aead: false };
    let message = PRF_KEY[..16].to_vec();
    let mac = Mac { challenge: None, temp_key_first: true, ..Mac::challenge(Slot::from_nibble(0), [0; 32]) };
    let statuses = [
        with_temp_key(bench, &Sha::HmacStart(KeyLocation::TempKey))?,
        with_temp_key(bench, &Kdf { source: KdfSource::TempKey, target: KdfTarget::Output, algorithm, message })?,
        with_temp_key(bench, &Mac { source_fixed: true, ..mac })?,
        with_temp_key(bench, &check_mac_of_temp_key())?,
        with_temp_key(bench, &GenDig::Counter(0))?,
    ];
    let refused = statuses.iter().filter(|status| **status == Status::EXECUTION_ERROR).count();
    let position = match refused {
        0 => Some("off".to_owned()),
        5 => Some("on".to_owned()),
        _ => None,
    };
    Ok(Outcome::Seen { text: statuses.map(|status| format!("{:02X}", status.0)).join(" "), position })
}

fn with_temp_key<C: Command>(bench: &mut Bench, command: &C) -> Step<Status> {
    bench.fixed_nonce(&[0xA5; 32])?;
    bench.status(command)
}

fn verify(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    let mut wrong = EC_SIGNATURE;
    wrong[63] ^= 1;
    let good = verify_status(bench, EC_PUBLIC, EC_SIGNATURE)?;
    let bad = verify_status(bench, EC_PUBLIC, wrong)?;
    let point = verify_status(bench, NO_POINT, EC_SIGNATURE)?;
    seen(format!("right {:02X}, wrong {:02X}, no point {:02X}", good.0, bad.0, point.0))
}

fn digest_buffer(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    bench.must(&Nonce::digest(&EC_DIGEST))?;
    bench.nap()?;
    let idle = verify_buffer(bench, EC_PUBLIC, EC_SIGNATURE)?;
    bench.fresh()?;
    let sleep = verify_buffer(bench, EC_PUBLIC, EC_SIGNATURE)?;
    seen(format!("Verify with it: after idle {:02X}, after sleep {:02X}", idle.0, sleep.0))
}

fn counter_blank(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(!facts.config.config_locked(), BLANK);
    refusal_switch(bench.status(&Counter { number: 0, increment: false })?, false, "reading")
}

fn counters(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    let mut same = true;
    for number in [0, 1] {
        let encoded = facts.config.counter(usize::from(number));
        same &= encoded == Some(bench.must(&Counter { number, increment: false })?);
    }
    right(same)
}

fn otp_before_lock(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(!facts.config.data_locked(), "only a chip with unlocked data can tell");
    let mut status = |zone, address| bench.status(&Read { zone, address, block: true });
    let otp = status(Zone::Otp, Address::block(0, 0))?;
    let data = status(Zone::Data, Address::slot(Slot::from_nibble(8), 0, 0))?;
    seen(format!("OTP {:02X}, slot 8 {:02X}", otp.0, data.0))
}

fn galois(bench: &mut Bench, _: &Facts) -> Step<Outcome> {
    right(bench.must(&Aes::GaloisMultiply { h: GCM_H, input: GCM_INPUT })? == GCM_PRODUCT)
}

fn aes_block(bench: &mut Bench) -> Step<[u8; 16]> {
    bench.fixed_nonce(&[AES_KEY, AES_KEY].concat())?;
    bench.must(&Aes::Block { key: KeyLocation::TempKey, unit: 1, decrypt: false, input: AES_PLAIN })
}

fn aes(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.aes_enabled(), "AES_Enable is 0");
    right(aes_block(bench)? == AES_CIPHER)
}

fn aes_uses_up(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.aes_enabled(), "AES_Enable is 0");
    aes_block(bench)?;
    switch(!bench.state()?.valid, "used up", "it stays valid")
}

fn hmac(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    bench.fixed_nonce(&HMAC_KEY)?;
    let start = Sha::HmacStart(KeyLocation::TempKey);
    right(digest(bench, &start, b"Hi There", DigestTarget::Output)? == HMAC_DIGEST)
}

/// KDF from TempKey to the bus.
fn derive(bench: &mut Bench, key: &[u8], algorithm: KdfAlgorithm, message: &[u8]) -> Step<Vec<u8>> {
    bench.fixed_nonce(key)?;
    let kdf = Kdf { source: KdfSource::TempKey, target: KdfTarget::Output, algorithm, message: message.to_vec() };
    match bench.must(&kdf)? {
        KdfResponse::Clear(ref bytes) => Ok(bytes.clone()),
        _ => Err("KDF kept its result".to_owned()),
    }
}

fn kdf_is_free(facts: &Facts) -> bool {
    facts.config.config_locked() && facts.config.chip_options().kdf_protection() == 0
}

const KDF: &str = "it needs a locked configuration with KDFProt 0";

fn prf(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(kdf_is_free(facts), KDF);
    let algorithm = KdfAlgorithm::Prf { key_len: 1, long: false, aead: false };
    right(derive(bench, &PRF_KEY, algorithm, &PRF_KEY[..16])? == PRF_OUTPUT)
}

fn hkdf(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(kdf_is_free(facts), KDF);
    let algorithm = KdfAlgorithm::Hkdf { message: HkdfMessage::Input, zero_key: false };
    right(derive(bench, &HMAC_KEY, algorithm, b"Hi There")? == HMAC_DIGEST)
}

fn gen_dig(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    let serial = facts.config.serial_number();
    let gen_dig = GenDig::Config(0);
    let mac = Mac { temp_key_first: true, source_fixed: true, ..Mac::challenge(Slot::from_nibble(0), [0x5A; 32]) };
    bench.fixed_nonce(&[0xA5; 32])?;
    bench.must(&gen_dig)?;
    let answer = bench.must(&mac)?;
    let mut block = Zeroizing::new([0; 32]);
    block.copy_from_slice(&facts.config.as_bytes()[..32]);
    let temp_key = messages::gen_dig(&[0xA5; 32], &gen_dig, &GenDigInput::Block(block), &serial);
    right(answer == messages::mac(&temp_key, &[0x5A; 32], &mac, &[0; 11], &serial))
}

/// A CheckMac with a wrong response.
fn check_mac_of_temp_key() -> CheckMac {
    CheckMac {
        slot: Slot::from_nibble(0),
        temp_key_second: false,
        temp_key_first: true,
        source_fixed: true,
        otp: false,
        challenge: [0x5A; 32],
        response: [0; 32],
        other_data: [0; 13],
    }
}

fn check_mac(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    let mut command = check_mac_of_temp_key();
    let serial = facts.config.serial_number();
    bench.fixed_nonce(&[0xA5; 32])?;
    let wrong = bench.status(&command)?;
    bench.fixed_nonce(&[0xA5; 32])?;
    command.response = messages::check_mac(&[0xA5; 32], &[0x5A; 32], &command, &[0; 11], &serial);
    seen(format!("right {:02X}, wrong {:02X}", bench.status(&command)?.0, wrong.0))
}

fn mac_otp(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    let mut status = |otp| {
        let mac = Mac::challenge(Slot::from_nibble(0), [0x5A; 32]);
        bench.fixed_nonce(&[0xA5; 32])?;
        bench.status(&Mac { temp_key_first: true, source_fixed: true, otp, ..mac })
    };
    match (status(MacOtp::First8)?, status(MacOtp::First11)?) {
        (Status::SUCCESS, Status::SUCCESS) => switch(true, "it does", ""),
        (Status::PARSE_ERROR, Status::PARSE_ERROR) => switch(false, "", "both are answered 03"),
        (first8, first11) => seen(format!("OTP[0..8] {:02X}, OTP[0..11] {:02X}", first8.0, first11.0)),
    }
}

/// Creates an ephemeral key in TempKey; returns its public key.
fn ephemeral_key(bench: &mut Bench) -> Step<[u8; 64]> {
    let create = GenKey { mode: GenKeyMode::Create { digest: false }, key: KeyLocation::TempKey };
    bench.must(&create)?.ok_or_else(|| "GenKey answered no public key".to_owned())
}

fn ephemeral(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    needs!(facts.config.chip_options().ecdh_protection() == 0, "it needs ECDHProt 0");
    let theirs = ephemeral_key(bench)?;
    let ours = p256::ecdh::EphemeralSecret::random(&mut p256::elliptic_curve::rand_core::OsRng);
    let mut public_key = [0; 64];
    public_key.copy_from_slice(&ours.public_key().to_encoded_point(false).as_bytes()[1..]);
    let ecdh = Ecdh { key: EcdhKey::TempKey, target: EcdhTarget::Output, encrypted: false, public_key };
    let EcdhResponse::Clear(secret) = bench.must(&ecdh)? else {
        return seen("the secret did not come in clear");
    };
    let theirs = p256::PublicKey::from_sec1_bytes(&[&[4], &theirs[..]].concat()).map_err(|error| error.to_string())?;
    right(ours.diffie_hellman(&theirs).raw_secret_bytes()[..] == secret)
}

fn bad_point(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    let target = match facts.config.chip_options().ecdh_protection() {
        0 => EcdhTarget::Output,
        2 => EcdhTarget::TempKey,
        _ => return not_here("it needs ECDHProt 0 or 2"),
    };
    ephemeral_key(bench)?;
    let ecdh = Ecdh { key: EcdhKey::TempKey, target, encrypted: false, public_key: NO_POINT };
    status_switch(bench.status(&ecdh)?, "no point")
}

fn to_slot(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let config = &facts.config;
    let slot = facts.private_key(|slot| config.slot_config(slot).ecdh() && config.slot_config(slot).ecdh_to_slot());
    let Some(slot) = slot.filter(|_| config.chip_options().ecdh_protection() == 0) else {
        return not_here("it needs a slot with a key whose ECDH result goes to a slot, and ECDHProt 0");
    };
    let ecdh = Ecdh { key: EcdhKey::Slot(slot), target: EcdhTarget::Output, encrypted: false, public_key: EC_PUBLIC };
    refusal_switch(bench.status(&ecdh)?, false, "ECDH to the output")
}

fn sign(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let may = |slot| facts.config.slot_config(slot).external_sign() && facts.config.key_config(slot).pub_info();
    let Some(slot) = facts.private_key(may) else {
        return not_here("it needs a slot with a key that is free to sign and tells its public key");
    };
    let public = bench.must(&GenKey::public(slot))?.ok_or("GenKey answered no public key")?;
    bench.must(&Nonce::digest(&ABC_DIGEST))?;
    let signature = bench.must(&Sign::External { source: DigestSource::MessageDigestBuffer, slot })?;
    let key = VerifyingKey::from_sec1_bytes(&[&[4], &public[..]].concat()).map_err(|error| error.to_string())?;
    let signature = Signature::from_slice(&signature).map_err(|error| error.to_string())?;
    right(key.verify_prehash(&ABC_DIGEST, &signature).is_ok())
}

fn public(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let mut told = Vec::new();
    for slot in facts.keys.iter().filter(|slot| facts.config.key_config(**slot).private()) {
        bench.fresh()?;
        told.push(format!("slot {slot}: {:02X}", bench.status(&GenKey::public(*slot))?.0));
    }
    match told.is_empty() {
        true => not_here("it has no private key"),
        false => seen(told.join(", ")),
    }
}

fn gen_dig_private(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let Some(slot) = facts.private_key(|_| true) else {
        return not_here("it needs a slot with a private key that is free to use");
    };
    bench.random_nonce()?;
    refusal_switch(bench.status(&GenDig::slot(slot))?, false, "GenDig")
}

fn sign_random(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let may = |slot| facts.config.slot_config(slot).external_sign() && facts.config.key_config(slot).req_random();
    let Some(slot) = facts.private_key(may) else {
        return not_here("it needs a ReqRandom slot with a key that is free to sign");
    };
    bench.must(&Nonce::digest(&ABC_DIGEST))?;
    let sign = Sign::External { source: DigestSource::MessageDigestBuffer, slot };
    refusal_switch(bench.status(&sign)?, false, "Sign without a nonce")
}

fn hkdf_length(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(kdf_is_free(facts), KDF);
    bench.fixed_nonce(&HMAC_KEY)?;
    let algorithm = KdfAlgorithm::Hkdf { message: HkdfMessage::TempKey, zero_key: false };
    let kdf = Kdf { source: KdfSource::TempKey, target: KdfTarget::Output, algorithm, message: vec![0; 16] };
    refusal_switch(bench.status(&kdf)?, true, "16 bytes")
}

fn inside(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    needs!(facts.config.config_locked(), LOCKED);
    let options = facts.config.chip_options();
    if options.ecdh_protection() == 3 {
        ephemeral_key(bench)?;
        let target = EcdhTarget::TempKey;
        let ecdh = Ecdh { key: EcdhKey::TempKey, target, encrypted: false, public_key: EC_PUBLIC };
        return refusal_switch(bench.status(&ecdh)?, true, "ECDH to TempKey");
    }
    needs!(options.kdf_protection() == 3, "it needs ECDHProt or KDFProt 3");
    bench.fixed_nonce(&PRF_KEY)?;
    let algorithm = KdfAlgorithm::Prf { key_len: 1, long: false, aead: false };
    let target = KdfTarget::AlternateKeyBuffer;
    let kdf = Kdf { source: KdfSource::TempKey, target, algorithm, message: PRF_KEY[..16].to_vec() };
    refusal_switch(bench.status(&kdf)?, true, "KDF to the alternate key buffer")
}

fn latch_clear(bench: &mut Bench, facts: &Facts) -> Step<Outcome> {
    let permission = facts.config.as_bytes()[offset::VOLATILE_KEY_PERMISSION];
    needs!(facts.config.config_locked() && permission & 0x80 != 0, "VolatileKeyPermission is off");
    needs!(bench.must(&Info::LatchRead)?[0] == 0, "the latch is set: clearing it would change something");
    refusal_switch(bench.status(&Info::LatchSet(false))?, true, "clearing")
}
