// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys on a chip provisioned with `tls`: generated, named by their slots, and their signatures checked by another
//! implementation (p256).

use cryptoki_sys::*;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};

use super::chip;
use super::module::{attributes, boolean, c, ulong, Attributes, Module};
use super::templates::{self, Pair, Template};

/// include/atecc608_pkcs11.h.
pub const CKA_ATECC608_SLOT: CK_ATTRIBUTE_TYPE = 0xC154_3601;

pub type Handle = CK_OBJECT_HANDLE;
pub type Session = CK_SESSION_HANDLE;

/// A module with a provisioned chip without keys, and a read-write session.
pub fn provisioned() -> (Module, Session) {
    let module = Module::with_chip(&chip::provisioned());
    let session = module.start();
    (module, session)
}

/// With the template of `p11tool`; returns public and private key.
pub fn generate(module: &Module, session: Session, label: &str, id: &[u8]) -> Result<(Handle, Handle), CK_RV> {
    let Pair { public, private, .. } = &templates::of_all_clients(label, id)[2];
    module.generate_key_pair(session, public, private)
}

/// C_CopyObject.
pub fn copy_object(module: &Module, session: Session, object: Handle, changes: Attributes) -> Result<Handle, CK_RV> {
    let mut array = attributes(changes);
    let mut copy = 0;
    c!(module, C_CopyObject(session, object, array.as_mut_ptr(), array.len() as CK_ULONG, &mut copy))?;
    Ok(copy)
}

pub fn with(template: &Template, more: Attributes) -> Template {
    template.iter().filter(|(kind, _)| more.iter().all(|(other, _)| other != kind)).chain(more).cloned().collect()
}

pub fn without(template: &Template, attribute: CK_ATTRIBUTE_TYPE) -> Template {
    template.iter().filter(|(kind, _)| *kind != attribute).cloned().collect()
}

pub fn slot_of(module: &Module, session: Session, key: Handle) -> u8 {
    let value = module.attribute(session, key, CKA_ATECC608_SLOT).unwrap();
    CK_ULONG::from_ne_bytes(value.try_into().unwrap()) as u8
}

pub fn point(module: &Module, session: Session, public: Handle) -> Vec<u8> {
    templates::unwrapped(&module.attribute(session, public, CKA_EC_POINT).unwrap())
}

/// The digest as ECDSA on P-256 takes it: the leftmost 256 bits, padded with zeros on the left.
fn as_256_bits(digest: &[u8]) -> [u8; 32] {
    let mut bits = [0; 32];
    let taken = &digest[..digest.len().min(32)];
    bits[32 - taken.len()..].copy_from_slice(taken);
    bits
}

/// Verifies with the p256 crate.
#[track_caller]
pub fn assert_signed(point: &[u8], digest: &[u8], signature: &[u8]) {
    let key = VerifyingKey::from_sec1_bytes(point).unwrap();
    let signature = Signature::from_slice(signature).unwrap();
    key.verify_prehash(&as_256_bits(digest), &signature).unwrap();
}

pub fn error<T>(result: Result<T, CK_RV>) -> Result<(), CK_RV> {
    result.map(drop)
}

/// As p11tool --write sends it, with additional attributes.
pub fn create_certificate(module: &Module, session: Session, der: &[u8], more: Attributes) -> Result<Handle, CK_RV> {
    let template = vec![
        (CKA_CLASS, ulong(CKO_CERTIFICATE)),
        (CKA_VALUE, der.to_vec()),
        (CKA_TOKEN, boolean(true)),
        (CKA_CERTIFICATE_TYPE, ulong(CKC_X_509)),
        (CKA_PRIVATE, boolean(false)),
    ];
    module.create_object(session, &with(&template, more))
}
