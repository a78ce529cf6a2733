// SPDX-License-Identifier: MIT OR Apache-2.0
//! A folder held open, and operations on the files in it by name.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::{Access, Draft};

/// Mode of the parents of a folder, so that the users of the folder can reach it.
const PARENTS_MODE: u32 = 0o755;
/// How often a lock file may disappear between its creation and its opening.
const MAX_REMOVALS: usize = 10;

/// An open folder. File names are single path components, and links are never followed.
///
/// Clones share the descriptor.
#[derive(Clone, Debug)]
pub struct Folder(Arc<OwnedFd>);

impl Folder {
    /// Opens the folder at `path`. A link as its last component is an error.
    ///
    /// # Errors
    /// Any I/O error; `NotADirectory` for a link.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, OFlags::NOFOLLOW)
    }

    /// Opens the folder at `path`, which may be a link: for a path that the user or the configuration names.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn follow(path: &Path) -> io::Result<Self> {
        Self::open_with(path, OFlags::empty())
    }

    /// Opens the folder that contains `path`, and returns it with the last component's name.
    ///
    /// # Errors
    /// `InvalidInput` if `path` has no last component; else any I/O error.
    pub fn containing(path: &Path) -> io::Result<(Self, &OsStr)> {
        let name = path.file_name().ok_or_else(|| invalid("the path names no file"))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok((Self::follow(folder)?, name))
    }

    /// Opens the folder at `path`, after creating what is missing: parents with exactly mode 0755, the folder itself
    /// with exactly this access. An existing folder keeps its own.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn make_all(path: &Path, access: impl Into<Access>) -> io::Result<Self> {
        match Self::follow(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        let access = access.into();
        let path = std::path::absolute(path)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(invalid("the path names no folder"));
        };
        make_parents(parent)?.make(name, access)
    }

    fn open_with(path: &Path, flags: OFlags) -> io::Result<Self> {
        let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(Arc::new(rustix::fs::open(path, flags, Mode::empty())?)))
    }

    /// Opens the subfolder of this name.
    ///
    /// # Errors
    /// Any I/O error; `NotADirectory` for a link.
    pub fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(Arc::new(rustix::fs::openat(&*self.0, component(name.as_ref())?, flags, Mode::empty())?)))
    }

    /// Opens the subfolder of this name, after creating it with this access if it is missing.
    ///
    /// # Errors
    /// Any I/O error; `NotADirectory` for a link.
    pub fn make(&self, name: impl AsRef<OsStr>, access: impl Into<Access>) -> io::Result<Self> {
        let (name, access) = (component(name.as_ref())?, access.into());
        match rustix::fs::mkdirat(&*self.0, name, mode(access.mode & 0o777)) {
            Err(Errno::EXIST) => return self.folder(name),
            created => created?,
        }
        let folder = self.folder(name)?;
        apply(&*folder.0, access)?;
        self.sync()?;
        Ok(folder)
    }

    /// Opens the regular file of this name for reading.
    ///
    /// # Errors
    /// Any I/O error; `ELOOP` for a link; `InvalidInput` for a folder, a pipe, a device or a socket, and for a file
    /// that has more than one name (hard link).
    pub fn file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.open_regular(component(name.as_ref())?, OFlags::RDONLY)
    }

    /// Opens the regular file of this name for locking, after creating it, empty and with this access, if it is
    /// missing. On a read-only file system the file is open for reading only.
    ///
    /// Opens an existing file without `O_CREAT`: with it the kernel refuses another user's file in a sticky folder
    /// (`fs.protected_regular`).
    ///
    /// # Errors
    /// As [`Folder::file`].
    pub fn lock_file(&self, name: impl AsRef<OsStr>, access: impl Into<Access>) -> io::Result<File> {
        let (name, access) = (component(name.as_ref())?, access.into());
        for _ in 0..MAX_REMOVALS {
            match self.open_regular(name, OFlags::RDWR | OFlags::APPEND) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => return self.file(name),
                opened => return opened,
            }
            match self.create_new(name, &[], access) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                created => drop(created?),
            }
        }
        Err(invalid("is repeatedly removed by another process"))
    }

    fn open_regular(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        // Opening a pipe must not block.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file: File = rustix::fs::openat(&*self.0, name, flags, Mode::empty())?.into();
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(invalid("is not a regular file"));
        }
        // A file without a name has just been replaced.
        if metadata.nlink() > 1 {
            return Err(invalid("has a second name (a hard link)"));
        }
        Ok(file)
    }

    /// Returns the folder's own owner, mode and times.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn metadata(&self) -> io::Result<Metadata> {
        File::from(self.0.try_clone()?).metadata()
    }

    /// Locks the folder for this process and the clones of this value; returns `false` if another process holds the
    /// lock. The lock (`flock`) ends with the last clone, or with the process.
    ///
    /// # Errors
    /// Any I/O error, for instance on file systems without locks.
    pub fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&*self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the version of the file of this name, without opening it; `None` if there is none.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn version(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Version>> {
        match rustix::fs::statat(&*self.0, component(name.as_ref())?, AtFlags::SYMLINK_NOFOLLOW) {
            // The types of the fields differ between architectures.
            #[allow(clippy::unnecessary_cast)]
            Ok(stat) => Ok(Some(Version {
                inode: stat.st_ino as u64,
                modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
                len: stat.st_size as u64,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts a file that gets this name when it is complete.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn draft(&self, name: impl AsRef<OsStr>, access: impl Into<Access>) -> io::Result<Draft> {
        Draft::new(self.clone(), component(name.as_ref())?, access.into())
    }

    /// As [`crate::replace`], for the file of this name. Returns the new file.
    ///
    /// # Errors
    /// As [`crate::replace`].
    pub fn replace(&self, name: impl AsRef<OsStr>, contents: &[u8], access: impl Into<Access>) -> io::Result<File> {
        let mut draft = self.draft(name, access)?;
        draft.write_all(contents)?;
        draft.replace()
    }

    /// As [`crate::create_new`], for the file of this name. Returns the new file.
    ///
    /// # Errors
    /// As [`crate::create_new`].
    pub fn create_new(&self, name: impl AsRef<OsStr>, contents: &[u8], access: impl Into<Access>) -> io::Result<File> {
        let mut draft = self.draft(name, access)?;
        draft.write_all(contents)?;
        draft.create_new()
    }

    /// Renames the file of this name. The new name must be free.
    ///
    /// # Errors
    /// `AlreadyExists` if `to` is not free; else any I/O error.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        crate::draft::rename_new(self, component(from.as_ref())?, component(to.as_ref())?)?;
        self.sync()
    }

    /// Removes the file of this name.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        rustix::fs::unlinkat(&*self.0, component(name.as_ref())?, AtFlags::empty())?;
        self.sync()
    }

    /// Writes the folder's names to the disk (fsync).
    ///
    /// # Errors
    /// Any I/O error, except that the file system can't sync folders.
    pub fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&*self.0) {
            Err(Errno::INVAL) => Ok(()),
            result => Ok(result?),
        }
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

/// Identifies one version of a file without reading it; a replaced file has another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    inode: u64,
    modified: (i64, i64),
    len: u64,
}

impl Version {
    /// Returns the version of an open file.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { inode: metadata.ino(), modified: (metadata.mtime(), metadata.mtime_nsec()), len: metadata.len() })
    }
}

fn make_parents(path: &Path) -> io::Result<Folder> {
    match Folder::follow(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        result => return result,
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(invalid("the path names no folder"));
    };
    make_parents(parent)?.make(name, PARENTS_MODE)
}

/// Sets the owner, then the mode, of an open file or folder: a change of owner clears special bits.
pub(crate) fn apply(file: impl AsFd, access: Access) -> io::Result<()> {
    if access.owner.is_some() || access.group.is_some() {
        rustix::fs::fchown(&file, access.owner.map(Uid::from_raw), access.group.map(Gid::from_raw))?;
    }
    Ok(rustix::fs::fchmod(&file, mode(access.mode))?)
}

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits)
}

/// Returns the name if it is a single path component.
fn component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_encoded_bytes();
    if bytes.contains(&b'/') || matches!(bytes, b"" | b"." | b"..") {
        return Err(invalid("a name in a folder has to be one path component"));
    }
    Ok(name)
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, problem)
}
