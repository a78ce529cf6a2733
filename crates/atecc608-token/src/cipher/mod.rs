// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_Encrypt and C_Decrypt: AES in the modes ECB, CBC (with and without padding), CTR and GCM.
//!
//! The block function may run in the chip ([`aes`]), which takes up to 27 ms for each block; the mode always runs on
//! the host.

pub mod aes;
pub mod gcm;
pub mod message;

use std::sync::Arc;

use cryptoki_sys::*;
use subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::buffer::{append, copied};
use super::deadline::Deadline;
use super::error::{Error, Result};
use super::mechanism::{Mechanism, Parameter, AES_CIPHERS};
use super::token::Token;
use super::{secret, ObjectHandle};
use aes::{AesKey, Block, BLOCK_LEN};
use gcm::Gcm;

/// Bytes processed at a time: whole blocks, whose copies need little memory for any input.
pub(super) const PIECE: usize = 256 * BLOCK_LEN;

/// Starts an encryption or decryption with a secret key. Does not access the chip.
///
/// # Errors
/// [`Error::MechanismInvalid`], [`Error::MechanismParamInvalid`], [`Error::KeyHandleInvalid`],
/// [`Error::KeyTypeInconsistent`], [`Error::KeyFunctionNotPermitted`].
pub(crate) fn begin(
    token: &Arc<Token>,
    direction: Direction,
    mechanism: &Mechanism,
    key: ObjectHandle,
) -> Result<CipherOperation> {
    if !AES_CIPHERS.contains(&mechanism.mechanism) {
        return Err(Error::MechanismInvalid(mechanism.mechanism));
    }
    let key = secret::key_for(token, key, direction.usage(), mechanism.mechanism)?;
    CipherOperation::new(direction, mechanism, Arc::new(key.into_aes(token, mechanism.mechanism)?))
}

/// Encrypt or decrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// C_Encrypt.
    Encrypt,
    /// C_Decrypt.
    Decrypt,
}

impl Direction {
    /// The attribute that allows it.
    fn usage(self) -> CK_ATTRIBUTE_TYPE {
        match self {
            Self::Encrypt => CKA_ENCRYPT,
            Self::Decrypt => CKA_DECRYPT,
        }
    }
}

/// C_EncryptInit to C_Encrypt or C_EncryptFinal, and C_DecryptInit to C_Decrypt or C_DecryptFinal.
pub struct CipherOperation {
    key: Arc<AesKey>,
    direction: Direction,
    mode: Mode,
    /// Unprocessed input: less than a block; with padding also the last whole block of a decryption; for a decryption
    /// with GCM the whole input.
    waiting: Zeroizing<Vec<u8>>,
    /// Output that was computed, but did not fit into the caller's buffer.
    ready: Option<Zeroizing<Vec<u8>>>,
}

enum Mode {
    Ecb,
    Cbc { chain: Block, padded: bool },
    Ctr { counter: Counter },
    Gcm(Gcm),
}

/// The counter of CTR: a block whose last `bits` bits count.
struct Counter {
    block: u128,
    /// Blocks left before it would wrap; `None` for 128 bits, which never wrap in practice.
    left: Option<u128>,
    /// Generated and unused key stream.
    stream: Zeroizing<Vec<u8>>,
}

