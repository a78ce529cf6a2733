// SPDX-License-Identifier: MIT OR Apache-2.0
//! GenDig (fact sheet section 3.6).

use alloc::vec::Vec;

use crate::command::{data, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// GenDig: TempKey := SHA-256 over TempKey and something that the chip holds (or both sides know).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenDig {
    /// A 32-byte block of the configuration zone, 0 to 3.
    Config(u8),
    /// A 32-byte block of the OTP zone, 0 or 1.
    Otp(u8),
    /// The first 32 bytes of a slot.
    Data {
        /// The slot.
        slot: Slot,
        /// Takes the place of opcode and parameters in the message if the slot has NoMac; else the chip ignores it.
        other_data: Option<[u8; 4]>,
    },
    /// 32 bytes that the caller sends.
    SharedNonce {
        /// Param2 8000 and above: TempKey comes first in the message, the caller's bytes last.
        temp_key_first: bool,
        /// Low byte of param2, part of the message.
        label: u8,
        /// The caller's bytes.
        other_data: [u8; 32],
    },
    /// The value of a counter, 0 or 1.
    Counter(u8),
    /// SlotConfig, KeyConfig and lock bit of a slot.
    KeyConfig(Slot),
}

impl GenDig {
    /// A key in a slot, as the vendor's library sends it: OtherData repeats what the message contains anyway.
    pub fn slot(slot: Slot) -> Self {
        GenDig::Data { slot, other_data: Some([Self::OPCODE.0, 2, slot.number(), 0]) }
    }
}

impl Command for GenDig {
    const OPCODE: Opcode = Opcode::GEN_DIG;
    type Response = ();

    fn packet(&self) -> CommandPacket {
        let (zone, param2, data) = match *self {
            GenDig::Config(block) => (0, block.into(), Vec::new()),
            GenDig::Otp(block) => (1, block.into(), Vec::new()),
            GenDig::Data { slot, other_data } => {
                (2, slot.number().into(), other_data.map_or_else(Vec::new, |other| other.to_vec()))
            }
            GenDig::SharedNonce { temp_key_first, label, other_data } => {
                (3, u16::from(temp_key_first) << 15 | u16::from(label), other_data.to_vec())
            }
            GenDig::Counter(number) => (4, number.into(), Vec::new()),
            GenDig::KeyConfig(slot) => (5, slot.number().into(), Vec::new()),
        };
        CommandPacket::with_data(Self::OPCODE, zone, param2, data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        let below =
            |limit: u8| u8::try_from(packet.param2).ok().filter(|number| *number < limit).ok_or(ParseError("param2"));
        let command = match packet.param1 {
            0 => GenDig::Config(below(4)?),
            1 => GenDig::Otp(below(2)?),
            2 => {
                let other_data = if packet.data.is_empty() { None } else { Some(data(packet)?) };
                GenDig::Data { slot: Slot::from_nibble(below(16)?), other_data }
            }
            3 => {
                require(packet.param2 & 0x7F00 == 0, "param2")?;
                let temp_key_first = packet.param2 & 0x8000 != 0;
                GenDig::SharedNonce { temp_key_first, label: packet.param2 as u8, other_data: data(packet)? }
            }
            4 => GenDig::Counter(below(2)?),
            5 => GenDig::KeyConfig(Slot::from_nibble(below(16)?)),
            _ => return Err(ParseError("param1")),
        };
        require(matches!(packet.param1, 2 | 3) || packet.data.is_empty(), "data")?;
        Ok(command)
    }

    fn response(&self, payload: &[u8]) -> Result<(), ResponseError> {
        success(Self::OPCODE, payload)
    }

    fn repeatable(&self) -> bool {
        false
    }
}
