// SPDX-License-Identifier: MIT OR Apache-2.0
//! DeriveKey (fact sheet section 3.4).

use alloc::vec::Vec;

use crate::command::{data, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// DeriveKey: a slot's key := SHA-256 over its parent key and TempKey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeriveKey {
    /// The slot that gets the new key.
    pub target: Slot,
    /// Bit 2: TempKey's SourceFlag.
    pub source_fixed: bool,
    /// Proof that the caller knows the parent key; some slots require it.
    pub mac: Option<[u8; 32]>,
}

impl Command for DeriveKey {
    const OPCODE: Opcode = Opcode::DERIVE_KEY;
    type Response = ();

    fn packet(&self) -> CommandPacket {
        let data = self.mac.map_or_else(Vec::new, |mac| mac.to_vec());
        CommandPacket::with_data(Self::OPCODE, u8::from(self.source_fixed) << 2, self.target.number().into(), data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 & !0x04 == 0, "param1")?;
        let target = u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"))?;
        let mac = if packet.data.is_empty() { None } else { Some(data(packet)?) };
        Ok(Self { target, source_fixed: packet.param1 != 0, mac })
    }

    fn response(&self, payload: &[u8]) -> Result<(), ResponseError> {
        success(Self::OPCODE, payload)
    }

    fn repeatable(&self) -> bool {
        false
    }
}
