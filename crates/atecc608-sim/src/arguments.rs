// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line of `atecc608-sim`. In the library, because the manual page and the completions are generated from
//! it (`crates/atecc608-cli/examples/manual.rs`).

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{profiles, Faults, Profile, Switches};
use atecc608_wire::config_zone::{Model, SerialNumber};

/// A simulated ATECC608 on an I2C bus.
#[derive(Debug, Parser)]
#[command(name = "atecc608-sim", version)]
pub struct Arguments {
    /// What is to be done
    #[command(subcommand)]
    pub command: Subcommands,
}

/// The commands.
#[derive(Debug, Subcommand)]
// Made once, and soon taken apart.
#[allow(clippy::large_enum_variant)]
pub enum Subcommands {
    /// Serve a bus with one chip on a Unix socket (configuration: bus = "unix:SOCKET")
    Serve {
        /// Where clients connect
        #[arg(long)]
        socket: PathBuf,
        #[allow(missing_docs)] // the program's help must not have it
        #[command(flatten)]
        bus: BusArguments,
    },
    /// Plug a USB adapter with one chip into the running kernel: a bus with a node /dev/i2c-N
    ///
    /// Prints the path of the node, and unplugs the adapter when it ends. Needs root, and the kernel's modules vhci-hcd,
    /// i2c-tiny-usb and i2c-dev.
    Usbip {
        /// Where clients connect, too, for stats and control [default: nowhere]
        #[arg(long)]
        socket: Option<PathBuf>,
        #[allow(missing_docs)] // the program's help must not have it
        #[command(flatten)]
        bus: BusArguments,
    },
    /// Make a chip's image file
    New {
        #[allow(missing_docs)] // the program's help must not have it
        #[command(flatten)]
        chip: ChipArguments,
        /// The image file; it must not exist
        #[arg(long)]
        state: PathBuf,
        /// Its serial number, 18 hexadecimal digits that begin with 012353494D [default: a new one]
        #[arg(long, value_parser = serial_number)]
        serial: Option<SerialNumber>,
        /// How far it is locked [default: as it is sold]
        #[arg(long, value_enum)]
        lock: Option<LockArgument>,
        /// Make the same serial number and keys every time: for tests only
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Show what is in a chip's image file
    Dump {
        /// The image file
        image: PathBuf,
        /// Show private and secret keys, too
        #[arg(long)]
        secrets: bool,
        /// As one JSON object, with the certificates in PEM
        #[arg(long)]
        json: bool,
    },
    /// Print the certificate that all simulated Trust&GO and TrustFLEX chips chain to, in PEM
    Root,
    /// Print the counters of a server as one JSON object
    Stats {
        /// The server's socket
        #[arg(long)]
        socket: PathBuf,
        /// Set them to zero afterwards
        #[arg(long)]
        reset: bool,
    },
    /// Change something about a server's chip
    Control {
        /// The server's socket
        #[arg(long)]
        socket: PathBuf,
        /// What
        #[command(subcommand)]
        action: Action,
    },
}

/// Options of both `serve` and `usbip`.
#[derive(Debug, Args)]
pub struct BusArguments {
    /// The chip's image file; created if it does not exist
    #[arg(long)]
    pub state: PathBuf,
    #[allow(missing_docs)] // the program's help must not have it
    #[command(flatten)]
    pub chip: ChipArguments,
    /// The bus's clock frequency; above 133000 no wake pulse is long enough
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub i2c_hz: u32,
    /// Whether commands take the time they take on a chip
    #[arg(long, value_enum, default_value_t = TimingArgument::Real)]
    pub timing: TimingArgument,
    /// Faults to come, such as flip@3:12,nack@10*2 (see the documentation of sim::faults)
    #[arg(long, default_value = "none")]
    pub faults: Faults,
    /// Draw the same times and random numbers every time: for tests only
    #[arg(long)]
    pub seed: Option<u64>,
    /// What the chip does where the data sheets are not certain, such as check_mac_copies=off,ecdh_bad_point=05: the
    /// line `switches` of a report of scripts/hardware-check.sh (see the documentation of sim::switches)
    #[arg(long, default_value = "none")]
    pub switches: Switches,
}

/// Options of these and `new`.
#[derive(Debug, Args)]
pub struct ChipArguments {
    /// What chip to create
    #[arg(long, default_value = "blank-608b", value_parser = profile_names())]
    pub profile: Profile,
    /// The 7-bit address a chip is created with [default: the profile's]
    #[arg(long, value_parser = address)]
    pub address: Option<u8>,
    /// Which chip, where the profile leaves it open [default: the profile's]
    #[arg(long, value_parser = model_names())]
    pub model: Option<Model>,
    /// What Info(Revision) answers, 8 hexadecimal digits that begin with 0000, whatever the configuration zone says
    /// [default: what it says]
    #[arg(long, value_parser = revision)]
    pub revision: Option<[u8; 2]>,
}

/// The names of all profiles, for the help text.
fn profile_names() -> impl TypedValueParser<Value = Profile> {
    let names = Profile::ALL.map(|profile| PossibleValue::new(profile.name()).help(profile.summary()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Profile>())
}

/// The names of the models that can be created.
const MODELS: [(&str, Model); 3] =
    [("608a", Model::Atecc608A), ("608b", Model::Atecc608B), ("608c", profiles::ATECC608C)];

fn model_names() -> impl TypedValueParser<Value = Model> {
    let names = MODELS.map(|(name, _)| PossibleValue::new(name).help(format!("the ATECC{}", name.to_uppercase())));
    PossibleValuesParser::new(names).try_map(|name| {
        MODELS.iter().find(|(known, _)| *known == name).map(|(_, model)| *model).ok_or("an unknown model")
    })
}

/// Which zones of a chip are locked.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LockArgument {
    /// Nothing; the slots are empty
    None,
    /// The configuration; the slots are filled
    Config,
    /// Configuration, data and OTP zones
    Data,
}

/// How long commands take.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TimingArgument {
    /// As long as on a chip
    Real,
    /// No time at all
    Fast,
}

/// The actions of `control`.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Pull the chip off the bus
    Pull,
    /// Put it back
    Insert,
    /// Take the supply away
    PowerOff,
    /// Give it back
    PowerOn,
    /// Plan faults in place of those planned before
    Faults {
        /// Such as flip@3:12,nack@10*2; or none
        spec: String,
    },
}

/// A 7-bit address, decimal or with 0x, that a chip can have.
fn address(text: &str) -> Result<u8, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match parsed {
        Ok(address @ 0x08..=0x77) => Ok(address),
        Ok(address @ 0x80..) => Err(format!("this is an 8-bit address; its 7-bit form is 0x{:02X}", address >> 1)),
        _ => Err("expected a 7-bit address from 0x08 to 0x77, as i2cdetect prints it".to_owned()),
    }
}

/// The last two bytes of a revision.
fn revision(text: &str) -> Result<[u8; 2], String> {
    let mut bytes = [0; 4];
    match base16ct::mixed::decode(text, &mut bytes) {
        Ok([0, 0, family, revision]) if *family != 0 => Ok([*family, *revision]),
        _ => Err("expected 8 hexadecimal digits that begin with 0000, such as 00006004".to_owned()),
    }
}

/// Nine bytes in hexadecimal.
fn serial_number(text: &str) -> Result<SerialNumber, String> {
    let mut serial = [0; 9];
    match base16ct::mixed::decode(text, &mut serial) {
        Ok(bytes) if bytes.len() == 9 => Ok(SerialNumber(serial)),
        _ => Err("expected 18 hexadecimal digits".to_owned()),
    }
}
