// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 init`: from an installed tool to a configuration that names the chip.

use crate::support::x509::{ok, refused, typed_at_terminal};
use crate::support::{served, stdout, Bench};

/// A folder without a configuration.
fn empty() -> Bench {
    let bench = Bench::new();
    std::fs::remove_file(bench.path("config.toml")).unwrap();
    bench
}

#[test]
fn a_simulated_chip_is_made_and_configured_in_one_command() {
    let bench = empty();
    let report = bench.json(&["init", "--simulated", "mine", "--label", "my gateway", "--state-dir", "state"]);
    assert_eq!((&report["result"], &report["stage"]), (&"written".into(), &"blank".into()), "{report:#}");
    let line = bench.run(&["provision", "tls", "--lock-forever"]);
    ok(&line);
    assert_eq!(bench.json(&["key", "list"])["token"], "my gateway");
    // A second run only checks.
    let before = std::fs::read(bench.path("config.toml")).unwrap();
    let again = bench.json(&["init", "--simulated", "mine"]);
    assert_eq!((&again["result"], &again["label"]), (&"unchanged".into(), &"my gateway".into()));
    assert_eq!(again["next"], "atecc608 key list");
    // Options that were given are not ignored.
    for other in [["--label", "another"], ["--state-dir", "elsewhere"]] {
        let output = bench.run(&[&["init", "--simulated", "mine"][..], &other].concat());
        refused(&bench, &output, &["another label or state folder", "nothing was written", "--replace"]);
    }
    assert_eq!(std::fs::read(bench.path("config.toml")).unwrap(), before);
    ok(&bench.run(&["init", "--simulated", "mine", "--label", "another", "--state-dir", "state", "--replace"]));
    assert_eq!(bench.json(&["key", "list"])["token"], "another");
}

#[test]
fn a_configuration_with_other_chips_is_replaced_only_if_asked() {
    let bench = Bench::new();
    let before = std::fs::read(bench.path("config.toml")).unwrap();
    let arguments = ["init", "--simulated", "other", "--label", "other", "--state-dir", "state"];
    refused(&bench, &bench.run(&arguments), &["has other chips", "nothing was written", "--replace"]);
    assert_eq!(std::fs::read(bench.path("config.toml")).unwrap(), before);
    ok(&bench.run(&[&arguments[..], &["--replace"]].concat()));
    assert_eq!(std::fs::read(bench.path("config.toml.old")).unwrap(), before);
    assert_eq!(bench.json(&["init", "--simulated", "other"])["label"], "other");
}

#[test]
fn the_label_is_asked_for_at_a_terminal() {
    let bench = empty();
    let arguments = ["init", "--simulated", "mine", "--state-dir", "state"];
    let (shown, status) = typed_at_terminal(&bench, &arguments, &[("Label of the token [gateway]: ", "mine\n")]);
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("label    mine") && shown.contains("Next: atecc608 provision tls"), "{shown}");
}

#[test]
fn a_bus_without_a_chip_is_an_error_that_names_scan() {
    let bench = empty();
    let (other, _server) = served();
    crate::support::control(&other, &["pull"]);
    let bus = format!("unix:{}", other.path("socket").display());
    refused(
        &bench,
        &bench.run(&["init", "--bus", &bus, "--state-dir", "state"]),
        &["no ATECC608 was found", "`atecc608 scan`"],
    );
    assert!(!bench.path("config.toml").exists());
}

#[test]
fn the_chip_on_a_named_bus_is_found() {
    let bench = empty();
    let (other, _server) = served();
    let bus = format!("unix:{}", other.path("socket").display());
    let output = bench.run(&["init", "--bus", &bus, "--state-dir", "state"]);
    ok(&output);
    assert!(stdout(&output).contains(&bus), "{output:?}");
    assert_eq!(bench.json(&["info"])["serial_number"], other.json(&["info"])["serial_number"]);
}
