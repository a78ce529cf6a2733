//! What goes wrong around a token, through the C ABI: chips that are absent, damaged, stuck or not provisioned; state
//! folders that are lost, corrupt, foreign, stale or not writable. Each gives the right CK_RV and one clear line, and
//! no key is hidden, invented or destroyed.
#![cfg(feature = "sim")]
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks, clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;
use std::ptr::null_mut;
use std::thread;
use std::time::{Duration, Instant};

use atecc608_pkcs11::sim::{Image, SimBus};
use atecc608_pkcs11::wire::Opcode;
use common::chip::{self, SimProcess};
use common::module::{boolean, c, ulong, Module};
use common::process::{self, Helper};
use common::templates;
use cryptoki_sys::*;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use sha1::{Digest, Sha1};

type Handle = CK_OBJECT_HANDLE;
type Session = CK_SESSION_HANDLE;

const DIGEST: [u8; 32] = [0xD1; 32];
/// Longer than any single failure may take: three conversations, each with the longest execution time.
const BOUND: Duration = Duration::from_secs(5);

fn generate(module: &Module, session: Session, label: &str) -> Result<Handle, CK_RV> {
    let pair = &templates::of_all_clients(label, label.as_bytes())[2];
    module.generate_key_pair(session, &pair.public, &pair.private).map(|(_, private)| private)
}

fn sign(module: &Module, session: Session, key: Handle) -> Result<Vec<u8>, CK_RV> {
    module.sign_with(session, CKM_ECDSA, key, &DIGEST)
}

#[track_caller]
fn assert_signed(point: &[u8], signature: &[u8]) {
    let key = VerifyingKey::from_sec1_bytes(point).unwrap();
    key.verify_prehash(&DIGEST, &Signature::from_slice(signature).unwrap()).unwrap();
}

fn point_of(module: &Module, session: Session, private: Handle) -> Vec<u8> {
    let public = module.public_of(session, private);
    templates::unwrapped(&module.attribute(session, public, CKA_EC_POINT).unwrap())
}

fn point_in(bus: &SimBus, slot: u8) -> Option<Vec<u8>> {
    chip::point_in(&bus.image(0).unwrap(), slot)
}

fn change_image(bus: &SimBus, change: impl FnOnce(&mut Image)) {
    let mut image = bus.image(0).unwrap();
    change(&mut image);
    bus.set_image(0, image).unwrap();
}

/// A provisioned chip with a key "a" in slot 0 on a bus in the test's hand.
fn with_key() -> (Module, SimBus, Session, Handle) {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    (module, bus, session, key)
}

/// The same with the chip in the process, on virtual time.
fn with_key_in_process() -> (Module, Session, Handle) {
    let module = Module::with_chip(&chip::provisioned());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    (module, session, key)
}

/// Only [`Helper`] runs it to some purpose.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let module = Module::of_parent();
    let session = module.start();
    let (what, label) = role.split_once(' ').unwrap();
    let key = || module.find_labelled(session, CKO_PRIVATE_KEY, label)[0];
    let result = match what {
        "generate" => generate(&module, session, label).map(drop),
        "destroy" => module.destroy(session, key()),
        "replace" => module.destroy(session, key()).and_then(|()| generate(&module, session, label).map(drop)),
        "rename" => module.set_attributes(session, key(), &[(CKA_LABEL, b"renamed".to_vec())]),
        other => panic!("{other}"),
    };
    process::say(&format!("{result:?}"));
}

// ---- The chip ----

#[test]
fn nobody_at_the_socket_is_an_empty_slot() {
    let module = Module::on_socket();
    module.initialize().unwrap();
    assert_eq!((module.slots(false), module.slots(true)), (Ok(vec![0]), Ok(vec![])));
    for _ in 0..2 {
        assert_eq!(module.token_info(0).map(drop), Err(CKR_TOKEN_NOT_PRESENT));
        assert_eq!(module.open_session(0, false), Err(CKR_TOKEN_NOT_PRESENT));
    }
    let mut info = CK_SLOT_INFO::default();
    c!(module, C_GetSlotInfo(0, &mut info)).unwrap();
    assert_eq!(info.flags & (CKF_TOKEN_PRESENT | CKF_REMOVABLE_DEVICE), CKF_REMOVABLE_DEVICE);
    module.assert_logged(&["bus", "atecc608-sim serve"]);
    // It comes later.
    chip::serve(chip::provisioned(), &module.socket());
    assert!(module.open_session(0, false).is_ok());
}

