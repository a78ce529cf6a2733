// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sources of all crates.

use std::fs;
use std::path::{Path, PathBuf};

/// The sources of the module and of every crate beside it, without their tests in `tests`.
pub fn all() -> Vec<PathBuf> {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut files = Vec::new();
    for folder in crates.chain([root().to_owned()]) {
        collect(&folder.join("src"), &mut files);
    }
    files.sort();
    assert!(files.len() > 250, "only {} sources were found", files.len());
    files
}

/// The sources of the fuzz targets, which are a workspace of their own.
pub fn fuzzing() -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&root().join("fuzz/src"), &mut files);
    collect(&root().join("fuzz/fuzz_targets"), &mut files);
    files.sort();
    assert!(files.len() > 10, "only {} sources were found", files.len());
    files
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
