// SPDX-License-Identifier: MIT OR Apache-2.0
//! A configuration zone in a file: each printed form parses to the same 128 bytes.
#![no_main]

use std::path::Path;

use atecc608_cli::fuzzing::config_dump;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((name, bytes)) = bytes.split_first() else { return };
    let name = ["zone.toml", "zone.yaml", "zone.xml", "zone.hex", "zone"][usize::from(*name % 5)];
    match config_dump(Path::new(name), bytes) {
        Ok([toml, mos, zone]) => {
            assert_eq!(toml.as_bytes()[16..], zone.as_bytes()[16..]);
            // The mos form only tells whether the zones are locked.
            assert_eq!((mos.config_locked(), mos.data_locked()), (zone.config_locked(), zone.data_locked()));
            assert_eq!(mos.as_bytes()[16..86], zone.as_bytes()[16..86]);
            assert_eq!(mos.as_bytes()[88..], zone.as_bytes()[88..]);
        }
        Err(problem) => assert!(!problem.is_empty()),
    }
});
