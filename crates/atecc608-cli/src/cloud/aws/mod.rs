// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 aws`: makes a chip a thing of AWS IoT, and configures the clients on this machine.
//!
//! [`setup`] runs the steps in an order in which each can be repeated: existing resources are reused. [`calls`] are the
//! calls of AWS IoT, [`program`] is the AWS CLI, [`steps`] makes the calls, and [`plan`] shows them instead;
//! [`certificate`] is the source of the certificate, [`thing`] attaches it, [`policy`] is the thing's policy.
//! [`clients`] writes the files of the clients: [`device_client`] and its [`unit`], [`greengrass`],
//! [`greengrass_lite`], [`sdk`], [`root_ca`], and [`module_copy`], the private copy of the module that Device Client
//! requires. [`look`] checks all of it, after a setup and for [`check`]; [`messages`] are the client's error messages.
//!
//! [`claim`] does the same without the AWS CLI: [`provisioning`] is AWS's API for it, [`claim_key`] its credential.

mod arn;
pub mod bulk;
mod calls;
mod certificate;
mod check;
mod claim;
mod claim_key;
mod clients;
mod device_client;
mod greengrass;
mod greengrass_lite;
mod look;
mod messages;
mod module_copy;
mod plan;
mod policy;
mod program;
mod provisioning;
mod refresh;
mod root_ca;
mod sdk;
mod setup;
mod steps;
mod thing;
mod unit;

use clap::Subcommand;

use crate::error::Result;
use crate::output::Output;
use crate::target::Selection;

/// The parent of things' folders.
pub const PARENT: &str = "/etc/atecc608-pkcs11/aws";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the chip a thing of AWS IoT: key, certificate, policy; and write the configurations of its clients
    Setup(Box<setup::Arguments>),
    /// Check a thing's files the way its clients read them, without a network
    Check(check::Arguments),
    /// Make the chip a thing of AWS IoT with a claim certificate, without AWS's credentials and programs (fleet provisioning)
    Claim(Box<claim::Arguments>),
    /// Renew the private copies of the module that `setup` made, after an upgrade of the package
    Refresh(refresh::Arguments),
}

/// Runs the command.
///
/// # Errors
/// As the command's `run`.
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Setup(arguments) => setup::run(selection, arguments),
        Command::Check(arguments) => check::run(selection, arguments),
        Command::Claim(arguments) => claim::run(selection, arguments),
        Command::Refresh(arguments) => refresh::run(arguments),
    }
}
