// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificates in an image, rebuilt and checked (fact sheet section 7.4).

use der::pem::{encode_string, LineEnding};
use p256::PublicKey;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::stored_key;
use crate::ecc::{private_key, public_key, public_point, verify};
use crate::image::{Image, Part};
use crate::profiles::root_public_key;
use atecc608_contents::certificate::{CertificateError, CompressedCertificate, Definition, Device, Parts, Place};
use atecc608_wire::Slot;

/// The certificates of a chip whose product code announces some.
#[derive(Debug, Serialize)]
pub struct Chain {
    /// Slot 10: for the key in slot 0, issued by the signer.
    pub device: Certificate,
    /// Slot 12: for the key in slot 11, issued by the root of simulated chips.
    pub signer: Certificate,
}

/// A compressed certificate, and the result of rebuilding it.
#[derive(Debug, Default, Serialize)]
pub struct Certificate {
    /// When it was issued, YYYY-MM-DDThh:00Z.
    pub issued: Option<String>,
    /// Validity in years; 0 means without end.
    pub expire_years: Option<u8>,
    /// Four hexadecimal digits.
    pub signer_id: Option<String>,
    /// Which template.
    pub template_id: Option<u8>,
    /// Which chain.
    pub chain_id: Option<u8>,
    /// The serial number's source.
    pub serial_source: Option<u8>,
    /// Whether its issuer's key verifies the signature; `None` if it can't be rebuilt.
    pub verified: Option<bool>,
    /// The certificate in PEM.
    pub pem: Option<String>,
    /// Why it cannot be rebuilt.
    pub error: Option<String>,
}

impl Chain {
    /// Returns the certificates in an image; `None` if its product code names no definition.
    pub(super) fn in_image(image: &Image) -> Option<Self> {
        let definition = Definition::of_device(image.part(Part::Otp))?;
        let config = image.config();
        let places = definition.places();
        let mut eui = [0; 16];
        eui.copy_from_slice(&image.part(Part::Slot(Slot::from_nibble(places.eui.slot)))[..16]);
        let device = Device { serial: config.serial_number(), eui };
        let own =
            private_key(&image.part(Part::Slot(Slot::from_nibble(places.key)))[4..]).map(|key| public_point(&key));
        let slot = Slot::from_nibble(places.signer_key.slot);
        let signer = stored_key(&config, slot, bytes_at(image, places.signer_key));
        let root = root_public_key().ok();
        Some(Self {
            device: Certificate::rebuild(image, places.device, definition, device, (own, signer)),
            signer: Certificate::rebuild(image, places.signer, Definition::Signer, device, (signer, root)),
        })
    }
}

fn bytes_at(image: &Image, place: Place) -> &[u8] {
    &image.part(Part::Slot(Slot::from_nibble(place.slot)))[place.offset..place.offset + place.len]
}

impl Certificate {
    fn rebuild(
        image: &Image,
        place: Place,
        definition: Definition,
        device: Device,
        (own, issuer): (Option<[u8; 64]>, Option<[u8; 64]>),
    ) -> Self {
        let mut stored = [0; 72];
        stored.copy_from_slice(bytes_at(image, place));
        let compressed = match CompressedCertificate::decode(&stored) {
            Ok(compressed) => compressed,
            Err(error) => return Self { error: Some(error.to_string()), ..Self::default() },
        };
        let date = compressed.issued;
        let mut certificate = Self {
            issued: Some(format!("{:04}-{:02}-{:02}T{:02}:00Z", date.year, date.month, date.day, date.hour)),
            expire_years: Some(compressed.expire_years),
            signer_id: Some(base16ct::upper::encode_string(&compressed.signer_id)),
            template_id: Some(compressed.template_id),
            chain_id: Some(compressed.chain_id),
            serial_source: Some(compressed.serial_source),
            ..Self::default()
        };
        match (own, issuer, issuer.and_then(|key| public_key(&key))) {
            (Some(public_key), Some(issuer_key), Some(key)) => {
                let parts = Parts {
                    definition,
                    compressed: &compressed,
                    public_key: &public_key,
                    issuer_key: &issuer_key,
                    device,
                };
                if let Err(error) = certificate.check(&parts, &key) {
                    certificate.error = Some(error.to_string());
                }
            }
            _ => certificate.error = Some("a public key is missing".to_owned()),
        }
        certificate
    }

    fn check(&mut self, parts: &Parts<'_>, issuer: &PublicKey) -> Result<(), CertificateError> {
        let digest = Sha256::digest(parts.to_be_signed()?).into();
        let pem = encode_string("CERTIFICATE", LineEnding::LF, &parts.certificate()?);
        self.pem = pem.ok();
        self.verified = Some(verify(issuer, &digest, &parts.compressed.signature));
        Ok(())
    }
}
