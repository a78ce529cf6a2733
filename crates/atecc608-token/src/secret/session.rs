//! Secret keys that live in this process until their session ends: made here, given by the caller, derived or unwrapped.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::stored::NewSecret;
use crate::attribute::{slot_asked_for, CKA_ATECC608_SLOT};
use crate::cipher::aes::HostAes;
use crate::create::{checked_id, checked_text, known_only};
use crate::error::{Error, Result};
use crate::kept::{self, Kept, KeptFor};
use crate::mechanism::allowed_for_secret;
use crate::object::SessionObject;
use crate::state::SecretKind;
use crate::template::{bool_value, ulong_value, Template};
use crate::SessionRef;

/// Longest generic secret, in bytes.
const MAX_LEN: usize = 1024;

/// What a secret key may be used for, in its attributes.
const USES: [CK_ATTRIBUTE_TYPE; 7] = [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];

/// What may stand in a secret key's template.
pub const ATTRIBUTES: &[CK_ATTRIBUTE_TYPE] = &[
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_LABEL,
    CKA_KEY_TYPE,
    CKA_ID,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_DERIVE,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_EXTRACTABLE,
    CKA_CHECK_VALUE,
    CKA_TRUSTED,
    CKA_WRAP_WITH_TRUSTED,
    CKA_ALLOWED_MECHANISMS,
    CKA_VALUE,
    CKA_VALUE_LEN,
    CKA_ATECC608_SLOT,
];

/// What a template asks of a secret key.
pub struct SecretRequest<'t> {
    template: &'t Template,
    /// CKA_TOKEN.
    pub on_token: bool,
    /// CKA_KEY_TYPE, if given.
    pub key_type: Option<CK_KEY_TYPE>,
    /// CKA_VALUE_LEN, if given.
    pub len: Option<usize>,
}

