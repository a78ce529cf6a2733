// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes text from others (labels, subjects, file names) safe to print: a newline can't forge a line, an escape
//! sequence can't overwrite text, and a bidirectional control can't reorder it.

/// Returns `text` on one line: every control character of terminals or logs is replaced by its escape, such as `\n` or
/// `\u{1b}`.
pub fn visible(text: &str) -> String {
    escaped(text, false)
}

/// Returns `text` with its line ends; other control characters of terminals are replaced by their escapes.
pub fn visible_lines(text: &str) -> String {
    escaped(text, true)
}

/// Returns a document in JSON, TOML, YAML or Python in which each control character of terminals is a `\u` escape.
/// Serializers leave some as they are (DEL, C1, bidirectional controls). Such characters may be in quoted strings only,
/// whose values stay the same.
pub fn visible_in_strings(document: &str) -> String {
    let mut escaped = String::with_capacity(document.len());
    for c in document.chars() {
        match is_control(c) && c != '\n' {
            true => escaped += &format!("\\u{:04x}", u32::from(c)),
            false => escaped.push(c),
        }
    }
    escaped
}

/// Whether a terminal or log interprets this character instead of printing it: the control characters (C0, DEL, C1),
/// the line separators of Unicode and its bidirectional controls.
pub fn is_control(c: char) -> bool {
    let is_bidirectional =
        matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_bidirectional || matches!(c, '\u{2028}' | '\u{2029}')
}

fn escaped(text: &str, keep_line_ends: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_control(c) && !(keep_line_ends && c == '\n') {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_escaped_and_other_characters_stay() {
        let controls =
            ('\0'..=' ').chain('\u{7F}'..='\u{A0}').chain('\u{2027}'..='\u{202F}').chain('\u{2065}'..='\u{206A}');
        for c in controls {
            let shown = visible(&c.to_string());
            let stays = matches!(c, ' ' | '\u{A0}' | '\u{2027}' | '\u{202F}' | '\u{2065}' | '\u{206A}');
            assert_eq!(shown == c.to_string(), stays, "{shown:?}");
            assert!(!shown.chars().any(is_control));
        }
        assert_eq!(visible("gerät\n\x1b[31m\u{202E}"), "gerät\\n\\u{1b}[31m\\u{202e}");
        assert_eq!(visible_lines("one\n\ttwo\r\n"), "one\n\\ttwo\\r\n");
    }
}
