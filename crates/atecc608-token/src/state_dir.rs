// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder of all chips' state, as packages create it: owned by root, and shared by one group.

use std::io;
use std::path::Path;

use atecc608_files::{Access, Folder};

/// The group of the chips' users.
pub const GROUP: &str = "atecc608";
/// Mode of the folder. With the sticky bit members of the group can't remove or replace each other's folders or lock
/// files in it.
pub const MODE: u32 = 0o3770;

/// Opens the folder, after creating it with [`MODE`] if it is missing. If root creates it, it gets [`GROUP`], if that
/// exists.
///
/// # Errors
/// An I/O error if the folder can't be opened or created.
pub(crate) fn open_or_make(path: &Path) -> io::Result<Folder> {
    let is_root = rustix::process::geteuid().is_root();
    let group = if is_root { group_id(GROUP) } else { None };
    Folder::make_all(path, Access { mode: MODE, owner: None, group })
}

/// Returns the id of a group of this machine (`/etc/group`).
pub fn group_id(name: &str) -> Option<u32> {
    id_in(&std::fs::read_to_string("/etc/group").ok()?, name)
}

/// Finds a group's id in the text of `/etc/group` (group(5)).
fn id_in(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        found.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\natecc608-x:x:7:\natecc608:x:998:www-data,mosquitto\n";
        assert_eq!(id_in(groups, "atecc608"), Some(998));
        assert_eq!(id_in(groups, "atecc"), None);
    }

    #[test]
    fn a_missing_folder_is_made_sticky_for_the_group_and_an_existing_one_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parent/state");
        open_or_make(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&path), mode(&dir.path().join("parent"))), (0o3770, 0o755));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        open_or_make(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }
}
