// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates of the user's own kinds: `[[token.certificate]]` names a template file, which names an example
//! certificate and the positions of the fields in it. docs/chips-as-sold.md describes the file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use cryptoki_sys::CK_CERTIFICATE_CATEGORY_UNSPECIFIED;

use super::{
    certified_point, compressed, part_of_the_chip, read_place, stored_point, verify, ChipCertificate, Problem,
};
use crate::certificate::{parse, CertificateFields};
use crate::config::CertificateConfig;
use toml::de::DeValue;

use crate::document::{FromToml, Problem as Misplaced, Table};
use crate::error::{Error, Result};
use crate::point::Point;
use crate::turn::Turn;
use atecc608::{Awake, Transport};
use atecc608_contents::certificate::compressed::{COMPRESSED_LEN, PUBLIC_KEY_HASH};
use atecc608_contents::certificate::template::{Field, Template, Values};
use atecc608_contents::certificate::Place;
use atecc608_wire::commands::Read;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::Slot;

/// Length of a public key in a slot.
const STORED_KEY_LEN: usize = 72;

/// Bytes of the OTP zone.
const OTP_LEN: usize = 64;
/// Bytes of the serial number.
const SERIAL_LEN: usize = 9;

/// A number that no slot has.
const NO_SLOT: usize = usize::MAX;

/// The contents of a template file.
struct TemplateFile {
    /// An example certificate, in DER.
    example: PathBuf,
    compressed: Place,
    key: Key,
    ids: (u8, u8, u8),
    fields: Vec<(Field, usize)>,
    /// For the fields with data of the chip, by their index: where the data is, and how it is written.
    data: Vec<(usize, Source, Digits)>,
}

/// The source of the chip's bytes.
#[derive(Clone)]
enum Source {
    Slot(Place),
    /// A range of the OTP zone's 64 bytes.
    Otp(Range<usize>),
    /// A range of the serial number's 9 bytes.
    Serial(Range<usize>),
}

/// The notation of the chip's bytes in a certificate.
#[derive(Clone, Copy, Default)]
enum Digits {
    #[default]
    Raw,
    Upper,
    Lower,
}

impl FromToml for Digits {
    const EXPECTED: &'static str = "true, false, \"upper\" or \"lower\"";
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        match (bool::from_toml(value), value.as_str()) {
            (Some(false), _) => Some(Self::Raw),
            (Some(true), _) | (_, Some("upper")) => Some(Self::Upper),
            (_, Some("lower")) => Some(Self::Lower),
            _ => None,
        }
    }
}

/// The source of the certified public key.
enum Key {
    /// The public key of the private key in this slot.
    Private(Slot),
    /// A public key in the chip's data.
    Stored(Place),
}

/// Adds the certificates that the configuration describes.
pub(super) fn learn(turn: &mut Turn<'_>, found: &mut Vec<ChipCertificate>) -> Result<()> {
    let identity = turn.known().identity.clone();
    for (number, entry) in identity.configured_certificates.iter().enumerate() {
        match custom(turn, entry, number, found)? {
            Ok(certificate) => found.push(certificate),
            Err(problem) => log::warn!(
                "chip {}: the certificate \"{}\" ({}) is not shown: {problem}",
                identity.zone.serial_number(),
                entry.label,
                entry.template.display()
            ),
        }
    }
    Ok(())
}

fn custom(
    turn: &mut Turn<'_>,
    entry: &CertificateConfig,
    number: usize,
    before: &[ChipCertificate],
) -> Result<Result<ChipCertificate, Problem>> {
    let (file, issuer) = match (TemplateFile::load(&entry.template), issuer(&entry.issuer, before)) {
        (Ok(file), Ok(issuer)) => (file, issuer),
        (Err(problem), _) | (_, Err(problem)) => return Ok(Err(problem)),
    };
    let serial = turn.known().zone().serial_number();
    let mut sources = vec![Source::Slot(file.compressed)];
    sources.extend(file.data.iter().map(|(_, source, _)| source.clone()));
    if let Key::Stored(place) = file.key {
        sources.push(Source::Slot(place));
    }
    let read = turn.converse(|awake| {
        let mut read = Vec::new();
        for source in &sources {
            read.push(match source {
                Source::Slot(place) => read_place(awake, *place)?,
                Source::Otp(range) => read_otp(awake)?.get(range.clone()).unwrap_or_default().to_vec(),
                Source::Serial(range) => serial.0.get(range.clone()).unwrap_or_default().to_vec(),
            });
        }
        Ok(read)
    });
    let mut read: Vec<Vec<u8>> = match read {
        Err(Error::Device(error)) if matches!(*error, atecc608::Error::Status { .. }) => {
            return Ok(Err(Problem::Template(error.to_string())))
        }
        other => other?,
    };
    let (key, point) = match file.key {
        Key::Private(slot) => (Some(slot), certified_point(turn, slot, false)?),
        Key::Stored(_) => (None, read.pop().as_deref().and_then(stored_point)),
    };
    let object = point.ok_or(Problem::NoKey).and_then(|point| {
        let value = rebuilt(file, &read, point, issuer, serial)?;
        let (name, category) = (format!("configured-{number}"), CK_CERTIFICATE_CATEGORY_UNSPECIFIED);
        Ok(part_of_the_chip(serial, &name, &entry.label, point, category, value))
    });
    Ok(object.map(|object| ChipCertificate { key, point: None, object }))
}

