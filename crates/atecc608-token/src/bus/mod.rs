// SPDX-License-Identifier: MIT OR Apache-2.0
//! The links to a chip, through an I2C adapter of Linux or on a simulated bus; and the lock around one conversation.
//!
//! [`Bus`] is the driver's [`Transport`] to one chip. It contains a `Link`: `linux.rs` opens one, `simulated.rs` the
//! others. A new kind of link is another file that returns one, and a line in [`Bus::open`].

mod arrival;
mod lengths;
mod linux;
pub mod lock;
mod lock_file;
mod node;
#[cfg_attr(not(feature = "sim"), path = "not_simulated.rs")]
mod simulated;
mod wires;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, ErrorKind, I2c};

use crate::config::{node_name, BusLocation, TokenConfig, DEFAULT_ADDRESS};
use crate::deadline::Deadline;
use atecc608::i2c::probe::{self, Answer};
use atecc608::i2c::I2cTransport;
use atecc608::transport::{Fault, Transport};
use atecc608_wire::config_zone::SerialNumber;

use arrival::Queue;
use lock::{AtEnd, BusLock};
use lock_file::LockFile;
use node::{Identity, Node};

pub(crate) use lock_file::{open_lock_descriptors, LockDescriptor};

pub(crate) use node::Identity as NodeIdentity;

pub use lock::{LockError, LockGuard, Notice};
pub use wires::root_of_channel;

/// A failed transfer: the kind of error, for the driver, and the cause, for the log.
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
    /// A kernel driver has claimed the chip's address, or another server the simulated chip.
    #[error("{0}")]
    InUse(String),
    /// The adapter supports SMBus only.
    #[error("{0}")]
    SmbusOnly(String),
    /// Any other error.
    #[error("{0}")]
    Other(String),
}

/// The link to one chip.
trait Link: Transport + Send {
    /// Rereads data that other processes may have changed since the last turn. The caller has just taken the lock.
    ///
    /// # Errors
    /// An I/O error of the simulated chip's file.
    fn refresh(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether the last transfer found no adapter.
    fn is_gone(&self) -> bool {
        false
    }

    /// The action at the end of the turn that begins.
    fn at_end(&self) -> Option<AtEnd> {
        None
    }

    /// Whether a device at this address of the chip's bus can be reached.
    fn reaches(&self, _address: u8) -> bool {
        true
    }

    /// Returns which chips respond at these addresses of the bus.
    fn ask(&mut self, addresses: &[u8]) -> Vec<(u8, Answer)> {
        let failed = Answer::Failed("only an I2C bus can be scanned".to_owned().into());
        addresses.iter().map(|address| (*address, failed.clone())).collect()
    }

    /// Returns the I2C bus of the chip, for transfers that bypass the driver.
    fn i2c(&mut self) -> Option<&mut dyn I2c<Error = BusError>> {
        None
    }
}

/// An I2C bus for a [`Link`].
trait Wires: I2c<Error = BusError> + Send {
    /// [`Link::refresh`].
    ///
    /// # Errors
    /// As there.
    fn refresh(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// [`Link::is_gone`].
    fn is_gone(&self) -> bool {
        false
    }

    /// [`Link::at_end`].
    fn at_end(&self) -> Option<AtEnd> {
        None
    }

    /// [`Link::reaches`].
    fn reaches(&self, _address: u8) -> bool {
        true
    }
}

impl<W, D, C> Link for I2cTransport<W, D, C>
where
    W: Wires,
    D: DelayNs + Send,
    C: Fn() -> Duration + Send,
{
    fn refresh(&mut self) -> io::Result<()> {
        self.bus_mut().refresh()
    }

    fn is_gone(&self) -> bool {
        self.bus().is_gone()
    }

    fn at_end(&self) -> Option<AtEnd> {
        self.bus().at_end()
    }

    fn reaches(&self, address: u8) -> bool {
        self.bus().reaches(address)
    }

    fn ask(&mut self, addresses: &[u8]) -> Vec<(u8, Answer)> {
        probe::ask(self, addresses)
    }

    fn i2c(&mut self) -> Option<&mut dyn I2c<Error = BusError>> {
        Some(self.bus_mut())
    }
}

/// The chip at `address` of an I2C bus.
fn link<W, D, C>(wires: W, delay: D, clock: C, address: u8) -> Box<dyn Link>
where
    W: Wires + 'static,
    D: DelayNs + Send + 'static,
    C: Fn() -> Duration + Send + 'static,
{
    Box::new(I2cTransport::new(wires, delay, clock, address).describe_errors(BusError::to_string))
}

/// A clock that starts now.
fn clock() -> impl Fn() -> Duration + Send {
    let start = Instant::now();
    move || start.elapsed()
}

/// Fills `bytes` with the system's random numbers, for [`atecc608::Chip::new`].
///
/// # Errors
/// A text if the system has none.
pub fn host_random(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(|error| error.to_string())
}

/// An open bus and one chip on it.
pub struct Bus {
    location: BusLocation,
    link: Box<dyn Link>,
    lock: BusLock,
}

impl Bus {
    /// Opens the bus for the chip at `address`. Containers that share `state_dir` share the lock.
    ///
    /// # Errors
    /// [`OpenError`], with the node and the remedy, if the node can't be opened, the address is in use, the adapter
    /// supports SMBus only, or the simulated chip can't be opened.
    pub fn open(location: &BusLocation, address: u8, state_dir: &Path) -> Result<Self, OpenError> {
        let (link, lock) = match location {
            BusLocation::Linux(path) => {
                // Open the node first: it gives the best error.
                let wires: linux::LinuxBus = linux::LinuxBus::open(path, address)?;
                (linux::link(wires, address), linux_lock(path, state_dir)?)
            }
            BusLocation::Sim(path) => simulated::open_file(path, address)?,
            BusLocation::Unix(path) => simulated::open_socket(path, address)?,
        };
        Ok(Self { location: location.clone(), link, lock })
    }

