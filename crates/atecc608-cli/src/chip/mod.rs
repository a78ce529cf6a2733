// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands about chips, a file or folder for each.

mod address;
pub mod attest;
mod cert;
pub(crate) mod config;
mod counter;
mod csr;
mod data;
mod doctor;
pub(crate) mod import_config;
mod info;
mod init;
mod key;
mod latch;
mod lock;
mod pair;
mod pin;
pub mod provision;
mod random;
mod recovery_code;
mod scan;
mod selftest;
mod stage;
mod trust;

use clap::Subcommand;

use crate::error::Result;
use crate::output::Output;
use crate::target::Selection;

/// What is to be done with a chip.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List ATECC chips on the I2C buses (safe for other devices)
    Scan(scan::Arguments),
    /// Find the chip and write the configuration: the first thing after installing
    Init(init::Arguments),
    /// Show the chip: identity, locks, what each slot may do and holds
    Info,
    /// Show the chip's I2C address and where it comes from; `address set` changes it
    Address(address::Arguments),
    /// Write a profile to a blank ATECC608 and lock it permanently; without --lock-forever only show what would happen
    Provision(Box<provision::Arguments>),
    /// Make the chip sign a statement that a key was generated in it, or is in it
    Attest(Box<attest::Arguments>),
    /// Verify such a statement (needs no chip and no configuration)
    VerifyAttestation(attest::verify::Arguments),
    /// Check everything from the configuration to OpenSSL, and print what to do about the first problem
    Doctor(doctor::Arguments),
    /// The chip's configuration zone: get, diff, check, set
    #[command(subcommand)]
    Config(config::Command),
    /// Lock the configuration, the data zone or one slot permanently; without --lock-forever only show what that means
    #[command(subcommand)]
    Lock(lock::Command),
    /// Write an IO protection key to a chip that came without one, so that results cross the bus encrypted
    Pair(pair::Arguments),
    /// Convert the configuration of cryptoauthlib's PKCS#11 module: same slots, same labels
    ImportConfig(import_config::Arguments),
    /// Private keys in the chip: generate, import, list, destroy
    #[command(subcommand)]
    Key(key::Command),
    /// Read the public keys from the chip and store them where only root writes (run it as root)
    Trust(trust::Arguments),
    /// The persistent latch, which keys may depend on: show, set, clear
    #[command(subcommand)]
    Latch(latch::Command),
    /// Create a certificate signing request for a key in the chip
    Csr(Box<csr::Arguments>),
    /// Certificates of keys in the chip: issue, self-sign, import, export, list, remove
    #[command(subcommand)]
    Cert(cert::Command),
    /// Read and write what slots hold besides private keys
    #[command(subcommand)]
    Data(data::Command),
    /// Print random bytes from the chip, as they cross the bus
    Random(random::Arguments),
    /// Run the chip's self-test
    Selftest,
    /// Show the chip's monotonic counters, or increment one
    Counter(counter::Arguments),
    /// The user's PIN, on a token that has one: set, change, reset
    #[command(subcommand)]
    Pin(pin::Command),
    /// Print a new recovery code for a token with a PIN; with --set, set it
    RecoveryCode(recovery_code::Arguments),
}

/// Runs the command.
///
/// # Errors
/// As the command's `run`.
pub fn run(selection: &Selection, command: Command, json: bool) -> Result<Output> {
    match command {
        Command::Scan(arguments) => scan::run(selection, &arguments),
        Command::Init(arguments) => init::run(selection, &arguments),
        Command::Info => info::run(selection),
        Command::Address(arguments) => address::run(selection, &arguments),
        Command::Provision(arguments) => provision::run(selection, &arguments, json),
        Command::Attest(arguments) => attest::run(selection, &arguments),
        Command::VerifyAttestation(arguments) => attest::verify::run(&arguments),
        // It checks the configuration itself.
        Command::Doctor(arguments) => doctor::run(selection, &arguments),
        Command::Config(command) => config::run(selection, &command),
        Command::Lock(command) => lock::run(selection, &command),
        Command::Pair(arguments) => pair::run(selection, &arguments),
        Command::ImportConfig(arguments) => import_config::run(&arguments),
        Command::Key(command) => key::run(selection, &command),
        Command::Trust(arguments) => trust::run(selection, &arguments),
        Command::Latch(command) => latch::run(selection, &command),
        Command::Csr(arguments) => csr::run(selection, &arguments),
        Command::Cert(command) => cert::run(selection, &command),
        Command::Data(command) => data::run(selection, &command),
        Command::Random(arguments) => random::run(selection, &arguments),
        Command::Selftest => selftest::run(selection),
        Command::Counter(arguments) => counter::run(selection, &arguments),
        Command::Pin(command) => pin::run(selection, &command),
        Command::RecoveryCode(arguments) => recovery_code::run(selection, &arguments, json),
    }
}
