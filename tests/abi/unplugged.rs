// SPDX-License-Identifier: MIT OR Apache-2.0
//! An I2C adapter of Linux under open sessions, through the C ABI: an idle process does not keep it busy, it is
//! unplugged, and it comes back. The kernel is `tests/c/i2c_dev.c`, in a process of its own; in scripts/test-kernel.sh
//! also a real one.

use std::fs;
use std::os::unix::fs::symlink;

use cryptoki_sys::*;

use crate::common::adapter::Adapter;
use crate::common::c_program;
use crate::common::chip;
use crate::common::keys::Session;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, generate, point_of, sign};
use crate::common::process::{self, Helper};

/// Does something only if [`Helper`] runs it: it signs before its adapter is unplugged, while it is, and when it is
/// back.
#[test]
fn helper_process() {
    if process::role().is_none() {
        return;
    }
    let before = open_adapters();
    let module = Module::of_parent();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let point = point_of(&module, session, key);
    assert_eq!(open_adapters(), before, "the session is open, and the node is not");
    assert_eq!(&module.token_info(0).unwrap().model, b"ATECC608-SIM    ", "by the serial number, whatever the bus is");
    process::say("idle");
    process::wait();

    assert_gone(&module, session);
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED), "again");
    process::say("gone");
    process::wait();

    assert_signed(&point, &sign(&module, session, key).unwrap());
    assert_eq!(open_adapters(), before);
    process::say("signed");
}

fn assert_gone(module: &Module, session: Session) {
    assert_eq!(module.random(session, 8).map(drop), Err(CKR_DEVICE_REMOVED));
    assert_eq!(generate(module, session, "b"), Err(CKR_DEVICE_REMOVED));
    assert_eq!(module.token_info(0).map(drop), Err(CKR_DEVICE_REMOVED));
    assert!(module.slots(true).unwrap().is_empty(), "no token is in the slot");
}

/// The number of adapter descriptors of this process. To the preloaded library they are sockets, and it has no others.
fn open_adapters() -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap();
    let targets = all.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|to| ["socket:", "/dev/i2c-"].iter().any(|begin| to.to_string_lossy().starts_with(begin))).count()
}

#[test]
fn a_real_kernel_lets_an_adapter_go_under_an_idle_session_and_the_session_finds_it_under_another_number() {
    if !Adapter::is_possible() {
        println!("not tested: this kernel has no vhci-hcd (scripts/test-kernel.sh has one)");
        return;
    }
    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"FOLDER/secure-element\"\n");
    let [state, other_state] = ["chip", "other-chip"].map(|name| module.folder.path().join(name));
    chip::provisioned().create(&state).unwrap();
    let link = module.folder.path().join("secure-element");
    let adapter = Adapter::plug(&state);
    let number = adapter.node.clone();
    symlink(&adapter.node, &link).unwrap();
    let mut helper = Helper::start(module_path!(), &module, "real");
    helper.expect("idle");
    drop(adapter);
    fs::remove_file(&link).unwrap();
    // The number is free only when the kernel has removed the adapter.
    let other = Adapter::plug(&other_state);
    assert_eq!(other.node, number, "the session has done nothing meanwhile");
    helper.go();
    helper.expect("gone");
    let adapter = Adapter::plug(&state);
    assert_ne!(adapter.node, number);
    symlink(&adapter.node, &link).unwrap();
    helper.go();
    assert_eq!(helper.finish(), ["signed"]);
    module.assert_logged(&["secure-element at 0x60: the adapter was removed"]);
    module.assert_logged(&["secure-element at 0x60", "is simulated"]);
}

#[test]
fn an_adapter_is_free_between_calls_and_works_again_after_it_was_unplugged() {
    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"/dev/i2c-77\"\n");
    let _bus = chip::serve(chip::provisioned(), &module.socket());
    let folder = module.folder.path();
    let variables = c_program::preloaded_i2c(&module, &[("I2C_DEV_GONE", folder.join("gone").display().to_string())]);
    let mut helper = Helper::start_with(module_path!(), &module, "preloaded", &variables);
    helper.expect("idle");
    fs::write(folder.join("gone"), "").unwrap();
    helper.go();
    helper.expect("gone");
    fs::remove_file(folder.join("gone")).unwrap();
    helper.go();
    assert_eq!(helper.finish(), ["signed"]);
    module.assert_logged(&["/dev/i2c-77", "the adapter was removed", "a fixed name"]);
    module.assert_logged(&["/dev/i2c-77", "is simulated"]);
}
