// SPDX-License-Identifier: MIT OR Apache-2.0
//! The issuers of the certificates of simulated chips: a root and a signer of this project.
//!
//! Their private keys are derived from the sentences below, and so are public: a certificate under this root proves
//! nothing. In return all simulated chips chain to one root, which tests can know beforehand. It has the name of the
//! vendor's root, because signers' certificates contain that name as their issuer (fact sheet section 7.4), but another
//! key.

use der::pem::{encode_string, LineEnding};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use p256::SecretKey;
use sha2::{Digest, Sha256};

use crate::ecc::{private_key, public_point};
use atecc608_contents::certificate::compressed::PUBLIC_KEY_HASH;
use atecc608_contents::certificate::root::Root;
use atecc608_contents::certificate::{CertificateError, CompressedCertificate, Definition, Device, IssueDate, Parts};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::SIGNATURE_LEN;

const ROOT_KEY: &str = "atecc608-sim: private key of the root; it is no secret";
const SIGNER_KEY: &str = "atecc608-sim: private key of the signer; it is no secret";

/// The warning that is printed with the root.
pub const ROOT_NOTE: &str = "the root of simulated chips; its private key is public, so it proves nothing";

/// The simulated signer's number: "SI".
pub const SIGNER_ID: [u8; 2] = *b"SI";

/// Fixed dates, so that an image does not depend on the time of its creation.
const SIGNER_ISSUED: IssueDate = IssueDate { year: 2020, month: 1, day: 2, hour: 4 };
const DEVICE_ISSUED: IssueDate = IssueDate { year: 2022, month: 3, day: 4, hour: 5 };

/// No device: a signer's certificate contains none.
const NO_DEVICE: Device = Device { serial: SerialNumber([0; 9]), eui: [0; 16] };

/// Why there is no certificate; each would be a defect of the simulator.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate cannot be built.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It cannot be encoded as text.
    #[error("cannot write a certificate in PEM: {0}")]
    Pem(der::pem::Error),
    /// It cannot be signed.
    #[error("cannot sign a certificate: {0}")]
    Signature(#[from] p256::ecdsa::Error),
    /// A sentence does not give a valid key.
    #[error("no private key")]
    Key,
}

/// Derives a key from a sentence.
fn key_of(sentence: &str) -> Result<SecretKey, AuthorityError> {
    private_key(&Sha256::digest(sentence)).ok_or(AuthorityError::Key)
}

/// ECDSA over SHA-256 of the message, with the k of RFC 6979, so that signatures are reproducible.
fn sign(key: &SecretKey, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], AuthorityError> {
    let signature: Signature = SigningKey::from(key).sign_prehash(&Sha256::digest(message))?;
    Ok(signature.to_bytes().into())
}

/// Returns the root's public key, X ‖ Y.
///
/// # Errors
/// [`AuthorityError`] on a defect of the simulator.
pub fn root_public_key() -> Result<[u8; 64], AuthorityError> {
    Ok(public_point(&key_of(ROOT_KEY)?))
}

/// Returns the root, which is always the same.
///
/// # Errors
/// [`AuthorityError`] on a defect of the simulator.
pub fn root() -> Result<Root, AuthorityError> {
    let key = key_of(ROOT_KEY)?;
    let public_key = public_point(&key);
    let mut serial = [0; 16];
    serial.copy_from_slice(&Sha256::digest(public_key)[..16]);
    serial[0] = serial[0] & 0x7F | 0x40;
    let unsigned = Root { serial, public_key, signature: [0; SIGNATURE_LEN] };
    Ok(Root { signature: sign(&key, &unsigned.to_be_signed()?)?, ..unsigned })
}

/// Returns the root's certificate in DER, which is always the same.
///
/// # Errors
/// [`AuthorityError`] on a defect of the simulator.
pub fn root_certificate() -> Result<Vec<u8>, AuthorityError> {
    Ok(root()?.certificate()?)
}

/// The same in PEM.
///
/// # Errors
/// [`AuthorityError`] on a defect of the simulator.
pub fn root_pem() -> Result<String, AuthorityError> {
    let pem = encode_string("CERTIFICATE", LineEnding::LF, &root_certificate()?);
    pem.map_err(AuthorityError::Pem)
}

/// The contents of slots 10 to 12 of a chip with certificates.
pub(super) struct Chain {
    /// The device's compressed certificate.
    pub(super) device: [u8; 72],
    /// The signer's public key, X ‖ Y.
    pub(super) signer_key: [u8; 64],
    /// The signer's compressed certificate.
    pub(super) signer: [u8; 72],
}

/// Issues a certificate for a device's key.
pub(super) fn certify(definition: Definition, device: Device, public_key: &[u8; 64]) -> Result<Chain, AuthorityError> {
    let (root, signer) = (key_of(ROOT_KEY)?, key_of(SIGNER_KEY)?);
    let (root_key, signer_key) = (public_point(&root), public_point(&signer));
    Ok(Chain {
        device: issue(definition, DEVICE_ISSUED, device, public_key, (&signer, &signer_key))?,
        signer_key,
        signer: issue(Definition::Signer, SIGNER_ISSUED, NO_DEVICE, &signer_key, (&root, &root_key))?,
    })
}

fn issue(
    definition: Definition,
    issued: IssueDate,
    device: Device,
    public_key: &[u8; 64],
    (issuer, issuer_key): (&SecretKey, &[u8; 64]),
) -> Result<[u8; 72], AuthorityError> {
    let mut compressed = CompressedCertificate {
        signature: [0; SIGNATURE_LEN],
        issued,
        expire_years: definition.expire_years(),
        signer_id: SIGNER_ID,
        template_id: definition.template_id(),
        chain_id: definition.chain_id(),
        serial_source: PUBLIC_KEY_HASH,
        format: 0,
    };
    let parts = Parts { definition, compressed: &compressed, public_key, issuer_key, device };
    compressed.signature = sign(issuer, &parts.to_be_signed()?)?;
    Ok(compressed.encode()?)
}
