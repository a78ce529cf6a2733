// SPDX-License-Identifier: MIT OR Apache-2.0
//! The locks of the code that the models run on [shuttle](https://docs.rs/shuttle), whose scheduler tries one
//! interleaving after the other: there `models::sync` replaces this file.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
