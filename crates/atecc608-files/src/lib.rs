//! Files: durable writes, and careful reads.
//!
//! A write replaces a file whole, and it is on the disk when the call returns.
//!
//! Every file that must survive a power cut is written here: state, keys, recovery codes, statements, images of simulated
//! chips, cloud folders, copies of the module. The steps are always the same: a temporary file beside the target, its
//! owner and mode (whatever the umask), the contents, fsync, rename, fsync of the folder.
//!
//! [`replace`] and [`create_new`] take a path. A caller that keeps a folder open holds a [`Folder`], which reaches files by
//! name from a directory descriptor and never follows a link. A caller that writes in steps, or must know early that it
//! can write, holds a [`Draft`].
//!
//! A read never waits for the other end of a FIFO, and has a limit: [`read`], [`read_text`], [`open_input`]. [`open_output`]
//! opens what is written to as it is.

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

/// This mode, with the owner and group that the system gives.
impl From<u32> for Access {
    fn from(mode: u32) -> Self {
        Self { mode, owner: None, group: None }
    }
}

/// Replaces the file at `path`, or creates it. At any moment there is the old file or the new one, whole.
///
/// A link at `path` is replaced and not followed; links in the path of its folder are followed.
///
/// # Errors
/// What the system reports; the old file is then unchanged and no temporary file is left. Only if the last step, the fsync
/// of the folder, fails, the new file is in place already.
pub fn replace(path: &Path, contents: &[u8], access: impl Into<Access>) -> io::Result<()> {
    let (folder, name) = Folder::containing(path)?;
    folder.replace(name, contents, access).map(drop)
}

/// Creates the file at `path`, whole. An existing file or link is never overwritten.
///
/// # Errors
/// `AlreadyExists` if there is something at `path`; otherwise as [`replace`].
pub fn create_new(path: &Path, contents: &[u8], access: impl Into<Access>) -> io::Result<()> {
    let (folder, name) = Folder::containing(path)?;
    folder.create_new(name, contents, access).map(drop)
}
