// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trait of all command types.

use super::frame::CommandPacket;
use super::opcode::Opcode;

/// A command packet that is illegal in every state of the chip; the chip responds with status 03.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not legal for this command")]
pub struct ParseError(
    /// The wrong field: "opcode", "param1", "param2" or "data".
    pub &'static str,
);

/// A response whose length or content does not fit the command that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{opcode} returned {got} bytes instead of {expected}")]
pub struct ResponseError {
    /// The command.
    pub opcode: Opcode,
    /// Payload bytes received.
    pub got: u16,
    /// Payload bytes that the command requires.
    pub expected: u16,
}

/// One command of the chip: its encoding on the wire in both directions.
pub trait Command: Sized {
    /// Its opcode.
    const OPCODE: Opcode;
    /// The decoded payload of a successful response; `()` for commands that respond with status 00 only.
    type Response;

    /// Returns the command as a packet.
    fn packet(&self) -> CommandPacket;

    /// Decodes the command from a packet; used by the simulated chip.
    ///
    /// # Errors
    /// [`ParseError`] if opcode, parameters or length are illegal irrespective of state.
    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError>;

    /// Decodes the payload of a successful response.
    ///
    /// # Errors
    /// [`ResponseError`] if the payload does not have the length of this command's response.
    fn response(&self, payload: &[u8]) -> Result<Self::Response, ResponseError>;

    /// Whether a one-byte payload is data rather than a status: only SelfTest.
    const ONE_BYTE_IS_DATA: bool = false;

    /// Whether executing the command twice leaves the chip as executing it once does. The driver never resends other
    /// commands without checking the chip first.
    fn repeatable(&self) -> bool {
        true
    }
}

/// A payload of exactly `N` bytes.
pub(crate) fn exactly<const N: usize>(opcode: Opcode, payload: &[u8]) -> Result<[u8; N], ResponseError> {
    payload.try_into().map_err(|_| ResponseError { opcode, got: payload.len() as u16, expected: N as u16 })
}

/// A payload that is only the status byte 00.
pub(crate) fn success(opcode: Opcode, payload: &[u8]) -> Result<(), ResponseError> {
    exactly::<1>(opcode, payload).map(drop)
}

/// Returns `Ok` if `condition`, else an error with the wrong field.
pub(crate) fn require(condition: bool, field: &'static str) -> Result<(), ParseError> {
    if condition {
        Ok(())
    } else {
        Err(ParseError(field))
    }
}

/// The packet's data as exactly `N` bytes.
pub(crate) fn data<const N: usize>(packet: &CommandPacket) -> Result<[u8; N], ParseError> {
    packet.data.as_slice().try_into().map_err(|_| ParseError("data"))
}
