// SPDX-License-Identifier: MIT OR Apache-2.0
//! When to poll a busy chip: the observed time that this chip takes for a command, and the interval between two polls.
//!
//! A time can depend on a secret, so the observed times are kept in the [`Chip`](crate::Chip) only, and never written
//! or logged.

use alloc::vec::Vec;
use core::time::Duration;

use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::CommandPacket;

/// The interval between two polls: this fraction of the time that has passed ...
const PART_OF_PASSED: u32 = 25;
/// ... but at least this,
const SHORTEST: Duration = Duration::from_millis(1);
/// and at most this.
const LONGEST: Duration = Duration::from_millis(2);
/// The interval between two polls around the time at which the chip usually finishes.
const FINE: Duration = Duration::from_micros(250);
/// Number of executions of about the same duration that make an estimate.
const ENOUGH: usize = 8;

/// The observed times of one chip.
#[derive(Default)]
pub(super) struct Paces(Vec<(Kind, Seen)>);

/// An opcode and its mode: modes of one command take different times.
type Kind = (u8, u8);

/// The last executions of one kind: when a poll found the chip still busy, and when the next one found it ready.
#[derive(Clone, Copy, Default)]
struct Seen {
    last: [(Duration, Duration); ENOUGH],
    count: usize,
}

/// When to poll during one execution. Times count from the end of the command's transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// The time of the first poll.
    pub(super) first: Duration,
    /// Polls are [`FINE`] apart until this time.
    fine_until: Duration,
}

impl Pace {
    /// Returns the time from the start of a poll, at `passed`, to the start of the next one.
    pub(super) fn interval(&self, passed: Duration) -> Duration {
        if passed < self.fine_until {
            return FINE;
        }
        coarse(passed)
    }
}

fn coarse(passed: Duration) -> Duration {
    (passed / PART_OF_PASSED).clamp(SHORTEST, LONGEST)
}

impl Paces {
    /// Returns when to poll: from the time at which the chip was busy in each of the last executions, if they ended at about the same time,
    /// else from the command's typical time. Never begins after its maximum.
    pub(super) fn of(&self, packet: &CommandPacket, divider: ClockDivider) -> Pace {
        let steady = self.0.iter().find(|(kind, _)| *kind == kind_of(packet)).and_then(|(_, seen)| seen.steady());
        match steady {
            Some((busy, ready)) => {
                Pace { first: busy.min(timing::maximum(packet.opcode, divider)), fine_until: ready + FINE }
            }
            None => Pace { first: timing::typical(packet.opcode, divider), fine_until: Duration::ZERO },
        }
    }

    /// Records an executed command: the last poll that found the chip busy, if one did, and the one that found it
    /// ready.
    pub(super) fn learn(&mut self, packet: &CommandPacket, pace: Pace, busy: Option<Duration>, ready: Duration) {
        let kind = kind_of(packet);
        let at = self.0.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            self.0.push((kind, Seen::default()));
            self.0.len() - 1
        });
        let seen = &mut self.0[at].1;
        match busy {
            // If the host polled late, the time says nothing about the chip.
            Some(busy) if ready > busy + pace.interval(busy) * 2 => {}
            Some(busy) => {
                seen.last[seen.count % ENOUGH] = (busy, ready);
                seen.count += 1;
            }
            None if ready > pace.first + FINE => {}
            // Ready at the first poll: the time is unknown.
            None => *seen = Seen::default(),
        }
    }

    /// Forgets all times: the chip's clock speed has changed, or it is another chip.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Seen {
    /// Returns the earliest time at which the chip was seen busy and the latest at which it was ready, if they are not
    /// further apart than two polls.
    fn steady(&self) -> Option<(Duration, Duration)> {
        let busy = self.last.iter().map(|(busy, _)| *busy).min()?;
        let ready = self.last.iter().map(|(_, ready)| *ready).max()?;
        (self.count >= ENOUGH && ready - busy <= coarse(ready) * 5 / 4).then_some((busy, ready))
    }
}

fn kind_of(packet: &CommandPacket) -> Kind {
    (packet.opcode.0, packet.param1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atecc608_wire::Opcode;

    const M0: ClockDivider = ClockDivider::M0;

    fn sign() -> CommandPacket {
        CommandPacket { opcode: Opcode::SIGN, param1: 0xA0, param2: 0, data: Vec::new() }
    }

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// Runs one execution on a clock without a bus. Returns how many polls found the chip busy, and how long it was
    /// ready before a poll noticed.
    fn execute(paces: &mut Paces, takes: Duration) -> (u32, Duration) {
        let pace = paces.of(&sign(), M0);
        let (mut at, mut busy, mut polls) = (pace.first, None, 0);
        while at < takes {
            (busy, polls) = (Some(at), polls + 1);
            at += pace.interval(at);
        }
        paces.learn(&sign(), pace, busy, at);
        (polls, at - takes)
    }

    fn executes(paces: &mut Paces, times: usize, takes: Duration) {
        for _ in 0..times {
            execute(paces, takes);
        }
    }

    #[test]
    fn polls_begin_at_the_typical_time_until_enough_executions_took_the_same() {
        let mut paces = Paces::default();
        for _ in 0..ENOUGH {
            assert_eq!(paces.of(&sign(), M0).first, timing::typical(Opcode::SIGN, M0));
            execute(&mut paces, us(71_300));
        }
        assert!(paces.of(&sign(), M0).first > us(69_000));
    }

    #[test]
    fn a_steady_time_is_found_to_a_quarter_of_a_millisecond_wherever_it_is() {
        for takes in (42_010..115_000).step_by(997) {
            let mut paces = Paces::default();
            executes(&mut paces, 3 * ENOUGH, us(takes));
            let (polls, wasted) = execute(&mut paces, us(takes));
            assert!(polls <= 2 && wasted <= FINE, "{takes} us: {polls} polls, {wasted:?} wasted");
        }
    }

    #[test]
    fn a_chip_that_becomes_faster_or_slower_is_learnt_anew_after_one_execution() {
        for then in [50_000, 100_000] {
            let mut paces = Paces::default();
            executes(&mut paces, 3 * ENOUGH, us(75_000));
            execute(&mut paces, us(then));
            let (_, wasted) = execute(&mut paces, us(then));
            assert!(wasted <= LONGEST, "{wasted:?}");
        }
    }

    #[test]
    fn no_estimate_is_above_the_maximum_of_the_table() {
        let mut paces = Paces::default();
        executes(&mut paces, 3 * ENOUGH, us(140_000));
        assert_eq!(paces.of(&sign(), M0).first, timing::maximum(Opcode::SIGN, M0));
    }

    #[test]
    fn modes_are_learnt_one_by_one() {
        let mut paces = Paces::default();
        executes(&mut paces, ENOUGH, us(75_000));
        let mut other = sign();
        other.param1 = 0x80;
        assert_eq!(paces.of(&other, M0).first, timing::typical(Opcode::SIGN, M0));
    }

    #[test]
    fn polls_of_a_host_that_was_late_teach_nothing() {
        let mut paces = Paces::default();
        executes(&mut paces, 3 * ENOUGH, us(75_000));
        let learnt = paces.of(&sign(), M0);
        paces.learn(&sign(), learnt, None, us(95_000));
        paces.learn(&sign(), learnt, Some(us(74_900)), us(95_000));
        assert_eq!(paces.of(&sign(), M0), learnt);
    }
}
