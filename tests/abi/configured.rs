// SPDX-License-Identifier: MIT OR Apache-2.0
//! Contents of slots that the configuration declares, on a chip as a user of the vendor's software has it; through the
//! C ABI.

use crate::common::chip::{self, slot};
use crate::common::keys::{copy_object, create_certificate, point, Handle, Session, CKA_ATECC608_SLOT};
use crate::common::module::{boolean, ulong, Module};
use crate::common::secrets;
use crate::common::templates;
use aes::cipher::{BlockEncrypt, KeyInit};
use atecc608_sim::image::Part;
use atecc608_sim::{Image, Profile, SimBus};
use atecc608_wire::config_zone::offset;
use cryptoki_sys::*;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;

/// The module with this chip, and these lines for its objects.
fn configured(image: Image, objects: &str) -> (Module, SimBus, Session) {
    let head = "log = \"info:FOLDER/log\"\n[[token]]\nbus = \"unix:FOLDER/bus\"\n";
    let module = Module::configured(&format!("{head}{objects}"));
    let bus = chip::serve(image, &module.socket());
    let session = module.start();
    (module, bus, session)
}

/// The example of the vendor's PKCS#11 module, with this in a slot.
fn example(number: u8, contents: &[u8]) -> Image {
    let mut image = chip::sold(Profile::VendorPkcs11);
    let part = image.part_mut(Part::Slot(slot(number)));
    part[..contents.len()].copy_from_slice(contents);
    image
}

const ROOT: &str = "[[token.object]]\nslot = 15\ntype = \"public\"\nlabel = \"root\"\n";

fn root() -> SigningKey {
    SigningKey::from_slice(&[0x66; 32]).unwrap()
}

fn root_point() -> Vec<u8> {
    root().verifying_key().to_encoded_point(false).as_bytes().to_vec()
}

/// A public key as the vendor's library writes it (fact sheet section 5.9).
fn padded(point: &[u8]) -> Vec<u8> {
    [&[0; 4], &point[1..33], &[0; 4], &point[33..]].concat()
}

fn public_keys(module: &Module, session: Session, label: &str) -> Vec<Handle> {
    module.find_labelled(session, CKO_PUBLIC_KEY, label)
}

