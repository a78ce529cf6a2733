//! Files that commands write: whole or not at all, and never over something else unasked.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::{Error, Result};

/// Where a result goes.
#[derive(Clone, Debug, Default, Args)]
pub struct OutputArguments {
    /// Write it to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over the file if it is there already
    #[arg(long, requires = "output")]
    pub force: bool,
}

impl OutputArguments {
    /// Sees, before anything is done, that the file can be written.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is there already, or its folder is not.
    pub fn check(&self) -> Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        if !self.force && path.symlink_metadata().is_ok() {
            return Err(Error::Refused(format!(
                "{}: there is such a file already, and nothing was done: name another one, or write over it with --force",
                path.display()
            )));
        }
        let folder = folder_of(path);
        if !folder.is_dir() {
            return Err(Error::Refused(format!("{}: there is no folder {}", path.display(), folder.display())));
        }
        Ok(())
    }

    /// Writes the file, if one was named; answers whether.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn write(&self, contents: &[u8]) -> Result<bool> {
        let Some(path) = &self.output else { return Ok(false) };
        self.check()?;
        write_whole(path, contents)?;
        Ok(true)
    }
}

/// Writes a file that everybody may read, whole or not at all: beside it, fsynced, and renamed.
///
/// # Errors
/// [`Error::Refused`].
pub fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Error::Refused(format!("{}: {error}", path.display()));
    // A device or a pipe is no file to put another one in the place of.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(path, contents).map_err(failed);
    }
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(Error::HostRandom)?;
    let mut beside = path.to_owned().into_os_string();
    beside.push(format!(".{}", crate::output::hex(&suffix)));
    let beside = PathBuf::from(beside);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(contents)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(failed)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
