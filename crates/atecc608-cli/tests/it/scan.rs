// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 scan`: what it finds, and that it does not disturb other devices.

use crate::support::kernel::Kernel;
use crate::support::{control, served, stderr, stdout, Bench};
use atecc608_sim::Profile;
use serde_json::Value;

fn devices(report: &Value) -> Vec<(String, String)> {
    let buses = report["buses"].as_array().unwrap().iter();
    let devices = buses.flat_map(|bus| bus["devices"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    devices.map(|device| (text(&device["address"]), text(&device["kind"]))).collect()
}

#[test]
fn a_chip_on_a_bus_of_the_kernel_is_found_with_what_it_is() {
    let kernel = Kernel::new();
    let report = kernel.json(&["scan"]);
    assert_eq!(devices(&report), [("0x60".to_owned(), "chip".to_owned())], "{report:#}");
    let (bus, chip) = (&report["buses"][0], &report["buses"][0]["devices"][0]);
    assert_eq!((&bus["bus"], &bus["adapter"]), (&"/dev/i2c-1".into(), &"bcm2835 (i2c@7e804000)".into()));
    assert_eq!(
        (&chip["model"], &chip["stage"], &chip["configured"]),
        (&"ATECC608B".into(), &"blank".into(), &true.into())
    );
    // The bus may be named by its number; the chip sleeps again, and can be used.
    let output = kernel.command(&["scan", "1"]).output().unwrap();
    assert!(output.status.success() && stdout(&output).contains("ATECC608B 0123"), "{output:?}");
    assert_eq!(kernel.messages(0x60).last().unwrap(), "write 01", "asleep");
    assert!(kernel.command(&["info"]).output().unwrap().status.success());
}

#[test]
fn a_simulated_chip_on_a_bus_of_the_kernel_is_named_simulated_and_a_real_one_is_not() {
    for (kernel, simulated) in [(Kernel::new(), true), (Kernel::with_a_real_serial_number(), false)] {
        let device = &kernel.json(&["scan"])["buses"][0]["devices"][0];
        assert_eq!(device["simulated"], simulated, "{device:#}");
        let text = stdout(&kernel.command(&["scan"]).output().unwrap());
        assert!(text.contains("   0x60  ATECC608B 01"), "{text}");
        assert_eq!(text.contains(", blank, simulated: it protects nothing\n"), simulated, "{text}");
    }
}

#[test]
fn another_device_sees_one_read_and_is_never_written_to() {
    let mut kernel = Kernel::new();
    kernel.foreign(0x36);
    let report = kernel.json(&["scan"]);
    assert_eq!(
        devices(&report),
        [("0x36".to_owned(), "another device".to_owned()), ("0x60".to_owned(), "chip".to_owned())]
    );
    assert!(report["buses"][0]["devices"][0]["detail"]
        .as_str()
        .unwrap()
        .contains("another device (it returned a5 a5 a5 a5)"));
    // Once, and once more in case it was a chip that was left awake.
    assert_eq!(kernel.messages(0x36), ["read 4", "read 4"]);
    assert!(kernel.messages(0x00).iter().all(|message| message == "write 00"), "{:?}", kernel.messages(0x00));
    // Addresses that such a chip cannot have are tried only on request.
    for address in 0x08..=0x77 {
        let asked = !kernel.messages(address).is_empty();
        assert_eq!(asked, [0x35, 0x36, 0x38, 0x58, 0x59, 0x60, 0x64].contains(&address), "{address:#04x}");
    }
    kernel.json(&["scan", "--address", "0x41", "--address", "42"]);
    assert_eq!((kernel.messages(0x41).len(), kernel.messages(0x42).len()), (2, 2), "read, and read when it may be up");
}

#[test]
fn every_address_is_tried_only_on_request() {
    let bench = Bench::new();
    // A common mistake: 0x60 in byte 16, instead of 0xC0.
    bench.tamper(|config| config[16] = 0x60);
    let usual = bench.json(&["scan"]);
    assert_eq!((devices(&usual), &usual["found"]), (Vec::new(), &0.into()));
    let hint = stdout(&bench.run(&["scan"]));
    assert!(hint.contains("--all-addresses"), "{hint}");
    let report = bench.json(&["scan", "--all-addresses"]);
    assert_eq!(devices(&report), [("0x30".to_owned(), "chip".to_owned())], "{report:#}");
    let text = stdout(&bench.run(&["scan", "--all-addresses"]));
    assert!(text.contains("not in the configuration: [[token]], bus = ") && text.contains("address = 0x30"), "{text}");
    let mut kernel = Kernel::new();
    kernel.foreign(0x50);
    let report = kernel.json(&["scan", "--all-addresses"]);
    let found = [("0x50".to_owned(), "another device".to_owned()), ("0x60".to_owned(), "chip".to_owned())];
    assert_eq!(devices(&report), found, "{report:#}");
    assert_eq!(kernel.messages(0x50), ["read 4", "read 4"], "read twice, and never written to");
    let reserved: Vec<u8> =
        (0x01..0x08).chain(0x78..0x80).filter(|address| !kernel.messages(*address).is_empty()).collect();
    assert_eq!(reserved, Vec::<u8>::new());
}

#[test]
fn an_address_that_a_kernel_driver_has_is_not_touched_and_the_driver_is_named() {
    let mut kernel = Kernel::new();
    kernel.bind(0x60, "atmel-ecc");
    let output = kernel.command(&["scan"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "no chip that can be used");
    let text = stdout(&output);
    assert!(text.contains("0x60  in use by the kernel driver atmel-ecc: not scanned"), "{text}");
    assert!(text.contains("echo 1-0060 | sudo tee /sys/bus/i2c/drivers/atmel-ecc/unbind"), "{text}");
    assert_eq!(kernel.messages(0x60), Vec::<String>::new());
}

/// What `scan` finds behind an adapter that this variable describes: with the chip, and after it was removed.
fn found_through(variable: &str, value: &str) -> [Vec<(String, String)>; 2] {
    let kernel = Kernel::new();
    let scan = || {
        let output = kernel.command(&["scan", "--json"]).env(variable, value).output().unwrap();
        devices(&serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}")))
    };
    let with_chip = scan();
    control(&kernel.bench, &["pull"]);
    [with_chip, scan()]
}

#[test]
fn a_missing_response_means_no_chip_however_the_adapter_reports_it() {
    let chip = vec![("0x60".to_owned(), "chip".to_owned())];
    for (variable, value) in [
        // Fewer messages done, as with i2c-virtio.
        ("I2C_DEV_SHORT", "1"),
        // EINVAL, EOPNOTSUPP, ETIMEDOUT.
        ("I2C_DEV_NACK", "1-22"),
        ("I2C_DEV_NACK", "1-95"),
        ("I2C_DEV_NACK", "1-110"),
    ] {
        assert_eq!(found_through(variable, value), [chip.clone(), Vec::new()], "{variable}={value}");
    }
}

#[test]
fn a_chip_behind_an_adapter_for_short_messages_is_found() {
    assert_eq!(found_through("I2C_DEV_LONGEST", "1-16"), [vec![("0x60".to_owned(), "chip".to_owned())], Vec::new()]);
}

/// The buses under which a chip is listed.
fn places(report: &Value) -> Vec<&str> {
    let buses = report["buses"].as_array().unwrap().iter();
    buses.filter(|bus| !bus["devices"].as_array().unwrap().is_empty()).map(|bus| bus["bus"].as_str().unwrap()).collect()
}

#[test]
fn a_chip_on_the_nodes_of_two_adapters_is_listed_once_for_each() {
    let mut kernel = Kernel::new();
    kernel.channel(10);
    // Its own adapter on the wires of the other one and its channel.
    kernel.adapter(0, "i2c-tiny-usb");
    let socket = kernel.bench.path("socket");
    let sockets = [0, 1, 10].map(|number| format!("{number}={}", socket.display())).join(":");
    kernel.configure("bus = \"/dev/i2c-9\"\n");
    let output = kernel.command(&["scan", "--json"]).env("I2C_DEV_SOCKETS", sockets).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(places(&report), ["/dev/i2c-0", "/dev/i2c-10"], "{report:#}");
}

#[test]
fn a_chip_on_two_nodes_of_the_same_wires_is_listed_once() {
    let mut kernel = Kernel::new();
    kernel.configure("bus = \"/dev/i2c-9\"\n");
    kernel.channel(10);
    // The adapter reaches it as long as the multiplexer is switched to the channel.
    let report = kernel.json(&["scan"]);
    assert_eq!((places(&report), &report["found"]), (vec!["/dev/i2c-10"], &1.into()), "{report:#}");
    assert!(
        report["buses"][0]["elsewhere"][0].as_str().unwrap().ends_with("is listed under /dev/i2c-10: the same wires"),
        "{report:#}"
    );
    let text = stdout(&kernel.command(&["scan"]).output().unwrap());
    assert!(text.contains("   0x60  ATECC608B 0123") && text.contains("the same wires"), "{text}");
    assert!(!text.contains("nothing responds at the addresses of such chips\n/dev/i2c-10"), "{text}");
    // The configuration has the right one.
    kernel.configure("bus = \"/dev/i2c-1\"\n");
    assert_eq!(places(&kernel.json(&["scan"])), ["/dev/i2c-1"]);
    // With two channels it is before the multiplexer.
    kernel.configure("bus = \"/dev/i2c-9\"\n");
    kernel.channel(11);
    let report = kernel.json(&["scan"]);
    assert_eq!((places(&report), &report["found"]), (vec!["/dev/i2c-1"], &1.into()), "{report:#}");
    assert_eq!(kernel.json(&["scan", "/dev/i2c-11"])["found"], 1);
}

#[test]
fn an_adapter_for_smbus_only_is_named_and_nothing_is_sent() {
    let kernel = Kernel::new();
    let output = kernel.command(&["scan", "--json"]).env("I2C_DEV_SMBUS", "1").output().unwrap();
    let text = stdout(&output);
    assert!(text.contains("/dev/i2c-1 is an adapter for SMBus only") && text.contains("i2c-gpio"), "{text}");
    assert!(!text.contains("os error"), "{text}");
    assert_eq!(kernel.messages(0x00), Vec::<String>::new());
}

#[test]
fn buses_that_can_not_be_opened_are_not_taken_for_buses_without_a_chip() {
    let kernel = Kernel::new();
    std::fs::write(kernel.bench.path("gone"), "").unwrap();
    let output = kernel.command(&["scan"]).env("I2C_DEV_GONE", kernel.bench.path("gone")).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    assert!(text.contains("   /dev/i2c-1 does not exist: "), "{text}");
    assert!(text.contains("No bus was scanned") && !text.contains("check supply"), "{text}");
    // One of two that can be opened, and has no chip.
    kernel.adapter(2, "bcm2835 (i2c@7e205000)");
    control(&kernel.bench, &["pull"]);
    let text = stdout(&kernel.command(&["scan"]).output().unwrap());
    assert!(text.contains("   /dev/i2c-2 does not exist: "), "{text}");
    assert!(text.contains("check supply") && text.contains("Not all buses were scanned"), "{text}");
}

#[test]
fn buses_of_the_board_are_asked_only_if_they_are_named() {
    let kernel = Kernel::new();
    kernel.configure("bus = \"/dev/i2c-9\"\n");
    kernel.adapter(1, "SMBus I801 adapter at efa0");
    let report = kernel.json(&["scan"]);
    assert!(report["buses"][0]["problem"].as_str().unwrap().contains("memory modules"), "{report:#}");
    assert!(report["buses"][1]["problem"].as_str().unwrap().contains("/dev/i2c-9 does not exist"), "{report:#}");
    assert_eq!((kernel.messages(0x00).len(), &report["found"]), (0, &0.into()));
    assert_eq!(kernel.json(&["scan", "/dev/i2c-1"])["found"], 1);
}

#[test]
fn simulated_buses_of_the_configuration_are_asked_and_none_is_created() {
    let bench = Bench::with_chip(Profile::Blank508A);
    let report = bench.json(&["scan"]);
    assert_eq!(devices(&report), [("0x60".to_owned(), "another chip of the family".to_owned())], "{report:#}");
    assert_eq!(report["found"], 0);
    let bench = Bench::with_config(|dir| format!("bus = \"sim:{}/chip\"\n", dir.display()));
    let report = bench.json(&["scan"]);
    assert!(report["buses"][0]["problem"].as_str().unwrap().contains("does not exist"), "{report:#}");
    assert!(!bench.chip_file().exists());
}

#[test]
fn a_chip_that_is_not_configured_comes_with_the_lines_to_write() {
    let (bench, _server) = served();
    let socket = bench.path("socket").display().to_string();
    std::fs::remove_file(bench.path("config.toml")).unwrap();
    let output = bench.run(&["scan", &format!("unix:{socket}")]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        stdout(&output).contains(&format!("not in the configuration: [[token]], bus = \"unix:{socket}\"\n")),
        "{output:?}"
    );
    assert!(stderr(&output).contains("scanning without it"), "{output:?}");
    control(&bench, &["pull"]);
    let output = bench.run(&["scan", &format!("unix:{socket}")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("nothing responds") && stdout(&output).contains("at most 100 kHz"), "{output:?}");
}

#[test]
fn an_invalid_bus_or_address_is_refused() {
    let bench = Bench::new();
    let output = bench.run(&["scan", "i2c-1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/dev/i2c-N"), "{output:?}");
    let output = bench.run(&["scan", "--address", "0xC0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("0xc0 is the 8-bit form; write its 7 bits: 0x60"), "{output:?}");
}
