// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sign (fact sheet section 3.19).

use crate::command::{exactly, require, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// Which 32 bytes an external Sign or a Verify takes as the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestSource {
    /// TempKey, which is cleared by the command.
    TempKey,
    /// The message digest buffer; TempKey is not changed.
    MessageDigestBuffer,
}

/// Sign: ECDSA with a private key that stays in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Signs a digest that the caller loaded into the chip.
    External {
        /// Where the digest is.
        source: DigestSource,
        /// The private key.
        slot: Slot,
    },
    /// Signs a message about the chip's own state (TempKey from GenDig or GenKey).
    Internal {
        /// The private key.
        slot: Slot,
        /// Bit 6: the whole serial number is in the message.
        full_serial: bool,
        /// Bit 0: the signature is meant for Verify(Invalidate).
        invalidate: bool,
    },
}

impl Command for Sign {
    const OPCODE: Opcode = Opcode::SIGN;
    /// R and S, 32 bytes each, big-endian.
    type Response = [u8; 64];

    fn packet(&self) -> CommandPacket {
        let (param1, slot) = match *self {
            Sign::External { source: DigestSource::TempKey, slot } => (0x80, slot),
            Sign::External { source: DigestSource::MessageDigestBuffer, slot } => (0xA0, slot),
            Sign::Internal { slot, full_serial, invalidate } => {
                (u8::from(full_serial) << 6 | u8::from(invalidate), slot)
            }
        };
        CommandPacket::new(Self::OPCODE, param1, slot.number().into())
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.data.is_empty(), "data")?;
        let slot = u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"))?;
        // Bit 6 has no effect on an external Sign.
        match packet.param1 {
            0x80 | 0xC0 => Ok(Sign::External { source: DigestSource::TempKey, slot }),
            0xA0 | 0xE0 => Ok(Sign::External { source: DigestSource::MessageDigestBuffer, slot }),
            mode if mode & !0x41 == 0 => {
                Ok(Sign::Internal { slot, full_serial: mode & 0x40 != 0, invalidate: mode & 1 != 0 })
            }
            _ => Err(ParseError("param1")),
        }
    }

    fn response(&self, payload: &[u8]) -> Result<[u8; 64], ResponseError> {
        exactly(Self::OPCODE, payload)
    }
}
