// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files with keys, certificates and requests: DER, or PEM in all its practical forms: with text around it, Windows
//! line ends, a byte order mark, or several blocks.

use std::path::Path;

use base64ct::{Base64, Encoding};
use der::asn1::AnyRef;
use der::pem::{encode_string, LineEnding};
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::input;
use crate::output::shell;
use atecc608_token::point::Point;

/// The characters that replace hyphens in PEM copied from a web page or a word processor.
const TYPOGRAPHIC_HYPHENS: [char; 5] = ['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}'];

/// The contents of a file.
pub enum Contents {
    /// One structure in DER, of unknown type.
    Der(Zeroizing<Vec<u8>>),
    /// The blocks of a PEM file, in order; at least one.
    Pem(Vec<Block>),
}

/// One PEM block.
pub struct Block {
    /// The label after BEGIN, for instance `CERTIFICATE`.
    pub label: String,
    /// Its contents; with `legacy_encryption` they are encrypted.
    pub der: Zeroizing<Vec<u8>>,
    /// Whether it has the header `Proc-Type: 4,ENCRYPTED` (RFC 1421), which PKCS#8 replaced.
    pub legacy_encryption: bool,
}

/// Reads a file (`-`: standard input).
///
/// # Errors
/// [`Error::Refused`] if it can't be read, is empty, or neither PEM nor DER.
pub fn read_file(path: &Path) -> Result<Contents> {
    parse(&path.display().to_string(), &read_bytes(path)?)
}

/// Returns the bytes of a file (`-`: standard input), which may be secret.
///
/// # Errors
/// [`Error::Refused`] if it can't be read or is larger than 1 MiB.
pub fn read_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    input::read(path, input::MOST).map_err(|error| Error::Refused(format!("{}: {error}", path.display())))
}

/// Parses PEM or DER. `name` is its name in messages.
///
/// # Errors
/// [`Error::Refused`] if it is empty, or neither PEM nor DER.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Contents> {
    let refused = |problem: &str| Err(Error::Refused(format!("{name}: {problem}")));
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return refused("the file is empty");
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return refused(
            "the file is text in UTF-16, as some Windows tools write it: convert it with `iconv -f UTF-16 -t UTF-8`",
        );
    }
    if AnyRef::from_der(bytes).is_ok_and(|any| any.tag() == Tag::Sequence) {
        return Ok(Contents::Der(Zeroizing::new(bytes.to_vec())));
    }
    let blocks = blocks(name, bytes)?;
    if !blocks.is_empty() {
        return Ok(Contents::Pem(blocks));
    }
    let begins_like_der = bytes.first() == Some(&0x30);
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains(TYPOGRAPHIC_HYPHENS) && text.contains("BEGIN ") => refused(
            "the line with BEGIN has typographic dashes, as word processors and web pages make them of hyphens: copy the \
             original file, or write -----BEGIN and -----END lines with five hyphens on each side",
        ),
        Ok(text) if text.contains("BEGIN ") => {
            refused("the line with BEGIN must have five hyphens on each side, and nothing before them")
        }
        _ if begins_like_der => refused("the file is neither PEM nor whole DER: it is damaged or cut off"),
        _ => refused("the file is neither PEM (no line -----BEGIN ...-----) nor DER"),
    }
}

/// Encodes DER as PEM, with lines of 64 characters.
pub fn encode(label: &str, der: &[u8]) -> String {
    // Labels are constants, lengths small: it can't fail.
    encode_string(label, LineEnding::LF, der).unwrap_or_default()
}

/// A public key as SubjectPublicKeyInfo in PEM.
pub fn public_key(point: &Point) -> String {
    encode("PUBLIC KEY", &point.public_key_info())
}

/// The type of a file in DER, if it is a container that may hold the expected structure, or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PKCS#12: keys and certificates, encrypted with a password.
    Pkcs12,
    /// PKCS#7: certificates.
    Pkcs7,
    /// A private key in SEC1, PKCS#1 or PKCS#8.
    PrivateKey,
    /// SubjectPublicKeyInfo.
    PublicKey,
    /// Any other type.
    Other,
}

