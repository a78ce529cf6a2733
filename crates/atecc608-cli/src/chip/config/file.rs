// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads a configuration from a file, in any usual form, or from a profile.

use std::path::Path;

use clap::ValueEnum;

use super::{digits, mos_form, toml_form, xml_form};
use crate::error::{Error, Result};
use crate::input;
use atecc608_token::profile;
use atecc608_wire::config_zone::{counter_encode, offset, UNLOCKED};
use atecc608_wire::ConfigZone;

/// How `config get` prints a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Every field by name, with comments
    Toml,
    /// 256 hex digits
    Hex,
    /// As `mos atca-get-config` prints it
    Yaml,
}

/// How a configuration in a file is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// As `config get` prints it
    Toml,
    /// Hex digits with any separators, a C array, a Python list, xxd, `hexdump -C`, or lines with offsets
    Hex,
    /// As `mos atca-get-config` prints it
    Yaml,
    /// As Microchip's Trust Platform writes it
    Xml,
    /// The 128 bytes themselves, or the 112 from byte 16 on
    Raw,
}

/// A configuration read from a file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its name in messages.
    pub(crate) name: String,
    /// The zone; if the file identifies no chip, the bytes of the factory are 0.
    pub(crate) zone: ConfigZone,
    /// Whether it identifies a chip: serial number and revision.
    pub(crate) named: bool,
}

/// Printed when a file from one chip is written to another.
pub(super) const NOT_WRITTEN_NOTE: &str =
    "its serial number, revision, UserExtra and locks are not written, everything else is";
/// The prefix of a profile's name, in place of a file.
const PROFILE: &str = "profile:";

/// Returns a zone that belongs to no chip: the factory's bytes are 0, nothing is locked, counters are 0.
pub(super) fn unnamed_zone() -> ConfigZone {
    let mut zone = ConfigZone::new([0; ConfigZone::LEN]);
    let bytes = zone.as_bytes_mut();
    for counter in [offset::COUNTERS, offset::COUNTERS + 8] {
        bytes[counter..counter + 8].copy_from_slice(&counter_encode(0));
    }
    bytes[offset::LOCK_VALUE..=offset::LOCK_CONFIG].fill(UNLOCKED);
    bytes[offset::SLOT_LOCKED..offset::SLOT_LOCKED + 2].fill(0xFF);
    zone
}

impl Source {
    /// Reads FILE of the command line: a path, `-` for standard input, or `profile:NAME`.
    ///
    /// # Errors
    /// [`Error::Refused`] with file, line and the expected form.
    pub(crate) fn open(file: &str, format: Option<FileFormat>) -> Result<Self> {
        if let Some(name) = file.strip_prefix(PROFILE) {
            let profile = profile::by_name(name).ok_or_else(|| {
                let names: Vec<&str> = profile::all().map(|profile| profile.name.as_str()).collect();
                Error::Refused(format!("there is no profile \"{name}\"; there are {}", names.join(", ")))
            })?;
            return Ok(Self { name: file.to_owned(), zone: profile.apply(&unnamed_zone()), named: false });
        }
        let refused = |problem: String| Error::Refused(format!("{file}: {problem}"));
        let bytes = input::read(Path::new(file), input::MOST).map_err(|error| refused(error.to_string()))?;
        let (zone, named) = parse(Path::new(file), &bytes, format).map_err(refused)?;
        Ok(Self { name: file.to_owned(), zone, named })
    }
}

pub(super) fn parse(path: &Path, bytes: &[u8], format: Option<FileFormat>) -> Result<(ConfigZone, bool), String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("the file is text in UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`".to_owned());
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains(is_binary));
    let text = text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    let format = format.unwrap_or_else(|| text.map_or(FileFormat::Raw, |text| guess(path, text)));
    let text = || text.ok_or("the file is not text in UTF-8; for the bytes of the zone themselves: --format raw");
    match format {
        FileFormat::Toml => toml_form::read(text()?),
        FileFormat::Hex => whole(&digits::read(text()?)?),
        FileFormat::Yaml => mos_form::read(text()?),
        FileFormat::Xml => Ok((xml_form::read(text()?)?, false)),
        FileFormat::Raw => whole(bytes).map_err(|problem| format!("the file is not text: {problem}")),
    }
}

/// Characters that no text contains.
fn is_binary(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0C')
}

/// By the file's name, else by its contents.
fn guess(path: &Path, text: &str) -> FileFormat {
    match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("toml") => FileFormat::Toml,
        Some("yaml" | "yml") => FileFormat::Yaml,
        Some("xml") => FileFormat::Xml,
        Some("hex") => FileFormat::Hex,
        _ if text.contains("[[slot]]") => FileFormat::Toml,
        _ if text.contains("slotinfo:") => FileFormat::Yaml,
        _ if text.trim_start().starts_with('<') => FileFormat::Xml,
        _ => FileFormat::Hex,
    }
}

/// Decodes the whole zone, or the zone without its first 16 bytes. Also returns whether it identifies a chip.
///
/// # Errors
/// The expected form.
fn whole(bytes: &[u8]) -> Result<(ConfigZone, bool), String> {
    let first = ConfigZone::LEN - bytes.len().min(ConfigZone::LEN);
    if bytes.len() > ConfigZone::LEN || first != 0 && first != offset::I2C_ADDRESS {
        return Err(format!("expected 128 bytes, or the 112 from byte 16 on; it has {}", bytes.len()));
    }
    let mut zone = unnamed_zone();
    zone.as_bytes_mut()[first..].copy_from_slice(bytes);
    let named = first == 0 && zone.as_bytes()[4..8] != [0; 4];
    Ok((zone, named))
}
