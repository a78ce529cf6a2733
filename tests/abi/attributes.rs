// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of keys through the C ABI: they are true, are read as the standard says, and only names can be changed;
//! and searches by them.

use std::collections::BTreeSet;
use std::ptr::null_mut;

use crate::common::keys::{create_certificate, generate, point, provisioned};
use crate::common::module::{boolean, c, ulong, Attributes};
use crate::common::templates::{self, P256, P384};
use cryptoki_sys::*;
use der::Decode;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

#[test]
fn a_private_key_tells_the_truth_about_itself() {
    let (module, session) = provisioned();
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    let truths = [
        (CKA_CLASS, ulong(CKO_PRIVATE_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        (CKA_TOKEN, boolean(true)),
        (CKA_PRIVATE, boolean(true)),
        (CKA_SENSITIVE, boolean(true)),
        (CKA_ALWAYS_SENSITIVE, boolean(true)),
        (CKA_EXTRACTABLE, boolean(false)),
        (CKA_NEVER_EXTRACTABLE, boolean(true)),
        (CKA_LOCAL, boolean(true)),
        (CKA_KEY_GEN_MECHANISM, ulong(CKM_EC_KEY_PAIR_GEN)),
        (CKA_SIGN, boolean(true)),
        (CKA_DERIVE, boolean(true)),
        (CKA_DECRYPT, boolean(false)),
        (CKA_UNWRAP, boolean(false)),
        (CKA_SIGN_RECOVER, boolean(false)),
        (CKA_ALWAYS_AUTHENTICATE, boolean(false)),
        (CKA_WRAP_WITH_TRUSTED, boolean(false)),
        (CKA_COPYABLE, boolean(false)),
        (CKA_MODIFIABLE, boolean(true)),
        (CKA_DESTROYABLE, boolean(true)),
        (CKA_EC_PARAMS, P256.to_vec()),
    ];
    for (attribute, value) in truths {
        assert_eq!(module.attribute(session, key, attribute), Ok(value), "{attribute:#x}");
    }
    assert_eq!(module.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    for attribute in [CKA_ENCRYPT, CKA_MODULUS, CKA_MODULUS_BITS, CKA_TRUSTED, 0xCF53_4301] {
        assert_eq!(module.attribute(session, key, attribute), Err(CKR_ATTRIBUTE_TYPE_INVALID), "{attribute:#x}");
    }
}

#[test]
fn a_key_that_could_have_been_imported_is_not_claimed_to_be_born_here() {
    let (module, session) = provisioned();
    let (_, key) = generate(&module, session, "import", &[1]).unwrap();
    for attribute in [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
        assert_eq!(module.attribute(session, key, attribute), Ok(boolean(false)), "{attribute:#x}");
    }
    assert_eq!(module.attribute(session, key, CKA_SENSITIVE), Ok(boolean(true)));
}

#[test]
fn a_public_key_is_public_and_wrapped_as_the_standard_says() {
    let (module, session) = provisioned();
    let (key, private) = generate(&module, session, "a", &[1]).unwrap();
    for (attribute, value) in [
        (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        (CKA_TOKEN, boolean(true)),
        (CKA_PRIVATE, boolean(false)),
        (CKA_VERIFY, boolean(true)),
        (CKA_WRAP, boolean(false)),
        (CKA_ENCRYPT, boolean(false)),
        (CKA_COPYABLE, boolean(false)),
        (CKA_EC_PARAMS, P256.to_vec()),
    ] {
        assert_eq!(module.attribute(session, key, attribute), Ok(value), "{attribute:#x}");
    }
    let ec_point = module.attribute(session, key, CKA_EC_POINT).unwrap();
    assert_eq!((ec_point.len(), &ec_point[..3]), (67, &[0x04, 0x41, 0x04][..]));
    // Both halves have it, as an X.509 library writes it.
    for key in [key, private] {
        let info = module.attribute(session, key, CKA_PUBLIC_KEY_INFO).unwrap();
        let parsed = SubjectPublicKeyInfoOwned::from_der(&info).unwrap();
        assert_eq!(parsed, templates::public_key_info(&ec_point[2..]));
        assert!(p256::PublicKey::from_sec1_bytes(parsed.subject_public_key.raw_bytes()).is_ok());
    }
}

#[test]
fn a_public_key_is_taken_with_a_compressed_point_and_shown_with_an_uncompressed_one() {
    let (module, session) = provisioned();
    for scalar in [[0x42; 32], [0x43; 32], [0x44; 32]] {
        let theirs = p256::ecdsa::SigningKey::from_slice(&scalar).unwrap();
        let point = |compressed| theirs.verifying_key().to_encoded_point(compressed).as_bytes().to_vec();
        let (digest, compressed) = ([7; 32], point(true));
        let (signature, _) = theirs.sign_prehash_recoverable(&digest).unwrap();
        for given in [compressed.clone(), templates::wrapped(&compressed)] {
            let template = [
                (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
                (CKA_KEY_TYPE, ulong(CKK_EC)),
                (CKA_EC_PARAMS, P256.to_vec()),
                (CKA_EC_POINT, given),
            ];
            let key = module.create_object(session, &template).unwrap();
            assert_eq!(module.attribute(session, key, CKA_EC_POINT), Ok(templates::wrapped(&point(false))));
            module.verify_with(session, CKM_ECDSA, key, &digest, &signature.to_bytes()).unwrap();
        }
    }
}

#[test]
fn the_unique_ids_of_all_objects_differ_and_stay() {
    let (module, session) = provisioned();
    generate(&module, session, "a", &[1]).unwrap();
    let (public, _) = generate(&module, session, "b", &[2]).unwrap();
    let certificate = templates::certificate("b", &point(&module, session, public));
    create_certificate(&module, session, &certificate, &[]).unwrap();
    let ids = |session| {
        let found = module.find(session, &[]).unwrap();
        found.iter().map(|object| module.attribute(session, *object, CKA_UNIQUE_ID).unwrap()).collect::<BTreeSet<_>>()
    };
    let before = ids(session);
    assert_eq!(before.len(), 5);
    assert_eq!(ids(module.restart()), before);
}

#[test]
fn the_allowed_mechanisms_are_those_that_work() {
    let (module, session) = provisioned();
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    let value = module.attribute(session, key, CKA_ALLOWED_MECHANISMS).unwrap();
    let allowed: BTreeSet<CK_MECHANISM_TYPE> =
        value.chunks(size_of::<CK_ULONG>()).map(|chunk| CK_ULONG::from_ne_bytes(chunk.try_into().unwrap())).collect();
    assert_eq!(
        allowed,
        BTreeSet::from([
            CKM_ECDSA,
            CKM_ECDSA_SHA1,
            CKM_ECDSA_SHA224,
            CKM_ECDSA_SHA256,
            CKM_ECDSA_SHA384,
            CKM_ECDSA_SHA512,
            CKM_ECDH1_DERIVE,
            CKM_ECDH1_COFACTOR_DERIVE
        ])
    );
}

#[test]
fn an_unknown_attribute_among_known_ones_is_marked_and_the_others_are_filled() {
    let (module, session) = provisioned();
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    let (result, answers) = module.attributes_at_once(
        session,
        key,
        &[CKA_CLASS, CKA_ENCRYPT, CKA_ID, CKA_MODULUS, CKA_LABEL, CKA_EC_PARAMS],
    );
    assert_eq!(result, Err(CKR_ATTRIBUTE_TYPE_INVALID));
    let unavailable = (CK_UNAVAILABLE_INFORMATION, vec![]);
    assert_eq!(answers[0].1, ulong(CKO_PRIVATE_KEY));
    assert_eq!((&answers[1], &answers[3]), (&unavailable, &unavailable));
    assert_eq!((&answers[2].1[..], &answers[4].1[..], &answers[5].1[..]), (&[1][..], &b"a"[..], P256));
    let (result, answers) = module.attributes_at_once(session, key, &[CKA_VALUE, CKA_ID]);
    assert_eq!((result, &answers[0], answers[1].0), (Err(CKR_ATTRIBUTE_SENSITIVE), &unavailable, 1));
}

#[test]
fn a_short_attribute_buffer_is_reported_and_the_others_are_filled() {
    let (module, session) = provisioned();
    let (public, _) = generate(&module, session, "label", &[1]).unwrap();
    let (mut short, mut enough) = ([0_u8; 3], [0_u8; 5]);
    let mut requests = [
        CK_ATTRIBUTE { type_: CKA_EC_POINT, pValue: short.as_mut_ptr().cast(), ulValueLen: 3 },
        CK_ATTRIBUTE { type_: CKA_LABEL, pValue: enough.as_mut_ptr().cast(), ulValueLen: 5 },
    ];
    let rv = c!(module, C_GetAttributeValue(session, public, requests.as_mut_ptr(), 2));
    assert_eq!(rv, Err(CKR_BUFFER_TOO_SMALL));
    assert_eq!({ requests[0].ulValueLen }, CK_UNAVAILABLE_INFORMATION);
    assert_eq!((short, &enough), ([0; 3], b"label"));
}

#[test]
fn what_a_key_is_can_not_be_changed() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    for (attribute, value) in [
        (CKA_SIGN, boolean(false)),
        (CKA_EXTRACTABLE, boolean(true)),
        (CKA_SENSITIVE, boolean(false)),
        (CKA_COPYABLE, boolean(true)),
        (CKA_EC_PARAMS, P384.to_vec()),
    ] {
        for key in [public, private] {
            let rv = module.set_attributes(session, key, &[(CKA_LABEL, b"b".to_vec()), (attribute, value.clone())]);
            let is_there = module.attribute(session, key, attribute).is_ok();
            let expected = if is_there { CKR_ATTRIBUTE_READ_ONLY } else { CKR_ATTRIBUTE_TYPE_INVALID };
            assert_eq!(rv, Err(expected), "{attribute:#x}");
        }
    }
    assert_eq!(module.label(session, private), "a");
    let mut copy = 0;
    let rv = c!(module, C_CopyObject(session, private, null_mut(), 0, &mut copy));
    assert_eq!(rv, Err(CKR_ACTION_PROHIBITED));
}

#[test]
fn labels_and_ids_that_are_changed_are_found_and_kept() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "old", &[1]).unwrap();
    module.set_attributes(session, private, &[(CKA_LABEL, b"new".to_vec()), (CKA_ID, vec![0, 255])]).unwrap();
    let check = |session| {
        assert!(module.find_labelled(session, CKO_PRIVATE_KEY, "old").is_empty());
        let found = module.find_labelled(session, CKO_PRIVATE_KEY, "new");
        assert_eq!(found.len(), 1);
        // Both halves share the id; the public one keeps its label until it is changed.
        let public = module.public_of(session, found[0]);
        assert_eq!(module.attribute(session, public, CKA_ID), Ok(vec![0, 255]));
        assert_eq!(module.label(session, public), "old");
        (public, found[0])
    };
    assert_eq!(check(session), (public, private));
    let session = module.restart();
    let (public, private) = check(session);
    module.set_attributes(session, public, &[(CKA_LABEL, b"new".to_vec()), (CKA_ID, vec![2])]).unwrap();
    assert_eq!(module.attribute(session, private, CKA_ID), Ok(vec![2]));
    assert_eq!(module.label(session, public), "new");
}

#[test]
fn searches_for_what_is_not_there_find_nothing_and_are_no_error() {
    let (module, session) = provisioned();
    generate(&module, session, "a", &[1]).unwrap();
    let templates: [Attributes; 7] = [
        &[(CKA_CLASS, ulong(CKO_PROFILE)), (CKA_TOKEN, boolean(true))],
        &[(CKA_CLASS, ulong(CKO_SECRET_KEY))],
        &[(CKA_CLASS, ulong(0xCE53_4353))],
        &[(CKA_MODULUS, vec![1])],
        &[(CKA_ID, vec![1]), (CKA_LABEL, b"other".to_vec())],
        &[(CKA_CLASS, vec![1])],
        &[(CKA_VALUE, vec![])],
    ];
    for template in templates {
        assert_eq!(module.find(session, template), Ok(vec![]), "{template:?}");
    }
    assert_eq!(module.find(session, &[]).map(|found| found.len()), Ok(2));
}
