// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands about clouds. Besides [`aws`], [`azure`] and [`manifest`] it has the common parts of a setup: the key
//! in the chip and its certificates ([`identity`]), a folder of files that are never overwritten silently ([`folder`]),
//! running other programs ([`program`]), a connection without them ([`mqtt`] over [`tls`], with [`failure`] for its
//! errors), and the final checks ([`checks`]).

mod aws;
mod azure;
mod checks;
mod failure;
mod folder;
mod identity;
mod literal;
mod manifest;
mod mqtt;
mod pem;
mod program;
mod tls;

use clap::Subcommand;

use crate::error::Result;
use crate::output::Output;
use crate::target::Selection;

/// What is to be done with a cloud.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The manifest of a batch, or of Microchip's factory: list, check, convert for clouds
    #[command(subcommand)]
    Manifest(manifest::Command),
    /// Make the chip a thing of AWS IoT, and configure the clients on this machine
    #[command(subcommand)]
    Aws(aws::Command),
    /// Make the chip a device of Azure IoT Hub or DPS, and configure the clients on this machine
    #[command(subcommand)]
    Azure(azure::Command),
}

/// Runs the command.
///
/// # Errors
/// As the command's `run`.
pub fn run(selection: &Selection, command: Command) -> Result<Output> {
    match command {
        Command::Manifest(command) => manifest::run(&command),
        Command::Aws(command) => aws::run(selection, &command),
        Command::Azure(command) => azure::run(selection, &command),
    }
}
