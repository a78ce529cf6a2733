//! The calls of AWS IoT that a set-up makes, as arguments of the AWS CLI. What `--dry-run` shows is what is run.

use std::path::Path;

/// Arguments of `aws`, without the ones that all calls have.
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

/// Answers the thing's ARN.
pub fn describe_thing(thing: &str) -> Call {
    call(&["describe-thing", "--thing-name", thing])
}

/// Answers the thing's ARN.
pub fn create_thing(thing: &str) -> Call {
    call(&["create-thing", "--thing-name", thing])
}

/// The certificates that a thing has.
pub fn list_thing_principals(thing: &str) -> Call {
    call(&["list-thing-principals", "--thing-name", thing])
}

/// The things that a certificate belongs to.
pub fn list_principal_things(certificate_arn: &str) -> Call {
    call(&["list-principal-things", "--principal", certificate_arn])
}

/// A certificate with its state.
pub fn describe_certificate(id: &str) -> Call {
    call(&["describe-certificate", "--certificate-id", id])
}

/// A certificate by AWS, inactive: nobody can use one whose answer was lost.
pub fn create_certificate_from_csr(csr: &Path) -> Call {
    call(&["create-certificate-from-csr", "--certificate-signing-request", &from_file(csr)])
}

/// A certificate by a CA that the account knows.
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

/// A certificate by a CA that the account does not know.
pub fn register_certificate_without_ca(certificate: &Path) -> Call {
    call(&["register-certificate-without-ca", "--certificate-pem", &from_file(certificate), "--status", "INACTIVE"])
}

/// From now on the certificate lets its holder in.
pub fn activate_certificate(id: &str) -> Call {
    call(&["update-certificate", "--certificate-id", id, "--new-status", "ACTIVE"])
}

/// A CA of the account, and whether certificates by it register themselves at their first connection.
pub fn describe_ca_certificate(id: &str) -> Call {
    call(&["describe-ca-certificate", "--certificate-id", id])
}

/// A policy's document.
pub fn get_policy(name: &str) -> Call {
    call(&["get-policy", "--policy-name", name])
}

/// A policy with the document of a file.
pub fn create_policy(name: &str, document: &Path) -> Call {
    call(&["create-policy", "--policy-name", name, "--policy-document", &from_file(document)])
}

/// Another document, which counts from now on.
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

/// The policies of a certificate.
pub fn list_attached_policies(certificate_arn: &str) -> Call {
    call(&["list-attached-policies", "--target", certificate_arn])
}

/// The policy for whoever holds the certificate; twice is once.
pub fn attach_policy(name: &str, certificate_arn: &str) -> Call {
    call(&["attach-policy", "--policy-name", name, "--target", certificate_arn])
}

/// The certificate for the thing; twice is once.
pub fn attach_thing_principal(thing: &str, certificate_arn: &str) -> Call {
    call(&["attach-thing-principal", "--thing-name", thing, "--principal", certificate_arn])
}
