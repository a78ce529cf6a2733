//! Keys through the C ABI, on a chip provisioned with `tls`: generation, attributes, signatures, ECDH, names,
//! certificates, login. Results are checked with other people's code (p256, sha2, x509-cert).
#![cfg(feature = "sim")]
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::ptr::null_mut;

use atecc608_pkcs11::sim::image::Part;
use atecc608_pkcs11::sim::Image;
use common::chip;
use common::module::{boolean, c, mechanism, ulong, Attributes, Module};
use common::templates::{self, Pair, Template, P256, P384};
use cryptoki_sys::*;
use der::{Decode, Encode};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// include/atecc608_pkcs11.h.
const CKA_ATECC608_SLOT: CK_ATTRIBUTE_TYPE = 0xC154_3601;
/// The slots of `tls` that take a key, with their names.
const KEY_SLOTS: [(u8, &str); 4] = [(0, "device"), (2, "key-2"), (3, "key-3"), (4, "import")];

type Handle = CK_OBJECT_HANDLE;
type Session = CK_SESSION_HANDLE;

/// A module with a provisioned chip without keys, and a read-write session.
fn provisioned() -> (Module, Session) {
    let module = Module::with_chip(&chip::provisioned());
    let session = module.start();
    (module, session)
}

/// As `p11tool` makes it; answers public and private key.
fn generate(module: &Module, session: Session, label: &str, id: &[u8]) -> Result<(Handle, Handle), CK_RV> {
    let Pair { public, private, .. } = &templates::of_all_clients(label, id)[2];
    module.generate_key_pair(session, public, private)
}

fn with(template: &Template, more: Attributes) -> Template {
    template.iter().filter(|(kind, _)| more.iter().all(|(other, _)| other != kind)).chain(more).cloned().collect()
}

fn without(template: &Template, attribute: CK_ATTRIBUTE_TYPE) -> Template {
    template.iter().filter(|(kind, _)| *kind != attribute).cloned().collect()
}

/// Generation with changed templates.
fn generate_with(module: &Module, session: Session, public: Attributes, private: Attributes) -> Result<Handle, CK_RV> {
    let pair = &templates::of_all_clients("changed", &[7])[2];
    module.generate_key_pair(session, &with(&pair.public, public), &with(&pair.private, private)).map(|pair| pair.1)
}

fn slot_of(module: &Module, session: Session, key: Handle) -> u8 {
    let value = module.attribute(session, key, CKA_ATECC608_SLOT).unwrap();
    CK_ULONG::from_ne_bytes(value.try_into().unwrap()) as u8
}

fn point(module: &Module, session: Session, public: Handle) -> Vec<u8> {
    templates::unwrapped(&module.attribute(session, public, CKA_EC_POINT).unwrap())
}

/// The digest as ECDSA on P-256 takes it: the leftmost 256 bits, or zeros on the left.
fn as_256_bits(digest: &[u8]) -> [u8; 32] {
    let mut bits = [0; 32];
    let taken = &digest[..digest.len().min(32)];
    bits[32 - taken.len()..].copy_from_slice(taken);
    bits
}

/// Verifies with the p256 crate.
#[track_caller]
fn assert_signed(point: &[u8], digest: &[u8], signature: &[u8]) {
    let key = VerifyingKey::from_sec1_bytes(point).unwrap();
    let signature = Signature::from_slice(signature).unwrap();
    key.verify_prehash(&as_256_bits(digest), &signature).unwrap();
}

fn error<T>(result: Result<T, CK_RV>) -> Result<(), CK_RV> {
    result.map(drop)
}

// ---- Generation ----

#[test]
fn a_key_pair_can_be_generated_with_the_templates_of_every_client() {
    for number in 0..templates::of_all_clients("", &[]).len() {
        let (module, session) = provisioned();
        let Pair { client, public, private } = &templates::of_all_clients("käy 1", &[0x20, 0x01])[number];
        let (public, private) = module.generate_key_pair(session, public, private).expect(client);
        for (key, class) in [(private, CKO_PRIVATE_KEY), (public, CKO_PUBLIC_KEY)] {
            assert_eq!(module.attribute(session, key, CKA_CLASS), Ok(ulong(class)), "{client}");
            assert_eq!(module.attribute(session, key, CKA_LABEL), Ok("käy 1".into()), "{client}");
            assert_eq!(module.attribute(session, key, CKA_ID), Ok(vec![0x20, 0x01]), "{client}");
            let template = [(CKA_CLASS, ulong(class)), (CKA_ID, vec![0x20, 0x01])];
            assert_eq!(module.find(session, &template), Ok(vec![key]), "{client}");
        }
        let digest = Sha256::digest(b"x");
        let signature = module.sign_with(session, CKM_ECDSA, private, &digest).expect(client);
        assert_signed(&point(&module, session, public), &digest, &signature);
    }
}

#[test]
fn clients_that_give_no_names_get_defaults_and_set_the_id_afterwards() {
    for number in 0..templates::of_clients_without_names().len() {
        let (module, session) = provisioned();
        let Pair { client, public, private } = &templates::of_clients_without_names()[number];
        let (public, private) = module.generate_key_pair(session, public, private).expect(client);
        let default = Sha1::digest(point(&module, session, public)).to_vec();
        assert_eq!(module.attribute(session, private, CKA_ID), Ok(default.clone()), "{client}");
        assert_eq!(module.attribute(session, public, CKA_ID), Ok(default), "{client}");
        assert_eq!(module.label(session, private), "device", "{client}");
        for key in [public, private] {
            assert_eq!(module.set_attributes(session, key, &[(CKA_ID, vec![9; 20])]), Ok(()), "{client}");
        }
        let found = module.find(session, &[(CKA_ID, vec![9; 20])]).unwrap();
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([public, private]), "{client}");
    }
}

#[test]
fn the_private_key_is_in_the_chip_and_its_public_key_is_the_one_shown() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    let slot = slot_of(&module, session, private);
    let image = Image::load(&module.image()).unwrap();
    assert_eq!(chip::point_in(&image, slot), Some(point(&module, session, public)));
}

