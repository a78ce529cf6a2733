// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates of kinds that no [`Definition`](super::Definition) describes: a certificate in DER as an example, and
//! the positions of the fields that differ between certificates of its kind.

use der::{DateTime, Decode, Reader, SliceReader, Tag};

use super::compressed::{CompressedCertificate, PUBLIC_KEY_HASH};
use super::definition::validity;
use super::x509::{key_identifier, signed, time, SIGNATURE_ALGORITHM};
use super::CertificateError;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::PUBLIC_KEY_LEN;

/// Serial number source: the bytes in the example, or from the chip's data.
pub const STORED: u8 = 0x00;
/// Serial number source: 40 and the chip's serial number, 10 bytes.
pub const CHIP_SERIAL: u8 = 0x08;
/// Serial number source: 40 and the signer id, 3 bytes.
pub const SIGNER_ID: u8 = 0x09;
/// Serial number source: the first bytes of a digest over the chip's serial number and the dates.
pub const CHIP_SERIAL_HASH: u8 = 0x0B;

/// A field of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// X ‖ Y of the subject, 64 bytes.
    PublicKey,
    /// Start of validity: the contents of the UTCTime (13 bytes) or GeneralizedTime (15 bytes).
    NotBefore,
    /// End of validity, likewise.
    NotAfter,
    /// The contents of the serial number's INTEGER, in the example's length.
    SerialNumber,
    /// The signer id as 4 hexadecimal digits.
    SignerId,
    /// SHA-1 of the subject's public key, 20 bytes.
    SubjectKeyId,
    /// SHA-1 of the issuer's public key, 20 bytes.
    AuthorityKeyId,
    /// The chip's serial number as 18 hexadecimal digits.
    ChipSerial,
    /// These bytes of the chip's data.
    Data(Vec<u8>),
}

/// A kind of certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    example: Vec<u8>,
    fields: Vec<(Field, usize)>,
    ids: (u8, u8, u8),
    /// Length of the part of the example before its TBSCertificate, and of the TBSCertificate.
    to_be_signed: (usize, usize),
}

/// The parts of a certificate of this kind.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The compressed certificate in the chip.
    pub compressed: &'a CompressedCertificate,
    /// The public key of the subject, X ‖ Y.
    pub public_key: &'a [u8; PUBLIC_KEY_LEN],
    /// The public key of the issuer, X ‖ Y.
    pub issuer_key: &'a [u8; PUBLIC_KEY_LEN],
    /// The chip's serial number.
    pub serial: SerialNumber,
}

impl Template {
    /// Creates a kind from an example (DER, signed with ECDSA and SHA-256) and the fields with their offsets in it.
    /// `ids`: template id, chain id and serial number source of its compressed certificates.
    ///
    /// # Errors
    /// [`CertificateError::Example`] if the example is not such a certificate, or a field is outside the signed part.
    pub fn new(example: Vec<u8>, fields: Vec<(Field, usize)>, ids: (u8, u8, u8)) -> Result<Self, CertificateError> {
        let to_be_signed = parts(&example).map_err(|_| CertificateError::Example("it is not a certificate in DER"))?;
        let (start, len) = to_be_signed;
        if example.get(start + len..start + len + SIGNATURE_ALGORITHM.len()) != Some(&SIGNATURE_ALGORITHM) {
            return Err(CertificateError::Example("it is not signed with ECDSA and SHA-256"));
        }
        let template = Self { example, fields, ids, to_be_signed };
        for (field, offset) in &template.fields {
            let end = offset.saturating_add(template.field_len(field, *offset).unwrap_or(usize::MAX));
            if *offset < start + 2 || end > start + len {
                return Err(CertificateError::Example("a field is not where the template says"));
            }
        }
        Ok(template)
    }

    /// Returns the length of a field in the example; `None` if the bytes there can't be the field.
    fn field_len(&self, field: &Field, offset: usize) -> Option<usize> {
        let (tag, len) = (*self.example.get(offset.checked_sub(2)?)?, usize::from(*self.example.get(offset - 1)?));
        Some(match field {
            Field::PublicKey => PUBLIC_KEY_LEN,
            Field::NotBefore | Field::NotAfter => match (tag, len) {
                (0x17, 13) | (0x18, 15) => len,
                _ => return None,
            },
            Field::SerialNumber if tag == 0x02 && (1..=32).contains(&len) => len,
            Field::SerialNumber => return None,
            Field::SignerId => 4,
            Field::SubjectKeyId | Field::AuthorityKeyId => 20,
            Field::ChipSerial => 18,
            Field::Data(bytes) => bytes.len(),
        })
    }