/// Rebuilds a certificate and verifies it with its issuer's key. `read` is the compressed certificate, then the chip's
/// data.
fn rebuilt(
    file: TemplateFile,
    read: &[Vec<u8>],
    point: Point,
    issuer: Point,
    serial: SerialNumber,
) -> Result<Vec<u8>, Problem> {
    let mut fields = file.fields;
    for ((index, _, digits), bytes) in file.data.iter().zip(read.get(1..).unwrap_or_default()) {
        let bytes = match digits {
            Digits::Raw => bytes.clone(),
            Digits::Upper => base16ct::upper::encode_string(bytes).into_bytes(),
            Digits::Lower => base16ct::lower::encode_string(bytes).into_bytes(),
        };
        fields[*index].0 = Field::Data(bytes);
    }
    let example = read_file(&file.example)?;
    let template = Template::new(example, fields, file.ids)?;
    let compressed = compressed(read.first().map(Vec::as_slice).unwrap_or_default())?;
    let values = Values { compressed: &compressed, public_key: &point.xy(), issuer_key: &issuer.xy(), serial };
    verify(issuer, &template.to_be_signed(&values)?, &compressed.signature)?;
    Ok(template.certificate(&values)?)
}

/// Reads the 64 bytes of the OTP zone.
fn read_otp<P: Transport>(awake: &mut Awake<'_, P>) -> atecc608::Result<Vec<u8>> {
    let mut otp = Vec::with_capacity(OTP_LEN);
    for block in 0..2 {
        otp.extend(awake.execute(&Read { zone: Zone::Otp, address: Address::block(block, 0), block: true })?);
    }
    Ok(otp)
}

/// Returns the issuer's public key: from a certificate file, or of a certificate found before.
fn issuer(issuer: &str, before: &[ChipCertificate]) -> Result<Point, Problem> {
    let no_issuer = |problem: &str| Problem::Template(format!("its issuer \"{issuer}\" {problem}"));
    let path = Path::new(issuer);
    let value = if path.is_absolute() {
        read_file(path)?
    } else {
        let found = before.iter().find(|certificate| certificate.object.label == issuer);
        found.ok_or_else(|| no_issuer("is not shown either"))?.object.value.clone()
    };
    let fields = parse(&value).ok();
    let point = fields.and_then(|CertificateFields { point, .. }| point);
    point.ok_or_else(|| no_issuer("is not a certificate in DER with a P-256 key"))
}

/// Largest template or certificate file, in bytes.
const MAX_FILE: usize = 1 << 20;

fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    atecc608_files::read(path, MAX_FILE).map_err(|error| Problem::Template(format!("{}: {error}", path.display())))
}

impl TemplateFile {
    fn load(path: &Path) -> Result<Self, Problem> {
        let misplaced = |line: usize, problem: &str| Problem::Template(format!("{}:{line}: {problem}", path.display()));
        let text = String::from_utf8(read_file(path)?).map_err(|_| misplaced(1, "not UTF-8"))?;
        Table::parse(&text)
            .and_then(|document| Self::read(path, document))
            .map_err(|problem| misplaced(problem.line(&text), &problem.to_string()))
    }