#[test]
fn keys_take_the_first_free_slot_until_there_is_none() {
    let (module, session) = provisioned();
    for (slot, _) in KEY_SLOTS {
        let (_, private) = generate(&module, session, &format!("k{slot}"), &[slot]).unwrap();
        assert_eq!(slot_of(&module, session, private), slot);
    }
    assert_eq!(error(generate(&module, session, "one more", &[9])), Err(CKR_DEVICE_MEMORY));
    module.assert_logged(&["no slot is free", "0, 2, 3, 4"]);
    assert_eq!(module.private_keys(session).len(), 4);
}

#[test]
fn a_label_that_is_a_slots_name_chooses_the_slot() {
    let (module, session) = provisioned();
    for (slot, name) in KEY_SLOTS.into_iter().rev() {
        let (_, private) = generate(&module, session, name, &[slot]).unwrap();
        assert_eq!((slot_of(&module, session, private), module.label(session, private)), (slot, name.to_owned()));
    }
}

#[test]
fn a_configured_name_chooses_the_slot_too() {
    let module = Module::configured(
        "[[token]]\nbus = \"sim:FOLDER/chip\"\n[[token.object]]\nslot = 3\nlabel = \"tls client\"\nid = \"0a0b\"\n",
    );
    chip::provisioned().save(&module.image()).unwrap();
    let session = module.start();
    let pair = &templates::of_all_clients("tls client", &[])[2];
    let (public, private) = (without(&pair.public, CKA_ID), without(&pair.private, CKA_ID));
    let (_, key) = module.generate_key_pair(session, &public, &private).unwrap();
    assert_eq!(slot_of(&module, session, key), 3);
    assert_eq!(module.attribute(session, key, CKA_ID), Ok(vec![0x0A, 0x0B]));
}

#[test]
fn the_vendor_attribute_chooses_the_slot() {
    let (module, session) = provisioned();
    let key = generate_with(&module, session, &[], &[(CKA_ATECC608_SLOT, ulong(3))]).unwrap();
    assert_eq!(slot_of(&module, session, key), 3);
    let again = [(CKA_ATECC608_SLOT, ulong(3)), (CKA_LABEL, b"other".to_vec())];
    assert_eq!(error(generate_with(&module, session, &[], &again)), Err(CKR_DEVICE_MEMORY));
    module.assert_logged(&["slot 3 holds a key", "destroy it first"]);
    // The attestation key is permanent, 8 holds data, 16 does not exist.
    for (slot, rv) in [(1, CKR_ACTION_PROHIBITED), (8, CKR_ACTION_PROHIBITED), (16, CKR_ATTRIBUTE_VALUE_INVALID)] {
        let template = [(CKA_ATECC608_SLOT, ulong(slot)), (CKA_LABEL, b"other".to_vec())];
        assert_eq!(error(generate_with(&module, session, &[], &template)), Err(rv), "slot {slot}");
    }
    assert_eq!(module.private_keys(session).len(), 1);
}

#[test]
fn a_template_that_contradicts_a_key_born_in_the_chip_is_refused_and_nothing_is_made() {
    let (module, session) = provisioned();
    let cases: [(&str, &Template, &Template, CK_RV); 10] = [
        ("token", &vec![], &vec![(CKA_TOKEN, boolean(false))], CKR_TEMPLATE_INCONSISTENT),
        ("sensitive", &vec![], &vec![(CKA_SENSITIVE, boolean(false))], CKR_TEMPLATE_INCONSISTENT),
        ("extractable", &vec![], &vec![(CKA_EXTRACTABLE, boolean(true))], CKR_TEMPLATE_INCONSISTENT),
        ("always authenticate", &vec![], &vec![(CKA_ALWAYS_AUTHENTICATE, boolean(true))], CKR_TEMPLATE_INCONSISTENT),
        ("curve", &vec![(CKA_EC_PARAMS, P384.to_vec())], &vec![], CKR_CURVE_NOT_SUPPORTED),
        ("class", &vec![(CKA_CLASS, ulong(CKO_PRIVATE_KEY))], &vec![], CKR_TEMPLATE_INCONSISTENT),
        ("key type", &vec![], &vec![(CKA_KEY_TYPE, ulong(CKK_RSA))], CKR_TEMPLATE_INCONSISTENT),
        ("not a boolean", &vec![], &vec![(CKA_TOKEN, vec![2])], CKR_ATTRIBUTE_VALUE_INVALID),
        ("not a number", &vec![(CKA_KEY_TYPE, vec![3])], &vec![], CKR_ATTRIBUTE_VALUE_INVALID),
        ("unknown", &vec![], &vec![(CKA_MODULUS_BITS, ulong(2048))], CKR_ATTRIBUTE_TYPE_INVALID),
    ];
    for (what, public, private, rv) in cases {
        assert_eq!(error(generate_with(&module, session, public, private)), Err(rv), "{what}");
    }
    module.assert_logged(&["CKA_TOKEN must be true"]);
    module.assert_logged(&["CKA_EC_PARAMS", "P-256"]);
    let pair = &templates::of_all_clients("x", &[1])[2];
    let no_curve = module.generate_key_pair(session, &without(&pair.public, CKA_EC_PARAMS), &pair.private);
    assert_eq!(error(no_curve), Err(CKR_TEMPLATE_INCOMPLETE));
    let no_token = module.generate_key_pair(session, &pair.public, &without(&pair.private, CKA_TOKEN));
    assert_eq!(error(no_token), Err(CKR_TEMPLATE_INCONSISTENT));
    assert!(module.private_keys(session).is_empty());
    let image = Image::load(&module.image()).unwrap();
    assert!(KEY_SLOTS.iter().all(|(slot, _)| chip::point_in(&image, *slot).is_none()));
}

