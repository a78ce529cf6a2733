// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names (RFC 5280 section 4.1.2.4) in text form: `/O=Acme/CN=gateway-1` as in OpenSSL, or `CN=gateway-1,O=Acme` as in
//! RFC 4514, whose last part comes first in the certificate.

use std::fmt;

use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{Decode, Encode, Tag};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

use crate::error::{Error, Result};

/// A name in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Vec<u8>);

/// The encoding of an attribute's value (RFC 5280 appendix A.1).
#[derive(Clone, Copy)]
enum Text {
    Utf8,
    Printable,
    /// Two capital letters.
    Country,
    Ia5,
}

/// Short names, OIDs, encoding, maximum length.
const ATTRIBUTES: &[(&str, &str, Text, usize)] = &[
    ("CN", "2.5.4.3", Text::Utf8, 64),
    ("SN", "2.5.4.4", Text::Utf8, 64),
    ("serialNumber", "2.5.4.5", Text::Printable, 64),
    ("C", "2.5.4.6", Text::Country, 2),
    ("L", "2.5.4.7", Text::Utf8, 128),
    ("ST", "2.5.4.8", Text::Utf8, 128),
    ("street", "2.5.4.9", Text::Utf8, 128),
    ("O", "2.5.4.10", Text::Utf8, 64),
    ("OU", "2.5.4.11", Text::Utf8, 64),
    ("title", "2.5.4.12", Text::Utf8, 64),
    ("GN", "2.5.4.42", Text::Utf8, 64),
    ("dnQualifier", "2.5.4.46", Text::Printable, 64),
    ("UID", "0.9.2342.19200300.100.1.1", Text::Utf8, 255),
    ("DC", "0.9.2342.19200300.100.1.25", Text::Ia5, 255),
    ("emailAddress", "1.2.840.113549.1.9.1", Text::Ia5, 255),
];

/// Typographic quotation marks that word processors and web pages substitute for " and '.
const TYPOGRAPHIC_QUOTES: [char; 12] = [
    '\u{2018}', '\u{2019}', '\u{201A}', '\u{201B}', '\u{201C}', '\u{201D}', '\u{201E}', '\u{201F}', '\u{2039}',
    '\u{203A}', '\u{AB}', '\u{BB}',
];
/// Invisible characters that are copied along with text from a page.
const INVISIBLE: [char; 8] =
    ['\u{A0}', '\u{AD}', '\u{200B}', '\u{200C}', '\u{200D}', '\u{2060}', '\u{202F}', '\u{FEFF}'];

/// One `TYPE=value`.
struct Part {
    kind: ObjectIdentifier,
    text: Text,
    value: String,
}

