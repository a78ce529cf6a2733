// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 address set`. Byte 16 is written while the configuration is not locked; afterwards UpdateExtra writes byte
//! 85, once.
//!
//! A new address takes effect when the chip sleeps, at the end of the conversation that wrote it. So an interruption
//! may leave it awake at the old address, with the new one written: the next command puts it to sleep there, and then
//! does not find it. Therefore a second run that finds no chip at the old address tries the new one.

use clap::Args;
use serde::Serialize;

use super::{counts_user_extra_add, reason, Change as How, REMEDY};
use crate::chip::config::diff::{self, Change};
use crate::error::{Error, Result};
use crate::input::values::parse_address;
use crate::output::{warn, Output};
use crate::target::{Selection, Target};
use atecc608::i2c::probe::{Answer, USUAL_ADDRESSES};
use atecc608_token::bus::Bus;
use atecc608_token::config::TokenConfig;
use atecc608_wire::config_zone::offset;
use atecc608_wire::ConfigZone;

/// Arguments of `address set`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The new address in 7 bits, as i2cdetect prints it, with 0x: 0x08 to 0x77
    #[arg(value_name = "ADDRESS", value_parser = parse_address)]
    address: u8,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it on a chip whose configuration is locked: nothing can ever undo it. Without this option it is only shown there
    #[arg(long, conflicts_with = "dry_run")]
    lock_forever: bool,
    /// Has no effect on a chip whose configuration is not locked: earlier versions only showed the change without it
    #[arg(long, hide = true, conflicts_with = "dry_run")]
    write: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    WouldSet,
    Set,
    AlreadySet,
}

#[derive(Serialize)]
struct Report {
    result: Outcome,
    serial_number: String,
    place: String,
    new_address: String,
    /// Whether it is permanent.
    permanent: bool,
    changes: Vec<Change>,
    /// The line for the configuration file; `None` if the file has it already.
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<Line>,
    warnings: Vec<String>,
}

/// A line for the configuration file.
#[derive(Serialize)]
struct Line {
    file: String,
    /// The bus of the `[[token]]` that it belongs to.
    bus: String,
    line: String,
}

/// Changes the chip's address, or shows what that would change.
///
/// # Errors
/// [`Error::Refused`] , without a change, if the address is in use, or the chip's can't be changed; [`Error::Stopped`]
/// if it is not known whether it changed; the [chip errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let new = arguments.address;
    let mut target = selection.target()?;
    ensure_free_in_configuration(&target, new)?;
    // One turn on the bus, from showing to verifying.
    let guard = target.lock()?;
    // First, because the probe wakes all chips of the bus: the conversation then puts this one to sleep.
    let there = if new == target.token.address { Some(Answer::Nothing) } else { ask(&target, new)? };
    let report = match target.read_config_locked() {
        Ok(zone) => change(&mut target, &zone, there, arguments)?,
        Err(error) if error.is_silence() && new != target.token.address => moved_before(&target, new, there, error)?,
        Err(error) => return Err(error),
    };
    drop(guard);
    for warning in &report.warnings {
        warn(warning);
    }
    Output::new(text(&report, &target), &report)
}

/// # Errors
/// [`Error::Refused`] if the configuration has another token at that address of the bus.
fn ensure_free_in_configuration(target: &Target, new: u8) -> Result<()> {
    let own = &target.token;
    let there = |token: &&TokenConfig| token.address == new && token.buses().any(|bus| bus.is_same(&own.bus));
    match target.config.tokens.iter().filter(|token| token.slot != own.slot).find(there) {
        None => Ok(()),
        Some(other) => Err(Error::Refused(format!(
            "{}: the configuration has another [[token]] at {new:#04x} on this bus (PKCS#11 slot {}): nothing was changed. \
             Choose another address, or correct {}",
            target.place(),
            other.slot,
            target.config_file()
        ))),
    }
}

/// Probes an address of the chip's bus with a wake pulse and a read, like `scan`; returns `None` if a kernel driver has
/// the address. The caller holds the bus lock.
fn ask(target: &Target, address: u8) -> Result<Option<Answer>> {
    let mut bus = Bus::open_to_scan(&target.token.bus, &[address], &target.config.state_dir)
        .map_err(|cause| Error::Open { place: target.place(), cause })?;
    Ok(if bus.can_reach(address) { bus.ask(&[address]).pop().map(|(_, answer)| answer) } else { None })
}

