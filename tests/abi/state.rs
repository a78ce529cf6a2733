// SPDX-License-Identifier: MIT OR Apache-2.0
//! State folders that are lost, stale, corrupt, foreign, full or not writable, through the C ABI. Each gives the right
//! CK_RV and one clear line; no key is hidden, invented or destroyed, and keys can still be used.

use std::fs;
use std::path::Path;

use crate::common::chip;
use crate::common::module::{boolean, ulong, Module};
use crate::common::one_key::{assert_signed, generate, point_of, sign, with_key_in_process};
use crate::common::templates;
use atecc608_sim::Image;
use cryptoki_sys::*;
use sha1::{Digest, Sha1};

#[test]
fn a_lost_state_hides_no_key() {
    let (module, session, key) = with_key_in_process();
    let point = point_of(&module, session, key);
    fs::remove_dir_all(module.state_file().parent().unwrap()).unwrap();
    let session = module.restart();
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_eq!(module.label(session, found[0]), "device");
    assert_eq!(module.attribute(session, found[0], CKA_ID), Ok(Sha1::digest(&point).to_vec()));
    assert_eq!(point_of(&module, session, found[0]), point);
    assert_signed(&point, &sign(&module, session, found[0]).unwrap());
    // And it can be named again.
    module.set_attributes(session, found[0], &[(CKA_LABEL, b"a".to_vec()), (CKA_ID, vec![1])]).unwrap();
    assert_eq!(module.find_labelled(module.restart(), CKO_PRIVATE_KEY, "a").len(), 1);
}

#[test]
fn a_state_lost_while_the_module_runs_hides_no_key_either() {
    let (module, session, key) = with_key_in_process();
    fs::remove_dir_all(module.state_file().parent().unwrap()).unwrap();
    assert!(sign(&module, session, key).is_ok());
    let found = module.private_keys(session);
    assert_eq!((found.len(), module.label(session, found[0])), (1, "device".into()));
    assert!(sign(&module, session, found[0]).is_ok());
}

#[test]
fn with_the_state_lost_a_destroyed_key_is_shown_and_not_overwritten_unasked() {
    let (module, session, key) = with_key_in_process();
    module.destroy(session, key).unwrap();
    let dead = chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap();
    fs::remove_dir_all(module.state_file().parent().unwrap()).unwrap();
    let session = module.restart();
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "device").len(), 1);
    for label in ["x", "y", "z"] {
        generate(&module, session, label).unwrap();
    }
    assert_eq!(generate(&module, session, "full"), Err(CKR_DEVICE_MEMORY));
    assert_eq!(chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap(), dead);
}

/// The state after a backup from an earlier time was restored.
fn restore(module: &Module, backup: &[u8]) {
    fs::write(module.state_file(), backup).unwrap();
}

#[test]
fn a_stale_free_mark_from_an_old_backup_neither_hides_nor_destroys_a_live_key() {
    let (module, session, key) = with_key_in_process();
    module.destroy(session, key).unwrap();
    // It says: slot 0 is free.
    let backup = fs::read(module.state_file()).unwrap();
    let live = generate(&module, session, "live").unwrap();
    let point = point_of(&module, session, live);
    module.finalize().unwrap();
    restore(&module, &backup);
    let session = module.start();
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_eq!(point_of(&module, session, found[0]), point);
    assert_signed(&point, &sign(&module, session, found[0]).unwrap());
    for label in ["x", "y", "z"] {
        generate(&module, session, label).unwrap();
    }
    assert_eq!(generate(&module, session, "full"), Err(CKR_DEVICE_MEMORY));
    assert_eq!(chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap(), point);
    module.assert_logged(&["slot 0", "another key"]);
}

#[test]
fn a_stale_free_mark_that_comes_back_while_the_module_runs_does_no_harm_either() {
    let (module, session, key) = with_key_in_process();
    module.destroy(session, key).unwrap();
    let backup = fs::read(module.state_file()).unwrap();
    let live = generate(&module, session, "device").unwrap();
    let point = point_of(&module, session, live);
    restore(&module, &backup);
    assert!(generate(&module, session, "device").is_err());
    assert_eq!(chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap(), point);
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_signed(&point, &sign(&module, session, found[0]).unwrap());
}

#[test]
fn an_old_backup_without_the_key_shows_it_under_its_slots_name() {
    let (module, session, _) = with_key_in_process();
    let backup = fs::read(module.state_file()).unwrap();
    let second = generate(&module, session, "b").unwrap();
    let point = point_of(&module, session, second);
    module.finalize().unwrap();
    restore(&module, &backup);
    let session = module.start();
    let found = module.find_labelled(session, CKO_PRIVATE_KEY, "key-2");
    assert_eq!(found.len(), 1);
    assert_signed(&point, &sign(&module, session, found[0]).unwrap());
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "a").len(), 1);
}

#[test]
fn a_corrupt_state_is_kept_and_keys_are_shown_under_their_slots_names() {
    for text in ["not toml at all [", "", "format = 7\nserial = \"x\"\ngeneration = 1\n", "\u{0}\u{0}\u{0}"] {
        let (module, session, key) = with_key_in_process();
        let point = point_of(&module, session, key);
        module.finalize().unwrap();
        fs::write(module.state_file(), text).unwrap();
        let session = module.start();
        let found = module.private_keys(session);
        assert_eq!((found.len(), module.label(session, found[0])), (1, "device".into()), "{text:?}");
        assert_signed(&point, &sign(&module, session, found[0]).unwrap());
        let refusals = [
            module.set_attributes(session, found[0], &[(CKA_LABEL, b"b".to_vec())]),
            generate(&module, session, "b").map(drop),
            module.destroy(session, found[0]),
        ];
        assert_eq!(refusals, [Err(CKR_TOKEN_WRITE_PROTECTED); 3], "{text:?}");
        module.assert_logged(&["state.toml", "the file is not overwritten"]);
        assert_eq!(fs::read_to_string(module.state_file()).unwrap(), text);
        // Moved away, everything works again.
        fs::remove_file(module.state_file()).unwrap();
        assert!(generate(&module, session, "b").is_ok());
    }
}

