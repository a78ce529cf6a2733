//! X.509 certificates as PKCS#11 objects: the attributes that are read out of CKA_VALUE.

use der::{Decode, Encode};
use x509_cert::Certificate;

use super::error::{Error, Result};
use super::point::Point;

/// What a certificate says about itself, in DER.
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

/// Reads a certificate in DER.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if it is none.
pub fn parse(value: &[u8]) -> Result<CertificateFields> {
    let invalid = |error: der::Error| {
        Error::AttributeValueInvalid(format!("CKA_VALUE is not an X.509 certificate in DER: {error}"))
    };
    let certificate = Certificate::from_der(value).map_err(invalid)?;
    let body = &certificate.tbs_certificate;
    let date = |time: x509_cert::time::Time| {
        let date = time.to_date_time();
        format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()).into_bytes()
    };
    Ok(CertificateFields {
        subject: body.subject.to_der().map_err(invalid)?,
        issuer: body.issuer.to_der().map_err(invalid)?,
        serial_number: body.serial_number.to_der().map_err(invalid)?,
        public_key_info: body.subject_public_key_info.to_der().map_err(invalid)?,
        start_date: date(body.validity.not_before),
        end_date: date(body.validity.not_after),
        point: body.subject_public_key_info.subject_public_key.as_bytes().and_then(Point::from_uncompressed),
    })
}