#[test]
fn labels_of_private_keys_are_unique() {
    let (module, session) = provisioned();
    let (_, first) = generate(&module, session, "one", &[1]).unwrap();
    assert_eq!(error(generate(&module, session, "one", &[2])), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    module.assert_logged(&["\"one\"", "unique"]);
    let (_, second) = generate(&module, session, "two", &[2]).unwrap();
    let rename = |key, label: &str| module.set_attributes(session, key, &[(CKA_LABEL, label.into())]);
    assert_eq!(rename(second, "one"), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(rename(first, "one"), Ok(()));
    assert_eq!(rename(first, "three"), Ok(()));
    assert_eq!(rename(second, "one"), Ok(()));
    assert_eq!((module.label(session, first), module.label(session, second)), ("three".into(), "one".into()));
}

#[test]
fn a_second_key_by_a_slots_own_name_is_a_second_label_too() {
    let (module, session) = provisioned();
    generate(&module, session, "device", &[1]).unwrap();
    assert_eq!(error(generate(&module, session, "device", &[2])), Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn a_key_without_a_label_does_not_get_one_that_another_key_has() {
    let (module, session) = provisioned();
    let key = generate_with(&module, session, &[], &[(CKA_ATECC608_SLOT, ulong(2))]).unwrap();
    module.set_attributes(session, key, &[(CKA_LABEL, b"device".to_vec())]).unwrap();
    let Pair { public, private, .. } = &templates::of_clients_without_names()[0];
    module.generate_key_pair(session, public, private).unwrap();
    let labels: Vec<_> = module.private_keys(session).iter().map(|key| module.label(session, *key)).collect();
    assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), 2, "{labels:?}");
}

#[test]
fn a_read_only_session_changes_nothing_on_the_token() {
    let (module, session) = provisioned();
    let (_, private) = generate(&module, session, "a", &[1]).unwrap();
    let read_only = module.open_session(0, false).unwrap();
    assert_eq!(error(generate(&module, read_only, "b", &[2])), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(module.set_attributes(read_only, private, &[(CKA_ID, vec![2])]), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(module.destroy(read_only, private), Err(CKR_SESSION_READ_ONLY));
    let data = [(CKA_CLASS, ulong(CKO_DATA)), (CKA_TOKEN, boolean(true)), (CKA_VALUE, vec![1])];
    assert_eq!(module.create_object(read_only, &data), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(module.private_keys(session), [private]);
    // Signing is no change.
    assert!(module.sign_with(read_only, CKM_ECDSA, private, &[1; 32]).is_ok());
}

#[test]
fn other_generation_mechanisms_are_not_there() {
    let (module, session) = provisioned();
    let mut handles = (0, 0);
    for kind in [CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_ECDSA, CKM_EC_EDWARDS_KEY_PAIR_GEN] {
        let mut kind = mechanism(kind);
        let rv = c!(
            module,
            C_GenerateKeyPair(session, &mut kind, null_mut(), 0, null_mut(), 0, &mut handles.0, &mut handles.1)
        );
        assert_eq!(rv, Err(CKR_MECHANISM_INVALID));
    }
    let mut key = 0;
    let rv = c!(module, C_GenerateKey(session, &mut mechanism(CKM_AES_KEY_GEN), null_mut(), 0, &mut key));
    assert_eq!(rv, Err(CKR_MECHANISM_INVALID));
}

// ---- Attributes ----

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
    for attribute in [CKA_EC_POINT, CKA_MODULUS, CKA_MODULUS_BITS, CKA_TRUSTED, 0xCF53_4301] {
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
        value.chunks(8).map(|chunk| CK_ULONG::from_ne_bytes(chunk.try_into().unwrap())).collect();
    assert_eq!(
        allowed,
        BTreeSet::from([
            CKM_ECDSA,
            CKM_ECDSA_SHA1,
            CKM_ECDSA_SHA224,
            CKM_ECDSA_SHA256,
            CKM_ECDSA_SHA384,
            CKM_ECDSA_SHA512,
            CKM_ECDH1_DERIVE
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
        &[CKA_CLASS, CKA_EC_POINT, CKA_ID, CKA_MODULUS, CKA_LABEL, CKA_EC_PARAMS],
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
fn a_short_attribute_buffer_is_told_and_the_others_are_filled() {
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
            assert_eq!(rv, Err(CKR_ATTRIBUTE_READ_ONLY), "{attribute:#x}");
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

// ---- Signatures ----

#[test]
fn every_signature_mechanism_signs_what_its_name_says() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let point = point(&module, session, public);
    let message = [b"the quick brown fox".as_slice(), &[0; 200]].concat();
    let mechanisms: [(CK_MECHANISM_TYPE, Vec<u8>); 5] = [
        (CKM_ECDSA_SHA1, Sha1::digest(&message).to_vec()),
        (CKM_ECDSA_SHA224, Sha224::digest(&message).to_vec()),
        (CKM_ECDSA_SHA256, Sha256::digest(&message).to_vec()),
        (CKM_ECDSA_SHA384, Sha384::digest(&message).to_vec()),
        (CKM_ECDSA_SHA512, Sha512::digest(&message).to_vec()),
    ];
    for (kind, digest) in mechanisms {
        let at_once = module.sign_with(session, kind, key, &message).unwrap();
        assert_signed(&point, &digest, &at_once);
        let in_parts = module.sign_parts(session, kind, key, &[&message[..7], &[], &message[7..]]).unwrap();
        assert_signed(&point, &digest, &in_parts);
        let of_digest = module.sign_with(session, CKM_ECDSA, key, &digest).unwrap();
        assert_signed(&point, &digest, &of_digest);
        for signature in [at_once, in_parts, of_digest] {
            assert_eq!(module.verify_with(session, kind, public, &message, &signature), Ok(()));
        }
    }
    let in_parts = module.sign_parts(session, CKM_ECDSA, key, &[&[1; 16], &[2; 16]]).unwrap();
    assert_signed(&point, &[[1; 16], [2; 16]].concat(), &in_parts);
    // An empty message has a digest, an empty digest has no signature.
    let empty = module.sign_parts(session, CKM_ECDSA_SHA256, key, &[]).unwrap();
    assert_signed(&point, &Sha256::digest(b""), &empty);
}

#[test]
fn digests_of_1_to_64_bytes_are_signed() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let point = point(&module, session, public);
    let digest: Vec<u8> = (1..=65).collect();
    for length in [1, 20, 28, 32, 33, 48, 64] {
        let signature = module.sign_with(session, CKM_ECDSA, key, &digest[..length]).unwrap();
        assert_signed(&point, &digest[..length], &signature);
        assert_eq!(module.verify_with(session, CKM_ECDSA, public, &digest[..length], &signature), Ok(()));
    }
    for length in [0, 65] {
        let rv = module.sign_with(session, CKM_ECDSA, key, &digest[..length]);
        assert_eq!(rv, Err(CKR_DATA_LEN_RANGE), "{length}");
        assert_eq!(module.sign(session, &[1; 32]), Err(CKR_OPERATION_NOT_INITIALIZED), "an error ends it");
    }
    assert_eq!(module.sign_parts(session, CKM_ECDSA, key, &[&[1; 40], &[1; 25]]), Err(CKR_DATA_LEN_RANGE));
    assert_eq!(module.sign_parts(session, CKM_ECDSA, key, &[]), Err(CKR_DATA_LEN_RANGE));
}

#[test]
fn a_question_for_the_length_and_a_short_buffer_keep_the_operation() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    let mut data = [3; 32];
    let mut length = 0;
    assert_eq!(c!(module, C_Sign(session, data.as_mut_ptr(), 32, null_mut(), &mut length)), Ok(()));
    assert_eq!(length, 64);
    let mut short = [0xEE; 63];
    length = 63;
    let rv = c!(module, C_Sign(session, data.as_mut_ptr(), 32, short.as_mut_ptr(), &mut length));
    assert_eq!((rv, length, short), (Err(CKR_BUFFER_TOO_SMALL), 64, [0xEE; 63]));
    let signature = module.sign(session, &data).unwrap();
    assert_signed(&point(&module, session, public), &data, &signature);
    assert_eq!(module.sign(session, &data), Err(CKR_OPERATION_NOT_INITIALIZED));
    // The same at the end of parts.
    module.sign_init(session, CKM_ECDSA_SHA256, key).unwrap();
    c!(module, C_SignUpdate(session, data.as_mut_ptr(), 32)).unwrap();
    assert_eq!(c!(module, C_SignFinal(session, null_mut(), &mut length)), Ok(()));
    length = 1;
    assert_eq!(c!(module, C_SignFinal(session, short.as_mut_ptr(), &mut length)), Err(CKR_BUFFER_TOO_SMALL));
    let mut signature = [0; 64];
    assert_eq!(c!(module, C_SignFinal(session, signature.as_mut_ptr(), &mut length)), Ok(()));
    assert_signed(&point(&module, session, public), &Sha256::digest(data), &signature);
}

#[test]
fn operations_need_the_right_kind_of_key() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, public), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(module.sign_init(session, CKM_ECDSA, 4711), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(module.sign_init(session, CKM_RSA_PKCS, private), Err(CKR_MECHANISM_INVALID));
    assert_eq!(module.verify_init(session, CKM_ECDSA, private), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(module.verify_init(session, CKM_ECDSA, 4711), Err(CKR_KEY_HANDLE_INVALID));
    module.sign_init(session, CKM_ECDSA, private).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, private), Err(CKR_OPERATION_ACTIVE));
    let mut byte = 1;
    let mut kind = CK_MECHANISM { pParameter: (&raw mut byte).cast(), ulParameterLen: 1, ..mechanism(CKM_ECDSA) };
    let second = module.open_session(0, false).unwrap();
    assert_eq!(c!(module, C_SignInit(second, &mut kind, private)), Err(CKR_MECHANISM_PARAM_INVALID));
}

#[test]
fn wrong_signatures_are_told_from_right_ones() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let (other, _) = generate(&module, session, "b", &[2]).unwrap();
    let digest = [5; 32];
    let good = module.sign_with(session, CKM_ECDSA, key, &digest).unwrap();
    let verify = |key, digest: &[u8], signature: &[u8]| module.verify_with(session, CKM_ECDSA, key, digest, signature);
    assert_eq!(verify(public, &digest, &good), Ok(()));
    for bit in [0, 100, 511] {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(public, &digest, &bad), Err(CKR_SIGNATURE_INVALID));
    }
    assert_eq!(verify(public, &[6; 32], &good), Err(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(other, &digest, &good), Err(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(public, &digest, &[0; 64]), Err(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(public, &digest, &good[..63]), Err(CKR_SIGNATURE_LEN_RANGE));
    assert_eq!(verify(public, &digest, &[good.as_slice(), &[0]].concat()), Err(CKR_SIGNATURE_LEN_RANGE));
    assert_eq!(verify(public, &[], &good), Err(CKR_DATA_LEN_RANGE));
    assert_eq!(module.verify(session, &digest, &good), Err(CKR_OPERATION_NOT_INITIALIZED));
    // In parts.
    module.verify_init(session, CKM_ECDSA_SHA256, public).unwrap();
    let signature = module.sign_with(session, CKM_ECDSA_SHA256, key, b"abc").unwrap();
    for part in [b"a".as_slice(), b"bc"] {
        c!(module, C_VerifyUpdate(session, part.as_ptr().cast_mut(), part.len() as CK_ULONG)).unwrap();
    }
    assert_eq!(c!(module, C_VerifyFinal(session, signature.as_ptr().cast_mut(), 64)), Ok(()));
}

#[test]
fn a_foreign_public_key_verifies_in_the_session_and_goes_with_it() {
    let (module, session) = provisioned();
    let signer = p256::ecdsa::SigningKey::from_slice(&[0x33; 32]).unwrap();
    let digest = [8; 32];
    let signature: Signature = p256::ecdsa::signature::hazmat::PrehashSigner::sign_prehash(&signer, &digest).unwrap();
    let point = signer.verifying_key().to_encoded_point(false);
    // As pkcs11-provider does for each peer, in a read-only session.
    let template = [
        (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        (CKA_DERIVE, boolean(true)),
        (CKA_VERIFY, boolean(true)),
        (CKA_EC_PARAMS, P256.to_vec()),
        (CKA_EC_POINT, templates::wrapped(point.as_bytes())),
        (CKA_TOKEN, boolean(false)),
    ];
    let read_only = module.open_session(0, false).unwrap();
    let key = module.create_object(read_only, &template).unwrap();
    assert_eq!(module.verify_with(read_only, CKM_ECDSA, key, &digest, &signature.to_bytes()), Ok(()));
    assert_eq!(
        module.verify_with(session, CKM_ECDSA, key, &[9; 32], &signature.to_bytes()),
        Err(CKR_SIGNATURE_INVALID)
    );
    assert_eq!(module.attribute(session, key, CKA_TOKEN), Ok(boolean(false)));
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_PUBLIC_KEY))]), Ok(vec![key]));
    c!(module, C_CloseSession(read_only)).unwrap();
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    assert_eq!(module.verify_init(session, CKM_ECDSA, key), Err(CKR_KEY_HANDLE_INVALID));
    // Not on the curve; on another; on the token.
    let changed = |attribute, value: Vec<u8>| with(&template.to_vec(), &[(attribute, value)]);
    let refused = |template: Template| module.create_object(session, &template);
    assert_eq!(refused(changed(CKA_EC_POINT, templates::wrapped(&[4; 65]))), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(refused(changed(CKA_EC_PARAMS, P384.to_vec())), Err(CKR_CURVE_NOT_SUPPORTED));
    assert_eq!(refused(changed(CKA_TOKEN, boolean(true))), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(refused(without(&template.to_vec(), CKA_EC_POINT)), Err(CKR_TEMPLATE_INCOMPLETE));
}

#[test]
fn private_and_secret_keys_are_not_imported() {
    let (module, session) = provisioned();
    for class in [CKO_PRIVATE_KEY, CKO_SECRET_KEY] {
        let template = [(CKA_CLASS, ulong(class)), (CKA_TOKEN, boolean(true)), (CKA_VALUE, vec![7; 32])];
        assert_eq!(module.create_object(session, &template), Err(CKR_ACTION_PROHIBITED));
    }
}

#[test]
fn digests_are_those_of_their_names() {
    let (module, session) = provisioned();
    let message = [0x61; 1000];
    let digests: [(CK_MECHANISM_TYPE, Vec<u8>); 5] = [
        (CKM_SHA_1, Sha1::digest(message).to_vec()),
        (CKM_SHA224, Sha224::digest(message).to_vec()),
        (CKM_SHA256, Sha256::digest(message).to_vec()),
        (CKM_SHA384, Sha384::digest(message).to_vec()),
        (CKM_SHA512, Sha512::digest(message).to_vec()),
    ];
    for (kind, digest) in digests {
        assert_eq!(module.digest_parts(session, kind, &[&message]), Ok(digest.clone()));
        assert_eq!(module.digest_parts(session, kind, &[&message[..1], &[], &message[1..]]), Ok(digest.clone()));
        // At once, with the question for the length and a short buffer before.
        c!(module, C_DigestInit(session, &mut mechanism(kind))).unwrap();
        let (data, mut length) = (message.as_ptr().cast_mut(), 0);
        assert_eq!(c!(module, C_Digest(session, data, 1000, null_mut(), &mut length)), Ok(()));
        assert_eq!(length as usize, digest.len());
        let mut value = vec![0; digest.len()];
        length -= 1;
        let rv = c!(module, C_Digest(session, data, 1000, value.as_mut_ptr(), &mut length));
        assert_eq!(rv, Err(CKR_BUFFER_TOO_SMALL));
        assert_eq!(c!(module, C_Digest(session, data, 1000, value.as_mut_ptr(), &mut length)), Ok(()));
        assert_eq!(value, digest);
    }
    assert_eq!(c!(module, C_DigestInit(session, &mut mechanism(CKM_MD5))), Err(CKR_MECHANISM_INVALID));
}

// ---- ECDH ----

/// What pkcs11-provider asks for.
fn derived_template(length: CK_ULONG) -> Template {
    vec![
        (CKA_CLASS, ulong(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)),
        (CKA_SENSITIVE, boolean(false)),
        (CKA_EXTRACTABLE, boolean(true)),
        (CKA_VALUE_LEN, ulong(length)),
        (CKA_TOKEN, boolean(false)),
    ]
}

/// The secret as the p256 crate computes it from the other side.
fn secret_of(theirs: &p256::SecretKey, our_point: &[u8]) -> Vec<u8> {
    let ours = p256::PublicKey::from_sec1_bytes(our_point).unwrap();
    p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), ours.as_affine()).raw_secret_bytes().to_vec()
}

#[test]
fn a_shared_secret_is_the_one_of_the_other_side() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let their_point = theirs.public_key().to_encoded_point(false).as_bytes().to_vec();
    let secret = secret_of(&theirs, &point(&module, session, public));
    for public_data in [their_point.clone(), templates::wrapped(&their_point)] {
        let derived = module.derive(session, key, CKD_NULL, &[], &public_data, &derived_template(32)).unwrap();
        assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(secret.clone()));
        assert_eq!(module.attribute(session, derived, CKA_CLASS), Ok(ulong(CKO_SECRET_KEY)));
        assert_eq!(module.attribute(session, derived, CKA_LOCAL), Ok(boolean(false)));
    }
    // Without a length it is the whole secret; a shorter key is its end.
    let derived = module.derive(session, key, CKD_NULL, &[], &their_point, &[]).unwrap();
    assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(secret.clone()));
    let derived = module.derive(session, key, CKD_NULL, &[], &their_point, &derived_template(16)).unwrap();
    assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(secret[16..].to_vec()));
    // A sensitive one is not told.
    let sensitive = with(&derived_template(32), &[(CKA_SENSITIVE, boolean(true))]);
    let derived = module.derive(session, key, CKD_NULL, &[], &their_point, &sensitive).unwrap();
    assert_eq!(module.attribute(session, derived, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
}

/// ANSI X9.63: digests over secret, counter and shared info, one after the other.
fn x963<D: Digest>(secret: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let blocks = (1_u32..).map(|counter| D::digest([secret, &counter.to_be_bytes(), info].concat()).to_vec());
    blocks.take(length.div_ceil(20)).flatten().take(length).collect()
}

#[test]
fn the_x9_63_functions_derive_what_their_names_say() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let their_point = theirs.public_key().to_encoded_point(false).as_bytes().to_vec();
    let secret = secret_of(&theirs, &point(&module, session, public));
    for length in [1_usize, 16, 32, 65, 200] {
        for info in [&[][..], b"shared info"] {
            let expected = [
                (CKD_SHA1_KDF, x963::<Sha1>(&secret, info, length)),
                (CKD_SHA224_KDF, x963::<Sha224>(&secret, info, length)),
                (CKD_SHA256_KDF, x963::<Sha256>(&secret, info, length)),
                (CKD_SHA384_KDF, x963::<Sha384>(&secret, info, length)),
                (CKD_SHA512_KDF, x963::<Sha512>(&secret, info, length)),
            ];
            for (kdf, expected) in expected {
                let template = derived_template(length as CK_ULONG);
                let derived = module.derive(session, key, kdf, info, &their_point, &template).unwrap();
                assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(expected), "kdf {kdf}, {length}");
            }
        }
    }
}

