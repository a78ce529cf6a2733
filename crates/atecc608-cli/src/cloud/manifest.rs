// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 manifest`: reads the manifest of `provision --batch`, or of Microchip's factory, checks it, and converts
//! it for a cloud's bulk registration. Needs no chip.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{aws, azure};
use crate::error::{Error, Result};
use crate::manifest::{Chips, Record};
use crate::output::check::{self, Check, Remedies, Verdict};
use crate::output::{note, visible, Output};
use crate::x509::certificate::Certificate;
use atecc608_token::point::Point;

/// What is to be made of a manifest.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The chips in it
    List(ListArguments),
    /// Check the signatures and certificates of all chips; exit status 3 if any is wrong
    Check(CheckArguments),
    /// The file for AWS IoT's bulk registration (start-thing-registration-task), one JSON line per thing
    Aws(aws::bulk::Arguments),
    /// Individual enrolments for Azure's Device Provisioning Service, as CSV or as bodies of its bulk operation
    Azure(azure::enrolments::Arguments),
}

/// Arguments of `manifest list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// The manifest: a batch's, or Microchip's
    file: PathBuf,
}

/// Arguments of `manifest check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The manifest: a batch's, or Microchip's
    file: PathBuf,
    /// The certificate of the key that signed a manifest from Microchip (PEM or DER; more than once, for several)
    #[arg(long, value_name = "FILE")]
    signer: Vec<PathBuf>,
}

/// A manifest of which something is made for a cloud.
#[derive(Debug, Args)]
pub struct ManifestArguments {
    /// The manifest: a batch's, or Microchip's
    pub file: PathBuf,
    /// The certificate of the key that signed a manifest from Microchip (PEM or DER; more than once, for several)
    #[arg(long, value_name = "FILE")]
    signer: Vec<PathBuf>,
    /// Accept a manifest from Microchip without verifying its signatures
    #[arg(long, conflicts_with = "signer")]
    unchecked: bool,
}

