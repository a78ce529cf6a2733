// SPDX-License-Identifier: MIT OR Apache-2.0
//! A member of the group writes a public key of his own into the state folder, through the C ABI: no signature of his
//! ever verifies. Public keys are proven by the chip, or by what root has stored.

use atecc608_sim::SimBus;
use atecc608_token::io_key::KeyFile;
use atecc608_token::point::Point;
use atecc608_token::trusted::TrustedKeys;
use cryptoki_sys::*;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};

use crate::common::chip;
use crate::common::keys::{Handle, Session};
use crate::common::module::Module;
use crate::common::one_key::{generate, point_in, sign, with_key, DIGEST};
use crate::common::pin::{self, PIN};

/// The member's own key.
fn foreign_key() -> SigningKey {
    SigningKey::from_slice(&[0x66; 32]).unwrap()
}

fn foreign_signature() -> Vec<u8> {
    let signature: Signature = foreign_key().sign_prehash(&DIGEST).unwrap();
    signature.to_vec()
}

fn foreign_point() -> Vec<u8> {
    foreign_key().verifying_key().to_encoded_point(false).as_bytes().to_vec()
}

/// Puts a public key into the state, as every member of the group can.
fn write_into_state(module: &Module, bus: &SimBus, point: Vec<u8>) {
    pin::store(module, bus).change(|state| state.slot_mut(chip::slot(0)).public_key = Some(point)).unwrap();
}

/// Root's file with this public key of slot 0.
fn trust(module: &Module, bus: &SimBus, point: &[u8]) -> TrustedKeys {
    let serial = bus.image(0).unwrap().config().serial_number().to_string();
    let trusted = TrustedKeys::beside(&KeyFile::at(module.configuration().with_file_name("keys").join(serial)));
    trusted.set(chip::slot(0), Some(Point::from_uncompressed(point).unwrap())).unwrap();
    trusted
}

fn public_key(module: &Module, session: Session) -> Handle {
    module.find(session, &[(CKA_CLASS, CKO_PUBLIC_KEY.to_ne_bytes().to_vec())]).unwrap()[0]
}

fn verify(module: &Module, session: Session, key: Handle, signature: &[u8]) -> Result<(), CK_RV> {
    module.verify_with(session, CKM_ECDSA, key, &DIGEST, signature)
}

fn public_keys_read(bus: &SimBus) -> u64 {
    bus.stats().commands.get("GenKey").copied().unwrap_or(0)
}

#[test]
fn a_public_key_that_only_the_state_has_verifies_nothing_until_the_chip_has_shown_it() {
    let (module, bus, session, key) = with_key();
    let good = sign(&module, session, key).unwrap();
    write_into_state(&module, &bus, foreign_point());
    let session = module.restart();
    assert_eq!(
        verify(&module, session, public_key(&module, session), &foreign_signature()),
        Err(CKR_KEY_HANDLE_INVALID)
    );
    // Found again, it is the chip's.
    let key = public_key(&module, session);
    assert_eq!(verify(&module, session, key, &foreign_signature()), Err(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(&module, session, key, &good), Ok(()));
}

#[test]
fn a_public_key_that_is_changed_in_the_state_of_a_running_process_verifies_nothing() {
    let (module, bus, session, key) = with_key();
    let public = module.public_of(session, key);
    sign(&module, session, key).unwrap();
    write_into_state(&module, &bus, foreign_point());
    let found = public_key(&module, session);
    for key in [public, found] {
        assert!(verify(&module, session, key, &foreign_signature()).is_err());
    }
}

#[test]
fn the_chip_shows_a_public_key_once_in_a_process_and_not_after_a_signature() {
    let (module, bus, session, key) = with_key();
    let good = sign(&module, session, key).unwrap();
    for (signs_first, reads) in [(false, 1), (true, 0)] {
        let session = module.restart();
        if signs_first {
            sign(&module, session, module.private_keys(session)[0]).unwrap();
        }
        let (key, before) = (public_key(&module, session), public_keys_read(&bus));
        for _ in 0..3 {
            assert_eq!(verify(&module, session, key, &good), Ok(()));
        }
        assert_eq!(public_keys_read(&bus) - before, reads);
    }
}

#[test]
fn what_root_has_stored_is_proof_enough_while_it_is_what_the_state_has() {
    let (module, bus, session, key) = with_key();
    let good = sign(&module, session, key).unwrap();
    trust(&module, &bus, &point_in(&bus, 0).unwrap());
    let session = module.restart();
    let (key, before) = (public_key(&module, session), public_keys_read(&bus));
    assert_eq!(verify(&module, session, key, &good), Ok(()));
    assert_eq!(public_keys_read(&bus), before);
    // Another key in the state: the chip decides.
    write_into_state(&module, &bus, foreign_point());
    let session = module.restart();
    let key = public_key(&module, session);
    assert_eq!(verify(&module, session, key, &foreign_signature()), Err(CKR_KEY_HANDLE_INVALID));
    // And another key in the chip than the one that root stored.
    let key = module.private_keys(session)[0];
    module.destroy(session, key).unwrap();
    let key = generate(&module, session, "new").unwrap();
    let good = sign(&module, session, key).unwrap();
    let session = module.restart();
    assert_eq!(verify(&module, session, public_key(&module, session), &good), Ok(()));
}

#[test]
fn with_a_pin_a_public_key_verifies_before_the_login_only_if_root_has_stored_it() {
    let (module, bus, session, key) = pin::with_key();
    let good = sign(&module, session, key).unwrap();
    let session = module.restart();
    let key = public_key(&module, session);
    assert_eq!(verify(&module, session, key, &good), Err(CKR_USER_NOT_LOGGED_IN));
    module.assert_logged(&["slot 0", "the public key in the state folder is not verified", "atecc608 trust"]);
    let trusted = trust(&module, &bus, &point_in(&bus, 0).unwrap());
    assert_eq!(verify(&module, session, key, &good), Ok(()));
    write_into_state(&module, &bus, foreign_point());
    let session = module.restart();
    let key = public_key(&module, session);
    assert_eq!(verify(&module, session, key, &foreign_signature()), Err(CKR_USER_NOT_LOGGED_IN));
    std::fs::remove_file(trusted.path()).unwrap();
    module.login(session, CKU_USER, PIN).unwrap();
    assert_eq!(verify(&module, session, key, &foreign_signature()), Err(CKR_KEY_HANDLE_INVALID));
}

#[test]
fn a_file_of_roots_that_others_may_write_proves_nothing() {
    let (module, bus, session, key) = pin::with_key();
    let good = sign(&module, session, key).unwrap();
    let trusted = trust(&module, &bus, &point_in(&bus, 0).unwrap());
    std::fs::set_permissions(trusted.path(), std::os::unix::fs::PermissionsExt::from_mode(0o660)).unwrap();
    let session = module.restart();
    assert_eq!(verify(&module, session, public_key(&module, session), &good), Err(CKR_USER_NOT_LOGGED_IN));
    module.assert_logged(&["other users can write it"]);
}
