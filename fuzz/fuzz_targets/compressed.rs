// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compressed certificates: a decoded one encodes to the same bytes, and a strict parser accepts the rebuilt
//! certificate.
#![no_main]

use atecc608_contents::certificate::{CompressedCertificate, Definition, Device, Parts};
use atecc608_wire::config_zone::SerialNumber;
use der::{Decode, Encode};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use x509_cert::Certificate;

#[derive(Arbitrary, Debug)]
struct Input {
    compressed: [u8; 72],
    public_key: [u8; 64],
    issuer_key: [u8; 64],
    serial: [u8; 9],
    eui: [u8; 16],
}

fuzz_target!(|input: Input| {
    let Ok(compressed) = CompressedCertificate::decode(&input.compressed) else {
        assert!(input.compressed[70] & 0x0F > 2, "a known format was refused");
        return;
    };
    let mut written = compressed.encode().expect("what was read fits");
    // Only formats 1 and 2 use the last byte, and only part of it.
    let used = if compressed.format == 0 { 0x00 } else { 0xF0 };
    assert_eq!(written[71], input.compressed[71] & used);
    written[71] = input.compressed[71];
    assert_eq!(written, input.compressed);
    let kinds = [
        Definition::Signer,
        Definition::DeviceEarly,
        Definition::DeviceTngTls,
        Definition::DeviceTflxTls,
        Definition::DeviceLora,
    ];
    for definition in kinds {
        let parts = Parts {
            definition,
            compressed: &compressed,
            public_key: &input.public_key,
            issuer_key: &input.issuer_key,
            device: Device { serial: SerialNumber(input.serial), eui: input.eui },
        };
        let Ok(der) = parts.certificate() else { continue };
        assert!(definition.fits(&compressed));
        // EUIs are digits in every chip; other bytes make a name that a strict parser refuses.
        if input.eui.is_ascii() {
            let certificate = Certificate::from_der(&der).expect("a strict reader takes it");
            assert_eq!(certificate.to_der().unwrap(), der);
            assert_eq!(certificate.tbs_certificate.to_der().unwrap(), parts.to_be_signed().unwrap());
        }
    }
});
