// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes with which a client restricts an object (CKA_MODIFIABLE, CKA_DESTROYABLE, CKA_COPYABLE), and others that
//! the token keeps as given: honoured for objects of the session and of the token, and after a restart.

use std::ptr::null_mut;

use crate::common::chip;
use crate::common::keys::{create_certificate, point, provisioned, with};
use crate::common::module::{boolean, c, ulong, Attributes, Module};
use crate::common::secrets::{given, with_io_key};
use crate::common::templates::{self, private_key, Pair};
use cryptoki_sys::*;

type Session = CK_SESSION_HANDLE;
type Handle = CK_OBJECT_HANDLE;

const PROHIBITED: Result<(), CK_RV> = Err(CKR_ACTION_PROHIBITED);

/// A foreign public key.
fn peer() -> p256::PublicKey {
    p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key()
}

/// One object of each kind that can be created, on the token or in the session, with more in its template.
fn objects(module: &Module, session: Session, on_token: bool, more: Attributes) -> Vec<Handle> {
    let token = [(CKA_TOKEN, boolean(on_token))];
    let data = [(CKA_CLASS, ulong(CKO_DATA)), (CKA_LABEL, b"note".to_vec()), (CKA_VALUE, vec![1])];
    let der = templates::certificate("x", &p256::EncodedPoint::from(peer()).to_bytes());
    let mut objects = vec![
        module.create_object(session, &[&data[..], &token, more].concat()).unwrap(),
        create_certificate(module, session, &der, &[&token[..], more].concat()).unwrap(),
        module.create_object(session, &with(&given(on_token, CKK_AES, &[5; 16]), more)).unwrap(),
    ];
    if on_token {
        objects.push(module.create_object(session, &with(&private_key("imported", &[0x21; 32]), more)).unwrap());
        let Pair { public, private, .. } = &templates::of_all_clients("born", &[1])[2];
        objects.push(module.generate_key_pair(session, public, &with(private, more)).unwrap().1);
    }
    objects
}

#[test]
fn what_is_not_destroyable_is_not_destroyed_until_that_is_changed() {
    for on_token in [false, true] {
        let (module, bus, session) = with_io_key();
        let held = objects(&module, session, on_token, &[(CKA_DESTROYABLE, boolean(false))]);
        for object in &held {
            assert_eq!(module.attribute(session, *object, CKA_DESTROYABLE), Ok(boolean(false)));
            assert_eq!(module.destroy(session, *object), PROHIBITED);
        }
        let (session, held) = match on_token {
            true => {
                let session = module.restart();
                let found = module.find(session, &[(CKA_DESTROYABLE, boolean(false))]).unwrap();
                // The public keys exist, too: those can never be destroyed separately.
                let class = |object: &Handle| module.attribute(session, *object, CKA_CLASS).unwrap();
                (session, found.into_iter().filter(|object| class(object) != ulong(CKO_PUBLIC_KEY)).collect())
            }
            false => (session, held),
        };
        assert_eq!(held.len(), if on_token { 5 } else { 3 });
        assert!(!on_token || chip::point_in(&bus.image(0).unwrap(), 4).is_some());
        for object in held {
            assert_eq!(module.destroy(session, object), PROHIBITED);
            module.set_attributes(session, object, &[(CKA_DESTROYABLE, boolean(true))]).unwrap();
            assert_eq!(module.destroy(session, object), Ok(()));
        }
        assert_eq!(module.find(session, &[]), Ok(vec![]));
    }
}

#[test]
fn what_is_not_modifiable_keeps_its_names_for_ever() {
    for on_token in [false, true] {
        let (module, _bus, session) = with_io_key();
        let fixed = objects(&module, session, on_token, &[(CKA_MODIFIABLE, boolean(false))]);
        for object in &fixed {
            assert_eq!(module.attribute(session, *object, CKA_MODIFIABLE), Ok(boolean(false)));
            let label = [(CKA_LABEL, b"other".to_vec())];
            assert_eq!(module.set_attributes(session, *object, &label), PROHIBITED);
            let back = [(CKA_MODIFIABLE, boolean(true))];
            assert!(module.set_attributes(session, *object, &back).is_err());
        }
        let session = if on_token { module.restart() } else { session };
        assert_eq!(module.find(session, &[(CKA_LABEL, b"other".to_vec())]), Ok(vec![]));
        assert!(module.find(session, &[(CKA_MODIFIABLE, boolean(false))]).unwrap().len() >= fixed.len());
        // They can still be destroyed.
        if !on_token {
            fixed.iter().for_each(|object| module.destroy(session, *object).unwrap());
        }
    }
}

