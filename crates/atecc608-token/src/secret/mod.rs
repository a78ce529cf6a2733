//! Secret keys: AES and generic ones. Session keys live in this process ([`session`]), token keys in a slot of the chip
//! ([`stored`], [`place`]), where the value goes in and never comes out.

pub(crate) mod configured;
pub mod place;
pub mod session;
pub mod stored;

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::cipher::aes::{AesKey, HostAes};
use super::error::{Error, Result};
use super::mechanism::{allowed_for_secret, allowed_for_session_secret};
use super::object::ObjectKey;
use super::state::SecretKind;
use super::token::Token;
use super::ObjectHandle;
use atecc608_wire::Slot;

/// A secret key to work with.
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

/// A secret key in a slot, as operations know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipSecret {
    /// Which entry of the state it is: another key in the same place has another.
    pub unique_id: String,
    /// The slot.
    pub slot: Slot,
    /// Which 32 bytes of the slot.
    pub block: u8,
    /// What kind of key it is.
    pub kind: SecretKind,
}

impl ChipSecret {
    /// Which 16 bytes of the slot, as AES counts.
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

    /// The AES block function under this key, for a mechanism.
    ///
    /// # Errors
    /// [`Error::KeyTypeInconsistent`] if it is no AES key, [`Error::MechanismInvalid`] if the chip has AES switched off.
    pub fn into_aes(self, token: &Arc<Token>, mechanism: CK_MECHANISM_TYPE) -> Result<AesKey> {
        check_aes(token, mechanism)?;
        if self.key_type() != CKK_AES {
            return Err(Error::KeyTypeInconsistent("the mechanism takes an AES key, and this is none".into()));
        }
        Ok(match self {
            Self::Host { value, .. } => AesKey::Host(HostAes::new(&value)?),
            Self::Chip(secret) => AesKey::Chip(token.clone(), secret),
        })
    }
}

/// Refuses AES where the chip's configuration has it switched off (AES_Enable), in the session as in the chip: the list of
/// mechanisms follows the chip.
///
/// # Errors
/// [`Error::MechanismInvalid`]; those of the first contact.
pub(crate) fn check_aes(token: &Token, mechanism: CK_MECHANISM_TYPE) -> Result<()> {
    if token.known(token.deadline())?.zone().aes_enabled() {
        Ok(())
    } else {
        Err(Error::MechanismInvalid(mechanism))
    }
}

/// The secret key that the handle names, for a use that one of its attributes (CKA_ENCRYPT, CKA_SIGN, ...) allows, and a
/// mechanism that CKA_ALLOWED_MECHANISMS does.
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
    let not_a_secret = || Error::KeyTypeInconsistent("the handle names no secret key".into());
    // Before its uses: of another type it has none of the right ones, and its type is what the caller has to know.
    let check_type = |kind| match allowed_for_session_secret(kind).contains(&mechanism) {
        true => Ok(()),
        false => Err(Error::KeyTypeInconsistent(
            format!("mechanism {mechanism:#x} takes another type of key than this").into(),
        )),
    };
    let not_permitted =
        || Error::KeyFunctionNotPermitted(format!("attribute {usage:#x} of the key does not allow this use").into());
    match token.key_object(key)? {
        ObjectKey::Session(number) => token.objects.with_session_object(number, |object| {
            let object = object.ok_or_else(not_a_secret)?;
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
            let stored = known.secret(&unique_id).ok_or_else(not_a_secret)?;
            check_type(stored.kind)?;
            if mechanism == CKM_HKDF_DATA && !allowed_for_secret(stored.kind).contains(&mechanism) {
                // Data can be read: of a key in the chip only what its own attribute lists.
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

/// The value of a session key, for C_DigestKey.
///
/// # Errors
/// [`Error::KeyHandleInvalid`]; [`Error::KeyIndigestible`] for a key in the chip, and what is no secret key.
pub(crate) fn digestible_value(token: &Token, key: ObjectHandle) -> Result<Zeroizing<Vec<u8>>> {
    let indigestible = |text: &str| Err(Error::KeyIndigestible(text.to_owned().into()));
    match token.key_object(key)? {
        ObjectKey::Session(number) => token.objects.with_session_object(number, |object| {
            let object = object.ok_or(Error::ObjectHandleInvalid(key))?;
            match (object.attributes.ulong(CKA_CLASS)?, object.attributes.bytes(CKA_VALUE)) {
                (Some(CKO_SECRET_KEY), Some(value)) => Ok(Zeroizing::new(value.to_vec())),
                _ => indigestible("only secret keys can be digested"),
            }
        }),
        ObjectKey::PrivateKey(_) | ObjectKey::Secret(_) => {
            indigestible("the key is in the chip, which never lets its value out")
        }
        _ => indigestible("only secret keys can be digested"),
    }
}
