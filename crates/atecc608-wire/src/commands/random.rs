// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random (fact sheet section 3.14).

use crate::command::{exactly, require, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode};

/// Random: 32 random bytes; a constant pattern until the configuration is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    /// Whether the generator's EEPROM seed is updated first.
    pub update_seed: bool,
}

impl Random {
    /// The response of a chip with an unlocked configuration.
    pub const UNLOCKED_PATTERN: [u8; 32] = {
        let mut bytes = [0; 32];
        let mut i = 0;
        while i < 32 {
            if i % 4 < 2 {
                bytes[i] = 0xFF;
            }
            i += 1;
        }
        bytes
    };
}

impl Command for Random {
    const OPCODE: Opcode = Opcode::RANDOM;
    type Response = [u8; 32];

    fn packet(&self) -> CommandPacket {
        CommandPacket::new(Self::OPCODE, u8::from(!self.update_seed), 0)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 < 2, "param1")?;
        require(packet.param2 == 0, "param2")?;
        require(packet.data.is_empty(), "data")?;
        Ok(Self { update_seed: packet.param1 == 0 })
    }

    fn response(&self, payload: &[u8]) -> Result<[u8; 32], ResponseError> {
        exactly(Self::OPCODE, payload)
    }
}
