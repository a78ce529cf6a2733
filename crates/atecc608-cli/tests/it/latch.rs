// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 latch`, and the output of the other commands for keys behind it.

use std::path::PathBuf;

use crate::support::{control, served, stderr, stdout, Bench, Server};
use atecc608_testkit::built;
use atecc608_wire::config_zone::offset;
use serde_json::{json, Value};

/// A provisioned chip whose slots 0 and 2 are behind the latch, which the IO protection key in slot 6 sets; and the
/// file with that secret.
pub fn behind() -> (Bench, Server, PathBuf) {
    let (bench, server) = served();
    bench.provision();
    let key = bench.json(&["key", "generate", "--label", "mine"]);
    assert_eq!(key["slot"], 0);
    let server = restarted(&bench, server, |config| {
        config[offset::VOLATILE_KEY_PERMISSION] = 0x86;
        for slot in [0, 2] {
            config[offset::KEY_CONFIG + 2 * slot + 1] |= 0x10;
        }
    });
    let secret = bench.key_file();
    (bench, server, secret)
}

/// Changes the configuration by hand, between two runs of the simulator.
fn restarted(bench: &Bench, server: Server, change: impl FnOnce(&mut [u8])) -> Server {
    drop(server);
    bench.tamper(change);
    std::fs::remove_file(bench.path("socket")).unwrap();
    crate::support::serve(bench, &[])
}

fn show(bench: &Bench) -> Value {
    bench.json(&["latch", "show"])
}

fn slot_of(report: &Value, index: usize) -> &Value {
    &report["slots"][index]
}

