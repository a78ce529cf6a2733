// SPDX-License-Identifier: MIT OR Apache-2.0
//! A chip that may be on several buses, and a bus with a custom name.

use crate::support::{stderr, stdout, Bench};
use atecc608_sim::{Profile, SimChip};
use atecc608_testkit::built;

/// A provisioned chip in `chip`, a blank one at another address in `other`, and a configuration that names these buses for one token.
fn with_buses(names: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.provision();
    SimChip::open_profile(&bench.path("other"), 0x35, Profile::Blank608B).unwrap();
    configure(&bench, names);
    bench
}

fn configure(bench: &Bench, names: &[&str]) {
    let buses: Vec<String> = names
        .iter()
        .map(|name| format!("\"{}\"", name.replace('@', &bench.dir.path().display().to_string())))
        .collect();
    let text = format!("state_dir = \"{}\"\n[[token]]\nbus = [{}]\n", bench.path("state").display(), buses.join(", "));
    std::fs::write(bench.path("config.toml"), text).unwrap();
}

#[test]
fn the_first_bus_that_has_the_chip_is_used() {
    // No socket, no file, no such chip on it; and no bus is tried after the chip was found.
    let bench = with_buses(&["unix:@/socket", "sim:@/none", "sim:@/other", "sim:@/chip", "sim:@/later"]);
    let info = bench.json(&["info"]);
    assert_eq!(
        (&info["serial_number"], &info["bus"]),
        (&bench.serial().into(), &format!("sim:{}/chip", bench.dir.path().display()).into()),
        "{info:#}"
    );
    assert!(bench.run(&["key", "generate", "--label", "gateway"]).status.success());
    assert!(!bench.path("none").exists() && !bench.path("later").exists(), "looking creates no chip");
    // The module finds it, too: doctor loads it.
    let doctor = bench.json(&["doctor", "--module", built::module().to_str().unwrap()]);
    let detail = |name: &str| {
        let checks = doctor["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {doctor:#}")).clone()
    };
    for name in ["bus", "wake", "state", "module"] {
        assert_eq!(detail(name)["result"], "ok", "{doctor:#}");
    }
    assert!(detail("bus")["detail"].as_str().unwrap().contains("/chip opens"), "{doctor:#}");
    // `scan` tries each of them, and recognises the chip.
    let scan = bench.json(&["scan"]);
    let found: Vec<&serde_json::Value> =
        scan["buses"].as_array().unwrap().iter().flat_map(|bus| bus["devices"].as_array().unwrap()).collect();
    let configured: Vec<bool> = found.iter().map(|device| device["configured"].as_bool().unwrap()).collect();
    assert_eq!(configured, [false, true], "{scan:#}");
}

#[test]
fn a_chip_on_none_of_its_buses_is_reported_absent_with_the_cause_for_each() {
    let bench = with_buses(&["/dev/i2c-none", "sim:@/other"]);
    let said = stderr(&bench.run(&["info"]));
    for part in [
        "/dev/i2c-none or sim:",
        "/other at 0x60: ",
        "/dev/i2c-none does not exist",
        "/other: no chip responds at 0x60. `atecc608 scan --all-addresses` shows",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_list_of_buses_has_one_to_eight_of_them() {
    let bench = with_buses(&[]);
    let said = |bench: &Bench| stderr(&bench.run(&["info"]));
    assert!(said(&bench).contains("config.toml:3: bus: expected 1 to 8 buses, found 0"), "{}", said(&bench));
    configure(&bench, &["/dev/i2c-1"; 9]);
    assert!(said(&bench).contains("bus: expected 1 to 8 buses, found 9"), "{}", said(&bench));
    configure(&bench, &["/dev/i2c-1", "i2c-2"]);
    assert!(said(&bench).contains("bus: \"i2c-2\": expected"), "{}", said(&bench));
    let text = "[[token]]\nbus = [\"/dev/i2c-1\", 2]\n";
    std::fs::write(bench.path("config.toml"), text).unwrap();
    assert!(said(&bench).contains("bus: expected a string, or an array of strings"), "{}", said(&bench));
    // A bus of one token can't be another token's at the same address, under any name.
    std::fs::write(bench.path("i2c-1"), "").unwrap();
    std::os::unix::fs::symlink("i2c-1", bench.path("secure-element")).unwrap();
    let node = |name: &str| bench.path(name).display().to_string();
    let text = format!(
        "[[token]]\nbus = [\"/dev/i2c-9\", \"{}\"]\n[[token]]\nbus = \"{}\"\n",
        node("i2c-1"),
        node("secure-element")
    );
    std::fs::write(bench.path("config.toml"), text).unwrap();
    assert!(said(&bench).contains("secure-element at 0x60 is another token already"), "{}", said(&bench));
    let batch = with_buses(&["sim:@/other", "sim:@/chip"]);
    let output = batch.run(&["provision", "tls", "--batch", "config.toml", "--manifest", "m"]);
    assert!(
        stderr(&output).contains("expected one bus for each chip of a batch"),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}
