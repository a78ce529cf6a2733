// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 data`: the contents of slots other than private keys, as far as the slots' configuration allows.

mod access;
mod owners;
mod plan;
mod read;
mod write;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::input::secret;
use crate::input::values::parse_slot;
use crate::output::{note, Output};
use crate::target::{Selection, Target};
use access::Way;
use atecc608::secrets::SharedSecret;
use atecc608_token::io_key::KeyFile;
use atecc608_wire::zone::Address;
use atecc608_wire::{ConfigZone, Slot};

/// What is to be done with a slot's contents.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what a slot holds, or write it to a file
    Read(read::Arguments),
    /// Write a file's bytes into a slot; what they replace is lost
    Write(write::Arguments),
}

/// Which slot, and the key of encrypted reads and writes.
#[derive(Debug, Args)]
struct Place {
    /// Which slot, 0 to 15
    #[arg(long, value_name = "N", value_parser = parse_slot)]
    slot: Slot,
    /// The first byte; the slot's first if omitted
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: usize,
    /// Where the slot's rule names a key that encrypts: a file with its 32 bytes, or with 64 hex digits (- is standard input)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`Error::Refused`], without a write, if a rule of the chip or of this software forbids it, or a file can't be read
/// or written; the [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Read(arguments) => read::run(selection, arguments),
        Command::Write(arguments) => write::run(selection, arguments),
    }
}

/// A slot of a chip, while the caller holds the bus lock.
struct SlotAccess<'t> {
    target: &'t mut Target,
    zone: ConfigZone,
    slot: Slot,
    /// The key in `--key-file`.
    key: Option<Zeroizing<[u8; 32]>>,
}

impl<'t> SlotAccess<'t> {
    /// The slot in the arguments. The caller holds the bus lock.
    fn new(target: &'t mut Target, place: &Place, key: Option<Zeroizing<[u8; 32]>>) -> Result<Self> {
        let zone = target.read_config_locked()?;
        target.ensure_608()?;
        Ok(Self { target, zone, slot: place.slot, key })
    }

    fn refused(&self, problem: &str) -> Error {
        Error::Refused(format!("{}: the chip {}: {problem}", self.target.place(), self.zone.serial_number()))
    }

    /// Checks that `--key-file` is given if and only if it is used; the chip then proves that it has that key.
    fn check_key(&mut self, way: Way, verb: &str) -> Result<()> {
        let slot = self.slot;
        match (way, &self.key) {
            (Way::Clear, None) => Ok(()),
            (Way::Clear, Some(_)) => {
                Err(self.refused(&format!("slot {slot} is {verb} in clear, so --key-file has no use: leave it out")))
            }
            (Way::Encrypted(by), None) => {
                let options = self.zone.chip_options();
                let mut problem = format!(
                    "slot {slot} is {verb} encrypted with the key in slot {by}: name the file with its 32 bytes (--key-file FILE)"
                );
                if options.io_protection() && options.io_key() == by {
                    let file: KeyFile = self.target.key_file(&self.zone.serial_number());
                    problem += &format!("; it is the IO protection key, which is kept in {}", file.path().display());
                }
                Err(self.refused(&problem))
            }
            (Way::Encrypted(by), Some(_)) => self.prove_key(by),
        }
    }

    /// Without this an encrypted read with a wrong key would return garbage.
    fn prove_key(&mut self, by: Slot) -> Result<()> {
        let Some(value) = self.key.clone() else { return Ok(()) };
        let serial = self.zone.serial_number();
        match self.target.converse(|awake| awake.proves(&serial, &SharedSecret { slot: by, value: &value })) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.refused(&format!(
                "--key-file does not hold the key in slot {by}: the chip refuses it. The file must hold the 32 bytes \
                 that were written there"
            ))),
            Err(Error::Chip { cause, .. }) if cause.refusal().is_some() => {
                note(&format!("the chip does not report whether --key-file holds the key in slot {by} ({cause})"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads `len` bytes from `offset` on, all within the slot.
    fn read(&mut self, way: Way, offset: usize, len: usize) -> Result<Zeroizing<Vec<u8>>> {
        let (slot, serial, key) = (self.slot, self.zone.serial_number(), self.key.clone());
        let end = offset + len;
        let bytes = self.target.converse(|awake| match (way, &key) {
            (Way::Encrypted(by), Some(value)) => {
                // With the full capacity: a growing buffer would leave copies of a secret behind.
                let mut bytes = Zeroizing::new(Vec::with_capacity(end.next_multiple_of(32)));
                for block in 0..end.div_ceil(32) {
                    let address = Address::slot(slot, block as u8, 0);
                    let key = SharedSecret { slot: by, value };
                    bytes.extend_from_slice(&*awake.read_encrypted(&serial, &key, address)?);
                }
                Ok(bytes)
            }
            _ => awake.read_slot(slot, end).map(Zeroizing::new),
        })?;
        match bytes.get(offset..end) {
            Some(wanted) => Ok(Zeroizing::new(wanted.to_vec())),
            None => Err(self.refused(&format!("slot {slot} returned {} bytes instead of {end}", bytes.len()))),
        }
    }
}

/// Reads the key in a file.
fn key(file: Option<&Path>) -> Result<Option<Zeroizing<[u8; 32]>>> {
    file.map(secret::of_32_bytes).transpose()
}
