// SPDX-License-Identifier: MIT OR Apache-2.0
//! The history attributes (CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE) of derived,
//! copied and unwrapped keys, through the C ABI.

use crate::common::keys::{copy_object, generate as generate_in_chip, provisioned, with, Handle, Session};
use crate::common::module::{attributes, boolean, c, ulong, Attributes, Module};
use crate::common::secrets::{aes, generate, given, with_io_key, Kind};
use crate::common::templates::{private_key, P256};
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;

/// Of a key: local, always sensitive, never extractable.
fn past(module: &Module, session: Session, key: Handle) -> [bool; 3] {
    [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE]
        .map(|attribute| module.attribute(session, key, attribute).unwrap() == boolean(true))
}

fn secrecy(sensitive: bool, extractable: bool) -> [(CK_ATTRIBUTE_TYPE, Vec<u8>); 2] {
    [(CKA_SENSITIVE, boolean(sensitive)), (CKA_EXTRACTABLE, boolean(extractable))]
}

/// A generic secret of the session that is generated with these attributes.
fn generated(module: &Module, session: Session, sensitive: bool, extractable: bool) -> Handle {
    let template = with(&aes(false, 32), &secrecy(sensitive, extractable));
    generate(module, session, CKM_GENERIC_SECRET_KEY_GEN, &template).unwrap()
}

fn hkdf(module: &Module, session: Session, base: Handle, template: Attributes) -> Handle {
    let mut parameter = CK_HKDF_PARAMS {
        bExtract: CK_FALSE,
        bExpand: CK_TRUE,
        prfHashMechanism: CKM_SHA256,
        ulSaltType: CKF_HKDF_SALT_NULL,
        pSalt: std::ptr::null_mut(),
        ulSaltLen: 0,
        hSaltKey: 0,
        pInfo: std::ptr::null_mut(),
        ulInfoLen: 0,
    };
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_HKDF_DERIVE,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of::<CK_HKDF_PARAMS>() as CK_ULONG,
    };
    let (mut array, mut key) = (attributes(template), 0);
    let count = array.len() as CK_ULONG;
    c!(module, C_DeriveKey(session, &mut mechanism, base, array.as_mut_ptr(), count, &mut key)).unwrap();
    key
}

fn ecdh(module: &Module, session: Session, base: Handle, template: Attributes) -> Handle {
    let generator = p256::AffinePoint::GENERATOR.to_encoded_point(false);
    let class = [(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))];
    let template = with(&class.to_vec(), template);
    module.derive(session, base, CKD_NULL, &[], generator.as_bytes(), &template).unwrap()
}

#[test]
fn a_derived_key_was_always_secret_if_its_base_was_and_it_is() {
    let (module, _bus, session) = with_io_key();
    let cases = [(false, true), (true, true), (false, false), (true, false)];
    for (sensitive, extractable) in cases {
        let base = generated(&module, session, sensitive, extractable);
        for (now_sensitive, now_extractable) in cases {
            let key = hkdf(&module, session, base, &secrecy(now_sensitive, now_extractable));
            let expected = [false, sensitive && now_sensitive, !extractable && !now_extractable];
            assert_eq!(past(&module, session, key), expected, "{sensitive} {extractable}");
            let mechanism = module.attribute(session, key, CKA_KEY_GEN_MECHANISM);
            assert_eq!(mechanism, Ok(ulong(CK_UNAVAILABLE_INFORMATION)));
        }
        // Sensitive from now on is not always sensitive.
        module.set_attributes(session, base, &secrecy(true, false)).unwrap();
        let key = hkdf(&module, session, base, &secrecy(true, false));
        assert_eq!(past(&module, session, key), [false, sensitive, !extractable]);
    }
    let brought = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &[7; 32])).unwrap();
    let key = hkdf(&module, session, brought, &secrecy(true, false));
    assert_eq!(past(&module, session, key), [false; 3]);
}

