// SPDX-License-Identifier: MIT OR Apache-2.0
//! The models' replacement of `crate::sync`: shuttle's locks with `parking_lot`'s functions, and a clock whose
//! deadlines may pass at any moment.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Instant;

use shuttle::rand::Rng;
use shuttle::sync as shuttled;

/// A mutex without poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttled::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(shuttled::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, guard: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)) }
    }
}

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// `None` only while a condition variable waits.
    guard: Option<shuttled::MutexGuard<'a, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_deref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_deref_mut().unwrap()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttled::Condvar);

pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let unlocked = guard.guard.take().unwrap();
        guard.guard = Some(self.0.wait(unlocked).unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends with a notification, or at some moment before or after one: the latter is the race of a deadline with the
    /// turn.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _end: Instant) -> WaitTimeoutResult {
        let mut random = shuttle::rand::thread_rng();
        let times_out = random.gen();
        if times_out {
            guard.guard = None;
            for _ in 0..random.gen_range(0..6) {
                shuttle::thread::yield_now();
            }
            guard.guard = guard.mutex.lock().guard.take();
        } else {
            self.wait(guard);
        }
        WaitTimeoutResult(times_out)
    }
}
