// SPDX-License-Identifier: MIT OR Apache-2.0
//! KDF (fact sheet section 3.9).

use alloc::vec::Vec;

use zeroize::ZeroizeOnDrop;

use crate::command::{exactly, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// Where KDF takes its key from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfSource {
    /// TempKey from its first byte.
    TempKey,
    /// TempKey from byte 32.
    TempKeyUpper,
    /// A slot.
    Slot(Slot),
    /// The alternate key buffer.
    AlternateKeyBuffer,
}

/// Where KDF puts its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfTarget {
    /// TempKey.
    TempKey,
    /// The upper half of TempKey.
    TempKeyUpper,
    /// A slot.
    Slot(Slot),
    /// The alternate key buffer.
    AlternateKeyBuffer,
    /// The bus, in clear.
    Output,
    /// The bus, encrypted with the IO protection key.
    OutputEncrypted,
}

/// Where HKDF takes its message from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HkdfMessage {
    /// The first bytes of this slot (details byte 1, as in Parsec's rust-cryptoauthlib).
    Slot(Slot),
    /// The first bytes of TempKey.
    TempKey,
    /// The command.
    Input,
    /// The command; it must carry KdfIvStr at KdfIvLoc.
    SpecialIv,
}

/// What KDF computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KdfAlgorithm {
    /// TLS 1.2's P_SHA256.
    Prf {
        /// Length of the key: 16, 32, 48 or 64 as 0 to 3.
        key_len: u8,
        /// 64 bytes of result rather than 32.
        long: bool,
        /// The first half to the target, the second to the bus.
        aead: bool,
    },
    /// AES-128 of 16 bytes, and 16 zero bytes.
    Aes {
        /// Which 16 bytes of the source are the key, 0 to 3.
        unit: u8,
    },
    /// HMAC-SHA256.
    Hkdf {
        /// Where the message is.
        message: HkdfMessage,
        /// Use a key of zeros, not the source.
        zero_key: bool,
    },
}

/// KDF: derives key material from a key in the chip. The message is wiped on drop.
#[derive(Clone, Debug, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Kdf {
    /// The key.
    #[zeroize(skip)]
    pub source: KdfSource,
    /// Where the result goes.
    #[zeroize(skip)]
    pub target: KdfTarget,
    /// What is computed.
    #[zeroize(skip)]
    pub algorithm: KdfAlgorithm,
    /// 16 bytes for AES, up to 128 for the others. If HKDF's message is in the chip, only the length of these bytes
    /// counts: the vendor's library sends them all the same.
    pub message: Vec<u8>,
}

/// The response of KDF.
#[derive(Clone, Debug, PartialEq, Eq, ZeroizeOnDrop)]
pub enum KdfResponse {
    /// The result stayed in the chip.
    Kept,
    /// 32 or 64 bytes in clear.
    Clear(Vec<u8>),
    /// 32 or 64 bytes of ciphertext.
    Encrypted {
        /// The ciphertext.
        data: Vec<u8>,
        /// OutNonce.
        nonce: [u8; 32],
    },
}

impl Kdf {
    /// Bytes of the result.
    pub const fn result_len(&self) -> usize {
        match self.algorithm {
            KdfAlgorithm::Prf { long: true, .. } => 64,
            _ => 32,
        }
    }

    const fn is_aead(&self) -> bool {
        matches!(self.algorithm, KdfAlgorithm::Prf { aead: true, .. })
    }

    fn params(&self) -> (u8, u16) {
        let (source, source_slot) = match self.source {
            KdfSource::TempKey => (0, 0),
            KdfSource::TempKeyUpper => (1, 0),
            KdfSource::Slot(slot) => (2, slot.number()),
            KdfSource::AlternateKeyBuffer => (3, 0),
        };
        let (target, target_slot) = match self.target {
            KdfTarget::TempKey => (0x00, 0),
            KdfTarget::TempKeyUpper => (0x04, 0),
            KdfTarget::Slot(slot) => (0x08, slot.number()),
            KdfTarget::AlternateKeyBuffer => (0x0C, 0),
            KdfTarget::Output => (0x10, 0),
            KdfTarget::OutputEncrypted => (0x14, 0),
        };
        let algorithm = match self.algorithm {
            KdfAlgorithm::Prf { .. } => 0x00,
            KdfAlgorithm::Aes { .. } => 0x20,
            KdfAlgorithm::Hkdf { .. } => 0x40,
        };
        (source | target | algorithm, u16::from_le_bytes([source_slot, target_slot]))
    }

    fn details(&self) -> [u8; 4] {
        let len = self.message.len() as u8;
        match self.algorithm {
            KdfAlgorithm::Prf { key_len, long, aead } => [key_len & 3, u8::from(long) | u8::from(aead) << 1, 0, len],
            KdfAlgorithm::Aes { unit } => [unit & 3, 0, 0, 0],
            KdfAlgorithm::Hkdf { message, zero_key } => {
                let (message, slot) = match message {
                    HkdfMessage::Slot(slot) => (0, slot.number()),
                    HkdfMessage::TempKey => (1, 0),
                    HkdfMessage::Input => (2, 0),
                    HkdfMessage::SpecialIv => (3, 0),
                };
                [message | u8::from(zero_key) << 2, slot, 0, len]
            }
        }
    }
}

