// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parsers of files as functions on bytes, for the fuzz targets (fuzz/fuzz_targets). Built by scripts/fuzz.sh only.

use std::path::Path;

use crate::chip::attest::enrolled::Enrolled;
use crate::chip::attest::verify::{checks, Expected};
use crate::chip::{config, import_config};
use crate::manifest::{lines, microchip, Chips, Record};
use crate::output::check::Check;
use crate::x509::certificate::Certificate;
use atecc608::attest::Evidence;
use atecc608_wire::ConfigZone;

/// Parses a configuration zone in any form. Returns it after a round trip through TOML, through mos's layout, and as
/// parsed.
///
/// # Errors
/// The problem of the file, or of a round trip.
pub fn config_dump(name: &Path, bytes: &[u8]) -> Result<[ConfigZone; 3], String> {
    config::fuzzed(name, bytes)
}

/// Converts the vendor's files in a folder to a configuration.
///
/// # Errors
/// The problem, in words.
pub fn vendor_conf(folder: &Path) -> Result<String, String> {
    import_config::fuzzed(folder)
}

/// Parses a manifest, the factory's or Microchip's. Returns its serial numbers, and which entries are signed by these
/// certificates.
///
/// # Errors
/// The problem, in words.
pub fn manifest(bytes: &[u8], signers: &[Certificate]) -> Result<(Vec<String>, Vec<bool>), String> {
    let path = Path::new("manifest");
    let (records, signed) = if microchip::is_one(bytes) {
        let entries = microchip::read(path, bytes).map_err(|error| error.to_string())?;
        entries.into_iter().map(|(signed, record)| (record, signed.problem(signers).is_none())).unzip()
    } else {
        let said = lines::parse::<Record>(path, bytes).map_err(|error| error.to_string())?;
        (Chips::new(path, said).map_err(|error| error.to_string())?.records, Vec::new())
    };
    for record in &records {
        let _ = record.empty_secret_places.iter().filter_map(|place| place.parse()).count();
    }
    Ok((records.into_iter().map(|record| record.serial_number).collect(), signed))
}

/// Parses an enrolled attestation key, and returns whether every check of the statement passes.
///
/// # Errors
/// The problem with the file, in words.
pub fn holds(evidence: &Evidence, enrolled: &str) -> Result<bool, String> {
    let enrolled = Enrolled::read(enrolled)?;
    let expected = Expected { challenge: None, serial_number: None };
    Ok(!checks(evidence, &enrolled, &expected).iter().any(Check::has_failed))
}
