// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes in the notations that people use: hex digits with any separators, a C array or a Python list, or a dump with
//! offsets (xxd, `hexdump -C`, `NNN: HH`).

use base16ct::mixed;

use atecc608_wire::config_zone::offset;
use atecc608_wire::ConfigZone;

/// The separators of numbers, besides white space.
const SEPARATORS: [char; 9] = [',', ';', ':', '{', '}', '[', ']', '"', '\''];

/// One line of a dump.
struct DumpLine<'t> {
    /// Its number, from 1.
    number: usize,
    offset: &'t str,
    rest: Rest,
}

enum Rest {
    Bytes(Vec<u8>),
    /// `*`: the previous line is repeated up to the next offset.
    Repeated,
}

/// Parses the bytes of a text.
///
/// # Errors
/// The line, and the expected form.
pub(super) fn read(text: &str) -> Result<Vec<u8>, String> {
    match dump(text)? {
        Some(lines) => assemble(&lines),
        None => numbers(text),
    }
}

/// Returns the lines of a dump; `None` if the first line has no offset.
fn dump(text: &str) -> Result<Option<Vec<DumpLine<'_>>>, String> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim_start());
        if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        if line.trim_end() == "*" && !lines.is_empty() {
            lines.push(DumpLine { number, offset: "", rest: Rest::Repeated });
            continue;
        }
        match (dump_line(line, !lines.is_empty()), lines.is_empty()) {
            (Some((offset, bytes)), _) => {
                let bytes = bytes.map_err(|problem| format!("line {number}: {problem}"))?;
                lines.push(DumpLine { number, offset, rest: Rest::Bytes(bytes) });
            }
            (None, true) => return Ok(None),
            (None, false) => {
                return Err(format!("line {number}: expected an offset and bytes, as in the lines before"))
            }
        }
    }
    Ok((!lines.is_empty()).then_some(lines))
}

/// Returns the offset of a line, and its bytes. `later`: it is not the first line of a dump.
fn dump_line(line: &str, later: bool) -> Option<(&str, Result<Vec<u8>, String>)> {
    let is_hex = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line.trim_end(), ""));
    if let Some(offset) = first.strip_suffix(':') {
        let offset = offset.strip_prefix("0x").unwrap_or(offset);
        return (is_hex(offset) && !rest.trim().is_empty()).then(|| (offset, dump_bytes(rest)));
    }
    if !is_hex(first) || !(6..=8).contains(&first.len()) {
        return None;
    }
    let rest = rest.split('|').next().unwrap_or_default();
    let has_only = |len: usize| rest.split_whitespace().all(|word| word.len() == len && is_hex(word));
    match rest.trim() {
        // The total length.
        "" => later.then(|| (first, Ok(Vec::new()))),
        _ if has_only(2) => Some((first, dump_bytes(rest))),
        _ if first.len() == 7 && has_only(4) => {
            Some((first, Err("hexdump and od swap the bytes of each word here: use `hexdump -C`".to_owned())))
        }
        _ => None,
    }
}

/// Returns the bytes after an offset, without the column of characters that xxd prints after them.
fn dump_bytes(rest: &str) -> Result<Vec<u8>, String> {
    let rest = rest.trim_start();
    for (at, gap) in rest.match_indices("  ") {
        let characters = rest[at + gap.len()..].trim_end_matches(['\r', '\n']);
        if let Ok(bytes) = words(&rest[..at]) {
            let count = characters.chars().count();
            // Editors remove blanks at the end of a line.
            if count == bytes.len() || count < bytes.len() && words(characters).is_err() {
                return Ok(bytes);
            }
        }
    }
    words(rest)
}

