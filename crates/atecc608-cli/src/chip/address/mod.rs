// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 address`: shows the chip's address on its bus, and what sets it; `address set` changes it.

mod set;

use base16ct::lower::encode_string as hex;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::error::Result;
use crate::output::Output;
use crate::target::Selection;
use atecc608_wire::config_zone::offset;
use atecc608_wire::ConfigZone;

/// Arguments of `address`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is to be done with the address.
#[derive(Debug, Subcommand)]
enum Command {
    /// Change it; needs --lock-forever if the change is permanent
    Set(set::Arguments),
}

/// How the address of a chip can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Change {
    /// By a write to byte 16, until the configuration is locked.
    UntilLocked,
    /// By UpdateExtra, which writes byte 85 once and permanently.
    Once,
    /// Not any more.
    Never,
}

#[derive(Serialize)]
struct Report {
    serial_number: String,
    place: String,
    /// 7 bits.
    address: String,
    /// The field of the configuration that sets it.
    source: &'static str,
    /// Byte 16: 8 bits.
    i2c_address: String,
    /// Byte 85: 8 bits.
    user_extra_add: String,
    /// ChipMode bit 0: whether byte 85 counts, once it is written.
    user_extra_add_is_address: bool,
    config_locked: bool,
    change: Change,
}

/// Shows the address, or changes it.
///
/// # Errors
/// [`crate::Error::Refused`] , without a change, if the address can't be set or the new one is in use; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    match &arguments.command {
        None => show(selection),
        Some(Command::Set(arguments)) => set::run(selection, arguments),
    }
}

impl Change {
    /// How the address of a chip with this configuration can be changed.
    fn of(zone: &ConfigZone) -> Self {
        match zone.config_locked() {
            false => Self::UntilLocked,
            true if counts_user_extra_add(zone) && user_extra_add(zone) == 0 => Self::Once,
            true => Self::Never,
        }
    }
}

/// ChipMode bit 0: whether byte 85 counts.
fn counts_user_extra_add(zone: &ConfigZone) -> bool {
    zone.chip_mode() & 1 == 1
}

fn user_extra_add(zone: &ConfigZone) -> u8 {
    zone.as_bytes()[offset::USER_EXTRA_ADD]
}

/// Why the address of a chip with a locked configuration can't be changed.
fn reason(zone: &ConfigZone) -> String {
    match counts_user_extra_add(zone) {
        true => format!("UserExtraAdd (byte 85) can be written only once, and it is already {:02x}", user_extra_add(zone)),
        false => "its configuration is locked with ChipMode bit 0 clear, so UserExtraAdd (byte 85), the only byte that could \
                  still be written, is not its address"
            .to_owned(),
    }
}

/// The remedy for an address that can't be changed.
const REMEDY: &str =
    "Connect the chip to another bus, or behind an I2C multiplexer. A new chip gets its address before it is provisioned";

fn show(selection: &Selection) -> Result<Output> {
    let mut target = selection.target()?;
    let zone = target.read_config()?;
    target.ensure_608()?;
    let (byte_16, byte_85) = (zone.as_bytes()[offset::I2C_ADDRESS], user_extra_add(&zone));
    let report = Report {
        serial_number: zone.serial_number().to_string(),
        place: target.place(),
        address: format!("{:#04x}", zone.i2c_address()),
        source: if counts_user_extra_add(&zone) && byte_85 != 0 { "user_extra_add" } else { "i2c_address" },
        i2c_address: hex(&[byte_16]),
        user_extra_add: hex(&[byte_85]),
        user_extra_add_is_address: counts_user_extra_add(&zone),
        config_locked: zone.config_locked(),
        change: Change::of(&zone),
    };
    Output::new(text(&report, &zone), &report)
}

fn text(report: &Report, zone: &ConfigZone) -> String {
    let Report { serial_number, place, address, i2c_address, user_extra_add, .. } = report;
    let source = match report.source {
        "user_extra_add" => format!(
            "UserExtraAdd (byte 85) is {user_extra_add}, and ChipMode bit 0 is set: byte 16 ({i2c_address}) does not count"
        ),
        _ => format!("I2C_Address (byte 16) is {i2c_address}, the address shifted left by one bit"),
    };
    let change = match report.change {
        Change::UntilLocked => {
            "`atecc608 address set 0xNN` changes it; it can be changed again until the configuration is locked"
                .to_owned()
        }
        Change::Once => {
            "`atecc608 address set 0xNN` shows it, and --lock-forever does it; it can be done once, permanently"
                .to_owned()
        }
        Change::Never => format!("not possible: {}. {REMEDY}", reason(zone)),
    };
    format!("chip     {serial_number} ({place})\naddress  {address}\nbecause  {source}\nchange   {change}\n")
}