#[test]
fn what_a_key_in_the_chip_derives_follows_that_key() {
    let (module, _bus, session) = with_io_key();
    let secret = generate(&module, session, CKM_GENERIC_SECRET_KEY_GEN, &aes(true, 32)).unwrap();
    let (_, born) = generate_in_chip(&module, session, "born here", &[1]).unwrap();
    let imported = module.create_object(session, &private_key("mine", &[0x21; 32])).unwrap();
    let closed = &secrecy(true, false);
    assert_eq!(past(&module, session, hkdf(&module, session, secret, closed)), [false, true, true]);
    assert_eq!(past(&module, session, ecdh(&module, session, born, closed)), [false, true, true]);
    assert_eq!(past(&module, session, ecdh(&module, session, born, &secrecy(false, true))), [false; 3]);
    assert_eq!(past(&module, session, ecdh(&module, session, imported, closed)), [false; 3]);
}

#[test]
fn a_copy_has_the_past_of_its_source() {
    let (module, _bus, session) = with_io_key();
    for (sensitive, extractable) in [(false, true), (true, false)] {
        let key = generated(&module, session, sensitive, extractable);
        for changes in [&[][..], &secrecy(true, false)] {
            let copy = copy_object(&module, session, key, changes).unwrap();
            assert_eq!(past(&module, session, copy), [true, sensitive, !extractable]);
            let mechanism = module.attribute(session, copy, CKA_KEY_GEN_MECHANISM);
            assert_eq!(mechanism, Ok(ulong(CKM_GENERIC_SECRET_KEY_GEN)));
        }
    }
    let brought = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &[7; 32])).unwrap();
    let copy = copy_object(&module, session, brought, &secrecy(true, false)).unwrap();
    assert_eq!(past(&module, session, copy), [false; 3]);
}

#[test]
fn a_copy_in_the_chip_counts_as_generated_only_if_it_was_secret_from_the_beginning() {
    for secret in [true, false] {
        let (module, _bus, session) = with_io_key();
        let key = generated(&module, session, secret, !secret);
        let to_chip = with(&secrecy(true, false).to_vec(), &[(CKA_TOKEN, boolean(true))]);
        let copy = copy_object(&module, session, key, &to_chip).unwrap();
        assert_eq!(past(&module, session, copy), [secret; 3]);
    }
}

#[test]
fn a_copy_of_a_generated_public_key_is_local() {
    let (module, session) = provisioned();
    let public = [(CKA_TOKEN, boolean(false)), (CKA_EC_PARAMS, P256.to_vec())];
    let (public, _) = module.generate_key_pair(session, &public, &[(CKA_TOKEN, boolean(false))]).unwrap();
    let copy = copy_object(&module, session, public, &[]).unwrap();
    assert_eq!(module.attribute(session, copy, CKA_LOCAL), Ok(boolean(true)));
    assert_eq!(module.attribute(session, copy, CKA_KEY_GEN_MECHANISM), Ok(ulong(CKM_EC_KEY_PAIR_GEN)));
}

#[test]
fn an_unwrapped_key_has_no_past() {
    let (module, _bus, session) = with_io_key();
    let uses = [(CKA_WRAP, boolean(true)), (CKA_UNWRAP, boolean(true))];
    let wrapping = with(&with(&aes(false, 16), &secrecy(true, false)), &uses);
    let wrapping = generate(&module, session, CKM_AES_KEY_GEN, &wrapping).unwrap();
    let template = with(
        &secrecy(true, false).to_vec(),
        &[(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))],
    );
    let (mut array, mut key, mut wrapped) = (attributes(&template), 0, [0x5A; 32]);
    let count = array.len() as CK_ULONG;
    Kind::Plain(CKM_AES_ECB)
        .with(|mechanism| {
            c!(
                module,
                C_UnwrapKey(
                    session,
                    mechanism,
                    wrapping,
                    wrapped.as_mut_ptr(),
                    32,
                    array.as_mut_ptr(),
                    count,
                    &mut key
                )
            )
        })
        .unwrap();
    assert_eq!(past(&module, session, key), [false; 3]);
}
