// SPDX-License-Identifier: MIT OR Apache-2.0
//! Code shared by the integration tests of several crates.
//!
//! - [`built`]: the module and the simulator, for the tests of other packages.
//! - [`master`]: a bus master without the driver, and prepared chips.
//! - [`driver`]: the driver on a simulated bus.
//! - [`interposer`]: an attacker on the wires who replaces the chip's replies.
//! - `chip`: chips provisioned with the token's profiles, and buses that a test controls.
//! - [`privileged`]: programs with more rights than the user who starts them.
//! - [`stop_at`]: programs that are killed, or lose their disk, at any step.
//! - [`vectors`]: reads the published vectors in `tests/vectors`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod built;
#[cfg(feature = "chip")]
pub mod chip;
pub mod driver;
pub mod interposer;
pub mod master;
pub mod privileged;
pub mod stop_at;
pub mod vectors;
