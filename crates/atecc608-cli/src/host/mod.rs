// SPDX-License-Identifier: MIT OR Apache-2.0
//! This machine's I2C adapters ([`adapters`]) and installed module ([`module`]).

pub mod adapters;
pub mod module;
