// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/aws-iot.md agrees with the sources: the IAM permission of every call, every feature, every file.

use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// `create-certificate-from-csr` as IAM calls it.
fn action(call: &str) -> String {
    call.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

#[test]
fn the_permission_of_every_call_is_listed() {
    let (page, source) = (read("docs/aws-iot.md"), read("crates/atecc608-cli/src/cloud/aws/calls.rs"));
    let calls: Vec<&str> = source.split("call(&[").skip(1).map(|rest| rest.split('"').nth(1).unwrap()).collect();
    assert!(calls.len() >= 17, "only {calls:?} were found");
    for call in calls {
        let permission = match call {
            // The permission has one word less, or one capital more, than the call.
            "register-certificate-without-ca" => "RegisterCertificateWithoutCA".to_owned(),
            "describe-ca-certificate" => "DescribeCACertificate".to_owned(),
            call => action(call),
        };
        assert!(page.contains(&format!("`iot:{permission}`")), "{call}: iot:{permission}");
    }
}

#[test]
fn every_file_is_in_the_table_with_its_mode() {
    let page = read("docs/aws-iot.md");
    for (file, mode) in [
        ("device.pem", "0644"),
        ("device.csr", "0600"),
        ("claim.json", "0644"),
        ("root-ca.pem", "0644"),
        ("policy.json", "0644"),
        ("libatecc608_pkcs11.so", "0640"),
        ("device-client.json", "0640"),
        ("greengrass.yaml", "0600"),
        ("greengrass-lite.yaml", "0644"),
        ("openssl-greengrass.cnf", "0644"),
        ("greengrass-lite.conf", "0644"),
        ("sdk_connect.py", "0644"),
    ] {
        assert!(page.contains(&format!("| `{file}` | {mode} |")), "{file} {mode}");
        let source = [
            "cloud/aws/certificate",
            "cloud/aws/claim",
            "cloud/aws/device_client",
            "cloud/aws/greengrass",
            "cloud/aws/greengrass_lite",
            "cloud/aws/sdk",
            "cloud/aws/thing",
            "host/module",
        ]
        .map(|name| read(&format!("crates/atecc608-cli/src/{name}.rs")))
        .concat();
        assert!(source.contains(&format!("\"{file}\"")), "{file}");
    }
}
