// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kinds of certificates, and how each is built (fact sheet sections 5.10 and 7.4).

use der::DateTime;

use super::compressed::{
    CompressedCertificate, COMPRESSED_LEN, DEVICE_SLOT, PUBLIC_KEY_HASH, SIGNER_KEY_SLOT, SIGNER_SLOT,
};
use super::x509::{key_identifier, signed, Contents, Extensions};
use super::CertificateError;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::PUBLIC_KEY_LEN;

/// The common name of the root, which issues the signers' certificates.
pub const ROOT_NAME: &str = "Crypto Authentication Root CA 002";

/// The key identifier of every root of that name: the vendor's library puts it into each signer's certificate that it
/// rebuilds. It is SHA-1 of Microchip's key.
pub(crate) const ROOT_KEY_ID: [u8; 20] = [
    0x7A, 0xED, 0x7D, 0x6D, 0xC6, 0xB7, 0x78, 0x9D, 0xB2, 0x38, 0x01, 0xA5, 0xE8, 0x4A, 0x8C, 0xB0, 0xA4, 0x0E, 0x2A,
    0x8C,
];

/// keyUsage digitalSignature, keyCertSign, cRLSign; and the number of unused bits.
const SIGNER_USAGE: (u8, u8) = (0x86, 1);
/// keyUsage digitalSignature, keyAgreement.
const DEVICE_USAGE: (u8, u8) = (0x88, 3);

/// A kind of certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// Definition 1: the signer, in all these chips.
    Signer,
    /// Definition 2: the device, in early Trust&GO chips.
    DeviceEarly,
    /// Definition 3: the device, in Trust&GO chips, with its EUI-48.
    DeviceTngTls,
    /// The device, in TrustFLEX chips; the vendor calls it definition 4, but its template id is 3.
    DeviceTflxTls,
    /// Definition 4: the device, in Trust&GO chips for LoRaWAN, with its EUI-64.
    DeviceLora,
}

/// A position in the chip's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which slot.
    pub slot: u8,
    /// The offset of the first byte.
    pub offset: usize,
    /// The number of bytes; 0 if there is nothing.
    pub len: usize,
}

impl Place {
    const fn of(slot: u8, offset: usize, len: usize) -> Self {
        Self { slot, offset, len }
    }
}

/// Where a chip keeps the parts of its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The device's private key.
    pub key: u8,
    /// EUI-48 or EUI-64 as hexadecimal digits, if the device's certificate names it.
    pub eui: Place,
    /// The device's compressed certificate.
    pub device: Place,
    /// The signer's public key, 72 bytes with the padding of section 5.9.
    pub signer_key: Place,
    /// The signer's compressed certificate.
    pub signer: Place,
}

/// The device that a certificate is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The chip's serial number.
    pub serial: SerialNumber,
    /// The first 12 bytes of slot 5 for [`Definition::DeviceTngTls`] (the rest is unused), the first 16 of slot 10 for
    /// [`Definition::DeviceLora`]; unused by other definitions.
    pub eui: [u8; 16],
}

impl Definition {
    /// The definition of the device certificate that the code at the beginning of the OTP zone names.
    pub fn of_device(otp: &[u8]) -> Option<Self> {
        match otp.get(..8)? {
            b"x6tjuZMy" | b"KQp2ZkD8" => Some(Self::DeviceTngTls),
            b"wdNxAjae" | b"Rsuy5YJh" => Some(Self::DeviceEarly),
            b"MKMwyhP1" => Some(Self::DeviceTflxTls),
            b"jsMu7iYO" | b"09qJNxI3" => Some(Self::DeviceLora),
            _ => None,
        }
    }

    /// The template id in its compressed certificates.
    pub const fn template_id(self) -> u8 {
        match self {
            Self::Signer => 1,
            Self::DeviceEarly => 2,
            Self::DeviceTngTls | Self::DeviceTflxTls => 3,
            Self::DeviceLora => 4,
        }
    }

    /// The chain id in its compressed certificates.
    pub const fn chain_id(self) -> u8 {
        0
    }

    /// For how many years such certificates are issued.
    pub const fn expire_years(self) -> u8 {
        match self {
            Self::Signer => 31,
            _ => 28,
        }
    }

    /// Where a chip with a device certificate of this kind keeps its parts.
    pub const fn places(self) -> Places {
        if let Self::DeviceLora = self {
            return Places {
                key: 1,
                eui: Place::of(10, 0, 16),
                device: Place::of(8, 72, COMPRESSED_LEN),
                signer_key: Place::of(8, 0, 72),
                signer: Place::of(8, 144, COMPRESSED_LEN),
            };
        }
        Places {
            key: 0,
            eui: Place::of(5, 0, if let Self::DeviceTngTls = self { 12 } else { 0 }),
            device: Place::of(DEVICE_SLOT, 0, COMPRESSED_LEN),
            signer_key: Place::of(SIGNER_KEY_SLOT, 0, 72),
            signer: Place::of(SIGNER_SLOT, 0, COMPRESSED_LEN),
        }
    }

