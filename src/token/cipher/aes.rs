//! The AES block function: in the chip for a key that lives there, on the host for a session key.

use std::sync::Arc;

use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};

use crate::token::error::{Error, Result};
use crate::token::secret::ChipSecret;
use crate::token::Token;
use crate::wire::commands::{Aes as AesCommand, KeyLocation};

/// One block.
pub type Block = [u8; 16];

/// Bytes of a block.
pub const BLOCK_LEN: usize = 16;

/// Blocks that go through the chip in one conversation: about 0.4 s of its time, so that others have their turn.
const BLOCKS_AT_A_TIME: usize = 16;

/// The block function under one key. Unlike those of the crates it can fail: the modes are built on it for that reason.
pub enum AesKey {
    /// A session key of 16, 24 or 32 bytes.
    Host(HostAes),
    /// A key of 16 bytes in a slot.
    Chip(Arc<Token>, ChipSecret),
}

/// A key schedule in this process's memory; wiped when dropped.
pub enum HostAes {
    /// 16 bytes.
    Aes128(Box<Aes128>),
    /// 24 bytes.
    Aes192(Box<Aes192>),
    /// 32 bytes.
    Aes256(Box<Aes256>),
}

macro_rules! each {
    ($self:expr, $aes:ident => $body:expr) => {
        match $self {
            HostAes::Aes128($aes) => $body,
            HostAes::Aes192($aes) => $body,
            HostAes::Aes256($aes) => $body,
        }
    };
}

impl HostAes {
    /// A key of 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// [`Error::KeySizeRange`] for any other length.
    pub fn new(key: &[u8]) -> Result<Self> {
        let wrong = || Error::KeySizeRange(format!("an AES key has 16, 24 or 32 bytes, not {}", key.len()));
        match key.len() {
            16 => Aes128::new_from_slice(key).map(Box::new).map(Self::Aes128).map_err(|_| wrong()),
            24 => Aes192::new_from_slice(key).map(Box::new).map(Self::Aes192).map_err(|_| wrong()),
            32 => Aes256::new_from_slice(key).map(Box::new).map(Self::Aes256).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    /// Encrypts one block where it is.
    pub fn encrypt(&self, block: &mut Block) {
        each!(self, aes => aes.encrypt_block(block.into()));
    }

    fn decrypt(&self, block: &mut Block) {
        each!(self, aes => aes.decrypt_block(block.into()));
    }
}

impl AesKey {
    /// Encrypts each block by itself.
    ///
    /// # Errors
    /// Those of the chip, for a key that is there.
    pub fn encrypt(&self, blocks: &mut [Block]) -> Result<()> {
        match self {
            Self::Host(aes) => blocks.iter_mut().for_each(|block| aes.encrypt(block)),
            Self::Chip(token, secret) => in_chip(token, secret, false, blocks)?,
        }
        Ok(())
    }

    /// Decrypts each block by itself.
    ///
    /// # Errors
    /// Those of the chip, for a key that is there.
    pub fn decrypt(&self, blocks: &mut [Block]) -> Result<()> {
        match self {
            Self::Host(aes) => blocks.iter_mut().for_each(|block| aes.decrypt(block)),
            Self::Chip(token, secret) => in_chip(token, secret, true, blocks)?,
        }
        Ok(())
    }
}

fn in_chip(token: &Token, secret: &ChipSecret, decrypt: bool, blocks: &mut [Block]) -> Result<()> {
    let key = KeyLocation::Slot(secret.slot);
    for blocks in blocks.chunks_mut(BLOCKS_AT_A_TIME) {
        let done = token.with_device(|device| {
            device.with_secret(secret, |chip, _| {
                chip.converse(|awake| {
                    let block = |input: &Block| {
                        awake.execute(&AesCommand::Block { key, unit: secret.aes_unit(), decrypt, input: *input })
                    };
                    blocks.iter().map(block).collect::<Result<Vec<Block>, _>>()
                })
                .map_err(Error::Device)
            })
        })?;
        blocks.copy_from_slice(&done);
    }
    Ok(())
}
