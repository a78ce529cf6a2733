// SPDX-License-Identifier: MIT OR Apache-2.0
//! The open sessions, and their operations.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use cryptoki_sys::*;
use parking_lot::Mutex;

use super::error::{Error, FixedText, Result};
use super::types::{from_ulong, to_ulong};
use atecc608_token::pin::Who;
use atecc608_token::{
    CipherOperation, DigestOperation, MessageCipher, ObjectHandle, SessionRef, SignOperation, Token, VerifyOperation,
};

/// The last session handle in this process. (As wide as a CK_ULONG on every Linux.)
static LAST_HANDLE: AtomicUsize = AtomicUsize::new(0);

/// The table of open sessions.
///
/// Lock order: a session's lock, then the table's. No function waits for a session while it holds the table's lock.
#[derive(Default)]
pub struct Sessions {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// In the order of opening; programs have few at a time.
    open: Vec<Entry>,
}

/// The properties of a session that are known without locking it.
struct Entry {
    handle: u64,
    token: Arc<Token>,
    read_write: bool,
    session: Arc<Mutex<Session>>,
}

/// How many sessions a token has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub all: usize,
    /// The read-write ones.
    pub read_write: usize,
}

impl Sessions {
    /// Opens a session. Handles are never reused, even after C_Finalize and C_Initialize: a thread with an outdated
    /// handle can't reach another session.
    pub fn open(&self, token: &Arc<Token>, read_write: bool) -> CK_SESSION_HANDLE {
        let mut table = self.table.lock();
        // A 32-bit CK_ULONG overflows after 2^32 sessions.
        let handle = loop {
            let next = LAST_HANDLE.fetch_add(1, Ordering::Relaxed).wrapping_add(1) as u64;
            if next != 0 && !table.open.iter().any(|entry| entry.handle == next) {
                break next;
            }
        };
        let session = Arc::new(Mutex::new(Session::new(handle, token.clone(), read_write)));
        table.open.push(Entry { handle, token: token.clone(), read_write, session });
        to_ulong(handle)
    }

    /// Locks a session for `body`.
    ///
    /// # Errors
    /// [`Error::SessionHandleInvalid`] if the session is not open; else the error of `body`.
    pub fn with<T>(&self, handle: CK_SESSION_HANDLE, body: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let handle = from_ulong(handle);
        let session = self.table.lock().position(handle, |table, at| table.open[at].session.clone());
        let Some(session) = session else { return Err(Error::SessionHandleInvalid(handle)) };
        let mut session = session.lock();
        // Closed by another thread while this one waited.
        if session.closed {
            Err(Error::SessionHandleInvalid(handle))
        } else {
            body(&mut session)
        }
    }

    /// Closes a session, after the call in progress in it.
    ///
    /// # Errors
    /// [`Error::SessionHandleInvalid`] if the session is not open.
    pub fn close(&self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let handle = from_ulong(handle);
        let entry = self.table.lock().position(handle, |table, at| table.open.remove(at));
        let Some(entry) = entry else { return Err(Error::SessionHandleInvalid(handle)) };
        self.ended(&[entry]);
        Ok(())
    }

    /// Closes all sessions of a token.
    pub fn close_all(&self, token: &Token) {
        let mine = |entry: &Entry| entry.token.slot_id() == token.slot_id();
        let entries: Vec<Entry> = {
            let mut table = self.table.lock();
            let (mine, others) = std::mem::take(&mut table.open).into_iter().partition(mine);
            table.open = others;
            mine
        };
        self.ended(&entries);
    }

    /// Ends sessions that are no longer in the table.
    fn ended(&self, entries: &[Entry]) {
        for Entry { token, session, .. } in entries {
            let mut session = session.lock();
            // Its operations are dropped with it: now, or after the last thread that waits for it.
            session.closed = true;
            token.session_closed(session.handle);
        }
        let Some(Entry { token, .. }) = entries.first() else { return };
        // Under the table's lock, so that no session is opened (and logged in) between the count and the logout.
        let table = self.table.lock();
        if table.counts(token).all == 0 {
            token.all_sessions_closed();
        }
    }

    /// How many sessions a token has open.
    pub fn counts(&self, token: &Token) -> Counts {
        self.table.lock().counts(token)
    }
}

