// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/troubleshooting.md quotes messages as the programs print them, and has every message about configuration, bus
//! and chip, and those of AWS IoT Device Client that `aws check` names.

use std::fs;
use std::path::Path;

/// Every message in these files can appear at set-up: the page must have it.
const COMPLETE: [&str; 8] = [
    "crates/atecc608/src/error.rs",
    "crates/atecc608-token/src/bus/linux.rs",
    "crates/atecc608-token/src/bus/lock.rs",
    "crates/atecc608-token/src/config.rs",
    "crates/atecc608-token/src/document.rs",
    "src/module.rs",
    "crates/atecc608-cli/src/target.rs",
    "crates/atecc608-cli/src/cloud/aws/messages.rs",
];

/// Texts in those files that are no messages, or only parts of messages on the page; and one that the token phrases
/// itself.
const NOT_MESSAGES: [&str; 6] = [
    "another process",
    "bus locks are open: a forked child may keep one",
    "the two lines `[[token]]` and",
    "works only after an authorisation",
    "and the chip refuses the secret",
    "; Device Client logs",
];

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The string literals of a source file, without its tests and comments, each cut at its placeholders.
fn messages(source: &str) -> Vec<Vec<String>> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = Vec::new();
    let code = code.join("\n");
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' && chars.peek() == Some(&'"') {
            // The character '"'.
            chars.next();
            chars.next();
        } else if c == '"' {
            found.push(literal(&mut chars));
        }
    }
    found
}

/// The rest of a literal, after its opening quotation mark.
fn literal(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                // A literal continues in the next line, without the blanks.
                Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                Some('n') => parts.push(String::new()),
                Some(escaped) => parts.last_mut().unwrap().push(escaped),
                None => break,
            },
            '{' if chars.peek() == Some(&'{') => parts.last_mut().unwrap().push(chars.next().unwrap()),
            '{' => depth += 1,
            '}' if depth > 0 => {
                depth -= 1;
                parts.push(String::new());
            }
            c if depth == 0 => parts.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    parts
}

/// What stands between backticks in the first column of the page's tables about messages.
fn quoted(page: &str) -> Vec<String> {
    let page = page.split("## Programs").next().unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    // A vertical line within a quote is written \|.
    let cells = rows.map(|row| row.replace("\\|", "\u{1}").split(" | ").next().unwrap().replace('\u{1}', "|"));
    cells
        .flat_map(|cell| format!("`{cell}").split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_quoted_message_is_in_the_sources() {
    let files = crate::sources::all();
    let known: Vec<String> = files.iter().flat_map(|file| messages(&read(file))).flatten().collect();
    let quotes = quoted(&read("docs/troubleshooting.md"));
    assert!(quotes.len() > 80, "only {} messages were found in the page", quotes.len());
    let mut missing = Vec::new();
    for quote in quotes {
        let parts: Vec<&str> = quote.split("...").map(str::trim).filter(|part| part.len() > 1).collect();
        assert!(!parts.is_empty(), "{quote:?} says nothing");
        if let Some(part) = parts.iter().find(|part| !known.iter().any(|text| text.contains(**part))) {
            missing.push(format!("{part:?} of `{quote}`"));
        }
    }
    assert!(missing.is_empty(), "no message of the sources has\n{}", missing.join("\n"));
}

#[test]
fn every_message_about_configuration_bus_and_chip_is_there() {
    let page = read("docs/troubleshooting.md").replace("\\|", "|");
    let (mut missing, mut count) = (Vec::new(), 0);
    for file in COMPLETE {
        for message in messages(&read(file)) {
            let longest = message.iter().max_by_key(|part| part.len()).unwrap().trim();
            let is_sentence = longest.len() >= 14 && longest.contains(' ');
            if !is_sentence || NOT_MESSAGES.iter().any(|text| longest.contains(text)) {
                continue;
            }
            count += 1;
            // The page may quote the beginning only.
            let quotes = quoted(&page);
            let is_there = |part: &str| {
                let pieces = quotes.iter().flat_map(|quote| quote.split("..."));
                pieces.map(str::trim).any(|piece| piece.len() >= 10 && part.contains(piece))
            };
            if !message.iter().any(|part| is_there(part)) {
                missing.push(format!("{file}: {}", message.join("...")));
            }
        }
    }
    assert!(count > 30, "only {count} messages were found");
    assert!(missing.is_empty(), "docs/troubleshooting.md lacks\n{}", missing.join("\n"));
}
