//! The state file between its readers, who ask no bus, and this process's own writes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::absence::no_chip;
use super::error::Result;
use super::snapshot::{Board, Known};
use super::state::State;

/// Keeps the readings of the state file and this process's own writes apart: what is posted is never older than what was posted
/// before, and an own change is never taken for another process's.
#[derive(Debug, Default)]
pub(crate) struct StateAccess {
    /// Whether a change is being written. The lock is not held meanwhile: a write waits for the disk.
    writing: Mutex<bool>,
}

impl StateAccess {
    /// Reads the file if another process changed it. While this process changes it, what is posted counts: the change begins
    /// with what the file said then, under the bus lock.
    pub(crate) fn refresh(&self, board: &Board) {
        let writing = self.writing.lock();
        let Some(known) = board.snapshot().known.clone().filter(|_| !*writing) else { return };
        if let Some(read) = known.identity.state_file.read_if_changed(&known.state_read) {
            board.change_known(&known.identity, |known| known.state_changed(read));
        }
    }

    /// Changes the state of the chip that is known, and posts it at once with what is `learned`. The caller has the chip's turn.
    ///
    /// # Errors
    /// [`Error::TokenWriteProtected`](super::Error::TokenWriteProtected), [`Error::DeviceMemory`](super::Error::DeviceMemory);
    /// the state is then what it was, but what is learned is posted.
    pub(crate) fn change(
        &self,
        board: &Board,
        change: &mut dyn FnMut(&mut State),
        learned: &dyn Fn(&mut Known),
    ) -> Result<()> {
        let writing = Writing::begin(self);
        // What a reader may have posted until now counts.
        let Some(known) = board.snapshot().known.clone() else { return Err(no_chip()) };
        let written = known.identity.state_file.change(&known.state_read, change);
        writing
            .end_with(|| {
                board.change_known(&known.identity, |known| {
                    let written =
                        written.map(|written| known.state_read = written.map_or(known.state_read.clone(), Arc::new));
                    learned(known);
                    written
                })
            })
            .unwrap_or_else(|| Err(no_chip()))
    }
}

/// A change that is being written.
struct Writing<'a>(&'a StateAccess);

impl<'a> Writing<'a> {
    fn begin(access: &'a StateAccess) -> Self {
        *access.writing.lock() = true;
        Self(access)
    }

    /// Posts what was written before anybody reads the file again.
    fn end_with<T>(self, post: impl FnOnce() -> T) -> T {
        let mut writing = self.0.writing.lock();
        *writing = false;
        post()
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        *self.0.writing.lock() = false;
    }
}
