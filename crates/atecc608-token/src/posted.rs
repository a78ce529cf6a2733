//! A value that is replaced whole.

use std::sync::Arc;

use super::sync::Mutex;

/// The place where a value is posted. A posted value never changes, so a reader has a whole one, whatever is posted meanwhile.
#[derive(Debug)]
pub(crate) struct Posted<T>(Mutex<Arc<T>>);

impl<T: Clone> Posted<T> {
    /// Posts the first value.
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    /// Returns the value that is posted.
    pub(crate) fn get(&self) -> Arc<T> {
        self.0.lock().clone()
    }

    /// Posts a changed copy. No change of another thread's is lost: the lock is held for the change, which must wait for nobody.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut posted = self.0.lock();
        let mut value = T::clone(&posted);
        let result = change(&mut value);
        *posted = Arc::new(value);
        result
    }
}
