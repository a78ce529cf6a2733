// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 azure`: makes a chip a device of Azure IoT Hub, directly or through the Device Provisioning Service (DPS),
//! with X.509.
//!
//! [`setup`] creates key and certificate and writes the files; [`commands`] are the lines for the Azure CLI, which are
//! saved, and run by [`cli`]; [`files`] are the files for clients on this machine; [`register`] gets the certificate
//! from DPS, with the messages of [`dps`].

mod cli;
mod commands;
mod dps;
pub mod enrolments;
mod files;
mod register;
mod setup;

use clap::Subcommand;

use crate::error::Result;
use crate::output::Output;
use crate::target::Selection;

/// The parent of devices' folders.
pub const PARENT: &str = "/etc/atecc608-pkcs11/azure";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the chip a device of IoT Hub or DPS: key, certificate, enrolment; and write the configurations of its clients
    Setup(Box<setup::Arguments>),
    /// Register the enrolled device with DPS, which issues the certificate for IoT Hub (preview API, not run against Azure yet)
    Register(Box<register::Arguments>),
}

/// Runs the command.
///
/// # Errors
/// As the command's `run`.
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Setup(arguments) => setup::run(selection, arguments),
        Command::Register(arguments) => register::run(selection, arguments),
    }
}
