// SPDX-License-Identifier: MIT OR Apache-2.0
//! Private keys in slots and their public keys (PKCS#11 3.0 sections 4.8, 4.9, 2.3.3 and 2.3.4); public keys in sessions.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{empty, mechanisms, no_validation, number, read, text, yes_or_no, Answer, Class, New, Row};
use super::{Change, Session, Ways};
use crate::attribute::{
    CKA_ATECC608_IN_CHIP, CKA_ATECC608_KEY_CONFIG, CKA_ATECC608_SLOT, CKA_ATECC608_SLOT_CONFIG,
    CKA_ATECC608_SLOT_LOCKED,
};
use crate::error::{Error, Result};
use crate::layout::KeySlot;
use crate::mechanism::{allowed, ECDSA};
use crate::object::{KeyRef, ObjectKey};
use crate::point::{Point, P256_PARAMS};
use crate::session_pair::allowed_mechanisms;
use crate::snapshot::Known;
use crate::state::SlotState;
use crate::template::{bool_value, mechanisms_value, ulong_value, Template};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::{ConfigZone, Slot};

/// One half of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Private,
    Public,
}

impl Half {
    /// The object in this slot.
    pub(crate) fn key(self, slot: Slot, epoch: u32) -> ObjectKey {
        match self {
            Half::Private => ObjectKey::PrivateKey(KeyRef { slot, epoch }),
            Half::Public => ObjectKey::PublicKey(KeyRef { slot, epoch }),
        }
    }

    /// Returns the value of an attribute.
    pub(crate) fn attribute(self, pair: &KeyPair<'_>, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        match self {
            Half::Private => read::<PrivateKey>(pair, attribute),
            Half::Public => read::<PublicKey>(pair, attribute),
        }
    }
}

/// A key pair in a slot, as the input of its attributes.
pub(crate) struct KeyPair<'a> {
    /// The slot's abilities and default names.
    pub(crate) key: &'a KeySlot,
    /// The slot's entry in the state.
    pub(crate) state: Option<&'a SlotState>,
    /// What is known of the chip.
    pub(crate) known: &'a Known,
}

impl KeyPair<'_> {
    /// CKA_LABEL of the private key.
    pub(crate) fn label(&self) -> &str {
        self.state.and_then(|state| state.label.as_deref()).unwrap_or(&self.key.default_label)
    }

    /// CKA_LABEL of the public key.
    pub(crate) fn public_label(&self) -> &str {
        self.state.and_then(|state| state.public_label.as_deref()).unwrap_or_else(|| self.label())
    }

    /// The stored or configured CKA_ID.
    pub(crate) fn given_id(&self) -> Option<&[u8]> {
        self.state.and_then(|state| state.id.as_deref()).or(self.key.configured_id.as_deref())
    }

    /// Its public key, if known. Computed only if needed: each time, a point of the state is checked to be on the curve.
    pub(crate) fn point(&self) -> Option<Point> {
        self.known.known_point(self.key.slot)
    }

    fn zone(&self) -> &ConfigZone {
        self.known.zone()
    }

    fn serial(&self) -> SerialNumber {
        self.zone().serial_number()
    }

    fn unique_id(&self, half: &str) -> Answer {
        text(&format!("{}-{}-{half}", self.serial(), self.key.slot))
    }

    /// Whether the client left this permission.
    fn permits(&self, permission: CK_ATTRIBUTE_TYPE) -> bool {
        !self.state.is_some_and(|state| state.kept.denies(permission))
    }

    fn is_destroyable(&self) -> bool {
        self.key.generate && self.permits(CKA_DESTROYABLE)
    }

    /// Returns a value that the client gave, or none.
    fn kept(&self, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        let kept = self.state.and_then(|state| state.kept.get(attribute));
        Answer::Value(kept.unwrap_or_default().to_vec())
    }

    fn id(&self) -> Answer {
        if let Some(id) = self.given_id() {
            return Answer::Value(id.to_vec());
        }
        match self.point() {
            Some(point) => Answer::Value(point.key_id().to_vec()),
            None if self.key.public => Answer::NeedsPoint,
            None => text(&format!("{}-{}", self.serial(), self.key.slot)),
        }
    }

    fn of_point(&self, attribute: CK_ATTRIBUTE_TYPE, value: impl FnOnce(Point) -> Vec<u8>) -> Answer {
        match self.point() {
            Some(point) => Answer::Value(value(point)),
            None if self.key.public => Answer::NeedsPoint,
            None => Answer::Error(Error::AttributeTypeInvalid(attribute)),
        }
    }

    /// Whether the key can only have been generated in the chip, as far as is known: a key imported before the data
    /// lock is marked only in the state.
    fn born_here(&self) -> bool {
        !self.key.import && !self.state.is_some_and(SlotState::may_be_imported)
    }

    fn key_gen_mechanism(&self) -> CK_MECHANISM_TYPE {
        if self.born_here() {
            CKM_EC_KEY_PAIR_GEN
        } else {
            CK_UNAVAILABLE_INFORMATION
        }
    }
}

