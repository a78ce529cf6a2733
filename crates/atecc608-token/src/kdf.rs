// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys derived from secret keys: HKDF (RFC 5869) and the key derivation of TLS 1.2 (RFC 5246 section 5, RFC 5705),
//! both based on HMAC: with SHA-256, and for a secret of the session also with SHA-1 and the rest of SHA-2. A secret in
//! the chip stays there and the chip computes the HMACs, so it can be expanded, or serve as salt; the result is a
//! session key. It crosses the bus encrypted if chip and host share an IO protection key. The messages of the HMACs do
//! not, and HKDF's messages each contain the previous 32 bytes: for a longer key only the last part is hidden from a
//! listener.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::deadline::Deadline;
use super::derive::wanted;
use super::digest::Hasher;
use super::error::{Error, Result};
use super::mac::hmac_once;
use super::mechanism::{HkdfSalt, Mechanism, Parameter};
use super::object::SessionObject;
use super::secret::session::SecretRequest;
use super::secret::{self, ChipSecret, SecretKey};
use super::template::{ulong_value, Template};
use super::token::Token;
use super::{io_protection, ObjectHandle, SessionRef};
use atecc608::secrets::KDF_MESSAGE_LEN;

/// Longest output of HKDF, in HMACs (RFC 5869 section 2.3).
const MAX_HMACS: usize = 255;

/// Derives a session key.
///
/// # Errors
/// [`Error::MechanismParamInvalid`], [`Error::KeyFunctionNotPermitted`] for an extraction from a secret in the chip;
/// the errors of keys and template; the [turn errors](Error#turn-errors).
pub(super) fn derive(
    token: &Arc<Token>,
    session: SessionRef,
    mechanism: &Mechanism,
    base: ObjectHandle,
    template: &Template,
) -> Result<SessionObject> {
    let deadline = &mut token.deadline();
    let request = SecretRequest::new(session, template)?;
    let hash = hash_of(mechanism)?;
    let (key_type, len) = wanted(&request, hash.len(), MAX_HMACS * hash.len())?;
    let base = secret::key_for(token, base, CKA_DERIVE, mechanism.mechanism)?;
    let value = match &mechanism.parameter {
        Parameter::TlsKdf { label, seed, .. } => {
            tls_prf(token, deadline, &base, &hash, &[&label[..], seed].concat(), len)?
        }
        hkdf => self::hkdf(token, deadline, hkdf, base, &hash, len)?,
    };
    request.for_session(session, key_type, value)
}

/// Returns HKDF's output of `len` bytes.
fn hkdf(
    token: &Arc<Token>,
    deadline: &mut Deadline,
    parameter: &Parameter,
    base: SecretKey,
    hash: &Hasher,
    len: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    let Parameter::Hkdf { extract, expand, salt, info, .. } = parameter else {
        return Err(Error::MechanismParamInvalid("the mechanism takes CK_HKDF_PARAMS".into()));
    };
    let key = if *extract { self::extract(token, deadline, &base, hash, salt)? } else { base };
    match (expand, key) {
        (true, key) => self::expand(token, deadline, &key, hash, info, len),
        (false, SecretKey::Host { value, .. }) if *extract && len == hash.len() => Ok(value),
        _ => Err(Error::MechanismParamInvalid(
            format!(
                "CK_HKDF_PARAMS: bExtract alone returns {} bytes with this hash, and bExtract or bExpand must be true",
                hash.len()
            )
            .into(),
        )),
    }
}

/// CKM_HKDF_DATA: returns the template of the data object.
///
/// # Errors
/// As [`derive`]; [`Error::TemplateInconsistent`] for an object of the token, [`Error::MechanismInvalid`] for a key in the chip.
pub(super) fn derive_data(
    token: &Arc<Token>,
    mechanism: &Mechanism,
    base: ObjectHandle,
    template: &Template,
) -> Result<Template> {
    let inconsistent = |text: &'static str| Err(Error::TemplateInconsistent(text.into()));
    if template.ulong(CKA_CLASS)?.is_some_and(|class| class != CKO_DATA) {
        return inconsistent("CKA_CLASS: CKM_HKDF_DATA creates a CKO_DATA object");
    }
    if template.boolean(CKA_TOKEN)? == Some(true) {
        return inconsistent("CKA_TOKEN: derived data is always a session object");
    }
    if template.bytes(CKA_VALUE).is_some() {
        return inconsistent("CKA_VALUE: the value is derived, so leave it out of the template");
    }
    let hash = hash_of(mechanism)?;
    let len = template.ulong(CKA_VALUE_LEN)?.map_or(hash.len(), |len| usize::try_from(len).unwrap_or(usize::MAX));
    let most = MAX_HMACS * hash.len();
    if !(1..=most).contains(&len) {
        return Err(Error::AttributeValueInvalid(
            format!("CKA_VALUE_LEN is {len}: 1 to {most} bytes can be derived").into(),
        ));
    }
    let base = secret::key_for(token, base, CKA_DERIVE, CKM_HKDF_DATA)?;
    let value = hkdf(token, &mut token.deadline(), &mechanism.parameter, base, &hash, len)?;
    let given = template.iter().filter(|(attribute, _)| *attribute != CKA_VALUE_LEN);
    let mut data = Template::new(given.map(|(attribute, value)| (attribute, Zeroizing::new(value.to_vec()))).collect());
    data.set(CKA_CLASS, Zeroizing::new(ulong_value(CKO_DATA)));
    data.set(CKA_VALUE, value);
    Ok(data)
}

