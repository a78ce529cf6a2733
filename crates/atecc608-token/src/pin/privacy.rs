//! Private objects are seen after a login only, where a login means something (PKCS#11 3.0 section 5.6.8).

use cryptoki_sys::*;

use super::Who;
use crate::error::{Error, Result};
use crate::object::{ObjectKey, SessionObject};
use crate::Inner;

impl SessionObject {
    /// CKA_PRIVATE.
    pub fn is_private(&self) -> bool {
        self.attributes.bytes(CKA_PRIVATE) == Some(&[CK_TRUE])
    }
}

impl Inner {
    /// Whether private objects are hidden now: the token has a PIN, and the user is not logged in.
    pub(crate) fn hides_private(&mut self) -> Result<bool> {
        Ok(self.device.identity()?.scheme.is_some() && self.login.who() != Who::User)
    }

    /// Whether the object is a private one.
    pub(crate) fn is_private(&self, key: &ObjectKey) -> bool {
        match key {
            ObjectKey::PrivateKey(_) | ObjectKey::Secret(_) => true,
            ObjectKey::PublicKey(_) | ObjectKey::Stored(_) | ObjectKey::Feature(_) => false,
            ObjectKey::Session(number) => self.session_objects.get(*number).is_some_and(SessionObject::is_private),
        }
    }

    /// Refuses to make a private object before the login.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`]
    pub(crate) fn may_make(&mut self, private: bool) -> Result<()> {
        if private && self.hides_private()? {
            Err(Error::UserNotLoggedIn)
        } else {
            Ok(())
        }
    }

    /// Ends the handles of all private objects for good; those of sessions go with them.
    pub(crate) fn forget_private_objects(&mut self) {
        for number in self.session_objects.remove_private() {
            self.handles.remove(&ObjectKey::Session(number));
        }
        self.handles.retain(|key| !matches!(key, ObjectKey::PrivateKey(_) | ObjectKey::Secret(_)));
    }

    /// Nobody is logged in any more. Where a login means nothing, objects stay as they are.
    pub(crate) fn logged_out(&mut self) {
        if self.device.secret.take().is_some() {
            self.forget_private_objects();
        }
    }
}
