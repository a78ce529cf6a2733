// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file of JSON lines to which several runs append, and which is never rewritten: each line is on the disk before the
//! work continues.
//!
//! The file is valid after a crash: every finished line ends with a newline, so text after the last newline is an
//! unfinished line, on which nothing depends yet.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{flock, FlockOperation, OFlags};
use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::error::{Error, Result};

/// Maximum size of a file: the records of 40 000 chips.
const MOST: usize = 256 << 20;

/// The contents of a file.
#[derive(Debug)]
pub struct Said<T> {
    /// Its lines, in order.
    pub lines: Vec<T>,
    /// Length of the finished lines, in bytes.
    pub length: u64,
    /// Whether an unfinished line follows them.
    pub torn: bool,
}

/// The file, open for appending. No other process can open it meanwhile.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: File,
    /// Length of the finished lines, in bytes.
    length: u64,
}

/// Reads a file; a missing file has no lines.
///
/// # Errors
/// [`Error::Refused`] if it can't be read, or a finished line is invalid, with the line's number.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Said<T>> {
    parse(path, &read_bytes(path)?)
}

/// Returns the bytes of a file; empty if it is missing.
///
/// # Errors
/// [`Error::Refused`] if it can't be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match atecc608_files::open_input(path).and_then(|file| atecc608_files::read_to(file, MOST, &mut bytes)) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(refused(path, &error.to_string())),
    }
}

/// Parses the lines in the bytes of a file.
///
/// # Errors
/// [`Error::Refused`] if a finished line is invalid, with the line's number.
pub fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Said<T>> {
    if super::microchip::is_one(bytes) {
        return Err(refused(path, "this is a JSON array, such as a manifest from Microchip, instead of JSON lines"));
    }
    let length = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = Vec::new();
    for (number, line) in bytes[..length].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line = serde_json::from_slice(line).map_err(|error| {
            refused(
                path,
                &format!(
                    "line {}: {error}. Is it the right file? It is only ever appended to: restore it from a backup",
                    number + 1
                ),
            )
        })?;
        lines.push(line);
    }
    Ok(Said { lines, length: length as u64, torn: length < bytes.len() })
}

fn refused(path: &Path, problem: &str) -> Error {
    Error::Refused(format!("{}: {problem}", path.display()))
}

impl LineFile {
    /// Opens the file for appending, creating it with mode 0644 (it contains no secret) if necessary, and removes an
    /// unfinished last line.
    ///
    /// # Errors
    /// As [`read`]; [`Error::Refused`] if it can't be written, or another process has opened it.
    pub fn open<T: DeserializeOwned>(path: &Path) -> Result<(Self, Said<T>)> {
        let failed = |error: std::io::Error| refused(path, &error.to_string());
        if path.exists() {
            // Only a regular file is opened for writing.
            atecc608_files::open(path).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o644).custom_flags(OFlags::NONBLOCK.bits() as i32);
        let file = options.open(path).map_err(failed)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(refused(path, "another run is writing to it: wait until it ends, or use another file"));
        }
        let mut bytes = Vec::new();
        atecc608_files::read_to(&file, MOST, &mut bytes).map_err(failed)?;
        let said: Said<T> = parse(path, &bytes)?;
        if said.torn {
            file.set_len(said.length).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        // Also write a new file's name to the disk.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok((Self { path: path.to_owned(), file, length: said.length }, said))
    }

    /// Appends a line, which is on the disk when this returns. On a failure the file is unchanged.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be written, for instance on a full disk.
    pub fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|error| refused(&self.path, &error.to_string()))?;
        text.push(b'\n');
        match self.file.write_all(&text).and_then(|()| self.file.sync_all()) {
            Ok(()) => {
                self.length += text.len() as u64;
                Ok(())
            }
            Err(error) => {
                // If that fails, too, the next run removes the unfinished line.
                let _ = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
                Err(refused(&self.path, &format!("a line can't be written: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_back_and_a_torn_line_is_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let (mut file, said) = LineFile::open::<u32>(&path).unwrap();
        assert!(said.lines.is_empty() && !said.torn);
        file.append(&1_u32).unwrap();
        file.append(&22_u32).unwrap();
        drop(file);
        for cut in 0..3 {
            std::fs::write(&path, &"1\n22\n333"[..5 + cut]).unwrap();
            let (mut file, said) = LineFile::open::<u32>(&path).unwrap();
            assert_eq!((said.lines, said.torn), (vec![1, 22], cut > 0));
            file.append(&4_u32).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n22\n4\n");
        }
        assert_eq!(read::<u32>(&path).unwrap().lines, [1, 22, 4]);
    }

    #[test]
    fn a_finished_line_that_is_no_line_is_named_and_the_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        std::fs::write(&path, "1\nx\n3\n").unwrap();
        let error = LineFile::open::<u32>(&path).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\nx\n3\n");
    }

    #[test]
    fn two_processes_do_not_write_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let first = LineFile::open::<u32>(&path).unwrap();
        let error = LineFile::open::<u32>(&path).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
        drop(first);
        assert!(LineFile::open::<u32>(&path).is_ok());
    }
}
