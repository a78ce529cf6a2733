// SPDX-License-Identifier: MIT OR Apache-2.0
//! The IO protection key on the host: 32 bytes in one file per chip, 0640.
//!
//! It is written and fsynced before the chip gets it, and an existing file is used and never overwritten: so file and
//! chip agree whenever provisioning is interrupted.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use atecc608_files::{Access, Folder};

use crate::config::{Config, TokenConfig, IO_KEY_DIR};
use crate::memory::LockedSecret;
use atecc608_wire::config_zone::SerialNumber;

/// Mode of the folder, if this process creates it.
const FOLDER_MODE: u32 = 0o750;
/// Mode of a key's file.
const FILE_MODE: u32 = 0o640;

/// An IO protection key.
pub type IoKey = LockedSecret;

/// The file with the key is invalid.
#[derive(Clone, Debug, thiserror::Error)]
#[error("IO protection key {}: {problem}", path.display())]
pub struct KeyFileError {
    /// The file.
    path: PathBuf,
    /// The problem, and the remedy.
    problem: String,
}

/// The result of reading or storing a key.
pub type Result<T, E = KeyFileError> = std::result::Result<T, E>;

/// The file of a chip's key.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// The group of the folder that this process creates, if it may set one (root only).
    group: Option<u32>,
}

impl KeyFile {
    /// Returns the file that the configuration names, else one named by the serial number: in [`IO_KEY_DIR`], or for a
    /// simulated chip in the folder `keys` beside the configuration, because it is not a secret of this machine.
    pub fn of(config: &Config, token: &TokenConfig, simulated: bool, serial: &SerialNumber) -> Self {
        let default = || {
            let folder = if simulated { config.folder().join("keys") } else { PathBuf::from(IO_KEY_DIR) };
            folder.join(serial.to_string())
        };
        // Users of the state may use the key.
        let root = rustix::process::geteuid().is_root();
        let state = std::fs::metadata(&config.state_dir).ok().filter(|_| root);
        Self { path: token.io_key_file.clone().unwrap_or_else(default), group: state.map(|metadata| metadata.gid()) }
    }

    /// A file at this path, with this process's own group.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), group: None }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, problem: impl ToString) -> KeyFileError {
        KeyFileError { path: self.path.clone(), problem: problem.to_string() }
    }

    fn access(&self, mode: u32) -> Access {
        Access { mode, owner: None, group: self.group }
    }

    /// Checks, before a permanent lock, that the key can be stored: the file is valid, or the folder is writable.
    /// Creates the folder.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file is invalid, or the folder can't be created or written.
    pub fn prepare(&self) -> Result<()> {
        if self.load()?.is_some() {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let name = self.path.file_name().unwrap_or_default();
        let probed = Folder::make_all(folder, self.access(FOLDER_MODE))
            .and_then(|folder| folder.draft(name, self.access(FILE_MODE)));
        probed.map(drop).map_err(|error| self.error(format!("its folder can't be used: {error}")))
    }

    /// Returns the key, if there is a file.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file can't be read or is not a key.
    pub fn load(&self) -> Result<Option<IoKey>> {
        let opened = Folder::containing(&self.path).and_then(|(folder, name)| folder.file(name));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(self.error("is a symbolic link, which is not followed"))
            }
            Err(error) => return Err(self.error(error)),
        };
        let metadata = file.metadata().map_err(|error| self.error(error))?;
        if metadata.len() != 32 {
            return Err(self.error("does not have 32 bytes: restore it from a backup, or move it away"));
        }
        if metadata.mode() & 0o027 != 0 {
            log::warn!("{}: other users have access to it: chmod 640 {0}", self.path.display());
        }
        let mut key = IoKey::zeros().map_err(|error| self.error(error))?;
        (&file).read_exact(&mut key[..]).map_err(|error| self.error(error))?;
        Ok(Some(key))
    }

    /// Stores a new key durably, then returns it. The caller wipes its own copy.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file exists or can't be written.
    pub fn store(&self, key: &[u8; 32]) -> Result<IoKey> {
        let kept = IoKey::new(key).map_err(|error| self.error(error))?;
        let stored = atecc608_files::replace(&self.path, &key[..], self.access(FILE_MODE));
        stored.map_err(|error| self.error(format!("can't be stored: {error}")))?;
        Ok(kept)
    }

    /// Replaces another file in its folder, with the owner and mode of the key's file. Creates the folder.
    ///
    /// # Errors
    /// An I/O error if the file can't be written.
    pub(crate) fn store_beside(&self, path: &Path, contents: &[u8]) -> std::io::Result<()> {
        let folder = Folder::make_all(path.parent().unwrap_or(Path::new("/")), self.access(FOLDER_MODE))?;
        folder.replace(path.file_name().unwrap_or_default(), contents, self.access(FILE_MODE)).map(drop)
    }
}