impl Subject {
    /// Parses `/TYPE=value/...` or `TYPE=value,...`. A backslash escapes the next character.
    ///
    /// # Errors
    /// [`Error::Refused`] with the problem and its place.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|problem| Error::Refused(format!("the subject {text:?}: {problem}")))
    }

    /// Returns the name with this common name only.
    ///
    /// # Errors
    /// As [`Subject::parse`].
    pub fn common_name(name: &str) -> Result<Self> {
        let part = part("CN", name.to_owned(), name.len());
        let encoded = part.and_then(|part| encode(vec![vec![part]]));
        encoded.map_err(|problem| Error::Refused(format!("the name {name:?}: {problem}")))
    }

    /// Returns the name in a certificate or request, byte for byte.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is not a name.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        match RdnSequence::from_der(der) {
            Ok(_) => Ok(Self(der.to_vec())),
            Err(error) => Err(Error::Refused(format!("the name can't be read: {error}"))),
        }
    }

    /// The name in DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Returns the last common name in it, if there is a valid one.
    pub fn common_name_of(&self) -> Option<String> {
        let name = RdnSequence::from_der(&self.0).ok()?;
        let parts = name.0.iter().flat_map(|name| name.0.iter());
        let common = parts.rev().find(|part| part.oid == ObjectIdentifier::new_unwrap("2.5.4.3"))?;
        String::from_utf8(common.value.value().to_vec()).ok()
    }

    /// Whether it has no attributes.
    pub fn is_empty(&self) -> bool {
        self.0 == [0x30, 0]
    }

    fn read(text: &str) -> Result<Self, String> {
        check_characters(text)?;
        let (separator, body) = match text.strip_prefix('/') {
            Some(body) => ('/', body),
            None => (',', text),
        };
        let mut names: Vec<Vec<Part>> = split(body, separator)?;
        if separator == ',' {
            names.reverse();
        }
        encode(names)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match RdnSequence::from_der(&self.0) {
            Ok(name) => name.fmt(f),
            Err(_) => f.write_str("(a name that can't be read)"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// Refuses text damaged by quotes between a page, the shell and this tool.
fn check_characters(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty: write for instance /CN=gateway-1".to_owned());
    }
    let unescaped = |quotes: &[char]| {
        let mut escaped = false;
        text.chars().find(|c| {
            let found = quotes.contains(c) && !escaped;
            escaped = *c == '\\' && !escaped;
            found
        })
    };
    if let Some(quote) = unescaped(&TYPOGRAPHIC_QUOTES) {
        return Err(format!(
            "it has the typographic quotation mark {quote} (U+{:04X}), as it comes from a web page or a word processor. Type the \
             quotes of the command anew, as plain \" or '. If it belongs to the name, write a backslash before it",
            u32::from(quote)
        ));
    }
    if let Some(quote) = unescaped(&['"']) {
        return Err(format!(
            "it has a quotation mark {quote} in it that the shell did not take away. Write quotes around the whole subject once: \
             --subject \"/O=Acme/CN=gateway-1\". If it belongs to the name, write a backslash before it"
        ));
    }
    if text.starts_with('\'') {
        return Err("it begins with a quotation mark ' that the shell did not remove: leave it out".to_owned());
    }
    if let Some(c) = text.chars().find(|c| INVISIBLE.contains(c)) {
        return Err(format!(
            "it has an invisible character (U+{:04X}), as in text from a web page: type the subject again",
            u32::from(c)
        ));
    }
    if let Some(c) = text.chars().find(|c| c.is_control()) {
        return Err(format!("it has a control character (U+{:04X}) in it: leave it out", u32::from(c)));
    }
    Ok(())
}

/// Splits the relative names at the separators, each into the parts joined by `+`.
fn split(body: &str, separator: char) -> Result<Vec<Vec<Part>>, String> {
    let mut names = vec![Vec::new()];
    let mut rest = body;
    loop {
        let (kind, after) = kind(rest, separator)?;
        let (value, bytes, end) = value(after, separator)?;
        let part = part(kind, value, bytes)?;
        if let Some(name) = names.last_mut() {
            name.push(part);
        }
        let Some(end) = end else { return Ok(names) };
        if after[end..].starts_with(separator) {
            names.push(Vec::new());
        }
        rest = &after[end + 1..];
    }
}

/// Parses the next type, and returns the rest after `=`.
fn kind(text: &str, separator: char) -> Result<(&str, &str), String> {
    let example = if separator == '/' { "/O=Acme/CN=gateway-1" } else { "CN=gateway-1,O=Acme" };
    if text.is_empty() {
        return Err(format!("it ends with a {separator}: leave it out"));
    }
    let Some((kind, after)) = text.split_once('=') else {
        return Err(format!(
            "\"{}\" has no TYPE=: write for instance {example}; a {separator} that belongs to a value is written \\{separator}",
            text.trim()
        ));
    };
    let kind = kind.trim();
    if kind.is_empty() || !kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-') {
        return Err(format!(
            "\"{kind}=\" is not a type: write for instance {example}; a {separator} that belongs to a value is written \
             \\{separator}"
        ));
    }
    Ok((kind, after))
}

/// Parses the next value; returns it, its length in bytes, and its end, if more follows.
fn value(text: &str, separator: char) -> Result<(String, usize, Option<usize>), String> {
    if separator == ',' && text.starts_with('#') {
        return Err("a value in hex (#...) is not supported; write \\# for the sign itself".to_owned());
    }
    let mut bytes: Vec<u8> = Vec::new();
    // Blanks at the ends don't count unless escaped with a backslash.
    let mut kept = 0;
    let mut end = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == separator || c == '+' && begins_part(&text[at + 1..]) {
            end = Some(at);
            break;
        }
        let mut buffer = [0; 4];
        if c != '\\' {
            if c != ' ' || !bytes.is_empty() {
                bytes.extend(c.encode_utf8(&mut buffer).as_bytes());
            }
            kept = if c == ' ' { kept } else { bytes.len() };
            continue;
        }
        let Some((_, first)) = chars.next() else {
            return Err("it ends with a backslash: write \\\\ for one".to_owned());
        };
        let second = chars.peek().and_then(|(_, c)| c.to_digit(16));
        match (first.to_digit(16), second) {
            // A byte of UTF-8 as two hex digits (RFC 4514 section 2.4).
            (Some(high), Some(low)) if separator == ',' => {
                bytes.push((high << 4 | low) as u8);
                chars.next();
            }
            _ => bytes.extend(first.encode_utf8(&mut buffer).as_bytes()),
        }
        kept = bytes.len();
    }
    bytes.truncate(kept);
    let len = bytes.len();
    let value = String::from_utf8(bytes).map_err(|_| "its \\XX bytes are not UTF-8".to_owned())?;
    Ok((value, len, end))
}

