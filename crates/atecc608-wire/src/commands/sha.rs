// SPDX-License-Identifier: MIT OR Apache-2.0
//! SHA (fact sheet section 3.18).

use alloc::vec::Vec;

use super::gen_key::KeyLocation;
use crate::command::{require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// Where the digest goes in addition to the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestTarget {
    /// TempKey too.
    TempKey,
    /// The message digest buffer too.
    MessageDigestBuffer,
    /// The output only.
    Output,
}

/// SHA: SHA-256 and HMAC-SHA-256, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sha {
    /// Begins a digest.
    Start,
    /// Takes 1 to 64 bytes of the message.
    Update(Vec<u8>),
    /// Takes the last 0 to 64 bytes; returns the digest or HMAC.
    End {
        /// The last bytes.
        rest: Vec<u8>,
        /// Where the digest goes in addition to the output.
        target: DigestTarget,
    },
    /// Takes the 64-byte public key stored in a slot.
    Public(Slot),
    /// Begins an HMAC with a key of 32 bytes.
    HmacStart(KeyLocation),
    /// Returns the context of a digest.
    ReadContext,
    /// Restores such a context.
    WriteContext(Vec<u8>),
}

/// The response of SHA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShaResponse {
    /// The step succeeded.
    Done,
    /// Digest or HMAC.
    Digest([u8; 32]),
    /// 36 to 99 bytes of context.
    Context(Vec<u8>),
}

impl Command for Sha {
    const OPCODE: Opcode = Opcode::SHA;
    type Response = ShaResponse;

    fn packet(&self) -> CommandPacket {
        let with =
            |param1, data: &Vec<u8>| CommandPacket::with_data(Self::OPCODE, param1, data.len() as u16, data.clone());
        match self {
            Sha::Start => CommandPacket::new(Self::OPCODE, 0, 0),
            Sha::Update(data) => with(1, data),
            Sha::End { rest, target } => {
                let target = match target {
                    DigestTarget::TempKey => 0x00,
                    DigestTarget::MessageDigestBuffer => 0x40,
                    DigestTarget::Output => 0xC0,
                };
                with(2 | target, rest)
            }
            Sha::Public(slot) => CommandPacket::new(Self::OPCODE, 3, slot.number().into()),
            Sha::HmacStart(KeyLocation::Slot(slot)) => CommandPacket::new(Self::OPCODE, 4, slot.number().into()),
            Sha::HmacStart(KeyLocation::TempKey) => CommandPacket::new(Self::OPCODE, 4, 0xFFFF),
            Sha::ReadContext => CommandPacket::new(Self::OPCODE, 6, 0),
            Sha::WriteContext(context) => with(7, context),
        }
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        let mode = packet.param1 & 0x07;
        require(packet.param1 & 0x38 == 0, "param1")?;
        require(mode == 2 || packet.param1 & 0xC0 == 0, "param1")?;
        let slot = || u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"));
        let data = || {
            require(usize::from(packet.param2) == packet.data.len(), "param2")?;
            Ok(packet.data.clone())
        };
        if matches!(mode, 0 | 3 | 4 | 6) {
            require(packet.data.is_empty(), "data")?;
        }
        require(!matches!(mode, 0 | 6) || packet.param2 == 0, "param2")?;
        match mode {
            0 => Ok(Sha::Start),
            1 => {
                require((1..=64).contains(&packet.data.len()), "data")?;
                Ok(Sha::Update(data()?))
            }
            2 => {
                require(packet.data.len() <= 64, "data")?;
                let target = match packet.param1 & 0xC0 {
                    0x00 => DigestTarget::TempKey,
                    0x40 => DigestTarget::MessageDigestBuffer,
                    0xC0 => DigestTarget::Output,
                    _ => return Err(ParseError("param1")),
                };
                Ok(Sha::End { rest: data()?, target })
            }
            3 => Ok(Sha::Public(slot()?)),
            4 if packet.param2 == 0xFFFF => Ok(Sha::HmacStart(KeyLocation::TempKey)),
            4 => Ok(Sha::HmacStart(KeyLocation::Slot(slot()?))),
            6 => Ok(Sha::ReadContext),
            7 => {
                require((36..=99).contains(&packet.data.len()), "data")?;
                Ok(Sha::WriteContext(data()?))
            }
            _ => Err(ParseError("param1")),
        }
    }

    fn response(&self, payload: &[u8]) -> Result<ShaResponse, ResponseError> {
        match self {
            Sha::End { .. } => crate::command::exactly(Self::OPCODE, payload).map(ShaResponse::Digest),
            Sha::ReadContext if (36..=99).contains(&payload.len()) => Ok(ShaResponse::Context(payload.to_vec())),
            Sha::ReadContext => Err(ResponseError { opcode: Self::OPCODE, got: payload.len() as u16, expected: 36 }),
            _ => success(Self::OPCODE, payload).map(|()| ShaResponse::Done),
        }
    }
}
