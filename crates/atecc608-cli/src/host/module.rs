// SPDX-License-Identifier: MIT OR Apache-2.0
//! The installed PKCS#11 module.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The module's file.
pub const MODULE: &str = "libatecc608_pkcs11.so";

/// Returns the installed module: the given file, else the one that the tool finds.
///
/// # Errors
/// [`Error::Refused`] if there is none.
pub fn installed(given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => find().ok_or_else(|| {
            Error::Refused(format!("{MODULE} is not installed where this tool looks: use --module FILE"))
        })?,
    };
    let absolute = std::fs::canonicalize(&path);
    absolute.map_err(|error| Error::Refused(format!("{}: {error} (--module)", path.display())))
}

/// Returns the module in the usual places of an installation or a build.
pub fn find() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    let beside = program.as_deref().and_then(Path::parent);
    let near = beside.into_iter().flat_map(|folder| [folder.to_owned(), folder.join("../lib"), folder.join("deps")]);
    let usual = ["/usr/local/lib", "/usr/lib/pkcs11", "/usr/lib64/pkcs11", "/usr/lib"].map(PathBuf::from);
    let multiarch = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let multiarch = multiarch.map(|entry| entry.path().join("pkcs11"));
    find_in(near.chain(usual).chain(multiarch))
}

fn find_in(mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.find_map(|folder| Some(folder.join(MODULE)).filter(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_in_the_first_folder_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let folders = || ["a", "b", "c"].map(|name| dir.path().join(name)).into_iter();
        assert_eq!(find_in(folders()), None);
        for name in ["b", "c"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join(MODULE), "").unwrap();
        }
        assert_eq!(find_in(folders()), Some(dir.path().join("b").join(MODULE)));
    }
}
