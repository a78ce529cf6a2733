// SPDX-License-Identifier: MIT OR Apache-2.0
//! The attestation public key that a verifier has enrolled: PEM, or the JSON of `provision` or `attest --public`.

use base16ct::mixed;
use serde::{Deserialize, Serialize};

use crate::manifest::AttestationKey;
use atecc608_token::point::Point;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

/// The attestation key of a chip.
#[derive(Debug, Serialize, Deserialize)]
pub struct Enrolment {
    serial_number: String,
    /// Null on a chip without one.
    attestation: Option<AttestationKey>,
}

impl Enrolment {
    /// This chip's key.
    pub fn new(serial_number: &SerialNumber, slot: Slot, point: &Point) -> Self {
        Self { serial_number: serial_number.to_string(), attestation: Some(AttestationKey::new(slot, point)) }
    }
}

/// The verifier's prior knowledge.
#[derive(Debug)]
pub struct Enrolled {
    /// The attestation key.
    pub point: Point,
    /// The chip's serial number (18 hex digits), if the file has it.
    pub serial_number: Option<String>,
}

impl Enrolled {
    /// Parses a key file's text.
    ///
    /// # Errors
    /// The problem, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            // The output of `provision` has more fields.
            let enrolment: Enrolment = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let key = enrolment.attestation.ok_or("attestation: null, this chip has no attestation key")?;
            let point = mixed::decode_vec(&key.public_key).ok().and_then(|bytes| Point::from_uncompressed(&bytes));
            let point = point.ok_or("attestation.public_key: not a point on P-256")?;
            return Ok(Self { point, serial_number: Some(enrolment.serial_number) });
        }
        let (label, der) = der::pem::decode_vec(text.as_bytes()).map_err(|error| error.to_string())?;
        let point = Some(&der).filter(|_| label == "PUBLIC KEY").and_then(|der| Point::from_public_key_info(der));
        Ok(Self {
            point: point.ok_or("PEM, but not of a P-256 public key (\"BEGIN PUBLIC KEY\")")?,
            serial_number: None,
        })
    }
}
