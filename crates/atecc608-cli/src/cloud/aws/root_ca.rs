// SPDX-License-Identifier: MIT OR Apache-2.0
//! The CAs of AWS IoT's servers: from a given file, or from Debian's `ca-certificates`. The tool downloads nothing;
//! without either, it prints what to do.

use std::path::Path;

use crate::cloud::pem::fingerprint;
use crate::error::{Error, Result};
use crate::x509::certificate::Certificate;

/// Amazon Root CA 1 (RSA 2048) and 3 (P-256), which certify the ATS endpoints: Debian's file, and SHA-256 of the
/// certificate as published by Amazon Trust Services.
const AMAZON: [(&str, &str); 2] = [
    ("/etc/ssl/certs/Amazon_Root_CA_1.pem", "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e"),
    ("/etc/ssl/certs/Amazon_Root_CA_3.pem", "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4"),
];

/// Returns the certificates as one PEM file, and their source.
///
/// # Errors
/// [`Error::Refused`], with the command to run, if there are none.
pub fn find(given: Option<&Path>) -> Result<(String, String)> {
    if let Some(path) = given {
        return Ok((joined(&Certificate::read_all(path)?), path.display().to_string()));
    }
    let mut found = Vec::new();
    for (path, published) in AMAZON {
        if !Path::new(path).exists() {
            continue;
        }
        let certificates = Certificate::read_all(Path::new(path))?;
        match certificates.as_slice() {
            [only] if fingerprint(only) == published => found.extend(certificates),
            _ => {
                return Err(Error::Refused(format!(
                    "{path} is not the certificate that Amazon publishes: give the right ones with --root-ca FILE"
                )))
            }
        }
    }
    if found.is_empty() {
        return Err(Error::Refused(
            "Amazon's root CA is not on this machine: sudo apt install ca-certificates, or curl -O \
             https://www.amazontrust.com/repository/AmazonRootCA1.pem and --root-ca AmazonRootCA1.pem"
                .to_owned(),
        ));
    }
    Ok((joined(&found), "ca-certificates (Amazon Root CA)".to_owned()))
}

fn joined(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::pem).collect()
}