    fn read(path: &Path, mut table: Table<'_>) -> Result<Self, Misplaced> {
        // Relative to the template file.
        let example = path.with_file_name(table.required::<String>("certificate")?.value);
        let [compressed_slot, compressed_offset, private_slot, public_slot, public_offset, template_id, chain_id, source, format] =
            numbers(&mut table, &NUMBERS)?;
        if format != 1 {
            return Err(Misplaced::new(table.span(), "format: expected 1"));
        }
        let compressed = place(&table, compressed_slot, compressed_offset, COMPRESSED_LEN)?;
        let key = if private_slot == NO_SLOT {
            Key::Stored(place(&table, public_slot, public_offset, STORED_KEY_LEN)?)
        } else {
            Key::Private(Slot::from_nibble(private_slot as u8))
        };
        let (mut fields, mut data) = (Vec::new(), Vec::new());
        for mut entry in table.tables("field")? {
            let name = entry.required::<String>("name")?;
            let Some(known) = FIELDS.iter().find(|(known, _)| *known == name.value) else {
                return Err(Misplaced::new(name.span, format!("name: there is no field \"{}\"", name.value)));
            };
            let [offset, slot, slot_offset, otp_offset, serial_offset, len] = numbers(&mut entry, &FIELD_NUMBERS)?;
            if let Field::Data(_) = known.1 {
                let digits = entry.optional("hex")?.map(|hex| hex.value).unwrap_or_default();
                let source = match (slot, otp_offset, serial_offset) {
                    (_, NO_SLOT, NO_SLOT) => Source::Slot(place(&entry, slot, slot_offset, len)?),
                    (NO_SLOT, from, NO_SLOT) if from + len <= OTP_LEN => Source::Otp(from..from + len),
                    (NO_SLOT, NO_SLOT, from) if from + len <= SERIAL_LEN => Source::Serial(from..from + len),
                    _ => {
                        let expected =
                            "data: expected one of slot, otp_offset and serial_offset; the OTP zone has 64 bytes, the \
                                        serial number 9";
                        return Err(Misplaced::new(entry.span(), expected));
                    }
                };
                data.push((fields.len(), source, digits));
            }
            fields.push((known.1.clone(), offset));
            entry.finish()?;
        }
        table.finish()?;
        Ok(Self { example, compressed, key, ids: (template_id as u8, chain_id as u8, source as u8), fields, data })
    }
}

/// A key with a numeric value, its default, and its maximum.
type Number = (&'static str, Option<usize>, usize);

/// The numbers of a template.
const NUMBERS: [Number; 9] = [
    ("compressed_slot", None, 15),
    ("compressed_offset", Some(0), 416),
    ("private_key_slot", Some(NO_SLOT), 15),
    ("public_key_slot", Some(NO_SLOT), 15),
    ("public_key_offset", Some(0), 416),
    ("template_id", None, 15),
    ("chain_id", Some(0), 15),
    ("serial_source", Some(PUBLIC_KEY_HASH as usize), 15),
    ("format", None, 1),
];
/// The numbers of a field; all except the first for `data` only.
const FIELD_NUMBERS: [Number; 6] = [
    ("offset", None, 65535),
    ("slot", Some(NO_SLOT), 15),
    ("slot_offset", Some(0), 416),
    ("otp_offset", Some(NO_SLOT), OTP_LEN - 1),
    ("serial_offset", Some(NO_SLOT), SERIAL_LEN - 1),
    ("length", Some(0), 416),
];

/// The fields by name; the bytes of `data` are read later.
static FIELDS: [(&str, Field); 9] = [
    ("public-key", Field::PublicKey),
    ("not-before", Field::NotBefore),
    ("not-after", Field::NotAfter),
    ("serial-number", Field::SerialNumber),
    ("signer-id", Field::SignerId),
    ("subject-key-id", Field::SubjectKeyId),
    ("authority-key-id", Field::AuthorityKeyId),
    ("chip-serial", Field::ChipSerial),
    ("data", Field::Data(Vec::new())),
];

/// Reads the numbers of a table, in order.
fn numbers<const N: usize>(table: &mut Table<'_>, keys: &[Number; N]) -> Result<[usize; N], Misplaced> {
    let mut found = [0; N];
    fill(table, keys, &mut found)?;
    Ok(found)
}

fn fill(table: &mut Table<'_>, keys: &[Number], found: &mut [usize]) -> Result<(), Misplaced> {
    for ((key, default, most), found) in keys.iter().zip(found) {
        let number = match (table.optional::<i64>(key)?, default) {
            (None, Some(default)) => {
                *found = *default;
                continue;
            }
            (Some(number), _) => number,
            (None, None) => table.required::<i64>(key)?,
        };
        match usize::try_from(number.value) {
            Ok(value) if value <= *most => *found = value,
            _ => return Err(Misplaced::new(number.span, format!("{key}: expected 0 to {most}"))),
        }
    }
    Ok(())
}

/// A range of a slot, checked against the slot's size.
fn place(table: &Table<'_>, slot: usize, offset: usize, len: usize) -> Result<Place, Misplaced> {
    match u8::try_from(slot).ok().and_then(Slot::new) {
        Some(slot) if offset + len <= slot.size() => Ok(Place { slot: slot.number(), offset, len }),
        Some(slot) => Err(Misplaced::new(table.span(), format!("slot {slot} has {} bytes", slot.size()))),
        None => {
            Err(Misplaced::new(table.span(), "no slot is named: private_key_slot, public_key_slot, or slot of data"))
        }
    }
}
