// SPDX-License-Identifier: MIT OR Apache-2.0
//! Use of keys after a login with the profile `tls-pin`: signatures, shared secrets, AES, imports; with each possible
//! behaviour of silicon that has not been verified yet.

use std::fs;

use crate::common::keys::{point, Session};
use crate::common::module::{boolean, ulong, Module};
use crate::common::one_key::{assert_signed, change_image, generate, point_in, sign};
use crate::common::pin::{self, OTHER_PIN, PIN};
use crate::common::secrets::{given, whole, Kind, IO_KEY};
use crate::common::tap::listen;
use crate::common::{chip, templates};
use aes::cipher::{BlockEncrypt, KeyInit};
use atecc608_sim::image::Part;
use atecc608_sim::{SimBus, Switches};
use atecc608_token::state::{SecretKind, StoredSecret};
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;

const ECB: Kind<'static> = Kind::Plain(CKM_AES_ECB);
const AES_KEY: &[u8; 16] = b"an aes key of 16";

/// Each behaviour of the chip: all strict, all lenient, each switch alone.
fn behaviours() -> Vec<Switches> {
    let strict = Switches::default();
    let mut all = vec![strict.clone()];
    for change in [
        (|switches| switches.authorisation_survives_nonce = true) as fn(&mut Switches),
        |switches| switches.authorisation_survives_buffer_nonce = false,
        |switches| switches.authorisation_survives_idle = !switches.authorisation_survives_idle,
        |switches| switches.req_auth_gates_gen_key = false,
        |switches| switches.req_auth_gates_write = false,
        |switches| switches.failed_check_mac_clears_authorisation = false,
        |switches| switches.derive_key_rolls_no_mac = true,
        |switches| {
            switches.authorisation_survives_nonce = true;
            switches.req_auth_gates_gen_key = false;
            switches.req_auth_gates_write = false;
        },
    ] {
        let mut switches = strict.clone();
        change(&mut switches);
        all.push(switches);
    }
    all
}

fn secret_template() -> templates::Template {
    vec![
        (CKA_CLASS, ulong(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)),
        (CKA_SENSITIVE, boolean(false)),
        (CKA_EXTRACTABLE, boolean(true)),
    ]
}

/// The other side of a key agreement.
fn peer() -> p256::SecretKey {
    p256::SecretKey::from_slice(&[0x42; 32]).unwrap()
}

fn shared_with(point: &[u8]) -> Vec<u8> {
    let ours = p256::PublicKey::from_sec1_bytes(point).unwrap();
    p256::ecdh::diffie_hellman(peer().to_nonzero_scalar(), ours.as_affine()).raw_secret_bytes().to_vec()
}

fn derive(module: &Module, session: Session, key: CK_OBJECT_HANDLE) -> Result<Vec<u8>, CK_RV> {
    let point = peer().public_key().to_encoded_point(false);
    let derived = module.derive(session, key, CKD_NULL, &[], point.as_bytes(), &secret_template())?;
    module.attribute(session, derived, CKA_VALUE)
}

/// An AES key in slot 9, as it was written before the data lock.
fn put_aes_key(module: &Module, bus: &SimBus) {
    change_image(bus, |image| image.part_mut(Part::Slot(chip::slot(9)))[..16].copy_from_slice(AES_KEY));
    let mut zeros = aes::Block::default();
    aes::Aes128::new(AES_KEY.into()).encrypt_block(&mut zeros);
    let secret = StoredSecret {
        unique_id: "an-aes-key".to_owned(),
        slot: 9,
        block: 0,
        kind: SecretKind::Aes,
        len: 16,
        label: "aes".to_owned(),
        id: vec![],
        check: zeros[..3].try_into().unwrap(),
        kept: Default::default(),
        generated: false,
        pending: None,
    };
    pin::store(module, bus).change(|state| state.secrets.push(secret)).unwrap();
}

#[test]
fn everything_works_with_every_unverified_behaviour_of_silicon() {
    for switches in behaviours() {
        let (module, bus) = pin::token();
        put_aes_key(&module, &bus);
        bus.set_switches(0, switches.clone()).unwrap();
        let session = module.start();
        module.login(session, CKU_USER, PIN).unwrap();
        let key = generate(&module, session, "a").unwrap();
        let point = point_in(&bus, 0).unwrap();
        assert_signed(&point, &sign(&module, session, key).unwrap());
        assert_eq!(derive(&module, session, key), Ok(shared_with(&point)), "{switches:?}");
        let aes = module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_LABEL, b"aes".to_vec())]).unwrap();
        // More than one conversation can encrypt.
        let plain = [0x33; 16 * 40];
        let block = |bytes: &[u8]| aes::Block::from(<[u8; 16]>::try_from(bytes).unwrap());
        let mut expected: Vec<aes::Block> = plain.chunks(16).map(block).collect();
        expected.iter_mut().for_each(|block| aes::Aes128::new(AES_KEY.into()).encrypt_block(block));
        assert_eq!(whole(&module, session, true, &ECB, aes[0], &plain), Ok(expected.concat()), "{switches:?}");
        module.destroy(session, key).unwrap();
        assert_ne!(point_in(&bus, 0).unwrap(), point);
        let again = generate(&module, session, "a").unwrap();
        assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, again).unwrap());
        // Destroyed and not: the next process sees the same.
        module.destroy(session, again).unwrap();
        generate(&module, session, "key-2").unwrap();
        let session = module.restart();
        assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_PUBLIC_KEY))]).unwrap().len(), 1);
        module.login(session, CKU_USER, PIN).unwrap();
        assert_eq!(module.private_keys(session).len(), 1, "{switches:?}");
        let changed = if switches.derive_key_rolls_no_mac { Ok(()) } else { Err(CKR_FUNCTION_FAILED) };
        assert_eq!(pin::set_pin(&module, session, PIN, OTHER_PIN), changed);
        assert!(sign(&module, session, module.private_keys(session)[0]).is_ok());
    }
}

