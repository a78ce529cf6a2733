// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip: an ATECC608 as seen from an I2C bus.
//!
//! A separate implementation, written only from the fact sheet (the project's digest of the datasheets); it shares
//! [`atecc608_wire`] with the driver, and nothing else. It never accepts what silicon would refuse: where the fact
//! sheet is uncertain, [`Switches`] has a named switch with the strict default.
//!
//! # Reading order
//!
//! 1. [`SimBus`] (`bus`): the two wires: transfers, bit timing, wake pulses, the clock, counters ([`Stats`]), faults
//!    ([`Faults`]). `hal`: the same as an `embedded-hal` bus.
//! 2. [`chip`]: one chip: power states, busy, watchdog; `port`: its input and output buffers.
//! 3. `exec`: the commands, one file each; `rules`: their common conditions; `core`: the state that they work on.
//! 4. `eeprom` and [`image`]: the non-volatile memory and its file; `buffers`: the volatile memory.
//! 5. [`profiles`]: chips as sold, and the certificates in them; [`Dump`]: the contents of an image.
//! 6. [`server`]: the bus behind a Unix socket (`atecc608-sim`); [`transfer`]: the socket's protocol; [`RemoteBus`]:
//!    the client's side; [`control`]: counters, supply and faults from outside.
//! 7. [`usbip`]: the bus behind a node of the running kernel.
//! 8. [`arguments`]: the program's command line.

pub mod arguments;
mod buffers;
mod bus;
pub mod chip;
pub mod control;
mod core;
mod dump;
mod ecc;
mod eeprom;
mod exec;
mod fault_rate;
mod faults;
mod hal;
pub mod image;
mod line;
mod port;
pub mod profiles;
mod random;
mod remote;
mod rules;
pub mod server;
mod sha_context;
mod stats;
mod switch_names;
mod switches;
pub mod transfer;
pub mod usbip;

pub use bus::{SimBus, Timing};
pub use chip::SimChip;
pub use dump::Dump;
pub use faults::{FaultSpecError, Faults};
pub use image::{Image, ImageError};
pub use profiles::{Order, Profile};
pub use remote::RemoteBus;
pub use stats::Stats;
pub use switches::Switches;

/// The example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
