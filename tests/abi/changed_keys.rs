// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys that change without the module's knowledge, through the C ABI: other processes replace, destroy and rename
//! them, or a program without the state does. A handle never uses another key than the one that it was created for.

use std::fs;

use crate::common::chip;
use crate::common::keys::{Handle, Session};
use crate::common::module::Module;
use crate::common::one_key::{
    self, assert_signed, change_image, generate, point_in, point_of, sign, with_key, with_key_in_process, DIGEST,
};
use crate::common::process::Helper;
use atecc608_sim::Image;
use cryptoki_sys::*;

/// Does something only if [`Helper`] runs it.
#[test]
fn helper_process() {
    one_key::do_as_told();
}

#[test]
fn a_key_replaced_by_another_process_ends_its_handle_and_not_the_new_key() {
    for lost in [false, true] {
        let (module, session, key) = with_key_in_process();
        let public = module.public_of(session, key);
        assert_eq!(Helper::start(module_path!(), &module, "replace a").finish(), ["Ok(())"]);
        if lost {
            fs::remove_file(module.state_file()).unwrap();
        }
        let theirs = chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap();
        // Signing, deriving, renaming, destroying: none may touch the key that is in the slot now.
        let result = sign(&module, session, key);
        assert!(matches!(result, Err(CKR_KEY_HANDLE_INVALID)), "{lost}: {result:x?}");
        assert!(module.sign_init(session, CKM_ECDSA, key).is_err());
        assert!(module.derive(session, key, CKD_NULL, &[], &theirs, &[]).is_err());
        let rename = module.set_attributes(session, key, &[(CKA_LABEL, b"mine".to_vec())]);
        assert_eq!(rename, Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.destroy(session, key), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.attribute(session, public, CKA_EC_POINT), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap(), theirs);
        // Found again, it works.
        let found = module.private_keys(session);
        assert_eq!(found.len(), 1);
        assert_ne!(found[0], key);
        assert_signed(&theirs, &sign(&module, session, found[0]).unwrap());
    }
}

#[test]
fn each_use_of_a_handle_sees_that_another_process_replaced_the_key() {
    type Use = fn(&Module, Session, Handle) -> Result<(), CK_RV>;
    let uses: [(&str, CK_RV, Use); 5] = [
        ("sign", CKR_KEY_HANDLE_INVALID, |module, session, key| sign(module, session, key).map(drop)),
        ("derive", CKR_KEY_HANDLE_INVALID, |module, session, key| {
            let theirs = chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap();
            module.derive(session, key, CKD_NULL, &[], &theirs, &[]).map(drop)
        }),
        ("rename", CKR_OBJECT_HANDLE_INVALID, |module, session, key| {
            module.set_attributes(session, key, &[(CKA_LABEL, b"mine".to_vec())])
        }),
        ("set the id", CKR_OBJECT_HANDLE_INVALID, |module, session, key| {
            module.set_attributes(session, key, &[(CKA_ID, vec![99])])
        }),
        ("destroy", CKR_OBJECT_HANDLE_INVALID, |module, session, key| module.destroy(session, key)),
    ];
    for (name, rv, use_it) in uses {
        let (module, session, key) = with_key_in_process();
        assert_eq!(Helper::start(module_path!(), &module, "replace a").finish(), ["Ok(())"]);
        let theirs = chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap();
        assert_eq!(use_it(&module, session, key), Err(rv), "{name}");
        assert_eq!(chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap(), theirs, "{name}");
        let found = module.private_keys(session);
        assert_eq!(found.iter().map(|key| module.label(session, *key)).collect::<Vec<_>>(), ["a"], "{name}");
        assert_eq!(module.attribute(session, found[0], CKA_ID), Ok(b"a".to_vec()), "{name}");
    }
}

#[test]
fn a_signature_that_was_begun_does_not_end_with_another_key() {
    let (module, session, key) = with_key_in_process();
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    assert_eq!(Helper::start(module_path!(), &module, "replace a").finish(), ["Ok(())"]);
    assert_eq!(module.sign(session, &DIGEST), Err(CKR_KEY_HANDLE_INVALID));
}

#[test]
fn a_key_destroyed_by_another_process_is_gone_here_too() {
    let (module, session, key) = with_key_in_process();
    assert_eq!(Helper::start(module_path!(), &module, "destroy a").finish(), ["Ok(())"]);
    assert_eq!(sign(&module, session, key), Err(CKR_KEY_HANDLE_INVALID));
    assert!(module.private_keys(session).is_empty());
    assert_eq!(module.attribute(session, key, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
}

#[test]
fn a_key_renamed_by_another_process_keeps_its_handle() {
    let (module, session, key) = with_key_in_process();
    assert_eq!(Helper::start(module_path!(), &module, "rename a").finish(), ["Ok(())"]);
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "renamed"), [key]);
    assert!(sign(&module, session, key).is_ok());
}

#[test]
fn a_key_that_is_not_the_one_in_the_state_is_noticed_at_its_first_use() {
    let (module, bus, session, key) = with_key();
    change_image(&bus, |image| chip::put_key(image, 0, &[0x21; 32]));
    // The cached point is shown until first use.
    assert_ne!(point_of(&module, session, key), point_in(&bus, 0).unwrap());
    assert_eq!(sign(&module, session, key), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(module.assert_logged(&["slot 0", "another key", "state"]), 1);
    let found = module.private_keys(session);
    assert_eq!(point_of(&module, session, found[0]), point_in(&bus, 0).unwrap());
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, found[0]).unwrap());
}

#[test]
fn a_slot_that_was_filled_without_our_state_is_not_used() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    assert!(module.find(session, &[]).unwrap().is_empty());
    change_image(&bus, |image| chip::put_key(image, 0, &[0x21; 32]));
    let theirs = point_in(&bus, 0);
    assert_eq!(generate(&module, session, "device"), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let key = generate(&module, session, "a").unwrap();
    assert_eq!(Some(point_of(&module, session, key)), point_in(&bus, 2));
    assert_eq!(point_in(&bus, 0), theirs);
    assert_eq!(module.private_keys(session).len(), 2);
}

#[test]
fn ecdh_reads_an_unchecked_public_key_first() {
    let (module, bus, _, _) = with_key();
    change_image(&bus, |image| chip::put_key(image, 0, &[0x21; 32]));
    let session = module.restart();
    let key = module.private_keys(session)[0];
    let theirs = point_in(&bus, 0).unwrap();
    assert_eq!(module.derive(session, key, CKD_NULL, &[], &theirs, &[]), Err(CKR_KEY_HANDLE_INVALID));
    let key = module.private_keys(session)[0];
    assert!(module.derive(session, key, CKD_NULL, &[], &theirs, &[]).is_ok());
}
