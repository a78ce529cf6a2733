// SPDX-License-Identifier: MIT OR Apache-2.0
//! New certificates (RFC 5280 section 4.1): version 3, with a random serial number, and the extensions that OpenSSL in
//! its strict mode, GnuTLS and AWS IoT require.
//!
//! They are built from x509-cert's structures rather than by its builder, so that the issuer's name is copied byte for
//! byte (many verifiers do not accept a name that is only equivalent), and any [`Signer`] can sign.

use der::asn1::{AnyRef, BitString, BitStringRef, ObjectIdentifier, OctetString};
use der::oid::AssociatedOid;
use der::{Decode, Encode, Sequence};
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::Extension;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Validity;

use super::authority::Authority;
use super::certificate::{key_identifier, Certificate};
use super::signer::Signer;
use super::subject::Subject;
use super::terms::Terms;
use crate::error::{Error, Result};

/// id-kp-clientAuth (RFC 5280 section 4.2.1.12).
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// id-kp-serverAuth.
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// Length of a serial number: the maximum of RFC 5280.
const SERIAL_LEN: usize = 20;

/// The subject of a new certificate, and its key.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// The subject.
    pub subject: Subject,
    /// SubjectPublicKeyInfo in DER.
    pub public_key_info: Vec<u8>,
    /// Further names.
    pub alternative: Vec<GeneralName>,
}

/// TBSCertificate, with names and key already in DER.
#[derive(Sequence)]
struct ToBeSigned<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    public_key_info: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// Certificate, or another signed structure.
#[derive(Sequence)]
struct Signed<'a> {
    content: AnyRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitStringRef<'a>,
}

/// Creates a certificate signed by the authority; returns it in DER.
///
/// # Errors
/// [`Error::Refused`] if the terms are impossible; the errors of [`Signer::sign`].
pub fn issue(applicant: &Applicant, terms: &Terms, authority: &Authority) -> Result<Vec<u8>> {
    let certificate = authority.certificate();
    if applicant.subject == *certificate.subject() {
        return Err(Error::Refused(format!(
            "\"{}\" is the authority's own name: verifiers would confuse a certificate of another key with the \
             authority's. Choose another --subject",
            applicant.subject
        )));
    }
    let terms = &below(terms, certificate)?;
    let validity = terms.validity(Some(certificate.validity()))?;
    let issuer = Issuer { name: certificate.subject(), key: certificate.key_identifier(), signer: authority.key() };
    make(applicant, terms, validity, &issuer)
}

/// Returns the terms, limited to what the authority's own certificate allows for authorities below it (RFC 5280 section
/// 4.2.1.9).
fn below(terms: &Terms, authority: &Certificate) -> Result<Terms> {
    let most = authority.basic_constraints().and_then(|constraints| constraints.path_len_constraint);
    let (Some(wanted), Some(most)) = (terms.authority, most) else { return Ok(terms.clone()) };
    match most.checked_sub(1) {
        Some(most) if wanted.is_none_or(|wanted| wanted <= most) => {
            Ok(Terms { authority: Some(Some(wanted.unwrap_or(most))), ..terms.clone() })
        }
        _ => Err(Error::Refused(format!(
            "the authority \"{}\" may have {most} authorities below it at most (pathlen): verifiers would refuse this \
             one",
            authority.subject()
        ))),
    }
}

/// Creates a self-signed certificate; returns it in DER.
///
/// # Errors
/// As [`issue`].
pub fn self_sign(subject: &Subject, alternative: &[GeneralName], terms: &Terms, key: &dyn Signer) -> Result<Vec<u8>> {
    let public_key_info = key.public_key_info();
    let issuer = Issuer { name: subject, key: identifier(&public_key_info)?, signer: key };
    let applicant = Applicant { subject: subject.clone(), public_key_info, alternative: alternative.to_vec() };
    make(&applicant, terms, terms.validity(None)?, &issuer)
}

/// Signs a structure; returns it with algorithm and signature, in DER.
///
/// # Errors
/// As [`Signer::sign`].
pub(super) fn sign(content: &[u8], signer: &dyn Signer) -> Result<Vec<u8>> {
    let signature = signer.sign(content)?;
    let signed = AnyRef::from_der(content).and_then(|content| {
        let signature = BitStringRef::from_bytes(&signature)?;
        Signed { content, algorithm: signer.algorithm(), signature }.to_der()
    });
    signed.map_err(not_encoded)
}

