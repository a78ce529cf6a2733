// SPDX-License-Identifier: MIT OR Apache-2.0
//! Private keys that sign certificates and requests.

use der::asn1::{Any, ObjectIdentifier};
use rsa::rand_core::OsRng;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Signer as _};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::key_file::PrivateKey;
use crate::error::{Error, Result};

/// ecdsa-with-SHA256 (RFC 5758 section 3.2).
pub const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// ecdsa-with-SHA384.
pub const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// sha256WithRSAEncryption (RFC 4055 section 5).
pub const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// A private key that signs, in any place.
pub trait Signer: Send + Sync {
    /// SubjectPublicKeyInfo in DER.
    fn public_key_info(&self) -> Vec<u8>;

    /// The algorithm of its signatures.
    fn algorithm(&self) -> AlgorithmIdentifierOwned;

    /// Signs a message; returns the contents of a certificate's BIT STRING (for ECDSA: ECDSA-Sig-Value in DER).
    ///
    /// # Errors
    /// [`Error::Refused`] if the key can't sign; for a key in the chip the [chip errors](crate::Error#chip-errors).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>>;
}

/// ECDSA with this digest, without parameters (RFC 5758 section 3.2).
pub fn ecdsa(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: None }
}

impl Signer for PrivateKey {
    fn public_key_info(&self) -> Vec<u8> {
        PrivateKey::public_key_info(self)
    }

    fn algorithm(&self) -> AlgorithmIdentifierOwned {
        match self {
            Self::P256(_) => ecdsa(ECDSA_WITH_SHA256),
            Self::P384(_) => ecdsa(ECDSA_WITH_SHA384),
            // NULL parameters (RFC 4055 section 5).
            Self::Rsa(_) => AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(Any::null()) },
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        Ok(match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(key).sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = p384::ecdsa::SigningKey::from(key).sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::Rsa(key) => {
                // With random blinding: see Cargo.toml.
                let signer = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new(key.as_ref().clone());
                let signature = signer.try_sign_with_rng(&mut OsRng, message);
                signature.map_err(|error| Error::Refused(format!("the RSA key can't sign: {error}")))?.to_vec()
            }
        })
    }
}
