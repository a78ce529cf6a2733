//! The IO protection key on the host: 32 bytes in a file of its own, 0640, one per chip.
//!
//! It is written and fsynced before the chip gets it, and an existing file is used and never overwritten: whatever
//! moment provisioning is interrupted at, the file and the chip do not part.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{chown, DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{Config, TokenConfig, IO_KEY_DIR};
use atecc608_wire::config_zone::SerialNumber;

/// An IO protection key.
pub type IoKey = Zeroizing<[u8; 32]>;

/// The file with the key can't be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("IO protection key {}: {problem}", path.display())]
pub struct KeyFileError {
    /// The file.
    path: PathBuf,
    /// What is wrong with it, and what to do.
    problem: String,
}

/// Result of reading or keeping a key.
pub type Result<T, E = KeyFileError> = std::result::Result<T, E>;

/// Where a chip's key is kept.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    /// Who shares the folder that this process makes, if it may say so (root only).
    group: Option<u32>,
}

impl KeyFile {
    /// The file that the configuration names, else one named by the serial number: below [`IO_KEY_DIR`], or for a
    /// simulated chip in the folder `keys` beside the configuration, since it is no secret of this machine.
    pub fn of(config: &Config, token: &TokenConfig, simulated: bool, serial: &SerialNumber) -> Self {
        let default = || {
            let folder = if simulated { config.folder().join("keys") } else { PathBuf::from(IO_KEY_DIR) };
            folder.join(serial.to_string())
        };
        // Whoever may use the state may use the key.
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

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Finds out, before anything is locked for good, whether the key can be kept: the file is good, or the folder
    /// can be written. Makes the folder.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn prepare(&self) -> Result<()> {
        if self.load()?.is_some() {
            return Ok(());
        }
        let folder = self.folder();
        let failed = |error: std::io::Error| self.error(format!("its folder can't be used: {error}"));
        if !folder.exists() {
            DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(failed)?;
            std::fs::set_permissions(folder, Permissions::from_mode(0o750)).map_err(failed)?;
            if self.group.is_some() {
                chown(folder, None, self.group).map_err(failed)?;
            }
        }
        let probe = self.temporary();
        self.create(&probe).and_then(|_| std::fs::remove_file(&probe)).map_err(failed)
    }

    /// The key, if there is a file.
    ///
    /// # Errors
    /// [`KeyFileError`] if the file is anything but a key.
    pub fn load(&self) -> Result<Option<IoKey>> {
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(self.error("is a symbolic link, which is not followed"))
            }
            Err(error) => return Err(self.error(error)),
        };
        let metadata = file.metadata().map_err(|error| self.error(error))?;
        if !metadata.is_file() || metadata.len() != 32 {
            return Err(self.error("is not a file of 32 bytes: restore it from a backup, or move it away"));
        }
        if metadata.mode() & 0o027 != 0 {
            log::warn!("{}: others may use it: chmod 640 {0}", self.path.display());
        }
        let mut key = IoKey::default();
        (&file).read_exact(&mut key[..]).map_err(|error| self.error(error))?;
        Ok(Some(key))
    }

    /// Keeps a key for good before it answers: temporary file, fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn store(&self, key: &IoKey) -> Result<()> {
        let temporary = self.temporary();
        let stored = self
            .create(&temporary)
            .and_then(|mut file| {
                file.write_all(&key[..])?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&temporary, &self.path))
            .and_then(|()| File::open(self.folder())?.sync_all());
        stored.map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            self.error(format!("can't be stored: {error}"))
        })
    }

    /// The same name each time: the caller has the bus, so what is there is a killed process's.
    fn temporary(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.folder().join(format!(".{name}.new"))
    }

    fn create(&self, path: &Path) -> std::io::Result<File> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o640).custom_flags(libc::O_NOFOLLOW).open(path)?;
        file.set_permissions(Permissions::from_mode(0o640))?;
        if self.group.is_some() {
            chown(path, None, self.group)?;
        }
        Ok(file)
    }
}