    /// Opens a bus to probe these addresses. The file of a simulated chip must exist; on it and on a simulated bus all
    /// addresses can be probed.
    ///
    /// # Errors
    /// As [`Bus::open`].
    pub fn open_to_scan(location: &BusLocation, addresses: &[u8], state_dir: &Path) -> Result<Self, OpenError> {
        match location {
            BusLocation::Linux(path) => {
                let wires: linux::LinuxBus = linux::LinuxBus::open_several(path, addresses)?;
                let link = linux::link(wires, DEFAULT_ADDRESS);
                Ok(Self { location: location.clone(), link, lock: linux_lock(path, state_dir)? })
            }
            BusLocation::Sim(path) if !path.exists() => {
                Err(OpenError::NotFound(format!("{location}: the file does not exist")))
            }
            BusLocation::Sim(_) | BusLocation::Unix(_) => Self::open(location, DEFAULT_ADDRESS, state_dir),
        }
    }

    /// Opens the bus of a token's chip. Of several it opens the first on which a chip of the family responds at the
    /// token's address: each is locked and probed in order, until `deadline`.
    ///
    /// # Errors
    /// As [`Bus::open`]; [`OpenError::NotFound`], with the cause for each bus, if the chip is on none of several;
    /// [`OpenError::InUse`] if one of them could not be locked and probed.
    pub fn open_first(token: &TokenConfig, state_dir: &Path, deadline: Deadline) -> Result<Self, OpenError> {
        if token.other_buses.is_empty() {
            return Self::open(&token.bus, token.address, state_dir);
        }
        let (mut causes, mut locked) = (Vec::new(), false);
        for location in token.buses() {
            let answer = Self::open_to_scan(location, &[token.address], state_dir).map_err(|error| error.to_string());
            let answer = answer.and_then(|mut bus| {
                let guard = bus.lock(deadline).inspect_err(|_| locked = true).map_err(|error| error.to_string())?;
                let answer = if bus.can_reach(token.address) { bus.ask(&[token.address]).pop() } else { None };
                drop(guard);
                match answer {
                    Some((_, Answer::Woken | Answer::SelfTestFailed)) => Ok(()),
                    Some(_) => Err(format!("{location}: no chip responds at {:#04x}", token.address)),
                    None => Err(format!("{location}: a kernel driver has the address {:#04x}", token.address)),
                }
            });
            match answer {
                Ok(()) => return Self::open(location, token.address, state_dir),
                Err(cause) => causes.push(cause),
            }
        }
        let causes = causes.join("; ");
        Err(match locked {
            true => OpenError::InUse(causes),
            false => OpenError::NotFound(format!(
                "{causes}. `atecc608 scan --all-addresses` shows a chip at another address"
            )),
        })
    }

