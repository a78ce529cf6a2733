// SPDX-License-Identifier: MIT OR Apache-2.0
//! SelfTest (fact sheet section 3.17).

use super::super::core::{Core, Outcome};
use super::Execute;
use atecc608_wire::commands::SelfTest;

/// RNG, ECDSA, ECDH, AES, SHA. Bit 1 is tolerated and tests nothing.
const TESTS: u8 = 0x3D;

impl Execute for SelfTest {
    fn execute(&self, core: &mut Core) -> Outcome {
        if !core.switches.self_test_keeps_temp_key {
            core.sram.temp_key = None;
        }
        if self.tests == 0 {
            return Ok(vec![core.self_test.failed]);
        }
        Ok(vec![run(core, self.tests)])
    }
}

/// Runs tests; those that pass are removed from the register of failures, those that fail are added.
fn run(core: &mut Core, tests: u8) -> u8 {
    let state = &mut core.self_test;
    let failed = tests & TESTS & state.broken;
    state.failed = state.failed & !tests | failed;
    failed
}

/// The power-on self-test: all of them.
pub(crate) fn run_all(core: &mut Core) {
    run(core, TESTS);
}
