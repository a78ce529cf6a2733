// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signatures: ECDSA in the chip, digests and verification on the host; message authentication codes from [`mac`](super::mac).

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::deadline::Deadline;
use super::digest::{no_parameter, Hasher};
use super::error::{Error, Result};
use super::mac::MacOperation;
use super::mechanism::Mechanism;
use super::object::{KeyRef, ObjectKey};
use super::point::Point;
use super::template::Template;
use super::token::Token;
use super::turn::Turn;
use super::{learn, secret, session_pair, ObjectHandle};
use atecc608_wire::Slot;

/// Maximum input of CKM_ECDSA: a SHA-512 digest.
const MAX_DIGEST: usize = 64;

/// The input of a signature: a digest in progress, or one that the caller computed.
#[derive(Clone)]
pub enum Message {
    /// CKM_ECDSA: the part of the caller's digest so far.
    Digest(Vec<u8>),
    /// CKM_ECDSA_SHA*.
    Hashed(Box<Hasher>),
}

impl Message {
    pub(super) fn new(mechanism: &Mechanism) -> Result<Self> {
        no_parameter(mechanism)?;
        match mechanism.mechanism {
            CKM_ECDSA => Ok(Self::Digest(Vec::new())),
            CKM_ECDSA_SHA1 | CKM_ECDSA_SHA224 | CKM_ECDSA_SHA256 | CKM_ECDSA_SHA384 | CKM_ECDSA_SHA512 => {
                let hasher = Hasher::for_mechanism(mechanism.mechanism);
                hasher.map(|hasher| Self::Hashed(Box::new(hasher))).ok_or(Error::MechanismInvalid(mechanism.mechanism))
            }
            other => Err(Error::MechanismInvalid(other)),
        }
    }

    pub(super) fn update(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::Digest(digest) if digest.len() + data.len() > MAX_DIGEST => Err(Error::DataLenRange(
                format!(
                    "CKM_ECDSA takes a digest of 1 to {MAX_DIGEST} bytes; {} were given",
                    digest.len() + data.len()
                )
                .into(),
            )),
            Self::Digest(digest) => {
                digest.extend(data);
                Ok(())
            }
            Self::Hashed(hasher) => {
                hasher.update(data);
                Ok(())
            }
        }
    }

    /// Returns the 32 bytes that ECDSA on P-256 signs: the leftmost 256 bits, or the digest with zeros on its left
    /// (FIPS 186-5 section 6.4.1).
    pub(super) fn finish(self) -> Result<[u8; 32]> {
        let digest = match self {
            Self::Digest(digest) if digest.is_empty() => {
                return Err(Error::DataLenRange(
                    format!("CKM_ECDSA takes a digest of 1 to {MAX_DIGEST} bytes; none was given").into(),
                ))
            }
            Self::Digest(digest) => digest,
            Self::Hashed(hasher) => hasher.finish(),
        };
        let mut bytes = [0; 32];
        match digest.get(..32) {
            Some(leftmost) => bytes.copy_from_slice(leftmost),
            None => bytes[32 - digest.len()..].copy_from_slice(&digest),
        }
        Ok(bytes)
    }
}

/// Bytes of an ECDSA signature on P-256: r ‖ s.
const ECDSA_LEN: usize = 64;

/// C_SignInit to C_Sign or C_SignFinal.
pub enum SignOperation {
    /// ECDSA with a private key in the chip.
    Ecdsa {
        /// The key's handle.
        key: ObjectHandle,
        /// The message.
        message: Message,
    },
    /// ECDSA with a private key of the session.
    OfSession {
        /// The key.
        key: ObjectHandle,
        /// The message.
        message: Message,
    },
    /// A message authentication code with a secret key.
    Mac(MacOperation),
}

impl SignOperation {
    /// Starts a signature. Does not access the chip.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] if the mechanism is not supported; [`Error::MechanismParamInvalid`] if its parameter
    /// is wrong; [`Error::KeyHandleInvalid`] if the handle names no key; [`Error::KeyTypeInconsistent`] if the key's
    /// type does not fit; [`Error::KeyFunctionNotPermitted`] if the key does not permit this use.
    pub fn new(token: &Arc<Token>, mechanism: &Mechanism, key: ObjectHandle) -> Result<Self> {
        if MacOperation::is_for(mechanism.mechanism) {
            let secret = secret::key_for(token, key, CKA_SIGN, mechanism.mechanism)?;
            return MacOperation::new(token, mechanism, secret).map(Self::Mac);
        }
        let message = Message::new(mechanism)?;
        if session_pair::check_use(token, key, CKA_SIGN, mechanism.mechanism)?.is_some() {
            return Ok(Self::OfSession { key, message });
        }
        let slot = token.private_key(key)?.slot;
        if token.known(token.deadline())?.key_slot(slot).is_some_and(|key| key.sign) {
            return Ok(Self::Ecdsa { key, message });
        }
        Err(Error::KeyFunctionNotPermitted(
            format!("the configuration of slot {slot} does not permit signing (CKA_SIGN is false)").into(),
        ))
    }

