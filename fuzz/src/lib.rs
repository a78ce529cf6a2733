// SPDX-License-Identifier: MIT OR Apache-2.0
//! Code shared by several targets: a folder for files, and the module behind its C ABI with every call checked.

use std::path::{Path, PathBuf};

pub use module::{Module, Output, SCALAR};

#[path = "../../tests/abi/common/codes.rs"]
pub mod codes;
#[path = "../../tests/abi/common/functions.rs"]
mod functions;
mod module;

/// A folder of this process, in memory if the system has such a place; not removed at the end, because a fuzzer just
/// exits. scripts/fuzz.sh sets TMPDIR and removes it.
pub fn folder() -> &'static Path {
    static FOLDER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder for the target's files").keep())
}