#[test]
fn a_state_folder_of_another_chip_is_not_used_and_not_changed() {
    let (module, session, _) = with_key_in_process();
    module.finalize().unwrap();
    let text = fs::read_to_string(module.state_file()).unwrap().replace("012353494D", "01234567AB");
    fs::write(module.state_file(), &text).unwrap();
    let _ = session;
    let session = module.start();
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "device").len(), 1);
    assert!(generate(&module, session, "b").is_err());
    module.assert_logged(&["belongs to the chip 01234567AB"]);
    assert_eq!(fs::read_to_string(module.state_file()).unwrap(), text);
}

/// A provisioned chip with a key in slot 0, and a `state_dir` that is this path.
fn with_state_dir(state_dir: &str) -> Module {
    let mut image = chip::provisioned();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    let module = Module::with_chip(&image);
    let text = fs::read_to_string(module.configuration()).unwrap();
    let own = format!("state_dir = \"{}\"", module.state_dir().display());
    let state_dir = state_dir.replace("FOLDER", module.folder.path().to_str().unwrap());
    fs::write(module.configuration(), text.replace(&own, &format!("state_dir = \"{state_dir}\""))).unwrap();
    module
}

/// Keys can be used; neither the state nor the chip is changed.
fn assert_usable_but_write_protected(module: &Module) {
    let before = fs::read(module.image()).unwrap();
    let session = module.start();
    let found = module.private_keys(session);
    assert_eq!((found.len(), module.label(session, found[0])), (1, "device".into()));
    let point = chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap();
    assert_eq!(point_of(module, session, found[0]), point);
    assert_signed(&point, &sign(module, session, found[0]).unwrap());
    let certificate = templates::certificate("x", &point);
    let template = [(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_TOKEN, boolean(true)), (CKA_VALUE, certificate)];
    let refusals = [
        generate(module, session, "b").map(drop),
        module.destroy(session, found[0]),
        module.set_attributes(session, found[0], &[(CKA_LABEL, b"b".to_vec())]),
        module.create_object(session, &template).map(drop),
    ];
    assert_eq!(refusals, [Err(CKR_TOKEN_WRITE_PROTECTED); 4]);
    module.assert_logged(&["C_GenerateKeyPair", "state"]);
    assert_eq!(module.private_keys(session), found);
    assert!(fs::read(module.image()).unwrap() == before, "no GenKey without a written intent");
}

#[test]
fn a_state_folder_that_can_not_be_made_protects_against_changes_only() {
    // Root may write nearly everywhere, but not here.
    assert_usable_but_write_protected(&with_state_dir("/proc/self/state"));
}

#[test]
fn a_file_in_the_place_of_the_state_folder_protects_against_changes_only() {
    let module = with_state_dir("FOLDER/chip.lock");
    fs::write(module.folder.path().join("chip.lock"), "").unwrap();
    assert_usable_but_write_protected(&module);
}

#[test]
fn a_state_file_that_can_not_be_replaced_protects_against_changes_only() {
    let (module, session, _) = with_key_in_process();
    let before = fs::read(module.image()).unwrap();
    let state = fs::read(module.state_file()).unwrap();
    let make_replaceable = module.obstruct_state();
    assert_eq!(generate(&module, session, "b"), Err(CKR_TOKEN_WRITE_PROTECTED));
    assert_eq!(fs::read(module.state_file()).unwrap(), state);
    assert!(fs::read(module.image()).unwrap() == before);
    assert_eq!(module.private_keys(session).len(), 1);
    make_replaceable();
    assert!(generate(&module, session, "b").is_ok());
}

#[test]
fn a_full_disk_is_device_memory_and_no_key_is_made() {
    let (module, _, _) = with_key_in_process();
    module.finalize().unwrap();
    let state = module.state_dir();
    fs::remove_dir_all(&state).unwrap();
    fs::create_dir(&state).unwrap();
    let Some(_mounted) = SmallDisk::mount(&state) else {
        eprintln!("not run: this machine does not let a test mount a tmpfs");
        return;
    };
    let before = fs::read(module.image()).unwrap();
    let session = module.start();
    fs::write(state.join("filler"), vec![0; 1 << 20]).unwrap_err();
    assert_eq!(generate(&module, session, "b"), Err(CKR_DEVICE_MEMORY));
    module.assert_logged(&["C_GenerateKeyPair", "state folder", "No space left"]);
    assert!(fs::read(module.image()).unwrap() == before);
    let key = module.private_keys(session)[0];
    assert!(sign(&module, session, key).is_ok());
    fs::remove_file(state.join("filler")).unwrap();
    assert!(generate(&module, session, "b").is_ok());
    module.finalize().unwrap();
}

/// A tmpfs of 64 kB, gone when dropped.
struct SmallDisk(std::ffi::CString);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let at = std::ffi::CString::new(at.to_str().unwrap()).unwrap();
        let done =
            unsafe { libc::mount(c"tmpfs".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=64k".as_ptr().cast()) };
        (done == 0).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}
