// SPDX-License-Identifier: MIT OR Apache-2.0
//! ECDH through the C ABI: shared secrets and X9.63 derivations, compared with the p256 crate on the other side;
//! impossible derivations are refused.

use std::fs;
use std::ptr::null_mut;

use crate::common::keys::{generate, point, provisioned, with, Handle, Session};
use crate::common::module::{boolean, c, mechanism, ulong, Module};
use crate::common::secrets;
use crate::common::templates::{self, Template};
use atecc608_sim::SimBus;
use atecc608_wire::Opcode;
use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

/// The request of pkcs11-provider.
fn derived_template(length: CK_ULONG) -> Template {
    vec![
        (CKA_CLASS, ulong(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)),
        (CKA_SENSITIVE, boolean(false)),
        (CKA_EXTRACTABLE, boolean(true)),
        (CKA_VALUE_LEN, ulong(length)),
        (CKA_TOKEN, boolean(false)),
    ]
}

/// The secret as the p256 crate computes it from the other side.
fn secret_of(theirs: &p256::SecretKey, our_point: &[u8]) -> Vec<u8> {
    let ours = p256::PublicKey::from_sec1_bytes(our_point).unwrap();
    p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), ours.as_affine()).raw_secret_bytes().to_vec()
}

#[test]
fn a_shared_secret_is_the_one_of_the_other_side() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let their_point = theirs.public_key().to_encoded_point(false).as_bytes().to_vec();
    let secret = secret_of(&theirs, &point(&module, session, public));
    let compressed = theirs.public_key().to_encoded_point(true).as_bytes().to_vec();
    assert_eq!(compressed.len(), 33);
    for public_data in
        [their_point.clone(), templates::wrapped(&their_point), compressed.clone(), templates::wrapped(&compressed)]
    {
        let derived = module.derive(session, key, CKD_NULL, &[], &public_data, &derived_template(32)).unwrap();
        assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(secret.clone()));
        assert_eq!(module.attribute(session, derived, CKA_CLASS), Ok(ulong(CKO_SECRET_KEY)));
        assert_eq!(module.attribute(session, derived, CKA_LOCAL), Ok(boolean(false)));
    }
    // Without a length it is the whole secret; a shorter key is its end.
    let derived = module.derive(session, key, CKD_NULL, &[], &their_point, &[]).unwrap();
    assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(secret.clone()));
    let derived = module.derive(session, key, CKD_NULL, &[], &their_point, &derived_template(16)).unwrap();
    assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(secret[16..].to_vec()));
    // A sensitive one is not returned.
    let sensitive = with(&derived_template(32), &[(CKA_SENSITIVE, boolean(true))]);
    let derived = module.derive(session, key, CKD_NULL, &[], &their_point, &sensitive).unwrap();
    assert_eq!(module.attribute(session, derived, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
}

/// ANSI X9.63: digests over secret, counter and shared info, one after the other.
fn x963<D: Digest>(secret: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let blocks = (1_u32..).map(|counter| D::digest([secret, &counter.to_be_bytes(), info].concat()).to_vec());
    blocks.take(length.div_ceil(20)).flatten().take(length).collect()
}

#[test]
fn the_x9_63_functions_derive_what_their_names_say() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let their_point = theirs.public_key().to_encoded_point(false).as_bytes().to_vec();
    let secret = secret_of(&theirs, &point(&module, session, public));
    for length in [1_usize, 16, 32, 65, 200] {
        for info in [&[][..], b"shared info"] {
            let expected = [
                (CKD_SHA1_KDF, x963::<Sha1>(&secret, info, length)),
                (CKD_SHA224_KDF, x963::<Sha224>(&secret, info, length)),
                (CKD_SHA256_KDF, x963::<Sha256>(&secret, info, length)),
                (CKD_SHA384_KDF, x963::<Sha384>(&secret, info, length)),
                (CKD_SHA512_KDF, x963::<Sha512>(&secret, info, length)),
            ];
            for (kdf, expected) in expected {
                let template = derived_template(length as CK_ULONG);
                let derived = module.derive(session, key, kdf, info, &their_point, &template).unwrap();
                assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(expected), "kdf {kdf}, {length}");
            }
        }
    }
}

