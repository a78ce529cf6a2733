// SPDX-License-Identifier: MIT OR Apache-2.0
//! The meaning of handles, and objects that exist only in this process. Both have short locks of their own.

use std::sync::atomic::{AtomicUsize, Ordering};

use cryptoki_sys::*;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::create::unique_id;
use super::error::{Error, Result};
use super::feature::Feature;
use super::template::Template;
use super::ObjectHandle;
use atecc608_wire::Slot;

/// A key pair as a handle names it. `epoch` increases when the slot's key changes, so that a handle never names another
/// key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef {
    /// The slot.
    pub slot: Slot,
    /// The key that the slot held when the handle was created.
    pub epoch: u32,
}

/// The identity of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKey {
    /// The private key in a slot.
    PrivateKey(KeyRef),
    /// The public key of that private key.
    PublicKey(KeyRef),
    /// A secret key in a slot, by its CKA_UNIQUE_ID.
    Secret(String),
    /// A certificate or data object in the state folder, by its CKA_UNIQUE_ID.
    Stored(String),
    /// A counter, profile or mechanism.
    Feature(Feature),
    /// A session object.
    Session(u64),
}

/// The last object handle in this process: handles are unique across tokens, and across C_Finalize. (As wide as a
/// CK_ULONG on every Linux.)
static LAST_HANDLE: AtomicUsize = AtomicUsize::new(0);

/// Handles of one token in one process. They are never reused. A token has few objects: a list is enough.
#[derive(Debug, Default)]
pub struct HandleTable {
    entries: Vec<(ObjectHandle, ObjectKey)>,
    /// Public keys that disappeared with their private keys, and whose handles the client has not destroyed yet.
    gone_with_private: Vec<ObjectHandle>,
}

impl HandleTable {
    /// Returns the object's handle, an existing or a new one.
    pub fn handle(&mut self, key: ObjectKey) -> ObjectHandle {
        if let Some((handle, _)) = self.entries.iter().find(|(_, known)| *known == key) {
            return *handle;
        }
        let handle = (LAST_HANDLE.fetch_add(1, Ordering::Relaxed) + 1) as ObjectHandle;
        self.entries.push((handle, key));
        handle
    }

    /// Returns the object that the handle names.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`] if the handle names no object.
    pub fn key(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        let entry = self.entries.iter().find(|(known, _)| *known == handle);
        entry.map(|(_, key)| key.clone()).ok_or(Error::ObjectHandleInvalid(handle))
    }

    /// Removes all objects except these.
    pub fn retain(&mut self, keep: impl Fn(&ObjectKey) -> bool) {
        self.entries.retain(|(_, key)| keep(key));
    }

    /// Removes an object that is gone; with a private key also its public key.
    pub fn remove(&mut self, key: &ObjectKey) {
        if let ObjectKey::PrivateKey(pair) = key {
            let public = ObjectKey::PublicKey(*pair);
            self.gone_with_private.extend(self.entries.iter().filter(|(_, known)| *known == public).map(|(it, _)| *it));
            self.remove(&public);
        }
        self.entries.retain(|(_, known)| known != key);
    }

    /// Whether the handle belonged to a public key that disappeared with its private key; `true` only once.
    ///
    /// Clients that created two objects destroy two (NSS, `pkcs11-tool --test-ec`): a second object that is already
    /// gone must not be an error.
    pub fn take_gone_with_private(&mut self, handle: ObjectHandle) -> bool {
        let found = self.gone_with_private.iter().position(|gone| *gone == handle);
        found.map(|at| self.gone_with_private.swap_remove(at)).is_some()
    }
}

/// An object of one session, with given or computed attributes.
pub struct SessionObject {
    /// The session it belongs to.
    pub session: u64,
    /// Its attributes.
    pub attributes: Template,
}

impl SessionObject {
    /// CKA_PRIVATE.
    pub fn is_private(&self) -> bool {
        self.attributes.bytes(CKA_PRIVATE) == Some(&[CK_TRUE])
    }

    /// Returns the attribute's value.
    ///
    /// # Errors
    /// [`Error::AttributeSensitive`] for the value of a key that is sensitive or not extractable;
    /// [`Error::AttributeTypeInvalid`] for an attribute it does not have.
    pub fn attribute(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<&[u8]> {
        let is = |flag, value: u8| self.attributes.bytes(flag) == Some(&[value]);
        if attribute == CKA_VALUE && (is(CKA_SENSITIVE, CK_TRUE) || is(CKA_EXTRACTABLE, CK_FALSE)) {
            return Err(Error::AttributeSensitive(attribute));
        }
        self.attributes.bytes(attribute).ok_or(Error::AttributeTypeInvalid(attribute))
    }
}

/// The session objects of one token in one process, by number, oldest first.
#[derive(Default)]
pub struct SessionObjects {
    /// The prefix of their CKA_UNIQUE_IDs, unique for the process.
    prefix: String,
    last: u64,
    objects: Vec<(u64, SessionObject)>,
}

impl SessionObjects {
    /// Adds an object and sets its CKA_UNIQUE_ID; returns its number.
    pub fn add(&mut self, mut object: SessionObject) -> u64 {
        self.last += 1;
        if self.prefix.is_empty() {
            self.prefix = unique_id().unwrap_or_else(|_| format!("session-{}", std::process::id()));
        }
        let unique_id = format!("{}-{}", self.prefix, self.last);
        object.attributes.set(CKA_UNIQUE_ID, Zeroizing::new(unique_id.into_bytes()));
        self.objects.push((self.last, object));
        self.last
    }

