// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chips as sold, and as other tools leave them: keys with names, and certificates up to the root, without a line of
//! configuration. The certificates are checked with the `openssl` command.

use std::fs;

use crate::common::chip::{self, slot};
use crate::common::keys::{assert_signed, point, Handle, Session};
use crate::common::module::{boolean, c, ulong, Module};
use crate::common::openssl::OpenSsl;
use atecc608_contents::certificate::{CompressedCertificate, Definition, Device, Parts};
use atecc608_sim::image::Part;
use atecc608_sim::profiles::root_certificate;
use atecc608_sim::{Image, Profile, SimBus};
use atecc608_wire::Opcode;
use cryptoki_sys::*;
use der::Decode;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use x509_cert::Certificate;

/// Chips that come with certificates.
const WITH_CERTIFICATES: [Profile; 3] = [Profile::TngTls, Profile::TngTlsEarly, Profile::TflxTls];

/// The certificates that are shown, by label.
fn certificates(module: &Module, session: Session) -> Vec<(String, Handle)> {
    let found = module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]).unwrap();
    found.into_iter().map(|certificate| (module.label(session, certificate), certificate)).collect()
}

fn labels(module: &Module, session: Session) -> Vec<String> {
    certificates(module, session).into_iter().map(|(label, _)| label).collect()
}

fn value(module: &Module, session: Session, object: Handle) -> Vec<u8> {
    module.attribute(session, object, CKA_VALUE).unwrap()
}

fn labelled(module: &Module, session: Session, class: CK_OBJECT_CLASS, label: &str) -> Handle {
    let found = module.find_labelled(session, class, label);
    assert_eq!(found.len(), 1, "{label}");
    found[0]
}

#[test]
fn device_signer_and_root_are_shown_and_openssl_verifies_the_chain() {
    for profile in WITH_CERTIFICATES {
        let module = Module::with_chip(&chip::sold(profile));
        let session = module.start();
        let certificates = certificates(&module, session);
        let names: Vec<&str> = certificates.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(names, ["device", "signer", "root"], "{profile:?}");
        let openssl = OpenSsl::new();
        for (label, certificate) in &certificates {
            openssl.write_certificate(&format!("{label}.pem"), &value(&module, session, *certificate));
        }
        openssl.run("verify -CAfile root.pem -untrusted signer.pem device.pem");
        assert_eq!(value(&module, session, certificates[2].1), root_certificate().unwrap());
        // It belongs to the key: the certificate verifies the key's signatures.
        let key = labelled(&module, session, CKO_PRIVATE_KEY, "device");
        let signature = module.sign_with(session, CKM_ECDSA, key, &[7; 32]).unwrap();
        let der = value(&module, session, certificates[0].1);
        let certified = Certificate::from_der(&der).unwrap().tbs_certificate.subject_public_key_info;
        assert_signed(certified.subject_public_key.raw_bytes(), &[7; 32], &signature);
    }
}

#[test]
fn they_say_of_themselves_what_is_in_them() {
    let module = Module::with_chip(&chip::sold(Profile::TngTls));
    let session = module.start();
    let categories =
        [CK_CERTIFICATE_CATEGORY_TOKEN_USER, CK_CERTIFICATE_CATEGORY_AUTHORITY, CK_CERTIFICATE_CATEGORY_AUTHORITY];
    for ((_, certificate), category) in certificates(&module, session).into_iter().zip(categories) {
        use der::Encode;
        let der = value(&module, session, certificate);
        let parsed = Certificate::from_der(&der).unwrap().tbs_certificate;
        let point = parsed.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
        for (attribute, expected) in [
            (CKA_SUBJECT, parsed.subject.to_der().unwrap()),
            (CKA_ISSUER, parsed.issuer.to_der().unwrap()),
            (CKA_SERIAL_NUMBER, parsed.serial_number.to_der().unwrap()),
            (CKA_PUBLIC_KEY_INFO, parsed.subject_public_key_info.to_der().unwrap()),
            (CKA_ID, Sha1::digest(&point).to_vec()),
            (CKA_CERTIFICATE_CATEGORY, ulong(category)),
            (CKA_TOKEN, boolean(true)),
            (CKA_PRIVATE, boolean(false)),
            (CKA_TRUSTED, boolean(false)),
            (CKA_MODIFIABLE, boolean(false)),
            (CKA_DESTROYABLE, boolean(false)),
        ] {
            assert_eq!(module.attribute(session, certificate, attribute), Ok(expected), "{attribute:#x}");
        }
        // In the order in which programs follow a chain: by subject.
        let by_subject = [(CKA_SUBJECT, parsed.subject.to_der().unwrap())];
        assert_eq!(module.find(session, &by_subject), Ok(vec![certificate]));
    }
}

