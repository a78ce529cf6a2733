//! What a person at a terminal sees beside the result: notes and progress on stderr, colours.

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// One line on stderr: progress, a warning. A closed stderr must not stop what is under way.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "atecc608: {line}");
}

/// Text from elsewhere, with its control characters made visible: it can't paint over what the tool says.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
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
