// SPDX-License-Identifier: MIT OR Apache-2.0
//! Microchip's manifests of the chips that it has provisioned (Trust Platform Manifest File Format, DS50002966): a JSON array
//! with one JWS (RFC 7515 section 7.2.2) for each chip, signed with ES256.

use std::path::Path;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{KeyRecord, Record};
use crate::error::{Error, Result};
use crate::x509::certificate::Certificate;
use crate::x509::pem;
use atecc608_token::point::Point;

/// The `format` of records that come from such a manifest.
pub const FORMAT: &str = "microchip-manifest";

/// One chip's entry (SignedSecureElement).
#[derive(Deserialize)]
struct Entry {
    payload: String,
    protected: String,
    #[serde(default)]
    header: UnprotectedHeader,
    signature: String,
}

#[derive(Default, Deserialize)]
struct UnprotectedHeader {
    #[serde(rename = "uniqueId")]
    unique_id: Option<String>,
}

/// The parameters of the signature (SignedSecureElementProtectedHeader).
#[derive(Deserialize)]
struct ProtectedHeader {
    alg: String,
    kid: Option<String>,
    #[serde(rename = "x5t#S256")]
    certificate_digest: Option<String>,
    /// Extensions that must be understood: none are supported.
    crit: Option<serde_json::Value>,
}

/// The chip's data (SecureElement).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecureElement {
    version: u32,
    unique_id: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    part_number: String,
    #[serde(default)]
    provisioning_timestamp: String,
    public_key_set: PublicKeySet,
}

#[derive(Deserialize)]
struct PublicKeySet {
    keys: Vec<PublicJwk>,
}

#[derive(Deserialize)]
struct PublicJwk {
    kid: String,
    kty: String,
    crv: String,
    x: String,
    y: String,
    #[serde(default)]
    x5c: Vec<String>,
}

/// A chip's entry, its signature not yet checked.
#[derive(Debug)]
pub struct Signed {
    serial_number: String,
    /// SHA-256 of the signed text: the protected header and the payload, as in the file.
    digest: [u8; 32],
    signature: Vec<u8>,
    key_identifier: Option<Vec<u8>>,
    certificate_digest: Option<Vec<u8>>,
    /// The keys with certificates: slot, key, and the chain in DER, the key's own first.
    chains: Vec<(String, Point, Vec<Vec<u8>>)>,
}

/// Whether a file starts like such a manifest.
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start().starts_with(b"[")
}

/// Parses a manifest. Returns for each chip the data for checking the signature, and a record of the entry.
///
/// # Errors
/// [`Error::Refused`] with the place in the file, or the number of the entry, from 1.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Vec<(Signed, Record)>> {
    let refused = |problem: String| Error::Refused(format!("{}: {problem}", path.display()));
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let entries: Vec<Entry> = serde_json::from_slice(bytes).map_err(|error| {
        refused(format!("not a manifest from Microchip: {error}. Is the file whole? Download it again, or restore it"))
    })?;
    let read = |(number, entry): (usize, &Entry)| {
        chip(entry).map_err(|problem| {
            let id = entry.header.unique_id.as_deref().unwrap_or("without uniqueId");
            refused(format!("entry {} ({id}): {problem}", number + 1))
        })
    };
    entries.iter().enumerate().map(read).collect()
}

