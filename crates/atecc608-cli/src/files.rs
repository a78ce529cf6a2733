// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that commands write: completely or not at all, and never over an existing file without an option.

use std::fs::{File, Metadata};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::Mode;

use crate::error::{Error, Result};

/// Where a result goes.
#[derive(Clone, Debug, Default, Args)]
pub struct OutputArguments {
    /// Write it to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite the file if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

impl OutputArguments {
    /// Checks in advance that the file can be written.
    ///
    /// # Errors
    /// [`Error::Refused`] if it exists, or its folder does not.
    pub fn check(&self) -> Result<()> {
        let Some(path) = self.file() else { return Ok(()) };
        if !self.force && path.symlink_metadata().is_ok() {
            return Err(Error::Refused(format!(
                "{}: the file exists, and nothing was done: choose another name, or overwrite it with --force",
                path.display()
            )));
        }
        let folder = folder_of(path);
        if !folder.is_dir() {
            return Err(Error::Refused(format!("{}: there is no folder {}", path.display(), folder.display())));
        }
        Ok(())
    }

    /// Returns the named file. `None` if that is standard output, where the result goes anyway.
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| !is_stdout(path))
    }

    /// Writes the file if one was named. Returns `true` if it did.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be written.
    pub fn write(&self, contents: &[u8]) -> Result<bool> {
        self.write_with(contents, PUBLIC)
    }

    /// As [`OutputArguments::write`]; a new file is accessible to its owner only.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't be written.
    pub fn write_secret(&self, contents: &[u8]) -> Result<bool> {
        self.write_with(contents, SECRET)
    }

    fn write_with(&self, contents: &[u8], mode: u32) -> Result<bool> {
        let Some(path) = self.file() else { return Ok(false) };
        self.check()?;
        write(path, contents, mode).map_err(|error| Error::Refused(format!("{}: {error}", path.display())))?;
        Ok(true)
    }
}

/// The mode of files without secrets, before the umask.
const PUBLIC: u32 = 0o666;
/// The mode of files with secrets.
const SECRET: u32 = 0o600;

/// Returns a mode after applying the umask.
pub fn less_umask(mode: u32) -> u32 {
    let umask = rustix::process::umask(Mode::empty());
    rustix::process::umask(umask);
    mode & !umask.bits()
}

/// Replaces a file that a user named, completely and durably; a link is followed. Anything else (a pipe, a device, an
/// open file by its number) is written to directly.
fn write(path: &Path, contents: &[u8], mode: u32) -> std::io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_file() && is_special(path) => std::fs::write(path, contents),
        Ok(found) if !found.is_file() => atecc608_files::open_output(path, less_umask(mode))?.write_all(contents),
        Ok(_) => atecc608_files::replace(&path.canonicalize()?, contents, less_umask(mode)),
        Err(_) => atecc608_files::replace(path, contents, less_umask(mode)),
    }
}

/// Whether the path names this process's standard output.
fn is_stdout(path: &Path) -> bool {
    let same = |named: Metadata, open: Metadata| (named.dev(), named.ino()) == (open.dev(), open.ino());
    let open = std::io::stdout().as_fd().try_clone_to_owned().and_then(|open| File::from(open).metadata());
    is_special(path) && path.metadata().ok().zip(open.ok()).is_some_and(|(named, open)| same(named, open))
}

/// Whether the path names an open file of this process, which can't be replaced.
fn is_special(path: &Path) -> bool {
    let path = std::path::absolute(path).unwrap_or_default();
    ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{symlink, PermissionsExt};

    use super::*;

    #[test]
    fn a_link_that_a_user_names_leads_to_its_file_and_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        symlink("real", &link).unwrap();
        let output = OutputArguments { output: Some(link.clone()), force: false };
        assert!(output.write(b"new").unwrap_err().to_string().contains("--force"));
        assert!(OutputArguments { force: true, ..output }.write(b"new").unwrap());
        assert_eq!((std::fs::read(&real).unwrap(), link.is_symlink()), (b"new".to_vec(), true));
        let mode = real.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, less_umask(PUBLIC));
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), b"x", PUBLIC).unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
        assert!(is_special(Path::new("/dev/stdout")) && !is_special(Path::new("stdout")));
    }
}
