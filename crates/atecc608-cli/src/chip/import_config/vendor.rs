// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses the configuration files of the PKCS#11 module in Microchip's cryptoauthlib, like that module: a library file
//! with `filestore`, in that folder `N.conf` for each PKCS#11 slot and `N.M.conf` for each object that was created
//! through PKCS#11.
//!
//! Its pitfalls are interpreted as intended, with a warning: 8-bit addresses, bus and object numbers in hex digits,
//! labels without blanks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::input::values::parse_slot;
use atecc608::i2c::probe::USUAL_ADDRESSES;
use atecc608_token::config::slot_number;
use atecc608_wire::Slot;

/// One `N.conf`, with the `N.M.conf` that belong to it.
#[derive(Debug, Default)]
pub(super) struct Token {
    /// The PKCS#11 slot.
    pub(super) slot: u32,
    /// The file.
    pub(super) file: PathBuf,
    /// The label, or the default of the vendor's module.
    pub(super) label: String,
    /// Number of the I2C bus.
    pub(super) bus: u32,
    /// The 7-bit address.
    pub(super) address: u8,
    /// The objects, in the order of the chip's slots.
    pub(super) objects: BTreeMap<Slot, Object>,
}

/// A named object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// Its type.
    pub(super) kind: Kind,
    /// CKA_LABEL.
    pub(super) label: String,
}

/// The kinds of objects in the vendor's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Private,
    Public,
    Secret,
    Certificate,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Private, Self::Public, Self::Secret, Self::Certificate];

    /// Its name in the files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The result.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The tokens, by their slots.
    pub(super) tokens: Vec<Token>,
    /// Warnings for the user: file, line, text.
    pub(super) warnings: Vec<String>,
}

/// The default folder of the vendor's module.
pub(super) const LIBRARY_FILE: &str = "cryptoauthlib.conf";

/// Reads a folder: the file store, or one with the library file that names it.
///
/// # Errors
/// The problem, with file and line.
pub(super) fn read(folder: &Path) -> Result<Found, String> {
    let mut found = Found::default();
    let store = file_store(folder)?;
    let entries = std::fs::read_dir(&store).map_err(|error| format!("{}: {error}", store.display()))?;
    let mut children = Vec::new();
    let mut bases = Vec::new();
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        match name.split('.').collect::<Vec<_>>().as_slice() {
            [number, "conf"] => bases.extend(number.parse::<u32>().map(|number| (number, store.join(&name)))),
            [number, object, "conf"] => {
                children.extend(number.parse::<u32>().map(|number| (number, object.to_string(), store.join(&name))))
            }
            _ => {}
        }
    }
    bases.sort();
    children.sort();
    for (number, path) in bases {
        let Some(mut token) = base(number, &path, &mut found.warnings)? else { continue };
        for (_, object, path) in children.iter().filter(|(of, ..)| *of == number) {
            child(&mut token, object, path, &mut found.warnings)?;
        }
        found.tokens.push(token);
    }
    for (number, _, path) in &children {
        if !found.tokens.iter().any(|token| token.slot == *number) {
            found.warnings.push(format!("{}: left out: there is no {number}.conf to go with it", path.display()));
        }
    }
    if found.tokens.is_empty() {
        let left_out = found.warnings.join("\n");
        return Err(format!(
            "{}: there is no usable slot configuration (0.conf, 1.conf, ...){}{left_out}",
            store.display(),
            if left_out.is_empty() { "" } else { ":\n" }
        ));
    }
    Ok(found)
}

/// Returns the folder with the slots' files.
fn file_store(folder: &Path) -> Result<PathBuf, String> {
    let library = if folder.is_file() { folder.to_owned() } else { folder.join(LIBRARY_FILE) };
    if !library.is_file() {
        return Ok(folder.to_owned());
    }
    let mut ignored = Vec::new();
    let lines = lines(&library, &mut ignored)?;
    match lines.into_iter().find(|line| line.key == "filestore") {
        Some(line) => Ok(line.value.into()),
        None => Err(format!("{}: no line `filestore = FOLDER`", library.display())),
    }
}

/// `key = value`.
struct Line {
    /// File and line number.
    place: String,
    key: String,
    value: String,
}

fn lines(path: &Path, warnings: &mut Vec<String>) -> Result<Vec<Line>, String> {
    let text =
        atecc608_files::read_text(path, crate::input::MOST).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let place = format!("{}:{}", path.display(), index + 1);
        let Some((key, value)) = line.split_once('=') else {
            return Err(format!("{place}: \"{line}\" is not of the form `key = value`"));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if value.contains([' ', '\t']) {
            warnings
                .push(format!("{place}: {key}: the vendor's module takes no blanks in values; read as \"{value}\""));
        }
        lines.push(Line { place, key, value });
    }
    Ok(lines)
}

