// SPDX-License-Identifier: MIT OR Apache-2.0
//! GenKey (fact sheet section 3.7).

use alloc::vec::Vec;

use crate::command::{data, exactly, require, success, Command, ParseError, ResponseError};
use crate::{CommandPacket, Opcode, Slot};

/// Where GenKey finds or puts the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// A slot.
    Slot(Slot),
    /// TempKey (param2 FFFF): an ephemeral key for ECDH.
    TempKey,
}

impl KeyLocation {
    fn param2(self) -> u16 {
        match self {
            KeyLocation::Slot(slot) => slot.number().into(),
            KeyLocation::TempKey => 0xFFFF,
        }
    }

    fn from_param2(param2: u16) -> Result<Self, ParseError> {
        if param2 == 0xFFFF {
            return Ok(KeyLocation::TempKey);
        }
        let slot = u8::try_from(param2).ok().and_then(Slot::new).ok_or(ParseError("param2"))?;
        Ok(KeyLocation::Slot(slot))
    }
}

/// What GenKey does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenKeyMode {
    /// Create a new random private key (mode 04; 0C also loads the public key's digest into TempKey).
    Create {
        /// Digest into TempKey.
        digest: bool,
    },
    /// Compute the public key of the stored private key (mode 00; 08 also loads its digest into TempKey).
    Public {
        /// Digest into TempKey.
        digest: bool,
    },
    /// Digest of the public key stored in a slot into TempKey (mode 10).
    StoredDigest {
        /// Takes the place of param1 and param2 in the digested message.
        other_data: [u8; 3],
    },
}

/// GenKey: creates a private key, or computes the public key of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenKey {
    /// What to do.
    pub mode: GenKeyMode,
    /// With which key.
    pub key: KeyLocation,
}

impl GenKey {
    /// Creates a private key in `slot` and destroys the one that is there.
    pub const fn create(slot: Slot) -> Self {
        Self { mode: GenKeyMode::Create { digest: false }, key: KeyLocation::Slot(slot) }
    }

    /// Computes the public key of the private key in `slot`.
    pub const fn public(slot: Slot) -> Self {
        Self { mode: GenKeyMode::Public { digest: false }, key: KeyLocation::Slot(slot) }
    }
}

impl Command for GenKey {
    const OPCODE: Opcode = Opcode::GEN_KEY;
    /// X and Y, 32 bytes each, big-endian; `None` for [`GenKeyMode::StoredDigest`].
    type Response = Option<[u8; 64]>;

    fn packet(&self) -> CommandPacket {
        let (param1, data) = match self.mode {
            GenKeyMode::Create { digest } => (0x04 | u8::from(digest) << 3, Vec::new()),
            GenKeyMode::Public { digest } => (u8::from(digest) << 3, Vec::new()),
            GenKeyMode::StoredDigest { other_data } => (0x10, other_data.to_vec()),
        };
        CommandPacket::with_data(Self::OPCODE, param1, self.key.param2(), data)
    }

    fn from_packet(packet: &CommandPacket) -> Result<Self, ParseError> {
        let digest = packet.param1 & 0x08 != 0;
        let mode = match packet.param1 {
            0x04 | 0x0C => GenKeyMode::Create { digest },
            0x00 | 0x08 => GenKeyMode::Public { digest },
            0x10 => GenKeyMode::StoredDigest { other_data: data(packet)? },
            _ => return Err(ParseError("param1")),
        };
        let key = KeyLocation::from_param2(packet.param2)?;
        if key == KeyLocation::TempKey {
            require(packet.param1 == 0x04, "param2")?;
        }
        require(packet.param1 == 0x10 || packet.data.is_empty(), "data")?;
        Ok(Self { mode, key })
    }

    fn response(&self, payload: &[u8]) -> Result<Option<[u8; 64]>, ResponseError> {
        match self.mode {
            GenKeyMode::StoredDigest { .. } => success(Self::OPCODE, payload).map(|()| None),
            _ => exactly(Self::OPCODE, payload).map(Some),
        }
    }

    fn repeatable(&self) -> bool {
        !matches!(self.mode, GenKeyMode::Create { .. })
    }
}
