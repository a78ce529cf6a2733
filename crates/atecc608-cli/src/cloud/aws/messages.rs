// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error messages of AWS IoT Device Client, word for word (version 1.10): a finding contains the message that the
//! reader has in a log. docs/troubleshooting.md has a row for each.

use crate::output::check::Check;

/// The token's label differs, or two tokens have it.
pub const NO_TOKEN: &str = "Could not pick PKCS#11 token matching search criteria (none found, or multiple found)";
/// The key's label differs, or two keys have it.
pub const NO_KEY: &str = "Could not pick PKCS#11 key matching search criteria (none found, or multiple found)";
/// The certificate does not belong to the key, has expired, or one side does not know the other's CA.
pub const NO_TLS: &str = "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, TLS (SSL) negotiation failed";
/// The module's copy does not have mode 640, or its folder not mode 700.
pub const MODULE_MODE: &str = "Incorrect permissions on PKCS#11 library file and/or it's parent directory";
/// The certificate does not have mode 644.
pub const CERTIFICATE_MODE: &str = "Incorrect permissions on public cert file and/or parent directory";
/// The file with the root CAs does not have mode 644.
pub const ROOT_CA_MODE: &str = "Incorrect permissions on Root CA file and/or parent directory";
/// The configuration has an empty PIN.
pub const NO_PIN: &str = "Secure Element Pin field must be specified if Secure Element Configuration is enabled";

/// Adds Device Client's message to a check that failed.
pub fn says(mut check: Check, message: &str) -> Check {
    if check.has_failed() {
        check.detail += &format!("; Device Client logs \"{message}\"");
    }
    check
}
