// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip's SRAM between commands; it is lost on sleep, watchdog and power loss (fact sheet sections 0, 1.3 and 3.0).
//!
//! TempKey and the message digest buffer are separate.

use zeroize::Zeroizing;

use super::sha_context::ShaContext;
use atecc608_wire::messages::TempKeyFlags;
use atecc608_wire::Slot;

/// The contents of TempKey.
#[derive(Clone)]
pub enum Content {
    /// 32 or 64 bytes.
    Bytes(Zeroizing<Vec<u8>>),
    /// A private key made by GenKey(FFFF), usable for ECDH only.
    PrivateKey(Zeroizing<[u8; 32]>),
}

/// TempKey while it is valid.
#[derive(Clone)]
pub struct TempKey {
    /// The contents.
    pub content: Content,
    /// The origin of the contents.
    pub flags: TempKeyFlags,
    /// CheckMac copied it out of a slot; it may not survive idle (section 1.3).
    pub copied: bool,
}

impl TempKey {
    /// A TempKey of 32 or 64 bytes.
    pub fn new(bytes: &[u8], flags: TempKeyFlags) -> Self {
        Self { content: Content::Bytes(Zeroizing::new(bytes.to_vec())), flags, copied: false }
    }

    /// The first 32 bytes, unless it holds a private key.
    pub fn first_32(&self) -> Option<Zeroizing<[u8; 32]>> {
        match &self.content {
            Content::Bytes(bytes) => bytes.first_chunk().copied().map(Zeroizing::new),
            Content::PrivateKey(_) => None,
        }
    }
}

/// The volatile buffers. `None` means "not valid".
#[derive(Default)]
pub struct Buffers {
    /// TempKey.
    pub temp_key: Option<TempKey>,
    /// The message digest buffer, 32 or 64 bytes.
    pub digest: Option<Zeroizing<Vec<u8>>>,
    /// The alternate key buffer.
    pub alternate_key: Option<Zeroizing<[u8; 32]>>,
    /// A SHA-256 or HMAC in progress.
    pub sha: Option<ShaContext>,
    /// AuthComplete: the slot that CheckMac proved knowledge of. Idle, Nonce and a
    /// failed CheckMac may end it (switches).
    pub authorised: Option<Slot>,
}

impl Buffers {
    /// Bytes 0 to 31 of the message digest buffer.
    pub fn digest_32(&self) -> Option<[u8; 32]> {
        self.digest.as_ref()?.first_chunk().copied()
    }
}
