//! A simulated bus behind a Unix socket, served by `atecc608-sim`.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource, Operation};

use super::{BusError, OpenError};
use atecc608_wire::transfer::{read_result, Request, Segment, TransferFault};

/// A server that does not answer a transfer for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the simulator's server. One that broke is made anew at the next transfer.
pub(super) struct RemoteBus {
    path: PathBuf,
    stream: Option<UnixStream>,
}

impl RemoteBus {
    /// Connects to the server.
    ///
    /// # Errors
    /// [`OpenError`] if nobody listens there.
    pub fn connect(path: &Path) -> Result<Self, OpenError> {
        let stream = open(path).map_err(|error| {
            let text = format!("unix:{}: {error}; is `atecc608-sim serve` running?", path.display());
            match error.kind() {
                io::ErrorKind::PermissionDenied => OpenError::NotPermitted(text),
                _ => OpenError::NotFound(text),
            }
        })?;
        Ok(Self { path: path.to_owned(), stream: Some(stream) })
    }

    /// One transfer, START to STOP.
    pub(super) fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
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
            // What is left of the reply must not become the next one.
            self.stream = None;
            BusError::new(ErrorKind::Bus, format!("unix:{}: {error}", self.path.display()))
        })?;
        let reads = result.map_err(|(fault, _)| match fault {
            TransferFault::AddressNack => {
                BusError::new(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address), "address not acknowledged")
            }
            TransferFault::DataNack => {
                BusError::new(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data), "data not acknowledged")
            }
            TransferFault::Bus => BusError::new(ErrorKind::Bus, "the simulated bus reports a bus error"),
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

    fn exchange(&mut self, request: &Request, lens: &[u16]) -> io::Result<atecc608_wire::transfer::TransferResult> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.stream.insert(open(&self.path)?),
        };
        request.write_to(stream)?;
        read_result(stream, lens)
    }
}

fn open(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
