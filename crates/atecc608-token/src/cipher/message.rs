// SPDX-License-Identifier: MIT OR Apache-2.0
//! AES-GCM message by message (PKCS#11 3.0 section 5.9): one key, and for each message an initialization vector that the
//! token may choose.

use std::sync::Arc;

use cryptoki_sys::*;

use zeroize::Zeroizing;

use super::aes::AesKey;
use super::{CipherOperation, Direction};
use crate::buffer::copied;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::mechanism::{Mechanism, Parameter};
use crate::token::Token;
use crate::{secret, ObjectHandle};

/// Bytes of the longest vector that can be generated: the counter has 128 bits.
const MAX_GENERATED: usize = 16;
/// Minimum of generated bits of a vector: with fewer, two series with random starts might use the same vector.
const FREE_BITS: u64 = 64;

/// C_MessageEncryptInit to C_MessageEncryptFinal, and C_MessageDecryptInit to C_MessageDecryptFinal.
pub struct MessageCipher {
    key: Arc<AesKey>,
    direction: Direction,
    /// The message in progress, and the bytes of its tag.
    message: Option<(CipherOperation, usize)>,
    /// The start of the counter of this series: random, because the key may have been used for other series, also in
    /// other processes, and no vector may be used twice with a key (NIST SP 800-38D section 8).
    start: u128,
    /// Vectors generated so far.
    count: u128,
}

/// The source of the vector of a message: CK_GCM_MESSAGE_PARAMS without its pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageVector {
    /// The contents of the caller's buffer.
    pub iv: Vec<u8>,
    /// The number of leading bits that the caller fixes.
    pub fixed_bits: u64,
    /// CKG code.
    pub generator: CK_GENERATOR_FUNCTION,
    /// Bits of the tag.
    pub tag_bits: u64,
}

impl MessageCipher {
    /// Starts a series of messages. Does not access the chip.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] for anything but CKM_AES_GCM; [`Error::KeyHandleInvalid`],
    /// [`Error::KeyTypeInconsistent`], [`Error::KeyFunctionNotPermitted`].
    pub(crate) fn begin(
        token: &Arc<Token>,
        direction: Direction,
        mechanism: &Mechanism,
        key: ObjectHandle,
    ) -> Result<Self> {
        if mechanism.mechanism != CKM_AES_GCM {
            return Err(Error::MechanismInvalid(mechanism.mechanism));
        }
        let key = secret::key_for(token, key, direction.usage(), mechanism.mechanism)?;
        let key = Arc::new(key.into_aes(token, mechanism.mechanism)?);
        Ok(Self { key, direction, message: None, start: random_bits()?, count: 0 })
    }

    /// Returns whether a message is in progress.
    pub fn is_in_message(&self) -> bool {
        self.message.is_some()
    }

    /// Ends the message in progress, if there is one.
    pub fn cancel_message(&mut self) {
        self.message = None;
    }

    /// Starts a message; returns its vector.
    ///
    /// # Errors
    /// [`Error::MechanismParamInvalid`] if its parameter is wrong; [`Error::HostMemory`] if the host has no memory.
    pub fn begin_message(&mut self, vector: &MessageVector, associated: &[u8]) -> Result<Vec<u8>> {
        let iv = match self.direction {
            Direction::Encrypt => self.generate(vector)?,
            Direction::Decrypt => vector.iv.clone(),
        };
        let parameter = Parameter::Gcm { iv: iv.clone(), associated: copied(associated)?, tag_bits: vector.tag_bits };
        let mechanism = Mechanism { mechanism: CKM_AES_GCM, parameter };
        let operation = CipherOperation::new(self.direction, &mechanism, self.key.clone())?;
        self.message = Some((operation, vector.tag_bits as usize / 8));
        Ok(iv)
    }

