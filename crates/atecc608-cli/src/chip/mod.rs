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
mod key;
mod latch;
mod lock;
mod pair;
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
    /// Say which chips are on which I2C buses; other devices come to no harm
    Scan(scan::Arguments),
    /// Show the chip: identity, locks, what each of its slots may do and holds
    Info,
    /// Show which I2C address the chip has and why; `address set` changes it
    Address(address::Arguments),
    /// Write a profile to a blank ATECC608 (A, B or C) and lock it for good; without --lock-forever only show what would happen
    Provision(Box<provision::Arguments>),
    /// Have the chip state that a key was born in it, or lives in it
    Attest(Box<attest::Arguments>),
    /// Check such a statement; wants no chip and no configuration
    VerifyAttestation(attest::verify::Arguments),
    /// Check everything between the configuration and OpenSSL; say what to do about the first broken link
    Doctor(doctor::Arguments),
    /// The chip's configuration zone: print, compare, judge, write
    #[command(subcommand)]
    Config(config::Command),
    /// Make configuration, data zone or one slot permanent; without --lock-forever only show what that means
    #[command(subcommand)]
    Lock(lock::Command),
    /// Give a chip that came without one an IO protection key, so that results cross the bus encrypted
    Pair(pair::Arguments),
    /// Make a configuration from the files of cryptoauthlib's PKCS#11 module: same slots, same labels
    ImportConfig(import_config::Arguments),
    /// Private keys in the chip: generate, import, list, destroy
    #[command(subcommand)]
    Key(key::Command),
    /// As root: read the public keys from the chip and store them where only root writes, so that they are proven to everybody
    Trust(trust::Arguments),
    /// The persistent latch, which keys may depend on: show, set, clear
    #[command(subcommand)]
    Latch(latch::Command),
    /// Make a certificate signing request for a key in the chip
    Csr(Box<csr::Arguments>),
    /// Certificates for keys in the chip: issue, self-sign, keep, show
    #[command(subcommand)]
    Cert(cert::Command),
    /// What the chip's slots hold beside keys: read it, write it, as far as the configuration allows
    #[command(subcommand)]
    Data(data::Command),
    /// Print random bytes from the chip, as they cross the bus
    Random(random::Arguments),
    /// Have the chip test its own engines
    Selftest,
    /// Show the chip's monotonic counters, or count one up
    Counter(counter::Arguments),
    /// Print a new recovery code for a token with a PIN; it counts once the security officer has set it (C_SetPIN)
    RecoveryCode,
}

/// Does it.
///
/// # Errors
/// Those of the command.
pub fn run(selection: &Selection, command: Command, json: bool) -> Result<Output> {
    match command {
        Command::Scan(arguments) => scan::run(selection, &arguments),
        Command::Info => info::run(selection),
        Command::Address(arguments) => address::run(selection, &arguments),
        Command::Provision(arguments) => provision::run(selection, &arguments, json),
        Command::Attest(arguments) => attest::run(selection, &arguments),
        Command::VerifyAttestation(arguments) => attest::verify::run(&arguments),
        // It finds out itself what is wrong with the configuration.
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
        Command::RecoveryCode => recovery_code::run(),
    }
}