/// Returns the hash that the parameter names.
///
/// # Errors
/// [`Error::MechanismParamInvalid`] if there is no parameter, or the hash is not SHA-1 or SHA-2.
fn hash_of(mechanism: &Mechanism) -> Result<Hasher> {
    let hash = match mechanism.parameter {
        Parameter::Hkdf { hash, .. } | Parameter::TlsKdf { hash, .. } => hash,
        _ => return Err(Error::MechanismParamInvalid("the mechanism's parameter is missing".into())),
    };
    Hasher::for_digest(hash).ok_or_else(|| {
        Error::MechanismParamInvalid(
            format!("the hash {hash:#x}: CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384 and CKM_SHA512 are supported")
                .into(),
        )
    })
}

/// HMAC(salt, secret).
fn extract(
    token: &Arc<Token>,
    deadline: &mut Deadline,
    base: &SecretKey,
    hash: &Hasher,
    salt: &HkdfSalt,
) -> Result<SecretKey> {
    let SecretKey::Host { value: base, .. } = base else {
        return Err(Error::KeyFunctionNotPermitted(
            "a secret in the chip can be expanded (bExtract false), not extracted from: it never leaves the chip"
                .into(),
        ));
    };
    let given = |value: &[u8]| SecretKey::Host { key_type: CKK_GENERIC_SECRET, value: Zeroizing::new(value.to_vec()) };
    let salt = match salt {
        HkdfSalt::Null => given(&vec![0; hash.len()]),
        HkdfSalt::Data(data) => given(data),
        HkdfSalt::Key(handle) => secret::key_for(token, *handle, CKA_DERIVE, CKM_HKDF_DERIVE)?,
    };
    let value = keyed_hash(token, deadline, &salt, hash, base)?;
    Ok(SecretKey::Host { key_type: CKK_GENERIC_SECRET, value })
}

/// T(1) ‖ T(2) ‖ …, where T(n) = HMAC(key, T(n−1) ‖ info ‖ n).
///
/// # Errors
/// As [`keyed_hash`].
fn expand(
    token: &Arc<Token>,
    deadline: &mut Deadline,
    key: &SecretKey,
    hash: &Hasher,
    info: &[u8],
    len: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    if len > hash.len() && matches!(key, SecretKey::Chip(_)) && token.token_config.io_protection_required {
        return Err(io_protection::refused(
            "the chip takes all but the last 32 bytes of an HKDF key in clear. Derive several keys of 32 bytes, each \
             with a different info",
        ));
    }
    let (mut output, mut last) = (Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
    for number in 1..=len.div_ceil(hash.len()) {
        let message = Zeroizing::new([&last[..], info, &[number as u8]].concat());
        last = keyed_hash(token, deadline, key, hash, &message)?;
        output.extend_from_slice(&last);
    }
    output.truncate(len);
    Ok(output)
}

/// P_hash(key, seed): HMAC(key, A(n) ‖ seed) for n = 1, 2, …, where A(n) = HMAC(key, A(n−1)) and A(0) is the seed.
fn tls_prf(
    token: &Arc<Token>,
    deadline: &mut Deadline,
    key: &SecretKey,
    hash: &Hasher,
    seed: &[u8],
    len: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    let (mut output, mut a) = (Zeroizing::new(Vec::new()), Zeroizing::new(seed.to_vec()));
    while output.len() < len {
        a = keyed_hash(token, deadline, key, hash, &a)?;
        let message = Zeroizing::new([&a[..], seed].concat());
        output.extend_from_slice(&keyed_hash(token, deadline, key, hash, &message)?);
    }
    output.truncate(len);
    Ok(output)
}

/// Returns an HMAC; with a key in the chip the result is encrypted on the bus, if possible.
///
/// # Errors
/// [`Error::ActionProhibited`] if encryption is not possible, but the configuration requires it; else as [`hmac_once`].
fn keyed_hash(
    token: &Arc<Token>,
    deadline: &mut Deadline,
    key: &SecretKey,
    hash: &Hasher,
    message: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let by_chip = matches!((key, hash), (SecretKey::Chip(_), Hasher::Sha256(_)));
    if let (SecretKey::Chip(key), true) = (key, by_chip && message.len() <= KDF_MESSAGE_LEN) {
        if let Some(code) = hidden(token, deadline, key, message)? {
            return Ok(Zeroizing::new(code.to_vec()));
        }
    }
    if by_chip && token.token_config.io_protection_required {
        return Err(io_protection::refused(&format!(
            "the chip encrypts results for messages of at most {KDF_MESSAGE_LEN} bytes only (info or seed, plus HKDF's \
             own bytes), and only if its KDF is an HMAC. Use a shorter info"
        )));
    }
    hmac_once(token, deadline, key, hash, message)
}

/// Returns `None` if chip and host share no IO protection key, or KDF is not an HMAC.
fn hidden(
    token: &Token,
    deadline: &mut Deadline,
    key: &ChipSecret,
    message: &[u8],
) -> Result<Option<Zeroizing<[u8; 32]>>> {
    token.turn(*deadline, |turn| {
        secret::stored::prove(turn, key)?;
        let Some(io_key) = io_protection::shared_key(turn)? else { return Ok(None) };
        if !io_protection::kdf_is_hmac(turn, key.slot, &io_key)? {
            return Ok(None);
        }
        deadline.exclude(|| turn.converse(|awake| awake.hmac_encrypted(key.slot, message, &io_key))).map(Some)
    })
}
