// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 trust`: root reads the chip's public keys and stores them as trusted.

use clap::Args;
use serde::Serialize;

use crate::chip_keys::{ChipKeys, LoginArguments};
use crate::error::Result;
use crate::output::Output;
use crate::target::Selection;
use crate::x509::pem;

/// Arguments of `trust`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    login: LoginArguments,
}

#[derive(Serialize)]
struct Trusted {
    serial_number: String,
    file: String,
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    slot: u8,
    label: String,
    public_key: String,
}

/// Stores the public keys that the chip returns.
///
/// # Errors
/// [`Error::Refused`](crate::error::Error::Refused) if the file can't be written; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let keys = ChipKeys::open_logged_in(selection, &arguments.login)?;
    let serial_number = keys.zone()?.serial_number().to_string();
    let (trusted, file) = keys.trust_all()?;
    let file = file.display().to_string();
    let listed: String =
        trusted.iter().map(|key| format!("slot {:>2}  \"{}\"\n", key.slot.number(), key.label)).collect();
    let text = match listed.as_str() {
        "" => format!("The chip {serial_number} returns no public key: {file} contains none.\n"),
        listed => format!("Trusted public keys of the chip {serial_number} ({file}):\n{listed}"),
    };
    let keys = trusted.iter().map(|key| Key {
        slot: key.slot.number(),
        label: key.label.clone(),
        public_key: pem::public_key(&key.point),
    });
    Output::new(text, &Trusted { serial_number, file, keys: keys.collect() })
}
