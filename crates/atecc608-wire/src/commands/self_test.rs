// SPDX-License-Identifier: MIT OR Apache-2.0
//! SelfTest (fact sheet section 3.17).

use crate::command::{exactly, require, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode};

/// SelfTest: runs the tests in the bit map; 00 reads the register of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// 01 RNG, 04 ECDSA, 08 ECDH, 10 AES, 20 SHA.
    pub tests: u8,
}

impl SelfTest {
    /// The vendor library's "all", which sets bit 1; the chip tolerates it.
    pub const ALL: SelfTest = SelfTest { tests: 0x3B };
}

impl Command for SelfTest {
    const OPCODE: Opcode = Opcode::SELF_TEST;
    /// Map of failed tests, 00 if all passed.
    type Response = u8;
    const ONE_BYTE_IS_DATA: bool = true;

    fn packet(&self) -> CommandPacket {
        CommandPacket::new(Self::OPCODE, self.tests, 0)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 & 0xC0 == 0, "param1")?;
        require(packet.param2 == 0, "param2")?;
        require(packet.data.is_empty(), "data")?;
        Ok(Self { tests: packet.param1 })
    }

    fn response(&self, payload: &[u8]) -> Result<u8, ResponseError> {
        exactly::<1>(Self::OPCODE, payload).map(|[map]| map)
    }
}
