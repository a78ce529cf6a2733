// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys that exist in this process until their session ends: generated, given by the caller, derived or
//! unwrapped.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::stored::NewSecret;
use crate::attribute::slot_asked_for;
use crate::cipher::aes::HostAes;
use crate::class::{self, NewSessionSecret, SecretKey, Ways};
use crate::create::{checked_id, checked_text};
use crate::error::{Error, Result};
use crate::object::SessionObject;
use crate::state::SecretKind;
use crate::template::Template;
use crate::SessionRef;

/// Longest generic secret, in bytes.
const MAX_LEN: usize = 1024;

/// The request for a secret key in a template.
pub struct SecretRequest<'t> {
    template: &'t Template,
    /// CKA_TOKEN.
    pub on_token: bool,
    /// CKA_KEY_TYPE, if given.
    pub key_type: Option<CK_KEY_TYPE>,
    /// CKA_VALUE_LEN, if given.
    pub len: Option<usize>,
    /// The mechanism of C_GenerateKey; `None` for a key that is not generated.
    pub generated_by: Option<CK_MECHANISM_TYPE>,
}

impl<'t> SecretRequest<'t> {
    /// Parses a template.
    ///
    /// # Errors
    /// [`Error::AttributeTypeInvalid`] if the object has no such attribute; [`Error::AttributeValueInvalid`] if a value
    /// is not valid; [`Error::TemplateInconsistent`] if attributes contradict each other; [`Error::SessionReadOnly`]
    /// for a token object in a read-only session.
    pub fn new(session: SessionRef, template: &'t Template) -> Result<Self> {
        class::check_template::<SecretKey>(Ways::CREATE, template)?;
        if template.ulong(CKA_CLASS)?.is_some_and(|class| class != CKO_SECRET_KEY) {
            return Err(Error::TemplateInconsistent("CKA_CLASS: this function creates a CKO_SECRET_KEY".into()));
        }
        if template.boolean(CKA_TRUSTED)? == Some(true) {
            return Err(Error::AttributeReadOnly(CKA_TRUSTED));
        }
        let on_token = template.boolean(CKA_TOKEN)?.unwrap_or(false);
        if on_token && !session.read_write {
            return Err(Error::SessionReadOnly);
        }
        Ok(Self {
            template,
            on_token,
            key_type: template.ulong(CKA_KEY_TYPE)?,
            len: template.ulong(CKA_VALUE_LEN)?.map(|len| usize::try_from(len).unwrap_or(usize::MAX)),
            generated_by: None,
        })
    }

    /// Returns the value that the caller gives.
    ///
    /// # Errors
    /// [`Error::TemplateIncomplete`] if an attribute is missing.
    pub fn value(&self) -> Result<Zeroizing<Vec<u8>>> {
        let value = self.template.bytes(CKA_VALUE);
        let value = value.ok_or_else(|| Error::TemplateIncomplete("CKA_VALUE is missing from the template".into()))?;
        if self.len.is_some_and(|len| len != value.len()) {
            return Err(Error::TemplateInconsistent("CKA_VALUE_LEN is not the length of CKA_VALUE".into()));
        }
        Ok(Zeroizing::new(value.to_vec()))
    }

    /// Returns a key for the chip with this value.
    ///
    /// # Errors
    /// [`Error::TemplateInconsistent`] if the template requests less secrecy than a key in the chip has.
    pub fn for_chip(&self, key_type: CK_KEY_TYPE, value: Zeroizing<Vec<u8>>) -> Result<NewSecret> {
        let template = self.template;
        if template.boolean(CKA_SENSITIVE)? == Some(false) || template.boolean(CKA_EXTRACTABLE)? == Some(true) {
            return Err(Error::TemplateInconsistent(
                "CKA_SENSITIVE=false, CKA_EXTRACTABLE=true: a key in the chip never leaves it".into(),
            ));
        }
        // The value must be a boolean, but false is accepted, because pkcs11-tool sends it for every key. The key is
        // private nevertheless.
        template.boolean(CKA_PRIVATE)?;
        Ok(NewSecret {
            kind: SecretKind::of_key_type(key_type)?,
            value,
            label: checked_text(template, CKA_LABEL)?.unwrap_or_default(),
            id: template.bytes(CKA_ID).map(checked_id).transpose()?.unwrap_or_default(),
            kept: class::kept::<SecretKey>(&[template])?,
            slot: slot_asked_for(&[template])?,
            generated: self.generated_by.is_some(),
        })
    }

