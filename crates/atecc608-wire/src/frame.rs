// SPDX-License-Identifier: MIT OR Apache-2.0
//! Count and CRC around commands and responses (fact sheet sections 2.1 and 2.2).

use alloc::vec::Vec;

use zeroize::ZeroizeOnDrop;

use super::crc::crc16;
use super::opcode::Opcode;
use super::{MAX_PACKET, MIN_PACKET, MIN_RESPONSE};

/// An error in a packet's envelope. The chip responds to each of these with status FF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the smallest packet, or than the count requires.
    #[error("{got} bytes instead of {expected}")]
    Short {
        /// Bytes received.
        got: u16,
        /// Bytes that the count (or the smallest packet) requires.
        expected: u16,
    },
    /// The count byte is outside the legal range, or differs from the number of bytes.
    #[error("count byte {0} does not fit the packet")]
    Count(u8),
    /// The checksum does not match.
    #[error("checksum {got:02X?} instead of {expected:02X?}")]
    Crc {
        /// As received.
        got: [u8; 2],
        /// As computed over the bytes received.
        expected: [u8; 2],
    },
}

/// A command without its envelope: opcode, two parameters, 0 to 148 data bytes. The data, which may be a key, is wiped
/// on drop.
#[derive(Clone, Debug, PartialEq, Eq, ZeroizeOnDrop)]
pub struct CommandPacket {
    /// Which command.
    #[zeroize(skip)]
    pub opcode: Opcode,
    /// Its mode byte.
    pub param1: u8,
    /// Its second parameter, sent low byte first.
    pub param2: u16,
    /// Its data.
    pub data: Vec<u8>,
}

impl CommandPacket {
    /// A command without data.
    pub fn new(opcode: Opcode, param1: u8, param2: u16) -> Self {
        Self { opcode, param1, param2, data: Vec::new() }
    }

    /// A command with data.
    pub fn with_data(opcode: Opcode, param1: u8, param2: u16, data: Vec<u8>) -> Self {
        Self { opcode, param1, param2, data }
    }

    /// The bytes on the wire after the word address: count, opcode, parameters, data, CRC.
    pub fn encode(&self) -> Vec<u8> {
        let count = MIN_PACKET + self.data.len();
        debug_assert!(count <= MAX_PACKET, "every command type bounds its data");
        let mut bytes = Vec::with_capacity(count);
        bytes.push(count as u8);
        bytes.push(self.opcode.0);
        bytes.push(self.param1);
        bytes.extend(self.param2.to_le_bytes());
        bytes.extend(&self.data);
        let crc = crc16(&bytes);
        bytes.extend(crc);
        bytes
    }

    /// Decodes one whole command packet; trailing bytes are an error.
    ///
    /// # Errors
    /// [`FrameError`] if length, count or CRC is wrong; the chip responds to each with status FF.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let body = checked_body(bytes, MIN_PACKET, MAX_PACKET)?;
        Ok(Self {
            opcode: Opcode(body[0]),
            param1: body[1],
            param2: u16::from_le_bytes([body[2], body[3]]),
            data: body[4..].to_vec(),
        })
    }
}

/// Returns the bytes of a response on the wire: count, payload, CRC. `payload` is 1 to 252 bytes.
pub fn encode_response(payload: &[u8]) -> Vec<u8> {
    debug_assert!(!payload.is_empty() && payload.len() <= 252, "a response holds 1 to 252 bytes");
    let mut bytes = Vec::with_capacity(payload.len() + 3);
    bytes.push((payload.len() + 3) as u8);
    bytes.extend(payload);
    let crc = crc16(&bytes);
    bytes.extend(crc);
    bytes
}

/// Returns the payload of one whole response; trailing bytes are an error.
///
/// # Errors
/// [`FrameError`] if length, count or CRC is wrong; the reply can be read again.
pub fn decode_response(bytes: &[u8]) -> Result<&[u8], FrameError> {
    checked_body(bytes, MIN_RESPONSE, 255)
}

/// Returns the bytes between the count and the CRC, after checking both.
fn checked_body(bytes: &[u8], smallest: usize, largest: usize) -> Result<&[u8], FrameError> {
    if bytes.len() < smallest {
        return Err(FrameError::Short { got: bytes.len() as u16, expected: smallest as u16 });
    }
    let count = usize::from(bytes[0]);
    if count < smallest || count > largest || count < bytes.len() {
        return Err(FrameError::Count(bytes[0]));
    }
    if count > bytes.len() {
        return Err(FrameError::Short { got: bytes.len() as u16, expected: count as u16 });
    }
    let (body, crc) = bytes.split_at(count - 2);
    let expected = crc16(body);
    if crc != expected {
        return Err(FrameError::Crc { got: [crc[0], crc[1]], expected });
    }
    Ok(&body[1..])
}