/// Pairs of hex digits between separators.
fn words(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let separator = |c: char| c.is_whitespace() || c == '-' || SEPARATORS.contains(&c);
    for word in text.split(separator).filter(|word| !word.is_empty()) {
        let digits = word.strip_prefix("0x").or(word.strip_prefix("0X")).unwrap_or(word);
        let parsed = mixed::decode_vec(digits).ok().filter(|parsed| !parsed.is_empty());
        bytes.extend(parsed.ok_or_else(|| format!("\"{}\": expected pairs of hex digits", shortened(word)))?);
    }
    Ok(bytes)
}

/// Joins the lines of a dump, whose offsets may be hexadecimal, decimal or octal.
fn assemble(lines: &[DumpLine<'_>]) -> Result<Vec<u8>, String> {
    // Of the failures, the latest is that of the intended radix.
    let mut failure = (0, String::new());
    for radix in [16, 10, 8] {
        match assemble_in(lines, radix) {
            Ok(bytes) => return Ok(bytes),
            Err((number, problem)) if number > failure.0 => failure = (number, problem),
            Err(_) => {}
        }
    }
    Err(format!("line {}: {}", failure.0, failure.1))
}

fn assemble_in(lines: &[DumpLine<'_>], radix: u32) -> Result<Vec<u8>, (usize, String)> {
    let (mut bytes, mut first, mut repeated): (Vec<u8>, Option<usize>, bool) = (Vec::new(), None, false);
    let mut last_len = 0;
    for line in lines {
        let Rest::Bytes(more) = &line.rest else {
            repeated = true;
            continue;
        };
        let failed = |problem: String| (line.number, problem);
        let offset = usize::from_str_radix(line.offset, radix).ok().filter(|offset| *offset <= ConfigZone::LEN);
        let offset =
            offset.ok_or_else(|| failed(format!("offset \"{}\": expected 0 to 128", shortened(line.offset))))?;
        let first = *first.get_or_insert(offset);
        if first != 0 && first != offset::I2C_ADDRESS {
            return Err(failed(format!("offset \"{}\": expected 0, or 16 without the factory's bytes", line.offset)));
        }
        while std::mem::take(&mut repeated) && first + bytes.len() < offset && last_len > 0 {
            bytes.extend_from_within(bytes.len() - last_len..);
            repeated = true;
        }
        repeated = false;
        let expected = first + bytes.len();
        if offset != expected {
            return Err(failed(format!(
                "offset \"{}\": expected {expected} ({expected:#x}), the bytes before it counted",
                line.offset
            )));
        }
        last_len = more.len();
        bytes.extend(more);
    }
    Ok(bytes)
}

/// Returns the numbers of an array or list, else all hex digits, of a text without offsets.
fn numbers(text: &str) -> Result<Vec<u8>, String> {
    if text.trim_start().starts_with("b'") || text.trim_start().starts_with("b\"") {
        return Err("line 1: a bytes literal of Python is not read: print it with .hex()".to_owned());
    }
    let mut text = without_comments(text)?;
    let array = array(&mut text)?;
    let is_quoted = text.contains(['"', '\'']);
    let mut bytes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let read = if array { literals(line, is_quoted) } else { words(line) };
        bytes.extend(read.map_err(|problem| format!("line {}: {problem}", index + 1))?);
    }
    Ok(bytes)
}

/// Replaces comments by blanks: `#` and `//` up to the end of the line, `/*` to `*/`.
fn without_comments(text: &str) -> Result<String, String> {
    let (mut out, mut rest, mut number) = (String::with_capacity(text.len()), text, 1);
    while let Some(at) = rest.find(['#', '/']) {
        let (before, comment) = rest.split_at(at);
        out += before;
        number += before.matches('\n').count();
        let len = if comment.starts_with('#') || comment.starts_with("//") {
            comment.find('\n').unwrap_or(comment.len())
        } else if comment.starts_with("/*") {
            let end = comment.find("*/").ok_or_else(|| format!("line {number}: the comment /* has no end"))?;
            end + 2
        } else {
            out.push('/');
            rest = &comment[1..];
            continue;
        };
        let lines = comment[..len].matches('\n').count();
        number += lines;
        out.push(' ');
        out.extend(std::iter::repeat_n('\n', lines));
        rest = &comment[len..];
    }
    Ok(out + rest)
}

/// Replaces the text before and after `{...}` or `[...]` by blanks. Returns `false` if there are no brackets.
fn array(text: &mut String) -> Result<bool, String> {
    let Some((open, close)) =
        [('{', '}'), ('[', ']')].into_iter().find_map(|(open, close)| Some((text.find(open)?, close)))
    else {
        return Ok(false);
    };
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    let end = text.rfind(close).filter(|end| *end > open);
    let end = end.ok_or_else(|| format!("line {}: the bracket is not closed with {close}", line_of(open)))?;
    if let Some(at) = text[open..end].find('=') {
        return Err(format!("line {}: another array begins: keep one of them in the file", line_of(open + at)));
    }
    let lines_before = "\n".repeat(text[..open].matches('\n').count());
    *text = lines_before + &text[open..end];
    Ok(true)
}

/// Parses numbers in the notation of C and Python: 0xC0 or 192; in quotation marks hex digits.
fn literals(line: &str, is_quoted: bool) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for word in line.split(|c: char| c.is_whitespace() || SEPARATORS.contains(&c)).filter(|word| !word.is_empty()) {
        let number = word.trim_end_matches(['u', 'U']);
        // Several digits after a leading zero are octal in C.
        let is_decimal = !number.starts_with('0') || matches!(number.as_bytes(), [b'0'] | [b'0', b'0'..=b'7']);
        let value = match number.strip_prefix("0x").or(number.strip_prefix("0X")) {
            Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some((digits, 16)),
            None if is_quoted => {
                bytes.extend(words(word)?);
                continue;
            }
            None => (is_decimal && number.bytes().all(|byte| byte.is_ascii_digit())).then_some((number, 10)),
        };
        let value = value.and_then(|(digits, radix)| u8::from_str_radix(digits, radix).ok());
        bytes.push(value.ok_or_else(|| format!("\"{}\": expected a byte as 0xC0 or 192", shortened(word)))?);
    }
    Ok(bytes)
}