#[test]
fn the_devices_certificate_has_id_and_label_of_its_key_whatever_they_become() {
    let module = Module::with_chip(&chip::sold(Profile::TngTls));
    let session = module.start();
    let key = labelled(&module, session, CKO_PRIVATE_KEY, "device");
    let certificate = labelled(&module, session, CKO_CERTIFICATE, "device");
    assert_eq!(module.attribute(session, certificate, CKA_ID), module.attribute(session, key, CKA_ID));
    module.set_attributes(session, key, &[(CKA_ID, vec![5]), (CKA_LABEL, b"gateway".to_vec())]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(vec![5]));
    let session = module.restart();
    let by_id = module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_ID, vec![5])]).unwrap();
    assert_eq!(by_id.len(), 1);
    assert_eq!(module.label(session, by_id[0]), "gateway");
}

#[test]
fn they_are_part_of_the_chip_nobody_changes_or_destroys_them() {
    let module = Module::with_chip(&chip::sold(Profile::TflxTls));
    let session = module.start();
    for (label, certificate) in certificates(&module, session) {
        let renamed = module.set_attributes(session, certificate, &[(CKA_LABEL, b"x".to_vec())]);
        assert_eq!(renamed, Err(CKR_ACTION_PROHIBITED), "{label}");
        assert_eq!(module.destroy(session, certificate), Err(CKR_ACTION_PROHIBITED), "{label}");
        assert!(!value(&module, session, certificate).is_empty());
    }
    // A client's own certificate is kept beside them, and can be destroyed.
    let public = labelled(&module, session, CKO_PUBLIC_KEY, "device");
    let der = crate::common::templates::certificate("own", &point(&module, session, public));
    let own = crate::common::keys::create_certificate(&module, session, &der, &[]).unwrap();
    assert_eq!(certificates(&module, session).len(), 4);
    assert_eq!(module.destroy(session, own), Ok(()));
    assert_eq!(certificates(&module, session).len(), 3);
}

#[test]
fn a_copy_of_one_is_an_object_of_its_own() {
    let module = Module::with_chip(&chip::sold(Profile::TngTls));
    let session = module.start();
    let signer = labelled(&module, session, CKO_CERTIFICATE, "signer");
    let in_the_session = [(CKA_TOKEN, boolean(false))];
    let mut template = crate::common::module::attributes(&in_the_session);
    let mut copy = 0;
    c!(module, C_CopyObject(session, signer, template.as_mut_ptr(), 1, &mut copy)).unwrap();
    assert_eq!(value(&module, session, copy), value(&module, session, signer));
}

/// Slots whose keys are shown, with their labels.
fn keys(profile: Profile) -> Vec<(u8, String)> {
    let module = Module::with_chip(&chip::sold(profile));
    let session = module.start();
    let keys = module.private_keys(session);
    assert!(labels(&module, session).is_empty() || WITH_CERTIFICATES.contains(&profile), "{profile:?}");
    keys.into_iter()
        .map(|key| (crate::common::keys::slot_of(&module, session, key), module.label(session, key)))
        .collect()
}

#[test]
fn keys_of_known_configurations_have_names() {
    let named = |slots: &[u8]| -> Vec<(u8, String)> {
        let name = |slot: u8| if slot == 0 { "device".to_owned() } else { format!("key-{slot}") };
        slots.iter().map(|slot| (*slot, name(*slot))).collect()
    };
    for profile in WITH_CERTIFICATES.into_iter().chain([Profile::CryptoAuthTools]) {
        assert_eq!(keys(profile), named(&[0, 2, 3, 4]), "{profile:?}");
    }
    assert_eq!(keys(Profile::MongooseOs), named(&[0, 1, 2, 3]));
    assert_eq!(keys(Profile::Arduino), named(&[0, 1, 2, 3, 4]));
    assert_eq!(keys(Profile::VendorPkcs11), named(&[0, 2, 3]));
    // The purpose of a key in the vendor's unit tests is unknown.
    assert!(keys(Profile::VendorTest).iter().all(|(slot, label)| *label == format!("slot-{slot}")));
}

#[test]
fn every_key_of_them_signs() {
    for profile in [Profile::TngTls, Profile::MongooseOs, Profile::Arduino, Profile::VendorPkcs11] {
        let module = Module::with_chip(&chip::sold(profile));
        let session = module.start();
        for key in module.private_keys(session) {
            let point = point(&module, session, module.public_of(session, key));
            let signature = module.sign_with(session, CKM_ECDSA, key, &[9; 32]).unwrap();
            assert_signed(&point, &[9; 32], &signature);
        }
    }
}

