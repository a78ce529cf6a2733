//! The simulated chip: an ATECC608 as it is seen from an I2C bus.
//!
//! A separate implementation, written from the fact sheet (`reference/atecc608.md`) and from nothing else; it
//! shares only [`atecc608_wire`] with the driver and must not know it. It never accepts what silicon would refuse:
//! where the fact sheet is not certain, [`switches::Switches`] has a named switch with the strict default.
//!
//! # Reading order
//!
//! 1. [`bus`]: the two wires: transfers, bit timing, wake pulses, the clock, counters, faults.
//! 2. [`chip`]: one chip: power states, busy, watchdog, and [`port`]: its input and output buffers.
//! 3. `exec`: what each command does, one file each; `rules`: what lets it; `core`: what it works on.
//! 4. [`eeprom`] and [`image`]: what survives power loss, and the file it lives in; [`buffers`]: what does not.
//! 5. [`profiles`]: chips as sold, and the certificates in them; [`dump`]: what is in an image.
//! 6. [`server`]: the bus behind a Unix socket (`atecc608-sim`); [`arguments`]: that program's command line.

pub mod arguments;
pub mod buffers;
pub mod bus;
pub mod chip;
pub mod control;
mod core;
pub mod dump;
mod ecc;
pub mod eeprom;
mod exec;
mod fault_rate;
pub mod faults;
mod hal;
pub mod image;
mod line;
pub mod port;
pub mod profiles;
mod random;
pub mod remote;
mod rules;
pub mod server;
mod sha_context;
pub mod stats;
pub mod switch_names;
pub mod switches;
pub mod transfer;

pub use bus::{SimBus, Timing};
pub use chip::SimChip;
pub use dump::Dump;
pub use faults::{FaultSpecError, Faults};
pub use image::{Image, ImageError};
pub use profiles::{Order, Profile};
pub use stats::Stats;
pub use switches::Switches;
