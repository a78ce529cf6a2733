//! What the integration tests share: the built module, loaded as any PKCS#11 client does.
// Each test file uses a part of it.
#![allow(dead_code, unused_imports)]
#![allow(unsafe_code, missing_docs, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod module;

use std::path::PathBuf;

/// The built module. Under `cargo test` it lies beside the test's own executable, in `target/*/deps`.
pub fn module_path() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test knows its executable");
    path.set_file_name("libatecc608_pkcs11.so");
    assert!(path.exists(), "{} does not exist", path.display());
    path
}
