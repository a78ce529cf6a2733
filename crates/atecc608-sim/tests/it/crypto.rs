// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip's cryptography checked with the p256 and sha2 crates (fact sheet sections 3.5, 3.7, 3.12, 3.18,
//! 3.19, 3.21).

use atecc608_sim::image::Part;
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::messages::{self, SlotStatement, TempKeyFlags};
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint};
use p256::{EncodedPoint, PublicKey, SecretKey};
use sha2::{Digest, Sha256};

const BUFFER: DigestSource = DigestSource::MessageDigestBuffer;

fn point(key: &PublicKey) -> [u8; 64] {
    key.to_encoded_point(false).as_bytes()[1..].try_into().unwrap()
}

fn public_key(point: &[u8; 64]) -> PublicKey {
    PublicKey::from_encoded_point(&EncodedPoint::from_untagged_bytes(point.into())).unwrap()
}

fn verifies(key: &[u8; 64], digest: &[u8], signature: &[u8; 64]) -> bool {
    let key = VerifyingKey::from(public_key(key));
    key.verify_prehash(digest, &Signature::from_slice(signature).unwrap()).is_ok()
}

fn stored(point: &[u8; 64]) -> Vec<u8> {
    [&[0; 4][..], &point[..32], &[0; 4], &point[32..]].concat()
}

fn host_key() -> SecretKey {
    SecretKey::from_slice(&[0x42; 32]).unwrap()
}

fn host_sign(digest: &[u8; 32]) -> [u8; 64] {
    let signature: Signature = SigningKey::from(host_key()).sign_prehash(digest).unwrap();
    signature.to_bytes().into()
}

fn random_nonce(master: &Master) -> [u8; 32] {
    match master.run(&Nonce::Random { update_seed: true, num_in: [7; 20] }).unwrap() {
        NonceResponse::Value(random) => messages::nonce(&random, &[7; 20], 0),
        NonceResponse::Stored => panic!("a random nonce answers a value"),
    }
}

fn fixed_temp_key(master: &Master, value: [u8; 32]) {
    master.run(&Nonce::Fixed { target: NonceTarget::TempKey, value: value.to_vec() }).unwrap();
}

#[test]
fn signatures_verify_and_are_never_the_same_twice() {
    let master = Master::tls();
    let key = master.run(&GenKey::create(slot(0))).unwrap().unwrap();
    assert_eq!(master.run(&GenKey::public(slot(0))).unwrap(), Some(key));
    master.run(&Nonce::digest(&[0x33; 32])).unwrap();
    let sign = Sign::External { source: BUFFER, slot: slot(0) };
    let first = master.run(&sign).unwrap();
    let second = master.run(&sign).unwrap();
    assert!(verifies(&key, &[0x33; 32], &first) && verifies(&key, &[0x33; 32], &second));
    assert_ne!(first, second);
    let replaced = master.run(&GenKey::create(slot(0))).unwrap().unwrap();
    assert_ne!(key, replaced);
    let third = master.run(&sign).unwrap();
    assert!(!verifies(&key, &[0x33; 32], &third) && verifies(&replaced, &[0x33; 32], &third));
}