/// The configured chip does not respond: an earlier run may have been interrupted after the change.
///
/// # Errors
/// `silence`, if no chip responds at the new address either.
fn moved_before(target: &Target, new: u8, there: Option<Answer>, silence: Error) -> Result<Report> {
    // By then a chip that was left awake at its old address has been put to sleep there, and so is at the new one.
    if there != Some(Answer::Woken) && ask(target, new)? != Some(Answer::Woken) {
        return Err(silence);
    }
    let mut moved = target.at(new)?;
    let zone = moved.read_config_locked()?;
    moved.ensure_608()?;
    let old = target.token.address;
    Ok(Report {
        warnings: vec![format!(
            "nothing responds at {old:#04x} any more, and the chip {} responds at {new:#04x}: compare its serial number if \
             another chip than the one that was at {old:#04x} may be there",
            zone.serial_number()
        )],
        ..Report::new(Outcome::AlreadySet, target, &zone, &zone, new)
    })
}

/// Changes the address of a chip that responds at the configured one, or shows the change.
fn change(target: &mut Target, zone: &ConfigZone, there: Option<Answer>, arguments: &Arguments) -> Result<Report> {
    let new = arguments.address;
    target.ensure_608_to_change(zone)?;
    let refused = |problem: String| {
        Err(Error::Refused(format!("{}: the chip {}: {problem}", target.place(), zone.serial_number())))
    };
    if zone.i2c_address() == new {
        return Ok(Report::new(Outcome::AlreadySet, target, zone, zone, new));
    }
    let how = How::of(zone);
    if how == How::Never {
        return refused(format!(
            "its address stays {:#04x}, permanently: {}. {REMEDY}",
            zone.i2c_address(),
            reason(zone)
        ));
    }
    let taken = match there {
        Some(Answer::Nothing) => None,
        Some(Answer::Woken | Answer::SelfTestFailed) => Some("another chip of the family responds at"),
        Some(Answer::Other(_)) => Some("another device responds at"),
        Some(Answer::Failed(cause)) => return refused(format!("cannot find out what is at {new:#04x}: {cause}")),
        None => Some("a kernel driver has the address"),
    };
    if let Some(taken) = taken {
        return refused(format!(
            "{taken} {new:#04x} on this bus: nothing was changed. Choose another address; `atecc608 scan --all-addresses` lists \
             those in use"
        ));
    }
    let wanted = wanted(zone, how, new);
    let permanent = how != How::UntilLocked;
    let problem = match permanent {
        false if arguments.lock_forever => Some("is not locked, so this is not permanent: leave --lock-forever out"),
        true if arguments.write && !arguments.lock_forever => {
            Some("is locked, so this would be permanent: add --lock-forever")
        }
        _ => None,
    };
    if let Some(problem) = problem {
        return refused(format!("nothing was changed: its configuration {problem}"));
    }
    let result = if arguments.lock_forever || !(permanent || arguments.dry_run) {
        write(target, zone, &wanted, how)?;
        Outcome::Set
    } else {
        Outcome::WouldSet
    };
    let warnings = looks_like_8_bits(new).into_iter().collect();
    Ok(Report { warnings, ..Report::new(result, target, zone, &wanted, new) })
}

/// The warning about an address that is also the 8-bit form of one that chips are sold with.
fn looks_like_8_bits(address: u8) -> Option<String> {
    let seven = address >> 1;
    (seven << 1 == address && USUAL_ADDRESSES.contains(&seven)).then(|| {
        format!(
            "{address:#04x} is read as a 7-bit address. If it comes from a document with 8-bit addresses, use \
             {seven:#04x}"
        )
    })
}

/// The configuration with the new address in it.
fn wanted(zone: &ConfigZone, how: How, new: u8) -> ConfigZone {
    let mut wanted = zone.clone();
    let bytes = wanted.as_bytes_mut();
    match how {
        How::UntilLocked => {
            bytes[offset::I2C_ADDRESS] = new << 1;
            // Otherwise a byte 85 that is already written would remain the address. It is in the same word: one write.
            if counts_user_extra_add(zone) && bytes[offset::USER_EXTRA_ADD] != 0 {
                bytes[offset::CHIP_MODE] &= !1;
            }
        }
        How::Once | How::Never => bytes[offset::USER_EXTRA_ADD] = new << 1,
    }
    wanted
}

