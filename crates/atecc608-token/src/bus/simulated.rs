// SPDX-License-Identifier: MIT OR Apache-2.0
//! The buses `sim:FILE`, a chip in this process, and `unix:SOCKET`, a bus of `atecc608-sim`.
//!
//! The only file that uses the simulator. A build without the feature `sim` has `not_simulated.rs` instead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use embedded_hal::i2c::{Error as _, ErrorType, I2c, Operation};
use linux_embedded_hal::Delay;

use super::arrival::Queue;
use super::lock::BusLock;
use super::lock_file::LockFile;
use super::{clock, link, Bus, BusError, Link, OpenError, Wires};
use crate::config::{BusLocation, DEFAULT_LOCK_TIMEOUT};
use crate::deadline::Deadline;
use atecc608_sim::{FaultSpecError, RemoteBus, SimBus, SimChip};

/// A simulated bus whose errors are this crate's.
struct Simulated<B>(B);

impl<B> ErrorType for Simulated<B> {
    type Error = BusError;
}

impl<B: I2c<Error: std::fmt::Display>> I2c for Simulated<B> {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.0.transaction(address, operations).map_err(|error| BusError::new(error.kind(), error.to_string()))
    }
}

/// The bus of a chip in a file. Its faults are in another file, `FILE.faults`.
struct InProcess {
    bus: Simulated<SimBus>,
    faults: PathBuf,
    /// The present faults, as in the file.
    spec: String,
}

impl ErrorType for InProcess {
    type Error = BusError;
}

impl I2c for InProcess {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.bus.transaction(address, operations)
    }
}

impl Wires for InProcess {
    fn refresh(&mut self) -> io::Result<()> {
        let bus = &self.bus.0;
        bus.reload()?;
        let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", self.faults.display()));
        let spec = match fs::read_to_string(&self.faults) {
            Ok(spec) => spec,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(named(&error)),
        };
        if spec != self.spec {
            bus.set_faults(spec.trim().parse().map_err(|error: FaultSpecError| named(&error))?);
            // The previous faults may have left the chip without its supply.
            bus.insert();
            bus.power_on();
            self.spec = spec;
        }
        Ok(())
    }
}

impl Wires for Simulated<RemoteBus> {}

/// Opens the chip in a file, which is created if there is none.
///
/// # Errors
/// [`OpenError`], with the file's name, if it can't be read or created.
pub(super) fn open_file(path: &Path, address: u8) -> Result<(Box<dyn Link>, BusLock), OpenError> {
    let (bus, lock) = open_sim(path, address)?;
    Ok((in_process(&bus, path, address), lock))
}

/// Opens the bus behind a socket.
///
/// # Errors
/// [`OpenError`] if no server listens there.
pub(super) fn open_socket(path: &Path, address: u8) -> Result<(Box<dyn Link>, BusLock), OpenError> {
    let bus = RemoteBus::connect(path).map_err(|error| {
        let text = format!(
            "cannot connect to the simulated chip: {error}. Start it: atecc608-sim serve --socket {} --state FILE",
            path.display()
        );
        match error.kind() {
            io::ErrorKind::PermissionDenied => OpenError::NotPermitted(text),
            _ => OpenError::NotFound(text),
        }
    })?;
    Ok((link(Simulated(bus), Delay, clock(), address), lock_beside(path)?))
}

impl Bus {
    /// Opens `sim:FILE`; also returns the simulated bus, for its counters and faults.
    ///
    /// # Errors
    /// As [`Bus::open`].
    pub fn open_simulated(path: &Path, address: u8) -> Result<(Self, SimBus), OpenError> {
        let (bus, lock) = open_sim(path, address)?;
        Ok((Self { location: BusLocation::Sim(path.to_owned()), link: in_process(&bus, path, address), lock }, bus))
    }
}

/// The chip's time is that of the simulated bus, which does not wait.
fn in_process(bus: &SimBus, path: &Path, address: u8) -> Box<dyn Link> {
    let clock = bus.clone();
    let wires = InProcess { bus: Simulated(bus.clone()), faults: beside(path, ".faults"), spec: String::new() };
    link(wires, bus.clone(), move || clock.now(), address)
}

fn open_sim(path: &Path, address: u8) -> Result<(SimBus, BusLock), OpenError> {
    let mut lock = lock_beside(path)?;
    // Two processes may find the file missing at once; an existing one is replaced as a whole, and reread at each turn.
    let _guard = if path.exists() {
        None
    } else {
        let deadline = Deadline::after(DEFAULT_LOCK_TIMEOUT);
        Some(lock.acquire(deadline, None).map_err(|error| OpenError::InUse(error.to_string()))?)
    };
    let chip = SimChip::open(path, address).map_err(|error| OpenError::Other(error.to_string()))?;
    let bus = SimBus::new(100_000);
    bus.add_chip(chip);
    Ok((bus, lock))
}

/// The lock with `FILE.lock` and `FILE.queue` beside `FILE`.
fn lock_beside(path: &Path) -> Result<BusLock, OpenError> {
    Ok(BusLock::new([LockFile::required(beside(path, ".lock"))?], Queue::open(beside(path, ".queue"))))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
