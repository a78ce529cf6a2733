// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of a state file: human-readable TOML.

use std::fmt::Write;

use toml_writer::TomlWrite;

use super::kept::{self, Kept};
use super::pin::blob::PinBlob;
use super::state::{
    EmptyPlace, Intent, PendingSecret, Purpose, SecretKind, SlotState, State, StoredClass, StoredObject, StoredSecret,
};
use crate::config;
use crate::document::{Placed, Problem, Table};
use atecc608_wire::config_zone::SerialNumber;

/// The only version of the file.
const FORMAT: i64 = 1;
/// Maximum number of PINs in a file.
const MAX_PINS: usize = 8;

/// Parses the state of the chip `serial`.
///
/// # Errors
/// The problem with the file, in words.
pub(super) fn read(text: &str, serial: &SerialNumber) -> Result<State, String> {
    Table::parse(text)
        .and_then(|document| state(document, serial))
        .map_err(|problem| format!("line {}: {problem}", problem.line(text)))
}

fn state(mut document: Table<'_>, serial: &SerialNumber) -> Result<State, Problem> {
    document.required::<i64>("format")?.check(|format| {
        if format == FORMAT {
            Ok(())
        } else {
            Err(format!("format {format} is not known to this version"))
        }
    })?;
    document.required::<String>("serial")?.check(|other| {
        if other == serial.to_string() {
            Ok(())
        } else {
            Err(format!("the file belongs to the chip {other}"))
        }
    })?;
    let count = |number| u64::try_from(number).map_err(|_| "expected a count");
    let slot_8_changes = document.optional::<i64>("slot_8_changes")?;
    let state = State {
        generation: document.required::<i64>("generation")?.check(count)?,
        sold: bytes(&mut document, "sold_certificates")?,
        slot_8_changes: slot_8_changes.map(|number| number.check(count)).transpose()?.unwrap_or_default(),
        label: optional(&mut document, "label")?,
        pins: pins(document.tables("pin")?)?,
        slots: document.tables("slot")?.into_iter().map(slot).collect::<Result<_, _>>()?,
        secrets: document.tables("secret")?.into_iter().map(secret).collect::<Result<_, _>>()?,
        empty: document.tables("empty")?.into_iter().map(empty).collect::<Result<_, _>>()?,
        objects: document.tables("object")?.into_iter().map(object).collect::<Result<_, _>>()?,
    };
    document.finish()?;
    Ok(state)
}

fn optional(table: &mut Table<'_>, key: &'static str) -> Result<Option<String>, Problem> {
    Ok(table.optional(key)?.map(|text: Placed<String>| text.value))
}

fn flag(table: &mut Table<'_>, key: &'static str) -> Result<bool, Problem> {
    Ok(table.optional::<bool>(key)?.is_some_and(|flag| flag.value))
}

fn bytes(table: &mut Table<'_>, key: &'static str) -> Result<Option<Vec<u8>>, Problem> {
    let hex = |text: String| {
        base16ct::mixed::decode_vec(text).map_err(|_| format!("{key}: expected hex digits, two for each byte"))
    };
    table.optional::<String>(key)?.map(|text| text.check(hex)).transpose()
}

/// Reads the PINs. Each costs a login one Argon2id, so their number is limited: a group member can write the file.
fn pins(tables: Vec<Table<'_>>) -> Result<Vec<PinBlob>, Problem> {
    if let Some(surplus) = tables.get(MAX_PINS) {
        return Err(Problem::new(surplus.span(), format!("more than {MAX_PINS} tables [[pin]]")));
    }
    tables.into_iter().map(pin).collect()
}

fn pin(mut table: Table<'_>) -> Result<PinBlob, Problem> {
    let blob = PinBlob { salt: array(&mut table, "salt")?, blob: array(&mut table, "blob")? };
    table.finish()?;
    Ok(blob)
}

fn array<const N: usize>(table: &mut Table<'_>, key: &'static str) -> Result<[u8; N], Problem> {
    let hex = |text: String| {
        let bytes = base16ct::mixed::decode_vec(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| format!("{key}: expected {N} bytes as hex digits"))
    };
    table.required::<String>(key)?.check(hex)
}

fn slot(mut table: Table<'_>) -> Result<SlotState, Problem> {
    let slot = SlotState {
        slot: config::slot(&mut table)?.value.number(),
        label: optional(&mut table, "label")?,
        public_label: optional(&mut table, "public_label")?,
        id: bytes(&mut table, "id")?,
        kept: kept(&mut table)?,
        public_key: bytes(&mut table, "public_key")?,
        imported: flag(&mut table, "imported")?,
        tombstone: bytes(&mut table, "tombstone")?,
        intent: table.tables("intent")?.into_iter().next().map(intent).transpose()?,
    };
    table.finish()?;
    Ok(slot)
}

