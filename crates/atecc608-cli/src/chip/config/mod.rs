// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 config`: the configuration zone, prints it in three forms (TOML with every field by name, hex digits, and
//! the layout of `mos atca-get-config`) and reads it in many. None of its commands locks anything.

pub mod check;
pub mod diff;
mod digits;
pub mod fields;
pub mod file;
pub mod findings;
mod mos_form;
mod schema;
mod set;
mod toml_form;
mod xml_form;

use base16ct::lower::encode_string as hex;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::error::Result;
use crate::output::{warn, Output};
use crate::target::Selection;
use atecc608_contents::words;
use atecc608_wire::config_zone::{offset, Model};
use atecc608_wire::{ConfigZone, Slot};
use diff::Change;
use fields::fields;
use file::{FileFormat, Format, Source};
use findings::Findings;

#[cfg(fuzzing)]
pub(crate) fn fuzzed(name: &std::path::Path, bytes: &[u8]) -> std::result::Result<[ConfigZone; 3], String> {
    let (zone, _) = file::parse(name, bytes, None)?;
    let _ = (fields(&zone), check::findings(&zone), check::findings_on_a_508(&zone), slots(&zone));
    let again = |read: std::result::Result<(ConfigZone, bool), String>| read.expect("what was printed is read").0;
    Ok([again(toml_form::read(&toml_form::write(&zone))), again(mos_form::read(&mos_form::write(&zone))), zone])
}

/// What is done with the configuration zone.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print its 128 bytes, every field by name
    Get(GetArguments),
    /// Compare the chip's configuration with a file, or two files; exit status 3 if they differ
    Diff(DiffArguments),
    /// List what each slot may do, and report what is dangerous
    Check(CheckArguments),
    /// Write a configuration to a chip that is not locked. Locks nothing
    Set(set::Arguments),
}

/// Arguments of `config get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// Print 256 hex digits and nothing else: --format hex
    #[arg(long, conflicts_with_all = ["json", "format"])]
    hex: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value = "toml", conflicts_with = "json")]
    format: Format,
}

/// A file with a configuration.
#[derive(Debug, Args)]
pub struct FileArguments {
    /// How the files are written; told from their names or contents otherwise
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
}

/// Arguments of `config diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// A configuration: a file, - for standard input, or profile:NAME
    #[arg(value_name = "FILE")]
    file: String,
    /// What it is compared with, instead of the chip
    #[arg(value_name = "OTHER")]
    other: Option<String>,
    #[command(flatten)]
    how: FileArguments,
}

/// Arguments of `config check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// A configuration instead of the chip's: a file, - for standard input, or profile:NAME
    #[arg(value_name = "FILE")]
    file: Option<String>,
    /// Exit with 3 if anything is dangerous
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    how: FileArguments,
}

#[derive(Serialize)]
struct Json {
    serial_number: String,
    model: String,
    bytes: String,
    fields: Vec<JsonField>,
    slots: Vec<JsonSlot>,
}

#[derive(Serialize)]
struct JsonField {
    name: &'static str,
    first_byte: usize,
    value: String,
    meaning: String,
}

#[derive(Serialize)]
struct JsonSlot {
    slot: u8,
    slot_config: String,
    key_config: String,
    kind: &'static str,
    rules: Vec<String>,
}

#[derive(Serialize)]
struct JsonDiff {
    differs: bool,
    now: String,
    becomes: String,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct JsonCheck {
    configuration: String,
    slots: Vec<JsonSlot>,
    dangers: usize,
    #[serde(flatten)]
    findings: Findings,
}

/// Runs the command.
///
/// # Errors
/// [`Error::Refused`] if a file can't be read; the [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Get(arguments) => get(selection, arguments),
        Command::Diff(arguments) => diff(selection, arguments),
        Command::Check(arguments) => check(selection, arguments),
        Command::Set(arguments) => set::run(selection, arguments),
    }
}

