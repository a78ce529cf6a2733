//! `atecc608 aws`: a chip becomes a thing of AWS IoT, and the clients on this machine are told of it.
//!
//! [`setup`] goes through the steps in an order in which each can be repeated: what is there already is used. [`calls`] are the calls
//! of AWS IoT, [`program`] makes them with the AWS CLI, [`steps`] makes them, and [`plan`] shows them instead; [`certificate`] is where a certificate comes
//! from, [`thing`] what it is attached to, [`policy`] what the thing may do. [`clients`] writes the files of the clients:
//! [`device_client`] and its [`unit`], [`greengrass`], [`greengrass_lite`], [`sdk`], [`root_ca`], and [`module_copy`], the module that
//! Device Client wants for its own. [`look`] looks at all of it, after a set-up and when [`check`] is asked for; [`messages`] are what
//! the client says.
//!
//! [`claim`] comes to the same without the AWS CLI: [`provisioning`] is AWS's API for it, [`claim_key`] what it proves its right with.

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

/// Where the folders of things are.
pub const PARENT: &str = "/etc/atecc608-pkcs11/aws";

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the chip a thing of AWS IoT: key, certificate, policy; and write the configurations of its clients
    Setup(Box<setup::Arguments>),
    /// Look at a thing's files as its clients will, without a network
    Check(check::Arguments),
    /// Make the chip a thing of AWS IoT with a claim certificate, without AWS's credentials and programs (fleet provisioning)
    Claim(Box<claim::Arguments>),
    /// Renew the private copies of the module that `setup` made, after an upgrade of the package
    Refresh(refresh::Arguments),
}

/// Does it.
///
/// # Errors
/// Those of the command.
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Setup(arguments) => setup::run(selection, arguments),
        Command::Check(arguments) => check::run(selection, arguments),
        Command::Claim(arguments) => claim::run(selection, arguments),
        Command::Refresh(arguments) => refresh::run(arguments),
    }
}