/// Writes the address, and reads the serial number at the new one.
fn write(target: &mut Target, zone: &ConfigZone, wanted: &ConfigZone, how: How) -> Result<()> {
    let written = match how {
        How::UntilLocked => target.chip.write_config(wanted).map(drop),
        How::Once | How::Never => {
            target.chip.permanently_write_user_extra_add(wanted.as_bytes()[offset::USER_EXTRA_ADD])
        }
    };
    let (old, new) = (target.token.address, wanted.i2c_address());
    let found = find(target, zone, new)?;
    let stopped = |cause, standing| Error::Stopped { step: "changing the address".to_owned(), cause, standing };
    match (found, written) {
        (Some(address), _) if address == new => Ok(()),
        (Some(_), Err(cause)) if cause.refusal().is_some() => {
            let standing = format!("The chip does not permit it, and stays at {old:#04x}. {REMEDY}");
            Err(stopped(cause, standing))
        }
        (Some(_), Err(cause)) => {
            Err(stopped(cause, format!("The chip still responds at {old:#04x}: run the same command again")))
        }
        (Some(_), Ok(())) => Err(Error::Refused(format!(
            "{}: {new:#04x} is written, and the chip still responds at {old:#04x}: power-cycle it, then `atecc608 scan \
             --all-addresses`",
            target.place()
        ))),
        (None, written) => Err(Error::Refused(format!(
            "{}: the chip responds neither at {old:#04x} nor at {new:#04x}{}: power-cycle it, then run the same \
             command again, or `atecc608 scan --all-addresses`",
            target.place(),
            written.err().map(|cause| format!(" ({cause})")).unwrap_or_default()
        ))),
    }
}

/// Returns the address at which this chip responds: the new one, the old one, or `None`.
///
/// # Errors
/// The [chip errors](crate::Error#chip-errors), except that no chip responds; [`Error::Refused`] if another chip is at
/// one of the addresses.
fn find(target: &mut Target, zone: &ConfigZone, new: u8) -> Result<Option<u8>> {
    let old = target.token.address;
    // A chip that was left awake is put to sleep at the old address, and then is at the new one.
    for address in [new, old, new] {
        match target.at(address).and_then(|mut chip| chip.read_config_locked()) {
            Ok(there) if there.serial_number() == zone.serial_number() => return Ok(Some(address)),
            Ok(other) => {
                return Err(Error::Refused(format!(
                    "{}: another chip responds at {address:#04x}: {}. `atecc608 scan --all-addresses` lists them",
                    target.place(),
                    other.serial_number()
                )))
            }
            Err(error) if error.is_silence() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl Report {
    fn new(result: Outcome, target: &Target, zone: &ConfigZone, wanted: &ConfigZone, new: u8) -> Self {
        let configuration = (new != target.token.address).then(|| Line {
            file: target.config_file(),
            bus: target.token.bus.to_string(),
            line: format!("address = {new:#04x}"),
        });
        Self {
            result,
            serial_number: zone.serial_number().to_string(),
            place: target.place(),
            new_address: format!("{new:#04x}"),
            permanent: How::of(zone) != How::UntilLocked,
            changes: diff::changes(zone, wanted),
            configuration,
            warnings: Vec::new(),
        }
    }
}

fn text(report: &Report, target: &Target) -> String {
    let Report { serial_number, place, new_address, .. } = report;
    let chip = format!("{serial_number} ({place})");
    let mut text = match report.result {
        Outcome::AlreadySet => format!("{chip}: the chip has the address {new_address} already\n"),
        Outcome::Set => format!("{chip}: the chip responds at {new_address}, and its serial number is the same\n"),
        Outcome::WouldSet => {
            format!("{chip}: what would change\n\n{}", diff::text(&report.changes))
        }
    };
    if let (Some(Line { file, bus, line }), true) = (&report.configuration, report.result != Outcome::WouldSet) {
        let old = target.token.address;
        text += &format!(
            "\nModule and tool look for it at {old:#04x} until the configuration names the new address. In {file} write\n\n   \
             {line}\n\ninto the [[token]] with the bus {bus}, in place of its `address` if it has one.\n"
        );
    }
    text += &match (report.result, report.permanent) {
        (Outcome::WouldSet, false) => format!(
            "\nThe chip uses the new address after its next sleep, which this command triggers. It can be changed \
             again until the configuration is locked.\nNothing was changed. To do it: atecc608 address set \
             {new_address}\n"
        ),
        (Outcome::WouldSet, true) => format!(
            "\nThe chip uses the new address after its next sleep, which this command triggers. UserExtraAdd can be \
             written once: {new_address} is then its address permanently.\nNothing was changed. To do it: atecc608 \
             address set {new_address} --lock-forever\nNo command, reset or tool can undo it.\n"
        ),
        (Outcome::Set, false) => "\nIt can be changed again until the configuration is locked.\n".to_owned(),
        (Outcome::Set, true) => "\nThis is its address permanently.\n".to_owned(),
        (Outcome::AlreadySet, _) => String::new(),
    };
    text
}
