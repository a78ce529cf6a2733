// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects by handle: their attributes; creating, changing, copying and destroying them.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::certificates::{held, stored_object};
use super::class::{value, Answer, Half, SecretInSlot, SecretKey};
use super::create::{self, NewObject, NewStored};
use super::deadline::Deadline;
use super::error::{Error, Result};
use super::feature::{self, Feature};
use super::object::{KeyRef, ObjectKey};
use super::snapshot::Known;
use super::state::{StoredClass, StoredSecret};
use super::template::{bool_value, Template};
use super::token::Token;
use super::turn::Turn;
use super::{import, keygen, learn, modify, names, past, public_key, secret, session_pair, ObjectHandle, SessionRef};

/// Returns the attribute's value in the ABI's encoding. Accesses the chip only for unknown facts about its keys, and
/// for the counter.
///
/// # Errors
/// [`Error::ObjectHandleInvalid`], [`Error::AttributeTypeInvalid`], [`Error::AttributeSensitive`], the [turn
/// errors](Error#turn-errors).
pub(crate) fn attribute(
    token: &Token,
    object: ObjectHandle,
    attribute: CK_ATTRIBUTE_TYPE,
    deadline: Deadline,
) -> Result<Zeroizing<Vec<u8>>> {
    let invalid = || Error::ObjectHandleInvalid(object);
    let key = token.object(object)?;
    let answer = match key {
        ObjectKey::PrivateKey(key) => {
            return key_attribute(token, key, Half::Private, attribute, deadline).map_err(of_object(object))
        }
        ObjectKey::PublicKey(key) => {
            return key_attribute(token, key, Half::Public, attribute, deadline).map_err(of_object(object))
        }
        ObjectKey::Stored(unique_id) => {
            let known = token.known(deadline)?;
            let stored = stored_object(&known, &unique_id).ok_or_else(invalid)?;
            stored.attribute(attribute)
        }
        ObjectKey::Feature(Feature::Counter) if attribute == CKA_VALUE => token.turn(deadline, feature::next),
        ObjectKey::Feature(feature) => feature.attribute(attribute),
        ObjectKey::Secret(unique_id) => {
            let known = token.known(deadline)?;
            let secret = known.secret(&unique_id).ok_or_else(invalid)?;
            value::<SecretKey>(&SecretInSlot { secret, zone: known.zone() }, attribute)
        }
        ObjectKey::Session(number) => token
            .objects
            .with_session_object(number, |found| found.ok_or_else(invalid)?.attribute(attribute).map(<[u8]>::to_vec)),
    };
    answer.map(Zeroizing::new)
}

fn key_attribute(
    token: &Token,
    key: KeyRef,
    half: Half,
    attribute: CK_ATTRIBUTE_TYPE,
    deadline: Deadline,
) -> Result<Zeroizing<Vec<u8>>> {
    let answer = |known: &Known| {
        let pair = known.pair(key.slot).ok_or(Error::AttributeTypeInvalid(attribute))?;
        match half.attribute(&pair, attribute) {
            Answer::Value(value) => Ok(Some(Zeroizing::new(value))),
            Answer::Error(error) => Err(error),
            Answer::NeedsPoint => Ok(None),
        }
    };
    if let Some(value) = answer(&*token.known(deadline)?)? {
        return Ok(value);
    }
    let learned = token.turn(deadline, |turn| {
        turn.check_key(key)?;
        learn::point_if_told(turn, key.slot)?;
        Ok(turn.known())
    })?;
    answer(&learned)?.ok_or(Error::AttributeTypeInvalid(attribute))
}

/// Returns the length of an attribute whose value must not be read needlessly, because a read changes it: the
/// counter's.
///
/// # Errors
/// [`Error::ObjectHandleInvalid`].
pub(crate) fn length_without_asking(
    token: &Token,
    object: ObjectHandle,
    attribute: CK_ATTRIBUTE_TYPE,
) -> Result<Option<usize>> {
    let is_counter = attribute == CKA_VALUE && token.object(object)? == ObjectKey::Feature(Feature::Counter);
    Ok(is_counter.then_some(feature::COUNTER_LEN))
}