    /// Whether a compressed certificate can be one of this kind.
    pub const fn fits(self, compressed: &CompressedCertificate) -> bool {
        compressed.template_id == self.template_id()
            && compressed.chain_id == self.chain_id()
            && compressed.serial_source == PUBLIC_KEY_HASH
    }

    fn subject(self, signer_id: [u8; 2], serial: SerialNumber) -> String {
        match self {
            Self::Signer => signer_name(signer_id),
            Self::DeviceEarly => format!("{serial} ATECC"),
            Self::DeviceTngTls | Self::DeviceTflxTls | Self::DeviceLora => format!("sn{serial}"),
        }
    }
}

/// The common name of a signer.
pub fn signer_name(id: [u8; 2]) -> String {
    format!("Crypto Authentication Signer {}", base16ct::HexDisplay(&id))
}

/// All parts of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Its kind.
    pub definition: Definition,
    /// The compressed certificate in the chip.
    pub compressed: &'a CompressedCertificate,
    /// The public key of the subject, X ‖ Y.
    pub public_key: &'a [u8; PUBLIC_KEY_LEN],
    /// The public key of the issuer, X ‖ Y: the signer's for a device certificate. Unused for a signer's certificate,
    /// whose root is identified by its name.
    pub issuer_key: &'a [u8; PUBLIC_KEY_LEN],
    /// The device; unused for a signer's certificate.
    pub device: Device,
}

impl Parts<'_> {
    /// Returns the DER of the TBSCertificate: what the issuer signs. The signature in `compressed` is ignored.
    ///
    /// # Errors
    /// [`CertificateError::Definition`] if the compressed certificate is of another kind; [`CertificateError::Date`] if
    /// its date does not exist.
    pub fn to_be_signed(&self) -> Result<Vec<u8>, CertificateError> {
        let Self { definition, compressed, public_key, issuer_key, device } = *self;
        if !definition.fits(compressed) {
            return Err(CertificateError::Definition);
        }
        let (not_before, not_after) = validity(compressed)?;
        let mut extensions = Extensions::default();
        let (issuer, authority) = match definition {
            Definition::Signer => {
                extensions.key_usage(SIGNER_USAGE.0, SIGNER_USAGE.1);
                extensions.constraints(true, Some(0));
                (ROOT_NAME.to_owned(), ROOT_KEY_ID)
            }
            _ => {
                match definition {
                    Definition::DeviceTngTls => {
                        extensions.alternative_serial_number(&[b"eui48_", &device.eui[..12]].concat());
                    }
                    Definition::DeviceLora => {
                        extensions.alternative_serial_number(&[b"eui64_", device.eui.as_slice()].concat());
                    }
                    _ => {}
                }
                extensions.constraints(false, None);
                extensions.key_usage(DEVICE_USAGE.0, DEVICE_USAGE.1);
                (signer_name(compressed.signer_id), key_identifier(issuer_key))
            }
        };
        extensions.subject_key(&key_identifier(public_key));
        extensions.authority_key(&authority);
        Contents {
            serial: &compressed.serial_number(public_key)?,
            issuer: &issuer,
            not_before,
            not_after,
            subject: &definition.subject(compressed.signer_id, device.serial),
            public_key,
            extensions,
        }
        .encode()
    }

    /// Returns the DER of the whole certificate, with the signature in `compressed`.
    ///
    /// # Errors
    /// As [`Parts::to_be_signed`].
    pub fn certificate(&self) -> Result<Vec<u8>, CertificateError> {
        Ok(signed(self.to_be_signed()?, &self.compressed.signature))
    }
}

/// Returns the start and end of a certificate's validity.
pub(super) fn validity(compressed: &CompressedCertificate) -> Result<(DateTime, DateTime), CertificateError> {
    let issued = compressed.issued;
    let at =
        |year| DateTime::new(year, issued.month, issued.day, issued.hour, 0, 0).map_err(|_| CertificateError::Date);
    let end = match compressed.expire_years {
        // Without end, as RFC 5280 section 4.1.2.5 encodes it.
        0 => DateTime::new(9999, 12, 31, 23, 59, 59).map_err(|_| CertificateError::Date)?,
        years => at(issued.year + u16::from(years))?,
    };
    Ok((at(issued.year)?, end))
}
