//! Objects by their handles: finding them, their attributes, creating, changing, copying and destroying them.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::attribute::{stored_attribute, Answer};
use super::error::{Error, Result};
use super::feature::{self, Feature};
use super::find::{self, Half};
use super::object::{KeyRef, ObjectKey};
use super::objects::{self, NewObject};
use super::secret;
use super::state::StoredSecret;
use super::template::{self, Template};
use super::{import, keygen, modify, Inner, ObjectHandle, SessionRef, Token};

impl Token {
    /// Handles of the objects that match.
    ///
    /// # Errors
    /// Those of the chip, where it had to be asked.
    pub fn find(&self, _session: SessionRef, template: &Template) -> Result<Vec<ObjectHandle>> {
        let inner = &mut *self.inner.lock();
        let hides_private = inner.hides_private()?;
        let mut found = find::find(&mut inner.device, &inner.session_objects, template)?;
        found.retain(|key| !(hides_private && inner.is_private(key)));
        Ok(found.into_iter().map(|key| inner.handles.handle(key)).collect())
    }

    /// The attribute's value in the ABI's encoding.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`], [`Error::AttributeTypeInvalid`], [`Error::AttributeSensitive`], those of the chip.
    pub fn attribute(
        &self,
        _session: SessionRef,
        object: ObjectHandle,
        attribute: CK_ATTRIBUTE_TYPE,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let inner = &mut *self.inner.lock();
        match inner.object(object)? {
            ObjectKey::PrivateKey(key) => inner.key_attribute(key, Half::Private, attribute).map_err(of_object(object)),
            ObjectKey::PublicKey(key) => inner.key_attribute(key, Half::Public, attribute).map_err(of_object(object)),
            ObjectKey::Stored(unique_id) => {
                let identity = inner.device.identity()?;
                let stored = identity.stored_object(&unique_id).ok_or(Error::ObjectHandleInvalid(object))?;
                stored_attribute(&stored, attribute).map(Zeroizing::new)
            }
            ObjectKey::Feature(Feature::Counter) if attribute == CKA_VALUE => {
                feature::next(&mut inner.device).map(Zeroizing::new)
            }
            ObjectKey::Feature(feature) => feature.attribute(attribute).map(Zeroizing::new),
            ObjectKey::Secret(unique_id) => {
                let identity = inner.device.identity()?;
                let secret = identity.store.state().secret(&unique_id).ok_or(Error::ObjectHandleInvalid(object))?;
                secret.attribute(&identity.zone, attribute).map(Zeroizing::new)
            }
            ObjectKey::Session(number) => {
                let found = inner.session_objects.get(number).ok_or(Error::ObjectHandleInvalid(object))?;
                found.attribute(attribute).map(|value| Zeroizing::new(value.to_vec()))
            }
        }
    }

