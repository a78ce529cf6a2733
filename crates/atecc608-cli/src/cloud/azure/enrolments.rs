// SPDX-License-Identifier: MIT OR Apache-2.0
//! Individual enrolments of Azure's Device Provisioning Service. The service itself accepts no CSV: it is for tables,
//! scripts (`az iot dps enrollment create`) and IoT hubs; `--bulk` prints the bodies of the service's own bulk
//! operation (REST API 2021-10-01, "Individual Enrollment - Run Bulk Operation", at most ten enrolments each).

use std::path::Path;

use base16ct::lower::encode_string as hex;
use base64ct::{Base64, Encoding};
use clap::Args;
use serde::Serialize;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::cloud::manifest::{lacking, ManifestArguments};
use crate::error::{Error, Result};
use crate::manifest::Chips;
use crate::output::{visible_in_strings, Output};
use crate::x509::certificate::Certificate;

/// Arguments of `manifest azure`.
#[derive(Debug, Args)]
#[command(after_help = "The registration id is the common name in the chip's certificate, as the service demands. \
                        docs/factory.md describes the use of both outputs. If one authority has signed all \
                        certificates, an enrolment group for that authority works too, and needs no list.")]
pub struct Arguments {
    #[command(flatten)]
    manifest: ManifestArguments,
    /// One JSON object per line, each the body of one bulk operation, instead of CSV
    #[arg(long)]
    bulk: bool,
}

/// Maximum number of enrolments in one bulk operation.
const AT_ONCE: usize = 10;
/// Maximum length of a registration id.
const LONGEST_ID: usize = 128;

#[derive(Serialize)]
struct Enrolment {
    registration_id: String,
    device_id: String,
    serial_number: String,
    /// SHA-1 of the certificate, as IoT hubs require it (`az iot hub device-identity create --primary-thumbprint`).
    sha1_thumbprint: String,
    /// SHA-256 of it.
    sha256_thumbprint: String,
    /// The certificate itself, DER in base64.
    certificate: String,
    /// The same in PEM, as Azure's own tools send it to the service.
    certificate_pem: String,
}

/// Prints the enrolments.
///
/// # Errors
/// [`Error::Refused`] if the manifest can't be read, a chip has no certificate, or the service does not accept its
/// name.
pub fn run(arguments: &Arguments) -> Result<Output> {
    let enrolments = enrolments(&arguments.manifest.file, &arguments.manifest.chips()?)?;
    let contents =
        if arguments.bulk { visible_in_strings(&bulk(&enrolments)?).into_bytes() } else { csv(&enrolments)? };
    Output::new(contents, &serde_json::json!({ "enrolments": enrolments }))
}

fn enrolments(file: &Path, chips: &Chips) -> Result<Vec<Enrolment>> {
    let without: Vec<&str> = chips
        .records
        .iter()
        .filter(|chip| chip.certificate.is_none())
        .map(|chip| chip.serial_number.as_str())
        .collect();
    if !without.is_empty() {
        return Err(lacking("certificate", "Azure signs no requests: run the batch with --ca and --ca-key", &without));
    }
    let mut enrolments: Vec<Enrolment> = Vec::new();
    for (number, chip) in chips.records.iter().enumerate() {
        let name = format!("{}: chip {}: the certificate of {}", file.display(), number + 1, chip.serial_number);
        let pem = chip.certificate.as_deref().unwrap_or_default();
        let (_, der) = der::pem::decode_vec(pem.as_bytes())
            .map_err(|error| Error::Refused(format!("{name}: it can't be read: {error}")))?;
        let certificate = Certificate::from_der(&name, &der)?;
        let id = certificate.subject().common_name_of().unwrap_or_default();
        let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        let ends_well = id.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        if id.len() > LONGEST_ID || !ends_well || !id.chars().all(is_id) {
            return Err(Error::Refused(format!(
                "{name}: its common name \"{id}\" is not a registration id: at most {LONGEST_ID} letters, digits, `-`, \
                 `.`, `_`, `:`, the last one a letter, a digit or `-`"
            )));
        }
        if let Some(other) = enrolments.iter().find(|other| other.registration_id.eq_ignore_ascii_case(&id)) {
            return Err(Error::Refused(format!(
                "{name} has the same common name \"{id}\" as that of {}",
                other.serial_number
            )));
        }
        enrolments.push(Enrolment {
            device_id: id.clone(),
            registration_id: id,
            serial_number: chip.serial_number.clone(),
            sha1_thumbprint: hex(&Sha1::digest(certificate.der())),
            sha256_thumbprint: hex(&Sha256::digest(certificate.der())),
            certificate: Base64::encode_string(certificate.der()),
            certificate_pem: pem.trim_end().to_owned(),
        });
    }
    Ok(enrolments)
}

/// Formats CSV according to RFC 4180, with a header line.
///
/// # Errors
/// [`Error::Refused`] for an id that starts with a hyphen: a spreadsheet parses it as a formula, and `az` as an option.
fn csv(enrolments: &[Enrolment]) -> Result<Vec<u8>> {
    if let Some(enrolment) = enrolments.iter().find(|enrolment| enrolment.registration_id.starts_with('-')) {
        return Err(Error::Refused(format!(
            "the registration id \"{}\" of {} begins with a hyphen, which spreadsheets take for a formula: use --bulk",
            enrolment.registration_id, enrolment.serial_number
        )));
    }
    let failed = |error: csv::Error| Error::Output(error.into());
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let head =
        ["registrationId", "deviceId", "serialNumber", "sha1Thumbprint", "sha256Thumbprint", "primaryCertificate"];
    table.write_record(head).map_err(failed)?;
    for enrolment in enrolments {
        let fields = [
            enrolment.registration_id.as_str(),
            &enrolment.device_id,
            &enrolment.serial_number,
            &enrolment.sha1_thumbprint,
            &enrolment.sha256_thumbprint,
            &enrolment.certificate,
        ];
        table.write_record(fields).map_err(failed)?;
    }
    table.into_inner().map_err(|error| Error::Output(error.into_error()))
}

fn bulk(enrolments: &[Enrolment]) -> Result<String> {
    let mut text = String::new();
    for part in enrolments.chunks(AT_ONCE) {
        let enrolments: Vec<serde_json::Value> = part
            .iter()
            .map(|enrolment| {
                serde_json::json!({
                    "registrationId": enrolment.registration_id,
                    "deviceId": enrolment.device_id,
                    "attestation": {
                        "type": "x509",
                        "x509": { "clientCertificates": { "primary": { "certificate": enrolment.certificate_pem } } },
                    },
                    "provisioningStatus": "enabled",
                })
            })
            .collect();
        let body = serde_json::json!({ "mode": "create", "enrollments": enrolments });
        text += &serde_json::to_string(&body).map_err(|error| Error::Output(error.into()))?;
        text.push('\n');
    }
    Ok(text)
}
