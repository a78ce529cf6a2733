// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys as objects: generated, imported, shown and destroyed, in the session and in the chip.

use std::fs;

use crate::common::keys::{self, slot_of, with};
use crate::common::module::{boolean, ulong, Module};
use crate::common::one_key::change_image;
use crate::common::secrets::{aes, generate, given, whole, with_io_key, Kind};
use crate::common::{chip, templates};
use atecc608_sim::image::Part;
use atecc608_sim::SimBus;
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;

const ECB: Kind<'static> = Kind::Plain(CKM_AES_ECB);

/// The contents of the slot, which no command could read.
fn slot_bytes(bus: &SimBus, slot: u8) -> Vec<u8> {
    bus.image(0).unwrap().part(Part::Slot(chip::slot(slot))).to_vec()
}

fn secret_keys(module: &Module, session: CK_SESSION_HANDLE) -> Vec<CK_OBJECT_HANDLE> {
    module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]).unwrap()
}

fn zeros(module: &Module, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> Result<Vec<u8>, CK_RV> {
    whole(module, session, true, &ECB, key, &[0; 16])
}

#[test]
fn an_imported_key_lies_in_the_slot_of_its_kind_and_nowhere_on_the_host() {
    let (module, bus, session) = with_io_key();
    let one = module.create_object(session, &given(true, CKK_AES, b"the first aes ke")).unwrap();
    let two = module.create_object(session, &given(true, CKK_AES, b"the second aes k")).unwrap();
    let hmac = module.create_object(session, &given(true, CKK_GENERIC_SECRET, b"an hmac secret")).unwrap();
    let slots = [one, two, hmac].map(|key| slot_of(&module, session, key));
    assert_eq!(slots, [9, 9, 5]);
    let aes_slot = slot_bytes(&bus, 9);
    assert_eq!((&aes_slot[..16], &aes_slot[32..48]), (&b"the first aes ke"[..], &b"the second aes k"[..]));
    assert_eq!(&slot_bytes(&bus, 5)[..15], b"an hmac secret\0");
    let state = fs::read_to_string(module.state_file()).unwrap();
    for value in [&b"the first aes ke"[..], b"an hmac secret"] {
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!state.contains(&hex) && !state.contains(std::str::from_utf8(value).unwrap()));
    }
    // There is room for two AES keys of 16 bytes and one secret.
    for key_type in [CKK_AES, CKK_GENERIC_SECRET] {
        let full = module.create_object(session, &given(true, key_type, &[1; 16]));
        assert_eq!(full, Err(CKR_DEVICE_MEMORY));
    }
    for (key_type, length) in [(CKK_AES, 32), (CKK_AES, 0), (CKK_GENERIC_SECRET, 33), (CKK_GENERIC_SECRET, 0)] {
        let template = given(true, key_type, &vec![1; length]);
        assert_eq!(
            module.create_object(session, &template),
            Err(CKR_ATTRIBUTE_VALUE_INVALID),
            "{key_type:#x} {length}"
        );
    }
}