fn algorithm(bits: u8, details: [u8; 4], len: usize) -> Result<KdfAlgorithm, ParseError> {
    let [low, high, reserved, given] = details;
    require(reserved == 0, "data")?;
    require(bits == 0x20 || (usize::from(given) == len && len <= 128), "data")?;
    match bits {
        0x00 => {
            // AEAD: 0 none, 1 halves.
            require(low & !3 == 0 && high & !3 == 0, "data")?;
            let (long, aead) = (high & 1 != 0, high & 2 != 0);
            // Only a 64-byte result has halves.
            require(long || !aead, "data")?;
            Ok(KdfAlgorithm::Prf { key_len: low, long, aead })
        }
        0x20 => {
            require(low & !3 == 0 && high == 0 && given == 0 && len == 16, "data")?;
            Ok(KdfAlgorithm::Aes { unit: low })
        }
        0x40 => {
            require(low & !7 == 0, "data")?;
            let message = match low & 3 {
                0 => HkdfMessage::Slot(Slot::new(high).ok_or(ParseError("data"))?),
                1 => HkdfMessage::TempKey,
                2 => HkdfMessage::Input,
                _ => HkdfMessage::SpecialIv,
            };
            require(matches!(message, HkdfMessage::Slot(_)) || high == 0, "data")?;
            Ok(KdfAlgorithm::Hkdf { message, zero_key: low & 4 != 0 })
        }
        _ => Err(ParseError("param1")),
    }
}

impl Command for Kdf {
    const OPCODE: Opcode = Opcode::KDF;
    type Response = KdfResponse;

    fn packet(&self) -> CommandPacket {
        let (param1, param2) = self.params();
        let data = [&self.details()[..], &self.message].concat();
        CommandPacket::with_data(Self::OPCODE, param1, param2, data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param1 & 0x80 == 0, "param1")?;
        let [source_slot, target_slot] = packet.param2.to_le_bytes();
        let slot = |number| Slot::new(number).ok_or(ParseError("param2"));
        let source = match packet.param1 & 3 {
            0 => KdfSource::TempKey,
            1 => KdfSource::TempKeyUpper,
            2 => KdfSource::Slot(slot(source_slot)?),
            _ => KdfSource::AlternateKeyBuffer,
        };
        let target = match packet.param1 & 0x1C {
            0x00 => KdfTarget::TempKey,
            0x04 => KdfTarget::TempKeyUpper,
            0x08 => KdfTarget::Slot(slot(target_slot)?),
            0x0C => KdfTarget::AlternateKeyBuffer,
            0x10 => KdfTarget::Output,
            0x14 => KdfTarget::OutputEncrypted,
            _ => return Err(ParseError("param1")),
        };
        let (details, message) = packet.data.split_first_chunk::<4>().ok_or(ParseError("data"))?;
        let algorithm = algorithm(packet.param1 & 0x60, *details, message.len())?;
        let command = Self { source, target, algorithm, message: message.to_vec() };
        let kept = !matches!(target, KdfTarget::Output | KdfTarget::OutputEncrypted);
        require(kept || !command.is_aead(), "data")?;
        let stored = if command.is_aead() { 32 } else { command.result_len() };
        let half = matches!(target, KdfTarget::TempKeyUpper | KdfTarget::AlternateKeyBuffer);
        require(!half || stored == 32, "data")?;
        Ok(command)
    }

    fn response(&self, payload: &[u8]) -> Result<KdfResponse, ResponseError> {
        let expected = match self.target {
            KdfTarget::Output => self.result_len(),
            KdfTarget::OutputEncrypted => self.result_len() + 32,
            _ if self.is_aead() => {
                return exactly::<32>(Self::OPCODE, payload).map(|half| KdfResponse::Clear(half.into()))
            }
            _ => return success(Self::OPCODE, payload).map(|()| KdfResponse::Kept),
        };
        let error = ResponseError { opcode: Self::OPCODE, got: payload.len() as u16, expected: expected as u16 };
        if payload.len() != expected {
            return Err(error);
        }
        if self.target == KdfTarget::Output {
            return Ok(KdfResponse::Clear(payload.to_vec()));
        }
        let (data, nonce) = payload.split_last_chunk::<32>().ok_or(error)?;
        Ok(KdfResponse::Encrypted { data: data.to_vec(), nonce: *nonce })
    }

    /// Unless it replaces its own source.
    fn repeatable(&self) -> bool {
        matches!(self.target, KdfTarget::Output | KdfTarget::OutputEncrypted)
    }
}
