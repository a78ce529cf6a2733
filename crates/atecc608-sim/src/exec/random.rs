// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random (fact sheet section 3.14).

use super::super::core::{Core, Outcome, Refusal};
use super::Execute;
use atecc608_wire::commands::Random;

impl Execute for Random {
    fn execute(&self, core: &mut Core) -> Outcome {
        Ok(output(core)?.to_vec())
    }
}

/// The output of Random and Nonce: a constant until the configuration is locked.
pub(super) fn output(core: &mut Core) -> Result<[u8; 32], Refusal> {
    if core.config().config_locked() {
        core.random_32()
    } else {
        Ok(Random::UNLOCKED_PATTERN)
    }
}
