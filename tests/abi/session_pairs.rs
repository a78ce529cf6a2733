// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key pairs of a session (CKA_TOKEN=false), and private keys that are imported into one, through the C ABI: they sign,
//! verify and derive as the p256 crate does, live as long as their session, and never pass for the chip's.

use crate::common::chip;
use crate::common::keys::CKA_ATECC608_SLOT;
use crate::common::keys::{
    assert_signed, copy_object, error, generate, point, provisioned, with, without, Handle, Session,
};
use crate::common::module::{boolean, c, ulong, Attributes, Module};
use crate::common::pin::{self, PIN};
use crate::common::process::{self, Helper};
use crate::common::templates::{self, private_key, Template, P256, P384};
use atecc608_token::attribute::CKA_ATECC608_IN_CHIP;
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use sha2::{Digest, Sha256};

const SCALAR: [u8; 32] = [0x21; 32];

fn public() -> Template {
    vec![(CKA_TOKEN, boolean(false)), (CKA_VERIFY, boolean(true)), (CKA_EC_PARAMS, P256.to_vec())]
}

fn private() -> Template {
    vec![(CKA_TOKEN, boolean(false)), (CKA_SIGN, boolean(true)), (CKA_DERIVE, boolean(true))]
}

fn pair(module: &Module, session: Session, more: Attributes) -> Result<(Handle, Handle), CK_RV> {
    module.generate_key_pair(session, &public(), &with(&private(), more))
}

#[test]
fn a_session_pair_signs_and_verifies_and_nothing_is_in_the_chip_or_the_state() {
    let (module, session) = provisioned();
    let (public, private) = pair(&module, session, &[]).unwrap();
    let point = point(&module, session, public);
    assert_eq!(module.attribute(session, private, CKA_EC_POINT), module.attribute(session, public, CKA_EC_POINT));
    for (mechanism, data) in [(CKM_ECDSA, vec![7; 32]), (CKM_ECDSA_SHA256, b"a message".to_vec())] {
        let signature = module.sign_with(session, mechanism, private, &data).unwrap();
        let digest = if mechanism == CKM_ECDSA { data.clone() } else { Sha256::digest(&data).to_vec() };
        assert_signed(&point, &digest, &signature);
        assert_eq!(module.verify_with(session, mechanism, public, &data, &signature), Ok(()));
    }
    let image = atecc608_sim::Image::load(&module.image()).unwrap();
    assert!([0, 2, 3, 4].iter().all(|slot| chip::point_in(&image, *slot).is_none()));
    assert!(!module.state_dir().read_dir().unwrap().any(|entry| entry.unwrap().path().is_dir()), "nothing was written");
    let (other, _) = pair(&module, session, &[]).unwrap();
    assert_ne!(self::point(&module, session, other), point);
}

#[test]
fn a_session_pair_derives_what_the_other_side_does() {
    let (module, session) = provisioned();
    let (public, private) = pair(&module, session, &[]).unwrap();
    let peer = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let mine = p256::PublicKey::from_sec1_bytes(&point(&module, session, public)).unwrap();
    let shared = p256::ecdh::diffie_hellman(peer.to_nonzero_scalar(), mine.as_affine());
    let theirs = peer.public_key().to_encoded_point(false);
    let template = [(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))];
    let secret = module.derive(session, private, CKD_NULL, &[], theirs.as_bytes(), &template).unwrap();
    assert_eq!(module.attribute(session, secret, CKA_VALUE), Ok(shared.raw_secret_bytes().to_vec()));
}

