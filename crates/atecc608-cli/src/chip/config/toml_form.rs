// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration zone as TOML for people to read and edit: every field by name, with a comment.

use atecc608_contents::words;
use std::fmt::Write;

use base16ct::lower::encode_string as hex;
use base16ct::mixed;
use toml::de::DeValue;

use super::schema::{slot_fields, Field, Shape, CHIP, KEY, NOT_WRITTEN};
use atecc608_token::config;
use atecc608_token::document::{FromToml, Placed, Problem, Table};
use atecc608_wire::config_zone::offset;
use atecc608_wire::{ConfigZone, Slot};

/// The column of a line's comment, if there is room.
const COMMENT_COLUMN: usize = 44;

/// Prints the zone as TOML. [`read`] parses it.
pub(super) fn write(zone: &ConfigZone) -> String {
    let mut text = format!("# Configuration zone of the chip {}\n", zone.serial_number());
    text += "# `atecc608 config check` lists what each slot may do, `config set` writes such a file to a chip that is \
             not locked.\n";
    text += "\n# `config set` does not write:\n";
    NOT_WRITTEN.iter().for_each(|field| line(&mut text, zone, field));
    text.push('\n');
    CHIP.iter().for_each(|field| line(&mut text, zone, field));
    for slot in Slot::all() {
        let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "\n# {}: {}\n[[slot]]\nslot = {slot}\n# slot_config = 0x{} (bytes {}, {}), key_config = 0x{} (bytes {}, {})",
            words::kind(zone, slot),
            words::rules(zone, slot).join(", "),
            words::word(access.0),
            offset::SLOT_CONFIG + 2 * slot.index(),
            offset::SLOT_CONFIG + 2 * slot.index() + 1,
            words::word(key.0),
            offset::KEY_CONFIG + 2 * slot.index(),
            offset::KEY_CONFIG + 2 * slot.index() + 1,
        );
        slot_fields(key.private()).for_each(|field| line(&mut text, zone, &field.of(slot)));
    }
    text
}

fn line(text: &mut String, zone: &ConfigZone, field: &Field) {
    let bits = field.bits(zone);
    let value = match field.shape {
        Shape::Bytes(len) => format!("\"{}\"", hex(&zone.as_bytes()[field.byte..field.byte + len])),
        Shape::Flag(_) => (bits == 1).to_string(),
        Shape::Reserved { .. } if bits == 0 => return,
        Shape::Number { width, .. } | Shape::Reserved { width, .. } if width > 5 => {
            format!("0x{bits:0digits$X}", digits = usize::from(width) / 4)
        }
        Shape::Number { .. } | Shape::Reserved { .. } => bits.to_string(),
        Shape::Choice { names, .. } => {
            let name = names.iter().find(|(value, _)| *value == bits);
            name.map_or_else(|| bits.to_string(), |(_, name)| format!("\"{name}\""))
        }
    };
    let entry = format!("{} = {value}", field.name);
    let _ = match field.meaning {
        "" => writeln!(text, "{entry}"),
        meaning => writeln!(text, "{entry:<COMMENT_COLUMN$} # {meaning}"),
    };
}

/// Parses such a text. Fields that Write can't change may be omitted; a slot's two words may replace its fields, as in
/// profiles. Also returns whether the text identifies a chip.
///
/// # Errors
/// The line, and the expected form.
pub(super) fn read(text: &str) -> Result<(ConfigZone, bool), String> {
    read_document(text).map_err(|problem| format!("line {}: {problem}", problem.line(text)))
}

fn read_document(text: &str) -> Result<(ConfigZone, bool), Problem> {
    let mut zone = super::file::unnamed_zone();
    let mut document = Table::parse(text)?;
    let mut named = false;
    for field in NOT_WRITTEN {
        let found = take(&mut document, field, &mut zone)?;
        named |= found && field.name == "revision";
    }
    for field in CHIP {
        require(&mut document, field, &mut zone)?;
    }
    let mut seen = [false; 16];
    for mut table in document.tables("slot")? {
        let once = |slot: Slot| match std::mem::replace(&mut seen[slot.index()], true) {
            true => Err("slot.slot: this slot is listed twice"),
            false => Ok(slot),
        };
        let slot = config::slot(&mut table)?.check(once)?;
        read_slot(&mut table, slot, &mut zone)?;
        table.finish()?;
    }
    if let Some(missing) = seen.iter().position(|seen| !seen) {
        return Err(Problem::new(document.span(), format!("[[slot]] for slot {missing} is missing")));
    }
    document.finish()?;
    Ok((zone, named))
}

