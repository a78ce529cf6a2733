// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--attested` of the commands that certify a key: an attacker on the bus who substitutes a key is detected, and an
//! honest chip passes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support::attested::{pem, Attested};
use crate::support::{stderr, stdout};
use atecc608_testkit::{chip, interposer};
use serde_json::Value;
use x509_cert::der::Decode;

/// A key "gateway", and a request for it.
fn request(chip: &Attested, more: &[&str]) -> Output {
    let generated = chip.bench.run(&["key", "generate", "--label", "gateway"]);
    assert!(generated.status.success(), "{generated:?}");
    chip.bench.run(&[&["csr", "--key", "gateway", "--subject", "/CN=gateway-1", "--der"], more].concat())
}

/// The public key of a request.
fn requested(request: &Output) -> Vec<u8> {
    assert!(request.status.success(), "{request:?}");
    let request = x509_cert::request::CertReq::from_der(&request.stdout).unwrap();
    request.info.public_key.subject_public_key.raw_bytes().to_vec()
}

#[track_caller]
fn assert_refused(output: &Output) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("is not attested under") && text.contains("atecc608 key destroy"), "{text}");
    assert!(stdout(output).is_empty(), "{output:?}");
}

#[test]
fn a_request_for_a_key_that_the_chip_attests_is_made() {
    let chip = Attested::new();
    let request = request(&chip, &["--attested", "key.pem"]);
    let point = chip::point_in(&chip.bus.image(0).unwrap(), 0).unwrap();
    assert_eq!(requested(&request), point);
}

#[test]
fn a_public_key_substituted_on_the_bus_is_certified_only_without_attested() {
    let (chip, of_somebody) = Attested::interposed();
    assert_eq!(requested(&request(&chip, &[])), of_somebody, "nothing else finds out");
    let again = ["csr", "--key", "gateway", "--subject", "/CN=gateway-1", "--der", "--attested", "key.pem"];
    assert_refused(&chip.bench.run(&again));
}

#[test]
fn a_key_of_another_chip_is_refused_and_so_is_a_file_that_is_no_key() {
    let chip = Attested::new();
    let enrolled = chip.bench.run(&["attest", "--public", "--json"]);
    let mut other: Value = serde_json::from_slice(&enrolled.stdout).unwrap();
    other["serial_number"] = "0123456789ABCDEF01".into();
    fs::write(chip.bench.path("other.json"), other.to_string()).unwrap();
    let refused = request(&chip, &["--attested", "other.json"]);
    assert_refused(&refused);
    assert!(stderr(&refused).contains("serial number"), "{refused:?}");
    chip.put_key(2, 7);
    fs::write(chip.bench.path("other.pem"), pem(&chip.key_in(2))).unwrap();
    let request = |file: &str| chip.bench.run(&["csr", "--slot", "0", "--subject", "/CN=a", "--attested", file]);
    assert_refused(&request("other.pem"));
    fs::write(chip.bench.path("no.pem"), "no key").unwrap();
    assert!(stderr(&request("no.pem")).contains("not a usable attestation key"));
}

/// `azure setup`, which generates the key.
fn azure(chip: &Attested, more: &[&str]) -> Output {
    chip.bench.run(
        &[&["azure", "setup", "--device", "gateway-1", "--hub", "acme", "--dir", "azure", "--offline"], more].concat(),
    )
}

#[test]
fn an_azure_device_gets_a_certificate_only_for_a_key_that_the_chip_attests() {
    let chip = Attested::new();
    assert!(azure(&chip, &["--attested", "key.pem"]).status.success());
    let (chip, _) = Attested::interposed();
    assert_refused(&azure(&chip, &["--attested", "key.pem"]));
    assert!(!chip.bench.path("azure/device.pem").exists());
    assert!(azure(&chip, &[]).status.success(), "nothing else finds out");
}

/// `aws setup` with an AWS CLI that returns its endpoint and refuses all changes; returns the other calls.
fn aws(chip: &Attested) -> (Output, String) {
    let bin = chip.bench.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*describe-endpoint*) echo '{{\"endpointAddress\": \"a-ats.iot.eu-west-1.amazonaws.com\"}}' ;;\n\
         *list-thing-principals*) echo '{{\"principals\": []}}' ;;\n*) echo \"$*\" >>{}; echo refused >&2; exit 1 ;;\nesac\n",
        chip.bench.path("asked").display()
    );
    fs::write(bin.join("aws"), script).unwrap();
    fs::set_permissions(bin.join("aws"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(chip.bench.path("module.so"), "").unwrap();
    let root = chip.bench.run(&["azure", "setup", "--device", "root", "--hub", "acme", "--dir", "root", "--offline"]);
    assert!(root.status.success(), "{root:?}");
    let files = ["--root-ca", "root/device.pem", "--module", "module.so", "--dir", "aws"];
    let arguments = [&["aws", "setup", "--thing", "gateway-1", "--attested", "key.pem"][..], &files].concat();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = chip.bench.command(&arguments).env("PATH", path).output().unwrap();
    (output, fs::read_to_string(chip.bench.path("asked")).unwrap_or_default())
}

#[test]
fn aws_is_asked_for_a_certificate_only_for_a_key_that_the_chip_attests() {
    let (output, asked) = aws(&Attested::new());
    assert!(asked.contains("create-certificate-from-csr"), "{output:?}");
    let (output, asked) = aws(&Attested::interposed().0);
    assert_refused(&output);
    assert_eq!(asked, "");
}

#[test]
fn a_batch_writes_down_only_keys_that_their_chips_attest() {
    let dir = tempfile::tempdir().unwrap();
    let (of_somebody, answer) = interposer::with_own_key();
    let blank = atecc608_sim::Profile::Blank608B.image(chip::provisioned().config().serial_number(), 0x60);
    let _bus = interposer::serve(blank, &dir.path().join("socket"), answer);
    fs::create_dir(dir.path().join("state")).unwrap();
    let folder = dir.path().display();
    let configuration = format!("state_dir = \"{folder}/state\"\n[[token]]\nbus = \"unix:{folder}/socket\"\n");
    fs::write(dir.path().join("station.toml"), configuration).unwrap();
    let batch = |more: &[&str]| {
        let fixed = ["provision", "tls", "--batch", "station.toml", "--manifest", "manifest", "--lock-forever"];
        let mut command = std::process::Command::new(crate::support::TOOL);
        command.args([&fixed, more].concat()).current_dir(dir.path()).env_remove("ATECC608_LOG").output().unwrap()
    };
    let refused = batch(&["--attested"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = stdout(&refused) + &stderr(&refused);
    assert!(said.contains("is not attested under the attestation key that this run has read"), "{said}");
    let lines = || fs::read_to_string(dir.path().join("manifest")).unwrap_or_default();
    assert_eq!(lines(), "");
    assert!(batch(&[]).status.success(), "nothing else finds out");
    assert!(lines().contains(&base16ct::lower::encode_string(&of_somebody)), "{}", lines());
}

#[test]
fn a_batch_of_honest_chips_is_attested() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    let folder = dir.path().display();
    let configuration = format!("state_dir = \"{folder}/state\"\n[[token]]\nbus = \"sim:{folder}/chip\"\n");
    fs::write(dir.path().join("station.toml"), configuration).unwrap();
    let fixed =
        ["provision", "tls", "--batch", "station.toml", "--manifest", "manifest", "--lock-forever", "--attested"];
    let mut command = std::process::Command::new(crate::support::TOOL);
    let output = command.args(fixed).current_dir(dir.path()).env_remove("ATECC608_LOG").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(dir.path().join("manifest")).unwrap().lines().count(), 1);
}
