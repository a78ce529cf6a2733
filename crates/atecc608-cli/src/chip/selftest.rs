// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 selftest`: runs the chip's self-tests.

use serde::Serialize;

use crate::error::Result;
use crate::output::Output;
use crate::target::Selection;
use atecc608_wire::commands::SelfTest;

/// The chip's tests (fact sheet section 3.17): bit, short name, description.
const TESTS: [(u8, &str, &str); 5] = [
    (0x01, "rng", "random number generator"),
    (0x04, "ecdsa", "ECDSA, sign and verify"),
    (0x08, "ecdh", "ECDH"),
    (0x10, "aes", "AES"),
    (0x20, "sha", "SHA-256"),
];

#[derive(Serialize)]
struct Report {
    serial_number: String,
    passed: bool,
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    name: &'static str,
    passed: bool,
}

/// Runs all tests one by one, each in its own conversation, because after a failed one the chip refuses other commands
/// until it sleeps. Nothing in the chip changes.
///
/// # Errors
/// [`crate::Error::Refused`] if it is not an ATECC608; the [chip errors](crate::Error#chip-errors). A failed test is a
/// result, which the exit status reports.
pub fn run(selection: &Selection) -> Result<Output> {
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let zone = target.read_config_locked()?;
    target.ensure_608()?;
    let mut tests = Vec::new();
    let mut text = String::new();
    for (bit, name, what) in TESTS {
        let failed = target.converse(|awake| awake.execute(&SelfTest { tests: bit }))?;
        let passed = failed & bit == 0;
        text += &format!("{:<24}{}\n", what, if passed { "passed" } else { "FAILED" });
        tests.push(Test { name, passed });
    }
    drop(guard);
    let passed = tests.iter().all(|test| test.passed);
    let serial_number = zone.serial_number().to_string();
    text += &match passed {
        true => format!("The chip {serial_number} works.\n"),
        false => format!(
            "The chip {serial_number} is defective, or its supply is not in order (2.0 to 5.5 V, 100 nF beside the chip). Switch \
             it off and on and test again; if it fails again, replace it.\n"
        ),
    };
    Ok(Output::new(text, &Report { serial_number, passed, tests })?.negative_if(!passed))
}