    /// Returns the length of the signature or code in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Ecdsa { .. } | Self::OfSession { .. } => ECDSA_LEN,
            Self::Mac(mac) => mac.len(),
        }
    }

    /// Always `false`.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Processes more of the data.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if CKM_ECDSA gets more than 64 bytes; the [turn errors](Error#turn-errors).
    pub fn update(&mut self, deadline: &mut Deadline, data: &[u8]) -> Result<()> {
        match self {
            Self::Ecdsa { message, .. } | Self::OfSession { message, .. } => message.update(data),
            Self::Mac(mac) => mac.update(deadline, data),
        }
    }

    /// Signs. ECDSA: three commands in one conversation, and a check on the host.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if the data is empty or too long; [`Error::KeyHandleInvalid`] if the chip holds another
    /// key by now; the [turn errors](Error#turn-errors).
    pub fn finish(self, token: &Token, deadline: &mut Deadline) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Ecdsa { key, message } => {
                let digest = message.finish()?;
                let key = token.private_key(key)?;
                let signature = token.turn(*deadline, |turn| sign(turn, key, &digest))?;
                Ok(Zeroizing::new(signature.to_vec()))
            }
            Self::OfSession { key, message } => session_pair::sign(token, key, &message.finish()?),
            Self::Mac(mac) => mac.finish(deadline),
        }
    }
}

/// Signs with the key in the slot. Every signature is verified with the key's own public key before it leaves the
/// module, so neither a fault of the bus nor one of the chip gets a wrong one out.
fn sign(turn: &mut Turn<'_>, key: KeyRef, digest: &[u8; 32]) -> Result<[u8; 64]> {
    turn.check_key(key)?;
    let slot = key.slot;
    let known = turn.known();
    let key = known.key_slot(slot);
    if !key.is_some_and(|key| key.public) {
        // There is nothing to verify with: the slot does not report its public key.
        return sign_once(turn, slot, digest);
    }
    let point = learn::point(turn, slot)?;
    let signature = sign_once(turn, slot, digest)?;
    if point.verify(digest, &signature).is_ok() {
        if turn.known().checked_point(slot) != Some(point) {
            turn.learn(|known| known.key_is(slot, point))?;
        }
        return Ok(signature);
    }
    let now = learn::same_point_anew(turn, slot)?;
    let signature = if key.is_some_and(|key| key.limited_use) {
        signature
    } else {
        log::warn!("a signature of slot {slot} did not verify on the host; signing again");
        sign_once(turn, slot, digest)?
    };
    now.verify(digest, &signature).map(|()| signature).map_err(|_| {
        Error::DeviceError(
            format!("a signature of slot {slot} does not verify on the host: bus or chip is faulty").into(),
        )
    })
}

fn sign_once(turn: &mut Turn<'_>, slot: Slot, digest: &[u8; 32]) -> Result<[u8; 64]> {
    turn.converse_with_key(slot, |awake| awake.sign_digest(slot, digest))
}

/// A public key for verification.
pub enum VerificationKey {
    /// Given by the caller.
    Given(Point),
    /// That of a key in the chip, proven when a signature is checked.
    OfChip(Arc<Token>, KeyRef),
}

impl VerificationKey {
    fn point(self, deadline: Deadline) -> Result<Point> {
        match self {
            Self::Given(point) => Ok(point),
            Self::OfChip(token, key) => proven_point(&token, key, deadline),
        }
    }
}

/// Returns the proven public key of a handle: read from the chip in this process, or from root's file. The state folder
/// is not sufficient, because any member of its group can write it.
///
/// # Errors
/// As [`learn::same_point_anew`]; [`Error::UserNotLoggedIn`] if the chip shows the key only after a login.
fn proven_point(token: &Token, key: KeyRef, deadline: Deadline) -> Result<Point> {
    let slot = key.slot;
    let known = token.known(deadline)?;
    if known.is_there(key) {
        if let Some(point) = known.checked_point(slot) {
            return Ok(point);
        }
        let trusted = known.identity.trusted.point(slot).unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        });
        if let Some(point) = trusted.filter(|point| known.known_point(slot) == Some(*point)) {
            return Ok(point);
        }
    }
    if known.is_out_of_reach(slot) {
        log::warn!(
            "slot {slot}: the public key in the state folder is not verified, and the chip returns it only after a \
             login: log in, or run `sudo atecc608 trust` once"
        );
        return Err(Error::UserNotLoggedIn);
    }
    token.turn(deadline, |turn| {
        turn.check_key(key)?;
        learn::same_point_anew(turn, slot)
    })
}

