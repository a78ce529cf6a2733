// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration zone in the layout that `mos atca-get-config` prints and `mos atca-set-config` takes: YAML with
//! the names of an ATECC508A. Properties of a 608 that those names can't express have additional names, which are
//! printed only if needed.

use std::fmt::Write;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlLoader};

use super::schema::{Field, ACCESS, KEY, PRIVATE_USE, READ_KEY};
use atecc608_wire::config_zone::{offset, KeyType, UNLOCKED};
use atecc608_wire::{ConfigZone, Slot};

/// Maximum nesting of lists and mappings; mos writes 4.
const MAX_DEPTH: usize = 16;

/// mos's names of SlotConfig bits 3 to 0 of a private key, and the additional ones.
const PRIVATE_NAMES: [(&str, &str); 4] = [
    ("extsignenable", "external_sign"),
    ("intsignenable", "internal_sign"),
    ("ecdhenable", "ecdh"),
    ("ecdhtonextslot", "ecdh_to_slot"),
];
const ACCESS_NAMES: [(&str, &str); 6] = [
    ("nomac", "no_mac"),
    ("limiteduse", "limited_use"),
    ("encryptread", "encrypt_read"),
    ("issecret", "is_secret"),
    ("writekey", "write_key"),
    ("writeconfig", "write_config"),
];
/// The names of KeyConfig; keytype is between the second and the third.
const KEY_NAMES: [(&str, &str); 8] = [
    ("private", "private"),
    ("pubinfo", "pub_info"),
    ("lockable", "lockable"),
    ("reqrandom", "req_random"),
    ("reqauth", "req_auth"),
    ("authkey", "auth_key"),
    ("intrusiondisable", "persistent_disable"),
    ("x509id", "x509_id"),
];
/// Single bytes: mos's name and the place.
const BYTES_BEFORE: [(&str, usize); 3] =
    [("i2caddress", offset::I2C_ADDRESS), ("reserved17", 17), ("otpmode", offset::COUNT_MATCH)];
/// Eight bytes, big-endian.
const LONG: [(&str, usize); 4] =
    [("counter0", offset::COUNTERS), ("counter1", offset::COUNTERS + 8), ("lastkeyuse0", 68), ("lastkeyuse1", 76)];
const LOCKS: [(&str, usize); 2] = [("lockvalue", offset::LOCK_VALUE), ("lockconfig", offset::LOCK_CONFIG)];

