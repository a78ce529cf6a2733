// SPDX-License-Identifier: MIT OR Apache-2.0
//! Passes the target triple to the crate: the `cargo` that a test runs must build for the same target.

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=BUILT_FOR={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
