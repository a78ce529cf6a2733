// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hostile callers: C programs (`tests/c`) that pass the module buffers of every size that end at unreadable memory,
//! templates with every kind of error, and arbitrary arguments in arbitrary order.

use crate::common::module::Module;
use crate::common::{c_program, chip};

#[test]
fn every_function_that_fills_a_buffer_keeps_the_conventions() {
    let module = Module::with_chip(&chip::provisioned());
    c_program::run(&module, "buffers", &[]);
}

#[test]
fn templates_of_wrong_sizes_or_with_contradictions_make_no_object() {
    let module = Module::with_chip(&chip::provisioned());
    c_program::run(&module, "templates", &[]);
}

#[test]
fn any_arguments_in_any_order_neither_crash_nor_corrupt() {
    for seed in ["1", "2"] {
        let module = Module::with_chip(&chip::provisioned());
        c_program::run(&module, "fuzz", &[seed, "30000", "1"]);
    }
}

#[test]
fn the_same_from_eight_threads_at_once() {
    for seed in ["11", "12"] {
        let module = Module::with_chip(&chip::provisioned());
        c_program::run(&module, "fuzz", &[seed, "4000", "8"]);
    }
}