#[test]
fn a_public_key_in_a_slot_verifies_and_nothing_changes_it() {
    let (module, _bus, session) = configured(example(15, &padded(&root_point())), ROOT);
    let [key] = public_keys(&module, session, "root")[..] else { panic!("one key") };
    assert_eq!(point(&module, session, key), root_point());
    for (attribute, expected) in [
        (CKA_TOKEN, boolean(true)),
        (CKA_PRIVATE, boolean(false)),
        (CKA_TRUSTED, boolean(false)),
        (CKA_LOCAL, boolean(false)),
        (CKA_VERIFY, boolean(true)),
        (CKA_MODIFIABLE, boolean(false)),
        (CKA_DESTROYABLE, boolean(false)),
        (CKA_ID, <sha1::Sha1 as sha1::Digest>::digest(root_point()).to_vec()),
    ] {
        assert_eq!(module.attribute(session, key, attribute), Ok(expected), "{attribute:#x}");
    }
    let signature: Signature = root().sign_prehash(&[5; 32]).unwrap();
    let verify = |digest: [u8; 32]| module.verify_with(session, CKM_ECDSA, key, &digest, &signature.to_bytes());
    assert_eq!((verify([5; 32]), verify([6; 32])), (Ok(()), Err(CKR_SIGNATURE_INVALID)));
    assert_eq!(module.set_attributes(session, key, &[(CKA_LABEL, b"mine".to_vec())]), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(module.destroy(session, key), Err(CKR_ACTION_PROHIBITED));
    copy_object(&module, session, key, &[(CKA_TOKEN, boolean(false))]).unwrap();
}

#[test]
fn it_is_read_once_in_a_process_and_only_by_a_search_for_it() {
    let (module, bus, session) = configured(example(15, &padded(&root_point())), ROOT);
    let reads = || bus.stats().commands.get("Read").copied().unwrap_or(0);
    let before = reads();
    module.find(session, &[(CKA_CLASS, ulong(CKO_PRIVATE_KEY))]).unwrap();
    assert_eq!(reads(), before);
    for _ in 0..3 {
        assert_eq!(public_keys(&module, session, "root").len(), 1);
    }
    // Three blocks of the slot; one of the OTP zone, for certificates that it may be sold with.
    assert!(reads() - before <= 4, "{}", reads() - before);
}

#[test]
fn a_slot_that_holds_no_public_key_is_absent_with_one_line_in_the_log() {
    let good = padded(&root_point());
    let not_on_curve = [&good[..71], &[good[71] ^ 1]].concat();
    let dirty = [&good[..36], &[1], &good[37..]].concat();
    for contents in [vec![0xFF; 72], vec![0; 72], not_on_curve, dirty] {
        let (module, _bus, session) = configured(example(15, &contents), ROOT);
        assert!(public_keys(&module, session, "root").is_empty());
        assert_eq!(module.find(session, &[]).map(|all| all.is_empty()), Ok(false), "the others are there");
        assert_eq!(module.assert_logged(&["public key in slot 15 is not shown", "a point on P-256"]), 1);
    }
}

#[test]
fn a_slot_that_is_unreadable_or_not_for_public_keys_is_absent_with_one_line_in_the_log() {
    for (key_config, slot_config, words) in [
        (0x003C, 0x0F0F, "does not permit one"),
        (0x0033, 0x0F8F, "does not permit one"),
        (0x0030, 0x0F8F, "be read in clear"),
        (0x0030, 0x0FCF, "be read in clear"),
    ] {
        let mut image = example(15, &padded(&root_point()));
        let config = image.part_mut(Part::Config);
        config[offset::KEY_CONFIG + 30..][..2].copy_from_slice(&u16::to_le_bytes(key_config));
        config[offset::SLOT_CONFIG + 30..][..2].copy_from_slice(&u16::to_le_bytes(slot_config));
        let (module, _bus, session) = configured(image, ROOT);
        assert!(public_keys(&module, session, "root").is_empty());
        assert_eq!(module.assert_logged(&["public key in slot 15 is not shown", words]), 1);
    }
}

#[test]
fn a_key_that_is_to_be_validated_is_shown_while_it_is() {
    for (first, shown) in [(0x50, 1), (0xA0, 0), (0x00, 0)] {
        let mut image = example(15, &padded(&root_point()));
        image.part_mut(Part::Slot(slot(15)))[0] = first;
        image.part_mut(Part::Config)[offset::KEY_CONFIG + 30] = 0x32;
        let (module, _bus, session) = configured(image, ROOT);
        assert_eq!(public_keys(&module, session, "root").len(), shown, "{first:#x}");
    }
}

#[test]
fn it_never_has_the_name_of_a_key_pair_of_the_chip() {
    let (module, _bus, session) = configured(example(15, &padded(&root_point())), &ROOT.replace("root", "device"));
    let [key] = public_keys(&module, session, "device")[..] else { panic!("the pair's alone") };
    assert_ne!(point(&module, session, key), root_point());
    module.assert_logged(&["public key in slot 15 is not shown", "a key pair of the chip has its label"]);
}

const CERTIFICATE: &str = "[[token.object]]\nslot = 8\ntype = \"certificate\"\nlabel = \"gateway\"\n";

/// A certificate for the chip's key in slot 0, as stored in slot 8; and its DER.
fn with_certificate() -> (Image, Vec<u8>) {
    let image = chip::sold(Profile::VendorPkcs11);
    let der = templates::certificate("gateway", &chip::point_in(&image, 0).unwrap());
    let mut image = image;
    image.part_mut(Part::Slot(slot(8)))[..der.len()].copy_from_slice(&der);
    (image, der)
}

fn certificates(module: &Module, session: Session) -> Vec<Handle> {
    module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]).unwrap()
}

