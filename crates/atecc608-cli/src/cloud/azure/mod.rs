//! `atecc608 azure`: a chip becomes a device of Azure IoT Hub, directly or through the Device Provisioning Service (DPS), with X.509.
//!
//! [`setup`] makes key and certificate and writes the files; [`commands`] are the lines for the Azure CLI, which are written down, and
//! run by [`cli`]; [`files`] is what clients on this machine are told; [`register`] has the certificate issued by DPS, with the
//! messages of [`dps`].

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

/// Where the folders of devices are.
pub const PARENT: &str = "/etc/atecc608-pkcs11/azure";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the chip a device of IoT Hub or DPS: key, certificate, enrolment; and write the configurations of its clients
    Setup(Box<setup::Arguments>),
    /// Register the enrolled device with DPS, which issues the certificate for IoT Hub (preview API, not run against Azure yet)
    Register(Box<register::Arguments>),
}

/// Does it.
///
/// # Errors
/// Those of the command.
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Setup(arguments) => setup::run(selection, arguments),
        Command::Register(arguments) => register::run(selection, arguments),
    }
}
