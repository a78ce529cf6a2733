//! Changing objects, and copies of them with changes: names of all, data of data objects, permissions, uses and secrecy of
//! session keys. What a key in the chip is, nothing changes.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::create::{check_value, checked_id, checked_text, CERTIFICATE, DATA, PUBLIC_KEY, SHARED};
use super::error::{Error, Result};
use super::find::Half;
use super::kept::{self, KeptFor};
use super::keygen::refuse_second_label;
use super::object::{KeyRef, SessionObject};
use super::secret;
use super::state::{StoredClass, StoredObject, StoredSecret};
use super::template::Template;
use super::turn::Turn;

/// Changes label or id of a key pair in the chip. Both halves share the id.
///
/// # Errors
/// [`Error::AttributeReadOnly`] for anything else, [`Error::AttributeValueInvalid`] for a second equal label.
pub(super) fn set_key_attributes(turn: &mut Turn<'_>, key: KeyRef, half: Half, template: &Template) -> Result<()> {
    let label = checked_text(template, CKA_LABEL)?;
    let id = template.bytes(CKA_ID).map(checked_id).transpose()?;
    turn.check_key(key)?;
    let slot = key.slot;
    if let (Some(label), Half::Private) = (&label, half) {
        refuse_second_label(turn, slot, label)?;
    }
    let known = turn.known();
    let mut kept = known.state().slot(slot).map(|state| state.kept.clone()).unwrap_or_default();
    kept.check_modifiable()?;
    for (attribute, value) in template.iter() {
        let names_half = matches!(attribute, CKA_LABEL | CKA_ID);
        // Only the private half can be destroyed by itself.
        let elsewhere = attribute == CKA_DESTROYABLE && half == Half::Public;
        if elsewhere || !(names_half || kept.change(KeptFor::Key, attribute, value)?) {
            return Err(Error::AttributeReadOnly(attribute));
        }
    }
    // The public half keeps its label when the private one gets another.
    let public_label = known.pair(slot).map(|pair| pair.public_label().to_owned());
    turn.change_state(|state| {
        let slot_state = state.slot_mut(slot);
        if let Some(label) = label {
            match half {
                Half::Private => {
                    slot_state.public_label = public_label.filter(|public| *public != label);
                    slot_state.label = Some(label);
                }
                Half::Public => slot_state.public_label = Some(label),
            }
        }
        if id.is_some() {
            slot_state.id = id;
        }
        slot_state.kept = kept;
    })
}

/// Changes a certificate's or data object's names, or data.
///
/// # Errors
/// [`Error::AttributeReadOnly`] for anything else.
pub(super) fn set_stored_attributes(object: &mut StoredObject, template: &Template) -> Result<()> {
    object.kept.check_modifiable()?;
    let kind = if object.class == StoredClass::Certificate { KeptFor::Certificate } else { KeptFor::Data };
    for (attribute, value) in template.iter() {
        match (attribute, object.class) {
            (CKA_LABEL, _) => object.label = checked_text(template, CKA_LABEL)?.unwrap_or_default(),
            (CKA_ID, StoredClass::Certificate) | (CKA_OBJECT_ID, StoredClass::Data) => object.id = checked_id(value)?,
            (CKA_APPLICATION, StoredClass::Data) => {
                object.application = checked_text(template, CKA_APPLICATION)?.unwrap_or_default();
            }
            (CKA_VALUE, StoredClass::Data) => {
                check_value(value)?;
                object.value = value.to_vec();
            }
            _ if object.kept.change(kind, attribute, value)? => {}
            _ => return Err(Error::AttributeReadOnly(attribute)),
        }
    }
    Ok(())
}

