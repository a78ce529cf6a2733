// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secrets of the user: PINs and passphrases, from a file or asked for at the terminal. Never from the command line,
//! which every process of the machine can read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use rustix::termios::{tcgetattr, tcsetattr, LocalModes, OptionalActions};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::output::visible;

/// Maximum length of a secret's file that is read.
const MAX_FILE: usize = 4096;

/// Returns the first line of a file (`-`: standard input), without its line end.
///
/// # Errors
/// [`Error::Refused`] if it can't be read.
pub fn first_line(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let read = super::beginning(path, MAX_FILE);
    let mut bytes = read.map_err(|error| Error::Refused(format!("{}: {error}", path.display())))?;
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}

/// Reads a secret of 32 bytes from a file (`-`: standard input): the raw bytes, or 64 hex digits with blanks and line
/// ends anywhere.
///
/// # Errors
/// [`Error::Refused`] if it can't be read, or is neither.
pub fn of_32_bytes(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let refused = |problem: String| Error::Refused(format!("{}: {problem}", path.display()));
    let mut bytes = super::read(path, MAX_FILE).map_err(|error| refused(error.to_string()))?;
    let mut secret = Zeroizing::new([0; 32]);
    if bytes.len() == secret.len() {
        secret.copy_from_slice(&bytes);
        return Ok(secret);
    }
    bytes.retain(|byte| !byte.is_ascii_whitespace());
    match base16ct::mixed::decode(&*bytes, &mut *secret) {
        Ok(decoded) if decoded.len() == 32 => Ok(secret),
        _ => Err(refused("expected a secret of 32 bytes, or of 64 hex digits".to_owned())),
    }
}

/// Checks that at most one of these options is `-`, standard input.
///
/// # Errors
/// [`Error::Refused`] with the names of two such options.
pub fn one_from_stdin(options: &[(&str, Option<&Path>)]) -> Result<()> {
    let names: Vec<&str> =
        options.iter().filter(|(_, path)| *path == Some(Path::new("-"))).map(|(name, _)| *name).collect();
    match names.as_slice() {
        [] | [_] => Ok(()),
        names => Err(Error::Refused(format!(
            "standard input (-) can be read once only, not {}: use a file for the other",
            names.join(" and ")
        ))),
    }
}

/// Asks at the process's terminal without echo, whatever standard input is. `option` is the alternative without a
/// terminal.
///
/// # Errors
/// [`Error::Refused`] if there is no terminal, nothing was typed, or the user aborted (Ctrl-C, Ctrl-D).
pub fn ask(what: &str, option: &str) -> Result<Zeroizing<Vec<u8>>> {
    let no_terminal = |error: &dyn std::fmt::Display| {
        Error::Refused(format!(
            "{what} is needed, and there is no terminal to ask for it ({error}): pass it with {option}"
        ))
    };
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|error| no_terminal(&error))?;
    let shown = tcgetattr(&terminal).map_err(|error| no_terminal(&error))?;
    let _ = write!(&terminal, "{}: ", visible(what));
    let mut hidden = shown.clone();
    // Ctrl-C arrives as a character, too: a signal that ended the process would leave the terminal without echo.
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden).map_err(|error| no_terminal(&error))?;
    let line = read_line(&terminal);
    let _ = tcsetattr(&terminal, OptionalActions::Flush, &shown);
    let _ = writeln!(&terminal);
    match line.map_err(|error| no_terminal(&error))? {
        Some(line) if !line.is_empty() => Ok(line),
        _ => Err(Error::Refused(format!("{what}: empty input; nothing was done"))),
    }
}

/// Asks twice for a new secret.
///
/// # Errors
/// As [`ask`]; [`Error::Refused`] if the two differ.
pub fn ask_twice(what: &str, option: &str) -> Result<Zeroizing<Vec<u8>>> {
    let first = ask(what, option)?;
    if ask("The same again", option)? != first {
        return Err(Error::Refused(format!("{what}: the two inputs differ: nothing was done")));
    }
    Ok(first)
}

/// Reads a line from a terminal in character mode; `None` if the user aborted.
fn read_line(mut terminal: &File) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    const CTRL_C: u8 = 0x03;
    const CTRL_D: u8 = 0x04;
    const CTRL_U: u8 = 0x15;
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_FILE));
    let mut byte = Zeroizing::new([0; 1]);
    loop {
        if terminal.read(&mut byte[..])? == 0 {
            return Ok(None);
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(Some(line)),
            CTRL_C | CTRL_D => return Ok(None),
            CTRL_U => line.clear(),
            // Backspace removes a character of UTF-8, not a byte.
            0x08 | 0x7F => while line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {},
            // Without growing, which would leave a copy behind.
            other if line.len() < line.capacity() => line.push(other),
            _ => {}
        }
    }
}
