// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wire and driver build without the standard library: a program with a panic handler and an allocator of its own links them
//! and runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A package outside the workspace, with the dependency versions of the workspace: the profile must be `abort`, and no other
/// crate may turn on a feature.
fn package(name: &str) -> PathBuf {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         [[bin]]\nname = \"{name}\"\npath = {program:?}\n\
         [features]\nstd = []\n\
         [dependencies]\natecc608 = {{ path = {driver:?} }}\nembedded-hal = \"1\"\n\
         [profile.dev]\npanic = \"abort\"\n\
         [workspace]\n",
        program = driver.join("tests/no_std/program.rs"),
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(driver.join("../../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

fn cargo(package: &Path, arguments: &[&str]) -> Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    Command::new(cargo)
        .args(arguments)
        .args(["--quiet", "--offline", "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-std-target"))
        .current_dir(package)
        // Flags of the tests' own build, for instance of a sanitizer.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .unwrap()
}

#[test]
fn a_program_without_std_links_wire_and_driver_and_runs() {
    let package = package("no-std");
    let output = cargo(&package, &["run"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_program_does_not_build_once_std_comes_in() {
    let output = cargo(&package("no-std-control"), &["build", "--features", "std"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("panic_impl"), "{text}");
}
