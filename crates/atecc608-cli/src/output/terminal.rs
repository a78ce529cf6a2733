// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output for a terminal besides the result: notes and progress on stderr, colours.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atecc608_token::visible::visible_lines;

/// `--quiet`: only warnings and errors on stderr.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Applies `--quiet`.
pub fn be_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a step or a note on stderr.
pub fn note(text: &str) {
    if !is_quiet() {
        complain(text);
    }
}

/// Prints a warning on stderr.
pub fn warn(text: &str) {
    complain(&format!("warning: {text}"));
}

/// Prints an error on stderr. A closed stderr must not stop the work.
pub fn complain(text: &str) {
    let _ = std::io::stderr().write_all(noted(text).as_bytes());
}

/// A line for stderr. Further lines are indented, so that text from others can't forge one that starts with
/// `atecc608:`.
fn noted(text: &str) -> String {
    format!("atecc608: {}\n", visible_lines(text.trim_end()).replace('\n', "\n  "))
}

/// The steps of a long operation: at a terminal one line with a counter, elsewhere a note for each.
pub struct Steps {
    count: u32,
    at_terminal: bool,
}

impl Steps {
    /// No step so far.
    pub fn new() -> Self {
        Self { count: 0, at_terminal: std::io::stderr().is_terminal() }
    }

    /// Starts the next step.
    pub fn next(&mut self, what: &str) {
        if !self.at_terminal || is_quiet() {
            return note(what);
        }
        self.count += 1;
        let line = noted(&format!("step {}: {what}", self.count));
        // A line that wraps could not be cleared. The last column stays free: some terminals wrap behind it.
        let width = columns_of(std::io::stderr()).map_or(usize::MAX, |columns| columns - 1);
        let line: String = line.trim_end().chars().take(width).collect();
        let _ = std::io::stderr().write_all(format!("\r\x1b[K{line}").as_bytes());
    }

    /// Removes the line, before other text.
    pub fn clear(&mut self) {
        if self.count > 0 {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.clear();
    }
}

/// After this time of waiting a terminal gets a message about it.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Prints a message about a wait on stderr, if that is a terminal.
pub fn progress(line: &str) {
    if std::io::stderr().is_terminal() {
        note(line);
    }
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Failed, dangerous.
    Red,
    /// Warning.
    Yellow,
    /// Ok.
    Green,
}

/// Returns the width of the terminal that standard output is, if it is one.
pub fn columns() -> Option<usize> {
    columns_of(std::io::stdout())
}

fn columns_of(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Returns the text in a colour if standard output is a terminal and `NO_COLOR` (no-color.org) is not set.
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
