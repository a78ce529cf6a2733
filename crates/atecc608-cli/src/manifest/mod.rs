//! The manifest of a factory: one JSON line for each chip that `provision --batch` finished. `atecc608 manifest` reads it, and
//! makes of it what a cloud's bulk registration wants. No chip is needed for that.

pub mod aws;
pub mod azure;
pub mod lines;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::attest::enrolled::AttestationKey;
use super::error::{Error, Result};
use super::output::Output;

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
    /// What is worth knowing.
    pub warnings: Vec<String>,
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
    by_serial: HashMap<String, usize>,
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
            warnings: Vec::new(),
        }
    }
}

impl Chips {
    /// The chips that a file's lines tell of.
    ///
    /// # Errors
    /// [`Error::Refused`] if a line is of another format or a chip stands there twice.
    pub fn new(path: &Path, said: lines::Said<Record>) -> Result<Self> {
        let mut by_serial = HashMap::new();
        for (number, record) in said.lines.iter().enumerate() {
            let refused =
                |problem: String| Error::Refused(format!("{}: line {}: {problem}", path.display(), number + 1));
            if record.format != FORMAT || record.version != VERSION {
                return Err(refused(format!(
                    "it says {} {}, and this tool knows {FORMAT} {VERSION}",
                    record.format, record.version
                )));
            }
            if let Some(first) = by_serial.insert(record.serial_number.clone(), number) {
                return Err(refused(format!("the chip {} stands in line {} already", record.serial_number, first + 1)));
            }
        }
        Ok(Self { records: said.lines, torn: said.torn, by_serial })
    }

    /// Reads a manifest; one that is not there has no chips.
    ///
    /// # Errors
    /// As [`lines::read`] and [`Chips::new`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::new(path, lines::read(path)?)
    }

    /// The record of a chip.
    pub fn of(&self, serial: &str) -> Option<&Record> {
        self.by_serial.get(serial).map(|at| &self.records[*at])
    }
}

/// What is to be made of a manifest.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The chips in it
    List(ListArguments),
    /// The file for AWS IoT's bulk registration (start-thing-registration-task), one JSON line per thing
    Aws(aws::Arguments),
    /// Individual enrolments for Azure's Device Provisioning Service, as CSV or as bodies of its bulk operation
    Azure(azure::Arguments),
}

/// Arguments of `manifest list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// The manifest
    file: PathBuf,
}

/// Does it.
///
/// # Errors
/// Those of the file; [`Error::Refused`] if a chip lacks what is wanted.
pub fn run(command: &Command) -> Result<Output> {
    match command {
        Command::List(arguments) => list(&existing(&arguments.file)?),
        Command::Aws(arguments) => aws::run(arguments),
        Command::Azure(arguments) => azure::run(arguments),
    }
}

/// The chips of a file that has to be there.
///
/// # Errors
/// [`Error::Refused`] if it is not; as [`Chips::read`].
pub fn existing(path: &Path) -> Result<Chips> {
    if !path.exists() {
        return Err(Error::Refused(format!(
            "{}: there is no such file; `atecc608 provision --batch` writes one",
            path.display()
        )));
    }
    Chips::read(path)
}

fn list(chips: &Chips) -> Result<Output> {
    let mut text = String::new();
    for chip in &chips.records {
        let certificate = if chip.certificate.is_some() { "certificate" } else { "no certificate" };
        text += &format!(
            "{}  {}  {}  {}  {certificate}{}\n",
            chip.serial_number,
            chip.model,
            chip.profile,
            chip.time,
            if chip.adopted { ", provisioned by somebody else" } else { "" }
        );
    }
    text += &format!("{} chips\n", chips.records.len());
    Output::new(text, &serde_json::json!({ "chips": chips.records }))
}

/// A name made for a chip: `{serial}` stands for its serial number.
///
/// # Errors
/// [`Error::Refused`] if it would be the same for all chips.
pub fn name_for(template: &str, serial: &str) -> Result<String> {
    if !template.contains("{serial}") {
        return Err(Error::Refused(format!("\"{template}\" is the same for every chip: write {{serial}} into it")));
    }
    Ok(template.replace("{serial}", serial))
}

/// The chips that lack something that an export needs, said in one message.
fn lacking(what: &str, remedy: &str, serials: &[&str]) -> Error {
    Error::Refused(format!("{} chips have no {what} in the manifest ({}): {remedy}", serials.len(), serials.join(", ")))
}
