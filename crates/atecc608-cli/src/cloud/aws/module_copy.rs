// SPDX-License-Identifier: MIT OR Apache-2.0
//! The private copy of the module that AWS IoT Device Client requires (mode 640 in a folder of mode 700, both owned by
//! its user), and its renewal after an upgrade.
//!
//! A refresh runs as root on folders of other users: it uses descriptors, follows no link, takes the module from the
//! tool's own search and never from the folder's contents, and keeps the owner.

use std::fs::Permissions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use atecc608_files::{Access, Folder};
use sha2::{Digest, Sha256};

use super::device_client::MODULE_MODE;
use super::PARENT;
use crate::cloud::folder::PRIVATE;
use crate::error::{Error, Result};
use crate::host::module::MODULE;
use crate::output::shell;

/// The result for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// There was none.
    New,
    /// It was another version.
    Renewed,
    /// It is the installed module, but with a mode that Device Client does not accept.
    Repaired,
    /// It is the installed module.
    Current,
}

/// Returns the result of a renewal, without a change.
///
/// # Errors
/// [`Error::Refused`] if a file can't be read.
pub fn compare(module: &Path, folder: &Path) -> Result<Copy> {
    let module = read(module)?;
    let files = Folder::open(folder).map_err(|error| refused(folder, &error))?;
    let before = existing(&files).map_err(|error| refused(&folder.join(MODULE), &error))?;
    Ok(match before {
        None => Copy::New,
        Some((digest, mode)) if digest == sha256(&module) => unchanged(mode),
        Some(_) => Copy::Renewed,
    })
}

fn unchanged(mode: u32) -> Copy {
    if mode == MODULE_MODE {
        Copy::Current
    } else {
        Copy::Repaired
    }
}

/// Returns the mode of a thing's folder, if Device Client does not accept it.
///
/// # Errors
/// [`Error::Refused`] if it can't be opened.
pub fn other_mode(folder: &Path) -> Result<Option<u32>> {
    let found = Folder::open(folder).and_then(|files| files.metadata()).map_err(|error| refused(folder, &error))?;
    Ok(Some(found.mode() & 0o7777).filter(|mode| *mode != PRIVATE))
}

/// Returns the command that renews a folder's copy.
pub fn refresh_command(folder: &Path) -> String {
    if folder.parent() == Some(Path::new(PARENT)) {
        return "atecc608 aws refresh".to_owned();
    }
    shell::line("atecc608", &["aws", "refresh", "--dir", &folder.display().to_string()])
}

/// Makes the folder's copy the installed module. A program that has loaded the old one keeps it until it ends.
///
/// # Errors
/// [`Error::Refused`] if a file can't be read or written.
pub fn renew(module: &Path, folder: &Path) -> Result<Copy> {
    let contents = read(module)?;
    let files = Folder::open(folder).map_err(|error| refused(folder, &error))?;
    renewed(&files, &contents).map_err(|error| refused(&folder.join(MODULE), &error))
}

fn renewed(files: &Folder, contents: &[u8]) -> std::io::Result<Copy> {
    let before = existing(files)?;
    if let Some((_, mode)) = before.filter(|(digest, _)| *digest == sha256(contents)) {
        if mode != MODULE_MODE {
            files.file(MODULE)?.set_permissions(Permissions::from_mode(MODULE_MODE))?;
        }
        return Ok(unchanged(mode));
    }
    let owner = files.metadata()?;
    let ours = owner.uid() == rustix::process::geteuid().as_raw();
    let given = |id: u32| (!ours).then_some(id);
    let access = Access { mode: MODULE_MODE, owner: given(owner.uid()), group: given(owner.gid()) };
    files.replace(MODULE, contents, access)?;
    Ok(if before.is_some() { Copy::Renewed } else { Copy::New })
}

/// Returns SHA-256 and mode of the existing copy.
fn existing(files: &Folder) -> std::io::Result<Option<([u8; 32], u32)>> {
    let file = match files.file(MODULE) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mode = file.metadata()?.mode() & 0o7777;
    let mut contents = Vec::new();
    // Larger than any version of the module: it is another file.
    file.take(MOST as u64).read_to_end(&mut contents)?;
    Ok(Some((sha256(&contents), mode)))
}

/// Largest module file, in bytes.
const MOST: usize = 64 << 20;

fn read(module: &Path) -> Result<Vec<u8>> {
    atecc608_files::read(module, MOST).map_err(|error| refused(module, &error))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn refused(path: &Path, error: &std::io::Error) -> Error {
    Error::Refused(format!("{}: {error}", path.display()))
}

/// Returns the folders of setups under `parent` that have a copy, by name.
///
/// # Errors
/// [`Error::Refused`] if it can't be read, except that it does not exist.
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
        // Programs that have opened or mapped the old file keep it.
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
        assert_eq!(compare(&module, dir.path()).unwrap(), Copy::Repaired);
        assert_eq!(renew(&module, dir.path()).unwrap(), Copy::Repaired);
        assert_eq!(compare(&module, dir.path()).unwrap(), Copy::Current);
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
