// SPDX-License-Identifier: MIT OR Apache-2.0
//! AES (fact sheet section 3.1).

use zeroize::ZeroizeOnDrop;

use super::KeyLocation;
use crate::command::{data, exactly, require, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// AES: one block with AES-128, or one multiplication of GCM. The data is wiped on drop.
#[derive(Clone, Debug, PartialEq, Eq, ZeroizeOnDrop)]
pub enum Aes {
    /// AES-128-ECB of one block.
    Block {
        /// The slot or TempKey that holds the key.
        #[zeroize(skip)]
        key: KeyLocation,
        /// Which 16 bytes of it, 0 to 3.
        unit: u8,
        /// Decrypt rather than encrypt.
        decrypt: bool,
        /// The block.
        input: [u8; 16],
    },
    /// Multiplication in GF(2^128), bit order of GCM; no key.
    GaloisMultiply {
        /// H.
        h: [u8; 16],
        /// The other factor.
        input: [u8; 16],
    },
}

impl Command for Aes {
    const OPCODE: Opcode = Opcode::AES;
    /// The block or the product.
    type Response = [u8; 16];

    fn packet(&self) -> CommandPacket {
        match self {
            Aes::Block { key, unit, decrypt, input } => {
                let param2 = match key {
                    KeyLocation::Slot(slot) => slot.number().into(),
                    KeyLocation::TempKey => 0xFFFF,
                };
                let param1 = unit << 6 | u8::from(*decrypt);
                CommandPacket::with_data(Self::OPCODE, param1, param2, input.to_vec())
            }
            Aes::GaloisMultiply { h, input } => {
                CommandPacket::with_data(Self::OPCODE, 3, 0, [h.as_slice(), input].concat())
            }
        }
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        if packet.param1 == 3 {
            let bytes: [u8; 32] = data(packet)?;
            let (mut h, mut input) = ([0; 16], [0; 16]);
            h.copy_from_slice(&bytes[..16]);
            input.copy_from_slice(&bytes[16..]);
            return Ok(Aes::GaloisMultiply { h, input });
        }
        require(packet.param1 & 0x3E == 0, "param1")?;
        let key = match packet.param2 {
            0xFFFF => KeyLocation::TempKey,
            slot => KeyLocation::Slot(u8::try_from(slot).ok().and_then(Slot::new).ok_or(ParseError("param2"))?),
        };
        Ok(Aes::Block { key, unit: packet.param1 >> 6, decrypt: packet.param1 & 1 != 0, input: data(packet)? })
    }

    fn response(&self, payload: &[u8]) -> Result<[u8; 16], ResponseError> {
        exactly(Self::OPCODE, payload)
    }
}
