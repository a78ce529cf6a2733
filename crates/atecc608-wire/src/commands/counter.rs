// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counter (fact sheet section 3.3).

use crate::command::{exactly, require, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode};

/// Counter: reads a monotonic counter, optionally after incrementing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// 0 (the one that limited-use keys spend) or 1.
    pub number: u8,
    /// Increment first (param1 1).
    pub increment: bool,
}

impl Command for Counter {
    const OPCODE: Opcode = Opcode::COUNTER;
    /// The value, after the increment.
    type Response = u32;

    fn packet(&self) -> CommandPacket {
        CommandPacket::new(Self::OPCODE, self.increment.into(), self.number.into())
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 <= 1, "param1")?;
        require(packet.data.is_empty(), "data")?;
        let number = u8::try_from(packet.param2).ok().filter(|number| *number <= 1).ok_or(ParseError("param2"))?;
        Ok(Self { number, increment: packet.param1 == 1 })
    }

    fn response(&self, payload: &[u8]) -> Result<u32, ResponseError> {
        exactly(Self::OPCODE, payload).map(u32::from_le_bytes)
    }

    fn repeatable(&self) -> bool {
        !self.increment
    }
}
