//! Where a chip is reached: an I2C adapter of Linux, a simulated chip in this process, or a simulated bus behind
//! a socket; and the lock around one conversation.

mod linux;
pub mod lock;
mod lock_file;
#[cfg(feature = "sim")]
mod remote;

use std::fmt;
use std::path::Path;
#[cfg(feature = "sim")]
use std::path::PathBuf;
use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, ErrorKind, ErrorType, I2c, Operation};

#[cfg(feature = "sim")]
use crate::config::DEFAULT_LOCK_TIMEOUT;
use crate::config::{BusLocation, DEFAULT_ADDRESS};
use crate::deadline::Deadline;
use atecc608::Transport;
#[cfg(feature = "sim")]
use atecc608_sim as sim;

use lock::BusLock;
use lock_file::LockFile;

pub use lock::{LockError, LockGuard, Notice};

/// A transfer that failed: how, for the driver, and why, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusError {
    kind: ErrorKind,
    detail: String,
}

impl BusError {
    /// A failure of this kind.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Why a bus can't be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The node, file or socket does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The user may not open it.
    #[error("{0}")]
    NotPermitted(String),
    /// A kernel driver has taken the chip's address, or another server the simulated chip.
    #[error("{0}")]
    InUse(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// An open bus.
pub struct Bus {
    location: BusLocation,
    transport: Kind,
    lock: BusLock,
}

enum Kind {
    Linux(linux::LinuxBus),
    #[cfg(feature = "sim")]
    Sim(sim::SimBus),
    #[cfg(feature = "sim")]
    Remote(remote::RemoteBus),
}

impl Bus {
    /// Opens the bus for the chip at `address`. `state_dir` is where containers that share it share the lock.
    ///
    /// # Errors
    /// [`OpenError`] that names the node and the remedy.
    pub fn open(location: &BusLocation, address: u8, state_dir: &Path) -> Result<Self, OpenError> {
        let (transport, lock) = match location {
            BusLocation::Linux(path) => {
                // First, since it says best what is wrong with a node.
                let bus = linux::LinuxBus::open(path, address)?;
                (Kind::Linux(bus), linux_lock(path, state_dir)?)
            }
            #[cfg(feature = "sim")]
            BusLocation::Sim(path) => {
                let mut lock = BusLock::new([LockFile::required(with_suffix(path))?]);
                (Kind::Sim(open_sim(path, address, &mut lock)?), lock)
            }
            #[cfg(feature = "sim")]
            BusLocation::Unix(path) => (
                Kind::Remote(remote::RemoteBus::connect(path)?),
                BusLock::new([LockFile::required(with_suffix(path))?]),
            ),
            #[cfg(not(feature = "sim"))]
            BusLocation::Sim(_) | BusLocation::Unix(_) => {
                return Err(OpenError::Other("this module was built without the feature `sim`".to_owned()))
            }
        };
        Ok(Self { location: location.clone(), transport, lock })
    }

    /// Opens a bus to see who is on it at these addresses. Of a simulated chip's file, which has to be there, and of a simulated
    /// bus all addresses can be asked.
    ///
    /// # Errors
    /// [`OpenError`], as [`Bus::open`].
    pub fn open_to_scan(location: &BusLocation, addresses: &[u8], state_dir: &Path) -> Result<Self, OpenError> {
        match location {
            BusLocation::Linux(path) => {
                let transport = Kind::Linux(linux::LinuxBus::open_several(path, addresses)?);
                Ok(Self { location: location.clone(), transport, lock: linux_lock(path, state_dir)? })
            }
            BusLocation::Sim(path) if !path.exists() => {
                Err(OpenError::NotFound(format!("{location}: the file does not exist")))
            }
            BusLocation::Sim(_) | BusLocation::Unix(_) => Self::open(location, DEFAULT_ADDRESS, state_dir),
        }
    }

    /// Whether a device at this address can be talked to: none that a kernel driver has.
    pub fn can_reach(&self, address: u8) -> bool {
        match &self.transport {
            Kind::Linux(bus) => bus.has(address),
            #[cfg(feature = "sim")]
            Kind::Sim(_) | Kind::Remote(_) => true,
        }
    }

    /// Takes the bus for one conversation, after those who have waited longer. A free bus is taken whatever the deadline. Reads
    /// what other processes did to a simulated chip's file meanwhile.
    ///
    /// # Errors
    /// [`LockError::Held`] when the deadline passes; [`LockError::Unusable`] if a lock file can't be locked.
    pub fn lock(&mut self, deadline: Deadline) -> Result<LockGuard, LockError> {
        let guard = self.lock.acquire(deadline, None)?;
        self.begin_turn(guard)
    }

    /// As [`Bus::lock`]; gives notice if the wait becomes a long one.
    ///
    /// # Errors
    /// Those of [`Bus::lock`].
    pub fn lock_with_notice(&mut self, deadline: Deadline, notice: Notice<'_>) -> Result<LockGuard, LockError> {
        let guard = self.lock.acquire(deadline, Some(notice))?;
        self.begin_turn(guard)
    }

    /// Takes the bus for one conversation if nobody has it or waits for it, `None` if somebody does.
    ///
    /// # Errors
    /// [`LockError::Unusable`] if a lock file can't be locked.
    pub fn try_lock(&mut self) -> Result<Option<LockGuard>, LockError> {
        let guard = self.lock.try_acquire()?;
        guard.map(|guard| self.begin_turn(guard)).transpose()
    }

    fn begin_turn(&self, guard: LockGuard) -> Result<LockGuard, LockError> {
        #[cfg(feature = "sim")]
        if let Kind::Sim(bus) = &self.transport {
            bus.reload().map_err(|error| LockError::Unusable(format!("{}: {error}", self.location)))?;
        }
        Ok(guard)
    }

    /// Where it is.
    pub fn location(&self) -> &BusLocation {
        &self.location
    }

    /// Whether the chip on it is a simulated one.
    pub fn is_simulated(&self) -> bool {
        !matches!(self.location, BusLocation::Linux(_))
    }

    /// The simulated bus, for its counters and faults.
    #[cfg(feature = "sim")]
    pub fn simulated(&self) -> Option<&sim::SimBus> {
        match &self.transport {
            Kind::Sim(bus) => Some(bus),
            _ => None,
        }
    }
}

/// The node itself, and the file that containers with nodes of their own share.
fn linux_lock(path: &Path, state_dir: &Path) -> Result<BusLock, OpenError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let shared = LockFile::optional(state_dir.join(format!("{name}.lock")), "locking the bus node only");
    Ok(BusLock::new(std::iter::once(LockFile::node(path)?).chain(shared)))
}

/// `FILE.lock` beside `FILE`.
#[cfg(feature = "sim")]
fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(feature = "sim")]
fn open_sim(path: &Path, address: u8, lock: &mut BusLock) -> Result<sim::SimBus, OpenError> {
    // Two processes may find the file missing at once; one that is there is replaced whole, and read at each turn.
    let _guard = if path.exists() {
        None
    } else {
        let deadline = Deadline::after(DEFAULT_LOCK_TIMEOUT);
        Some(lock.acquire(deadline, None).map_err(|error| OpenError::InUse(error.to_string()))?)
    };
    let chip = sim::SimChip::open(path, address).map_err(|error| OpenError::Other(error.to_string()))?;
    let bus = sim::SimBus::new(100_000);
    bus.add_chip(chip);
    Ok(bus)
}

