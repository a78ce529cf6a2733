// SPDX-License-Identifier: MIT OR Apache-2.0
//! This module through the `cryptoki` crate, as Rust programs (among them Parsec) use a token.

use std::thread;

use crate::common::keys::assert_signed;
use crate::common::module::Module;
use crate::common::templates::{self, P256};
use crate::common::{chip, module_path};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use sha2::{Digest, Sha256};

const MESSAGE: &[u8] = b"a message";

/// The crate's context and the token, with the configuration that they were made from.
fn start() -> (Module, Pkcs11, Slot) {
    let module = Module::with_chip(&chip::provisioned());
    let context = Pkcs11::new(module_path()).unwrap();
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    (module, context, slot)
}

fn generate(session: &Session, label: &str) -> (ObjectHandle, ObjectHandle) {
    let name = || [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(label.into())];
    let public = [&name()[..], &[Attribute::EcParams(P256.to_vec()), Attribute::Verify(true)]].concat();
    let private = [&name()[..], &[Attribute::Sign(true), Attribute::Derive(true)]].concat();
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap()
}

fn point(session: &Session, public: ObjectHandle) -> Vec<u8> {
    let attributes = session.get_attributes(public, &[AttributeType::EcPoint]).unwrap();
    let [Attribute::EcPoint(wrapped)] = &attributes[..] else { panic!("{attributes:?}") };
    templates::unwrapped(wrapped)
}

fn secret(session: &Session, key_type: KeyType, value: &[u8], uses: &[Attribute]) -> ObjectHandle {
    let own = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(key_type),
        Attribute::Value(value.to_vec()),
        Attribute::Token(false),
    ];
    session.create_object(&[&own[..], uses].concat()).unwrap()
}

#[test]
fn keys_are_generated_found_used_and_destroyed() {
    let (_module, context, slot) = start();
    assert!(context.get_mechanism_list(slot).unwrap().contains(&MechanismType::ECDSA));
    assert!(context.get_mechanism_info(slot, MechanismType::ECDSA).unwrap().hardware());
    let session = context.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::new("1234".into()))).unwrap();
    let (public, private) = generate(&session, "a");
    let found = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label("a".into())]);
    assert_eq!(found.unwrap(), [private]);
    let (point, digest) = (point(&session, public), Sha256::digest(MESSAGE));
    let signature = session.sign(&Mechanism::Ecdsa, private, &digest).unwrap();
    assert_signed(&point, &digest, &signature);
    session.verify(&Mechanism::Ecdsa, public, &digest, &signature).unwrap();
    let wrong = session.verify(&Mechanism::Ecdsa, public, &[7; 32], &signature);
    assert!(matches!(wrong, Err(Error::Pkcs11(RvError::SignatureInvalid, _))), "{wrong:?}");
    session.sign_init(&Mechanism::EcdsaSha256, private).unwrap();
    MESSAGE.chunks(4).for_each(|part| session.sign_update(part).unwrap());
    assert_signed(&point, &digest, &session.sign_final().unwrap());
    session.destroy_object(private).unwrap();
    assert_eq!(session.find_objects(&[Attribute::Label("a".into())]).unwrap(), []);
    session.logout().unwrap();
}

#[test]
fn secrets_are_agreed_and_texts_are_sealed() {
    let (_module, context, slot) = start();
    let session = context.open_rw_session(slot).unwrap();
    let (public, private) = generate(&session, "a");
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let their_point = theirs.public_key().to_encoded_point(false);
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
        Attribute::ValueLen(32.into()),
    ];
    let agreement = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), their_point.as_bytes()));
    let derived = session.derive_key(&agreement, private, &template).unwrap();
    let ours = p256::PublicKey::from_sec1_bytes(&point(&session, public)).unwrap();
    let expected = p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), ours.as_affine());
    let value = session.get_attributes(derived, &[AttributeType::Value]).unwrap();
    assert_eq!(value, [Attribute::Value(expected.raw_secret_bytes().to_vec())]);

    let aes = secret(&session, KeyType::AES, &[5; 16], &[Attribute::Encrypt(true), Attribute::Decrypt(true)]);
    let sealed = |session: &Session| {
        let mut iv = [9; 12];
        let gcm = Mechanism::AesGcm(GcmParams::new(&mut iv, b"header", 128.into()).unwrap());
        let sealed = session.encrypt(&gcm, aes, MESSAGE).unwrap();
        assert_eq!(session.decrypt(&gcm, aes, &sealed).unwrap(), MESSAGE);
        sealed
    };
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    let gcm = aes_gcm::Aes128Gcm::new(&[5; 16].into());
    let expected = gcm.encrypt(&[9; 12].into(), Payload { msg: MESSAGE, aad: b"header" }).unwrap();
    assert_eq!(sealed(&session), expected);
    assert_eq!(session.digest(&Mechanism::Sha256, MESSAGE).unwrap(), *Sha256::digest(MESSAGE));
    assert_ne!(session.generate_random_vec(32).unwrap(), session.generate_random_vec(32).unwrap());
}

#[test]
fn threads_share_a_context() {
    let (_module, context, slot) = start();
    let session = context.open_rw_session(slot).unwrap();
    let (public, private) = generate(&session, "a");
    let point = point(&session, public);
    thread::scope(|scope| {
        for number in 0..4 {
            let (context, point) = (&context, &point);
            scope.spawn(move || {
                let session = context.open_ro_session(slot).unwrap();
                let signature = session.sign(&Mechanism::Ecdsa, private, &[number; 32]).unwrap();
                assert_signed(point, &[number; 32], &signature);
            });
        }
    });
}