/// Changes label or id of a secret key in the chip.
///
/// # Errors
/// [`Error::AttributeReadOnly`] for anything else.
pub(super) fn set_secret_attributes(secret: &mut StoredSecret, template: &Template) -> Result<()> {
    secret.kept.check_modifiable()?;
    for (attribute, value) in template.iter() {
        match attribute {
            CKA_LABEL => secret.label = checked_text(template, CKA_LABEL)?.unwrap_or_default(),
            CKA_ID => secret.id = checked_id(value)?,
            // The standard gives secret keys no subject.
            _ if attribute != CKA_SUBJECT && secret.kept.change(KeptFor::Key, attribute, value)? => {}
            _ => return Err(Error::AttributeReadOnly(attribute)),
        }
    }
    Ok(())
}

/// The template of a copy: the object's own attributes, and in their place what the caller gives, as far as that may be
/// changed at all.
///
/// # Errors
/// [`Error::ActionProhibited`] if CKA_COPYABLE is false, [`Error::AttributeReadOnly`].
pub(super) fn copy_of(source: &SessionObject, template: &Template) -> Result<Template> {
    if source.attributes.boolean(CKA_COPYABLE)? != Some(true) {
        return Err(Error::ActionProhibited("CKA_COPYABLE of the object is false".to_owned()));
    }
    let own = |(attribute, _): &(CK_ATTRIBUTE_TYPE, &[u8])| match source.attributes.ulong(CKA_CLASS) {
        Ok(Some(CKO_SECRET_KEY)) => secret::session::ATTRIBUTES.contains(attribute),
        Ok(Some(CKO_PUBLIC_KEY)) => PUBLIC_KEY.contains(attribute),
        Ok(Some(CKO_CERTIFICATE)) => SHARED.contains(attribute) || CERTIFICATE.contains(attribute),
        _ => SHARED.contains(attribute) || DATA.contains(attribute),
    };
    let attributes = source.attributes.iter().filter(own);
    let mut copy = Template::new(attributes.map(|(ty, value)| (ty, Zeroizing::new(value.to_vec()))).collect());
    for (attribute, value) in template.iter() {
        let goes_elsewhere = matches!(attribute, CKA_TOKEN | CKA_PRIVATE | CKA_MODIFIABLE);
        if !goes_elsewhere && !may_set(source, attribute, value) {
            return Err(Error::AttributeReadOnly(attribute));
        }
        copy.set(attribute, Zeroizing::new(value.to_vec()));
    }
    Ok(copy)
}

/// Whether a session object's attribute may get this value: names, data, and uses and secrecy of a secret key.
fn may_set(object: &SessionObject, attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> bool {
    if object.attributes.bytes(attribute).is_none() {
        return false;
    }
    match (attribute, object.attributes.ulong(CKA_CLASS)) {
        (CKA_LABEL | CKA_ID | CKA_DESTROYABLE, _) => true,
        (CKA_SUBJECT | CKA_START_DATE | CKA_END_DATE, Ok(Some(CKO_PUBLIC_KEY))) => true,
        (CKA_COPYABLE, _) => value == [CK_FALSE] || object.attributes.bytes(attribute) == Some(value),
        (CKA_APPLICATION | CKA_OBJECT_ID | CKA_VALUE, Ok(Some(CKO_DATA))) => true,
        (_, Ok(Some(CKO_SECRET_KEY))) => secret::session::may_set(object, attribute, value),
        _ => false,
    }
}

/// Changes names of a session object, and uses and secrecy of a secret key.
///
/// # Errors
/// [`Error::AttributeReadOnly`] for anything else.
pub(super) fn set_session_attributes(object: &mut SessionObject, template: &Template) -> Result<()> {
    if object.attributes.boolean(CKA_MODIFIABLE)? == Some(false) {
        return Err(Error::ActionProhibited("CKA_MODIFIABLE of the object is false".to_owned()));
    }
    if let Some((other, _)) = template.iter().find(|(attribute, value)| !may_set(object, *attribute, value)) {
        return Err(Error::AttributeReadOnly(other));
    }
    checked_text(template, CKA_LABEL)?;
    for (attribute, value) in template.iter() {
        kept::check(attribute, value)?;
    }
    for (attribute, value) in template.iter() {
        object.attributes.set(attribute, Zeroizing::new(value.to_vec()));
    }
    Ok(())
}
