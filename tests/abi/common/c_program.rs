// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C programs of `tests/c`, compiled with the system's compiler and run on the module of a test.
//!
//! `scripts/asan.sh` sets `TEST_CFLAGS`, additional compiler options, so that they run under AddressSanitizer like the
//! module.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::codes;
use super::module::Module;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c");

/// Compiles `tests/c/NAME.c`, with all `NAME_*.c` and the shared files, into a program in this folder.
pub fn compile(name: &str, folder: &Path) -> PathBuf {
    let program = folder.join(name);
    let more = std::env::var("TEST_CFLAGS").unwrap_or_default();
    let size = if cfg!(target_pointer_width = "32") { "-m32" } else { "-m64" };
    let belongs = |file: &str| {
        file.strip_suffix(".c")
            .is_some_and(|file| ["hostile", name].contains(&file) || file.starts_with(&format!("{name}_")))
    };
    let files = std::fs::read_dir(SOURCES).unwrap().map(|entry| entry.unwrap().path());
    let sources = files.filter(|file| file.file_name().and_then(|file| file.to_str()).is_some_and(belongs));
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I", "/usr/include/p11-kit-1"])
        .args((cfg!(target_arch = "x86_64") || cfg!(target_arch = "x86")).then_some(size))
        .args(more.split_whitespace())
        .arg("-o")
        .arg(&program)
        .args(sources)
        .args(["-ldl", "-lpthread"])
        // The compiler itself is not under test.
        .env_remove("LD_PRELOAD")
        .status()
        .expect("a C compiler");
    assert!(compiled.success(), "{name}.c does not compile");
    program
}

/// Compiles `tests/c/NAME.c` into a library that is preloaded, in this folder.
pub fn compile_library(name: &str, folder: &Path) -> PathBuf {
    let library = folder.join(format!("{name}.so"));
    let size = if cfg!(target_pointer_width = "32") { "-m32" } else { "-m64" };
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"])
        .args((cfg!(target_arch = "x86_64") || cfg!(target_arch = "x86")).then_some(size))
        .arg("-o")
        .arg(&library)
        .arg(Path::new(SOURCES).join(format!("{name}.c")))
        .arg("-ldl")
        .env_remove("LD_PRELOAD")
        .status()
        .expect("a C compiler");
    assert!(compiled.success(), "{name}.c does not compile");
    library
}

/// The variables for a process whose kernel has /dev/i2c-77, with the chip that the module's socket serves: `tests/c/i2c_dev.c`,
/// preloaded. `more` of its variables.
pub fn preloaded_i2c(module: &Module, more: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let library = compile_library("i2c_dev", module.folder.path());
    let preloaded = std::env::var("LD_PRELOAD").map(|others| others + ":").unwrap_or_default();
    let mut variables = vec![
        ("LD_PRELOAD", format!("{preloaded}{}", library.display())),
        ("I2C_DEV_SOCKETS", format!("77={}", module.socket().display())),
    ];
    variables.extend_from_slice(more);
    variables
}

/// Runs `tests/c/NAME.c` on a module's configuration with these arguments after the module's path. It must end with 0.
/// The module logs each call, and each return value must be allowed for its function.
#[track_caller]
pub fn run(module: &Module, name: &str, arguments: &[&str]) {
    let calls = module.folder.path().join("calls");
    let log = format!("debug:{}", calls.display());
    run_with(module, &compile(name, module.folder.path()), arguments, Some(&log));
    let calls = codes::check_log(&std::fs::read_to_string(calls).unwrap());
    assert!(calls > 1000, "{calls} calls were logged");
}

/// Runs a compiled program on a module's configuration; the module logs as the configuration says.
#[track_caller]
pub fn run_program(module: &Module, program: &Path, arguments: &[&str]) {
    run_with(module, program, arguments, None);
}

#[track_caller]
fn run_with(module: &Module, program: &Path, arguments: &[&str], log: Option<&str>) {
    let output = Command::new(program)
        .arg(super::module_path())
        .args(arguments)
        .env("ATECC608_PKCS11_CONF", module.configuration())
        .envs(log.map(|log| ("ATECC608_LOG", log)))
        .env("ASAN_OPTIONS", "detect_leaks=1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let name = program.display();
    assert!(output.status.success(), "{name} {arguments:?}: {}\n{said}\nthe log:\n{}", output.status, module.log());
}
