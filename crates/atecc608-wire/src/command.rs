//! What every command type can do.

use super::frame::CommandPacket;
use super::opcode::Opcode;

/// A command packet that is illegal whatever the chip's state; the chip answers status 03.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not legal for this command")]
pub struct ParseError(
    /// The field that is wrong: "opcode", "param1", "param2" or "data".
    pub &'static str,
);

/// A response whose length or content does not fit the command that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{opcode} answered {got} bytes, where {expected} were expected")]
pub struct ResponseError {
    /// The command.
    pub opcode: Opcode,
    /// Payload bytes that came.
    pub got: u16,
    /// Payload bytes that the command asks for.
    pub expected: u16,
}

/// One command of the chip: how it looks on the wire in both directions.
pub trait Command: Sized {
    /// Its opcode.
    const OPCODE: Opcode;
    /// What a successful execution answers. `()` for commands that only answer status 00.
    type Response;

    /// The command as a packet.
    fn packet(&self) -> CommandPacket;

    /// Reads the command out of a packet: the chip's side.
    ///
    /// # Errors
    /// [`ParseError`] if opcode, parameters or length are illegal irrespective of state.
    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError>;

    /// Reads the payload of a successful response.
    ///
    /// # Errors
    /// [`ResponseError`] if its length is not what this command answers.
    fn response(&self, payload: &[u8]) -> Result<Self::Response, ResponseError>;

    /// Whether a one-byte payload is data rather than a status: only SelfTest.
    const ONE_BYTE_IS_DATA: bool = false;

    /// Whether executing it twice leaves the chip as executing it once does. What is not repeatable is never sent
    /// again blindly.
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

/// `Ok` if `condition`, else the field that is wrong.
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
