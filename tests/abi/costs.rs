// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cost of calls on the bus: the budget of DESIGN.md section 5, as far as single calls show it, counted by the
//! simulated bus.

use std::ptr::null_mut;

use crate::common::chip;
use crate::common::module::{c, ulong, Module};
use crate::common::secrets::{given, put_io_key, whole, Kind};
use crate::common::templates;
use crate::kept_configuration;
use atecc608_sim::{Profile, SimBus, Stats};
use atecc608_wire::Opcode;
use cryptoki_sys::*;

type Handle = CK_OBJECT_HANDLE;
type Session = CK_SESSION_HANDLE;

/// At most this many commands, wakes, and milliseconds of the chip at the maximum execution times.
#[track_caller]
fn assert_within(stats: &Stats, commands: u64, wakes: u64, chip_ms: u64) {
    assert!(stats.total_commands() <= commands, "{stats:?}");
    assert!(stats.wakes <= wakes, "{stats:?}");
    assert!(stats.chip_us_max <= chip_ms * 1000, "{stats:?}");
}

#[track_caller]
fn assert_free(bus: &SimBus) {
    let stats = bus.take_stats();
    assert_eq!((stats.transfers, stats.total_commands()), (0, 0), "{stats:?}");
}

/// A provisioned chip with a key pair, in the state of a new process; counters at zero.
fn with_key() -> (Module, SimBus) {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    let pair = &templates::of_all_clients("a", &[1])[2];
    module.generate_key_pair(session, &pair.public, &pair.private).unwrap();
    module.finalize().unwrap();
    bus.take_stats();
    (module, bus)
}

/// A provisioned chip whose IO protection key the host has: it takes secret keys.
fn with_io_key() -> (Module, SimBus, Session) {
    let image = chip::provisioned();
    let (module, bus) = Module::on_bus(image.clone());
    put_io_key(&module, &image);
    let session = module.start();
    (module, bus, session)
}

fn found(module: &Module, session: Session) -> (Handle, Handle) {
    let private = module.private_keys(session)[0];
    (private, module.public_of(session, private))
}

#[test]
fn initialising_costs_nothing_and_the_first_token_info_four_reads_and_an_info() {
    let (module, bus) = with_key();
    module.initialize().unwrap();
    assert_free(&bus);
    module.slots(false).unwrap();
    assert_free(&bus);
    module.slots(true).unwrap();
    module.token_info(0).unwrap();
    let stats = bus.take_stats();
    assert_within(&stats, 5, 1, 25);
    assert_eq!((stats.command(Opcode::READ), stats.command(Opcode::INFO)), (4, 1));
}

#[test]
fn slot_and_token_information_again_costs_nothing() {
    let (module, bus) = with_key();
    module.initialize().unwrap();
    module.token_info(0).unwrap();
    bus.take_stats();
    let (mut slot, mut mechanism) = (CK_SLOT_INFO::default(), CK_MECHANISM_INFO::default());
    for _ in 0..20 {
        c!(module, C_GetSlotInfo(0, &mut slot)).unwrap();
        module.token_info(0).unwrap();
        module.slots(true).unwrap();
        c!(module, C_GetMechanismInfo(0, CKM_ECDSA, &mut mechanism)).unwrap();
    }
    assert_free(&bus);
}

#[test]
fn an_absent_chip_is_not_asked_again_at_each_call() {
    let (module, bus) = with_key();
    bus.pull();
    module.initialize().unwrap();
    module.token_info(0).unwrap_err();
    bus.take_stats();
    for _ in 0..20 {
        assert_eq!(module.token_info(0).map(drop), Err(CKR_TOKEN_NOT_PRESENT));
        assert_eq!(module.slots(true), Ok(vec![]));
    }
    assert_free(&bus);
}

#[test]
fn sessions_cost_nothing() {
    let (module, bus) = with_key();
    module.initialize().unwrap();
    module.token_info(0).unwrap();
    bus.take_stats();
    for read_write in [true, false, true] {
        let session = module.open_session(0, read_write).unwrap();
        module.session_info(session).unwrap();
        c!(module, C_Login(session, CKU_USER, null_mut(), 0)).unwrap();
        c!(module, C_Logout(session)).unwrap();
        c!(module, C_CloseSession(session)).unwrap();
    }
    assert_free(&bus);
}

#[test]
fn keys_are_found_with_one_command_for_each_slot_and_then_with_none() {
    let (module, bus) = with_key();
    let session = module.start();
    bus.take_stats();
    found(&module, session);
    let stats = bus.take_stats();
    // Info for each slot that could hold a key, all in one conversation.
    assert_within(&stats, 4, 1, 20);
    assert_eq!(stats.command(Opcode::INFO), stats.total_commands());
    found(&module, session);
    module.find(session, &[]).unwrap();
    module.find_labelled(session, CKO_PRIVATE_KEY, "a");
    assert_free(&bus);
}