    /// Returns how many bytes `input` more bytes of the message produce. For a decryption the last part returns the
    /// whole text.
    pub fn part_len(&self, input: usize, is_last: bool) -> usize {
        match &self.message {
            Some((operation, _)) if is_last && self.direction == Direction::Decrypt => operation.waiting.len() + input,
            Some((operation, _)) => operation.update_len(input),
            None => 0,
        }
    }

    /// Processes the next part of the message; returns the completed output. An error ends the message.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if the data has an impossible length; [`Error::EncryptedDataLenRange`] if the encrypted
    /// data has an impossible length; [`Error::HostMemory`] if the host has no memory; the [turn
    /// errors](Error#turn-errors).
    pub fn part(&mut self, deadline: &mut Deadline, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let Some((mut operation, tag_len)) = self.message.take() else { return Ok(Zeroizing::default()) };
        let output = operation.update(deadline, input)?;
        self.message = Some((operation, tag_len));
        Ok(output)
    }

    /// Processes the last part of the message, which ends in any case; returns the rest of the output and the tag.
    /// `tag` is that of a message to decrypt, which is decrypted only if the tag is correct; an encryption ignores it.
    ///
    /// # Errors
    /// [`Error::AeadDecryptFailed`] if the tag is wrong; [`Error::MechanismParamInvalid`] if its parameter is wrong;
    /// and as [`MessageCipher::part`].
    pub fn last_part(
        &mut self,
        deadline: &mut Deadline,
        input: &[u8],
        tag: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
        let Some((mut operation, tag_len)) = self.message.take() else { return Ok(Default::default()) };
        if self.direction == Direction::Encrypt {
            operation.end(deadline, input)?;
            let mut text = operation.take();
            let text_len = text.len() - tag_len;
            let tag = text.split_off(text_len);
            return Ok((text, tag));
        }
        if tag.len() != tag_len {
            let text = "ulTagBits differs from that of the call that began the message";
            return Err(Error::MechanismParamInvalid(text.into()));
        }
        operation.update(deadline, input)?;
        operation.end(deadline, tag).map_err(of_message)?;
        Ok((operation.take(), tag.to_vec()))
    }

    /// Returns the vector of the next message: as given, or the caller's fixed bits followed by random or counted ones.
    fn generate(&mut self, vector: &MessageVector) -> Result<Vec<u8>> {
        let invalid = |text: &str| Err(Error::MechanismParamInvalid(text.into()));
        if vector.generator == CKG_NO_GENERATE {
            return Ok(vector.iv.clone());
        }
        let free_bits = (vector.iv.len() as u64 * 8).checked_sub(vector.fixed_bits).filter(|bits| *bits >= FREE_BITS);
        let Some(free_bits) = free_bits.filter(|_| vector.iv.len() <= MAX_GENERATED) else {
            return invalid("a generated IV has at most 16 bytes, and at least 64 bits that are not fixed");
        };
        let mask = if free_bits >= 128 { u128::MAX } else { (1 << free_bits) - 1 };
        let given = vector.iv.iter().fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
        let counter = self.start.wrapping_add(self.count) & mask;
        let generated = match vector.generator {
            CKG_GENERATE_RANDOM => given & !mask | random_bits()? & mask,
            CKG_GENERATE | CKG_GENERATE_COUNTER => given & !mask | counter,
            CKG_GENERATE_COUNTER_XOR => given ^ counter,
            _ => return invalid("ivGenerator is not one of CKG_NO_GENERATE, CKG_GENERATE, CKG_GENERATE_COUNTER, ..."),
        };
        self.count += 1;
        Ok(generated.to_be_bytes()[16 - vector.iv.len()..].to_vec())
    }
}

/// Converts an error about a text to decrypt to that of messages.
fn of_message(error: Error) -> Error {
    match error {
        Error::EncryptedDataInvalid => Error::AeadDecryptFailed,
        Error::DataLenRange(text) => Error::EncryptedDataLenRange(text),
        other => other,
    }
}

fn random_bits() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::DeviceError(format!("cannot get random bytes from the system: {error}").into()))?;
    Ok(u128::from_be_bytes(bytes))
}
