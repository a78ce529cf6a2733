// SPDX-License-Identifier: MIT OR Apache-2.0
//! Public points of P-256 in the encodings of PKCS#11, and verification on the host.

use der::asn1::{AnyRef, OctetStringRef};
use der::{Decode, Encode};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::EncodedPoint;
use sha1::{Digest, Sha1};

use super::error::{Error, Result};

/// CKA_EC_PARAMS of P-256: the OID 1.2.840.10045.3.1.7 in DER.
pub const P256_PARAMS: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];

/// Checks the CKA_EC_PARAMS of a template.
///
/// # Errors
/// [`Error::TemplateIncomplete`] if there is none; [`Error::CurveNotSupported`] for another curve than P-256;
/// [`Error::DomainParamsInvalid`] if it is not DER.
pub(crate) fn check_curve(params: Option<&[u8]>) -> Result<()> {
    match params {
        None => Err(Error::TemplateIncomplete("CKA_EC_PARAMS is missing from the template".into())),
        Some(params) if params == P256_PARAMS => Ok(()),
        Some(params) if AnyRef::from_der(params).is_ok() => {
            Err(Error::CurveNotSupported("CKA_EC_PARAMS: only P-256 (prime256v1) is supported".into()))
        }
        Some(_) => Err(Error::DomainParamsInvalid(
            "CKA_EC_PARAMS is not DER: the OID of P-256 (prime256v1) is 06 08 2A 86 48 CE 3D 03 01 07".into(),
        )),
    }
}

/// SubjectPublicKeyInfo of a P-256 key up to the point: SEQUENCE, AlgorithmIdentifier (id-ecPublicKey,
/// prime256v1), BIT STRING header.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE,
    0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A public key: a point on P-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Point(VerifyingKey);

impl std::fmt::Debug for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Point({})", base16ct::lower::encode_string(&self.uncompressed()))
    }
}

impl Point {
    /// Decodes the point X ‖ Y from the chip; `None` if it is not on the curve.
    pub fn from_xy(xy: &[u8; 64]) -> Option<Self> {
        let point = EncodedPoint::from_untagged_bytes(xy.into());
        VerifyingKey::from_encoded_point(&point).ok().map(Self)
    }

    /// Decodes the point 04 ‖ X ‖ Y; `None` if the form differs or the point is not on the curve.
    pub fn from_uncompressed(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x04, xy @ ..] => Self::from_xy(xy.try_into().ok()?),
            _ => None,
        }
    }

    /// Decodes the point 04 ‖ X ‖ Y, or compressed as 02 ‖ X or 03 ‖ X; `None` if the form differs or the point is not
    /// on the curve.
    pub fn from_sec1(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x02 | 0x03, ..] => VerifyingKey::from_sec1_bytes(bytes).ok().map(Self),
            _ => Self::from_uncompressed(bytes),
        }
    }

    /// Decodes the point of CKA_EC_POINT or ECDH public data: in the forms of [`Point::from_sec1`], in a DER OCTET
    /// STRING or bare.
    pub fn from_caller(bytes: &[u8]) -> Option<Self> {
        let wrapped = OctetStringRef::from_der(bytes).ok();
        wrapped.and_then(|octets| Self::from_sec1(octets.as_bytes())).or_else(|| Self::from_sec1(bytes))
    }

    /// Returns the point as a type of the p256 crate.
    pub(crate) fn as_affine(&self) -> &p256::AffinePoint {
        self.0.as_affine()
    }

    /// X ‖ Y.
    pub fn xy(&self) -> [u8; 64] {
        let mut xy = [0; 64];
        xy.copy_from_slice(&self.0.to_encoded_point(false).as_bytes()[1..]);
        xy
    }

    /// 04 ‖ X ‖ Y.
    pub fn uncompressed(&self) -> [u8; 65] {
        let mut bytes = [0x04; 65];
        bytes[1..].copy_from_slice(&self.xy());
        bytes
    }

    /// CKA_EC_POINT: 04 ‖ X ‖ Y in a DER OCTET STRING (PKCS#11 3.0 section 2.3.3).
    pub fn ec_point(&self) -> Vec<u8> {
        let point = self.uncompressed();
        // 65 bytes in an OCTET STRING always encode.
        OctetStringRef::new(&point).and_then(|octets| octets.to_der()).unwrap_or_default()
    }

    /// CKA_PUBLIC_KEY_INFO: SubjectPublicKeyInfo in DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.uncompressed()].concat()
    }

    /// Decodes the point of a SubjectPublicKeyInfo in DER; `None` if it is not an uncompressed P-256 key.
    pub fn from_public_key_info(der: &[u8]) -> Option<Self> {
        Self::from_uncompressed(der.strip_prefix(&SPKI_PREFIX)?)
    }

    /// The default CKA_ID: SHA-1 over 04 ‖ X ‖ Y.
    pub fn key_id(&self) -> [u8; 20] {
        Sha1::digest(self.uncompressed()).into()
    }

    /// Checks an ECDSA signature r ‖ s over a digest.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`] if it does not match.
    pub fn verify(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Result<()> {
        let signature = Signature::from_slice(signature).map_err(|_| Error::SignatureInvalid)?;
        self.0.verify_prehash(digest, &signature).map_err(|_| Error::SignatureInvalid)
    }
}
