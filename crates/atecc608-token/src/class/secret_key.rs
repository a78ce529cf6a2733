// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys in slots and in sessions (PKCS#11 3.0 sections 4.10 and 2.3.1).

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    empty, mechanisms, no_validation, number, text, yes_or_no, Answer, Change, Class, New, Row, Session, Ways,
};
use crate::attribute::{
    CKA_ATECC608_IN_CHIP, CKA_ATECC608_KEY_CONFIG, CKA_ATECC608_SLOT, CKA_ATECC608_SLOT_CONFIG,
    CKA_ATECC608_SLOT_LOCKED,
};
use crate::error::{Error, Result};
use crate::mechanism::{allowed_for_secret, allowed_for_session_secret};
use crate::state::{SecretKind, StoredSecret};
use crate::template::{bool_value, mechanisms_value, ulong_value, Template};
use atecc608_wire::{ConfigZone, Slot};

/// CKO_SECRET_KEY.
pub(crate) enum SecretKey {}

/// A secret key in a slot, as the input of its attributes.
pub(crate) struct SecretInSlot<'a> {
    /// The key's entry in the state.
    pub(crate) secret: &'a StoredSecret,
    /// The chip's configuration.
    pub(crate) zone: &'a ConfigZone,
}

impl SecretInSlot<'_> {
    fn slot(&self) -> Slot {
        Slot::from_nibble(self.secret.slot)
    }

    fn kept(&self, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        Answer::Value(self.secret.kept.get(attribute).unwrap_or_default().to_vec())
    }

    fn permits(&self, permission: CK_ATTRIBUTE_TYPE) -> bool {
        !self.secret.kept.denies(permission)
    }

    fn may(&self, usage: CK_ATTRIBUTE_TYPE) -> Answer {
        yes_or_no(self.secret.may(usage))
    }

    fn key_gen_mechanism(&self) -> CK_MECHANISM_TYPE {
        match self.secret.kind {
            _ if !self.secret.generated => CK_UNAVAILABLE_INFORMATION,
            SecretKind::Aes => CKM_AES_KEY_GEN,
            SecretKind::Generic => CKM_GENERIC_SECRET_KEY_GEN,
        }
    }
}

/// A secret key for a session.
pub(crate) struct NewSessionSecret<'t> {
    /// The template of the new key.
    pub(crate) template: &'t Template,
    /// CKK code.
    pub(crate) key_type: CK_KEY_TYPE,
    /// Its value.
    pub(crate) value: Zeroizing<Vec<u8>>,
    /// CKA_CHECK_VALUE.
    pub(crate) check: Vec<u8>,
    /// The mechanism of C_GenerateKey; `None` for a key that was not generated.
    pub(crate) generated_by: Option<CK_MECHANISM_TYPE>,
}

impl New for NewSessionSecret<'_> {
    fn template(&self) -> &Template {
        self.template
    }
}

impl NewSessionSecret<'_> {
    fn is_aes(&self) -> bool {
        self.key_type == CKK_AES
    }

    /// The uses of the key's type, unless the template restricts them; wrapping only if the template requests it.
    fn usage(&self, usage: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>> {
        let possible = match usage {
            CKA_ENCRYPT | CKA_DECRYPT => self.is_aes(),
            CKA_SIGN | CKA_VERIFY => true,
            CKA_DERIVE => !self.is_aes(),
            _ => false,
        };
        let wrapping = self.is_aes() && matches!(usage, CKA_WRAP | CKA_UNWRAP);
        let wanted = self.template.boolean(usage)?.unwrap_or(possible);
        Ok(bool_value(wanted && (possible || wrapping)))
    }

    /// Whether a key generated here starts with this value of CKA_SENSITIVE or CKA_EXTRACTABLE; `false` for other keys.
    fn born_with(&self, attribute: CK_ATTRIBUTE_TYPE, value: bool, default: bool) -> Result<Vec<u8>> {
        let given = self.template.boolean(attribute)?.unwrap_or(default);
        Ok(bool_value(self.generated_by.is_some() && given == value))
    }

    fn allowed_mechanisms(&self) -> Result<Vec<u8>> {
        let kind = if self.is_aes() { SecretKind::Aes } else { SecretKind::Generic };
        let mut mechanisms = allowed_for_session_secret(kind);
        let wanted = self.template.mechanisms(CKA_ALLOWED_MECHANISMS)?;
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
            mechanisms.retain(|mechanism| wanted.contains(mechanism));
        }
        Ok(mechanisms_value(&mechanisms))
    }
}

