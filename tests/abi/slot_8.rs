// SPDX-License-Identifier: MIT OR Apache-2.0
//! `certificates = "chip"`: a client's certificate is stored in slot 8, where it survives the loss of the state folder;
//! through the C ABI.

use std::fs;

use crate::common::chip::{self, slot};
use crate::common::keys::{create_certificate, generate, point, Handle, Session};
use crate::common::module::{boolean, ulong, Module};
use crate::common::templates;
use atecc608_sim::image::Part;
use atecc608_sim::{Image, Profile, SimBus};
use atecc608_wire::Opcode;
use cryptoki_sys::*;

/// The module with this chip, which is to keep certificates.
fn with_chip(image: Image) -> (Module, SimBus, Session) {
    let module = Module::configured(
        "log = \"info:FOLDER/log\"\n[[token]]\nbus = \"unix:FOLDER/bus\"\ncertificates = \"chip\"\n",
    );
    let bus = chip::serve(image, &module.socket());
    let session = module.start();
    (module, bus, session)
}

fn provisioned() -> (Module, SimBus, Session) {
    with_chip(chip::provisioned())
}

fn certificates(module: &Module, session: Session) -> Vec<Handle> {
    module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]).unwrap()
}

fn slot_8(bus: &SimBus) -> Vec<u8> {
    bus.image(0).unwrap().part(Part::Slot(slot(8))).to_vec()
}

/// Forgets everything except the chip.
fn lose_the_state(module: &Module) -> Session {
    module.finalize().unwrap();
    fs::remove_dir_all(module.state_dir()).unwrap();
    fs::create_dir(module.state_dir()).unwrap();
    module.start()
}

/// A certificate of this key, small enough for the slot.
fn small(module: &Module, session: Session, public: Handle) -> Vec<u8> {
    let der = templates::certificate("device", &point(module, session, public));
    assert!(der.len() < 380, "{}", der.len());
    der
}

/// A certificate that is too large for the slot.
fn large(module: &Module, session: Session, public: Handle) -> Vec<u8> {
    let der = templates::certificate(&"x".repeat(140), &point(module, session, public));
    assert!(der.len() > 400, "{}", der.len());
    der
}

#[test]
fn a_certificate_goes_into_the_chip_and_outlives_the_state() {
    let (module, bus, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = small(&module, session, public);
    let names = [(CKA_LABEL, b"crt".to_vec()), (CKA_ID, vec![1])];
    let certificate = create_certificate(&module, session, &der, &names).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_VALUE), Ok(der.clone()));
    assert!(slot_8(&bus).windows(der.len()).any(|window| window == der));
    assert!(!fs::read_to_string(module.state_file()).unwrap().contains("certificate\""), "not in the state");
    let session = lose_the_state(&module);
    let found = certificates(&module, session);
    assert_eq!(found.len(), 1);
    for (attribute, expected) in [
        (CKA_VALUE, der),
        (CKA_LABEL, b"crt".to_vec()),
        (CKA_ID, vec![1]),
        (CKA_DESTROYABLE, boolean(true)),
        (CKA_MODIFIABLE, boolean(false)),
        (CKA_PRIVATE, boolean(false)),
    ] {
        assert_eq!(module.attribute(session, found[0], attribute), Ok(expected), "{attribute:#x}");
    }
    assert_eq!(module.destroy(session, found[0]), Ok(()));
    assert_eq!(certificates(&module, session), [0; 0]);
    assert_eq!(certificates(&module, module.restart()), [0; 0]);
}