#[test]
fn what_can_not_be_derived_is_refused() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let theirs = point(&module, session, public);
    let derive = |public: &[u8], template: &Template| module.derive(session, key, CKD_NULL, &[], public, template);
    let with_length = |length| derived_template(length);
    assert_eq!(derive(&theirs, &with_length(33)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(derive(&theirs, &with_length(0)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let changed = |attribute, value| with(&derived_template(32), &[(attribute, value)]);
    assert_eq!(derive(&theirs, &changed(CKA_TOKEN, boolean(true))), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(derive(&theirs, &changed(CKA_CLASS, ulong(CKO_PRIVATE_KEY))), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(derive(&theirs, &changed(CKA_KEY_TYPE, ulong(CKK_EC))), Err(CKR_TEMPLATE_INCONSISTENT));
    let aes = with(&derived_template(32), &[(CKA_KEY_TYPE, ulong(CKK_AES)), (CKA_VALUE_LEN, ulong(17))]);
    assert_eq!(derive(&theirs, &aes), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(derive(&[4; 65], &with_length(32)), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(derive(&theirs[..64], &with_length(32)), Err(CKR_MECHANISM_PARAM_INVALID));
    // Compressed: too short, too long, an x that no point has (1), the marks of the compact and the hybrid form.
    let mut no_point = [0; 33];
    (no_point[0], no_point[32]) = (2, 1);
    for bad in [&no_point[..32], &no_point, &[&[2], &theirs[1..34]].concat(), &[&[5], &theirs[1..33]].concat()] {
        assert_eq!(derive(bad, &with_length(32)), Err(CKR_MECHANISM_PARAM_INVALID), "{bad:02x?}");
    }
    let hybrid = [&[6 + (theirs[64] & 1)], &theirs[1..]].concat();
    assert_eq!(derive(&hybrid, &with_length(32)), Err(CKR_MECHANISM_PARAM_INVALID));
    let kdf = |kdf, info: &[u8]| module.derive(session, key, kdf, info, &theirs, &with_length(32));
    assert_eq!(kdf(0x77, &[]), Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(kdf(CKD_NULL, &[1]), Err(CKR_MECHANISM_PARAM_INVALID));
    let of_public = module.derive(session, public, CKD_NULL, &[], &theirs, &with_length(32));
    assert_eq!(of_public, Err(CKR_KEY_TYPE_INCONSISTENT));
    let of_nothing = module.derive(session, 4711, CKD_NULL, &[], &theirs, &with_length(32));
    assert_eq!(of_nothing, Err(CKR_KEY_HANDLE_INVALID));
    let mut derived = 0;
    let rv = c!(module, C_DeriveKey(session, &mut mechanism(CKM_ECDH1_DERIVE), key, null_mut(), 0, &mut derived));
    assert_eq!(rv, Err(CKR_MECHANISM_PARAM_INVALID));
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]), Ok(vec![]));
}

/// A module that requires the IO protection key, and a key pair "a".
fn requiring() -> (Module, SimBus, Session, Handle) {
    let (module, bus, session) = secrets::requiring_io_key();
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    (module, bus, session, key)
}

#[test]
fn with_io_protection_required_a_secret_is_agreed_on_only_while_chip_and_host_share_the_key() {
    let (module, bus, session, key) = requiring();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false);
    let derive = |session, key| module.derive(session, key, CKD_NULL, &[], theirs.as_bytes(), &[]).map(drop);
    let asked = || bus.take_stats().command(Opcode::ECDH);
    assert_eq!(derive(session, key), Ok(()));
    let before = bus.image(0).unwrap();
    secrets::replace_io_key(&bus);
    asked();
    assert_eq!(derive(session, key), Err(CKR_FUNCTION_FAILED));
    assert_eq!(asked(), 0, "nothing crosses the bus");
    module.assert_logged(&["io_protection", "required", "atecc608 pair --replace"]);
    assert!(module.sign_with(session, CKM_ECDSA, key, &[1; 32]).is_ok());
    bus.set_image(0, before).unwrap();
    assert_eq!(derive(session, key), Ok(()), "without a new C_Initialize");
    // And without the host's key.
    fs::remove_dir_all(module.configuration().parent().unwrap().join("keys")).unwrap();
    let session = module.restart();
    let key = module.private_keys(session)[0];
    asked();
    assert_eq!((derive(session, key), asked()), (Err(CKR_FUNCTION_FAILED), 0));
}

#[test]
fn with_io_protection_required_a_failed_proof_of_the_key_gives_no_secret() {
    let (module, bus, session, key) = requiring();
    let theirs = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false);
    // The proof fails in transit: with "preferred" the result would cross in clear this once.
    bus.set_faults("status@2:0F".parse().unwrap());
    let derived = module.derive(session, key, CKD_NULL, &[], theirs.as_bytes(), &[]).map(drop);
    assert_eq!((derived, bus.stats().command(Opcode::ECDH)), (Err(CKR_FUNCTION_FAILED), 0));
}
