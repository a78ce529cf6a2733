// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verify (fact sheet section 3.21).

use super::sign::DigestSource;
use crate::command::{data, exactly, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// The public key of a Verify, and the purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyKey {
    /// A public key stored in a slot.
    Stored {
        /// Where the digest is.
        source: DigestSource,
        /// The public key's slot.
        slot: Slot,
    },
    /// A public key sent along: X and Y.
    External {
        /// Where the digest is.
        source: DigestSource,
        /// X and Y, big-endian.
        public_key: [u8; 64],
    },
    /// Marks the public key in `slot` as valid, if its parent signed it.
    Validate {
        /// The public key's slot.
        slot: Slot,
        /// Parts of the signed message (fact sheet section 3.19, OtherData).
        other_data: [u8; 19],
    },
    /// Mode 01: validates by a certificate. What the 608 requires of it is not public; only the lengths are.
    ValidateExternal {
        /// The public key's slot.
        slot: Slot,
        /// X and Y, big-endian.
        public_key: [u8; 64],
    },
    /// Removes the mark.
    Invalidate {
        /// The public key's slot.
        slot: Slot,
        /// As for [`VerifyKey::Validate`].
        other_data: [u8; 19],
    },
}

/// Verify: checks an ECDSA signature in the chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// With which key.
    pub key: VerifyKey,
    /// R and S, big-endian.
    pub signature: [u8; 64],
    /// Bit 7: respond with a MAC made with the IO protection key instead of a bare status.
    pub mac: bool,
}

/// The response of Verify if the signature is valid (an invalid one gives status 01).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyResponse {
    /// Status 00.
    Valid,
    /// The validating MAC.
    Mac([u8; 32]),
}

impl Verify {
    /// param2 of an external Verify: the curve P-256.
    const P256: u16 = 0x0004;
}

impl Command for Verify {
    const OPCODE: Opcode = Opcode::VERIFY;
    type Response = VerifyResponse;

    fn packet(&self) -> CommandPacket {
        let source_bit = |source| match source {
            DigestSource::TempKey => 0x00,
            DigestSource::MessageDigestBuffer => 0x20,
        };
        let mut data = self.signature.to_vec();
        let (mode, param2) = match &self.key {
            VerifyKey::Stored { source, slot } => (source_bit(*source), slot.number().into()),
            VerifyKey::External { source, public_key } => {
                data.extend(public_key);
                (0x02 | source_bit(*source), Self::P256)
            }
            VerifyKey::ValidateExternal { slot, public_key } => {
                data.extend(public_key);
                (0x01, slot.number().into())
            }
            VerifyKey::Validate { slot, other_data } => {
                data.extend(other_data);
                (0x03, slot.number().into())
            }
            VerifyKey::Invalidate { slot, other_data } => {
                data.extend(other_data);
                (0x07, slot.number().into())
            }
        };
        CommandPacket::with_data(Self::OPCODE, mode | u8::from(self.mac) << 7, param2, data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        let source = if packet.param1 & 0x20 != 0 { DigestSource::MessageDigestBuffer } else { DigestSource::TempKey };
        let slot = || u8::try_from(packet.param2).ok().and_then(Slot::new).ok_or(ParseError("param2"));
        let signed_data = || {
            let bytes: [u8; 83] = data(packet)?;
            bytes[64..].try_into().map_err(|_| ParseError("data"))
        };
        let public_key = || {
            let bytes: [u8; 128] = data(packet)?;
            bytes[64..].try_into().map_err(|_| ParseError("data"))
        };
        let key = match packet.param1 & 0x7F {
            0x00 | 0x20 => {
                data::<64>(packet)?;
                VerifyKey::Stored { source, slot: slot()? }
            }
            0x01 => VerifyKey::ValidateExternal { slot: slot()?, public_key: public_key()? },
            0x02 | 0x22 => {
                let public_key = public_key()?;
                require(packet.param2 == Self::P256, "param2")?;
                VerifyKey::External { source, public_key }
            }
            0x03 => VerifyKey::Validate { slot: slot()?, other_data: signed_data()? },
            0x07 => VerifyKey::Invalidate { slot: slot()?, other_data: signed_data()? },
            _ => return Err(ParseError("param1")),
        };
        let signature = packet.data[..64].try_into().map_err(|_| ParseError("data"))?;
        Ok(Self { key, signature, mac: packet.param1 & 0x80 != 0 })
    }

    fn response(&self, payload: &[u8]) -> Result<VerifyResponse, ResponseError> {
        if self.mac {
            exactly(Self::OPCODE, payload).map(VerifyResponse::Mac)
        } else {
            success(Self::OPCODE, payload).map(|()| VerifyResponse::Valid)
        }
    }

    fn repeatable(&self) -> bool {
        matches!(self.key, VerifyKey::Stored { .. } | VerifyKey::External { .. })
    }
}
