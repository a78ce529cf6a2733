// SPDX-License-Identifier: MIT OR Apache-2.0
//! Colours and progress are printed at a terminal only: pipes, files and `NO_COLOR` get plain text.

use std::process::Command;
use std::time::Duration;

use rustix::fs::{flock, FlockOperation};

use crate::support::{stderr, stdout, Bench, TOOL};

/// The width of the terminal.
const COLUMNS: usize = 60;

/// The tool's output at a terminal, including its standard error (`script`, of Debian's bsdutils, makes one).
fn at_a_terminal(bench: &Bench, arguments: &str, environment: &[(&str, &str)]) -> String {
    let mut script = Command::new("script");
    script
        .args(["-qec", &format!("stty cols {COLUMNS}; {TOOL} {arguments}"), "/dev/null"])
        .env("ATECC608_PKCS11_CONF", bench.path("config.toml"))
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(environment.iter().copied());
    stdout(&script.output().unwrap())
}

#[test]
fn colours_are_used_only_at_terminals_that_allow_them() {
    let bench = Bench::new();
    let coloured = at_a_terminal(&bench, "doctor", &[]);
    assert!(coloured.contains("\x1b[31mfailed\x1b[0m") && coloured.contains("\x1b[32mok"), "{coloured}");
    assert!(at_a_terminal(&bench, "config check", &[]).contains("\x1b[31mfailed"));
    for plain in [
        at_a_terminal(&bench, "doctor", &[("NO_COLOR", "1")]),
        at_a_terminal(&bench, "doctor", &[("TERM", "dumb")]),
        at_a_terminal(&bench, "doctor --json", &[]),
        stdout(&bench.run(&["doctor"])),
        stdout(&bench.run(&["config", "check"])),
    ] {
        assert!(!plain.contains('\x1b') && plain.len() > 100, "{plain}");
    }
    // An empty NO_COLOR counts as unset (no-color.org).
    assert!(at_a_terminal(&bench, "doctor", &[("NO_COLOR", "")]).contains("\x1b["));
}

#[test]
fn progress_is_shown_at_a_terminal_only() {
    let bench = Bench::new();
    assert!(at_a_terminal(&bench, "scan", &[]).contains("atecc608: asking sim:"));
    let output = bench.run(&["scan"]);
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_step_takes_one_row_of_the_terminal() {
    let bench = Bench::new();
    let shown = at_a_terminal(&bench, "provision tls --lock-forever", &[]);
    let steps: Vec<&str> = shown.split("\r\x1b[K").filter(|line| line.starts_with("atecc608: step ")).collect();
    let widths = steps.iter().map(|line| line.lines().next().unwrap().chars().count());
    // The last column stays free, and one of the steps at least had to be cut.
    assert_eq!(widths.max(), Some(COLUMNS - 1), "{shown:?}");
}

#[test]
fn a_wait_for_the_bus_names_the_process_that_holds_it() {
    let bench = Bench::new();
    assert!(bench.run(&["info"]).status.success());
    let held = std::fs::File::open(bench.path("chip.lock")).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| at_a_terminal(&bench, "info", &[]));
        // Longer than the time without a message, shorter than the lock's timeout.
        std::thread::sleep(Duration::from_millis(2500));
        drop(held);
        waiting.join().unwrap()
    });
    assert!(waiting.contains("atecc608: waiting for sim:") && waiting.contains("in use by"), "{waiting}");
    assert!(waiting.contains("Slots") || waiting.contains("slot"), "then the result: {waiting}");
}

#[test]
fn a_failure_is_json_too() {
    let bench = Bench::new();
    for arguments in [
        &["lock", "data"][..],
        &["config", "set", "nowhere"],
        &["config", "diff", "profile:none"],
        &["import-config", "nowhere"],
        &["scan", "no-bus"],
    ] {
        let report = bench.json(arguments);
        assert!(report["error"].as_str().unwrap().len() > 10, "{arguments:?}: {report}");
    }
    let output = bench.run(&["lock", "--json", "everything"]);
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(report["error"].as_str().unwrap().contains("everything"), "{report}");
    assert!(stderr(&output).contains("everything"));
}
