// SPDX-License-Identifier: MIT OR Apache-2.0
//! AES, KDF and SecureBoot of the simulated chip against their standards and the vendor's vectors (fact sheet sections 3.1,
//! 3.9 and 3.16).

use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};

const IO_KEY: [u8; 32] = [0x66; 32];

fn chip(change: impl FnOnce(&mut Image)) -> Master {
    let mut image = tls_image(true, true);
    image.part_mut(Part::Slot(slot(6)))[..32].copy_from_slice(&IO_KEY);
    // Slot 9 is an AES slot with PubInfo (KeyConfig 3A 00), here always writable: a target of KDF.
    image.part_mut(Part::Config)[39] = 0x0F;
    // The latch may be read (VolatileKeyPermission).
    image.part_mut(Part::Config)[69] = 0x87;
    image.part_mut(Part::Slot(slot(9)))[32..48].copy_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
    change(&mut image);
    let master = Master::with_image(image).untimed();
    master.wake();
    master
}

fn block(key: KeyLocation, unit: u8, decrypt: bool, input: &str) -> Aes {
    Aes::Block { key, unit, decrypt, input: hex(input).try_into().unwrap() }
}

#[test]
fn aes_is_sp_800_38a_and_gcms_multiplication() {
    let master = chip(|_| {});
    // SP 800-38A, F.1.1, first block.
    let (plain, cipher) = ("6BC1BEE22E409F96E93D7E117393172A", "3AD77BB40D7A3660A89ECAF32466EF97");
    let key = KeyLocation::Slot(slot(9));
    assert_eq!(master.run_on(&block(key, 2, false, plain)).unwrap()[..], hex(cipher));
    assert_eq!(master.run_on(&block(key, 2, true, cipher)).unwrap()[..], hex(plain));
    assert_eq!(master.status_on(&block(KeyLocation::TempKey, 3, false, plain)), EXECUTION);
    let loaded = [vec![0; 48], hex("2B7E151628AED2A6ABF7158809CF4F3C")].concat();
    master.fixed_nonce(&loaded);
    for _ in 0..2 {
        assert_eq!(master.run_on(&block(KeyLocation::TempKey, 3, false, plain)).unwrap()[..], hex(cipher));
    }
    master.fixed_nonce(&[0; 32]);
    assert_eq!(master.status_on(&block(KeyLocation::TempKey, 2, false, plain)), EXECUTION, "32 bytes are two keys");
    assert_eq!(master.status_on(&block(KeyLocation::Slot(slot(10)), 0, false, plain)), EXECUTION, "not an AES slot");
    let gfm = Aes::GaloisMultiply {
        h: hex("66E94BD4EF8A2C3B884CFA59CA342B2E").try_into().unwrap(),
        input: hex("0388DACE60B6A392F328C2B971B2FE78").try_into().unwrap(),
    };
    let product = hex("5E2EC746917062882C85B0685353DEB7");
    assert_eq!(master.run_on(&gfm).unwrap()[..], product);
    let blank = Master::blank();
    blank.wake();
    assert_eq!(blank.run(&gfm).map_err(|e| e.0), Ok(product.clone().try_into().unwrap()), "needs no lock");
    let without = chip(|image| image.part_mut(Part::Config)[13] = 0);
    assert_eq!(without.run_on(&gfm).unwrap()[..], product, "AES_Enable is about keys");
    without.fixed_nonce(&[0; 32]);
    for key in [key, KeyLocation::TempKey] {
        assert_eq!(without.status_on(&block(key, 1, false, plain)), PARSE);
    }
}

#[test]
fn a_blank_chip_computes_with_a_key_from_nonce_and_with_no_slot() {
    // FIPS 197, appendix C.1.
    let (plain, cipher) = ("00112233445566778899AABBCCDDEEFF", "69C4E0D86A7B0430D8CDB78070B4C55A");
    let blank = Master::blank().untimed();
    blank.wake();
    blank.fixed_nonce(&[counted(), vec![0; 16]].concat());
    assert_eq!(blank.run_on(&block(KeyLocation::TempKey, 0, false, plain)).unwrap()[..], hex(cipher));
    assert_eq!(blank.run_on(&block(KeyLocation::TempKey, 0, true, cipher)).unwrap()[..], hex(plain));
    assert_eq!(blank.status_on(&block(KeyLocation::Slot(slot(9)), 0, false, plain)), EXECUTION);
}

