// SPDX-License-Identifier: MIT OR Apache-2.0
//! Public keys that root has read from the chip: `SERIAL.public` beside the IO protection key, where only root can
//! write.
//!
//! Any member of the group can write the public keys in the state folder. Those that are also here are proven, even
//! before a login, when a chip with a PIN does not return its public keys.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::Metadata;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use atecc608_files::Folder;

use super::io_key::KeyFile;
use super::point::Point;
use atecc608_wire::Slot;

/// Largest file that is read, in bytes: a line for each of 16 slots has 134.
const MAX_FILE: u64 = 8192;
/// Mode bits for others who could replace a key.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The first line.
const HEADING: &str = "# Public keys that root has read from this chip (`atecc608 trust`): slot, 04, X, Y.\n";

/// The file of one chip.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    key_file: KeyFile,
    path: PathBuf,
}

/// The file is invalid.
#[derive(Debug, thiserror::Error)]
#[error("trusted public keys {}: {problem}", path.display())]
pub struct TrustError {
    /// The file.
    path: PathBuf,
    /// The problem, and the remedy.
    problem: String,
}

impl TrustedKeys {
    /// The file beside a chip's IO protection key.
    pub fn beside(key_file: &KeyFile) -> Self {
        let mut path = key_file.path().as_os_str().to_owned();
        path.push(".public");
        Self { key_file: key_file.clone(), path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the public key of the slot, if the file has one.
    ///
    /// # Errors
    /// As [`TrustedKeys::load`].
    pub fn point(&self, slot: Slot) -> Result<Option<Point>, TrustError> {
        Ok(self.load()?.get(&slot.number()).copied())
    }

    /// Returns all public keys, by slot; an empty map if there is no file.
    ///
    /// # Errors
    /// [`TrustError`] if others than root and this process's user may write the file or its folder, or if it is
    /// damaged.
    pub fn load(&self) -> Result<BTreeMap<u8, Point>, TrustError> {
        let Some(text) = read_protected(&self.path).map_err(|problem| self.error(problem))? else {
            return Ok(BTreeMap::new());
        };
        parse(&text).ok_or_else(|| self.error("is damaged: `sudo atecc608 trust` replaces it"))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// [`TrustError`] if it can't be written.
    pub fn store(&self, keys: &BTreeMap<u8, Point>) -> Result<(), TrustError> {
        let mut text = HEADING.to_owned();
        for (slot, point) in keys {
            let _ = writeln!(text, "{slot} {}", base16ct::lower::encode_string(&point.uncompressed()));
        }
        self.key_file.store_beside(&self.path, text.as_bytes()).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => " (only root writes there: run this with sudo)",
                _ => "",
            };
            self.error(format!("can't be stored: {error}{remedy}"))
        })
    }

    /// Replaces the public key of one slot, or removes it.
    ///
    /// # Errors
    /// As [`TrustedKeys::load`] and [`TrustedKeys::store`].
    pub fn set(&self, slot: Slot, point: Option<Point>) -> Result<(), TrustError> {
        let before = self.load()?;
        let mut keys = before.clone();
        match point {
            Some(point) => keys.insert(slot.number(), point),
            None => keys.remove(&slot.number()),
        };
        match keys == before {
            true => Ok(()),
            false => self.store(&keys),
        }
    }

    fn error(&self, problem: impl ToString) -> TrustError {
        TrustError { path: self.path.clone(), problem: problem.to_string() }
    }
}

/// Returns the contents of a file that only root and this process's own user may write; `None` if there is no file.
///
/// # Errors
/// The problem, in words.
pub(crate) fn read_protected(path: &Path) -> Result<Option<String>, String> {
    let opened = Folder::containing(path).and_then(|(folder, name)| {
        let file = folder.file(name)?;
        Ok((folder.metadata()?, file.metadata()?, file))
    });
    let (folder, metadata, file) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !is_protected(&folder) || !is_protected(&metadata) {
        return Err("other users can write it or its folder, so it proves nothing: only root may write them".to_owned());
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

/// Whether only root and this process's own user may write it.
fn is_protected(metadata: &Metadata) -> bool {
    let owner = metadata.uid();
    (owner == 0 || owner == rustix::process::geteuid().as_raw()) && metadata.mode() & WRITABLE_BY_OTHERS == 0
}

fn parse(text: &str) -> Option<BTreeMap<u8, Point>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (slot, point) = line.split_once(' ')?;
            let slot = slot.parse().ok().and_then(Slot::new)?;
            let point = base16ct::lower::decode_vec(point).ok()?;
            Some((slot.number(), Point::from_uncompressed(&point)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{set_permissions, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn point(scalar: u8) -> Point {
        let key = p256::SecretKey::from_slice(&[scalar; 32]).unwrap().public_key();
        Point::from_uncompressed(p256::EncodedPoint::from(key).as_bytes()).unwrap()
    }

    fn slot(number: u8) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn keys_are_kept_by_slot_and_forgotten_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let trusted = TrustedKeys::beside(&KeyFile::at(dir.path().join("keys/SERIAL")));
        assert!(trusted.load().unwrap().is_empty());
        trusted.set(slot(0), Some(point(1))).unwrap();
        trusted.set(slot(15), Some(point(2))).unwrap();
        trusted.set(slot(0), Some(point(3))).unwrap();
        assert_eq!(trusted.point(slot(0)).unwrap(), Some(point(3)));
        assert_eq!(trusted.point(slot(15)).unwrap(), Some(point(2)));
        trusted.set(slot(0), None).unwrap();
        assert_eq!(trusted.point(slot(0)).unwrap(), None);
        assert_eq!(trusted.path(), dir.path().join("keys/SERIAL.public"));
    }

    #[test]
    fn a_file_that_others_may_write_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let trusted = TrustedKeys::beside(&KeyFile::at(dir.path().join("keys/SERIAL")));
        trusted.set(slot(0), Some(point(1))).unwrap();
        let folder = dir.path().join("keys");
        for (path, open, closed) in [(trusted.path(), 0o660, 0o640), (folder.as_path(), 0o770, 0o750)] {
            set_permissions(path, Permissions::from_mode(open)).unwrap();
            assert!(trusted.point(slot(0)).unwrap_err().to_string().contains("other users can write it"));
            set_permissions(path, Permissions::from_mode(closed)).unwrap();
            assert!(trusted.point(slot(0)).is_ok());
        }
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let trusted = TrustedKeys::beside(&KeyFile::at(dir.path().join("SERIAL")));
        for text in ["16 04", "x", "0 04ff", "0", "\u{0}"] {
            std::fs::write(trusted.path(), text).unwrap();
            assert!(trusted.load().unwrap_err().to_string().contains("is damaged"), "{text}");
        }
    }
}