#[test]
fn a_slot_that_holds_no_key_in_its_format_has_none() {
    let master = Master::tls();
    let order = hex("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
    for (pad, scalar, valid) in [(0, vec![1; 32], 1), (1, vec![1; 32], 0), (0, vec![0; 32], 0), (0, order, 0)] {
        master.tamper(|image| {
            let bytes = image.part_mut(Part::Slot(slot(0)));
            bytes[..4].copy_from_slice(&[0, 0, 0, pad]);
            bytes[4..].copy_from_slice(&scalar);
        });
        assert_eq!(master.run(&Info::KeyValid(slot(0))).unwrap()[0], valid);
        assert_eq!(master.status(&GenKey::public(slot(0))), if valid == 1 { OK } else { EXECUTION });
    }
}

#[test]
fn sign_from_the_digest_buffer_leaves_temp_key_and_sign_from_temp_key_uses_it_up() {
    let master = Master::tls();
    let key = master.run(&GenKey::create(slot(0))).unwrap().unwrap();
    fixed_temp_key(&master, [0x11; 32]);
    master.run(&Nonce::digest(&[0x22; 32])).unwrap();
    let from_buffer = master.run(&Sign::External { source: BUFFER, slot: slot(0) }).unwrap();
    assert!(verifies(&key, &[0x22; 32], &from_buffer));
    let from_temp_key = Sign::External { source: DigestSource::TempKey, slot: slot(0) };
    assert!(verifies(&key, &[0x11; 32], &master.run(&from_temp_key).unwrap()));
    assert_eq!(master.status(&from_temp_key), EXECUTION);
}

#[test]
fn a_refused_command_clears_temp_key() {
    let master = Master::tls();
    fixed_temp_key(&master, [0x11; 32]);
    assert_eq!(master.run(&Info::State).unwrap()[1], 0x80);
    assert_eq!(master.status(&GenKey::public(slot(0))), EXECUTION);
    assert_eq!(master.run(&Info::State).unwrap()[1], 0x00);
}

#[test]
fn nonces_fill_temp_key_as_the_host_computes() {
    let master = Master::tls();
    master.run(&GenKey::create(slot(0))).unwrap();
    let key = master.run(&GenKey::public(slot(0))).unwrap().unwrap();
    let expected = random_nonce(&master);
    assert_eq!(master.run(&Info::State).unwrap(), [0x00, 0x80, 0, 0]);
    let derived = messages::nonce(&expected, &[9; 20], 1);
    let answer = master.run(&Nonce::Derived { update_seed: false, num_in: [9; 20] }).unwrap();
    assert_eq!(answer, NonceResponse::Value(derived));
    let signature = master.run(&Sign::External { source: DigestSource::TempKey, slot: slot(0) }).unwrap();
    assert!(verifies(&key, &derived, &signature));
    assert_eq!(master.status(&Nonce::Derived { update_seed: true, num_in: [9; 20] }), EXECUTION);
}

#[test]
fn internal_sign_attests_the_key_that_gen_key_digested() {
    let master = Master::with_image(tls_image(true, false));
    master.wake();
    let attestation = master.run(&GenKey::create(slot(1))).unwrap().unwrap();
    assert_eq!(master.lock(LockZone::Data), OK);
    let nonce = random_nonce(&master);
    let create = GenKey { mode: GenKeyMode::Create { digest: true }, key: KeyLocation::Slot(slot(0)) };
    let key = master.run(&create).unwrap().unwrap();
    assert_eq!(master.run(&Info::State).unwrap(), [0x40, 0x80, 0, 0]);
    let sign = Sign::Internal { slot: slot(1), full_serial: true, invalidate: false };
    let signature = master.run(&sign).unwrap();
    let temp_key = messages::gen_key_digest(&nonce, [0x0C, 0, 0], &SERIAL, &key);
    let config = master.bus.image(0).unwrap().config();
    let statement = SlotStatement {
        slot_config: config.slot_config(slot(0)),
        key_config: config.key_config(slot(0)),
        flags: TempKeyFlags { gen_key: true, ..TempKeyFlags::default() },
        slot_locked: false,
        validated: false,
    };
    let message = messages::sign_internal(&temp_key, &sign, &statement, &SERIAL);
    assert!(verifies(&attestation, &Sha256::digest(message), &signature));
    assert_eq!(master.status(&sign), EXECUTION, "TempKey is used up");
    fixed_temp_key(&master, [1; 32]);
    assert_eq!(master.status(&sign), EXECUTION, "TempKey must come from GenDig or GenKey");
}

#[test]
fn slots_sign_only_as_read_key_allows() {
    let master = Master::with_image(tls_image(true, false));
    master.wake();
    master.run(&GenKey::create(slot(1))).unwrap();
    assert_eq!(master.lock(LockZone::Data), OK);
    master.run(&Nonce::digest(&[1; 32])).unwrap();
    assert_eq!(master.status(&Sign::External { source: BUFFER, slot: slot(1) }), EXECUTION);
    master.run(&GenKey::create(slot(0))).unwrap();
    random_nonce(&master);
    master.run(&GenKey { mode: GenKeyMode::Public { digest: true }, key: KeyLocation::Slot(slot(0)) }).unwrap();
    let internal = Sign::Internal { slot: slot(0), full_serial: false, invalidate: false };
    assert_eq!(master.status(&internal), EXECUTION);
}

#[test]
fn verify_external_says_right_wrong_or_no_point() {
    let master = Master::tls();
    let key = point(&host_key().public_key());
    let verify = |public_key, signature, source| Verify {
        key: VerifyKey::External { source, public_key },
        signature,
        mac: false,
    };
    let signature = host_sign(&[5; 32]);
    master.run(&Nonce::digest(&[5; 32])).unwrap();
    assert_eq!(master.status(&verify(key, signature, BUFFER)), OK);
    let mut wrong = signature;
    wrong[40] ^= 1;
    assert_eq!(master.status(&verify(key, wrong, BUFFER)), MISCOMPARE);
    assert_eq!(master.status(&verify(key, [0; 64], BUFFER)), MISCOMPARE);
    let mut off_curve = key;
    off_curve[63] ^= 1;
    assert_eq!(master.status(&verify(off_curve, signature, BUFFER)), EXECUTION);
    fixed_temp_key(&master, [5; 32]);
    assert_eq!(master.status(&verify(key, signature, DigestSource::TempKey)), OK);
    assert_eq!(master.status(&verify(key, signature, DigestSource::TempKey)), EXECUTION, "used up");
}

#[test]
fn verify_answers_a_mac_with_the_io_protection_key() {
    let master = Master::tls();
    master.tamper(|image| image.part_mut(Part::Slot(slot(6)))[..32].copy_from_slice(&[0x66; 32]));
    let digest_and_nonce: Vec<u8> = [[5; 32], [6; 32]].concat();
    let load = Nonce::Fixed { target: NonceTarget::MessageDigestBuffer, value: digest_and_nonce };
    let public_key = point(&host_key().public_key());
    let signature = host_sign(&[5; 32]);
    let verify = Verify { key: VerifyKey::External { source: BUFFER, public_key }, signature, mac: true };
    master.run(&Nonce::digest(&[5; 32])).unwrap();
    assert_eq!(master.status(&verify), EXECUTION, "32 bytes leave no room for the system nonce");
    master.run(&load).unwrap();
    let expected = messages::verify_mac(&[0x66; 32], &[5; 32], &[6; 32], &verify);
    assert_eq!(master.run(&verify), Ok(VerifyResponse::Mac(expected)));
    fixed_temp_key(&master, [5; 32]);
    let from_temp_key =
        Verify { key: VerifyKey::External { source: DigestSource::TempKey, public_key }, ..verify.clone() };
    let expected = messages::verify_mac(&[0x66; 32], &[5; 32], &[5; 32], &from_temp_key);
    assert_eq!(master.run(&from_temp_key), Ok(VerifyResponse::Mac(expected)));
    master.tamper(|image| image.part_mut(Part::Config)[90] &= !2);
    assert_eq!(master.status(&verify), EXECUTION, "IO protection is off");
}

#[test]
fn a_stored_public_key_verifies_and_must_be_validated_if_pub_info_says_so() {
    let master = Master::tls();
    let parent = host_key();
    let child = SecretKey::from_slice(&[0x43; 32]).unwrap();
    let child_point = point(&child.public_key());
    // Slot 14: validated public key with parent slot 11, written only while not validated.
    master.tamper(|image| {
        image.part_mut(Part::Config)[48..50].copy_from_slice(&[0x0B, 0x1F]);
        image.part_mut(Part::Config)[124..126].copy_from_slice(&[0x12, 0x00]);
        image.part_mut(Part::Slot(slot(11))).copy_from_slice(&stored(&point(&parent.public_key())));
    });
    let write = |block: u8| {
        let mut bytes = stored(&child_point);
        bytes.resize(96, 0);
        let at = 32 * usize::from(block);
        let address = atecc608_wire::zone::Address::slot(slot(14), block, 0);
        Write::block(atecc608_wire::zone::Zone::Data, address, bytes[at..at + 32].try_into().unwrap())
    };
    for block in 0..3 {
        assert_eq!(master.status(&write(block)), OK);
    }
    let nibble = || master.bus.image(0).unwrap().part(Part::Slot(slot(14)))[0] >> 4;
    assert_eq!(nibble(), 0xA);

    let child_signature: Signature = SigningKey::from(child).sign_prehash(&[5; 32]).unwrap();
    let key = VerifyKey::Stored { source: BUFFER, slot: slot(14) };
    let use_key = Verify { key, signature: child_signature.to_bytes().into(), mac: false };
    master.run(&Nonce::digest(&[5; 32])).unwrap();
    assert_eq!(master.status(&use_key), EXECUTION, "not validated");

    let mark = |valid: bool| {
        let temp_key = random_nonce(&master);
        let other = [0x10, 14, 0];
        let digest_mode = GenKeyMode::StoredDigest { other_data: other };
        master.run(&GenKey { mode: digest_mode, key: KeyLocation::Slot(slot(14)) }).unwrap();
        let temp_key = messages::gen_key_digest(&temp_key, other, &SERIAL, &child_point);
        let mut other_data = [0; 19];
        other_data[17] = u8::from(!valid);
        let signature = host_sign(&messages::verify_validate(&temp_key, &other_data, &SERIAL));
        let key = if valid {
            VerifyKey::Validate { slot: slot(14), other_data }
        } else {
            VerifyKey::Invalidate { slot: slot(14), other_data }
        };
        Verify { key, signature, mac: false }
    };
    // The parent's signature over a TempKey that is not the digest of this key.
    let nonce = random_nonce(&master);
    let signature = host_sign(&messages::verify_validate(&nonce, &[0; 19], &SERIAL));
    let key = VerifyKey::Validate { slot: slot(14), other_data: [0; 19] };
    assert_eq!(master.status(&Verify { key, signature, mac: false }), EXECUTION);
    let forged = Verify { signature: [1; 64], ..mark(true) };
    assert_eq!(master.status(&forged), MISCOMPARE);
    assert_eq!(nibble(), 0xA);
    let validate = mark(true);
    assert_eq!(master.status(&validate), OK);
    assert_eq!(nibble(), 0x5);
    assert_eq!(master.run(&Info::KeyValid(slot(14))).unwrap()[0], 1);
    master.run(&Nonce::digest(&[5; 32])).unwrap();
    assert_eq!(master.status(&use_key), OK);
    assert_eq!(master.status(&write(1)), EXECUTION, "PubInvalid: no writes while validated");
    assert_eq!(master.status(&validate), EXECUTION, "TempKey is used up");
    let invalidate = mark(false);
    assert_eq!(master.status(&invalidate), OK);
    assert_eq!(nibble(), 0xA);
}

#[test]
fn verify_stored_on_a_req_random_slot_requires_a_random_temp_key() {
    let master = Master::tls();
    master.tamper(|image| {
        image.part_mut(Part::Config)[118] |= 0x40;
        image.part_mut(Part::Slot(slot(11))).copy_from_slice(&stored(&point(&host_key().public_key())));
    });
    let verify =
        |source, signature| Verify { key: VerifyKey::Stored { source, slot: slot(11) }, signature, mac: false };
    random_nonce(&master);
    master.run(&Nonce::digest(&[5; 32])).unwrap();
    assert_eq!(master.status(&verify(BUFFER, host_sign(&[5; 32]))), EXECUTION);
    fixed_temp_key(&master, [5; 32]);
    assert_eq!(master.status(&verify(DigestSource::TempKey, host_sign(&[5; 32]))), EXECUTION);
    let nonce = random_nonce(&master);
    assert_eq!(master.status(&verify(DigestSource::TempKey, host_sign(&nonce))), OK);
}

#[test]
fn ecdh_is_the_hosts_in_clear_encrypted_and_in_temp_key() {
    let master = Master::tls();
    master.tamper(|image| image.part_mut(Part::Slot(slot(6)))[..32].copy_from_slice(&[0x66; 32]));
    let key = public_key(&master.run(&GenKey::create(slot(2))).unwrap().unwrap());
    let host = host_key();
    let shared = p256::ecdh::diffie_hellman(host.to_nonzero_scalar(), key.as_affine());
    let shared: [u8; 32] = (*shared.raw_secret_bytes()).into();
    let ecdh = |target, encrypted| Ecdh {
        key: EcdhKey::Slot(slot(2)),
        target,
        encrypted,
        public_key: point(&host.public_key()),
    };
    for target in [EcdhTarget::Compatible, EcdhTarget::Output] {
        assert!(master.run(&ecdh(target, false)) == Ok(EcdhResponse::Clear(shared)));
    }
    match master.run(&ecdh(EcdhTarget::Output, true)) {
        Ok(EcdhResponse::Encrypted { secret, nonce }) => {
            let stream = messages::io_key_stream(&[0x66; 32], &nonce);
            let plain: Vec<u8> = secret.iter().zip(stream).map(|(byte, key)| byte ^ key).collect();
            assert_eq!(plain, shared);
        }
        _ => panic!("not encrypted"),
    }
    assert!(master.run(&ecdh(EcdhTarget::TempKey, false)) == Ok(EcdhResponse::Kept));
    let signer = master.run(&GenKey::create(slot(0))).unwrap().unwrap();
    let signature = master.run(&Sign::External { source: DigestSource::TempKey, slot: slot(0) }).unwrap();
    assert!(verifies(&signer, &shared, &signature));

    let mut off_curve = point(&host.public_key());
    off_curve[0] ^= 1;
    assert_eq!(master.status(&Ecdh { public_key: off_curve, ..ecdh(EcdhTarget::Output, false) }), EXECUTION);
    assert_eq!(master.status(&Ecdh { key: EcdhKey::Slot(slot(3)), ..ecdh(EcdhTarget::Output, false) }), EXECUTION);
    master.tamper(|image| image.part_mut(Part::Config)[24] &= !4);
    assert_eq!(master.status(&ecdh(EcdhTarget::Output, false)), EXECUTION, "ReadKey bit 2 is missing");
    master.tamper(|image| image.part_mut(Part::Config)[24] |= 4);
    // ECDHProt = 1: a result that leaves the chip must be encrypted.
    master.tamper(|image| image.part_mut(Part::Config)[91] |= 0x01);
    assert_eq!(master.status(&ecdh(EcdhTarget::Compatible, false)), EXECUTION);
    assert_eq!(master.status(&ecdh(EcdhTarget::Output, true)), OK);
    assert_eq!(master.status(&ecdh(EcdhTarget::TempKey, false)), OK);
}

#[test]
fn ecdh_keeps_the_secret_in_the_next_slot_if_slot_config_says_so() {
    let master = Master::tls();
    let key = public_key(&master.run(&GenKey::create(slot(0))).unwrap().unwrap());
    // Slot 0 as in the vendor's test configuration, slot 1 as a secret.
    master.tamper(|image| {
        image.part_mut(Part::Config)[20] = 0x8F;
        image.part_mut(Part::Config)[22..24].copy_from_slice(&[0xC4, 0x44]);
        image.part_mut(Part::Config)[98..100].copy_from_slice(&[0x1C, 0x00]);
    });
    let public_key = point(&host_key().public_key());
    let ecdh = |target| Ecdh { key: EcdhKey::Slot(slot(0)), target, encrypted: false, public_key };
    assert!(master.run(&ecdh(EcdhTarget::Compatible)) == Ok(EcdhResponse::Kept));
    let shared = p256::ecdh::diffie_hellman(host_key().to_nonzero_scalar(), key.as_affine());
    assert_eq!(master.bus.image(0).unwrap().part(Part::Slot(slot(1)))[..32], shared.raw_secret_bytes()[..]);
    assert_eq!(master.status(&ecdh(EcdhTarget::Output)), EXECUTION);
    // ReqAuth, AuthKey 7; then no ReqAuth, but a slot that is never written.
    for (place, bytes) in [(98, [0x9C, 0x07]), (98, [0x1C, 0x00]), (22, [0xC4, 0x84])] {
        master.tamper(|image| image.part_mut(Part::Config)[place..place + 2].copy_from_slice(&bytes));
        let status = if place == 98 && bytes[1] == 0 { OK } else { EXECUTION };
        assert_eq!(master.status(&ecdh(EcdhTarget::Compatible)), status, "{bytes:02X?} at {place}");
    }
}

#[test]
fn an_ephemeral_key_in_temp_key_is_good_for_one_ecdh_and_nothing_else() {
    let master = Master::tls();
    let create = GenKey { mode: GenKeyMode::Create { digest: false }, key: KeyLocation::TempKey };
    let public_key = point(&host_key().public_key());
    let ecdh = Ecdh { key: EcdhKey::TempKey, target: EcdhTarget::Output, encrypted: false, public_key };
    let ours = self::public_key(&master.run(&create).unwrap().unwrap());
    let shared = p256::ecdh::diffie_hellman(host_key().to_nonzero_scalar(), ours.as_affine());
    assert!(master.run(&ecdh) == Ok(EcdhResponse::Clear((*shared.raw_secret_bytes()).into())));
    assert_eq!(master.status(&ecdh), EXECUTION);
    master.run(&GenKey::create(slot(0))).unwrap();
    master.run(&create).unwrap();
    let sign = Sign::External { source: DigestSource::TempKey, slot: slot(0) };
    assert_eq!(master.status(&sign), EXECUTION, "the key itself is never signed");
    let into = |number| {
        master.run(&create).unwrap();
        master.status(&Ecdh { target: EcdhTarget::Slot(slot(number)), ..ecdh })
    };
    // Slot 9 is an AES slot with PubInfo: a destination, but not for clear writes.
    let slot_9 = || master.bus.image(0).unwrap().part(Part::Slot(slot(9))).to_vec();
    let before = slot_9();
    assert_eq!(into(9), EXECUTION);
    assert_eq!(slot_9(), before);
    master.tamper(|image| image.part_mut(Part::Config)[20 + 2 * 9 + 1] = 0x0F);
    assert_eq!(into(9), OK);
    assert_ne!(slot_9(), before);
    assert_eq!(into(8), EXECUTION, "slot 8 has no PubInfo");
    // ReqAuth, AuthKey 7.
    master.tamper(|image| image.part_mut(Part::Config)[96 + 2 * 9..][..2].copy_from_slice(&[0xBA, 0x07]));
    assert_eq!(into(9), EXECUTION);
}

#[test]
fn sha_is_sha256_over_idle_with_contexts_and_targets() {
    let master = Master::tls();
    let message: Vec<u8> = (0..150).collect();
    let expected: [u8; 32] = Sha256::digest(&message).into();
    let end = |target| Sha::End { rest: message[128..].to_vec(), target };
    master.run(&Sha::Start).unwrap();
    master.run(&Sha::Update(message[..5].to_vec())).unwrap();
    let ShaResponse::Context(context) = master.run(&Sha::ReadContext).unwrap() else { panic!("no context") };
    assert_eq!(context[..8], hex("05 00 00 00 67 E6 09 6A"));
    master.run(&Sha::Update(message[5..69].to_vec())).unwrap();
    master.run(&Sha::WriteContext(context)).unwrap();
    master.run(&Sha::Update(message[5..69].to_vec())).unwrap();
    master.run(&Sha::Update(message[69..128].to_vec())).unwrap();
    let digest = master.run(&end(DigestTarget::MessageDigestBuffer)).unwrap();
    assert_eq!(digest, ShaResponse::Digest(expected));
    let key = master.run(&GenKey::create(slot(0))).unwrap().unwrap();
    let signature = master.run(&Sign::External { source: BUFFER, slot: slot(0) }).unwrap();
    assert!(verifies(&key, &expected, &signature));
    assert_eq!(master.status(&end(DigestTarget::Output)), EXECUTION, "no context");
    assert_eq!(master.status(&Sha::Update(vec![0])), EXECUTION);
    master.run(&Sha::Start).unwrap();
    master.restart();
    assert_eq!(master.status(&Sha::Update(vec![0])), EXECUTION, "sleep loses the context");
    master.run(&Sha::Start).unwrap();
    master.run(&end(DigestTarget::TempKey)).unwrap();
    assert_eq!(master.run(&Info::State).unwrap(), [0x10, 0x80, 0, 0]);
}

#[test]
fn hmac_from_slot_and_temp_key_is_the_same_and_never_gives_its_context() {
    let master = Master::tls();
    master.tamper(|image| image.part_mut(Part::Slot(slot(5)))[..32].copy_from_slice(&[0x55; 32]));
    let hmac = |start: Sha| {
        master.run(&start).unwrap();
        assert_eq!(master.status(&Sha::ReadContext), EXECUTION);
        master.run(&Sha::Update(b"what do ya want ".to_vec())).unwrap();
        master.run(&Sha::End { rest: b"for nothing?".to_vec(), target: DigestTarget::Output }).unwrap()
    };
    let from_slot = hmac(Sha::HmacStart(KeyLocation::Slot(slot(5))));
    let block = |pad: u8| -> Vec<u8> { [[0x55; 32], [0; 32]].concat().iter().map(|byte| byte ^ pad).collect() };
    let inner = Sha256::digest([block(0x36), b"what do ya want for nothing?".to_vec()].concat());
    let outer: [u8; 32] = Sha256::digest([block(0x5C), inner.to_vec()].concat()).into();
    assert_eq!(from_slot, ShaResponse::Digest(outer));
    fixed_temp_key(&master, [0x55; 32]);
    master.run(&Sha::HmacStart(KeyLocation::TempKey)).unwrap();
    let rest = b"what do ya want for nothing?".to_vec();
    assert_eq!(master.run(&Sha::End { rest, target: DigestTarget::Output }), Ok(ShaResponse::Digest(outer)));
    // Slot 6 has ReqRandom, slot 7 NoMac, slot 9 is an AES key, slot 0 a private key.
    for number in [6, 7, 9, 0] {
        assert_eq!(master.status(&Sha::HmacStart(KeyLocation::Slot(slot(number)))), EXECUTION, "slot {number}");
    }
}

#[test]
fn gen_key_digest_on_a_req_random_slot_requires_a_random_nonce() {
    let master = Master::tls();
    master.run(&GenKey::create(slot(0))).unwrap();
    master.tamper(|image| image.part_mut(Part::Config)[96] |= 0x40);
    let digest = GenKey { mode: GenKeyMode::Public { digest: true }, key: KeyLocation::Slot(slot(0)) };
    fixed_temp_key(&master, [1; 32]);
    assert_eq!(master.status(&digest), EXECUTION);
    random_nonce(&master);
    assert_eq!(master.status(&digest), OK);
    assert_eq!(master.status(&GenKey::public(slot(0))), OK, "only the digest asks for it");
}
