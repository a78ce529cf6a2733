// SPDX-License-Identifier: MIT OR Apache-2.0
//! Destruction of keys through the C ABI: the key is overwritten in the chip, its slot is free again, and permanent
//! keys stay.

use std::collections::BTreeSet;
use std::ptr::null_mut;

use crate::common::chip;
use crate::common::keys::{error, generate, point, provisioned, slot_of};
use crate::common::module::{boolean, c, Module};
use atecc608_sim::image::Part;
use atecc608_sim::Image;
use cryptoki_sys::*;

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
fn destroying_both_halves_of_a_pair_returns_no_error() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    assert_eq!(module.destroy(session, private), Ok(()));
    let reader = module.open_session(0, false).unwrap();
    assert_eq!(module.destroy(reader, public), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.attribute(session, public, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.destroy(session, public), Ok(()), "as clients do that made two objects");
    assert_eq!(module.destroy(session, public), Err(CKR_OBJECT_HANDLE_INVALID));
    // It does not refer to a key that exists now.
    let (_, next) = generate(&module, session, "b", &[2]).unwrap();
    assert_eq!(module.destroy(session, public), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.private_keys(session), [next]);
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
    assert_eq!(error(generate(&module, session, "device", &[1])), Err(CKR_TEMPLATE_INCONSISTENT));
}