/// `[[….attribute]]`: attributes stored as given.
fn kept(table: &mut Table<'_>) -> Result<Kept, Problem> {
    let mut kept = Kept::default();
    for mut attribute in table.tables("attribute")? {
        let number = attribute.required::<i64>("type")?;
        let number = number.check(|number| number.try_into().map_err(|_| "type: no attribute has this number"))?;
        let value = attribute.required::<String>("value")?;
        let value = value.check(|text| {
            base16ct::mixed::decode_vec(text).map_err(|_| "value: expected hex digits, two for each byte")
        })?;
        attribute.finish()?;
        match kept::from_stored(number, value) {
            Some(value) => kept.0.push((number, value)),
            None => log::warn!("state: the value of attribute {number:#x} is not a number of this machine: ignored"),
        }
    }
    Ok(kept)
}

fn intent(mut table: Table<'_>) -> Result<Intent, Problem> {
    let intent = Intent {
        before: bytes(&mut table, "before")?,
        after: bytes(&mut table, "after")?,
        purpose: table.required::<String>("purpose")?.check(|purpose| match purpose.as_str() {
            "generate" => Ok(Purpose::Generate),
            "import" => Ok(Purpose::Import),
            "destroy" => Ok(Purpose::Destroy),
            other => Err(format!("purpose: \"{other}\" is not generate, import or destroy")),
        })?,
        label: optional(&mut table, "label")?,
        public_label: optional(&mut table, "public_label")?,
        id: bytes(&mut table, "id")?,
        kept: kept(&mut table)?,
    };
    table.finish()?;
    Ok(intent)
}

/// A number from 0 to `most`.
fn small(table: &mut Table<'_>, key: &'static str, most: u8) -> Result<u8, Problem> {
    table.required::<i64>(key)?.check(|number| match u8::try_from(number) {
        Ok(number) if number <= most => Ok(number),
        _ => Err(format!("{key}: {number}, where at most {most} is possible")),
    })
}

/// Which 32 bytes of a slot.
fn block(table: &mut Table<'_>) -> Result<u8, Problem> {
    small(table, "block", 12)
}

fn empty(mut table: Table<'_>) -> Result<EmptyPlace, Problem> {
    let place = EmptyPlace {
        slot: config::slot(&mut table)?.value.number(),
        block: block(&mut table)?,
        check: array(&mut table, "check")?,
    };
    table.finish()?;
    Ok(place)
}

fn secret(mut table: Table<'_>) -> Result<StoredSecret, Problem> {
    let secret = StoredSecret {
        unique_id: table.required("unique_id")?.value,
        slot: config::slot(&mut table)?.value.number(),
        block: block(&mut table)?,
        kind: table.required::<String>("kind")?.check(|kind| match kind.as_str() {
            "aes" => Ok(SecretKind::Aes),
            "generic" => Ok(SecretKind::Generic),
            other => Err(format!("kind: \"{other}\" is neither aes nor generic")),
        })?,
        len: small(&mut table, "len", 32)?,
        label: optional(&mut table, "label")?.unwrap_or_default(),
        id: bytes(&mut table, "id")?.unwrap_or_default(),
        kept: kept(&mut table)?,
        check: array(&mut table, "check")?,
        generated: flag(&mut table, "generated")?,
        pending: match table.optional::<String>("pending")? {
            None => None,
            Some(pending) => {
                let other = array(&mut table, "pending_check")?;
                Some(pending.check(|pending| match pending.as_str() {
                    "write" => Ok(PendingSecret::Write { before: other }),
                    "destroy" => Ok(PendingSecret::Destroy { filler: other }),
                    other => Err(format!("pending: \"{other}\" is neither write nor destroy")),
                })?)
            }
        },
    };
    table.finish()?;
    Ok(secret)
}

fn object(mut table: Table<'_>) -> Result<StoredObject, Problem> {
    let object = StoredObject {
        unique_id: table.required("unique_id")?.value,
        class: table.required::<String>("class")?.check(|class| match class.as_str() {
            "certificate" => Ok(StoredClass::Certificate),
            "data" => Ok(StoredClass::Data),
            "public_key" => Ok(StoredClass::PublicKey),
            other => Err(format!("class: \"{other}\" is none of certificate, data, public_key")),
        })?,
        label: optional(&mut table, "label")?.unwrap_or_default(),
        id: bytes(&mut table, "id")?.unwrap_or_default(),
        application: optional(&mut table, "application")?.unwrap_or_default(),
        kept: kept(&mut table)?,
        value: bytes(&mut table, "value")?.unwrap_or_default(),
    };
    table.finish()?;
    Ok(object)
}

