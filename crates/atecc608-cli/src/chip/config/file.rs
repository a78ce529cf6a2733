//! A configuration in a file, in any of the forms that people have it in, or a profile's.

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

/// A configuration that was read from a file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// How it is called in messages.
    pub(crate) name: String,
    /// The zone; where the file does not name a chip, the bytes of the factory are 0.
    pub(crate) zone: ConfigZone,
    /// Whether it names a chip: serial number and revision.
    pub(crate) named: bool,
}

/// Said when a file that was read from one chip is written to another.
pub(super) const NOT_WRITTEN_NOTE: &str =
    "its serial number, revision, UserExtra and locks are not written, everything else is";
/// Before the name of a profile, where a file is expected.
const PROFILE: &str = "profile:";

/// A zone that belongs to no chip: what the factory writes is 0, nothing is locked, counters are at 0.
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
    /// Reads FILE as the command line gives it: a path, `-` for standard input, or `profile:NAME`.
    ///
    /// # Errors
    /// [`Error::Refused`] with file, line and what was expected.
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

/// What no text has.
fn is_binary(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0C')
}

/// By the file's name, else by what is in it.
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

/// The whole zone, or without its first 16 bytes. Returns also whether it says which chip it is.
///
/// # Errors
/// What was expected.
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
