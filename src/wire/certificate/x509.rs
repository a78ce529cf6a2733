//! The few X.509 structures (RFC 5280) that the certificates of section 7.4 are made of, to encode.
//!
//! By hand: derived encoders of these structures would be 60 kB of a module that is to stay small. The vendor's examples say
//! whether it is right, byte for byte (tests/wire_certificates.rs).

use der::DateTime;
use sha1::Sha1;
use sha2::Digest;

use super::CertificateError;
use crate::wire::{PUBLIC_KEY_LEN, SIGNATURE_LEN};

/// Tags of DER (X.690).
mod tag {
    pub(super) const BOOLEAN: u8 = 0x01;
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

/// What object identifiers contain.
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

/// Tag, length and contents, which are less than 64 KiB.
fn tlv(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let len: usize = contents.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(4 + len);
    der.push(tag);
    match len {
        0..=0x7F => der.push(len as u8),
        0x80..=0xFF => der.extend([0x81, len as u8]),
        _ => der.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    contents.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// An INTEGER of this unsigned value.
fn unsigned(value: &[u8]) -> Vec<u8> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count().min(value.len().saturating_sub(1));
    let value = &value[zeros..];
    let sign: &[u8] = if value.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    tlv(tag::INTEGER, &[sign, value])
}

fn relative_name(kind: &[u8], tag: u8, text: &[u8]) -> Vec<u8> {
    let attribute = tlv(tag::SEQUENCE, &[&tlv(tag::OBJECT_IDENTIFIER, &[kind]), &tlv(tag, &[text])]);
    tlv(tag::SET, &[&attribute])
}

/// O = Microchip Technology Inc, CN = this: both UTF8String.
fn name(common_name: &str) -> Vec<u8> {
    let organization = relative_name(id::ORGANIZATION, tag::UTF8_STRING, MICROCHIP.as_bytes());
    tlv(tag::SEQUENCE, &[&organization, &relative_name(id::COMMON_NAME, tag::UTF8_STRING, common_name.as_bytes())])
}

/// A time as text, in 15 characters.
pub(super) fn time(time: DateTime) -> String {
    let (year, month, day) = (time.year(), time.month(), time.day());
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}Z", time.hour(), time.minutes(), time.seconds())
}

/// Extension, in DER.
pub(crate) struct Extension(Vec<u8>);

impl Extension {
    fn new(id: &[u8], critical: bool, value: &[u8]) -> Self {
        let critical: &[u8] = if critical { &[tag::BOOLEAN, 1, 0xFF] } else { &[] };
        let id = tlv(tag::OBJECT_IDENTIFIER, &[id]);
        Self(tlv(tag::SEQUENCE, &[&id, critical, &tlv(tag::OCTET_STRING, &[value])]))
    }

    /// basicConstraints of an authority, at most so many authorities below it.
    pub(crate) fn authority(path_length: Option<u8>) -> Self {
        let path_length = path_length.map(|length| unsigned(&[length])).unwrap_or_default();
        Self::new(id::BASIC_CONSTRAINTS, true, &tlv(tag::SEQUENCE, &[&[tag::BOOLEAN, 1, 0xFF], &path_length]))
    }

    /// basicConstraints of everybody else.
    pub(crate) fn no_authority() -> Self {
        Self::new(id::BASIC_CONSTRAINTS, true, &tlv(tag::SEQUENCE, &[]))
    }

    /// keyUsage: the bits from the left, with the number of those that do not count.
    pub(crate) fn key_usage(bits: u8, unused: u8) -> Self {
        Self::new(id::KEY_USAGE, true, &tlv(tag::BIT_STRING, &[&[unused, bits]]))
    }

    /// subjectKeyIdentifier.
    pub(crate) fn subject_key(public_key: &[u8; PUBLIC_KEY_LEN]) -> Self {
        Self::new(id::SUBJECT_KEY_IDENTIFIER, false, &tlv(tag::OCTET_STRING, &[&key_identifier(public_key)]))
    }

    /// authorityKeyIdentifier.
    pub(crate) fn authority_key(public_key: &[u8; PUBLIC_KEY_LEN]) -> Self {
        let identifier = tlv(tag::PRIMITIVE_0, &[&key_identifier(public_key)]);
        Self::new(id::AUTHORITY_KEY_IDENTIFIER, false, &tlv(tag::SEQUENCE, &[&identifier]))
    }

    /// subjectAltName with a directoryName that is a serialNumber, a PrintableString whatever is in it.
    pub(crate) fn alternative_serial_number(text: &[u8]) -> Self {
        let name = tlv(tag::SEQUENCE, &[&relative_name(id::SERIAL_NUMBER, tag::PRINTABLE_STRING, text)]);
        Self::new(id::SUBJECT_ALT_NAME, false, &tlv(tag::SEQUENCE, &[&tlv(tag::CONSTRUCTED | 4, &[&name])]))
    }
}

/// The identifier of a public key (X ‖ Y): SHA-1 over the uncompressed point (section 7.3).
pub fn key_identifier(public_key: &[u8; PUBLIC_KEY_LEN]) -> [u8; 20] {
    Sha1::new().chain_update([0x04]).chain_update(public_key).finalize().into()
}

/// What a certificate is about.
pub(crate) struct Contents<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a str,
    pub(crate) not_before: DateTime,
    pub(crate) not_after: DateTime,
    pub(crate) subject: &'a str,
    pub(crate) public_key: &'a [u8; PUBLIC_KEY_LEN],
    pub(crate) extensions: Vec<Extension>,
}

impl Contents<'_> {
    /// The TBSCertificate in DER: what is signed.
    ///
    /// # Errors
    /// [`CertificateError::Date`] if it begins after 2049, which a UTCTime can't say.
    pub(crate) fn encode(self) -> Result<Vec<u8>, CertificateError> {
        if self.not_before.year() > 2049 {
            return Err(CertificateError::Date);
        }
        // The end is a GeneralizedTime even where RFC 5280 wants a UTCTime: that is what was signed.
        let validity = tlv(
            tag::SEQUENCE,
            &[
                &tlv(tag::UTC_TIME, &[&time(self.not_before).as_bytes()[2..]]),
                &tlv(tag::GENERALIZED_TIME, &[time(self.not_after).as_bytes()]),
            ],
        );
        let public_key =
            tlv(tag::SEQUENCE, &[&KEY_ALGORITHM, &tlv(tag::BIT_STRING, &[&[0x00, 0x04], self.public_key.as_slice()])]);
        let extensions: Vec<u8> = self.extensions.into_iter().flat_map(|extension| extension.0).collect();
        Ok(tlv(
            tag::SEQUENCE,
            &[
                // v3
                &tlv(tag::CONSTRUCTED, &[&unsigned(&[2])]),
                &unsigned(self.serial),
                &SIGNATURE_ALGORITHM,
                &name(self.issuer),
                &validity,
                &name(self.subject),
                &public_key,
                &tlv(tag::CONSTRUCTED | 3, &[&tlv(tag::SEQUENCE, &[&extensions])]),
            ],
        ))
    }
}

/// The certificate in DER: what was signed, and its signature (R ‖ S).
pub(crate) fn signed(to_be_signed: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Vec<u8> {
    let (r, s) = signature.split_at(SIGNATURE_LEN / 2);
    let signature = tlv(tag::SEQUENCE, &[&unsigned(r), &unsigned(s)]);
    tlv(tag::SEQUENCE, &[to_be_signed, &SIGNATURE_ALGORITHM, &tlv(tag::BIT_STRING, &[&[0], &signature])])
}
