//! Names in URIs and configuration files.

/// An attribute of a PKCS#11 URI (RFC 7512 section 2.3): everything but unreserved characters as %XX.
pub fn uri_encoded(text: &str) -> String {
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

/// A text in double quotes, as JSON, YAML and Python read it.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_survives_in_a_uri_and_in_quotes() {
        assert_eq!(uri_encoded("my key;1"), "my%20key%3B1");
        assert_eq!(uri_encoded("gerät"), "ger%C3%A4t");
        assert_eq!(quoted("a \"b\" \\"), r#""a \"b\" \\""#);
    }
}
