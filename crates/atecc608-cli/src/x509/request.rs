// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificate signing requests (PKCS#10, RFC 2986).

use std::path::Path;

use der::asn1::SetOfVec;
use der::oid::AssociatedOid;
use der::{Decode, Encode};
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::name::RdnSequence;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::issue::{alternative_names, not_encoded, sign, Applicant};
use super::pem::{self, Contents};
use super::signer::Signer;
use super::subject::Subject;
use super::verify;
use crate::error::{Error, Result};

/// Creates a request, signed by its own key; returns it in DER.
///
/// # Errors
/// As [`Signer::sign`].
pub fn build(subject: &Subject, alternative: &[GeneralName], key: &dyn Signer) -> Result<Vec<u8>> {
    let encode = || {
        let mut attributes = SetOfVec::new();
        if let Some(names) = alternative_names(subject.is_empty(), alternative)? {
            attributes.insert(Attribute::try_from(ExtensionReq(vec![names]))?)?;
        }
        CertReqInfo {
            version: Version::V1,
            subject: RdnSequence::from_der(subject.der())?,
            public_key: SubjectPublicKeyInfoOwned::from_der(&key.public_key_info())?,
            attributes,
        }
        .to_der()
    };
    sign(&encode().map_err(not_encoded)?, key)
}

/// Encodes a request in PEM.
pub fn to_pem(der: &[u8]) -> String {
    pem::encode("CERTIFICATE REQUEST", der)
}

/// Reads a request from a file (`-`: standard input), and checks that its sender has the private key.
///
/// # Errors
/// [`Error::Refused`] if it can't be read, is not a request, or its signature is wrong.
pub fn read(path: &Path) -> Result<Applicant> {
    let name = path.display().to_string();
    let is_request = |label: &str| matches!(label, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST");
    match pem::read_file(path)? {
        Contents::Der(der) => parse(&name, &der),
        Contents::Pem(blocks) => match blocks.iter().find(|block| is_request(&block.label)) {
            Some(block) => parse(&name, &block.der),
            None => {
                let labels: Vec<&str> = blocks.iter().map(|block| block.label.as_str()).collect();
                Err(Error::Refused(format!("{name}: this is {} instead of a certificate request", labels.join(", "))))
            }
        },
    }
}

/// Parses a request in DER; `name` is its name in messages. Of the requested extensions only subjectAltName is used:
/// the issuer decides about the others.
///
/// # Errors
/// As [`read`].
pub fn parse(name: &str, der: &[u8]) -> Result<Applicant> {
    let refused = |problem: String| Error::Refused(format!("{name}: {problem}"));
    let no_request = |error: der::Error| refused(format!("this is not a certificate request: {error}"));
    if let Some(problem) = pem::instead_of("a certificate request", pem::kind(der), name, false) {
        return Err(refused(problem));
    }
    let request = CertReq::from_der(der).map_err(no_request)?;
    let signed = verify::first_field(der).map_err(no_request)?;
    let public_key_info = request.info.public_key.to_der().map_err(no_request)?;
    let signature = request.signature.as_bytes().unwrap_or_default();
    verify::verify(&public_key_info, &request.algorithm, signed, signature)
        .map_err(|problem| refused(format!("the certificate request can't be trusted: {problem}")))?;
    if let Some(bits) = verify::too_few_rsa_bits(&public_key_info) {
        return Err(refused(format!(
            "the certificate request is for a key of RSA with {bits} bits: AWS IoT, Azure and OpenSSL refuse less than 2048"
        )));
    }
    Ok(Applicant {
        subject: Subject::from_der(&request.info.subject.to_der().map_err(no_request)?)?,
        public_key_info,
        alternative: asked_names(&request.info).map_err(no_request)?,
    })
}

fn asked_names(info: &CertReqInfo) -> der::Result<Vec<GeneralName>> {
    for attribute in info.attributes.iter().filter(|attribute| attribute.oid == ExtensionReq::OID) {
        for value in attribute.values.iter() {
            let extensions = ExtensionReq::from_der(&value.to_der()?)?;
            if let Some(names) = extensions.0.iter().find(|extension| extension.extn_id == SubjectAltName::OID) {
                return SubjectAltName::from_der(names.extn_value.as_bytes()).map(|names| names.0);
            }
        }
    }
    Ok(Vec::new())
}
