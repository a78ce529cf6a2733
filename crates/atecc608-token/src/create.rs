// SPDX-License-Identifier: MIT OR Apache-2.0
//! Creates objects that are not generated in the chip: certificates and data in the state folder, public keys and
//! others in the session.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::certificate;
use super::class::{self, Certificate, Data, Ways};
use super::error::{Error, Result};
use super::import::ImportRequest;
use super::object::SessionObject;
use super::point::Point;
use super::secret::session::SecretRequest;
use super::secret::stored::NewSecret;
use super::snapshot::Known;
use super::state::{StoredClass, StoredObject};
use super::template::{bool_value, Template};
use super::turn::Turn;
use super::{learn, public_key, secret, session_pair, SessionRef};
use atecc608::presence::Held;
use atecc608_wire::Slot;

/// Largest CKA_VALUE of a certificate or data object, in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// Longest label or application, in bytes.
const MAX_TEXT: usize = 255;
/// Longest id, in bytes.
const MAX_ID: usize = 255;

/// The object that C_CreateObject creates.
pub(super) enum NewObject {
    /// A certificate or data object.
    Stored(NewStored),
    /// A stand-alone public key, for the token.
    PublicKey(public_key::NewTokenKey),
    /// A session object other than a private key.
    Session(SessionObject),
    /// A private key of the session.
    SessionPrivate(SessionObject),
    /// A secret key for the chip.
    Secret(NewSecret),
    /// A private key for the chip.
    Private(ImportRequest),
}

/// A new certificate or data object.
pub(super) struct NewStored {
    object: StoredObject,
    /// CKA_TOKEN.
    pub(super) on_token: bool,
    /// CKA_PRIVATE of a session object.
    private: bool,
    /// The key that a certificate certifies, if unset names are taken from its key pair.
    certified: Option<Certified>,
}

/// The key that a certificate certifies, and which names are taken from its key pair.
#[derive(Clone, Copy)]
struct Certified {
    point: Point,
    id: bool,
    label: bool,
}

/// Parses a template for C_CreateObject.
///
/// # Errors
/// [`Error::TemplateIncomplete`], [`Error::TemplateInconsistent`] and other errors of the template's attributes;
/// [`Error::SessionReadOnly`] for a token object in a read-only session.
pub(super) fn from_template(session: SessionRef, template: &Template) -> Result<NewObject> {
    let class = template
        .ulong(CKA_CLASS)?
        .ok_or_else(|| Error::TemplateIncomplete("CKA_CLASS is missing from the template".into()))?;
    let on_token = template.boolean(CKA_TOKEN)?.unwrap_or(false);
    if on_token && !session.read_write {
        return Err(Error::SessionReadOnly);
    }
    match class {
        CKO_CERTIFICATE | CKO_DATA => stored_object(class, on_token, template).map(NewObject::Stored),
        CKO_PUBLIC_KEY if !on_token => public_key::for_session(session, template).map(NewObject::Session),
        CKO_PUBLIC_KEY => public_key::for_token(template).map(NewObject::PublicKey),
        CKO_PRIVATE_KEY if !on_token => session_pair::brought(session, template).map(NewObject::SessionPrivate),
        CKO_PRIVATE_KEY => ImportRequest::new(session, template).map(NewObject::Private),
        CKO_SECRET_KEY => {
            let request = SecretRequest::new(session, template)?;
            let missing = || Error::TemplateIncomplete("CKA_KEY_TYPE is missing from the template".into());
            let key_type = request.key_type.ok_or_else(missing)?;
            let value = request.value()?;
            Ok(if on_token {
                NewObject::Secret(request.for_chip(key_type, value)?)
            } else {
                NewObject::Session(request.for_session(session, key_type, value)?)
            })
        }
        other => {
            Err(Error::AttributeValueInvalid(format!("CKA_CLASS: objects of class {other:#x} can't be created").into()))
        }
    }
}

