//! The tool `atecc608`: what is done with a chip beside PKCS#11. One file per command; [`target`] finds the chip,
//! [`output`] prints, [`atecc608_contents::words`] says in words what a configuration means.
//!
//! Results go to stdout, everything else to stderr. It works on the token and chip layers and never on the
//! PKCS#11 module, which `doctor` has loaded by another program, as any client does.
//!
//! A further command is a file here, a variant of `Command` and a line in `run`.

pub mod adapters;
pub mod attest;
pub mod aws;
pub mod azure;
pub mod cert;
pub mod chip_keys;
pub mod cloud;
pub mod config;
pub mod counter;
pub mod csr;
pub mod doctor;
pub mod error;
pub mod files;
pub mod import_config;
pub mod info;
pub mod key;
pub mod lock;
pub mod manifest;
pub mod output;
pub mod pair;
pub mod provision;
pub mod random;
pub mod recovery_code;
pub mod scan;
pub mod secret_input;
pub mod selftest;
pub mod target;
pub mod x509;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use error::{Error, Result};
use output::Output;
use target::Selection;

/// Manage an ATECC608 secure element.
#[derive(Debug, Parser)]
#[command(
    name = "atecc608",
    version,
    after_help = "Exit status: 0 done, 1 failed (stderr says what, where and what to do), 2 wrong usage.\n\
                  1 is also an answer that is a no: doctor found a broken link, scan no ATECC608, config diff a difference.\n\
                  The configuration is the file that $ATECC608_PKCS11_CONF names, else /etc/atecc608-pkcs11/config.toml."
)]
pub struct Arguments {
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which chip, where several are configured: its token's label, serial number or PKCS#11 slot
    #[arg(long, global = true, value_name = "LABEL|SERIAL|SLOT")]
    token: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say which chips are on which I2C buses; other devices come to no harm
    Scan(scan::Arguments),
    /// Show the chip: identity, locks, what each of its slots may do and holds
    Info,
    /// Write a profile to a blank chip and lock it for good; without --lock-forever only show what would happen
    Provision(provision::Arguments),
    /// What a batch has written down, and what clouds want of it; wants no chip
    #[command(subcommand)]
    Manifest(manifest::Command),
    /// Have the chip state that a key was born in it, or lives in it
    Attest(attest::Arguments),
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
    /// Make a certificate signing request for a key in the chip
    Csr(csr::Arguments),
    /// Certificates for keys in the chip: issue, self-sign, keep, show
    #[command(subcommand)]
    Cert(cert::Command),
    /// AWS IoT: make the chip a thing, and configure the clients on this machine
    #[command(subcommand)]
    Aws(aws::Command),
    /// Azure IoT: make the chip a device of IoT Hub or DPS, and configure the clients on this machine
    #[command(subcommand)]
    Azure(azure::Command),
    /// Print random bytes from the chip
    Random(random::Arguments),
    /// Have the chip test its own engines
    Selftest(selftest::Arguments),
    /// Show the chip's monotonic counters, or count one up
    Counter(counter::Arguments),
    /// Print a new recovery code for a token with a PIN; it counts once the security officer has set it (C_SetPIN)
    RecoveryCode,
}

/// Runs the tool with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
            output::failure_object(error.to_string().trim_end());
        }
        error.exit()
    });
    let json = arguments.json;
    match run(arguments).and_then(|output| output.print(json)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::failure(&error, json);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<Output> {
    let json = arguments.json;
    let selection = Selection { config: arguments.config, token: arguments.token };
    match arguments.command {
        Command::Scan(arguments) => scan::run(&selection, &arguments),
        Command::Info => info::run(&selection),
        Command::Provision(arguments) => provision::run(&selection, &arguments, json),
        Command::Manifest(command) => manifest::run(&command),
        Command::Attest(arguments) => attest::run(&selection, &arguments),
        Command::VerifyAttestation(arguments) => attest::verify::run(&arguments),
        // It finds out itself what is wrong with the configuration.
        Command::Doctor(arguments) => doctor::run(&selection, &arguments),
        Command::Config(command) => config::run(&selection, &command),
        Command::Lock(command) => lock::run(&selection, &command),
        Command::Pair(arguments) => pair::run(&selection, &arguments),
        Command::ImportConfig(arguments) => import_config::run(&arguments),
        Command::Key(command) => key::run(&selection, &command),
        Command::Csr(arguments) => csr::run(&selection, &arguments),
        Command::Cert(command) => cert::run(&selection, &command),
        Command::Aws(command) => aws::run(&selection, &command),
        Command::Azure(command) => azure::run(&selection, &command),
        Command::Random(arguments) => random::run(&selection, &arguments),
        Command::Selftest(arguments) => selftest::run(&selection, &arguments),
        Command::Counter(arguments) => counter::run(&selection, &arguments),
        Command::RecoveryCode => recovery_code::run(),
    }
}
