// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encodes the few X.509 structures (RFC 5280) of the certificates in section 7.4.
//!
//! Written by hand: derived encoders of these structures would add 60 kB to the module. The tests compare the result
//! with the vendor's examples byte by byte (crates/atecc608-contents/tests/it/certificates.rs).

use der::DateTime;
use sha1::Sha1;
use sha2::Digest;

use super::CertificateError;
use atecc608_wire::{PUBLIC_KEY_LEN, SIGNATURE_LEN};

/// Tags of DER (X.690).
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const BIT_STRING: u8 = 0x03;
    pub(super) const OCTET_STRING: u8 = 0x04;
    pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(super) const UTF8_STRING: u8 = 0x0C;
    pub(super) const PRINTABLE_STRING: u8 = 0x13;
    pub(super) const UTC_TIME: u8 = 0x17;
    pub(super) const GENERALIZED_TIME: u8 = 0x18;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    /// Context-specific and primitive, or constructed.
    pub(super) const PRIMITIVE_0: u8 = 0x80;
    pub(super) const CONSTRUCTED: u8 = 0xA0;
}

/// The contents of object identifiers.
mod id {
    /// 2.5.4.10, .3 and .5.
    pub(super) const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0A];
    pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    pub(super) const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
    /// 2.5.29.14, .15, .17, .19 and .35.
    pub(super) const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1D, 0x0E];
    pub(super) const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
    pub(super) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];
    pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
    pub(super) const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1D, 0x23];
}

/// A BOOLEAN.
const TRUE: [u8; 3] = [0x01, 0x01, 0xFF];
/// The organisation in every name.
const MICROCHIP: &str = "Microchip Technology Inc";

/// AlgorithmIdentifier of ecdsa-with-SHA256, 1.2.840.10045.4.3.2: it has no parameters.
pub(super) const SIGNATURE_ALGORITHM: [u8; 12] =
    [0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
/// AlgorithmIdentifier of a P-256 key: id-ecPublicKey 1.2.840.10045.2.1, prime256v1 1.2.840.10045.3.1.7.
const KEY_ALGORITHM: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03,
    0x01, 0x07,
];

/// Makes the bytes appended since `start` the contents of a value: inserts tag and length before them. At most 64 KiB.
fn wrap(der: &mut Vec<u8>, start: usize, tag: u8) {
    let len = der.len() - start;
    let [high, low] = (len as u16).to_be_bytes();
    let header: &[u8] = match len {
        0..=0x7F => &[tag, low],
        0x80..=0xFF => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    der.splice(start..start, header.iter().copied());
}

/// Appends a value with these contents.
fn value(der: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    let start = der.len();
    der.extend_from_slice(contents);
    wrap(der, start, tag);
}

/// Appends an INTEGER of this unsigned value.
fn unsigned(der: &mut Vec<u8>, value: &[u8]) {
    let start = der.len();
    let zeros = value.iter().take_while(|byte| **byte == 0).count().min(value.len().saturating_sub(1));
    if value.get(zeros).is_some_and(|first| first & 0x80 != 0) {
        der.push(0);
    }
    der.extend_from_slice(&value[zeros..]);
    wrap(der, start, tag::INTEGER);
}

fn relative_name(der: &mut Vec<u8>, kind: &[u8], tag: u8, text: &[u8]) {
    let start = der.len();
    value(der, tag::OBJECT_IDENTIFIER, kind);
    value(der, tag, text);
    wrap(der, start, tag::SEQUENCE);
    wrap(der, start, tag::SET);
}

/// O = Microchip Technology Inc, CN = this: both UTF8String.
fn name(der: &mut Vec<u8>, common_name: &str) {
    let start = der.len();
    relative_name(der, id::ORGANIZATION, tag::UTF8_STRING, MICROCHIP.as_bytes());
    relative_name(der, id::COMMON_NAME, tag::UTF8_STRING, common_name.as_bytes());
    wrap(der, start, tag::SEQUENCE);
}

/// Formats a time in 15 characters.
pub(super) fn time(time: DateTime) -> String {
    let (year, month, day) = (time.year(), time.month(), time.day());
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}Z", time.hour(), time.minutes(), time.seconds())
}

/// Extensions in DER, one after the other.
#[derive(Default)]
pub(crate) struct Extensions(Vec<u8>);

impl Extensions {
    /// Ends an extension whose value was appended since `start`.
    fn end(&mut self, start: usize, id: &[u8], critical: bool) {
        let der = &mut self.0;
        wrap(der, start, tag::OCTET_STRING);
        let contents = der.split_off(start);
        value(der, tag::OBJECT_IDENTIFIER, id);
        if critical {
            der.extend_from_slice(&TRUE);
        }
        der.extend_from_slice(&contents);
        wrap(der, start, tag::SEQUENCE);
    }