fn stored_object(class: CK_OBJECT_CLASS, on_token: bool, template: &Template) -> Result<NewStored> {
    let kept = match class {
        CKO_CERTIFICATE => {
            class::check_template::<Certificate>(Ways::CREATE, template)?;
            class::kept::<Certificate>
        }
        _ => {
            class::check_template::<Data>(Ways::CREATE, template)?;
            class::kept::<Data>
        }
    };
    if template.boolean(CKA_TRUSTED)? == Some(true) {
        // Only a security officer could set it.
        return Err(Error::AttributeReadOnly(CKA_TRUSTED));
    }
    let mut kept = kept(&[template])?;
    let private = template.boolean(CKA_PRIVATE)?.unwrap_or(false);
    if on_token && private {
        return Err(Error::TemplateInconsistent(
            "CKA_PRIVATE=true: certificates and data are stored in clear in the state folder and must be public \
             objects"
                .into(),
        ));
    }
    let value = template.bytes(CKA_VALUE).unwrap_or_default();
    check_value(value)?;
    let label = checked_text(template, CKA_LABEL)?;
    let application = checked_text(template, CKA_APPLICATION)?.unwrap_or_default();
    let (class, id, certified) = if class == CKO_DATA {
        (StoredClass::Data, template.bytes(CKA_OBJECT_ID).unwrap_or_default().to_vec(), None)
    } else {
        if template.ulong(CKA_CERTIFICATE_TYPE)?.is_some_and(|given| given != CKC_X_509) {
            return Err(Error::AttributeValueInvalid("CKA_CERTIFICATE_TYPE: only CKC_X_509 is supported".into()));
        }
        if value.is_empty() {
            return Err(Error::TemplateIncomplete("CKA_VALUE: the certificate in DER is missing".into()));
        }
        let fields = certificate::parse(value)?;
        secret::session::given_check_value(template, &class::certificate_check_value(value))?;
        // Dates equal to the certificate's need no space: slot 8 has none for kept attributes.
        for (attribute, own) in [(CKA_START_DATE, &fields.start_date), (CKA_END_DATE, &fields.end_date)] {
            if kept.get(attribute) == Some(own) {
                kept.set(attribute, &[])?;
            }
        }
        let id = template.bytes(CKA_ID).filter(|id| !id.is_empty()).map(checked_id).transpose()?;
        let (no_id, no_label) = (id.is_none(), label.is_none());
        let certified = fields.point.map(|point| Certified { point, id: no_id, label: no_label });
        (StoredClass::Certificate, id.unwrap_or_default(), certified.filter(|_| no_id || no_label))
    };
    let label = label.unwrap_or_default();
    let value = value.to_vec();
    let object = StoredObject { unique_id: unique_id()?, class, label, id, application, kept, value };
    Ok(NewStored { object, on_token, private, certified })
}

impl NewStored {
    /// Returns the object with the names of its key pair in the chip, if there is one; `None` while that is unknown.
    pub(super) fn named(&self, known: &Known) -> Option<StoredObject> {
        let mut object = self.object.clone();
        if let Some(certified) = self.certified {
            match pair_of(known, certified.point) {
                Some((id, label)) => {
                    object.id = if certified.id { id } else { object.id };
                    object.label = if certified.label { label } else { object.label };
                }
                None if has_unknown_points(known) => return None,
                None => {}
            }
        }
        Some(object)
    }

    /// Returns the object with the names in its template.
    pub(super) fn unnamed(&self) -> StoredObject {
        self.object.clone()
    }

    /// Returns the object with the names of its key pair in the chip, if there is one. Reads unknown public keys from
    /// the chip.
    pub(super) fn learn_names(&self, turn: &mut Turn<'_>) -> StoredObject {
        self.named(&turn.known()).unwrap_or_else(|| {
            if let Err(error) = learn_points(turn) {
                log::debug!("cannot find the key of a certificate: {error}");
            }
            self.named(&turn.known()).unwrap_or_else(|| self.unnamed())
        })
    }

    /// Returns it as a session object.
    pub(super) fn for_session(&self, session: SessionRef, object: &StoredObject) -> SessionObject {
        as_session_object(session, object, self.private)
    }
}

