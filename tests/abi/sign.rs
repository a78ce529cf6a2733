// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signatures and digests through the C ABI, checked with other implementations (p256, sha1, sha2); verification, also
//! with foreign public keys.

use std::ptr::null_mut;

use crate::common::keys::{assert_signed, generate, point, provisioned, with, without};
use crate::common::module::{boolean, c, mechanism, ulong};
use crate::common::templates::{self, Template, P256, P384};
use cryptoki_sys::*;
use p256::ecdsa::Signature;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

#[test]
fn every_signature_mechanism_signs_what_its_name_says() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let point = point(&module, session, public);
    let message = [b"the quick brown fox".as_slice(), &[0; 200]].concat();
    let mechanisms: [(CK_MECHANISM_TYPE, Vec<u8>); 5] = [
        (CKM_ECDSA_SHA1, Sha1::digest(&message).to_vec()),
        (CKM_ECDSA_SHA224, Sha224::digest(&message).to_vec()),
        (CKM_ECDSA_SHA256, Sha256::digest(&message).to_vec()),
        (CKM_ECDSA_SHA384, Sha384::digest(&message).to_vec()),
        (CKM_ECDSA_SHA512, Sha512::digest(&message).to_vec()),
    ];
    for (kind, digest) in mechanisms {
        let at_once = module.sign_with(session, kind, key, &message).unwrap();
        assert_signed(&point, &digest, &at_once);
        let in_parts = module.sign_parts(session, kind, key, &[&message[..7], &[], &message[7..]]).unwrap();
        assert_signed(&point, &digest, &in_parts);
        let of_digest = module.sign_with(session, CKM_ECDSA, key, &digest).unwrap();
        assert_signed(&point, &digest, &of_digest);
        for signature in [at_once, in_parts, of_digest] {
            assert_eq!(module.verify_with(session, kind, public, &message, &signature), Ok(()));
        }
    }
    let in_parts = module.sign_parts(session, CKM_ECDSA, key, &[&[1; 16], &[2; 16]]).unwrap();
    assert_signed(&point, &[[1; 16], [2; 16]].concat(), &in_parts);
    // An empty message has a digest, an empty digest has no signature.
    let empty = module.sign_parts(session, CKM_ECDSA_SHA256, key, &[]).unwrap();
    assert_signed(&point, &Sha256::digest(b""), &empty);
}

#[test]
fn digests_of_1_to_64_bytes_are_signed() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let point = point(&module, session, public);
    let digest: Vec<u8> = (1..=65).collect();
    for length in [1, 20, 28, 32, 33, 48, 64] {
        let signature = module.sign_with(session, CKM_ECDSA, key, &digest[..length]).unwrap();
        assert_signed(&point, &digest[..length], &signature);
        assert_eq!(module.verify_with(session, CKM_ECDSA, public, &digest[..length], &signature), Ok(()));
    }
    for length in [0, 65] {
        let rv = module.sign_with(session, CKM_ECDSA, key, &digest[..length]);
        assert_eq!(rv, Err(CKR_DATA_LEN_RANGE), "{length}");
        assert_eq!(module.sign(session, &[1; 32]), Err(CKR_OPERATION_NOT_INITIALIZED), "an error ends it");
    }
    assert_eq!(module.sign_parts(session, CKM_ECDSA, key, &[&[1; 40], &[1; 25]]), Err(CKR_DATA_LEN_RANGE));
    assert_eq!(module.sign_parts(session, CKM_ECDSA, key, &[]), Err(CKR_DATA_LEN_RANGE));
}

#[test]
fn a_question_for_the_length_and_a_short_buffer_keep_the_operation() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    let mut data = [3; 32];
    let mut length = 0;
    assert_eq!(c!(module, C_Sign(session, data.as_mut_ptr(), 32, null_mut(), &mut length)), Ok(()));
    assert_eq!(length, 64);
    let mut short = [0xEE; 63];
    length = 63;
    let rv = c!(module, C_Sign(session, data.as_mut_ptr(), 32, short.as_mut_ptr(), &mut length));
    assert_eq!((rv, length, short), (Err(CKR_BUFFER_TOO_SMALL), 64, [0xEE; 63]));
    let signature = module.sign(session, &data).unwrap();
    assert_signed(&point(&module, session, public), &data, &signature);
    assert_eq!(module.sign(session, &data), Err(CKR_OPERATION_NOT_INITIALIZED));
    // The same at the end of parts.
    module.sign_init(session, CKM_ECDSA_SHA256, key).unwrap();
    c!(module, C_SignUpdate(session, data.as_mut_ptr(), 32)).unwrap();
    assert_eq!(c!(module, C_SignFinal(session, null_mut(), &mut length)), Ok(()));
    length = 1;
    assert_eq!(c!(module, C_SignFinal(session, short.as_mut_ptr(), &mut length)), Err(CKR_BUFFER_TOO_SMALL));
    let mut signature = [0; 64];
    assert_eq!(c!(module, C_SignFinal(session, signature.as_mut_ptr(), &mut length)), Ok(()));
    assert_signed(&point(&module, session, public), &Sha256::digest(data), &signature);
}