/// Returns the file's text.
///
/// # Errors
/// Never, because it writes to a `String`.
pub(super) fn write(state: &State, serial: &SerialNumber) -> Result<String, std::fmt::Error> {
    let mut out = Document(String::new());
    writeln!(
        out.0,
        "# Names, certificates and marks of one chip, written by atecc608-pkcs11. The chip decides which keys exist."
    )?;
    out.number("format", FORMAT as u64)?;
    out.text("serial", Some(&serial.to_string()))?;
    out.number("generation", state.generation)?;
    out.text("label", state.label.as_deref())?;
    out.bytes("sold_certificates", state.sold.as_deref())?;
    if state.slot_8_changes > 0 {
        out.number("slot_8_changes", state.slot_8_changes)?;
    }
    for pin in &state.pins {
        out.header("pin")?;
        out.bytes("salt", Some(&pin.salt))?;
        out.bytes("blob", Some(&pin.blob))?;
    }
    for slot in &state.slots {
        out.header("slot")?;
        out.number("slot", slot.slot.into())?;
        out.text("label", slot.label.as_deref())?;
        out.text("public_label", slot.public_label.as_deref())?;
        out.bytes("id", slot.id.as_deref())?;
        out.bytes("public_key", slot.public_key.as_deref())?;
        if slot.imported {
            writeln!(out.0, "imported = true")?;
        }
        out.bytes("tombstone", slot.tombstone.as_deref())?;
        out.kept("slot", &slot.kept)?;
        if let Some(intent) = &slot.intent {
            out.header("slot.intent")?;
            out.text(
                "purpose",
                Some(match intent.purpose {
                    Purpose::Generate => "generate",
                    Purpose::Import => "import",
                    Purpose::Destroy => "destroy",
                }),
            )?;
            out.bytes("before", intent.before.as_deref())?;
            out.bytes("after", intent.after.as_deref())?;
            out.text("label", intent.label.as_deref())?;
            out.text("public_label", intent.public_label.as_deref())?;
            out.bytes("id", intent.id.as_deref())?;
            out.kept("slot.intent", &intent.kept)?;
        }
    }
    for secret in &state.secrets {
        out.header("secret")?;
        out.text("unique_id", Some(&secret.unique_id))?;
        out.number("slot", secret.slot.into())?;
        out.number("block", secret.block.into())?;
        out.text(
            "kind",
            Some(match secret.kind {
                SecretKind::Aes => "aes",
                SecretKind::Generic => "generic",
            }),
        )?;
        out.number("len", secret.len.into())?;
        out.text("label", Some(&secret.label))?;
        out.bytes("id", Some(&secret.id))?;
        out.bytes("check", Some(&secret.check))?;
        if secret.generated {
            writeln!(out.0, "generated = true")?;
        }
        if let Some(pending) = &secret.pending {
            let (what, other) = match pending {
                PendingSecret::Write { before } => ("write", before),
                PendingSecret::Destroy { filler } => ("destroy", filler),
            };
            out.text("pending", Some(what))?;
            out.bytes("pending_check", Some(other))?;
        }
        out.kept("secret", &secret.kept)?;
    }
    for place in &state.empty {
        out.header("empty")?;
        out.number("slot", place.slot.into())?;
        out.number("block", place.block.into())?;
        out.bytes("check", Some(&place.check))?;
    }
    for object in &state.objects {
        out.header("object")?;
        out.text("unique_id", Some(&object.unique_id))?;
        out.text(
            "class",
            Some(match object.class {
                StoredClass::Certificate => "certificate",
                StoredClass::Data => "data",
                StoredClass::PublicKey => "public_key",
            }),
        )?;
        out.text("label", Some(&object.label))?;
        out.bytes("id", Some(&object.id))?;
        out.text("application", Some(&object.application).filter(|text| !text.is_empty()).map(String::as_str))?;
        out.bytes("value", Some(&object.value))?;
        out.kept("object", &object.kept)?;
    }
    Ok(out.0)
}

/// A document being written, line by line.
struct Document(String);

impl Document {
    fn header(&mut self, name: &str) -> std::fmt::Result {
        writeln!(self.0, "\n[[{name}]]")
    }

    fn number(&mut self, key: &str, value: u64) -> std::fmt::Result {
        writeln!(self.0, "{key} = {value}")
    }

