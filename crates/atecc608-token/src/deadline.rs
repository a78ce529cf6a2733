// SPDX-License-Identifier: MIT OR Apache-2.0
//! The deadline of a call.

use std::time::{Duration, Instant};

/// The common limit of all waits of one call: created at its start, and passed to all functions that may wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    end: Option<Instant>,
}

impl Deadline {
    /// Starts a call that may wait for `timeout` in total. A timeout beyond the range of the clock never ends.
    pub fn after(timeout: Duration) -> Self {
        let start = Instant::now();
        Self { start, end: start.checked_add(timeout) }
    }

    /// Runs work that does not count as waiting, and extends the deadline by its duration.
    pub fn exclude<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.end = self.end.and_then(|end| end.checked_add(start.elapsed()));
        result
    }

    /// Returns the time of the deadline, `None` for never.
    pub fn end(&self) -> Option<Instant> {
        self.end
    }

    /// Returns how long the call may still wait: zero after the deadline, [`Duration::MAX`] without one.
    pub fn remaining(&self) -> Duration {
        self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Returns `true` if the call may wait no longer.
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Returns the time since the call's start, for messages.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_when_its_time_is_over() {
        assert!(Deadline::after(Duration::ZERO).passed());
        let deadline = Deadline::after(Duration::from_secs(60));
        assert!(!deadline.passed());
        assert!(deadline.remaining() <= Duration::from_secs(60) && deadline.remaining() > Duration::from_secs(50));
    }

    #[test]
    fn work_does_not_count() {
        let mut deadline = Deadline::after(Duration::from_millis(20));
        deadline.exclude(|| std::thread::sleep(Duration::from_millis(30)));
        assert!(!deadline.passed());
        std::thread::sleep(Duration::from_millis(30));
        assert!(deadline.passed());
    }

    #[test]
    fn a_timeout_that_the_clock_cannot_express_never_passes() {
        let deadline = Deadline::after(Duration::MAX);
        assert_eq!((deadline.end(), deadline.remaining()), (None, Duration::MAX));
    }
}
