// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 random`: the chip's own random numbers, as they cross the bus. (C_GenerateRandom mixes the host's in.)

use std::time::Instant;

use base16ct::lower::encode_string as hex;
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::output::{progress, Output, Text, SILENCE};
use crate::target::{Selection, Target};
use atecc608_wire::ConfigZone;

/// The response to Random while the configuration is not locked (fact sheet section 5.7).
pub(super) const CONSTANT: [u8; 4] = [0xFF, 0xFF, 0x00, 0x00];
/// Random bytes that one Random command gives.
const PER_COMMAND: usize = 32;
/// Commands in one turn on the bus (23 ms each at most), so that others do not wait long.
const PER_TURN: usize = 8;

/// Arguments of `random`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many bytes
    #[arg(default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    bytes: u32,
    /// Write the bytes themselves, not their hex digits
    #[arg(long, conflicts_with = "json")]
    binary: bool,
}

#[derive(Serialize)]
struct Bytes {
    bytes: usize,
    random: String,
}

/// Prints random bytes.
///
/// # Errors
/// [`Error::Refused`] on a blank chip; the [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let mut target = selection.target()?;
    let zone = target.read_config()?;
    ensure_random(&zone, &target)?;
    let wanted = arguments.bytes as usize;
    let mut bytes = Zeroizing::new(Vec::with_capacity(wanted + PER_COMMAND));
    let (began, mut tenth) = (Instant::now(), 0);
    while bytes.len() < wanted {
        if began.elapsed() >= SILENCE && bytes.len() * 10 / wanted > tenth {
            tenth = bytes.len() * 10 / wanted;
            progress(&format!("{} of {wanted} bytes", bytes.len()));
        }
        let commands = (wanted - bytes.len()).div_ceil(PER_COMMAND).min(PER_TURN);
        let guard = target.lock()?;
        for _ in 0..commands {
            bytes.extend(target.converse(|awake| awake.random())?);
        }
        drop(guard);
    }
    bytes.truncate(wanted);
    let digits = hex(&bytes);
    let text = if arguments.binary { Text::Contents(bytes.to_vec()) } else { Text::Lines(format!("{digits}\n")) };
    Output::new(text, &Bytes { bytes: wanted, random: digits })
}

fn ensure_random(zone: &ConfigZone, target: &Target) -> Result<()> {
    target.ensure_608()?;
    if zone.config_locked() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{}: the chip {} is blank: until its configuration is locked it returns a constant ({:02X?}...) instead of \
         random bytes; run `atecc608 provision tls`",
        target.place(),
        zone.serial_number(),
        CONSTANT
    )))
}
