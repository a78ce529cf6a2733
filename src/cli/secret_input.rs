//! Secrets that a person gives: PINs and passphrases, from a file or asked for at the terminal. Never from the command line, where
//! every process of the machine could read them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use rustix::termios::{tcgetattr, tcsetattr, LocalModes, OptionalActions};
use zeroize::Zeroizing;

use super::error::{Error, Result};

/// Most bytes that are read of a secret's file.
const MAX_FILE: u64 = 4096;

/// The first line of a file (`-`: of standard input), without its end.
///
/// # Errors
/// [`Error::Refused`] if it can't be read.
pub fn first_line(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: std::io::Error| Error::Refused(format!("{}: {error}", path.display()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes)
    } else {
        File::open(path).map_err(failed)?.take(MAX_FILE).read_to_end(&mut bytes)
    };
    read.map_err(failed)?;
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}

/// Sees that only one of these options is `-`, standard input.
///
/// # Errors
/// [`Error::Refused`] with the names of two that are.
pub fn one_from_stdin(options: &[(&str, Option<&Path>)]) -> Result<()> {
    let names: Vec<&str> =
        options.iter().filter(|(_, path)| *path == Some(Path::new("-"))).map(|(name, _)| *name).collect();
    match names.as_slice() {
        [] | [_] => Ok(()),
        names => Err(Error::Refused(format!(
            "standard input (-) can give one thing only, not {}: use a file for the other",
            names.join(" and ")
        ))),
    }
}

/// Asks at the process's terminal, which shows nothing meanwhile; whatever standard input is. `option` is what to use where
/// there is none.
///
/// # Errors
/// [`Error::Refused`] if there is no terminal, or nothing was typed.
pub fn ask(what: &str, option: &str) -> Result<Zeroizing<Vec<u8>>> {
    let no_terminal = |error: &dyn std::fmt::Display| {
        Error::Refused(format!(
            "{what} is wanted, and there is no terminal to ask for it ({error}): give it with {option}"
        ))
    };
    let mut terminal =
        OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|error| no_terminal(&error))?;
    let shown = tcgetattr(&terminal).map_err(|error| no_terminal(&error))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let _ = write!(terminal, "{what}: ");
    tcsetattr(&terminal, OptionalActions::Flush, &hidden).map_err(|error| no_terminal(&error))?;
    // A terminal hands out a line at a time, and none that is longer.
    let mut line = Zeroizing::new(vec![0; MAX_FILE as usize]);
    let read = terminal.read(&mut line);
    let _ = tcsetattr(&terminal, OptionalActions::Flush, &shown);
    let _ = writeln!(terminal);
    line.truncate(read.map_err(|error| no_terminal(&error))?);
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    if line.is_empty() {
        return Err(Error::Refused(format!("{what}: nothing was typed; nothing was done")));
    }
    Ok(line)
}
