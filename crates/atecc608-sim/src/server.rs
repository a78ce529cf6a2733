// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated bus behind a Unix stream socket: `atecc608-sim serve` (DESIGN.md section 6).
//!
//! One thread per client. A transfer is atomic, so the clients share the bus like several masters. A socket file left
//! behind by a killed server is replaced at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;

use super::bus::{SimBus, Timing};
use super::chip::SimChip;
use super::control;
use super::faults::Faults;
use super::image::ImageError;
use super::profiles::Order;
use super::switches::Switches;
use crate::transfer::{write_control_reply, write_result, Request};

/// Longer than the lock of one conversation by a program that uses the image through `sim:FILE`.
const LOCK_ATTEMPTS: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Time between two attempts to accept a client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bus with the chip of an image file.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// The chip's image file.
    pub state: PathBuf,
    /// The chip to create if there is no such file.
    pub order: Order,
    /// The bus's clock frequency.
    pub i2c_hz: u32,
    /// Whether execution takes time.
    pub timing: Timing,
    /// Faults from the start.
    pub faults: Faults,
    /// Makes times and random numbers reproducible.
    pub seed: Option<u64>,
    /// The chip's behaviour where the fact sheet is uncertain.
    pub switches: Switches,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The image file can't be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Another process serves this image, or uses it through `sim:FILE`.
    #[error("{} is in use by another process (it holds {})", state.display(), lock.display())]
    InUse {
        /// The image file.
        state: PathBuf,
        /// Its lock file.
        lock: PathBuf,
    },
    /// Another server listens at the socket.
    #[error("another server listens on {}: stop it, or choose another --socket", .0.display())]
    SocketInUse(PathBuf),
    /// The socket's path exists and is not a socket.
    #[error("{} exists and is not a socket: move it away, or choose another --socket", .0.display())]
    NotASocket(PathBuf),
    /// An I/O error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

fn named(path: &Path) -> impl Fn(io::Error) -> ServeError + '_ {
    |source| ServeError::Io { path: path.to_owned(), source }
}

/// Locks the image and puts its chip on a bus. The fault `kill` then ends the process. The image is locked until the
/// returned file is closed.
///
/// # Errors
/// [`ServeError::Image`] if the image can't be used, [`ServeError::InUse`] if another process has locked it,
/// [`ServeError::Io`] if the lock file can't be opened.
pub fn open_bus(options: &BusOptions) -> Result<(SimBus, File), ServeError> {
    let lock = lock_image(&options.state)?;
    let chip = SimChip::open_order(&options.state, &options.order)?;
    let bus = SimBus::with_timing(options.i2c_hz, options.timing);
    bus.add_chip(chip.with_switches(options.switches.clone()));
    if let Some(seed) = options.seed {
        bus.seed(seed);
    }
    bus.own_process();
    bus.set_faults(options.faults.clone());
    Ok((bus, lock))
}

/// A bus whose socket is open.
pub struct Server {
    bus: SimBus,
    listener: UnixListener,
}

impl Server {
    /// Opens a socket for a bus.
    ///
    /// # Errors
    /// [`ServeError::SocketInUse`] if another server listens there, [`ServeError::NotASocket`] if the path is taken,
    /// else [`ServeError::Io`].
    pub fn on_bus(bus: SimBus, socket: &Path) -> Result<Self, ServeError> {
        Ok(Self { bus, listener: listen(socket)? })
    }

    /// The bus.
    pub fn bus(&self) -> &SimBus {
        &self.bus
    }

    /// Serves clients until the process ends or accepting fails.
    ///
    /// # Errors
    /// An I/O error of the listening socket.
    pub fn run(self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((client, _)) => {
                    let bus = self.bus.clone();
                    thread::Builder::new().spawn(move || serve_client(&bus, client))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // For instance too many open files; clients that disconnect will free some.
                Err(error) => {
                    log::warn!("a client could not be accepted: {error}");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }
}

fn lock_image(state: &Path) -> Result<File, ServeError> {
    let mut lock = state.as_os_str().to_owned();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o660)
        .open(&lock)
        .map_err(named(&lock))?;
    // Whatever the umask. Only the owner can change the mode; others find it as it is.
    let _ = file.set_permissions(fs::Permissions::from_mode(0o660));
    for _ in 0..LOCK_ATTEMPTS {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(named(&lock)(error.into())),
        }
    }
    Err(ServeError::InUse { state: state.to_owned(), lock })
}

fn listen(socket: &Path) -> Result<UnixListener, ServeError> {
    match fs::symlink_metadata(socket) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ServeError::NotASocket(socket.to_owned())),
        Ok(_) => {
            if UnixStream::connect(socket).is_ok() {
                return Err(ServeError::SocketInUse(socket.to_owned()));
            }
            // No server listens: a killed one left the socket.
            fs::remove_file(socket).map_err(named(socket))?;
        }
        Err(_) => {}
    }
    UnixListener::bind(socket).map_err(named(socket))
}

fn serve_client(bus: &SimBus, client: UnixStream) {
    if let Err(error) = answer_requests(bus, client) {
        log::warn!("simulator: closed the connection of a client: {error}");
    }
}

fn answer_requests(bus: &SimBus, mut client: UnixStream) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    while let Some(request) = Request::read_from(&mut requests)? {
        match request {
            Request::Transfer(segments) => {
                write_result(&mut client, &bus.transfer(&segments), segments.len() as u8)?;
            }
            Request::Control(verb, text) => write_control_reply(&mut client, &control::answer(bus, verb, &text))?,
        }
    }
    Ok(())
}