#[test]
fn it_is_shown_with_what_sets_it_and_which_slots_depend_on_it() {
    let (bench, _server, _) = behind();
    let report = show(&bench);
    assert_eq!(
        report,
        json!({
            "schema": 1, "serial_number": bench.serial(), "latch": "clear", "enabled": true, "authorising_slot": 6,
            "set_by_secure_boot": false, "slots": [0, 2],
        })
    );
    let text = stdout(&bench.run(&["latch", "show"]));
    for part in
        ["latch   not set\n", "with the secret of slot 6", "slots   0, 2: they work only while", "survives sleep"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn it_is_set_with_the_secret_until_the_power_goes_and_cleared() {
    let (bench, _server, secret) = behind();
    let secret = secret.to_str().unwrap();
    let output = bench.run(&["latch", "set", "--secret-file", secret]);
    assert!(output.status.success() && stdout(&output).starts_with("latch   set\n"), "{output:?}");
    // Each command puts the chip to sleep.
    assert_eq!(show(&bench)["latch"], "set");
    assert!(bench.run(&["csr", "--slot", "0", "--subject", "/CN=x"]).status.success());
    assert_eq!(bench.json(&["latch", "clear", "--secret-file", secret])["latch"], "clear");
    assert_eq!(bench.json(&["latch", "set", "--secret-file", secret])["latch"], "set");
    control(&bench, &["power-off"]);
    control(&bench, &["power-on"]);
    assert_eq!(show(&bench)["latch"], "clear");
}

#[test]
fn the_secret_is_32_bytes_or_64_hex_digits_from_a_file_or_standard_input() {
    let (bench, _server, secret) = behind();
    let bytes = std::fs::read(secret).unwrap();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    for (name, contents) in [
        ("raw", bytes.clone()),
        ("hex", digits.clone().into_bytes()),
        ("lines", format!("{} \n{}\n", &digits[..32], digits[32..].to_lowercase()).into_bytes()),
    ] {
        std::fs::write(bench.path(name), contents).unwrap();
        assert_eq!(bench.json(&["latch", "set", "--secret-file", name])["latch"], "set", "{name}");
        assert_eq!(bench.json(&["latch", "clear", "--secret-file", name])["latch"], "clear", "{name}");
    }
    for (name, contents) in [("short", &bytes[..31]), ("empty", &[]), ("letters", &b"no digits"[..])] {
        std::fs::write(bench.path(name), contents).unwrap();
        let output = bench.run(&["latch", "set", "--secret-file", name]);
        assert!(stderr(&output).contains("expected a secret of 32 bytes, or of 64 hex digits"), "{output:?}");
    }
    let output = bench.run(&["latch", "set", "--secret-file", "nowhere"]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("nowhere"), "{output:?}");
    assert_eq!(bench.run(&["latch", "set"]).status.code(), Some(2), "never from the command line");
}

#[test]
fn a_wrong_secret_or_none_changes_nothing() {
    let (bench, _server, secret) = behind();
    std::fs::write(bench.path("wrong"), [0x11; 32]).unwrap();
    let output = bench.run(&["latch", "set", "--secret-file", "wrong"]);
    assert!(stderr(&output).contains("does not hold the secret of slot 6"), "{output:?}");
    assert_eq!((output.status.code(), &show(&bench)["latch"]), (Some(1), &"clear".into()));
    assert_eq!(bench.json(&["latch", "set", "--secret-file", secret.to_str().unwrap()])["latch"], "set");
    let output = bench.run(&["latch", "clear"]);
    assert!(stderr(&output).contains("only with the secret of slot 6 (--secret-file)"), "{output:?}");
    assert_eq!(show(&bench)["latch"], "set");
}

#[test]
fn a_chip_that_clears_it_for_everybody_needs_no_secret() {
    let (bench, server, secret) = behind();
    drop(server);
    std::fs::remove_file(bench.path("socket")).unwrap();
    let _server = crate::support::serve(&bench, &["--switches", "latch_clear_is_free=on"]);
    assert_eq!(bench.json(&["latch", "set", "--secret-file", secret.to_str().unwrap()])["latch"], "set");
    assert_eq!(bench.json(&["latch", "clear"])["latch"], "clear");
}

#[test]
fn a_chip_that_does_not_enable_it_says_so() {
    let (bench, _server) = served();
    bench.provision();
    let report = show(&bench);
    assert_eq!(
        (&report["enabled"], &report["authorising_slot"], &report["slots"]),
        (&false.into(), &Value::Null, &json!([]))
    );
    let text = stdout(&bench.run(&["latch", "show"]));
    assert!(text.contains("the latch is not enabled in this chip's configuration"), "{text}");
    assert!(text.contains("no key of this chip depends on the latch"), "{text}");
    let key = bench.key_file();
    let output = bench.run(&["latch", "set", "--secret-file", key.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("its configuration does not enable setting the latch"), "{output:?}");
}

#[test]
fn keys_behind_it_are_shown_as_they_work_now() {
    let (bench, _server, secret) = behind();
    let list = bench.json(&["key", "list"]);
    assert_eq!(
        (&slot_of(&list, 0)["holds"], &slot_of(&list, 0)["latch"]),
        (&"key".into(), &"clear".into()),
        "{list:#}"
    );
    assert_eq!(slot_of(&list, 2)["latch"], Value::Null, "slot 3 does not depend on it");
    let text = stdout(&bench.run(&["key", "list"]));
    assert!(text.contains("does not work now: the persistent latch is not set (`atecc608 latch show`)"), "{text}");
    let info = bench.json(&["info"]);
    assert_eq!(info["latch"], "clear");
    let text = stdout(&bench.run(&["info"]));
    assert!(text.contains("latch           not set (`atecc608 latch show`)"), "{text}");
    assert_eq!(bench.json(&["latch", "set", "--secret-file", secret.to_str().unwrap()])["latch"], "set");
    let list = bench.json(&["key", "list"]);
    assert_eq!(slot_of(&list, 0)["latch"], "set");
    assert!(slot_of(&list, 0)["public_key"].is_string(), "{list:#}");
}

#[test]
fn a_generation_behind_it_names_it() {
    let (bench, _server, secret) = behind();
    let generate = ["key", "generate", "--slot", "2"];
    let output = bench.run(&generate);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("slot 2 works only while the chip's persistent latch is set, and it is not"), "{said}");
    assert!(said.contains("`atecc608 latch show` prints its state, and what sets it"), "{said}");
    let output = bench.run(&["csr", "--slot", "0", "--subject", "/CN=x"]);
    assert!(stderr(&output).contains("persistent latch"), "{output:?}");
    assert_eq!(bench.json(&["latch", "set", "--secret-file", secret.to_str().unwrap()])["latch"], "set");
    assert!(bench.run(&generate).status.success());
}

#[test]
fn doctor_warns_while_it_is_not_set() {
    let (bench, _server, secret) = behind();
    let doctor = || bench.json(&["doctor", "--module", built::module().to_str().unwrap()]);
    let latch = |report: &Value| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == "latch").unwrap().clone()
    };
    let check = latch(&doctor());
    assert_eq!((&check["result"], &check["detail"]), (&"warning".into(), &"not set: slot 0, 2 does not work".into()));
    assert!(check["remedy"].as_str().unwrap().contains("atecc608 latch show"), "{check:#}");
    bench.json(&["latch", "set", "--secret-file", secret.to_str().unwrap()]);
    assert_eq!(latch(&doctor())["result"], "ok");
}

#[test]
fn config_check_tells_a_latch_that_the_host_sets_from_one_that_nothing_sets() {
    let (bench, server, _) = behind();
    let about_slot_2 = || {
        let report = bench.json(&["config", "check"]);
        let checks = report["checks"].as_array().unwrap().clone();
        let found =
            checks.into_iter().find(|check| check["slot"] == 2 && check["detail"].as_str().unwrap().contains("latch"));
        let found = found.unwrap_or_else(|| panic!("{report:#}"));
        (found["result"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
    };
    let (result, detail) = about_slot_2();
    assert!(result == "warning" && detail.contains("`atecc608 latch set`"), "{result}: {detail}");
    let _server = restarted(&bench, server, |config| config[offset::VOLATILE_KEY_PERMISSION] = 0);
    let (result, detail) = about_slot_2();
    assert!(result == "failed" && detail.contains("nothing in this configuration can set it"), "{result}: {detail}");
    assert_eq!(bench.json(&["latch", "show"])["latch"], "unknown");
}
