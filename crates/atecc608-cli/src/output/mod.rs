//! Results on stdout, as text or as one JSON object; everything else on stderr.

pub mod check;
pub mod shell;
mod terminal;

use std::io::{ErrorKind, Write};

use atecc608_token::visible::visible_lines;
use serde::Serialize;

use crate::error::{Error, Result};
pub use atecc608_token::visible::{visible, visible_in_strings};
pub use terminal::{note, progress, SILENCE};

/// A result as people get it.
pub enum Text {
    /// Lines to read. What a terminal would obey is shown as its escape; fields with text from others also pass [`visible`],
    /// which keeps their newlines out.
    Lines(String),
    /// A file's contents (PEM, DER, CSV, random bytes), printed as they are.
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

/// What a command has to say.
pub struct Output {
    text: Text,
    json: String,
    success: bool,
}

impl Output {
    /// A result as text and as JSON.
    ///
    /// # Errors
    /// [`Error::Output`] if the value can't be JSON.
    pub fn new(text: impl Into<Text>, json: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string_pretty(json).map_err(|error| Error::Output(error.into()))?;
        Ok(Self { text: text.into(), json, success: true })
    }

    /// The same, but the exit status says failure: the result itself tells what is wrong.
    pub fn failed_if(mut self, failed: bool) -> Self {
        self.success = !failed;
        self
    }

    /// Prints it. Answers whether it is a success.
    ///
    /// # Errors
    /// [`Error::Output`], for instance on a full disk.
    pub fn print(&self, json: bool) -> Result<bool> {
        let mut stdout = std::io::stdout().lock();
        let written = if json {
            writeln!(stdout, "{}", visible_in_strings(&self.json)).and_then(|()| stdout.flush())
        } else {
            match &self.text {
                Text::Lines(lines) => stdout.write_all(check::painted(&visible_lines(lines)).as_bytes()),
                Text::Contents(contents) => stdout.write_all(contents),
            }
            .and_then(|()| stdout.flush())
        };
        match written {
            // The reader has seen enough (`atecc608 info | head`).
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(self.success),
            Err(error) => Err(Error::Output(error)),
            Ok(()) => Ok(self.success),
        }
    }
}

/// Says why the command failed: on stderr, and with `--json` also as an object on stdout.
pub fn failure(error: &Error, json: bool) {
    note(&error.to_string());
    if json {
        failure_object(&error.to_string());
    }
}

/// What `--json` gives instead of a result.
pub fn failure_object(error: &str) {
    let object = serde_json::json!({ "error": error });
    // Nobody is left to be told that this failed, too.
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
