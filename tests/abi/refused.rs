// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chips that refuse single commands, through the C ABI: another way is used if there is one, otherwise only that slot
//! is unknown. The token remains usable, and nothing is written where a key may be.

use crate::common::chip::{self, put_key, slot};
use crate::common::keys::Session;
use crate::common::module::{boolean, ulong, Module};
use crate::common::one_key::{assert_signed, change_image, generate, import, point_in, sign};
use crate::common::secrets::{self, put_io_key};
use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus};
use atecc608_token::state::{Intent, PendingSecret, Purpose};
use atecc608_token::store::Store;
use atecc608_wire::config_zone::offset;
use cryptoki_sys::*;

/// Info(KeyValid) and GenKey(public), refused with each of the two usual statuses.
const NO_KEY_VALID: [&str; 2] = ["refuse@30:01:03", "refuse@30:01:0F"];
const NO_PUBLIC_KEY: [&str; 2] = ["refuse@40:00:03", "refuse@40:00:0F"];

/// A chip with a key in slot 0 that no state knows.
fn image() -> Image {
    let mut image = chip::provisioned();
    put_key(&mut image, 0, &[0x21; 32]);
    image
}

fn on_bus(image: Image, faults: &str) -> (Module, SimBus, Session) {
    let (module, bus) = Module::on_bus(image);
    bus.set_faults(faults.parse().unwrap());
    let session = module.start();
    (module, bus, session)
}

fn key_config(image: &mut Image, number: u8, change: impl FnOnce(u16) -> u16) {
    let at = offset::KEY_CONFIG + 2 * usize::from(number);
    let config = image.part_mut(Part::Config);
    let word = u16::from_le_bytes([config[at], config[at + 1]]);
    config[at..at + 2].copy_from_slice(&change(word).to_le_bytes());
}

#[test]
fn keys_are_found_and_used_where_the_chip_refuses_to_report_which_slots_hold_one() {
    for faults in NO_KEY_VALID {
        let (module, bus, session) = on_bus(image(), faults);
        let keys = module.private_keys(session);
        assert_eq!(keys.len(), 1, "{faults}");
        assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, keys[0]).unwrap());
        assert_eq!(module.private_keys(session), keys);
        let words = ["refuses to report whether slots hold keys", "0 (GenKey shows a key), 2 (GenKey shows none)"];
        assert_eq!(module.assert_logged(&words), 1, "{faults}");
    }
}

#[test]
fn a_slot_whose_question_was_refused_is_never_free() {
    for faults in NO_KEY_VALID {
        let (module, bus) = Module::on_bus(image());
        let before = bus.image(0).unwrap();
        put_io_key(&module, &before);
        bus.set_faults(faults.parse().unwrap());
        let session = module.start();
        let key = module.private_keys(session)[0];
        assert_eq!(generate(&module, session, "new"), Err(CKR_TEMPLATE_INCONSISTENT), "{faults}");
        assert_eq!(import(&module, session, "new"), Err(CKR_TEMPLATE_INCONSISTENT), "{faults}");
        assert_eq!(module.destroy(session, key), Err(CKR_ACTION_PROHIBITED), "{faults}");
        module.assert_logged(&["C_GenerateKeyPair", "slot 2", "nothing is generated or imported there"]);
        assert!(bus.image(0).unwrap() == before, "{faults}: the chip was written to");
        assert!(sign(&module, session, key).is_ok(), "{faults}");
    }
}

#[test]
fn one_refusal_is_enough_to_leave_the_slot_alone() {
    // Whichever query of a generation is refused: no key is lost.
    for (number, status) in (1..=12).flat_map(|number| [(number, "03"), (number, "0F")]) {
        let (module, bus) = Module::on_bus(image());
        let session = module.start();
        let before = point_in(&bus, 0);
        bus.set_faults(format!("status@{number}:{status}").parse().unwrap());
        let made = generate(&module, session, "new");
        bus.set_faults("none".parse().unwrap());
        assert_eq!(point_in(&bus, 0), before, "command {number}");
        let there = (2..=4).filter(|slot| point_in(&bus, *slot).is_some()).count();
        assert_eq!(there, usize::from(made.is_ok()), "command {number}: {made:x?}");
    }
}

#[test]
fn a_slot_that_no_command_reports_is_unknown_and_the_others_are_used() {
    for faults in NO_KEY_VALID {
        let mut image = image();
        put_key(&mut image, 2, &[0x22; 32]);
        // PubInfo off: GenKey does not show it either.
        key_config(&mut image, 2, |word| word & !0x0002);
        let (module, _bus, session) = on_bus(image, faults);
        let keys = module.private_keys(session);
        assert_eq!(keys.len(), 1, "{faults}");
        assert!(sign(&module, session, keys[0]).is_ok(), "{faults}");
        assert_eq!(module.assert_logged(&["refuses to report", "2 (unknown)"]), 1);
    }
}

#[test]
fn a_refusal_of_gen_key_means_an_empty_slot_only_where_no_rule_explains_it() {
    // ReqAuth: GenKey is not even sent. PersistentDisable: its refusal says nothing.
    for bit in [0x0080, 0x1000] {
        let mut image = image();
        key_config(&mut image, 0, |word| word | bit);
        let (module, _bus, session) = on_bus(image, NO_KEY_VALID[0]);
        assert!(module.private_keys(session).is_empty());
        module.assert_logged(&["refuses to report", "slot 0 (unknown)"]);
    }
}