impl<'t> SecretRequest<'t> {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Error::AttributeTypeInvalid`], [`Error::AttributeValueInvalid`], [`Error::TemplateInconsistent`],
    /// [`Error::SessionReadOnly`].
    pub fn new(session: SessionRef, template: &'t Template) -> Result<Self> {
        known_only(template, &[ATTRIBUTES])?;
        if template.ulong(CKA_CLASS)?.is_some_and(|class| class != CKO_SECRET_KEY) {
            return Err(Error::TemplateInconsistent("CKA_CLASS: this makes a CKO_SECRET_KEY".to_owned()));
        }
        for flag in USES {
            template.boolean(flag)?;
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
        })
    }

    /// The value that the caller gives.
    ///
    /// # Errors
    /// [`Error::TemplateIncomplete`].
    pub fn value(&self) -> Result<Zeroizing<Vec<u8>>> {
        let value = self.template.bytes(CKA_VALUE);
        let value =
            value.ok_or_else(|| Error::TemplateIncomplete("CKA_VALUE is missing from the template".to_owned()))?;
        if self.len.is_some_and(|len| len != value.len()) {
            return Err(Error::TemplateInconsistent("CKA_VALUE_LEN is not the length of CKA_VALUE".to_owned()));
        }
        Ok(Zeroizing::new(value.to_vec()))
    }

    /// A key for the chip with this value.
    ///
    /// # Errors
    /// [`Error::TemplateInconsistent`] where the template wants less secrecy than a key in the chip has.
    pub fn for_chip(&self, key_type: CK_KEY_TYPE, value: Zeroizing<Vec<u8>>) -> Result<NewSecret> {
        let template = self.template;
        if template.boolean(CKA_SENSITIVE)? == Some(false) || template.boolean(CKA_EXTRACTABLE)? == Some(true) {
            return Err(Error::TemplateInconsistent(
                "CKA_SENSITIVE=false, CKA_EXTRACTABLE=true: a key in the chip never leaves it".to_owned(),
            ));
        }
        // A boolean it must be, but false is no wish for less secrecy: pkcs11-tool gives it for every key.
        // The key is private all the same.
        template.boolean(CKA_PRIVATE)?;
        Ok(NewSecret {
            kind: SecretKind::of_key_type(key_type)?,
            value,
            label: checked_text(template, CKA_LABEL)?.unwrap_or_default(),
            id: template.bytes(CKA_ID).map(checked_id).transpose()?.unwrap_or_default(),
            kept: Kept::of(KeptFor::Key, &[template])?,
            slot: slot_asked_for(&[template])?,
        })
    }

    /// A session key with this value.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] for a key type that is not kept or a length that the type does not have.
    pub fn for_session(
        &self,
        session: SessionRef,
        key_type: CK_KEY_TYPE,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<SessionObject> {
        let (template, is_aes) = (self.template, key_type == CKK_AES);
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
                return Err(Error::AttributeValueInvalid(format!(
                    "CKA_VALUE: {} bytes, where a generic secret has 1 to {MAX_LEN}",
                    value.len()
                )))
            }
            other => {
                return Err(Error::AttributeValueInvalid(format!(
                    "CKA_KEY_TYPE: {other:#x}, where session keys are CKK_AES or CKK_GENERIC_SECRET"
                )))
            }
        };
        given_check_value(template, &check)?;
        let mut attributes = Template::default();
        let mut set = |attribute, value: Vec<u8>| attributes.set(attribute, Zeroizing::new(value));
        checked_text(template, CKA_LABEL)?;
        for attribute in [CKA_LABEL, CKA_ID, CKA_START_DATE, CKA_END_DATE] {
            kept::check(attribute, template.bytes(attribute).unwrap_or_default())?;
            set(attribute, template.bytes(attribute).unwrap_or_default().to_vec());
        }
        for attribute in USES {
            // What the key's type can be used for, unless the caller wants less.
            let possible = match attribute {
                CKA_ENCRYPT | CKA_DECRYPT => is_aes,
                CKA_SIGN | CKA_VERIFY => true,
                CKA_DERIVE => !is_aes,
                _ => false,
            };
            let wrapping = is_aes && matches!(attribute, CKA_WRAP | CKA_UNWRAP);
            let wanted = template.boolean(attribute)?.unwrap_or(possible);
            set(attribute, bool_value(wanted && (possible || wrapping)));
        }
        for (attribute, default) in [
            (CKA_PRIVATE, false),
            (CKA_SENSITIVE, false),
            (CKA_EXTRACTABLE, true),
            (CKA_MODIFIABLE, true),
            (CKA_COPYABLE, true),
            (CKA_DESTROYABLE, true),
            (CKA_WRAP_WITH_TRUSTED, false),
        ] {
            set(attribute, bool_value(template.boolean(attribute)?.unwrap_or(default)));
        }
        // Its value was or is in this host's memory.
        for attribute in [CKA_TOKEN, CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_TRUSTED] {
            set(attribute, bool_value(false));
        }
        // They constrain nothing.
        for attribute in [CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE] {
            set(attribute, Vec::new());
        }
        let mut mechanisms = allowed_for_secret(if is_aes { SecretKind::Aes } else { SecretKind::Generic });
        if let Some(wanted) = template.mechanisms(CKA_ALLOWED_MECHANISMS)?.filter(|wanted| !wanted.is_empty()) {
            mechanisms.retain(|mechanism| wanted.contains(mechanism));
        }
        set(CKA_ALLOWED_MECHANISMS, mechanisms.into_iter().flat_map(CK_MECHANISM_TYPE::to_ne_bytes).collect());
        set(CKA_OBJECT_VALIDATION_FLAGS, ulong_value(0));
        set(CKA_CLASS, ulong_value(CKO_SECRET_KEY));
        set(CKA_KEY_TYPE, ulong_value(key_type));
        set(CKA_VALUE_LEN, ulong_value(value.len() as CK_ULONG));
        set(CKA_CHECK_VALUE, check);
        set(CKA_KEY_GEN_MECHANISM, ulong_value(CK_UNAVAILABLE_INFORMATION));
        attributes.set(CKA_VALUE, value);
        Ok(SessionObject { session: session.id, attributes })
    }
}

/// Refuses a CKA_CHECK_VALUE that is not the value's own; an empty one asks for none (PKCS#11 3.0 section 4.10.2).
///
/// # Errors
/// [`Error::AttributeValueInvalid`].
pub fn given_check_value(template: &Template, own: &[u8]) -> Result<()> {
    match template.bytes(CKA_CHECK_VALUE) {
        Some(given) if !given.is_empty() && given != own => Err(Error::AttributeValueInvalid(
            "CKA_CHECK_VALUE is not what CKA_VALUE has: the value was damaged on its way".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Whether C_SetAttributeValue and C_CopyObject may give a session key this value: names, uses, and more secrecy, never
/// less (PKCS#11 3.0 section 4.10.1).
pub fn may_set(object: &SessionObject, attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> bool {
    match attribute {
        CKA_LABEL | CKA_ID | CKA_START_DATE | CKA_END_DATE => true,
        CKA_SENSITIVE | CKA_WRAP_WITH_TRUSTED => {
            value == [CK_TRUE] || object.attributes.bytes(attribute) == Some(value)
        }
        CKA_EXTRACTABLE | CKA_COPYABLE | CKA_DESTROYABLE => {
            value == [CK_FALSE] || object.attributes.bytes(attribute) == Some(value)
        }
        _ if USES.contains(&attribute) => value == [CK_FALSE] || object.attributes.bytes(attribute) == Some(value),
        _ => false,
    }
}

/// Bytes of a key to be generated.
///
/// # Errors
/// [`Error::TemplateIncomplete`], [`Error::KeySizeRange`].
pub fn generated_len(key_type: CK_KEY_TYPE, request: &SecretRequest<'_>) -> Result<usize> {
    let len = request.len.ok_or_else(|| {
        Error::TemplateIncomplete("CKA_VALUE_LEN: the length of the key in bytes is missing".to_owned())
    })?;
    let possible = match key_type {
        _ if request.on_token => SecretKind::of_key_type(key_type)?.lengths().contains(&len),
        CKK_AES => matches!(len, 16 | 24 | 32),
        _ => (1..=MAX_LEN).contains(&len),
    };
    if possible {
        return Ok(len);
    }
    Err(Error::KeySizeRange(match (key_type, request.on_token) {
        (CKK_AES, true) => format!("CKA_VALUE_LEN: {len}, where the chip's AES keys have 16 bytes"),
        (CKK_AES, false) => format!("CKA_VALUE_LEN: {len}, where an AES key has 16, 24 or 32 bytes"),
        (_, true) => format!("CKA_VALUE_LEN: {len}, where the chip keeps secrets of 1 to 32 bytes"),
        (_, false) => format!("CKA_VALUE_LEN: {len}, where a generic secret has 1 to {MAX_LEN} bytes"),
    }))
}