/// Reads of the EEPROM's slots and OTP zone and of the serial number, and generations of public keys, while the certificates are listed.
fn cost_of_listing(module: &Module, bus: &SimBus) -> (u64, u64) {
    let session = module.start();
    module.find(session, &[(CKA_CLASS, ulong(CKO_PRIVATE_KEY))]).unwrap();
    bus.take_stats();
    assert_eq!(certificates(module, session).len(), 3);
    let stats = bus.take_stats();
    module.finalize().unwrap();
    (stats.command(Opcode::READ), stats.command(Opcode::GEN_KEY))
}

#[test]
fn what_was_read_once_is_kept_for_all_processes() {
    let (module, bus) = Module::on_bus(chip::sold(Profile::TngTls));
    assert_eq!(cost_of_listing(&module, &bus), (12, 1));
    assert_eq!(cost_of_listing(&module, &bus), (0, 0));
    // After the loss of the state the first contact has the full cost again.
    fs::remove_file(module.state_file()).unwrap();
    assert_eq!(cost_of_listing(&module, &bus), (12, 1));
}

#[test]
fn a_state_that_lies_about_them_is_not_believed() {
    let (module, bus) = Module::on_bus(chip::sold(Profile::TngTls));
    cost_of_listing(&module, &bus);
    let good = fs::read_to_string(module.state_file()).unwrap();
    let at = good.find("sold_certificates = \"").unwrap() + 21;
    for digit in [0, 17, 60, 200, 300, 470] {
        let mut text = good.clone().into_bytes();
        text[at + digit] = if text[at + digit] == b'7' { b'6' } else { b'7' };
        fs::write(module.state_file(), text).unwrap();
        assert!(cost_of_listing(&module, &bus).0 >= 11, "digit {digit}");
        assert_eq!(cost_of_listing(&module, &bus).0, 0, "digit {digit}");
    }
}

/// The certificates that are shown for a chip with these contents, and the log.
fn shown(image: &Image) -> (Vec<String>, String) {
    let module = Module::with_chip(image);
    let session = module.start();
    let labels = labels(&module, session);
    assert_eq!(module.private_keys(session).len(), 4, "keys are there whatever becomes of the certificates");
    (labels, module.log())
}

fn changed(number: u8, byte: usize) -> Image {
    let mut image = chip::sold(Profile::TngTls);
    image.part_mut(Part::Slot(slot(number)))[byte] ^= 0x10;
    image
}

#[test]
fn what_does_not_verify_is_not_shown_and_the_log_says_why() {
    // Signature, date, signer id, template id, format of the device's certificate.
    for byte in [0, 63, 64, 67, 69] {
        let (labels, log) = shown(&changed(10, byte));
        assert_eq!(labels, ["signer", "root"], "byte {byte}");
        assert!(log.contains("the device's certificate is not shown"), "{log}");
    }
    // The same of the signer's, and its public key.
    for (number, byte) in [(12, 0), (12, 66), (12, 68), (12, 69), (11, 4), (11, 71)] {
        let (labels, log) = shown(&changed(number, byte));
        assert_eq!(labels, <[&str; 0]>::default(), "slot {number}, byte {byte}");
        assert!(log.contains("the signer's certificate is not shown"), "{log}");
    }
    // The EUI-48.
    assert_eq!(shown(&changed(5, 3)).0, ["signer", "root"]);
    // The chip's key differs from the certified one.
    let mut image = chip::sold(Profile::TngTls);
    chip::put_key(&mut image, 0, &[0x42; 32]);
    let (labels, log) = shown(&image);
    assert_eq!(labels, ["signer", "root"]);
    assert!(log.contains("it belongs to another key"), "{log}");
    // Another chip's: the serial number is in it.
    let mut image = chip::sold(Profile::TngTls);
    image.part_mut(Part::Config)[9] ^= 1;
    assert_eq!(shown(&image).0, ["signer", "root"]);
    // No product code, or an unknown one: no certificates, and no warning.
    for code in [b"\0\0\0\0\0\0\0\0", b"AAAAAAAA"] {
        let mut image = chip::sold(Profile::TngTls);
        image.part_mut(Part::Otp)[..8].copy_from_slice(code);
        let (labels, log) = shown(&image);
        assert_eq!((labels.len(), log.contains("certificate")), (0, false), "{log}");
    }
}

#[test]
fn a_chip_that_fails_while_they_are_read_says_so_and_shows_them_the_next_time() {
    let (module, bus) = Module::on_bus(chip::sold(Profile::TngTls));
    let session = module.start();
    bus.pull();
    let found = module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]);
    assert!(matches!(found, Err(CKR_DEVICE_ERROR | CKR_DEVICE_REMOVED | CKR_TOKEN_NOT_PRESENT)), "{found:x?}");
    bus.insert();
    assert_eq!(labels(&module, session), ["device", "signer", "root"]);
}