/// The calls of `p11tool --list-all`, in a process of its own.
fn list_all(module: &Module, bus: &SimBus) -> Stats {
    bus.take_stats();
    let session = module.start();
    module.token_info(0).unwrap();
    let objects = module.find(session, &[]).unwrap();
    assert!(!objects.is_empty());
    for object in objects {
        for attribute in [CKA_CLASS, CKA_LABEL, CKA_ID, CKA_VALUE, CKA_KEY_TYPE, CKA_CERTIFICATE_CATEGORY] {
            let _ = module.attribute(session, object, attribute);
        }
    }
    module.finalize().unwrap();
    bus.take_stats()
}

#[test]
fn where_root_keeps_the_configuration_the_first_token_info_costs_two_reads_and_an_info() {
    let (module, bus) = with_key();
    kept_configuration::keep(&module, &bus);
    module.initialize().unwrap();
    assert_free(&bus);
    module.slots(true).unwrap();
    module.token_info(0).unwrap();
    let stats = bus.take_stats();
    assert_within(&stats, 3, 1, 15);
    assert_eq!((stats.command(Opcode::READ), stats.command(Opcode::INFO)), (2, 1));
}

#[test]
fn where_root_keeps_the_configuration_a_list_costs_7_commands() {
    let (module, bus) = with_key();
    kept_configuration::keep(&module, &bus);
    for _ in 0..2 {
        assert_within(&list_all(&module, &bus), 7, 2, 35);
    }
}

#[test]
fn where_root_keeps_the_configuration_a_list_of_a_trust_and_go_chip_costs_8_commands() {
    let (module, bus) = Module::on_bus(chip::sold(Profile::TngTls));
    list_all(&module, &bus);
    kept_configuration::keep(&module, &bus);
    for _ in 0..2 {
        assert_within(&list_all(&module, &bus), 8, 3, 40);
    }
}

#[test]
fn where_root_keeps_the_configuration_a_signature_of_a_new_process_costs_no_read_more() {
    let (module, bus) = with_key();
    kept_configuration::keep(&module, &bus);
    let session = module.start();
    let (private, _) = found(&module, session);
    bus.take_stats();
    module.sign_with(session, CKM_ECDSA, private, &[7; 32]).unwrap();
    assert_within(&bus.take_stats(), 3, 1, 158);
}

#[test]
fn a_trust_and_go_chip_tells_all_it_has_for_28_commands_once_and_for_10_afterwards() {
    for profile in [Profile::TngTls, Profile::TngTlsEarly, Profile::TflxTls] {
        let (module, bus) = Module::on_bus(chip::sold(profile));
        // The serial number is read beside each of four public keys, before the key is kept as this chip's.
        assert_within(&list_all(&module, &bus), 28, 12, 690);
        for _ in 0..2 {
            assert_within(&list_all(&module, &bus), 10, 3, 50);
        }
    }
}

#[test]
fn chips_without_certificates_are_asked_for_them_once() {
    let (module, bus) = Module::on_bus(chip::sold(Profile::MongooseOs));
    list_all(&module, &bus);
    // Configuration, revision and four keys.
    assert_within(&list_all(&module, &bus), 9, 2, 45);
}

#[test]
fn our_own_configuration_says_itself_that_it_has_no_certificates() {
    let (module, bus) = with_key();
    let reads = list_all(&module, &bus).command(Opcode::READ);
    assert_eq!(reads, 4);
}

#[test]
fn attributes_of_a_key_cost_nothing_after_its_generation_not_even_in_the_next_process() {
    let (module, bus) = with_key();
    let session = module.start();
    let (private, public) = found(&module, session);
    bus.take_stats();
    for _ in 0..3 {
        for attribute in [CKA_EC_POINT, CKA_ID, CKA_PUBLIC_KEY_INFO, CKA_LABEL, CKA_EC_PARAMS, CKA_ALLOWED_MECHANISMS] {
            module.attribute(session, public, attribute).unwrap();
        }
        for attribute in [CKA_ID, CKA_PUBLIC_KEY_INFO, CKA_SIGN, CKA_UNIQUE_ID] {
            module.attribute(session, private, attribute).unwrap();
        }
        let _ = module.attribute(session, private, CKA_VALUE);
    }
    assert_free(&bus);
}

#[test]
fn a_public_key_that_no_state_knows_is_read_once_for_all_processes() {
    let mut image = chip::provisioned();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    let (module, bus) = Module::on_bus(image);
    let session = module.start();
    let private = module.private_keys(session)[0];
    bus.take_stats();
    module.attribute(session, private, CKA_ID).unwrap();
    let stats = bus.take_stats();
    // The serial number, and the key.
    let commands = (stats.command(Opcode::READ), stats.command(Opcode::GEN_KEY), stats.total_commands());
    assert_eq!((commands, stats.wakes), ((1, 1, 2), 1));
    let public = module.public_of(session, private);
    module.attribute(session, public, CKA_EC_POINT).unwrap();
    assert_free(&bus);
    let session = module.restart();
    let (private, public) = found(&module, session);
    bus.take_stats();
    module.attribute(session, private, CKA_ID).unwrap();
    module.attribute(session, public, CKA_EC_POINT).unwrap();
    assert_free(&bus);
}

