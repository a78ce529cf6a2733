// SPDX-License-Identifier: MIT OR Apache-2.0
//! Published test vectors (`tests/vectors`: Project Wycheproof, NIST) through the C ABI: valid ones give their results,
//! and invalid ones are refused.

use std::collections::BTreeMap;

use crate::common::chip;
use crate::common::keys::{slot_of, Handle, Session};
use crate::common::module::{boolean, ulong, Module};
use crate::common::secrets::{check, code, given, whole, with_io_key, Kind};
use crate::common::templates::{self, P256};
use cryptoki_sys::*;

/// The lines of a vector file, split into columns.
fn columns(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

/// The bytes of a column in hexadecimal digits; `-` is empty.
fn bytes(column: &str) -> Vec<u8> {
    let digits = column.trim_matches('-');
    assert_eq!(digits.len() % 2, 0);
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn verifying_key(module: &Module, session: Session, point: &[u8]) -> Handle {
    let template = [
        (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        (CKA_VERIFY, boolean(true)),
        (CKA_EC_PARAMS, P256.to_vec()),
        (CKA_EC_POINT, templates::wrapped(point)),
        (CKA_TOKEN, boolean(false)),
    ];
    module.create_object(session, &template).unwrap()
}

#[test]
fn ecdsa_agrees_with_wycheproof() {
    let module = Module::with_chip(&chip::provisioned());
    let session = module.start();
    let mut keys = BTreeMap::new();
    let mut results = [0, 0];
    for line in columns(include_str!("../vectors/ecdsa_wycheproof.txt")) {
        let [number, result, x, y, message, signature] = line[..] else { panic!("{line:?}") };
        let point = [vec![4], bytes(x), bytes(y)].concat();
        let key = *keys.entry(point.clone()).or_insert_with(|| verifying_key(&module, session, &point));
        let expected = if result == "valid" { Ok(()) } else { Err(CKR_SIGNATURE_INVALID) };
        let answer = module.verify_with(session, CKM_ECDSA_SHA256, key, &bytes(message), &bytes(signature));
        assert_eq!(answer, expected, "{number}");
        results[usize::from(result == "valid")] += 1;
    }
    assert!(results[0] > 50 && results[1] > 100 && results.iter().sum::<i32>() == 241, "{results:?}");
}

/// The private keys of the vectors are put into the chip's EEPROM, four at a time: a chip that generates its keys has
/// none of them.
#[test]
fn ecdh_agrees_with_wycheproof() {
    const KEY_SLOTS: [u8; 4] = [0, 2, 3, 4];
    let mut by_key: BTreeMap<&str, Vec<[&str; 4]>> = BTreeMap::new();
    for line in columns(include_str!("../vectors/ecdh_wycheproof.txt")) {
        let [number, result, private, public, shared] = line[..] else { panic!("{line:?}") };
        by_key.entry(private).or_default().push([number, result, public, shared]);
    }
    let (mut valid, mut invalid) = (0, 0);
    for group in Vec::from_iter(by_key).chunks(KEY_SLOTS.len()) {
        let mut image = chip::provisioned();
        for ((private, _), slot) in group.iter().zip(KEY_SLOTS) {
            chip::put_key(&mut image, slot, &bytes(private).try_into().unwrap());
        }
        let module = Module::with_chip(&image);
        let session = module.start();
        let keys = module.private_keys(session);
        assert_eq!(keys.len(), group.len());
        for ((_, vectors), slot) in group.iter().zip(KEY_SLOTS) {
            let key = *keys.iter().find(|key| slot_of(&module, session, **key) == slot).unwrap();
            for [number, result, public, shared] in vectors {
                let point = [vec![4], bytes(public)].concat();
                let derived = module.derive(session, key, CKD_NULL, &[], &point, &[(CKA_SENSITIVE, boolean(false))]);
                if *result == "valid" {
                    let value = module.attribute(session, derived.unwrap(), CKA_VALUE);
                    assert_eq!(value, Ok(bytes(shared)), "{number}");
                    module.destroy(session, derived.unwrap()).unwrap();
                    valid += 1;
                } else {
                    assert_eq!(derived, Err(CKR_MECHANISM_PARAM_INVALID), "{number}: not on the curve");
                    invalid += 1;
                }
            }
        }
    }
    assert_eq!((valid, invalid), (330, 16));
}

/// In the session, and in the chip if it has the length of the chip's keys.
#[test]
fn hmac_agrees_with_wycheproof() {
    let (module, _bus, session) = with_io_key();
    let mut in_chip = 0;
    for line in columns(include_str!("../vectors/hmac_wycheproof.txt")) {
        let [number, result, key, message, tag] = line[..] else { panic!("{line:?}") };
        let (value, message, tag) = (bytes(key), bytes(message), bytes(tag));
        // Every tenth is enough for the chip, whose HMAC has these vectors in `sim_vectors_symmetric`, too.
        let chip_too = value.len() == 32 && number.ends_with('1');
        for on_token in [false, true].into_iter().take(1 + usize::from(chip_too)) {
            let key = module.create_object(session, &given(on_token, CKK_GENERIC_SECRET, &value)).unwrap();
            let kind = Kind::Length(CKM_SHA256_HMAC_GENERAL, tag.len() as CK_ULONG);
            let made = code(&module, session, &kind, key, &message).unwrap();
            assert_eq!(made == tag, result == "valid", "{number}");
            let expected = if result == "valid" { Ok(()) } else { Err(CKR_SIGNATURE_INVALID) };
            assert_eq!(check(&module, session, &kind, key, &message, &tag), expected, "{number}");
            if tag.len() == 32 {
                let whole_tag = Kind::Plain(CKM_SHA256_HMAC);
                assert_eq!(check(&module, session, &whole_tag, key, &message, &tag), expected, "{number}");
            }
            module.destroy(session, key).unwrap();
            in_chip += i32::from(on_token);
        }
    }
    assert!(in_chip >= 10, "{in_chip}");
}

#[test]
fn gcm_agrees_with_nist_in_the_session_and_in_the_chip() {
    let (module, _bus, session) = with_io_key();
    for line in columns(include_str!("../vectors/aes128_gcm_nist.txt")) {
        let [key, iv, text, associated, ciphertext, tag] = line[..] else { panic!("{line:?}") };
        let (iv, associated, text) = (bytes(iv), bytes(associated), bytes(text));
        let sealed = [bytes(ciphertext), bytes(tag)].concat();
        for on_token in [false, true] {
            let handle = module.create_object(session, &given(on_token, CKK_AES, &bytes(key))).unwrap();
            let kind = Kind::Gcm { iv: &iv, associated: &associated, tag_bits: 128 };
            assert_eq!(whole(&module, session, true, &kind, handle, &text), Ok(sealed.clone()), "{key}");
            assert_eq!(whole(&module, session, false, &kind, handle, &sealed), Ok(text.clone()), "{key}");
            module.destroy(session, handle).unwrap();
        }
    }
}

#[test]
fn aes_blocks_agree_with_nist() {
    let (module, _bus, session) = with_io_key();
    let ecb = Kind::Plain(CKM_AES_ECB);
    for line in columns(include_str!("../vectors/aes128_ecb_nist.txt")) {
        let [_, key, text, ciphertext] = line[..] else { panic!("{line:?}") };
        let (key, text, ciphertext) = (bytes(key), bytes(text), bytes(ciphertext));
        let handle = module.create_object(session, &given(false, CKK_AES, &key)).unwrap();
        assert_eq!(whole(&module, session, true, &ecb, handle, &text), Ok(ciphertext.clone()), "{line:?}");
        assert_eq!(whole(&module, session, false, &ecb, handle, &ciphertext), Ok(text), "{line:?}");
        module.destroy(session, handle).unwrap();
    }
}