/// Enough of a word to find it.
fn shortened(word: &str) -> String {
    word.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_number_is_named_with_its_line() {
        for (text, problem) in [
            ("00 0g", "line 1: \"0g\": expected pairs of hex digits"),
            ("00\n000", "line 2: \"000\""),
            (
                "// bytes\nuint8_t c[] = {\n 0x01, cfg->address,\n};",
                "line 3: \"cfg->address\": expected a byte as 0xC0",
            ),
            ("{ 0x01, 0x100 }", "line 1: \"0x100\""),
            ("[1, 256]", "line 1: \"256\""),
            ("{ 0x01, 010 }", "line 1: \"010\""),
            ("{ 10, C0 }", "line 1: \"C0\""),
            ("a[] = { 1 };\nb[] = { 2 };", "line 2: another array begins"),
            ("a[] = { 1, 2", "line 1: the bracket is not closed with }"),
            ("00\n/* 01", "line 2: the comment /* has no end"),
            ("000: 01 23\n003: 45", "line 2: offset \"003\": expected 2 (0x2)"),
            ("32: 01", "line 1: offset \"32\": expected 0, or 16"),
            ("0: 01\n1: 23\nthe end", "line 3: expected an offset and bytes"),
            ("0: 01\n1: xy", "line 2: \"xy\""),
            ("0: 01\n*\n", ""),
            ("0000000 2301 ee01\n", "line 1: hexdump and od swap the bytes"),
            ("b'\\x01#'", "print it with .hex()"),
        ] {
            match read(text) {
                Ok(_) => assert_eq!(problem, "", "{text}"),
                Err(error) => assert!(error.contains(problem) && !problem.is_empty(), "{text}: {error}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ -~\n\u{e9}0-9a-f:,{}\\[\\]/*#|]{0,300}") {
            let _ = read(&text);
        }
    }
}