#[test]
fn encrypted_writes_to_slots_that_require_a_login_need_an_authorisation_that_survives_a_nonce() {
    for survives in [false, true] {
        let (module, bus) = pin::token();
        let switches = Switches { authorisation_survives_nonce: survives, ..Switches::default() };
        bus.set_switches(0, switches).unwrap();
        let session = module.start();
        module.login(session, CKU_USER, PIN).unwrap();
        let secret = module.create_object(session, &given(true, CKK_AES, AES_KEY));
        let private = module.create_object(session, &templates::private_key("mine", &[0x21; 32]));
        if survives {
            let aes_slot = bus.image(0).unwrap().part(Part::Slot(chip::slot(9)))[..16].to_vec();
            assert_eq!(aes_slot, AES_KEY);
            whole(&module, session, true, &ECB, secret.unwrap(), &[0; 16]).unwrap();
            assert_signed(&point_in(&bus, 4).unwrap(), &sign(&module, session, private.unwrap()).unwrap());
        } else {
            let refused = Err(CKR_TEMPLATE_INCONSISTENT);
            assert_eq!((secret.map(drop), private.map(drop)), (refused, refused));
            module.assert_logged(&["slot 9", "authorisation", "generate"]);
            module.assert_logged(&["slot 4", "authorisation"]);
            assert!(point_in(&bus, 4).is_none());
        }
    }
}

#[test]
fn nothing_is_made_in_the_token_without_a_login() {
    let (module, _bus) = pin::token();
    let session = module.start();
    for template in [given(true, CKK_AES, AES_KEY), templates::private_key("mine", &[0x21; 32])] {
        assert_eq!(module.create_object(session, &template), Err(CKR_USER_NOT_LOGGED_IN));
    }
    let mut private = given(false, CKK_AES, AES_KEY);
    private.push((CKA_PRIVATE, boolean(true)));
    assert_eq!(module.create_object(session, &private), Err(CKR_USER_NOT_LOGGED_IN));
    module.create_object(session, &given(false, CKK_AES, AES_KEY)).unwrap();
    module.login(session, CKU_USER, PIN).unwrap();
    module.create_object(session, &private).unwrap();
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]).unwrap().len(), 2);
    pin::logout(&module, session).unwrap();
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]).unwrap().len(), 1);
}

#[test]
fn without_the_io_protection_key_on_the_host_keys_sign_and_do_not_derive() {
    let (module, bus, session, _) = pin::with_key();
    let keys = module.configuration().parent().unwrap().join("keys");
    let file = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    fs::rename(&file, keys.join("elsewhere")).unwrap();
    assert_eq!(module.finalize(), Ok(()));
    let _ = session;
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    let key = module.private_keys(session)[0];
    assert_eq!(module.attribute(session, key, CKA_DERIVE), Ok(boolean(false)));
    assert_eq!(derive(&module, session, key), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
    // A file with other contents.
    fs::write(&file, [0x11; 32]).unwrap();
    let session = module.restart();
    module.login(session, CKU_USER, PIN).unwrap();
    assert_eq!(derive(&module, session, module.private_keys(session)[0]), Err(CKR_FUNCTION_FAILED));
    module.assert_logged(&["encrypted with its IO protection key"]);
}

#[test]
fn neither_pin_nor_secrets_nor_shared_secrets_cross_the_bus_in_clear() {
    let module = Module::on_socket();
    let far = module.folder.path().join("far");
    let bus = chip::serve(pin::image(), &far);
    let heard = listen(&module.socket(), far);
    pin::give_pin(&module, &bus);
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    let key = generate(&module, session, "a").unwrap();
    sign(&module, session, key).unwrap();
    let shared = derive(&module, session, key).unwrap();
    assert_eq!(shared, shared_with(&point(&module, session, module.public_of(session, key))));
    bus.set_switches(0, pin::rolling(true)).unwrap();
    pin::set_pin(&module, session, PIN, OTHER_PIN).unwrap();
    pin::logout(&module, session).unwrap();
    module.login(session, CKU_SO, &pin::code()).unwrap();
    let before = pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION);
    pin::init_pin(&module, session, PIN).unwrap();
    let image = bus.image(0).unwrap();
    let heard = heard.lock().unwrap();
    let holds = |needle: &[u8]| heard.windows(needle.len()).any(|bytes| bytes == needle);
    assert!(holds(&point_in(&bus, 0).unwrap()[8..33]), "the public key was heard");
    let after = pin::secret_in(&image, pin::AUTHORISATION);
    let officer = pin::secret_in(&image, pin::OFFICER);
    assert_ne!(after, before);
    for secret in [&before[..], &after, &officer, &IO_KEY, &shared, PIN, OTHER_PIN, &pin::code()] {
        assert!(!holds(&secret[..8]));
    }
}

#[test]
fn a_bus_that_fails_is_not_taken_for_a_wrong_io_protection_key() {
    let (module, bus, session, key) = pin::with_key();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false);
    // At each transfer of the first ECDH, which lets the chip compare the keys.
    let mut failures = 0;
    for transfer in 1.. {
        bus.set_faults(format!("pull@{transfer}").parse().unwrap());
        let derived = module.derive(session, key, CKD_NULL, &[], theirs.as_bytes(), &[]);
        bus.set_faults("none".parse().unwrap());
        bus.insert();
        match derived {
            Ok(_) => break,
            Err(rv) => assert_eq!(rv, CKR_DEVICE_REMOVED, "transfer {transfer}"),
        }
        failures = transfer;
    }
    assert!(failures > 10, "{failures}");
}
