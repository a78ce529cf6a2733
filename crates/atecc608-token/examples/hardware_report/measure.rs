// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measurements: bus clock, wake delay, watchdog, execution times.

use std::time::Duration;

use atecc608_wire::timing::{self, WATCHDOG_MAX_MS, WATCHDOG_MIN_MS};
use atecc608_wire::{word_address, WAKE_RESPONSE};

use crate::bench::{Bench, Step};
use crate::probe::Facts;
use crate::report::{Measure, Timing};

/// The interval between two checks whether the watchdog has expired.
const WATCHDOG_STEP: Duration = Duration::from_millis(4);
/// A measurement with a longer gap between two checks, because this program was not scheduled, is repeated.
const WATCHDOG_GAP: Duration = Duration::from_millis(10);
/// The time after which the long watchdog (ChipMode bit 2) must have expired, in milliseconds.
const LONG_WATCHDOG_MS: u64 = 20_000;
/// The accuracy of measured wake delays, in microseconds.
const WAKE_STEP_US: u64 = 25;

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the bus clock in hertz, from the difference in time between a long and a short read.
pub fn bus_clock(bench: &mut Bench) -> Step<u32> {
    bench.fresh()?;
    let mut time_of = |len: usize| -> Step<Duration> {
        let mut shortest = Duration::MAX;
        for _ in 0..5 {
            bench.write(&[word_address::RESET])?;
            let start = bench.now();
            bench.read(len)?.ok_or("the chip does not acknowledge a read")?;
            shortest = shortest.min(bench.now().saturating_sub(start));
        }
        Ok(shortest)
    };
    let difference = time_of(104)?.saturating_sub(time_of(4)?);
    // Nine bits for each byte.
    let hertz = 900_000_000 / micros(difference).max(1);
    // Rounds to a usual clock, if one is near.
    let named = [10_000, 50_000, 100_000, 400_000, 1_000_000].into_iter();
    let hertz = u32::try_from(hertz).unwrap_or(u32::MAX);
    Ok(named.min_by_key(|name| hertz.abs_diff(*name)).filter(|name| hertz.abs_diff(*name) < name / 8).unwrap_or(hertz))
}

/// Repeats a measurement, or returns why it can't be made.
fn measured(mut measure: Measure, tries: u32, mut one: impl FnMut() -> Step<u64>) -> Measure {
    for _ in 0..tries {
        match one() {
            Ok(value) => measure.values.push(value),
            Err(trouble) => measure.note = Some(trouble),
        }
    }
    measure
}

/// All but the execution times.
pub fn measures(bench: &mut Bench, facts: &Facts) -> Vec<Measure> {
    let self_test = facts.config.chip_options().power_on_self_test();
    let promised = if self_test { timing::WAKE_HIGH_SELF_TEST_US } else { timing::WAKE_HIGH_US };
    let long = facts.config.chip_mode() & 4 != 0;
    let measure = |name: &str, section: &str, unit: &str| Measure {
        name: name.to_owned(),
        section: section.to_owned(),
        unit: unit.to_owned(),
        values: Vec::new(),
        at_least: None,
        at_most: None,
        accuracy: 0,
        note: None,
    };
    let clock = Measure {
        at_most: Some(1_000_000),
        note: Some("from the time that reading 100 bytes takes".to_owned()),
        ..measure("bus clock", "1.2", "Hz")
    };
    let note = Some("the longest after which it did not answer yet".to_owned());
    let wake = Measure { at_most: Some(promised), accuracy: WAKE_STEP_US, note, ..measure("wake delay", "1.2", "us") };
    let (low, high, tries) = match long {
        true => (None, None, 1),
        false => (Some(WATCHDOG_MIN_MS), Some(WATCHDOG_MAX_MS), 3),
    };
    let watchdog = Measure { at_least: low, at_most: high, accuracy: 10, ..measure("watchdog", "1.2", "ms") };
    let limit = if long { LONG_WATCHDOG_MS } else { 2 * WATCHDOG_MAX_MS };
    vec![
        measured(clock, 1, || bus_clock(bench).map(u64::from)),
        measured(wake, 3, || wake_delay(bench, 2 * promised)),
        measured(watchdog, tries, || watchdog_ms(bench, limit)),
    ]
}

/// Returns the longest delay between wake pulse and read without a wake response, in microseconds, by bisection.
fn wake_delay(bench: &mut Bench, longest: u64) -> Step<u64> {
    let mut answers = |delay: u64| -> Step<(bool, u64)> {
        bench.fresh()?;
        bench.sleep()?;
        bench.wait(Duration::from_millis(2));
        bench.pulse()?;
        let pulsed = bench.now();
        bench.wait(Duration::from_micros(delay));
        let waited = micros(bench.now().saturating_sub(pulsed));
        Ok((bench.read(4)?.is_some_and(|response| response == WAKE_RESPONSE), waited))
    };
    if !answers(longest)?.0 {
        return Err(format!("no wake response {longest} us after the pulse"));
    }
    let (mut low, mut high, mut silent) = (0, longest, 0);
    while high - low > WAKE_STEP_US {
        let middle = (low + high) / 2;
        match answers(middle)? {
            (true, _) => high = middle,
            (false, waited) => (low, silent) = (middle, silent.max(waited)),
        }
    }
    Ok(silent)
}

/// Returns the time from the wake pulse until the chip stops responding, in milliseconds.
fn watchdog_ms(bench: &mut Bench, limit: u64) -> Step<u64> {
    for _ in 0..5 {
        bench.fresh()?;
        let mut alive = Duration::ZERO;
        loop {
            bench.wait(WATCHDOG_STEP);
            let elapsed = bench.now().saturating_sub(bench.woken_at);
            // A read: at 100 kHz its address byte is too short a low pulse to wake the chip again.
            if bench.read(1)?.is_some() {
                alive = elapsed;
            } else if elapsed - alive <= WATCHDOG_GAP {
                return Ok(micros(alive) / 1000);
            } else {
                break;
            }
            if elapsed > Duration::from_millis(limit) {
                return Err(format!("the chip still answers {limit} ms after the wake"));
            }
        }
    }
    Err("this machine is too busy to measure it".to_owned())
}

/// Returns the execution times of successful commands.
pub fn timings(bench: &Bench) -> Vec<Timing> {
    let line = |((opcode, mode), times): (&(_, u8), &Vec<Duration>)| {
        let opcode: atecc608_wire::Opcode = *opcode;
        let mut times: Vec<u64> = times.iter().map(|time| micros(*time)).collect();
        times.sort_unstable();
        Some(Timing {
            command: format!("{opcode} {mode:02X}"),
            n: times.len(),
            min_us: *times.first()?,
            median_us: *times.get(times.len() / 2)?,
            max_us: *times.last()?,
            assumed_max_us: micros(timing::maximum(opcode, bench.divider)),
            assumed_typical_us: micros(timing::typical(opcode, bench.divider)),
        })
    };
    bench.times.iter().filter_map(line).collect()
}
