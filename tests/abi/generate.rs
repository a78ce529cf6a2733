// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key pairs are generated through the C ABI, on a chip provisioned with `tls`: with the templates of every client, in
//! the slot of the template, under a label that no other key has; and not if the template contradicts what the chip
//! generates, no slot is free, or the session is read-only.

use std::collections::BTreeSet;
use std::ptr::null_mut;

use crate::common::chip;
use crate::common::keys::{
    assert_signed, error, generate, point, provisioned, slot_of, with, without, Handle, Session, CKA_ATECC608_SLOT,
};
use crate::common::module::{boolean, c, mechanism, ulong, Attributes, Module};
use crate::common::templates::{self, Pair, Template, P384};
use atecc608_sim::Image;
use cryptoki_sys::*;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The slots of `tls` that take a key, with their names.
const KEY_SLOTS: [(u8, &str); 4] = [(0, "device"), (2, "key-2"), (3, "key-3"), (4, "import")];

/// Generation with changed templates.
fn generate_with(module: &Module, session: Session, public: Attributes, private: Attributes) -> Result<Handle, CK_RV> {
    let pair = &templates::of_all_clients("changed", &[7])[2];
    module.generate_key_pair(session, &with(&pair.public, public), &with(&pair.private, private)).map(|pair| pair.1)
}

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
    module.assert_logged(&[
        "no slot is free: slot 0 holds \"k0\"",
        "slot 4 holds \"k4\"; `atecc608 key destroy --slot N`",
    ]);
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
    module.assert_logged(&["slot 3 is not free: slot 3 holds", "`atecc608 key destroy --slot 3`"]);
    // The attestation key is permanent, 8 holds data, 16 does not exist.
    for (slot, rv) in
        [(1, CKR_TEMPLATE_INCONSISTENT), (8, CKR_TEMPLATE_INCONSISTENT), (16, CKR_ATTRIBUTE_VALUE_INVALID)]
    {
        let template = [(CKA_ATECC608_SLOT, ulong(slot)), (CKA_LABEL, b"other".to_vec())];
        assert_eq!(error(generate_with(&module, session, &[], &template)), Err(rv), "slot {slot}");
    }
    assert_eq!(module.private_keys(session).len(), 1);
}

#[test]
fn a_template_that_contradicts_a_key_born_in_the_chip_is_refused_and_nothing_is_made() {
    let (module, session) = provisioned();
    let cases: [(&str, &Template, &Template, CK_RV); 12] = [
        ("token", &vec![], &vec![(CKA_TOKEN, boolean(false))], CKR_TEMPLATE_INCONSISTENT),
        ("sensitive", &vec![], &vec![(CKA_SENSITIVE, boolean(false))], CKR_TEMPLATE_INCONSISTENT),
        ("extractable", &vec![], &vec![(CKA_EXTRACTABLE, boolean(true))], CKR_TEMPLATE_INCONSISTENT),
        ("always authenticate", &vec![], &vec![(CKA_ALWAYS_AUTHENTICATE, boolean(true))], CKR_TEMPLATE_INCONSISTENT),
        ("curve", &vec![(CKA_EC_PARAMS, P384.to_vec())], &vec![], CKR_CURVE_NOT_SUPPORTED),
        ("no DER", &vec![(CKA_EC_PARAMS, P384[..P384.len() - 1].to_vec())], &vec![], CKR_DOMAIN_PARAMS_INVALID),
        ("no curve", &vec![(CKA_EC_PARAMS, vec![])], &vec![], CKR_DOMAIN_PARAMS_INVALID),
        ("class", &vec![(CKA_CLASS, ulong(CKO_PRIVATE_KEY))], &vec![], CKR_TEMPLATE_INCONSISTENT),
        ("key type", &vec![], &vec![(CKA_KEY_TYPE, ulong(CKK_RSA))], CKR_TEMPLATE_INCONSISTENT),
        ("not a boolean", &vec![], &vec![(CKA_TOKEN, vec![2])], CKR_ATTRIBUTE_VALUE_INVALID),
        ("not a number", &vec![(CKA_KEY_TYPE, vec![3])], &vec![], CKR_ATTRIBUTE_VALUE_INVALID),
        ("unknown", &vec![], &vec![(CKA_MODULUS_BITS, ulong(2048))], CKR_ATTRIBUTE_TYPE_INVALID),
    ];
    for (what, public, private, rv) in cases {
        assert_eq!(error(generate_with(&module, session, public, private)), Err(rv), "{what}");
    }
    module.assert_logged(&["CKA_TOKEN differs between the two templates"]);
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
    // Signing changes nothing.
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
    for kind in [CKM_EC_KEY_PAIR_GEN, CKM_DES3_KEY_GEN] {
        let rv = c!(module, C_GenerateKey(session, &mut mechanism(kind), null_mut(), 0, &mut key));
        assert_eq!(rv, Err(CKR_MECHANISM_INVALID));
    }
}

#[test]
fn a_label_with_a_newline_and_an_escape_sequence_forges_no_line_of_the_log() {
    let (module, session) = provisioned();
    let label = "a\nERROR forged\u{1b}[31m\r\u{9b}2K\u{202e}";
    generate(&module, session, label, b"1").unwrap();
    let lines = module.log().lines().count();
    // The refusal of a second one names it.
    assert_eq!(error(generate(&module, session, label, b"2")), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let log = module.log();
    assert_eq!(log.lines().count(), lines + 1, "{log}");
    let shown = r"a\nERROR forged\u{1b}[31m\r\u{9b}2K\u{202e}";
    assert_eq!(module.assert_logged(&[&format!("already has the label \"{shown}\"")]), 1);
    assert!(!log.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{log:?}");
}
