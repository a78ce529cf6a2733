// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals that interrupt system calls on the kernel's I2C: a resized terminal, a profiler, a timer of the program.

use std::process::Command;

use crate::support::kernel::Kernel;

#[test]
fn a_chip_is_provisioned_and_used_while_signals_arrive_all_the_time() {
    let kernel = Kernel::new();
    kernel.configure_with_io_key();
    let run = |arguments: &[&str]| {
        let output = kernel.command(arguments).env("I2C_DEV_SIGNALS", "1").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    run(&["provision", "tls", "--lock-forever", "--unproven"]);
    run(&["key", "generate", "--label", "a"]);
    let request = kernel.bench.path("a.csr").display().to_string();
    run(&["csr", "--key", "a", "--subject", "/CN=a", "--output", &request]);
    let checked = Command::new("openssl").args(["req", "-verify", "-noout", "-in", &request]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
