// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log: one line per event, to stderr or a file. Never a PIN or secret.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::RwLock;

use crate::process::PerProcess;
use crate::visible::visible;

/// The level and destination of the log: `LEVEL` or `LEVEL:FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// off, error, warn, info, debug or trace.
    pub level: LevelFilter,
    /// The file; `None` is stderr.
    pub file: Option<PathBuf>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LevelFilter::Warn, file: None }
    }
}

impl LogSettings {
    /// Parses `LEVEL` or `LEVEL:FILE`.
    ///
    /// # Errors
    /// The expected form, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (level, file) = match text.split_once(':') {
            Some((level, file)) if !file.is_empty() => (level, Some(PathBuf::from(file))),
            Some((level, _)) => (level, None),
            None => (text, None),
        };
        let level = level.trim().parse().map_err(|_| {
            format!("\"{level}\": expected off, error, warn, info, debug or trace (then :FILE for a file)")
        })?;
        Ok(Self { level, file })
    }
}

/// The process's logger. Settings change when the module is initialised again; the logger stays.
///
/// Logging never waits for a lock that a forked child may have inherited in the locked state: each process opens its
/// own file, and stderr is written without the standard library's lock. One line is one `write`, so lines do not mix.
struct Logger {
    file: PerProcess<RwLock<Option<File>>>,
}

static LOGGER: Logger = Logger { file: PerProcess::new() };

/// Applies the settings. If the log file can't be opened, reports that on stderr, which is then the destination.
pub fn init(settings: &LogSettings) {
    let file = settings.file.as_ref().and_then(|path| {
        atecc608_files::open_output(path, 0o640)
            .map_err(|error| {
                let path = visible(&path.display().to_string());
                to_stderr(&format!("atecc608-pkcs11: log file {path}: {error}; logging to stderr\n"))
            })
            .ok()
    });
    *LOGGER.file.own_or_init(RwLock::default).write() = file;
    // Fails only if a logger is already set, which is this one, from an earlier initialisation.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(settings.level);
}

/// Closes the log file; later lines go to stderr. Never waits.
pub fn close() {
    if let Some(mut file) = LOGGER.file.own().and_then(RwLock::try_write) {
        *file = None;
    }
}

/// Errors are ignored, because a failing log must not stop a signature.
fn to_stderr(line: &str) {
    let _ = rustix::io::write(std::io::stderr(), line.as_bytes());
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = record.level().as_str().to_ascii_lowercase();
        // Labels and names may be hostile: each record stays on its own line.
        let message = visible(&record.args().to_string());
        let line = format!("atecc608-pkcs11[{}] {level}: {message}\n", std::process::id());
        // Before a child's own C_Initialize it logs to its parent's destination, unless the lock was held at the fork.
        let file = self.file.own().map(RwLock::read).or_else(|| self.file.inherited()?.try_read());
        match file.as_ref().and_then(|file| file.as_ref()) {
            Some(mut file) => drop(file.write_all(line.as_bytes())),
            None => to_stderr(&line),
        }
    }

    fn flush(&self) {}
}