/// C_SetAttributeValue: labels and ids, and data of data objects.
///
/// # Errors
/// [`Error::AttributeReadOnly`], [`Error::AttributeTypeInvalid`], [`Error::SessionReadOnly`],
/// [`Error::AttributeValueInvalid`], the [turn errors](Error#turn-errors).
pub(crate) fn set_attributes(
    token: &Token,
    session: SessionRef,
    object: ObjectHandle,
    template: &Template,
) -> Result<()> {
    let deadline = token.deadline();
    for (ty, _) in template.iter() {
        // A missing attribute of the class is reported as such, not as read-only.
        if length_without_asking(token, object, ty)?.is_none() {
            if let Err(error @ Error::AttributeTypeInvalid(_)) = attribute(token, object, ty, deadline) {
                return Err(error);
            }
        }
    }
    let key = token.object(object)?;
    if !matches!(key, ObjectKey::Session(_)) && !session.read_write {
        return Err(Error::SessionReadOnly);
    }
    let invalid = || Error::ObjectHandleInvalid(object);
    match key {
        ObjectKey::PrivateKey(key) => token
            .turn(deadline, |turn| modify::set_key_attributes(turn, key, Half::Private, template))
            .map_err(of_object(object)),
        ObjectKey::PublicKey(key) => token
            .turn(deadline, |turn| modify::set_key_attributes(turn, key, Half::Public, template))
            .map_err(of_object(object)),
        ObjectKey::Stored(unique_id) => token.turn(deadline, |turn| {
            let known = turn.known();
            let mut changed = stored_object(&known, &unique_id).ok_or_else(invalid)?.into_owned();
            let before = (changed.label.clone(), changed.id.clone());
            modify::set_stored_attributes(&mut changed, template)?;
            if changed.class == StoredClass::PublicKey && (&changed.label, &changed.id) != (&before.0, &before.1) {
                names::refuse_names_of_pairs(turn, &changed.label, &changed.id)?;
            }
            turn.change_state(|state| {
                if let Some(stored) = state.objects.iter_mut().find(|stored| stored.unique_id == unique_id) {
                    *stored = changed;
                }
            })
        }),
        ObjectKey::Secret(unique_id) => token.turn(deadline, |turn| {
            let mut changed = turn.known().secret(&unique_id).cloned().ok_or_else(invalid)?;
            modify::set_secret_attributes(&mut changed, template)?;
            turn.change_state(|state| {
                if let Some(secret) = state.secrets.iter_mut().find(|secret| secret.unique_id == unique_id) {
                    *secret = changed;
                }
            })
        }),
        ObjectKey::Feature(_) => Err(Error::ActionProhibited("this object can't be changed".into())),
        ObjectKey::Session(number) => {
            let names_a_pair =
                token.objects.with_session_object(number, |found| found.is_some_and(session_pair::is_private_key));
            if names_a_pair {
                session_pair::refuse_names_of_pairs(token, template)?;
            }
            token.objects.change_session_object(number, |found| {
                modify::set_session_attributes(found.ok_or_else(invalid)?, template)
            })
        }
    }
}

/// C_CreateObject: certificates, data, public keys, secret keys, private keys.
///
/// # Errors
/// As [`Token::create_object`].
pub(crate) fn create_object(token: &Token, session: SessionRef, template: &Template) -> Result<ObjectHandle> {
    create(token, session, create::from_template(session, template)?)
}

