// SPDX-License-Identifier: MIT OR Apache-2.0
//! The token on which failures are tried: a provisioned chip with one key, "a", in slot 0; the test's calls, and those
//! of another process.

use std::time::Duration;

use atecc608_sim::{Image, SimBus};
use cryptoki_sys::*;

use super::keys::{self, Handle, Session};
use super::module::Module;
use super::{chip, process, templates};

/// The data that are signed.
pub const DIGEST: [u8; 32] = [0xD1; 32];
/// Longer than any single failure may take: three conversations, each with the longest execution time.
pub const BOUND: Duration = Duration::from_secs(5);

/// One more key, whose id is its label; returns the private key.
pub fn generate(module: &Module, session: Session, label: &str) -> Result<Handle, CK_RV> {
    keys::generate(module, session, label, label.as_bytes()).map(|(_, private)| private)
}

/// An imported private key, always the same one; its chip's IO protection key is on the host.
pub fn import(module: &Module, session: Session, label: &str) -> Result<Handle, CK_RV> {
    module.create_object(session, &templates::private_key(label, &[0x21; 32]))
}

pub fn sign(module: &Module, session: Session, key: Handle) -> Result<Vec<u8>, CK_RV> {
    module.sign_with(session, CKM_ECDSA, key, &DIGEST)
}

#[track_caller]
pub fn assert_signed(point: &[u8], signature: &[u8]) {
    keys::assert_signed(point, &DIGEST, signature);
}

pub fn point_of(module: &Module, session: Session, private: Handle) -> Vec<u8> {
    keys::point(module, session, module.public_of(session, private))
}

pub fn point_in(bus: &SimBus, slot: u8) -> Option<Vec<u8>> {
    chip::point_in(&bus.image(0).unwrap(), slot)
}

pub fn change_image(bus: &SimBus, change: impl FnOnce(&mut Image)) {
    let mut image = bus.image(0).unwrap();
    change(&mut image);
    bus.set_image(0, image).unwrap();
}

/// A provisioned chip with a key "a" in slot 0 on a bus that the test controls.
pub fn with_key() -> (Module, SimBus, Session, Handle) {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    (module, bus, session, key)
}

/// The same with the chip in the process, on virtual time.
pub fn with_key_in_process() -> (Module, Session, Handle) {
    let module = Module::with_chip(&chip::provisioned());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    (module, session, key)
}

/// The work of a `helper_process`: one change, named by its role, as `destroy a`.
pub fn do_as_told() {
    let Some(role) = process::role() else { return };
    let module = Module::of_parent();
    let session = module.start();
    let (what, label) = role.split_once(' ').unwrap();
    let key = || module.find_labelled(session, CKO_PRIVATE_KEY, label)[0];
    let result = match what {
        "generate" => generate(&module, session, label).map(drop),
        "import" => import(&module, session, label).map(drop),
        "destroy" => module.destroy(session, key()),
        "replace" => module.destroy(session, key()).and_then(|()| generate(&module, session, label).map(drop)),
        "rename" => module.set_attributes(session, key(), &[(CKA_LABEL, b"renamed".to_vec())]),
        other => panic!("{other}"),
    };
    process::say(&format!("{result:?}"));
}
