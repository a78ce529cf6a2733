// SPDX-License-Identifier: MIT OR Apache-2.0
//! SHA-256 with a context that can be read and restored (fact sheet section 3.18), and HMAC over it.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// A SHA-256 in progress.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Sha {
    total: u32,
    state: [u32; 8],
    pending: Vec<u8>,
}

impl Sha {
    fn new() -> Self {
        Self { total: 0, state: INITIAL, pending: Vec::with_capacity(64) }
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.total = self.total.wrapping_add(1);
            self.pending.push(*byte);
            if let Ok(block) = <[u8; 64]>::try_from(self.pending.as_slice()) {
                sha2::compress256(&mut self.state, &[block.into()]);
                self.pending.clear();
            }
        }
    }

    fn finish(mut self) -> [u8; 32] {
        let bits = u64::from(self.total) * 8;
        self.update(&[0x80]);
        while self.pending.len() != 56 {
            self.update(&[0]);
        }
        self.update(&bits.to_be_bytes());
        let mut digest = [0; 32];
        for (chunk, word) in digest.chunks_exact_mut(4).zip(self.state) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

/// A digest or HMAC in progress.
#[derive(Clone)]
pub struct ShaContext {
    inner: Sha,
    /// The key block XOR 5C of an HMAC.
    outer: Option<Zeroizing<[u8; 64]>>,
}

impl ShaContext {
    /// An empty digest.
    pub(crate) fn new() -> Self {
        Self { inner: Sha::new(), outer: None }
    }

    /// An empty HMAC.
    pub(crate) fn hmac(key: &[u8]) -> Self {
        let mut block = Zeroizing::new([0; 64]);
        // No key of the chip is longer than the block.
        block.iter_mut().zip(key).for_each(|(block, key)| *block = *key);
        let mut inner = Sha::new();
        inner.update(&*Zeroizing::new(block.map(|byte| byte ^ 0x36)));
        Self { inner, outer: Some(Zeroizing::new(block.map(|byte| byte ^ 0x5C))) }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    /// Digest or HMAC.
    pub(crate) fn finish(self) -> [u8; 32] {
        let digest = self.inner.finish();
        match self.outer {
            None => digest,
            Some(key) => {
                let mut outer = Sha::new();
                outer.update(&*key);
                outer.update(&digest);
                outer.finish()
            }
        }
    }

    /// Returns the context as the chip does; `None` for an HMAC, because it would reveal the key.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        if self.outer.is_some() {
            return None;
        }
        let mut bytes = self.inner.total.to_le_bytes().to_vec();
        self.inner.state.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend(&self.inner.pending);
        Some(bytes)
    }

    /// Restores a context from [`ShaContext::read`]; `None` if its length does not fit its byte count.
    pub(crate) fn write(bytes: &[u8]) -> Option<Self> {
        let (total, rest) = bytes.split_first_chunk::<4>()?;
        let (words, pending) = rest.split_first_chunk::<32>()?;
        let total = u32::from_le_bytes(*total);
        if pending.len() != (total % 64) as usize {
            return None;
        }
        let mut state = [0; 8];
        for (word, chunk) in state.iter_mut().zip(words.chunks_exact(4)) {
            *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        Some(Self { inner: Sha { total, state, pending: pending.to_vec() }, outer: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn every_length_up_to_200_hashes_like_sha2() {
        let message: Vec<u8> = (0..200).collect();
        for len in 0..=200 {
            let mut context = ShaContext::new();
            context.update(&message[..len / 2]);
            let mut context = ShaContext::write(&context.read().unwrap()).unwrap();
            context.update(&message[len / 2..len]);
            assert_eq!(context.finish(), <[u8; 32]>::from(Sha256::digest(&message[..len])), "{len}");
        }
    }

    #[test]
    fn context_after_five_bytes_is_the_fact_sheets() {
        let mut context = ShaContext::new();
        context.update(&[1, 2, 3, 4, 5]);
        let bytes = context.read().unwrap();
        assert_eq!(bytes.len(), 41);
        assert_eq!(bytes[..8], [5, 0, 0, 0, 0x67, 0xE6, 0x09, 0x6A]);
        assert_eq!(bytes[36..], [1, 2, 3, 4, 5]);
    }

    #[test]
    fn hmac_is_rfc_4231s_and_its_context_stays_inside() {
        // RFC 4231 test case 2's key is 4 bytes; zero-padded to 32 it is the same HMAC key.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mut context = ShaContext::hmac(&key);
        assert!(context.read().is_none());
        context.update(b"what do ya want for nothing?");
        assert_eq!(context.finish()[..8], [0x5B, 0xDC, 0xC1, 0x46, 0xBF, 0x60, 0x75, 0x4E]);
    }
}
