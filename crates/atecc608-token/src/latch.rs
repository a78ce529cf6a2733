// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys behind the chip's persistent latch: the meaning of their refusal.

use super::error::{Error, Result};
use super::turn::Turn;
use atecc608 as chip;
use atecc608::latch::Latch;
use atecc608_wire::{Slot, Status};

/// Checks that the latch permits the use of the slot's key. Succeeds if the chip refuses to tell.
///
/// # Errors
/// [`Error::BehindLatch`] if the latch is not set; [`Error::Device`] if the chip or the bus fails.
pub(crate) fn check(turn: &mut Turn<'_>, slot: Slot) -> Result<()> {
    match of_slot(turn, slot)? {
        Some(Latch::Clear) => Err(Error::BehindLatch { slot, latch: Latch::Clear }),
        _ => Ok(()),
    }
}

/// Returns the state of the latch, if the slot is behind it.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails.
pub(crate) fn of_slot(turn: &mut Turn<'_>, slot: Slot) -> Result<Option<Latch>> {
    if !turn.known().zone().key_config(slot).persistent_disable() {
        return Ok(None);
    }
    turn.converse(|awake| awake.latch()).map(Some)
}

/// Returns the error of a command that uses the slot's key: [`Error::BehindLatch`] if the latch explains it.
pub(crate) fn explained(turn: &mut Turn<'_>, slot: Slot, error: chip::Error) -> Error {
    if error.has_status(Status::EXECUTION_ERROR) || matches!(error, chip::Error::PublicKeyNotTold(_)) {
        if let Ok(Some(latch @ (Latch::Clear | Latch::NotTold))) = of_slot(turn, slot) {
            return Error::BehindLatch { slot, latch };
        }
    }
    error.into()
}
