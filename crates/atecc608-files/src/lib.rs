// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files: durable writes, and careful reads.
//!
//! A write replaces the whole file, and the file is on the disk when the call returns.
//!
//! Every file that must survive a power loss is written here: state, keys, recovery codes, statements, images of
//! simulated chips, cloud folders, copies of the module. The steps are always the same: a temporary file beside the
//! target, its owner and mode (whatever the umask), the contents, fsync, rename, fsync of the folder.
//!
//! [`replace`] and [`create_new`] take a path. A caller that keeps a folder open holds a [`Folder`], which reaches
//! files by name from a directory descriptor and never follows a link. A caller that writes in steps, or must find out
//! early whether it can write, holds a [`Draft`].
//!
//! A read never waits for the other end of a FIFO, and has a limit: [`read`], [`read_text`], [`open_input`].
//! [`open_output`] opens a file for appending.

mod draft;
mod folder;
mod open;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

pub use draft::Draft;
pub use folder::{Folder, Version};
pub use open::{open, open_input, open_output, read, read_text, read_to};

/// Mode and owner of a new file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permission bits, set exactly whatever the umask.
    pub mode: u32,
    /// The user id of the owner; `None` leaves it to the system.
    pub owner: Option<u32>,
    /// The group id; `None` leaves it to the system.
    pub group: Option<u32>,
}

/// This mode, with the default owner and group of the system.
impl From<u32> for Access {
    fn from(mode: u32) -> Self {
        Self { mode, owner: None, group: None }
    }
}

/// Replaces the file at `path`, or creates it. At any moment either the whole old file or the whole new file is there.
///
/// A link at `path` is replaced and not followed; links in the path of its folder are followed.
///
/// # Errors
/// Any I/O error. The old file is then unchanged and no temporary file is left, except if the last step fails, the
/// fsync of the folder: then the new file is already in place.
pub fn replace(path: &Path, contents: &[u8], access: impl Into<Access>) -> io::Result<()> {
    let (folder, name) = Folder::containing(path)?;
    folder.replace(name, contents, access).map(drop)
}

/// Creates the file at `path`. An existing file or link is never overwritten.
///
/// # Errors
/// `AlreadyExists` if there is something at `path`; otherwise as [`replace`].
pub fn create_new(path: &Path, contents: &[u8], access: impl Into<Access>) -> io::Result<()> {
    let (folder, name) = Folder::containing(path)?;
    folder.create_new(name, contents, access).map(drop)
}