fn chip(entry: &Entry) -> Result<(Signed, Record), String> {
    let header: ProtectedHeader = object("protected", &entry.protected)?;
    if header.alg != "ES256" {
        return Err(format!("protected: alg is \"{}\": only ES256 is supported", header.alg));
    }
    if header.crit.is_some() {
        return Err("protected: crit names extensions, which are not supported".to_owned());
    }
    let element: SecureElement = object("payload", &entry.payload)?;
    if element.version != 1 {
        return Err(format!("payload: version is {}: this tool supports 1", element.version));
    }
    let serial_number = element.unique_id.to_ascii_uppercase();
    if entry.header.unique_id.as_ref().is_some_and(|id| !id.eq_ignore_ascii_case(&serial_number)) {
        return Err(format!("the signed payload is that of another chip, {serial_number}"));
    }
    let (mut chains, mut keys) = (Vec::new(), Vec::new());
    for key in &element.public_key_set.keys {
        let point = point(key).map_err(|problem| format!("key {}: {problem}", key.kid))?;
        if !key.x5c.is_empty() {
            let decoded: Option<Vec<Vec<u8>>> = key.x5c.iter().map(|der| Base64::decode_vec(der).ok()).collect();
            let chain = decoded.ok_or_else(|| format!("key {}: x5c is not Base64", key.kid))?;
            chains.push((key.kid.clone(), point, chain));
        }
        keys.push((key, point));
    }
    // The chip's identity is the key with a certificate; TrustFLEX chips may have none.
    let identity = keys.iter().find(|(key, _)| !key.x5c.is_empty()).or(keys.first());
    let (key, point) = identity.ok_or("publicKeySet has no key")?;
    let slot: u8 = key.kid.parse().ok().filter(|slot| *slot < 16).ok_or("kid of the key is not a slot, 0 to 15")?;
    let mut certificates = chains.iter().flat_map(|(_, _, chain)| chain).map(|der| pem::encode("CERTIFICATE", der));
    let key = KeyRecord {
        slot,
        label: "device".to_owned(),
        id: String::new(),
        public_key: base16ct::lower::encode_string(&point.uncompressed()),
        public_key_pem: pem::public_key(point),
    };
    let record = Record {
        format: FORMAT.to_owned(),
        model: element.model,
        profile: element.part_number,
        time: element.provisioning_timestamp,
        certificate: certificates.next(),
        ca_certificate: certificates.next(),
        ..Record::empty(serial_number.clone(), key)
    };
    let signed = Signed {
        serial_number,
        digest: Sha256::digest(format!("{}.{}", entry.protected, entry.payload)).into(),
        signature: bytes("signature", &entry.signature)?,
        key_identifier: header.kid.map(|kid| bytes("protected: kid", &kid)).transpose()?,
        certificate_digest: header
            .certificate_digest
            .map(|digest| bytes("protected: x5t#S256", &digest))
            .transpose()?,
        chains,
    };
    Ok((signed, record))
}

fn bytes(name: &str, text: &str) -> Result<Vec<u8>, String> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| format!("{name} is not base64url"))
}

fn object<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    serde_json::from_slice(&bytes(name, text)?).map_err(|error| format!("{name}: {error}"))
}

fn point(key: &PublicJwk) -> Result<Point, String> {
    if (key.kty.as_str(), key.crv.as_str()) != ("EC", "P-256") {
        return Err(format!("it is {} {}, and the chip has keys on P-256 only", key.kty, key.crv));
    }
    let xy = [bytes("x", &key.x)?, bytes("y", &key.y)?].concat();
    let point = <&[u8; 64]>::try_from(xy.as_slice()).ok().and_then(Point::from_xy);
    point.ok_or_else(|| "x and y are not a point on P-256, 32 bytes each".to_owned())
}

impl Signed {
    /// The chip.
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// Checks the signature with the signer that the entry names, and that its certificates belong to its keys, each
    /// signed by the next. Returns the problem.
    pub fn problem(&self, signers: &[Certificate]) -> Option<String> {
        self.signature_problem(signers).or_else(|| {
            self.chains.iter().find_map(|(slot, key, chain)| {
                chain_problem(key, chain).map(|problem| format!("the certificates of key {slot}: {problem}"))
            })
        })
    }

    fn signature_problem(&self, signers: &[Certificate]) -> Option<String> {
        let is_named = |signer: &&Certificate| match (&self.certificate_digest, &self.key_identifier) {
            (Some(digest), _) => signer.fingerprint() == digest.as_slice(),
            (None, Some(identifier)) => signer.key_identifier() == *identifier,
            (None, None) => true,
        };
        let mut named = signers.iter().filter(is_named).peekable();
        if named.peek().is_none() {
            let wanted = self.certificate_digest.as_deref().map(base16ct::lower::encode_string);
            let wanted = wanted.map_or_else(String::new, |digest| format!(" (SHA-256 {digest})"));
            return Some(format!("it is signed with another certificate{wanted} than --signer gives"));
        }
        let is_right = |signer: &Certificate| {
            let key = VerifyingKey::from_public_key_der(&signer.public_key_info()).ok()?;
            let signature = Signature::from_slice(&self.signature).ok()?;
            key.verify_prehash(&self.digest, &signature).ok()
        };
        match named.find_map(is_right) {
            Some(()) => None,
            None => Some("the signature is wrong: the entry was changed, or another key signed it".to_owned()),
        }
    }
}

fn chain_problem(key: &Point, chain: &[Vec<u8>]) -> Option<String> {
    let read: Result<Vec<Certificate>> =
        chain.iter().enumerate().map(|(n, der)| Certificate::from_der(&format!("x5c {}", n + 1), der)).collect();
    let certificates = match read {
        Ok(certificates) => certificates,
        Err(error) => return Some(error.to_string()),
    };
    if certificates.first().is_some_and(|own| own.public_key_info() != key.public_key_info()) {
        return Some("the first one is for another key".to_owned());
    }
    let unsigned = certificates.windows(2).find(|pair| !pair[0].is_signed_by(&pair[1]));
    unsigned.map(|pair| format!("\"{}\" is not signed by \"{}\"", pair[0].subject(), pair[1].subject()))
}
