// SPDX-License-Identifier: MIT OR Apache-2.0
//! The README's example runs against the transfers of its script.

#[path = "../../examples/sign.rs"]
mod sign;

#[test]
fn the_example_makes_the_transfers_of_its_script_and_no_others() {
    sign::main().unwrap();
}
