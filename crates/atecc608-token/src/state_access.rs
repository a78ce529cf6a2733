// SPDX-License-Identifier: MIT OR Apache-2.0
//! Coordinates the readers of the state file, who need no bus, with this process's own writes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::absence::no_chip;
use super::error::Result;
use super::snapshot::{Board, Known};
use super::state::State;

/// Separates readings of the state file from this process's own writes: a posted state is never older than the previous
/// one, and an own change is never mistaken for another process's.
#[derive(Debug, Default)]
pub(crate) struct StateAccess {
    /// Whether a change is being written. The lock is not held meanwhile, because a write waits for the disk.
    writing: Mutex<bool>,
}

impl StateAccess {
    /// Reads the file if another process changed it. During a change by this process the posted state counts: the
    /// change starts from the file as it was then, under the bus lock.
    pub(crate) fn refresh(&self, board: &Board) {
        let writing = self.writing.lock();
        let Some(known) = board.snapshot().known.clone().filter(|_| !*writing) else { return };
        if let Some(read) = known.identity.state_file.read_if_changed(&known.state_read) {
            board.change_known(&known.identity, |known| known.state_changed(read));
        }
    }

    /// Changes the state of the known chip, and posts it together with the facts in `learned`. The caller has the
    /// chip's turn.
    ///
    /// # Errors
    /// The [state folder errors](super::Error#state-folder-errors); the state is then unchanged, but the
    /// learned facts are posted.
    pub(crate) fn change(
        &self,
        board: &Board,
        change: &mut dyn FnMut(&mut State),
        learned: &dyn Fn(&mut Known),
    ) -> Result<()> {
        let writing = Writing::begin(self);
        // Includes facts that a reader posted until now.
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

    /// Posts the written state before the file is read again.
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
