// SPDX-License-Identifier: MIT OR Apache-2.0
//! Imported private keys, through the C ABI: they are written to the profile's slot for them, encrypted on the bus, and
//! are never claimed to be generated there. Checked with the p256 crate. With a PIN: abi_pin_keys.rs.

use std::fs;

use crate::common::keys::{assert_signed, generate, point, slot_of, with, without, CKA_ATECC608_SLOT};
use crate::common::module::{boolean, ulong, Module};
use crate::common::one_key::{point_in, DIGEST};
use crate::common::secrets::{put_io_key, with_io_key, IO_KEY};
use crate::common::tap::listen;
use crate::common::templates::{private_key, wrapped, P384};
use crate::common::{chip, templates};
use atecc608_sim::image::Part;
use atecc608_sim::SimBus;
use atecc608_wire::Opcode;
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::SecretKey;

const SCALAR: [u8; 32] = [0x21; 32];

fn public_point(scalar: &[u8]) -> Vec<u8> {
    let key = SecretKey::from_slice(scalar).unwrap();
    key.public_key().to_encoded_point(false).as_bytes().to_vec()
}

fn slot_bytes(bus: &SimBus, slot: u8) -> Vec<u8> {
    bus.image(0).unwrap().part(Part::Slot(chip::slot(slot))).to_vec()
}

#[test]
fn an_imported_key_works_in_the_chip_and_its_public_half_appears_with_it() {
    let (module, bus, session) = with_io_key();
    let key = module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
    assert_eq!(slot_of(&module, session, key), 4);
    let expected = public_point(&SCALAR);
    assert_eq!(point_in(&bus, 4), Some(expected.clone()));
    let public = module.public_of(session, key);
    assert_eq!(point(&module, session, public), expected);
    assert_eq!(module.label(session, public), "mine");
    let check = |session, key| {
        assert_signed(&expected, &DIGEST, &module.sign_with(session, CKM_ECDSA, key, &DIGEST).unwrap());
        let peer = SecretKey::from_slice(&[0x42; 32]).unwrap();
        let template = [(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))];
        let point = peer.public_key().to_encoded_point(false);
        let secret = module.derive(session, key, CKD_NULL, &[], point.as_bytes(), &template).unwrap();
        let mine = p256::PublicKey::from_sec1_bytes(&expected).unwrap();
        let shared = p256::ecdh::diffie_hellman(peer.to_nonzero_scalar(), mine.as_affine());
        assert_eq!(module.attribute(session, secret, CKA_VALUE), Ok(shared.raw_secret_bytes().to_vec()));
    };
    check(session, key);
    let session = module.restart();
    check(session, module.find_labelled(session, CKO_PRIVATE_KEY, "mine")[0]);
    let state = fs::read_to_string(module.state_file()).unwrap();
    let hex: String = SCALAR.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!state.contains(&hex), "the host keeps nothing of it");
}

