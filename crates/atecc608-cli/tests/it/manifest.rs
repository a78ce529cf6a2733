// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 manifest`: its output for AWS and Azure from a factory's manifest, also from a forged one.

use std::process::Command;

use crate::batch::{Station, CA};
use crate::support::{stderr, stdout};
use serde_json::Value;

#[test]
fn aws_gets_one_line_for_each_thing() {
    let station = Station::new(2);
    station.make_ca();
    station.complete(&CA);
    let lines = |more: &[&str]| -> Vec<Value> {
        let output = station.tool(&[&["manifest", "aws", "manifest"], more].concat()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let manifest = station.manifest();
    for (thing, chip) in lines(&["--thing-name", "gw-{serial}"]).iter().zip(&manifest) {
        let serial = chip["serial_number"].as_str().unwrap();
        let wanted =
            serde_json::json!({ "ThingName": format!("gw-{serial}"), "SerialNumber": serial, "CSR": chip["csr"] });
        assert_eq!(*thing, wanted);
    }
    for (thing, chip) in lines(&["--certificates"]).iter().zip(&manifest) {
        let serial = &chip["serial_number"];
        let ca = std::fs::read_to_string(station.path("ca.pem")).unwrap();
        let wanted = serde_json::json!({
            "ThingName": serial, "SerialNumber": serial, "CertificatePem": chip["certificate"], "CACertificatePem": ca,
        });
        assert_eq!(*thing, wanted);
    }
    for (name, part) in [("gateway", "the same for every chip"), ("a b {serial}", "not a name of an AWS IoT thing")] {
        let output = station.tool(&["manifest", "aws", "manifest", "--thing-name", name]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[test]
fn azure_gets_enrolments_with_the_certificates_own_names() {
    let station = Station::new(11);
    station.make_ca();
    station.complete(&CA);
    let manifest = station.manifest();
    let output = station.tool(&["manifest", "azure", "manifest"]).output().unwrap();
    let text = stdout(&output);
    // Another CSV reader sees the same rows.
    std::fs::write(station.path("table.csv"), &text).unwrap();
    let reader = "import csv,json;print(json.dumps(list(csv.reader(open('table.csv', newline='')))))";
    let read = Command::new("python3").args(["-c", reader]).current_dir(station.dir.path()).output().unwrap();
    let read: Vec<Vec<String>> = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(read, text.lines().map(|row| row.split(',').map(str::to_owned).collect()).collect::<Vec<Vec<_>>>());
    let mut rows = text.lines();
    assert!(rows.next().unwrap().starts_with("registrationId,deviceId,serialNumber,sha1Thumbprint,sha256Thumbprint,"));
    for (row, chip) in rows.zip(&manifest) {
        let fields: Vec<&str> = row.split(',').collect();
        std::fs::write(station.path("c.pem"), chip["certificate"].as_str().unwrap()).unwrap();
        for (digest, at) in [("-sha1", 3), ("-sha256", 4)] {
            let fingerprint = stdout(&station.openssl(&["x509", "-in", "c.pem", "-noout", "-fingerprint", digest]));
            let hex = fingerprint.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
            assert_eq!(fields[at], hex);
        }
        assert_eq!(fields[0], chip["serial_number"].as_str().unwrap());
        assert_eq!(
            fields[5],
            chip["certificate"].as_str().unwrap().lines().filter(|l| !l.starts_with('-')).collect::<String>()
        );
    }
    let output = station.tool(&["manifest", "azure", "manifest", "--bulk"]).output().unwrap();
    let bodies: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts: Vec<usize> = bodies.iter().map(|body| body["enrollments"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [10, 1]);
    assert_eq!(bodies[0]["mode"], "create");
    let first = &bodies[0]["enrollments"][0];
    let primary = &first["attestation"]["x509"]["clientCertificates"]["primary"]["certificate"];
    assert_eq!(primary.as_str().unwrap(), manifest[0]["certificate"].as_str().unwrap().trim_end());
    assert_eq!(
        (&first["attestation"]["type"], &first["registrationId"]),
        (&"x509".into(), &manifest[0]["serial_number"])
    );
}

#[test]
fn azure_is_not_given_what_it_would_refuse() {
    let station = Station::new(1);
    station.complete(&[]);
    let azure = || station.tool(&["manifest", "azure", "manifest"]).output().unwrap();
    assert!(stderr(&azure()).contains("1 chips have no certificate"), "{}", stderr(&azure()));
    let output = station.tool(&["manifest", "aws", "manifest", "--certificates"]).output().unwrap();
    assert!(stderr(&output).contains("1 chips have no certificate"), "{}", stderr(&output));

    let station = Station::new(1);
    station.make_ca();
    station.complete(&[&CA[..], &["--subject", "/CN=a b {serial}"]].concat());
    let output = station.tool(&["manifest", "azure", "manifest"]).output().unwrap();
    assert!(stderr(&output).contains("is not a registration id"), "{}", stderr(&output));
    let output = station.tool(&["manifest", "list", "nothing-there"]).output().unwrap();
    assert!(stderr(&output).contains("there is no such file"), "{}", stderr(&output));
}

#[test]
fn a_manifest_can_put_no_row_and_no_formula_into_a_table() {
    let station = Station::new(1);
    station.make_ca();
    station.complete(&CA);
    let manifest = std::fs::read_to_string(station.path("manifest")).unwrap();
    let serial = station.manifest()[0]["serial_number"].as_str().unwrap().to_owned();
    let refused = |manifest: &str, arguments: &[&str], parts: &[&str]| {
        std::fs::write(station.path("forged"), manifest).unwrap();
        let output = station.tool(&[&["manifest"], arguments].concat()).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{output:?}");
        for part in parts {
            assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
        }
    };
    for forged in ["0123\\r\\nevil,evil,", "=HYPERLINK(1)", "@SUM(1)", "0123A1B2C3D4E5F6E", "0123A1B2C3D4E5F6EEE", ""] {
        let text =
            manifest.replace(&format!("\"serial_number\":\"{serial}\""), &format!("\"serial_number\":\"{forged}\""));
        assert_ne!(text, manifest);
        for command in ["azure", "aws", "list"] {
            refused(&text, &[command, "forged"], &["forged: line 1: serial_number: ", "18 hex digits"]);
        }
    }
    // Names are taken from certificates.
    for (name, problem) in
        [("a,b", "is not a registration id"), ("=1", "is not a registration id"), ("-1", "begins with a hyphen")]
    {
        let subject = format!("/CN={name}");
        let certificate = ["req", "-x509", "-new", "-key", "ca.key", "-subj", &subject, "-days", "9"];
        let certificate = Value::from(stdout(&station.openssl(&certificate)));
        let mut record: Value = serde_json::from_str(manifest.trim_end()).unwrap();
        record["certificate"] = certificate;
        refused(&format!("{record}\n"), &["azure", "forged"], &[problem, name]);
        let bulk = station.tool(&["manifest", "azure", "forged", "--bulk"]).output().unwrap();
        assert_eq!(bulk.status.success(), name == "-1", "{bulk:?}");
    }
}
