//! The C programs of `tests/c`, compiled with the system's compiler and run on the module of a test.
//!
//! `scripts/asan.sh` sets `TEST_CFLAGS` (more of the compiler's options) and `TEST_MODULE` (the module to load in place of the
//! one beside the test), to have both under AddressSanitizer.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::module::Module;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c");

/// Compiles `tests/c/NAME.c` into a program in this folder.
fn compile(name: &str, folder: &Path) -> PathBuf {
    let program = folder.join(name);
    let more = std::env::var("TEST_CFLAGS").unwrap_or_default();
    let size = if cfg!(target_pointer_width = "32") { "-m32" } else { "-m64" };
    let sources = [name, "hostile"].map(|name| format!("{SOURCES}/{name}.c"));
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I", "/usr/include/p11-kit-1"])
        .args((cfg!(target_arch = "x86_64") || cfg!(target_arch = "x86")).then_some(size))
        .args(more.split_whitespace())
        .arg("-o")
        .arg(&program)
        .args(sources)
        .args(["-ldl", "-lpthread"])
        .status()
        .expect("a C compiler");
    assert!(compiled.success(), "{name}.c does not compile");
    program
}

/// Runs `tests/c/NAME.c` on a module's configuration with these arguments after the module's path. It must end with 0.
#[track_caller]
pub fn run(module: &Module, name: &str, arguments: &[&str]) {
    let program = compile(name, module.folder.path());
    let library = std::env::var_os("TEST_MODULE").map_or_else(super::module_path, PathBuf::from);
    let output = Command::new(program)
        .arg(library)
        .args(arguments)
        .env("ATECC608_PKCS11_CONF", module.configuration())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {}\n{said}\nthe log:\n{}", output.status, module.log());
}
