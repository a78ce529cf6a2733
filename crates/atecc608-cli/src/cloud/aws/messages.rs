//! What AWS IoT Device Client says when it fails, word for word (version 1.10): a finding here names the message that the reader has in
//! a log. docs/troubleshooting.md has a row for each.

use crate::output::check::Check;

/// The token's label is another one, or there are two such tokens.
pub const NO_TOKEN: &str = "Could not pick PKCS#11 token matching search criteria (none found, or multiple found)";
/// The key's label is another one, or there are two such keys.
pub const NO_KEY: &str = "Could not pick PKCS#11 key matching search criteria (none found, or multiple found)";
/// The certificate is not the key's, has expired, or one side does not know the other's CA.
pub const NO_TLS: &str = "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE, TLS (SSL) negotiation failed";
/// The module's copy has another mode than 640, or its folder another one than 700.
pub const MODULE_MODE: &str = "Incorrect permissions on PKCS#11 library file and/or it's parent directory";
/// The certificate has another mode than 644.
pub const CERTIFICATE_MODE: &str = "Incorrect permissions on public cert file and/or parent directory";
/// The file with the root CAs has another mode than 644.
pub const ROOT_CA_MODE: &str = "Incorrect permissions on Root CA file and/or parent directory";
/// The configuration has an empty PIN.
pub const NO_PIN: &str = "Secure Element Pin field must be specified if Secure Element Configuration is enabled";

/// The check with what Device Client says, if it failed.
pub fn says(mut check: Check, message: &str) -> Check {
    if check.has_failed() {
        check.detail += &format!("; Device Client says \"{message}\"");
    }
    check
}