    /// The length of an attribute whose value is not to be asked for in vain, since that changes it: the counter's.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn length_without_asking(&self, object: ObjectHandle, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<usize>> {
        let is_counter = self.inner.lock().object(object)? == ObjectKey::Feature(Feature::Counter);
        Ok((is_counter && attribute == CKA_VALUE).then_some(feature::COUNTER_LEN))
    }

    /// Whether the handle names an object.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn check_object(&self, _session: SessionRef, object: ObjectHandle) -> Result<()> {
        self.inner.lock().object(object).map(drop)
    }

    /// C_SetAttributeValue: labels and ids, and data of data objects.
    ///
    /// # Errors
    /// [`Error::AttributeReadOnly`], [`Error::AttributeTypeInvalid`], [`Error::SessionReadOnly`],
    /// [`Error::AttributeValueInvalid`], those of the state folder.
    pub fn set_attributes(&self, session: SessionRef, object: ObjectHandle, template: &Template) -> Result<()> {
        for (attribute, _) in template.iter() {
            // What the class does not have is that, and not read-only.
            if self.length_without_asking(object, attribute)?.is_none() {
                if let Err(error @ Error::AttributeTypeInvalid(_)) = self.attribute(session, object, attribute) {
                    return Err(error);
                }
            }
        }
        let inner = &mut *self.inner.lock();
        let key = inner.object(object)?;
        if !matches!(key, ObjectKey::Session(_)) && !session.read_write {
            return Err(Error::SessionReadOnly);
        }
        match key {
            ObjectKey::PrivateKey(key) => {
                modify::set_key_attributes(&mut inner.device, key, Half::Private, template).map_err(of_object(object))
            }
            ObjectKey::PublicKey(key) => {
                modify::set_key_attributes(&mut inner.device, key, Half::Public, template).map_err(of_object(object))
            }
            ObjectKey::Stored(unique_id) => inner.device.with_chip(|_, identity| {
                let stored = identity.stored_object(&unique_id);
                let mut changed = stored.ok_or(Error::ObjectHandleInvalid(object))?.into_owned();
                modify::set_stored_attributes(&mut changed, template)?;
                identity.store.change(|state| {
                    if let Some(stored) = state.objects.iter_mut().find(|stored| stored.unique_id == unique_id) {
                        *stored = changed;
                    }
                })
            }),
            ObjectKey::Secret(unique_id) => inner.device.with_chip(|_, identity| {
                let secret = identity.store.state().secret(&unique_id).cloned();
                let mut changed = secret.ok_or(Error::ObjectHandleInvalid(object))?;
                modify::set_secret_attributes(&mut changed, template)?;
                identity.store.change(|state| {
                    if let Some(secret) = state.secrets.iter_mut().find(|secret| secret.unique_id == unique_id) {
                        *secret = changed;
                    }
                })
            }),
            ObjectKey::Feature(_) => Err(Error::ActionProhibited("this object can't be changed".to_owned())),
            ObjectKey::Session(number) => {
                let found = inner.session_objects.get_mut(number).ok_or(Error::ObjectHandleInvalid(object))?;
                modify::set_session_attributes(found, template)
            }
        }
    }

    /// C_CreateObject: certificates and data, public keys in the session, secret keys, private keys for the chip.
    ///
    /// # Errors
    /// What the template lacks or contradicts, [`Error::SessionReadOnly`], those of the state folder.
    pub fn create_object(&self, session: SessionRef, template: &Template) -> Result<ObjectHandle> {
        let inner = &mut *self.inner.lock();
        let key = match objects::from_template(&mut inner.device, session, template)? {
            NewObject::Session(object) => inner.add_session_object(object)?,
            NewObject::Stored(object) => ObjectKey::Stored(inner.device.with_chip(|chip, identity| {
                if let Some(unique_id) = identity.hold(chip, &object)? {
                    return Ok(unique_id);
                }
                let unique_id = object.unique_id.clone();
                identity.store.change(|state| state.objects.push(object))?;
                Ok(unique_id)
            })?),
            NewObject::Private(request) => {
                inner.may_make(true)?;
                import::import(&mut inner.device, request)?
            }
            NewObject::Secret(secret) => {
                inner.may_make(true)?;
                ObjectKey::Secret(secret::stored::create(&mut inner.device, secret)?)
            }
        };
        Ok(inner.handles.handle(key))
    }

    /// C_CopyObject: certificates, data and session objects. Keys in the chip can't be copied, and pkcs11-provider goes on
    /// without.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] for an object whose CKA_COPYABLE is false, [`Error::AttributeReadOnly`], and as
    /// [`Token::create_object`].
    pub fn copy_object(&self, session: SessionRef, object: ObjectHandle, template: &Template) -> Result<ObjectHandle> {
        let copy = {
            let inner = &mut *self.inner.lock();
            match inner.object(object)? {
                ObjectKey::PrivateKey(_) | ObjectKey::PublicKey(_) | ObjectKey::Secret(_) | ObjectKey::Feature(_) => {
                    return Err(Error::ActionProhibited(
                        "keys in the chip, and what else is part of it, can't be copied".to_owned(),
                    ))
                }
                ObjectKey::Stored(unique_id) => {
                    let identity = inner.device.identity()?;
                    let stored = identity.stored_object(&unique_id).ok_or(Error::ObjectHandleInvalid(object))?;
                    let mut source = objects::as_session_object(session, &stored, false)?;
                    source.attributes.set(CKA_TOKEN, Zeroizing::new(template::bool_value(true)));
                    modify::copy_of(&source, template)?
                }
                ObjectKey::Session(number) => {
                    let source = inner.session_objects.get(number).ok_or(Error::ObjectHandleInvalid(object))?;
                    modify::copy_of(source, template)?
                }
            }
        };
        self.create_object(session, &copy)
    }

    /// C_DestroyObject: a private key is overwritten in the chip.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] for a permanent key or a public one, [`Error::SessionReadOnly`], those of state
    /// folder and chip.
    pub fn destroy_object(&self, session: SessionRef, object: ObjectHandle) -> Result<()> {
        let inner = &mut *self.inner.lock();
        if session.read_write && inner.handles.take_gone_with_private(object) {
            return Ok(());
        }
        let key = inner.object(object)?;
        if !matches!(key, ObjectKey::Session(_)) && !session.read_write {
            return Err(Error::SessionReadOnly);
        }
        match &key {
            ObjectKey::PrivateKey(key) => keygen::destroy(&mut inner.device, *key).map_err(of_object(object))?,
            ObjectKey::PublicKey(key) => {
                return Err(Error::ActionProhibited(format!(
                    "the public key of slot {} can't be destroyed by itself: it goes with its private key",
                    key.slot
                )))
            }
            ObjectKey::Stored(unique_id) => inner.device.with_chip(|chip, identity| {
                let stored = identity.stored_object(unique_id);
                stored.map_or(Ok(()), |stored| stored.kept.check_destroyable())?;
                if identity.release(chip, unique_id)? {
                    return Ok(());
                }
                identity.store.change(|state| state.objects.retain(|stored| stored.unique_id != *unique_id))
            })?,
            ObjectKey::Secret(unique_id) => {
                let secret = inner.device.identity()?.store.state().secret(unique_id).map(StoredSecret::place);
                secret::stored::destroy(&mut inner.device, &secret.ok_or(Error::ObjectHandleInvalid(object))?)
                    .map_err(of_object(object))?;
            }
            ObjectKey::Feature(_) => {
                return Err(Error::ActionProhibited("this object is part of the token".to_owned()))
            }
            ObjectKey::Session(number) => {
                let found = inner.session_objects.get(*number);
                if found.is_some_and(|found| found.attributes.bytes(CKA_DESTROYABLE) == Some(&[CK_FALSE])) {
                    return Err(Error::ActionProhibited("CKA_DESTROYABLE of the object is false".to_owned()));
                }
                inner.session_objects.remove(*number);
            }
        }
        inner.handles.remove(&key);
        Ok(())
    }

    /// C_GetObjectSize: bytes of CKA_VALUE, of the part of the chip that holds the key, or of a session object's attributes.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn object_size(&self, session: SessionRef, object: ObjectHandle) -> Result<CK_ULONG> {
        let key = self.inner.lock().object(object)?;
        match key {
            ObjectKey::PrivateKey(key) => Ok(key.slot.size() as CK_ULONG),
            ObjectKey::PublicKey(_) => Ok(self.attribute(session, object, CKA_EC_POINT)?.len() as CK_ULONG),
            // Written 32 bytes at a time.
            ObjectKey::Secret(_) => Ok(32),
            // Asking for its value would move it.
            ObjectKey::Feature(Feature::Counter) => Ok(feature::COUNTER_LEN as CK_ULONG),
            // Its class and which one it is.
            ObjectKey::Feature(_) => Ok(2 * size_of::<CK_ULONG>() as CK_ULONG),
            ObjectKey::Session(number) => {
                let inner = self.inner.lock();
                let found = inner.session_objects.get(number).ok_or(Error::ObjectHandleInvalid(object))?;
                Ok(found.attributes.iter().map(|(_, value)| value.len()).sum::<usize>() as CK_ULONG)
            }
            _ => match self.attribute(session, object, CKA_VALUE) {
                Ok(value) => Ok(value.len() as CK_ULONG),
                Err(Error::ObjectHandleInvalid(handle)) => Err(Error::ObjectHandleInvalid(handle)),
                Err(_) => Ok(CK_UNAVAILABLE_INFORMATION),
            },
        }
    }
}