/// Returns the public key of the handle, if its CKA_VERIFY and CKA_ALLOWED_MECHANISMS allow this use.
fn verification_key(token: &Arc<Token>, key: ObjectHandle, mechanism: CK_MECHANISM_TYPE) -> Result<VerificationKey> {
    let in_chip = match token.key_object(key)? {
        ObjectKey::PublicKey(in_chip) => Some(in_chip),
        ObjectKey::Session(_) | ObjectKey::Stored(_) => None,
        _ => return Err(Error::KeyTypeInconsistent("the handle names no public key".into())),
    };
    let deadline = token.deadline();
    let attribute = |attribute| token.attribute(key, attribute, deadline).map_err(Error::of_key);
    let point = match attribute(CKA_EC_POINT) {
        Ok(point) => Point::from_caller(&point),
        Err(Error::AttributeTypeInvalid(_)) => None,
        Err(error) => return Err(error),
    };
    let point = point.ok_or_else(|| Error::KeyTypeInconsistent("the handle names no P-256 public key".into()))?;
    let read = |ty| attribute(ty).map(|value| Template::new(vec![(ty, value)]));
    if read(CKA_VERIFY)?.boolean(CKA_VERIFY)? != Some(true) {
        return Err(Error::KeyFunctionNotPermitted("CKA_VERIFY of the key is false".into()));
    }
    let allowed = read(CKA_ALLOWED_MECHANISMS)?.mechanisms(CKA_ALLOWED_MECHANISMS)?;
    match allowed.unwrap_or_default().contains(&mechanism) {
        true => Ok(match in_chip {
            Some(key) => VerificationKey::OfChip(token.clone(), key),
            None => VerificationKey::Given(point),
        }),
        false => Err(Error::MechanismInvalid(mechanism)),
    }
}

/// C_VerifyInit to C_Verify or C_VerifyFinal. Runs on the host: the chip would take 125 ms without a gain in security.
pub enum VerifyOperation {
    /// ECDSA with a public key.
    Ecdsa {
        /// The key.
        key: VerificationKey,
        /// The message.
        message: Message,
    },
    /// A message authentication code with a secret key.
    Mac(MacOperation),
}

impl VerifyOperation {
    /// Starts a verification with a public key or a secret key.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`] if the mechanism is not supported; [`Error::MechanismParamInvalid`] if its parameter
    /// is wrong; [`Error::KeyHandleInvalid`] if the handle names no key; [`Error::KeyTypeInconsistent`] if the key's
    /// type does not fit; [`Error::KeyFunctionNotPermitted`] if the key does not permit this use.
    pub fn new(token: &Arc<Token>, mechanism: &Mechanism, key: ObjectHandle) -> Result<Self> {
        if MacOperation::is_for(mechanism.mechanism) {
            let secret = secret::key_for(token, key, CKA_VERIFY, mechanism.mechanism)?;
            return MacOperation::new(token, mechanism, secret).map(Self::Mac);
        }
        let message = Message::new(mechanism)?;
        Ok(Self::Ecdsa { key: verification_key(token, key, mechanism.mechanism)?, message })
    }

    /// Processes more of the data.
    ///
    /// # Errors
    /// [`Error::DataLenRange`] if CKM_ECDSA gets more than 64 bytes.
    pub fn update(&mut self, deadline: &mut Deadline, data: &[u8]) -> Result<()> {
        match self {
            Self::Ecdsa { message, .. } => message.update(data),
            Self::Mac(mac) => mac.update(deadline, data),
        }
    }

    /// Checks a signature r ‖ s, or a code. Reads an unproven public key from the chip, once in a process.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`] if it does not match; [`Error::SignatureLenRange`] if its length is wrong;
    /// [`Error::DataLenRange`] if the data has an impossible length; for a key in the chip [`Error::KeyHandleInvalid`]
    /// if it has changed, and the [turn errors](Error#turn-errors).
    pub fn finish(self, deadline: &mut Deadline, signature: &[u8]) -> Result<()> {
        match self {
            Self::Ecdsa { key, message } => {
                let signature = signature.try_into().map_err(|_| Error::signature_len(signature.len(), ECDSA_LEN))?;
                let digest = message.finish()?;
                key.point(*deadline)?.verify(&digest, signature)
            }
            Self::Mac(mac) => mac.verify(deadline, signature),
        }
    }
}
