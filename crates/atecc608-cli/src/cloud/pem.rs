// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates in PEM from other programs, and their names in clouds.

use base16ct::lower::encode_string as hex;

use crate::error::{Error, Result};
use crate::x509::certificate::Certificate;
use crate::x509::pem::{parse, Contents};

/// Returns the certificates in a PEM text, in order. `name` is its name in messages.
///
/// # Errors
/// [`Error::Refused`] if it is not PEM, has no certificate, or an invalid one.
pub fn certificates(name: &str, text: &[u8]) -> Result<Vec<Certificate>> {
    let Contents::Pem(blocks) = parse(name, text)? else {
        return Err(Error::Refused(format!("{name}: this is DER, and should be PEM")));
    };
    let found: Vec<_> = blocks
        .iter()
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| Certificate::from_der(name, &block.der))
        .collect::<Result<_>>()?;
    if found.is_empty() {
        return Err(Error::Refused(format!("{name} holds no certificate")));
    }
    Ok(found)
}

/// SHA-256 of the certificate, lower-case hex digits: AWS IoT's certificate id, and the longer of Azure's thumbprints.
pub fn fingerprint(certificate: &Certificate) -> String {
    hex(&certificate.fingerprint())
}
