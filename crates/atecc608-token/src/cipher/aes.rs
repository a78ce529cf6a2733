// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AES block function: in the chip for a key there, on the host for a session key.

use std::convert::Infallible;
use std::sync::Arc;

use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use dbl::Dbl;
use zeroize::Zeroizing;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::secret::{stored, ChipSecret};
use crate::token::Token;
use atecc608 as chip;
use atecc608_wire::commands::{Aes as AesCommand, KeyLocation};

/// One block.
pub type Block = [u8; 16];

/// Bytes of a block.
pub const BLOCK_LEN: usize = 16;

/// Blocks that the chip processes in one conversation: about 0.4 s, so that others get their turn.
const BLOCKS_AT_A_TIME: usize = 16;

/// Most blocks of [`AesKey::end_cmac`]: the chip encrypts one more for the subkey.
pub const CMAC_END: usize = BLOCKS_AT_A_TIME - 1;

/// The block function with one key. Unlike those of the crates it can fail, which is why the modes are implemented
/// here.
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
        let wrong = || Error::KeySizeRange(format!("an AES key has 16, 24 or 32 bytes, not {}", key.len()).into());
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

/// The operation on the blocks of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Each block is encrypted separately.
    Encrypt,
    /// Each block is decrypted separately.
    Decrypt,
    /// Each block is encrypted together with the previous one, as in CBC and CMAC.
    Chain(Block),
    /// The same for the last blocks of CMAC, with a subkey for the last one.
    EndOfCmac {
        before: Block,
        /// The last block was incomplete.
        padded: bool,
    },
}

impl AesKey {
    /// Encrypts each block separately.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors), for a key in the chip.
    pub fn encrypt(&self, deadline: &mut Deadline, blocks: &mut [Block]) -> Result<()> {
        self.work(deadline, Work::Encrypt, blocks)
    }

    /// Decrypts each block separately.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors), for a key in the chip.
    pub fn decrypt(&self, deadline: &mut Deadline, blocks: &mut [Block]) -> Result<()> {
        self.work(deadline, Work::Decrypt, blocks)
    }

    /// Encrypts each block XORed with the previous one; `chain` is the block before the first, and the last one
    /// afterwards.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors), for a key in the chip.
    pub fn encrypt_chained(&self, deadline: &mut Deadline, chain: &mut Block, blocks: &mut [Block]) -> Result<()> {
        for blocks in blocks.chunks_mut(BLOCKS_AT_A_TIME) {
            self.work(deadline, Work::Chain(*chain), blocks)?;
            *chain = blocks.last().copied().unwrap_or(*chain);
        }
        Ok(())
    }

    /// Encrypts the last blocks of AES-CMAC (NIST SP 800-38B), at most [`CMAC_END`] of them, after `before`: one turn
    /// with a key in the chip. `padded` if the last one was incomplete. The last one becomes the code.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors), for a key in the chip.
    pub fn end_cmac(&self, deadline: &mut Deadline, before: Block, padded: bool, blocks: &mut [Block]) -> Result<()> {
        self.work(deadline, Work::EndOfCmac { before, padded }, blocks)
    }

    fn work(&self, deadline: &mut Deadline, work: Work, blocks: &mut [Block]) -> Result<()> {
        match self {
            Self::Host(aes) => {
                let done = each_block(work, blocks, |decrypt, block| {
                    if decrypt {
                        aes.decrypt(block);
                    } else {
                        aes.encrypt(block);
                    }
                    Ok::<_, Infallible>(())
                });
                match done {
                    Ok(()) => Ok(()),
                    Err(never) => match never {},
                }
            }
            Self::Chip(token, secret) => {
                let mut pieces = blocks.chunks_mut(BLOCKS_AT_A_TIME);
                pieces.try_for_each(|blocks| in_chip(token, deadline, secret, work, blocks))
            }
        }
    }
}

/// Applies the block function, given as `(decrypt, block)`, to each block.
fn each_block<E>(
    work: Work,
    blocks: &mut [Block],
    mut function: impl FnMut(bool, &mut Block) -> Result<(), E>,
) -> Result<(), E> {
    let mut chain = match work {
        Work::Chain(before) | Work::EndOfCmac { before, .. } => Some(before),
        Work::Encrypt | Work::Decrypt => None,
    };
    if let (Work::EndOfCmac { padded, .. }, Some(last)) = (work, blocks.last_mut()) {
        let mut zero = Block::default();
        function(false, &mut zero)?;
        let subkey = aes::Block::from(zero).dbl();
        super::xor(last, &if padded { subkey.dbl() } else { subkey });
    }
    for block in blocks {
        if let Some(before) = &chain {
            super::xor(block, before);
        }
        function(work == Work::Decrypt, block)?;
        chain = chain.map(|_| *block);
    }
    Ok(())
}

/// The same in the chip: one command for each block, all in one conversation.
fn in_chip(
    token: &Token,
    deadline: &mut Deadline,
    secret: &ChipSecret,
    work: Work,
    blocks: &mut [Block],
) -> Result<()> {
    let (key, unit) = (KeyLocation::Slot(secret.slot), secret.aes_unit());
    let done = token.turn(*deadline, |turn| {
        stored::prove(turn, secret)?;
        deadline.exclude(|| {
            turn.converse(|awake| {
                awake.before_use(secret.slot)?;
                // From the original blocks each time that the conversation is repeated.
                let mut blocks = Zeroizing::new(blocks.to_vec());
                each_block(work, &mut blocks, |decrypt, block| {
                    *block = awake.execute(&AesCommand::Block { key, unit, decrypt, input: *block })?;
                    Ok::<_, chip::Error>(())
                })?;
                Ok(blocks)
            })
        })
    })?;
    blocks.copy_from_slice(&done);
    Ok(())
}