#[test]
fn a_bus_without_a_chip_is_an_empty_slot() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    bus.pull();
    module.initialize().unwrap();
    for _ in 0..2 {
        assert_eq!(module.open_session(0, false), Err(CKR_TOKEN_NOT_PRESENT));
        assert_eq!(module.token_info(0).map(drop), Err(CKR_TOKEN_NOT_PRESENT));
    }
    assert_eq!(module.slots(true), Ok(vec![]));
    module.assert_logged(&["no chip answers", "0x60"]);
    bus.insert();
    let session = module.open_session(0, true).unwrap();
    assert!(generate(&module, session, "a").is_ok());
}

#[test]
fn a_missing_i2c_node_is_an_empty_slot_and_the_log_says_what_to_do() {
    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"/dev/i2c-does-not-exist\"\n");
    module.initialize().unwrap();
    assert_eq!(module.token_info(0).map(drop), Err(CKR_TOKEN_NOT_PRESENT));
    assert_eq!(module.open_session(0, true), Err(CKR_TOKEN_NOT_PRESENT));
    module.assert_logged(&["/dev/i2c-does-not-exist", "does not exist", "i2c_arm=on"]);
}

#[test]
fn a_chip_pulled_between_two_calls_is_removed_and_works_again_when_it_is_back() {
    let (module, bus, session, key) = with_key();
    bus.pull();
    let start = Instant::now();
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    assert!(start.elapsed() < BOUND);
    module.assert_logged(&["C_Sign", "no chip answers"]);
    assert_eq!(module.random(session, 8).map(drop), Err(CKR_DEVICE_REMOVED));
    assert_eq!(generate(&module, session, "b"), Err(CKR_DEVICE_REMOVED));
    bus.insert();
    assert_signed(&point_of(&module, session, key), &sign(&module, session, key).unwrap());
    assert!(generate(&module, session, "b").is_ok());
}

#[test]
fn a_chip_pulled_in_the_middle_of_a_signature_is_removed_and_works_again_when_it_is_back() {
    let (module, bus, session, key) = with_key();
    // Sleep and wake; Random; Nonce; Sign; their replies.
    for transfer in [1, 3, 5, 8, 11] {
        bus.set_faults(format!("pull@{transfer}").parse().unwrap());
        let start = Instant::now();
        assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED), "transfer {transfer}");
        assert!(start.elapsed() < BOUND);
        bus.set_faults("none".parse().unwrap());
        bus.insert();
        assert_signed(&point_of(&module, session, key), &sign(&module, session, key).unwrap());
    }
}

#[test]
fn a_chip_that_is_back_at_once_is_not_even_noticed() {
    let (module, bus, session, key) = with_key();
    bus.set_faults("pull@8,insert@12".parse().unwrap());
    assert_signed(&point_of(&module, session, key), &sign(&module, session, key).unwrap());
}

#[test]
fn another_chip_in_the_same_place_is_not_taken_for_the_first() {
    let (module, bus, session, key) = with_key();
    bus.pull();
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    let mut other = chip::provisioned();
    chip::put_key(&mut other, 0, &[0x21; 32]);
    bus.set_image(0, other).unwrap();
    bus.insert();
    let result = sign(&module, session, key);
    assert!(
        matches!(result, Err(CKR_KEY_HANDLE_INVALID | CKR_DEVICE_REMOVED | CKR_OBJECT_HANDLE_INVALID)),
        "{result:x?}"
    );
    module.assert_logged(&["another chip"]);
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_eq!(module.label(session, found[0]), "device");
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, found[0]).unwrap());
}

