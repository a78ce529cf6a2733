// SPDX-License-Identifier: MIT OR Apache-2.0
//! A certification authority: its certificate and its private key, which are checked to belong together and to be
//! usable for signing now.

use std::path::Path;

use der::DateTime;

use super::certificate::Certificate;
use super::key_file::{Passphrase, PrivateKey};
use super::signer::Signer;
use super::terms;
use crate::error::{Error, Result};

/// A certificate, and its private key, which signs.
pub struct Authority {
    certificate: Certificate,
    /// Its issuers, as far as they are in the same file.
    chain: Vec<Certificate>,
    key: Box<dyn Signer>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.certificate.subject())
    }
}

impl Authority {
    /// Reads an authority with its key in a file.
    ///
    /// # Errors
    /// As [`Authority::new`]; [`Error::Refused`] if a file can't be read.
    pub fn read(certificate: &Path, key: &Path, passphrase: &Passphrase) -> Result<Self> {
        // Before asking for a passphrase.
        let certificates = Certificate::read_all(certificate)?;
        let private = PrivateKey::read(key, passphrase)?;
        let names = Names { certificate: certificate.display().to_string(), key: key.display().to_string() };
        Self::checked(certificates, Box::new(private), &names)
    }

    /// Reads an authority's certificate; its key is elsewhere, for instance in a chip. `key_name` is its name in
    /// messages.
    ///
    /// # Errors
    /// As [`Authority::new`]; [`Error::Refused`] if the file can't be read.
    pub fn with_key(certificate: &Path, key: Box<dyn Signer>, key_name: &str) -> Result<Self> {
        let names = Names { certificate: certificate.display().to_string(), key: key_name.to_owned() };
        Self::checked(Certificate::read_all(certificate)?, key, &names)
    }

    /// Creates an authority from a certificate and its key.
    ///
    /// # Errors
    /// [`Error::Refused`] if they don't belong together, the certificate is not an authority's, or it is not valid now.
    pub fn new(certificate: Certificate, key: Box<dyn Signer>) -> Result<Self> {
        let names = Names { certificate: "the CA certificate".to_owned(), key: "the CA key".to_owned() };
        Self::checked(vec![certificate], key, &names)
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Returns its certificate and its known issuers': they follow a certificate that it signed in a chain.
    pub fn chain(&self) -> Vec<&Certificate> {
        std::iter::once(&self.certificate).chain(&self.chain).collect()
    }

    /// Its key.
    pub fn key(&self) -> &dyn Signer {
        self.key.as_ref()
    }

    fn checked(mut certificates: Vec<Certificate>, key: Box<dyn Signer>, names: &Names) -> Result<Self> {
        let public = key.public_key_info();
        // In a file with a chain, its certificate is the one for the key.
        let Some(own) = certificates.iter().position(|certificate| certificate.public_key_info() == public) else {
            let subjects: Vec<String> =
                certificates.iter().map(|certificate| format!("\"{}\"", certificate.subject())).collect();
            return Err(Error::Refused(format!(
                "{} is not the private key of {} ({}): they belong to two different pairs. Compare `openssl pkey -in KEY -pubout` \
                 with `openssl x509 -in CERTIFICATE -noout -pubkey`",
                names.key,
                names.certificate,
                subjects.join(", ")
            )));
        };
        let certificate = certificates.remove(own);
        check(&certificate, &names.certificate)?;
        let chain = issuers(&certificate, certificates);
        Ok(Self { certificate, chain, key })
    }
}

/// The names of the two in messages.
struct Names {
    certificate: String,
    key: String,
}

fn check(certificate: &Certificate, name: &str) -> Result<()> {
    let subject = certificate.subject();
    let refused = |problem: String| Err(Error::Refused(format!("{name} (\"{subject}\"): {problem}")));
    match certificate.basic_constraints() {
        Some(constraints) if constraints.ca => {}
        Some(_) => {
            return refused(
                "this is not the certificate of a certification authority (basicConstraints CA:FALSE): verifiers would \
                 refuse what it signs"
                    .to_owned(),
            )
        }
        None if certificate.is_version_1() => {
            return refused(
                "this is a certificate of version 1, which has no extensions (basicConstraints CA:TRUE is missing): most verifiers \
                 refuse what it signs. Make one of version 3 with the same key and name: `openssl req -x509 -new -key CA-KEY -subj \
                 NAME -days 3650 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out NEW-FILE`"
                    .to_owned(),
            )
        }
        None => {
            return refused(
                "this is not marked as the certificate of a certification authority (basicConstraints CA:TRUE is \
                 missing): verifiers would refuse what it signs. Create it with `openssl req -x509 -addext \
                 basicConstraints=critical,CA:TRUE`"
                    .to_owned(),
            )
        }
    }
    if certificate.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return refused("its keyUsage does not permit signing certificates (keyCertSign is missing)".to_owned());
    }
    let (now, validity) = (terms::now()?, certificate.validity());
    let today = DateTime::from_unix_duration(now).map(|now| now.to_string()).unwrap_or_default();
    if validity.not_after.to_unix_duration() < now {
        return refused(format!(
            "it expired at {}, and now is {today}: renew it first; verifiers would refuse what it signs",
            validity.not_after
        ));
    }
    if validity.not_before.to_unix_duration() > now {
        return refused(format!(
            "it is valid from {} on, and now is {today}: is this machine's clock right? (`timedatectl`)",
            validity.not_before
        ));
    }
    Ok(())
}

/// Returns the issuers among these certificates, nearest first.
fn issuers(certificate: &Certificate, mut others: Vec<Certificate>) -> Vec<Certificate> {
    let mut chain: Vec<Certificate> = Vec::new();
    loop {
        let last = chain.last().unwrap_or(certificate);
        if last.is_self_issued() {
            return chain;
        }
        let Some(next) = others.iter().position(|other| last.is_signed_by(other)) else { return chain };
        chain.push(others.remove(next));
    }
}