impl Table {
    /// Calls `then` with the position of this handle, if there is one.
    fn position<T>(&mut self, handle: u64, then: impl FnOnce(&mut Self, usize) -> T) -> Option<T> {
        self.open.iter().position(|entry| entry.handle == handle).map(|at| then(self, at))
    }

    fn counts(&self, token: &Token) -> Counts {
        let mut counts = Counts::default();
        for entry in self.open.iter().filter(|entry| entry.token.slot_id() == token.slot_id()) {
            counts.all += 1;
            counts.read_write += usize::from(entry.read_write);
        }
        counts
    }
}

/// An open session. Its operations are independent of each other, so that a caller may search while it signs.
pub struct Session {
    handle: u64,
    token: Arc<Token>,
    read_write: bool,
    closed: bool,
    /// C_FindObjects.
    pub find: Activity<Search>,
    /// C_Encrypt.
    pub encrypt: Activity<CipherOperation>,
    /// C_Decrypt.
    pub decrypt: Activity<CipherOperation>,
    /// C_EncryptMessage.
    pub message_encrypt: Activity<MessageCipher>,
    /// C_DecryptMessage.
    pub message_decrypt: Activity<MessageCipher>,
    /// C_Sign.
    pub sign: Activity<SignOperation>,
    /// C_Verify, C_VerifySignature.
    pub verify: Activity<Verification>,
    /// C_Digest.
    pub digest: Activity<DigestOperation>,
}

/// The matches of C_FindObjectsInit that were not returned yet.
pub struct Search {
    /// The matches.
    pub found: std::vec::IntoIter<ObjectHandle>,
}

/// A verification; with C_VerifySignatureInit the signature is known from the start.
pub struct Verification {
    /// The token's part.
    pub operation: VerifyOperation,
    /// The signature, if C_VerifySignatureInit gave it.
    pub signature: Option<Vec<u8>>,
}

impl Session {
    fn new(handle: u64, token: Arc<Token>, read_write: bool) -> Self {
        Self {
            handle,
            token,
            read_write,
            closed: false,
            find: Activity::new(&"search"),
            encrypt: Activity::new(&"encryption"),
            decrypt: Activity::new(&"decryption"),
            message_encrypt: Activity::new(&"message encryption"),
            message_decrypt: Activity::new(&"message decryption"),
            sign: Activity::new(&"signing operation"),
            verify: Activity::new(&"verification"),
            digest: Activity::new(&"digest operation"),
        }
    }

    /// The token it is with.
    pub fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// The token's reference to the session.
    pub fn reference(&self) -> SessionRef {
        SessionRef { id: self.handle, read_write: self.read_write }
    }

    /// CKF flags of the session.
    pub fn flags(&self) -> CK_FLAGS {
        CKF_SERIAL_SESSION | if self.read_write { CKF_RW_SESSION } else { 0 }
    }

    /// CKS state, which follows the token's login.
    pub fn state(&self) -> CK_STATE {
        match (self.read_write, self.token.who()) {
            (false, Who::User) => CKS_RO_USER_FUNCTIONS,
            (false, _) => CKS_RO_PUBLIC_SESSION,
            (true, Who::Nobody) => CKS_RW_PUBLIC_SESSION,
            (true, Who::User) => CKS_RW_USER_FUNCTIONS,
            (true, Who::Officer) => CKS_RW_SO_FUNCTIONS,
        }
    }

    /// Whether a cryptographic operation is in progress.
    pub fn is_busy(&self) -> bool {
        self.encrypt.active.is_some()
            || self.decrypt.active.is_some()
            || self.sign.active.is_some()
            || self.verify.active.is_some()
            || self.digest.active.is_some()
            || self.message_encrypt.active.is_some()
            || self.message_decrypt.active.is_some()
    }
}

/// A place for one operation of a kind: empty, or an operation that waits for data or has processed some parts.
pub struct Activity<T> {
    kind: FixedText,
    /// Boxed, so that an idle session is small and quick to open: key schedules and contexts are large.
    active: Option<Box<T>>,
    in_parts: bool,
}

impl<T> Activity<T> {
    fn new(kind: FixedText) -> Self {
        Self { kind, active: None, in_parts: false }
    }

    /// Checks that a new operation may start.
    ///
    /// # Errors
    /// [`Error::OperationActive`] if an operation is active.
    pub fn check_idle(&self) -> Result<()> {
        if self.active.is_some() {
            Err(Error::OperationActive(self.kind))
        } else {
            Ok(())
        }
    }

