// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verifies signatures of certificates and requests on the host.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1v15;
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::spki::{AlgorithmIdentifierOwned, DecodePublicKey};

const ECDSA_WITH_SHA256: ObjectIdentifier = super::signer::ECDSA_WITH_SHA256;
const ECDSA_WITH_SHA384: ObjectIdentifier = super::signer::ECDSA_WITH_SHA384;
const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const SHA256_WITH_RSA: ObjectIdentifier = super::signer::SHA256_WITH_RSA;
const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");

/// Verifies a signature with a public key (SubjectPublicKeyInfo in DER): ECDSA on P-256 and P-384, RSA PKCS#1 v1.5,
/// each with SHA-256, SHA-384 or SHA-512.
///
/// # Errors
/// A text if the signature is wrong, or the key or algorithm is not supported.
pub fn verify(
    public_key_info: &[u8],
    algorithm: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), String> {
    let wrong = "its signature is wrong: it is damaged, or was changed after it was signed".to_owned();
    let checked = match algorithm.oid {
        ECDSA_WITH_SHA256 => ecdsa(public_key_info, &Sha256::digest(message), signature),
        ECDSA_WITH_SHA384 => ecdsa(public_key_info, &Sha384::digest(message), signature),
        ECDSA_WITH_SHA512 => ecdsa(public_key_info, &Sha512::digest(message), signature),
        SHA256_WITH_RSA | SHA384_WITH_RSA | SHA512_WITH_RSA => rsa(public_key_info, algorithm.oid, message, signature),
        other => return Err(format!("it is signed with the algorithm {other}, which is not known here")),
    };
    match checked {
        Some(true) => Ok(()),
        Some(false) => Err(wrong),
        None => Err("its public key is not of a supported kind: P-256, P-384 and RSA are".to_owned()),
    }
}

/// Whether the signature is valid; `None` if the key is not on a supported curve.
fn ecdsa(public_key_info: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(public_key_info) {
        let signature = p256::ecdsa::Signature::from_der(signature).ok();
        return Some(signature.is_some_and(|signature| key.verify_prehash(digest, &signature).is_ok()));
    }
    let key = p384::ecdsa::VerifyingKey::from_public_key_der(public_key_info).ok()?;
    let signature = p384::ecdsa::Signature::from_der(signature).ok();
    Some(signature.is_some_and(|signature| key.verify_prehash(digest, &signature).is_ok()))
}

fn rsa(public_key_info: &[u8], algorithm: ObjectIdentifier, message: &[u8], signature: &[u8]) -> Option<bool> {
    let key = rsa::RsaPublicKey::from_public_key_der(public_key_info).ok()?;
    let Ok(signature) = pkcs1v15::Signature::try_from(signature) else { return Some(false) };
    Some(match algorithm {
        SHA256_WITH_RSA => pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new(key).verify(message, &signature).is_ok(),
        SHA384_WITH_RSA => pkcs1v15::VerifyingKey::<rsa::sha2::Sha384>::new(key).verify(message, &signature).is_ok(),
        _ => pkcs1v15::VerifyingKey::<rsa::sha2::Sha512>::new(key).verify(message, &signature).is_ok(),
    })
}

/// Returns the size of an RSA key's modulus in bits, if it is below the 2048 that AWS IoT, Azure and OpenSSL require.
pub fn too_few_rsa_bits(public_key_info: &[u8]) -> Option<usize> {
    let key = rsa::RsaPublicKey::from_public_key_der(public_key_info).ok()?;
    Some(key.n().bits()).filter(|bits| *bits < 2048)
}

/// Returns the first field of a SEQUENCE with its header: the signed part of certificates and requests.
///
/// # Errors
/// A decoding error.
pub fn first_field(der: &[u8]) -> der::Result<&[u8]> {
    let outer = AnyRef::from_der(der)?;
    SliceReader::new(outer.value())?.tlv_bytes()
}
