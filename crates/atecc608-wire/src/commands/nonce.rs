// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nonce (fact sheet section 3.12).

use alloc::vec::Vec;

use crate::command::{data, exactly, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode};

/// Where a fixed nonce goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceTarget {
    /// TempKey.
    TempKey,
    /// The message digest buffer.
    MessageDigestBuffer,
    /// The alternate key buffer (32 bytes only).
    AlternateKeyBuffer,
}

/// Nonce: loads TempKey or a buffer, from randomness or from the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nonce {
    /// TempKey := SHA-256 over a fresh random number and the caller's 20 bytes.
    Random {
        /// Whether the generator's seed is updated first (mode 00 rather than 01).
        update_seed: bool,
        /// The caller's contribution.
        num_in: [u8; 20],
    },
    /// TempKey := SHA-256 over TempKey and the caller's 20 bytes; the generator is not run (param2 8000).
    Derived {
        /// Mode bit 0 clear.
        update_seed: bool,
        /// The caller's contribution.
        num_in: [u8; 20],
    },
    /// The caller's 32 or 64 bytes as they are ("pass-through").
    Fixed {
        /// Where they go.
        target: NonceTarget,
        /// 32 or 64 bytes.
        value: Vec<u8>,
    },
}

/// The response of Nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceResponse {
    /// RandOut of a random nonce, or the new TempKey of a derived one.
    Value([u8; 32]),
    /// A fixed nonce was stored.
    Stored,
}

impl Nonce {
    /// Loads a 32-byte digest into the message digest buffer, for a Sign from that buffer.
    pub fn digest(digest: &[u8; 32]) -> Self {
        Nonce::Fixed { target: NonceTarget::MessageDigestBuffer, value: digest.to_vec() }
    }
}

impl Command for Nonce {
    const OPCODE: Opcode = Opcode::NONCE;
    type Response = NonceResponse;

    fn packet(&self) -> CommandPacket {
        match self {
            Nonce::Random { update_seed, num_in } => {
                CommandPacket::with_data(Self::OPCODE, u8::from(!update_seed), 0, num_in.to_vec())
            }
            Nonce::Derived { update_seed, num_in } => {
                CommandPacket::with_data(Self::OPCODE, u8::from(!update_seed), 0x8000, num_in.to_vec())
            }
            Nonce::Fixed { target, value } => {
                let target = match target {
                    NonceTarget::TempKey => 0x00,
                    NonceTarget::MessageDigestBuffer => 0x40,
                    NonceTarget::AlternateKeyBuffer => 0x80,
                };
                let size = if value.len() == 64 { 0x20 } else { 0x00 };
                CommandPacket::with_data(Self::OPCODE, 0x03 | target | size, 0, value.clone())
            }
        }
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        let update_seed = packet.param1 == 0;
        match (packet.param1, packet.param2) {
            (0 | 1, 0x0000) => Ok(Nonce::Random { update_seed, num_in: data(packet)? }),
            (0 | 1, 0x8000) => Ok(Nonce::Derived { update_seed, num_in: data(packet)? }),
            (0 | 1, _) => Err(ParseError("param2")),
            (mode, 0) if mode & 0x1F == 0x03 => {
                let target = match mode & 0xC0 {
                    0x00 => NonceTarget::TempKey,
                    0x40 => NonceTarget::MessageDigestBuffer,
                    0x80 => NonceTarget::AlternateKeyBuffer,
                    _ => return Err(ParseError("param1")),
                };
                let long = mode & 0x20 != 0;
                require(!(long && target == NonceTarget::AlternateKeyBuffer), "param1")?;
                require(packet.data.len() == if long { 64 } else { 32 }, "data")?;
                Ok(Nonce::Fixed { target, value: packet.data.clone() })
            }
            (mode, _) if mode & 0x1F == 0x03 => Err(ParseError("param2")),
            _ => Err(ParseError("param1")),
        }
    }

    fn response(&self, payload: &[u8]) -> Result<NonceResponse, ResponseError> {
        match self {
            Nonce::Fixed { .. } => success(Self::OPCODE, payload).map(|()| NonceResponse::Stored),
            _ => exactly(Self::OPCODE, payload).map(NonceResponse::Value),
        }
    }
}
