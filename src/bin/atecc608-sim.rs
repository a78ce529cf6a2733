//! `atecc608-sim`: a simulated ATECC608 behind a Unix socket, and the switches on its front panel.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use atecc608_pkcs11::sim::server::{ServeOptions, Server};
use atecc608_pkcs11::sim::{control, Faults, Profile, Switches, Timing};
use atecc608_pkcs11::wire::transfer::Verb;
use clap::{Parser, Subcommand, ValueEnum};

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
        /// What chip to create: blank-608a, blank-608b or blank-508a
        #[arg(long, default_value = "blank-608b")]
        profile: Profile,
        /// The 7-bit address a chip is created with
        #[arg(long, default_value = "0x60", value_parser = address)]
        address: u8,
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

fn run(command: Subcommands) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Subcommands::Serve { socket, state, profile, address, i2c_hz, timing, faults, seed, switches } => {
            let timing = match timing {
                TimingArgument::Real => Timing::Real,
                TimingArgument::Fast => Timing::Fast,
            };
            let options = ServeOptions { socket, state, profile, address, i2c_hz, timing, faults, seed, switches };
            let server = Server::open(&options)?;
            println!("listening on {}", options.socket.display());
            io::stdout().flush()?;
            server.run()?;
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