    /// Returns the DER of the TBSCertificate: what the issuer signs.
    ///
    /// # Errors
    /// [`CertificateError::Definition`] if the compressed certificate is of another kind; [`CertificateError::Date`] if
    /// its dates do not exist or do not fit.
    pub fn to_be_signed(&self, values: &Values<'_>) -> Result<Vec<u8>, CertificateError> {
        let compressed = values.compressed;
        if (compressed.template_id, compressed.chain_id, compressed.serial_source) != self.ids {
            return Err(CertificateError::Definition);
        }
        let (not_before, not_after) = validity(compressed)?;
        let mut certificate = self.example.clone();
        for (field, offset) in &self.fields {
            let len = self.field_len(field, *offset).unwrap_or(0);
            let bytes = match field {
                Field::PublicKey => values.public_key.to_vec(),
                Field::NotBefore => time_in(len, not_before, false)?,
                Field::NotAfter => time_in(len, not_after, compressed.expire_years == 0)?,
                Field::SerialNumber => match self.serial_number(values, len)? {
                    Some(serial) => serial,
                    None => continue,
                },
                Field::SignerId => base16ct::upper::encode_string(&compressed.signer_id).into_bytes(),
                Field::SubjectKeyId => key_identifier(values.public_key).to_vec(),
                Field::AuthorityKeyId => key_identifier(values.issuer_key).to_vec(),
                Field::ChipSerial => values.serial.to_string().into_bytes(),
                Field::Data(bytes) => bytes.clone(),
            };
            match certificate.get_mut(*offset..offset + len) {
                Some(place) if bytes.len() == len => place.copy_from_slice(&bytes),
                _ => return Err(CertificateError::Example("a field has another length than the example's")),
            }
        }
        let (start, len) = self.to_be_signed;
        Ok(certificate[start..start + len].to_vec())
    }

    /// Returns the DER of the whole certificate, with the signature of the compressed one.
    ///
    /// # Errors
    /// As [`Template::to_be_signed`].
    pub fn certificate(&self, values: &Values<'_>) -> Result<Vec<u8>, CertificateError> {
        Ok(signed(self.to_be_signed(values)?, &values.compressed.signature))
    }

    /// Returns the serial number in `len` bytes; `None` to keep the example's.
    fn serial_number(&self, values: &Values<'_>, len: usize) -> Result<Option<Vec<u8>>, CertificateError> {
        let compressed = values.compressed;
        let hashed = |of: &[u8]| compressed.hash(of).map(|digest| Some(digest[..len.min(32)].to_vec()));
        match self.ids.2 {
            STORED => Ok(None),
            CHIP_SERIAL => Ok(Some([&[0x40], values.serial.0.as_slice()].concat())),
            SIGNER_ID => Ok(Some([&[0x40], compressed.signer_id.as_slice()].concat())),
            PUBLIC_KEY_HASH => hashed(values.public_key),
            CHIP_SERIAL_HASH => hashed(&values.serial.0),
            _ => Err(CertificateError::Definition),
        }
    }
}

/// Returns the start of the TBSCertificate in a certificate, and its length.
fn parts(certificate: &[u8]) -> der::Result<(usize, usize)> {
    let mut outer = SliceReader::new(certificate)?;
    let header = outer.peek_header()?;
    header.tag.assert_eq(Tag::Sequence)?;
    der::Header::decode(&mut outer)?;
    let start = usize::try_from(outer.position())?;
    let to_be_signed = outer.tlv_bytes()?;
    Ok((start, to_be_signed.len()))
}

/// Formats a time in 13 or 15 characters.
fn time_in(len: usize, at: DateTime, never: bool) -> Result<Vec<u8>, CertificateError> {
    let text = match (len, never) {
        // The last second that a UTCTime can express.
        (13, true) => "20491231235959Z".to_owned(),
        _ => time(at),
    };
    match len {
        13 if text.as_str() < "2050" => Ok(text.as_bytes()[2..].to_vec()),
        15 => Ok(text.into_bytes()),
        _ => Err(CertificateError::Date),
    }
}
