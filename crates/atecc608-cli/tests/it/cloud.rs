// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 aws` and `atecc608 azure`, without contact to a cloud. For the rest see tests/clients/aws-setup.sh and
//! azure-setup.sh.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use crate::support::x509::{authority, ecparam_key};
use crate::support::{stderr, stdout, Bench};
use der::{Decode, Encode};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use x509_cert::Certificate;

fn provisioned() -> Bench {
    let bench = Bench::new();
    bench.provision();
    bench
}

/// The tool without an AWS CLI in its PATH.
fn without_aws(bench: &Bench, arguments: &[&str]) -> Output {
    bench.command(arguments).env("PATH", "/nowhere").output().unwrap()
}

/// The first one in a file.
fn certificate(path: &Path) -> Certificate {
    let pem = fs::read_to_string(path).unwrap();
    let first = pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let (label, der) = der::pem::decode_vec(first.as_bytes()).unwrap();
    assert_eq!(label, "CERTIFICATE");
    Certificate::from_der(&der).unwrap()
}

#[test]
fn a_dry_run_needs_no_aws_makes_no_key_and_shows_calls_policy_and_files() {
    let bench = provisioned();
    let arguments =
        ["aws", "setup", "--thing", "gateway-1", "--region", "eu-west-1", "--dry-run", "--feature", "jobs", "--json"];
    let output = without_aws(&bench, &arguments);
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["key_exists"], false);
    let commands: Vec<&str> = said["commands"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for part in
        ["create-thing --thing-name gateway-1 --region eu-west-1", "create-policy --policy-name atecc608-gateway-1"]
    {
        assert!(commands.iter().any(|line| line.contains(part)), "{part}: {commands:?}");
    }
    assert!(said["policy"].to_string().contains("arn:aws:iot:eu-west-1:ACCOUNT:topic/$aws/things/gateway-1/jobs/*"));
    assert!(said["files"].to_string().contains("/etc/atecc608-pkcs11/aws/gateway-1/device-client.json"));
    assert!(!Path::new("/etc/atecc608-pkcs11/aws/gateway-1").exists());
    let keys = stdout(&bench.run(&["key", "list"]));
    assert!(!keys.contains("gateway-1"), "{keys}");
}

