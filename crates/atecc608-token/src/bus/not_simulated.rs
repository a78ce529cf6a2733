// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replaces `simulated.rs` in a build without the feature `sim`: refuses simulated buses.

use std::path::Path;

use super::lock::BusLock;
use super::{Link, OpenError};

/// Refuses `sim:FILE`.
///
/// # Errors
/// Always [`OpenError::Other`].
pub(super) fn open_file(_: &Path, _: u8) -> Result<(Box<dyn Link>, BusLock), OpenError> {
    Err(OpenError::Other("this module was built without the feature `sim`".into()))
}

/// Refuses `unix:SOCKET`.
///
/// # Errors
/// Always [`OpenError::Other`].
pub(super) fn open_socket(path: &Path, address: u8) -> Result<(Box<dyn Link>, BusLock), OpenError> {
    open_file(path, address)
}