#[test]
fn damaged_bytes_on_the_bus_are_not_even_noticed() {
    let (module, bus, session, key) = with_key();
    let point = point_of(&module, session, key);
    for faults in [
        // Count, payload and CRC of each reply; each command; both.
        "flip@1:3,flip@2:9,flip@3:0",
        "flip@1:100,flip@3:260,flip@3:530",
        "garble@1:5,garble@2:100,garble@3:20",
        "flip@1:7,garble@2:8,flip@4:12,flip@5:300",
        "nack@3*2",
        "status@1:FF,status@3:FF",
        "status@3:05",
        "doze@2",
    ] {
        bus.set_faults(faults.parse().unwrap());
        let signature = sign(&module, session, key);
        assert_signed(&point, &signature.unwrap_or_else(|rv| panic!("{faults}: {rv:#x}")));
    }
    bus.set_faults("flip@1:20,flip@2:20,garble@3:20".parse().unwrap());
    assert!(module.random(session, 64).is_ok());
}

#[test]
fn a_lost_reply_to_a_signature_is_not_even_noticed() {
    let (module, bus, session, key) = with_key();
    let point = point_of(&module, session, key);
    for command in 1..=3 {
        bus.set_faults(format!("drop@{command}").parse().unwrap());
        assert_signed(&point, &sign(&module, session, key).unwrap());
    }
}

#[test]
fn whatever_reply_is_lost_a_generation_makes_exactly_one_key() {
    // As many commands as a generation takes, and one more.
    let (_, bus, ..) = with_key();
    let commands = bus.take_stats().total_commands();
    drop(bus);
    for command in 1..=commands {
        let (module, bus) = Module::on_bus(chip::provisioned());
        let session = module.start();
        // The identification is over with.
        bus.set_faults(format!("drop@{command}").parse().unwrap());
        let key = generate(&module, session, "a").unwrap_or_else(|rv| panic!("command {command}: {rv:#x}"));
        assert_eq!(module.private_keys(session), [key]);
        assert_eq!(Some(point_of(&module, session, key)), point_in(&bus, 0), "command {command}");
        assert!([2, 3, 4].iter().all(|slot| point_in(&bus, *slot).is_none()));
        assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
    }
}

#[test]
fn power_lost_while_a_key_is_written_leaves_no_key_or_a_whole_one() {
    for bytes in [0, 4, 20, 35, 36] {
        let (module, bus) = Module::on_bus(chip::provisioned());
        let session = module.start();
        bus.set_faults(format!("power@{bytes}").parse().unwrap());
        let result = generate(&module, session, "a");
        bus.set_faults("none".parse().unwrap());
        bus.power_on();
        // An open intent is resolved by the next look.
        let found = module.find_labelled(session, CKO_PRIVATE_KEY, "a");
        assert_eq!(found.len(), usize::from(point_in(&bus, 0).is_some()), "{bytes}: {result:x?}");
        let key = match found.first() {
            Some(key) => *key,
            None => generate(&module, session, "a").unwrap(),
        };
        assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
    }
}

#[test]
fn a_chip_that_stays_busy_is_an_error_in_bounded_time() {
    let (module, bus, session, key) = with_key();
    bus.set_faults("busy@3".parse().unwrap());
    let start = Instant::now();
    let result = sign(&module, session, key);
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    // A chip that acknowledges nothing any more can't be told from one that was pulled.
    assert!(matches!(result, Err(CKR_DEVICE_ERROR | CKR_DEVICE_REMOVED)), "{result:x?}");
    bus.set_faults("none".parse().unwrap());
    bus.power_off();
    bus.power_on();
    assert_signed(&point_of(&module, session, key), &sign(&module, session, key).unwrap());
}

#[test]
fn a_refusal_by_the_chip_is_a_device_error_that_names_the_command() {
    let (module, bus, session, key) = with_key();
    bus.set_faults("status@3:0F".parse().unwrap());
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_ERROR));
    module.assert_logged(&["C_Sign", "refused Sign"]);
    assert!(sign(&module, session, key).is_ok());
}

