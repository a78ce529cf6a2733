// SPDX-License-Identifier: MIT OR Apache-2.0
//! Galois/Counter Mode (NIST SP 800-38D).

use ghash::universal_hash::{KeyInit, UniversalHash};
use ghash::GHash;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::aes::{AesKey, Block, BLOCK_LEN};
use super::xor;
use crate::buffer::copied;
use crate::deadline::Deadline;
use crate::error::{Error, Result};

/// Lengths of initialization vectors, in bytes. An empty one is not accepted; PKCS#11 allows at most 256.
const IV_LENS: std::ops::RangeInclusive<usize> = 1..=256;
/// Blocks of key stream generated at a time.
const BLOCKS_AT_A_TIME: usize = 256;
/// Blocks of key stream generated together with the hash key and the tag's mask: with these two, as many as a key in
/// the chip encrypts in one turn ([`super::aes`]).
const FIRST_BLOCKS: usize = 14;

/// Most bytes of a text that one call encrypts, or that can be decrypted at all: no text is returned before its tag was
/// checked. A gateway needs seconds for them.
const MAX_TEXT: usize = 64 << 20;
/// Most bytes of a text in parts: the counter has 32 bits (section 5.2.1.1).
const MAX_TOTAL: u64 = ((1 << 32) - 2) * BLOCK_LEN as u64;

/// One encryption or decryption.
pub struct Gcm {
    iv: Vec<u8>,
    associated: Vec<u8>,
    tag_len: usize,
    /// An encryption in progress.
    running: Option<Running>,
}

/// The state of an encryption or decryption.
struct Running {
    /// Over the associated data and the whole blocks of the cipher text.
    hash: GHash,
    /// The first counter block, J0.
    first: Block,
    /// J0 encrypted: the mask of the tag.
    mask: Zeroizing<Block>,
    /// The last 32 bits of the last counter block.
    counter: u32,
    /// Generated and unused key stream.
    stream: Zeroizing<Vec<u8>>,
    /// Cipher text that is not hashed yet: less than a block.
    unhashed: Vec<u8>,
    /// Bytes of the cipher text.
    len: u64,
}