    /// Returns a session key with this value.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] for an unsupported key type or a length that the type does not have.
    pub fn for_session(
        &self,
        session: SessionRef,
        key_type: CK_KEY_TYPE,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<SessionObject> {
        let template = self.template;
        let check = match key_type {
            CKK_AES => {
                let mut block = [0; 16];
                HostAes::new(&value)?.encrypt(&mut block);
                block[..3].to_vec()
            }
            CKK_GENERIC_SECRET | CKK_SHA256_HMAC if (1..=MAX_LEN).contains(&value.len()) => {
                use sha1::Digest;
                sha1::Sha1::digest(&value)[..3].to_vec()
            }
            CKK_GENERIC_SECRET | CKK_SHA256_HMAC => {
                return Err(Error::AttributeValueInvalid(
                    format!("CKA_VALUE has {} bytes: a generic secret has 1 to {MAX_LEN}", value.len()).into(),
                ))
            }
            other => {
                return Err(Error::AttributeValueInvalid(
                    format!("CKA_KEY_TYPE is {other:#x}: session keys are CKK_AES or CKK_GENERIC_SECRET").into(),
                ))
            }
        };
        given_check_value(template, &check)?;
        checked_text(template, CKA_LABEL)?;
        let new = NewSessionSecret { template, key_type, value, check, generated_by: self.generated_by };
        Ok(SessionObject { session: session.id, attributes: class::session_object::<SecretKey>(&new)? })
    }
}

/// Refuses a CKA_CHECK_VALUE that differs from the key's; an empty one requests none (PKCS#11 3.0 section 4.10.2).
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if a value is not valid.
pub fn given_check_value(template: &Template, own: &[u8]) -> Result<()> {
    match template.bytes(CKA_CHECK_VALUE) {
        Some(given) if !given.is_empty() && given != own => {
            Err(Error::AttributeValueInvalid("CKA_CHECK_VALUE does not match CKA_VALUE: the value is damaged".into()))
        }
        _ => Ok(()),
    }
}

/// Returns the length of a key to generate, in bytes.
///
/// # Errors
/// [`Error::TemplateIncomplete`] if an attribute is missing; [`Error::KeySizeRange`] if its length is not possible.
pub fn generated_len(key_type: CK_KEY_TYPE, request: &SecretRequest<'_>) -> Result<usize> {
    let len = request
        .len
        .ok_or_else(|| Error::TemplateIncomplete("CKA_VALUE_LEN: the length of the key in bytes is missing".into()))?;
    let possible = match key_type {
        _ if request.on_token => SecretKind::of_key_type(key_type)?.lengths().contains(&len),
        CKK_AES => matches!(len, 16 | 24 | 32),
        _ => (1..=MAX_LEN).contains(&len),
    };
    if possible {
        return Ok(len);
    }
    Err(Error::KeySizeRange(match (key_type, request.on_token) {
        (CKK_AES, true) => format!("CKA_VALUE_LEN is {len}: AES keys in the chip have 16 bytes").into(),
        (CKK_AES, false) => format!("CKA_VALUE_LEN is {len}: an AES key has 16, 24 or 32 bytes").into(),
        (_, true) => format!("CKA_VALUE_LEN is {len}: the chip holds secrets of 1 to 32 bytes").into(),
        (_, false) => format!("CKA_VALUE_LEN is {len}: a generic secret has 1 to {MAX_LEN} bytes").into(),
    }))
}