impl Inner {
    /// What the handle names, if that is still there.
    pub(super) fn object(&mut self, handle: ObjectHandle) -> Result<ObjectKey> {
        let key = self.handles.key(handle)?;
        if self.is_private(&key) && self.hides_private()? {
            return Err(Error::ObjectHandleInvalid(handle));
        }
        let is_there = match &key {
            ObjectKey::PrivateKey(key) | ObjectKey::PublicKey(key) => self.device.identity()?.is_there(*key),
            ObjectKey::Stored(unique_id) => self.device.identity()?.stored_object(unique_id).is_some(),
            ObjectKey::Secret(unique_id) => self.device.identity()?.store.state().secret(unique_id).is_some(),
            ObjectKey::Feature(_) => true,
            ObjectKey::Session(number) => self.session_objects.get(*number).is_some(),
        };
        if is_there {
            Ok(key)
        } else {
            self.handles.remove(&key);
            Err(Error::ObjectHandleInvalid(handle))
        }
    }

    fn key_attribute(&mut self, key: KeyRef, half: Half, attribute: CK_ATTRIBUTE_TYPE) -> Result<Zeroizing<Vec<u8>>> {
        for _ in 0..2 {
            let pair = self.device.identity()?.pair(key.slot);
            let answer = pair.map(|pair| half.attribute(&pair, attribute));
            match answer {
                Some(Answer::Value(value)) => return Ok(Zeroizing::new(value)),
                Some(Answer::Error(error)) => return Err(error),
                None => break,
                Some(Answer::NeedsPoint) => {
                    self.device.with_key(key, |chip, identity| identity.learn_point(chip, key.slot))?;
                }
            }
        }
        Err(Error::AttributeTypeInvalid(attribute))
    }
}

/// Functions for objects of any kind call a handle of a key that is gone an object's.
fn of_object(object: ObjectHandle) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::KeyHandleInvalid(_) => Error::ObjectHandleInvalid(object),
        other => other,
    }
}