    /// basicConstraints of an authority with at most `path_length` authorities below it, or of an end entity.
    pub(crate) fn constraints(&mut self, is_authority: bool, path_length: Option<u8>) {
        let start = self.0.len();
        if is_authority {
            self.0.extend_from_slice(&TRUE);
        }
        if let Some(path_length) = path_length {
            unsigned(&mut self.0, &[path_length]);
        }
        wrap(&mut self.0, start, tag::SEQUENCE);
        self.end(start, id::BASIC_CONSTRAINTS, true);
    }

    /// keyUsage: the bits from the left, and the number of unused ones.
    pub(crate) fn key_usage(&mut self, bits: u8, unused: u8) {
        let start = self.0.len();
        value(&mut self.0, tag::BIT_STRING, &[unused, bits]);
        self.end(start, id::KEY_USAGE, true);
    }

    /// subjectKeyIdentifier.
    pub(crate) fn subject_key(&mut self, identifier: &[u8; 20]) {
        let start = self.0.len();
        value(&mut self.0, tag::OCTET_STRING, identifier);
        self.end(start, id::SUBJECT_KEY_IDENTIFIER, false);
    }

    /// authorityKeyIdentifier.
    pub(crate) fn authority_key(&mut self, identifier: &[u8; 20]) {
        let start = self.0.len();
        value(&mut self.0, tag::PRIMITIVE_0, identifier);
        wrap(&mut self.0, start, tag::SEQUENCE);
        self.end(start, id::AUTHORITY_KEY_IDENTIFIER, false);
    }

    /// subjectAltName with a directoryName that is a serialNumber, always encoded as PrintableString.
    pub(crate) fn alternative_serial_number(&mut self, text: &[u8]) {
        let start = self.0.len();
        relative_name(&mut self.0, id::SERIAL_NUMBER, tag::PRINTABLE_STRING, text);
        for tag in [tag::SEQUENCE, tag::CONSTRUCTED | 4, tag::SEQUENCE] {
            wrap(&mut self.0, start, tag);
        }
        self.end(start, id::SUBJECT_ALT_NAME, false);
    }
}

/// The identifier of a public key (X ‖ Y): SHA-1 over the uncompressed point (section 7.3).
pub fn key_identifier(public_key: &[u8; PUBLIC_KEY_LEN]) -> [u8; 20] {
    Sha1::new().chain_update([0x04]).chain_update(public_key).finalize().into()
}

/// The fields of a certificate.
pub(crate) struct Contents<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a str,
    pub(crate) not_before: DateTime,
    pub(crate) not_after: DateTime,
    pub(crate) subject: &'a str,
    pub(crate) public_key: &'a [u8; PUBLIC_KEY_LEN],
    pub(crate) extensions: Extensions,
}

impl Contents<'_> {
    /// Returns the TBSCertificate in DER: the signed part.
    ///
    /// # Errors
    /// [`CertificateError::Date`] if it begins after 2049, which a UTCTime can't express.
    pub(crate) fn encode(self) -> Result<Vec<u8>, CertificateError> {
        if self.not_before.year() > 2049 {
            return Err(CertificateError::Date);
        }
        // v3
        let mut der = vec![tag::CONSTRUCTED, 3, tag::INTEGER, 1, 2];
        unsigned(&mut der, self.serial);
        der.extend_from_slice(&SIGNATURE_ALGORITHM);
        name(&mut der, self.issuer);
        let validity = der.len();
        value(&mut der, tag::UTC_TIME, &time(self.not_before).as_bytes()[2..]);
        // A GeneralizedTime even where RFC 5280 requires a UTCTime: the signature covers this form.
        value(&mut der, tag::GENERALIZED_TIME, time(self.not_after).as_bytes());
        wrap(&mut der, validity, tag::SEQUENCE);
        name(&mut der, self.subject);
        let key = der.len();
        der.extend_from_slice(&KEY_ALGORITHM);
        let point = der.len();
        // No unused bits; not compressed.
        der.extend_from_slice(&[0x00, 0x04]);
        der.extend_from_slice(self.public_key);
        wrap(&mut der, point, tag::BIT_STRING);
        wrap(&mut der, key, tag::SEQUENCE);
        let extensions = der.len();
        der.extend_from_slice(&self.extensions.0);
        wrap(&mut der, extensions, tag::SEQUENCE);
        wrap(&mut der, extensions, tag::CONSTRUCTED | 3);
        wrap(&mut der, 0, tag::SEQUENCE);
        Ok(der)
    }
}

/// Returns the certificate in DER: the signed part, and its signature (R ‖ S).
pub(crate) fn signed(to_be_signed: Vec<u8>, signature: &[u8; SIGNATURE_LEN]) -> Vec<u8> {
    let (r, s) = signature.split_at(SIGNATURE_LEN / 2);
    let mut der = to_be_signed;
    der.extend_from_slice(&SIGNATURE_ALGORITHM);
    let bits = der.len();
    unsigned(&mut der, r);
    unsigned(&mut der, s);
    wrap(&mut der, bits, tag::SEQUENCE);
    // No unused bits.
    der.insert(bits, 0);
    wrap(&mut der, bits, tag::BIT_STRING);
    wrap(&mut der, 0, tag::SEQUENCE);
    der
}
