// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stand-alone public keys: a session's, for verification of a peer, and others' on the token, such as an authority's.
//! The latter are in the state folder, so any member of its group may have written them.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::class::{self, Half, NewPublicKey, PublicKey, Ways};
use super::create::{check_key_type, checked_id, checked_text, learn_points, unique_id};
use super::error::{Error, Result};
use super::mechanism::ECDSA;
use super::object::{ObjectKey, SessionObject};
use super::point::{check_curve, Point};
use super::snapshot::Known;
use super::state::{StoredClass, StoredObject};
use super::template::{bool_value, Template};
use super::turn::Turn;
use super::{modify, names, SessionRef};

/// A public key for the token.
pub(super) struct NewTokenKey {
    object: StoredObject,
    point: Point,
}

/// Parses the template of a public key; returns its point.
///
/// # Errors
/// The errors of the template's attributes.
fn checked_point(template: &Template) -> Result<Point> {
    check_key_type(template)?;
    class::check_template::<PublicKey>(Ways::CREATE, template)?;
    let missing = |name: &str| Error::TemplateIncomplete(format!("{name} is missing from the template").into());
    check_curve(template.bytes(CKA_EC_PARAMS))?;
    let point = Point::from_caller(template.bytes(CKA_EC_POINT).ok_or_else(|| missing("CKA_EC_POINT"))?)
        .ok_or_else(|| Error::AttributeValueInvalid("CKA_EC_POINT is not a point on P-256".into()))?;
    checked_text(template, CKA_LABEL)?;
    if template.boolean(CKA_TRUSTED)? == Some(true) {
        return Err(Error::AttributeReadOnly(CKA_TRUSTED));
    }
    let given_info = template.bytes(CKA_PUBLIC_KEY_INFO).filter(|info| !info.is_empty());
    if given_info.is_some_and(|info| info != point.public_key_info()) {
        return Err(Error::TemplateInconsistent("CKA_PUBLIC_KEY_INFO is not the public key of CKA_EC_POINT".into()));
    }
    Ok(point)
}

/// A public key for verification: pkcs11-provider creates one for each peer.
///
/// # Errors
/// The errors of the template's attributes.
pub(super) fn for_session(session: SessionRef, template: &Template) -> Result<SessionObject> {
    let point = checked_point(template)?;
    // Checks the same attributes as for the token, without storing them.
    class::kept::<PublicKey>(&[template])?;
    let attributes = class::session_object::<PublicKey>(&NewPublicKey { template, point })?;
    Ok(SessionObject { session: session.id, attributes })
}

/// A public key for the token.
///
/// # Errors
/// The errors of the template's attributes.
pub(super) fn for_token(template: &Template) -> Result<NewTokenKey> {
    let point = checked_point(template)?;
    if template.boolean(CKA_PRIVATE)? == Some(true) {
        return Err(Error::TemplateInconsistent(
            "CKA_PRIVATE=true: public keys are stored in clear in the state folder and must be public objects".into(),
        ));
    }
    if template.mechanisms(CKA_ALLOWED_MECHANISMS)?.is_some_and(|given| given != ECDSA) {
        return Err(Error::TemplateInconsistent(
            "CKA_ALLOWED_MECHANISMS: the state folder can't store it; leave it out".into(),
        ));
    }
    let mut kept = class::kept::<PublicKey>(&[template])?;
    for flag in [CKA_VERIFY, CKA_COPYABLE] {
        if template.boolean(flag)? == Some(false) {
            kept.set(flag, &bool_value(false))?;
        }
    }
    let object = StoredObject {
        unique_id: unique_id()?,
        class: StoredClass::PublicKey,
        label: checked_text(template, CKA_LABEL)?.unwrap_or_default(),
        id: template.bytes(CKA_ID).map(checked_id).transpose()?.unwrap_or_default(),
        application: String::new(),
        kept,
        value: point.public_key_info(),
    };
    Ok(NewTokenKey { object, point })
}

/// Stores a public key in the state folder. That of a key pair in the chip already exists: clients that import a pair
/// create its halves one after the other.
///
/// # Errors
/// [`Error::TemplateInconsistent`] for a pair's public key with another id; [`Error::AttributeValueInvalid`] for
/// another key with a pair's id or label; the [turn errors](Error#turn-errors) and [state folder
/// errors](Error#state-folder-errors).
pub(super) fn keep(turn: &mut Turn<'_>, new: NewTokenKey) -> Result<ObjectKey> {
    let NewTokenKey { object, point } = new;
    if let Err(error) = learn_points(turn) {
        log::debug!("cannot check whether a public key belongs to a key pair: {error}");
    }
    let known = turn.known();
    let own = known.identity.keys.iter().map(|key| key.slot).find(|slot| known.known_point(*slot) == Some(point));
    if let Some((slot, pair)) = own.and_then(|slot| Some((slot, known.pair(slot)?))) {
        let id = pair.given_id().map_or_else(|| point.key_id().to_vec(), <[u8]>::to_vec);
        if !object.id.is_empty() && object.id != id {
            return Err(Error::TemplateInconsistent(
                format!("CKA_ID: this is the public key of slot {slot}, which has another id; both halves have one")
                    .into(),
            ));
        }
        let key = crate::object::KeyRef { slot, epoch: known.epoch(slot) };
        if !object.label.is_empty() && object.label != pair.public_label() {
            let label = Template::new(vec![(CKA_LABEL, Zeroizing::new(object.label.into_bytes()))]);
            modify::set_key_attributes(turn, key, Half::Public, &label)?;
        }
        return Ok(ObjectKey::PublicKey(key));
    }
    names::refuse_names_of_pairs(turn, &object.label, &object.id)?;
    let unique_id = object.unique_id.clone();
    turn.change_state(|state| state.objects.push(object))?;
    Ok(ObjectKey::Stored(unique_id))
}

/// Whether an object of the state folder is shown: a public key only if it is valid, and has no name of a key pair in
/// the chip. Otherwise a user with write access to the folder could pass it off as the chip's.
pub(super) fn is_shown(known: &Known, object: &StoredObject) -> bool {
    object.class != StoredClass::PublicKey
        || Point::from_public_key_info(&object.value)
            .is_some_and(|point| !names::are_of_a_pair(known, &object.label, &object.id, point))
}

/// Returns the attributes of a public key in the state folder.
///
/// # Errors
/// [`Error::State`] if it is not a public key.
pub(super) fn attributes(object: &StoredObject) -> Result<Template> {
    let point = Point::from_public_key_info(&object.value)
        .ok_or_else(|| Error::State("a public key in the state folder is not on P-256".into()))?;
    let kept = object.kept.0.iter().map(|(attribute, value)| (*attribute, Zeroizing::new(value.clone())));
    let mut template = Template::new(kept.collect());
    template.set(CKA_LABEL, Zeroizing::new(object.label.clone().into_bytes()));
    template.set(CKA_ID, Zeroizing::new(object.id.clone()));
    let mut attributes = class::session_object::<PublicKey>(&NewPublicKey { template: &template, point })?;
    attributes.set(CKA_TOKEN, Zeroizing::new(bool_value(true)));
    attributes.set(CKA_UNIQUE_ID, Zeroizing::new(object.unique_id.clone().into_bytes()));
    Ok(attributes)
}