/// Reads `N.conf`; returns `None` for a device that this software can't use.
fn base(slot: u32, path: &Path, warnings: &mut Vec<String>) -> Result<Option<Token>, String> {
    let mut token = Token { slot, file: path.to_owned(), address: 0x60, bus: 1, ..Token::default() };
    let mut has_interface = false;
    for line in lines(path, warnings)? {
        let place = &line.place;
        match line.key.as_str() {
            "label" => token.label = line.value,
            "interface" => {
                if !interface(&mut token, &line, warnings)? {
                    return Ok(None);
                }
                has_interface = true;
            }
            "device" if line.value.starts_with("ATECC608") => trust(&mut token, &line.value),
            "device" => {
                warnings.push(format!("{place}: left out: {} is not an ATECC608", line.value));
                return Ok(None);
            }
            "object" => object(&mut token, &line, None, warnings)?,
            "freeslots" => warnings.push(format!(
                "{place}: freeslots is not needed: the chip's configuration decides which slots can hold new keys"
            )),
            other => warnings.push(format!("{place}: {other} is not known, and left out")),
        }
    }
    if !has_interface {
        return Err(format!("{}: no line `interface = i2c,ADDRESS,BUS`", path.display()));
    }
    if token.label.is_empty() {
        token.label = format!("{slot:02X}ABC");
        warnings.push(format!("{}: no label: using \"{}\", as the vendor's module does", path.display(), token.label));
    }
    Ok(Some(token))
}

/// `i2c,ADDRESS,BUS,BAUD`: 8 bits in hex digits, hex digits, decimal digits. Returns `false` for another kind of
/// interface.
fn interface(token: &mut Token, line: &Line, warnings: &mut Vec<String>) -> Result<bool, String> {
    let Line { place, value, .. } = line;
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    if parts[0] != "i2c" {
        warnings.push(format!(
            "{place}: left out: the interface {} is not supported: {}",
            parts[0],
            instead_of(parts[0])
        ));
        return Ok(false);
    }
    match parts.get(1) {
        Some(digits) => {
            let byte = hex_number(digits).and_then(|number| u8::try_from(number).ok());
            let byte =
                byte.ok_or_else(|| format!("{place}: \"{digits}\" is not an I2C address (8 bits in hex digits)"))?;
            token.address = byte >> 1;
            if !USUAL_ADDRESSES.contains(&token.address) && USUAL_ADDRESSES.contains(&byte) {
                token.address = byte;
                warnings.push(format!(
                    "{place}: {byte:#04x} is an address of 7 bits where 8 are expected: read as {byte:#04x}, not as {:#04x}",
                    byte >> 1
                ));
            }
            if !(0x08..=0x77).contains(&token.address) {
                return Err(format!("{place}: {byte:#04x} is not an 8-bit I2C address"));
            }
        }
        None => warnings.push(format!("{place}: no address: using 0xC0 (0x60 in 7 bits)")),
    }
    match parts.get(2) {
        Some(digits) => {
            let number = hex_number(digits).ok_or_else(|| format!("{place}: \"{digits}\" is not a bus number"))?;
            let decimal = digits.parse().unwrap_or(number);
            token.bus = decimal;
            if number != decimal {
                warnings.push(format!(
                    "{place}: bus {digits}: using /dev/i2c-{decimal}; the vendor's module reads hex digits, and opened \
                     /dev/i2c-{number}"
                ));
            }
        }
        None => warnings.push(format!("{place}: no bus: using /dev/i2c-1; `atecc608 scan` shows where the chip is")),
    }
    if let Some(baud) = parts.get(3).and_then(|baud| baud.parse::<u32>().ok()).filter(|baud| *baud > 100_000) {
        warnings.push(format!(
            "{place}: programs on Linux can't set {baud} Hz: the adapter sets the clock, which must be at most 100 kHz"
        ));
    }
    Ok(true)
}

/// Returns the remedy for an interface other than I2C.
fn instead_of(interface: &str) -> &'static str {
    match interface {
        "hid" | "kithid" => {
            "Linux has no I2C driver for the protocol of a USB kit. Wire the chip's SDA and SCL to an adapter that \
             Linux has a driver for (the board's own bus, or a CP2112 or i2c-tiny-usb on USB), and write interface = \
             i2c,0xC0,BUS"
        }
        "spi" => "the ATECC608 has no SPI: it is an interface of other chips (TA100). Write interface = i2c,0xC0,BUS",
        "swi" => {
            "the chip's single-wire interface needs a UART driver of its own. Parts with I2C have it enabled for good \
             (i2c_enable): write interface = i2c,0xC0,BUS, or order the chip with I2C"
        }
        _ => "only i2c is supported: write interface = i2c,0xC0,BUS",
    }
}