#[test]
fn a_key_whose_public_key_is_refused_hides_no_other() {
    for faults in NO_PUBLIC_KEY {
        let (module, bus, session) = on_bus(image(), faults);
        let by_id = [(CKA_CLASS, ulong(CKO_PRIVATE_KEY)), (CKA_ID, vec![7; 20])];
        assert_eq!(module.find(session, &by_id), Ok(vec![]), "{faults}");
        module.assert_logged(&["cannot read the public key of slot 0", "refused GenKey"]);
        let keys = module.private_keys(session);
        assert_eq!(keys.len(), 1, "{faults}");
        assert!(module.attribute(session, keys[0], CKA_LABEL).is_ok());
        assert_eq!(module.attribute(session, keys[0], CKA_ID), Err(CKR_ATTRIBUTE_TYPE_INVALID), "{faults}");
        // Neither the key nor its handle is lost by it.
        bus.set_faults("none".parse().unwrap());
        assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, keys[0]).unwrap());
    }
}

#[test]
fn a_refused_question_does_not_make_the_state_forget_a_key() {
    for faults in NO_PUBLIC_KEY {
        let (module, bus, session) = on_bus(chip::provisioned(), "none");
        generate(&module, session, "a").unwrap();
        let before = std::fs::read_to_string(module.state_file()).unwrap();
        let session = module.restart();
        bus.set_faults(faults.parse().unwrap());
        let keys = module.find_labelled(session, CKO_PRIVATE_KEY, "a");
        assert_eq!(keys.len(), 1, "{faults}");
        assert_eq!(module.destroy(session, keys[0]), Err(CKR_DEVICE_ERROR), "{faults}: its public key is read first");
        assert_eq!(std::fs::read_to_string(module.state_file()).unwrap(), before, "{faults}");
    }
}

#[test]
fn an_interrupted_generation_that_the_chip_does_not_report_stays_open_and_blocks_nothing() {
    let (module, bus) = Module::on_bus(image());
    let serial = bus.image(0).unwrap().config().serial_number();
    let session = module.start();
    assert_eq!(module.private_keys(session).len(), 1);
    let intent = Intent {
        before: None,
        after: None,
        purpose: Purpose::Generate,
        label: Some("b".to_owned()),
        public_label: None,
        id: None,
        kept: Default::default(),
    };
    let mut store = Store::open(&module.state_dir(), serial);
    store.change(|state| state.slot_mut(slot(2)).intent = Some(intent.clone())).unwrap();
    change_image(&bus, |image| {
        put_key(image, 2, &[0x22; 32]);
        key_config(image, 2, |word| word | 0x1000);
    });
    module.finalize().unwrap();
    bus.set_faults(NO_KEY_VALID[0].parse().unwrap());
    let session = module.start();
    for _ in 0..2 {
        let keys = module.private_keys(session);
        assert_eq!(keys.len(), 1);
        assert!(sign(&module, session, keys[0]).is_ok());
    }
    assert_eq!(module.assert_logged(&["slot 2", "was interrupted", "refuses to report"]), 1);
    assert!(Store::open(&module.state_dir(), serial).state().slot(slot(2)).unwrap().intent.is_some());
}

#[test]
fn an_interrupted_destruction_of_a_secret_key_that_the_chip_does_not_report_blocks_nothing() {
    let (module, bus) = Module::on_bus(image());
    let chip = bus.image(0).unwrap();
    put_io_key(&module, &chip);
    let session = module.start();
    secrets::generate(&module, session, CKM_AES_KEY_GEN, &secrets::aes(true, 16)).unwrap();
    module.finalize().unwrap();
    let serial = chip.config().serial_number();
    let mut store = Store::open(&module.state_dir(), serial);
    store.change(|state| state.secrets[0].pending = Some(PendingSecret::Destroy { filler: [0; 3] })).unwrap();
    bus.set_faults("refuse@51:00:0F".parse().unwrap());
    let session = module.start();
    assert_eq!(module.private_keys(session).len(), 1);
    module.assert_logged(&["slot 9", "destruction of a secret key was interrupted", "is not known"]);
    let secret_keys = || module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]).unwrap().len();
    assert_eq!(secret_keys(), 0, "it may be destroyed");
    // The chip reports again: the key exists, and is now destroyed.
    let key = bus.image(0).unwrap().part(Part::Slot(slot(9)))[..32].to_vec();
    bus.set_faults("none".parse().unwrap());
    assert_eq!(secret_keys(), 0);
    assert_ne!(bus.image(0).unwrap().part(Part::Slot(slot(9)))[..32], key);
    module.assert_logged(&["slot 9", "destruction of a secret key was interrupted", "it is finished now"]);
}

#[test]
fn a_slot_8_that_can_not_be_read_hides_no_other_object() {
    let module = Module::configured(
        "log = \"info:FOLDER/log\"\n[[token]]\nbus = \"unix:FOLDER/bus\"\ncertificates = \"chip\"\n",
    );
    let bus = chip::serve(image(), &module.socket());
    bus.set_faults("refuse@02:82:0F".parse().unwrap());
    let session = module.start();
    let everything = module.find(session, &[(CKA_TOKEN, boolean(true))]).unwrap();
    assert_eq!(everything.len(), 2, "both halves of the key");
    assert_eq!(module.assert_logged(&["slot 8 can't be read", "refused Read"]), 1);
}
