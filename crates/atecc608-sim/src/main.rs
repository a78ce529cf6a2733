// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608-sim`: a simulated ATECC608 behind a Unix socket or a node of the kernel, and commands to control it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use atecc608_sim::arguments::{
    Action, Arguments, BusArguments, ChipArguments, LockArgument, Subcommands, TimingArgument,
};
use atecc608_sim::profiles::{new, root_pem, Locks, ROOT_NOTE};
use atecc608_sim::server::{open_bus, BusOptions, Server};
use atecc608_sim::transfer::Verb;
use atecc608_sim::usbip::{Kernel, Plugged};
use atecc608_sim::{control, Dump, Image, Order, Timing};
use clap::Parser;

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

/// Prints a result. A closed pipe (`| head`) is not a failure.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn order(chip: &ChipArguments) -> Order {
    Order { address: chip.address, model: chip.model, revision: chip.revision, ..Order::of(chip.profile) }
}

fn bus_options(arguments: BusArguments) -> BusOptions {
    let BusArguments { state, chip, i2c_hz, timing, faults, seed, switches } = arguments;
    let timing = match timing {
        TimingArgument::Real => Timing::Real,
        TimingArgument::Fast => Timing::Fast,
    };
    BusOptions { state, order: Order { seed, ..order(&chip) }, i2c_hz, timing, faults, seed, switches }
}

fn run(command: Subcommands) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Subcommands::Serve { socket, bus } => {
            let (bus, _lock) = open_bus(&bus_options(bus))?;
            let server = Server::on_bus(bus, &socket)?;
            println!("listening on {}", socket.display());
            io::stdout().flush()?;
            server.run()?;
        }
        Subcommands::Usbip { socket, bus } => {
            let kernel = Kernel::running()?;
            let (bus, _lock) = open_bus(&bus_options(bus))?;
            if let Some(socket) = socket {
                let server = Server::on_bus(bus.clone(), &socket)?;
                thread::spawn(move || server.run());
            }
            let plugged = Plugged::new(&kernel, bus)?;
            println!("{}", plugged.node().display());
            io::stdout().flush()?;
            plugged.wait()?;
        }
        Subcommands::New { chip, state, serial, lock, seed } => {
            let locks = lock.map(|lock| match lock {
                LockArgument::None => Locks::None,
                LockArgument::Config => Locks::Config,
                LockArgument::Data => Locks::Data,
            });
            let order = Order { serial, seed, locks, ..order(&chip) };
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
