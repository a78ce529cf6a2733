//! PKCS#11 URIs (RFC 7512).

/// The URI that finds a private key by its label: what goes into configurations.
pub fn private_key(label: &str) -> String {
    format!("pkcs11:object={};type=private", encoded(label))
}

/// An attribute of a PKCS#11 URI (RFC 7512 section 2.3): everything but unreserved characters as %XX.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_survives_in_a_uri() {
        assert_eq!(encoded("my key;1"), "my%20key%3B1");
        assert_eq!(encoded("gerät"), "ger%C3%A4t");
        assert_eq!(private_key("a.b"), "pkcs11:object=a.b;type=private");
    }
}