impl ManifestArguments {
    /// Returns the chips; of Microchip's manifests after checking every signature and certificate.
    ///
    /// # Errors
    /// As [`existing`]; [`Error::Refused`] if an entry is not what its signer wrote.
    pub fn chips(&self) -> Result<Chips> {
        let chips = existing(&self.file)?;
        if self.unchecked {
            return Ok(chips);
        }
        let wrong: Vec<Check> =
            checked(&self.file, &chips, &self.signer)?.into_iter().filter(Check::has_failed).collect();
        match wrong.first() {
            // The certificates of a batch are checked when they are used.
            Some(first) if chips.signed.is_some() => Err(Error::Refused(format!(
                "{}: {} chips do not match their signatures, the first {}: {}. Nothing was written; `atecc608 manifest \
                 check` lists them",
                self.file.display(),
                wrong.len(),
                first.name,
                first.detail
            ))),
            _ => Ok(chips),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Error::Refused`] if the file can't be read, or a chip lacks required data.
pub fn run(command: &Command) -> Result<Output> {
    match command {
        Command::List(arguments) => list(&existing(&arguments.file)?),
        Command::Check(arguments) => check(arguments),
        Command::Aws(arguments) => aws::bulk::run(arguments),
        Command::Azure(arguments) => azure::enrolments::run(arguments),
    }
}

/// Returns the chips of a file that must exist.
///
/// # Errors
/// [`Error::Refused`] if it does not exist; else as [`Chips::read`].
pub fn existing(path: &Path) -> Result<Chips> {
    if !path.exists() {
        return Err(Error::Refused(format!(
            "{}: there is no such file; `atecc608 provision --batch` writes one",
            path.display()
        )));
    }
    Chips::read(path)
}

/// Returns the problems of each chip's entry, if any.
fn checked(file: &Path, chips: &Chips, signers: &[PathBuf]) -> Result<Vec<Check>> {
    let Some(signed) = &chips.signed else {
        let problem = |chip: &Record| (chip.serial_number.clone(), own_problem(chip));
        return Ok(chips.records.iter().map(problem).map(as_check).collect());
    };
    if signers.is_empty() {
        return Err(Error::Refused(format!(
            "{}: the entries of this manifest from Microchip are signed: pass the signer's certificate with --signer \
             FILE. Microchip offers it for download beside the manifest",
            file.display()
        )));
    }
    let mut certificates = Vec::new();
    for signer in signers {
        certificates.extend(Certificate::read_all(signer)?);
    }
    let problem =
        |chip: &crate::manifest::microchip::Signed| (chip.serial_number().to_owned(), chip.problem(&certificates));
    Ok(signed.iter().map(problem).map(as_check).collect())
}

fn as_check((serial_number, problem): (String, Option<String>)) -> Check {
    match problem {
        None => Check::new(serial_number, Verdict::Ok, "valid"),
        Some(problem) => Check::new(serial_number, Verdict::Failed, problem),
    }
}

/// Returns the problem of the certificate in a batch's record.
fn own_problem(chip: &Record) -> Option<String> {
    let read = |name: &str, pem: &str| {
        let (_, der) =
            der::pem::decode_vec(pem.as_bytes()).map_err(|error| format!("{name} can't be read: {error}"))?;
        Certificate::from_der(name, &der).map_err(|error| error.to_string())
    };
    let certificate = match read("the certificate", chip.certificate.as_deref()?) {
        Ok(certificate) => certificate,
        Err(problem) => return Some(problem),
    };
    let key = base16ct::mixed::decode_vec(&chip.key.public_key).ok().and_then(|key| Point::from_uncompressed(&key));
    if key.is_none_or(|key| key.public_key_info() != certificate.public_key_info()) {
        return Some("the certificate is for another key than that of the chip".to_owned());
    }
    match chip.ca_certificate.as_deref().map(|pem| read("the authority's certificate", pem)) {
        Some(Err(problem)) => Some(problem),
        Some(Ok(authority)) if !certificate.is_signed_by(&authority) => {
            Some(format!("the certificate is not signed by \"{}\"", authority.subject()))
        }
        _ => None,
    }
}

fn check(arguments: &CheckArguments) -> Result<Output> {
    let chips = existing(&arguments.file)?;
    let checks = checked(&arguments.file, &chips, &arguments.signer)?;
    let wrong: Vec<Check> = checks.iter().filter(|check| check.has_failed()).cloned().collect();
    let looked_at = match chips.signed {
        Some(_) => "signatures, keys and certificates",
        None => "keys and certificates",
    };
    let text = format!(
        "{}{} of {} chips are valid ({looked_at})\n",
        check::text(&wrong, Remedies::All),
        checks.len() - wrong.len(),
        checks.len()
    );
    Ok(Output::new(text, &serde_json::json!({ "chips": checks.len(), "wrong": wrong.len(), "checks": checks }))?
        .negative_if(!wrong.is_empty()))
}

fn list(chips: &Chips) -> Result<Output> {
    if chips.signed.is_some() {
        note(
            "the signatures of this manifest from Microchip were not verified: `atecc608 manifest check` verifies \
             them",
        );
    }
    let mut text = String::new();
    for chip in &chips.records {
        let certificate = if chip.certificate.is_some() { "certificate" } else { "no certificate" };
        text += &format!(
            "{}  {}  {}  {}  {certificate}{}\n",
            visible(&chip.serial_number),
            visible(&chip.model),
            visible(&chip.profile),
            visible(&chip.time),
            if chip.adopted { ", provisioned by another party" } else { "" }
        );
    }
    text += &format!("{} chips\n", chips.records.len());
    Output::new(text, &serde_json::json!({ "chips": chips.records }))
}

/// Returns one message about all chips that lack data for an export.
pub fn lacking(what: &str, remedy: &str, serial_numbers: &[&str]) -> Error {
    Error::Refused(format!(
        "{} chips have no {what} in the manifest ({}): {remedy}",
        serial_numbers.len(),
        serial_numbers.join(", ")
    ))
}
