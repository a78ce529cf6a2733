// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys: AES and generic ones. Session keys are in this process ([`session`]), token keys in a slot of the chip
//! ([`stored`], [`place`]), from which their value can't be read.

pub(crate) mod configured;
pub mod place;
pub mod session;
pub mod stored;

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::cipher::aes::{AesKey, HostAes};
use super::digest;
use super::error::{Error, Result};
use super::mechanism::{allowed_for_secret, allowed_for_session_secret, Mechanism};
use super::object::ObjectKey;
use super::random::random;
use super::state::SecretKind;
use super::template::Template;
use super::token::Token;
use super::{ObjectHandle, SessionRef};
use atecc608_wire::Slot;
use session::{generated_len, SecretRequest};

/// A secret key for an operation.
pub enum SecretKey {
    /// A session key.
    Host {
        /// CKK code.
        key_type: CK_KEY_TYPE,
        /// Its value.
        value: Zeroizing<Vec<u8>>,
    },
    /// A key in a slot.
    Chip(ChipSecret),
}

/// A secret key in a slot, for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipSecret {
    /// Its entry in the state: another key in the same place has another one.
    pub unique_id: String,
    /// The slot.
    pub slot: Slot,
    /// Which 32 bytes of the slot.
    pub block: u8,
    /// What kind of key it is.
    pub kind: SecretKind,
}

impl ChipSecret {
    /// Returns which 16 bytes of the slot it has, in AES's numbering.
    pub fn aes_unit(&self) -> u8 {
        self.block * 2
    }
}

impl SecretKey {
    fn key_type(&self) -> CK_KEY_TYPE {
        match self {
            Self::Host { key_type, .. } => *key_type,
            Self::Chip(secret) => secret.kind.key_type(),
        }
    }

    /// Returns the AES block function with this key, for a mechanism.
    ///
    /// # Errors
    /// [`Error::KeyTypeInconsistent`] if it is not an AES key; [`Error::MechanismInvalid`] if AES is disabled in the
    /// chip.
    pub fn into_aes(self, token: &Arc<Token>, mechanism: CK_MECHANISM_TYPE) -> Result<AesKey> {
        check_aes(token, mechanism)?;
        if self.key_type() != CKK_AES {
            return Err(Error::KeyTypeInconsistent(
                "the mechanism needs an AES key, and this is another kind of key".into(),
            ));
        }
        Ok(match self {
            Self::Host { value, .. } => AesKey::Host(HostAes::new(&value)?),
            Self::Chip(secret) => AesKey::Chip(token.clone(), secret),
        })
    }
}

/// C_GenerateKey: as [`Token::generate_key`].
///
/// # Errors
/// As [`Token::generate_key`].
pub(crate) fn generate(
    token: &Token,
    session: SessionRef,
    mechanism: &Mechanism,
    template: &Template,
) -> Result<ObjectHandle> {
    let deadline = token.deadline();
    let key_type = match mechanism.mechanism {
        CKM_AES_KEY_GEN => {
            check_aes(token, CKM_AES_KEY_GEN)?;
            CKK_AES
        }
        CKM_GENERIC_SECRET_KEY_GEN => CKK_GENERIC_SECRET,
        other => return Err(Error::MechanismInvalid(other)),
    };
    digest::no_parameter(mechanism)?;
    let mut request = SecretRequest::new(session, template)?;
    request.generated_by = Some(mechanism.mechanism);
    if template.bytes(CKA_VALUE).is_some() {
        return Err(Error::TemplateInconsistent(
            "CKA_VALUE: the key is generated, so leave it out of the template".into(),
        ));
    }
    if request.key_type.is_some_and(|given| given != key_type) {
        return Err(Error::TemplateInconsistent("CKA_KEY_TYPE does not match the mechanism".into()));
    }
    let mut value = Zeroizing::new(vec![0; generated_len(key_type, &request)?]);
    if request.on_token {
        token.known(deadline)?.check_may_make_private()?;
        let unique_id = token.turn(deadline, |turn| {
            random(turn, &mut value)?;
            stored::create(turn, request.for_chip(key_type, value)?)
        })?;
        return Ok(token.objects.handle(ObjectKey::Secret(unique_id)));
    }
    token.turn(deadline, |turn| random(turn, &mut value))?;
    token.add_session_object(request.for_session(session, key_type, value)?)
}

