// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state folder of one chip: names, certificates, data objects, cached public keys, and marks. It contains no
//! secret, and is never authoritative about a key: it may be missing, read-only, stale or restored from a backup.
//!
//! One file, `state_dir/SERIAL/state.toml`, replaced as a whole, so that it can be read at any time. It is written
//! under the bus lock. Its generation number shows other processes that it has changed. The folder is reopened each
//! time, without following a link: it may be moved away or restored meanwhile, and the host program could close a
//! descriptor that is kept open.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::error::{Error, Result};
use super::state::State;
use super::{state_dir, state_file};
use atecc608_files::{Folder, Version};
use atecc608_wire::config_zone::SerialNumber;

/// The state's file in the chip's folder.
const FILE_NAME: &str = "state.toml";
/// Largest file that is read: certificates and data of one chip are far smaller.
const MAX_FILE: u64 = 4 << 20;

/// Mode of the chip's folder: members of the group replace each other's files in it.
const FOLDER_MODE: u32 = 0o2770;
/// Mode of the file.
const FILE_MODE: u32 = 0o660;

/// The place of one chip's state.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    serial: SerialNumber,
    /// The chip's folder in `state_dir`: the serial number in text.
    folder_name: String,
    state_dir: PathBuf,
}

/// The state as it was read or written at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateRead {
    /// Its contents.
    pub(crate) state: State,
    version: Option<Version>,
    /// Why the file can't be used, if so: then it is never overwritten.
    damage: Option<String>,
    /// The kind of I/O error, if the file can't be read.
    unread: Option<ErrorKind>,
}

impl StateRead {
    fn logged(self) -> Self {
        if let Some(damage) = &self.damage {
            log::error!("{damage}");
        }
        self
    }
}

impl StateFile {
    pub(crate) fn new(state_dir: &Path, serial: SerialNumber) -> Self {
        Self { folder_name: serial.to_string(), serial, state_dir: state_dir.to_owned() }
    }

    fn path(&self) -> PathBuf {
        self.state_dir.join(&self.folder_name).join(FILE_NAME)
    }

    /// Reads the file. A missing file yields an empty state; a damaged or unreadable file yields an empty, read-only
    /// state.
    pub(crate) fn read(&self) -> StateRead {
        self.try_read().unwrap_or_else(|error| self.unread(State::default(), &error)).logged()
    }

    /// As [`StateFile::read`], at the first contact with the chip: a temporarily unreadable file must not count as
    /// empty.
    ///
    /// # Errors
    /// [`Error::DeviceError`] if the system lacks descriptors or memory, or the disk fails.
    pub(crate) fn read_first(&self) -> Result<StateRead> {
        match self.try_read() {
            Ok(read) => Ok(read.logged()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO) => {
                    Err(Error::DeviceError(self.unreadable(&error).into()))
                }
                _ => Ok(self.unread(State::default(), &error).logged()),
            },
        }
    }

    /// Reads the file again if it is not the one that was read before. If it can't be read now, the state stays
    /// unchanged, and is read-only until it can.
    pub(crate) fn read_if_changed(&self, before: &StateRead) -> Option<StateRead> {
        if before.unread.is_none() && self.version().is_ok_and(|version| version == before.version) {
            return None;
        }
        let read = self.try_read().unwrap_or_else(|error| self.unread(before.state.clone(), &error));
        let is_new = (read.version, &read.damage) != (before.version, &before.damage);
        is_new.then(|| read.logged())
    }

    /// Returns the file's version; `None` if there is no file.
    fn version(&self) -> std::io::Result<Option<Version>> {
        match self.folder().and_then(|folder| folder.version(FILE_NAME)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            version => version,
        }
    }

    /// Reads the file. A damaged file yields an empty state and the reason.
    fn try_read(&self) -> std::io::Result<StateRead> {
        let Some((bytes, version)) = self.read_bytes()? else { return Ok(StateRead::default()) };
        let text =
            std::str::from_utf8(&bytes).map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1));
        let (state, damage) = match text.and_then(|text| state_file::read(text, &self.serial)) {
            Ok(state) => (state, None),
            Err(problem) => {
                let damage = format!(
                    "{} is damaged: {problem}; keys are shown under their slots' names, and the file is not \
                     overwritten: restore it from a backup or move it away",
                    self.path().display()
                );
                (State::default(), Some(damage))
            }
        };
        Ok(StateRead { state, version: Some(version), damage, unread: None })
    }

    /// A state whose file could not be read.
    fn unread(&self, state: State, error: &std::io::Error) -> StateRead {
        StateRead { state, version: None, damage: Some(self.unreadable(error)), unread: Some(error.kind()) }
    }

    fn unreadable(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.path().display())
    }

    fn folder(&self) -> std::io::Result<Folder> {
        Folder::follow(&self.state_dir)?.folder(&self.folder_name)
    }

    fn read_bytes(&self) -> std::io::Result<Option<(Vec<u8>, Version)>> {
        let file = match self.folder().and_then(|folder| folder.file(FILE_NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if metadata.len() > MAX_FILE {
            return Err(std::io::Error::new(ErrorKind::InvalidData, format!("has more than {MAX_FILE} bytes")));
        }
        let version = Version::of(&file)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(Some((bytes, version)))
    }

    /// Replaces the file atomically.
    fn write(&self, text: &str) -> std::io::Result<Version> {
        let folder = match self.folder() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                state_dir::open_or_make(&self.state_dir)?.make(&self.folder_name, FOLDER_MODE)?
            }
            folder => folder?,
        };
        Version::of(&folder.replace(FILE_NAME, text.as_bytes(), FILE_MODE)?)
    }

    /// Changes the state that was read and writes it, fsynced. Returns `None` if the change has no effect. The caller
    /// holds the bus lock and has read the state since it took the lock.
    ///
    /// # Errors
    /// [`Error::TokenWriteProtected`] if the folder or file can't be written; [`Error::DeviceMemory`] if the disk is
    /// full. A damaged file is never overwritten.
    pub(crate) fn change(&self, before: &StateRead, change: &mut dyn FnMut(&mut State)) -> Result<Option<StateRead>> {
        if let Some(damage) = &before.damage {
            return Err(Error::TokenWriteProtected(damage.clone().into()));
        }
        let mut state = before.state.clone();
        change(&mut state);
        if state == before.state && before.version.is_some() {
            return Ok(None);
        }
        state.generation += 1;
        let text = state_file::write(&state, &self.serial).map_err(|error| Error::State(error.to_string().into()))?;
        let version = self.write(&text).map_err(|error| {
            let problem = format!("state folder {}: {error}", self.state_dir.join(&self.folder_name).display());
            match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DeviceMemory(problem.into()),
                _ => Error::TokenWriteProtected(
                    format!("{problem}; it must be writable for labels, ids and certificates").into(),
                ),
            }
        })?;
        Ok(Some(StateRead { state, version: Some(version), damage: None, unread: None }))
    }
}

