// SPDX-License-Identifier: MIT OR Apache-2.0
//! MAC (fact sheet section 3.11).

use alloc::vec::Vec;

use crate::command::{data, exactly, require, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// Which bytes of the OTP zone are in the message of MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacOtp {
    /// None.
    None,
    /// OTP\[0..8\] (bit 5).
    First8,
    /// OTP\[0..11\] (bit 4).
    First11,
}

/// MAC: SHA-256 over a key, a challenge and facts about the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac {
    /// The key.
    pub slot: Slot,
    /// The second block; `None`: TempKey (bit 0).
    pub challenge: Option<[u8; 32]>,
    /// Bit 1: the first block is TempKey rather than the slot's key.
    pub temp_key_first: bool,
    /// Bit 2: TempKey's SourceFlag, if TempKey is used.
    pub source_fixed: bool,
    /// Bits 4 and 5.
    pub otp: MacOtp,
    /// Bit 6: the whole serial number is in the message.
    pub full_serial: bool,
}

impl Mac {
    /// The mode of the plain challenge and response: the slot's key and the caller's challenge (mode 00).
    pub const fn challenge(slot: Slot, challenge: [u8; 32]) -> Self {
        Self {
            slot,
            challenge: Some(challenge),
            temp_key_first: false,
            source_fixed: false,
            otp: MacOtp::None,
            full_serial: false,
        }
    }

    /// Whether TempKey is part of the message.
    pub const fn uses_temp_key(&self) -> bool {
        self.challenge.is_none() || self.temp_key_first
    }
}

impl Command for Mac {
    const OPCODE: Opcode = Opcode::MAC;
    /// The MAC.
    type Response = [u8; 32];

    fn packet(&self) -> CommandPacket {
        let otp = match self.otp {
            MacOtp::None => 0x00,
            MacOtp::First11 => 0x10,
            MacOtp::First8 => 0x20,
        };
        let param1 = u8::from(self.challenge.is_none())
            | u8::from(self.temp_key_first) << 1
            | u8::from(self.source_fixed) << 2
            | otp
            | u8::from(self.full_serial) << 6;
        let data = self.challenge.map_or_else(Vec::new, |challenge| challenge.to_vec());
        CommandPacket::with_data(Self::OPCODE, param1, self.slot.number().into(), data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        let bit = |mask: u8| packet.param1 & mask != 0;
        require(packet.param1 & 0x88 == 0, "param1")?;
        let otp = match packet.param1 & 0x30 {
            0x00 => MacOtp::None,
            0x10 => MacOtp::First11,
            0x20 => MacOtp::First8,
            _ => return Err(ParseError("param1")),
        };
        require(!bit(0x01) || packet.data.is_empty(), "data")?;
        Ok(Self {
            slot: u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"))?,
            challenge: if bit(0x01) { None } else { Some(data(packet)?) },
            temp_key_first: bit(0x02),
            source_fixed: bit(0x04),
            otp,
            full_serial: bit(0x40),
        })
    }

    fn response(&self, payload: &[u8]) -> Result<[u8; 32], ResponseError> {
        exactly(Self::OPCODE, payload)
    }

    fn repeatable(&self) -> bool {
        !self.uses_temp_key()
    }
}
