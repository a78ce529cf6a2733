// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip's AES, GCM multiplication, SHA-256, HMAC and KDF against published vectors: NIST's, Wycheproof's
//! and those of the RFCs (fact sheet sections 3.1, 3.9 and 3.18).

use atecc608_testkit::master::*;
use atecc608_testkit::vectors::*;
use atecc608_wire::commands::*;
use atecc608_wire::zone::{Address, Zone};

/// 32 bytes that start with these; zeros after an HMAC key change nothing.
fn padded(key: &[u8]) -> [u8; 32] {
    let mut block = [0; 32];
    block[..key.len()].copy_from_slice(key);
    block
}

fn store(master: &Master, number: u8, key: [u8; 32]) {
    master.run_on(&Write::block(Zone::Data, Address::slot(slot(number), 0, 0), key)).unwrap();
}

#[test]
fn aes_agrees_with_nist_from_temp_key_and_from_a_slot() {
    let master = between_the_locks();
    let mut blocks = 0;
    for line in columns(include_str!("../../../../tests/vectors/aes128_ecb_nist.txt")) {
        let [file, key, plain, cipher] = line[..] else { panic!("{line:?}") };
        let block = padded(&bytes(key));
        master.fixed_nonce(&block);
        // In slot 9 the key is the second of two.
        store(&master, 9, std::array::from_fn(|i| block[(i + 16) % 32]));
        for (plain, cipher) in bytes(plain).chunks(16).zip(bytes(cipher).chunks(16)) {
            let (plain, cipher): ([u8; 16], [u8; 16]) = (plain.try_into().unwrap(), cipher.try_into().unwrap());
            for (key, unit) in [(KeyLocation::TempKey, 0), (KeyLocation::Slot(slot(9)), 1)] {
                let encrypt = Aes::Block { key, unit, decrypt: false, input: plain };
                assert_eq!(master.run_on(&encrypt), Ok(cipher), "{file}");
                let decrypt = Aes::Block { key, unit, decrypt: true, input: cipher };
                assert_eq!(master.run_on(&decrypt), Ok(plain), "{file}");
            }
            blocks += 1;
        }
    }
    assert!(blocks > 300, "{blocks}");
}

fn encrypt(master: &Master, input: [u8; 16]) -> [u8; 16] {
    master.run_on(&Aes::Block { key: KeyLocation::TempKey, unit: 0, decrypt: false, input }).unwrap()
}

fn xor(left: &[u8], right: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| left.get(i).copied().unwrap_or(0) ^ right[i])
}

/// GHASH (SP 800-38D section 6.4) with the chip's multiplication.
fn ghash(master: &Master, h: [u8; 16], additional: &[u8], cipher: &[u8]) -> [u8; 16] {
    let bits = |bytes: &[u8]| (8 * bytes.len() as u64).to_be_bytes();
    let lengths = [bits(additional), bits(cipher)].concat();
    let blocks = additional.chunks(16).chain(cipher.chunks(16)).chain([&lengths[..]]);
    blocks.fold([0; 16], |hash, block| master.run_on(&Aes::GaloisMultiply { h, input: xor(block, &hash) }).unwrap())
}

#[test]
fn gcm_made_of_the_chips_blocks_and_products_agrees_with_nist() {
    let master = between_the_locks();
    let mut seen = 0;
    for line in columns(include_str!("../../../../tests/vectors/aes128_gcm_nist.txt")) {
        let [key, iv, plain, additional, cipher, tag] = line[..] else { panic!("{line:?}") };
        master.fixed_nonce(&padded(&bytes(key)));
        let counter = |count: u32| [&bytes(iv)[..], &count.to_be_bytes()].concat().try_into().unwrap();
        let encrypted: Vec<u8> = (2..)
            .zip(bytes(plain).chunks(16))
            .flat_map(|(count, block)| xor(block, &encrypt(&master, counter(count)))[..block.len()].to_vec())
            .collect();
        assert_eq!(encrypted, bytes(cipher));
        let hash = ghash(&master, encrypt(&master, [0; 16]), &bytes(additional), &encrypted);
        assert_eq!(xor(&hash, &encrypt(&master, counter(1))), array(tag));
        seen += 1;
    }
    assert_eq!(seen, 25);
}

#[test]
fn sha_agrees_with_nist_in_one_go_and_in_pieces_through_contexts() {
    let master = between_the_locks();
    let mut seen = 0;
    for line in columns(include_str!("../../../../tests/vectors/sha256_nist.txt")) {
        let [message, digest] = line[..] else { panic!("{line:?}") };
        let (message, digest) = (bytes(message), array(digest));
        assert_eq!(chip_sha(&master, &message, DigestTarget::Output), digest);
        // In pieces of 37 bytes, with a sleep after each: only the exported context survives.
        master.run_on(&Sha::Start).unwrap();
        let pieces: Vec<&[u8]> = message.chunks(37).collect();
        for piece in &pieces {
            master.run_on(&Sha::Update(piece.to_vec())).unwrap();
            let Ok(ShaResponse::Context(context)) = master.run_on(&Sha::ReadContext) else { panic!("no context") };
            master.restart();
            master.run_on(&Sha::WriteContext(context)).unwrap();
        }
        assert_eq!(sha_end(&master, &[], DigestTarget::Output), digest);
        seen += 1;
    }
    assert_eq!(seen, 82);
}

