//! Dependencies between the layers point one way only (DESIGN.md section 2), and `unsafe` stays in the two ABI files, the second of
//! which has a part of its own for the parameters of mechanisms.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which other modules of the crate each may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("document", &[]),
    ("process", &[]),
    ("wire", &[]),
    ("logging", &["process"]),
    ("config", &["document", "logging", "wire"]),
    ("chip", &["wire"]),
    ("sim", &["wire"]),
    // A bus is what a driver of the chip is given; its simulated kinds are the simulator's.
    ("bus", &["chip", "config", "logging", "process", "sim", "wire"]),
    ("token", &["bus", "chip", "config", "document", "logging", "process", "wire"]),
    ("pkcs11", &["chip", "config", "logging", "process", "token"]),
    ("cli", &["bus", "chip", "config", "document", "logging", "process", "token", "wire"]),
];

/// Files that belong to no layer: the crate's root and the programs, which only start one.
const TOPS: &[&str] = &["lib", "bin"];

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for file in source_files() {
        let layer = layer(&file);
        if TOPS.contains(&layer.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{}: {layer} is no layer that tests/layering.rs knows", file.display()));
            continue;
        };
        for used in used_modules(&code(&file)) {
            if used != layer && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {layer} may not use {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_in_the_two_abi_files() {
    for file in source_files() {
        let name = file.strip_prefix(source()).unwrap().to_string_lossy().into_owned();
        // The third is the tests of the second.
        let may = ["pkcs11/exports.rs", "pkcs11/ptr.rs", "pkcs11/ptr/parameters.rs", "pkcs11/ptr_tests.rs"]
            .contains(&name.as_str());
        let does = words(&code(&file)).any(|word| word == "unsafe" || word == "unsafe_code");
        assert!(may || !does, "{name} has unsafe code");
    }
}

#[test]
fn no_static_can_be_waited_for() {
    // A forked child inherits a lock, or an initialisation under way, that nobody in it will ever end. State of the
    // process is a `process::PerProcess`, constants are `once_cell::race`.
    let waiting = ["Lazy", "LazyLock", "Mutex", "Once", "OnceLock", "RwLock", "Condvar"];
    for file in source_files().iter().filter(|file| !["bin", "cli", "sim"].contains(&layer(file).as_str())) {
        for line in code(file).lines().filter(|line| words(line).next() == Some("static") || line.contains(" static "))
        {
            let word = words(line).find(|word| waiting.contains(word) || *word == "OnceCell");
            assert!(word.is_none(), "{}: {line}", file.display());
        }
    }
}

#[test]
fn files_have_one_job() {
    for file in source_files() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines: which of its jobs should move out?", file.display());
    }
}

#[test]
fn this_test_sees_all_ways_to_name_a_module() {
    let code = "use crate::wire::{Slot};\nuse crate::{\n    chip, token::{Error as E, Token},\n};\nfn f() { crate::bus::open() }";
    let expected = ["bus", "chip", "token", "wire"].map(str::to_owned);
    assert_eq!(used_modules(code), BTreeSet::from(expected));
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn source_files() -> Vec<PathBuf> {
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
    let mut files = Vec::new();
    collect(&source(), &mut files);
    files.sort();
    assert!(files.len() > 20);
    files
}

/// The folder of `src`, or file, that it belongs to.
fn layer(file: &Path) -> String {
    let first = file.strip_prefix(source()).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The file without its comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The first names of all paths that begin with `crate::`, also inside braces.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (start, prefix) in code.match_indices("crate::") {
        let rest = &code[start + prefix.len()..];
        match rest.strip_prefix('{') {
            None => used.extend(words(rest).next().map(str::to_owned)),
            Some(group) => {
                let mut depth = 0;
                let mut at_start = true;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => at_start = true,
                        c if depth == 0 && at_start && (c.is_alphanumeric() || c == '_') => name.push(c),
                        _ => {}
                    }
                    if !(name.is_empty() || c.is_alphanumeric() || c == '_') {
                        used.insert(std::mem::take(&mut name));
                        at_start = c == ',';
                    }
                }
                used.extend((!name.is_empty()).then_some(name));
            }
        }
    }
    used
}