    /// Returns the object with this number.
    pub fn get(&self, number: u64) -> Option<&SessionObject> {
        self.iter().find(|(known, _)| *known == number).map(|(_, object)| object)
    }

    /// Returns the object with this number, mutable.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut SessionObject> {
        self.objects.iter_mut().find(|(known, _)| *known == number).map(|(_, object)| object)
    }

    /// Numbers and objects, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &SessionObject)> {
        self.objects.iter().map(|(number, object)| (*number, object))
    }

    /// Removes objects; returns their numbers.
    fn remove_where(&mut self, is_gone: impl Fn(u64, &SessionObject) -> bool) -> Vec<u64> {
        let gone = self.iter().filter(|(number, object)| is_gone(*number, object)).map(|(number, _)| number).collect();
        self.objects.retain(|(number, object)| !is_gone(*number, object));
        gone
    }
}

/// Handles and session objects of one token. Neither lock is held during a wait.
#[derive(Default)]
pub(crate) struct Objects {
    handles: Mutex<HandleTable>,
    session_objects: Mutex<SessionObjects>,
    /// Public keys of pairs that a client destroyed: hidden in this process as long as their private keys exist.
    hidden: Mutex<Vec<KeyRef>>,
}

impl Objects {
    /// Hides the public key of a pair, and ends its handle.
    pub(crate) fn hide_public(&self, key: KeyRef) {
        self.hidden.lock().push(key);
    }

    /// Shows the public key of a pair again.
    pub(crate) fn show_public(&self, key: KeyRef) {
        self.hidden.lock().retain(|hidden| *hidden != key);
    }

    /// Whether it is a hidden public key.
    pub(crate) fn is_hidden(&self, key: &ObjectKey) -> bool {
        matches!(key, ObjectKey::PublicKey(key) if self.hidden.lock().contains(key))
    }

    /// Returns the object's handle, an existing or a new one.
    pub(crate) fn handle(&self, key: ObjectKey) -> ObjectHandle {
        self.handles.lock().handle(key)
    }

    /// Returns the object that the handle names.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub(crate) fn key(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        self.handles.lock().key(handle)
    }

    /// Removes an object that is gone; with a private key also its public key.
    pub(crate) fn forget(&self, key: &ObjectKey) {
        self.handles.lock().remove(key);
    }

    /// See [`HandleTable::take_gone_with_private`].
    pub(crate) fn take_gone_with_private(&self, handle: ObjectHandle) -> bool {
        self.handles.lock().take_gone_with_private(handle)
    }

    /// Adds a session object.
    pub(crate) fn add(&self, object: SessionObject) -> ObjectHandle {
        let number = self.session_objects.lock().add(object);
        self.handle(ObjectKey::Session(number))
    }

    /// Calls `look` with a session object.
    pub(crate) fn with_session_object<T>(&self, number: u64, look: impl FnOnce(Option<&SessionObject>) -> T) -> T {
        look(self.session_objects.lock().get(number))
    }

    /// Calls `change` with a session object.
    pub(crate) fn change_session_object<T>(
        &self,
        number: u64,
        change: impl FnOnce(Option<&mut SessionObject>) -> T,
    ) -> T {
        change(self.session_objects.lock().get_mut(number))
    }

    /// Returns the session objects that match, oldest first.
    pub(crate) fn find(&self, matches: impl Fn(&SessionObject) -> bool) -> Vec<ObjectKey> {
        let objects = self.session_objects.lock();
        objects.iter().filter(|(_, object)| matches(object)).map(|(number, _)| ObjectKey::Session(number)).collect()
    }

    /// Whether CKA_PRIVATE of the object is true.
    pub(crate) fn is_private(&self, key: &ObjectKey) -> bool {
        match key {
            ObjectKey::PrivateKey(_) | ObjectKey::Secret(_) => true,
            ObjectKey::PublicKey(_) | ObjectKey::Stored(_) | ObjectKey::Feature(_) => false,
            ObjectKey::Session(number) => {
                self.with_session_object(*number, |object| object.is_some_and(SessionObject::is_private))
            }
        }
    }

    /// Removes one session object.
    pub(crate) fn remove(&self, number: u64) {
        self.remove_where(|known, _| known == number);
    }

    /// Removes the objects of a session that ended, or of all sessions.
    pub(crate) fn remove_of(&self, session: Option<u64>) {
        self.remove_where(|_, object| session.is_none_or(|session| object.session == session));
    }

    /// Ends the handles of all private objects, and removes private session objects.
    pub(crate) fn forget_private(&self) {
        self.remove_where(|_, object| object.is_private());
        self.handles.lock().retain(|key| !matches!(key, ObjectKey::PrivateKey(_) | ObjectKey::Secret(_)));
    }

    fn remove_where(&self, is_gone: impl Fn(u64, &SessionObject) -> bool) {
        let gone = self.session_objects.lock().remove_where(is_gone);
        if gone.is_empty() {
            return;
        }
        self.handles.lock().retain(|key| !matches!(key, ObjectKey::Session(number) if gone.contains(number)));
    }
}