/// A chip for LoRaWAN. Its configuration is not published, except where its certificates are: here with Trust&GO's. The
/// key that signs them is no secret (`sim::profiles`).
fn lora_chip() -> Image {
    let mut image = chip::sold(Profile::TngTls);
    let slot_bytes = |image: &Image, number| image.part(Part::Slot(slot(number))).to_vec();
    let (signer_key, signer) = (slot_bytes(&image, 11), slot_bytes(&image, 12));
    let sentence = "atecc608-sim: private key of the signer; it is no secret";
    let authority = SigningKey::from_slice(&Sha256::digest(sentence)).unwrap();
    let own = chip::point_in(&image, 1).unwrap();
    let mut device = CompressedCertificate::decode(&slot_bytes(&image, 10).try_into().unwrap()).unwrap();
    device.template_id = Definition::DeviceLora.template_id();
    let eui = *b"0004A30B00123456";
    let to_be_signed = Parts {
        definition: Definition::DeviceLora,
        compressed: &device,
        public_key: own[1..].try_into().unwrap(),
        issuer_key: &[&signer_key[4..36], &signer_key[40..72]].concat().try_into().unwrap(),
        device: Device { serial: image.config().serial_number(), eui },
    }
    .to_be_signed()
    .unwrap();
    let signature: Signature = authority.sign(&to_be_signed);
    device.signature = signature.to_bytes().into();
    let contents = [signer_key, device.encode().unwrap().to_vec(), signer].concat();
    image.part_mut(Part::Slot(slot(8)))[..216].copy_from_slice(&contents);
    image.part_mut(Part::Slot(slot(10)))[..16].copy_from_slice(&eui);
    image.part_mut(Part::Otp)[..8].copy_from_slice(b"jsMu7iYO");
    image
}

#[test]
fn a_lorawan_chips_certificate_is_rebuilt_from_slots_8_and_10() {
    let module = Module::with_chip(&lora_chip());
    let session = module.start();
    let certificates = certificates(&module, session);
    assert_eq!(certificates.len(), 3, "{}", module.log());
    let openssl = OpenSsl::new();
    for (name, (_, certificate)) in ["device", "signer", "root"].iter().zip(certificates) {
        openssl.write_certificate(&format!("{name}.pem"), &value(&module, session, certificate));
    }
    openssl.run("verify -CAfile root.pem -untrusted signer.pem device.pem");
    assert!(openssl.run("x509 -in device.pem -noout -text").contains("eui64_0004A30B00123456"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_the_slots_lists_are_made_and_nothing_false_is_shown(
        noise in prop::collection::vec((prop::sample::select(vec![5u8, 10, 11, 12]), 0usize..72, any::<u8>()), 1..40),
    ) {
        let good = chip::sold(Profile::TngTls);
        let mut image = good.clone();
        for (number, byte, value) in noise {
            let part = image.part_mut(Part::Slot(slot(number)));
            let len = part.len();
            part[byte % len] = value;
        }
        let parts = |image: &Image, slots: &[u8]| -> Vec<Vec<u8>> {
            slots.iter().map(|number| image.part(Part::Slot(slot(*number))).to_vec()).collect()
        };
        let (labels, _) = shown(&image);
        prop_assert!(labels.len() <= 3);
        // Only an unchanged chain is shown; padding and the end of slot 5 belong to nothing.
        if labels.contains(&"device".to_owned()) {
            prop_assert_eq!(parts(&image, &[10])[0][..70].to_vec(), parts(&good, &[10])[0][..70].to_vec());
            prop_assert_eq!(&parts(&image, &[5])[0][..12], &parts(&good, &[5])[0][..12]);
        }
        if labels.contains(&"signer".to_owned()) {
            prop_assert_eq!(&parts(&image, &[11])[0][4..36], &parts(&good, &[11])[0][4..36]);
            prop_assert_eq!(&parts(&image, &[12])[0][..70], &parts(&good, &[12])[0][..70]);
        }
    }
}

#[test]
fn what_the_factory_put_there_does_not_keep_the_token_from_a_name() {
    let module = Module::with_chip(&chip::sold(Profile::TngTls));
    let session = module.start();
    assert!(!module.find(session, &[]).unwrap().is_empty());
    let mut label = *b"gateway 7                       ";
    let mut init = || c!(module, C_InitToken(0, std::ptr::null_mut(), 0, label.as_mut_ptr()));
    // Keys that a client may destroy are an exception: slots 2 to 4 have some.
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(init(), Err(CKR_FUNCTION_FAILED));
    let session = module.open_session(0, true).unwrap();
    let destroyable = [(CKA_CLASS, ulong(CKO_PRIVATE_KEY)), (CKA_DESTROYABLE, boolean(true))];
    for key in module.find(session, &destroyable).unwrap() {
        module.destroy(session, key).unwrap();
    }
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(init(), Ok(()));
    assert_eq!(&module.token_info(0).unwrap().label, b"gateway 7                       ");
}
