// SPDX-License-Identifier: MIT OR Apache-2.0
//! The manifest of a factory: one JSON line for each chip that `provision --batch` finished, for `atecc608 manifest` and
//! `verify-attestation` to read. [`lines`] is the file. [`microchip`] reads the manifests of Microchip's factory.

pub mod lines;
pub mod microchip;

use std::collections::HashMap;
use std::path::Path;

use base16ct::lower::encode_string as hex;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::x509::pem;
use atecc608_token::point::Point;
use atecc608_token::state::EmptyPlace;
use atecc608_wire::Slot;

/// The `format` of a record.
const FORMAT: &str = "atecc608-manifest";
/// The `version` of a record.
const VERSION: u32 = 1;

/// The data of one chip. `verify-attestation --attestation-key` accepts a line of the manifest as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// "atecc608-manifest".
    pub format: String,
    /// 1. It changes when a member is removed or changes its meaning.
    pub version: u32,
    /// 18 hex digits.
    pub serial_number: String,
    /// ATECC608A or ATECC608B.
    pub model: String,
    /// The profile with which it is locked.
    pub profile: String,
    /// Whether it is a simulated chip.
    pub simulated: bool,
    /// The bus of its provisioning.
    pub bus: String,
    /// The address of its provisioning.
    pub address: String,
    /// When it was finished, UTC.
    pub time: String,
    /// Whether another station had provisioned it before: then the origin of its keys is unknown.
    pub adopted: bool,
    /// The key that verifies its statements.
    pub attestation: Option<AttestationKey>,
    /// Its key pair.
    pub key: KeyRecord,
    /// Its certificate signing request, PEM.
    pub csr: Option<String>,
    /// Its certificate, PEM, if an authority was given.
    pub certificate: Option<String>,
    /// The certificate of that authority, PEM.
    pub ca_certificate: Option<String>,
    /// The path of its IO protection key on the machine that provisioned it.
    pub io_key_file: String,
    /// Its empty places for secret keys: `atecc608 key empty --manifest` reads them.
    #[serde(default)]
    pub empty_secret_places: Vec<SecretPlace>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// An empty place for a secret key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretPlace {
    /// The slot, 0 to 15.
    pub slot: u8,
    /// Which 32 bytes of it, from 0.
    pub block: u8,
    /// The check value of its contents, 6 hex digits.
    pub check: String,
}

impl SecretPlace {
    /// Converts the state's entry.
    pub fn of(place: &EmptyPlace) -> Self {
        Self { slot: place.slot, block: place.block, check: hex(&place.check) }
    }

    /// Converts to the state's entry; `None` if invalid.
    pub fn parse(&self) -> Option<EmptyPlace> {
        let check = base16ct::mixed::decode_vec(&self.check).ok()?.try_into().ok()?;
        (self.slot < 16 && self.block <= 12).then_some(EmptyPlace { slot: self.slot, block: self.block, check })
    }
}

/// A key that signs statements about a chip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttestationKey {
    /// Its slot.
    pub slot: u8,
    /// 04, X, Y.
    pub public_key: String,
    /// The same in PEM.
    pub public_key_pem: String,
}

impl AttestationKey {
    /// The key in this slot.
    pub fn new(slot: Slot, point: &Point) -> Self {
        Self { slot: slot.number(), public_key: hex(&point.uncompressed()), public_key_pem: pem::public_key(point) }
    }
}

/// A key pair whose private half is in the chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The slot, 0 to 15.
    pub slot: u8,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID, hex digits.
    pub id: String,
    /// 04, X, Y in hex digits.
    pub public_key: String,
    /// The same, PEM.
    pub public_key_pem: String,
}

/// The chips in a manifest, by serial number.
#[derive(Debug)]
pub struct Chips {
    /// In the order of the file.
    pub records: Vec<Record>,
    /// Whether an unfinished line follows them.
    pub torn: bool,
    /// The data for checking the signatures, for a manifest of Microchip's, in the order of the records.
    pub signed: Option<Vec<microchip::Signed>>,
    by_serial_number: HashMap<String, usize>,
}

impl Record {
    /// A record; fields that differ between chips are filled in by struct update.
    pub fn empty(serial_number: String, key: KeyRecord) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            serial_number,
            model: String::new(),
            profile: String::new(),
            simulated: false,
            bus: String::new(),
            address: String::new(),
            time: String::new(),
            adopted: false,
            attestation: None,
            key,
            csr: None,
            certificate: None,
            ca_certificate: None,
            io_key_file: String::new(),
            empty_secret_places: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Chips {
    /// Returns the chips in a file's lines.
    ///
    /// # Errors
    /// [`Error::Refused`] if a line has another format or an invalid serial number, or a chip is listed twice.
    pub fn new(path: &Path, said: lines::Said<Record>) -> Result<Self> {
        for (number, record) in said.lines.iter().enumerate() {
            if record.format != FORMAT || record.version != VERSION {
                return Err(Error::Refused(format!(
                    "{}: line {}: it has the format {} {}: this tool supports {FORMAT} {VERSION}",
                    path.display(),
                    number + 1,
                    record.format,
                    record.version
                )));
            }
        }
        let by_serial_number = index(path, "line", &said.lines)?;
        Ok(Self { records: said.lines, torn: said.torn, signed: None, by_serial_number })
    }

    /// Reads a manifest; a missing file has no chips.
    ///
    /// # Errors
    /// As [`lines::read`] and [`Chips::new`].
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = lines::read_bytes(path)?;
        if !microchip::is_one(&bytes) {
            return Self::new(path, lines::parse(path, &bytes)?);
        }
        let (signed, records): (Vec<_>, Vec<_>) = microchip::read(path, &bytes)?.into_iter().unzip();
        let by_serial_number = index(path, "entry", &records)?;
        Ok(Self { records, torn: false, signed: Some(signed), by_serial_number })
    }

    /// Returns the record of a chip.
    pub fn of(&self, serial_number: &str) -> Option<&Record> {
        self.by_serial_number.get(serial_number).map(|at| &self.records[*at])
    }
}

/// Returns the index of each chip; `what` is a record's name in messages.
fn index(path: &Path, what: &str, records: &[Record]) -> Result<HashMap<String, usize>> {
    let mut by_serial_number = HashMap::new();
    for (number, Record { serial_number, .. }) in records.iter().enumerate() {
        let refused = |problem: String| Error::Refused(format!("{}: {what} {}: {problem}", path.display(), number + 1));
        if serial_number.len() != 18 || !serial_number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused(format!("serial_number: \"{serial_number}\": expected 18 hex digits")));
        }
        if let Some(first) = by_serial_number.insert(serial_number.clone(), number) {
            return Err(refused(format!("the chip {serial_number} is already in {what} {}", first + 1)));
        }
    }
    Ok(by_serial_number)
}

/// Makes a name for a chip: `{serial}` is replaced by its serial number.
///
/// # Errors
/// [`Error::Refused`] if it would be the same for all chips.
pub fn name_for(template: &str, serial_number: &str) -> Result<String> {
    if !template.contains("{serial}") {
        return Err(Error::Refused(format!("\"{template}\" is the same for every chip: write {{serial}} into it")));
    }
    Ok(template.replace("{serial}", serial_number))
}
