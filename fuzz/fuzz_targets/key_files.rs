// SPDX-License-Identifier: MIT OR Apache-2.0
//! Private keys in PEM and DER: an accepted key is written and read back as the same key, and another parser accepts
//! it. Encrypted files are read up to the passphrase, which is missing.
#![no_main]

use atecc608_cli::x509::key_file::{canonical_public_key_info, Passphrase, PrivateKey};
use atecc608_cli::x509::pem::{self, Contents};
use libfuzzer_sys::fuzz_target;
use p256::pkcs8::EncodePrivateKey;

fuzz_target!(|bytes: &[u8]| {
    let no_passphrase = Passphrase::File("/nonexistent/passphrase".into());
    if let Ok(Contents::Pem(blocks)) = pem::parse("fuzzed", bytes) {
        for block in blocks.iter().filter(|block| !block.label.is_empty() && !block.legacy_encryption) {
            let Ok(Contents::Pem(again)) = pem::parse("again", pem::encode(&block.label, &block.der).as_bytes()) else {
                panic!("{}: what was read can't be written and read back", block.label);
            };
            assert_eq!((again.len(), &again[0].label, &again[0].der), (1, &block.label, &block.der));
        }
    }
    match PrivateKey::parse("fuzzed", bytes, &no_passphrase) {
        Ok(key) => {
            let info = key.public_key_info();
            assert_eq!(canonical_public_key_info(&info).unwrap(), info);
            if let PrivateKey::P256(secret) = &key {
                let again = PrivateKey::parse("again", secret.to_pkcs8_der().unwrap().as_bytes(), &no_passphrase);
                assert_eq!(again.unwrap().public_key_info(), info);
            }
        }
        Err(error) => {
            assert!(error.to_string().contains("fuzzed") || error.to_string().contains("passphrase"), "{error}")
        }
    }
});
