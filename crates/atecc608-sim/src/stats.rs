// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counters of the bus traffic (DESIGN.md section 6).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use atecc608_wire::timing::{self, ClockDivider};
use atecc608_wire::Opcode;

/// Counters since the start or the last reset. Serialises to the JSON object of DESIGN.md section 6, with `chip_us_drawn`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Transfers, START to STOP, wake pulses and refused ones included.
    pub transfers: u64,
    /// Bytes put on the bus by the master, address bytes not counted.
    pub bytes_written: u64,
    /// Bytes read from chips, address bytes not counted.
    pub bytes_read: u64,
    /// Addresses and bytes that were not acknowledged, wake pulses included.
    pub nacks: u64,
    /// Wake pulses: transfers to address 00 that hold SDA low for long enough.
    pub wakes: u64,
    /// Word address 01, acknowledged.
    pub sleeps: u64,
    /// Word address 02, acknowledged.
    pub idles: u64,
    /// Undamaged command packets by the datasheet's name, refused ones included.
    pub commands: BTreeMap<String, u64>,
    /// Time the bus was in use: nine bits per byte, address bytes included, and two for START and STOP.
    pub bus_us: u64,
    /// Sum of the maximum execution times of these commands at the chip's clock divider.
    pub chip_us_max: u64,
    /// Sum of their typical execution times.
    pub chip_us_typ: u64,
    /// Sum of their execution times: drawn, or zero with `--timing fast`.
    pub chip_us_drawn: u64,
    /// Number of wakes of a sleeping or idle chip by traffic other than a wake pulse. Not in the JSON.
    #[serde(skip)]
    pub accidental_wakes: u64,
}

impl Stats {
    /// How many commands of one kind were received.
    pub fn command(&self, opcode: Opcode) -> u64 {
        self.commands.get(&opcode.to_string()).copied().unwrap_or(0)
    }

    /// How many commands were received.
    pub fn total_commands(&self) -> u64 {
        self.commands.values().sum()
    }

    pub(crate) fn count_command(&mut self, opcode: Opcode) {
        *self.commands.entry(opcode.to_string()).or_default() += 1;
    }

    pub(crate) fn count_execution(&mut self, opcode: Opcode, divider: ClockDivider, drawn: Duration) {
        self.chip_us_max += micros(timing::maximum(opcode, divider));
        self.chip_us_typ += micros(timing::typical(opcode, divider));
        self.chip_us_drawn += micros(drawn);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