/// CKO_PRIVATE_KEY: of a key pair in a slot, or of a session.
pub(crate) enum PrivateKey {}

/// A private key for a session.
pub(crate) struct NewSessionPrivate<'t> {
    /// The template of the new key.
    pub(crate) template: &'t Template,
    /// Its public key.
    pub(crate) point: Point,
    /// The key, 32 bytes, big-endian.
    pub(crate) value: Zeroizing<Vec<u8>>,
    /// Whether C_GenerateKeyPair generated it, rather than a caller importing it.
    pub(crate) generated: bool,
}

impl New for NewSessionPrivate<'_> {
    fn template(&self) -> &Template {
        self.template
    }
}

impl NewSessionPrivate<'_> {
    fn always_sensitive(&self) -> Result<Vec<u8>> {
        Ok(bool_value(self.generated && self.template.boolean(CKA_SENSITIVE)? != Some(false)))
    }

    fn never_extractable(&self) -> Result<Vec<u8>> {
        Ok(bool_value(self.generated && self.template.boolean(CKA_EXTRACTABLE)? != Some(true)))
    }

    fn key_gen_mechanism(&self) -> CK_MECHANISM_TYPE {
        if self.generated {
            CKM_EC_KEY_PAIR_GEN
        } else {
            CK_UNAVAILABLE_INFORMATION
        }
    }
}

impl Class for PrivateKey {
    type Object<'a> = KeyPair<'a>;
    type New<'a> = NewSessionPrivate<'a>;