#[test]
fn sha_takes_a_million_bytes() {
    // FIPS 180-4's example: one million times "a".
    let master = between_the_locks();
    let digest = chip_sha(&master, &vec![b'a'; 1_000_000], DigestTarget::Output);
    assert_eq!(digest[..], hex("CDC76E5C 9914FB92 81A1C7E2 84D73E67 F1809A48 A497200E 046D39CC C7112CD0"));
}

#[test]
fn sha_passes_the_first_round_of_nists_monte_carlo_test() {
    // SHA256Monte.rsp (SHAVS): seed, and COUNT = 0 after a thousand digests of the three before.
    let master = between_the_locks();
    let seed: [u8; 32] = array("6d1e72ad03ddeb5de891e572e2396f8da015d899ef0e79503152d6010a3fe691");
    let mut last = [seed; 3];
    for _ in 0..1000 {
        let digest = chip_sha(&master, &last.concat(), DigestTarget::Output);
        last = [last[1], last[2], digest];
    }
    assert_eq!(last[2][..], hex("e93c330ae5447738c8aa85d71a6c80f2a58381d05872d26bdd39f1fcd4f2b788"));
}

#[test]
fn hmac_with_a_slot_agrees_with_wycheproof() {
    let master = between_the_locks();
    let (mut valid, mut invalid) = (0, 0);
    for line in columns(include_str!("../../../../tests/vectors/hmac_wycheproof.txt")) {
        let [number, result, key, message, tag] = line[..] else { panic!("{line:?}") };
        store(&master, 5, padded(&bytes(key)));
        master.run_on(&Sha::HmacStart(KeyLocation::Slot(slot(5)))).unwrap();
        let mac = sha_message(&master, &bytes(message), DigestTarget::Output);
        // Half of the tags are cut to 16 bytes.
        assert_eq!(mac.starts_with(&bytes(tag)), result == "valid", "{number}");
        if result == "valid" {
            valid += 1;
        } else {
            invalid += 1;
        }
    }
    assert!(valid > 50 && invalid > 50, "{valid}, {invalid}");
}

#[test]
fn hmac_with_temp_key_agrees_with_rfc_4231() {
    let master = between_the_locks();
    for line in columns(include_str!("../../../../tests/vectors/hmac_rfc4231.txt")) {
        let [number, key, message, tag] = line[..] else { panic!("{line:?}") };
        let key = bytes(key);
        if key.len() > 64 {
            // HMAC's key is then the digest of this one: the chip leaves it in TempKey.
            chip_sha(&master, &key, DigestTarget::TempKey);
        } else {
            master.fixed_nonce(&padded(&key));
        }
        master.run_on(&Sha::HmacStart(KeyLocation::TempKey)).unwrap();
        assert_eq!(sha_message(&master, &bytes(message), DigestTarget::Output), array(tag), "{number}");
    }
}

fn hkdf(source: KdfSource, target: KdfTarget, message: Vec<u8>) -> Kdf {
    let algorithm = KdfAlgorithm::Hkdf { message: HkdfMessage::Input, zero_key: false };
    Kdf { source, target, algorithm, message }
}

#[test]
fn hkdf_agrees_with_rfc_5869_and_its_first_key_never_leaves_the_chip() {
    let master = between_the_locks();
    for line in columns(include_str!("../../../../tests/vectors/hkdf_rfc5869.txt")) {
        let [number, ikm, salt, info, prk, okm] = line[..] else { panic!("{line:?}") };
        let salt = bytes(salt);
        let salt = if salt.len() > 64 { chip_sha(&master, &salt, DigestTarget::Output) } else { padded(&salt) };
        let load = Nonce::Fixed { target: NonceTarget::AlternateKeyBuffer, value: salt.to_vec() };
        master.run_on(&load).unwrap();
        let extract = |target| hkdf(KdfSource::AlternateKeyBuffer, target, bytes(ikm));
        assert_eq!(master.run_on(&extract(KdfTarget::Output)), Ok(KdfResponse::Clear(bytes(prk))), "{number}");
        assert_eq!(master.run_on(&extract(KdfTarget::TempKey)), Ok(KdfResponse::Kept));
        let (okm, mut last) = (bytes(okm), Vec::new());
        for (count, expected) in (1..).zip(okm.chunks(32)) {
            let message = [last, bytes(info), vec![count]].concat();
            // At most 32 bytes, 80 of info and the counter: KDF takes 128.
            let answer = master.run_on(&hkdf(KdfSource::TempKey, KdfTarget::Output, message)).unwrap();
            let KdfResponse::Clear(block) = &answer else { panic!("{answer:?}") };
            assert!(block.starts_with(expected), "{number}");
            last = block.clone();
        }
    }
}

#[test]
fn prf_is_that_of_tls_1_2() {
    let master = between_the_locks();
    let text = include_str!("../../../../tests/vectors/tls12_prf.txt");
    let line = columns(text).next().unwrap();
    let [secret, message, output] = line[..] else { panic!("{line:?}") };
    master.fixed_nonce(&padded(&bytes(secret)));
    for (long, len) in [(false, 32), (true, 64)] {
        // A key of 16 bytes.
        let algorithm = KdfAlgorithm::Prf { key_len: 0, long, aead: false };
        let prf = Kdf { source: KdfSource::TempKey, target: KdfTarget::Output, algorithm, message: bytes(message) };
        assert_eq!(master.run_on(&prf), Ok(KdfResponse::Clear(bytes(output)[..len].to_vec())));
    }
}