#[test]
fn operations_need_the_right_kind_of_key() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, public), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(module.sign_init(session, CKM_ECDSA, 4711), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(module.sign_init(session, CKM_RSA_PKCS, private), Err(CKR_MECHANISM_INVALID));
    assert_eq!(module.verify_init(session, CKM_ECDSA, private), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(module.verify_init(session, CKM_ECDSA, 4711), Err(CKR_KEY_HANDLE_INVALID));
    module.sign_init(session, CKM_ECDSA, private).unwrap();
    assert_eq!(module.sign_init(session, CKM_ECDSA, private), Err(CKR_OPERATION_ACTIVE));
    let mut byte = 1;
    let mut kind = CK_MECHANISM { pParameter: (&raw mut byte).cast(), ulParameterLen: 1, ..mechanism(CKM_ECDSA) };
    let second = module.open_session(0, false).unwrap();
    assert_eq!(c!(module, C_SignInit(second, &mut kind, private)), Err(CKR_MECHANISM_PARAM_INVALID));
}

#[test]
fn wrong_signatures_are_told_from_right_ones() {
    let (module, session) = provisioned();
    let (public, key) = generate(&module, session, "a", &[1]).unwrap();
    let (other, _) = generate(&module, session, "b", &[2]).unwrap();
    let digest = [5; 32];
    let good = module.sign_with(session, CKM_ECDSA, key, &digest).unwrap();
    let verify = |key, digest: &[u8], signature: &[u8]| module.verify_with(session, CKM_ECDSA, key, digest, signature);
    assert_eq!(verify(public, &digest, &good), Ok(()));
    for bit in [0, 100, 511] {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(public, &digest, &bad), Err(CKR_SIGNATURE_INVALID));
    }
    assert_eq!(verify(public, &[6; 32], &good), Err(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(other, &digest, &good), Err(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(public, &digest, &[0; 64]), Err(CKR_SIGNATURE_INVALID));
    assert_eq!(verify(public, &digest, &good[..63]), Err(CKR_SIGNATURE_LEN_RANGE));
    assert_eq!(verify(public, &digest, &[good.as_slice(), &[0]].concat()), Err(CKR_SIGNATURE_LEN_RANGE));
    assert_eq!(verify(public, &[], &good), Err(CKR_DATA_LEN_RANGE));
    assert_eq!(module.verify(session, &digest, &good), Err(CKR_OPERATION_NOT_INITIALIZED));
    // In parts.
    module.verify_init(session, CKM_ECDSA_SHA256, public).unwrap();
    let signature = module.sign_with(session, CKM_ECDSA_SHA256, key, b"abc").unwrap();
    for part in [b"a".as_slice(), b"bc"] {
        c!(module, C_VerifyUpdate(session, part.as_ptr().cast_mut(), part.len() as CK_ULONG)).unwrap();
    }
    assert_eq!(c!(module, C_VerifyFinal(session, signature.as_ptr().cast_mut(), 64)), Ok(()));
}

#[test]
fn a_foreign_public_key_verifies_in_the_session_and_goes_with_it() {
    let (module, session) = provisioned();
    let signer = p256::ecdsa::SigningKey::from_slice(&[0x33; 32]).unwrap();
    let digest = [8; 32];
    let signature: Signature = p256::ecdsa::signature::hazmat::PrehashSigner::sign_prehash(&signer, &digest).unwrap();
    let point = signer.verifying_key().to_encoded_point(false);
    // As pkcs11-provider does for each peer, in a read-only session.
    let template = [
        (CKA_CLASS, ulong(CKO_PUBLIC_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        (CKA_DERIVE, boolean(true)),
        (CKA_VERIFY, boolean(true)),
        (CKA_EC_PARAMS, P256.to_vec()),
        (CKA_EC_POINT, templates::wrapped(point.as_bytes())),
        (CKA_TOKEN, boolean(false)),
    ];
    let read_only = module.open_session(0, false).unwrap();
    let key = module.create_object(read_only, &template).unwrap();
    assert_eq!(module.verify_with(read_only, CKM_ECDSA, key, &digest, &signature.to_bytes()), Ok(()));
    assert_eq!(
        module.verify_with(session, CKM_ECDSA, key, &[9; 32], &signature.to_bytes()),
        Err(CKR_SIGNATURE_INVALID)
    );
    assert_eq!(module.attribute(session, key, CKA_TOKEN), Ok(boolean(false)));
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_PUBLIC_KEY))]), Ok(vec![key]));
    c!(module, C_CloseSession(read_only)).unwrap();
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    assert_eq!(module.verify_init(session, CKM_ECDSA, key), Err(CKR_KEY_HANDLE_INVALID));
    // Uses that are not allowed.
    let changed = |attribute, value: Vec<u8>| with(&template.to_vec(), &[(attribute, value)]);
    let key = module.create_object(session, &changed(CKA_VERIFY, boolean(false))).unwrap();
    assert_eq!(module.attribute(session, key, CKA_VERIFY), Ok(boolean(false)));
    assert_eq!(module.verify_init(session, CKM_ECDSA, key), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    let only = ulong(CKM_ECDSA_SHA256);
    let key = module.create_object(session, &changed(CKA_ALLOWED_MECHANISMS, only.clone())).unwrap();
    assert_eq!(module.attribute(session, key, CKA_ALLOWED_MECHANISMS), Ok(only));
    assert_eq!(module.verify_init(session, CKM_ECDSA, key), Err(CKR_MECHANISM_INVALID));
    assert_eq!(module.verify_init(session, CKM_ECDSA_SHA256, key), Ok(()));
    // Not on the curve; on another. (On the token: public_keys.rs.)
    let refused = |template: Template| module.create_object(session, &template);
    assert_eq!(refused(changed(CKA_EC_POINT, templates::wrapped(&[4; 65]))), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(refused(changed(CKA_EC_PARAMS, P384.to_vec())), Err(CKR_CURVE_NOT_SUPPORTED));
    assert_eq!(refused(changed(CKA_EC_PARAMS, P384[..6].to_vec())), Err(CKR_DOMAIN_PARAMS_INVALID));
    assert_eq!(refused(without(&template.to_vec(), CKA_EC_POINT)), Err(CKR_TEMPLATE_INCOMPLETE));
}

#[test]
fn digests_are_those_of_their_names() {
    let (module, session) = provisioned();
    let message = [0x61; 1000];
    let digests: [(CK_MECHANISM_TYPE, Vec<u8>); 5] = [
        (CKM_SHA_1, Sha1::digest(message).to_vec()),
        (CKM_SHA224, Sha224::digest(message).to_vec()),
        (CKM_SHA256, Sha256::digest(message).to_vec()),
        (CKM_SHA384, Sha384::digest(message).to_vec()),
        (CKM_SHA512, Sha512::digest(message).to_vec()),
    ];
    for (kind, digest) in digests {
        assert_eq!(module.digest_parts(session, kind, &[&message]), Ok(digest.clone()));
        assert_eq!(module.digest_parts(session, kind, &[&message[..1], &[], &message[1..]]), Ok(digest.clone()));
        // At once, after a length query and a call with a short buffer.
        c!(module, C_DigestInit(session, &mut mechanism(kind))).unwrap();
        let (data, mut length) = (message.as_ptr().cast_mut(), 0);
        assert_eq!(c!(module, C_Digest(session, data, 1000, null_mut(), &mut length)), Ok(()));
        assert_eq!(length as usize, digest.len());
        let mut value = vec![0; digest.len()];
        length -= 1;
        let rv = c!(module, C_Digest(session, data, 1000, value.as_mut_ptr(), &mut length));
        assert_eq!(rv, Err(CKR_BUFFER_TOO_SMALL));
        assert_eq!(c!(module, C_Digest(session, data, 1000, value.as_mut_ptr(), &mut length)), Ok(()));
        assert_eq!(value, digest);
    }
    assert_eq!(c!(module, C_DigestInit(session, &mut mechanism(CKM_MD5))), Err(CKR_MECHANISM_INVALID));
}