#[test]
fn a_certificate_that_lies_in_slot_8_as_it_is_has_its_configured_label_and_its_keys_id() {
    let (image, der) = with_certificate();
    let (module, _bus, session) = configured(image, CERTIFICATE);
    let [certificate] = certificates(&module, session)[..] else { panic!("one certificate") };
    let key = module.find_labelled(session, CKO_PRIVATE_KEY, "device")[0];
    let id = module.attribute(session, key, CKA_ID).unwrap();
    for (attribute, expected) in [
        (CKA_VALUE, der),
        (CKA_LABEL, b"gateway".to_vec()),
        (CKA_ID, id),
        (CKA_TRUSTED, boolean(false)),
        (CKA_MODIFIABLE, boolean(false)),
        (CKA_DESTROYABLE, boolean(false)),
    ] {
        assert_eq!(module.attribute(session, certificate, attribute), Ok(expected), "{attribute:#x}");
    }
    assert_eq!(module.destroy(session, certificate), Err(CKR_ACTION_PROHIBITED));
    // It follows its key pair.
    module.set_attributes(session, key, &[(CKA_ID, vec![7])]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(vec![7]));
    let found = module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_ID, vec![7])]);
    assert_eq!(found, Ok(vec![certificate]));
}

#[test]
fn a_certificate_that_lies_in_slot_8_as_it_is_is_never_written_over() {
    for objects in ["", CERTIFICATE] {
        let (image, _) = with_certificate();
        let before = image.part(Part::Slot(slot(8))).to_vec();
        let (module, bus, session) = configured(image, &format!("certificates = \"chip\"\n{objects}"));
        let der = templates::certificate("other", &root_point());
        create_certificate(&module, session, &der, &[(CKA_LABEL, b"other".to_vec())]).unwrap();
        assert_eq!(bus.image(0).unwrap().part(Part::Slot(slot(8))), before);
        assert_eq!(certificates(&module, session).len(), 1 + usize::from(!objects.is_empty()));
        module.assert_logged(&["slot 8 holds", "kept in the state folder"]);
    }
}

#[test]
fn a_broken_certificate_in_slot_8_is_absent_with_one_line_in_the_log() {
    let (image, der) = with_certificate();
    let contents = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut slot = image.part(Part::Slot(slot(8))).to_vec();
        change(&mut slot);
        slot.resize(416, 0);
        slot
    };
    for broken in [
        contents(&|slot| slot.fill(0)),
        contents(&|slot| slot.fill(0xFF)),
        contents(&|slot| slot[..4].copy_from_slice(&[0x30, 0x82, 0xFF, 0xFF])),
        contents(&|slot| slot[..6].copy_from_slice(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])),
        contents(&|slot| slot[..2].copy_from_slice(&[0x30, 0x80])),
        contents(&|slot| slot[..2].copy_from_slice(&[0x30, 0x00])),
        contents(&|slot| slot[der.len() / 2..].fill(0)),
    ] {
        let mut image = image.clone();
        image.part_mut(Part::Slot(slot(8))).copy_from_slice(&broken);
        let (module, _bus, session) = configured(image, CERTIFICATE);
        assert!(certificates(&module, session).is_empty(), "{broken:02x?}");
        assert_eq!(module.assert_logged(&["certificate in slot 8 is not shown", "X.509 certificate in DER"]), 1);
    }
}

fn secret(number: u8) -> String {
    format!("[[token.object]]\nslot = {number}\ntype = \"secret\"\nlabel = \"shared\"\nid = \"0b\"\n")
}

fn secret_keys(module: &Module, session: Session) -> Vec<Handle> {
    module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]).unwrap()
}

