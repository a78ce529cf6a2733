// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules for the sources that Cargo does not check: where `unsafe` may be, that no static can block a forked child, and
//! that a file has one job. Which crate may use which is in their Cargo.toml.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::sources;

/// The files that may have unsafe code: the C functions and the pointers they get, with the parameters of mechanisms in
/// their own part; the tests of those; the fuzz targets that call them; memory for secrets; and calls to the system.
const UNSAFE: [&str; 9] = [
    "crates/atecc608-token/src/memory.rs",
    "crates/atecc608-token/src/process.rs",
    "fuzz/fuzz_targets/abi.rs",
    "fuzz/fuzz_targets/create_object.rs",
    "fuzz/src/module.rs",
    "src/exports.rs",
    "src/ptr.rs",
    "src/ptr/parameters.rs",
    "src/ptr_tests.rs",
];

/// The crates that are in a client's process.
const IN_CLIENTS: [&str; 6] = [
    "src",
    "crates/atecc608",
    "crates/atecc608-contents",
    "crates/atecc608-files",
    "crates/atecc608-token",
    "crates/atecc608-wire",
];

#[test]
fn unsafe_code_stays_in_its_files() {
    let does = |file: &PathBuf| words(&code(file)).any(|word| word == "unsafe" || word == "unsafe_code");
    let files = sources::all().into_iter().chain(sources::fuzzing());
    let found: BTreeSet<String> = files.filter(does).map(|file| name(&file)).collect();
    assert_eq!(found, UNSAFE.map(str::to_owned).into());
}

#[test]
fn no_static_can_block_a_forked_child() {
    // A forked child inherits a lock, or an initialisation in progress, that no thread in it will ever release or
    // finish. State of the process is a `process::PerProcess`, constants are `once_cell::race`.
    let waiting = ["Lazy", "LazyLock", "Mutex", "Once", "OnceLock", "RwLock", "Condvar"];
    let mut count = 0;
    for file in sources::all() {
        let name = name(&file);
        if !IN_CLIENTS.iter().any(|folder| Path::new(&name).starts_with(folder)) {
            continue;
        }
        for line in code(&file).lines().filter(|line| words(line).next() == Some("static") || line.contains(" static "))
        {
            count += 1;
            let word = words(line).find(|word| waiting.contains(word) || *word == "OnceCell");
            assert!(word.is_none() || line.contains(": PerProcess<"), "{name}: {line}");
        }
    }
    assert!(count > 8, "only {count} statics were found");
}

#[test]
fn files_have_one_job() {
    for file in sources::all().into_iter().chain(sources::fuzzing()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines: which of its jobs should move out?", name(&file));
    }
}

/// Its path in the repository.
fn name(file: &Path) -> String {
    file.strip_prefix(sources::root()).unwrap().to_str().unwrap().to_owned()
}

/// The file without its comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
