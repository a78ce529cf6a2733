// SPDX-License-Identifier: MIT OR Apache-2.0
//! P-256 as the chip computes it (fact sheet sections 3.5, 3.7, 3.19, 3.21 and 5.9).

use p256::ecdsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint};
use p256::{EncodedPoint, FieldBytes, PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::core::{Core, Refusal};

/// Returns the private key of 32 big-endian bytes, if they are in range (1 to n-1).
pub(crate) fn private_key(scalar: &[u8]) -> Option<SecretKey> {
    SecretKey::from_slice(scalar).ok()
}

/// A public key from X and Y, if the point is on the curve.
pub(crate) fn public_key(point: &[u8; 64]) -> Option<PublicKey> {
    let encoded = EncodedPoint::from_untagged_bytes(point.into());
    PublicKey::from_encoded_point(&encoded).into()
}

/// X and Y of a private key's public key.
pub(crate) fn public_point(key: &SecretKey) -> [u8; 64] {
    let encoded = key.public_key().to_encoded_point(false);
    let mut point = [0; 64];
    // An uncompressed point is 04 and 64 bytes.
    point.copy_from_slice(&encoded.as_bytes()[1..]);
    point
}

/// Generates a private key.
pub(crate) fn generate(core: &mut Core) -> Result<SecretKey, Refusal> {
    loop {
        let scalar = Zeroizing::new(core.random_32()?);
        // One in 2^32 random numbers is not a valid scalar.
        if let Some(key) = private_key(&*scalar) {
            return Ok(key);
        }
    }
}

/// ECDSA with a random k: two signatures of one digest differ; s may be high or low.
pub(crate) fn sign(core: &mut Core, key: &SecretKey, digest: &[u8; 32]) -> Result<[u8; 64], Refusal> {
    let signed: Result<Signature, _> = SigningKey::from(key).sign_prehash_with_rng(&mut core.rng, digest);
    core.check_rng()?;
    let signature = signed.map_err(|_| Refusal::Status(atecc608_wire::Status::ECC_FAULT))?;
    Ok(signature.to_bytes().into())
}

/// Whether the signature is valid.
pub(crate) fn verify(key: &PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    Signature::from_slice(signature)
        .is_ok_and(|signature| VerifyingKey::from(key).verify_prehash(digest, &signature).is_ok())
}

/// The X coordinate shared with another public key.
pub(crate) fn shared_secret(key: &SecretKey, other: &PublicKey) -> Zeroizing<[u8; 32]> {
    let shared = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), other.as_affine());
    let bytes: &FieldBytes = shared.raw_secret_bytes();
    Zeroizing::new((*bytes).into())
}
