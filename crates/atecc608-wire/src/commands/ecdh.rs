// SPDX-License-Identifier: MIT OR Apache-2.0
//! ECDH (fact sheet section 3.5).

use crate::command::{data, exactly, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// The private key of an ECDH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcdhKey {
    /// The key in a slot.
    Slot(Slot),
    /// The ephemeral key that GenKey put into TempKey.
    TempKey,
}

/// Where the shared secret goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcdhTarget {
    /// As the slot's SlotConfig says: the bus, or slot N|1.
    Compatible,
    /// Into an EEPROM slot: N|1 of the key's slot, or this one for the ephemeral key.
    Slot(Slot),
    /// Into TempKey.
    TempKey,
    /// To the output buffer.
    Output,
}

/// ECDH: the X coordinate shared with the holder of another public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecdh {
    /// Our private key.
    pub key: EcdhKey,
    /// Where the result goes.
    pub target: EcdhTarget,
    /// Bit 1: the output is encrypted with the IO protection key.
    pub encrypted: bool,
    /// Their public key: X and Y, big-endian.
    pub public_key: [u8; 64],
}

/// The response of ECDH.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum EcdhResponse {
    /// The secret stayed in the chip.
    Kept,
    /// The secret in clear: 32 bytes.
    Clear([u8; 32]),
    /// The encrypted secret and the nonce of its key stream.
    Encrypted {
        /// 32 bytes of ciphertext.
        secret: [u8; 32],
        /// OutNonce.
        nonce: [u8; 32],
    },
}

impl Command for Ecdh {
    const OPCODE: Opcode = Opcode::ECDH;
    type Response = EcdhResponse;

    fn packet(&self) -> CommandPacket {
        let (key, mut param2) = match self.key {
            EcdhKey::Slot(slot) => (0x00, u16::from(slot.number())),
            EcdhKey::TempKey => (0x01, 0),
        };
        let target = match self.target {
            EcdhTarget::Compatible => 0x00,
            EcdhTarget::Slot(slot) => {
                if self.key == EcdhKey::TempKey {
                    param2 = slot.number().into();
                }
                0x04
            }
            EcdhTarget::TempKey => 0x08,
            EcdhTarget::Output => 0x0C,
        };
        let param1 = key | target | u8::from(self.encrypted) << 1;
        CommandPacket::with_data(Self::OPCODE, param1, param2, self.public_key.to_vec())
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 & 0xF0 == 0, "param1")?;
        let encrypted = packet.param1 & 2 != 0;
        let public_key = data(packet)?;
        let slot = u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"))?;
        let key = if packet.param1 & 1 == 0 { EcdhKey::Slot(slot) } else { EcdhKey::TempKey };
        let target = match packet.param1 & 0x0C {
            0x00 => EcdhTarget::Compatible,
            0x04 if key == EcdhKey::TempKey => EcdhTarget::Slot(slot),
            0x04 => EcdhTarget::Slot(Slot::from_nibble(slot.number() | 1)),
            0x08 => EcdhTarget::TempKey,
            _ => EcdhTarget::Output,
        };
        if key == EcdhKey::TempKey {
            require(target != EcdhTarget::Compatible, "param1")?;
            require(matches!(target, EcdhTarget::Slot(_)) || packet.param2 == 0, "param2")?;
        }
        // Only a result that leaves the chip can be encrypted.
        require(!encrypted || matches!(target, EcdhTarget::Output | EcdhTarget::Compatible), "param1")?;
        Ok(Self { key, target, encrypted, public_key })
    }

    fn response(&self, payload: &[u8]) -> Result<EcdhResponse, ResponseError> {
        match self.target {
            EcdhTarget::TempKey | EcdhTarget::Slot(_) => success(Self::OPCODE, payload).map(|()| EcdhResponse::Kept),
            EcdhTarget::Compatible if payload.len() == 1 => success(Self::OPCODE, payload).map(|()| EcdhResponse::Kept),
            _ if self.encrypted => {
                let bytes: [u8; 64] = exactly(Self::OPCODE, payload)?;
                let (mut secret, mut nonce) = ([0; 32], [0; 32]);
                secret.copy_from_slice(&bytes[..32]);
                nonce.copy_from_slice(&bytes[32..]);
                Ok(EcdhResponse::Encrypted { secret, nonce })
            }
            _ => exactly(Self::OPCODE, payload).map(EcdhResponse::Clear),
        }
    }

    fn repeatable(&self) -> bool {
        self.key != EcdhKey::TempKey
    }
}