fn read_slot(table: &mut Table<'_>, slot: Slot, zone: &mut ConfigZone) -> Result<(), Problem> {
    let words = [("slot_config", offset::SLOT_CONFIG), ("key_config", offset::KEY_CONFIG)];
    let mut found = 0;
    for (name, byte) in words {
        let whole = Field { name, byte, shape: Shape::Number { shift: 0, width: 16 }, meaning: "" };
        found += usize::from(take(table, &whole.of(slot), zone)?);
    }
    match found {
        2 => return Ok(()),
        1 => {
            return Err(Problem::new(table.span(), "slot: slot_config and key_config stand for all fields: give both"))
        }
        _ => {}
    }
    // This field decides which others there are.
    require(table, &KEY[0].of(slot), zone)?;
    for field in slot_fields(zone.key_config(slot).private()).skip(1) {
        require(table, &field.of(slot), zone)?;
    }
    Ok(())
}

fn require(table: &mut Table<'_>, field: &Field, zone: &mut ConfigZone) -> Result<(), Problem> {
    let found = take(table, field, zone)?;
    if found || matches!(field.shape, Shape::Reserved { .. }) {
        return Ok(());
    }
    Err(Problem::new(table.span(), format!("{} is missing: {}", field.name, field.meaning)))
}

/// Copies a field's value into the zone. Returns whether it is there.
fn take(table: &mut Table<'_>, field: &Field, zone: &mut ConfigZone) -> Result<bool, Problem> {
    match field.shape {
        Shape::Bytes(len) => {
            let Some(digits) = table.optional::<String>(field.name)? else { return Ok(false) };
            let bytes = digits.check(|digits| {
                let bytes = mixed::decode_vec(&digits).ok().filter(|bytes| bytes.len() == len);
                bytes.ok_or_else(|| format!("{}: expected {} hex digits", field.name, 2 * len))
            })?;
            zone.as_bytes_mut()[field.byte..field.byte + len].copy_from_slice(&bytes);
        }
        Shape::Flag(_) => {
            let Some(flag) = table.optional::<bool>(field.name)? else { return Ok(false) };
            field.set_bits(zone, flag.value.into());
        }
        Shape::Number { .. } | Shape::Reserved { .. } => {
            let Some(number) = table.optional::<i64>(field.name)? else { return Ok(false) };
            field.set_bits(zone, in_range(field, number)?);
        }
        Shape::Choice { names, .. } => {
            let Some(choice) = table.optional::<Choice>(field.name)? else { return Ok(false) };
            let value = choice.check(|choice| {
                let value = match &choice {
                    Choice::Number(number) => u16::try_from(*number).ok().filter(|value| *value <= field.maximum()),
                    Choice::Name(name) => names.iter().find(|(_, known)| known == name).map(|(value, _)| *value),
                };
                value.ok_or_else(|| {
                    let all: Vec<String> = names.iter().map(|(_, name)| format!("\"{name}\"")).collect();
                    format!("{}: expected {}, or a number, 0 to {}", field.name, all.join(", "), field.maximum())
                })
            })?;
            field.set_bits(zone, value);
        }
    }
    Ok(true)
}

/// The value of a [`Shape::Choice`]: a value without a name is a number.
enum Choice {
    Name(String),
    Number(i64),
}

impl FromToml for Choice {
    const EXPECTED: &'static str = "a string or an integer";
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        String::from_toml(value).map(Self::Name).or_else(|| i64::from_toml(value).map(Self::Number))
    }
}

fn in_range(field: &Field, number: Placed<i64>) -> Result<u16, Problem> {
    number.check(|number| {
        let value = u16::try_from(number).ok().filter(|value| *value <= field.maximum());
        value.ok_or_else(|| format!("{}: expected 0 to {}", field.name, field.maximum()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 256 zones in which every byte differs from its neighbours in all ways; each bit is set in half of them.
    #[test]
    fn what_was_written_is_read_back_whatever_it_is() {
        for seed in 0..=255_u8 {
            let mut bytes = [0; ConfigZone::LEN];
            bytes.iter_mut().zip(0_u8..).for_each(|(byte, at)| *byte = at.wrapping_mul(37) ^ seed);
            let zone = ConfigZone::new(bytes);
            let text = write(&zone);
            let (again, named) = read(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
            assert!(named);
            assert_eq!(again, zone, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let good = write(&super::super::file::unnamed_zone());
        let line_of = |part: &str| good.lines().position(|line| line.contains(part)).unwrap() + 1;
        for (from, to, problem) in [
            ("clock_divider = 0 ", "clock_divider = 32 ", "clock_divider: expected 0 to 31"),
            ("secure_boot = \"off\"", "secure_boot = \"of\"", "secure_boot: expected \"off\", \"FullBoth\""),
            ("counter_1 = \"ff", "counter_1 = \"f", "counter_1: expected 16 hex digits"),
            ("io_protection = false", "io_protection = 0", "io_protection: expected true or false"),
        ] {
            let error = read(&good.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(problem), "{error}");
            assert!(error.starts_with(&format!("line {}: ", line_of(from))), "{error}");
        }
        assert!(read(&good.replacen("slot = 3\n", "slot = 2\n", 1)).unwrap_err().contains("twice"));
        assert!(read(&good.replacen("kdf_iv_loc", "kdf_iv_lock", 1)).unwrap_err().contains("kdf_iv_loc is missing"));
        assert!(read("").unwrap_err().contains("is missing"));
    }
}