#[test]
fn an_imported_key_is_not_claimed_to_be_born_here_whatever_the_template_says() {
    let (module, _bus, session) = with_io_key();
    // As sent by tools whose default is a readable key.
    let less = [(CKA_SENSITIVE, boolean(false)), (CKA_EXTRACTABLE, boolean(true))];
    let key = module.create_object(session, &with(&private_key("mine", &SCALAR), &less)).unwrap();
    for (attribute, value) in [
        (CKA_LOCAL, boolean(false)),
        (CKA_ALWAYS_SENSITIVE, boolean(false)),
        (CKA_NEVER_EXTRACTABLE, boolean(false)),
        (CKA_SENSITIVE, boolean(true)),
        (CKA_EXTRACTABLE, boolean(false)),
        (CKA_PRIVATE, boolean(true)),
        (CKA_KEY_GEN_MECHANISM, ulong(CK_UNAVAILABLE_INFORMATION)),
        (CKA_ID, b"mine".to_vec()),
    ] {
        assert_eq!(module.attribute(session, key, attribute), Ok(value), "{attribute:#x}");
    }
    assert_eq!(module.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
}

#[test]
fn the_scalar_never_crosses_the_bus_in_clear() {
    let image = chip::provisioned();
    let module = Module::on_socket();
    put_io_key(&module, &image);
    let far = module.folder.path().join("far");
    let bus = chip::serve(image, &far);
    let heard = listen(&module.socket(), far);
    let session = module.start();
    module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
    assert_eq!(bus.stats().command(Opcode::PRIV_WRITE), 1);
    assert_eq!(point_in(&bus, 4), Some(public_point(&SCALAR)));
    let heard = heard.lock().unwrap();
    let holds = |needle: &[u8]| heard.windows(needle.len()).any(|bytes| bytes == needle);
    assert!(holds(&public_point(&SCALAR)[8..33]), "the public key was heard");
    assert!(!holds(&SCALAR[..6]) && !holds(&IO_KEY[..6]));
}

#[test]
fn a_scalar_may_come_without_its_leading_zeros_or_with_more() {
    let mut scalar = [0x37; 32];
    scalar[..3].fill(0);
    for value in [scalar.to_vec(), scalar[3..].to_vec(), [&[0][..], &scalar].concat()] {
        let (module, bus, session) = with_io_key();
        module.create_object(session, &private_key("mine", &value)).unwrap();
        assert_eq!(point_in(&bus, 4), Some(public_point(&scalar)));
    }
}

#[test]
fn the_vendors_vector_gives_the_vendors_public_key() {
    // Fact sheet section 3.13.
    let scalar: [u8; 32] = [
        0x87, 0x8F, 0x0A, 0xB6, 0xA5, 0x26, 0xD7, 0x11, 0x1C, 0x26, 0xE6, 0x17, 0x08, 0x10, 0x79, 0x6E, 0x7B, 0x33,
        0x00, 0x7F, 0x83, 0x2B, 0x8D, 0x64, 0x46, 0x7E, 0xD6, 0xF8, 0x70, 0x53, 0x7A, 0x19,
    ];
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &private_key("vector", &scalar)).unwrap();
    let point = point(&module, session, module.public_of(session, key));
    assert_eq!(point[1..5], [0x8F, 0x8D, 0x18, 0x2B]);
    assert_eq!(point[33..37], [0xE5, 0xC6, 0x4F, 0xCD]);
}

#[test]
fn a_key_in_use_is_not_written_over_and_a_destroyed_ones_place_is_free() {
    let (module, bus, session) = with_io_key();
    // One that was generated there counts, too.
    let (_, born) = generate(&module, session, "import", &[1]).unwrap();
    let before = slot_bytes(&bus, 4);
    assert_eq!(module.create_object(session, &private_key("mine", &SCALAR)), Err(CKR_DEVICE_MEMORY));
    module.assert_logged(&["slot 4 holds \"import\"", "`atecc608 key destroy --slot 4`"]);
    assert_eq!(slot_bytes(&bus, 4), before);
    module.destroy(session, born).unwrap();
    let key = module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
    assert_eq!(module.attribute(session, born, CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID), "it is another key");
    assert_eq!(point_in(&bus, 4), Some(public_point(&SCALAR)));
    module.destroy(session, key).unwrap();
    assert!(module.private_keys(session).is_empty());
    assert_ne!(point_in(&bus, 4), Some(public_point(&SCALAR)));
    // With the state lost, only the chip reports that the slot is in use.
    module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
    module.finalize().unwrap();
    fs::remove_file(module.state_file()).unwrap();
    let session = module.start();
    assert_eq!(module.create_object(session, &private_key("other", &[0x22; 32])), Err(CKR_DEVICE_MEMORY));
    assert_eq!(point_in(&bus, 4), Some(public_point(&SCALAR)));
}

