// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file with a statement: one JSON object, version 1 (docs/attestation.md).

use base16ct::lower::encode_string as hex;
use base16ct::mixed;
use serde::{Deserialize, Serialize};

use atecc608::attest::{Evidence, Kind};
use atecc608_token::config::slot_number;
use atecc608_wire::ConfigZone;

/// Identifies such a file.
const FORMAT: &str = "atecc608-attestation";
/// Version of its contents.
const VERSION: u32 = 1;

/// A statement in the file's form: bytes are hex digits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    format: String,
    version: u32,
    kind: String,
    /// For people; the authoritative one is in `configuration`.
    serial_number: String,
    slot: u8,
    challenge: String,
    random: String,
    configuration: String,
    public_key: String,
    signature: String,
}

impl Statement {
    /// Converts a chip's statement.
    pub fn new(evidence: &Evidence) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            kind: evidence.kind.name().to_owned(),
            serial_number: evidence.zone.serial_number().to_string(),
            slot: evidence.slot.number(),
            challenge: hex(&evidence.challenge),
            random: hex(&evidence.random),
            configuration: hex(evidence.zone.as_bytes()),
            public_key: format!("04{}", hex(&evidence.public_key)),
            signature: hex(&evidence.signature),
        }
    }

    /// Parses a file's text, without verifying the statement.
    ///
    /// # Errors
    /// The problem, in words.
    pub fn read(text: &str) -> Result<Evidence, String> {
        let statement: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if statement.format != FORMAT {
            return Err(format!("format: \"{}\" instead of \"{FORMAT}\"", statement.format));
        }
        if statement.version != VERSION {
            return Err(format!("version: {}: this program supports {VERSION} only", statement.version));
        }
        let kind = [Kind::BornHere, Kind::LivesHere].into_iter().find(|kind| kind.name() == statement.kind);
        let public_key: [u8; 65] = bytes("public_key", &statement.public_key)?;
        let [0x04, xy @ ..] = public_key else {
            return Err("public_key: an uncompressed point begins with 04".to_owned());
        };
        let evidence = Evidence {
            kind: kind.ok_or_else(|| format!("kind: \"{}\" is neither born-here nor lives-here", statement.kind))?,
            slot: slot_number(statement.slot)
                .map_err(|expected| format!("slot: {expected}, found {}", statement.slot))?,
            challenge: bytes("challenge", &statement.challenge)?,
            random: bytes("random", &statement.random)?,
            zone: ConfigZone::new(bytes("configuration", &statement.configuration)?),
            public_key: xy,
            signature: bytes("signature", &statement.signature)?,
        };
        let serial = evidence.zone.serial_number().to_string();
        if !statement.serial_number.eq_ignore_ascii_case(&serial) {
            return Err(format!(
                "serial_number: {}, but the configuration is that of {serial}",
                statement.serial_number
            ));
        }
        Ok(evidence)
    }
}

fn bytes<const N: usize>(field: &str, digits: &str) -> Result<[u8; N], String> {
    let bytes = mixed::decode_vec(digits).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("{field}: expected {} hex digits", 2 * N))
}
