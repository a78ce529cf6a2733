// SPDX-License-Identifier: MIT OR Apache-2.0
//! A station's records: the manifest of finished chips, and beside it (`FILE.begun`) the serial numbers of started
//! ones, each written before the chip is changed. So after a crash the station can tell its own chips from those of
//! others.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::manifest::lines::{self, LineFile};
use crate::manifest::{Chips, Record};
use crate::output::note;

#[derive(Serialize, Deserialize)]
struct Begun {
    serial_number: String,
}

/// The two files.
pub struct Ledger {
    finished: Chips,
    begun_before: HashSet<String>,
    /// `None` in a dry run.
    files: Option<Mutex<Files>>,
    /// Set once a line could not be written: then no further chip is started.
    stopped: AtomicBool,
}

struct Files {
    manifest: LineFile,
    begun: LineFile,
    written: usize,
}

impl Ledger {
    /// Opens both for appending.
    ///
    /// # Errors
    /// [`Error::Refused`] if they can't be read or written.
    pub fn open(manifest: &Path) -> Result<Self> {
        let (file, said) = LineFile::open::<Record>(manifest)?;
        if said.torn {
            note(&format!("{}: its last line was incomplete, and was removed", manifest.display()));
        }
        let finished = Chips::new(manifest, said)?;
        let (begun, said) = LineFile::open::<Begun>(&begun_path(manifest))?;
        let files = Files { manifest: file, begun, written: finished.records.len() };
        Ok(Self::new(finished, said.lines, Some(files)))
    }

    /// Opens both for reading.
    ///
    /// # Errors
    /// [`Error::Refused`] if they can't be read.
    pub fn look(manifest: &Path) -> Result<Self> {
        let finished = Chips::new(manifest, lines::read(manifest)?)?;
        if finished.torn {
            note(&format!("{}: its last line is incomplete, and would be removed", manifest.display()));
        }
        let begun = lines::read::<Begun>(&begun_path(manifest))?;
        Ok(Self::new(finished, begun.lines, None))
    }

    fn new(finished: Chips, begun: Vec<Begun>, files: Option<Files>) -> Self {
        Self {
            finished,
            begun_before: begun.into_iter().map(|begun| begun.serial_number).collect(),
            files: files.map(Mutex::new),
            stopped: AtomicBool::new(false),
        }
    }

    /// Returns the manifest's record of this chip before the run.
    pub fn record(&self, serial_number: &str) -> Option<&Record> {
        self.finished.of(serial_number)
    }

    /// Whether an earlier run with this manifest started this chip.
    pub fn was_begun(&self, serial_number: &str) -> bool {
        self.begun_before.contains(serial_number)
    }

    /// Number of lines of the manifest.
    pub fn len(&self) -> usize {
        self.files.as_ref().map_or(self.finished.records.len(), |files| files.lock().written)
    }

    /// Whether no further chip may be started.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Records that a chip is started, before it is changed.
    ///
    /// # Errors
    /// [`Error::Refused`] if the line can't be written, for instance on a full disk; then no further chip is started.
    pub fn begin(&self, serial_number: &str) -> Result<()> {
        self.write(|files| files.begun.append(&Begun { serial_number: serial_number.to_owned() }))
    }

    /// Writes a finished chip's line.
    ///
    /// # Errors
    /// As [`Ledger::begin`].
    pub fn finish(&self, record: &Record) -> Result<()> {
        self.write(|files| {
            files.manifest.append(record)?;
            files.written += 1;
            Ok(())
        })
    }

    fn write(&self, work: impl FnOnce(&mut Files) -> Result<()>) -> Result<()> {
        let Some(files) = &self.files else {
            return Err(Error::Refused("nothing is written in a dry run".to_owned()));
        };
        let done = work(&mut files.lock());
        if done.is_err() {
            self.stopped.store(true, Ordering::SeqCst);
        }
        done
    }
}

fn begun_path(manifest: &Path) -> PathBuf {
    let mut path = manifest.as_os_str().to_owned();
    path.push(".begun");
    path.into()
}