    // A template does not decide the uses of a key: usage flags are accepted, and the actual uses are returned.
    const ROWS: &'static [Row<Self>] = &[
        Row::<Self>::read(CKA_CLASS, |_| number(CKO_PRIVATE_KEY))
            .given(Ways::ALL)
            .in_session(Session::Number(CKO_PRIVATE_KEY)),
        Row::<Self>::read(CKA_KEY_TYPE, |_| number(CKK_EC)).given(Ways::ALL).in_session(Session::Number(CKK_EC)),
        Row::<Self>::read(CKA_TOKEN, |_| yes_or_no(true)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_PRIVATE, |_| yes_or_no(true)).given(Ways::ALL).in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_MODIFIABLE, |pair| yes_or_no(pair.permits(CKA_MODIFIABLE)))
            .given(Ways::ALL)
            .kept()
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_DESTROYABLE, |pair| yes_or_no(pair.is_destroyable()))
            .given(Ways::ALL)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_COPYABLE, |_| yes_or_no(false))
            .given(Ways::ALL)
            .changes(Change::InSessionTo(false))
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_OBJECT_VALIDATION_FLAGS, |_| no_validation()).in_session(Session::Number(0)),
        Row::<Self>::read(CKA_LABEL, |pair| text(pair.label()))
            .given(Ways::ALL)
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_ID, |pair| pair.id()).given(Ways::ALL).changes(Change::Freely).in_session(Session::Bytes),
        Row::<Self>::read(CKA_UNIQUE_ID, |pair| pair.unique_id("private")),
        Row::<Self>::read(CKA_SUBJECT, |pair| pair.kept(CKA_SUBJECT))
            .given(Ways::ALL)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_START_DATE, |pair| pair.kept(CKA_START_DATE))
            .given(Ways::ALL)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_END_DATE, |pair| pair.kept(CKA_END_DATE))
            .given(Ways::ALL)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_LOCAL, |pair| yes_or_no(pair.born_here()))
            .in_session(Session::Made(|new| Ok(bool_value(new.generated)))),
        Row::<Self>::read(CKA_KEY_GEN_MECHANISM, |pair| number(pair.key_gen_mechanism()))
            .in_session(Session::Made(|new| Ok(ulong_value(new.key_gen_mechanism())))),
        Row::<Self>::read(CKA_SENSITIVE, |_| yes_or_no(true))
            .given(Ways::ALL)
            .changes(Change::InSessionTo(true))
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_ALWAYS_SENSITIVE, |pair| yes_or_no(pair.born_here()))
            .in_session(Session::Made(|new| new.always_sensitive())),
        Row::<Self>::read(CKA_EXTRACTABLE, |_| yes_or_no(false))
            .given(Ways::ALL)
            .changes(Change::InSessionTo(false))
            .in_session(Session::Flag(false)),
        Row::<Self>::read(CKA_NEVER_EXTRACTABLE, |pair| yes_or_no(pair.born_here()))
            .in_session(Session::Made(|new| new.never_extractable())),
        Row::<Self>::read(CKA_ALWAYS_AUTHENTICATE, |_| yes_or_no(false))
            .given(Ways::ALL)
            .in_session(Session::Is(false)),
        Row::<Self>::read(CKA_WRAP_WITH_TRUSTED, |_| yes_or_no(false))
            .given(Ways::ALL)
            .changes(Change::InSessionTo(true))
            .in_session(Session::Flag(false)),
        Row::<Self>::read(CKA_ALLOWED_MECHANISMS, |pair| mechanisms(&allowed(pair.key.sign, pair.key.derive)))
            .given(Ways::ALL)
            .in_session(Session::Made(|new| Ok(mechanisms_value(&allowed_mechanisms(new.template)?)))),
        Row::<Self>::read(CKA_SIGN, |pair| yes_or_no(pair.key.sign))
            .given(Ways::ALL)
            .changes(Change::InSessionTo(false))
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_SIGN_RECOVER, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_DERIVE, |pair| yes_or_no(pair.key.derive))
            .given(Ways::ALL)
            .changes(Change::InSessionTo(false))
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_DECRYPT, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_UNWRAP, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_DECAPSULATE, |_| yes_or_no(false)).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_UNWRAP_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_DERIVE_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_DECAPSULATE_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_EC_PARAMS, |_| Answer::Value(P256_PARAMS.to_vec()))
            .given(Ways::ALL)
            .in_session(Session::Made(|_| Ok(P256_PARAMS.to_vec()))),
        Row::<Self>::read(CKA_PUBLIC_KEY_INFO, |pair| {
            pair.of_point(CKA_PUBLIC_KEY_INFO, |point| point.public_key_info())
        })
        .given(Ways::CREATE)
        .in_session(Session::Made(|new| Ok(new.point.public_key_info()))),
        Row::<Self>::read(CKA_VALUE, |_| Answer::Error(Error::AttributeSensitive(CKA_VALUE)))
            .given(Ways::CREATE)
            .in_session(Session::Made(|new| Ok(new.value.to_vec()))),
        // The standard defines it for public keys only; libp11, pkcs11-provider and programs for the vendor's module
        // first read it from the private key.
        Row::<Self>::read(CKA_EC_POINT, |pair| pair.of_point(CKA_EC_POINT, |point| point.ec_point()))
            .given(Ways::CREATE)
            .in_session(Session::Made(|new| Ok(new.point.ec_point()))),
        Row::<Self>::read(CKA_ATECC608_SLOT, |pair| number(pair.key.slot.number().into())).given(Ways::ALL),
        Row::<Self>::read(CKA_ATECC608_IN_CHIP, |_| yes_or_no(true)).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_ATECC608_SLOT_CONFIG, |pair| number(pair.zone().slot_config(pair.key.slot).0.into())),
        Row::<Self>::read(CKA_ATECC608_KEY_CONFIG, |pair| number(pair.zone().key_config(pair.key.slot).0.into())),
        Row::<Self>::read(CKA_ATECC608_SLOT_LOCKED, |pair| yes_or_no(pair.zone().slot_locked(pair.key.slot))),
        // Attributes of the public half.
        Row::<Self>::unread(CKA_ENCRYPT).given(Ways::ALL),
        Row::<Self>::unread(CKA_WRAP).given(Ways::ALL),
        Row::<Self>::unread(CKA_VERIFY).given(Ways::ALL),
        Row::<Self>::unread(CKA_VERIFY_RECOVER).given(Ways::ALL),
        Row::<Self>::unread(CKA_TRUSTED).given(Ways::ALL),
    ];
}

