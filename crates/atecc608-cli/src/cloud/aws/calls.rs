// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AWS IoT calls of a setup, as arguments of the AWS CLI. `--dry-run` shows exactly the calls that are made.

use std::path::Path;

/// Arguments of `aws`, without those common to all calls.
pub type Call = Vec<String>;

fn call(words: &[&str]) -> Call {
    std::iter::once("iot").chain(words.iter().copied()).map(str::to_owned).collect()
}

fn from_file(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// `kind`: `iot:Data-ATS` (MQTT) or `iot:CredentialProvider` (Greengrass).
pub fn describe_endpoint(kind: &str) -> Call {
    call(&["describe-endpoint", "--endpoint-type", kind])
}

/// Returns the thing's ARN.
pub fn describe_thing(thing: &str) -> Call {
    call(&["describe-thing", "--thing-name", thing])
}

/// Creates the thing; returns its ARN.
pub fn create_thing(thing: &str) -> Call {
    call(&["create-thing", "--thing-name", thing])
}

/// Returns the certificates of a thing.
pub fn list_thing_principals(thing: &str) -> Call {
    call(&["list-thing-principals", "--thing-name", thing])
}

/// Returns the things of a certificate.
pub fn list_principal_things(certificate_arn: &str) -> Call {
    call(&["list-principal-things", "--principal", certificate_arn])
}

/// Returns a certificate with its state.
pub fn describe_certificate(id: &str) -> Call {
    call(&["describe-certificate", "--certificate-id", id])
}

/// Creates a certificate signed by AWS, inactive: one whose response is lost can't be used.
pub fn create_certificate_from_csr(csr: &Path) -> Call {
    call(&["create-certificate-from-csr", "--certificate-signing-request", &from_file(csr)])
}

/// Registers a certificate of a CA that the account knows.
pub fn register_certificate(certificate: &Path, authority: &Path) -> Call {
    let (certificate, authority) = (from_file(certificate), from_file(authority));
    call(&[
        "register-certificate",
        "--certificate-pem",
        &certificate,
        "--ca-certificate-pem",
        &authority,
        "--status",
        "INACTIVE",
    ])
}

/// Registers a certificate of a CA that the account does not know.
pub fn register_certificate_without_ca(certificate: &Path) -> Call {
    call(&["register-certificate-without-ca", "--certificate-pem", &from_file(certificate), "--status", "INACTIVE"])
}

/// Activates the certificate: its holder can connect from then on.
pub fn activate_certificate(id: &str) -> Call {
    call(&["update-certificate", "--certificate-id", id, "--new-status", "ACTIVE"])
}

/// Returns a CA of the account, and whether its certificates register themselves at their first connection.
pub fn describe_ca_certificate(id: &str) -> Call {
    call(&["describe-ca-certificate", "--certificate-id", id])
}

/// Returns a policy's document.
pub fn get_policy(name: &str) -> Call {
    call(&["get-policy", "--policy-name", name])
}

/// Creates a policy with the document in a file.
pub fn create_policy(name: &str, document: &Path) -> Call {
    call(&["create-policy", "--policy-name", name, "--policy-document", &from_file(document)])
}

/// Adds another document, which becomes the default.
pub fn create_policy_version(name: &str, document: &Path) -> Call {
    call(&[
        "create-policy-version",
        "--policy-name",
        name,
        "--set-as-default",
        "--policy-document",
        &from_file(document),
    ])
}

/// Returns the policies of a certificate.
pub fn list_attached_policies(certificate_arn: &str) -> Call {
    call(&["list-attached-policies", "--target", certificate_arn])
}

/// Attaches the policy to the certificate; idempotent.
pub fn attach_policy(name: &str, certificate_arn: &str) -> Call {
    call(&["attach-policy", "--policy-name", name, "--target", certificate_arn])
}

/// Attaches the certificate to the thing; idempotent.
pub fn attach_thing_principal(thing: &str, certificate_arn: &str) -> Call {
    call(&["attach-thing-principal", "--thing-name", thing, "--principal", certificate_arn])
}