#[test]
fn what_is_no_p256_key_for_the_chip_is_refused_and_changes_nothing() {
    let (module, bus, session) = with_io_key();
    generate(&module, session, "taken", &[1]).unwrap();
    let good = private_key("mine", &SCALAR);
    let order = [
        0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC, 0xE6, 0xFA, 0xAD,
        0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
    ];
    let other_point = (CKA_EC_POINT, wrapped(&public_point(&[0x22; 32])));
    for (template, expected) in [
        (with(&good, &[(CKA_VALUE, vec![])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&good, &[(CKA_VALUE, vec![0; 32])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&good, &[(CKA_VALUE, order.to_vec())]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&good, &[(CKA_VALUE, vec![1; 33])]), CKR_ATTRIBUTE_VALUE_INVALID),
        (without(&good, CKA_VALUE), CKR_TEMPLATE_INCOMPLETE),
        (without(&good, CKA_KEY_TYPE), CKR_TEMPLATE_INCOMPLETE),
        (without(&good, CKA_EC_PARAMS), CKR_TEMPLATE_INCOMPLETE),
        (with(&good, &[(CKA_EC_PARAMS, P384.to_vec())]), CKR_CURVE_NOT_SUPPORTED),
        (with(&good, &[(CKA_EC_PARAMS, P384[..6].to_vec())]), CKR_DOMAIN_PARAMS_INVALID),
        (with(&good, &[(CKA_KEY_TYPE, ulong(CKK_RSA))]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&good, &[other_point]), CKR_TEMPLATE_INCONSISTENT),
        (with(&good, &[(CKA_ALWAYS_AUTHENTICATE, boolean(true))]), CKR_TEMPLATE_INCONSISTENT),
        (with(&good, &[(CKA_MODULUS, vec![1])]), CKR_ATTRIBUTE_TYPE_INVALID),
        (with(&good, &[(CKA_LABEL, b"taken".to_vec())]), CKR_ATTRIBUTE_VALUE_INVALID),
        (with(&good, &[(CKA_ATECC608_SLOT, ulong(0))]), CKR_TEMPLATE_INCONSISTENT),
        (with(&good, &[(CKA_ATECC608_SLOT, ulong(16))]), CKR_ATTRIBUTE_VALUE_INVALID),
    ] {
        assert_eq!(module.create_object(session, &template), Err(expected), "{template:?}");
    }
    // For an RSA key the type is checked first, and the log has the reason.
    for class in [CKO_PRIVATE_KEY, CKO_PUBLIC_KEY] {
        let rsa = [
            (CKA_CLASS, ulong(class)),
            (CKA_MODULUS, vec![0xC1; 256]),
            (CKA_PUBLIC_EXPONENT, vec![1, 0, 1]),
            (CKA_KEY_TYPE, ulong(CKK_RSA)),
            (CKA_TOKEN, boolean(class == CKO_PRIVATE_KEY)),
        ];
        assert_eq!(module.create_object(session, &rsa), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    assert!(module.assert_logged(&["C_CreateObject", "CKK_RSA", "only P-256"]) >= 2);
    let read_only = module.open_session(0, false).unwrap();
    assert_eq!(module.create_object(read_only, &good), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(point_in(&bus, 4), None);
    let right = (CKA_EC_POINT, wrapped(&public_point(&SCALAR)));
    module.create_object(session, &with(&good, &[right, (CKA_ATECC608_SLOT, ulong(4))])).unwrap();
}

#[test]
fn without_the_write_key_on_the_host_nothing_is_written() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    assert_eq!(module.create_object(session, &private_key("mine", &SCALAR)), Err(CKR_TEMPLATE_INCONSISTENT));
    module.assert_logged(&["slot 4", "IO protection key", "is missing"]);
    assert_eq!(point_in(&bus, 4), None);
}

#[test]
fn with_another_chips_write_key_the_chip_refuses_and_the_slot_stays_free() {
    let (module, bus, session) = with_io_key();
    let keys = module.configuration().parent().unwrap().join("keys");
    let file = fs::read_dir(keys).unwrap().next().unwrap().unwrap().path();
    let right = fs::read(&file).unwrap();
    fs::write(&file, [0x33; 32]).unwrap();
    assert_eq!(module.create_object(session, &private_key("mine", &SCALAR)), Err(CKR_DEVICE_ERROR));
    module.assert_logged(&["slot 4", "refused the write", "IO protection key"]);
    assert_eq!(point_in(&bus, 4), None);
    assert!(module.private_keys(session).is_empty());
    fs::write(&file, right).unwrap();
    module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
}

#[test]
fn replies_lost_at_any_moment_leave_the_key_or_nothing() {
    let commands = {
        let (module, bus, session) = with_io_key();
        bus.take_stats();
        module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
        bus.take_stats().total_commands()
    };
    for fault in ["drop", "garble"] {
        for at in 1..=commands {
            let (module, bus, session) = with_io_key();
            let spec = if fault == "drop" { format!("drop@{at}") } else { format!("garble@{at}:9") };
            bus.set_faults(spec.parse().unwrap());
            let key = module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
            bus.set_faults("none".parse().unwrap());
            let signature = module.sign_with(session, CKM_ECDSA, key, &DIGEST).unwrap();
            assert_signed(&public_point(&SCALAR), &DIGEST, &signature);
        }
    }
}

/// An import while this fault strikes, and then another try: whichever took effect, the key exists under its name and
/// id.
fn imported_at_last(fault: &str, after: fn(&SimBus)) {
    let (module, bus, session) = with_io_key();
    bus.set_faults(fault.parse().unwrap());
    let first = module.create_object(session, &private_key("mine", &SCALAR));
    bus.set_faults("none".parse().unwrap());
    after(&bus);
    let found = module.find_labelled(session, CKO_PRIVATE_KEY, "mine");
    let is_there = point_in(&bus, 4) == Some(public_point(&SCALAR));
    assert_eq!(found.len(), usize::from(is_there), "{fault}: {first:x?}");
    assert!(is_there || first.is_err(), "{fault}");
    let key = match found.first() {
        Some(key) => *key,
        None => module.create_object(session, &private_key("mine", &SCALAR)).unwrap(),
    };
    assert_eq!(module.label(session, key), "mine", "{fault}");
    assert_eq!(module.attribute(session, key, CKA_ID), Ok(b"mine".to_vec()), "{fault}");
    assert_eq!(module.attribute(session, key, CKA_LOCAL), Ok(boolean(false)), "{fault}");
    assert_signed(&public_point(&SCALAR), &DIGEST, &module.sign_with(session, CKM_ECDSA, key, &DIGEST).unwrap());
}

#[test]
fn a_chip_pulled_or_without_power_at_any_moment_of_an_import_has_the_key_with_its_names_or_takes_it_again() {
    let transfers = {
        let (module, bus, session) = with_io_key();
        bus.take_stats();
        module.create_object(session, &private_key("mine", &SCALAR)).unwrap();
        bus.take_stats().transfers
    };
    for transfer in 1..=transfers {
        imported_at_last(&format!("pull@{transfer}"), SimBus::insert);
    }
    for bytes in [0, 4, 35, 36] {
        imported_at_last(&format!("power@{bytes}"), SimBus::power_on);
    }
}

#[test]
fn a_key_without_names_gets_the_slots_name_and_the_points_digest() {
    let (module, _bus, session) = with_io_key();
    let nameless = without(&without(&private_key("", &SCALAR), CKA_LABEL), CKA_ID);
    let key = module.create_object(session, &nameless).unwrap();
    assert_eq!(module.label(session, key), "import");
    use sha1::Digest;
    let id = sha1::Sha1::digest(public_point(&SCALAR)).to_vec();
    assert_eq!(module.attribute(session, key, CKA_ID), Ok(id));
    let certificate = templates::certificate("x", &public_point(&SCALAR));
    let certificate = crate::common::keys::create_certificate(&module, session, &certificate, &[]).unwrap();
    assert_eq!(module.label(session, certificate), "import");
}
