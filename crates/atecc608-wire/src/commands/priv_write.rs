// SPDX-License-Identifier: MIT OR Apache-2.0
//! PrivWrite (fact sheet section 3.13).

use zeroize::ZeroizeOnDrop;

use crate::command::{data, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// PrivWrite: writes a private key that was generated outside the chip to a slot. The key is wiped on drop.
#[derive(Clone, Debug, PartialEq, Eq, ZeroizeOnDrop)]
pub struct PrivWrite {
    /// The slot.
    #[zeroize(skip)]
    pub slot: Slot,
    /// Param1 40: the key is encrypted with TempKey.
    pub encrypted: bool,
    /// Four zero bytes and the scalar, big-endian; or that as ciphertext.
    pub key: [u8; 36],
    /// MAC over the plaintext; zeros if the key is not encrypted.
    pub mac: [u8; 32],
}

impl Command for PrivWrite {
    const OPCODE: Opcode = Opcode::PRIV_WRITE;
    type Response = ();

    fn packet(&self) -> CommandPacket {
        let data = [&self.key[..], &self.mac].concat();
        CommandPacket::with_data(Self::OPCODE, u8::from(self.encrypted) << 6, self.slot.number().into(), data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 & !0x40 == 0, "param1")?;
        let slot = u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"))?;
        let bytes: [u8; 68] = data(packet)?;
        let (mut key, mut mac) = ([0; 36], [0; 32]);
        key.copy_from_slice(&bytes[..36]);
        mac.copy_from_slice(&bytes[36..]);
        Ok(Self { slot, encrypted: packet.param1 != 0, key, mac })
    }

    fn response(&self, payload: &[u8]) -> Result<(), ResponseError> {
        success(Self::OPCODE, payload)
    }

    fn repeatable(&self) -> bool {
        false
    }
}
