// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lock files of this project, and the descriptors that a forked child must close.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use super::OpenError;
use crate::process;
use atecc608_files::Folder;

/// Mode of a lock file: the members of the group lock it.
const MODE: u32 = 0o660;

/// One of the files of a bus lock.
pub(super) struct LockFile {
    path: PathBuf,
    kind: Kind,
    file: Arc<RegisteredFile>,
    /// Device and inode of the opened file.
    identity: (u64, u64),
}

/// How to reopen a file that was replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file of this project, required for the use of the bus.
    #[cfg(any(feature = "sim", test))]
    Required,
    /// A file of this project, not required for the use of the bus.
    Optional,
}

impl LockFile {
    /// Opens or creates a file that a simulated bus requires.
    ///
    /// # Errors
    /// [`OpenError`] if it can't be opened or created.
    #[cfg(any(feature = "sim", test))]
    pub(super) fn required(path: PathBuf) -> Result<Self, OpenError> {
        Self::open(path, Kind::Required)
    }

    /// Opens or creates an optional lock file. Returns `None` if it does not exist and can't be created, for instance
    /// in another user's folder.
    ///
    /// # Errors
    /// [`OpenError`] if the file exists and can't be opened.
    pub(super) fn optional(path: PathBuf, without: &str) -> Result<Option<Self>, OpenError> {
        match Self::open(path.clone(), Kind::Optional) {
            Err(error) if !exists(&path) => {
                log::debug!("{error}; {without}");
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    fn open(path: PathBuf, kind: Kind) -> Result<Self, OpenError> {
        match open(&path) {
            Ok((file, identity)) => Ok(Self { path, kind, file, identity }),
            Err(error) => Err(open_error(&path, &error)),
        }
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the open file. The holder of a lock keeps a clone, so that the file stays open that long.
    pub(super) fn file(&self) -> &Arc<RegisteredFile> {
        &self.file
    }

    /// Reopens the file if another one is at its path now: processes with the new file do not see locks on the old one.
    /// Returns `true` if it did.
    ///
    /// # Errors
    /// [`OpenError`] if the file is required and can't be opened or created.
    pub(super) fn reopen_if_replaced(&mut self) -> Result<bool, OpenError> {
        let there = std::fs::symlink_metadata(&self.path);
        let same = there.is_ok_and(|there| identity(&there) == self.identity);
        if same {
            return Ok(false);
        }
        match open(&self.path) {
            Ok((file, identity)) => (self.file, self.identity) = (file, identity),
            Err(error) if self.kind == Kind::Optional && !exists(&self.path) => {
                log::debug!("lock file {}: {error}; locking the existing file", self.path.display());
                return Ok(false);
            }
            Err(error) => return Err(open_error(&self.path, &error)),
        }
        Ok(true)
    }
}

fn open(path: &Path) -> io::Result<(Arc<RegisteredFile>, (u64, u64))> {
    let (folder, name) = Folder::containing(path)?;
    let file = folder.lock_file(name, MODE)?;
    let identity = identity(&file.metadata()?);
    Ok((Arc::new(RegisteredFile::new(file)?), identity))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn open_error(path: &Path, error: &io::Error) -> OpenError {
    let text = format!("lock file {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound(text),
        io::ErrorKind::PermissionDenied => OpenError::NotPermitted(text + &remedy(path).unwrap_or_default()),
        _ => OpenError::Other(text),
    }
}

/// Returns the owner of a file that this user may not open, and the remedy; `None` if the file can't be examined.
fn remedy(path: &Path) -> Option<String> {
    let (file, folder) = (std::fs::symlink_metadata(path).ok()?, path.parent()?);
    let (path, folder_gid) = (path.display(), std::fs::metadata(folder).ok()?.gid());
    let (uid, gid, mode, folder) = (file.uid(), file.gid(), file.mode() & 0o777, folder.display());
    let remedy = if gid == folder_gid && mode & 0o060 == 0o060 {
        format!("Add the user to that group: sudo usermod -aG $(stat -c %G {path}) USER, and log in again")
    } else {
        format!("Give it to the group of its folder: sudo chgrp $(stat -c %g {folder}) {path} && sudo chmod {MODE:o} {path}")
    };
    Some(format!(". It belongs to user {uid} and group {gid}, with mode {mode:o}. {remedy}"))
}

/// Whether there is something at `path`, as far as this process can see.
fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Files of this process, for [`open_lock_descriptors`]. Atomics, because a fork handler may use nothing else.
static DESCRIPTORS: [Entry; 128] = [const { Entry::new() }; 128];

/// A place for one lock file.
struct Entry {
    descriptor: AtomicI32,
    process: AtomicUsize,
    device: AtomicU64,
    inode: AtomicU64,
}

/// A free entry.
const FREE: i32 = -1;
/// An entry that is being filled in.
const TAKEN: i32 = -2;

impl Entry {
    const fn new() -> Self {
        Self {
            descriptor: AtomicI32::new(FREE),
            process: AtomicUsize::new(0),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
        }
    }
}

/// A descriptor of a lock file, as it was opened.
pub(crate) struct LockDescriptor {
    /// Its number. It may belong to another file by now: some programs close descriptors that are not theirs
    /// (closefrom).
    pub(crate) descriptor: i32,
    /// The number of the process that opened it.
    pub(crate) process: usize,
    /// Device and inode of the lock file.
    pub(crate) identity: (u64, u64),
}

/// Returns the descriptors of all lock files. A forked child closes the files behind them (in a handler that may only
/// call async-signal-safe functions): an inherited descriptor would keep the lock if the parent dies holding it.
pub(crate) fn open_lock_descriptors() -> impl Iterator<Item = LockDescriptor> {
    DESCRIPTORS.iter().filter_map(|entry| {
        let descriptor = entry.descriptor.load(Ordering::Acquire);
        let process = entry.process.load(Ordering::Relaxed);
        let identity = (entry.device.load(Ordering::Relaxed), entry.inode.load(Ordering::Relaxed));
        (descriptor >= 0).then_some(LockDescriptor { descriptor, process, identity })
    })
}

/// An entry in [`DESCRIPTORS`], to be dropped before the descriptor is closed.
pub(super) struct Registration(RawFd);

impl Registration {
    /// A descriptor of the file with this device and inode.
    pub(super) fn new(descriptor: RawFd, (device, inode): (u64, u64)) -> Self {
        let free = |entry: &&Entry| {
            entry.descriptor.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
        };
        match DESCRIPTORS.iter().find(free) {
            Some(entry) => {
                entry.process.store(process::number(), Ordering::Relaxed);
                entry.device.store(device, Ordering::Relaxed);
                entry.inode.store(inode, Ordering::Relaxed);
                entry.descriptor.store(descriptor, Ordering::Release);
            }
            None => log::warn!("more than {} lock files are open: a forked child may keep a lock", DESCRIPTORS.len()),
        }
        Self(descriptor)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        for entry in &DESCRIPTORS {
            if entry.descriptor.compare_exchange(self.0, FREE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }
}

/// A file that is in [`DESCRIPTORS`] as long as it is open.
pub(super) struct RegisteredFile {
    // Dropped in this order.
    _registration: Registration,
    file: File,
}

impl RegisteredFile {
    /// # Errors
    /// An I/O error of fstat.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        Ok(Self { _registration: Registration::new(file.as_raw_fd(), identity), file })
    }

    pub(super) fn get(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_files_belong_to_the_group_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = LockFile::required(dir.path().join("bus.lock")).unwrap();
        let mode = std::fs::metadata(dir.path().join("bus.lock")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o660);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("bus.lock")).unwrap();
        assert!(LockFile::required(dir.path().join("bus.lock")).is_err());
    }

    #[test]
    fn a_lock_file_that_exists_and_can_not_be_opened_is_an_error_and_one_that_can_not_be_created_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.lock");
        let optional = |path: &Path| LockFile::optional(path.to_owned(), "without it");
        assert!(optional(&dir.path().join("missing/bus.lock")).unwrap().is_none());
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(optional(&path), Err(OpenError::Other(_))));
        std::fs::remove_dir(&path).unwrap();
        assert!(optional(&path).unwrap().is_some());
    }

    #[test]
    fn a_file_that_others_can_not_open_is_reported_with_its_owner_and_the_remedy() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.lock");
        std::fs::write(&path, "").unwrap();
        let text = |mode| {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let denied = io::Error::from(io::ErrorKind::PermissionDenied);
            match open_error(&path, &denied) {
                OpenError::NotPermitted(text) => text,
                other => panic!("{other:?}"),
            }
        };
        let (file, folder) = (path.display(), dir.path().display());
        let (uid, gid) = (std::fs::metadata(&path).unwrap().uid(), std::fs::metadata(&path).unwrap().gid());
        let closed = text(0o600);
        assert!(closed.contains(&format!("It belongs to user {uid} and group {gid}, with mode 600.")), "{closed}");
        let remedy = format!("sudo chgrp $(stat -c %g {folder}) {file} && sudo chmod 660 {file}");
        assert!(closed.ends_with(&remedy), "{closed}");
        let of_group = text(0o660);
        assert!(of_group.contains(&format!("sudo usermod -aG $(stat -c %G {file}) USER")), "{of_group}");
    }

    #[test]
    fn a_child_finds_the_descriptors_to_close_until_they_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        let lock = LockFile::required(dir.path().join("bus.lock")).unwrap();
        let fd = lock.file.get().as_raw_fd();
        let metadata = lock.file.get().metadata().unwrap();
        let found = open_lock_descriptors().find(|open| open.descriptor == fd).unwrap();
        assert_eq!(found.identity, identity(&metadata));
        drop(lock);
    }

    #[test]
    fn a_file_that_was_unlinked_and_made_anew_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.lock");
        let mut lock = LockFile::required(path.clone()).unwrap();
        assert!(!lock.reopen_if_replaced().unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(lock.reopen_if_replaced().unwrap());
        assert_eq!(lock.file.get().metadata().unwrap().ino(), std::fs::metadata(&path).unwrap().ino());
        assert!(!lock.reopen_if_replaced().unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(lock.reopen_if_replaced().unwrap(), "nobody else can create it unseen");
        assert!(path.exists());
    }
}
