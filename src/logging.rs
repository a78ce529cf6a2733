//! The log: one line per event, to stderr or a file. Never a PIN or secret.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use log::{LevelFilter, Log, Metadata, Record};
use once_cell::sync::OnceCell;
use parking_lot::RwLock;

/// What is logged, and where to: `LEVEL` or `LEVEL:FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// off, error, warn, info, debug or trace.
    pub level: LevelFilter,
    /// The file; none is stderr.
    pub file: Option<PathBuf>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LevelFilter::Warn, file: None }
    }
}

impl LogSettings {
    /// Reads `LEVEL` or `LEVEL:FILE`.
    ///
    /// # Errors
    /// What was expected, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (level, file) = match text.split_once(':') {
            Some((level, file)) if !file.is_empty() => (level, Some(PathBuf::from(file))),
            Some((level, _)) => (level, None),
            None => (text, None),
        };
        let level = level.trim().parse().map_err(|_| {
            format!("\"{level}\" is none of off, error, warn, info, debug, trace (then :FILE for a file)")
        })?;
        Ok(Self { level, file })
    }
}

/// The process's logger. Settings change when the module is initialised again; the logger stays.
struct Logger {
    file: RwLock<Option<File>>,
}

static LOGGER: OnceCell<Logger> = OnceCell::new();

/// Applies the settings. A log file that can't be opened is said on stderr, where the log then goes.
pub fn init(settings: &LogSettings) {
    let logger = LOGGER.get_or_init(|| Logger { file: RwLock::new(None) });
    let file = settings.file.as_ref().and_then(|path| {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)
            .map_err(|error| eprintln!("atecc608-pkcs11: log file {}: {error}; logging to stderr", path.display()))
            .ok()
    });
    *logger.file.write() = file;
    // Fails only if a logger is set already: ours, from an earlier initialisation.
    let _ = log::set_logger(logger);
    log::set_max_level(settings.level);
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
        let line = format!("atecc608-pkcs11[{}] {level}: {}\n", std::process::id(), record.args());
        // A log that can't be written must not stop a signature.
        let _ = match &mut *self.file.write() {
            Some(file) => file.write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}
