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

/// What is known of one chip. `verify-attestation --attestation-key` takes a line of the manifest as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// "atecc608-manifest".
    pub format: String,
    /// 1. It changes when a member is taken away or means something else.
    pub version: u32,
    /// 18 hex digits.
    pub serial_number: String,
    /// ATECC608A or ATECC608B.
    pub model: String,
    /// The profile that it is locked with.
    pub profile: String,
    /// Whether it is no chip, but a file.
    pub simulated: bool,
    /// Where it was provisioned.
    pub bus: String,
    /// The same.
    pub address: String,
    /// When it was finished, UTC.
    pub time: String,
    /// Whether somebody else had provisioned it before: where its keys come from is not known then.
    pub adopted: bool,
    /// The key that its statements are verified with.
    pub attestation: Option<AttestationKey>,
    /// Its key pair.
    pub key: KeyRecord,
    /// Its certificate signing request, PEM.
    pub csr: Option<String>,
    /// Its certificate, PEM, if an authority was at hand.
    pub certificate: Option<String>,
    /// The certificate of that authority, PEM.
    pub ca_certificate: Option<String>,
    /// Where its IO protection key is on the machine that provisioned it.
    pub io_key_file: String,
    /// Its places for secret keys that hold none: `atecc608 key empty --manifest` takes them.
    #[serde(default)]
    pub empty_secret_places: Vec<SecretPlace>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// A place for a secret key that holds none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretPlace {
    /// The slot, 0 to 15.
    pub slot: u8,
    /// Which 32 bytes of it, from 0.
    pub block: u8,
    /// The check value of what fills it, 6 hex digits.
    pub check: String,
}

impl SecretPlace {
    /// As the state has it.
    pub fn of(place: &EmptyPlace) -> Self {
        Self { slot: place.slot, block: place.block, check: hex(&place.check) }
    }

    /// For the state; `None` if it is not one.
    pub fn parse(&self) -> Option<EmptyPlace> {
        let check = base16ct::mixed::decode_vec(&self.check).ok()?.try_into().ok()?;
        (self.slot < 16 && self.block <= 12).then_some(EmptyPlace { slot: self.slot, block: self.block, check })
    }
}

/// A key that statements about a chip are signed with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttestationKey {
    /// Where it is.
    pub slot: u8,
    /// 04, X, Y.
    pub public_key: String,
    /// The same as people pass it on.
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

/// The chips that a manifest has, by their serial numbers.
#[derive(Debug)]
pub struct Chips {
    /// In the order of the file.
    pub records: Vec<Record>,
    /// Whether an unfinished line follows them.
    pub torn: bool,
    /// What the signatures are checked with, if it is a manifest of Microchip's, in the order of the records.
    pub signed: Option<Vec<microchip::Signed>>,
    by_serial_number: HashMap<String, usize>,
}

impl Record {
    /// A record; what differs from chip to chip is filled in by struct update.
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
    /// The chips that a file's lines tell of.
    ///
    /// # Errors
    /// [`Error::Refused`] if a line is of another format, its serial number is none, or a chip stands there twice.
    pub fn new(path: &Path, said: lines::Said<Record>) -> Result<Self> {
        for (number, record) in said.lines.iter().enumerate() {
            if record.format != FORMAT || record.version != VERSION {
                return Err(Error::Refused(format!(
                    "{}: line {}: it says {} {}, and this tool knows {FORMAT} {VERSION}",
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

    /// Reads a manifest; one that is not there has no chips.
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

    /// The record of a chip.
    pub fn of(&self, serial_number: &str) -> Option<&Record> {
        self.by_serial_number.get(serial_number).map(|at| &self.records[*at])
    }
}

/// Where each chip stands; `what` a record is called in messages.
fn index(path: &Path, what: &str, records: &[Record]) -> Result<HashMap<String, usize>> {
    let mut by_serial_number = HashMap::new();
    for (number, Record { serial_number, .. }) in records.iter().enumerate() {
        let refused = |problem: String| Error::Refused(format!("{}: {what} {}: {problem}", path.display(), number + 1));
        if serial_number.len() != 18 || !serial_number.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused(format!("serial_number: \"{serial_number}\", where 18 hex digits were expected")));
        }
        if let Some(first) = by_serial_number.insert(serial_number.clone(), number) {
            return Err(refused(format!("the chip {serial_number} stands in {what} {} already", first + 1)));
        }
    }
    Ok(by_serial_number)
}

/// A name made for a chip: `{serial}` stands for its serial number.
///
/// # Errors
/// [`Error::Refused`] if it would be the same for all chips.
pub fn name_for(template: &str, serial_number: &str) -> Result<String> {
    if !template.contains("{serial}") {
        return Err(Error::Refused(format!("\"{template}\" is the same for every chip: write {{serial}} into it")));
    }
    Ok(template.replace("{serial}", serial_number))
}
