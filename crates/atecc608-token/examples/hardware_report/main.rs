// SPDX-License-Identifier: MIT OR Apache-2.0
//! Examines the behaviour of an ATECC608: a report to attach to a bug, and its comparison with the simulated chip's.
//!
//! `scripts/hardware-check.sh` runs it. It writes nothing to the chip, counts nothing and uses no secret of the user,
//! unless `--sacrifice` lets it consume a blank chip.
//!
//! Reading order: [`bench`] (a bus master), [`probe`] (a single check), [`line`] and [`commands`] (the probes),
//! [`measure`] (the numbers), [`sacrifice`] (probes that consume a chip), [`report`], [`simulator`] and [`compare`].

mod bench;
mod commands;
mod compare;
mod examine;
mod host;
mod line;
mod measure;
mod probe;
mod report;
mod sacrifice;
mod simulator;
#[cfg(test)]
mod tests;
mod vectors;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use atecc608_sim::Switches;
use atecc608_token::bus::Bus;
use atecc608_token::config::BusLocation;
use clap::Parser;

use bench::Bench;
use examine::{examine, Options};
use report::{Report, FORMAT};

/// Ask an ATECC608 what it does where the data sheets are not certain, and write a report.
#[derive(Parser)]
#[command(version, name = "hardware_report")]
struct Arguments {
    /// The chip: BUS@ADDRESS, such as /dev/i2c-1@0x60 or unix:/run/chip.sock@0x60
    #[arg(required_unless_present = "compare", conflicts_with = "compare")]
    chip: Option<Chip>,
    /// Where the report goes; standard output if not given
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The bus's clock frequency, if the kernel does not say it and the measured one is wrong
    #[arg(long)]
    i2c_hz: Option<u32>,
    /// How often each command is tried, for its execution time
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Put the whole serial number into the report
    #[arg(long)]
    with_serial: bool,
    /// Spend a blank chip: configure it for tests and lock it for good. Its serial number (18 hex digits) is the
    /// consent; without it, it is asked for
    #[arg(long, value_name = "SERIAL", num_args = 0..=1, default_missing_value = "")]
    sacrifice: Option<String>,
    /// Compare a report with that of a fresh simulated chip in the same state, or with another report
    #[arg(long, value_name = "REPORT", num_args = 1..=2)]
    compare: Vec<PathBuf>,
    /// With --compare: another simulated chip than the strict one
    #[arg(long, default_value = "none")]
    switches: Switches,
}

/// Bus and 7-bit address.
#[derive(Clone)]
struct Chip {
    bus: BusLocation,
    address: u8,
}

impl std::str::FromStr for Chip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (bus, address) = text.rsplit_once('@').ok_or("expected BUS@ADDRESS, such as /dev/i2c-1@0x60")?;
        let address = address.strip_prefix("0x").unwrap_or(address);
        let address = u8::from_str_radix(address, 16).map_err(|error| error.to_string())?;
        if !(0x08..=0x77).contains(&address) {
            return Err(format!("{address:#04x} is no 7-bit address: i2cdetect prints them"));
        }
        Ok(Self { bus: BusLocation::parse(bus)?, address })
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hardware_report: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    match arguments.compare.as_slice() {
        [] => ask_chip(arguments).map(|()| ExitCode::SUCCESS),
        [report, others @ ..] => {
            let report = read_report(report)?;
            let other = match others {
                [other, ..] => read_report(other)?,
                [] => simulated(&report, arguments)?,
            };
            let comparison = compare::compare(&report, &other);
            print!("{}", comparison.text);
            Ok(if comparison.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Holds the bus lock all the time.
fn ask_chip(arguments: &Arguments) -> Result<(), String> {
    let chip = arguments.chip.as_ref().ok_or("no chip is named")?;
    let state_dir = Path::new(atecc608_token::config::DEFAULT_STATE_DIR);
    let mut bus = Bus::open(&chip.bus, chip.address, state_dir).map_err(|error| error.to_string())?;
    let _guard = bus
        .lock(atecc608_token::deadline::Deadline::after(Duration::from_secs(8)))
        .map_err(|error| error.to_string())?;
    let host = host::describe(&chip.bus, chip.address, arguments.i2c_hz);
    let mut bench = Bench::new(Box::new(bus), chip.address);
    let serial = arguments.sacrifice.as_deref().map(|serial| consent(&mut bench, serial)).transpose()?;
    let options = Options { rounds: arguments.rounds, with_serial: arguments.with_serial, sacrifice: serial.is_some() };
    let report = examine(&mut bench, host, &options)?;
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())? + "\n";
    let asked = report.findings.iter().filter(|finding| finding.seen.is_some()).count();
    eprintln!("{} questions asked; the chip differs from the simulated one in: {}", asked, report.switches);
    match &arguments.output {
        Some(path) => fs::write(path, text).map_err(|error| format!("{}: {error}", path.display())),
        None => io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string()),
    }
}

/// Returns whether the chip may be consumed: it is blank, and the user has typed its serial number.
fn consent(bench: &mut Bench, typed: &str) -> Result<(), String> {
    let config = examine::read_config(bench)?;
    let serial = config.serial_number().to_string();
    if config.config_locked() {
        return Err(format!(
            "the configuration of chip {serial} is locked already: it can't be configured for these tests. \
             --sacrifice needs a blank chip"
        ));
    }
    let mut typed = typed.trim().to_owned();
    if typed.is_empty() {
        if !io::stdin().is_terminal() {
            return Err("--sacrifice needs the chip's serial number, or a terminal to ask for it".to_owned());
        }
        eprintln!(
            "Chip {serial} will be configured for tests and locked FOR GOOD. It can never be used for anything else."
        );
        eprint!("To spend it, type its serial number: ");
        io::stdin().read_line(&mut typed).map_err(|error| error.to_string())?;
    }
    match typed.trim().eq_ignore_ascii_case(&serial) {
        true => Ok(()),
        false => Err(format!("the chip's serial number is {serial}, not {}: nothing was done to it", typed.trim())),
    }
}

fn read_report(path: &Path) -> Result<Report, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| named(&error))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| named(&error))?;
    if report.format == FORMAT {
        Ok(report)
    } else {
        Err(named(&format!("a report of format {}; this program reads {FORMAT}", report.format)))
    }
}

/// Runs the same probes on a simulated chip in the state of the report's chip.
fn simulated(report: &Report, arguments: &Arguments) -> Result<Report, String> {
    let measured = report.measures.iter().find(|measure| measure.name == "bus clock");
    let measured = measured.and_then(|measure| measure.values.first()).and_then(|hertz| u32::try_from(*hertz).ok());
    let i2c_hz = arguments.i2c_hz.or(report.host.i2c_hz).or(measured).unwrap_or(100_000);
    let (mut bench, host) = simulator::like(report, i2c_hz, arguments.switches.clone())?;
    let options = Options { rounds: arguments.rounds, with_serial: false, sacrifice: report.sacrificed };
    examine(&mut bench, host, &options)
}
