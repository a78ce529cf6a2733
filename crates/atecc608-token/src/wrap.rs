// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_WrapKey and C_UnwrapKey: session keys encrypted with an AES key, which may be in the chip. Keys in the chip never
//! leave it.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::cipher::aes::BLOCK_LEN;
use super::cipher::{CipherOperation, Direction};
use super::error::{Error, Result};
use super::mechanism::{Mechanism, Parameter};
use super::object::ObjectKey;
use super::secret::session::SecretRequest;
use super::template::Template;
use super::token::Token;
use super::{secret, ObjectHandle, SessionRef};

/// Returns a wrapping mechanism with the associated data (3.2's C_WrapKeyAuthenticated).
///
/// # Errors
/// [`Error::MechanismInvalid`].
fn with_associated(mechanism: &Mechanism, associated: Option<Vec<u8>>) -> Result<Mechanism> {
    let mut mechanism = mechanism.clone();
    let wraps = matches!(mechanism.mechanism, CKM_AES_ECB | CKM_AES_CBC | CKM_AES_CBC_PAD | CKM_AES_GCM);
    match (&mut mechanism.parameter, associated) {
        _ if !wraps => Err(Error::MechanismInvalid(mechanism.mechanism)),
        (_, None) => Ok(mechanism),
        (Parameter::Gcm { associated: place, .. }, Some(associated)) => {
            *place = associated;
            Ok(mechanism)
        }
        // The others do not authenticate data.
        (_, Some(_)) => Err(Error::MechanismInvalid(mechanism.mechanism)),
    }
}

/// Whether the mechanism requires whole blocks: a key is then padded with zeros (PKCS#11 3.0 section 2.10).
fn wants_blocks(mechanism: &Mechanism) -> bool {
    matches!(mechanism.mechanism, CKM_AES_ECB | CKM_AES_CBC)
}

/// Returns the value of a session key, encrypted with another key. `associated` is authenticated, too.
///
/// # Errors
/// [`Error::KeyUnextractable`] for a key in the chip or with CKA_EXTRACTABLE false; [`Error::KeyNotWrappable`] for
/// other objects; [`Error::WrappingKey`] with the error of the wrapping key; [`Error::MechanismInvalid`] for an
/// unsupported mechanism; the [turn errors](Error#turn-errors).
pub(crate) fn wrap(
    token: &Arc<Token>,
    mechanism: &Mechanism,
    wrapping_key: ObjectHandle,
    key: ObjectHandle,
    associated: Option<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>> {
    let mechanism = with_associated(mechanism, associated)?;
    let mut value = extractable_value(token, key)?;
    if wants_blocks(&mechanism) {
        let whole = value.len().next_multiple_of(BLOCK_LEN);
        value.resize(whole, 0);
    }
    let aes = secret::key_for(token, wrapping_key, CKA_WRAP, mechanism.mechanism)
        .and_then(|key| key.into_aes(token, mechanism.mechanism));
    let aes = aes.map_err(|error| Error::WrappingKey(Box::new(error)))?;
    let mut cipher = CipherOperation::new(Direction::Encrypt, &mechanism, aes.into())?;
    cipher.end(&mut token.deadline(), &value)?;
    Ok(cipher.take())
}

fn extractable_value(token: &Token, key: ObjectHandle) -> Result<Zeroizing<Vec<u8>>> {
    match token.key_object(key)? {
        ObjectKey::Session(number) => token.objects.with_session_object(number, |object| {
            let object = object.ok_or_else(|| Error::ObjectHandleInvalid(key).of_key())?;
            if object.attributes.ulong(CKA_CLASS)? != Some(CKO_SECRET_KEY) {
                return Err(Error::KeyNotWrappable("only secret keys can be wrapped".into()));
            }
            if object.attributes.boolean(CKA_EXTRACTABLE)? == Some(false) {
                return Err(Error::KeyUnextractable("CKA_EXTRACTABLE of the key is false".into()));
            }
            if object.attributes.boolean(CKA_WRAP_WITH_TRUSTED)? == Some(true) {
                return Err(Error::KeyNotWrappable(
                    "CKA_WRAP_WITH_TRUSTED of the key is true, and no key is trusted".into(),
                ));
            }
            Ok(Zeroizing::new(object.attributes.bytes(CKA_VALUE).unwrap_or_default().to_vec()))
        }),
        ObjectKey::PrivateKey(_) | ObjectKey::Secret(_) => {
            Err(Error::KeyUnextractable("the key is in the chip and can't leave it".into()))
        }
        _ => Err(Error::KeyNotWrappable("the handle names no secret key".into())),
    }
}

/// Creates a session key from its encrypted value.
///
/// # Errors
/// [`Error::WrappedKeyInvalid`] if it does not decrypt; [`Error::WrappedKeyLenRange`] if its length is impossible;
/// [`Error::UnwrappingKey`] with the error of the unwrapping key; the errors of the template's attributes; the [turn
/// errors](Error#turn-errors).
pub(crate) fn unwrap(
    token: &Arc<Token>,
    session: SessionRef,
    mechanism: &Mechanism,
    unwrapping_key: ObjectHandle,
    wrapped: &[u8],
    associated: Option<Vec<u8>>,
    template: &Template,
) -> Result<ObjectHandle> {
    let mechanism = with_associated(mechanism, associated)?;
    let request = SecretRequest::new(session, template)?;
    let key_type = request
        .key_type
        .ok_or_else(|| Error::TemplateIncomplete("CKA_KEY_TYPE is missing from the template".into()))?;
    if request.on_token {
        return Err(Error::TemplateInconsistent(
            "CKA_TOKEN: an unwrapped key is a session object; import it with C_CreateObject".into(),
        ));
    }
    if template.bytes(CKA_VALUE).is_some() {
        return Err(Error::TemplateInconsistent(
            "CKA_VALUE: the value comes from the wrapped key, so leave it out of the template".into(),
        ));
    }
    let aes = secret::key_for(token, unwrapping_key, CKA_UNWRAP, mechanism.mechanism)
        .and_then(|key| key.into_aes(token, mechanism.mechanism));
    let aes = aes.map_err(|error| Error::UnwrappingKey(Box::new(error)))?;
    let mut cipher = CipherOperation::new(Direction::Decrypt, &mechanism, aes.into())?;
    cipher.end(&mut token.deadline(), wrapped).map_err(|error| match error {
        Error::EncryptedDataInvalid => Error::WrappedKeyInvalid,
        Error::EncryptedDataLenRange(text) => Error::WrappedKeyLenRange(text),
        other => other,
    })?;
    let mut value = cipher.take();
    match request.len {
        Some(len) if len > value.len() || (len != value.len() && !wants_blocks(&mechanism)) => {
            return Err(Error::TemplateInconsistent("CKA_VALUE_LEN is not the length of the key".into()))
        }
        Some(len) => value.truncate(len),
        None => {}
    }
    let object = request.for_session(session, key_type, value)?;
    token.add_session_object(object)
}
