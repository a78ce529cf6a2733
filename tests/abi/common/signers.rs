// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads and processes that sign concurrently, on a token with the key "a".

use cryptoki_sys::*;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};

use super::chip;
use super::keys::Session;
use super::module::Module;
use super::one_key::point_of;
use atecc608_sim::SimBus;

pub const ROUNDS: usize = 10;

pub fn verifies(point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_sec1_bytes(point).unwrap();
    Signature::from_slice(signature).is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok())
}

/// Digests that identify the signer and the signature.
pub fn digest(signer: u8, round: usize) -> [u8; 32] {
    let mut digest = [signer; 32];
    digest[31] = round as u8;
    digest
}

/// Signs with the key "a" repeatedly, and checks each signature with p256.
pub fn sign_rounds(module: &Module, session: Session, signer: u8) {
    let key = module.find_labelled(session, CKO_PRIVATE_KEY, "a")[0];
    let point = point_of(module, session, key);
    for round in 0..ROUNDS {
        let digest = digest(signer, round);
        let signature = module.sign_with(session, CKM_ECDSA, key, &digest).unwrap();
        assert!(verifies(&point, &digest, &signature));
    }
}

/// A chip that the module opens by its file.
pub fn in_process() -> (Module, Option<SimBus>) {
    (Module::with_chip(&chip::provisioned()), None)
}

/// A chip behind a server, which lives as long as its bus.
pub fn served() -> (Module, Option<SimBus>) {
    let (module, bus) = Module::on_bus(chip::provisioned());
    (module, Some(bus))
}