/// Returns the type of a structure in DER, by its first fields.
pub fn kind(der: &[u8]) -> Kind {
    let fields = fields(der).unwrap_or_default();
    match fields.as_slice() {
        [(0x02, [3]), (0x30, _), ..] => Kind::Pkcs12,
        // signedData (RFC 2315 section 14)
        [(0x06, [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02]), ..] => Kind::Pkcs7,
        [(0x02, [0 | 1]), (0x02 | 0x04 | 0x30, _), ..] => Kind::PrivateKey,
        [(0x30, _), (0x03, _)] => Kind::PublicKey,
        _ => Kind::Other,
    }
}

/// Returns tag and value of the fields of a SEQUENCE.
///
/// # Errors
/// A decoding error.
pub fn fields(der: &[u8]) -> der::Result<Vec<(u8, &[u8])>> {
    let mut reader = SliceReader::new(AnyRef::from_der(der)?.value())?;
    let mut fields = Vec::new();
    while !reader.is_finished() {
        let any = AnyRef::decode(&mut reader)?;
        fields.push((any.tag().octet(), any.value()));
    }
    Ok(fields)
}

/// Returns why a file of this type is not accepted as `wanted` (for instance "a certificate"); `None` for
/// [`Kind::Other`].
pub fn instead_of(wanted: &str, kind: Kind, name: &str, is_pem: bool) -> Option<String> {
    let file = shell::word(name);
    Some(match kind {
        Kind::Pkcs12 => format!(
            "this is a PKCS#12 store instead of {wanted}. Extract the certificates: `openssl pkcs12 -in {file} -nokeys \
             -out NEW-FILE`"
        ),
        Kind::Pkcs7 => format!(
            "this is PKCS#7 (.p7b) instead of {wanted}. Extract the certificates: `openssl pkcs7 {}-in {file} \
             -print_certs -out NEW-FILE`",
            if is_pem { "" } else { "-inform DER " }
        ),
        Kind::PrivateKey => format!("this is a private key instead of {wanted}: were the two files swapped?"),
        Kind::PublicKey => format!("this is a public key instead of {wanted}"),
        Kind::Other => return None,
    })
}

fn blocks(name: &str, bytes: &[u8]) -> Result<Vec<Block>> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let mut blocks = Vec::new();
    while let Some((number, line)) = lines.next() {
        let Some(label) = boundary(line, b"-----BEGIN ") else { continue };
        let at = |problem: &str| Error::Refused(format!("{name} line {}: {problem}", number + 1));
        let mut digits = Zeroizing::new(Vec::with_capacity(bytes.len()));
        let mut legacy_encryption = false;
        loop {
            let Some((_, line)) = lines.next() else {
                return Err(at(&format!("the {label} that begins here has no end: the file is cut off")));
            };
            if let Some(end) = boundary(line, b"-----END ") {
                if end != label {
                    return Err(at(&format!("the {label} that begins here ends as {end}: the file is damaged")));
                }
                break;
            }
            if line.starts_with(b"-----BEGIN ") {
                return Err(at(&format!("the {label} that begins here has no end: the file is damaged")));
            }
            if line.contains(&b':') {
                legacy_encryption |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
            } else {
                digits.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
            }
        }
        let mut der = Zeroizing::new(vec![0; digits.len() / 4 * 3]);
        let len = Base64::decode(&digits[..], &mut der)
            .map_err(|_| at(&format!("the {label} that begins here is not whole Base64: the file is damaged")))?
            .len();
        der.truncate(len);
        blocks.push(Block { label, der, legacy_encryption });
    }
    Ok(blocks)
}

/// The label of a BEGIN or END line.
fn boundary(line: &[u8], start: &[u8]) -> Option<String> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    std::str::from_utf8(label).ok().map(str::to_owned)
}