fn get(selection: &Selection, arguments: &GetArguments) -> Result<Output> {
    let mut target = selection.target()?;
    let zone = target.read_config()?;
    let format = if arguments.hex { Format::Hex } else { arguments.format };
    let text = match format {
        Format::Toml => toml_form::write(&zone),
        Format::Hex => format!("{}\n", hex(zone.as_bytes())),
        Format::Yaml => {
            for beyond in mos_form::beyond_mos(&zone) {
                warn(&format!("mos's layout has no fields for {beyond}: mos can't read this file back; atecc608 can"));
            }
            mos_form::write(&zone)
        }
    };
    Output::new(text, &json(&zone, target.model()))
}

/// Returns the chip's configuration, and its name in messages.
fn of_chip(selection: &Selection) -> Result<(String, ConfigZone, Model)> {
    let mut target = selection.target()?;
    let zone = target.read_config()?;
    Ok((format!("{} at {}", zone.serial_number(), target.place()), zone, target.model()))
}

fn diff(selection: &Selection, arguments: &DiffArguments) -> Result<Output> {
    let format = arguments.how.format;
    let source = Source::open(&arguments.file, format)?;
    let (name, now) = match &arguments.other {
        Some(other) => {
            let other = Source::open(other, format)?;
            (other.name, other.zone)
        }
        None => {
            let (name, zone, _) = of_chip(selection)?;
            (name, zone)
        }
    };
    let wanted = as_written_to(&now, &source.zone);
    let changes = diff::changes(&now, &wanted);
    let text = if changes.is_empty() {
        format!("{name} matches {} (serial number, revision, UserExtra and locks are not compared)\n", source.name)
    } else {
        format!("- {name}\n+ {}\n\n{}", source.name, diff::text(&changes))
    };
    let differs = !changes.is_empty();
    Ok(Output::new(text, &JsonDiff { differs, now: name, becomes: source.name, changes })?.negative_if(differs))
}

/// Returns `wanted`, with the bytes that Write can't change taken from `now`.
pub(super) fn as_written_to(now: &ConfigZone, wanted: &ConfigZone) -> ConfigZone {
    let mut zone = wanted.clone();
    for kept in [0..offset::I2C_ADDRESS, offset::USER_EXTRA..offset::SLOT_LOCKED] {
        zone.as_bytes_mut()[kept.clone()].copy_from_slice(&now.as_bytes()[kept]);
    }
    zone
}

fn check(selection: &Selection, arguments: &CheckArguments) -> Result<Output> {
    let (name, zone, findings) = match &arguments.file {
        Some(file) => {
            let Source { name, zone, .. } = Source::open(file, arguments.how.format)?;
            let findings = check::findings(&zone);
            (name, zone, findings)
        }
        None => {
            let (name, zone, model) = of_chip(selection)?;
            let findings = match model {
                Model::Other([_, _, 0x50, _]) => check::findings_on_a_508(&zone),
                _ => check::findings(&zone),
            };
            (name, zone, findings)
        }
    };
    let dangers = findings::dangers(&findings);
    let mut text = format!("{name}: what each slot may do once both zones are locked\n\n");
    for slot in Slot::all() {
        text += &format!("   slot {slot:>2}  {}\n", check::explanation(&zone, slot));
    }
    text += &format!("   chip     {}\n\n", words::chip_options(zone.chip_options()).join("; "));
    text += &findings::text(&findings);
    let json = JsonCheck { configuration: name, slots: slots(&zone), dangers, findings: findings.into() };
    Ok(Output::new(text, &json)?.negative_if(arguments.strict && dangers > 0))
}

fn json(zone: &ConfigZone, model: Model) -> Json {
    let fields = fields(zone).into_iter().map(|field| JsonField {
        name: field.name,
        first_byte: field.at,
        value: hex(&zone.as_bytes()[field.at..field.at + field.len]),
        meaning: field.meaning,
    });
    Json {
        serial_number: zone.serial_number().to_string(),
        model: model.to_string(),
        bytes: hex(zone.as_bytes()),
        fields: fields.collect(),
        slots: slots(zone),
    }
}

fn slots(zone: &ConfigZone) -> Vec<JsonSlot> {
    let slot = |slot: Slot| JsonSlot {
        slot: slot.number(),
        slot_config: words::word(zone.slot_config(slot).0),
        key_config: words::word(zone.key_config(slot).0),
        kind: words::kind(zone, slot),
        rules: words::rules(zone, slot),
    };
    Slot::all().map(slot).collect()
}
