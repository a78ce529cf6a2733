// SPDX-License-Identifier: MIT OR Apache-2.0
//! A value that is replaced as a whole.

use std::sync::Arc;

use super::sync::Mutex;

/// The holder of a posted value. A posted value never changes, so a reader has a consistent one, whatever is posted
/// meanwhile.
#[derive(Debug)]
pub(crate) struct Posted<T>(Mutex<Arc<T>>);

impl<T: Clone> Posted<T> {
    /// Posts the first value.
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    /// Returns the posted value.
    pub(crate) fn get(&self) -> Arc<T> {
        self.0.lock().clone()
    }

    /// Posts a changed copy. No change of another thread is lost: the lock is held during the change, which must not
    /// wait.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut posted = self.0.lock();
        let mut value = T::clone(&posted);
        let result = change(&mut value);
        *posted = Arc::new(value);
        result
    }
}
