// SPDX-License-Identifier: MIT OR Apache-2.0
//! A folder of files for one device. An existing file with other contents is kept, with a message; or replaced on
//! request, and the old one kept beside it.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use atecc608_files::Folder as Files;
use rustix::io::Errno;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::files::less_umask;
use crate::output::note;

/// The result for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did not exist.
    Written,
    /// It existed with these contents.
    Unchanged,
    /// It existed with other contents, which are now beside it under a name that ends in `.old` or `.old-N`.
    Replaced,
    /// It existed with other contents, and was not changed.
    Kept,
    /// A dry run: it was not checked.
    Planned,
}

/// A file in the folder.
#[derive(Clone, Debug, Serialize)]
pub struct Placed {
    /// Its path.
    pub path: String,
    /// Its mode, four octal digits.
    pub mode: String,
    /// The result.
    pub result: Outcome,
}

/// The permitted changes of files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permission {
    /// Replace files that have other contents.
    pub replace: bool,
    /// Change nothing.
    pub dry_run: bool,
}

/// A folder for one device.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// `None` in a dry run.
    files: Option<Files>,
    replace: bool,
    placed: Vec<Placed>,
}

/// For the owner only: AWS IoT Device Client requires this exact mode for a folder with certificates or a module.
pub const PRIVATE: u32 = 0o700;
/// For services that run as their own users.
pub const PUBLIC: u32 = 0o755;

impl Folder {
    /// Opens the folder at `path`, with this mode ([`PRIVATE`] or [`PUBLIC`]), creating it if necessary.
    ///
    /// # Errors
    /// [`Error::Refused`] if clients can't use the path, the folder can't be created or is open to others, or another
    /// setup is using it.
    pub fn open(path: &Path, mode: u32, permission: Permission) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| failed(path, &error))?;
        ensure_plain(&path)?;
        let files = if permission.dry_run { None } else { Some(make(&path, mode)?) };
        // Two runs at once would overwrite each other's files, and claim with the same client id. Not all file systems
        // support locks.
        if files.as_ref().is_some_and(|files| matches!(files.try_lock(), Ok(false))) {
            return Err(Error::Refused(format!(
                "another set-up is working in {}: wait until it has ended, then run this again",
                path.display()
            )));
        }
        Ok(Self { path, files, replace: permission.replace, placed: Vec::new() })
    }

    /// Opens an existing folder at `path`, with any mode.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be opened.
    pub fn existing(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| failed(path, &error))?;
        let files = Files::open(&path).map_err(|error| failed(&path, &error))?;
        Ok(Self { path, files: Some(files), replace: false, placed: Vec::new() })
    }

    /// Returns its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the contents of a file; `None` if there is no such file, and in a dry run.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be read, or is not a file.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(files) = &self.files else { return Ok(None) };
        let Some(file) = self.existing_file(files, name)? else { return Ok(None) };
        let mut contents = Vec::new();
        atecc608_files::read_to(file, crate::input::MOST, &mut contents)
            .map_err(|error| failed(&self.file(name), &error))?;
        Ok(Some(contents))
    }

    /// Opens the file of this name, if there is one.
    fn existing_file(&self, files: &Files, name: &str) -> Result<Option<File>> {
        let path = self.file(name);
        let no_file = || {
            Error::Refused(format!(
                "{} is a link or not a regular file, and was not written: move it away",
                path.display()
            ))
        };
        match files.file(name) {
            Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => Ok(Some(file)),
            Ok(_) => Err(no_file()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => Err(no_file()),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Gives the file these contents and this mode, as far as permitted.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be written, or is not a file.
    pub fn place(&mut self, name: &str, contents: &[u8], mode: u32) -> Result<Outcome> {
        let outcome = match &self.files {
            Some(files) => self.settle(files, name, contents, mode)?,
            None => Outcome::Planned,
        };
        self.note(name, mode, outcome);
        Ok(outcome)
    }

    /// The same; prints a note if a file with other contents is kept.
    ///
    /// # Errors
    /// As [`Folder::place`].
    pub fn place_or_note(&mut self, name: &str, contents: &[u8], mode: u32) -> Result<()> {
        if self.place(name, contents, mode)? == Outcome::Kept {
            note(&format!(
                "{} has other contents and was not changed; --replace replaces it, and keeps the old one beside it",
                self.file(name).display()
            ));
        }
        Ok(())
    }

    fn settle(&self, files: &Files, name: &str, contents: &[u8], mode: u32) -> Result<Outcome> {
        let refused = |error: std::io::Error| failed(&self.file(name), &error);
        let Some(file) = self.existing_file(files, name)? else {
            files.replace(name, contents, mode).map_err(refused)?;
            return Ok(Outcome::Written);
        };
        if self.read(name)?.as_deref() == Some(contents) {
            file.set_permissions(Permissions::from_mode(mode)).map_err(refused)?;
            return Ok(Outcome::Unchanged);
        }
        if !self.replace {
            return Ok(Outcome::Kept);
        }
        set_aside(files, name).map_err(refused)?;
        files.replace(name, contents, mode).map_err(refused)?;
        Ok(Outcome::Replaced)
    }

    /// Writes a file, replacing an existing one: for the tool's own files, which are not edited.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be written.
    pub fn overwrite(&mut self, name: &str, contents: &[u8], mode: u32) -> Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        files.replace(name, contents, mode).map(drop).map_err(|error| failed(&self.file(name), &error))
    }

    /// Adds a file that was written elsewhere to the list.
    pub fn note(&mut self, name: &str, mode: u32, result: Outcome) {
        let path = self.file(name).display().to_string();
        self.placed.push(Placed { path, mode: format!("{mode:04o}"), result });
    }

    /// Returns all files that were placed, in order.
    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }
}

