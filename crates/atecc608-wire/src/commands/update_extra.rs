// SPDX-License-Identifier: MIT OR Apache-2.0
//! UpdateExtra (fact sheet section 3.20).

use crate::command::{require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode};

/// UpdateExtra: writes one of two configuration bytes, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateExtra {
    /// Config\[84\].
    UserExtra(u8),
    /// Config\[85\]: an alternative I2C address.
    UserExtraAdd(u8),
    /// Mode 2 of the ATECC508A: consumes a use of a key. Whether the 608 has this mode is not known.
    Decrement(u8),
}

impl Command for UpdateExtra {
    const OPCODE: Opcode = Opcode::UPDATE_EXTRA;
    type Response = ();

    fn packet(&self) -> CommandPacket {
        let (param1, value) = match *self {
            UpdateExtra::UserExtra(value) => (0, value),
            UpdateExtra::UserExtraAdd(value) => (1, value),
            UpdateExtra::Decrement(value) => (2, value),
        };
        CommandPacket::new(Self::OPCODE, param1, value.into())
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.data.is_empty(), "data")?;
        let value = u8::try_from(packet.param2).map_err(|_| ParseError("param2"))?;
        match packet.param1 {
            0 => Ok(UpdateExtra::UserExtra(value)),
            1 => Ok(UpdateExtra::UserExtraAdd(value)),
            2 => Ok(UpdateExtra::Decrement(value)),
            _ => Err(ParseError("param1")),
        }
    }

    fn response(&self, payload: &[u8]) -> Result<(), ResponseError> {
        success(Self::OPCODE, payload)
    }

    /// A byte that was written cannot be written again.
    fn repeatable(&self) -> bool {
        false
    }
}