#[test]
fn a_failed_self_test_is_a_device_error_that_says_so() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    module.initialize().unwrap();
    bus.set_faults("status@1:07,status@2:07,status@3:07,status@4:07".parse().unwrap());
    assert_eq!(module.open_session(0, false), Err(CKR_DEVICE_ERROR));
    bus.set_faults("none".parse().unwrap());
    assert!(module.open_session(0, false).is_ok());
}

#[test]
fn a_server_that_is_killed_and_started_again_is_not_the_end() {
    let module = Module::on_socket();
    let state = module.image();
    chip::provisioned().save(&state).unwrap();
    let server = SimProcess::serve(&state, &module.socket());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    server.kill();
    let result = sign(&module, session, key);
    assert!(matches!(result, Err(CKR_DEVICE_ERROR | CKR_DEVICE_REMOVED)), "{result:x?}");
    module.assert_logged(&["C_Sign", "bus"]);
    let _server = SimProcess::serve(&state, &module.socket());
    assert_signed(&point_of(&module, session, key), &sign(&module, session, key).unwrap());
}

#[test]
fn a_blank_chip_is_a_token_that_is_not_initialised_and_has_no_random_numbers() {
    let module = Module::with_chip(&chip::blank());
    let session = module.start();
    let flags = module.token_info(0).unwrap().flags;
    assert_eq!(flags & (CKF_TOKEN_INITIALIZED | CKF_RNG | CKF_LOGIN_REQUIRED), 0);
    assert_eq!(module.random(session, 8).map(drop), Err(CKR_RANDOM_NO_RNG));
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    let rv = generate(&module, session, "a").unwrap_err();
    assert!(rv == CKR_DEVICE_ERROR || rv == CKR_DEVICE_MEMORY, "{rv:#x}");
    module.assert_logged(&["blank", "atecc608 provision"]);
    module.assert_logged(&["C_GenerateKeyPair", "atecc608 provision"]);
    assert!(module.slots(true).unwrap() == [0], "it is there");
}

#[test]
fn a_half_provisioned_chip_has_random_numbers_and_no_keys() {
    let mut image = chip::half_provisioned();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    let module = Module::with_chip(&image);
    let session = module.start();
    let flags = module.token_info(0).unwrap().flags;
    assert_eq!(flags & (CKF_TOKEN_INITIALIZED | CKF_RNG), CKF_RNG);
    assert!(module.random(session, 8).is_ok());
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    assert!(generate(&module, session, "a").is_err());
    module.assert_logged(&["half provisioned", "atecc608 provision"]);
}

#[test]
fn a_508_is_not_recognised_whoever_asks_first() {
    let module = Module::with_chip(&chip::other_model());
    module.initialize().unwrap();
    for _ in 0..2 {
        assert_eq!(module.token_info(0).map(drop), Err(CKR_TOKEN_NOT_RECOGNIZED));
        assert_eq!(module.open_session(0, false), Err(CKR_TOKEN_NOT_RECOGNIZED));
    }
    module.assert_logged(&["ATECC508A", "not an ATECC608"]);
}

#[test]
fn a_damaged_chip_image_is_left_alone_and_named() {
    let module = Module::with_chip(&chip::provisioned());
    let mut bytes = fs::read(module.image()).unwrap();
    bytes[700] ^= 1;
    fs::write(module.image(), &bytes).unwrap();
    module.initialize().unwrap();
    assert!(module.token_info(0).is_err());
    module.assert_logged(&["damaged", "chip"]);
    assert_eq!(fs::read(module.image()).unwrap(), bytes);
}

// ---- Keys that change behind our back ----

