// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 init`: finds the chip and writes the configuration.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::scan::{self, FoundChip};
use super::stage::Stage;
use crate::error::{Error, Result};
use crate::files::less_umask;
use crate::input::values::parse_address;
use crate::output::{visible, Output};
use crate::target::{Selection, Target};
use atecc608_token::config::{self, BusLocation, Config, TokenConfig, DEFAULT_ADDRESS};
use atecc608_token::{process, profile};
use atecc608_wire::ConfigZone;

/// The proposed label.
const LABEL: &str = "gateway";

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Use the chip on this bus (/dev/i2c-N) instead of searching for one
    #[arg(long, value_name = "BUS", conflicts_with = "simulated")]
    bus: Option<PathBuf>,
    /// Use the chip at this 7-bit address: 0x08 to 0x77
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, conflicts_with = "simulated")]
    address: Option<u8>,
    /// Use a simulated chip, which is kept in this file; a new file becomes a blank chip
    #[arg(long, value_name = "FILE")]
    simulated: Option<PathBuf>,
    /// The token's label
    #[arg(long, value_name = "LABEL", value_parser = label)]
    label: Option<String>,
    /// Keep labels, ids and certificates in this folder instead of /var/lib/atecc608-pkcs11
    #[arg(long, value_name = "FOLDER", value_parser = folder)]
    state_dir: Option<String>,
    /// Replace a configuration that has other chips; the old file is kept beside it, with the ending .old
    #[arg(long)]
    replace: bool,
}

/// Whether the configuration was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Wrote {
    Written,
    Unchanged,
}

#[derive(Serialize)]
struct Report {
    file: String,
    result: Wrote,
    bus: String,
    address: String,
    label: String,
    serial_number: String,
    stage: Stage,
    next: String,
}

/// Finds the chip, writes the configuration, and reads the chip with it.
///
/// # Errors
/// [`Error::Refused`] if no chip is found, several are and none was named, the configuration has other chips, or the file can't be
/// written; [`Error::Open`], [`Error::Lock`], [`Error::Chip`] if the chip that was named can't be read.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let file = file(selection);
    let before = existing(&file)?;
    let (bus, address) = choose(arguments, before.as_ref())?;
    let known = before.as_ref().and_then(|config| token_of(config, &bus, address));
    if let (Some(config), Some(token), false) = (&before, known, arguments.replace) {
        let other_label = arguments.label.is_some() && arguments.label != token.label;
        let other_folder = arguments.state_dir.as_ref().is_some_and(|folder| config.state_dir != Path::new(folder));
        if other_label || other_folder {
            return Err(Error::Refused(format!(
                "{} has this chip already, with another label or state folder: nothing was written. Edit the file, or write a new one \
                 with --replace",
                file.display()
            )));
        }
        return report(&file, Wrote::Unchanged, Target::open(config, token)?);
    }
    if before.as_ref().is_some_and(|config| !config.tokens.is_empty()) && !arguments.replace {
        return Err(Error::Refused(format!(
            "{} has other chips than {bus} {address:#04x}: nothing was written. Add a [[token]] with `bus = \"{bus}\"` to it, or write \
             a new one with --replace",
            file.display()
        )));
    }
    let label = match &arguments.label {
        Some(label) => label.clone(),
        None => ask("Label of the token", LABEL)?,
    };
    let label = self::label(&label).map_err(Error::Refused)?;
    let text = text(&bus, address, &label, arguments.state_dir.as_deref());
    let config = Config::parse(&file, &text)?;
    let target = Target::open(&config, &config.tokens[0])?;
    write(&file, &text, before.is_some())?;
    report(&file, Wrote::Written, target)
}

/// Returns the configuration's token for this chip.
fn token_of<'c>(config: &'c Config, bus: &BusLocation, address: u8) -> Option<&'c TokenConfig> {
    config.tokens.iter().find(|token| token.buses().any(|known| known.is_same(bus)) && token.address == address)
}

/// Returns the configuration's path, as for every command.
fn file(selection: &Selection) -> PathBuf {
    let variable = std::env::var_os(config::CONF_VARIABLE).filter(|path| !path.is_empty() && !process::is_privileged());
    let named = selection.config.clone().or_else(|| variable.map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(config::DEFAULT_PATH))
}

