// SPDX-License-Identifier: MIT OR Apache-2.0
//! The vendor's configuration files: the result of the conversion is a valid configuration of this module.
#![no_main]

use std::fs;
use std::path::Path;

use atecc608_cli::fuzzing::vendor_conf;
use atecc608_fuzz::folder;
use atecc608_token::config::Config;
use libfuzzer_sys::fuzz_target;

/// The files, with a NUL between their contents.
const NAMES: [&str; 3] = ["0.conf", "0.1.conf", "1.conf"];

fuzz_target!(|text: &str| {
    let folder = folder();
    let mut contents = text.split('\0');
    for name in NAMES {
        match contents.next() {
            Some(contents) => fs::write(folder.join(name), contents).unwrap(),
            None => drop(fs::remove_file(folder.join(name))),
        }
    }
    if let Ok(text) = vendor_conf(folder) {
        if let Err(error) = Config::parse(Path::new("/etc/fuzzed.toml"), &text) {
            // Two tokens with one name or place, or a name that is too long: `import-config` reports an error and
            // writes nothing.
            let error = error.to_string();
            assert!(["already", "label", "bus"].iter().any(|known| error.contains(known)), "{error}\n{text}");
        }
    }
});
