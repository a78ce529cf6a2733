//! The vendor header compiles with the system's PKCS#11 header, and says the same as the module.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

#[test]
fn the_vendor_header_compiles_and_gives_the_slot_attribute() {
    let folder = tempfile::TempDir::new().unwrap();
    let (source, program) = (folder.path().join("header.c"), folder.path().join("header"));
    let code = "#include <stdio.h>\n#include \"atecc608_pkcs11.h\"\n\
                int main(void) { printf(\"%lx\", (unsigned long) CKA_ATECC608_SLOT); return 0; }\n";
    std::fs::write(&source, code).unwrap();
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-I", include, "-I", "/usr/include/p11-kit-1", "-o"])
        .args([&program, &source])
        .status()
        .expect("a C compiler");
    assert!(compiled.success());
    let output = Command::new(program).output().unwrap();
    assert_eq!(output.stdout, b"c1543601");
}