pub(super) fn not_encoded(error: der::Error) -> Error {
    Error::Refused(format!("the certificate can't be encoded: {error}"))
}

struct Issuer<'a> {
    name: &'a Subject,
    /// Its key's identifier.
    key: Vec<u8>,
    signer: &'a dyn Signer,
}

fn make(applicant: &Applicant, terms: &Terms, validity: Validity, issuer: &Issuer<'_>) -> Result<Vec<u8>> {
    if applicant.subject.is_empty() && applicant.alternative.is_empty() {
        return Err(Error::Refused("a certificate needs a subject: --subject /CN=...".to_owned()));
    }
    let encode = || {
        ToBeSigned {
            version: Version::V3,
            serial_number: random_serial_number()?,
            signature: issuer.signer.algorithm(),
            issuer: AnyRef::from_der(issuer.name.der())?,
            validity,
            subject: AnyRef::from_der(applicant.subject.der())?,
            public_key_info: AnyRef::from_der(&applicant.public_key_info)?,
            extensions: extensions(applicant, terms, issuer)?,
        }
        .to_der()
    };
    sign(&encode().map_err(not_encoded)?, issuer.signer)
}

/// 20 random bytes, positive and of constant length, so that they are unpredictable and unique (RFC 5280 section
/// 4.1.2.2, CA/Browser Forum baseline requirements section 7.1).
fn random_serial_number() -> der::Result<SerialNumber> {
    let mut bytes = [0; SERIAL_LEN];
    getrandom::fill(&mut bytes).map_err(|_| der::ErrorKind::Failed)?;
    bytes[0] = bytes[0] & 0x7F | 0x40;
    SerialNumber::new(&bytes)
}

fn extensions(applicant: &Applicant, terms: &Terms, issuer: &Issuer<'_>) -> der::Result<Vec<Extension>> {
    let constraints = match terms.authority {
        Some(path_len_constraint) => BasicConstraints { ca: true, path_len_constraint },
        None => BasicConstraints { ca: false, path_len_constraint: None },
    };
    let usage = if terms.authority.is_some() {
        KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign
    } else {
        KeyUsages::DigitalSignature.into()
    };
    let mut extensions =
        vec![extension(true, &constraints)?, extension_with(KeyUsage::OID, true, &key_usage_bits(KeyUsage(usage))?)?];
    let purposes = [(terms.client, CLIENT_AUTH), (terms.server, SERVER_AUTH)];
    let purposes: Vec<ObjectIdentifier> = purposes.into_iter().filter_map(|(is, oid)| is.then_some(oid)).collect();
    if !purposes.is_empty() {
        extensions.push(extension(false, &ExtendedKeyUsage(purposes))?);
    }
    let subject_key = OctetString::new(key_identifier(&applicant.public_key_info)?)?;
    extensions.push(extension(false, &SubjectKeyIdentifier(subject_key))?);
    let key_identifier = Some(OctetString::new(issuer.key.as_slice())?);
    extensions.push(extension(false, &AuthorityKeyIdentifier { key_identifier, ..AuthorityKeyIdentifier::default() })?);
    extensions.extend(alternative_names(applicant.subject.is_empty(), &applicant.alternative)?);
    Ok(extensions)
}

/// subjectAltName, if there are such names; critical if the subject is empty (RFC 5280 section 4.2.1.6).
pub(super) fn alternative_names(alone: bool, names: &[GeneralName]) -> der::Result<Option<Extension>> {
    if names.is_empty() {
        return Ok(None);
    }
    extension(alone, &SubjectAltName(names.to_vec())).map(Some)
}

fn extension<T: AssociatedOid + Encode>(critical: bool, value: &T) -> der::Result<Extension> {
    extension_with(T::OID, critical, value)
}

fn extension_with(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> der::Result<Extension> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// A named bit list has no trailing zeros in DER (X.690 section 11.2.2).
fn key_usage_bits(usage: KeyUsage) -> der::Result<BitString> {
    // Bit 0 of the standard is the lowest bit of the flags, and the first of the BIT STRING.
    let first = (usage.0.bits() as u8).reverse_bits();
    BitString::new(first.trailing_zeros() as u8 & 7, [first])
}

fn identifier(public_key_info: &[u8]) -> Result<Vec<u8>> {
    key_identifier(public_key_info).map_err(not_encoded)
}