/// Returns a field of the schema by its name in the TOML form.
fn named(fields: &'static [Field], name: &str) -> &'static Field {
    // A test covers all of them.
    fields.iter().find(|field| field.name == name).unwrap_or(&READ_KEY)
}

/// Prints the zone as mos does. [`read`] parses it, except the factory's own bits.
pub(super) fn write(zone: &ConfigZone) -> String {
    let bytes = zone.as_bytes();
    let mut text = String::from("serialnum:\n");
    for byte in zone.serial_number().0 {
        line(&mut text, 0, "-", byte);
    }
    line(&mut text, 0, "revision:", u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
    line(&mut text, 0, "reserved13:", bytes[13]);
    line(&mut text, 0, "i2cenable:", bytes[14] & 1 == 1);
    line(&mut text, 0, "reserved15:", bytes[15]);
    for (name, at) in BYTES_BEFORE {
        line(&mut text, 0, &format!("{name}:"), bytes[at]);
    }
    let mode = zone.chip_mode();
    text += "chipmode:\n";
    line(&mut text, 2, "selectorwriteonce:", mode & 1 != 0);
    line(&mut text, 2, "ttlenable:", mode & 2 != 0);
    line(&mut text, 2, "watchdogduration:", if mode & 4 != 0 { "10s" } else { "1s" });
    if mode >> 3 != 0 {
        line(&mut text, 2, "clockdivider:", mode >> 3);
    }
    text += "slotinfo:\n";
    Slot::all().for_each(|slot| write_slot(&mut text, zone, slot));
    for (name, at) in LONG {
        let long = bytes[at..at + 8].iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        line(&mut text, 0, &format!("{name}:"), long);
    }
    line(&mut text, 0, "userextra:", bytes[offset::USER_EXTRA]);
    line(&mut text, 0, "selector:", bytes[offset::USER_EXTRA_ADD]);
    for (name, at) in LOCKS {
        line(&mut text, 0, &format!("{name}:"), if bytes[at] == UNLOCKED { "Unlocked" } else { "Locked" });
    }
    let locked = u16::from_le_bytes([bytes[offset::SLOT_LOCKED], bytes[offset::SLOT_LOCKED + 1]]);
    line(&mut text, 0, "slotlocked:", locked);
    line(&mut text, 0, "reserved90:", bytes[90]);
    line(&mut text, 0, "reserved91:", bytes[91]);
    text += "x509format:\n";
    for format in &bytes[92..96] {
        line(&mut text, 0, "- publicposition:", format & 0x0F);
        line(&mut text, 2, "templatelength:", format >> 4);
    }
    text
}

/// Writing to a string does not fail.
fn line(text: &mut String, indent: usize, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{:indent$}{name} {value}", "");
}

fn write_slot(text: &mut String, zone: &ConfigZone, slot: Slot) {
    let key = zone.key_config(slot);
    line(text, 0, "- num:", slot);
    *text += "  slotconfig:\n";
    if key.private() {
        *text += "    privatekeyslotconfig:\n";
        write_fields(text, zone, slot, 6, &PRIVATE_NAMES, PRIVATE_USE);
    } else {
        line(text, 4, "readkey:", READ_KEY.of(slot).bits(zone));
    }
    write_fields(text, zone, slot, 4, &ACCESS_NAMES, ACCESS);
    *text += "  keyconfig:\n";
    write_fields(text, zone, slot, 4, &KEY_NAMES[..2], KEY);
    match key.key_type() {
        KeyType::P256 => line(text, 4, "keytype:", "ECC"),
        KeyType::ShaOrData => line(text, 4, "keytype:", "NonECC"),
        KeyType::Aes => line(text, 4, "keytype:", "AES"),
        KeyType::Reserved(other) => line(text, 4, "keytype:", other),
    }
    write_fields(text, zone, slot, 4, &KEY_NAMES[2..], KEY);
    if named(KEY, "key_config_reserved").of(slot).bits(zone) != 0 {
        line(text, 4, "reserved:", true);
    }
}

fn write_fields(
    text: &mut String,
    zone: &ConfigZone,
    slot: Slot,
    indent: usize,
    names: &[(&str, &str)],
    of: &'static [Field],
) {
    for (name, ours) in names {
        let field = named(of, ours).of(slot);
        let bits = field.bits(zone);
        let value = if field.maximum() == 1 { (bits == 1).to_string() } else { bits.to_string() };
        line(text, indent, &format!("{name}:"), value);
    }
}

/// Returns the parts of the zone that mos can't express: it reads such a file differently, or not at all.
pub(super) fn beyond_mos(zone: &ConfigZone) -> Vec<String> {
    let mut beyond = Vec::new();
    if zone.chip_mode() >> 3 != 0 {
        beyond.push("the clock divider (mos sets it to 0)".to_owned());
    }
    let slots = |test: &dyn Fn(Slot) -> bool| -> Vec<String> {
        Slot::all().filter(|slot| test(*slot)).map(|slot| slot.to_string()).collect()
    };
    let types = slots(&|slot| !matches!(zone.key_config(slot).key_type(), KeyType::P256 | KeyType::ShaOrData));
    if !types.is_empty() {
        beyond.push(format!("the key type of slots {} (mos refuses it)", types.join(", ")));
    }
    let late = slots(&|slot| slot.number() > 7 && matches!(zone.key_config(slot).key_type(), KeyType::P256));
    if !late.is_empty() {
        beyond.push(format!("P-256 keys in slots {} (mos knows them in slots 0 to 7 only)", late.join(", ")));
    }
    beyond
}

/// Parses such a file. Also returns whether it identifies a chip.
///
/// # Errors
/// The entry, and the expected form.
pub(super) fn read(text: &str) -> Result<(ConfigZone, bool), String> {
    ensure_simple(text)?;
    let documents = YamlLoader::load_from_str(text).map_err(|error| format!("not YAML: {error}"))?;
    let [document] = documents.as_slice() else { return Err("expected one YAML document".to_owned()) };
    let mut root = Map::of(document, "")?;
    let mut zone = super::file::unnamed_zone();
    let named = read_identity(&mut root, zone.as_bytes_mut())?;
    for (name, at) in BYTES_BEFORE {
        zone.as_bytes_mut()[at] = root.number(name, 0xFF)? as u8;
    }
    let mut mode = Map::of(root.required("chipmode")?, "chipmode.")?;
    let mut bits = u8::from(mode.flag("selectorwriteonce")?) | u8::from(mode.flag("ttlenable")?) << 1;
    bits |= match mode.required("watchdogduration")?.as_str() {
        Some("1s") => 0,
        Some("10s") => 4,
        _ => return Err("chipmode.watchdogduration: expected 1s or 10s".to_owned()),
    };
    if mode.has("clockdivider") {
        bits |= (mode.number("clockdivider", 31)? as u8) << 3;
    }
    mode.finish()?;
    zone.as_bytes_mut()[offset::CHIP_MODE] = bits;
    read_slots(&mut root, &mut zone)?;
    for (name, at) in LONG {
        let long = root.long(name)?;
        zone.as_bytes_mut()[at..at + 8].copy_from_slice(&long.to_be_bytes());
    }
    for (name, at) in LOCKS {
        zone.as_bytes_mut()[at] = match root.required(name)?.as_str() {
            Some("Unlocked") => UNLOCKED,
            Some("Locked") => 0,
            _ => return Err(format!("{name}: expected Locked or Unlocked")),
        };
    }
    let bytes = zone.as_bytes_mut();
    bytes[offset::USER_EXTRA] = root.number("userextra", 0xFF)? as u8;
    bytes[offset::USER_EXTRA_ADD] = root.number("selector", 0xFF)? as u8;
    bytes[offset::SLOT_LOCKED..offset::SLOT_LOCKED + 2]
        .copy_from_slice(&(root.number("slotlocked", 0xFFFF)? as u16).to_le_bytes());
    bytes[90] = root.number("reserved90", 0xFF)? as u8;
    bytes[91] = root.number("reserved91", 0xFF)? as u8;
    for (index, entry) in root.list("x509format", 4)?.iter().enumerate() {
        let mut format = Map::of(entry, &format!("x509format[{index}]."))?;
        bytes[92 + index] =
            format.number("publicposition", 15)? as u8 | (format.number("templatelength", 15)? as u8) << 4;
        format.finish()?;
    }
    root.finish()?;
    Ok((zone, named))
}

/// Reads the bytes of the factory, which a sample may omit. Returns whether they are there.
fn read_identity(root: &mut Map<'_>, bytes: &mut [u8; ConfigZone::LEN]) -> Result<bool, String> {
    if root.has("serialnum") {
        let problem = "serialnum: expected 9 numbers, 0 to 255";
        let list = root.required("serialnum")?.as_vec().ok_or(problem)?;
        let serial: Option<Vec<u8>> = list.iter().map(|byte| u8::try_from(byte.as_i64()?).ok()).collect();
        match serial.as_deref() {
            Some([]) => {}
            Some(serial) if serial.len() == 9 => {
                bytes[..4].copy_from_slice(&serial[..4]);
                bytes[8..13].copy_from_slice(&serial[4..]);
            }
            _ => return Err(problem.to_owned()),
        }
    }
    if root.has("revision") {
        bytes[4..8].copy_from_slice(&(root.number("revision", u32::MAX.into())? as u32).to_be_bytes());
    }
    for (name, at) in [("reserved13", 13), ("reserved15", 15)] {
        if root.has(name) {
            bytes[at] = root.number(name, 0xFF)? as u8;
        }
    }
    if root.has("i2cenable") {
        bytes[14] = root.flag("i2cenable")?.into();
    }
    Ok(bytes[4..8] != [0; 4])
}

fn read_slots(root: &mut Map<'_>, zone: &mut ConfigZone) -> Result<(), String> {
    for (slot, entry) in Slot::all().zip(root.list("slotinfo", 16)?) {
        let path = format!("slotinfo[{slot}]");
        let mut info = Map::of(entry, &format!("{path}."))?;
        // mos uses the place in the list, and ignores the number.
        if info.number("num", 15)? != i64::from(slot.number()) {
            return Err(format!("{path}.num: expected {slot}: the slots in their order"));
        }
        let mut key = Map::of(info.required("keyconfig")?, &format!("{path}.keyconfig."))?;
        read_fields(&mut key, zone, slot, &KEY_NAMES, KEY)?;
        let key_type = key.required("keytype")?;
        let value = match (key_type.as_str(), key_type.as_i64()) {
            (Some("ECC"), _) => 4,
            (Some("NonECC"), _) => 7,
            (Some("AES"), _) => 6,
            (_, Some(value @ 0..=7)) => value as u16,
            _ => return Err(format!("{path}.keyconfig.keytype: expected ECC, NonECC or AES")),
        };
        named(KEY, "key_type").of(slot).set_bits(zone, value);
        if key.has("reserved") {
            let reserved = key.flag("reserved")?;
            named(KEY, "key_config_reserved").of(slot).set_bits(zone, reserved.into());
        }
        key.finish()?;
        let path = format!("{path}.slotconfig.");
        let mut access = Map::of(info.required("slotconfig")?, &path)?;
        if zone.key_config(slot).private() {
            let path = format!("{path}privatekeyslotconfig.");
            let mut uses = Map::of(access.required("privatekeyslotconfig")?, &path)?;
            read_fields(&mut uses, zone, slot, &PRIVATE_NAMES, PRIVATE_USE)?;
            uses.finish()?;
        } else {
            let read_key = access.number("readkey", 15)?;
            READ_KEY.of(slot).set_bits(zone, read_key as u16);
        }
        read_fields(&mut access, zone, slot, &ACCESS_NAMES, ACCESS)?;
        access.finish()?;
        info.finish()?;
    }
    Ok(())
}

/// Refuses, before building anything, constructs that mos never prints and that grow when parsed: aliases, which repeat
/// their target, and deep nesting.
fn ensure_simple(text: &str) -> Result<(), String> {
    let mut parser = Parser::new_from_str(text);
    let mut depth = 0;
    loop {
        let (event, mark) = parser.next_token().map_err(|error| format!("not YAML: {error}"))?;
        let anchor = match event {
            Event::StreamEnd => return Ok(()),
            Event::SequenceEnd | Event::MappingEnd => {
                depth -= 1;
                continue;
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                depth += 1;
                anchor
            }
            Event::Alias(anchor) | Event::Scalar(_, _, anchor, _) => anchor,
            _ => 0,
        };
        if anchor != 0 {
            return Err(format!(
                "line {}: anchors and aliases (`&` and `*`) are not accepted: write the values out",
                mark.line()
            ));
        }
        if depth > MAX_DEPTH {
            return Err(format!("line {}: more than {MAX_DEPTH} levels are not accepted", mark.line()));
        }
    }
}

fn read_fields(
    map: &mut Map<'_>,
    zone: &mut ConfigZone,
    slot: Slot,
    names: &[(&str, &str)],
    of: &'static [Field],
) -> Result<(), String> {
    for (name, ours) in names {
        let field = named(of, ours).of(slot);
        let value = match field.maximum() {
            1 => map.flag(name)?.into(),
            maximum => map.number(name, maximum.into())? as u16,
        };
        field.set_bits(zone, value);
    }
    Ok(())
}

/// One mapping, whose keys are read one by one.
struct Map<'y> {
    path: String,
    entries: &'y Hash,
    taken: Vec<String>,
}

impl<'y> Map<'y> {
    fn of(yaml: &'y Yaml, path: &str) -> Result<Self, String> {
        let entries = yaml.as_hash().ok_or_else(|| match path {
            "" => "expected the layout of mos atca-get-config: `serialnum:`, `revision:`, ...".to_owned(),
            path => format!("{}: expected names and values", path.trim_end_matches('.')),
        })?;
        Ok(Self { path: path.to_owned(), entries, taken: Vec::new() })
    }

    fn has(&self, name: &str) -> bool {
        self.entries.contains_key(&Yaml::String(name.to_owned()))
    }

    fn required(&mut self, name: &str) -> Result<&'y Yaml, String> {
        self.taken.push(name.to_owned());
        let value = self.entries.get(&Yaml::String(name.to_owned()));
        value.ok_or_else(|| format!("{}{name} is missing", self.path))
    }

    fn flag(&mut self, name: &str) -> Result<bool, String> {
        self.required(name)?.as_bool().ok_or_else(|| format!("{}{name}: expected true or false", self.path))
    }

    fn number(&mut self, name: &str, maximum: i64) -> Result<i64, String> {
        let number = self.required(name)?.as_i64().filter(|number| (0..=maximum).contains(number));
        number.ok_or_else(|| format!("{}{name}: expected a number, 0 to {maximum}", self.path))
    }

    /// Up to 64 bits: the YAML parser returns numbers too large for a signed integer as a decimal fraction, or a
    /// string.
    fn long(&mut self, name: &str) -> Result<u64, String> {
        let number = match self.required(name)? {
            Yaml::Integer(number) => u64::try_from(*number).ok(),
            Yaml::Real(digits) | Yaml::String(digits) => digits.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| format!("{}{name}: expected a number of 64 bits", self.path))
    }

    fn list(&mut self, name: &str, len: usize) -> Result<&'y [Yaml], String> {
        let list = self.required(name)?.as_vec().filter(|list| list.len() == len);
        list.map(Vec::as_slice).ok_or_else(|| format!("{}{name}: expected a list of {len}", self.path))
    }

    fn finish(self) -> Result<(), String> {
        let unknown =
            self.entries.keys().find(|key| !key.as_str().is_some_and(|key| self.taken.iter().any(|t| t == key)));
        match unknown {
            None => Ok(()),
            Some(key) => Err(format!("unknown entry {}{}", self.path, key.as_str().unwrap_or("(not a name)"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_ours_exists() {
        for (names, fields) in [(&PRIVATE_NAMES[..], PRIVATE_USE), (&ACCESS_NAMES, ACCESS), (&KEY_NAMES, KEY)] {
            for (_, ours) in names {
                assert!(fields.iter().any(|field| field.name == *ours), "{ours}");
            }
        }
        assert!(["key_type", "key_config_reserved"].iter().all(|name| KEY.iter().any(|field| field.name == *name)));
    }

    #[test]
    fn what_was_written_is_read_back_whatever_it_is() {
        for seed in 0..=255_u8 {
            let mut bytes = [0; ConfigZone::LEN];
            bytes.iter_mut().zip(0_u8..).for_each(|(byte, at)| *byte = at.wrapping_mul(37) ^ seed);
            // mos supports one bit, or two values, of these.
            (bytes[14], bytes[86], bytes[87]) = (seed & 1, [0x55, 0][usize::from(seed >> 7)], 0x55);
            let zone = ConfigZone::new(bytes);
            let text = write(&zone);
            assert_eq!(read(&text).unwrap_or_else(|error| panic!("{error} in\n{text}")), (zone, true));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let good = write(&super::super::file::unnamed_zone());
        for (from, to, problem) in [
            ("watchdogduration: 1s", "watchdogduration: 2s", "chipmode.watchdogduration: expected 1s or 10s"),
            ("- num: 3", "- num: 4", "slotinfo[3].num: expected 3"),
            ("authkey: 0", "authkey: 16", "slotinfo[0].keyconfig.authkey: expected a number, 0 to 15"),
            ("readkey: 0", "readkey: x", "slotinfo[0].slotconfig.readkey: expected a number"),
            ("    nomac: false\n", "", "slotinfo[0].slotconfig.nomac is missing"),
            ("otpmode: 0", "otpmode: 0\nspare: 1", "unknown entry spare"),
            ("lockvalue: Unlocked", "lockvalue: open", "lockvalue: expected Locked or Unlocked"),
            ("selector: 0", "selector: [0", "not YAML"),
            ("selector: 0", "selector: &a 0", "anchors and aliases (`&` and `*`) are not accepted"),
            ("selector: 0", "selector: *a", "unknown anchor"),
        ] {
            let error = read(&good.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        assert!(read("- 1").unwrap_err().contains("mos atca-get-config"));
        assert!(read("").is_err());
    }

    #[test]
    fn what_would_grow_when_it_is_read_is_refused_before_it_is_built() {
        // Each line contains the previous one ten times: 10^30 values.
        let mut text = "a0: &a0 x\n".to_owned();
        for level in 1..30 {
            text += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        }
        assert!(read(&text).unwrap_err().contains("line 1: anchors"));
        for deep in ["[".repeat(500_000), "- ".repeat(500_000), "{a: ".repeat(200_000)] {
            let error = read(&deep).unwrap_err();
            // The YAML parser itself counts brackets, before it continues.
            assert!(error.contains("more than 16 levels") || error.contains("recursion limit"), "{error}");
        }
    }
}