fn create(token: &Token, session: SessionRef, new: NewObject) -> Result<ObjectHandle> {
    let deadline = token.deadline();
    let key = match new {
        NewObject::Session(object) => return token.add_session_object(object),
        NewObject::SessionPrivate(key) => return session_pair::add(token, key),
        NewObject::Stored(new) if !new.on_token => {
            let object = match new.named(&*token.known(deadline)?) {
                Some(object) => object,
                // A chip that can't be accessed is not a reason to refuse the object.
                None => token.turn(deadline, |turn| Ok(new.learn_names(turn))).unwrap_or_else(|_| new.unnamed()),
            };
            return token.add_session_object(new.for_session(session, &object));
        }
        NewObject::PublicKey(new) => {
            let key = token.turn(deadline, |turn| public_key::keep(turn, new))?;
            if let ObjectKey::PublicKey(pair) = key {
                token.objects.show_public(pair);
            }
            key
        }
        NewObject::Stored(new) => ObjectKey::Stored(token.turn(deadline, |turn| store(turn, &new))?),
        NewObject::Private(request) => {
            token.known(deadline)?.check_may_make_private()?;
            token.turn(deadline, |turn| {
                let slot = import::import(turn, request)?;
                Ok(Half::Private.key(slot, turn.known().epoch(slot)))
            })?
        }
        NewObject::Secret(secret) => {
            token.known(deadline)?.check_may_make_private()?;
            secret.check_len()?;
            ObjectKey::Secret(token.turn(deadline, |turn| secret::stored::create(turn, secret))?)
        }
    };
    Ok(token.objects.handle(key))
}

/// Stores a certificate or data object; returns its CKA_UNIQUE_ID.
fn store(turn: &mut Turn<'_>, new: &NewStored) -> Result<String> {
    let object = new.learn_names(turn);
    if let Some(unique_id) = held::hold(turn, &object)? {
        return Ok(unique_id);
    }
    let unique_id = object.unique_id.clone();
    turn.change_state(|state| state.objects.push(object))?;
    Ok(unique_id)
}

/// C_CopyObject: certificates, data and session objects. Keys in the chip can't be copied; pkcs11-provider works
/// without.
///
/// # Errors
/// [`Error::ActionProhibited`] for an object whose CKA_COPYABLE is false, [`Error::AttributeReadOnly`], and as
/// [`create_object`].
pub(crate) fn copy_object(
    token: &Token,
    session: SessionRef,
    object: ObjectHandle,
    template: &Template,
) -> Result<ObjectHandle> {
    let invalid = || Error::ObjectHandleInvalid(object);
    let (copy, past) = match token.object(object)? {
        ObjectKey::PrivateKey(_) | ObjectKey::PublicKey(_) | ObjectKey::Secret(_) | ObjectKey::Feature(_) => {
            return Err(Error::ActionProhibited("keys and other objects in the chip can't be copied".into()))
        }
        ObjectKey::Stored(unique_id) => {
            let known = token.known(token.deadline())?;
            let stored = stored_object(&known, &unique_id).ok_or_else(invalid)?;
            let mut source = create::as_session_object(session, &stored, false);
            source.attributes.set(CKA_TOKEN, Zeroizing::new(bool_value(true)));
            (modify::copy_of(&source, template)?, Template::default())
        }
        ObjectKey::Session(number) => {
            let of_pair = token.objects.with_session_object(number, |source| {
                let source = source.ok_or_else(invalid)?;
                let is_private = session_pair::is_private_key(source);
                is_private.then(|| session_pair::copy_of(session, source, template)).transpose()
            })?;
            if let Some(copy) = of_pair {
                session_pair::refuse_names_of_pairs(token, template)?;
                return token.add_session_object(copy);
            }
            token.objects.with_session_object(number, |source| {
                let source = source.ok_or_else(invalid)?;
                modify::copy_of(source, template).map(|copy| (copy, past::of(source)))
            })?
        }
    };
    let mut new = create::from_template(session, &copy)?;
    match &mut new {
        NewObject::Session(copy) => past::take_along(copy, &past),
        NewObject::Secret(copy) => copy.generated = past::is_of_the_chip(&past),
        NewObject::SessionPrivate(_) | NewObject::Stored(_) | NewObject::PublicKey(_) | NewObject::Private(_) => {}
    }
    create(token, session, new)
}

