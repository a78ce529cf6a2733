// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 cert import`, `export`, `list` and `remove`: the certificates on the token.

use std::path::PathBuf;

use base16ct::lower::encode_string as hex;
use clap::Args;
use serde::Serialize;

use super::{CertificateInfo, Which};
use crate::chip_keys::{ChipKeys, KeyArguments, LoginArguments, StoredCertificate};
use crate::error::{Error, Result};
use crate::files::OutputArguments;
use crate::input::values::{parse_id, Id};
use crate::output::{visible, Output, Text};
use crate::target::Selection;
use crate::x509::certificate::Certificate;
use atecc608::presence::Held;
use atecc608_token::attest::KeyName;
use atecc608_token::inventory::KeyReport;

/// Arguments of `cert import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Certificates in PEM, or one in DER (- is standard input)
    file: PathBuf,
    /// The certificate's label; its key's if omitted
    #[arg(long)]
    label: Option<String>,
    /// The certificate's id in hex; its key's if omitted
    #[arg(long, value_name = "HEX", value_parser = parse_id)]
    id: Option<Id>,
    /// Remove other certificates for the same keys from the token
    #[arg(long)]
    replace: bool,
    /// On a chip with a PIN: log in with the first line of this file, to find the key that a certificate is for
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// Arguments of `cert export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    key: KeyArguments,
    /// Followed by its issuers' certificates, as far as the token has them
    #[arg(long)]
    chain: bool,
    /// DER instead of PEM
    #[arg(long, conflicts_with_all = ["json", "chain"])]
    der: bool,
    #[command(flatten)]
    output: OutputArguments,
}

/// Arguments of `cert remove`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["label", "id", "serial_number"]))]
pub struct Remove {
    #[command(flatten)]
    which: Which,
}

#[derive(Serialize)]
struct Imported {
    certificates: Vec<ImportedCertificate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Kept {
    #[serde(rename = "kept")]
    Now,
    #[serde(rename = "already there")]
    Before,
}

#[derive(Serialize)]
struct ImportedCertificate {
    result: Kept,
    #[serde(flatten)]
    certificate: CertificateInfo,
}

/// Stores the certificates of a file.
///
/// # Errors
/// [`Error::Refused`] if the file can't be read or has no certificate; the [chip errors](crate::Error#chip-errors).
pub fn import(selection: &Selection, arguments: &Import) -> Result<Output> {
    let certificates = Certificate::read_all(&arguments.file)?;
    if certificates.len() > 1 && (arguments.label.is_some() || arguments.id.is_some()) {
        return Err(Error::Refused(format!(
            "{}: it contains {} certificates, and --label and --id name one only: leave them out, and each certificate \
             gets its own",
            arguments.file.display(),
            certificates.len()
        )));
    }
    let keys = ChipKeys::open(selection)?;
    if arguments.pin_file.is_some() {
        keys.login(&LoginArguments { pin_file: arguments.pin_file.clone() })?;
    }
    let reports = keys.list()?;
    let mut text = String::new();
    let mut imported = Vec::new();
    for certificate in certificates {
        let key = key_of(&certificate, &reports);
        let own = key.map_or_else(|| common_name(&certificate), |key| key.label.clone());
        let label = arguments.label.clone().unwrap_or(own);
        let id = arguments.id.clone().or_else(|| key.and_then(|key| key.id.clone()));
        let is_new = keys.store_certificate(certificate.der(), Some(&label), id.as_deref())?;
        if key.is_some() {
            super::settle_rivals(&keys, &certificate, arguments.replace)?;
        }
        let (result, word) = if is_new { (Kept::Now, "kept") } else { (Kept::Before, "already there") };
        let whose = match key {
            Some(key) => format!("for the key in slot {}", key.key.slot),
            None => "for no key in this chip".to_owned(),
        };
        text += &format!("\"{}\" {whose}: {word}\n", visible(&certificate.subject().to_string()));
        let mut info = CertificateInfo::of(&certificate);
        info.key = key.map(|key| key.label.clone());
        if is_new {
            (info.label, info.id) = (Some(label), id.as_deref().map(hex));
        }
        imported.push(ImportedCertificate { result, certificate: info });
    }
    if let Some(key) = imported.iter().find_map(|imported| imported.certificate.key.as_ref()) {
        text += &format!("Next: {}\n", super::next(&keys.label()?, key));
    }
    Output::new(text, &Imported { certificates: imported })
}

/// Returns the key in the chip that a certificate is for.
fn key_of<'a>(certificate: &Certificate, reports: &'a [KeyReport]) -> Option<&'a KeyReport> {
    let public = certificate.public_key_info();
    reports.iter().find(|report| report.point.is_some_and(|point| point.public_key_info() == public))
}

/// Returns the label of a certificate without a key here.
fn common_name(certificate: &Certificate) -> String {
    certificate.subject().common_name_of().unwrap_or_else(|| certificate.subject().to_string())
}