/// Refuses AES if the chip's configuration disables it (AES_Enable), also in the session, because the list of
/// mechanisms follows the chip.
///
/// # Errors
/// [`Error::MechanismInvalid`]; the [first contact errors](Error#first-contact-errors).
pub(crate) fn check_aes(token: &Token, mechanism: CK_MECHANISM_TYPE) -> Result<()> {
    if token.known(token.deadline())?.zone().aes_enabled() {
        Ok(())
    } else {
        Err(Error::MechanismInvalid(mechanism))
    }
}

/// Returns the secret key of a handle, if its attributes allow the use (CKA_ENCRYPT, CKA_SIGN, ...) and the mechanism
/// (CKA_ALLOWED_MECHANISMS).
///
/// # Errors
/// [`Error::KeyHandleInvalid`], [`Error::KeyTypeInconsistent`] for another kind of object,
/// [`Error::KeyFunctionNotPermitted`], [`Error::MechanismInvalid`].
pub(crate) fn key_for(
    token: &Token,
    key: ObjectHandle,
    usage: CK_ATTRIBUTE_TYPE,
    mechanism: CK_MECHANISM_TYPE,
) -> Result<SecretKey> {
    let gone = || Error::ObjectHandleInvalid(key).of_key();
    let not_a_secret = || Error::KeyTypeInconsistent("the handle names no secret key".into());
    // Check the type before the uses: a key of another type has none of them, and the caller needs the better error.
    let check_type = |kind| match allowed_for_session_secret(kind).contains(&mechanism) {
        true => Ok(()),
        false => Err(Error::KeyTypeInconsistent(format!("mechanism {mechanism:#x} needs another type of key").into())),
    };
    let not_permitted =
        || Error::KeyFunctionNotPermitted(format!("attribute {usage:#x} of the key does not allow this use").into());
    match token.key_object(key)? {
        ObjectKey::Session(number) => token.objects.with_session_object(number, |object| {
            let object = object.ok_or_else(gone)?;
            if object.attributes.ulong(CKA_CLASS)? != Some(CKO_SECRET_KEY) {
                return Err(not_a_secret());
            }
            let value = object.attributes.bytes(CKA_VALUE).ok_or_else(not_a_secret)?;
            let key_type = object.attributes.ulong(CKA_KEY_TYPE)?.ok_or_else(not_a_secret)?;
            check_type(SecretKind::of_key_type(key_type)?)?;
            if object.attributes.boolean(usage)? != Some(true) {
                return Err(not_permitted());
            }
            let allowed = object.attributes.mechanisms(CKA_ALLOWED_MECHANISMS)?.unwrap_or_default();
            if !allowed.contains(&mechanism) {
                return Err(Error::MechanismInvalid(mechanism));
            }
            Ok(SecretKey::Host { key_type, value: Zeroizing::new(value.to_vec()) })
        }),
        ObjectKey::Secret(unique_id) => {
            let known = token.known(token.deadline())?;
            let stored = known.secret(&unique_id).ok_or_else(gone)?;
            check_type(stored.kind)?;
            if mechanism == CKM_HKDF_DATA && !allowed_for_secret(stored.kind).contains(&mechanism) {
                // The result is readable data: for a key in the chip only if its own attribute lists the mechanism.
                return Err(Error::MechanismInvalid(mechanism));
            }
            if stored.may(usage) {
                Ok(SecretKey::Chip(stored.place()))
            } else {
                Err(not_permitted())
            }
        }
        _ => Err(not_a_secret()),
    }
}

/// Returns the value of a session key, for C_DigestKey.
///
/// # Errors
/// [`Error::KeyHandleInvalid`]; [`Error::KeyIndigestible`] for a key in the chip, or an object that is not a secret
/// key.
pub(crate) fn digestible_value(token: &Token, key: ObjectHandle) -> Result<Zeroizing<Vec<u8>>> {
    let indigestible = |text: &str| Err(Error::KeyIndigestible(text.to_owned().into()));
    match token.key_object(key)? {
        ObjectKey::Session(number) => token.objects.with_session_object(number, |object| {
            let object = object.ok_or_else(|| Error::ObjectHandleInvalid(key).of_key())?;
            match (object.attributes.ulong(CKA_CLASS)?, object.attributes.bytes(CKA_VALUE)) {
                (Some(CKO_SECRET_KEY), Some(value)) => Ok(Zeroizing::new(value.to_vec())),
                _ => indigestible("only secret keys can be digested"),
            }
        }),
        ObjectKey::PrivateKey(_) | ObjectKey::Secret(_) => {
            indigestible("the key is in the chip, and its value can't leave it")
        }
        _ => indigestible("only secret keys can be digested"),
    }
}
