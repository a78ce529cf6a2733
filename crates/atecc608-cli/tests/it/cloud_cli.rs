// SPDX-License-Identifier: MIT OR Apache-2.0
//! `aws setup` and `azure setup` with stand-ins for the clouds' command-line tools: shell scripts that record their
//! arguments.

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use std::process::Output;

use crate::support::x509::{authority, ecparam_key, ok};
use crate::support::{stderr, stdout, Bench};
use serde_json::Value;

const AZURE: [&str; 8] = ["azure", "setup", "--device", "gateway-1", "--hub", "acme", "--dir", "azure"];
const AWS: [&str; 10] =
    ["aws", "setup", "--thing", "gateway-1", "--dir", "aws", "--root-ca", "ca.pem", "--module", "module.so"];

/// Records its arguments in `calls`; `az account show` fails if the file `logged-out` exists.
const AZ: &str = r#"#!/bin/sh
echo "$*" >>calls
if [ "$1" = account ] && [ -e logged-out ]; then
    echo "ERROR: Please run 'az login' to setup account." >&2
    exit 1
fi
"#;

/// An empty AWS IoT account; a certificate exists in it once it was registered.
const AWS_CLI: &str = r#"#!/bin/sh
echo "$2" >>calls
arn=arn:aws:iot:eu-west-1:123456789012
absent() { echo "An error occurred (ResourceNotFoundException) when calling the operation" >&2; exit 254; }
case $2 in
describe-endpoint) echo '{"endpointAddress": "a-ats.iot.eu-west-1.amazonaws.com"}' ;;
create-certificate-from-csr)
    openssl x509 -req -in "${4#file://}" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out made.pem 2>/dev/null
    printf '{"certificateArn": "%s:cert/00ff", "certificateId": "00ff", "certificatePem": "%s"}\n' "$arn" "$(awk '{ printf "%s\\n", $0 }' made.pem)"
    ;;
register-certificate-without-ca) touch registered ;;
describe-certificate)
    [ -e registered ] || absent
    printf '{"certificateDescription": {"certificateId": "%s", "certificateArn": "%s:cert/%s", "status": "INACTIVE"}}\n' "$4" "$arn" "$4"
    ;;
create-thing) printf '{"thingArn": "%s:thing/gateway-1"}\n' "$arn" ;;
list-thing-principals | describe-thing | get-policy | describe-ca-certificate) absent ;;
esac
"#;

/// A chip with the profile `tls`, and a CA.
fn provisioned() -> Bench {
    let bench = Bench::new();
    bench.provision();
    ecparam_key(bench.dir.path(), "ca.key");
    authority(bench.dir.path(), "ca.key", "ca.pem");
    fs::write(bench.path("module.so"), "a module").unwrap();
    bench
}