impl CipherOperation {
    /// Starts an operation.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] if the mechanism is not supported; [`Error::MechanismParamInvalid`] if its parameter
    /// is wrong.
    pub fn new(direction: Direction, mechanism: &Mechanism, key: Arc<AesKey>) -> Result<Self> {
        let iv = || match &mechanism.parameter {
            Parameter::Other(iv) => Block::try_from(iv.as_slice()).ok(),
            _ => None,
        };
        let iv = || iv().ok_or_else(|| Error::MechanismParamInvalid("the parameter is an IV of 16 bytes".into()));
        let mode = match mechanism.mechanism {
            CKM_AES_ECB => {
                super::digest::no_parameter(mechanism)?;
                Mode::Ecb
            }
            CKM_AES_CBC => Mode::Cbc { chain: iv()?, padded: false },
            CKM_AES_CBC_PAD => Mode::Cbc { chain: iv()?, padded: true },
            CKM_AES_CTR => Mode::Ctr { counter: Counter::new(&mechanism.parameter)? },
            CKM_AES_GCM => match &mechanism.parameter {
                Parameter::Gcm { iv, associated, tag_bits } => Mode::Gcm(Gcm::new(iv, associated, *tag_bits)?),
                _ => return Err(Error::MechanismParamInvalid("CKM_AES_GCM takes CK_GCM_PARAMS".into())),
            },
            other => return Err(Error::MechanismInvalid(other)),
        };
        Ok(Self { key, direction, mode, waiting: Zeroizing::default(), ready: None })
    }

    /// Returns the exact number of bytes that [`CipherOperation::update`] returns for this input.
    pub fn update_len(&self, input: usize) -> usize {
        match self.mode {
            Mode::Gcm(_) if self.direction == Direction::Decrypt => 0,
            Mode::Gcm(_) | Mode::Ctr { .. } => input,
            Mode::Ecb | Mode::Cbc { .. } => self.whole_blocks(self.waiting.len() + input) * BLOCK_LEN,
        }
    }

    /// Returns the maximum number of bytes that the end of the operation returns after this input.
    pub fn end_len(&self, input: usize) -> usize {
        if let Some(ready) = &self.ready {
            return ready.len();
        }
        let all = self.waiting.len() + input;
        match (&self.mode, self.direction) {
            (Mode::Gcm(gcm), Direction::Encrypt) => input + gcm.tag_len(),
            (Mode::Gcm(gcm), Direction::Decrypt) => all.saturating_sub(gcm.tag_len()),
            (Mode::Ctr { .. }, _) => input,
            (Mode::Cbc { padded: true, .. }, Direction::Encrypt) => (all / BLOCK_LEN + 1) * BLOCK_LEN,
            _ => all,
        }
    }

    /// Whether the length of the output is known only at the end: for a padded decryption.
    pub fn end_len_is_secret(&self) -> bool {
        self.ready.is_none()
            && self.direction == Direction::Decrypt
            && matches!(self.mode, Mode::Cbc { padded: true, .. })
    }

    /// Returns how many whole blocks of these bytes can be processed.
    fn whole_blocks(&self, bytes: usize) -> usize {
        if self.end_len_is_secret() {
            // The last block contains the padding.
            bytes.saturating_sub(1) / BLOCK_LEN
        } else {
            bytes / BLOCK_LEN
        }
    }

    /// Processes more input; returns the completed output.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors); [`Error::DataLenRange`] if a counter would wrap; [`Error::HostMemory`] if
    /// the host has no memory.
    pub fn update(&mut self, deadline: &mut Deadline, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        match &mut self.mode {
            Mode::Gcm(gcm) if self.direction == Direction::Encrypt => {
                gcm.check_text(input.len())?;
                let mut output = Zeroizing::new(copied(input)?);
                gcm.encrypt(&self.key, deadline, &mut output)?;
                Ok(output)
            }
            Mode::Gcm(gcm) => {
                let all = self.waiting.len().saturating_add(input.len());
                gcm.check_text(all.saturating_sub(gcm.tag_len())).map_err(of_direction(self.direction))?;
                append(&mut self.waiting, input)?;
                Ok(Zeroizing::default())
            }
            Mode::Ctr { counter } => counter.apply(&self.key, deadline, input),
            Mode::Ecb | Mode::Cbc { .. } => {
                append(&mut self.waiting, input)?;
                let count = self.whole_blocks(self.waiting.len());
                let rest = Zeroizing::new(self.waiting.split_off(count * BLOCK_LEN));
                let mut blocks = std::mem::replace(&mut self.waiting, rest);
                self.blocks(deadline, &mut blocks)?;
                Ok(blocks)
            }
        }
    }

