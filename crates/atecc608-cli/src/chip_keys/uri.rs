// SPDX-License-Identifier: MIT OR Apache-2.0
//! PKCS#11 URIs (RFC 7512).

/// Returns the URI of a private key: the labels of its token and its own. It never contains a PIN.
pub fn private_key(token: &str, label: &str) -> String {
    format!("pkcs11:token={};object={};type=private", encoded(token), encoded(label))
}

/// Encodes an attribute of a PKCS#11 URI (RFC 7512 section 2.3): everything except unreserved characters as %XX.
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

/// A private key in a PKCS#11 URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUri {
    /// Its label; `None` for the only key of the token.
    pub object: Option<String>,
    /// The token's label.
    pub token: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
}

impl KeyUri {
    /// Parses a URI. Attributes that are the same for all tokens of this project (`manufacturer`, `model`) are not
    /// compared.
    ///
    /// # Errors
    /// The problem, in words.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let path = uri.strip_prefix("pkcs11:").ok_or("it does not begin with pkcs11:")?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if !query.is_empty() {
            return Err("attributes after ? are not supported; pass the PIN with --pin-file".to_owned());
        }
        let mut found = Self::default();
        for attribute in path.split(';').filter(|attribute| !attribute.is_empty()) {
            let (name, value) =
                attribute.split_once('=').ok_or_else(|| format!("\"{attribute}\" is not NAME=VALUE"))?;
            let value =
                decoded(value).ok_or_else(|| format!("the value of \"{name}\" is not encoded as %XX and UTF-8"))?;
            match name {
                "object" => found.object = Some(value),
                "token" => found.token = Some(value),
                "serial" => found.serial = Some(value),
                "type" if value == "private" => {}
                "type" => return Err(format!("it is for a {value}, and a private key is needed")),
                "manufacturer" | "model" => {}
                other => return Err(format!("\"{other}\" is not supported; object, token, serial and type are")),
            }
        }
        Ok(found)
    }
}

/// The inverse of [`encoded`].
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'%' => {
                let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
                rest = &after[2..];
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_key() {
        let uri = format!("pkcs11:model=ATECC608B;token=my%20token;object={};type=private", encoded("gerät;1"));
        let found = KeyUri::parse(&uri).unwrap();
        assert_eq!((found.object.as_deref(), found.token.as_deref()), (Some("gerät;1"), Some("my token")));
        assert_eq!(KeyUri::parse("pkcs11:").unwrap(), KeyUri::default());
        for (wrong, part) in [
            ("object=a", "pkcs11:"),
            ("pkcs11:object", "NAME=VALUE"),
            ("pkcs11:object=%", "%XX"),
            ("pkcs11:object=%+1", "%XX"),
            ("pkcs11:object=%ff", "UTF-8"),
            ("pkcs11:type=cert", "private key is needed"),
            ("pkcs11:id=%01", "not supported"),
            ("pkcs11:object=a?pin-value=1234", "--pin-file"),
        ] {
            let problem = KeyUri::parse(wrong).unwrap_err();
            assert!(problem.contains(part), "{wrong}: {problem}");
            assert!(!problem.contains("1234"), "{problem}");
        }
    }

    #[test]
    fn a_label_survives_in_a_uri() {
        assert_eq!(encoded("my key;1"), "my%20key%3B1");
        assert_eq!(encoded("gerät"), "ger%C3%A4t");
        assert_eq!(private_key("gw 1", "a.b"), "pkcs11:token=gw%201;object=a.b;type=private");
    }
}