#[test]
fn local_errors_are_reported_before_aws_is_called() {
    let blank = Bench::new();
    for (bench, arguments, part) in [
        (&blank, &["--thing", "a"][..], "not provisioned"),
        (&provisioned(), &["--thing", "a/b"][..], "'/' is not allowed"),
        (&provisioned(), &["--thing=-a"][..], "hyphen"),
        (&provisioned(), &["--thing", "a", "--feature", "greengrass"][..], "--role-alias"),
        (&provisioned(), &["--thing", "a"][..], "apt install awscli"),
    ] {
        let output = without_aws(bench, &[&["aws", "setup"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(part), "{output:?}");
    }
    let usage = provisioned().run(&["aws", "setup", "--thing", "a", "--feature", "everything"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}

#[test]
fn an_own_ca_with_the_endpoint_given_needs_no_aws_cli() {
    let bench = provisioned();
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
    fs::write(bench.path("module.so"), "a module").unwrap();
    let folder = bench.path("gateway-1").display().to_string();
    let arguments = ["--ca-cert", "ca.pem", "--ca-key", "ca.key", "--root-ca", "ca.pem", "--module", "module.so"];
    let host = "a1b2-ats.iot.eu-central-1.amazonaws.com";
    let setup =
        [&["aws", "setup", "--thing", "gateway-1", "--endpoint", host, "--dir", &folder], &arguments[..]].concat();
    let output = without_aws(&bench, &[&setup[..], &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["endpoint"], &said["commands"]), (&host.into(), &serde_json::json!([])));
    assert_eq!(certificate(&bench.path("gateway-1/device.pem")).tbs_certificate.subject.to_string(), "CN=gateway-1");
    let client = fs::read_to_string(bench.path("gateway-1/device-client.json")).unwrap();
    assert!(client.contains(host), "{client}");
    let dry = stdout(&without_aws(&bench, &[&setup[..], &["--dry-run"]].concat()));
    assert!(!dry.contains("describe-endpoint"), "{dry}");
    let wrong = without_aws(&bench, &["aws", "setup", "--thing", "a", "--endpoint", "https://a.b"]);
    assert!(stderr(&wrong).contains("without https://"), "{wrong:?}");
}

#[test]
fn a_dry_run_of_a_claim_makes_no_key_and_shows_topics_request_and_files() {
    let bench = provisioned();
    let claim = ["aws", "claim", "--template", "fleet", "--endpoint", "a1b2-ats.iot.eu-west-1.amazonaws.com"];
    let more = ["--claim-key", "none.key", "--parameter", "SerialNumber={serial}", "--dir", "claimed", "--dry-run"];
    let said = bench.json(&[&claim[..], &more].concat());
    let serial = bench.serial();
    assert_eq!(said["topics"][1], "$aws/provisioning-templates/fleet/provision/json");
    assert_eq!(
        (&said["parameters"]["SerialNumber"], &said["client_id"]),
        (&serial.clone().into(), &serial.clone().into())
    );
    assert_eq!((&said["key"], &said["key_exists"]), (&serial.clone().into(), &false.into()));
    assert_eq!(said["subject"], format!("CN={serial}"));
    assert!(said["files"].to_string().contains("claimed/claim.json"), "{said}");
    assert!(!bench.path("claimed").exists());
    assert!(!stdout(&bench.run(&["key", "list"])).contains(&serial));
}

#[test]
fn a_refresh_renews_the_copies_that_are_old_and_says_which() {
    let bench = Bench::new();
    let (module, thing) = (bench.path("installed.so"), bench.path("thing"));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir(&thing).unwrap();
    mode(&thing, 0o700);
    fs::write(&module, "version 1").unwrap();
    let refresh = |more: &[&str]| {
        let module = module.display().to_string();
        let folder = thing.display().to_string();
        bench.run(&[&["aws", "refresh", "--module", &module, "--dir", &folder], more].concat())
    };
    assert_eq!(refresh(&["--check"]).status.code(), Some(3));
    assert!(refresh(&[]).status.success());
    assert!(stdout(&refresh(&["--check"])).contains("current"));
    let look = |state: &str, result: &str| {
        let report: serde_json::Value = serde_json::from_slice(&refresh(&["--check", "--json"]).stdout).unwrap();
        assert_eq!((&report["checks"][0]["result"], &report["copies"][0]["result"]), (&result.into(), &state.into()));
        assert_eq!(report["checks"][0]["name"], report["copies"][0]["path"]);
    };
    look("current", "ok");
    fs::write(&module, "version 2").unwrap();
    assert_eq!(refresh(&["--check"]).status.code(), Some(3));
    look("old", "failed");
    assert!(stdout(&refresh(&[])).contains("restart the client"));
    let copy = thing.join("libatecc608_pkcs11.so");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "version 2");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o7777, 0o640);
    // Modes that Device Client refuses.
    mode(&copy, 0o755);
    look("failed", "failed");
    assert!(refresh(&[]).status.success());
    look("current", "ok");
    mode(&thing, 0o755);
    look("failed", "failed");
    assert!(stdout(&refresh(&[])).contains(&format!("chmod 700 {}", thing.display())));
    mode(&thing, 0o700);
    let lost = bench.run(&["aws", "refresh", "--module", &module.display().to_string(), "--dir", "/nowhere"]);
    assert_eq!(lost.status.code(), Some(1), "{lost:?}");
}

#[test]
fn an_azure_device_has_a_certificate_by_its_own_key_and_keeps_it() {
    let bench = provisioned();
    let folder = bench.path("azure").display().to_string();
    let setup = ["azure", "setup", "--device", "gateway-1", "--hub", "acme", "--dir", &folder, "--offline"];
    let first = bench.json(&setup);
    assert_eq!((&first["key_generated"], &first["applied"]), (&true.into(), &false.into()));
    let made = certificate(&bench.path("azure/device.pem"));
    assert_eq!(made.tbs_certificate.subject.to_string(), "CN=gateway-1");
    let key = made.tbs_certificate.subject_public_key_info.to_der().unwrap();
    let signature = DerSignature::from_bytes(made.signature.as_bytes().unwrap()).unwrap();
    let verified =
        VerifyingKey::from_public_key_der(&key).unwrap().verify(&made.tbs_certificate.to_der().unwrap(), &signature);
    verified.unwrap();
    let again = bench.json(&setup);
    assert_eq!(first["thumbprint"], again["thumbprint"]);
    let check = &first["checks"][0];
    assert_eq!((&check["name"], &check["result"]), (&"certificate".into(), &"ok".into()));
    assert_eq!((&check["what"], &check["found"]), (&check["name"], &check["detail"]));
    assert!(again["files"].as_array().unwrap().iter().all(|file| file["result"] == "unchanged"), "{again}");
    // A changed file is kept until its replacement is requested.
    fs::write(bench.path("azure/enrol.sh"), "mine").unwrap();
    let kept = bench.run(&setup);
    assert!(kept.status.success() && stderr(&kept).contains("--replace"), "{kept:?}");
    assert_eq!(fs::read_to_string(bench.path("azure/enrol.sh")).unwrap(), "mine");
    assert!(bench.run(&[&setup[..], &["--replace"]].concat()).status.success());
    assert_eq!(fs::read_to_string(bench.path("azure/enrol.sh.old")).unwrap(), "mine");
}
