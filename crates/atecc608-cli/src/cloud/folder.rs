//! A folder of files for one device. A file that is there with other contents is kept, and said; or replaced when asked for, and the
//! old one kept beside it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was not there.
    Written,
    /// It was there already, with these contents.
    Unchanged,
    /// It was there with other contents, which are now beside it under the name that ends in `.old` or `.old-N`.
    Replaced,
    /// It was there with other contents, and still is.
    Kept,
    /// A dry run: nothing was looked at.
    Planned,
}

/// A file in the folder.
#[derive(Clone, Debug, Serialize)]
pub struct Placed {
    /// Its path.
    pub path: String,
    /// Its mode, four octal digits.
    pub mode: String,
    /// What became of it.
    pub result: Outcome,
}

/// What may be done to files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permission {
    /// Replace files that have other contents.
    pub replace: bool,
    /// Touch nothing.
    pub dry_run: bool,
}

/// A folder for one device.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    mode: u32,
    permission: Permission,
    placed: Vec<Placed>,
}

/// For its owner only: what AWS IoT Device Client demands of a folder with certificates or a module, by equality.
pub const PRIVATE: u32 = 0o700;
/// For services that run as users of their own.
pub const PUBLIC: u32 = 0o755;

impl Folder {
    /// The folder at `path`, of this mode ([`PRIVATE`] or [`PUBLIC`]), which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Refused`] if the path is none that clients can use, or the folder can't be made or is open to others.
    pub fn open(path: &Path, mode: u32, permission: Permission) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| failed(path, &error))?;
        ensure_plain(&path)?;
        let folder = Self { path, mode, permission, placed: Vec::new() };
        if !permission.dry_run {
            folder.make()?;
        }
        Ok(folder)
    }

    fn make(&self) -> Result<()> {
        let path = &self.path;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| failed(parent, &error))?;
        }
        match DirBuilder::new().mode(self.mode).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(path, &error)),
            // Whatever the umask took away.
            Ok(()) => {
                fs::set_permissions(path, Permissions::from_mode(self.mode)).map_err(|error| failed(path, &error))?
            }
            Err(_) => {}
        }
        let found = fs::symlink_metadata(path).map_err(|error| failed(path, &error))?;
        if !found.is_dir() {
            return Err(Error::Refused(format!("{} is no folder: give another one with --dir", path.display())));
        }
        let mode = found.mode() & 0o7777;
        if mode != self.mode {
            return Err(Error::Refused(format!(
                "{0} has mode {mode:03o}, and has to have {1:03o} for the clients: chmod {1:03o} {0}, or give another folder with \
                 --dir",
                path.display(),
                self.mode
            )));
        }
        Ok(())
    }

    /// Its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What is in a file; none if there is no such file.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Sees that the file has these contents and this mode, as far as it is permitted.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be written, or is something else than a file.
    pub fn place(&mut self, name: &str, contents: &[u8], mode: u32) -> Result<Outcome> {
        let outcome = if self.permission.dry_run { Outcome::Planned } else { self.settle(name, contents, mode)? };
        self.note(name, mode, outcome);
        Ok(outcome)
    }

    fn settle(&self, name: &str, contents: &[u8], mode: u32) -> Result<Outcome> {
        let path = self.file(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.write(name, contents, mode)?;
                return Ok(Outcome::Written);
            }
            Err(error) => return Err(failed(&path, &error)),
            Ok(found) if !found.is_file() => {
                return Err(Error::Refused(format!(
                    "{} is a link or no file: move it away, nothing is written through it",
                    path.display()
                )))
            }
            Ok(_) => {}
        }
        if self.read(name)?.as_deref() == Some(contents) {
            fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(|error| failed(&path, &error))?;
            return Ok(Outcome::Unchanged);
        }
        if !self.permission.replace {
            return Ok(Outcome::Kept);
        }
        let aside = self.free_name(name);
        fs::rename(&path, &aside).map_err(|error| failed(&path, &error))?;
        self.write(name, contents, mode)?;
        Ok(Outcome::Replaced)
    }

    /// Writes a file whatever was there: for what is this tool's own and nobody edits.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be written.
    pub fn overwrite(&mut self, name: &str, contents: &[u8], mode: u32) -> Result<()> {
        if !self.permission.dry_run {
            self.write(name, contents, mode)?;
        }
        Ok(())
    }

    /// By another name, fsync and rename: at any moment there is the old file, or the new one.
    fn write(&self, name: &str, contents: &[u8], mode: u32) -> Result<()> {
        let path = self.file(name);
        let temporary = self.file(&format!(".{name}.{}", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(contents)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        })();
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            failed(&path, &error)
        })
    }

    /// NAME.old, or the first NAME.old-N that is free.
    fn free_name(&self, name: &str) -> PathBuf {
        let mut path = self.file(&format!("{name}.old"));
        let mut number = 2;
        while path.symlink_metadata().is_ok() {
            path = self.file(&format!("{name}.old-{number}"));
            number += 1;
        }
        path
    }

    /// Adds a file to the list of what was written: one that something else wrote.
    pub fn note(&mut self, name: &str, mode: u32, result: Outcome) {
        let path = self.file(name).display().to_string();
        self.placed.push(Placed { path, mode: format!("{mode:04o}"), result });
    }

    /// All files that were placed, in order.
    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }
}

/// The files, a line for each.
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

/// Clients expand paths as a shell does (Device Client with wordexp), and put them into URIs and configuration files.
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
    fn a_dry_run_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let mut dry = Folder::open(&path, PRIVATE, Permission { replace: false, dry_run: true }).unwrap();
        assert_eq!(dry.place("file", b"x", 0o600).unwrap(), Outcome::Planned);
        assert!(!path.exists());
    }
}
