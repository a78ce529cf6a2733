//! The private copy of the module that AWS IoT Device Client wants (mode 640 in a folder of mode 700, both its own), and how it is
//! kept as new as the installed one.
//!
//! A refresh runs as root over folders of other users: it goes through descriptors, follows no link, takes the module from where
//! this tool finds it and never from what the folder says, and leaves the owner as it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Uid};
use sha2::{Digest, Sha256};

use super::device_client::MODULE_MODE;
use crate::error::{Error, Result};
use crate::host::module::MODULE;

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// There was none.
    New,
    /// It was another version.
    Renewed,
    /// It is the installed module.
    Current,
}

/// What a copy would become, without a change.
///
/// # Errors
/// [`Error::Refused`] if a file can't be read.
pub fn compare(module: &Path, folder: &Path) -> Result<Copy> {
    let module = read(module)?;
    let folder_fd = open_folder(folder)?;
    Ok(match existing(&folder_fd, folder)? {
        None => Copy::New,
        Some(digest) if digest == sha256(&module) => Copy::Current,
        Some(_) => Copy::Renewed,
    })
}

/// Sees that the folder's copy is the installed module. A program that has the old one loaded keeps it until it ends.
///
/// # Errors
/// [`Error::Refused`] if a file can't be read or written.
pub fn renew(module: &Path, folder: &Path) -> Result<Copy> {
    let contents = read(module)?;
    let folder_fd = open_folder(folder)?;
    let before = existing(&folder_fd, folder)?;
    let failed = |error: rustix::io::Errno| refused(&folder.join(MODULE), &error.into());
    if before == Some(sha256(&contents)) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&folder_fd, MODULE, flags, Mode::empty()).map_err(failed)?;
        if fs::fstat(&file).map_err(failed)?.st_mode & 0o7777 != MODULE_MODE {
            fs::fchmod(&file, Mode::from_bits_truncate(MODULE_MODE)).map_err(failed)?;
        }
        return Ok(Copy::Current);
    }
    let owner = fs::fstat(&folder_fd).map_err(failed)?;
    let temporary = format!(".{MODULE}.{}", std::process::id());
    let written = write(&folder_fd, OsStr::new(&temporary), &contents, &owner);
    if let Err(error) = written {
        let _ = fs::unlinkat(&folder_fd, &temporary, AtFlags::empty());
        return Err(refused(&folder.join(MODULE), &error));
    }
    Ok(if before.is_some() { Copy::Renewed } else { Copy::New })
}

fn write(folder: &OwnedFd, temporary: &OsStr, contents: &[u8], owner: &fs::Stat) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(folder, temporary, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(contents)?;
    let ours = rustix::process::geteuid();
    if owner.st_uid != ours.as_raw() {
        fs::fchown(&file, Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid)))?;
    }
    fs::fchmod(&file, Mode::from_bits_truncate(MODULE_MODE))?;
    file.sync_all()?;
    fs::renameat(folder, temporary, folder, MODULE)?;
    Ok(fs::fsync(folder)?)
}

fn open_folder(folder: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::open(folder, flags, Mode::empty()).map_err(|error| refused(folder, &error.into()))
}

/// SHA-256 of the copy that is there.
fn existing(folder: &OwnedFd, path: &Path) -> Result<Option<[u8; 32]>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::openat(folder, MODULE, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(refused(&path.join(MODULE), &error.into())),
    };
    let mut contents = Vec::new();
    // More than any module of ours: whatever it is, it is another one.
    file.take(64 << 20).read_to_end(&mut contents).map_err(|error| refused(&path.join(MODULE), &error))?;
    Ok(Some(sha256(&contents)))
}

fn read(module: &Path) -> Result<Vec<u8>> {
    std::fs::read(module).map_err(|error| refused(module, &error))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn refused(path: &Path, error: &std::io::Error) -> Error {
    Error::Refused(format!("{}: {error}", path.display()))
}

/// The folders that a set-up has made under `parent` and that have a copy, by name.
///
/// # Errors
/// [`Error::Refused`] if it can't be read; that it is not there is none.
pub fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(refused(parent, &error)),
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join(MODULE).symlink_metadata().is_ok())
        .collect();
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_copy_is_renewed_when_the_module_changes_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let (module, folder) = (dir.path().join("installed.so"), dir.path().join("thing"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&module, b"version 1").unwrap();
        assert_eq!(compare(&module, &folder).unwrap(), Copy::New);
        assert_eq!(renew(&module, &folder).unwrap(), Copy::New);
        assert_eq!(renew(&module, &folder).unwrap(), Copy::Current);
        let first = std::fs::metadata(folder.join(MODULE)).unwrap();
        assert_eq!(first.mode() & 0o7777, 0o640);
        std::fs::write(&module, b"version 2").unwrap();
        assert_eq!(compare(&module, &folder).unwrap(), Copy::Renewed);
        assert_eq!(renew(&module, &folder).unwrap(), Copy::Renewed);
        assert_eq!(std::fs::read(folder.join(MODULE)).unwrap(), b"version 2");
        // Whoever has the old file open or mapped keeps it.
        assert_ne!(std::fs::metadata(folder.join(MODULE)).unwrap().ino(), first.ino());
        assert_eq!(folders(dir.path()).unwrap(), [folder]);
    }

    #[test]
    fn a_mode_that_the_client_would_refuse_is_put_right() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("installed.so");
        std::fs::write(&module, b"x").unwrap();
        renew(&module, dir.path()).unwrap();
        let copy = dir.path().join(MODULE);
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(renew(&module, dir.path()).unwrap(), Copy::Current);
        assert_eq!(std::fs::metadata(&copy).unwrap().mode() & 0o7777, 0o640);
    }

    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("installed.so");
        std::fs::write(&module, b"x").unwrap();
        let folder = dir.path().join("thing");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.join(MODULE)).unwrap();
        assert!(renew(&module, &folder).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(renew(&module, &link).is_err());
    }
}
