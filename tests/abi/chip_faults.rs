// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chips that are absent, removed, exchanged, damaged, stuck or not provisioned, through the C ABI. Each case gives the
//! right CK_RV and one clear line; faults that a retry corrects are not visible; no key is hidden, invented or
//! destroyed.

use std::fs;
use std::time::Instant;

use crate::common::chip::{self, SimProcess};
use crate::common::module::{c, ulong, Module};
use crate::common::one_key::{assert_signed, generate, point_in, point_of, sign, with_key, with_key_in_process, BOUND};
use cryptoki_sys::*;

#[test]
fn a_socket_without_a_server_is_an_empty_slot() {
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
    module.assert_logged(&["no chip responds", "0x60"]);
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
fn a_chip_pulled_before_its_public_key_is_known_is_removed_for_c_verify_init_too() {
    let (module, bus, _, _) = with_key();
    module.finalize().unwrap();
    fs::remove_dir_all(module.state_file().parent().unwrap()).unwrap();
    let session = module.start();
    let found = module.find(session, &[(CKA_CLASS, ulong(CKO_PUBLIC_KEY))]).unwrap();
    bus.pull();
    assert_eq!(module.verify_init(session, CKM_ECDSA, found[0]), Err(CKR_DEVICE_REMOVED));
    bus.insert();
    assert_eq!(module.verify_init(session, CKM_ECDSA, found[0]), Ok(()));
}

#[test]
fn a_chip_pulled_between_two_calls_is_removed_and_works_again_when_it_is_back() {
    let (module, bus, session, key) = with_key();
    bus.pull();
    let start = Instant::now();
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    assert!(start.elapsed() < BOUND);
    module.assert_logged(&["C_Sign", "no chip responds"]);
    assert_eq!(module.random(session, 8).map(drop), Err(CKR_DEVICE_REMOVED));
    assert_eq!(generate(&module, session, "b"), Err(CKR_DEVICE_REMOVED));
    bus.insert();
    assert_signed(&point_of(&module, session, key), &sign(&module, session, key).unwrap());
    assert!(generate(&module, session, "b").is_ok());
}

#[test]
fn a_chip_pulled_in_the_middle_of_a_signature_is_removed_and_works_again_when_it_is_back() {
    let (module, bus, session, key) = with_key();
    // Sleep and wake; Random; Nonce; Sign; their responses.
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
        // Count, payload and CRC of each response; each command; both.
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
        // The identification is finished.
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
        // The next contact resolves an open intent.
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
    // A chip that acknowledges nothing can't be distinguished from one that was removed.
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
fn the_file_beside_a_chip_in_the_process_sets_its_faults() {
    let (module, session, key) = with_key_in_process();
    let faults = module.image().with_extension("faults");
    fs::write(&faults, "pull@1\n").unwrap();
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED), "it stays away");
    fs::write(&faults, "flop@1").unwrap();
    assert!(sign(&module, session, key).is_err());
    module.assert_logged(&["C_Sign", "chip.faults", "flop@1", "is not one of"]);
    fs::remove_file(&faults).unwrap();
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
fn a_508_is_not_recognised_by_any_function() {
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
