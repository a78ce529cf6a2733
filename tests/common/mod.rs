//! What the integration tests share: the built module, loaded as any PKCS#11 client does; simulated chips for it; and
//! other processes that use it, too.
// Each test file uses a part of it.
#![allow(dead_code, unused_imports)]
#![allow(unsafe_code, missing_docs, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod c_program;
#[cfg(feature = "sim")]
pub mod chip;
pub mod fork;
#[cfg(feature = "sim")]
pub mod keys;
pub mod module;
#[cfg(feature = "sim")]
pub mod one_key;
pub mod openssl;
#[cfg(feature = "sim")]
pub mod pin;
#[cfg(feature = "sim")]
pub mod process;
#[cfg(feature = "sim")]
pub mod secrets;
#[cfg(feature = "sim")]
pub mod signers;
pub mod tap;
pub mod templates;

use std::path::PathBuf;

/// The built module. Under `cargo test` it lies beside the test's own executable, in `target/*/deps`.
pub fn module_path() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test knows its executable");
    path.set_file_name("libatecc608_pkcs11.so");
    assert!(path.exists(), "{} does not exist", path.display());
    path
}
