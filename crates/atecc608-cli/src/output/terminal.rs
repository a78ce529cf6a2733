//! What a person at a terminal sees beside the result: notes and progress on stderr, colours.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use atecc608_token::visible::visible_lines;

/// Prints progress, a warning or an error on stderr. A closed stderr must not stop what is under way.
pub fn note(text: &str) {
    let _ = std::io::stderr().write_all(noted(text).as_bytes());
}

/// A note as stderr gets it. Further lines are indented: no text from others in it can begin one with `atecc608:`.
fn noted(text: &str) -> String {
    format!("atecc608: {}\n", visible_lines(text.trim_end()).replace('\n', "\n  "))
}

/// Whoever waits for longer is told what for.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Says what is being done, where a person waits for it: on stderr, if that is a terminal.
pub fn progress(line: &str) {
    if std::io::stderr().is_terminal() {
        note(line);
    }
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Broken, dangerous.
    Red,
    /// To be thought about.
    Yellow,
    /// Well.
    Green,
}

/// The text in a colour if standard output is a terminal that wants colours: `NO_COLOR` (no-color.org) says that it does not.
pub fn coloured(text: &str, colour: Colour) -> String {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if set("NO_COLOR") || dumb || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Red => 31,
        Colour::Yellow => 33,
        Colour::Green => 32,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_one_line_that_begins_as_notes_do_and_obeys_no_escape() {
        assert_eq!(
            noted("file\natecc608: verified\x1b[2K\r: no such file\n"),
            "atecc608: file\n  atecc608: verified\\u{1b}[2K\\r: no such file\n"
        );
    }
}
