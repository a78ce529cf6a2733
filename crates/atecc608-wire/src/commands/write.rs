// SPDX-License-Identifier: MIT OR Apache-2.0
//! Write (fact sheet section 3.22).

use alloc::vec::Vec;

use zeroize::ZeroizeOnDrop;

use crate::command::{require, success, Command, ParseError, ResponseError};
use crate::zone::{Address, Zone};
use crate::{CommandPacket, Opcode};

/// Write: 4 or 32 bytes of a zone, in clear or encrypted with a MAC. The data is wiped on drop.
#[derive(Clone, Debug, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Write {
    /// Which zone.
    #[zeroize(skip)]
    pub zone: Zone,
    /// The address; a 32-byte write ignores its word.
    #[zeroize(skip)]
    pub address: Address,
    /// 4 or 32 bytes; ciphertext if there is a MAC.
    pub data: Vec<u8>,
    /// The MAC of an encrypted write.
    pub mac: Option<[u8; 32]>,
}

impl Write {
    /// A clear write of one 4-byte word.
    pub fn word(zone: Zone, address: Address, word: [u8; 4]) -> Self {
        Self { zone, address, data: word.to_vec(), mac: None }
    }

    /// A clear write of one 32-byte block.
    pub fn block(zone: Zone, address: Address, block: [u8; 32]) -> Self {
        Self { zone, address, data: block.to_vec(), mac: None }
    }

    /// Bit 6 of param1: the data is encrypted.
    const ENCRYPTED: u8 = 0x40;
    /// Bit 7 of param1: 32 bytes.
    const BLOCK: u8 = 0x80;
}

impl Command for Write {
    const OPCODE: Opcode = Opcode::WRITE;
    type Response = ();

    fn packet(&self) -> CommandPacket {
        let mut param1 = self.zone.bits();
        if self.data.len() == 32 {
            param1 |= Self::BLOCK;
        }
        let mut data = self.data.clone();
        if let Some(mac) = self.mac {
            param1 |= Self::ENCRYPTED;
            data.extend(mac);
        }
        CommandPacket::with_data(Self::OPCODE, param1, self.address.0, data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 & 0x3C == 0, "param1")?;
        let zone = Zone::from_bits(packet.param1).ok_or(ParseError("param1"))?;
        let len = if packet.param1 & Self::BLOCK != 0 { 32 } else { 4 };
        let (data, mac) = packet.data.split_at_checked(len).ok_or(ParseError("data"))?;
        let mac = if packet.param1 & Self::ENCRYPTED != 0 {
            require(len == 32, "param1")?;
            Some(mac.try_into().map_err(|_| ParseError("data"))?)
        } else {
            require(mac.is_empty(), "data")?;
            None
        };
        Ok(Self { zone, address: Address(packet.param2), data: data.to_vec(), mac })
    }

    fn response(&self, payload: &[u8]) -> Result<(), ResponseError> {
        success(Self::OPCODE, payload)
    }

    /// A clear write of the same bytes may be repeated; an encrypted one clears TempKey.
    fn repeatable(&self) -> bool {
        self.mac.is_none()
    }
}