#[test]
fn an_hmac_key_that_the_vendors_software_wrote_signs_and_nothing_changes_it() {
    // Slot 1 of the example is read and written encrypted.
    let (module, bus, session) = configured(example(1, &[0x42; 32]), &secret(1));
    let [key] = secret_keys(&module, session)[..] else { panic!("one key") };
    for (attribute, expected) in [
        (CKA_LABEL, b"shared".to_vec()),
        (CKA_ID, vec![0x0B]),
        (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)),
        (CKA_VALUE_LEN, ulong(32)),
        (CKA_LOCAL, boolean(false)),
        (CKA_NEVER_EXTRACTABLE, boolean(false)),
        (CKA_SENSITIVE, boolean(true)),
        (CKA_EXTRACTABLE, boolean(false)),
        (CKA_MODIFIABLE, boolean(false)),
        (CKA_DESTROYABLE, boolean(false)),
    ] {
        assert_eq!(module.attribute(session, key, attribute), Ok(expected), "{attribute:#x}");
    }
    let code = module.sign_with(session, CKM_SHA256_HMAC, key, b"message").unwrap();
    let mut expected = <Hmac<sha2::Sha256> as Mac>::new_from_slice(&[0x42; 32]).unwrap();
    expected.update(b"message");
    assert_eq!(code, expected.finalize().into_bytes().to_vec());
    let before = bus.image(0).unwrap().part(Part::Slot(slot(1))).to_vec();
    assert_eq!(module.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(module.set_attributes(session, key, &[(CKA_LABEL, b"mine".to_vec())]), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(module.destroy(session, key), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(bus.image(0).unwrap().part(Part::Slot(slot(1))), before);
    // The state has no entry for it, and needs none.
    assert_eq!(secret_keys(&module, module.restart()).len(), 1);
}

#[test]
fn an_aes_key_in_a_slot_encrypts_and_no_new_key_takes_its_place() {
    let mut image = chip::provisioned();
    image.part_mut(Part::Slot(slot(9)))[..16].copy_from_slice(&[0x24; 16]);
    let (module, bus, session) = configured(image, &secret(9));
    let [key] = secret_keys(&module, session)[..] else { panic!("one key") };
    assert_eq!(module.attribute(session, key, CKA_VALUE_LEN), Ok(ulong(16)));
    let encrypted = secrets::whole(&module, session, true, &secrets::Kind::Plain(CKM_AES_ECB), key, &[1; 16]).unwrap();
    let mut expected = [1; 16].into();
    aes::Aes128::new(&[0x24; 16].into()).encrypt_block(&mut expected);
    assert_eq!(encrypted, expected.to_vec());
    secrets::put_io_key(&module, &bus.image(0).unwrap());
    let template = [secrets::aes(true, 16), vec![(CKA_ATECC608_SLOT, ulong(9))]].concat();
    let generate = || secrets::generate(&module, session, CKM_AES_KEY_GEN, &template).map(drop);
    assert_eq!((generate(), generate()), (Ok(()), Err(CKR_DEVICE_MEMORY)), "the slot's other place, and no more");
    assert_eq!(bus.image(0).unwrap().part(Part::Slot(slot(9)))[..16], [0x24; 16]);
}

#[test]
fn a_secret_key_in_a_slot_that_no_function_could_use_is_absent_with_one_line_in_the_log() {
    // A private key, one that HMAC refuses (ReqRandom), data.
    for number in [0, 4, 13] {
        let (module, _bus, session) = configured(chip::sold(Profile::VendorPkcs11), &secret(number));
        assert!(secret_keys(&module, session).is_empty());
        assert_eq!(module.assert_logged(&[&format!("secret key in slot {number} is not shown")]), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_contents_of_a_slot_make_another_key_or_a_crash(
        at in 0_usize..72,
        with in any::<u8>(),
        noise in prop::collection::vec(any::<u8>(), 0..72),
    ) {
        let mut contents = padded(&root_point());
        contents[at] = with;
        contents.truncate(72 - noise.len());
        contents.extend(noise);
        let expected = contents == padded(&root_point());
        let (module, _bus, session) = configured(example(15, &contents), ROOT);
        let found = public_keys(&module, session, "root");
        // Random bytes are practically never the X or Y of another point.
        prop_assert_eq!(found.len(), usize::from(expected));
    }

    #[test]
    fn no_contents_of_slot_8_crash_or_end_beyond_it(at in 0_usize..416, noise in prop::collection::vec(any::<u8>(), 1..40)) {
        let (mut image, der) = with_certificate();
        let part = image.part_mut(Part::Slot(slot(8)));
        let end = (at + noise.len()).min(416);
        part[at..end].copy_from_slice(&noise[..end - at]);
        let stored = part.to_vec();
        let (module, _bus, session) = configured(image, CERTIFICATE);
        for certificate in certificates(&module, session) {
            let value = module.attribute(session, certificate, CKA_VALUE).unwrap();
            prop_assert!(stored.starts_with(&value) && value.len() >= der.len() - 4);
        }
    }
}