#[test]
fn a_key_in_the_chip_says_the_truth_about_itself() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(true, CKK_AES, b"sixteen byte key")).unwrap();
    let attribute = |attribute| module.attribute(session, key, attribute);
    for yes in [CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DESTROYABLE]
    {
        assert_eq!(attribute(yes), Ok(boolean(true)), "{yes:#x}");
    }
    // Its value has been in the host's memory.
    for no in [CKA_EXTRACTABLE, CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_COPYABLE, CKA_DERIVE] {
        assert_eq!(attribute(no), Ok(boolean(false)), "{no:#x}");
    }
    assert_eq!(attribute(CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(attribute(CKA_VALUE_LEN), Ok(ulong(16)));
    assert_eq!(attribute(CKA_LABEL), Ok(b"a key".to_vec()));
    assert_eq!(attribute(CKA_CHECK_VALUE), Ok(zeros(&module, session, key).unwrap()[..3].to_vec()));
    assert_eq!(attribute(CKA_EC_POINT), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    module.set_attributes(session, key, &[(CKA_LABEL, b"new".to_vec()), (CKA_ID, vec![9])]).unwrap();
    assert_eq!(module.find_labelled(session, CKO_SECRET_KEY, "new"), [key]);
    let read_only = module.set_attributes(session, key, &[(CKA_EXTRACTABLE, boolean(true))]);
    assert_eq!(read_only, Err(CKR_ATTRIBUTE_READ_ONLY));
}

#[test]
fn it_is_there_for_the_next_process_and_gone_for_all_when_destroyed() {
    let (module, bus, session) = with_io_key();
    let key = module.create_object(session, &given(true, CKK_AES, b"sixteen byte key")).unwrap();
    let before = zeros(&module, session, key).unwrap();
    let session = module.restart();
    let key = secret_keys(&module, session)[0];
    assert_eq!(zeros(&module, session, key), Ok(before));
    module.destroy(session, key).unwrap();
    assert!(secret_keys(&module, session).is_empty());
    assert_eq!(zeros(&module, session, key), Err(CKR_KEY_HANDLE_INVALID));
    assert_ne!(&slot_bytes(&bus, 9)[..16], b"sixteen byte key");
    // Its place is free.
    module.create_object(session, &given(true, CKK_AES, b"another aes key!")).unwrap();
    assert_eq!(&slot_bytes(&bus, 9)[..16], b"another aes key!");
}

#[test]
fn generated_keys_have_the_length_asked_for_and_differ() {
    let (module, bus, session) = with_io_key();
    let one = generate(&module, session, CKM_AES_KEY_GEN, &aes(true, 16)).unwrap();
    let two = generate(&module, session, CKM_AES_KEY_GEN, &aes(true, 16)).unwrap();
    assert_ne!(zeros(&module, session, one), zeros(&module, session, two));
    generate(&module, session, CKM_GENERIC_SECRET_KEY_GEN, &aes(true, 32)).unwrap();
    assert!(slot_bytes(&bus, 5)[..32].iter().any(|byte| *byte != 0xA5));
    for length in [16, 24, 32] {
        let key = generate(&module, session, CKM_AES_KEY_GEN, &aes(false, length)).unwrap();
        assert_eq!(module.attribute(session, key, CKA_VALUE).unwrap().len(), length as usize);
    }
    for (kind, on_token, length, expected) in [
        (CKM_AES_KEY_GEN, true, 32, CKR_ATTRIBUTE_VALUE_INVALID),
        (CKM_AES_KEY_GEN, false, 17, CKR_ATTRIBUTE_VALUE_INVALID),
        (CKM_GENERIC_SECRET_KEY_GEN, true, 33, CKR_ATTRIBUTE_VALUE_INVALID),
        (CKM_EC_KEY_PAIR_GEN, false, 16, CKR_MECHANISM_INVALID),
    ] {
        assert_eq!(generate(&module, session, kind, &aes(on_token, length)), Err(expected));
    }
    let incomplete = generate(&module, session, CKM_AES_KEY_GEN, &[(CKA_TOKEN, boolean(false))]);
    assert_eq!(incomplete, Err(CKR_TEMPLATE_INCOMPLETE));
    let loose = with(&aes(true, 16), &[(CKA_EXTRACTABLE, boolean(true))]);
    assert_eq!(generate(&module, session, CKM_AES_KEY_GEN, &loose), Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn a_generated_key_is_local_and_keeps_what_its_template_said_of_its_secrecy() {
    let (module, _bus, session) = with_io_key();
    let of = |session, key| {
        [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE]
            .map(|attribute| module.attribute(session, key, attribute).unwrap() == boolean(true))
    };
    let mechanism = |session, key| module.attribute(session, key, CKA_KEY_GEN_MECHANISM);
    for kind in [CKM_AES_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN] {
        for (sensitive, extractable) in [(false, true), (true, true), (false, false), (true, false)] {
            let template =
                with(&aes(false, 16), &[(CKA_SENSITIVE, boolean(sensitive)), (CKA_EXTRACTABLE, boolean(extractable))]);
            let key = generate(&module, session, kind, &template).unwrap();
            assert_eq!(of(session, key), [true, sensitive, !extractable], "{kind:#x}");
            assert_eq!(mechanism(session, key), Ok(ulong(kind)));
            // Sensitive from now on is not always sensitive.
            module
                .set_attributes(session, key, &[(CKA_SENSITIVE, boolean(true)), (CKA_EXTRACTABLE, boolean(false))])
                .unwrap();
            assert_eq!(of(session, key), [true, sensitive, !extractable], "{kind:#x}");
        }
        // Without an attribute that forbids it, a session key can be read.
        let key = generate(&module, session, kind, &aes(false, 16)).unwrap();
        assert_eq!(of(session, key), [true, false, false]);
    }
    let in_chip = [CKM_AES_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN].map(|kind| {
        (kind, generate(&module, session, kind, &with(&aes(true, 16), &[(CKA_ID, vec![kind as u8])])).unwrap())
    });
    for (kind, key) in in_chip {
        assert_eq!(of(session, key), [true; 3]);
        assert_eq!(mechanism(session, key), Ok(ulong(kind)));
    }
    // The state remembers.
    let session = module.restart();
    for kind in [CKM_AES_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN] {
        let key = module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_ID, vec![kind as u8])]).unwrap()[0];
        assert_eq!(of(session, key), [true; 3]);
        assert_eq!(mechanism(session, key), Ok(ulong(kind)));
    }
    // An imported key has none of it, whatever its template says.
    for on_token in [true, false] {
        let template = with(
            &given(on_token, CKK_AES, b"sixteen byte key"),
            &[(CKA_SENSITIVE, boolean(true)), (CKA_EXTRACTABLE, boolean(false))],
        );
        let key = module.create_object(session, &template).unwrap();
        assert_eq!(of(session, key), [false; 3]);
        assert_eq!(mechanism(session, key), Ok(ulong(CK_UNAVAILABLE_INFORMATION)));
    }
}

/// pkcs11-tool sends CKA_PRIVATE=false for every key it makes. A key that could leave the chip is refused.
#[test]
fn a_key_asked_for_as_public_is_private_all_the_same_and_one_that_could_leave_is_refused() {
    let (module, _bus, session) = with_io_key();
    let public = (CKA_PRIVATE, boolean(false));
    let generated =
        generate(&module, session, CKM_AES_KEY_GEN, &with(&aes(true, 16), std::slice::from_ref(&public))).unwrap();
    let imported = with(&given(true, CKK_AES, b"sixteen byte key"), std::slice::from_ref(&public));
    let imported = module.create_object(session, &imported).unwrap();
    for key in [generated, imported] {
        assert_eq!(module.attribute(session, key, CKA_PRIVATE), Ok(boolean(true)));
    }
    let refused = CKR_TEMPLATE_INCONSISTENT;
    for (asked, expected) in [
        (vec![(CKA_SENSITIVE, boolean(false)), public.clone()], refused),
        (vec![(CKA_EXTRACTABLE, boolean(true)), public], refused),
        (vec![(CKA_PRIVATE, vec![2])], CKR_ATTRIBUTE_VALUE_INVALID),
    ] {
        let created = module.create_object(session, &with(&given(true, CKK_GENERIC_SECRET, &[1; 32]), &asked));
        let generated = generate(&module, session, CKM_GENERIC_SECRET_KEY_GEN, &with(&aes(true, 32), &asked));
        assert_eq!((created, generated), (Err(expected), Err(expected)));
    }
    assert_eq!(secret_keys(&module, session).len(), 2);
}

#[test]
fn without_the_io_protection_key_nothing_is_written_and_the_log_says_why() {
    let (module, bus, session) = with_io_key();
    fs::remove_dir_all(module.configuration().with_file_name("keys")).unwrap();
    let before = slot_bytes(&bus, 9);
    let refused = module.create_object(session, &given(true, CKK_AES, &[1; 16]));
    assert_eq!(refused, Err(CKR_TEMPLATE_INCONSISTENT));
    module.assert_logged(&["slot 9", "IO protection key", "keys/"]);
    assert_eq!(slot_bytes(&bus, 9), before);
    assert!(secret_keys(&module, session).is_empty());
}

#[test]
fn a_wrong_io_protection_key_writes_nothing_and_leaves_no_key_behind() {
    let (module, bus, session) = with_io_key();
    change_image(&bus, |image| image.part_mut(Part::Slot(chip::slot(6))).fill(0x11));
    let before = slot_bytes(&bus, 9);
    let refused = module.create_object(session, &given(true, CKK_AES, &[1; 16]));
    assert_eq!(refused, Err(CKR_DEVICE_ERROR));
    module.assert_logged(&["slot 9", "refused", "IO protection key"]);
    assert_eq!((slot_bytes(&bus, 9), secret_keys(&module, session)), (before, vec![]));
}

#[test]
fn an_agreed_secret_crosses_the_bus_encrypted_where_both_sides_have_the_key() {
    for (right, commands) in [(true, 1), (false, 1)] {
        let (module, bus, session) = with_io_key();
        let (public, key) = keys::generate(&module, session, "a", &[1]).unwrap();
        if !right {
            change_image(&bus, |image| image.part_mut(Part::Slot(chip::slot(6))).fill(0x11));
        }
        let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
        let their_point = theirs.public_key().to_encoded_point(false);
        let ours = p256::PublicKey::from_sec1_bytes(&keys::point(&module, session, public)).unwrap();
        let expected = p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), ours.as_affine());
        for _ in 0..2 {
            bus.take_stats();
            let derived = module.derive(session, key, CKD_NULL, &[], their_point.as_bytes(), &[]).unwrap();
            let value = module.attribute(session, derived, CKA_VALUE).unwrap();
            assert_eq!(value, expected.raw_secret_bytes().to_vec());
        }
        let stats = bus.take_stats();
        assert_eq!(stats.commands.get("ECDH"), Some(&commands));
        // An encrypted response has 67 bytes, a clear one 35; the wake's 4, the serial number's 35.
        assert_eq!(stats.bytes_read > 4 + 35 + 60, right, "{stats:?}");
        if !right {
            module.assert_logged(&["is not the IO protection key", "in clear"]);
        }
    }
}

