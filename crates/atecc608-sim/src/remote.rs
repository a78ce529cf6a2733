// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's side of the socket: the bus of `atecc608-sim serve` as an `embedded-hal` I2C bus.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_hal::i2c::{self, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};

use crate::transfer::{read_result, Request, Segment, TransferFault, TransferResult};

/// A server that does not reply to a transfer within this time is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the simulator's server. A broken connection is renewed at the next transfer.
#[derive(Debug)]
pub struct RemoteBus {
    path: PathBuf,
    stream: Option<UnixStream>,
}

/// A failed transfer: the kind of error, and its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    kind: ErrorKind,
    detail: String,
}

impl RemoteError {
    fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl i2c::Error for RemoteError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl RemoteBus {
    /// Connects to the server at a socket.
    ///
    /// # Errors
    /// An I/O error of the connection; `NotFound` or `ConnectionRefused` if no server listens there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), stream: Some(open(path)?) })
    }

    fn exchange(&mut self, request: &Request, lens: &[u16]) -> io::Result<TransferResult> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(open(&self.path)?),
        };
        request.write_to(stream)?;
        read_result(stream, lens)
    }
}

impl ErrorType for RemoteBus {
    type Error = RemoteError;
}

impl I2c<SevenBitAddress> for RemoteBus {
    /// Executes one transfer, START to STOP.
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), RemoteError> {
        let segments: Vec<Segment> = operations
            .iter()
            .map(|operation| match operation {
                Operation::Write(bytes) => Segment::Write { address, data: bytes.to_vec() },
                Operation::Read(buffer) => Segment::Read { address, len: buffer.len() as u16 },
            })
            .collect();
        let lens: Vec<u16> = segments
            .iter()
            .filter_map(|segment| match segment {
                Segment::Read { len, .. } => Some(*len),
                Segment::Write { .. } => None,
            })
            .collect();
        let result = self.exchange(&Request::Transfer(segments), &lens).map_err(|error| {
            // The rest of the reply must not be read as the next one.
            self.stream = None;
            RemoteError::new(ErrorKind::Bus, format!("unix:{}: {error}", self.path.display()))
        })?;
        let reads = result.map_err(|(fault, _)| match fault {
            TransferFault::AddressNack => {
                RemoteError::new(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address), "address not acknowledged")
            }
            TransferFault::DataNack => {
                RemoteError::new(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data), "data not acknowledged")
            }
            TransferFault::Bus => RemoteError::new(ErrorKind::Bus, "the simulated bus reports a bus error"),
        })?;
        let buffers = operations.iter_mut().filter_map(|operation| match operation {
            Operation::Read(buffer) => Some(buffer),
            Operation::Write(_) => None,
        });
        for (buffer, bytes) in buffers.zip(reads) {
            buffer.copy_from_slice(&bytes);
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
