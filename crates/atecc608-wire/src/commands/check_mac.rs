// SPDX-License-Identifier: MIT OR Apache-2.0
//! CheckMac (fact sheet section 3.2).

use crate::command::{data, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// CheckMac: checks whether the other side knows a key. Status 00 if it does, 01 if not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckMac {
    /// The key.
    pub slot: Slot,
    /// Bit 0: the second block is TempKey; the challenge is sent all the same.
    pub temp_key_second: bool,
    /// Bit 1: the first block is TempKey rather than the slot's key.
    pub temp_key_first: bool,
    /// Bit 2: TempKey's SourceFlag, if TempKey is used.
    pub source_fixed: bool,
    /// Bit 5: OTP\[0..8\] is in the message.
    pub otp: bool,
    /// ClientChal: the second block, unless that is TempKey.
    pub challenge: [u8; 32],
    /// ClientResp: the response to check.
    pub response: [u8; 32],
    /// OtherData: the bytes that the other side's MAC message contains.
    pub other_data: [u8; 13],
}

impl CheckMac {
    /// Whether TempKey is part of the message.
    pub const fn uses_temp_key(&self) -> bool {
        self.temp_key_first || self.temp_key_second
    }
}

impl Command for CheckMac {
    const OPCODE: Opcode = Opcode::CHECK_MAC;
    type Response = ();

    fn packet(&self) -> CommandPacket {
        let param1 = u8::from(self.temp_key_second)
            | u8::from(self.temp_key_first) << 1
            | u8::from(self.source_fixed) << 2
            | u8::from(self.otp) << 5;
        let data = [&self.challenge[..], &self.response, &self.other_data].concat();
        CommandPacket::with_data(Self::OPCODE, param1, self.slot.number().into(), data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        let bit = |mask: u8| packet.param1 & mask != 0;
        require(packet.param1 & !0x27 == 0, "param1")?;
        let slot = u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"))?;
        let bytes: [u8; 77] = data(packet)?;
        let (mut challenge, mut response, mut other_data) = ([0; 32], [0; 32], [0; 13]);
        challenge.copy_from_slice(&bytes[..32]);
        response.copy_from_slice(&bytes[32..64]);
        other_data.copy_from_slice(&bytes[64..]);
        Ok(Self {
            slot,
            temp_key_second: bit(0x01),
            temp_key_first: bit(0x02),
            source_fixed: bit(0x04),
            otp: bit(0x20),
            challenge,
            response,
            other_data,
        })
    }

    fn response(&self, payload: &[u8]) -> Result<(), ResponseError> {
        success(Self::OPCODE, payload)
    }

    fn repeatable(&self) -> bool {
        false
    }
}