/// The state of one chip, and its file, for one owner.
#[derive(Debug)]
pub struct Store {
    file: StateFile,
    read: StateRead,
}

impl Store {
    /// Opens the state of chip `serial` in `state_dir`. A missing file yields an empty state; a damaged file yields an
    /// empty, read-only state.
    pub fn open(state_dir: &Path, serial: SerialNumber) -> Self {
        let file = StateFile::new(state_dir, serial);
        let read = file.read();
        Self { file, read }
    }

    /// Returns the state as last read.
    pub fn state(&self) -> &State {
        &self.read.state
    }

    /// Returns the path of the file.
    pub fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// Returns why the state can't be used, if so.
    pub fn damage(&self) -> Option<&str> {
        self.read.damage.as_deref()
    }

    /// Returns the kind of I/O error, if the state can't be used because the file can't be read: then it may be intact.
    pub fn unread(&self) -> Option<ErrorKind> {
        self.read.unread
    }

    /// Reads the file again if it is not the one last read. Returns whether it did.
    pub fn refresh(&mut self) -> bool {
        let read = self.file.read_if_changed(&self.read);
        read.map(|read| self.read = read).is_some()
    }

    /// Changes the state and writes it, fsynced. The caller holds the bus lock and has called [`Store::refresh`] since
    /// it took the lock.
    ///
    /// # Errors
    /// [`Error::TokenWriteProtected`] if the folder or file can't be written; [`Error::DeviceMemory`] if the disk is
    /// full. The state is then unchanged. A damaged file is never overwritten.
    pub fn change(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut change = Some(change);
        let changed = self.file.change(&self.read, &mut |state| {
            if let Some(change) = change.take() {
                change(state);
            }
        })?;
        if let Some(read) = changed {
            self.read = read;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use cryptoki_sys::{CKA_DESTROYABLE, CKA_MODIFIABLE, CKA_START_DATE, CKA_SUBJECT};

    use super::super::kept::Kept;
    use super::super::state::{Intent, Purpose, SlotState, StoredClass, StoredObject};
    use super::*;
    use atecc608_wire::Slot;

    const SERIAL: SerialNumber = SerialNumber([1, 0x23, 0x53, 0x49, 0x4D, 1, 2, 3, 0xEE]);
    const OTHER: SerialNumber = SerialNumber([1, 0x23, 0x53, 0x49, 0x4D, 9, 9, 9, 0xEE]);

    fn slot(number: u8) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn what_is_written_is_read_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), SERIAL);
        store
            .change(|state| {
                *state.slot_mut(slot(2)) = SlotState {
                    slot: 2,
                    label: Some("käy \"x\"".into()),
                    id: Some(vec![]),
                    public_key: Some(vec![4; 65]),
                    imported: true,
                    intent: Some(Intent {
                        before: None,
                        after: Some(vec![4; 65]),
                        purpose: Purpose::Import,
                        label: None,
                        public_label: None,
                        id: Some(vec![1]),
                        kept: Kept(vec![(CKA_START_DATE, b"20260101".to_vec())]),
                    }),
                    kept: Kept(vec![(CKA_DESTROYABLE, vec![0]), (CKA_SUBJECT, vec![0x30, 0])]),
                    ..SlotState::default()
                };
                state.objects.push(StoredObject {
                    unique_id: "u1".into(),
                    class: StoredClass::Data,
                    label: "d".into(),
                    id: vec![],
                    application: String::new(),
                    kept: Kept(vec![(CKA_MODIFIABLE, vec![0])]),
                    value: vec![0, 255],
                });
            })
            .unwrap();
        assert_eq!(Store::open(dir.path(), SERIAL).state(), store.state());
        assert_eq!(store.state().generation, 1);
    }

    #[test]
    fn another_processs_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (Store::open(dir.path(), SERIAL), Store::open(dir.path(), SERIAL));
        one.change(|state| state.label = Some("x".into())).unwrap();
        assert!(two.refresh());
        assert_eq!(two.state().label.as_deref(), Some("x"));
        assert!(!two.refresh(), "nothing changed since");
    }

    #[test]
    fn a_state_that_can_not_be_read_any_more_stays_and_refuses_changes_until_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), SERIAL);
        store.change(|state| state.label = Some("x".into())).unwrap();
        let (folder, aside) = (store.path().parent().unwrap().to_owned(), dir.path().join("aside"));
        std::fs::rename(&folder, &aside).unwrap();
        std::fs::write(&folder, "").unwrap();
        assert!(store.refresh());
        assert_eq!(store.state().label.as_deref(), Some("x"));
        assert!(matches!(store.change(|state| state.label = None), Err(Error::TokenWriteProtected(_))));
        assert!(!store.refresh(), "the same again is not news");
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&aside, &folder).unwrap();
        assert!(store.refresh() && store.damage().is_none());
        store.change(|state| state.label = None).unwrap();
        // A removed folder is different.
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(store.refresh() && store.damage().is_none());
        assert_eq!(store.state(), &State::default());
    }

    #[test]
    fn a_damaged_or_foreign_file_is_kept_and_refuses_changes() {
        for text in ["format = 1\nserial = ", "format = 9\nserial = \"x\"\ngeneration = 1", "\u{0}\u{1}"] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path(), SERIAL);
            store.change(|state| state.label = Some("x".into())).unwrap();
            std::fs::write(store.path(), text).unwrap();
            store.refresh();
            assert!(store.damage().is_some_and(|damage| damage.contains("state.toml")));
            assert!(matches!(store.change(|state| state.label = None), Err(Error::TokenWriteProtected(_))));
            assert_eq!(std::fs::read_to_string(store.path()).unwrap(), text);
        }
        let dir = tempfile::tempdir().unwrap();
        let mut other = Store::open(dir.path(), OTHER);
        other.change(|state| state.label = Some("x".into())).unwrap();
        std::fs::rename(dir.path().join(OTHER.to_string()), dir.path().join(SERIAL.to_string())).unwrap();
        let foreign = Store::open(dir.path(), SERIAL);
        assert!(foreign.damage().is_some_and(|damage| damage.contains("belongs to the chip")));
    }

    #[test]
    fn the_group_may_read_and_write_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), SERIAL);
        store.change(|state| state.label = Some("x".into())).unwrap();
        assert_eq!(std::fs::metadata(store.path()).unwrap().mode() & 0o7777, 0o660);
        assert_eq!(std::fs::metadata(store.path().parent().unwrap()).unwrap().mode() & 0o7777, 0o2770);
    }

    #[test]
    fn a_link_in_place_of_the_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), SERIAL);
        store.change(|state| state.label = Some("x".into())).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::rename(store.path(), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, store.path()).unwrap();
        assert!(Store::open(dir.path(), SERIAL).damage().is_some());
    }

    #[test]
    fn a_link_in_place_of_the_chips_folder_is_not_followed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut elsewhere = Store::open(other.path(), SERIAL);
        elsewhere.change(|state| state.label = Some("x".into())).unwrap();
        std::os::unix::fs::symlink(other.path().join(SERIAL.to_string()), dir.path().join(SERIAL.to_string())).unwrap();
        let mut store = Store::open(dir.path(), SERIAL);
        assert!(store.damage().is_some());
        assert!(matches!(store.change(|state| state.label = None), Err(Error::TokenWriteProtected(_))));
        assert_eq!(Store::open(other.path(), SERIAL).state().label.as_deref(), Some("x"));
    }
}
