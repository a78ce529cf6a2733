// SPDX-License-Identifier: MIT OR Apache-2.0
//! An existing certificate, parsed (RFC 5280 section 4.1).

use std::path::Path;

use base16ct::lower::encode_string as hex;
use der::oid::AssociatedOid;
use der::{Decode, Encode, SliceReader};
use sha1::{Digest, Sha1};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName, SubjectKeyIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::Validity;

use super::alternative;
use super::pem::{self, Contents};
use super::subject::Subject;
use super::verify;
use crate::error::{Error, Result};

/// A certificate and its fields.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    subject: Subject,
    issuer: Subject,
}

impl Certificate {
    /// Parses a certificate in DER; `name` is its name in messages.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not a certificate.
    pub fn from_der(name: &str, der: &[u8]) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::Refused(format!("{name}: this is not an X.509 certificate: {error}"))
        };
        if let Some(problem) = pem::instead_of("a certificate", pem::kind(der), name, false) {
            return Err(Error::Refused(format!("{name}: {problem}")));
        }
        // First the parser whose errors are about certificates: the token's are about CKA_VALUE.
        let parsed = x509_cert::Certificate::from_der(der).map_err(|error| failed(&error))?;
        let fields = atecc608_token::certificate::parse(der).map_err(|error| failed(&error))?;
        Ok(Self {
            parsed,
            subject: Subject::from_der(&fields.subject)?,
            issuer: Subject::from_der(&fields.issuer)?,
            der: der.to_vec(),
        })
    }

    /// Reads all certificates of a file (`-`: standard input), at least one.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be read or has no certificate.
    pub fn read_all(path: &Path) -> Result<Vec<Self>> {
        let name = path.display().to_string();
        let blocks = match pem::read_file(path)? {
            Contents::Der(der) => return Ok(vec![Self::from_der(&name, &der)?]),
            Contents::Pem(blocks) => blocks,
        };
        let is_certificate = |label: &str| matches!(label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE");
        let certificates: Vec<Self> = blocks
            .iter()
            .filter(|block| is_certificate(&block.label))
            .map(|block| Self::from_der(&name, &block.der))
            .collect::<Result<_>>()?;
        if certificates.is_empty() {
            if let Some(problem) =
                blocks.iter().find_map(|block| pem::instead_of("a certificate", pem::kind(&block.der), &name, true))
            {
                return Err(Error::Refused(format!("{name}: {problem}")));
            }
            let labels: Vec<&str> = blocks.iter().map(|block| block.label.as_str()).collect();
            return Err(Error::Refused(format!(
                "{name}: this is {} instead of a certificate: were the two files swapped?",
                labels.join(", ")
            )));
        }
        Ok(certificates)
    }

    /// The whole in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The whole in PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// Whether it is of version 1, which has no extensions.
    pub fn is_version_1(&self) -> bool {
        self.parsed.tbs_certificate.version == x509_cert::Version::V1
    }

    /// The subject.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The issuer.
    pub fn issuer(&self) -> &Subject {
        &self.issuer
    }

    /// The serial number as hex digits.
    pub fn serial_number(&self) -> String {
        hex(self.parsed.tbs_certificate.serial_number.as_bytes())
    }

    /// Its validity.
    pub fn validity(&self) -> &Validity {
        &self.parsed.tbs_certificate.validity
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        // It was decoded from DER, so it encodes.
        self.parsed.tbs_certificate.subject_public_key_info.to_der().unwrap_or_default()
    }

    /// SHA-256 over the certificate: OpenSSL's fingerprint.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha2::Sha256::digest(&self.der).into()
    }

    /// basicConstraints, if it has them.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.extension()
    }

    /// keyUsage, if it has it.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.extension()
    }

    /// Further names of the subject, in OpenSSL's notation.
    pub fn alternative_names(&self) -> Vec<String> {
        let names: Option<SubjectAltName> = self.extension();
        names.map(|names| names.0.iter().map(alternative::text).collect()).unwrap_or_default()
    }

    /// The identifier of its key in certificates that it signs: its subjectKeyIdentifier, else the one that RFC 5280
    /// derives from its public key.
    pub fn key_identifier(&self) -> Vec<u8> {
        let told: Option<SubjectKeyIdentifier> = self.extension();
        match told {
            Some(SubjectKeyIdentifier(identifier)) => identifier.into_bytes(),
            None => key_identifier(&self.public_key_info()).unwrap_or_default(),
        }
    }

    /// Whether issuer and subject are the same.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether `other` signed it: the names match, and the signature is valid.
    pub fn is_signed_by(&self, other: &Self) -> bool {
        let tbs = self.to_be_signed();
        let signature = self.parsed.signature.as_bytes();
        self.issuer == other.subject
            && tbs.zip(signature).is_some_and(|(tbs, signature)| {
                verify::verify(&other.public_key_info(), &self.parsed.signature_algorithm, tbs, signature).is_ok()
            })
    }

    /// The TBSCertificate as it was signed, not re-encoded.
    fn to_be_signed(&self) -> Option<&[u8]> {
        verify::first_field(&self.der).ok()
    }

    /// Returns an extension that occurs once and is valid.
    fn extension<'a, T: Decode<'a> + AssociatedOid>(&'a self) -> Option<T> {
        self.parsed.tbs_certificate.get::<T>().ok().flatten().map(|(_, value)| value)
    }
}

/// Returns the identifier of a key: SHA-1 over the bits of its public key (RFC 5280 section 4.2.1.2, method 1).
///
/// # Errors
/// A decoding error.
pub fn key_identifier(public_key_info: &[u8]) -> der::Result<Vec<u8>> {
    let mut reader = SliceReader::new(public_key_info)?;
    let info = SubjectPublicKeyInfoRef::decode(&mut reader)?;
    Ok(Sha1::digest(info.subject_public_key.raw_bytes()).to_vec())
}