    /// Starts an operation.
    ///
    /// # Errors
    /// [`Error::OperationActive`] if an operation is active.
    pub fn start(&mut self, operation: T) -> Result<()> {
        self.check_idle()?;
        self.active = Some(Box::new(operation));
        self.in_parts = false;
        Ok(())
    }

    /// Returns the active operation.
    ///
    /// # Errors
    /// [`Error::OperationNotInitialized`] if there is none.
    pub fn active(&mut self) -> Result<&mut T> {
        self.active.as_deref_mut().ok_or(Error::OperationNotInitialized(self.kind))
    }

    /// Checks that an operation is active and has received no data, as a single-part call requires. If it has processed
    /// parts, the call ends it.
    ///
    /// # Errors
    /// [`Error::OperationNotInitialized`] if there is none; [`Error::OperationActive`] if it has processed parts.
    pub fn check_unused(&mut self) -> Result<&mut T> {
        if self.active.is_some() && self.in_parts {
            self.cancel();
            return Err(Error::OperationActive(self.kind));
        }
        self.active()
    }

    /// Runs one part of the operation. An error ends it, as the standard requires.
    ///
    /// # Errors
    /// [`Error::OperationNotInitialized`] if there is none; else the error of `part`.
    pub fn part(&mut self, part: impl FnOnce(&mut T) -> Result<()>) -> Result<()> {
        let operation = self.active()?;
        let result = part(operation);
        self.in_parts = true;
        self.or_end(result)
    }

    /// Ends the operation if the result is an error, as the standard requires of nearly all functions.
    ///
    /// # Errors
    /// The error of `result`.
    pub fn or_end<V>(&mut self, result: Result<V>) -> Result<V> {
        if result.is_err() {
            self.cancel();
        }
        result
    }

    /// Takes the operation, which is then ended.
    ///
    /// # Errors
    /// [`Error::OperationNotInitialized`] if there is none.
    pub fn take(&mut self) -> Result<T> {
        self.in_parts = false;
        self.active.take().map(|operation| *operation).ok_or(Error::OperationNotInitialized(self.kind))
    }

    /// Ends the operation; returns whether there was one.
    pub fn cancel(&mut self) -> bool {
        self.in_parts = false;
        self.active.take().is_some()
    }

    /// C_…Init with a NULL mechanism: since 3.0 that ends the operation.
    ///
    /// # Errors
    /// [`Error::ArgumentsBad`] if there is no operation.
    pub fn cancel_by_null_mechanism(&mut self) -> Result<()> {
        if self.cancel() {
            Ok(())
        } else {
            Err(Error::ArgumentsBad(&"the mechanism is NULL"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_excludes_another_of_its_kind() {
        let mut activity = Activity::new(&"test");
        assert!(matches!(activity.active(), Err(Error::OperationNotInitialized(&"test"))));
        activity.start(1).unwrap();
        assert!(matches!(activity.start(2), Err(Error::OperationActive(&"test"))));
        assert_eq!(activity.take().unwrap(), 1);
        activity.start(3).unwrap();
    }

    #[test]
    fn a_single_call_does_not_finish_parts_but_ends_them() {
        let mut activity = Activity::new(&"test");
        activity.start(1).unwrap();
        activity.part(|_| Ok(())).unwrap();
        assert!(matches!(activity.check_unused(), Err(Error::OperationActive(_))));
        assert!(matches!(activity.check_unused(), Err(Error::OperationNotInitialized(_))));
        activity.start(2).unwrap();
        assert!(activity.check_unused().is_ok());
    }

    #[test]
    fn a_failed_part_ends_the_operation() {
        let mut activity = Activity::new(&"test");
        activity.start(1).unwrap();
        assert!(activity.part(|_| Err(Error::NoEvent)).is_err());
        assert!(matches!(activity.active(), Err(Error::OperationNotInitialized(_))));
    }

    #[test]
    fn a_null_mechanism_ends_an_operation_or_is_a_mistake() {
        let mut activity = Activity::new(&"test");
        assert!(matches!(activity.cancel_by_null_mechanism(), Err(Error::ArgumentsBad(_))));
        activity.start(1).unwrap();
        assert!(activity.cancel_by_null_mechanism().is_ok());
        assert!(activity.active().is_err());
    }
}
