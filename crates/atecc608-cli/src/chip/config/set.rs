// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 config set`: writes a configuration from a file to a chip that is not locked. Locks nothing.

use clap::Args;
use serde::Serialize;

use super::check;
use super::diff::{self, Change};
use super::file::{Source, NOT_WRITTEN_NOTE};
use super::findings::{self, Findings};
use super::{as_written_to, FileArguments};
use crate::error::{Error, Result};
use crate::output::{note, Output};
use crate::target::{Selection, Target};
use atecc608_wire::config_zone::offset;
use atecc608_wire::ConfigZone;

/// Arguments of `config set`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration: a file, - for standard input, or profile:NAME
    #[arg(value_name = "FILE")]
    file: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Has no effect: earlier versions only showed the changes without it
    #[arg(long, hide = true, conflicts_with = "dry_run")]
    write: bool,
    #[command(flatten)]
    how: FileArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    WouldWrite,
    Written,
    AlreadyWritten,
}

#[derive(Serialize)]
struct Report {
    result: Outcome,
    serial_number: String,
    place: String,
    changes: Vec<Change>,
    #[serde(flatten)]
    findings: Findings,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_address: Option<String>,
}

/// Writes the configuration; with `--dry-run` shows what that would change.
///
/// # Errors
/// [`Error::Refused`] if the chip's configuration is locked, it is not an ATECC608, or the file can't be read; the
/// [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let source = Source::open(&arguments.file, arguments.how.format)?;
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let now = target.read_config_locked()?;
    let place = target.place();
    target.ensure_608_to_change(&now)?;
    ensure_unlocked(&now, &place)?;
    let wanted = as_written_to(&now, &source.zone);
    let changes = diff::changes(&now, &wanted);
    let result = match (changes.is_empty(), arguments.dry_run) {
        (true, _) => Outcome::AlreadyWritten,
        (false, true) => Outcome::WouldWrite,
        (false, false) => {
            write(&mut target, &now, &wanted)?;
            Outcome::Written
        }
    };
    drop(guard);
    if source.named && source.zone.serial_number() != now.serial_number() {
        note(&format!("{} is of the chip {}: {NOT_WRITTEN_NOTE}", source.name, source.zone.serial_number()));
    }
    let new_address = (wanted.i2c_address() != target.token.address).then(|| format!("{:#04x}", wanted.i2c_address()));
    let report = Report {
        result,
        serial_number: now.serial_number().to_string(),
        place,
        changes,
        findings: check::findings(&wanted).into(),
        new_address,
    };
    Output::new(text(&report, arguments), &report)
}

fn ensure_unlocked(zone: &ConfigZone, place: &str) -> Result<()> {
    let serial = zone.serial_number();
    if zone.config_locked() {
        return Err(Error::Refused(format!(
            "{place}: the configuration of the chip {serial} is locked, and can't be changed. `atecc608 config diff` \
             prints the differences"
        )));
    }
    Ok(())
}

/// Writes the word with the I2C address last, so that an interrupted chip keeps its address.
fn write(target: &mut Target, now: &ConfigZone, wanted: &ConfigZone) -> Result<()> {
    let first_word = offset::I2C_ADDRESS..offset::I2C_ADDRESS + 4;
    let mut but_address = wanted.clone();
    but_address.as_bytes_mut()[first_word.clone()].copy_from_slice(&now.as_bytes()[first_word]);
    for zone in [&but_address, wanted] {
        target.chip.write_config(zone).map_err(|cause| Error::Stopped {
            step: "writing the configuration".to_owned(),
            cause,
            standing:
                "Nothing is locked: run the same command again. If the chip no longer responds, it may be at its new \
                 address already: `atecc608 scan`"
                    .to_owned(),
        })?;
    }
    Ok(())
}

fn text(report: &Report, arguments: &Arguments) -> String {
    let chip = format!("{} ({})", report.serial_number, report.place);
    let mut text = match report.result {
        Outcome::AlreadyWritten => return format!("{chip}: the configuration already matches {}\n", arguments.file),
        Outcome::Written => format!("{chip}: written, and read back\n\n"),
        Outcome::WouldWrite => format!("{chip}: what would change\n\n"),
    };
    text += &diff::text(&report.changes);
    text.push('\n');
    text += &findings::text(report.findings.checks());
    if let Some(address) = &report.new_address {
        text += &format!(
            "\nFrom then on the chip responds at {address}: write `address = {address}` into the configuration.\n"
        );
    }
    text += match report.result {
        Outcome::WouldWrite => "\nNothing was changed. To write it, leave --dry-run out. That locks nothing.\n",
        Outcome::Written | Outcome::AlreadyWritten => {
            "\nNothing is locked. `atecc608 lock config` shows what the next step makes permanent.\n"
        }
    };
    text
}
