// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 lock config`.

use clap::Args;
use serde::Serialize;

use super::{held_keys, next_command, stopped, Consent, Outcome, UNCERTAIN};
use crate::chip::config::file::{FileFormat, Source};
use crate::chip::config::findings::{self, finding, Findings};
use crate::chip::config::{as_written_to, check, diff};
use crate::error::{Error, Result};
use crate::output::check::{Check, Verdict};
use crate::output::{note, Output};
use crate::target::Target;
use atecc608_contents::words;
use atecc608_token::profile;
use atecc608_wire::config_zone::offset;
use atecc608_wire::{ConfigZone, Slot};

/// Arguments of `lock config`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only if the chip's configuration matches this file: any form of `config get`, or profile:NAME
    #[arg(long, value_name = "FILE")]
    expect: Option<String>,
    /// How that file is written; told from its name or contents otherwise
    #[arg(long, value_enum, requires = "expect")]
    format: Option<FileFormat>,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Serialize)]
struct Report {
    result: Outcome,
    serial_number: String,
    place: String,
    /// What becomes permanent, one line for each slot.
    permanent: Vec<String>,
    /// The next command, once the configuration is locked and while the data zone is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(flatten)]
    findings: Findings,
}

pub(super) fn run(target: &mut Target, zone: &ConfigZone, arguments: &Arguments) -> Result<Output> {
    expected(target, zone, arguments)?;
    let mut findings = check::findings(zone);
    findings.splice(0..0, half_a_profile(zone));
    let result = if zone.config_locked() {
        Outcome::AlreadyLocked
    } else if arguments.consent.given(target, zone, &findings)? {
        let step = "locking the configuration permanently";
        target.chip.permanently_lock_config(zone).map_err(|cause| stopped(step, UNCERTAIN, cause))?;
        if !target.read_config_locked()?.config_locked() {
            return Err(Error::Refused(format!("{}: the chip reports that it is not locked", target.place())));
        }
        Outcome::Locked
    } else {
        Outcome::WouldLock
    };
    let mut permanent: Vec<String> =
        Slot::all().map(|slot| format!("slot {slot:>2}  {}", check::explanation(zone, slot))).collect();
    permanent.push(format!("chip     {}", words::chip_options(zone.chip_options()).join("; ")));
    permanent.push(format!("address  {:#04x}", zone.i2c_address()));
    let next = match result {
        Outcome::WouldLock => None,
        // From here on the lock must be reported even if something fails.
        _ => next_step(target).unwrap_or_else(|error| {
            note(&format!("{error}; the command that comes next is not known for that"));
            None
        }),
    };
    let how = arguments.consent.wanted(target, zone, &findings);
    let report = Report {
        result,
        serial_number: zone.serial_number().to_string(),
        place: target.place(),
        permanent,
        next,
        findings: findings.into(),
    };
    Output::new(text(&report, zone, &how), &report)
}

/// Returns the command after the lock; `None` if the data zone is locked, too.
fn next_step(target: &mut Target) -> Result<Option<String>> {
    let zone = target.read_config_locked()?;
    if zone.data_locked() {
        return Ok(None);
    }
    let keys = held_keys(target, &zone)?;
    Ok(Some(next_command(&zone, &keys)))
}

/// A chip with a profile's slots and other settings can't be finished by `provision`, so its secrets would never be
/// written.
fn half_a_profile(zone: &ConfigZone) -> Option<Check> {
    let profile = profile::matching(zone).filter(|_| !zone.config_locked())?;
    let mut locked = zone.clone();
    locked.as_bytes_mut()[offset::LOCK_CONFIG] = 0;
    let wanted = as_written_to(&locked, &profile.apply(&locked));
    let changes = diff::changes(&locked, &wanted);
    let others = changes.iter().filter(|change| !change.is_by_use()).map(|change| change.field.as_str());
    let others: Vec<&str> = others.filter(|field| *field != "i2c_address").collect();
    profile::finished_by_provision(&locked).is_none().then(|| {
        let text = format!(
            "these are the slots of the profile {name}, but not its {}: `provision {name}` does not finish such a chip, and \
             nothing else gives it the secrets that the profile needs",
            others.join(", "),
            name = profile.name
        );
        let remedy = Some(format!("atecc608 config set profile:{}", profile.name));
        Check { remedy, ..finding(Verdict::Failed, None, text) }
    })
}

/// # Errors
/// [`Error::Refused`] with the differences if the chip's configuration is not the expected one.
fn expected(target: &Target, zone: &ConfigZone, arguments: &Arguments) -> Result<()> {
    let Some(file) = &arguments.expect else { return Ok(()) };
    let source = Source::open(file, arguments.format)?;
    let changes = diff::changes(zone, &as_written_to(zone, &source.zone));
    if changes.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{}: nothing was done: the configuration of the chip {} differs from {file} (- the chip, + the file):\n{}",
        target.place(),
        zone.serial_number(),
        diff::text(&changes).trim_end()
    )))
}

fn text(report: &Report, zone: &ConfigZone, how: &str) -> String {
    let chip = format!("{} ({})", report.serial_number, report.place);
    let mut text = match report.result {
        Outcome::AlreadyLocked => return format!("{chip}: the configuration is locked already\n{}", next_line(report)),
        Outcome::Locked => format!("{chip}: the configuration is locked\n\n"),
        Outcome::WouldLock => format!("{chip}: what `lock config` would make permanent\n\n"),
    };
    report.permanent.iter().for_each(|line| text += &format!("   {line}\n"));
    text += &format!("\n{}", findings::text(report.findings.checks()));
    if report.result == Outcome::Locked {
        text += "\nThe data zone is not locked yet: generate keys and write contents now.\n";
        return text + &next_line(report);
    }
    if let Some(profile) = profile::matching(zone) {
        let name = &profile.name;
        text += &format!(
            "\nThis is the profile {name}: `atecc608 provision {name}` locks it, fills the slots, and locks them.\n"
        );
    }
    text + &format!(
        "\nNothing was changed. To do it: atecc608 lock config {how}\nNo command, reset or tool can undo it.\n"
    )
}

fn next_line(report: &Report) -> String {
    report.next.as_ref().map(|next| format!("Next: {next}\n")).unwrap_or_default()
}