const PRF: KdfAlgorithm = KdfAlgorithm::Prf { key_len: 1, long: true, aead: false };

fn kdf(source: KdfSource, target: KdfTarget, algorithm: KdfAlgorithm, message: &[u8]) -> Kdf {
    Kdf { source, target, algorithm, message: message.to_vec() }
}

fn counted() -> Vec<u8> {
    hex("000102030405060708090A0B0C0D0E0F")
}

#[test]
fn prf_is_the_vendors_vector_from_every_source_to_every_target() {
    let expected = hex("1EBCBE62005AB948FDFFE1C402AABA354EC676050C9BC1AAE1FF5B1509A4A04A
        44254664C2A480F5B77EA2D1020C7BA4B3640C4AC793324C26D6FDDFDB1F011A");
    let key = [counted(), counted()].concat();
    let master = chip(|image| image.part_mut(Part::Slot(slot(10)))[..32].copy_from_slice(&key));
    master.fixed_nonce(&[&key[..], &key].concat());
    master.run_on(&Nonce::Fixed { target: NonceTarget::AlternateKeyBuffer, value: key.clone() }).unwrap();
    let sources =
        [KdfSource::TempKey, KdfSource::TempKeyUpper, KdfSource::AlternateKeyBuffer, KdfSource::Slot(slot(10))];
    for source in sources {
        let clear = kdf(source, KdfTarget::Output, PRF, &counted());
        assert_eq!(master.run_on(&clear), Ok(KdfResponse::Clear(expected.clone())), "{source:?}");
        let encrypted = master.run_on(&kdf(source, KdfTarget::OutputEncrypted, PRF, &counted())).unwrap();
        let KdfResponse::Encrypted { data, nonce } = &encrypted else { panic!("{encrypted:?}") };
        let stream = [sha(&[&IO_KEY, &nonce[..16]]), sha(&[&IO_KEY, &nonce[16..]])].concat();
        let plain: Vec<u8> = data.iter().zip(stream).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(plain, expected);
    }
    let slot_target = kdf(KdfSource::AlternateKeyBuffer, KdfTarget::Slot(slot(9)), PRF, &counted());
    assert_eq!(master.status_on(&slot_target), OK);
    assert_eq!(master.bus.image(0).unwrap().part(Part::Slot(slot(9)))[..64], expected);
    for number in [0, 10] {
        let wrong = kdf(KdfSource::Slot(slot(10)), KdfTarget::Slot(slot(number)), PRF, &counted());
        assert_eq!(master.status_on(&wrong), EXECUTION, "slot {number} is no target");
    }
    let halves = KdfAlgorithm::Prf { key_len: 1, long: true, aead: true };
    let aead = kdf(KdfSource::Slot(slot(10)), KdfTarget::TempKey, halves, &counted());
    assert_eq!(master.run_on(&aead), Ok(KdfResponse::Clear(expected[32..].to_vec())));
    assert_eq!(master.temp_key_state(), [0x10, 0x80], "the other half, which the caller shaped");
    let mac = Mac { challenge: None, source_fixed: true, ..Mac::challenge(slot(10), [0; 32]) };
    let over_half = sha(&[&key, &expected[..32], &[8, 5, 10, 0], &[0; 11], &SN[..1], &[0; 4], &SN[1..], &[0; 2]]);
    assert_eq!(master.run_on(&mac), Ok(over_half));
}

#[test]
fn aes_and_hkdf_derive_as_their_standards_say() {
    let master = chip(|image| {
        image.part_mut(Part::Config)[72..75].copy_from_slice(&[9, 0x69, 0x76]);
    });
    let aes = kdf(
        KdfSource::Slot(slot(9)),
        KdfTarget::Output,
        KdfAlgorithm::Aes { unit: 2 },
        &hex("6BC1BEE22E409F96E93D7E117393172A"),
    );
    let expected = [hex("3AD77BB40D7A3660A89ECAF32466EF97"), vec![0; 16]].concat();
    assert_eq!(master.run_on(&aes), Ok(KdfResponse::Clear(expected)));
    // RFC 4231 test case 2: "Jefe" padded with zeroes is the same HMAC key.
    let mut jefe = [0; 32];
    jefe[..4].copy_from_slice(b"Jefe");
    master.fixed_nonce(&jefe);
    let hkdf = |message, zero_key| KdfAlgorithm::Hkdf { message, zero_key };
    let input =
        kdf(KdfSource::TempKey, KdfTarget::Output, hkdf(HkdfMessage::Input, false), b"what do ya want for nothing?");
    let rfc = hex("5BDCC146BF60754E6A042426089575C75A003F089D2739839DEC58B964EC3843");
    assert_eq!(master.run_on(&input), Ok(KdfResponse::Clear(rfc.clone())));
    assert_eq!(master.run_on(&input), Ok(KdfResponse::Clear(rfc)), "TempKey stays");
    let special = |message: &[u8]| {
        kdf(KdfSource::TempKey, KdfTarget::AlternateKeyBuffer, hkdf(HkdfMessage::SpecialIv, false), message)
    };
    assert_eq!(master.status_on(&special(b"123456789iv")), OK);
    assert_eq!(master.status_on(&special(b"123456789IV")), EXECUTION);
    let zero = kdf(KdfSource::TempKey, KdfTarget::Output, hkdf(HkdfMessage::Input, true), b"");
    // HMAC-SHA256 with an empty key and message.
    let empty = hex("B613679A0814D9EC772F95D778C35FC5FF1697C493715653C6C712144292C5AD");
    assert_eq!(master.run_on(&zero), Ok(KdfResponse::Clear(empty)));
}

#[test]
fn kdf_obeys_chip_options() {
    for (protection, allowed) in
        [(0, [OK; 4]), (1, [EXECUTION, OK, OK, OK]), (2, [EXECUTION, EXECUTION, OK, EXECUTION])]
    {
        let master = chip(|image| image.part_mut(Part::Config)[91] |= protection << 2);
        let targets =
            [KdfTarget::Output, KdfTarget::OutputEncrypted, KdfTarget::AlternateKeyBuffer, KdfTarget::Slot(slot(9))];
        for (target, status) in targets.into_iter().zip(allowed) {
            let short = KdfAlgorithm::Prf { key_len: 1, long: false, aead: false };
            assert_eq!(master.status_on(&kdf(KdfSource::Slot(slot(10)), target, short, b"x")), status, "{target:?}");
        }
    }
    let master = chip(|image| image.part_mut(Part::Config)[90] &= !0x06);
    let aes = kdf(KdfSource::Slot(slot(9)), KdfTarget::Output, KdfAlgorithm::Aes { unit: 0 }, &[0; 16]);
    assert_eq!(master.status_on(&aes), EXECUTION, "KDF AES is off");
    let encrypted = kdf(KdfSource::Slot(slot(10)), KdfTarget::OutputEncrypted, PRF, b"x");
    assert_eq!(master.status_on(&encrypted), EXECUTION, "IO protection is off");
    assert_eq!(master.status_on(&kdf(KdfSource::Slot(slot(0)), KdfTarget::Output, PRF, b"x")), EXECUTION, "private");
    assert_eq!(master.status_on(&kdf(KdfSource::Slot(slot(7)), KdfTarget::Output, PRF, b"x")), EXECUTION, "NoMac");
}

/// Public key in slot 11, digest or signature in slot 12.
fn boot_chip(low: u8) -> Master {
    let public = SigningKey::from_slice(&[0x42; 32]).unwrap().verifying_key().to_encoded_point(false);
    let point = public.as_bytes()[1..].to_vec();
    chip(|image| {
        image.part_mut(Part::Config)[70..72].copy_from_slice(&[low, 0xBC]);
        let stored = [&[0; 4][..], &point[..32], &[0; 4], &point[32..]].concat();
        image.part_mut(Part::Slot(slot(11))).copy_from_slice(&stored);
    })
}

fn signature(digest: &[u8; 32]) -> [u8; 64] {
    let signature: Signature = SigningKey::from_slice(&[0x42; 32]).unwrap().sign_prehash(digest).unwrap();
    signature.to_bytes().into()
}

fn boot(mode: SecureBootMode, digest: [u8; 32]) -> SecureBoot {
    SecureBoot { mode, prohibit: false, mac: false, digest }
}

#[test]
fn secure_boot_checks_stores_and_compares() {
    let digest = [0xD1; 32];
    let signature = signature(&digest);
    let full = |digest| boot(SecureBootMode::Full { signature }, digest);
    let copy = |digest| boot(SecureBootMode::FullCopy { signature }, digest);
    let store = |digest| boot(SecureBootMode::FullStore, digest);
    assert_eq!(boot_chip(0).status_on(&full(digest)), EXECUTION, "off");
    for (mode, stored, status) in [(1, None, EXECUTION), (2, Some(&signature[..]), OK), (3, Some(&digest[..]), OK)] {
        let master = boot_chip(mode | 8);
        assert_eq!(master.status_on(&full([0; 32])), MISCOMPARE);
        assert_eq!(master.run_on(&Info::LatchRead).unwrap()[0], 0);
        assert_eq!(master.status_on(&full(digest)), OK);
        assert_eq!(master.run_on(&Info::LatchRead).unwrap()[0], 1, "the persistent latch");
        assert_eq!(master.status_on(&copy(digest)), status);
        if let Some(stored) = stored {
            assert_eq!(master.bus.image(0).unwrap().part(Part::Slot(slot(12)))[..stored.len()], *stored);
            assert_eq!(master.status_on(&store(digest)), OK);
            assert_eq!(master.status_on(&store([0; 32])), MISCOMPARE);
            assert_eq!(master.status_on(&copy([0; 32])), MISCOMPARE);
            assert_eq!(master.status_on(&store(digest)), OK, "a failed copy stores nothing");
        }
        assert_eq!(master.status_on(&SecureBoot { prohibit: true, ..full(digest) }), OK);
        master.restart();
        assert_eq!(master.status_on(&full(digest)), EXECUTION, "until power is cycled");
    }
}

#[test]
fn secure_boot_copies_to_its_slot_as_a_write_does() {
    let digest = [0xD1; 32];
    let copy = boot(SecureBootMode::FullCopy { signature: signature(&digest) }, digest);
    let stored = |master: &Master| master.bus.image(0).unwrap().part(Part::Slot(slot(12)))[0];
    // A public key with PubInfo, validated: what was written over it is not.
    let master = boot_chip(3);
    master.tamper(|image| {
        image.part_mut(Part::Config)[96 + 2 * 12] = 0x32;
        image.part_mut(Part::Slot(slot(12)))[0] = 0x50;
    });
    assert_eq!(master.status_on(&copy), OK);
    assert_eq!(stored(&master), 0xA1);
    // ReqAuth, AuthKey 7.
    master.tamper(|image| image.part_mut(Part::Config)[96 + 2 * 12..][..2].copy_from_slice(&[0xBC, 0x07]));
    assert_eq!(master.status_on(&copy), EXECUTION);
    assert_eq!(stored(&master), 0xA1);
}

#[test]
fn secure_boot_takes_an_encrypted_digest_and_answers_a_mac() {
    let digest = [0xD1; 32];
    let signature = signature(&digest);
    for (mode, param1, signed) in [
        (SecureBootMode::Full { signature }, 0x85, &signature[..]),
        (SecureBootMode::FullCopy { signature }, 0x87, &signature[..]),
        (SecureBootMode::FullStore, 0x86, &[][..]),
    ] {
        let master = boot_chip(3 | 0x10);
        master.run_on(&Info::State).unwrap();
        master.random_nonce();
        master.run_on(&boot(SecureBootMode::FullCopy { signature }, digest)).unwrap();
        let nonce = master.random_nonce();
        let key = sha(&[&IO_KEY, &nonce]);
        let sent: [u8; 32] = std::array::from_fn(|i| digest[i] ^ key[i]);
        let command = SecureBoot { mac: true, ..boot(mode, sent) };
        let mac = sha(&[&key, &digest, signed, &[0x80, param1, 0, 0]]);
        assert_eq!(master.run_on(&command), Ok(SecureBootResponse::Mac(mac)));
        assert_eq!(master.status_on(&command), EXECUTION, "TempKey is used up");
        master.random_nonce();
        assert_eq!(master.status_on(&command), MISCOMPARE, "replayed under another nonce");
        master.fixed_nonce(&nonce);
        assert_eq!(master.status_on(&command), EXECUTION, "the configuration wants a random nonce");
    }
}
