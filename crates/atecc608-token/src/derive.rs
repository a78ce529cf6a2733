// SPDX-License-Identifier: MIT OR Apache-2.0
//! CKM_ECDH1_DERIVE: the shared secret is computed by the chip or with a session key, the key derivation function on
//! the host.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::digest::Hasher;
use super::error::{Error, Result};
use super::mechanism::{Mechanism, Parameter};
use super::object::{KeyRef, SessionObject};
use super::point::Point;
use super::secret::session::SecretRequest;
use super::template::Template;
use super::token::Token;
use super::turn::Turn;
use super::{io_protection, learn, session_pair, ObjectHandle, SessionRef};

/// Bytes of an ECDH secret on P-256.
const SECRET_LEN: usize = 32;
/// Longest key from the X9.63 functions.
const MAX_KEY_LEN: usize = 1024;

/// Derives a session key with the private key `key`.
///
/// # Errors
/// [`Error::MechanismParamInvalid`] for a wrong parameter; the errors of the template; the [turn
/// errors](Error#turn-errors).
pub(super) fn derive(
    token: &Token,
    session: SessionRef,
    mechanism: &Mechanism,
    key: ObjectHandle,
    template: &Template,
) -> Result<SessionObject> {
    let of_session = session_pair::check_use(token, key, CKA_DERIVE, mechanism.mechanism)?.is_some();
    let in_chip = if of_session { None } else { Some(token.private_key(key)?) };
    let Parameter::Ecdh1 { kdf, shared_data, public_data } = &mechanism.parameter else {
        return Err(Error::MechanismParamInvalid("CKM_ECDH1_DERIVE takes CK_ECDH1_DERIVE_PARAMS".into()));
    };
    if *kdf != CKD_NULL && Hasher::for_kdf(*kdf).is_none() {
        return Err(Error::MechanismParamInvalid(format!("key derivation function {kdf:#x} is not supported").into()));
    }
    if *kdf == CKD_NULL && !shared_data.is_empty() {
        return Err(Error::MechanismParamInvalid("CKD_NULL takes no shared data".into()));
    }
    let theirs = Point::from_caller(public_data)
        .ok_or_else(|| Error::MechanismParamInvalid("the peer's public key is not a point on P-256".into()))?;
    let request = SecretRequest::new(session, template)?;
    let (key_type, len) = wanted(&request, SECRET_LEN, if *kdf == CKD_NULL { SECRET_LEN } else { MAX_KEY_LEN })?;
    let secret = match in_chip {
        Some(in_chip) => token.turn(token.deadline(), |turn| shared_secret(turn, in_chip, &theirs))?,
        None => session_pair::agree(token, key, &theirs)?,
    };
    let value = match Hasher::for_kdf(*kdf) {
        // A shorter key loses the leading bytes (PKCS#11 3.0 section 2.3.8).
        None => Zeroizing::new(secret[SECRET_LEN - len..].to_vec()),
        Some(hasher) => x963(&hasher, secret.as_slice(), shared_data, len),
    };
    request.for_session(session, key_type, value)
}

/// One ECDH in the chip, after checking that the slot holds the key of the handle.
fn shared_secret(turn: &mut Turn<'_>, key: KeyRef, theirs: &Point) -> Result<Zeroizing<[u8; SECRET_LEN]>> {
    turn.check_key(key)?;
    let slot = key.slot;
    let known = turn.known();
    let key = known.key_slot(slot);
    if !key.is_some_and(|key| key.derive) {
        return Err(Error::KeyFunctionNotPermitted(
            format!("the configuration of slot {slot} does not permit derivation (CKA_DERIVE is false)").into(),
        ));
    }
    if key.is_some_and(|key| key.public) && known.checked_point(slot).is_none() {
        // Unlike a signature, the result can't be verified afterwards.
        learn::same_point_anew(turn, slot)?;
    }
    let io_key = io_protection::shared_key(turn)?;
    if io_key.is_none() && known.zone().chip_options().ecdh_protection() != 0 {
        return Err(Error::ActionProhibited(
            format!(
            "this chip returns ECDH results only encrypted with its IO protection key, and {} does not hold that key",
            known.identity.io_key.path().display()
        )
            .into(),
        ));
    }
    turn.converse_with_key(slot, |awake| match &io_key {
        Some(io_key) => awake.ecdh_encrypted(slot, &theirs.xy(), io_key),
        None => awake.ecdh(slot, &theirs.xy()).map(Zeroizing::new),
    })
}

/// The key derivation function of ANSI X9.63: digests over secret, counter and shared info.
fn x963(hasher: &Hasher, secret: &[u8], shared_data: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(len + hasher.len()));
    for counter in 1_u32.. {
        if key.len() >= len {
            break;
        }
        let mut hasher = hasher.clone();
        hasher.update(secret);
        hasher.update(&counter.to_be_bytes());
        hasher.update(shared_data);
        key.extend(Zeroizing::new(hasher.finish()).iter());
    }
    key.truncate(len);
    key
}

/// Returns type and length of the key that a template requests: at most `most` bytes, and `usual` by default.
///
/// # Errors
/// [`Error::TemplateInconsistent`], [`Error::TemplateIncomplete`], [`Error::AttributeValueInvalid`].
pub(super) fn wanted(request: &SecretRequest<'_>, usual: usize, most: usize) -> Result<(CK_KEY_TYPE, usize)> {
    if request.on_token {
        return Err(Error::TemplateInconsistent("CKA_TOKEN: a derived key is always a session object".into()));
    }
    let key_type = request.key_type.unwrap_or(CKK_GENERIC_SECRET);
    let len = match request.len {
        Some(len) => len,
        None if key_type == CKK_AES => {
            return Err(Error::TemplateIncomplete("CKA_VALUE_LEN: an AES key needs its length, 16, 24 or 32".into()))
        }
        None => usual,
    };
    if !matches!(key_type, CKK_AES | CKK_GENERIC_SECRET) {
        return Err(Error::TemplateInconsistent(
            "CKA_KEY_TYPE: a derived key is a CKK_GENERIC_SECRET or CKK_AES".into(),
        ));
    }
    if key_type == CKK_AES && !matches!(len, 16 | 24 | 32) {
        return Err(Error::TemplateInconsistent("CKA_VALUE_LEN: an AES key has 16, 24 or 32 bytes".into()));
    }
    if len == 0 || len > most {
        return Err(Error::AttributeValueInvalid(
            format!("CKA_VALUE_LEN is {len}: 1 to {most} bytes can be derived").into(),
        ));
    }
    Ok((key_type, len))
}