#[test]
fn it_says_that_it_is_not_in_the_chip_and_keeps_its_value() {
    let (module, session) = provisioned();
    let (public, private) = pair(&module, session, &[(CKA_LABEL, b"ephemeral".to_vec())]).unwrap();
    for (attribute, value) in [
        (CKA_TOKEN, boolean(false)),
        (CKA_PRIVATE, boolean(true)),
        (CKA_LOCAL, boolean(true)),
        (CKA_KEY_GEN_MECHANISM, ulong(CKM_EC_KEY_PAIR_GEN)),
        (CKA_SENSITIVE, boolean(true)),
        (CKA_ALWAYS_SENSITIVE, boolean(true)),
        (CKA_EXTRACTABLE, boolean(false)),
        (CKA_NEVER_EXTRACTABLE, boolean(true)),
        (CKA_ATECC608_IN_CHIP, boolean(false)),
        (CKA_LABEL, b"ephemeral".to_vec()),
    ] {
        assert_eq!(module.attribute(session, private, attribute), Ok(value), "{attribute:#x}");
    }
    assert_eq!(module.attribute(session, private, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(module.attribute(session, private, CKA_ATECC608_SLOT), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(module.attribute(session, public, CKA_LOCAL), Ok(boolean(true)));
    assert_eq!(module.attribute(session, public, CKA_ATECC608_IN_CHIP), Ok(boolean(false)));
    let (_, in_chip) = generate(&module, session, "a", &[1]).unwrap();
    assert_eq!(
        module.find(session, &[(CKA_ATECC608_IN_CHIP, boolean(true)), (CKA_CLASS, ulong(CKO_PRIVATE_KEY))]),
        Ok(vec![in_chip])
    );
    // A template may request a readable value, as for a session secret key.
    let open = [(CKA_SENSITIVE, boolean(false)), (CKA_EXTRACTABLE, boolean(true))];
    let (public, private) = pair(&module, session, &open).unwrap();
    let value = module.attribute(session, private, CKA_VALUE).unwrap();
    let own = p256::SecretKey::from_slice(&value).unwrap().public_key().to_encoded_point(false);
    assert_eq!(point(&module, session, public), own.as_bytes());
    assert_eq!(module.attribute(session, private, CKA_NEVER_EXTRACTABLE), Ok(boolean(false)));
}

#[test]
fn it_never_becomes_a_key_of_the_token() {
    let (module, session) = provisioned();
    let (_, key) = pair(&module, session, &[]).unwrap();
    assert_eq!(copy_object(&module, session, key, &[(CKA_TOKEN, boolean(true))]), Err(CKR_TEMPLATE_INCONSISTENT));
    module.assert_logged(&[
        "in the process's memory",
        "attributes(generate, CKO_PRIVATE_KEY, CKK_EC)",
        "CKA_TOKEN = true",
    ]);
    assert_eq!(module.set_attributes(session, key, &[(CKA_TOKEN, boolean(true))]), Err(CKR_ATTRIBUTE_READ_ONLY));
    let slot = [(CKA_ATECC608_SLOT, ulong(2))];
    assert_eq!(error(pair(&module, session, &slot)), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(
        error(module.generate_key_pair(session, &with(&public(), &slot), &private())),
        Err(CKR_TEMPLATE_INCONSISTENT)
    );
    module.assert_logged(&["CKA_ATECC608_SLOT", "CKA_TOKEN must be true"]);
    let on_token = [(CKA_TOKEN, boolean(true))];
    assert_eq!(error(pair(&module, session, &on_token)), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(
        error(module.generate_key_pair(session, &with(&public(), &on_token), &private())),
        Err(CKR_TEMPLATE_INCONSISTENT)
    );
    let left_out = module.generate_key_pair(session, &with(&public(), &on_token), &without(&private(), CKA_TOKEN));
    assert_eq!(error(left_out), Err(CKR_TEMPLATE_INCONSISTENT));
    module.assert_logged(&["CKA_TOKEN differs between the two templates"]);
    let session = module.restart();
    assert_eq!(module.find(session, &[]), Ok(vec![]));
}

#[test]
fn a_private_template_without_token_makes_a_session_pair() {
    let (module, session) = provisioned();
    let templates = (without(&public(), CKA_TOKEN), without(&private(), CKA_TOKEN));
    let (public, private) = module.generate_key_pair(session, &templates.0, &templates.1).unwrap();
    for half in [public, private] {
        assert_eq!(module.attribute(session, half, CKA_TOKEN), Ok(boolean(false)));
    }
}

/// A warning that is logged once per process needs its own process.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let module = Module::of_parent();
    let session = module.start();
    let may_leave_out = |template| if role == "given" { template } else { without(&template, CKA_TOKEN) };
    for _ in 0..2 {
        if role == "brought" {
            module.create_object(session, &may_leave_out(brought())).unwrap();
        } else {
            module.generate_key_pair(session, &without(&public(), CKA_TOKEN), &may_leave_out(private())).unwrap();
        }
    }
    module.restart();
}

#[test]
fn a_process_that_leaves_out_token_is_warned_once() {
    let warnings = |role, warning| {
        let module = Module::with_chip(&chip::provisioned());
        assert!(Helper::start(module_path!(), &module, role).finish().is_empty());
        let log = module.log();
        log.lines().filter(|line| line.contains("warn: ") && line.contains(warning)).count()
    };
    let of_pair = "a private template without CKA_TOKEN generates a session key pair";
    assert_eq!((warnings("left out", of_pair), warnings("given", of_pair)), (1, 0));
    assert_eq!(warnings("brought", "a private key without CKA_TOKEN is a session key"), 1);
}

/// A private key that a caller imports, as pkcs11-provider sends it.
fn brought() -> Template {
    with(&private_key("brought", &SCALAR), &[(CKA_TOKEN, boolean(false)), (CKA_DERIVE, boolean(true))])
}

#[test]
fn a_private_key_that_is_brought_signs_and_derives_as_that_key_and_says_where_it_is() {
    let (module, session) = provisioned();
    let reader = module.open_session(0, false).unwrap();
    let key = module.create_object(reader, &brought()).unwrap();
    let own = p256::SecretKey::from_slice(&SCALAR).unwrap();
    let own_point = own.public_key().to_encoded_point(false);
    let signature = module.sign_with(session, CKM_ECDSA, key, &[7; 32]).unwrap();
    assert_signed(own_point.as_bytes(), &[7; 32], &signature);
    let peer = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key();
    let shared = p256::ecdh::diffie_hellman(own.to_nonzero_scalar(), peer.as_affine());
    let template = [(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))];
    let theirs = peer.to_encoded_point(false);
    let secret = module.derive(session, key, CKD_NULL, &[], theirs.as_bytes(), &template).unwrap();
    assert_eq!(module.attribute(session, secret, CKA_VALUE), Ok(shared.raw_secret_bytes().to_vec()));
    for (attribute, value) in [
        (CKA_TOKEN, boolean(false)),
        (CKA_LOCAL, boolean(false)),
        (CKA_KEY_GEN_MECHANISM, ulong(CK_UNAVAILABLE_INFORMATION)),
        (CKA_SENSITIVE, boolean(true)),
        (CKA_ALWAYS_SENSITIVE, boolean(false)),
        (CKA_EXTRACTABLE, boolean(false)),
        (CKA_NEVER_EXTRACTABLE, boolean(false)),
        (CKA_ATECC608_IN_CHIP, boolean(false)),
        (CKA_LABEL, b"brought".to_vec()),
    ] {
        assert_eq!(module.attribute(session, key, attribute), Ok(value), "{attribute:#x}");
    }
    assert_eq!(module.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    let image = atecc608_sim::Image::load(&module.image()).unwrap();
    assert!([0, 2, 3, 4].iter().all(|slot| chip::point_in(&image, *slot).is_none()));
    assert!(!module.state_dir().read_dir().unwrap().any(|entry| entry.unwrap().path().is_dir()), "nothing was written");
    c!(module, C_CloseSession(reader)).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, key), Err(CKR_KEY_HANDLE_INVALID));
}

#[test]
fn a_private_key_that_is_brought_never_passes_for_one_of_the_chip() {
    let (module, session) = provisioned();
    let key = module.create_object(session, &brought()).unwrap();
    assert_eq!(copy_object(&module, session, key, &[(CKA_TOKEN, boolean(true))]), Err(CKR_TEMPLATE_INCONSISTENT));
    let copy = copy_object(&module, session, key, &[]).unwrap();
    assert_eq!(module.attribute(session, copy, CKA_LOCAL), Ok(boolean(false)));
    let refused = |more: Attributes| module.create_object(session, &with(&brought(), more));
    assert_eq!(refused(&[(CKA_ATECC608_SLOT, ulong(4))]), Err(CKR_TEMPLATE_INCONSISTENT));
    generate(&module, session, "device key", &[1]).unwrap();
    for name in [(CKA_LABEL, b"device key".to_vec()), (CKA_ID, vec![1])] {
        assert_eq!(refused(&[name]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    for (attribute, value, expected) in [
        (CKA_VALUE, vec![0; 32], CKR_ATTRIBUTE_VALUE_INVALID),
        (CKA_EC_PARAMS, P384.to_vec(), CKR_CURVE_NOT_SUPPORTED),
        (CKA_ALWAYS_AUTHENTICATE, boolean(true), CKR_TEMPLATE_INCONSISTENT),
        (
            CKA_EC_POINT,
            p256::AffinePoint::GENERATOR.to_encoded_point(false).as_bytes().to_vec(),
            CKR_TEMPLATE_INCONSISTENT,
        ),
    ] {
        assert_eq!(refused(&[(attribute, value)]), Err(expected), "{attribute:#x}");
    }
}

#[test]
fn a_copy_in_the_session_is_the_same_key_with_less_use() {
    let (module, session) = provisioned();
    let (public, private) = pair(&module, session, &[]).unwrap();
    let changes = [(CKA_TOKEN, boolean(false)), (CKA_LABEL, b"copy".to_vec()), (CKA_SIGN, boolean(false))];
    let copy = copy_object(&module, session, private, &changes).unwrap();
    assert_eq!(module.attribute(session, copy, CKA_EC_POINT), module.attribute(session, public, CKA_EC_POINT));
    assert_eq!(module.attribute(session, copy, CKA_LOCAL), Ok(boolean(true)));
    assert_eq!(module.sign_init(session, CKM_ECDSA, copy), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(copy_object(&module, session, copy, &[(CKA_SIGN, boolean(true))]), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(copy_object(&module, session, copy, &[(CKA_SENSITIVE, boolean(false))]), Err(CKR_ATTRIBUTE_READ_ONLY));
    module.destroy(session, private).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, private), Err(CKR_KEY_HANDLE_INVALID));
    let (_, fixed) = pair(&module, session, &[(CKA_COPYABLE, boolean(false))]).unwrap();
    assert_eq!(copy_object(&module, session, fixed, &[]), Err(CKR_ACTION_PROHIBITED));
}

#[test]
fn what_its_template_forbids_it_does_not_do() {
    let (module, session) = provisioned();
    let (_, private) = pair(&module, session, &[(CKA_SIGN, boolean(false)), (CKA_DERIVE, boolean(false))]).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, private), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    let template = [(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))];
    let generator = p256::AffinePoint::GENERATOR.to_encoded_point(false);
    let derived = module.derive(session, private, CKD_NULL, &[], generator.as_bytes(), &template);
    assert_eq!(error(derived), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    let (_, private) = pair(&module, session, &[(CKA_ALLOWED_MECHANISMS, ulong(CKM_ECDSA_SHA256))]).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, private), Err(CKR_MECHANISM_INVALID));
    assert_eq!(
        error(pair(&module, session, &[(CKA_ALWAYS_AUTHENTICATE, boolean(true))])),
        Err(CKR_TEMPLATE_INCONSISTENT)
    );
    assert_eq!(module.sign_init(session, CKM_SHA256_HMAC, private), Err(CKR_KEY_TYPE_INCONSISTENT));
}

#[test]
fn it_ends_with_its_session_and_a_read_only_session_can_have_one() {
    let (module, session) = provisioned();
    let reader = module.open_session(0, false).unwrap();
    let (public, private) = pair(&module, reader, &[]).unwrap();
    assert!(module.sign_with(session, CKM_ECDSA, private, &[1; 32]).is_ok());
    c!(module, C_CloseSession(reader)).unwrap();
    for half in [public, private] {
        assert_eq!(module.attribute(session, half, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
    }
    assert_eq!(module.find(session, &[]), Ok(vec![]));
}

#[test]
fn a_signature_in_progress_fails_if_its_key_is_destroyed() {
    let (module, session) = provisioned();
    let (_, private) = pair(&module, session, &[]).unwrap();
    module.sign_init(session, CKM_ECDSA, private).unwrap();
    module.destroy(session, private).unwrap();
    let (mut signature, mut len, mut digest) = ([0; 64], 64, [1; 32]);
    let signed = c!(module, C_Sign(session, digest.as_mut_ptr(), 32, signature.as_mut_ptr(), &mut len));
    assert_eq!((signed, signature), (Err(CKR_KEY_HANDLE_INVALID), [0; 64]));
}

#[test]
fn it_gets_no_name_of_a_pair_in_the_chip() {
    let (module, session) = provisioned();
    generate(&module, session, "device key", &[1]).unwrap();
    let (label, id) = ([(CKA_LABEL, b"device key".to_vec())], [(CKA_ID, vec![1])]);
    let (_, private) = pair(&module, session, &[(CKA_ID, vec![2])]).unwrap();
    for name in [&label, &id] {
        assert_eq!(error(pair(&module, session, name)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
        assert_eq!(module.set_attributes(session, private, name), Err(CKR_ATTRIBUTE_VALUE_INVALID));
        assert_eq!(copy_object(&module, session, private, name), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    assert_eq!(module.set_attributes(session, private, &[(CKA_ID, vec![3])]), Ok(()));
    assert_eq!(module.find(session, &[(CKA_ID, vec![3])]), Ok(vec![private]));
}

#[test]
fn with_a_pin_it_is_private_and_ends_with_the_login() {
    let (module, _bus, session, _) = pin::with_key();
    pin::logout(&module, session).unwrap();
    assert_eq!(error(pair(&module, session, &[])), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(module.create_object(session, &brought()), Err(CKR_USER_NOT_LOGGED_IN));
    let (_, public_one) = pair(&module, session, &[(CKA_PRIVATE, boolean(false))]).unwrap();
    module.login(session, CKU_USER, PIN).unwrap();
    let (_, private) = pair(&module, session, &[]).unwrap();
    assert!(module.sign_with(session, CKM_ECDSA, private, &[1; 32]).is_ok());
    c!(module, C_Logout(session)).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, private), Err(CKR_KEY_HANDLE_INVALID));
    assert!(module.sign_with(session, CKM_ECDSA, public_one, &[1; 32]).is_ok());
}

#[test]
fn the_configuration_can_refuse_it() {
    let module =
        Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"sim:FOLDER/chip\"\nsession_keys = false\n");
    chip::provisioned().save(&module.image()).unwrap();
    let session = module.start();
    assert_eq!(error(pair(&module, session, &[])), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(module.create_object(session, &brought()), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(module.assert_logged(&["session_keys = false"]), 2);
    let pair = &templates::of_all_clients("a", &[1])[0];
    assert!(module.generate_key_pair(session, &pair.public, &pair.private).is_ok());
}