#[test]
fn what_is_not_copyable_is_not_copied() {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let template = [
            (CKA_CLASS, ulong(CKO_DATA)),
            (CKA_TOKEN, boolean(on_token)),
            (CKA_VALUE, vec![1]),
            (CKA_COPYABLE, boolean(false)),
        ];
        let data = module.create_object(session, &template).unwrap();
        let mut copy = 0;
        assert_eq!(c!(module, C_CopyObject(session, data, null_mut(), 0, &mut copy)), PROHIBITED);
        assert!(module.set_attributes(session, data, &[(CKA_COPYABLE, boolean(true))]).is_err());
    }
}

#[test]
fn a_keys_subject_and_dates_are_kept_and_can_be_changed() {
    let (module, session) = provisioned();
    let Pair { public, private, .. } = &templates::of_all_clients("a", &[1])[2];
    let dates = [(CKA_START_DATE, b"20260101".to_vec()), (CKA_END_DATE, b"20360101".to_vec())];
    let (_, key) = module.generate_key_pair(session, public, &with(private, &dates)).unwrap();
    assert_eq!(module.attribute(session, key, CKA_START_DATE), Ok(b"20260101".to_vec()));
    let subject = vec![0x30, 0x00];
    module.set_attributes(session, key, &[(CKA_SUBJECT, subject.clone()), (CKA_END_DATE, vec![])]).unwrap();
    let session = module.restart();
    let key = module.find(session, &[(CKA_CLASS, ulong(CKO_PRIVATE_KEY)), (CKA_SUBJECT, subject)]).unwrap()[0];
    assert_eq!(module.attribute(session, key, CKA_END_DATE), Ok(vec![]));
    for bad in [b"2026".to_vec(), b"2026-1-1".to_vec()] {
        let rv = module.set_attributes(session, key, &[(CKA_END_DATE, bad)]);
        assert_eq!(rv, Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    // The next key in the slot has none of them.
    module.destroy(session, key).unwrap();
    let (public, _) = crate::common::keys::generate(&module, session, "b", &[2]).unwrap();
    assert_eq!(module.attribute(session, public, CKA_START_DATE), Ok(vec![]));
    assert_eq!(point(&module, session, public).len(), 65);
}

#[test]
fn private_data_is_kept_in_memory_only() {
    let (module, session) = provisioned();
    let template = |on_token| {
        [
            (CKA_CLASS, ulong(CKO_DATA)),
            (CKA_TOKEN, boolean(on_token)),
            (CKA_PRIVATE, boolean(true)),
            (CKA_VALUE, b"secret".to_vec()),
        ]
    };
    assert_eq!(module.create_object(session, &template(true)), Err(CKR_TEMPLATE_INCONSISTENT));
    module.assert_logged(&["CKA_PRIVATE=true", "are stored in clear"]);
    let data = module.create_object(session, &template(false)).unwrap();
    assert_eq!(module.attribute(session, data, CKA_PRIVATE), Ok(boolean(true)));
    // Nor does a copy write it to the disk.
    let mut on_token = crate::common::module::attributes(&[]);
    let value = boolean(true);
    on_token.push(CK_ATTRIBUTE { type_: CKA_TOKEN, pValue: value.as_ptr().cast_mut().cast(), ulValueLen: 1 });
    let mut copy = 0;
    let rv = c!(module, C_CopyObject(session, data, on_token.as_mut_ptr(), 1, &mut copy));
    assert_eq!(rv, Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn a_check_value_that_does_not_fit_is_refused() {
    let (module, _bus, session) = with_io_key();
    let wrong = [(CKA_CHECK_VALUE, vec![1, 2, 3])];
    let template = given(false, CKK_AES, &[5; 16]);
    assert_eq!(module.create_object(session, &with(&template, &wrong)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let key = module.create_object(session, &with(&template, &[(CKA_CHECK_VALUE, vec![])])).unwrap();
    let right = [(CKA_CHECK_VALUE, module.attribute(session, key, CKA_CHECK_VALUE).unwrap())];
    module.create_object(session, &with(&template, &right)).unwrap();
    let der = templates::certificate("x", &p256::EncodedPoint::from(peer()).to_bytes());
    let refused = create_certificate(&module, session, &der, &wrong);
    assert_eq!(refused, Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn what_a_class_does_not_have_can_not_be_set() {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        for object in objects(&module, session, on_token, &[]) {
            let refused = module.set_attributes(session, object, &[(CKA_MODULUS, vec![1])]);
            assert_eq!(refused, Err(CKR_ATTRIBUTE_TYPE_INVALID));
            assert_eq!(module.attribute(session, object, CKA_MODULUS), Err(CKR_ATTRIBUTE_TYPE_INVALID));
        }
    }
    let data = module.find(session, &[(CKA_CLASS, ulong(CKO_DATA)), (CKA_TOKEN, boolean(false))]).unwrap()[0];
    assert_eq!(module.set_attributes(session, data, &[(CKA_ID, vec![1])]), Err(CKR_ATTRIBUTE_TYPE_INVALID));
}
