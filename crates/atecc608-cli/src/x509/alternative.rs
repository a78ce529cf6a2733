// SPDX-License-Identifier: MIT OR Apache-2.0
//! Further names of a certificate's subject (subjectAltName, RFC 5280 section 4.2.1.6), in OpenSSL's notation:
//! `DNS:host`, `IP:192.0.2.1`, `URI:urn:...`, `email:somebody@example.com`.

use std::net::IpAddr;

use der::asn1::Ia5String;
use x509_cert::ext::pkix::name::GeneralName;

use crate::error::{Error, Result};

/// Parses one name.
///
/// # Errors
/// [`Error::Refused`] with the problem.
pub fn parse(text: &str) -> Result<GeneralName> {
    let refused = |problem: &str| Error::Refused(format!("the name {text:?}: {problem}"));
    let forms = "write DNS:gateway.example.com, IP:192.0.2.1, URI:urn:example:1 or email:somebody@example.com";
    let (kind, value) = text.split_once(':').ok_or_else(|| refused(forms))?;
    let ia5 = || {
        Ia5String::new(value).map_err(|_| {
            refused("only ASCII is permitted here; a name with other letters is written in Punycode (xn--...)")
        })
    };
    if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(refused(&format!("the text after the colon is empty, or begins with a blank: {forms}")));
    }
    match kind.to_ascii_lowercase().as_str() {
        "dns" => {
            let name = value.strip_prefix("*.").unwrap_or(value);
            let letters = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            };
            let name_ia5 = ia5()?;
            if value.len() > 253 || !name.split('.').all(letters) {
                return Err(refused(
                    "this is not a host name: letters, digits, hyphens and dots only, without a port or a path",
                ));
            }
            Ok(GeneralName::DnsName(name_ia5))
        }
        "ip" => match value.parse::<IpAddr>() {
            Ok(address) => Ok(GeneralName::from(address)),
            Err(_) => Err(refused("this is not an IP address: write for instance IP:192.0.2.1 or IP:2001:db8::1")),
        },
        "email" if value.contains('@') => ia5().map(GeneralName::Rfc822Name),
        "email" => Err(refused("an e-mail address has an @")),
        "uri" if value.contains(':') => ia5().map(GeneralName::UniformResourceIdentifier),
        "uri" => Err(refused("a URI begins with a scheme, for instance URI:urn:example:1")),
        _ => Err(refused(forms)),
    }
}

/// Parses `--san` arguments: one may contain several names, separated by commas.
///
/// # Errors
/// As [`parse`].
pub fn parse_all(arguments: &[String]) -> Result<Vec<GeneralName>> {
    arguments.iter().flat_map(|argument| argument.split(',')).map(|name| parse(name.trim())).collect()
}

/// Returns the name in OpenSSL's notation.
pub fn text(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => format!("DNS:{}", name.as_str()),
        GeneralName::Rfc822Name(name) => format!("email:{}", name.as_str()),
        GeneralName::UniformResourceIdentifier(name) => format!("URI:{}", name.as_str()),
        GeneralName::DirectoryName(name) => format!("DirName:{name}"),
        GeneralName::RegisteredId(oid) => format!("Registered ID:{oid}"),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let address = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            match address.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)) {
                Ok(address) => format!("IP:{address}"),
                Err(_) => "IP:(neither IPv4 nor IPv6)".to_owned(),
            }
        }
        GeneralName::OtherName(other) => format!("otherName:{}", other.type_id),
        GeneralName::EdiPartyName(_) => "EdiPartyName".to_owned(),
    }
}
