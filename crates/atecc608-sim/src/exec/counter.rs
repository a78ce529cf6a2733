// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counter (fact sheet sections 3.3 and 5.6).

use super::super::core::{allow, Core, Outcome, Refusal};
use super::Execute;
use crate::image::Part;
use atecc608_wire::commands::Counter;
use atecc608_wire::config_zone::{counter_encode, offset, COUNTER_MAX};

impl Execute for Counter {
    fn execute(&self, core: &mut Core) -> Outcome {
        let config = core.config();
        // Sections 3.3 and 5.7: no increment before the lock; whether a read is refused too is uncertain.
        allow(config.config_locked() || !(self.increment || core.switches.counter_needs_config_lock))?;
        let number = usize::from(self.number);
        let mut value = config.counter(number).ok_or(Refusal::EXECUTION)?;
        if self.increment {
            allow(value < COUNTER_MAX)?;
            value += 1;
            core.program(Part::Config, offset::COUNTERS + 8 * number, &counter_encode(value))?;
        }
        Ok(value.to_le_bytes().to_vec())
    }
}
