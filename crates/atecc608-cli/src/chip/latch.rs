// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 latch`: the chip's persistent latch. Slots with KeyConfig.PersistentDisable work only while it is set. It survives
//! sleep, and is clear after each loss of power.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::input::secret;
use crate::output::Output;
use crate::target::{Selection, Target};
use atecc608::latch::{Latch, LatchChange};
use atecc608::secrets::SharedSecret;
use atecc608_wire::config_zone::SecureBootStorage;
use atecc608_wire::{ConfigZone, Slot, Status};

/// What is to be done with the latch.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show whether the latch is set, what sets it, and which slots work only while it is set
    Show,
    /// Set the latch: the slots behind it work until the chip loses power
    Set(Set),
    /// Clear the latch: the slots behind it do not work until it is set again
    Clear(Clear),
}

/// Arguments of `latch set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The secret of the slot that authorises it: a file with 32 bytes, or with 64 hex digits (- is standard input)
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
}

/// Arguments of `latch clear`.
#[derive(Debug, Args)]
pub struct Clear {
    /// The secret of the slot that authorises it, as for `latch set`; without it the tool tries to clear the latch without a secret
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// The state of the latch, in text and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LatchState {
    /// The slots behind it work.
    Set,
    /// The slots behind it do not work.
    Clear,
    /// The chip refuses to tell.
    Unknown,
}

impl From<Latch> for LatchState {
    fn from(latch: Latch) -> Self {
        match latch {
            Latch::Set => Self::Set,
            Latch::Clear => Self::Clear,
            Latch::NotTold => Self::Unknown,
        }
    }
}

impl LatchState {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Clear => "not set",
            Self::Unknown => "unknown: the chip refuses to report it",
        }
    }

    /// Returns the effect on a key behind the latch.
    pub fn of_key(self) -> &'static str {
        match self {
            Self::Set => "works while the persistent latch is set, as it is now",
            Self::Clear => "does not work now: the persistent latch is not set (`atecc608 latch show`)",
            Self::Unknown => {
                "works only while the persistent latch is set, which the chip does not report (`atecc608 latch show`)"
            }
        }
    }
}

/// The latch of one chip.
#[derive(Debug, Serialize)]
struct Report {
    serial_number: String,
    latch: LatchState,
    /// Whether VolatileKeyPermission allows a secret to set it.
    enabled: bool,
    /// The slot of that secret.
    authorising_slot: Option<u8>,
    /// Whether a successful secure boot sets it.
    set_by_secure_boot: bool,
    /// The slots that work only while it is set.
    slots: Vec<u8>,
}

/// Runs the command.
///
/// # Errors
/// [`Error::Refused`] if the chip has no such latch, the secret is wrong, or its file can't be read; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    let secret_file = match command {
        Command::Show => None,
        Command::Set(Set { secret_file }) => Some(secret_file),
        Command::Clear(Clear { secret_file }) => secret_file.as_ref(),
    };
    let secret = secret_file.map(|path| secret::of_32_bytes(path)).transpose()?;
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let zone = target.read_config_locked()?;
    target.ensure_608()?;
    match command {
        Command::Show => {}
        Command::Set(_) => change(&mut target, &zone, secret.as_deref(), true)?,
        Command::Clear(_) => change(&mut target, &zone, secret.as_deref(), false)?,
    }
    let latch = target.converse(|awake| awake.latch())?;
    drop(guard);
    let report = report(&zone, latch);
    Output::new(text(&report), &report)
}

fn change(target: &mut Target, zone: &ConfigZone, secret: Option<&[u8; 32]>, set: bool) -> Result<()> {
    let (place, serial) = (target.place(), zone.serial_number());
    let refused = |problem: String| Error::Refused(format!("{place}: the chip {serial}: {problem}"));
    let slot = zone.latch_authority();
    if slot.is_none() && (set || secret.is_some() || !is_set_by_secure_boot(zone)) {
        return Err(refused(
            "its configuration does not enable setting the latch (VolatileKeyPermission, byte 69, bit 7): `atecc608 latch show` \
             says what depends on it"
                .to_owned(),
        ));
    }
    if !zone.config_locked() {
        return Err(refused(
            "it is blank: the latch works once the configuration is locked (`atecc608 lock config`)".to_owned(),
        ));
    }
    let secret = slot.zip(secret).map(|(slot, value)| SharedSecret { slot, value });
    let changed = target.chip.change_latch(&serial, secret.as_ref(), set);
    match changed {
        Ok(LatchChange::Done) => {}
        Ok(LatchChange::WrongSecret) => {
            return Err(refused(format!(
                "the file does not hold the secret of slot {}: the chip refuses it. --secret-file names the 32 bytes that were \
                 written into that slot",
                secret.map(|secret| secret.slot.to_string()).unwrap_or_default()
            )))
        }
        Err(cause) if cause.has_status(Status::EXECUTION_ERROR) => {
            return Err(refused(match (&secret, slot) {
                (Some(secret), _) => format!(
                    "{cause}: the rules of slot {} do not permit its secret to authorise this (`atecc608 info` lists \
                     them)",
                    secret.slot
                ),
                (None, Some(slot)) => {
                    format!("{cause}: this chip clears the latch only with the secret of slot {slot} (--secret-file)")
                }
                (None, None) => {
                    format!("{cause}: this chip does not clear the latch; a loss of power does (`atecc608 latch show`)")
                }
            }))
        }
        Err(cause) => return Err(Error::Chip { place, cause }),
    }
    let wanted = if set { Latch::Set } else { Latch::Clear };
    match target.converse(|awake| awake.latch())? {
        now if now == wanted => Ok(()),
        now => Err(refused(format!("the command succeeded, but the latch is {}", LatchState::from(now).text()))),
    }
}

fn is_set_by_secure_boot(zone: &ConfigZone) -> bool {
    let boot = zone.secure_boot();
    boot.storage() != SecureBootStorage::Off && boot.sets_latch()
}

fn report(zone: &ConfigZone, latch: Latch) -> Report {
    Report {
        serial_number: zone.serial_number().to_string(),
        latch: latch.into(),
        enabled: zone.latch_authority().is_some(),
        authorising_slot: zone.latch_authority().map(Slot::number),
        set_by_secure_boot: is_set_by_secure_boot(zone),
        slots: zone.slots_behind_latch().map(Slot::number).collect(),
    }
}

fn text(report: &Report) -> String {
    let numbers: Vec<String> = report.slots.iter().map(u8::to_string).collect();
    let behind = match numbers.as_slice() {
        [] => "none: no key of this chip depends on the latch".to_owned(),
        numbers => format!("{}: they work only while the latch is set", numbers.join(", ")),
    };
    let set_by = match (report.authorising_slot, report.set_by_secure_boot) {
        (Some(slot), false) => format!("`atecc608 latch set` with the secret of slot {slot}"),
        (Some(slot), true) => {
            format!("`atecc608 latch set` with the secret of slot {slot}, or a successful secure boot")
        }
        (None, true) => "a successful secure boot; the configuration enables no secret".to_owned(),
        (None, false) => "nothing: the latch is not enabled in this chip's configuration".to_owned(),
    };
    format!(
        "latch   {}\nset by  {set_by}\nslots   {behind}\n\nThe latch survives sleep. After a loss of power it is not set.\n",
        report.latch.text()
    )
}
