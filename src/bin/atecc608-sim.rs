//! `atecc608-sim`: a simulated ATECC608 behind a Unix socket, and the switches on its front panel.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use atecc608_pkcs11::sim::profiles::{new, root_pem, Locks, ROOT_NOTE};
use atecc608_pkcs11::sim::server::{ServeOptions, Server};
use atecc608_pkcs11::sim::{control, Dump, Faults, Image, Order, Profile, Switches, Timing};
use atecc608_pkcs11::wire::config_zone::{Model, SerialNumber};
use atecc608_pkcs11::wire::transfer::Verb;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// A simulated ATECC608 on an I2C bus.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
// Made once, and soon taken apart.
#[allow(clippy::large_enum_variant)]
enum Subcommands {
    /// Serve a bus with one chip on a Unix socket (configuration: bus = "unix:SOCKET")
    Serve {
        /// Where clients connect
        #[arg(long)]
        socket: PathBuf,
        /// The chip's image file; created if it does not exist
        #[arg(long)]
        state: PathBuf,
        #[command(flatten)]
        chip: ChipArguments,
        /// The bus's clock frequency; above 133000 no wake pulse is long enough
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
        i2c_hz: u32,
        /// Whether commands take the time they take on a chip
        #[arg(long, value_enum, default_value_t = TimingArgument::Real)]
        timing: TimingArgument,
        /// Faults to come, such as flip@3:12,nack@10*2 (see the documentation of sim::faults)
        #[arg(long, default_value = "none")]
        faults: Faults,
        /// Draw the same times and random numbers every time: for tests only
        #[arg(long)]
        seed: Option<u64>,
        /// What the chip does where the data sheets are not certain, such as check_mac_copies=off,ecdh_bad_point=05: the
        /// line `switches` of a report of scripts/hardware-check.sh (see the documentation of sim::switches)
        #[arg(long, default_value = "none")]
        switches: Switches,
    },
    /// Make a chip's image file
    New {
        #[command(flatten)]
        chip: ChipArguments,
        /// The image file; it must not exist
        #[arg(long)]
        state: PathBuf,
        /// Its serial number, 18 hexadecimal digits that begin with 012353494D [default: a new one]
        #[arg(long, value_parser = serial_number)]
        serial: Option<SerialNumber>,
        /// Which chip, where the profile leaves it open [default: the profile's]
        #[arg(long, value_enum)]
        model: Option<ModelArgument>,
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
        #[command(subcommand)]
        action: Action,
    },
}

/// What `serve` and `new` have in common.
#[derive(Args)]
struct ChipArguments {
    /// What chip to create
    #[arg(long, default_value = "blank-608b", value_parser = profile_names())]
    profile: Profile,
    /// The 7-bit address a chip is created with [default: the profile's]
    #[arg(long, value_parser = address)]
    address: Option<u8>,
}

/// The names of all profiles, for the help text.
fn profile_names() -> impl TypedValueParser<Value = Profile> {
    let names = Profile::ALL.map(|profile| PossibleValue::new(profile.name()).help(profile.summary()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Profile>())
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelArgument {
    #[value(name = "608a")]
    Atecc608A,
    #[value(name = "608b")]
    Atecc608B,
}

#[derive(Clone, Copy, ValueEnum)]
enum LockArgument {
    /// Nothing; the slots are empty
    None,
    /// The configuration; the slots are filled
    Config,
    /// Configuration, data and OTP zones
    Data,
}

#[derive(Clone, Copy, ValueEnum)]
enum TimingArgument {
    Real,
    Fast,
}

#[derive(Subcommand)]
enum Action {
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

/// Nine bytes in hexadecimal.
fn serial_number(text: &str) -> Result<SerialNumber, String> {
    let mut serial = [0; 9];
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 18).ok_or("expected 18 hexadecimal digits")?;
    for (byte, pair) in serial.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(SerialNumber(serial))
}

/// Warnings and errors of the simulator, on stderr.
struct StderrLog;

impl log::Log for StderrLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("atecc608-sim: {}", record.args());
        }
    }

    fn flush(&self) {}
}

fn main() -> ExitCode {
    if log::set_logger(&StderrLog).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("atecc608-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a result. A reader who has seen enough (`| head`) is no failure.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn run(command: Subcommands) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Subcommands::Serve { socket, state, chip, i2c_hz, timing, faults, seed, switches } => {
            let timing = match timing {
                TimingArgument::Real => Timing::Real,
                TimingArgument::Fast => Timing::Fast,
            };
            let order = Order { address: chip.address, seed, ..Order::of(chip.profile) };
            let options = ServeOptions { socket, state, order, i2c_hz, timing, faults, seed, switches };
            let server = Server::open(&options)?;
            println!("listening on {}", options.socket.display());
            io::stdout().flush()?;
            server.run()?;
        }
        Subcommands::New { chip, state, serial, model, lock, seed } => {
            let model = model.map(|model| match model {
                ModelArgument::Atecc608A => Model::Atecc608A,
                ModelArgument::Atecc608B => Model::Atecc608B,
            });
            let locks = lock.map(|lock| match lock {
                LockArgument::None => Locks::None,
                LockArgument::Config => Locks::Config,
                LockArgument::Data => Locks::Data,
            });
            let order = Order { profile: chip.profile, serial, address: chip.address, model, seed, locks };
            print(&new::create(&state, &order)?.to_string())?;
        }
        Subcommands::Dump { image, secrets, json } => {
            let dump = Dump::new(&Image::load(&image)?, secrets);
            print(&if json { serde_json::to_string_pretty(&dump)? + "\n" } else { dump.to_string() })?;
        }
        Subcommands::Root => {
            eprintln!("atecc608-sim: {ROOT_NOTE}");
            print(&root_pem()?)?;
        }
        Subcommands::Stats { socket, reset } => {
            let verb = if reset { Verb::Reset } else { Verb::Stats };
            println!("{}", control::request(&socket, verb, "{}")?);
        }
        Subcommands::Control { socket, action } => match action {
            Action::Pull => control::request(&socket, Verb::Pull, "{}").map(drop)?,
            Action::Insert => control::request(&socket, Verb::Insert, "{}").map(drop)?,
            Action::PowerOff => control::request(&socket, Verb::PowerOff, "{}").map(drop)?,
            Action::PowerOn => control::request(&socket, Verb::PowerOn, "{}").map(drop)?,
            Action::Faults { spec } => control::request_faults(&socket, &spec)?,
        },
    }
    Ok(())
}