    /// Processes whole blocks in place, a piece at a time.
    fn blocks(&mut self, deadline: &mut Deadline, bytes: &mut [u8]) -> Result<()> {
        bytes.chunks_mut(PIECE).try_for_each(|piece| self.piece(deadline, piece))
    }

    fn piece(&mut self, deadline: &mut Deadline, bytes: &mut [u8]) -> Result<()> {
        let mut blocks = to_blocks(bytes);
        match (&mut self.mode, self.direction) {
            (Mode::Cbc { chain, .. }, Direction::Encrypt) => {
                self.key.encrypt_chained(deadline, chain, &mut blocks)?;
            }
            (Mode::Cbc { chain, .. }, Direction::Decrypt) => {
                let before = blocks.clone();
                self.key.decrypt(deadline, &mut blocks)?;
                for (block, cipher_text) in blocks.iter_mut().zip(before.iter()) {
                    xor(block, chain);
                    *chain = *cipher_text;
                }
            }
            (_, Direction::Encrypt) => self.key.encrypt(deadline, &mut blocks)?,
            (_, Direction::Decrypt) => self.key.decrypt(deadline, &mut blocks)?,
        }
        bytes.copy_from_slice(blocks.as_flattened());
        Ok(())
    }

    /// Computes the end of the output after the last input, and keeps it until [`CipherOperation::take`]. Later input
    /// is ignored as a repetition: the caller's buffer was too short.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if the data has an impossible length; [`Error::EncryptedDataLenRange`] if the encrypted
    /// data has an impossible length; [`Error::EncryptedDataInvalid`] if it does not decrypt; [`Error::HostMemory`] if
    /// the host has no memory; the [turn errors](Error#turn-errors).
    pub fn end(&mut self, deadline: &mut Deadline, input: &[u8]) -> Result<usize> {
        if let Some(ready) = &self.ready {
            return Ok(ready.len());
        }
        let mut output = self.update(deadline, input)?;
        let mut rest = std::mem::take(&mut self.waiting);
        match (&mut self.mode, self.direction) {
            (Mode::Ctr { .. }, _) => {}
            (Mode::Gcm(gcm), Direction::Encrypt) => {
                let tag = gcm.finish(&self.key, deadline)?;
                append(&mut output, &tag)?;
            }
            (Mode::Gcm(gcm), Direction::Decrypt) => {
                let text_len = rest.len().checked_sub(gcm.tag_len()).ok_or_else(|| {
                    Error::EncryptedDataLenRange(format!("{} bytes are shorter than a tag", rest.len()).into())
                })?;
                let tag = rest.split_off(text_len);
                gcm.decrypt(&self.key, deadline, &mut rest, &tag)?;
                output = rest;
            }
            (Mode::Cbc { padded: true, .. }, Direction::Encrypt) => {
                let padding = BLOCK_LEN - rest.len();
                rest.resize(BLOCK_LEN, padding as u8);
                self.blocks(deadline, &mut rest)?;
                append(&mut output, &rest)?;
            }
            (Mode::Cbc { padded: true, .. }, Direction::Decrypt) => {
                if rest.len() != BLOCK_LEN {
                    return Err(not_whole_blocks(self.direction));
                }
                self.blocks(deadline, &mut rest)?;
                let padding = padding_of(&rest).ok_or(Error::EncryptedDataInvalid)?;
                append(&mut output, &rest[..BLOCK_LEN - padding])?;
            }
            (Mode::Ecb | Mode::Cbc { .. }, _) if !rest.is_empty() => return Err(not_whole_blocks(self.direction)),
            (Mode::Ecb | Mode::Cbc { .. }, _) => {}
        }
        Ok(self.ready.insert(output).len())
    }

    /// Returns the end of the output that [`CipherOperation::end`] computed.
    pub fn take(self) -> Zeroizing<Vec<u8>> {
        self.ready.unwrap_or_default()
    }
}

