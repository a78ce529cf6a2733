// SPDX-License-Identifier: MIT OR Apache-2.0
//! X.509 certificates as PKCS#11 objects: the attributes that are parsed from CKA_VALUE.
//!
//! Only the outer structure is parsed (RFC 5280 section 4.1): names and extensions are copied unchanged. So
//! certificates that stricter parsers refuse can be stored (Microchip's Trust&GO device certificates have an underscore
//! in a PrintableString).

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, UtcTime};
use der::{DateTime, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

use super::error::{Error, Result};
use super::point::Point;

/// The fields of a certificate, in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFields {
    /// CKA_SUBJECT.
    pub subject: Vec<u8>,
    /// CKA_ISSUER.
    pub issuer: Vec<u8>,
    /// CKA_SERIAL_NUMBER.
    pub serial_number: Vec<u8>,
    /// CKA_PUBLIC_KEY_INFO.
    pub public_key_info: Vec<u8>,
    /// CKA_START_DATE: YYYYMMDD.
    pub start_date: Vec<u8>,
    /// CKA_END_DATE.
    pub end_date: Vec<u8>,
    /// The subject's key, if it is on P-256.
    pub point: Option<Point>,
}

/// Parses a certificate in DER.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if it is not a certificate.
pub fn parse(value: &[u8]) -> Result<CertificateFields> {
    read(value).map_err(|error| {
        Error::AttributeValueInvalid(format!("CKA_VALUE is not an X.509 certificate in DER: {error}").into())
    })
}

fn read(value: &[u8]) -> der::Result<CertificateFields> {
    let mut outer = SliceReader::new(value)?;
    let mut certificate = sequence(&mut outer)?;
    let fields = to_be_signed(sequence(&mut certificate)?)?;
    // signatureAlgorithm, signatureValue
    certificate.tlv_bytes()?;
    certificate.tlv_bytes()?;
    certificate.finish(())?;
    outer.finish(fields)
}

fn to_be_signed(mut body: SliceReader<'_>) -> der::Result<CertificateFields> {
    let version = Tag::ContextSpecific { constructed: true, number: TagNumber::N0 };
    if body.peek_header()?.tag == version {
        body.tlv_bytes()?;
    }
    let serial_number = body.tlv_bytes()?.to_vec();
    // signature
    body.tlv_bytes()?;
    let issuer = body.tlv_bytes()?.to_vec();
    let mut validity = sequence(&mut body)?;
    let (start_date, end_date) = (date(&mut validity)?, date(&mut validity)?);
    let subject = body.tlv_bytes()?.to_vec();
    let public_key_info = body.tlv_bytes()?.to_vec();
    let mut info = sequence(&mut SliceReader::new(&public_key_info)?)?;
    // algorithm
    info.tlv_bytes()?;
    let point = BitStringRef::decode(&mut info)?.as_bytes().and_then(Point::from_sec1);
    // Unique identifiers and extensions may follow.
    Ok(CertificateFields { subject, issuer, serial_number, public_key_info, start_date, end_date, point })
}

/// Reads the contents of the next SEQUENCE.
fn sequence<'r>(reader: &mut SliceReader<'r>) -> der::Result<SliceReader<'r>> {
    let any = AnyRef::decode(reader)?;
    any.tag().assert_eq(Tag::Sequence)?;
    SliceReader::new(any.value())
}

/// Reads a time as CK_DATE.
fn date(reader: &mut SliceReader<'_>) -> der::Result<Vec<u8>> {
    let time: DateTime = match reader.peek_header()?.tag {
        Tag::UtcTime => UtcTime::decode(reader)?.to_date_time(),
        _ => GeneralizedTime::decode(reader)?.to_date_time(),
    };
    Ok(format!("{:04}{:02}{:02}", time.year(), time.month(), time.day()).into_bytes())
}