/// C_DestroyObject: overwrites a private key in the chip; hides a public key in this process.
///
/// # Errors
/// [`Error::ActionProhibited`] for a permanent key, [`Error::SessionReadOnly`], the [turn errors](Error#turn-errors).
pub(crate) fn destroy_object(token: &Token, session: SessionRef, object: ObjectHandle) -> Result<()> {
    if session.read_write && token.objects.take_gone_with_private(object) {
        return Ok(());
    }
    let key = token.object(object)?;
    if !matches!(key, ObjectKey::Session(_)) && !session.read_write {
        return Err(Error::SessionReadOnly);
    }
    let deadline = token.deadline();
    match &key {
        ObjectKey::PrivateKey(key) => {
            token.turn(deadline, |turn| keygen::destroy(turn, *key)).map_err(of_object(object))?;
        }
        ObjectKey::PublicKey(key) => {
            // Clients that destroy both halves start with either. The chip can compute the public key as long as the
            // private key exists.
            let destroyable = attribute(token, object, CKA_DESTROYABLE, deadline)?;
            if *destroyable != bool_value(true) {
                return Err(Error::ActionProhibited(
                    format!("the key pair in slot {} is permanent (CKA_DESTROYABLE is false)", key.slot).into(),
                ));
            }
            token.objects.hide_public(*key);
        }
        ObjectKey::Stored(unique_id) => token.turn(deadline, |turn| {
            let known = turn.known();
            stored_object(&known, unique_id).map_or(Ok(()), |stored| stored.kept.check_destroyable())?;
            if held::release(turn, unique_id)? {
                return Ok(());
            }
            turn.change_state(|state| state.objects.retain(|stored| stored.unique_id != *unique_id))
        })?,
        ObjectKey::Secret(unique_id) => {
            let secret = token.known(deadline)?.secret(unique_id).map(StoredSecret::place);
            let secret = secret.ok_or(Error::ObjectHandleInvalid(object))?;
            token.turn(deadline, |turn| secret::stored::destroy(turn, &secret)).map_err(of_object(object))?;
        }
        ObjectKey::Feature(_) => {
            return Err(Error::ActionProhibited("this object is built into the token and can't be destroyed".into()))
        }
        ObjectKey::Session(number) => {
            let destroyable = token.objects.with_session_object(*number, |found| {
                found.is_none_or(|found| found.attributes.bytes(CKA_DESTROYABLE) != Some(&[CK_FALSE]))
            });
            if !destroyable {
                return Err(Error::ActionProhibited("CKA_DESTROYABLE of the object is false".into()));
            }
            token.objects.remove(*number);
        }
    }
    token.objects.forget(&key);
    Ok(())
}

/// C_GetObjectSize: bytes in the state folder, of the part of the chip that holds the key, or of a session object's
/// attributes.
///
/// # Errors
/// [`Error::ObjectHandleInvalid`].
pub(crate) fn object_size(token: &Token, object: ObjectHandle) -> Result<CK_ULONG> {
    let deadline = token.deadline();
    match token.object(object)? {
        ObjectKey::PrivateKey(key) => Ok(key.slot.size() as CK_ULONG),
        ObjectKey::PublicKey(_) => Ok(attribute(token, object, CKA_EC_POINT, deadline)?.len() as CK_ULONG),
        // Written 32 bytes at a time.
        ObjectKey::Secret(_) => Ok(32),
        // A read of its value would increment it.
        ObjectKey::Feature(Feature::Counter) => Ok(feature::COUNTER_LEN as CK_ULONG),
        // Its class and its number.
        ObjectKey::Feature(_) => Ok(2 * size_of::<CK_ULONG>() as CK_ULONG),
        ObjectKey::Session(number) => token.objects.with_session_object(number, |found| {
            let found = found.ok_or(Error::ObjectHandleInvalid(object))?;
            Ok(found.attributes.iter().map(|(_, value)| value.len()).sum::<usize>() as CK_ULONG)
        }),
        ObjectKey::Stored(unique_id) => {
            let known = token.known(deadline)?;
            let stored = stored_object(&known, &unique_id).ok_or(Error::ObjectHandleInvalid(object))?;
            Ok(stored.value.len() as CK_ULONG)
        }
    }
}

/// Functions for objects of any kind report a key that is gone as an object that is gone.
fn of_object(object: ObjectHandle) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::KeyHandleInvalid(_) => Error::ObjectHandleInvalid(object),
        other => other,
    }
}
