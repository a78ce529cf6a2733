//! Results on stdout, as text or as one JSON object; everything else on stderr.

use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use atecc608_token::point::Point;

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

/// One line on stderr: progress, a warning. A closed stderr must not stop what is under way.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "atecc608: {line}");
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

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A public key as people pass it on: SubjectPublicKeyInfo in PEM.
pub fn public_key_pem(point: &Point) -> String {
    use der::pem::{encode_string, LineEnding};
    encode_string("PUBLIC KEY", LineEnding::LF, &point.public_key_info()).unwrap_or_default()
}
