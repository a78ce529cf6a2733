// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mutex that threads get in the order of their requests.
//!
//! `parking_lot` and `std` let a thread that unlocks take the lock again before the next waiter has woken up. If the
//! lock is held for the time of a signature, a waiter then waits for many signatures.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::sync::{Condvar, Mutex, MutexGuard};
use crate::deadline::Deadline;

/// Protects a value; first in, first out among the threads of one process.
///
/// A panic of the holder unlocks it (no poisoning). A thread that locks it twice waits for itself until the deadline.
#[derive(Default)]
pub struct FairMutex<T> {
    line: Line,
    /// Locked only by the thread whose turn it is, so this lock never waits.
    value: Mutex<T>,
}

/// The value of a [`FairMutex`]. Dropping it hands the mutex to the thread that has waited longest.
#[must_use]
pub struct FairGuard<'a, T> {
    // Declared first, so dropped first: the next thread finds the value unlocked.
    value: MutexGuard<'a, T>,
    _turn: Turn<'a>,
}

impl<T> FairMutex<T> {
    /// Returns an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { line: Line::new(), value: Mutex::new(value) }
    }

    /// Locks the mutex after all threads that requested it earlier, or returns `None` when the deadline passes. A
    /// thread that gives up does not change the order of the others. A free mutex is locked whatever the deadline.
    pub fn lock(&self, deadline: Deadline) -> Option<FairGuard<'_, T>> {
        self.line.wait(deadline).map(|turn| FairGuard { value: self.value.lock(), _turn: turn })
    }

    /// Locks the mutex if it is free. It is not free while threads wait for it.
    pub fn try_lock(&self) -> Option<FairGuard<'_, T>> {
        self.line.enter().map(|turn| FairGuard { value: self.value.lock(), _turn: turn })
    }

    /// Returns how many threads wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.line.state.lock().waiting.len()
    }
}

impl<T> Deref for FairGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for FairGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// The thread with the turn, and the waiting threads.
#[derive(Default)]
struct Line {
    state: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    taken: bool,
    waiting: VecDeque<Arc<Waiter>>,
}

/// One waiting thread. Each has its own condition variable, so that the hand-over wakes one thread.
#[derive(Default)]
struct Waiter {
    turn_came: Condvar,
}

/// The turn of one thread.
struct Turn<'a>(&'a Line);

impl Line {
    const fn new() -> Self {
        Self { state: Mutex::new(LineState { taken: false, waiting: VecDeque::new() }) }
    }

    fn enter(&self) -> Option<Turn<'_>> {
        let mut state = self.state.lock();
        if state.taken {
            // Not free while it is being handed over, either.
            return None;
        }
        state.taken = true;
        Some(Turn(self))
    }

    fn wait(&self, deadline: Deadline) -> Option<Turn<'_>> {
        let mut state = self.state.lock();
        if !state.taken {
            state.taken = true;
            return Some(Turn(self));
        }
        let waiter = Arc::new(Waiter::default());
        state.waiting.push_back(Arc::clone(&waiter));
        loop {
            let timed_out = match deadline.end() {
                Some(end) => waiter.turn_came.wait_until(&mut state, end).timed_out(),
                None => {
                    waiter.turn_came.wait(&mut state);
                    false
                }
            };
            // The thread that hands the turn over removes the waiter from the line.
            let Some(place) = state.waiting.iter().position(|other| Arc::ptr_eq(other, &waiter)) else {
                return Some(Turn(self));
            };
            if timed_out {
                state.waiting.remove(place);
                return None;
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match state.waiting.pop_front() {
            Some(next) => {
                next.turn_came.notify_one();
            }
            None => state.taken = false,
        }
    }
}
