// SPDX-License-Identifier: MIT OR Apache-2.0
//! SecureBoot (fact sheet section 3.16).

use crate::command::{data, exactly, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode};

/// What SecureBoot checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBootMode {
    /// The signature that is sent (mode 5).
    Full {
        /// R and S.
        signature: [u8; 64],
    },
    /// The digest or signature that is stored (mode 6).
    FullStore,
    /// The signature that is sent; then the digest or signature is stored (mode 7).
    FullCopy {
        /// R and S.
        signature: [u8; 64],
    },
}

/// SecureBoot: checks that a digest is that of firmware signed with the key in the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureBoot {
    /// What is checked.
    pub mode: SecureBootMode,
    /// 40: no further SecureBoot until power is cycled.
    pub prohibit: bool,
    /// 80: the digest is encrypted, and the response to a match is a MAC.
    pub mac: bool,
    /// The digest, encrypted if `mac`.
    pub digest: [u8; 32],
}

/// The response of SecureBoot to a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBootResponse {
    /// Status 00.
    Matches,
    /// The MAC.
    Mac([u8; 32]),
}

impl SecureBoot {
    /// The signature that is sent, if there is one.
    pub const fn signature(&self) -> Option<&[u8; 64]> {
        match &self.mode {
            SecureBootMode::Full { signature } | SecureBootMode::FullCopy { signature } => Some(signature),
            SecureBootMode::FullStore => None,
        }
    }
}

impl Command for SecureBoot {
    const OPCODE: Opcode = Opcode::SECURE_BOOT;
    type Response = SecureBootResponse;

    fn packet(&self) -> CommandPacket {
        let mode = match self.mode {
            SecureBootMode::Full { .. } => 5,
            SecureBootMode::FullStore => 6,
            SecureBootMode::FullCopy { .. } => 7,
        };
        let param1 = mode | u8::from(self.prohibit) << 6 | u8::from(self.mac) << 7;
        let mut data = self.digest.to_vec();
        data.extend(self.signature().into_iter().flatten());
        CommandPacket::with_data(Self::OPCODE, param1, 0, data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        require(packet.param2 == 0, "param2")?;
        let (digest, mode) = match packet.param1 & 0x3F {
            6 => (data(packet)?, SecureBootMode::FullStore),
            mode @ (5 | 7) => {
                let bytes: [u8; 96] = data(packet)?;
                let (mut digest, mut signature) = ([0; 32], [0; 64]);
                digest.copy_from_slice(&bytes[..32]);
                signature.copy_from_slice(&bytes[32..]);
                let full = SecureBootMode::Full { signature };
                (digest, if mode == 5 { full } else { SecureBootMode::FullCopy { signature } })
            }
            _ => return Err(ParseError("param1")),
        };
        Ok(Self { mode, prohibit: packet.param1 & 0x40 != 0, mac: packet.param1 & 0x80 != 0, digest })
    }

    fn response(&self, payload: &[u8]) -> Result<SecureBootResponse, ResponseError> {
        if self.mac {
            exactly(Self::OPCODE, payload).map(SecureBootResponse::Mac)
        } else {
            success(Self::OPCODE, payload).map(|()| SecureBootResponse::Matches)
        }
    }

    fn repeatable(&self) -> bool {
        !(self.mac || self.prohibit)
    }
}