/// Prints a certificate.
///
/// # Errors
/// [`Error::Refused`] if there is none, several match, or the file can't be written; the [chip
/// errors](crate::Error#chip-errors).
pub fn export(selection: &Selection, arguments: &Export) -> Result<Output> {
    arguments.output.check()?;
    let keys = ChipKeys::open(selection)?;
    let mut stored = keys.certificates()?;
    let all: Vec<Certificate> = stored.iter().map(|stored| stored.certificate.clone()).collect();
    if let Some(name) = arguments.key.name() {
        let key = report_of(&keys, &name)?;
        let public = key.point.map(|point| point.public_key_info());
        stored.retain(|stored| {
            Some(stored.certificate.public_key_info()) == public || key.id.as_ref() == Some(&stored.id)
        });
    }
    let stored = arguments.which.find(keys.place(), only_leaf(stored, &arguments.which))?;
    let mut pem = stored.certificate.pem();
    if arguments.chain {
        for issuer in chain(&stored.certificate, &all) {
            pem += &issuer.pem();
        }
    }
    let contents = if arguments.der { stored.certificate.der().to_vec() } else { pem.clone().into_bytes() };
    let mut info = CertificateInfo::stored(&stored);
    info.pem = pem;
    info.file.clone_from(&arguments.output.output);
    let text = match (arguments.output.write(&contents)?, &arguments.output.output) {
        (true, Some(path)) => {
            Text::Lines(format!("{}: the certificate of \"{}\"\n", path.display(), visible(&info.subject)))
        }
        _ => Text::Contents(contents),
    };
    Output::new(text, &info)
}

/// Returns a key by its name. No login is needed, because certificates are visible without one.
fn report_of(keys: &ChipKeys, name: &KeyName) -> Result<KeyReport> {
    let is_meant = |report: &KeyReport| match name {
        KeyName::Label(label) => report.label == *label,
        KeyName::Slot(slot) => report.key.slot == *slot,
    };
    let found = keys.list()?.into_iter().find(|report| report.held != Some(Held::Nothing) && is_meant(report));
    found.ok_or_else(|| {
        Error::Refused(format!("{}: there is no such key: `atecc608 key list` lists the keys", keys.place()))
    })
}

/// Without a selection authorities' certificates are left out.
fn only_leaf(stored: Vec<StoredCertificate>, which: &Which) -> Vec<StoredCertificate> {
    let is_authority =
        |stored: &StoredCertificate| stored.certificate.basic_constraints().is_some_and(|constraints| constraints.ca);
    if !which.is_everything() || stored.iter().all(is_authority) {
        return stored;
    }
    stored.into_iter().filter(|stored| !is_authority(stored)).collect()
}

/// Returns the issuers of a certificate among these, nearest first; a root is the last.
fn chain<'a>(certificate: &'a Certificate, all: &'a [Certificate]) -> Vec<&'a Certificate> {
    let mut chain: Vec<&Certificate> = Vec::new();
    loop {
        let last = chain.last().copied().unwrap_or(certificate);
        let is_new = |other: &&Certificate| {
            other.der() != certificate.der() && !chain.iter().any(|known| known.der() == other.der())
        };
        let next = all.iter().filter(is_new).find(|other| last.is_signed_by(other));
        match next {
            Some(next) if !last.is_self_issued() => chain.push(next),
            _ => return chain,
        }
    }
}

#[derive(Serialize)]
struct Certificates {
    certificates: Vec<CertificateInfo>,
}

/// Lists certificates.
///
/// # Errors
/// The [chip errors](crate::Error#chip-errors).
pub fn list(selection: &Selection) -> Result<Output> {
    let keys = ChipKeys::open(selection)?;
    let reports = keys.list()?;
    let mut text = String::new();
    let mut certificates = Vec::new();
    for stored in keys.certificates()? {
        let mut info = CertificateInfo::stored(&stored);
        let key = key_of(&stored.certificate, &reports);
        info.key = key.map(|key| key.label.clone());
        let key = match key {
            Some(key) => format!("for the key \"{}\" in slot {}", visible(&key.label), key.key.slot),
            None if info.is_authority => "a certification authority's".to_owned(),
            None => "for no key that is known to be in this chip".to_owned(),
        };
        text += &format!(
            "\"{}\"  {key}\n  subject  {}\n  issuer   {}\n  serial   {}\n  valid    {} to {}\n  id       {}\n",
            visible(&stored.label),
            visible(&info.subject),
            visible(&info.issuer),
            info.serial_number,
            info.not_before,
            info.not_after,
            hex(&stored.id)
        );
        certificates.push(info);
    }
    if certificates.is_empty() {
        text = "The token keeps no certificates.\n".to_owned();
    }
    Output::new(text, &Certificates { certificates })
}

/// Removes a certificate from the token.
///
/// # Errors
/// [`Error::Refused`] if there is none, or several match; the [chip errors](crate::Error#chip-errors).
pub fn remove(selection: &Selection, arguments: &Remove) -> Result<Output> {
    let keys = ChipKeys::open(selection)?;
    let stored = arguments.which.find(keys.place(), keys.certificates()?)?;
    keys.remove_certificate(&stored)?;
    let info = CertificateInfo::stored(&stored);
    Output::new(format!("The certificate of \"{}\" is no longer on the token.\n", visible(&info.subject)), &info)
}
