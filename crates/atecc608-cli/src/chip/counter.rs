// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 counter`: the chip's two monotonic counters. They only count up, by one at a time, to 2,097,151.

use clap::Args;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::output::Output;
use crate::target::{Selection, Target};
use atecc608 as chip;
use atecc608_wire::commands::Counter;
use atecc608_wire::config_zone::COUNTER_MAX;
use atecc608_wire::{ConfigZone, Slot, Status};

/// Arguments of `counter`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The counter; both if omitted
    #[arg(value_parser = clap::value_parser!(u8).range(0..=1))]
    number: Option<u8>,
    /// Increment it by one first, permanently
    #[arg(long, requires = "number")]
    increment: bool,
}

#[derive(Serialize)]
struct Counters {
    counters: Vec<Value>,
}

#[derive(Serialize)]
struct Value {
    counter: u8,
    value: u32,
    /// The number of increments left.
    left: u32,
}

/// Shows counters, or increments one.
///
/// # Errors
/// [`Error::Refused`] if the counter is at its end, or keys with limited use depend on it; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let zone = target.read_config_locked()?;
    check(&zone, &target, arguments)?;
    let numbers = arguments.number.map_or_else(|| vec![0, 1], |number| vec![number]);
    let mut counters = Vec::new();
    for number in numbers {
        let value = if arguments.increment {
            increment(&mut target, number)?
        } else {
            target.converse(|awake| awake.execute(&Counter { number, increment: false }))?
        };
        counters.push(Value { counter: number, value, left: COUNTER_MAX.saturating_sub(value) });
    }
    drop(guard);
    let text: String = counters
        .iter()
        .map(|Value { counter, value, left }| format!("counter {counter}  {value}  ({left} more)\n"))
        .collect();
    Output::new(text, &Counters { counters })
}

fn check(zone: &ConfigZone, target: &Target, arguments: &Arguments) -> Result<()> {
    let refused = |problem: String| Err(Error::Refused(format!("{}: {problem}", target.place())));
    target.ensure_608()?;
    if !arguments.increment {
        return Ok(());
    }
    if !zone.config_locked() {
        return refused(format!(
            "the chip {} is blank: its counters do not count until its configuration is locked (`atecc608 provision tls`)",
            zone.serial_number()
        ));
    }
    let limited: Vec<String> =
        Slot::all().filter(|slot| zone.slot_config(*slot).limited_use()).map(|slot| slot.to_string()).collect();
    if arguments.number == Some(0) && !limited.is_empty() {
        return refused(format!(
            "counter 0 limits the uses of the keys in slots {}, and this would consume one use: use counter 1 \
             (`atecc608 counter 1 --increment`)",
            limited.join(", ")
        ));
    }
    Ok(())
}

fn increment(target: &mut Target, number: u8) -> Result<u32> {
    let place = target.place();
    target.chip.increment_counter(number).map_err(|cause| match cause {
        cause if cause.has_status(Status::EXECUTION_ERROR) => Error::Refused(format!(
            "{place}: counter {number} has reached its maximum ({COUNTER_MAX}); it can't be incremented or reset"
        )),
        cause @ chip::Error::Uncertain { .. } => Error::Refused(format!(
            "{place}: {cause}. The counter may have been incremented: check it when the chip responds again (`atecc608 \
             counter {number}`)"
        )),
        cause => Error::Chip { place, cause },
    })
}
