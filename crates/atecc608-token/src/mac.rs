// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_Sign and C_Verify with secret keys: HMAC-SHA-256 and AES-CMAC, whole or truncated.

use std::sync::Arc;

use cryptoki_sys::*;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::aes::{AesKey, Block, BLOCK_LEN, CMAC_END};
use super::cipher::{to_blocks, PIECE};
use super::deadline::Deadline;
use super::digest::{no_parameter, Hasher};
use super::error::{Error, Result};
use super::mechanism::{Mechanism, Parameter};
use super::secret::{self, ChipSecret, SecretKey};
use super::token::Token;

/// Longest message that the chip authenticates, in bytes: each command takes 64, all in one conversation, because its
/// HMAC context can't be saved. These take at most 5 s.
const MAX_IN_CHIP: usize = 8192;

/// A message authentication code in progress.
pub struct MacOperation {
    work: Work,
    len: usize,
}

enum Work {
    HostHmac(Box<Hmac<Sha256>>),
    ChipHmac { token: Arc<Token>, key: ChipSecret, message: Zeroizing<Vec<u8>> },
    Cmac(Cmac),
}

impl MacOperation {
    /// Whether the mechanism is a MAC.
    pub fn is_for(mechanism: CK_MECHANISM_TYPE) -> bool {
        matches!(mechanism, CKM_SHA256_HMAC | CKM_SHA256_HMAC_GENERAL | CKM_AES_CMAC | CKM_AES_CMAC_GENERAL)
    }

    /// Starts an operation.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] if the mechanism is not supported; [`Error::MechanismParamInvalid`] if its parameter
    /// is wrong; [`Error::KeyTypeInconsistent`] if the key's type does not fit.
    pub fn new(token: &Arc<Token>, mechanism: &Mechanism, key: SecretKey) -> Result<Self> {
        let (work, whole) = match mechanism.mechanism {
            CKM_SHA256_HMAC | CKM_SHA256_HMAC_GENERAL => (hmac(token, &key)?, 32),
            CKM_AES_CMAC | CKM_AES_CMAC_GENERAL => {
                (Work::Cmac(Cmac::new(key.into_aes(token, mechanism.mechanism)?)), BLOCK_LEN)
            }
            other => return Err(Error::MechanismInvalid(other)),
        };
        let len = match mechanism.mechanism {
            CKM_SHA256_HMAC_GENERAL | CKM_AES_CMAC_GENERAL => match mechanism.parameter {
                Parameter::Number(len) if len >= 1 && len <= whole as u64 => len as usize,
                _ => {
                    return Err(Error::MechanismParamInvalid(
                        format!("the parameter is the length of the code, 1 to {whole} bytes").into(),
                    ))
                }
            },
            _ => {
                no_parameter(mechanism)?;
                whole
            }
        };
        Ok(Self { work, len })
    }

    /// Returns the length of the code in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always `false`.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Processes more of the message.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if it becomes too long for a key in the chip; the [turn errors](Error#turn-errors).
    pub fn update(&mut self, deadline: &mut Deadline, data: &[u8]) -> Result<()> {
        match &mut self.work {
            Work::HostHmac(hmac) => hmac.update(data),
            Work::Cmac(cmac) => cmac.update(deadline, data)?,
            Work::ChipHmac { message, .. } if message.len() + data.len() > MAX_IN_CHIP => {
                return Err(Error::DataLenRange(
                    format!("the chip authenticates at most {MAX_IN_CHIP} bytes: pass the message's digest instead")
                        .into(),
                ))
            }
            Work::ChipHmac { message, .. } => message.extend_from_slice(data),
        }
        Ok(())
    }

    /// Returns the code.
    ///
    /// # Errors
    /// The [turn errors](Error#turn-errors).
    pub fn finish(self, deadline: &mut Deadline) -> Result<Zeroizing<Vec<u8>>> {
        let mut code = Zeroizing::new(match self.work {
            Work::HostHmac(hmac) => hmac.finalize().into_bytes().to_vec(),
            Work::ChipHmac { token, key, message } => in_chip(&token, deadline, &key, &message)?.to_vec(),
            Work::Cmac(cmac) => cmac.finish(deadline)?.to_vec(),
        });
        code.truncate(self.len);
        Ok(code)
    }

