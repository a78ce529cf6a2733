// SPDX-License-Identifier: MIT OR Apache-2.0
//! The vendor header compiles with the system's PKCS#11 header, and has the module's values.

use std::process::Command;

use atecc608_token::attribute;

#[test]
fn the_vendor_header_compiles_and_gives_the_attributes_that_the_module_answers() {
    let folder = tempfile::TempDir::new().unwrap();
    let (source, program) = (folder.path().join("header.c"), folder.path().join("header"));
    let code = "#include <stdio.h>\n#include \"atecc608_pkcs11.h\"\n\
                int main(void) {\n\
                    const unsigned long all[] = { CKA_ATECC608_SLOT, CKA_ATECC608_SLOT_CONFIG,\n\
                        CKA_ATECC608_KEY_CONFIG, CKA_ATECC608_SLOT_LOCKED, CKA_ATECC608_IN_CHIP };\n\
                    for (int i = 0; i < 5; i++) printf(\"%lx\\n\", all[i]);\n\
                    return 0;\n\
                }\n";
    std::fs::write(&source, code).unwrap();
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-I", include, "-I", "/usr/include/p11-kit-1", "-o"])
        .args([&program, &source])
        .status()
        .expect("a C compiler");
    assert!(compiled.success());
    let output = Command::new(program).output().unwrap();
    let module = [
        attribute::CKA_ATECC608_SLOT,
        attribute::CKA_ATECC608_SLOT_CONFIG,
        attribute::CKA_ATECC608_KEY_CONFIG,
        attribute::CKA_ATECC608_SLOT_LOCKED,
        attribute::CKA_ATECC608_IN_CHIP,
    ];
    let module: String = module.iter().map(|attribute| format!("{attribute:x}\n")).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), module);
    assert!(module.starts_with("c1543601\n"), "the numbers are a contract");
}
