//! Certificates of the user's own kinds: `[[token.certificate]]` names a template file, which names a certificate of the kind
//! and says where in it the fields are. docs/chips-as-sold.md describes the file.

use std::path::{Path, PathBuf};

use cryptoki_sys::CK_CERTIFICATE_CATEGORY_UNSPECIFIED;

use super::{compressed, read_place, stored_point, verify, ChipCertificate, Problem};
use crate::chip::{Chip, Port};
use crate::config::CertificateConfig;
use crate::document::{Problem as Misplaced, Table};
use crate::token::certificate::{parse, CertificateFields};
use crate::token::error::{Error, Result};
use crate::token::identity::Identity;
use crate::token::point::Point;
use crate::token::state::to_hex;
use crate::wire::certificate::compressed::{COMPRESSED_LEN, PUBLIC_KEY_HASH};
use crate::wire::certificate::template::{Field, Template, Values};
use crate::wire::certificate::Place;
use crate::wire::Slot;

/// Bytes of a public key as slots hold it.
const STORED_KEY_LEN: usize = 72;

/// No slot has this number.
const NO_SLOT: usize = usize::MAX;

/// What a template file says.
struct TemplateFile {
    /// A certificate of the kind, in DER.
    example: PathBuf,
    compressed: Place,
    key: Key,
    ids: (u8, u8, u8),
    fields: Vec<(Field, usize)>,
    /// Of the fields that are the chip's data, by their index: where that is.
    data: Vec<(usize, Place, bool)>,
}

/// Where the public key comes from that is certified.
enum Key {
    /// It is that of the private key in this slot.
    Private(Slot),
    /// It is kept here.
    Stored(Place),
}

impl Identity {
    /// Adds the certificates that the configuration describes.
    pub(super) fn learn_custom<P: Port>(&mut self, chip: &mut Chip<P>, found: &mut Vec<ChipCertificate>) -> Result<()> {
        for (number, entry) in self.certificates.configured.clone().iter().enumerate() {
            match self.custom(chip, entry, number, found)? {
                Ok(certificate) => found.push(certificate),
                Err(problem) => log::warn!(
                    "chip {}: the certificate \"{}\" ({}) is not shown: {problem}",
                    self.zone.serial_number(),
                    entry.label,
                    entry.template.display()
                ),
            }
        }
        Ok(())
    }

    fn custom<P: Port>(
        &mut self,
        chip: &mut Chip<P>,
        entry: &CertificateConfig,
        number: usize,
        before: &[ChipCertificate],
    ) -> Result<Result<ChipCertificate, Problem>> {
        let (file, issuer) = match (TemplateFile::load(&entry.template), issuer(&entry.issuer, before)) {
            (Ok(file), Ok(issuer)) => (file, issuer),
            (Err(problem), _) | (_, Err(problem)) => return Ok(Err(problem)),
        };
        let mut places = vec![file.compressed];
        places.extend(file.data.iter().map(|(_, place, _)| *place));
        if let Key::Stored(place) = file.key {
            places.push(place);
        }
        let read = chip.converse(|awake| {
            let mut read = Vec::new();
            for place in &places {
                read.push(read_place(awake, *place)?);
            }
            Ok(read)
        });
        let mut read: Vec<Vec<u8>> = match read {
            Err(error @ crate::chip::Error::Status { .. }) => return Ok(Err(Problem::Template(error.to_string()))),
            other => other.map_err(Error::Device)?,
        };
        let (key, point) = match file.key {
            Key::Private(slot) => (Some(slot), self.certified_point(chip, slot, false)?),
            Key::Stored(_) => (None, read.pop().as_deref().and_then(stored_point)),
        };
        let object = point.ok_or(Problem::NoKey).and_then(|point| {
            let value = rebuilt(file, &read, point, issuer, self.zone.serial_number())?;
            let category = CK_CERTIFICATE_CATEGORY_UNSPECIFIED;
            Ok(self.certificate(&format!("configured-{number}"), &entry.label, point, category, value))
        });
        Ok(object.map(|object| ChipCertificate { key, object }))
    }
}

