//! What a handle names, and objects that live only in this process.

use std::sync::atomic::{AtomicUsize, Ordering};

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::feature::Feature;
use super::objects::unique_id;
use super::template::Template;
use super::ObjectHandle;
use atecc608_wire::Slot;

/// A key pair as a handle names it. `epoch` grows when the slot's key changes, so that a handle never names
/// another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef {
    /// The slot.
    pub slot: Slot,
    /// Which key the slot held when the handle was made.
    pub epoch: u32,
}

/// What an object is, however often it is listed.
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

/// The last handle given to an object in this process: one token's names nothing in another, nor after C_Finalize. (As wide as a
/// CK_ULONG, on every Linux.)
static LAST_HANDLE: AtomicUsize = AtomicUsize::new(0);

/// Handles of one token in one process. They are never used twice. A token has few objects: a list is enough.
#[derive(Debug, Default)]
pub struct HandleTable {
    entries: Vec<(ObjectHandle, ObjectKey)>,
    /// Public keys that went with their private keys, and that their owner has not destroyed yet.
    gone_with_private: Vec<ObjectHandle>,
}

impl HandleTable {
    /// The object's handle: the one it has, or a new one.
    pub fn handle(&mut self, key: ObjectKey) -> ObjectHandle {
        if let Some((handle, _)) = self.entries.iter().find(|(_, known)| *known == key) {
            return *handle;
        }
        let handle = (LAST_HANDLE.fetch_add(1, Ordering::Relaxed) + 1) as ObjectHandle;
        self.entries.push((handle, key));
        handle
    }

    /// What the handle names.
    ///
    /// # Errors
    /// [`Error::ObjectHandleInvalid`].
    pub fn key(&self, handle: ObjectHandle) -> Result<ObjectKey> {
        let entry = self.entries.iter().find(|(known, _)| *known == handle);
        entry.map(|(_, key)| key.clone()).ok_or(Error::ObjectHandleInvalid(handle))
    }

    /// Forgets all objects but these.
    pub fn retain(&mut self, keep: impl Fn(&ObjectKey) -> bool) {
        self.entries.retain(|(_, key)| keep(key));
    }

    /// Forgets an object that is gone; with a private key, its public key.
    pub fn remove(&mut self, key: &ObjectKey) {
        if let ObjectKey::PrivateKey(pair) = key {
            let public = ObjectKey::PublicKey(*pair);
            self.gone_with_private.extend(self.entries.iter().filter(|(_, known)| *known == public).map(|(it, _)| *it));
            self.remove(&public);
        }
        self.entries.retain(|(_, known)| known != key);
    }

    /// Whether the handle was that of a public key that went with its private key; true only once.
    ///
    /// Clients that made two objects destroy two (NSS, `pkcs11-tool --test-ec`): that the second is gone with the first is
    /// what they want, and no error.
    pub fn take_gone_with_private(&mut self, handle: ObjectHandle) -> bool {
        let found = self.gone_with_private.iter().position(|gone| *gone == handle);
        found.map(|at| self.gone_with_private.swap_remove(at)).is_some()
    }
}

/// An object of one session: attributes as they were given or computed.
pub struct SessionObject {
    /// The session it belongs to.
    pub session: u64,
    /// Its attributes.
    pub attributes: Template,
}

impl SessionObject {
    /// The attribute's value.
    ///
    /// # Errors
    /// [`Error::AttributeSensitive`] for the value of a key that is sensitive or not extractable,
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
    /// What their CKA_UNIQUE_IDs begin with: no other process has it.
    prefix: String,
    last: u64,
    objects: Vec<(u64, SessionObject)>,
}

impl SessionObjects {
    /// Adds an object, which gets its CKA_UNIQUE_ID; answers its number.
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

    /// The object of this number.
    pub fn get(&self, number: u64) -> Option<&SessionObject> {
        self.iter().find(|(known, _)| *known == number).map(|(_, object)| object)
    }

    /// The object of this number, to change.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut SessionObject> {
        self.objects.iter_mut().find(|(known, _)| *known == number).map(|(_, object)| object)
    }

    /// Numbers and objects, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &SessionObject)> {
        self.objects.iter().map(|(number, object)| (*number, object))
    }

    /// Removes one object.
    pub fn remove(&mut self, number: u64) {
        self.objects.retain(|(known, _)| *known != number);
    }

    /// Removes the objects of a session that ended, or of all; answers their numbers.
    pub fn remove_of(&mut self, session: Option<u64>) -> Vec<u64> {
        self.remove_where(|object| session.is_none_or(|session| object.session == session))
    }

    /// Removes the private ones; answers their numbers.
    pub fn remove_private(&mut self) -> Vec<u64> {
        self.remove_where(SessionObject::is_private)
    }

    fn remove_where(&mut self, is_gone: impl Fn(&SessionObject) -> bool) -> Vec<u64> {
        let gone = self.iter().filter(|(_, object)| is_gone(object)).map(|(number, _)| number).collect();
        self.objects.retain(|(_, object)| !is_gone(object));
        gone
    }
}
