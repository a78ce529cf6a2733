// SPDX-License-Identifier: MIT OR Apache-2.0
//! Digests, computed on the host: the chip's SHA would take a command for each 64 bytes, without a gain in security.

use cryptoki_sys::*;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::mechanism::{Mechanism, Parameter};

/// A digest in progress.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-1.
    Sha1(Sha1),
    /// SHA-224.
    Sha224(Sha224),
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-384.
    Sha384(Sha384),
    /// SHA-512.
    Sha512(Sha512),
}

macro_rules! each {
    ($self:expr, $inner:ident => $body:expr) => {
        match $self {
            Hasher::Sha1($inner) => $body,
            Hasher::Sha224($inner) => $body,
            Hasher::Sha256($inner) => $body,
            Hasher::Sha384($inner) => $body,
            Hasher::Sha512($inner) => $body,
        }
    };
}

impl Hasher {
    /// Returns the digest of a mechanism: CKM_SHA*, CKM_ECDSA_SHA*; `None` for any other.
    pub fn for_mechanism(mechanism: CK_MECHANISM_TYPE) -> Option<Self> {
        match mechanism {
            CKM_SHA_1 | CKM_ECDSA_SHA1 => Some(Self::Sha1(Sha1::new())),
            CKM_SHA224 | CKM_ECDSA_SHA224 => Some(Self::Sha224(Sha224::new())),
            CKM_SHA256 | CKM_ECDSA_SHA256 => Some(Self::Sha256(Sha256::new())),
            CKM_SHA384 | CKM_ECDSA_SHA384 => Some(Self::Sha384(Sha384::new())),
            CKM_SHA512 | CKM_ECDSA_SHA512 => Some(Self::Sha512(Sha512::new())),
            _ => None,
        }
    }

    /// Returns the digest of a digest mechanism (CKM_SHA*).
    pub fn for_digest(mechanism: CK_MECHANISM_TYPE) -> Option<Self> {
        let is_digest = matches!(mechanism, CKM_SHA_1 | CKM_SHA224 | CKM_SHA256 | CKM_SHA384 | CKM_SHA512);
        Self::for_mechanism(mechanism).filter(|_| is_digest)
    }

    /// Returns the digest of an X9.63 key derivation function (CKD code).
    pub fn for_kdf(kdf: CK_EC_KDF_TYPE) -> Option<Self> {
        match kdf {
            CKD_SHA1_KDF => Some(Self::Sha1(Sha1::new())),
            CKD_SHA224_KDF => Some(Self::Sha224(Sha224::new())),
            CKD_SHA256_KDF => Some(Self::Sha256(Sha256::new())),
            CKD_SHA384_KDF => Some(Self::Sha384(Sha384::new())),
            CKD_SHA512_KDF => Some(Self::Sha512(Sha512::new())),
            _ => None,
        }
    }

    /// Returns the length of the digest in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Sha1(_) => 20,
            Self::Sha224(_) => 28,
            Self::Sha256(_) => 32,
            Self::Sha384(_) => 48,
            Self::Sha512(_) => 64,
        }
    }

    /// Always `false`.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Processes more of the message.
    pub fn update(&mut self, data: &[u8]) {
        each!(self, hasher => hasher.update(data));
    }

    /// Returns the digest.
    pub fn finish(self) -> Vec<u8> {
        each!(self, hasher => hasher.finalize().to_vec())
    }

    /// Bytes of a block of the message.
    fn block_len(&self) -> usize {
        match self {
            Self::Sha1(_) | Self::Sha224(_) | Self::Sha256(_) => 64,
            Self::Sha384(_) | Self::Sha512(_) => 128,
        }
    }

    /// Returns the HMAC (RFC 2104) with this digest, which must be unused. Written by hand: the crate hmac would be
    /// compiled for each digest, which takes 5 kB.
    pub fn hmac(&self, key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
        let digest = |parts: [&[u8]; 2]| {
            let mut hasher = self.clone();
            parts.iter().for_each(|part| hasher.update(part));
            Zeroizing::new(hasher.finish())
        };
        let mut block = Zeroizing::new(vec![0; self.block_len()]);
        if key.len() > block.len() {
            block[..self.len()].copy_from_slice(&digest([key, &[]]));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        let inner = digest([&block, message]);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5C);
        digest([&block, &inner])
    }
}

/// C_DigestInit to C_Digest or C_DigestFinal.
#[derive(Clone)]
pub struct DigestOperation(Hasher);

impl DigestOperation {
    /// Starts a digest.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] if the mechanism is not supported; [`Error::MechanismParamInvalid`] if its parameter
    /// is wrong.
    pub fn new(mechanism: &Mechanism) -> Result<Self> {
        let hasher = Hasher::for_digest(mechanism.mechanism).ok_or(Error::MechanismInvalid(mechanism.mechanism))?;
        no_parameter(mechanism)?;
        Ok(Self(hasher))
    }

    /// Returns the length of the digest in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Always `false`.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Processes more of the message.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Returns the digest.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish()
    }
}

/// Refuses a parameter for a mechanism without one.
pub(super) fn no_parameter(mechanism: &Mechanism) -> Result<()> {
    match mechanism.parameter {
        Parameter::None => Ok(()),
        _ => {
            Err(Error::MechanismParamInvalid(format!("mechanism {:#x} takes no parameter", mechanism.mechanism).into()))
        }
    }
}