impl ErrorType for Bus {
    type Error = BusError;
}

impl I2c for Bus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        match &mut self.transport {
            Kind::Linux(bus) => bus.transaction(address, operations),
            #[cfg(feature = "sim")]
            Kind::Sim(bus) => {
                bus.transaction(address, operations).map_err(|kind| BusError::new(kind, kind.to_string()))
            }
            #[cfg(feature = "sim")]
            Kind::Remote(bus) => bus.transaction(address, operations),
        }
    }
}

impl DelayNs for Bus {
    fn delay_ns(&mut self, ns: u32) {
        match &mut self.transport {
            #[cfg(feature = "sim")]
            Kind::Sim(bus) => bus.delay_ns(ns),
            _ => linux_embedded_hal::Delay.delay_ns(ns),
        }
    }

    fn delay_us(&mut self, us: u32) {
        match &mut self.transport {
            #[cfg(feature = "sim")]
            Kind::Sim(bus) => bus.delay_us(us),
            _ => linux_embedded_hal::Delay.delay_us(us),
        }
    }
}

impl Transport for Bus {
    fn now(&self) -> Duration {
        match &self.transport {
            #[cfg(feature = "sim")]
            Kind::Sim(bus) => bus.now(),
            // CLOCK_MONOTONIC.
            _ => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
            }
        }
    }
}
