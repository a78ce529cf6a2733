// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver on simulated chips.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adapter;
mod attest;
mod driver;
mod example;
mod no_std;
mod polling;
mod refused;
