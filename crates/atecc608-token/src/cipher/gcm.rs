//! Galois/Counter Mode (NIST SP 800-38D).

use ghash::universal_hash::{KeyInit, UniversalHash};
use ghash::GHash;
use subtle::ConstantTimeEq;

use super::aes::{AesKey, Block, BLOCK_LEN};
use super::xor;
use crate::buffer::copied;
use crate::deadline::Deadline;
use crate::error::{Error, Result};

/// Initialization vectors that are accepted, in bytes. One of none is not one; PKCS#11 has at most 256.
const IV_LENS: std::ops::RangeInclusive<usize> = 1..=256;
/// Blocks of key stream made at a time.
const BLOCKS_AT_A_TIME: usize = 256;

/// The parameters of one encryption or decryption.
pub struct Gcm {
    iv: Vec<u8>,
    associated: Vec<u8>,
    tag_len: usize,
}

impl Gcm {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::MechanismParamInvalid`]; a tag has 96 to 128 bits, or 64 or 32 (SP 800-38D section 5.2.1.2).
    /// [`Error::HostMemory`].
    pub fn new(iv: &[u8], associated: &[u8], tag_bits: u64) -> Result<Self> {
        let invalid = |text: &str| Err(Error::MechanismParamInvalid(text.into()));
        if !IV_LENS.contains(&iv.len()) {
            return invalid("the initialization vector of CKM_AES_GCM has 1 to 256 bytes; use 12");
        }
        if !matches!(tag_bits, 32 | 64 | 96 | 104 | 112 | 120 | 128) {
            return invalid("the tag of CKM_AES_GCM has 128, 120, 112, 104 or 96 bits (or 64 or 32)");
        }
        Ok(Self { iv: iv.to_vec(), associated: copied(associated)?, tag_len: tag_bits as usize / 8 })
    }

    /// Bytes of the tag.
    pub fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Encrypts the text where it is; answers the tag.
    ///
    /// # Errors
    /// Those of the block function.
    pub fn encrypt(&self, key: &AesKey, deadline: &mut Deadline, text: &mut [u8]) -> Result<Vec<u8>> {
        let (hash, first) = self.begin(key, deadline)?;
        count(key, deadline, first, text)?;
        self.tag(key, deadline, hash, first, text)
    }

    /// Checks the tag, then decrypts the text where it is: nothing is decrypted if the tag is wrong.
    ///
    /// # Errors
    /// [`Error::EncryptedDataInvalid`], those of the block function.
    pub fn decrypt(&self, key: &AesKey, deadline: &mut Deadline, text: &mut [u8], tag: &[u8]) -> Result<()> {
        let (hash, first) = self.begin(key, deadline)?;
        let expected = self.tag(key, deadline, hash, first, text)?;
        if !bool::from(expected.ct_eq(tag)) {
            return Err(Error::EncryptedDataInvalid);
        }
        count(key, deadline, first, text)
    }

    /// The hash under the hash key, and the first counter block, J0 (section 7.1).
    fn begin(&self, key: &AesKey, deadline: &mut Deadline) -> Result<(GHash, Block)> {
        let mut hash_key = [[0; BLOCK_LEN]];
        key.encrypt(deadline, &mut hash_key)?;
        let hash = GHash::new(&hash_key[0].into());
        let mut first = [0; BLOCK_LEN];
        if self.iv.len() == 12 {
            first[..12].copy_from_slice(&self.iv);
            first[15] = 1;
        } else {
            let mut hash = hash.clone();
            hash.update_padded(&self.iv);
            hash.update(&[lengths(0, self.iv.len()).into()]);
            first = hash.finalize().into();
        }
        Ok((hash, first))
    }

    fn tag(
        &self,
        key: &AesKey,
        deadline: &mut Deadline,
        mut hash: GHash,
        first: Block,
        cipher_text: &[u8],
    ) -> Result<Vec<u8>> {
        hash.update_padded(&self.associated);
        hash.update_padded(cipher_text);
        hash.update(&[lengths(self.associated.len(), cipher_text.len()).into()]);
        let mut tag: Block = hash.finalize().into();
        let mut mask = [first];
        key.encrypt(deadline, &mut mask)?;
        xor(&mut tag, &mask[0]);
        Ok(tag[..self.tag_len].to_vec())
    }
}

/// The last block of the hash: two lengths in bits.
fn lengths(associated: usize, text: usize) -> Block {
    ((associated as u128 * 8) << 64 | (text as u128 * 8)).to_be_bytes()
}

/// Counter mode from the block after `first`; the last 32 bits count.
fn count(key: &AesKey, deadline: &mut Deadline, first: Block, text: &mut [u8]) -> Result<()> {
    let [.., a, b, c, d] = first;
    let mut counter = u32::from_be_bytes([a, b, c, d]);
    for part in text.chunks_mut(BLOCKS_AT_A_TIME * BLOCK_LEN) {
        let mut blocks = Vec::with_capacity(BLOCKS_AT_A_TIME);
        for _ in 0..part.len().div_ceil(BLOCK_LEN) {
            counter = counter.wrapping_add(1);
            let mut block = first;
            block[12..].copy_from_slice(&counter.to_be_bytes());
            blocks.push(block);
        }
        key.encrypt(deadline, &mut blocks)?;
        xor(part, blocks.as_flattened());
        zeroize::Zeroize::zeroize(&mut blocks);
    }
    Ok(())
}
