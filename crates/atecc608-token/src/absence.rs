// SPDX-License-Identifier: MIT OR Apache-2.0
//! The errors of a turn that can't be taken: no bus, no adapter, no chip, or a turn of another process or thread.

use super::deadline::Deadline;
use super::error::Error;
use super::token::Token;
use crate::bus::OpenError;
use crate::config::{BusLocation, TokenConfig};

/// The error of a bus that could not be opened; if it was open before, it is gone.
pub(crate) fn not_opened(error: OpenError, place: &TokenConfig, was_open: bool) -> Error {
    match error {
        OpenError::NotFound(_) if was_open && place.other_buses.is_empty() => gone(place),
        OpenError::NotFound(text) | OpenError::NotPermitted(text) | OpenError::InUse(text) => {
            Error::TokenNotPresent(text.into())
        }
        OpenError::SmbusOnly(text) | OpenError::Other(text) => Error::DeviceError(text.into()),
    }
}

/// The adapter was unplugged.
pub(crate) fn gone(place: &TokenConfig) -> Error {
    let numbered =
        |bus: &BusLocation| matches!(bus, BusLocation::Linux(path) if path.to_string_lossy().starts_with("/dev/i2c-"));
    let stable = match place.buses().any(numbered) {
        true => {
            "; it may return with another number: a udev rule gives it a fixed name (docs/install.md, \"Buses with \
             names of their own\")"
        }
        false => "",
    };
    Error::AdapterGone(format!("{}: the adapter was removed: plug it in again{stable}", place.place()).into())
}

/// No chip was found.
pub(crate) fn no_chip() -> Error {
    Error::TokenNotPresent("no chip was found".into())
}

/// An absent chip in a configured place is an empty slot.
pub(crate) fn not_present(error: Error) -> Error {
    match error {
        Error::Device(error) if error.is_absence() => Error::TokenNotPresent(error.to_string().into()),
        other => other,
    }
}

/// Other threads of this process had the chip until the deadline.
pub(crate) fn held_here(token: &Token, deadline: Deadline) -> Error {
    Error::DeviceError(
        format!(
            "{} has been in use by other threads of this process for {} ms",
            token.place(),
            deadline.elapsed().as_millis()
        )
        .into(),
    )
}
