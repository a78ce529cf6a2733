// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every attribute of the standard (2.40, 3.0, 3.2), read from an object of every class: each table names those of the
//! class, with the required result; the class must not have any other.

use std::collections::BTreeSet;

use crate::common::keys::{create_certificate, generate, point, with};
use crate::common::module::{boolean, c, ulong, Module};
use crate::common::secrets::{given, with_io_key};
use crate::common::templates::{self, private_key, P256};
use atecc608_token::attribute::{
    CKA_ATECC608_IN_CHIP, CKA_ATECC608_KEY_CONFIG, CKA_ATECC608_SLOT, CKA_ATECC608_SLOT_CONFIG,
    CKA_ATECC608_SLOT_LOCKED,
};
use atecc608_wire::Slot;
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;

const DOCUMENT: &str = include_str!("../../docs/pkcs11.md");

type Session = CK_SESSION_HANDLE;
type Handle = CK_OBJECT_HANDLE;

macro_rules! attributes {
    ($($name:ident),* $(,)?) => {
        /// All attributes of the standard, and ours.
        const ALL: &[CK_ATTRIBUTE_TYPE] = &[$($name),*];
        /// Their names.
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

#[rustfmt::skip]
attributes![
    CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_UNIQUE_ID, CKA_APPLICATION, CKA_VALUE, CKA_OBJECT_ID,
    CKA_CERTIFICATE_TYPE, CKA_ISSUER, CKA_SERIAL_NUMBER, CKA_AC_ISSUER, CKA_OWNER, CKA_ATTR_TYPES, CKA_TRUSTED,
    CKA_CERTIFICATE_CATEGORY, CKA_JAVA_MIDP_SECURITY_DOMAIN, CKA_URL, CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
    CKA_HASH_OF_ISSUER_PUBLIC_KEY, CKA_NAME_HASH_ALGORITHM, CKA_CHECK_VALUE, CKA_KEY_TYPE, CKA_SUBJECT, CKA_ID,
    CKA_SENSITIVE, CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_SIGN_RECOVER, CKA_VERIFY,
    CKA_VERIFY_RECOVER, CKA_DERIVE, CKA_ENCAPSULATE, CKA_DECAPSULATE, CKA_START_DATE, CKA_END_DATE, CKA_MODULUS,
    CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1,
    CKA_EXPONENT_2, CKA_COEFFICIENT, CKA_PUBLIC_KEY_INFO, CKA_PRIME, CKA_SUBPRIME, CKA_BASE, CKA_PRIME_BITS,
    CKA_SUBPRIME_BITS, CKA_VALUE_BITS, CKA_VALUE_LEN, CKA_EXTRACTABLE, CKA_LOCAL, CKA_NEVER_EXTRACTABLE,
    CKA_ALWAYS_SENSITIVE, CKA_KEY_GEN_MECHANISM, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_EC_PARAMS,
    CKA_EC_POINT, CKA_SECONDARY_AUTH, CKA_AUTH_PIN_FLAGS, CKA_ALWAYS_AUTHENTICATE, CKA_WRAP_WITH_TRUSTED,
    CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE, CKA_ENCAPSULATE_TEMPLATE, CKA_DECAPSULATE_TEMPLATE,
    CKA_OTP_FORMAT, CKA_OTP_LENGTH, CKA_OTP_COUNTER, CKA_GOSTR3410_PARAMS, CKA_HW_FEATURE_TYPE, CKA_RESET_ON_INIT,
    CKA_HAS_RESET, CKA_PIXEL_X, CKA_CHAR_SETS, CKA_MECHANISM_TYPE, CKA_ALLOWED_MECHANISMS, CKA_PROFILE_ID,
    CKA_X2RATCHET_BAG, CKA_HSS_LEVELS, CKA_PARAMETER_SET, CKA_OBJECT_VALIDATION_FLAGS, CKA_VALIDATION_TYPE,
    CKA_VALIDATION_FLAG, CKA_TRUST_SERVER_AUTH, CKA_PUBLIC_CRC64_VALUE, CKA_SEED, CKA_ATECC608_SLOT,
    CKA_ATECC608_SLOT_CONFIG, CKA_ATECC608_KEY_CONFIG, CKA_ATECC608_SLOT_LOCKED, CKA_ATECC608_IN_CHIP,
];

/// The result for an attribute.
#[derive(Clone, Debug)]
enum Is {
    /// This value.
    Value(Vec<u8>),
    /// A value of this length.
    Len(usize),
    /// One that differs from object to object, and is not empty.
    Some,
    /// CKR_ATTRIBUTE_SENSITIVE.
    Sensitive,
}

use Is::{Len, Sensitive, Some as Any, Value};

fn yes() -> Is {
    Value(boolean(true))
}

fn no() -> Is {
    Value(boolean(false))
}

fn empty() -> Is {
    Value(vec![])
}

fn number(value: CK_ULONG) -> Is {
    Value(ulong(value))
}

fn text(value: &str) -> Is {
    Value(value.as_bytes().to_vec())
}

type Table = Vec<(CK_ATTRIBUTE_TYPE, Is)>;

/// Reads each attribute of the table and each other one: one by one, and all in one call.
#[track_caller]
fn check(module: &Module, session: Session, object: Handle, table: Table) {
    assert_documented(object_name(&table), table.iter().map(|(attribute, _)| *attribute));
    let has = |attribute| table.iter().find(|(known, _)| *known == attribute);
    assert_eq!(table.iter().map(|(attribute, _)| attribute).collect::<BTreeSet<_>>().len(), table.len());
    assert!(table.iter().all(|(attribute, _)| ALL.contains(attribute)));
    let (result, answers) = module.attributes_at_once(session, object, ALL);
    assert!(result.is_err(), "no class has all attributes");
    for (attribute, (len, together)) in ALL.iter().zip(answers) {
        let alone = module.attribute(session, object, *attribute);
        match has(*attribute) {
            None => assert_eq!(alone, Err(CKR_ATTRIBUTE_TYPE_INVALID), "{attribute:#x}"),
            Some((_, Sensitive)) => assert_eq!(alone, Err(CKR_ATTRIBUTE_SENSITIVE), "{attribute:#x}"),
            Some((_, Value(value))) => assert_eq!(alone.as_ref(), Ok(value), "{attribute:#x}"),
            Some((_, Len(len))) => assert_eq!(alone.as_ref().map(Vec::len), Ok(*len), "{attribute:#x}"),
            Some((_, Any)) => assert!(alone.as_ref().is_ok_and(|value| !value.is_empty()), "{attribute:#x}"),
        }
        match alone {
            Ok(value) => assert_eq!(together, value, "{attribute:#x}: filled before the failure is reported"),
            Err(_) => assert_eq!(len, CK_UNAVAILABLE_INFORMATION, "{attribute:#x}"),
        }
    }
    let mut size = 0;
    c!(module, C_GetObjectSize(session, object, &mut size)).unwrap();
    assert!(size > 0 && size < 100_000, "the object's size is {size}");
}

/// What docs/pkcs11.md calls an object with these attributes.
fn object_name(table: &Table) -> &'static str {
    let value = |wanted| match table.iter().find(|(attribute, _)| *attribute == wanted) {
        Some((_, Value(value))) => value.clone(),
        _ => vec![],
    };
    let (class, on_token) = (value(CKA_CLASS), value(CKA_TOKEN) == boolean(true));
    if class == ulong(CKO_PUBLIC_KEY) {
        return ["public key by itself", "public key in the chip"][usize::from(!value(CKA_ATECC608_SLOT).is_empty())];
    }
    let names = [
        (CKO_PRIVATE_KEY, ["private key in the session", "private key in the chip"]),
        (CKO_SECRET_KEY, ["secret key in the session", "secret key in the chip"]),
        (CKO_CERTIFICATE, ["certificate"; 2]),
        (CKO_DATA, ["data"; 2]),
        (CKO_PROFILE, ["profile"; 2]),
        (CKO_MECHANISM, ["mechanism"; 2]),
    ];
    names.into_iter().find(|(known, _)| ulong(*known) == class).unwrap().1[usize::from(on_token)]
}

/// docs/pkcs11.md names these attributes for the object, and no others.
#[track_caller]
fn assert_documented(object: &str, attributes: impl Iterator<Item = CK_ATTRIBUTE_TYPE>) {
    let name = |attribute| NAMES[ALL.iter().position(|known| *known == attribute).unwrap()];
    let answered: BTreeSet<&str> = attributes.map(name).collect();
    let row = DOCUMENT.lines().find_map(|line| line.strip_prefix(&format!("| {object} | CKA_")));
    let documented = format!("CKA_{}", row.unwrap_or_default().trim_end_matches(" |"));
    assert_eq!(documented.split(", ").collect::<BTreeSet<_>>(), answered, "{object}");
}

fn table(parts: &[&[(CK_ATTRIBUTE_TYPE, Is)]]) -> Table {
    parts.concat()
}

/// The attributes of all storage objects: 2.40 section 4.4, 3.2 section 4.4.
fn storage(class: CK_OBJECT_CLASS, token: bool, private: bool, label: &str) -> Table {
    vec![
        (CKA_CLASS, number(class)),
        (CKA_TOKEN, Value(boolean(token))),
        (CKA_PRIVATE, Value(boolean(private))),
        (CKA_MODIFIABLE, yes()),
        (CKA_LABEL, text(label)),
        (CKA_UNIQUE_ID, Any),
        (CKA_OBJECT_VALIDATION_FLAGS, number(0)),
    ]
}

/// Of all keys: section 4.7.
fn key(key_type: CK_KEY_TYPE, id: &[u8], local: bool, generated_by: CK_MECHANISM_TYPE) -> Table {
    vec![
        (CKA_KEY_TYPE, number(key_type)),
        (CKA_ID, Value(id.to_vec())),
        (CKA_START_DATE, empty()),
        (CKA_END_DATE, empty()),
        (CKA_LOCAL, Value(boolean(local))),
        (CKA_KEY_GEN_MECHANISM, number(generated_by)),
        (CKA_ALLOWED_MECHANISMS, Any),
    ]
}

/// The attributes of everything in this slot of a chip with the profile `tls`.
fn in_slot(number_of_slot: u8) -> Table {
    let profile = atecc608_token::profile::by_name("tls").unwrap();
    let zone = profile.apply(&crate::common::chip::blank().config());
    let slot = Slot::new(number_of_slot).unwrap();
    vec![
        (CKA_ATECC608_SLOT, number(number_of_slot.into())),
        (CKA_ATECC608_SLOT_CONFIG, number(zone.slot_config(slot).0.into())),
        (CKA_ATECC608_KEY_CONFIG, number(zone.key_config(slot).0.into())),
        (CKA_ATECC608_SLOT_LOCKED, no()),
        (CKA_ATECC608_IN_CHIP, yes()),
    ]
}

/// The attributes of an EC private key in the chip, generated there or not.
fn private_ec(born_here: bool) -> Table {
    vec![
        (CKA_COPYABLE, no()),
        (CKA_DESTROYABLE, yes()),
        (CKA_SUBJECT, empty()),
        (CKA_SENSITIVE, yes()),
        (CKA_EXTRACTABLE, no()),
        (CKA_ALWAYS_SENSITIVE, Value(boolean(born_here))),
        (CKA_NEVER_EXTRACTABLE, Value(boolean(born_here))),
        (CKA_SIGN, yes()),
        (CKA_DERIVE, yes()),
        (CKA_SIGN_RECOVER, no()),
        (CKA_DECRYPT, no()),
        (CKA_UNWRAP, no()),
        (CKA_DECAPSULATE, no()),
        (CKA_WRAP_WITH_TRUSTED, no()),
        (CKA_ALWAYS_AUTHENTICATE, no()),
        (CKA_UNWRAP_TEMPLATE, empty()),
        (CKA_DERIVE_TEMPLATE, empty()),
        (CKA_DECAPSULATE_TEMPLATE, empty()),
        (CKA_EC_PARAMS, Value(P256.to_vec())),
        (CKA_EC_POINT, Len(67)),
        (CKA_PUBLIC_KEY_INFO, Len(91)),
        (CKA_VALUE, Sensitive),
    ]
}

fn public_ec() -> Table {
    vec![
        (CKA_SUBJECT, empty()),
        (CKA_VERIFY, yes()),
        (CKA_DERIVE, no()),
        (CKA_VERIFY_RECOVER, no()),
        (CKA_ENCRYPT, no()),
        (CKA_WRAP, no()),
        (CKA_ENCAPSULATE, no()),
        (CKA_TRUSTED, no()),
        (CKA_WRAP_TEMPLATE, empty()),
        (CKA_ENCAPSULATE_TEMPLATE, empty()),
        (CKA_EC_PARAMS, Value(P256.to_vec())),
        (CKA_EC_POINT, Len(67)),
        (CKA_PUBLIC_KEY_INFO, Len(91)),
    ]
}

#[test]
fn a_key_pair_that_was_born_in_the_chip() {
    let (module, _bus, session) = with_io_key();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    let common = key(CKK_EC, &[1], true, CKM_EC_KEY_PAIR_GEN);
    let slot = in_slot(0);
    let private_table = [&storage(CKO_PRIVATE_KEY, true, true, "a")[..], &common, &private_ec(true), &slot];
    check(&module, session, private, table(&private_table));
    let of_half: &[_] = &[(CKA_COPYABLE, no()), (CKA_DESTROYABLE, yes())];
    let public_table = [&storage(CKO_PUBLIC_KEY, true, false, "a")[..], &common, &public_ec(), &slot, of_half];
    check(&module, session, public, table(&public_table));
}

#[test]
fn a_key_pair_of_the_session() {
    let (module, _bus, session) = with_io_key();
    let names = [(CKA_TOKEN, boolean(false)), (CKA_LABEL, b"a".to_vec()), (CKA_ID, vec![1])];
    let public = with(&names.to_vec(), &[(CKA_EC_PARAMS, P256.to_vec())]);
    let (public, private) = module.generate_key_pair(session, &public, &names).unwrap();
    let common = key(CKK_EC, &[1], true, CKM_EC_KEY_PAIR_GEN);
    let own: &[_] = &[(CKA_ATECC608_IN_CHIP, no())];
    let as_in_chip: Table = private_ec(true).into_iter().filter(|(attribute, _)| *attribute != CKA_COPYABLE).collect();
    let copyable: &[_] = &[(CKA_COPYABLE, yes())];
    let private_table = [&storage(CKO_PRIVATE_KEY, false, true, "a")[..], &common, &as_in_chip, copyable, own];
    check(&module, session, private, table(&private_table));
    let of_half: &[_] = &[(CKA_COPYABLE, yes()), (CKA_DESTROYABLE, yes())];
    let public_table = [&storage(CKO_PUBLIC_KEY, false, false, "a")[..], &common, &public_ec(), of_half, own];
    check(&module, session, public, table(&public_table));
}

#[test]
fn a_key_pair_that_was_imported() {
    let (module, _bus, session) = with_io_key();
    let private = module.create_object(session, &private_key("a", &[0x21; 32])).unwrap();
    let common = key(CKK_EC, b"a", false, CK_UNAVAILABLE_INFORMATION);
    let slot = in_slot(4);
    let private_table = [&storage(CKO_PRIVATE_KEY, true, true, "a")[..], &common, &private_ec(false), &slot];
    check(&module, session, private, table(&private_table));
    let of_half: &[_] = &[(CKA_COPYABLE, no()), (CKA_DESTROYABLE, yes())];
    let public_table = [&storage(CKO_PUBLIC_KEY, true, false, "a")[..], &common, &public_ec(), &slot, of_half];
    check(&module, session, module.public_of(session, private), table(&public_table));
}

#[test]
fn a_public_key_by_itself_in_the_session_and_on_the_token() {
    let (module, _bus, session) = with_io_key();
    let template = [
        (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        (CKA_EC_PARAMS, P256.to_vec()),
        (
            CKA_EC_POINT,
            templates::wrapped(
                p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false).as_bytes(),
            ),
        ),
        (CKA_LABEL, b"peer".to_vec()),
    ];
    let common = key(CKK_EC, &[], false, CK_UNAVAILABLE_INFORMATION);
    let of_half: &[_] = &[(CKA_COPYABLE, yes()), (CKA_DESTROYABLE, yes()), (CKA_ATECC608_IN_CHIP, no())];
    for on_token in [false, true] {
        let public =
            module.create_object(session, &[&template[..], &[(CKA_TOKEN, boolean(on_token))]].concat()).unwrap();
        let parts = [&storage(CKO_PUBLIC_KEY, on_token, false, "peer")[..], &common, &public_ec(), of_half];
        check(&module, session, public, table(&parts));
    }
}

/// The attributes of a secret key, in the chip or in the session.
fn secret(in_chip: bool, aes: bool, len: CK_ULONG) -> Table {
    let is = |value| Value(boolean(value));
    vec![
        (CKA_COPYABLE, is(!in_chip)),
        (CKA_DESTROYABLE, yes()),
        (CKA_SENSITIVE, is(in_chip)),
        (CKA_EXTRACTABLE, is(!in_chip)),
        (CKA_ALWAYS_SENSITIVE, no()),
        (CKA_NEVER_EXTRACTABLE, no()),
        (CKA_ENCRYPT, is(aes)),
        (CKA_DECRYPT, is(aes)),
        (CKA_SIGN, yes()),
        (CKA_VERIFY, yes()),
        (CKA_WRAP, is(aes && in_chip)),
        (CKA_UNWRAP, is(aes && in_chip)),
        (CKA_DERIVE, is(!aes)),
        (CKA_TRUSTED, no()),
        (CKA_WRAP_WITH_TRUSTED, no()),
        (CKA_WRAP_TEMPLATE, empty()),
        (CKA_UNWRAP_TEMPLATE, empty()),
        (CKA_DERIVE_TEMPLATE, empty()),
        (CKA_VALUE_LEN, number(len)),
    ]
}

#[test]
fn secret_keys_in_the_chip() {
    let (module, _bus, session) = with_io_key();
    let id = [(CKA_ID, vec![7])];
    for (key_type, slot, check_len) in [(CKK_AES, 9, 3), (CKK_GENERIC_SECRET, 5, 0)] {
        let secret_key = module.create_object(session, &with(&given(true, key_type, &[0x31; 16]), &id)).unwrap();
        let own: &[_] = &[(CKA_VALUE, Sensitive), (CKA_CHECK_VALUE, Len(check_len))];
        let parts = [
            &storage(CKO_SECRET_KEY, true, true, "a key")[..],
            &key(key_type, &[7], false, CK_UNAVAILABLE_INFORMATION),
            &secret(true, key_type == CKK_AES, 16),
            &in_slot(slot),
            own,
        ];
        check(&module, session, secret_key, table(&parts));
    }
}

#[test]
fn secret_keys_in_the_session() {
    let (module, _bus, session) = with_io_key();
    for key_type in [CKK_AES, CKK_GENERIC_SECRET] {
        let secret_key = module.create_object(session, &given(false, key_type, &[0x31; 16])).unwrap();
        let own: &[_] = &[(CKA_VALUE, Value(vec![0x31; 16])), (CKA_CHECK_VALUE, Len(3)), (CKA_ATECC608_IN_CHIP, no())];
        let parts = [
            &storage(CKO_SECRET_KEY, false, false, "a key")[..],
            &key(key_type, &[], false, CK_UNAVAILABLE_INFORMATION),
            &secret(false, key_type == CKK_AES, 16),
            own,
        ];
        check(&module, session, secret_key, table(&parts));
    }
}

#[test]
fn certificates_on_the_token_and_in_the_session() {
    let (module, _bus, session) = with_io_key();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = templates::certificate("a", &point(&module, session, public));
    let given = [
        (CKA_CERTIFICATE_CATEGORY, ulong(CK_CERTIFICATE_CATEGORY_TOKEN_USER)),
        (CKA_URL, b"http://example.test/".to_vec()),
    ];
    for on_token in [true, false] {
        let more = [&given[..], &[(CKA_TOKEN, boolean(on_token))]].concat();
        let certificate = create_certificate(&module, session, &der, &more).unwrap();
        let own: &[_] = &[
            (CKA_COPYABLE, yes()),
            (CKA_DESTROYABLE, yes()),
            (CKA_CERTIFICATE_TYPE, number(CKC_X_509)),
            (CKA_CERTIFICATE_CATEGORY, number(CK_CERTIFICATE_CATEGORY_TOKEN_USER)),
            (CKA_TRUSTED, no()),
            (CKA_CHECK_VALUE, Len(3)),
            (CKA_START_DATE, Len(8)),
            (CKA_END_DATE, Len(8)),
            (CKA_PUBLIC_KEY_INFO, Len(91)),
            (CKA_SUBJECT, Any),
            (CKA_ISSUER, Any),
            (CKA_SERIAL_NUMBER, Value(vec![2, 1, 5])),
            (CKA_ID, Value(vec![1])),
            (CKA_VALUE, Value(der.clone())),
            (CKA_URL, text("http://example.test/")),
            (CKA_HASH_OF_SUBJECT_PUBLIC_KEY, empty()),
            (CKA_HASH_OF_ISSUER_PUBLIC_KEY, empty()),
            (CKA_JAVA_MIDP_SECURITY_DOMAIN, number(CK_SECURITY_DOMAIN_UNSPECIFIED)),
            (CKA_NAME_HASH_ALGORITHM, number(CKM_SHA_1)),
        ];
        check(&module, session, certificate, table(&[&storage(CKO_CERTIFICATE, on_token, false, "a"), own]));
    }
}

#[test]
fn data_objects_on_the_token_and_in_the_session() {
    let (module, _bus, session) = with_io_key();
    for on_token in [true, false] {
        let template = [
            (CKA_CLASS, ulong(CKO_DATA)),
            (CKA_TOKEN, boolean(on_token)),
            (CKA_LABEL, b"note".to_vec()),
            (CKA_APPLICATION, b"test".to_vec()),
            (CKA_OBJECT_ID, vec![6, 1, 0x2A]),
            (CKA_VALUE, vec![1, 2, 3]),
        ];
        let data = module.create_object(session, &template).unwrap();
        let own: &[_] = &[
            (CKA_COPYABLE, yes()),
            (CKA_DESTROYABLE, yes()),
            (CKA_APPLICATION, text("test")),
            (CKA_OBJECT_ID, Value(vec![6, 1, 0x2A])),
            (CKA_VALUE, Value(vec![1, 2, 3])),
        ];
        check(&module, session, data, table(&[&storage(CKO_DATA, on_token, false, "note"), own]));
    }
}

#[test]
fn profiles_and_mechanisms() {
    let (module, _bus, session) = with_io_key();
    for (class, attribute) in [(CKO_PROFILE, CKA_PROFILE_ID), (CKO_MECHANISM, CKA_MECHANISM_TYPE)] {
        let found = module.find(session, &[(CKA_CLASS, ulong(class))]).unwrap();
        check(&module, session, found[0], vec![(CKA_CLASS, number(class)), (attribute, Len(size_of::<CK_ULONG>()))]);
    }
}

#[test]
fn the_counter() {
    let (module, _bus, session) = with_io_key();
    let counter = module.find(session, &[(CKA_CLASS, ulong(CKO_HW_FEATURE))]).unwrap()[0];
    // Its value is read once, because reading counts (abi_features.rs).
    let others: Vec<_> = ALL.iter().copied().filter(|attribute| *attribute != CKA_VALUE).collect();
    let (_, answers) = module.attributes_at_once(session, counter, &others);
    let known: Vec<_> = others
        .iter()
        .zip(answers)
        .filter(|(_, (len, _))| *len != CK_UNAVAILABLE_INFORMATION)
        .map(|(a, _)| *a)
        .collect();
    let expected = [CKA_CLASS, CKA_HW_FEATURE_TYPE, CKA_RESET_ON_INIT, CKA_HAS_RESET];
    assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    assert_documented("monotonic counter", expected.into_iter().chain([CKA_VALUE]));
    assert_eq!(module.attribute(session, counter, CKA_HW_FEATURE_TYPE), Ok(ulong(CKH_MONOTONIC_COUNTER)));
}

#[test]
fn objects_are_found_by_any_attribute_they_answer_and_by_no_other() {
    let (module, _bus, session) = with_io_key();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    let der = templates::certificate("a", &point(&module, session, public));
    let certificate = create_certificate(&module, session, &der, &[]).unwrap();
    let secret_key = module.create_object(session, &given(true, CKK_AES, &[0x31; 16])).unwrap();
    let session_key = module.create_object(session, &given(false, CKK_AES, &[0x31; 16])).unwrap();
    for object in [public, private, certificate, secret_key, session_key] {
        for attribute in ALL {
            let Ok(value) = module.attribute(session, object, *attribute) else { continue };
            let found = module.find(session, &[(*attribute, value.clone())]).unwrap();
            assert!(found.contains(&object), "{attribute:#x} {value:02X?}");
        }
    }
    // Contradictions, values that no object has, and sensitive attributes match nothing and are no error.
    for template in [
        vec![(CKA_CLASS, ulong(CKO_PUBLIC_KEY)), (CKA_CLASS, ulong(CKO_PRIVATE_KEY))],
        vec![(CKA_MODULUS_BITS, ulong(2048))],
        vec![(0xDEAD_BEEF, vec![1])],
        vec![(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_TOKEN, boolean(true)), (CKA_VALUE, vec![0x31; 16])],
        vec![(CKA_CLASS, ulong(CKO_DOMAIN_PARAMETERS))],
        vec![(CKA_LABEL, vec![0xFF])],
    ] {
        assert_eq!(module.find(session, &template), Ok(vec![]), "{template:?}");
    }
}
