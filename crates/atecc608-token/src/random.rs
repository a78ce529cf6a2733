// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random numbers of chip and host combined.

use super::error::{Error, Result};
use super::turn::Turn;

/// Fills `out` with random bytes of chip and host combined.
///
/// # Errors
/// [`Error::RandomNoRng`] while the configuration is not locked; the [turn errors](Error#turn-errors).
pub(crate) fn random(turn: &mut Turn<'_>, out: &mut [u8]) -> Result<()> {
    if !turn.known().zone().config_locked() {
        return Err(Error::RandomNoRng(
            "a chip with an unlocked configuration returns a constant instead of random numbers".into(),
        ));
    }
    turn.converse(|awake| {
        for chunk in out.chunks_mut(32) {
            chunk.copy_from_slice(&awake.fresh_secret()?[..chunk.len()]);
        }
        Ok(())
    })
}