    /// Compares the code with the caller's in constant time.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`] if it does not match; [`Error::SignatureLenRange`] if its length is wrong; the [turn
    /// errors](Error#turn-errors).
    pub fn verify(self, deadline: &mut Deadline, code: &[u8]) -> Result<()> {
        if code.len() != self.len {
            return Err(Error::signature_len(code.len(), self.len));
        }
        if bool::from(self.finish(deadline)?.ct_eq(code)) {
            Ok(())
        } else {
            Err(Error::SignatureInvalid)
        }
    }
}

fn hmac(token: &Arc<Token>, key: &SecretKey) -> Result<Work> {
    Ok(match key {
        SecretKey::Host { value, .. } => {
            let hmac = <Hmac<Sha256> as Mac>::new_from_slice(value);
            let hmac = hmac.map_err(|_| Error::KeySizeRange("HMAC does not support a key of this length".into()))?;
            Work::HostHmac(Box::new(hmac))
        }
        SecretKey::Chip(key) => {
            Work::ChipHmac { token: token.clone(), key: key.clone(), message: Zeroizing::default() }
        }
    })
}

/// Returns one HMAC.
///
/// # Errors
/// [`Error::MechanismParamInvalid`] for another hash than SHA-256 with a key in the chip; else as
/// [`MacOperation::update`].
pub(super) fn hmac_once(
    token: &Arc<Token>,
    deadline: &mut Deadline,
    key: &SecretKey,
    hash: &Hasher,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    match (key, hash) {
        (SecretKey::Host { value, .. }, _) => Ok(hash.hmac(value, message)),
        (SecretKey::Chip(_), Hasher::Sha256(_)) => {
            let mut operation = MacOperation { work: hmac(token, key)?, len: 32 };
            operation.update(deadline, message)?;
            operation.finish(deadline)
        }
        (SecretKey::Chip(_), _) => Err(Error::MechanismParamInvalid(
            "the hash is not CKM_SHA256, the only one that the chip uses its secrets with".into(),
        )),
    }
}

/// HMAC in the chip, with the result in clear on the bus.
fn in_chip(token: &Token, deadline: &mut Deadline, key: &ChipSecret, message: &[u8]) -> Result<[u8; 32]> {
    token.turn(*deadline, |turn| {
        secret::stored::prove(turn, key)?;
        deadline.exclude(|| turn.converse(|awake| awake.hmac(key.slot, message)))
    })
}

/// AES-CMAC (NIST SP 800-38B).
struct Cmac {
    key: AesKey,
    chain: Block,
    /// The last bytes: at most [`CMAC_END`] blocks, so that a short message is one turn with the chip. Empty only at
    /// the start.
    last: Zeroizing<Vec<u8>>,
}

impl Cmac {
    fn new(key: AesKey) -> Self {
        Self { key, chain: Block::default(), last: Zeroizing::default() }
    }

    fn update(&mut self, deadline: &mut Deadline, data: &[u8]) -> Result<()> {
        data.chunks(PIECE).try_for_each(|piece| self.piece(deadline, piece))
    }

    fn piece(&mut self, deadline: &mut Deadline, data: &[u8]) -> Result<()> {
        self.last.extend_from_slice(data);
        if self.last.len() <= CMAC_END * BLOCK_LEN {
            return Ok(());
        }
        // The last block, complete or not, is kept for the end, which treats it differently.
        let whole = (self.last.len() - 1) / BLOCK_LEN * BLOCK_LEN;
        let rest = Zeroizing::new(self.last.split_off(whole));
        let mut blocks = to_blocks(&std::mem::replace(&mut self.last, rest));
        self.key.encrypt_chained(deadline, &mut self.chain, &mut blocks)
    }

    fn finish(mut self, deadline: &mut Deadline) -> Result<Block> {
        let padded = self.last.is_empty() || self.last.len() % BLOCK_LEN != 0;
        if padded {
            self.last.push(0x80);
            let whole = self.last.len().next_multiple_of(BLOCK_LEN);
            self.last.resize(whole, 0);
        }
        let mut blocks = to_blocks(&self.last);
        self.key.end_cmac(deadline, self.chain, padded, &mut blocks)?;
        Ok(blocks.last().copied().unwrap_or_default())
    }
}