/// A certificate that its issuer's key verifies. `read` is the compressed certificate, then the chip's data.
fn rebuilt(
    file: TemplateFile,
    read: &[Vec<u8>],
    point: Point,
    issuer: Point,
    serial: crate::wire::config_zone::SerialNumber,
) -> Result<Vec<u8>, Problem> {
    let mut fields = file.fields;
    for ((index, _, as_hex), bytes) in file.data.iter().zip(read.get(1..).unwrap_or_default()) {
        let bytes = if *as_hex { to_hex(bytes).to_ascii_uppercase().into_bytes() } else { bytes.clone() };
        fields[*index].0 = Field::Data(bytes);
    }
    let example = read_file(&file.example)?;
    let template = Template::new(example, fields, file.ids)?;
    let compressed = compressed(read.first().map(Vec::as_slice).unwrap_or_default())?;
    let values = Values { compressed: &compressed, public_key: &point.xy(), issuer_key: &issuer.xy(), serial };
    verify(issuer, &template.to_be_signed(&values)?, &compressed.signature)?;
    Ok(template.certificate(&values)?)
}

/// The issuer's public key: of a certificate in a file, or of one that was found before.
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

fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::Template(format!("{}: {error}", path.display())))
}

impl TemplateFile {
    fn load(path: &Path) -> Result<Self, Problem> {
        let misplaced = |line: usize, problem: &str| Problem::Template(format!("{}:{line}: {problem}", path.display()));
        let text = String::from_utf8(read_file(path)?).map_err(|_| misplaced(1, "not UTF-8"))?;
        Table::parse(&text).and_then(|document| Self::read(path, document)).map_err(|(span, problem)| {
            let before = text.get(..span.start).unwrap_or(&text);
            misplaced(1 + before.matches('\n').count(), &problem)
        })
    }

    fn read(path: &Path, mut table: Table<'_>) -> Result<Self, Misplaced> {
        number(&mut table, "format", Some(1), 1)?;
        // Relative to the template file.
        let example = path.with_file_name(table.required::<String>("certificate")?.value);
        let compressed = place(&mut table, "compressed_slot", "compressed_offset", COMPRESSED_LEN)?;
        let key = match number(&mut table, "private_key_slot", Some(NO_SLOT), 15)? {
            NO_SLOT => Key::Stored(place(&mut table, "public_key_slot", "public_key_offset", STORED_KEY_LEN)?),
            slot => Key::Private(Slot::from_nibble(slot as u8)),
        };
        let ids = (
            number(&mut table, "template_id", None, 15)? as u8,
            number(&mut table, "chain_id", Some(0), 15)? as u8,
            number(&mut table, "serial_source", Some(PUBLIC_KEY_HASH.into()), 15)? as u8,
        );
        let (mut fields, mut data) = (Vec::new(), Vec::new());
        for mut field in table.tables("field")? {
            let name = field.required::<String>("name")?;
            let known = match name.value.as_str() {
                "public-key" => Field::PublicKey,
                "not-before" => Field::NotBefore,
                "not-after" => Field::NotAfter,
                "serial-number" => Field::SerialNumber,
                "signer-id" => Field::SignerId,
                "subject-key-id" => Field::SubjectKeyId,
                "authority-key-id" => Field::AuthorityKeyId,
                "chip-serial" => Field::ChipSerial,
                "data" => Field::Data(Vec::new()),
                other => return Err((name.span, format!("name: there is no field \"{other}\""))),
            };
            if let Field::Data(_) = known {
                let len = number(&mut field, "length", None, 416)?;
                let as_hex = field.optional("hex")?.is_some_and(|hex| hex.value);
                data.push((fields.len(), place(&mut field, "slot", "slot_offset", len)?, as_hex));
            }
            fields.push((known, number(&mut field, "offset", None, 65535)?));
            field.finish()?;
        }
        table.finish()?;
        Ok(Self { example, compressed, key, ids, fields, data })
    }
}

/// A number of at most `most`.
fn number(table: &mut Table<'_>, key: &'static str, default: Option<usize>, most: usize) -> Result<usize, Misplaced> {
    let number = match (table.optional::<i64>(key)?, default) {
        (None, Some(default)) => return Ok(default),
        (Some(number), _) => number,
        (None, None) => table.required::<i64>(key)?,
    };
    match usize::try_from(number.value) {
        Ok(value) if value <= most => Ok(value),
        _ => Err((number.span, format!("{key}: expected 0 to {most}"))),
    }
}

/// So many bytes of a slot, all of which it has.
fn place(
    table: &mut Table<'_>,
    slot_key: &'static str,
    offset_key: &'static str,
    len: usize,
) -> Result<Place, Misplaced> {
    let slot = Slot::from_nibble(number(table, slot_key, None, 15)? as u8);
    let offset = number(table, offset_key, Some(0), slot.size().saturating_sub(len))?;
    if offset + len > slot.size() {
        return Err((table.span(), format!("{slot_key}: slot {slot} has {} bytes", slot.size())));
    }
    Ok(Place { slot: slot.number(), offset, len })
}