/// Bytes as whole blocks.
pub(super) fn to_blocks(bytes: &[u8]) -> Zeroizing<Vec<Block>> {
    let mut blocks = Zeroizing::new(vec![Block::default(); bytes.len() / BLOCK_LEN]);
    blocks.as_flattened_mut().copy_from_slice(bytes);
    blocks
}

/// XORs as many bytes as the shorter slice has.
pub(super) fn xor(target: &mut [u8], mask: &[u8]) {
    target.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

/// Converts an error about the length of a text to that of the direction.
fn of_direction(direction: Direction) -> impl Fn(Error) -> Error {
    move |error| match (direction, error) {
        (Direction::Decrypt, Error::DataLenRange(text)) => Error::EncryptedDataLenRange(text),
        (_, error) => error,
    }
}

fn not_whole_blocks(direction: Direction) -> Error {
    let text = "the data is not a multiple of 16 bytes, which this mode needs".to_owned();
    match direction {
        Direction::Encrypt => Error::DataLenRange(text.into()),
        Direction::Decrypt => Error::EncryptedDataLenRange(text.into()),
    }
}

/// Returns the bytes of padding in the last block (PKCS #7), in constant time.
fn padding_of(block: &[u8]) -> Option<usize> {
    let padding = block[BLOCK_LEN - 1];
    let mut good = !padding.ct_eq(&0) & !padding.ct_gt(&(BLOCK_LEN as u8));
    for (from_end, byte) in (1_u8..).zip(block.iter().rev()) {
        let is_padding = !from_end.ct_gt(&padding);
        good &= u8::conditional_select(&padding, byte, is_padding).ct_eq(&padding);
    }
    bool::from(good).then_some(usize::from(padding))
}

impl Counter {
    fn new(parameter: &Parameter) -> Result<Self> {
        let Parameter::Ctr { bits, block } = parameter else {
            return Err(Error::MechanismParamInvalid("CKM_AES_CTR takes CK_AES_CTR_PARAMS".into()));
        };
        let block = u128::from_be_bytes(*block);
        let left = match bits {
            1..=127 => {
                let blocks = 1_u128 << bits;
                Some(blocks - (block & (blocks - 1)))
            }
            128 => None,
            _ => return Err(Error::MechanismParamInvalid("ulCounterBits is 1 to 128".into())),
        };
        Ok(Self { block, left, stream: Zeroizing::default() })
    }

    fn apply(&mut self, key: &AesKey, deadline: &mut Deadline, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut output = Zeroizing::new(copied(input)?);
        let count = input.len().saturating_sub(self.stream.len()).div_ceil(BLOCK_LEN);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(count as u128).ok_or_else(|| {
                Error::DataLenRange("the counter of CKM_AES_CTR would overflow: it has too few bits".into())
            })?;
        }
        // First use the rest of the last block.
        let begun = self.stream.len().min(input.len());
        xor(&mut output[..begun], &self.stream);
        self.stream.drain(..begun);
        for piece in output[begun..].chunks_mut(PIECE) {
            let count = piece.len().div_ceil(BLOCK_LEN) as u128;
            let counters = (0..count).map(|index| self.block.wrapping_add(index).to_be_bytes());
            let mut blocks = Zeroizing::new(counters.collect::<Vec<Block>>());
            key.encrypt(deadline, &mut blocks)?;
            self.block = self.block.wrapping_add(count);
            xor(piece, blocks.as_flattened());
            self.stream = Zeroizing::new(blocks.as_flattened()[piece.len()..].to_vec());
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_1_to_16_bytes_of_their_number() {
        let mut block = [0; 16];
        for padding in 1..=16_u8 {
            block[16 - usize::from(padding)..].fill(padding);
            assert_eq!(padding_of(&block), Some(usize::from(padding)));
        }
        assert_eq!(padding_of(&[0; 16]), None);
        assert_eq!(padding_of(&[17; 16]), None);
        let mut wrong = [4; 16];
        wrong[13] = 5;
        assert_eq!(padding_of(&wrong), None);
        wrong[13] = 4;
        wrong[0] = 9;
        assert_eq!(padding_of(&wrong), Some(4));
    }
}
