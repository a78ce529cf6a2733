//! A configuration in a file, in any of the three forms, or a profile's.

use std::path::Path;

use base16ct::mixed;
use clap::ValueEnum;

use super::{mos_form, toml_form};
use crate::error::{Error, Result};
use crate::input;
use atecc608_token::profile;
use atecc608_wire::config_zone::{counter_encode, offset, UNLOCKED};
use atecc608_wire::ConfigZone;

/// How a configuration is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Every field by name, with comments
    Toml,
    /// 256 hex digits
    Hex,
    /// As `mos atca-get-config` prints it
    Yaml,
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
    pub(crate) fn open(file: &str, format: Option<Format>) -> Result<Self> {
        if let Some(name) = file.strip_prefix(PROFILE) {
            let profile = profile::by_name(name).ok_or_else(|| {
                let names: Vec<&str> = profile::all().iter().map(|profile| profile.name.as_str()).collect();
                Error::Refused(format!("there is no profile \"{name}\"; there are {}", names.join(", ")))
            })?;
            return Ok(Self { name: file.to_owned(), zone: profile.apply(&unnamed_zone()), named: false });
        }
        let refused = |problem: String| Error::Refused(format!("{file}: {problem}"));
        let text = input::read_text(Path::new(file), input::MOST).map_err(|error| refused(error.to_string()))?;
        let format = format.unwrap_or_else(|| guess(Path::new(file), &text));
        let (zone, named) = match format {
            Format::Toml => toml_form::read(&text),
            Format::Hex => read_hex(&text),
            Format::Yaml => mos_form::read(&text),
        }
        .map_err(refused)?;
        Ok(Self { name: file.to_owned(), zone, named })
    }
}

/// By the file's name, else by what is in it.
fn guess(path: &Path, text: &str) -> Format {
    match path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("toml") => Format::Toml,
        Some("yaml" | "yml") => Format::Yaml,
        Some("hex") => Format::Hex,
        _ if text.contains("[[slot]]") => Format::Toml,
        _ if text.contains("slotinfo:") => Format::Yaml,
        _ => Format::Hex,
    }
}

/// Hex digits with or without spaces, commas, `0x` and comments after `#`: the whole zone, or without its first 16 bytes.
///
/// # Errors
/// What was expected.
fn read_hex(text: &str) -> Result<(ConfigZone, bool), String> {
    let mut bytes = Vec::with_capacity(ConfigZone::LEN);
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
            let digits = word.strip_prefix("0x").or(word.strip_prefix("0X")).unwrap_or(word);
            let parsed = mixed::decode_vec(digits).ok().filter(|parsed| !parsed.is_empty());
            bytes.extend(
                parsed.ok_or_else(|| format!("line {}: \"{word}\": expected pairs of hex digits", number + 1))?,
            );
        }
    }
    let first = ConfigZone::LEN - bytes.len().min(ConfigZone::LEN);
    if bytes.len() > ConfigZone::LEN || first != 0 && first != offset::I2C_ADDRESS {
        return Err(format!("expected 128 bytes, or the 112 from byte 16 on; it has {}", bytes.len()));
    }
    let mut zone = unnamed_zone();
    zone.as_bytes_mut()[first..].copy_from_slice(&bytes);
    let named = first == 0 && zone.as_bytes()[4..8] != [0; 4];
    Ok((zone, named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_read_however_they_are_set() {
        let plain = "00".repeat(127) + "a5";
        let (zone, named) = read_hex(&plain).unwrap();
        assert_eq!((zone.as_bytes()[127], named), (0xA5, false));
        // As mos writes them.
        let mos: Vec<String> =
            zone.as_bytes().chunks(4).map(|row| row.iter().map(|b| format!("0x{b:02x}, ")).collect()).collect();
        assert_eq!(read_hex(&mos.join("\n")).unwrap().0, zone);
        let without_identity = "# bytes 16 to 127\n".to_owned() + &"C0 00,".repeat(56);
        let (zone, named) = read_hex(&without_identity).unwrap();
        assert_eq!((zone.as_bytes()[15], zone.as_bytes()[16], named), (0, 0xC0, false));
        for (text, problem) in [
            ("", "it has 0"),
            ("00 0g", "line 1: \"0g\""),
            ("00\n000", "line 2: \"000\""),
            (&"00".repeat(127), "it has 127"),
            (&"00".repeat(129), "it has 129"),
        ] {
            assert!(read_hex(text).unwrap_err().contains(problem), "{text}");
        }
    }
}