    fn text(&mut self, key: &str, value: Option<&str>) -> std::fmt::Result {
        let Some(value) = value else { return Ok(()) };
        write!(self.0, "{key} = ")?;
        self.0.value(value)?;
        self.0.newline()
    }

    fn kept(&mut self, of: &str, kept: &Kept) -> std::fmt::Result {
        for (attribute, value) in &kept.0 {
            self.header(&format!("{of}.attribute"))?;
            writeln!(self.0, "type = {attribute}")?;
            self.bytes("value", Some(&kept::to_stored(*attribute, value)))?;
        }
        Ok(())
    }

    fn bytes(&mut self, key: &str, value: Option<&[u8]>) -> std::fmt::Result {
        self.text(key, value.map(base16ct::lower::encode_string).as_deref())
    }
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::{
        CKA_CERTIFICATE_CATEGORY, CKA_NAME_HASH_ALGORITHM, CKA_URL, CK_ULONG, CK_UNAVAILABLE_INFORMATION,
    };

    use super::*;

    const SERIAL: SerialNumber = SerialNumber([1, 0x23, 0x53, 0x49, 0x4D, 1, 2, 3, 0xEE]);

    /// A state with one certificate that has this attribute, as a file has it.
    fn file_with(attribute: CK_ULONG, value: &str) -> String {
        format!(
            "format = 1\nserial = \"{SERIAL}\"\ngeneration = 1\n\n[[object]]\nunique_id = \"u\"\nclass = \"certificate\"\n\n\
             [[object.attribute]]\ntype = {attribute}\nvalue = \"{value}\"\n"
        )
    }

    fn kept_in(file: &str) -> Kept {
        read(file, &SERIAL).unwrap().objects.remove(0).kept
    }

    #[test]
    fn a_number_is_read_whatever_the_word_size_of_its_writer() {
        for (attribute, stored, number) in [
            (CKA_CERTIFICATE_CATEGORY, "0200000000000000", 2),
            (CKA_CERTIFICATE_CATEGORY, "02000000", 2),
            (CKA_NAME_HASH_ALGORITHM, "5002000000000000", 0x250),
            (CKA_NAME_HASH_ALGORITHM, "500200f0", 0xF000_0250),
            (CKA_CERTIFICATE_CATEGORY, "ffffffffffffffff", CK_UNAVAILABLE_INFORMATION),
            (CKA_CERTIFICATE_CATEGORY, "ffffffff", CK_UNAVAILABLE_INFORMATION),
        ] {
            let kept = kept_in(&file_with(attribute, stored));
            assert_eq!(kept.get(attribute), Some(CK_ULONG::to_ne_bytes(number).as_slice()), "{stored}");
        }
    }

    #[test]
    fn a_number_is_written_as_eight_bytes_whatever_the_word_size() {
        for (old, new) in [("02000000", "0200000000000000"), ("ffffffff", "ffffffffffffffff")] {
            let state = read(&file_with(CKA_CERTIFICATE_CATEGORY, old), &SERIAL).unwrap();
            let text = write(&state, &SERIAL).unwrap();
            assert!(text.contains(&format!("value = \"{new}\"")), "{text}");
            assert_eq!(read(&text, &SERIAL).unwrap(), state);
        }
    }

    #[test]
    fn more_pins_than_interrupted_changes_can_leave_are_refused() {
        let pin = format!("[[pin]]\nsalt = \"{}\"\nblob = \"{}\"\n", "00".repeat(16), "11".repeat(32));
        let file = |pins| format!("format = 1\nserial = \"{SERIAL}\"\ngeneration = 1\n{}", pin.repeat(pins));
        assert_eq!(read(&file(8), &SERIAL).unwrap().pins.len(), 8);
        let problem = read(&file(9), &SERIAL).unwrap_err();
        assert!(problem.contains("more than 8 tables [[pin]]") && problem.contains("28"), "{problem}");
    }

    #[test]
    fn what_is_no_number_is_kept_as_it_is() {
        let kept = kept_in(&file_with(CKA_URL, "02000000"));
        assert_eq!(kept.get(CKA_URL), Some([2, 0, 0, 0].as_slice()));
    }

    #[test]
    fn a_number_that_this_machine_has_not_is_ignored_and_the_state_stays_good() {
        assert_eq!(kept_in(&file_with(CKA_CERTIFICATE_CATEGORY, "0200")), Kept::default());
        let wide = kept_in(&file_with(CKA_CERTIFICATE_CATEGORY, "0000000001000000"));
        assert_eq!(wide.get(CKA_CERTIFICATE_CATEGORY).is_some(), CK_ULONG::BITS == 64);
    }
}
