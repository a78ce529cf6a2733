// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 lock data`: fills the slots and the OTP zone, and locks them.
//!
//! Before that lock the contents can't be read, so the tool writes everything itself, as `provision` does: then the
//! chip can compare all of it (the CRC of the Lock command) before it locks.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::contents::{Given, Source};
use super::{generate_in, held_keys, next_command, stopped, Consent, Keys, Outcome, NOTHING_LOCKED, UNCERTAIN};
use crate::chip::config::check;
use crate::chip::config::findings::{self, finding, Findings};
use crate::error::{Error, Result};
use crate::output::check::{Check, Verdict};
use crate::output::{note, Output};
use crate::target::Target;
use atecc608::presence::{Held, Presence};
use atecc608_contents::words;
use atecc608_token::layout::{gets_key_now_or_never, is_permanent};
use atecc608_token::profile;
use atecc608_wire::{ConfigZone, Slot};

/// Arguments of `lock data`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What the slots and OTP get: TOML with otp = "HEX", and [[slot]] tables with slot = N, value = "HEX"
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    contents: Option<PathBuf>,
    /// Write nothing: lock the contents that another tool has written
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct Report {
    result: Outcome,
    serial_number: String,
    place: String,
    slots: Vec<SlotReport>,
    /// The command that must come first: a slot must get a key now or never.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(flatten)]
    findings: Findings,
}

#[derive(Serialize)]
struct SlotReport {
    slot: u8,
    kind: &'static str,
    gets: &'static str,
    rules: Vec<String>,
}

pub(super) fn run(target: &mut Target, zone: &ConfigZone, arguments: &Arguments) -> Result<Output> {
    ensure_lockable(target, zone)?;
    let given = match &arguments.contents {
        Some(path) => Given::read(path, zone)?,
        None => Given::default(),
    };
    let (serial_number, place) = (zone.serial_number().to_string(), target.place());
    if zone.data_locked() {
        let text = format!("{serial_number} ({place}): the data zone is locked already\n");
        let (result, findings) = (Outcome::AlreadyLocked, Vec::new().into());
        return Output::new(text, &Report { result, serial_number, place, slots: Vec::new(), next: None, findings });
    }
    let keys = held_keys(target, zone)?;
    let findings = to_consider(zone, &keys);
    let slots = Slot::all().map(|slot| slot_report(zone, slot, &given, arguments.keep, &keys)).collect();
    let result = if arguments.consent.given(target, zone, &findings)? {
        lock(target, zone, &given, arguments.keep)?;
        Outcome::Locked
    } else {
        Outcome::WouldLock
    };
    let how = arguments.consent.wanted(target, zone, &findings);
    let lacks_a_key = findings.iter().any(|finding| finding.remedy.is_some());
    let next = (result == Outcome::WouldLock && lacks_a_key).then(|| next_command(zone, &keys));
    let report = Report { result, serial_number, place, slots, next, findings: findings.into() };
    Output::new(text(&report, arguments, &how), &report)
}

fn ensure_lockable(target: &Target, zone: &ConfigZone) -> Result<()> {
    let (place, serial) = (target.place(), zone.serial_number());
    if !zone.config_locked() {
        return Err(Error::Refused(format!(
            "{place}: the configuration of the chip {serial} is not locked: lock it first with `atecc608 lock config`"
        )));
    }
    match profile::finished_by_provision(zone) {
        Some(profile) => Err(Error::Refused(format!(
            "{place}: the chip {serial} is half provisioned with the profile {}: `{}` fills its slots and locks them",
            profile.name,
            profile::next_command(zone)
        ))),
        None => Ok(()),
    }
}

