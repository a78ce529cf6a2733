//! Interim: how long a call waits, and the queue to the chip within this process.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// Until when one call waits for the chip.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    begun: Instant,
    at_most: Duration,
}

impl Deadline {
    /// A call that begins now and waits at most so long.
    pub fn after(at_most: Duration) -> Self {
        Self { begun: Instant::now(), at_most }
    }

    /// What is left.
    pub fn remaining(&self) -> Duration {
        self.at_most.saturating_sub(self.begun.elapsed())
    }
}

/// A mutex with a deadline.
#[derive(Debug, Default)]
pub struct FairMutex<T>(Mutex<T>);

impl<T> FairMutex<T> {
    /// Waits for the turn.
    pub fn lock(&self, deadline: Deadline) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock_for(deadline.remaining())
    }

    /// Takes the turn if nobody has it or waits for it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }
}
