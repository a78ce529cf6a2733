// SPDX-License-Identifier: MIT OR Apache-2.0
//! Public keys as clients treat them, through the C ABI: the halves of pairs that are destroyed and imported one by
//! one, and foreign keys on the token, which must never be taken for a pair's.

use crate::common::chip;
use crate::common::keys::{copy_object, error, generate, point, provisioned, Handle, Session};
use crate::common::module::{boolean, ulong, Attributes, Module};
use crate::common::secrets::with_io_key;
use crate::common::templates::{private_key, wrapped, Template, P256};
use atecc608_token::state::State;
use atecc608_token::store::Store;
use cryptoki_sys::*;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};

/// The key of an authority.
fn authority() -> SigningKey {
    SigningKey::from_slice(&[0x66; 32]).unwrap()
}

fn point_of_authority() -> Vec<u8> {
    authority().verifying_key().to_encoded_point(false).as_bytes().to_vec()
}

fn public_key(point: &[u8], label: &str, id: &[u8]) -> Template {
    vec![
        (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        (CKA_EC_PARAMS, P256.to_vec()),
        (CKA_EC_POINT, wrapped(point)),
        (CKA_TOKEN, boolean(true)),
        (CKA_LABEL, label.as_bytes().to_vec()),
        (CKA_ID, id.to_vec()),
    ]
}

fn public_keys(module: &Module, session: Session, more: Attributes) -> Vec<Handle> {
    module.find(session, &[&[(CKA_CLASS, ulong(CKO_PUBLIC_KEY))], more].concat()).unwrap()
}

/// Changes the state without the module's knowledge, as every member of the group can.
fn change_state(module: &Module, change: impl Fn(&mut State)) {
    let image = atecc608_sim::Image::load(&module.image()).unwrap();
    Store::open(&module.state_dir(), image.config().serial_number()).change(|state| change(state)).unwrap();
}

#[test]
fn a_pairs_public_key_that_is_destroyed_first_is_hidden_in_this_process_and_its_private_key_follows() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    assert_eq!(module.attribute(session, public, CKA_DESTROYABLE), Ok(boolean(true)));
    let reader = module.open_session(0, false).unwrap();
    assert_eq!(module.destroy(reader, public), Err(CKR_SESSION_READ_ONLY));
    assert_eq!(module.destroy(session, public), Ok(()));
    assert!(public_keys(&module, session, &[]).is_empty());
    assert_eq!(module.attribute(session, public, CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.verify_with(session, CKM_ECDSA, public, &[1; 32], &[1; 64]), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(module.destroy(session, public), Err(CKR_OBJECT_HANDLE_INVALID));
    assert!(module.sign_with(session, CKM_ECDSA, private, &[1; 32]).is_ok(), "the private key is there until it goes");
    assert_eq!(module.attribute(session, private, CKA_EC_POINT).map(|point| point.len()), Ok(67));
    // Another start shows it again.
    let session = module.restart();
    let (public, private) = (public_keys(&module, session, &[])[0], module.private_keys(session)[0]);
    assert_eq!(module.destroy(session, public), Ok(()));
    assert_eq!(module.destroy(session, private), Ok(()));
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    generate(&module, session, "b", &[2]).unwrap();
    assert_eq!(public_keys(&module, session, &[]).len(), 1, "of the next key nothing is hidden");
}

#[test]
fn the_public_key_of_a_permanent_pair_stays() {
    let mut image = chip::provisioned();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    image.part_mut(atecc608_sim::image::Part::Config)[88] &= !1;
    let module = Module::with_chip(&image);
    let session = module.start();
    let public = public_keys(&module, session, &[])[0];
    assert_eq!(module.attribute(session, public, CKA_DESTROYABLE), Ok(boolean(false)));
    assert_eq!(module.destroy(session, public), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(public_keys(&module, session, &[]), [public]);
}

#[test]
fn a_pairs_own_public_key_that_a_client_brings_is_the_one_that_is_there() {
    let (module, _bus, session) = with_io_key();
    // As libp11 and GnuTLS import: the private key, then the public one.
    let private = module.create_object(session, &private_key("mine", &[0x21; 32])).unwrap();
    let public = module.public_of(session, private);
    let own = point(&module, session, public);
    let bring = |label, id: &[u8]| module.create_object(session, &public_key(&own, label, id));
    assert_eq!(bring("mine", b"mine"), Ok(public));
    assert_eq!(bring("", b""), Ok(public), "names that are not given are no others");
    assert_eq!(bring("mine", b"other"), Err(CKR_TEMPLATE_INCONSISTENT));
    module.assert_logged(&["public key of slot 4", "another id"]);
    assert_eq!(bring("its public half", b"mine"), Ok(public));
    assert_eq!(module.label(session, public), "its public half");
    assert_eq!(module.label(session, private), "mine");
    assert_eq!(module.destroy(session, public), Ok(()));
    let shown = bring("mine", b"mine").unwrap();
    assert_eq!(public_keys(&module, session, &[]), [shown], "it is shown again");
    let session_key = [&public_key(&own, "copy", b"x")[..], &[]].concat();
    let session_key: Template = session_key.into_iter().filter(|(kind, _)| *kind != CKA_TOKEN).collect();
    assert_ne!(module.create_object(session, &session_key), Ok(shown), "one of the session is another object");
}

#[test]
fn a_foreign_public_key_is_kept_on_the_token_and_verifies() {
    let (module, session) = provisioned();
    let key = module.create_object(session, &public_key(&point_of_authority(), "authority", &[7])).unwrap();
    let session = module.restart();
    assert_eq!(module.attribute(session, key, CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID), "handles are never used twice");
    let key = public_keys(&module, session, &[(CKA_LABEL, b"authority".to_vec()), (CKA_ID, vec![7])])[0];
    assert_eq!(point(&module, session, key), point_of_authority());
    let signature: Signature = authority().sign_prehash(&[5; 32]).unwrap();
    assert_eq!(module.verify_with(session, CKM_ECDSA, key, &[5; 32], &signature.to_bytes()), Ok(()));
    assert_eq!(
        module.verify_with(session, CKM_ECDSA, key, &[6; 32], &signature.to_bytes()),
        Err(CKR_SIGNATURE_INVALID)
    );
    assert_eq!(module.set_attributes(session, key, &[(CKA_LABEL, b"renamed".to_vec())]), Ok(()));
    assert_eq!(module.find_labelled(session, CKO_PUBLIC_KEY, "renamed"), [key]);
    assert_eq!(module.set_attributes(session, key, &[(CKA_EC_POINT, vec![])]), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(module.destroy(session, key), Ok(()));
    assert!(public_keys(&module, session, &[]).is_empty());
    let reader = module.open_session(0, false).unwrap();
    let refused = module.create_object(reader, &public_key(&point_of_authority(), "authority", &[7]));
    assert_eq!(refused, Err(CKR_SESSION_READ_ONLY));
}

#[test]
fn what_the_state_folder_does_not_keep_of_a_public_key_is_refused_or_kept_in_effect() {
    let (module, session) = provisioned();
    let with = |more: Attributes| {
        module.create_object(session, &[&public_key(&point_of_authority(), "ca", &[7])[..], more].concat())
    };
    assert_eq!(error(with(&[(CKA_PRIVATE, boolean(true))])), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(error(with(&[(CKA_ALLOWED_MECHANISMS, ulong(CKM_ECDSA))])), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(error(with(&[(CKA_TRUSTED, boolean(true))])), Err(CKR_ATTRIBUTE_READ_ONLY));
    with(&[(CKA_VERIFY, boolean(false))]).unwrap();
    let session = module.restart();
    let key = public_keys(&module, session, &[])[0];
    assert_eq!(module.attribute(session, key, CKA_VERIFY), Ok(boolean(false)));
    let verified = module.verify_with(session, CKM_ECDSA, key, &[5; 32], &[1; 64]);
    assert_eq!(verified, Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
}

#[test]
fn a_public_key_of_the_session_is_copied_to_the_token() {
    let (module, session) = provisioned();
    let of_session = public_key(&point_of_authority(), "peer", &[7]);
    let of_session: Template = of_session.into_iter().filter(|(kind, _)| *kind != CKA_TOKEN).collect();
    let key = module.create_object(session, &of_session).unwrap();
    copy_object(&module, session, key, &[(CKA_TOKEN, boolean(true))]).unwrap();
    let session = module.restart();
    assert_eq!(point(&module, session, public_keys(&module, session, &[])[0]), point_of_authority());
}

#[test]
fn a_foreign_public_key_gets_no_name_of_a_pair() {
    let (module, session) = provisioned();
    let (public, _) = generate(&module, session, "device key", &[1]).unwrap();
    let bring = |label, id: &[u8]| module.create_object(session, &public_key(&point_of_authority(), label, id));
    assert_eq!(bring("authority", &[1]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(bring("device key", &[7]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let key = bring("authority", &[7]).unwrap();
    let rename = |more: Attributes| module.set_attributes(session, key, more);
    assert_eq!(rename(&[(CKA_ID, vec![1])]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(rename(&[(CKA_LABEL, b"device key".to_vec())]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(public_keys(&module, session, &[(CKA_ID, vec![1])]), [public]);
}

#[test]
fn a_public_key_that_a_member_of_the_group_called_as_a_pair_is_not_shown() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "device key", &[1]).unwrap();
    module.create_object(session, &public_key(&point_of_authority(), "authority", &[7])).unwrap();
    let own_default = <sha1::Sha1 as sha1::Digest>::digest(point(&module, session, public)).to_vec();
    type Rename = fn(&mut State, &[u8]);
    let renames: [Rename; 3] = [
        |state, _| state.objects[0].label = "device key".into(),
        |state, _| state.objects[0].id = vec![1],
        |state, default| {
            state.slots[0].id = None;
            state.objects[0].id = default.to_vec();
        },
    ];
    for rename in renames {
        let before = Store::open(
            &module.state_dir(),
            atecc608_sim::Image::load(&module.image()).unwrap().config().serial_number(),
        )
        .state()
        .clone();
        change_state(&module, |state| rename(state, &own_default));
        for session in [session, module.open_session(0, true).unwrap()] {
            assert_eq!(public_keys(&module, session, &[]), [public]);
        }
        change_state(&module, |state| {
            state.slots.clone_from(&before.slots);
            state.objects.clone_from(&before.objects);
        });
        assert_eq!(public_keys(&module, session, &[]).len(), 2);
    }
    // An invalid key is not shown either.
    change_state(&module, |state| state.objects[0].value.truncate(20));
    assert_eq!(public_keys(&module, session, &[]), [public]);
    // Without the pair it is an object like any other.
    change_state(&module, |state| state.objects.clear());
    module.destroy(session, private).unwrap();
    module.create_object(session, &public_key(&point_of_authority(), "device key", &[1])).unwrap();
    assert_eq!(public_keys(&module, session, &[]).len(), 1);
}