/// Returns the findings about what the lock makes permanent; that the data are not locked yet is not one.
fn to_consider(zone: &ConfigZone, keys: &Keys) -> Vec<Check> {
    let mut locked = zone.clone();
    locked.as_bytes_mut()[atecc608_wire::config_zone::offset::LOCK_VALUE] = 0;
    let (mut empty, mut findings) = (Vec::new(), check::findings(&locked));
    for slot in Slot::all().filter(|slot| zone.key_config(*slot).is_p256_private() && is_permanent(zone, *slot)) {
        let (text, remedy) = match keys[slot.index()] {
            Presence { held: Held::Key, .. } => continue,
            Presence { held: Held::Nothing, refused: None } => (
                "holds no key, and after the data lock none can be generated or imported: the slot would be useless",
                gets_key_now_or_never(zone, slot).then(|| generate_in(slot)),
            ),
            Presence { .. } => (
                "the chip refuses to report whether it holds a key, and after the data lock none can be generated or \
                 imported: without one the slot would be useless",
                None,
            ),
        };
        empty.push(Check { remedy, ..finding(Verdict::Failed, Some(slot), text) });
    }
    empty.append(&mut findings);
    empty
}

fn slot_report(zone: &ConfigZone, slot: Slot, given: &Given, keep: bool, keys: &Keys) -> SlotReport {
    let gets = match given.source(zone, slot) {
        Source::PrivateKey => match keys[slot.index()].held {
            Held::Key => "nothing: it holds a key, which may have come from outside",
            Held::Nothing => "nothing: it holds no key",
            Held::Unknown => "nothing: the chip refuses to report whether it holds a key",
        },
        _ if keep => "nothing: its contents stay",
        Source::File => "the bytes of the file",
        Source::Random => "random bytes, kept nowhere",
        Source::Zeros => "zeros",
        Source::HighestLimit => "the highest limit for keys with limited use, then zeros",
    };
    SlotReport { slot: slot.number(), kind: words::kind(zone, slot), gets, rules: words::rules(zone, slot) }
}

fn lock(target: &mut Target, zone: &ConfigZone, given: &Given, keep: bool) -> Result<()> {
    let step = "locking the data zone permanently";
    if keep {
        note(step);
        target.chip.permanently_lock_data_unseen().map_err(|cause| stopped(step, UNCERTAIN, cause))?;
    } else {
        let contents = given.complete(target, zone)?;
        for (slot, bytes) in Slot::all().zip(&contents.slots) {
            let Some(bytes) = bytes else { continue };
            let step = format!("writing slot {slot}");
            note(&step);
            target.chip.write_slot(slot, bytes).map_err(|cause| stopped(&step, NOTHING_LOCKED, cause))?;
        }
        note("writing the OTP zone");
        target.chip.write_otp(&contents.otp).map_err(|cause| stopped("writing the OTP zone", NOTHING_LOCKED, cause))?;
        note(step);
        target.chip.permanently_lock_data(&contents).map_err(|cause| stopped(step, UNCERTAIN, cause))?;
    }
    if target.read_config_locked()?.data_locked() {
        return Ok(());
    }
    Err(Error::Refused(format!("{}: the chip reports that it is not locked", target.place())))
}

fn text(report: &Report, arguments: &Arguments, how: &str) -> String {
    let chip = format!("{} ({})", report.serial_number, report.place);
    if report.result == Outcome::Locked {
        return format!("{chip}: the data and OTP zones are locked; the slots' rules apply from now on\n");
    }
    let mut text = format!("{chip}: what `lock data` would write, and make permanent\n\n");
    for slot in &report.slots {
        text += &format!(
            "   slot {:>2}  {:<18}  gets {}; then: {}\n",
            slot.slot,
            slot.kind,
            slot.gets,
            slot.rules.join(", ")
        );
    }
    let otp = if arguments.keep { "stays as it is" } else { "zeros, or the bytes of the file" };
    text +=
        &format!("   OTP      {otp}; nothing can change it afterwards\n\n{}", findings::text(report.findings.checks()));
    let contents = match &arguments.contents {
        Some(path) => format!("--contents {} ", path.display()),
        None if arguments.keep => "--keep ".to_owned(),
        None => String::new(),
    };
    let command = format!("atecc608 lock data {contents}{how}");
    let next = match &report.next {
        Some(next) => format!("Next: {next}\nTo leave that slot empty permanently: {command}"),
        None => format!("To do it: {command}"),
    };
    text + &format!("\nNothing was changed. {next}\nNo command, reset or tool can undo it.\n")
}