fn with_program(name: &str, script: &str) -> Bench {
    let bench = provisioned();
    fs::create_dir(bench.path("bin")).unwrap();
    let path = bench.path("bin").join(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    // What the scripts need, without pkcs11-tool: the set-up would load the module with it.
    for needed in ["awk", "openssl", "touch"] {
        symlink(Path::new("/usr/bin").join(needed), bench.path("bin").join(needed)).unwrap();
    }
    bench
}

fn run(bench: &Bench, arguments: &[&str]) -> Output {
    bench.command(arguments).env("PATH", bench.path("bin")).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn calls(bench: &Bench) -> Vec<String> {
    let calls = fs::read_to_string(bench.path("calls")).unwrap_or_default();
    calls.lines().map(str::to_owned).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn azure_setup_enrols_the_device_and_the_apply_option_of_earlier_versions_has_no_effect() {
    let bench = with_program("az", AZ);
    let first = json(&run(&bench, &[&AZURE[..], &["--json"]].concat()));
    assert_eq!(first["applied"], true);
    let made = calls(&bench);
    let expected: Vec<String> =
        texts(&first["commands"]).iter().map(|line| line.strip_prefix("az ").unwrap().to_owned()).collect();
    assert_eq!((made[0].as_str(), &made[1..]), ("account show --output none", &expected[..]));
    assert!(made[1].contains(first["thumbprint"].as_str().unwrap()), "{made:?}");
    let again = run(&bench, &[&AZURE[..], &["--apply"]].concat());
    assert!(again.status.success(), "{again:?}");
    assert_eq!(calls(&bench), [&made[..], &made[..]].concat());
    assert!(!stdout(&bench.run(&["azure", "setup", "--help"])).contains("--apply"));
    for contradiction in [["--apply", "--offline"], ["--apply", "--dry-run"], ["--offline", "--dry-run"]] {
        assert_eq!(run(&bench, &[&AZURE[..], &contradiction].concat()).status.code(), Some(2), "{contradiction:?}");
    }
}

#[test]
fn azure_setup_without_a_usable_azure_cli_fails_before_anything_is_done_and_names_offline() {
    let bench = with_program("az", AZ);
    fs::write(bench.path("logged-out"), "").unwrap();
    let before = bench.image();
    let without = bench.command(&AZURE).env("PATH", "/nowhere").output().unwrap();
    for (output, part) in [(without, "sudo apt install azure-cli"), (run(&bench, &AZURE), "az login")] {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(part) && stderr(&output).contains("--offline"), "{output:?}");
    }
    assert!(bench.image() == before && !bench.path("azure").exists());
    assert_eq!(calls(&bench), ["account show --output none"]);
}

#[test]
fn a_dry_run_of_azure_setup_shows_lines_and_files_and_changes_nothing() {
    let bench = with_program("az", AZ);
    let before = bench.image();
    let dry = [&AZURE[..], &["--dry-run"]].concat();
    let output = run(&bench, &dry);
    ok(&output);
    let text = stdout(&output);
    for part in ["Nothing was done", "would be generated", "--primary-thumbprint THUMBPRINT", "planned   0644"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let planned = json(&run(&bench, &[&dry[..], &["--json"]].concat()));
    assert_eq!((&planned["dry_run"], &planned["key_exists"]), (&true.into(), &false.into()));
    assert!(bench.image() == before && !bench.path("azure").exists() && calls(&bench).is_empty());
    // The same lines and files, except for the thumbprint.
    let done = bench.json(&[&AZURE[..], &["--offline"]].concat());
    let line = planned["commands"][0].as_str().unwrap();
    assert_eq!(line.replace("THUMBPRINT", done["thumbprint"].as_str().unwrap()), done["commands"][0]);
    let paths = |answer: &Value| {
        let files = answer["files"].as_array().unwrap();
        files.iter().map(|file| (file["path"].clone(), file["mode"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(paths(&planned), paths(&done));
}

#[test]
fn a_dry_run_says_that_no_slot_is_free_as_the_set_up_would() {
    let bench = provisioned();
    for number in 0.. {
        let output = bench.run(&["key", "generate", "--label", &format!("mine-{number}")]);
        if !output.status.success() {
            break;
        }
    }
    let before = bench.image();
    for (setup, more) in [(&AWS[..], "--dry-run"), (&AZURE[..], "--dry-run"), (&AZURE[..], "--offline")] {
        let output = bench.run(&[setup, &[more]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = stderr(&output);
        assert!(said.contains("no slot is free: slot 0 holds \"mine-0\"") && said.contains("key destroy"), "{said}");
        // An existing key needs none.
        ok(&bench.run(&[setup, &[more, "--key", "mine-0"]].concat()));
    }
    assert!(bench.image() == before);
}

#[test]
fn a_dry_run_of_aws_setup_shows_the_calls_that_are_then_made_in_their_order_and_their_permissions() {
    for more in [
        &[][..],
        &["--existing-thing"],
        &["--ca-cert", "ca.pem", "--ca-key", "ca.key"],
        &["--ca-cert", "ca.pem", "--ca-key", "ca.key", "--register"],
        &["--chip-certificate", "--key", "gateway-1"],
    ] {
        let bench = with_program("aws", AWS_CLI);
        if more.contains(&"--chip-certificate") {
            ok(&bench.run(&["key", "generate", "--label", "gateway-1"]));
            ok(&bench.run(&["cert", "self-sign", "--key", "gateway-1", "--subject", "/CN=x", "--store"]));
        }
        let planned = json(&run(&bench, &[&AWS[..], more, &["--dry-run", "--json"]].concat()));
        assert!(calls(&bench).is_empty(), "AWS was asked");
        let shown: Vec<&str> = texts(&planned["commands"]).iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
        let output = run(&bench, &[&AWS[..], more].concat());
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        let made = calls(&bench);
        assert_eq!(shown, made, "{more:?}");
        // Once more, with everything in place: still no call without its permission.
        let permissions = texts(&planned["permissions"]).concat().to_lowercase();
        for call in made {
            assert!(permissions.contains(&format!("iot:{}", call.replace('-', ""))), "{call}: {permissions}");
        }
    }
}

#[test]
fn a_dry_run_of_aws_setup_names_credentials_and_region() {
    let bench = provisioned();
    let text = stdout(&bench.run(&[&AWS[..], &["--dry-run"]].concat()));
    for part in
        ["credentials  those of the AWS CLI (`aws configure`", "region       that of the AWS CLI", "iot:CreateThing"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = stdout(&bench.run(&[&AWS[..], &["--dry-run", "--profile", "lab", "--region", "eu-west-1"]].concat()));
    for part in ["profile \"lab\"", "region       eu-west-1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let own = ["--ca-cert", "ca.pem", "--ca-key", "ca.key", "--endpoint", "localhost", "--dry-run"];
    let text = stdout(&bench.run(&[&AWS[..], &own].concat()));
    assert!(text.contains("no credentials are needed") && !text.contains("iot:CreateThing"), "{text}");
}
