// SPDX-License-Identifier: MIT OR Apache-2.0
//! Foreign text (labels in the state folder, subjects, manifests, statements, file names) can't forge lines of the
//! tool's output or reach the terminal as an escape sequence.

use std::process::Output;

use serde_json::Value;

use crate::support::x509::{authority, ecparam_key, ok, openssl, tool};
use crate::support::{stderr, stdout, Bench};
use atecc608_token::visible::is_control;

/// A line of its own, a colour, "clear the line", C1's CSI, and a right-to-left override.
const HOSTILE: &str = "a\nok  forged\u{1b}[31m\r\u{1b}[2K\u{9b}2K\u{202e}z";

/// The same as TOML and JSON write it.
fn quoted() -> String {
    Value::from(HOSTILE).to_string()
}

/// The tool's output has HOSTILE in it, visible and within a line.
#[track_caller]
fn assert_harmless(output: &Output) {
    let said = stdout(output) + &stderr(output);
    assert!(said.contains("forged"), "the text is shown: {said:?}");
    assert!(!said.chars().any(|c| c != '\n' && is_control(c)), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("ok  forged")), "{said:?}");
}

/// The tool prints JSON that decodes to the original text.
#[track_caller]
fn assert_harmless_json(bench: &Bench, arguments: &[&str]) {
    let output = bench.run(&[arguments, &["--json"]].concat());
    assert_harmless(&output);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(has_text(&value, HOSTILE), "{value}");
}

fn has_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found.contains(text),
        Value::Array(values) => values.iter().any(|value| has_text(value, text)),
        Value::Object(members) => members.values().any(|value| has_text(value, text)),
        _ => false,
    }
}

/// A chip with a key; a user with write access to the state folder chose the labels of key and token.
fn with_hostile_labels() -> Bench {
    let bench = Bench::with_config(|dir| format!("bus = \"sim:{}\"\n", dir.join("chip").display()));
    bench.provision();
    ok(&bench.run(&["key", "generate", "--label", "gateway"]));
    let file = bench.path("state").join(bench.serial()).join("state.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("label = \"gateway\""), "{text}");
    let text = text.replace("label = \"gateway\"", &format!("label = {}", quoted()));
    std::fs::write(&file, format!("label = {}\n{text}", quoted())).unwrap();
    bench
}

#[test]
fn labels_in_the_state_folder_stay_within_their_lines() {
    let bench = with_hostile_labels();
    for arguments in [&["info"][..], &["key", "list"]] {
        assert_harmless(&bench.run(arguments));
        assert_harmless_json(&bench, arguments);
    }
    assert_harmless(&bench.run(&["csr", "--subject", "/CN=x", "--output", "request.pem"]));
    assert_harmless(&bench.run(&["cert", "self-sign", "--subject", "/CN=x", "--store", "--output", "x.pem"]));
    assert_harmless(&bench.run(&["cert", "list"]));
    // Also without a terminal for the prompt the key is named.
    assert_harmless(&bench.run(&["key", "destroy", "--slot", "0"]));
    assert_harmless(&bench.run(&["key", "destroy", "--slot", "0", "--yes"]));
}

#[test]
fn subjects_and_alternative_names_of_certificates_and_requests_stay_within_their_lines() {
    let bench = with_hostile_labels();
    let dir = bench.dir.path();
    let subject = format!("/CN={HOSTILE}");
    ecparam_key(dir, "their.key");
    authority(dir, "their.key", "ca.pem");
    let request = ["req", "-new", "-utf8", "-key", "their.key", "-subj", &subject];
    tool(dir, "openssl", &[&request[..], &["-x509", "-days", "9", "-out", "their.pem"]].concat());
    tool(dir, "openssl", &[&request[..], &["-out", "their.csr"]].concat());
    for arguments in [
        &["cert", "import", "their.pem", "--label", "theirs"][..],
        &["cert", "list"],
        &["cert", "export", "--label", "theirs", "--output", "exported.pem"],
        &["cert", "issue", "--csr", "their.csr", "--ca", "ca.pem", "--ca-key", "their.key", "--output", "issued.pem"],
        &["cert", "remove", "--label", "theirs"],
    ] {
        assert_harmless(&bench.run(arguments));
    }
    // PEM stays PEM.
    openssl(dir, "x509 -in exported.pem -noout");
}

#[test]
fn manifests_and_statements_stay_within_their_lines() {
    let bench = Bench::new();
    let key = serde_json::json!({ "slot": 0, "label": "", "id": "", "public_key": "", "public_key_pem": "" });
    let record = serde_json::json!({
        "format": "atecc608-manifest", "version": 1, "serial_number": "0123A1B2C3D4E5F6EE", "model": HOSTILE, "profile": HOSTILE,
        "simulated": true, "bus": "", "address": "", "time": HOSTILE, "adopted": false, "attestation": null, "key": key,
        "csr": null, "certificate": null, "ca_certificate": null, "io_key_file": "", "warnings": [HOSTILE],
    });
    std::fs::write(bench.path("manifest"), format!("{record}\n")).unwrap();
    assert_harmless(&bench.run(&["manifest", "list", "manifest"]));
    assert_harmless_json(&bench, &["manifest", "list", "manifest"]);
    // JSON lines for a cloud stay JSON.
    let mut with_request = record.clone();
    with_request["csr"] = HOSTILE.into();
    std::fs::write(bench.path("manifest"), format!("{with_request}\n")).unwrap();
    let lines = bench.run(&["manifest", "aws", "manifest"]);
    assert_harmless(&lines);
    assert_eq!(serde_json::from_slice::<Value>(&lines.stdout).unwrap()["CSR"], HOSTILE);
    let other = record.to_string().replace("atecc608-manifest", quoted().trim_matches('"'));
    std::fs::write(bench.path("manifest"), format!("{other}\n")).unwrap();
    assert_harmless(&bench.run(&["manifest", "list", "manifest"]));
    for statement in [
        serde_json::json!({ "format": HOSTILE }).to_string(),
        serde_json::json!({ HOSTILE: 1 }).to_string(),
        HOSTILE.to_owned(),
    ] {
        std::fs::write(bench.path(HOSTILE), statement).unwrap();
        assert_harmless(&bench.run(&["verify-attestation", HOSTILE, "--attestation-key", HOSTILE, "--any-challenge"]));
    }
}

#[test]
fn a_file_name_in_an_error_forges_no_line() {
    let bench = Bench::new();
    for arguments in [&["cert", "import", HOSTILE][..], &["config", "set", HOSTILE], &["manifest", "list", HOSTILE]] {
        let output = bench.run(arguments);
        assert_harmless(&output);
        let begun = stderr(&output).lines().filter(|line| line.starts_with("atecc608: ")).count();
        assert_eq!(begun, 1, "{output:?}");
    }
}
