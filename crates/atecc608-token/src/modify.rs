// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes objects, and copies them with changes: names of all, data of data objects, permissions, uses and secrecy of
//! session keys. The nature of a key in the chip can't be changed.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::class::{self, Certificate, Data, Half, PrivateKey, PublicKey, SecretKey};
use super::create::{check_value, checked_id, checked_text};
use super::error::{Error, Result};
use super::kept;
use super::names;
use super::object::{KeyRef, SessionObject};
use super::state::{StoredClass, StoredObject, StoredSecret};
use super::template::Template;
use super::turn::Turn;

/// Changes label or id of a key pair in the chip. Both halves share the id.
///
/// # Errors
/// [`Error::AttributeReadOnly`] for other attributes; [`Error::AttributeValueInvalid`] if another key has the label or
/// id.
pub(super) fn set_key_attributes(turn: &mut Turn<'_>, key: KeyRef, half: Half, template: &Template) -> Result<()> {
    let label = checked_text(template, CKA_LABEL)?;
    let id = template.bytes(CKA_ID).map(checked_id).transpose()?;
    turn.check_key(key)?;
    let slot = key.slot;
    if let (Some(label), Half::Private) = (&label, half) {
        names::refuse_second_label(turn, Some(slot), label)?;
    }
    if id.is_some() {
        names::refuse_second_id(turn, slot, id.as_deref())?;
    }
    let known = turn.known();
    let mut kept = known.state().slot(slot).map(|state| state.kept.clone()).unwrap_or_default();
    kept.check_modifiable()?;
    match half {
        Half::Private => class::change::<PrivateKey>(&mut kept, template)?,
        Half::Public => class::change::<PublicKey>(&mut kept, template)?,
    }
    // The public half keeps its label if the private one gets another.
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
/// [`Error::AttributeReadOnly`] for other attributes.
pub(super) fn set_stored_attributes(object: &mut StoredObject, template: &Template) -> Result<()> {
    object.kept.check_modifiable()?;
    match object.class {
        StoredClass::Certificate => class::change::<Certificate>(&mut object.kept, template)?,
        StoredClass::Data => class::change::<Data>(&mut object.kept, template)?,
        StoredClass::PublicKey => class::change::<PublicKey>(&mut object.kept, template)?,
    }
    for (attribute, value) in template.iter() {
        match attribute {
            CKA_LABEL => object.label = checked_text(template, CKA_LABEL)?.unwrap_or_default(),
            CKA_ID | CKA_OBJECT_ID => object.id = checked_id(value)?,
            CKA_APPLICATION => object.application = checked_text(template, CKA_APPLICATION)?.unwrap_or_default(),
            CKA_VALUE => {
                check_value(value)?;
                object.value = value.to_vec();
            }
            // Stored.
            _ => {}
        }
    }
    Ok(())
}

/// Changes label or id of a secret key in the chip.
///
/// # Errors
/// [`Error::AttributeReadOnly`] for other attributes.
pub(super) fn set_secret_attributes(secret: &mut StoredSecret, template: &Template) -> Result<()> {
    secret.kept.check_modifiable()?;
    class::change::<SecretKey>(&mut secret.kept, template)?;
    for (attribute, value) in template.iter() {
        match attribute {
            CKA_LABEL => secret.label = checked_text(template, CKA_LABEL)?.unwrap_or_default(),
            CKA_ID => secret.id = checked_id(value)?,
            // Stored.
            _ => {}
        }
    }
    Ok(())
}

/// Returns the template of a copy: the object's attributes, replaced by the caller's if they may be changed.
///
/// # Errors
/// [`Error::ActionProhibited`] if CKA_COPYABLE is false, [`Error::AttributeReadOnly`].
pub(super) fn copy_of(source: &SessionObject, template: &Template) -> Result<Template> {
    if source.attributes.boolean(CKA_COPYABLE)? != Some(true) {
        return Err(Error::ActionProhibited("CKA_COPYABLE of the object is false".into()));
    }
    let attributes = source.attributes.iter().filter(|(attribute, _)| class::is_copied(source, *attribute));
    let mut copy = Template::new(attributes.map(|(ty, value)| (ty, Zeroizing::new(value.to_vec()))).collect());
    for (attribute, value) in template.iter() {
        let goes_elsewhere = matches!(attribute, CKA_TOKEN | CKA_PRIVATE | CKA_MODIFIABLE);
        if !goes_elsewhere && !class::may_change_in_session(source, attribute, value) {
            return Err(Error::AttributeReadOnly(attribute));
        }
        copy.set(attribute, Zeroizing::new(value.to_vec()));
    }
    Ok(copy)
}

/// Changes names of a session object, and uses and secrecy of a secret key.
///
/// # Errors
/// [`Error::AttributeReadOnly`] for other attributes.
pub(super) fn set_session_attributes(object: &mut SessionObject, template: &Template) -> Result<()> {
    if object.attributes.boolean(CKA_MODIFIABLE)? == Some(false) {
        return Err(Error::ActionProhibited("CKA_MODIFIABLE of the object is false".into()));
    }
    if let Some((other, _)) =
        template.iter().find(|(attribute, value)| !class::may_change_in_session(object, *attribute, value))
    {
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