#[test]
fn session_keys_are_what_their_templates_say() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &[7; 24])).unwrap();
    assert_eq!(module.attribute(session, key, CKA_VALUE), Ok(vec![7; 24]));
    assert_eq!(module.attribute(session, key, CKA_VALUE_LEN), Ok(ulong(24)));
    // A stricter secrecy may be requested, never a weaker one.
    module.set_attributes(session, key, &[(CKA_SENSITIVE, boolean(true))]).unwrap();
    assert_eq!(module.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    let back = module.set_attributes(session, key, &[(CKA_SENSITIVE, boolean(false))]);
    assert_eq!(back, Err(CKR_ATTRIBUTE_READ_ONLY));
    module.set_attributes(session, key, &[(CKA_ENCRYPT, boolean(false))]).unwrap();
    assert_eq!(zeros(&module, session, key), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert!(whole(&module, session, false, &ECB, key, &[0; 16]).is_ok());

    let only_macs = with(&given(false, CKK_AES, &[7; 16]), &[(CKA_ENCRYPT, boolean(false))]);
    let key = module.create_object(session, &only_macs).unwrap();
    assert_eq!(zeros(&module, session, key), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    for (template, expected) in [
        (given(false, CKK_AES, &[7; 15]), CKR_ATTRIBUTE_VALUE_INVALID),
        (given(false, CKK_GENERIC_SECRET, &[]), CKR_ATTRIBUTE_VALUE_INVALID),
        (given(false, CKK_DES3, &[7; 24]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&given(false, CKK_AES, &[7; 16]), &[(CKA_VALUE_LEN, ulong(32))]), CKR_TEMPLATE_INCONSISTENT),
        (with(&given(false, CKK_AES, &[7; 16]), &[(CKA_ENCRYPT, vec![2])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&given(false, CKK_AES, &[7; 16]), &[(CKA_MODULUS, vec![2])]), CKR_ATTRIBUTE_TYPE_INVALID),
        (keys::without(&given(false, CKK_AES, &[7; 16]), CKA_VALUE), CKR_TEMPLATE_INCOMPLETE),
        (keys::without(&given(false, CKK_AES, &[7; 16]), CKA_KEY_TYPE), CKR_TEMPLATE_INCOMPLETE),
    ] {
        assert_eq!(module.create_object(session, &template), Err(expected));
    }
    let read_only = module.open_session(0, false).unwrap();
    assert!(module.create_object(read_only, &given(false, CKK_AES, &[7; 16])).is_ok());
    assert_eq!(module.create_object(read_only, &given(true, CKK_AES, &[7; 16])), Err(CKR_SESSION_READ_ONLY));
}

#[test]
fn a_session_key_serves_only_the_mechanisms_its_template_allows() {
    let (module, _bus, session) = with_io_key();
    let allowing = |list: Vec<u8>| with(&given(false, CKK_AES, &[7; 16]), &[(CKA_ALLOWED_MECHANISMS, list)]);
    let only_ctr = [ulong(CKM_AES_CTR), ulong(CKM_SHA256_HMAC)].concat();
    let key = module.create_object(session, &allowing(only_ctr)).unwrap();
    assert_eq!(module.attribute(session, key, CKA_ALLOWED_MECHANISMS), Ok(ulong(CKM_AES_CTR)));
    assert!(whole(&module, session, true, &Kind::Ctr(128, [0; 16]), key, b"text").is_ok());
    assert_eq!(zeros(&module, session, key), Err(CKR_MECHANISM_INVALID));
    assert_eq!(module.sign_init(session, CKM_AES_CMAC, key), Err(CKR_MECHANISM_INVALID));
    let half_a_mechanism = module.create_object(session, &allowing(vec![1; 3]));
    assert_eq!(half_a_mechanism, Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn a_derived_key_works_at_once() {
    let (module, _bus, session) = with_io_key();
    let (_, private) = keys::generate(&module, session, "a", &[1]).unwrap();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let point = theirs.public_key().to_encoded_point(false);
    let template = [(CKA_KEY_TYPE, ulong(CKK_AES)), (CKA_VALUE_LEN, ulong(32))];
    for public_data in [point.as_bytes().to_vec(), templates::wrapped(point.as_bytes())] {
        let derived = module.derive(session, private, CKD_SHA256_KDF, b"info", &public_data, &template).unwrap();
        let encrypted = whole(&module, session, true, &Kind::Iv(CKM_AES_CBC_PAD, [1; 16]), derived, b"text").unwrap();
        let clear = whole(&module, session, false, &Kind::Iv(CKM_AES_CBC_PAD, [1; 16]), derived, &encrypted);
        assert_eq!(clear.as_deref(), Ok(&b"text"[..]));
    }
}