#[test]
fn a_key_replaced_by_another_process_ends_its_handle_and_not_the_new_key() {
    for lost in [false, true] {
        let (module, session, key) = with_key_in_process();
        let public = module.public_of(session, key);
        assert_eq!(Helper::start(&module, "replace a").finish(), ["Ok(())"]);
        if lost {
            fs::remove_file(module.state_file()).unwrap();
        }
        let theirs = chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap();
        // Signing, deriving, renaming, destroying: none may touch the key that is there now.
        let result = sign(&module, session, key);
        assert!(matches!(result, Err(CKR_KEY_HANDLE_INVALID)), "{lost}: {result:x?}");
        assert!(module.sign_init(session, CKM_ECDSA, key).is_err());
        assert!(module.derive(session, key, CKD_NULL, &[], &theirs, &[]).is_err());
        let rename = module.set_attributes(session, key, &[(CKA_LABEL, b"mine".to_vec())]);
        assert_eq!(rename, Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.destroy(session, key), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.attribute(session, public, CKA_EC_POINT), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(chip::point_in(&Image::load(&module.image()).unwrap(), 0).unwrap(), theirs);
        // Found again it works.
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
        assert_eq!(Helper::start(&module, "replace a").finish(), ["Ok(())"]);
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
    assert_eq!(Helper::start(&module, "replace a").finish(), ["Ok(())"]);
    assert_eq!(module.sign(session, &DIGEST), Err(CKR_KEY_HANDLE_INVALID));
}

#[test]
fn a_key_destroyed_by_another_process_is_gone_here_too() {
    let (module, session, key) = with_key_in_process();
    assert_eq!(Helper::start(&module, "destroy a").finish(), ["Ok(())"]);
    assert_eq!(sign(&module, session, key), Err(CKR_KEY_HANDLE_INVALID));
    assert!(module.private_keys(session).is_empty());
    assert_eq!(module.attribute(session, key, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
}

#[test]
fn a_key_renamed_by_another_process_keeps_its_handle() {
    let (module, session, key) = with_key_in_process();
    assert_eq!(Helper::start(&module, "rename a").finish(), ["Ok(())"]);
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
fn a_slot_that_was_filled_by_somebody_without_our_state_is_passed_over() {
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

// ---- The state folder ----

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
    // And it can be named anew.
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

/// What a backup that was made at some time brings back.
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
        module.assert_logged(&["state.toml", "nothing is written over it"]);
        assert_eq!(fs::read_to_string(module.state_file()).unwrap(), text);
        // Moved away, all works again.
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

/// Keys are used, nothing is changed, and the chip least of all.
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
    // Root may write nearly everywhere; not here.
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
    // The name of the temporary file is taken by a folder, whoever we are.
    let obstacle = format!(".state.toml.{}", std::process::id());
    let obstacle = module.state_file().with_file_name(obstacle);
    fs::create_dir(&obstacle).unwrap();
    assert_eq!(generate(&module, session, "b"), Err(CKR_TOKEN_WRITE_PROTECTED));
    assert_eq!(fs::read(module.state_file()).unwrap(), state);
    assert!(fs::read(module.image()).unwrap() == before);
    assert_eq!(module.private_keys(session).len(), 1);
    fs::remove_dir(&obstacle).unwrap();
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

// ---- Interrupted changes ----

/// A process is killed in the middle of GenKey; whether that takes effect is `executed`.
fn kill_in_gen_key(module: &Module, bus: &SimBus, role: &str, executed: bool) {
    // How many commands it takes up to the GenKey that creates: counted on a twin.
    let before = bus.image(0).unwrap();
    let state = (module.state_dir().read_dir().unwrap().any(|entry| entry.unwrap().path().is_dir()))
        .then(|| fs::read(module.state_file()).unwrap());
    bus.take_stats();
    assert_eq!(Helper::start(module, role).finish(), ["Ok(())"]);
    let commands = bus.take_stats().total_commands();
    bus.set_image(0, before).unwrap();
    match state {
        Some(state) => fs::write(module.state_file(), state).unwrap(),
        None => fs::remove_file(module.state_file()).unwrap(),
    }
    let busy = if executed { ":60000" } else { "" };
    bus.set_faults(format!("busy@{commands}{busy}").parse().unwrap());
    let helper = Helper::start(module, role);
    let deadline = Instant::now() + BOUND;
    while bus.stats().total_commands() < commands {
        assert!(Instant::now() < deadline, "the GenKey does not come");
        // Nothing tells when another process has sent a command but looking.
        thread::sleep(Duration::from_millis(1));
    }
    assert!(bus.stats().command(Opcode::GEN_KEY) > 0);
    helper.kill();
    bus.set_faults("none".parse().unwrap());
    bus.power_off();
    bus.power_on();
    assert!(fs::read_to_string(module.state_file()).unwrap().contains("intent"), "killed in the middle");
}

#[test]
fn a_generation_that_was_killed_is_resolved_both_ways() {
    for executed in [false, true] {
        let (module, bus) = Module::on_bus(chip::provisioned());
        kill_in_gen_key(&module, &bus, "generate a", executed);
        assert_eq!(point_in(&bus, 0).is_some(), executed);
        let session = module.start();
        let found = module.private_keys(session);
        assert_eq!(found.len(), usize::from(executed));
        module.assert_logged(&["slot 0", "key generation was interrupted"]);
        for key in &found {
            assert_eq!(module.label(session, *key), "a");
            assert_eq!(module.attribute(session, *key, CKA_ID), Ok(b"a".to_vec()));
            assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, *key).unwrap());
        }
        assert!(!fs::read_to_string(module.state_file()).unwrap().contains("intent"));
        let rv = generate(&module, session, "a").map(drop);
        assert_eq!(rv, if executed { Err(CKR_ATTRIBUTE_VALUE_INVALID) } else { Ok(()) });
    }
}

#[test]
fn a_generation_that_was_killed_does_not_bring_the_destroyed_key_back() {
    let (module, bus, session, key) = with_key();
    module.destroy(session, key).unwrap();
    module.finalize().unwrap();
    kill_in_gen_key(&module, &bus, "generate b", false);
    let session = module.start();
    assert!(module.private_keys(session).is_empty());
    module.assert_logged(&["slot 0", "key generation was interrupted", "had not taken effect"]);
    generate(&module, session, "device").unwrap();
}

#[test]
fn a_destruction_that_was_killed_is_resolved_both_ways() {
    for executed in [false, true] {
        let (module, bus, session, key) = with_key();
        let point = point_of(&module, session, key);
        module.finalize().unwrap();
        kill_in_gen_key(&module, &bus, "destroy a", executed);
        let session = module.start();
        let found = module.private_keys(session);
        module.assert_logged(&["slot 0", "key destruction was interrupted"]);
        assert_eq!(found.len(), 1);
        let key = found[0];
        if executed {
            // The key that took its place is shown, as what the slot is called: nothing proves that nobody uses it.
            assert_eq!(module.label(session, key), "device");
            assert_ne!(point_in(&bus, 0).unwrap(), point);
            module.destroy(session, key).unwrap();
            generate(&module, session, "device").unwrap();
        } else {
            assert_eq!(module.label(session, key), "a");
            assert_signed(&point, &sign(&module, session, key).unwrap());
        }
    }
}

#[test]
fn a_backup_from_the_middle_of_a_destruction_neither_hides_nor_frees_a_later_key() {
    let (module, bus, session, key) = with_key();
    module.destroy(session, key).unwrap();
    let destroyed = point_in(&bus, 0).unwrap();
    generate(&module, session, "later").unwrap();
    let later = point_in(&bus, 0).unwrap();
    module.finalize().unwrap();
    // As it was between intent and commit of the destruction.
    let serial = module.state_file().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let before: String = destroyed.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    fs::write(
        module.state_file(),
        format!(
            "format = 1\nserial = \"{serial}\"\ngeneration = 2\n[[slot]]\nslot = 0\nlabel = \"a\"\n\
             [[slot.intent]]\npurpose = \"destroy\"\nbefore = \"{before}\"\n"
        ),
    )
    .unwrap();
    let session = module.start();
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_signed(&later, &sign(&module, session, found[0]).unwrap());
    generate(&module, session, "other").unwrap();
    assert_eq!(point_in(&bus, 0).unwrap(), later, "the new key went elsewhere");
}

#[test]
fn an_open_intent_does_not_keep_keys_from_being_used_where_the_state_can_not_be_written() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    kill_in_gen_key(&module, &bus, "generate a", true);
    let obstacle = module.state_file().with_file_name(format!(".state.toml.{}", std::process::id()));
    fs::create_dir(&obstacle).unwrap();
    let session = module.start();
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, found[0]).unwrap());
    assert_eq!(generate(&module, session, "b"), Err(CKR_TOKEN_WRITE_PROTECTED));
}

// ---- Handles and buffers ----

#[test]
fn handles_that_name_nothing_are_refused_everywhere() {
    let (module, session, _) = with_key_in_process();
    for handle in [0, 4711, CK_ULONG::MAX] {
        assert_eq!(module.attribute(session, handle, CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.set_attributes(session, handle, &[(CKA_ID, vec![])]), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.destroy(session, handle), Err(CKR_OBJECT_HANDLE_INVALID));
        let mut out = 0;
        assert_eq!(c!(module, C_GetObjectSize(session, handle, &mut out)), Err(CKR_OBJECT_HANDLE_INVALID));
        let copied = c!(module, C_CopyObject(session, handle, null_mut(), 0, &mut out));
        assert_eq!(copied, Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.sign_init(session, CKM_ECDSA, handle), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(module.verify_init(session, CKM_ECDSA, handle), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(module.find(handle, &[]), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(sign(&module, handle, 1), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(generate(&module, handle, "b"), Err(CKR_SESSION_HANDLE_INVALID));
    }
    let mut kind = common::module::mechanism(CKM_SHA256);
    let rv = c!(module, C_DigestKey(session, 1));
    assert!(rv.is_err());
    c!(module, C_DigestInit(session, &mut kind)).unwrap();
    assert!(c!(module, C_DigestKey(session, 1)).is_err());
}

#[test]
fn buffers_that_are_null_or_empty_are_refused_or_empty() {
    let (module, session, key) = with_key_in_process();
    let mut length = 64;
    let mut signature = [0; 64];
    // NULL data of some length; NULL length; a NULL buffer asks for the length whatever the length says.
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    let rv = c!(module, C_Sign(session, null_mut(), 32, signature.as_mut_ptr(), &mut length));
    assert_eq!(rv, Err(CKR_ARGUMENTS_BAD));
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    let mut data = DIGEST;
    let rv = c!(module, C_Sign(session, data.as_mut_ptr(), 32, signature.as_mut_ptr(), null_mut()));
    assert_eq!(rv, Err(CKR_ARGUMENTS_BAD));
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    length = 7;
    assert_eq!(c!(module, C_Sign(session, data.as_mut_ptr(), 32, null_mut(), &mut length)), Ok(()));
    assert_eq!(length, 64);
    length = 0;
    let rv = c!(module, C_Sign(session, data.as_mut_ptr(), 32, signature.as_mut_ptr(), &mut length));
    assert_eq!((rv, length), (Err(CKR_BUFFER_TOO_SMALL), 64));
    assert!(module.sign(session, &DIGEST).is_ok());
    assert_eq!(c!(module, C_GenerateRandom(session, null_mut(), 8)), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(c!(module, C_GenerateRandom(session, null_mut(), 0)), Ok(()));
    assert_eq!(c!(module, C_GetAttributeValue(session, key, null_mut(), 1)), Err(CKR_ARGUMENTS_BAD));
    let mut zero = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: (&raw mut signature).cast(), ulValueLen: 0 };
    assert_eq!(c!(module, C_GetAttributeValue(session, key, &mut zero, 1)), Err(CKR_BUFFER_TOO_SMALL));
    let mut null_value = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: null_mut(), ulValueLen: 5 };
    assert_eq!(c!(module, C_SetAttributeValue(session, key, &mut null_value, 1)), Err(CKR_ARGUMENTS_BAD));
    assert!(c!(module, C_FindObjectsInit(session, &mut null_value, 1)).is_err());
    assert_eq!(c!(module, C_FindObjectsInit(session, null_mut(), 1)), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(module.label(session, key), "a");
}