/// Opens the folder, creating it with exactly this mode if necessary.
fn make(path: &Path, mode: u32) -> Result<Files> {
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::NotADirectory => {
            Error::Refused(format!("{} is not a folder: choose another one with --dir", path.display()))
        }
        _ => failed(path, &error),
    };
    let folder = match Files::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            // Other users may have to traverse it.
            Files::make_all(parent, less_umask(0o777)).map_err(|error| failed(parent, &error))?;
            Files::make_all(path, mode)
        }
        opened => opened,
    };
    let folder = folder.map_err(refused)?;
    let found = folder.metadata().map_err(refused)?.mode() & 0o7777;
    if found != mode {
        return Err(Error::Refused(format!(
            "{0} has mode {found:03o}, and has to have {mode:03o} for the clients: chmod {mode:03o} {0}, or give another folder with \
             --dir",
            path.display()
        )));
    }
    Ok(folder)
}

/// Renames a file to NAME.old, or the first NAME.old-N that is free.
fn set_aside(files: &Files, name: &str) -> std::io::Result<()> {
    for number in 1.. {
        let aside = if number == 1 { format!("{name}.old") } else { format!("{name}.old-{number}") };
        match files.rename(name, aside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            renamed => return renamed,
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Formats the files, a line for each.
pub fn text(files: &[Placed]) -> String {
    let mut text = "files\n".to_owned();
    for Placed { path, mode, result } in files {
        let result = match result {
            Outcome::Written => "written",
            Outcome::Unchanged => "unchanged",
            Outcome::Replaced => "replaced",
            Outcome::Kept => "kept",
            Outcome::Planned => "planned",
        };
        text += &format!("  {result:<9} {mode} {path}\n");
    }
    text
}

/// Clients expand paths like a shell (Device Client with wordexp), and put them into URIs and configuration files.
fn ensure_plain(path: &Path) -> Result<()> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    if path.as_os_str().as_encoded_bytes().iter().all(plain) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{}: clients expand paths as a shell does: give a folder with --dir whose path has letters, digits and / . _ - + , : @ % = only",
        path.display()
    )))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            ": run this as the user whom the client runs as (root for a system service), or give another folder with --dir"
        }
        _ => "",
    };
    Error::Refused(format!("{}: {error}{remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(path: &Path, replace: bool) -> Folder {
        Folder::open(path, PRIVATE, Permission { replace, dry_run: false }).unwrap()
    }

    #[test]
    fn a_file_with_other_contents_is_kept_or_replaced_with_the_old_one_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mut kept = folder(&path, false);
        assert_eq!(kept.place("file", b"one", 0o640).unwrap(), Outcome::Written);
        assert_eq!(kept.place("file", b"one", 0o640).unwrap(), Outcome::Unchanged);
        assert_eq!(kept.place("file", b"two", 0o640).unwrap(), Outcome::Kept);
        assert_eq!(fs::read(path.join("file")).unwrap(), b"one");
        drop(kept);
        let mut replaced = folder(&path, true);
        for text in ["two", "three"] {
            assert_eq!(replaced.place("file", text.as_bytes(), 0o640).unwrap(), Outcome::Replaced);
        }
        assert_eq!(fs::read(path.join("file")).unwrap(), b"three");
        assert_eq!(fs::read(path.join("file.old")).unwrap(), b"one");
        assert_eq!(fs::read(path.join("file.old-2")).unwrap(), b"two");
        assert_eq!(fs::metadata(path.join("file")).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn nothing_is_written_through_a_link_or_into_a_folder_that_others_can_enter() {
        let dir = tempfile::tempdir().unwrap();
        let mut ours = folder(&dir.path().join("ours"), true);
        std::os::unix::fs::symlink("/etc/passwd", ours.file("file")).unwrap();
        assert!(ours.place("file", b"x", 0o600).unwrap_err().to_string().contains("a link"));
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let refused = Folder::open(&open, PRIVATE, Permission::default()).unwrap_err().to_string();
        assert!(refused.contains("chmod 700"), "{refused}");
        let spaces =
            Folder::open(&dir.path().join("a folder"), PRIVATE, Permission::default()).unwrap_err().to_string();
        assert!(spaces.contains("--dir"), "{spaces}");
    }

    #[test]
    fn a_second_set_up_in_the_folder_is_refused_until_the_first_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device");
        let first = folder(&path, false);
        let refused = Folder::open(&path, PRIVATE, Permission::default()).unwrap_err().to_string();
        assert!(refused.contains("another set-up") && refused.contains("run this again"), "{refused}");
        drop(first);
        folder(&path, false);
    }

    #[test]
    fn a_dry_run_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let mut dry = Folder::open(&path, PRIVATE, Permission { replace: false, dry_run: true }).unwrap();
        assert_eq!(dry.place("file", b"x", 0o600).unwrap(), Outcome::Planned);
        assert!(!path.exists());
    }
}
