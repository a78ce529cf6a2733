// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module, the simulator and the tool built from these sources, for tests of other packages. (Cargo builds a
//! package's own programs before its tests, but no cdylib and no programs of other packages.)
//!
//! The first use in a process runs cargo with the options of the test itself, in the same target folder, and takes the
//! path that cargo prints. So a program is never outdated. Cargo takes a moment even if everything is built, and
//! concurrent runs wait for each other.
//!
//! `scripts/test_programs.py` builds all of it with the tests and sets environment variables to the paths; then no
//! cargo runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// `libatecc608_pkcs11.so`, with the simulated chip in it.
pub fn module() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("ATECC608_TEST_MODULE", "libatecc608_pkcs11.so", "atecc608-pkcs11", "--lib"))
}

/// `atecc608-sim`.
pub fn simulator() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("ATECC608_TEST_SIMULATOR", "atecc608-sim", "atecc608-sim", "--bins"))
}

/// `atecc608`, the tool, for other packages than its own.
pub fn tool() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("ATECC608_TEST_TOOL", "atecc608", "atecc608-cli", "--bins"))
}

/// Returns the path that this variable names; else the file of this name that cargo builds from these targets of this
/// package.
fn built(variable: &str, file: &str, package: &str, targets: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) => path.into(),
        None => build(file, &["--package", package, targets]),
    }
}

fn build(file: &str, what: &[&str]) -> PathBuf {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--quiet", "--message-format=json-render-diagnostics"])
        .args(what)
        .args(as_this_test_was_built())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // A sanitizer's runtime must be loaded into the test only, not into the compiler.
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo builds what this test is about");
    assert!(output.status.success(), "cargo does not build {what:?}: {}", output.status);
    let messages = String::from_utf8(output.stdout).unwrap();
    let files = messages.lines().flat_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        message["filenames"].as_array().cloned().unwrap_or_default()
    });
    let mut paths = files.filter_map(|path| path.as_str().map(PathBuf::from));
    paths.find(|path| path.ends_with(file)).unwrap_or_else(|| panic!("cargo built {what:?}, and no {file}"))
}

/// The options for the test's own target folder, target and profile: the test is in FOLDER/[TARGET/]PROFILE/deps.
fn as_this_test_was_built() -> Vec<String> {
    let test = std::env::current_exe().expect("a test knows its executable");
    let [_, deps, profile, folder] = *test.ancestors().take(4).collect::<Vec<_>>() else {
        panic!("{} is in no target folder", test.display())
    };
    assert!(deps.ends_with("deps"), "{} is in no target folder", test.display());
    let mut options = match profile.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => vec![],
        named => vec!["--profile".to_owned(), named.to_owned()],
    };
    let mut folder = folder;
    if folder.ends_with(env!("BUILT_FOR")) {
        options.extend(["--target".to_owned(), env!("BUILT_FOR").to_owned()]);
        folder = folder.parent().unwrap();
    }
    options.extend(["--target-dir".to_owned(), folder.to_str().unwrap().to_owned()]);
    options
}