    /// Whether a device at this address can be reached: `false` if a kernel driver has claimed it.
    pub fn can_reach(&self, address: u8) -> bool {
        self.link.reaches(address)
    }

    /// Returns which chips respond at these addresses of the bus ([`probe::ask`]). The caller holds the bus lock.
    pub fn ask(&mut self, addresses: &[u8]) -> Vec<(u8, Answer)> {
        self.link.ask(addresses)
    }

    /// Returns the I2C bus of the chip, for transfers that bypass the driver: for tests of a chip.
    pub fn i2c(&mut self) -> Option<&mut dyn I2c<Error = BusError>> {
        self.link.i2c()
    }

    /// Takes the bus lock for one conversation, in order of arrival. A free bus is taken whatever the deadline. Rereads
    /// the file of a simulated chip.
    ///
    /// # Errors
    /// [`LockError::Held`] when the deadline passes; [`LockError::Unusable`] if a lock file can't be locked.
    pub fn lock(&mut self, deadline: Deadline) -> Result<LockGuard, LockError> {
        let guard = self.lock.acquire(deadline, None)?;
        self.begin_turn(guard)
    }

    /// As [`Bus::lock`]; calls `notice` if the wait becomes long.
    ///
    /// # Errors
    /// As [`Bus::lock`].
    pub fn lock_with_notice(&mut self, deadline: Deadline, notice: Notice<'_>) -> Result<LockGuard, LockError> {
        let guard = self.lock.acquire(deadline, Some(notice))?;
        self.begin_turn(guard)
    }

    /// Takes the bus lock for one conversation. Returns `None` if another process has it or waits for it.
    ///
    /// # Errors
    /// [`LockError::Unusable`] if a lock file can't be locked.
    pub fn try_lock(&mut self) -> Result<Option<LockGuard>, LockError> {
        let guard = self.lock.try_acquire()?;
        guard.map(|guard| self.begin_turn(guard)).transpose()
    }

    fn begin_turn(&mut self, guard: LockGuard) -> Result<LockGuard, LockError> {
        self.link.refresh().map_err(|error| LockError::Unusable(format!("{}: {error}", self.location)))?;
        Ok(guard.at_end(self.link.at_end()))
    }

    /// Returns the node that was opened for the last turn, if the bus has one. Another node may be another adapter.
    pub(crate) fn node(&self) -> Option<Identity> {
        self.lock.node()
    }

    /// Whether the last transfer found no adapter.
    pub(crate) fn is_gone(&self) -> bool {
        self.link.is_gone()
    }

    /// Returns the location.
    pub fn location(&self) -> &BusLocation {
        &self.location
    }

    /// Whether a chip with this serial number on this bus is simulated: a simulated serial number means that on every
    /// bus, and every chip on the simulator's own buses is simulated.
    pub fn is_simulated(&self, serial: &SerialNumber) -> bool {
        serial.is_simulated() || self.has_simulated_chips()
    }

