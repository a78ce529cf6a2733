// SPDX-License-Identifier: MIT OR Apache-2.0
//! Manifests, the factory's and Microchip's: each chip is listed once, under a serial number, and no signature is by a
//! certificate that is missing.
#![no_main]

use std::collections::BTreeSet;

use atecc608_cli::fuzzing::manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((serials, signed)) = manifest(bytes, &[]) {
        if signed.is_empty() {
            assert!(serials
                .iter()
                .all(|serial| serial.len() == 18 && serial.bytes().all(|byte| byte.is_ascii_hexdigit())));
            assert_eq!(serials.iter().collect::<BTreeSet<_>>().len(), serials.len());
        }
        assert!(signed.iter().all(|signed| !signed), "without a signer's certificate nothing is signed");
    }
});
