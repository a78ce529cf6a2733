// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module exports the C functions of its list and nothing else, and does not link OpenSSL.

use std::collections::BTreeSet;

use object::read::elf::{Dyn, FileHeader, Sym};
use object::{elf, Endianness};

use crate::common::{functions, module_path};

#[test]
fn the_module_exports_the_c_functions_and_nothing_else() {
    let exported = Elf::of_module().exported;
    let expected: BTreeSet<String> = functions::all().map(str::to_owned).collect();
    assert_eq!(exported, expected);
}

#[test]
fn all_functions_of_2_40_3_0_and_3_2_are_there() {
    // 68 functions in 2.40, 24 more in 3.0, 12 more in 3.2.
    assert_eq!(functions::all().collect::<BTreeSet<_>>().len(), 68 + 24 + 12);
    assert_eq!(Elf::of_module().exported.len(), 68 + 24 + 12);
}

#[test]
fn the_module_needs_nothing_but_the_c_library() {
    // OpenSSL would be re-entered by the provider that calls the module; any other library would have to be installed.
    for library in Elf::of_module().needed {
        let known = ["libc.so", "libgcc_s.so", "libm.so", "ld-linux", "libpthread.so", "libdl.so"];
        assert!(known.iter().any(|known| library.starts_with(known)), "the module links {library}");
    }
}

/// The symbols that a shared object imports and exports.
struct Elf {
    exported: BTreeSet<String>,
    needed: Vec<String>,
}

impl Elf {
    fn of_module() -> Self {
        let data = std::fs::read(module_path()).expect("the module is built with the tests");
        match object::FileKind::parse(&*data).expect("an ELF file") {
            object::FileKind::Elf32 => Self::read::<elf::FileHeader32<Endianness>>(&data),
            _ => Self::read::<elf::FileHeader64<Endianness>>(&data),
        }
        .expect("a whole ELF file")
    }

    fn read<Header: FileHeader<Endian = Endianness>>(data: &[u8]) -> object::Result<Self> {
        let header = Header::parse(data)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM)?;
        let mut exported = BTreeSet::new();
        for symbol in symbols.iter().filter(|symbol| !symbol.is_undefined(endian) && !symbol.is_local()) {
            exported.insert(String::from_utf8_lossy(symbol.name(endian, symbols.strings())?).into_owned());
        }
        let mut needed = Vec::new();
        if let Some((entries, strings)) = sections.dynamic(endian, data)? {
            let strings = sections.strings(endian, data, strings)?;
            for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(elf::DT_NEEDED)) {
                needed.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
            }
        }
        Ok(Self { exported, needed })
    }
}
