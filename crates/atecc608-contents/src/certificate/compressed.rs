// SPDX-License-Identifier: MIT OR Apache-2.0
//! The 72 bytes of a compressed certificate (fact sheet section 7.1).

use sha2::{Digest, Sha256};

use super::CertificateError;
use atecc608_wire::{PUBLIC_KEY_LEN, SIGNATURE_LEN};

/// Bytes in a compressed certificate.
pub const COMPRESSED_LEN: usize = 72;
/// The slot of the device's compressed certificate.
pub const DEVICE_SLOT: u8 = 10;
/// The slot of the signer's public key, 72 bytes with the padding of section 5.9.
pub const SIGNER_KEY_SLOT: u8 = 11;
/// The slot of the signer's compressed certificate.
pub const SIGNER_SLOT: u8 = 12;
/// Serial number source: the first bytes of a digest over public key and dates (section 7.2). All definitions use it.
pub const PUBLIC_KEY_HASH: u8 = 0x0A;

/// When a certificate was issued, to the hour (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssueDate {
    /// 2000 to 2031; to 2127 in formats 1 and 2.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
}

/// The decoded fields of a compressed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressedCertificate {
    /// R and S, big-endian.
    pub signature: [u8; SIGNATURE_LEN],
    /// When it was issued.
    pub issued: IssueDate,
    /// For how many years: at most 31, in formats 1 and 2 at most 127; 0 means without end.
    pub expire_years: u8,
    /// The signer id: of the signer that issued it, or that it is about; four hexadecimal digits in names.
    pub signer_id: [u8; 2],
    /// Which definition, 0 to 15.
    pub template_id: u8,
    /// Which chain, 0 to 15.
    pub chain_id: u8,
    /// Where the serial number comes from, 0 to 15.
    pub serial_source: u8,
    /// 0; 1 with the longer dates; 2, which for P-256 is the same as 1: it adds space after these 72 bytes for
    /// signatures of larger curves, which this chip does not have.
    pub format: u8,
}

impl CompressedCertificate {
    /// Decodes the 72 bytes.
    ///
    /// # Errors
    /// [`CertificateError::Format`] if the format is unknown. An impossible date is reported only when it is used.
    pub fn decode(bytes: &[u8; COMPRESSED_LEN]) -> Result<Self, CertificateError> {
        let mut signature = [0; SIGNATURE_LEN];
        signature.copy_from_slice(&bytes[..SIGNATURE_LEN]);
        let date = u32::from_be_bytes([0, bytes[64], bytes[65], bytes[66]]);
        let field = |shift: u32, bits: u32| (date >> shift & ((1 << bits) - 1)) as u8;
        let format = bytes[70] & 0x0F;
        let (more_year, more_expire) = match format {
            0 => (0, 0),
            1 | 2 => (u16::from(bytes[71] >> 6), bytes[71] >> 4 & 3),
            other => return Err(CertificateError::Format(other)),
        };
        Ok(Self {
            signature,
            issued: IssueDate {
                year: 2000 + (more_year << 5 | u16::from(field(19, 5))),
                month: field(15, 4),
                day: field(10, 5),
                hour: field(5, 5),
            },
            expire_years: more_expire << 5 | field(0, 5),
            signer_id: [bytes[67], bytes[68]],
            template_id: bytes[69] >> 4,
            chain_id: bytes[69] & 0x0F,
            serial_source: bytes[70] >> 4,
            format,
        })
    }

    /// Encodes the 72 bytes.
    ///
    /// # Errors
    /// [`CertificateError::Date`] if a date does not fit its bits; [`CertificateError::Format`] if the format is
    /// unknown.
    pub fn encode(&self) -> Result<[u8; COMPRESSED_LEN], CertificateError> {
        let (dates, more) = self.dates()?;
        let mut bytes = [0; COMPRESSED_LEN];
        bytes[..SIGNATURE_LEN].copy_from_slice(&self.signature);
        bytes[64..67].copy_from_slice(&dates);
        bytes[67..69].copy_from_slice(&self.signer_id);
        bytes[69] = self.template_id << 4 | self.chain_id & 0x0F;
        bytes[70] = self.serial_source << 4 | self.format;
        bytes[71] = more;
        Ok(bytes)
    }

    /// Bytes 64 to 66, and byte 71.
    fn dates(&self) -> Result<([u8; 3], u8), CertificateError> {
        let IssueDate { year, month, day, hour } = self.issued;
        let year = year.checked_sub(2000).ok_or(CertificateError::Date)?;
        let (years, expire_years) = match self.format {
            0 => (32, 32),
            1 | 2 => (128, 128),
            other => return Err(CertificateError::Format(other)),
        };
        if year >= years || month > 15 || day > 31 || hour > 31 || self.expire_years >= expire_years {
            return Err(CertificateError::Date);
        }
        let date = u32::from(year & 31) << 19
            | u32::from(month) << 15
            | u32::from(day) << 10
            | u32::from(hour) << 5
            | u32::from(self.expire_years & 31);
        let [_, dates @ ..] = date.to_be_bytes();
        Ok((dates, ((year >> 5) as u8) << 6 | self.expire_years >> 5 << 4))
    }

    /// Returns the certificate's serial number if its source is [`PUBLIC_KEY_HASH`]: a digest of this public key (X ‖
    /// Y) and the dates.
    ///
    /// # Errors
    /// As [`CompressedCertificate::encode`].
    pub fn serial_number(&self, public_key: &[u8; PUBLIC_KEY_LEN]) -> Result<[u8; 16], CertificateError> {
        let mut serial = [0; 16];
        serial.copy_from_slice(&self.hash(public_key)?[..16]);
        Ok(serial)
    }

    /// The digest of `of` and the dates, from which serial numbers are cut.
    pub(super) fn hash(&self, of: &[u8]) -> Result<[u8; 32], CertificateError> {
        let (dates, more) = self.dates()?;
        let mut digest = Sha256::new().chain_update(of).chain_update(dates);
        if self.format >= 1 {
            digest.update([more]);
        }
        let mut digest: [u8; 32] = digest.finalize().into();
        // Makes the number positive, and its DER of constant length.
        digest[0] = digest[0] & 0x7F | 0x40;
        Ok(digest)
    }
}