/// Whether the chip may hold keys with unknown public keys.
fn has_unknown_points(known: &Known) -> bool {
    let keys = known.identity.keys.iter().filter(|key| key.public && known.known_point(key.slot).is_none());
    keys.map(|key| key.slot).any(|slot| known.known_presence(slot) != Some(Held::Nothing))
}

/// Reads all unknown public keys from the chip.
pub(super) fn learn_points(turn: &mut Turn<'_>) -> Result<()> {
    let known = turn.known();
    let slots = known.identity.keys.iter().filter(|key| key.public).map(|key| key.slot);
    let unknown: Vec<Slot> = slots.filter(|slot| known.known_point(*slot).is_none()).collect();
    learn::presence(turn, &unknown)?;
    for slot in unknown {
        if turn.known().known_presence(slot) == Some(Held::Key) {
            learn::point_if_told(turn, slot)?;
        }
    }
    Ok(())
}

/// Returns id and label of the key pair with this public key, among the known points.
fn pair_of(known: &Known, point: Point) -> Option<(Vec<u8>, String)> {
    let key = known.identity.keys.iter().find(|key| known.known_point(key.slot) == Some(point))?;
    let pair = known.pair(key.slot)?;
    let id = pair.given_id().map(<[u8]>::to_vec).unwrap_or_else(|| point.key_id().to_vec());
    Some((id, pair.label().to_owned()))
}

/// A certificate or data object that exists in the session only.
pub(super) fn as_session_object(session: SessionRef, object: &StoredObject, private: bool) -> SessionObject {
    let mut attributes = match object.class {
        StoredClass::Certificate => class::values::<Certificate>(object),
        StoredClass::Data => class::values::<Data>(object),
        // An invalid one is not shown.
        StoredClass::PublicKey => public_key::attributes(object).unwrap_or_default(),
    };
    // As a session object it gets another CKA_UNIQUE_ID.
    attributes.set(CKA_TOKEN, Zeroizing::new(bool_value(false)));
    attributes.set(CKA_PRIVATE, Zeroizing::new(bool_value(private)));
    SessionObject { session: session.id, attributes }
}

/// Checks CKA_KEY_TYPE of a public or private key: before the other attributes, which differ for keys of other types.
///
/// # Errors
/// [`Error::AttributeValueInvalid`], [`Error::TemplateIncomplete`].
pub(super) fn check_key_type(template: &Template) -> Result<()> {
    match template.ulong(CKA_KEY_TYPE)? {
        Some(CKK_EC) => Ok(()),
        Some(other) => {
            let name = if other == CKK_RSA { "CKK_RSA".to_owned() } else { format!("{other:#x}") };
            Err(Error::AttributeValueInvalid(
                format!("CKA_KEY_TYPE is {name}: only P-256 keys (CKK_EC) are supported").into(),
            ))
        }
        None => Err(Error::TemplateIncomplete("CKA_KEY_TYPE is missing from the template".into())),
    }
}

pub(super) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > MAX_VALUE {
        return Err(Error::DeviceMemory(
            format!("CKA_VALUE has {} bytes: at most {MAX_VALUE} are supported", value.len()).into(),
        ));
    }
    Ok(())
}

pub(super) fn checked_text(template: &Template, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<String>> {
    match template.text(attribute)? {
        Some(text) if text.len() > MAX_TEXT => {
            Err(Error::AttributeValueInvalid(format!("attribute {attribute:#x} has more than {MAX_TEXT} bytes").into()))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

pub(super) fn checked_id(id: &[u8]) -> Result<Vec<u8>> {
    if id.len() > MAX_ID {
        return Err(Error::AttributeValueInvalid(format!("CKA_ID has more than {MAX_ID} bytes").into()));
    }
    Ok(id.to_vec())
}

pub(super) fn unique_id() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::DeviceError(format!("cannot get random bytes from the system: {error}").into()))?;
    Ok(base16ct::lower::encode_string(&bytes))
}
