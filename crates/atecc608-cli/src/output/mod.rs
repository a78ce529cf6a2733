// SPDX-License-Identifier: MIT OR Apache-2.0
//! Results on stdout, as text or as one JSON object; everything else on stderr.

pub mod check;
pub mod shell;
mod terminal;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use atecc608_token::visible::visible_lines;
use serde::Serialize;

use crate::error::{Error, Result};
pub use atecc608_token::visible::{visible, visible_in_strings};
pub use terminal::{be_quiet, note, progress, warn, Steps, SILENCE};

/// A result as text.
pub enum Text {
    /// Lines to read. Control characters of terminals are escaped; fields with text from others also pass [`visible`],
    /// which removes newlines.
    Lines(String),
    /// A file's contents (PEM, DER, CSV, random bytes), printed unchanged.
    Contents(Vec<u8>),
}

impl From<String> for Text {
    fn from(lines: String) -> Self {
        Self::Lines(lines)
    }
}

impl From<Vec<u8>> for Text {
    fn from(contents: Vec<u8>) -> Self {
        Self::Contents(contents)
    }
}

/// The version of the JSON objects. It increases when a field changes its meaning or is removed; new fields may be
/// added at any time.
const SCHEMA: u32 = 1;

/// A result in the form of `--json`.
#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u32,
    #[serde(flatten)]
    result: &'a T,
}

/// The output of a command.
pub struct Output {
    text: Text,
    json: String,
    outcome: Outcome,
}

/// The meaning of the exit status. A command that fails with an [`Error`] has the status of `Failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done = 0,
    /// Not done, or not all of it.
    Failed = 1,
    /// Done, and the result is negative: a problem was found, or nothing was found, or two things differ.
    Negative = 3,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}

impl Output {
    /// A result as text and as a JSON object, to which the field `schema` is added.
    ///
    /// # Errors
    /// [`Error::Output`] if the value can't be serialized.
    pub fn new(text: impl Into<Text>, json: &impl Serialize) -> Result<Self> {
        Self::document(text, &Versioned { schema: SCHEMA, result: json })
    }

    /// The same for an object with its own file format and version.
    ///
    /// # Errors
    /// [`Error::Output`] if the value can't be serialized.
    pub fn document(text: impl Into<Text>, json: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string_pretty(json).map_err(|error| Error::Output(error.into()))?;
        Ok(Self { text: text.into(), json, outcome: Outcome::Done })
    }

    /// Sets [`Outcome::Failed`] if something was not done, which the result describes.
    pub fn failed_if(self, failed: bool) -> Self {
        self.with(failed, Outcome::Failed)
    }

    /// Sets [`Outcome::Negative`] if the result is negative.
    pub fn negative_if(self, negative: bool) -> Self {
        self.with(negative, Outcome::Negative)
    }

    fn with(self, is: bool, outcome: Outcome) -> Self {
        Self { outcome: if is { outcome } else { self.outcome }, ..self }
    }

    /// Prints it. Returns the meaning of the exit status.
    ///
    /// # Errors
    /// [`Error::Output`] if standard output can't be written, for instance on a full disk.
    pub fn print(&self, json: bool) -> Result<Outcome> {
        let mut stdout = std::io::stdout().lock();
        let written = if json {
            writeln!(stdout, "{}", visible_in_strings(&self.json)).and_then(|()| stdout.flush())
        } else {
            match &self.text {
                Text::Lines(lines) => {
                    let lines = visible_lines(lines);
                    let lines = terminal::columns().map(|columns| check::wrapped(&lines, columns)).unwrap_or(lines);
                    stdout.write_all(check::painted(&lines).as_bytes())
                }
                Text::Contents(contents) => stdout.write_all(contents),
            }
            .and_then(|()| stdout.flush())
        };
        match written {
            // The reader has closed the pipe (`atecc608 info | head`).
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(self.outcome),
            Err(error) => Err(Error::Output(error)),
            Ok(()) => Ok(self.outcome),
        }
    }
}

/// Prints why the command failed: on stderr, and with `--json` also as an object on stdout.
pub fn failure(error: &Error, json: bool) {
    terminal::complain(&error.to_string());
    if json {
        failure_object(error.code(), &error.to_string());
    }
}

/// Prints the object of `--json` for a failure.
pub fn failure_object(code: &str, error: &str) {
    let object = serde_json::json!({ "schema": SCHEMA, "code": code, "error": error });
    // A failure of this can't be reported.
    let _ = writeln!(std::io::stdout(), "{}", visible_in_strings(&format!("{object:#}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use atecc608_token::visible::is_control;

    #[test]
    fn json_with_visible_controls_means_the_same() {
        let value = serde_json::json!({ "label": "a\n\x1b[31m\u{7F}\u{9B}\u{202E}ä" });
        let json = visible_in_strings(&format!("{value:#}"));
        assert!(!json.replace('\n', "").chars().any(is_control), "{json:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
    }
}
