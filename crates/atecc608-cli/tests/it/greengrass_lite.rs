// SPDX-License-Identifier: MIT OR Apache-2.0
//! `--client greengrass-lite` of `aws setup` and `aws claim`. tests/clients/greengrass-lite.sh connects with the files.

use std::fs;
use std::process::Output;

use crate::support::x509::{authority, ecparam_key};
use crate::support::{stderr, stdout, Bench};

const FILES: [&str; 3] = ["greengrass-lite.yaml", "openssl-greengrass.cnf", "greengrass-lite.conf"];
const ENDPOINT: [&str; 2] = ["--endpoint", "a1b2-ats.iot.eu-central-1.amazonaws.com"];
const CREDENTIALS: [&str; 2] = ["--credentials-endpoint", "c1.credentials.iot.eu-central-1.amazonaws.com"];

/// A bench with a CA, and a stand-in for a module.
fn bench() -> Bench {
    let bench = Bench::new();
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
    fs::write(bench.path("module.so"), "a module").unwrap();
    bench
}

/// The set-up of core-1 without an AWS CLI, pkcs11-tool or OpenSSL in PATH.
fn set_up(bench: &Bench, more: &[&str]) -> Output {
    let folder = bench.path("core-1").display().to_string();
    let arguments = ["aws", "setup", "--thing", "core-1", "--client", "greengrass-lite", "--dir", &folder];
    let own = ["--ca-cert", "ca.pem", "--ca-key", "ca.key", "--root-ca", "ca.pem", "--module", "module.so"];
    bench.command(&[&arguments[..], &own, more].concat()).env("PATH", "/nowhere").output().unwrap()
}

fn complete(bench: &Bench, more: &[&str]) -> Output {
    set_up(bench, &[&["--role-alias", "Exchange"], &ENDPOINT[..], &CREDENTIALS, more].concat())
}

fn written(bench: &Bench, name: &str) -> String {
    fs::read_to_string(bench.path("core-1").join(name)).unwrap()
}

#[test]
fn its_files_say_where_key_certificate_endpoints_and_module_are() {
    let bench = bench();
    bench.provision();
    let output = complete(&bench, &[]);
    assert!(output.status.success(), "{output:?}");
    let [configuration, openssl, drop_in] = FILES.map(|name| written(&bench, name));
    for line in [
        r#"  privateKeyPath: "pkcs11:token=gateway;object=core-1;type=private""#,
        r#"  certificateFilePath: "pkcs11:token=gateway;object=core-1;type=cert""#,
        r#"  rootCaPath: "/etc/greengrass/root-ca.pem""#,
        r#"  thingName: "core-1""#,
        r#"      awsRegion: "eu-central-1""#,
        r#"      iotDataEndpoint: "a1b2-ats.iot.eu-central-1.amazonaws.com""#,
        r#"      iotCredEndpoint: "c1.credentials.iot.eu-central-1.amazonaws.com""#,
        r#"      iotRoleAlias: "Exchange""#,
    ] {
        assert!(configuration.lines().any(|found| found == line), "{line}\n{configuration}");
    }
    assert!(openssl.contains(&format!("pkcs11-module-path = {}", bench.path("module.so").display())), "{openssl}");
    assert!(drop_in.contains("\nEnvironment=OPENSSL_CONF=/etc/greengrass/openssl-greengrass.cnf\n"), "{drop_in}");
    // The configuration of the Java nucleus is not written in addition.
    assert!(!bench.path("core-1/greengrass.yaml").exists());
    let next = stdout(&output);
    for service in ["iotcored", "tesd", "ggdeploymentd"] {
        assert!(next.contains(&format!("/etc/systemd/system/ggl.core.{service}.service.d/atecc608.conf")), "{next}");
    }
    assert!(!next.contains("token-pin") && !configuration.contains("pin"), "{next}");
}

#[test]
fn a_changed_file_is_kept_until_it_is_to_be_replaced_and_the_check_says_what_it_lacks() {
    let bench = bench();
    bench.provision();
    assert!(complete(&bench, &[]).status.success());
    let (file, before) = (bench.path("core-1").join(FILES[0]), written(&bench, FILES[0]));
    let other = before.replace("/etc/greengrass/root-ca.pem", "/elsewhere.pem");
    fs::write(&file, &other).unwrap();
    let kept = complete(&bench, &[]);
    assert_eq!(kept.status.code(), Some(1), "{kept:?}");
    assert!(stdout(&kept).contains("lacks rootCaPath") && stderr(&kept).contains("--replace"), "{kept:?}");
    assert_eq!(written(&bench, FILES[0]), other);
    assert!(complete(&bench, &["--replace"]).status.success());
    assert_eq!((written(&bench, FILES[0]), written(&bench, "greengrass-lite.yaml.old")), (before, other));
}

#[test]
fn a_pin_is_named_by_the_file_that_has_it_and_written_nowhere() {
    let bench = bench();
    fs::write(bench.path("pin"), "correct horse\n").unwrap();
    let provision = ["provision", "tls-pin", "--lock-forever", "--pin-file", "pin", "--recovery-code-file", "code"];
    assert!(bench.run(&provision).status.success());
    let output = complete(&bench, &["--pin-file", "pin"]);
    assert!(output.status.success(), "{output:?}");
    for name in FILES {
        assert!(!written(&bench, name).contains("correct horse"), "{name}");
    }
    let configuration = written(&bench, FILES[0]);
    assert_eq!(configuration.matches("?pin-source=file:/etc/greengrass/token-pin\"").count(), 2, "{configuration}");
    assert!(stdout(&output).contains("-g ggcore PIN-FILE /etc/greengrass/token-pin"), "{output:?}");
}

#[test]
fn what_it_needs_is_asked_for_before_anything_is_changed() {
    let bench = bench();
    bench.provision();
    let label = "k".repeat(99);
    for (output, part) in [
        (set_up(&bench, &ENDPOINT), "--role-alias NAME"),
        (set_up(&bench, &[&["--role-alias", "Exchange"], &ENDPOINT[..]].concat()), "apt install awscli"),
        (complete(&bench, &["--key", &label]), "shorter label with --key"),
    ] {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(part), "{part}: {output:?}");
    }
    assert!(!bench.path("core-1").exists());
    assert!(!stdout(&bench.run(&["key", "list"])).contains("core-1"));
}

#[test]
fn a_dry_run_shows_its_files_and_the_permissions_of_a_core_device() {
    let bench = bench();
    bench.provision();
    let planned = |output: &Output| {
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        for name in FILES {
            assert!(said["files"].to_string().contains(&format!("/{name}")), "{name}: {said}");
        }
        said
    };
    let said = planned(&complete(&bench, &["--dry-run", "--json"]));
    let policy = said["policy"].to_string();
    assert!(policy.contains("iot:AssumeRoleWithCertificate") && policy.contains("greengrass:"), "{policy}");
    let claim = ["aws", "claim", "--template", "fleet", "--claim-key", "none.key", "--client", "greengrass-lite"];
    let claim = [&claim[..], &ENDPOINT, &CREDENTIALS, &["--dry-run", "--json"]].concat();
    planned(&bench.run(&[&claim[..], &["--role-alias", "Exchange"]].concat()));
    let incomplete = ["aws", "claim", "--template", "fleet", "--claim-key", "none.key", "--client", "greengrass-lite"];
    let refused = bench.run(&[&incomplete[..], &ENDPOINT].concat());
    assert!(stderr(&refused).contains("--credentials-endpoint HOST"), "{refused:?}");
}