/// CKO_PUBLIC_KEY: of a key pair in a slot, or for verification in a session.
pub(crate) enum PublicKey {}

/// A public key for a session.
pub(crate) struct NewPublicKey<'t> {
    /// The template of the new key.
    pub(crate) template: &'t Template,
    /// The key.
    pub(crate) point: Point,
}

impl New for NewPublicKey<'_> {
    fn template(&self) -> &Template {
        self.template
    }
}

impl NewPublicKey<'_> {
    fn allowed_mechanisms(&self) -> Result<Vec<u8>> {
        let given = self.template.mechanisms(CKA_ALLOWED_MECHANISMS)?;
        Ok(mechanisms_value(&given.unwrap_or_else(|| ECDSA.to_vec())))
    }
}

impl Class for PublicKey {
    type Object<'a> = KeyPair<'a>;
    type New<'a> = NewPublicKey<'a>;

    const ROWS: &'static [Row<Self>] = &[
        Row::<Self>::read(CKA_CLASS, |_| number(CKO_PUBLIC_KEY))
            .given(Ways::ALL)
            .in_session(Session::Number(CKO_PUBLIC_KEY)),
        Row::<Self>::read(CKA_KEY_TYPE, |_| number(CKK_EC)).given(Ways::ALL).in_session(Session::Number(CKK_EC)),
        Row::<Self>::read(CKA_TOKEN, |_| yes_or_no(true)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_PRIVATE, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Flag(false)),
        Row::<Self>::read(CKA_MODIFIABLE, |pair| yes_or_no(pair.permits(CKA_MODIFIABLE)))
            .given(Ways::ALL)
            .kept()
            .in_session(Session::Flag(true)),
        // As for the private half: destroying the public half hides it, destroying the private half ends it.
        Row::<Self>::read(CKA_DESTROYABLE, |pair| yes_or_no(pair.is_destroyable()))
            .given(Ways::ALL)
            .kept()
            .changes(Change::InSession)
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_COPYABLE, |_| yes_or_no(false))
            .given(Ways::ALL)
            .changes(Change::InSessionTo(false))
            .in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_OBJECT_VALIDATION_FLAGS, |_| no_validation()).in_session(Session::Number(0)),
        Row::<Self>::read(CKA_LABEL, |pair| text(pair.public_label()))
            .given(Ways::ALL)
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_ID, |pair| pair.id()).given(Ways::ALL).changes(Change::Freely).in_session(Session::Bytes),
        Row::<Self>::read(CKA_UNIQUE_ID, |pair| pair.unique_id("public")),
        Row::<Self>::read(CKA_SUBJECT, |pair| pair.kept(CKA_SUBJECT))
            .given(Ways::ALL)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_START_DATE, |pair| pair.kept(CKA_START_DATE))
            .given(Ways::ALL)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_END_DATE, |pair| pair.kept(CKA_END_DATE))
            .given(Ways::ALL)
            .kept()
            .changes(Change::Freely)
            .in_session(Session::Bytes),
        Row::<Self>::read(CKA_LOCAL, |pair| yes_or_no(pair.born_here())).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_KEY_GEN_MECHANISM, |pair| number(pair.key_gen_mechanism()))
            .in_session(Session::Number(CK_UNAVAILABLE_INFORMATION)),
        Row::<Self>::read(CKA_TRUSTED, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_ALLOWED_MECHANISMS, |pair| mechanisms(&allowed(pair.key.sign, false)))
            .given(Ways::ALL)
            .in_session(Session::Made(|new| new.allowed_mechanisms())),
        Row::<Self>::read(CKA_VERIFY, |pair| yes_or_no(pair.key.sign)).given(Ways::ALL).in_session(Session::Flag(true)),
        Row::<Self>::read(CKA_VERIFY_RECOVER, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_ENCRYPT, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_WRAP, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        // Derivation uses the private key.
        Row::<Self>::read(CKA_DERIVE, |_| yes_or_no(false)).given(Ways::ALL).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_ENCAPSULATE, |_| yes_or_no(false)).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_WRAP_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_ENCAPSULATE_TEMPLATE, |_| empty()).in_session(Session::Empty),
        Row::<Self>::read(CKA_EC_PARAMS, |_| Answer::Value(P256_PARAMS.to_vec()))
            .given(Ways::ALL)
            .in_session(Session::Made(|_| Ok(P256_PARAMS.to_vec()))),
        Row::<Self>::read(CKA_EC_POINT, |pair| pair.of_point(CKA_EC_POINT, |point| point.ec_point()))
            .given(Ways::CREATE)
            .in_session(Session::Made(|new| Ok(new.point.ec_point()))),
        Row::<Self>::read(CKA_PUBLIC_KEY_INFO, |pair| {
            pair.of_point(CKA_PUBLIC_KEY_INFO, |point| point.public_key_info())
        })
        .given(Ways::CREATE)
        .in_session(Session::Made(|new| Ok(new.point.public_key_info()))),
        Row::<Self>::read(CKA_ATECC608_SLOT, |pair| number(pair.key.slot.number().into())).given(Ways::GENERATE_PAIR),
        Row::<Self>::read(CKA_ATECC608_IN_CHIP, |_| yes_or_no(true)).in_session(Session::Is(false)),
        Row::<Self>::read(CKA_ATECC608_SLOT_CONFIG, |pair| number(pair.zone().slot_config(pair.key.slot).0.into())),
        Row::<Self>::read(CKA_ATECC608_KEY_CONFIG, |pair| number(pair.zone().key_config(pair.key.slot).0.into())),
        Row::<Self>::read(CKA_ATECC608_SLOT_LOCKED, |pair| yes_or_no(pair.zone().slot_locked(pair.key.slot))),
        // Attributes of the private half.
        Row::<Self>::unread(CKA_SENSITIVE).given(Ways::GENERATE_PAIR),
        Row::<Self>::unread(CKA_EXTRACTABLE).given(Ways::GENERATE_PAIR),
        Row::<Self>::unread(CKA_ALWAYS_AUTHENTICATE).given(Ways::GENERATE_PAIR),
        Row::<Self>::unread(CKA_WRAP_WITH_TRUSTED).given(Ways::GENERATE_PAIR),
        Row::<Self>::unread(CKA_SIGN).given(Ways::GENERATE_PAIR),
        Row::<Self>::unread(CKA_SIGN_RECOVER).given(Ways::GENERATE_PAIR),
        Row::<Self>::unread(CKA_DECRYPT).given(Ways::GENERATE_PAIR),
        Row::<Self>::unread(CKA_UNWRAP).given(Ways::GENERATE_PAIR),
    ];
}
