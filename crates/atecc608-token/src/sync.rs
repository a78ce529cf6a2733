//! The locks of what the models run on [shuttle](https://docs.rs/shuttle), whose scheduler tries one interleaving after the
//! other: there `models::sync` takes the place of this file.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
