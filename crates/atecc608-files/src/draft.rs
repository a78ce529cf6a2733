// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file that is being written, under a temporary name in its folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{flock, AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::folder::apply;
use crate::{Access, Folder};

/// More than the number of concurrent writers of one file.
const MOST_NAMES: u32 = 100;

/// A file that is being written beside its target. Dropped before [`Draft::replace`] or [`Draft::create_new`], it is
/// removed.
#[derive(Debug)]
pub struct Draft {
    file: File,
    name: OsString,
    temporary: Temporary,
}

/// The temporary name, removed when this is dropped unless the file got its real name.
#[derive(Debug)]
struct Temporary {
    folder: Folder,
    name: OsString,
    placed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            let _ = rustix::fs::unlinkat(self.folder.descriptor(), &self.name, AtFlags::empty());
        }
    }
}

impl Draft {
    pub(crate) fn new(folder: Folder, name: &OsStr, access: Access) -> io::Result<Self> {
        let (file, temporary) = create(folder.descriptor(), name)?;
        let draft = Self {
            file: file.into(),
            name: name.to_owned(),
            temporary: Temporary { folder, name: temporary, placed: false },
        };
        apply(&draft.file, access)?;
        Ok(draft)
    }

    /// Writes the contents so far to the disk (fsync).
    ///
    /// # Errors
    /// Any I/O error.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name, durably, replacing an existing file, and returns it.
    ///
    /// # Errors
    /// As [`crate::replace`].
    pub fn replace(self) -> io::Result<File> {
        self.place(|folder, from, to| Ok(rustix::fs::renameat(folder.descriptor(), from, folder.descriptor(), to)?))
    }

    /// Gives the file its name, durably, if the name is free, and returns it.
    ///
    /// # Errors
    /// As [`crate::create_new`].
    pub fn create_new(self) -> io::Result<File> {
        self.place(rename_new)
    }

    fn place(mut self, rename: impl FnOnce(&Folder, &OsStr, &OsStr) -> io::Result<()>) -> io::Result<File> {
        self.file.sync_all()?;
        let temporary = &mut self.temporary;
        rename(&temporary.folder, &temporary.name, &self.name)?;
        temporary.placed = true;
        // A child forked meanwhile also has the open file. Closing it in this process would leave the lock to the
        // child, for as long as it lives; for a lock file that would be the bus lock. Fails only on file systems
        // without locks.
        let _ = flock(&self.file, FlockOperation::Unlock);
        temporary.folder.sync()?;
        Ok(self.file)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Renames to a name that is free, by linking on file systems that can't do it in one step.
pub(crate) fn rename_new(folder: &Folder, from: &OsStr, to: &OsStr) -> io::Result<()> {
    let folder = folder.descriptor();
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())?;
            Ok(rustix::fs::unlinkat(folder, from, AtFlags::empty())?)
        }
        result => Ok(result?),
    }
}

/// Creates a temporary file for `name`, and returns it with its own name.
///
/// A temporary file is locked (flock) while its writer lives, until it has its real name. So concurrent writers, also
/// in containers that share the folder, never use each other's file, and the next writer removes the file of a killed
/// one.
fn create(folder: &OwnedFd, name: &OsStr) -> io::Result<(OwnedFd, OsString)> {
    for number in 1..=MOST_NAMES {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(if number == 1 { ".new".to_owned() } else { format!(".new-{number}") });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(folder, &temporary, flags, Mode::RUSR | Mode::WUSR);
        let opened = match open() {
            Err(Errno::EXIST) if remove_abandoned(folder, &temporary) => open(),
            opened => opened,
        };
        match opened {
            Ok(file) if claim(&file)? => return Ok((file, temporary)),
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(ErrorKind::AlreadyExists, "every name for a temporary file is in use"))
}

/// Locks a file that was just created. Returns `false` if another process has removed it as abandoned.
fn claim(file: &OwnedFd) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        // On a file system without locks no process removes temporary files.
        _ => Ok(rustix::fs::fstat(file)?.st_nlink > 0),
    }
}

/// Removes the temporary file of a dead writer. Returns whether it did.
fn remove_abandoned(folder: &OwnedFd, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return false };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    // Between open and lock its writer may have finished, and another writer may have started with this name.
    is_named(folder, name, &file) && rustix::fs::unlinkat(folder, name, AtFlags::empty()).is_ok()
}

fn is_named(folder: &OwnedFd, name: &OsStr, file: impl AsFd) -> bool {
    let (Ok(named), Ok(open)) = (rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW), rustix::fs::fstat(file))
    else {
        return false;
    };
    (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_got_its_name_is_unlocked_though_a_child_has_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for placed in [Draft::create_new, Draft::replace] {
            let draft = folder.draft("bus.lock", 0o660).unwrap();
            // As a child forked now would have it.
            let inherited = draft.file.try_clone().unwrap();
            let locked = || flock(folder.file("bus.lock").unwrap(), FlockOperation::NonBlockingLockExclusive);
            drop(placed(draft).unwrap());
            assert_eq!(locked(), Ok(()));
            drop(inherited);
        }
    }
}