impl Gcm {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::MechanismParamInvalid`] if its parameter is wrong; a tag has 96 to 128 bits, or 64 or 32 (SP 800-38D
    /// section 5.2.1.2). [`Error::HostMemory`] if the host has no memory.
    pub fn new(iv: &[u8], associated: &[u8], tag_bits: u64) -> Result<Self> {
        let invalid = |text: &str| Err(Error::MechanismParamInvalid(text.into()));
        if !IV_LENS.contains(&iv.len()) {
            return invalid("the initialization vector of CKM_AES_GCM has 1 to 256 bytes; use 12");
        }
        if !matches!(tag_bits, 32 | 64 | 96 | 104 | 112 | 120 | 128) {
            return invalid("the tag of CKM_AES_GCM has 128, 120, 112, 104 or 96 bits (or 64 or 32)");
        }
        Ok(Self { iv: iv.to_vec(), associated: copied(associated)?, tag_len: tag_bits as usize / 8, running: None })
    }

    /// Bytes of the tag.
    pub fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Refuses a text that is too long for one call.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if the data has an impossible length.
    pub fn check_text(&self, len: usize) -> Result<()> {
        if len <= MAX_TEXT {
            return Ok(());
        }
        Err(Error::DataLenRange(
            format!(
                "CKM_AES_GCM: {len} bytes are too many: one call encrypts, and one text to decrypt has, at most \
                 {MAX_TEXT}. Encrypt in parts (C_EncryptUpdate)"
            )
            .into(),
        ))
    }

    /// Encrypts the next part of a text in place.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if the data has an impossible length; as [`AesKey::encrypt`].
    pub fn encrypt(&mut self, key: &AesKey, deadline: &mut Deadline, part: &mut [u8]) -> Result<()> {
        self.check_text(part.len())?;
        let running = self.running(key, deadline, part.len())?;
        let len = running.len + part.len() as u64;
        if len > MAX_TOTAL {
            return Err(Error::DataLenRange("CKM_AES_GCM: the text has more than 2^36 - 32 bytes".into()));
        }
        running.len = len;
        running.apply_stream(key, deadline, part)?;
        running.hash_part(part);
        Ok(())
    }

    /// Ends an encryption; returns the tag.
    ///
    /// # Errors
    /// As [`AesKey::encrypt`].
    pub fn finish(&mut self, key: &AesKey, deadline: &mut Deadline) -> Result<Vec<u8>> {
        self.running(key, deadline, 0)?;
        Ok(self.running.take().map(|running| self.tag(running)).unwrap_or_default())
    }

    /// Returns the encryption in progress, starting it if necessary, for a part of this length.
    fn running(&mut self, key: &AesKey, deadline: &mut Deadline, part_len: usize) -> Result<&mut Running> {
        let running = match self.running.take() {
            Some(running) => running,
            None => self.begin(key, deadline, part_len)?,
        };
        Ok(self.running.insert(running))
    }

    /// Checks the tag, then decrypts the text in place: nothing is decrypted if the tag is wrong.
    ///
    /// # Errors
    /// [`Error::EncryptedDataInvalid`] if it does not decrypt; as [`AesKey::encrypt`].
    pub fn decrypt(&self, key: &AesKey, deadline: &mut Deadline, text: &mut [u8], tag: &[u8]) -> Result<()> {
        self.check_text(text.len())?;
        let mut running = self.begin(key, deadline, text.len())?;
        running.len = text.len() as u64;
        running.hash_part(text);
        let (first, mut counter, stream) = (running.first, running.counter, std::mem::take(&mut running.stream));
        if !bool::from(self.tag(running).ct_eq(tag)) {
            return Err(Error::EncryptedDataInvalid);
        }
        let begun = stream.len().min(text.len());
        xor(&mut text[..begun], &stream);
        count(key, deadline, first, &mut counter, &mut text[begun..]).map(drop)
    }

    /// Computes the hash key, the first counter block, J0 (section 7.1), and the key stream for the start of a text of
    /// this length: with a vector of 12 bytes in one turn.
    fn begin(&self, key: &AesKey, deadline: &mut Deadline, text_len: usize) -> Result<Running> {
        let mut blocks = Zeroizing::new(vec![[0; BLOCK_LEN]]);
        let mut first = [0; BLOCK_LEN];
        let mut encrypted = 0;
        if self.iv.len() == 12 {
            first[..12].copy_from_slice(&self.iv);
            first[15] = 1;
        } else {
            key.encrypt(deadline, &mut blocks)?;
            encrypted = 1;
            let mut hash = GHash::new(&blocks[0].into());
            hash.update_padded(&self.iv);
            hash.update(&[lengths(0, self.iv.len() as u64).into()]);
            first = hash.finalize().into();
        }
        let mut counter = counter_of(first);
        blocks.push(first);
        blocks.extend_from_slice(&counter_blocks(first, &mut counter, text_len.div_ceil(BLOCK_LEN).min(FIRST_BLOCKS)));
        key.encrypt(deadline, &mut blocks[encrypted..])?;
        let mut hash = GHash::new(&blocks[0].into());
        hash.update_padded(&self.associated);
        let mask = Zeroizing::new(blocks[1]);
        let stream = Zeroizing::new(blocks[2..].as_flattened().to_vec());
        Ok(Running { hash, first, mask, counter, stream, unhashed: Vec::new(), len: 0 })
    }

    fn tag(&self, Running { mut hash, mask, unhashed, len, .. }: Running) -> Vec<u8> {
        hash.update_padded(&unhashed);
        hash.update(&[lengths(self.associated.len() as u64, len).into()]);
        let mut tag: Block = hash.finalize().into();
        xor(&mut tag, &*mask);
        tag[..self.tag_len].to_vec()
    }
}

/// The last block of the hash: two lengths in bits.
fn lengths(associated: u64, text: u64) -> Block {
    ((associated as u128 * 8) << 64 | (text as u128 * 8)).to_be_bytes()
}

impl Running {
    fn apply_stream(&mut self, key: &AesKey, deadline: &mut Deadline, part: &mut [u8]) -> Result<()> {
        let begun = self.stream.len().min(part.len());
        xor(&mut part[..begun], &self.stream);
        self.stream.drain(..begun);
        if begun < part.len() {
            self.stream = count(key, deadline, self.first, &mut self.counter, &mut part[begun..])?;
        }
        Ok(())
    }

    fn hash_part(&mut self, mut cipher_text: &[u8]) {
        if !self.unhashed.is_empty() {
            let fill = (BLOCK_LEN - self.unhashed.len()).min(cipher_text.len());
            self.unhashed.extend_from_slice(&cipher_text[..fill]);
            cipher_text = &cipher_text[fill..];
            if self.unhashed.len() < BLOCK_LEN {
                return;
            }
            self.hash.update_padded(&self.unhashed);
        }
        let whole = cipher_text.len() / BLOCK_LEN * BLOCK_LEN;
        self.hash.update_padded(&cipher_text[..whole]);
        self.unhashed = cipher_text[whole..].to_vec();
    }
}

/// The last 32 bits of a counter block.
fn counter_of([.., a, b, c, d]: Block) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

/// Returns this many counter blocks after `counter`; the last 32 bits count.
fn counter_blocks(first: Block, counter: &mut u32, blocks: usize) -> Zeroizing<Vec<Block>> {
    let next = || {
        *counter = counter.wrapping_add(1);
        let mut block = first;
        block[12..].copy_from_slice(&counter.to_be_bytes());
        block
    };
    Zeroizing::new(std::iter::repeat_with(next).take(blocks).collect())
}

/// Counter mode from the block after `counter`; the last 32 bits count. Returns the rest of the last block of key
/// stream.
fn count(
    key: &AesKey,
    deadline: &mut Deadline,
    first: Block,
    counter: &mut u32,
    text: &mut [u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut left = Zeroizing::default();
    for part in text.chunks_mut(BLOCKS_AT_A_TIME * BLOCK_LEN) {
        let mut blocks = counter_blocks(first, counter, part.len().div_ceil(BLOCK_LEN));
        key.encrypt(deadline, &mut blocks)?;
        let stream = blocks.as_flattened();
        xor(part, stream);
        left = Zeroizing::new(stream[part.len()..].to_vec());
    }
    Ok(left)
}
