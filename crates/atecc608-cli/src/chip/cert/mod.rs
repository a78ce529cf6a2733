// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 cert`: creates, stores and shows certificates of keys in the chip.

mod issue;
mod store;

use std::path::PathBuf;

use base16ct::lower::encode_string as hex;
use clap::{Args, Subcommand};
use der::DateTime;
use serde::Serialize;

use crate::chip_keys::{uri, ChipKeys, StoredCertificate};
use crate::error::{Error, Result};
use crate::input::values::{parse_id, Id};
use crate::output::{warn, Output};
use crate::target::Selection;
use crate::x509::certificate::Certificate;
use crate::x509::terms::{parse_end, parse_time, End, Terms};

/// What is to be done with certificates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Have a certification authority sign a certificate, for a key in the chip or a request
    Issue(Box<issue::Issue>),
    /// Have a key in the chip sign its own certificate
    SelfSign(Box<issue::SelfSign>),
    /// Store certificates from a file on the token
    Import(store::Import),
    /// Print a certificate of the token
    Export(store::Export),
    /// List the token's certificates
    List,
    /// Remove a certificate from the token; its key stays
    Remove(store::Remove),
}

/// Runs the command.
///
/// # Errors
/// As the command's `run`.
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Issue(arguments) => issue::issue(selection, arguments),
        Command::SelfSign(arguments) => issue::self_sign(selection, arguments),
        Command::Import(arguments) => store::import(selection, arguments),
        Command::Export(arguments) => store::export(selection, arguments),
        Command::List => store::list(selection),
        Command::Remove(arguments) => store::remove(selection, arguments),
    }
}

/// How long a certificate is to be valid, and what for.
#[derive(Clone, Debug, Args)]
struct TermsArguments {
    /// Valid for this many days; 3650 if nothing is said, or as long as the authority if that is less
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_650_000))]
    days: Option<u32>,
    /// Valid from then on, such as 2026-01-31 or 2026-01-31T12:00:00Z; an hour ago if omitted
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    not_before: Option<DateTime>,
    /// Valid until then, or never to expire
    #[arg(long, value_name = "TIME|never", value_parser = parse_end, conflicts_with = "days")]
    not_after: Option<End>,
    /// For a TLS server; with --client for both. A client's is the default
    #[arg(long)]
    server: bool,
    /// For a TLS client
    #[arg(long)]
    client: bool,
    /// For a certification authority
    #[arg(long, conflicts_with_all = ["server", "client"])]
    authority: bool,
    /// With this many authorities below it at most
    #[arg(long, value_name = "N", requires = "authority")]
    path_length: Option<u8>,
}

impl TermsArguments {
    fn get(&self) -> Terms {
        let end = self.not_after.or(self.days.map(End::Days)).unwrap_or(End::Usual);
        let client = (self.client || !self.server) && !self.authority;
        let authority = self.authority.then_some(self.path_length);
        Terms { not_before: self.not_before, end, client, server: self.server, authority }
    }
}

/// Returns the next step after a certificate is on the token.
fn next(token: &str, key: &str) -> String {
    let uri = uri::private_key(token, key);
    format!("use the key and its certificate in a program (docs/clients.md): {uri}")
}

/// Other certificates of the token for the same key: removed with `--replace`, else listed.
fn settle_rivals(keys: &ChipKeys, certificate: &Certificate, replace: bool) -> Result<()> {
    for rival in keys.rivals(certificate)? {
        let (subject, serial) = (rival.certificate.subject(), rival.certificate.serial_number());
        if !rival.removable {
            warn(&format!(
                "the chip has a built-in certificate for the same key (\"{subject}\"), which can't be removed, and \
                 clients may use that one: give the new one another label (--label), and name that label to clients"
            ));
        } else if replace {
            keys.remove_certificate(&rival)?;
        } else {
            warn(&format!(
                "the token has another certificate for the same key (\"{subject}\", serial number {serial}), and \
                 clients may use that one: remove it with `atecc608 cert remove --serial {serial}`, or use --replace \
                 next time"
            ));
        }
    }
    Ok(())
}

/// Which certificate of the token.
#[derive(Clone, Debug, Args)]
struct Which {
    /// The certificate with this label
    #[arg(long)]
    label: Option<String>,
    /// The certificate with this id, which is its key's
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    id: Option<Id>,
    /// The certificate with this serial number
    #[arg(long = "serial", value_name = "HEX")]
    serial_number: Option<String>,
}

impl Which {
    /// Whether no option was given.
    fn is_everything(&self) -> bool {
        self.label.is_none() && self.id.is_none() && self.serial_number.is_none()
    }

    fn is_meant(&self, stored: &StoredCertificate) -> bool {
        let is_its_number = |text: &String| {
            let given = text.replace(':', "").to_ascii_lowercase();
            stored.certificate.serial_number().trim_start_matches('0') == given.trim_start_matches('0')
        };
        self.label.as_ref().is_none_or(|label| *label == stored.label)
            && self.id.as_ref().is_none_or(|id| *id == stored.id)
            && self.serial_number.as_ref().is_none_or(is_its_number)
    }

    /// Returns the certificate that the options select.
    fn find(&self, place: &str, all: Vec<StoredCertificate>) -> Result<StoredCertificate> {
        let how_many = all.len();
        let mut found: Vec<StoredCertificate> = all.into_iter().filter(|stored| self.is_meant(stored)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Error::Refused(format!(
                "{place}: the token has no such certificate among its {how_many}: `atecc608 cert list` shows them"
            ))),
            (Some(_), false) => Err(Error::Refused(format!(
                "{place}: several certificates match: choose one with --label, --id or --serial (`atecc608 cert list`)"
            ))),
        }
    }
}

/// A certificate in JSON.
#[derive(Serialize)]
struct CertificateInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    subject: String,
    issuer: String,
    serial_number: String,
    not_before: String,
    not_after: String,
    subject_alternative_names: Vec<String>,
    is_authority: bool,
    sha256_fingerprint: String,
    pem: String,
    /// The private key in the chip.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

impl CertificateInfo {
    fn of(certificate: &Certificate) -> Self {
        Self {
            label: None,
            id: None,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial_number: certificate.serial_number(),
            not_before: certificate.validity().not_before.to_string(),
            not_after: certificate.validity().not_after.to_string(),
            subject_alternative_names: certificate.alternative_names(),
            is_authority: certificate.basic_constraints().is_some_and(|constraints| constraints.ca),
            sha256_fingerprint: hex(&certificate.fingerprint()),
            pem: certificate.pem(),
            key: None,
            file: None,
        }
    }

    fn stored(stored: &StoredCertificate) -> Self {
        let label = Some(stored.label.clone());
        Self { label, id: Some(hex(&stored.id)), ..Self::of(&stored.certificate) }
    }
}
