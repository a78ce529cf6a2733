// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 lock`: makes the configuration, the data zone, or one slot permanent. A dry run unless `--lock-forever` is
//! given.
//!
//! [`crate::chip::provision`] does all of it in the right order for the built-in profiles; this is for other
//! configurations.

mod config;
mod contents;
mod data;
mod slot;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::output::check::Check;
use crate::output::Output;
use crate::target::{Selection, Target};
use atecc608::presence::{Held, Presence};
use atecc608_token::layout::gets_key_now_or_never;
use atecc608_token::profile;
use atecc608_wire::{ConfigZone, Slot};

/// What is locked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The configuration zone, as it is: what each slot may do never changes again
    Config(config::Arguments),
    /// The data and OTP zones: their contents are written first; from then on the slots' rules apply
    Data(data::Arguments),
    /// One slot: its key or contents never change again
    Slot(slot::Arguments),
}

/// The result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    WouldLock,
    Locked,
    AlreadyLocked,
}

/// The options that permit a lock.
#[derive(Debug, Args)]
pub struct Consent {
    /// Do it: nothing can ever undo it
    #[arg(long)]
    lock_forever: bool,
    /// Lock a real chip although the authors of this tool have not locked this configuration on real silicon yet
    #[arg(long)]
    unproven: bool,
    /// Do it although `config check` calls something dangerous
    #[arg(long)]
    accept_dangers: bool,
}

/// Locks, or shows what locking would make permanent.
///
/// # Errors
/// [`Error::Refused`] , without a change, if the lock is not possible, or requires another option; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    let mut target = selection.target()?;
    // One turn on the bus, from showing to locking.
    let guard = target.lock()?;
    let zone = target.read_config_locked()?;
    target.ensure_608_to_change(&zone)?;
    let output = match command {
        Command::Config(arguments) => config::run(&mut target, &zone, arguments),
        Command::Data(arguments) => data::run(&mut target, &zone, arguments),
        Command::Slot(arguments) => slot::run(&mut target, &zone, arguments),
    };
    drop(guard);
    output
}

impl Consent {
    /// Whether the options request the lock.
    ///
    /// # Errors
    /// [`Error::Refused`] if they do, but another option is required.
    fn given(&self, target: &mut Target, zone: &ConfigZone, findings: &[Check]) -> Result<bool> {
        if !self.lock_forever {
            return Ok(false);
        }
        let dangers: Vec<&Check> = findings.iter().filter(|finding| finding.has_failed()).collect();
        if let Some(first) = dangers.first().filter(|_| !self.accept_dangers) {
            let slot = first.slot.map_or_else(String::new, |slot| format!("slot {slot}: "));
            let remedy = match &first.remedy {
                Some(remedy) => format!("Correct it (`{remedy}`), or add --accept-dangers"),
                None if zone.config_locked() => {
                    "The configuration is locked and can't be corrected: to continue, add --accept-dangers".to_owned()
                }
                None => "Correct it (`atecc608 config set`), or add --accept-dangers".to_owned(),
            };
            return Err(Error::Refused(format!(
                "{}: nothing was done: {} dangerous setting(s), the first: {slot}{}. {remedy}",
                target.place(),
                dangers.len(),
                first.detail
            )));
        }
        let proven = profile::matching(zone).is_some_and(|profile| profile.proven_on_silicon);
        if !(target.is_simulated(&zone.serial_number()) || proven || self.unproven) {
            return Err(Error::Refused(format!(
                "{}: nothing was done: the authors of this tool have not locked this configuration on real silicon \
                 yet, and a mistake can't be undone. To lock it nevertheless, add --unproven",
                target.place()
            )));
        }
        Ok(true)
    }

    /// Returns the options to add.
    fn wanted(&self, target: &mut Target, zone: &ConfigZone, findings: &[Check]) -> String {
        let proven = profile::matching(zone).is_some_and(|profile| profile.proven_on_silicon);
        let unproven = if target.is_simulated(&zone.serial_number()) || proven { "" } else { " --unproven" };
        let dangers = if findings.iter().any(Check::has_failed) { " --accept-dangers" } else { "" };
        format!("--lock-forever{unproven}{dangers}")
    }
}

/// The contents of each slot for private keys.
type Keys = [Presence; 16];

/// A slot without a private key.
const NO_KEY: Presence = Presence { held: Held::Nothing, refused: None };

/// Reads which private slots hold a key. The caller holds the bus lock.
fn held_keys(target: &mut Target, zone: &ConfigZone) -> Result<Keys> {
    target.converse(|awake| {
        let mut keys = [NO_KEY; 16];
        for slot in Slot::all().filter(|slot| zone.key_config(*slot).is_p256_private()) {
            keys[slot.index()] = awake.key_presence(zone, slot)?;
        }
        Ok(keys)
    })
}

/// Returns the next command for a chip between its locks.
fn next_command(zone: &ConfigZone, keys: &Keys) -> String {
    let finished = profile::finished_by_provision(zone).is_some();
    match Slot::all().find(|slot| keys[slot.index()] == NO_KEY && gets_key_now_or_never(zone, *slot)) {
        Some(slot) if !finished => generate_in(slot),
        _ => profile::next_command(zone),
    }
}

/// Returns the command that generates a key in a slot.
fn generate_in(slot: Slot) -> String {
    format!("atecc608 key generate --slot {slot}")
}

/// The text for a step that failed before the lock.
const NOTHING_LOCKED: &str = "Nothing is locked by this command: run it again";
/// The text for a lock that failed.
const UNCERTAIN: &str = "It may be locked by now: run the same command again; it checks first";

/// An error of the chip, with the chip's state.
fn stopped(step: &str, standing: &str, cause: atecc608::Error) -> Error {
    Error::Stopped { step: step.to_owned(), cause, standing: standing.to_owned() }
}
