// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608-sim usbip`: the simulated bus behind a USB adapter, which the running kernel treats as hardware. The bus
//! gets a node `/dev/i2c-N`.
//!
//! The kernel's driver `i2c-tiny-usb` supports the adapter. It is attached to `vhci-hcd`, the kernel's host controller
//! for USB/IP, by a socket, without a network or a second program. The kernel unplugs the adapter when the socket
//! closes, however the process ends.

mod adapter;
mod kernel;
mod protocol;

use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::bus::SimBus;
use adapter::Adapter;
pub use kernel::{Kernel, PlugError};
use protocol::Request;

/// An adapter that is plugged in.
#[derive(Debug)]
pub struct Plugged {
    node: PathBuf,
    session: JoinHandle<io::Result<()>>,
}

impl Plugged {
    /// Plugs an adapter with this bus into a free port, and waits for its node.
    ///
    /// # Errors
    /// [`PlugError`] if no port is free, a driver is missing, the kernel unplugs the adapter, or another step fails.
    /// The adapter is then unplugged when the process ends.
    pub fn new(kernel: &Kernel, bus: SimBus) -> Result<Self, PlugError> {
        let (ours, kernels) = UnixStream::pair().map_err(PlugError::Socket)?;
        let port = kernel.attach(&kernels)?;
        // The kernel has its own reference.
        drop(kernels);
        let session = thread::spawn(move || serve(ours, bus));
        let node = kernel.wait_for_node(port, || session.is_finished())?;
        Ok(Self { node, session })
    }

    /// Returns the node of the adapter, such as `/dev/i2c-1`.
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// Waits until the kernel unplugs the adapter.
    ///
    /// # Errors
    /// `InvalidData` for a request that violates the protocol; else an I/O error of the socket.
    pub fn wait(self) -> io::Result<()> {
        self.session.join().map_err(|_| io::Error::other("the adapter's thread panicked"))?
    }
}

/// Replies to the kernel's requests to an adapter with this bus, until the kernel closes the stream.
///
/// Requests are replied to in order, each before the next one is read. So the request that an UNLINK names already has
/// its reply.
///
/// # Errors
/// `InvalidData` for a request that violates the protocol; else an I/O error of the stream.
pub fn serve(mut stream: UnixStream, bus: SimBus) -> io::Result<()> {
    let mut adapter = Adapter::new(bus);
    let mut conversation = || -> io::Result<()> {
        while let Some(request) = Request::read_from(&mut stream)? {
            let reply = match request {
                Request::Submit(submit) => submit.reply(adapter.submit(&submit)),
                Request::Unlink(unlink) => unlink.reply_answered(),
            };
            stream.write_all(&reply)?;
        }
        Ok(())
    };
    match conversation() {
        // The kernel unplugs it while requests are on the way.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        other => other,
    }
}
