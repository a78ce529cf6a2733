//! What a handle names, and objects that live only in this process.

use std::collections::BTreeMap;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::ObjectHandle;
use crate::wire::Slot;

/// A key pair as a handle names it. `epoch` grows when the slot's key changes, so that a handle never names
/// another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRef {
    /// The slot.
    pub slot: Slot,
    /// Which key the slot held when the handle was made.
    pub epoch: u32,
}

/// What an object is, however often it is listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKey {
    /// The private key in a slot.
    PrivateKey(KeyRef),
    /// The public key of that private key.
    PublicKey(KeyRef),
    /// A certificate or data object in the state folder.
    Stored(String),
    /// A session object.
    Session(u64),
}

/// Handles of one token in one process. They are never used twice.
#[derive(Debug, Default)]
pub struct HandleTable {
    last: ObjectHandle,
    by_handle: BTreeMap<ObjectHandle, ObjectKey>,
    by_key: BTreeMap<ObjectKey, ObjectHandle>,
}

impl HandleTable {
    /// The object's handle: the one it has, or a new one.
    pub fn handle(&mut self, key: ObjectKey) -> ObjectHandle {
        if let Some(handle) = self.by_key.get(&key) {
            return *handle;
        }
        self.last += 1;
        self.by_handle.insert(self.last, key.clone());
        self.by_key.insert(key, self.last);
        self.last
    }

    /// What the handle names.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn key(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        self.by_handle.get(&handle).cloned().ok_or(Error::ObjectHandleInvalid(handle))
    }

    /// Forgets an object that is gone.
    pub fn remove(&mut self, key: &ObjectKey) {
        if let Some(handle) = self.by_key.remove(key) {
            self.by_handle.remove(&handle);
        }
    }
}

/// An object of one session: attributes as they were given or computed.
#[derive(Debug)]
pub struct SessionObject {
    /// The session it belongs to.
    pub session: u64,
    /// Its attributes in the ABI's encoding.
    pub attributes: BTreeMap<CK_ATTRIBUTE_TYPE, Zeroizing<Vec<u8>>>,
}

impl SessionObject {
    /// The attribute's value.
    ///
    /// # Errors
    /// [`Error::AttributeSensitive`] for the value of a key that is sensitive or not extractable,
    /// [`Error::AttributeTypeInvalid`] for an attribute it does not have.
    pub fn attribute(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<&[u8]> {
        let is = |flag, value: u8| self.attributes.get(&flag).is_some_and(|bytes| bytes.as_slice() == [value]);
        if attribute == CKA_VALUE && (is(CKA_SENSITIVE, CK_TRUE) || is(CKA_EXTRACTABLE, CK_FALSE)) {
            return Err(Error::AttributeSensitive(attribute));
        }
        self.attributes.get(&attribute).map(|value| value.as_slice()).ok_or(Error::AttributeTypeInvalid(attribute))
    }
}

/// The session objects of one token in one process.
#[derive(Debug, Default)]
pub struct SessionObjects {
    last: u64,
    objects: BTreeMap<u64, SessionObject>,
}

impl SessionObjects {
    /// Adds an object; answers its number.
    pub fn add(&mut self, object: SessionObject) -> u64 {
        self.last += 1;
        self.objects.insert(self.last, object);
        self.last
    }

    /// The object of this number.
    pub fn get(&self, number: u64) -> Option<&SessionObject> {
        self.objects.get(&number)
    }

    /// The object of this number, to change.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut SessionObject> {
        self.objects.get_mut(&number)
    }

    /// Numbers and objects, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &SessionObject)> {
        self.objects.iter().map(|(number, object)| (*number, object))
    }

    /// Removes one object.
    pub fn remove(&mut self, number: u64) {
        self.objects.remove(&number);
    }

    /// Removes the objects of a session that ended, or of all; answers their numbers.
    pub fn remove_of(&mut self, session: Option<u64>) -> Vec<u64> {
        let gone: Vec<u64> = self
            .objects
            .iter()
            .filter(|(_, object)| session.is_none_or(|session| object.session == session))
            .map(|(number, _)| *number)
            .collect();
        gone.iter().for_each(|number| self.remove(*number));
        gone
    }
}
