//! An I2C adapter of Linux under open sessions, through the C ABI: it is not kept busy by a process that does nothing, it is
//! unplugged, and it comes back. The kernel is `tests/c/i2c_dev.c`, in a process of its own.

use std::fs;
use std::path::Path;

use cryptoki_sys::*;

use crate::common::c_program;
use crate::common::chip;
use crate::common::keys::Session;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, generate, point_of, sign};
use crate::common::process::{self, Helper};

/// Only [`Helper`] runs it to some purpose.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let gone = role.strip_prefix("unplug ").unwrap();
    let before = open_adapters();
    let module = Module::of_parent();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let point = point_of(&module, session, key);
    assert_eq!(open_adapters(), before, "the session is open, and the node is not");

    fs::write(gone, "").unwrap();
    assert_gone(&module, session);
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED), "again");

    fs::remove_file(gone).unwrap();
    assert_signed(&point, &sign(&module, session, key).unwrap());
    assert_eq!(open_adapters(), before);
    process::say("signed");
}

fn assert_gone(module: &Module, session: Session) {
    assert_eq!(module.random(session, 8).map(drop), Err(CKR_DEVICE_REMOVED));
    assert_eq!(generate(module, session, "b"), Err(CKR_DEVICE_REMOVED));
}

/// How many adapters this process has open: to the preloaded library they are sockets, and it has no others.
fn open_adapters() -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap();
    let is_socket = |path: &Path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
    all.filter(|entry| is_socket(&entry.as_ref().unwrap().path())).count()
}

#[test]
fn an_adapter_is_free_between_calls_and_works_again_after_it_was_unplugged() {
    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"/dev/i2c-77\"\n");
    let _bus = chip::serve(chip::provisioned(), &module.socket());
    let folder = module.folder.path();
    let library = c_program::compile_library("i2c_dev", folder);
    let preloaded = std::env::var("LD_PRELOAD").map(|others| others + ":").unwrap_or_default();
    let variables = [
        ("LD_PRELOAD", format!("{preloaded}{}", library.display())),
        ("I2C_DEV_SOCKETS", format!("77={}", module.socket().display())),
        ("I2C_DEV_GONE", folder.join("gone").display().to_string()),
    ];
    let role = format!("unplug {}", folder.join("gone").display());
    let helper = Helper::start_with(module_path!(), &module, &role, &variables);
    assert_eq!(helper.finish(), ["signed"]);
    module.assert_logged(&["/dev/i2c-77", "the adapter is gone", "a name that stays"]);
}