    /// Whether every chip on this bus is simulated.
    pub(crate) fn has_simulated_chips(&self) -> bool {
        !matches!(self.location, BusLocation::Linux(_))
    }
}

/// Returns the lock of a node, and of the files that containers with their own nodes share.
fn linux_lock(path: &Path, state_dir: &Path) -> Result<BusLock, OpenError> {
    let name = node_name(path);
    let shared = LockFile::optional(state_dir.join(format!("{name}.lock")), "locking the bus node only")?;
    let queue = Queue::open(state_dir.join(format!("{name}.queue")));
    Ok(BusLock::new(shared, queue).with_node(Node::new(path)))
}

impl Transport for Bus {
    fn name(&self) -> String {
        self.link.name()
    }

    fn absence(&self) -> String {
        self.link.absence()
    }

    fn wake(&mut self) -> Result<(), Fault> {
        self.link.wake()
    }

    fn send(&mut self, packet: &[u8]) -> Result<(), Fault> {
        self.link.send(packet)
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        self.link.receive(bytes)
    }

    fn reset(&mut self) -> Result<(), Fault> {
        self.link.reset()
    }

    fn sleep(&mut self) -> Result<(), Fault> {
        self.link.sleep()
    }

    fn idle(&mut self) -> Result<(), Fault> {
        self.link.idle()
    }

    fn now(&self) -> Duration {
        self.link.now()
    }

    fn delay(&mut self, time: Duration) {
        self.link.delay(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bridge, not an I2C bus, to a chip that responds to Info(revision).
    struct Bridge {
        reply: &'static [u8],
        time: Duration,
    }

    impl Transport for Bridge {
        fn name(&self) -> String {
            "bridge".to_owned()
        }

        fn absence(&self) -> String {
            "no chip responds behind the bridge".to_owned()
        }

        fn wake(&mut self) -> Result<(), Fault> {
            self.reply = &[0x04, 0x11, 0x33, 0x43];
            Ok(())
        }

        fn send(&mut self, packet: &[u8]) -> Result<(), Fault> {
            assert_eq!(packet, [0x07, 0x30, 0x00, 0x00, 0x00, 0x03, 0x5D]);
            self.reply = &[0x07, 0x00, 0x00, 0x60, 0x03, 0x83, 0xBB];
            Ok(())
        }

        fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
            let (now, later) = self.reply.split_at_checked(bytes.len()).ok_or(Fault::Nack)?;
            bytes.copy_from_slice(now);
            self.reply = later;
            Ok(())
        }

        fn reset(&mut self) -> Result<(), Fault> {
            Ok(())
        }

        fn sleep(&mut self) -> Result<(), Fault> {
            self.reply = &[];
            Ok(())
        }

        fn idle(&mut self) -> Result<(), Fault> {
            Ok(())
        }

        fn now(&self) -> Duration {
            self.time
        }

        fn delay(&mut self, time: Duration) {
            self.time += time;
        }
    }

    impl Link for Bridge {}

    #[test]
    fn a_chip_behind_a_bridge_that_is_no_i2c_bus_is_used_like_others() {
        let dir = tempfile::tempdir().unwrap();
        let lock = LockFile::required(dir.path().join("bridge.lock")).unwrap();
        let mut bus = Bus {
            location: BusLocation::Linux("/dev/ttyACM0".into()),
            link: Box::new(Bridge { reply: &[], time: Duration::ZERO }),
            lock: BusLock::new([lock], Queue::open(dir.path().join("bridge.queue"))),
        };
        assert!(bus.i2c().is_none());
        assert!(matches!(bus.ask(&[0x60])[..], [(0x60, Answer::Failed(_))]));
        let mut chip = atecc608::Chip::new(bus, host_random);
        let revision = chip.converse(|awake| awake.execute(&atecc608::wire::commands::Info::Revision));
        assert_eq!(revision, Ok([0x00, 0x00, 0x60, 0x03]));
    }
}
