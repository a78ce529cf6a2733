// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--attested`: a key is certified only if its chip attests it. Otherwise an attacker on the bus during the generation
//! could replace its public key with that of his own key.

use std::path::PathBuf;

use clap::Args;

use super::enrolled::Enrolled;
use super::verify::{checks, read, Expected};
use crate::chip_keys::ChipKey;
use crate::error::{Error, Result};
use atecc608::attest::CHALLENGE_LEN;
use atecc608_token::attest::{attest_key, KeyName};
use atecc608_token::point::Point;
use atecc608_wire::config_zone::SerialNumber;

/// The option of commands that certify a key.
#[derive(Clone, Debug, Default, Args)]
pub struct AttestedArguments {
    /// Only if the chip attests the key under this enrolled attestation key: PEM, or what `provision --json` printed then
    #[arg(long, value_name = "FILE")]
    attested: Option<PathBuf>,
}

impl AttestedArguments {
    /// Reads the enrolled key, if one is given.
    ///
    /// # Errors
    /// [`Error::Refused`] if the file can't be read.
    pub fn read(&self) -> Result<Option<Attested>> {
        let read = |path: &PathBuf| {
            let enrolled = read(path, "attestation key", Enrolled::read)?;
            Ok(Attested { enrolled, name: path.display().to_string() })
        };
        self.attested.as_ref().map(read).transpose()
    }
}

/// An attestation key under which keys must be attested.
pub struct Attested {
    enrolled: Enrolled,
    /// Its name in messages.
    name: String,
}

impl Attested {
    /// The attestation key read from the chip itself.
    pub fn by_chip(serial: &SerialNumber, point: &Point) -> Self {
        let enrolled = Enrolled { point: *point, serial_number: Some(serial.to_string()) };
        Self { enrolled, name: "the attestation key that this run has read".to_owned() }
    }

    /// Makes the chip state, under a new challenge, that it holds the private key of this public key.
    ///
    /// # Errors
    /// [`Error::Refused`] if it does not, or the statement does not verify with the enrolled key; the [chip
    /// errors](crate::Error#chip-errors).
    pub fn check(&self, key: &ChipKey) -> Result<()> {
        let refused = |problem: &str| {
            Error::Refused(format!(
                "{}: the key \"{}\" in slot {} is not attested under {}: {problem}. Nothing was certified. If somebody was on the bus \
                 when the key was generated, its public key may be his: destroy it (`atecc608 key destroy`), and generate it \
                 where nobody is",
                key.place(),
                key.label,
                key.slot,
                self.name
            ))
        };
        let mut challenge = [0; CHALLENGE_LEN];
        getrandom::fill(&mut challenge).map_err(Error::HostRandom)?;
        let stated = attest_key(key.token(), &KeyName::Slot(key.slot), &challenge);
        let evidence = stated.map_err(|cause| refused(&cause.to_string()))?;
        let expected = Expected { challenge: Some(challenge), serial_number: None };
        let failed: Vec<String> = checks(&evidence, &self.enrolled, &expected)
            .iter()
            .filter(|check| check.has_failed())
            .map(|check| format!("{}: {}", check.name, check.detail))
            .collect();
        if !failed.is_empty() {
            return Err(refused(&failed.join("; ")));
        }
        if evidence.public_key != key.point.xy() {
            return Err(refused("the chip states another public key than the one that was read before"));
        }
        Ok(())
    }
}