/// Whether another `TYPE=` follows a `+`, so that it joins two parts.
fn begins_part(text: &str) -> bool {
    let kind = text.split_once('=').map(|(kind, _)| kind.trim());
    kind.is_some_and(|kind| ATTRIBUTES.iter().any(|(name, ..)| name.eq_ignore_ascii_case(kind)))
}

fn part(kind: &str, value: String, bytes: usize) -> Result<Part, String> {
    let known = ATTRIBUTES.iter().find(|(name, oid, ..)| name.eq_ignore_ascii_case(kind) || *oid == kind);
    let (name, oid, text, most) = match known {
        Some((name, oid, text, most)) => (*name, ObjectIdentifier::new(oid), *text, *most),
        None => (kind, ObjectIdentifier::new(kind), Text::Utf8, 255),
    };
    let names = || ATTRIBUTES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
    let oid = oid.map_err(|_| format!("\"{kind}\" is not a known type: write one of {} or an OID", names()))?;
    if value.is_empty() {
        return Err(format!("{name} is empty: leave it out"));
    }
    let chars = value.chars().count();
    if matches!(text, Text::Country) && !(chars == 2 && value.chars().all(|c| c.is_ascii_uppercase())) {
        return Err(format!("C is a country in two capital letters, such as CH, not \"{value}\""));
    }
    if chars > most || bytes > 4 * most {
        return Err(format!("{name} has {chars} characters, where at most {most} are allowed (RFC 5280)"));
    }
    let fits = match text {
        Text::Utf8 => true,
        Text::Ia5 => value.is_ascii(),
        Text::Printable | Text::Country => {
            value.chars().all(|c| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c))
        }
    };
    if !fits {
        return Err(format!("{name} may have ASCII letters and digits and a few signs only; \"{value}\" has others"));
    }
    Ok(Part { kind: oid, text, value })
}

fn encode(names: Vec<Vec<Part>>) -> Result<Subject, String> {
    let failed = |error: der::Error| format!("it can't be encoded: {error}");
    let mut sequence = RdnSequence::default();
    for parts in names {
        let mut set = SetOfVec::new();
        for Part { kind, text, value } in parts {
            let tag = match text {
                Text::Utf8 => Tag::Utf8String,
                Text::Printable | Text::Country => Tag::PrintableString,
                Text::Ia5 => Tag::Ia5String,
            };
            let value = Any::new(tag, value.into_bytes()).map_err(failed)?;
            set.insert(AttributeTypeAndValue { oid: kind, value })
                .map_err(|_| "the same TYPE=value is given twice between two separators".to_owned())?;
        }
        sequence.0.push(RelativeDistinguishedName(set));
    }
    let der = sequence.to_der().map_err(failed)?;
    // An OID that can be encoded can't always be decoded.
    RdnSequence::from_der(&der).map_err(failed)?;
    Ok(Subject(der))
}
