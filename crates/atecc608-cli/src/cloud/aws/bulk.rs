// SPDX-License-Identifier: MIT OR Apache-2.0
//! The input file of AWS IoT's bulk registration: newline-delimited JSON, each line with the values of the parameters of one
//! thing's provisioning template (AWS IoT developer guide, "Bulk registration").

use clap::Args;
use serde::Serialize;

use crate::cloud::manifest::{lacking, ManifestArguments};
use crate::error::{Error, Result};
use crate::manifest::{name_for, Record};
use crate::output::{visible_in_strings, Output};

/// Arguments of `manifest aws`.
#[derive(Debug, Args)]
#[command(after_help = "Each line has ThingName, SerialNumber and CSR; with --certificates CertificatePem and \
                        CACertificatePem instead of CSR. docs/factory.md has the two templates that take them.")]
pub struct Arguments {
    #[command(flatten)]
    manifest: ManifestArguments,
    /// The things' names
    #[arg(long, value_name = "NAME", default_value = "{serial}")]
    thing_name: String,
    /// The certificates that were issued at the factory, instead of requests that AWS signs
    #[arg(long)]
    certificates: bool,
}

/// Most characters of a thing's name (AWS IoT API reference, ThingName).
const LONGEST_NAME: usize = 128;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Thing<'a> {
    thing_name: String,
    serial_number: &'a str,
    #[serde(rename = "CSR", skip_serializing_if = "Option::is_none")]
    csr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_pem: Option<&'a str>,
    #[serde(rename = "CACertificatePem", skip_serializing_if = "Option::is_none")]
    ca_certificate_pem: Option<&'a str>,
}

/// Prints the file.
///
/// # Errors
/// [`Error::Refused`] if the manifest can't be read, a chip has no request or certificate, or AWS does not accept a
/// name.
pub fn run(arguments: &Arguments) -> Result<Output> {
    let chips = arguments.manifest.chips()?;
    let has_all = |chip: &&Record| match arguments.certificates {
        true => chip.certificate.is_some() && chip.ca_certificate.is_some(),
        false => chip.csr.is_some(),
    };
    let without: Vec<&str> =
        chips.records.iter().filter(|chip| !has_all(chip)).map(|chip| chip.serial_number.as_str()).collect();
    if !without.is_empty() {
        return Err(match arguments.certificates {
            true => lacking("certificate", "leave --certificates out, and AWS signs their requests", &without),
            false => lacking("request", "give --certificates, if they have certificates", &without),
        });
    }
    let mut things = Vec::new();
    for chip in &chips.records {
        let thing_name = name_for(&arguments.thing_name, &chip.serial_number)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
        if thing_name.len() > LONGEST_NAME || !thing_name.chars().all(is_name) {
            return Err(Error::Refused(format!(
                "\"{thing_name}\" is not a name of an AWS IoT thing: at most {LONGEST_NAME} letters, digits, `:`, `_` \
                 and `-`"
            )));
        }
        things.push(Thing {
            thing_name,
            serial_number: &chip.serial_number,
            csr: chip.csr.as_deref().filter(|_| !arguments.certificates),
            certificate_pem: chip.certificate.as_deref().filter(|_| arguments.certificates),
            ca_certificate_pem: chip.ca_certificate.as_deref().filter(|_| arguments.certificates),
        });
    }
    let mut text = String::new();
    for thing in &things {
        text += &serde_json::to_string(thing).map_err(|error| Error::Output(error.into()))?;
        text.push('\n');
    }
    let contents = visible_in_strings(&text).into_bytes();
    Output::new(contents, &serde_json::json!({ "things": things }))
}