/// CKA_SENSITIVE of a session key if the template does not set it.
const SENSITIVE: bool = false;
/// CKA_EXTRACTABLE of a session key if the template does not set it.
const EXTRACTABLE: bool = true;

/// A use can be removed, but not added.
const USE: Change = Change::InSessionTo(false);

impl Class for SecretKey {
    type Object<'a> = SecretInSlot<'a>;
    type New<'a> = NewSessionSecret<'a>;

    const ROWS: &'static [Row<Self>] = &[
        Row::<Self>::read(CKA_CLASS, |_| number(CKO_SECRET_KEY))
            .given(Ways::CREATE)
            .in_session(Session::Number(CKO_SECRET_KEY)),
        Row::<Self>::read(CKA_KEY_TYPE, |key| number(key.secret.kind.key_type()))
            .given(Ways::CREATE)
            .in_session(Session::Made(|new| Ok(ulong_value(new.key_type)))),
        Row::<Self>::read(CKA_TOKEN, |_| yes_or_no(true)).given(Ways::CREATE).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_PRIVATE, |_| yes_or_no(true)).given(Ways::CREATE).in_session(Session::Flag(false)),
        Row::<Self>::read(CKA_MODIFIABLE, |key| yes_or_no(key.permits(CKA_MODIFIABLE)))
            .given(Ways::CREATE)
            .kept()
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_DESTROYABLE, |key| {
            yes_or_no(!key.zone.slot_locked(key.slot()) && key.permits(CKA_DESTROYABLE))
        })
        .given(Ways::CREATE)
        .kept()
        .changes(Change::Freely)
        .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_COPYABLE, |_| yes_or_no(false))
            .given(Ways::CREATE)
            .changes(Change::InSessionTo(false))
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_OBJECT_VALIDATION_FLAGS, |_| no_validation()).in_session(Session::Number(0)),
        Row::<Self>::read(CKA_LABEL, |key| text(&key.secret.label))
            .given(Ways::CREATE)
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_ID, |key| Answer::Value(key.secret.id.clone()))
            .given(Ways::CREATE)
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_UNIQUE_ID, |key| text(&key.secret.unique_id)),
        Row::<Self>::read(CKA_START_DATE, |key| key.kept(CKA_START_DATE))
            .given(Ways::CREATE)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_END_DATE, |key| key.kept(CKA_END_DATE))
            .given(Ways::CREATE)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        // C_GenerateKey always generates a local key (PKCS#11 3.2 section 5.18.1), also if host and chip mix their
        // random bytes.
        Row::<Self>::read(CKA_LOCAL, |key| yes_or_no(key.secret.generated))
            .in_session(Session::Made(|new| Ok(bool_value(new.generated_by.is_some())))),
        Row::<Self>::read(CKA_ALWAYS_SENSITIVE, |key| yes_or_no(key.secret.generated))
            .in_session(Session::Made(|new| new.born_with(CKA_SENSITIVE, true, SENSITIVE))),
        Row::<Self>::read(CKA_NEVER_EXTRACTABLE, |key| yes_or_no(key.secret.generated))
            .in_session(Session::Made(|new| new.born_with(CKA_EXTRACTABLE, false, EXTRACTABLE))),
        Row::<Self>::read(CKA_KEY_GEN_MECHANISM, |key| number(key.key_gen_mechanism()))
            .in_session(Session::Made(|new| Ok(ulong_value(new.generated_by.unwrap_or(CK_UNAVAILABLE_INFORMATION))))),
        // Secrecy can be increased, not reduced (PKCS#11 3.0 section 4.10.1).
        Row::<Self>::read(CKA_SENSITIVE, |_| yes_or_no(true))
            .given(Ways::CREATE)
            .changes(Change::InSessionTo(true))
            .in_session(Session::Flag(SENSITIVE)),
        Row::<Self>::read(CKA_EXTRACTABLE, |_| yes_or_no(false))
            .given(Ways::CREATE)
            .changes(Change::InSessionTo(false))
            .in_session(Session::Flag(EXTRACTABLE)),
        Row::<Self>::read(CKA_WRAP_WITH_TRUSTED, |_| yes_or_no(false))
            .given(Ways::CREATE)
            .changes(Change::InSessionTo(true))
            .in_session(Session::Flag(false)),
        Row::<Self>::read(CKA_TRUSTED, |_| yes_or_no(false)).given(Ways::CREATE).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_ENCRYPT, |key| key.may(CKA_ENCRYPT))
            .given(Ways::CREATE)
            .changes(USE)
            .in_session(Session::Made(|new| new.usage(CKA_ENCRYPT))),
        Row::<Self>::read(CKA_DECRYPT, |key| key.may(CKA_DECRYPT))
            .given(Ways::CREATE)
            .changes(USE)
            .in_session(Session::Made(|new| new.usage(CKA_DECRYPT))),
        Row::<Self>::read(CKA_SIGN, |key| key.may(CKA_SIGN))
            .given(Ways::CREATE)
            .changes(USE)
            .in_session(Session::Made(|new| new.usage(CKA_SIGN))),
        Row::<Self>::read(CKA_VERIFY, |key| key.may(CKA_VERIFY))
            .given(Ways::CREATE)
            .changes(USE)
            .in_session(Session::Made(|new| new.usage(CKA_VERIFY))),
        Row::<Self>::read(CKA_WRAP, |key| key.may(CKA_WRAP))
            .given(Ways::CREATE)
            .changes(USE)
            .in_session(Session::Made(|new| new.usage(CKA_WRAP))),
        Row::<Self>::read(CKA_UNWRAP, |key| key.may(CKA_UNWRAP))
            .given(Ways::CREATE)
            .changes(USE)
            .in_session(Session::Made(|new| new.usage(CKA_UNWRAP))),
        Row::<Self>::read(CKA_DERIVE, |key| key.may(CKA_DERIVE))
            .given(Ways::CREATE)
            .changes(USE)
            .in_session(Session::Made(|new| new.usage(CKA_DERIVE))),
        Row::<Self>::read(CKA_WRAP_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_UNWRAP_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_DERIVE_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_ALLOWED_MECHANISMS, |key| mechanisms(&allowed_for_secret(key.secret.kind)))
            .given(Ways::CREATE)
            .in_session(Session::Made(|new| new.allowed_mechanisms())),
        Row::<Self>::read(CKA_VALUE, |_| Answer::Error(Error::AttributeSensitive(CKA_VALUE)))
            .given(Ways::CREATE)
            .in_session(Session::Made(|new| Ok(new.value.to_vec()))),
        Row::<Self>::read(CKA_VALUE_LEN, |key| number(key.secret.len.into()))
            .given(Ways::CREATE)
            .in_session(Session::Made(|new| Ok(ulong_value(new.value.len() as CK_ULONG)))),
        Row::<Self>::read(CKA_CHECK_VALUE, |key| {
            Answer::Value(match key.secret.kind {
                SecretKind::Aes => key.secret.check.to_vec(),
                // The standard's check value is a digest of the key's value.
                SecretKind::Generic => Vec::new(),
            })
        })
        .given(Ways::CREATE)
        .in_session(Session::Made(|new| Ok(new.check.clone()))),
        Row::<Self>::read(CKA_ATECC608_SLOT, |key| number(key.slot().number().into())).given(Ways::CREATE),
        Row::<Self>::read(CKA_ATECC608_IN_CHIP, |_| yes_or_no(true)).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_ATECC608_SLOT_CONFIG, |key| number(key.zone.slot_config(key.slot()).0.into())),
        Row::<Self>::read(CKA_ATECC608_KEY_CONFIG, |key| number(key.zone.key_config(key.slot()).0.into())),
        Row::<Self>::read(CKA_ATECC608_SLOT_LOCKED, |key| yes_or_no(key.zone.slot_locked(key.slot()))),
    ];
}
