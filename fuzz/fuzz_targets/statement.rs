// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attestation statements: a parsed one prints unchanged, and another implementation accepts the signature of a valid
//! one.
#![no_main]

use atecc608_cli::fuzzing::holds;
use atecc608_cli::Statement;
use libfuzzer_sys::fuzz_target;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::{EncodePublicKey, LineEnding};
use p256::SecretKey;

fuzz_target!(|text: &str| {
    let Ok(evidence) = Statement::read(text) else { return };
    // The attestation key of the testkit's chips.
    let key = SecretKey::from_slice(&[0x5A; 32]).unwrap().public_key();
    let pem = key.to_public_key_pem(LineEnding::LF).unwrap();
    let again = serde_json::to_string(&Statement::new(&evidence)).unwrap();
    assert_eq!(Statement::read(&again).as_ref(), Ok(&evidence));
    let signature = Signature::from_slice(&evidence.signature);
    let verifies = signature
        .is_ok_and(|signature| VerifyingKey::from(&key).verify_prehash(&evidence.digest(), &signature).is_ok());
    assert!(verifies || !holds(&evidence, &pem).unwrap(), "a statement holds that its key did not sign");
});