/// Adds the factory's objects that `device = ATECC608B-TNGTLS` and the like define.
fn trust(token: &mut Token, device: &str) {
    if !["TNGTLS", "TFLXTLS", "TNGLORA"].iter().any(|kind| device.split('-').nth(1) == Some(kind)) {
        return;
    }
    let sold = [(0, Kind::Private, "device"), (10, Kind::Certificate, "device"), (12, Kind::Certificate, "signer")];
    for (slot, kind, label) in sold {
        token.objects.entry(Slot::from_nibble(slot)).or_insert(Object { kind, label: label.to_owned() });
    }
}

/// `KIND,LABEL,SLOT`; the slot of `N.M.conf` is in its name.
fn object(token: &mut Token, line: &Line, slot: Option<Slot>, warnings: &mut Vec<String>) -> Result<(), String> {
    let Line { place, value, .. } = line;
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let (kind, label) = match (parts.as_slice(), slot) {
        ([kind, label, ..], _) => (*kind, *label),
        _ => return Err(format!("{place}: expected KIND,LABEL,SLOT, found \"{value}\"")),
    };
    let Some(kind) = Kind::named(kind) else {
        warnings.push(format!("{place}: \"{kind}\" is not a kind of object: left out"));
        return Ok(());
    };
    let slot = match (slot, parts.get(2)) {
        (Some(slot), _) => slot,
        (None, Some(digits)) => chip_slot(place, digits, warnings)?,
        (None, None) => return Err(format!("{place}: the object \"{label}\" has no slot")),
    };
    name(token, slot, Object { kind, label: label.to_owned() }, place, warnings);
    Ok(())
}

/// A slot of the chip. The vendor's module parses hex digits, but its own sample (`public,root,15`) has decimal ones.
fn chip_slot(place: &str, digits: &str, warnings: &mut Vec<String>) -> Result<Slot, String> {
    let wrong = || format!("{place}: \"{digits}\" is not a slot of the chip, 0 to 15");
    let number = hex_number(digits).ok_or_else(wrong)?;
    if let Ok(slot) = slot_number(number) {
        return Ok(slot);
    }
    let slot = parse_slot(digits).map_err(|_| wrong())?;
    warnings
        .push(format!("{place}: using slot {digits}; the vendor's module reads hex digits, and used slot {number}"));
    Ok(slot)
}

/// A slot of the chip has one name in this configuration: that of a private key takes precedence.
fn name(token: &mut Token, slot: Slot, object: Object, place: &str, warnings: &mut Vec<String>) {
    match token.objects.get(&slot) {
        Some(known) if known.label == object.label && is_key(known) => return,
        Some(known) if known.label == object.label => {}
        Some(known) if !is_key(&object) => {
            warnings.push(format!(
                "{place}: slot {slot} already has the label \"{}\": the name \"{}\" is left out",
                known.label, object.label
            ));
            return;
        }
        _ => {}
    }
    let same = token
        .objects
        .iter()
        .find(|(other, known)| **other != slot && is_key(known) && is_key(&object) && known.label == object.label);
    if let Some((other, _)) = same {
        warnings.push(format!(
            "{place}: slots {other} and {slot} have the same label \"{}\": labels of private keys are unique, give one another",
            object.label
        ));
    }
    token.objects.insert(slot, object);
}

fn is_key(object: &Object) -> bool {
    object.kind == Kind::Private
}

/// `N.M.conf`: `type = KIND,LABEL,SLOT`, or in older versions `type = KIND` and `label = LABEL`. M is in decimal
/// digits.
fn child(token: &mut Token, number: &str, path: &Path, warnings: &mut Vec<String>) -> Result<(), String> {
    let place = path.display().to_string();
    let slot = parse_slot(number).map_err(|_| format!("{place}: \"{number}\" is not a slot of the chip"))?;
    let lines = lines(path, warnings)?;
    let value = |key: &str| lines.iter().find(|line| line.key == key);
    match (value("type"), value("label")) {
        (Some(line), None) => object(token, line, Some(slot), warnings),
        (kind, Some(label)) => {
            let kind = kind.map_or(Kind::Private.name(), |line| &line.value);
            match Kind::named(kind) {
                Some(kind) => name(token, slot, Object { kind, label: label.value.clone() }, &place, warnings),
                None => warnings.push(format!("{place}: \"{kind}\" is not a kind of object: left out")),
            }
            Ok(())
        }
        (None, None) => Err(format!("{place}: expected a line `type = KIND,LABEL,SLOT`")),
    }
}

fn hex_number(digits: &str) -> Option<u32> {
    let digits = digits.strip_prefix("0x").or(digits.strip_prefix("0X")).unwrap_or(digits);
    u32::from_str_radix(digits, 16).ok()
}
