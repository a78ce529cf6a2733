// SPDX-License-Identifier: MIT OR Apache-2.0
//! The protocol of the simulated bus on a Unix stream socket: one request is one I2C transfer, START to STOP.
//!
//! Integers are little-endian (DESIGN.md section 6):
//!
//! ```text
//! request   u8 number of segments; per segment: u8 flags (bit 0 = read), u8 7-bit address, u16 length,
//!           then the bytes if it is a write
//! reply     u8 result (0 done, 1 address NACK, 2 data NACK, 3 bus error), u8 segment reached;
//!           if 0: the bytes of each read segment in order
//! control   u8 0, u8 verb, u32 length, JSON; its reply: u32 length, JSON
//! ```

use std::io::{self, Read, Write};

/// Most segments in one transfer, as the kernel's I2C_RDWR allows.
pub const MAX_SEGMENTS: usize = 42;
/// Most bytes of JSON in a control request or reply.
pub const MAX_JSON: usize = 1 << 20;

/// One segment of a transfer, between two (repeated) STARTs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Bytes to the chip.
    Write {
        /// 7-bit address.
        address: u8,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Bytes from the chip.
    Read {
        /// 7-bit address.
        address: u8,
        /// The number of bytes.
        len: u16,
    },
}

/// Control verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// Return the counters.
    Stats = 0,
    /// Return the counters, then set them to zero.
    Reset = 1,
    /// Switch the supply off.
    PowerOff = 2,
    /// Switch the supply on.
    PowerOn = 3,
    /// Remove the chip from the bus.
    Pull = 4,
    /// Insert it again.
    Insert = 5,
    /// Set the faults: JSON `{"spec": "..."}`.
    Faults = 6,
}

impl Verb {
    /// Returns the verb with this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stats, Self::Reset, Self::PowerOff, Self::PowerOn, Self::Pull, Self::Insert, Self::Faults]
            .into_iter()
            .find(|verb| *verb as u8 == byte)
    }
}

/// A client's request to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// One I2C transfer.
    Transfer(Vec<Segment>),
    /// A control request: verb byte and JSON text.
    Control(u8, String),
}

/// Why a transfer did not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TransferFault {
    /// The address was not acknowledged.
    AddressNack = 1,
    /// A data byte was not acknowledged.
    DataNack = 2,
    /// The bus failed.
    Bus = 3,
}

/// The result of a transfer: the bytes of each read segment in order, or the fault and the index of its segment.
pub type TransferResult = Result<Vec<Vec<u8>>, (TransferFault, u8)>;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn read_array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_json(stream: &mut impl Read) -> io::Result<String> {
    let len = u32::from_le_bytes(read_array(stream)?) as usize;
    if len > MAX_JSON {
        return Err(invalid("control message too long"));
    }
    let mut text = vec![0; len];
    stream.read_exact(&mut text)?;
    String::from_utf8(text).map_err(|_| invalid("control message is not UTF-8"))
}

impl Request {
    /// Sends the request in one write.
    ///
    /// # Errors
    /// An I/O error of the stream.
    pub fn write_to(&self, stream: &mut impl Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        match self {
            Request::Transfer(segments) => {
                bytes.push(segments.len() as u8);
                for segment in segments {
                    let (flags, address, len) = match segment {
                        Segment::Write { address, data } => (0, *address, data.len() as u16),
                        Segment::Read { address, len } => (1, *address, *len),
                    };
                    bytes.extend([flags, address]);
                    bytes.extend(len.to_le_bytes());
                    if let Segment::Write { data, .. } = segment {
                        bytes.extend(data);
                    }
                }
            }
            Request::Control(verb, json) => {
                bytes.extend([0, *verb]);
                bytes.extend((json.len() as u32).to_le_bytes());
                bytes.extend(json.as_bytes());
            }
        }
        stream.write_all(&bytes)
    }

    /// Receives one request; `None` at the end of the stream.
    ///
    /// # Errors
    /// An I/O error of the stream; `InvalidData` for a request that violates the protocol.
    pub fn read_from(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut count = [0];
        if stream.read(&mut count)? == 0 {
            return Ok(None);
        }
        if count[0] == 0 {
            let [verb] = read_array(stream)?;
            return Ok(Some(Request::Control(verb, read_json(stream)?)));
        }
        if usize::from(count[0]) > MAX_SEGMENTS {
            return Err(invalid("too many segments"));
        }
        let mut segments = Vec::new();
        for _ in 0..count[0] {
            let [flags, address, low, high] = read_array(stream)?;
            let len = u16::from_le_bytes([low, high]);
            segments.push(if flags & 1 == 1 {
                Segment::Read { address, len }
            } else {
                let mut data = vec![0; len.into()];
                stream.read_exact(&mut data)?;
                Segment::Write { address, data }
            });
        }
        Ok(Some(Request::Transfer(segments)))
    }
}

/// Sends the reply to a transfer.
///
/// # Errors
/// An I/O error of the stream.
pub fn write_result(stream: &mut impl Write, result: &TransferResult, segments: u8) -> io::Result<()> {
    let mut bytes = Vec::new();
    match result {
        Ok(reads) => {
            bytes.extend([0, segments]);
            reads.iter().for_each(|read| bytes.extend(read));
        }
        Err((fault, segment)) => bytes.extend([*fault as u8, *segment]),
    }
    stream.write_all(&bytes)
}

/// Receives the reply to a transfer whose read segments have the lengths `reads`.
///
/// # Errors
/// An I/O error of the stream; `InvalidData` for a reply that violates the protocol.
pub fn read_result(stream: &mut impl Read, reads: &[u16]) -> io::Result<TransferResult> {
    let [result, segment] = read_array(stream)?;
    let fault = match result {
        0 => {
            let mut all = Vec::new();
            for len in reads {
                let mut bytes = vec![0; usize::from(*len)];
                stream.read_exact(&mut bytes)?;
                all.push(bytes);
            }
            return Ok(Ok(all));
        }
        1 => TransferFault::AddressNack,
        2 => TransferFault::DataNack,
        3 => TransferFault::Bus,
        _ => return Err(invalid("unknown transfer result")),
    };
    Ok(Err((fault, segment)))
}

/// Sends the reply to a control request.
///
/// # Errors
/// An I/O error of the stream.
pub fn write_control_reply(stream: &mut impl Write, json: &str) -> io::Result<()> {
    let mut bytes = (json.len() as u32).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    stream.write_all(&bytes)
}

/// Receives the reply to a control request.
///
/// # Errors
/// An I/O error of the stream; `InvalidData` for a reply that is too long or not UTF-8.
pub fn read_control_reply(stream: &mut impl Read) -> io::Result<String> {
    read_json(stream)
}
