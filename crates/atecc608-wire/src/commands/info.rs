// SPDX-License-Identifier: MIT OR Apache-2.0
//! Info (fact sheet section 3.8).

use crate::command::{exactly, require, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// Info: four bytes about the chip or its volatile state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Info {
    /// Revision number: `00 00 60 02` (608A) or `00 00 60 03` (608B).
    Revision,
    /// Whether the slot holds a valid ECC key: byte 0 is 01 or 00.
    KeyValid(Slot),
    /// TempKey and authorisation flags.
    State,
    /// Reads the persistent latch: byte 0.
    LatchRead,
    /// Sets (true) or clears the persistent latch.
    LatchSet(bool),
}

impl Info {
    /// Whether a response to [`Info::KeyValid`] means that there is a key.
    pub fn says_valid(response: [u8; 4]) -> bool {
        response[0] & 1 == 1
    }
}

impl Command for Info {
    const OPCODE: Opcode = Opcode::INFO;
    type Response = [u8; 4];

    fn packet(&self) -> CommandPacket {
        let (param1, param2) = match *self {
            Info::Revision => (0, 0),
            Info::KeyValid(slot) => (1, slot.number().into()),
            Info::State => (2, 0),
            Info::LatchRead => (4, 0),
            Info::LatchSet(latch) => (4, 2 | u16::from(latch)),
        };
        CommandPacket::new(Self::OPCODE, param1, param2)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.data.is_empty(), "data")?;
        match (packet.param1, packet.param2) {
            (0, 0) => Ok(Info::Revision),
            (1, slot) => {
                let slot = u8::try_from(slot).ok().and_then(Slot::new).ok_or(ParseError("param2"))?;
                Ok(Info::KeyValid(slot))
            }
            (2, 0) => Ok(Info::State),
            (4, 0) => Ok(Info::LatchRead),
            (4, 2) => Ok(Info::LatchSet(false)),
            (4, 3) => Ok(Info::LatchSet(true)),
            (0 | 2 | 4, _) => Err(ParseError("param2")),
            _ => Err(ParseError("param1")),
        }
    }

    fn response(&self, payload: &[u8]) -> Result<[u8; 4], ResponseError> {
        exactly(Self::OPCODE, payload)
    }
}