#[test]
fn what_can_not_be_derived_is_refused() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let theirs = point(&module, session, public);
    let derive = |public: &[u8], template: &Template| module.derive(session, key, CKD_NULL, &[], public, template);
    let with_length = |length| derived_template(length);
    assert_eq!(derive(&theirs, &with_length(33)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(derive(&theirs, &with_length(0)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let changed = |attribute, value| with(&derived_template(32), &[(attribute, value)]);
    assert_eq!(derive(&theirs, &changed(CKA_TOKEN, boolean(true))), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(derive(&theirs, &changed(CKA_CLASS, ulong(CKO_PRIVATE_KEY))), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(derive(&theirs, &changed(CKA_KEY_TYPE, ulong(CKK_EC))), Err(CKR_TEMPLATE_INCONSISTENT));
    let aes = with(&derived_template(32), &[(CKA_KEY_TYPE, ulong(CKK_AES)), (CKA_VALUE_LEN, ulong(17))]);
    assert_eq!(derive(&theirs, &aes), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(derive(&[4; 65], &with_length(32)), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(derive(&theirs[..64], &with_length(32)), Err(CKR_MECHANISM_PARAM_INVALID));
    let kdf = |kdf, info: &[u8]| module.derive(session, key, kdf, info, &theirs, &with_length(32));
    assert_eq!(kdf(0x77, &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(kdf(CKD_NULL, &[1]), Err(CKR_MECHANISM_PARAM_INVALID));
    let of_public = module.derive(session, public, CKD_NULL, &[], &theirs, &with_length(32));
    assert_eq!(of_public, Err(CKR_KEY_TYPE_INCONSISTENT));
    let of_nothing = module.derive(session, 4711, CKD_NULL, &[], &theirs, &with_length(32));
    assert_eq!(of_nothing, Err(CKR_KEY_HANDLE_INVALID));
    let mut derived = 0;
    let rv = c!(module, C_DeriveKey(session, &mut mechanism(CKM_ECDH1_DERIVE), key, null_mut(), 0, &mut derived));
    assert_eq!(rv, Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]), Ok(vec![]));
}

// ---- Destruction ----

#[test]
fn a_destroyed_key_is_gone_for_good_and_its_slot_is_free() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    let (_, other) = generate(&module, session, "b", &[2]).unwrap();
    let gone = point(&module, session, public);
    assert_eq!(module.destroy(session, private), Ok(()));
    assert_eq!(module.private_keys(session), [other]);
    assert_eq!(module.find(session, &[(CKA_ID, vec![1])]), Ok(vec![]));
    assert_eq!(module.attribute(session, private, CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.attribute(session, public, CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.sign_init(session, CKM_ECDSA, private), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(module.destroy(session, private), Err(CKR_OBJECT_HANDLE_INVALID));
    let in_chip = || chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap();
    assert_ne!(in_chip(), gone, "the key is overwritten in the chip");
    let session = module.restart();
    assert_eq!(module.private_keys(session).len(), 1);
    let (public, private) = generate(&module, session, "c", &[3]).unwrap();
    assert_eq!(slot_of(&module, session, private), 0);
    assert_eq!(point(&module, session, public), in_chip());
}

#[test]
fn all_slots_can_be_used_again_and_again() {
    let (module, session) = provisioned();
    let mut points = BTreeSet::new();
    for round in 0..3 {
        let keys: Vec<_> = (0..4).map(|n| generate(&module, session, &format!("k{n}"), &[round, n]).unwrap()).collect();
        assert!(keys.iter().all(|(public, _)| points.insert(point(&module, session, *public))));
        assert!(keys.iter().all(|(_, private)| module.destroy(session, *private) == Ok(())));
        assert_eq!(module.find(session, &[]), Ok(vec![]));
    }
}

#[test]
fn a_key_can_be_destroyed_while_a_search_is_going_on() {
    let (module, session) = provisioned();
    let (_, private) = generate(&module, session, "a", &[1]).unwrap();
    c!(module, C_FindObjectsInit(session, null_mut(), 0)).unwrap();
    let (mut found, mut count) = ([0; 1], 0);
    c!(module, C_FindObjects(session, found.as_mut_ptr(), 1, &mut count)).unwrap();
    assert_eq!(module.destroy(session, private), Ok(()));
    c!(module, C_FindObjects(session, found.as_mut_ptr(), 1, &mut count)).unwrap();
    c!(module, C_FindObjectsFinal(session)).unwrap();
}

#[test]
fn a_key_in_a_locked_slot_is_permanent() {
    let mut image = chip::provisioned();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    image.part_mut(Part::Config)[88] &= !1;
    let module = Module::with_chip(&image);
    let session = module.start();
    let keys = module.private_keys(session);
    assert_eq!(module.attribute(session, keys[0], CKA_DESTROYABLE), Ok(boolean(false)));
    assert_eq!(module.destroy(session, keys[0]), Err(CKR_ACTION_PROHIBITED));
    module.assert_logged(&["slot 0", "permanent"]);
    assert_eq!(module.private_keys(session), keys);
    assert!(module.sign_with(session, CKM_ECDSA, keys[0], &[1; 32]).is_ok());
    assert_eq!(error(generate(&module, session, "device", &[1])), Err(CKR_ACTION_PROHIBITED));
}

#[test]
fn a_public_key_goes_with_its_private_key_only() {
    let (module, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    assert_eq!(module.attribute(session, public, CKA_DESTROYABLE), Ok(boolean(false)));
    assert_eq!(module.destroy(session, public), Err(CKR_ACTION_PROHIBITED));
}

// ---- Certificates and data ----

/// As p11tool --write sends it, with more attributes.
fn create_certificate(module: &Module, session: Session, der: &[u8], more: Attributes) -> Result<Handle, CK_RV> {
    let template = vec![
        (CKA_CLASS, ulong(CKO_CERTIFICATE)),
        (CKA_VALUE, der.to_vec()),
        (CKA_TOKEN, boolean(true)),
        (CKA_CERTIFICATE_TYPE, ulong(CKC_X_509)),
        (CKA_PRIVATE, boolean(false)),
    ];
    module.create_object(session, &with(&template, more))
}

#[test]
fn a_certificate_is_kept_found_and_read_back() {
    let (module, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = templates::certificate("device-002", &point(&module, session, public));
    let more = [(CKA_LABEL, b"crt".to_vec()), (CKA_ID, vec![0x20])];
    create_certificate(&module, session, &der, &more).unwrap();
    let session = module.restart();
    let found = module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_ID, vec![0x20])]).unwrap();
    assert_eq!(found.len(), 1);
    let parsed = x509_cert::Certificate::from_der(&der).unwrap().tbs_certificate;
    for (attribute, value) in [
        (CKA_VALUE, der.clone()),
        (CKA_LABEL, b"crt".to_vec()),
        (CKA_ID, vec![0x20]),
        (CKA_CERTIFICATE_TYPE, ulong(CKC_X_509)),
        (CKA_SUBJECT, parsed.subject.to_der().unwrap()),
        (CKA_ISSUER, parsed.issuer.to_der().unwrap()),
        (CKA_SERIAL_NUMBER, parsed.serial_number.to_der().unwrap()),
        (CKA_PUBLIC_KEY_INFO, parsed.subject_public_key_info.to_der().unwrap()),
        (CKA_PRIVATE, boolean(false)),
        (CKA_TOKEN, boolean(true)),
        (CKA_TRUSTED, boolean(false)),
        (CKA_CHECK_VALUE, Sha1::digest(&der)[..3].to_vec()),
    ] {
        assert_eq!(module.attribute(session, found[0], attribute), Ok(value), "{attribute:#x}");
    }
    // By subject, as SunPKCS11 walks a chain.
    let by_subject = [(CKA_TOKEN, boolean(true)), (CKA_SUBJECT, parsed.subject.to_der().unwrap())];
    assert_eq!(module.find(session, &by_subject), Ok(found.clone()));
    assert_eq!(module.set_attributes(session, found[0], &[(CKA_LABEL, b"new".to_vec()), (CKA_ID, vec![2])]), Ok(()));
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_ID, vec![2])]), Ok(found.clone()));
    assert_eq!(module.set_attributes(session, found[0], &[(CKA_VALUE, der)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(module.destroy(session, found[0]), Ok(()));
    assert_eq!(module.attribute(session, found[0], CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID));
    let session = module.restart();
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]), Ok(vec![]));
}

#[test]
fn a_certificate_without_names_gets_those_of_its_key() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "my key", &[1, 2, 3]).unwrap();
    let der = templates::certificate("x", &point(&module, session, public));
    let certificate = create_certificate(&module, session, &der, &[]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(vec![1, 2, 3]));
    assert_eq!(module.label(session, certificate), module.label(session, private));
    // Of a key that is not here: none.
    let stranger = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false);
    let der = templates::certificate("ca", stranger.as_bytes());
    let certificate = create_certificate(&module, session, &der, &[]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(vec![]));
}

#[test]
fn a_certificate_gets_its_keys_id_even_if_the_state_was_lost() {
    let mut image = chip::provisioned();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    let point = chip::point_in(&image, 0).unwrap();
    let module = Module::with_chip(&image);
    let session = module.start();
    let certificate = create_certificate(&module, session, &templates::certificate("x", &point), &[]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(Sha1::digest(&point).to_vec()));
}

#[test]
fn what_is_no_certificate_is_not_kept_as_one() {
    let (module, session) = provisioned();
    let stranger = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false);
    let der = templates::certificate("x", stranger.as_bytes());
    for bad in [&b"-----BEGIN CERTIFICATE-----"[..], &der[..der.len() - 1], &[0x30, 0x80], &[0xFF; 100]] {
        let rv = create_certificate(&module, session, bad, &[]);
        assert_eq!(rv, Err(CKR_ATTRIBUTE_VALUE_INVALID), "{bad:02X?}");
    }
    let trailing = [der.as_slice(), &[0]].concat();
    assert_eq!(create_certificate(&module, session, &trailing, &[]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(create_certificate(&module, session, &[], &[]), Err(CKR_TEMPLATE_INCOMPLETE));
    let kind = [(CKA_CERTIFICATE_TYPE, ulong(CKC_WTLS))];
    assert_eq!(create_certificate(&module, session, &der, &kind), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let private = [(CKA_PRIVATE, boolean(true))];
    assert_eq!(create_certificate(&module, session, &der, &private), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(create_certificate(&module, session, &der, &[(CKA_MODULUS, vec![1])]), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(module.find(session, &[]), Ok(vec![]));
}

#[test]
fn data_objects_are_kept_and_changed() {
    let (module, session) = provisioned();
    // As pkcs11-tool --write-object --type data.
    let template = [
        (CKA_CLASS, ulong(CKO_DATA)),
        (CKA_TOKEN, boolean(true)),
        (CKA_VALUE, vec![0, 1, 255]),
        (CKA_PRIVATE, boolean(false)),
        (CKA_APPLICATION, b"se".to_vec()),
        (CKA_LABEL, b"slot8".to_vec()),
    ];
    module.create_object(session, &template).unwrap();
    let session = module.restart();
    let data = module.find_labelled(session, CKO_DATA, "slot8")[0];
    assert_eq!(module.attribute(session, data, CKA_VALUE), Ok(vec![0, 1, 255]));
    assert_eq!(module.attribute(session, data, CKA_APPLICATION), Ok(b"se".to_vec()));
    assert_eq!(module.set_attributes(session, data, &[(CKA_VALUE, vec![7])]), Ok(()));
    assert_eq!(module.attribute(session, data, CKA_VALUE), Ok(vec![7]));
    let mut size = 0;
    assert_eq!(c!(module, C_GetObjectSize(session, data, &mut size)), Ok(()));
    assert_eq!(size, 1);
    let too_much = [(CKA_VALUE, vec![7; 65 * 1024])];
    assert_eq!(module.set_attributes(session, data, &too_much), Err(CKR_DEVICE_MEMORY));
    assert_eq!(module.destroy(session, data), Ok(()));
    assert_eq!(module.find(session, &[]), Ok(vec![]));
}

#[test]
fn session_objects_die_with_their_session() {
    let (module, session) = provisioned();
    let other = module.open_session(0, true).unwrap();
    let template = [(CKA_CLASS, ulong(CKO_DATA)), (CKA_VALUE, vec![1]), (CKA_LABEL, b"s".to_vec())];
    let mine = module.create_object(session, &template).unwrap();
    let theirs = module.create_object(other, &template).unwrap();
    assert_eq!(module.find_labelled(session, CKO_DATA, "s"), [mine, theirs]);
    c!(module, C_CloseSession(other)).unwrap();
    assert_eq!(module.find_labelled(session, CKO_DATA, "s"), [mine]);
    assert_eq!(module.attribute(session, theirs, CKA_VALUE), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.destroy(session, mine), Ok(()));
    let again = module.create_object(session, &template).unwrap();
    assert_ne!(again, mine, "a handle is never used twice");
    c!(module, C_CloseAllSessions(0)).unwrap();
    let session = module.open_session(0, true).unwrap();
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    assert!(!module.state_dir().read_dir().unwrap().any(|entry| entry.unwrap().path().is_dir()), "nothing was written");
}

// ---- Login, token, random ----

#[test]
fn login_succeeds_with_any_pin_or_none_and_once() {
    let (module, session) = provisioned();
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    let read_only = module.open_session(0, false).unwrap();
    let state = |session| module.session_info(session).unwrap().state;
    for pin in [&b"1234"[..], b"", &[0xFF; 200]] {
        assert_eq!((state(session), state(read_only)), (CKS_RW_PUBLIC_SESSION, CKS_RO_PUBLIC_SESSION));
        assert_eq!(module.login(session, CKU_USER, pin), Ok(()));
        assert_eq!((state(session), state(read_only)), (CKS_RW_USER_FUNCTIONS, CKS_RO_USER_FUNCTIONS));
        assert_eq!(module.login(read_only, CKU_USER, pin), Err(CKR_USER_ALREADY_LOGGED_IN));
        assert!(module.sign_with(read_only, CKM_ECDSA, key, &[1; 32]).is_ok());
        assert_eq!(c!(module, C_Logout(session)), Ok(()));
    }
    assert_eq!(c!(module, C_Login(session, CKU_USER, null_mut(), 0)), Ok(()));
    c!(module, C_CloseAllSessions(0)).unwrap();
    let session = module.open_session(0, true).unwrap();
    assert_eq!(state(session), CKS_RW_PUBLIC_SESSION, "the last session takes the login with it");
    // Private keys are there without login.
    assert_eq!(module.private_keys(session).len(), 1);
}

#[test]
fn there_is_no_security_officer_and_no_pin_to_change() {
    let (module, session) = provisioned();
    assert_eq!(module.login(session, CKU_SO, b"1234"), Err(CKR_USER_TYPE_INVALID));
    module.assert_logged(&["no PIN", "tls-pin"]);
    assert_eq!(module.login(session, CKU_CONTEXT_SPECIFIC, b""), Err(CKR_OPERATION_NOT_INITIALIZED));
    let pin = b"1234".as_ptr().cast_mut();
    assert_eq!(c!(module, C_InitPIN(session, pin, 4)), Err(CKR_USER_NOT_LOGGED_IN));
    module.assert_logged(&["C_InitPIN"]);
    assert_eq!(c!(module, C_SetPIN(session, pin, 4, pin, 4)), Err(CKR_ACTION_PROHIBITED));
    module.assert_logged(&["C_SetPIN"]);
    let flags = module.token_info(0).unwrap().flags;
    assert_eq!(flags & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED), 0);
    assert_eq!(flags & (CKF_TOKEN_INITIALIZED | CKF_RNG), CKF_TOKEN_INITIALIZED | CKF_RNG);
}

#[test]
fn the_token_names_itself_and_says_that_it_is_simulated() {
    let (module, _) = provisioned();
    let info = module.token_info(0).unwrap();
    let serial = String::from_utf8(info.serialNumber.to_vec()).unwrap();
    assert!(serial.starts_with("2353494D"), "{serial}");
    assert_eq!(&info.model, b"ATECC608-SIM    ");
    let label = String::from_utf8(info.label.to_vec()).unwrap();
    assert_eq!(label.trim_end(), format!("ATECC608-{}", &serial[8..]));
    module.assert_logged(&["simulated"]);
}

#[test]
fn init_token_sets_the_label_and_destroys_nothing() {
    let (module, session) = provisioned();
    let mut label = *b"gateway 7                       ";
    let mut init = || c!(module, C_InitToken(0, null_mut(), 0, label.as_mut_ptr()));
    assert_eq!(init(), Err(CKR_SESSION_EXISTS));
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(init(), Err(CKR_ACTION_PROHIBITED));
    module.assert_logged(&["C_InitToken", "objects"]);
    let session = module.open_session(0, true).unwrap();
    let found = module.private_keys(session);
    assert_eq!(found, [key]);
    module.destroy(session, key).unwrap();
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(init(), Ok(()));
    assert_eq!(&module.token_info(0).unwrap().label, b"gateway 7                       ");
    module.restart();
    assert_eq!(&module.token_info(0).unwrap().label, b"gateway 7                       ");
}

#[test]
fn random_numbers_come_in_any_amount() {
    let (module, session) = provisioned();
    for length in [0, 1, 31, 32, 33, 1000] {
        assert_eq!(module.random(session, length).unwrap().len(), length);
    }
    let (a, b) = (module.random(session, 64).unwrap(), module.random(session, 64).unwrap());
    let parts: BTreeSet<&[u8]> = a.chunks(32).chain(b.chunks(32)).collect();
    assert_eq!(parts.len(), 4);
    assert_eq!(c!(module, C_SeedRandom(session, [1].as_mut_ptr(), 1)), Err(CKR_RANDOM_SEED_NOT_SUPPORTED));
}

#[test]
fn the_mechanisms_are_listed_with_sizes_and_flags() {
    let (module, _) = provisioned();
    let info = |kind| {
        let mut info = CK_MECHANISM_INFO::default();
        c!(module, C_GetMechanismInfo(0, kind, &mut info)).map(|()| info)
    };
    let ec = CKF_HW | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
    for (kind, flags) in [
        (CKM_EC_KEY_PAIR_GEN, ec | CKF_GENERATE_KEY_PAIR),
        (CKM_ECDSA, ec | CKF_SIGN | CKF_VERIFY),
        (CKM_ECDSA_SHA256, ec | CKF_SIGN | CKF_VERIFY),
        (CKM_ECDH1_DERIVE, ec | CKF_DERIVE),
    ] {
        let info = info(kind).unwrap();
        assert_eq!((info.ulMinKeySize, info.ulMaxKeySize, info.flags), (256, 256, flags));
    }
    assert_eq!(info(CKM_SHA256).map(|info| info.flags), Ok(CKF_DIGEST));
    assert_eq!(info(CKM_RSA_PKCS).map(drop), Err(CKR_MECHANISM_INVALID));
}
