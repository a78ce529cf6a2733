// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 doctor` on the kernel's I2C adapters.

use crate::doctor::{assert_broken, assert_warned, check, module};
use crate::support::kernel::Kernel;
use serde_json::Value;

#[test]
fn a_kernel_driver_that_has_the_chips_address() {
    let mut kernel = Kernel::new();
    assert_eq!(check(&kernel.json(&["doctor", "--module", &module()]), "bus")["result"], "ok");
    kernel.bind(0x60, "atmel-ecc");
    let report = kernel.json(&["doctor", "--module", &module()]);
    assert_broken(
        &report,
        "bus",
        "in use by a kernel driver",
        "echo 1-0060 | sudo tee /sys/bus/i2c/drivers/atmel-ecc/unbind",
    );
}

#[test]
fn a_channel_whose_adapter_cannot_be_locked() {
    let mut kernel = Kernel::new();
    kernel.channel(10);
    assert!(kernel.json(&["doctor"])["checks"].as_array().unwrap().iter().all(|check| check["name"] != "multiplexer"));
    kernel.configure("bus = \"/dev/i2c-10\"\n");
    let report = kernel.json(&["doctor"]);
    assert_eq!(check(&report, "multiplexer")["detail"], "a channel of /dev/i2c-1, which is locked, too");
    let output = kernel.command(&["doctor", "--json"]).env("I2C_DEV_CLOSED", "1").output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_warned(
        &report,
        "multiplexer",
        "cannot lock /dev/i2c-1: Permission denied (os error 13). Programs on it, or on another channel of it, may disturb",
        "sudo setfacl -m g:atecc608:rw /dev/i2c-1",
    );
    assert_eq!(check(&report, "wake")["result"], "ok");
}

#[test]
fn an_adapter_that_is_too_fast_for_the_wake_pulse() {
    // 133 kHz is the limit; the pulse of such a bus may still be long enough.
    let kernel = Kernel::at(140_000);
    let report = kernel.json(&["doctor", "--module", &module()]);
    assert_warned(&report, "adapter", "bcm2835 (i2c@7e804000): 140000 Hz", "dtparam=i2c_arm_baudrate=100000");
    // This one gets no response, for that reason.
    let kernel = Kernel::at(400_000);
    let report = kernel.json(&["doctor", "--module", &module()]);
    assert_broken(&report, "wake", "at 400000 Hz the wake pulse is too short", "dtparam=i2c_arm_baudrate=100000");
    let kernel = Kernel::at(100_000);
    assert_eq!(check(&kernel.json(&["doctor"]), "adapter")["detail"], "bcm2835 (i2c@7e804000): 100000 Hz");
}

#[test]
fn gpio_lines_that_may_be_too_fast_for_the_wake_pulse() {
    let kernel = Kernel::new();
    kernel.adapter(1, "i2c@0");
    kernel.sysfs("i2c-1/of_node/compatible", "i2c-gpio\0");
    kernel.sysfs("i2c-1/of_node/i2c-gpio,delay-us", 2_u32.to_be_bytes());
    let report = kernel.json(&["doctor"]);
    assert_warned(&report, "adapter", "i2c@0: at most 250000 Hz", "dtoverlay=i2c-gpio,i2c_gpio_delay_us=5");
    kernel.sysfs("i2c-1/of_node/i2c-gpio,delay-us", 5_u32.to_be_bytes());
    let report = kernel.json(&["doctor"]);
    assert_eq!(check(&report, "adapter")["detail"], "i2c@0: at most 100000 Hz");
    assert_eq!(check(&report, "adapter")["result"], "ok");
}

#[test]
fn an_adapter_whose_clock_the_kernel_does_not_tell() {
    let kernel = Kernel::new();
    let report = kernel.json(&["doctor"]);
    assert_warned(&report, "adapter", "above 133000 Hz the chip does not wake", "docs/adapters.md");
}

#[test]
fn an_adapter_for_smbus_only() {
    let kernel = Kernel::new();
    let mut command = kernel.command(&["doctor", "--json", "--module", &module()]);
    command.env("I2C_DEV_SMBUS", "1");
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_broken(&report, "bus", "/dev/i2c-1 is an adapter for SMBus only", "i2c_gpio_delay_us=5");
    assert!(!check(&report, "bus")["remedy"].as_str().unwrap().contains("ls -l"), "{report:#}");
}