#[test]
fn a_signature_is_three_commands_in_one_conversation_also_the_first() {
    let (module, bus) = with_key();
    let session = module.start();
    let (private, _) = found(&module, session);
    for _ in 0..3 {
        bus.take_stats();
        module.sign_init(session, CKM_ECDSA, private).unwrap();
        let (mut data, mut length) = ([7; 32], 0);
        c!(module, C_Sign(session, data.as_mut_ptr(), 32, null_mut(), &mut length)).unwrap();
        assert_free(&bus);
        module.sign(session, &data).unwrap();
        assert_within(&bus.take_stats(), 3, 1, 158);
        module.sign_parts(session, CKM_ECDSA_SHA256, private, &[&[1; 4096], &[2; 100]]).unwrap();
        assert_within(&bus.take_stats(), 3, 1, 158);
    }
}

#[test]
fn a_code_of_a_short_message_is_one_conversation() {
    let (module, bus, session) = with_io_key();
    let aes = module.create_object(session, &given(true, CKK_AES, &[9; 16])).unwrap();
    let secret = module.create_object(session, &given(true, CKK_GENERIC_SECRET, &[9; 32])).unwrap();
    for (kind, key) in [(CKM_AES_CMAC, aes), (CKM_SHA256_HMAC, secret)] {
        // The first use proves the key.
        module.sign_with(session, kind, key, b"").unwrap();
        for len in [0, 16, 40, 240] {
            bus.take_stats();
            module.sign_with(session, kind, key, &vec![7; len]).unwrap();
            let stats = bus.take_stats();
            assert_eq!(stats.wakes, 1, "{kind:#x}, {len} bytes: {stats:?}");
        }
    }
}

#[test]
fn gcm_of_a_short_text_is_one_conversation() {
    let (module, bus, session) = with_io_key();
    let aes = module.create_object(session, &given(true, CKK_AES, &[9; 16])).unwrap();
    let gcm = Kind::Gcm { iv: &[1; 12], associated: b"x", tag_bits: 128 };
    // The first use proves the key.
    whole(&module, session, true, &gcm, aes, b"").unwrap();
    for len in [0, 16, 40, 224] {
        bus.take_stats();
        let sealed = whole(&module, session, true, &gcm, aes, &vec![7; len]).unwrap();
        // Zero, the first counter block, and each block of the text; and whether the key may be used.
        assert_within(&bus.take_stats(), 3 + len.div_ceil(16) as u64, 1, 1000);
        assert_eq!(whole(&module, session, false, &gcm, aes, &sealed), Ok(vec![7; len]));
        assert_within(&bus.take_stats(), 3 + len.div_ceil(16) as u64, 1, 1000);
    }
}

#[test]
fn verifying_and_digests_cost_nothing() {
    let (module, bus) = with_key();
    let session = module.start();
    let (private, public) = found(&module, session);
    let signature = module.sign_with(session, CKM_ECDSA, private, &[7; 32]).unwrap();
    bus.take_stats();
    assert_eq!(module.verify_with(session, CKM_ECDSA, public, &[7; 32], &signature), Ok(()));
    assert_eq!(module.verify_with(session, CKM_ECDSA, public, &[8; 32], &signature), Err(CKR_SIGNATURE_INVALID));
    module.digest_parts(session, CKM_SHA256, &[&[0; 10_000]]).unwrap();
    assert_free(&bus);
}

#[test]
fn wrong_arguments_and_refused_templates_cost_nothing() {
    let (module, bus) = with_key();
    let session = module.start();
    let (private, public) = found(&module, session);
    bus.take_stats();
    module.sign_with(session, CKM_ECDSA, private, &[7; 65]).unwrap_err();
    module.sign_with(session, CKM_ECDSA, public, &[7; 32]).unwrap_err();
    module.derive(session, private, CKD_NULL, &[], &[4; 65], &[]).unwrap_err();
    module.generate_key_pair(session, &[], &[(CKA_CLASS, ulong(CKO_PRIVATE_KEY))]).unwrap_err();
    assert_free(&bus);
}

#[test]
fn random_numbers_come_32_at_a_time_in_one_conversation() {
    let (module, bus) = with_key();
    let session = module.start();
    bus.take_stats();
    module.random(session, 8).unwrap();
    assert_within(&bus.take_stats(), 1, 1, 23);
    module.random(session, 100).unwrap();
    assert_within(&bus.take_stats(), 4, 1, 92);
}

#[test]
fn a_generation_creates_once_and_names_cost_nothing() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    bus.take_stats();
    let pair = &templates::of_all_clients("device", &[1])[2];
    let (_, private) = module.generate_key_pair(session, &pair.public, &pair.private).unwrap();
    let stats = bus.take_stats();
    assert_eq!(stats.command(Opcode::GEN_KEY), 1);
    // Info before the intent is written, and again in the conversation that creates; a Read to check that it is still
    // the same chip.
    assert_within(&stats, 4, 3, 130);
    module.set_attributes(session, private, &[(CKA_LABEL, b"b".to_vec()), (CKA_ID, vec![2])]).unwrap();
    assert_free(&bus);
}
