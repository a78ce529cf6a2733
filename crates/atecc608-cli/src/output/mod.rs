//! Results on stdout, as text or as one JSON object; everything else on stderr.

pub mod check;
mod terminal;

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::error::{Error, Result};
pub use terminal::{note, progress, visible, SILENCE};

/// What a command has to say.
pub struct Output {
    text: Vec<u8>,
    json: String,
    success: bool,
}

impl Output {
    /// A result as text and as JSON.
    ///
    /// # Errors
    /// [`Error::Output`] if the value can't be JSON.
    pub fn new(text: impl Into<Vec<u8>>, json: &impl Serialize) -> Result<Self> {
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
            writeln!(stdout, "{}", self.json).and_then(|()| stdout.flush())
        } else {
            stdout.write_all(&self.text).and_then(|()| stdout.flush())
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
    let _ = writeln!(std::io::stdout(), "{object:#}");
}