/// Returns the existing configuration.
fn existing(file: &Path) -> Result<Option<Config>> {
    match atecc608_files::read_text(file, config::MAX_FILE) {
        Ok(text) => Ok(Some(Config::parse(file, &text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Refused(format!("{}: {error}", file.display()))),
    }
}

/// Returns the chip that is named, or the one that is found: of several the one in the configuration.
fn choose(arguments: &Arguments, before: Option<&Config>) -> Result<(BusLocation, u8)> {
    if let Some(file) = &arguments.simulated {
        let file = std::path::absolute(file).map_err(|error| Error::Refused(format!("{}: {error}", file.display())))?;
        let bus = BusLocation::parse(&format!("sim:{}", file.display())).map_err(Error::Refused)?;
        return Ok((bus, DEFAULT_ADDRESS));
    }
    let bus = arguments.bus.as_ref().map(|bus| BusLocation::parse(&bus.display().to_string()));
    let bus = bus.transpose().map_err(Error::Refused)?;
    if let (Some(bus), Some(address)) = (&bus, arguments.address) {
        return Ok((bus.clone(), address));
    }
    let mut found = scan::chips(bus.as_ref())?;
    found.retain(|chip| arguments.address.is_none_or(|address| address == chip.address));
    let chosen = match found.len() {
        0 => {
            return Err(Error::Refused(
                "no ATECC608 was found: `atecc608 scan` lists what is on each bus, and why a bus can't be used. Name bus and address \
                 (--bus /dev/i2c-1 --address 0x60), or use a simulated chip (--simulated FILE)"
                    .to_owned(),
            ))
        }
        1 => 0,
        _ => match found.iter().position(|chip| before.is_some_and(|config| token_of(config, &chip.bus, chip.address).is_some())) {
            Some(known) => known,
            None => which(&found)?,
        },
    };
    let chip = found.swap_remove(chosen);
    Ok((chip.bus, chip.address))
}

/// Asks which of several chips to use.
fn which(found: &[FoundChip]) -> Result<usize> {
    let lines: Vec<String> = found
        .iter()
        .enumerate()
        .map(|(at, chip)| format!("  {}  {} {:#04x}  {}", at + 1, chip.bus, chip.address, visible(&chip.detail)))
        .collect();
    if !std::io::stdin().is_terminal() {
        return Err(Error::Refused(format!(
            "several chips were found: name one with --bus and --address\n{}",
            lines.join("\n")
        )));
    }
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
    let answer = ask("Which chip", "1")?;
    match answer.parse::<usize>() {
        Ok(number) if (1..=found.len()).contains(&number) => Ok(number - 1),
        _ => Err(Error::Refused(format!("\"{}\" is not a number of the list: nothing was written", visible(&answer)))),
    }
}

/// Asks for a line; without a terminal, or if nothing is typed, returns the proposed one.
fn ask(what: &str, proposed: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Ok(proposed.to_owned());
    }
    let _ = write!(std::io::stderr(), "{what} [{proposed}]: ");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read {
        Ok(0) | Err(_) => Err(Error::Refused("nothing was written".to_owned())),
        Ok(_) if line.trim().is_empty() => Ok(proposed.to_owned()),
        Ok(_) => Ok(line.trim().to_owned()),
    }
}

/// A token's label.
fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 32 || text.contains(['"', '\\']) || text.chars().any(char::is_control) {
        return Err("a token's label has 1 to 32 bytes, and no quotes, backslashes or control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// An absolute folder that can be quoted in TOML.
fn folder(text: &str) -> Result<String, String> {
    let path = std::path::absolute(text).map_err(|error| error.to_string())?.display().to_string();
    if path.contains(['"', '\\']) || path.chars().any(char::is_control) {
        return Err("the path has quotes, backslashes or control characters".to_owned());
    }
    Ok(path)
}

fn text(bus: &BusLocation, address: u8, label: &str, state_dir: Option<&str>) -> String {
    let state_dir = state_dir.map(|path| format!("state_dir = \"{path}\"\n\n")).unwrap_or_default();
    let address = if address == DEFAULT_ADDRESS { String::new() } else { format!("address = {address:#04x}\n") };
    format!(
        "# Written by `atecc608 init`. atecc608-pkcs11(5) explains every key.\n\n{state_dir}[[token]]\nbus = \"{bus}\"\n{address}label = \
         \"{label}\"\n"
    )
}

fn write(file: &Path, text: &str, exists: bool) -> Result<()> {
    let failed = |error: std::io::Error| {
        let remedy = if error.kind() == std::io::ErrorKind::PermissionDenied { ": run it with sudo" } else { "" };
        Error::Refused(format!("{}: {error}{remedy}", file.display()))
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    if !exists {
        return atecc608_files::create_new(file, text.as_bytes(), less_umask(0o644)).map_err(failed);
    }
    let mut old = file.as_os_str().to_owned();
    old.push(".old");
    std::fs::copy(file, old).map_err(failed)?;
    atecc608_files::replace(file, text.as_bytes(), less_umask(0o644)).map_err(failed)
}

/// Reads the chip with the configuration, and reports the next step.
fn report(file: &Path, result: Wrote, mut target: Target) -> Result<Output> {
    let zone = target.read_config()?;
    target.ensure_608()?;
    let stage = Stage::of(&zone);
    let report = Report {
        file: file.display().to_string(),
        result,
        bus: target.token.bus.to_string(),
        address: format!("{:#04x}", target.token.address),
        label: target.token.label.clone().unwrap_or_else(|| crate::target::default_label(&zone)),
        serial_number: zone.serial_number().to_string(),
        stage,
        next: next(&zone, stage),
    };
    let what = if result == Wrote::Written { "written" } else { "has this chip already: unchanged" };
    let text = format!(
        "{}: {what}\n  bus      {} {}\n  label    {}\n  chip     {}, {stage}\nNext: {}\n",
        visible(&report.file),
        report.bus,
        report.address,
        visible(&report.label),
        report.serial_number,
        report.next
    );
    Output::new(text, &report)
}

fn next(zone: &ConfigZone, stage: Stage) -> String {
    match stage {
        Stage::Provisioned => "atecc608 key list".to_owned(),
        Stage::Blank | Stage::HalfProvisioned => {
            format!("{} (shows what it would do)", profile::next_command(zone))
        }
    }
}
