// SPDX-License-Identifier: MIT OR Apache-2.0
//! Read (fact sheet section 3.15).

use alloc::vec::Vec;

use crate::command::{require, Command, ParseError, ResponseError};
use crate::zone::{Address, Zone};
use crate::{CommandPacket, Opcode};

/// Read: 4 or 32 bytes of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which zone.
    pub zone: Zone,
    /// The address; a 32-byte read ignores its word.
    pub address: Address,
    /// 32 bytes rather than 4.
    pub block: bool,
}

impl Read {
    /// Returns the number of bytes that are read: 4 or 32.
    pub const fn len(&self) -> usize {
        if self.block {
            32
        } else {
            4
        }
    }

    /// Always `false`: a read is 4 or 32 bytes.
    pub const fn is_empty(&self) -> bool {
        false
    }
}

impl Command for Read {
    const OPCODE: Opcode = Opcode::READ;
    /// 4 or 32 bytes, as requested.
    type Response = Vec<u8>;

    fn packet(&self) -> CommandPacket {
        CommandPacket::new(Self::OPCODE, self.zone.bits() | u8::from(self.block) << 7, self.address.0)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 & 0x7C == 0, "param1")?;
        require(packet.data.is_empty(), "data")?;
        let zone = Zone::from_bits(packet.param1).ok_or(ParseError("param1"))?;
        Ok(Self { zone, address: Address(packet.param2), block: packet.param1 & 0x80 != 0 })
    }

    fn response(&self, payload: &[u8]) -> Result<Vec<u8>, ResponseError> {
        if payload.len() != self.len() {
            return Err(ResponseError { opcode: Self::OPCODE, got: payload.len() as u16, expected: self.len() as u16 });
        }
        Ok(payload.to_vec())
    }
}