#[test]
fn an_id_that_follows_from_the_key_costs_no_room() {
    let (module, bus, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = small(&module, session, public);
    let id = <sha1::Sha1 as sha1::Digest>::digest(point(&module, session, public)).to_vec();
    let certificate = create_certificate(&module, session, &der, &[(CKA_ID, id.clone())]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(id.clone()));
    assert!(!slot_8(&bus).windows(20).any(|window| window == id));
}

#[test]
fn what_does_not_fit_and_what_comes_second_goes_into_the_state() {
    let (module, bus, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let (small, large) = (small(&module, session, public), large(&module, session, public));
    create_certificate(&module, session, &large, &[]).unwrap();
    assert_eq!(slot_8(&bus), [0; 416]);
    module.assert_logged(&["does not fit into slot 8"]);
    create_certificate(&module, session, &small, &[]).unwrap();
    let in_slot = slot_8(&bus);
    create_certificate(&module, session, &small, &[(CKA_LABEL, b"second".to_vec())]).unwrap();
    assert_eq!(slot_8(&bus), in_slot);
    module.assert_logged(&["slot 8 is in use"]);
    assert_eq!(certificates(&module, session).len(), 3);
}

#[test]
fn a_certificate_that_does_not_fit_the_layout_goes_into_the_state() {
    let (module, bus, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let authority = [(CKA_CERTIFICATE_CATEGORY, ulong(CK_CERTIFICATE_CATEGORY_AUTHORITY))];
    let certificate = create_certificate(&module, session, &small(&module, session, public), &authority).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_CERTIFICATE_CATEGORY), Ok(authority[0].1.clone()));
    assert_eq!(slot_8(&bus), [0; 416]);
}

#[test]
fn foreign_data_in_the_slot_are_kept() {
    let mut image = chip::provisioned();
    image.part_mut(Part::Slot(slot(8)))[..5].copy_from_slice(b"mine!");
    let (module, bus, session) = with_chip(image);
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    create_certificate(&module, session, &small(&module, session, public), &[]).unwrap();
    assert_eq!(&slot_8(&bus)[..5], b"mine!");
    assert_eq!(certificates(&module, session).len(), 1);
    module.assert_logged(&["slot 8 holds something else"]);
}

#[test]
fn a_locked_slot_and_one_that_is_no_place_for_data_are_not_used() {
    let mut locked = chip::provisioned();
    locked.part_mut(Part::Config)[89] &= !1;
    let mut secret = chip::provisioned();
    // SlotConfig of slot 8: IsSecret.
    secret.part_mut(Part::Config)[20 + 16] |= 0x80;
    for image in [locked, secret] {
        let (module, bus, session) = with_chip(image);
        let (public, _) = generate(&module, session, "a", &[1]).unwrap();
        create_certificate(&module, session, &small(&module, session, public), &[]).unwrap();
        assert_eq!(slot_8(&bus), [0; 416]);
        module.assert_logged(&["certificates = \"chip\"", "kept in the state folder"]);
    }
}

#[test]
fn it_works_on_trust_and_go_beside_its_own_certificates() {
    let (module, _, session) = with_chip(chip::sold(Profile::TngTls));
    let key = module.private_keys(session)[0];
    let public = module.public_of(session, key);
    create_certificate(&module, session, &small(&module, session, public), &[(CKA_LABEL, b"own".to_vec())]).unwrap();
    let session = lose_the_state(&module);
    let labels: Vec<String> =
        certificates(&module, session).into_iter().map(|found| module.label(session, found)).collect();
    assert_eq!(labels, ["device", "signer", "root", "own"]);
}

#[test]
fn power_lost_at_any_byte_leaves_a_whole_certificate_or_none() {
    // Thirteen blocks for the certificate, and one that is cleared before.
    let (mut whole, mut none) = (0, 0);
    for bytes in [0, 31, 32, 64, 230, 415, 416, 447, 448] {
        let (module, bus, session) = provisioned();
        let (public, _) = generate(&module, session, "a", &[1]).unwrap();
        let der = small(&module, session, public);
        bus.set_faults(format!("power@{bytes}").parse().unwrap());
        let created = create_certificate(&module, session, &der, &[]);
        bus.set_faults("none".parse().unwrap());
        bus.power_on();
        let session = lose_the_state(&module);
        match certificates(&module, session)[..] {
            [] => {
                none += 1;
                assert!(created.is_err(), "{bytes}");
                // The slot is free, and can be used.
                create_certificate(&module, session, &der, &[]).unwrap();
                assert!(slot_8(&bus).starts_with(b"CRT1"));
            }
            [found] => {
                whole += 1;
                assert_eq!(module.attribute(session, found, CKA_VALUE), Ok(der));
            }
            _ => panic!("one certificate at most"),
        }
    }
    assert_eq!((whole, none), (1, 8));
}

#[test]
fn power_lost_while_it_is_destroyed_leaves_it_whole_or_gone() {
    for bytes in [0, 1, 31, 32] {
        let (module, bus, session) = provisioned();
        let (public, _) = generate(&module, session, "a", &[1]).unwrap();
        let der = small(&module, session, public);
        let certificate = create_certificate(&module, session, &der, &[]).unwrap();
        bus.set_faults(format!("power@{bytes}").parse().unwrap());
        let destroyed = module.destroy(session, certificate);
        bus.set_faults("none".parse().unwrap());
        bus.power_on();
        let session = lose_the_state(&module);
        match certificates(&module, session)[..] {
            [] => assert_eq!(bytes, 32),
            [found] => {
                assert!(destroyed.is_err());
                assert_eq!(module.attribute(session, found, CKA_VALUE), Ok(der));
            }
            _ => panic!("one certificate at most"),
        }
    }
}

#[test]
fn whatever_is_in_the_slot_is_a_certificate_or_none() {
    let (module, bus, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    create_certificate(&module, session, &small(&module, session, public), &[(CKA_ID, vec![7])]).unwrap();
    let good = bus.image(0).unwrap();
    let used = slot_8(&bus).iter().rposition(|byte| *byte != 0).unwrap();
    for byte in 0..=used {
        let mut image = good.clone();
        image.part_mut(Part::Slot(slot(8)))[byte] ^= 0x81;
        bus.set_image(0, image).unwrap();
        assert_eq!(certificates(&module, module.restart()), [0; 0], "byte {byte}");
    }
    bus.set_image(0, good).unwrap();
    assert_eq!(certificates(&module, module.restart()).len(), 1);
}

#[test]
fn it_is_read_once_in_a_process_and_again_when_another_one_has_changed_it() {
    let (module, bus, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = small(&module, session, public);
    let certificate = create_certificate(&module, session, &der, &[]).unwrap();
    bus.take_stats();
    assert_eq!(certificates(&module, session), [certificate]);
    assert_eq!(bus.take_stats().command(Opcode::READ), 0);
    // As another process leaves it after it has destroyed it.
    let mut image = bus.image(0).unwrap();
    image.part_mut(Part::Slot(slot(8)))[..32].fill(0);
    bus.set_image(0, image).unwrap();
    let text = fs::read_to_string(module.state_file()).unwrap();
    let text = text.replace("slot_8_changes = 1", "slot_8_changes = 2").replace("generation = ", "generation = 1");
    fs::write(module.state_file(), text).unwrap();
    assert_eq!(certificates(&module, session), [0; 0]);
    assert_eq!(module.attribute(session, certificate, CKA_VALUE), Err(CKR_OBJECT_HANDLE_INVALID));
}
