// SPDX-License-Identifier: MIT OR Apache-2.0
//! I2C adapters with limits and error codes of their own, through the C ABI: `tests/c/i2c_dev.c` simulates them, in a
//! process of its own.

use std::fs;

use cryptoki_sys::*;

use crate::common::c_program;
use crate::common::chip;
use crate::common::keys::generate;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, point_of, sign};
use crate::common::process::{self, Helper};

/// Does something only if [`Helper`] runs it: it generates a key, signs and derives, and signs again without a chip.
#[test]
fn helper_process() {
    if process::role().is_none() {
        return;
    }
    let module = Module::of_parent();
    let session = module.start();
    let (_, key) = generate(&module, session, "a", b"a").unwrap();
    let point = point_of(&module, session, key);
    assert_signed(&point, &sign(&module, session, key).unwrap());
    // The longest command of a key's use: 72 bytes.
    module.derive(session, key, CKD_NULL, &[], &point, &[]).unwrap();
    process::say("used");
    process::wait();

    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    process::say("no chip");
}

/// Uses a chip behind the adapter that this variable describes, until the chip is pulled. Returns what was on the bus, as the
/// preloaded library notes it.
fn used_through(variable: &str, value: &str) -> Vec<String> {
    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"/dev/i2c-77\"\n");
    let bus = chip::serve(chip::provisioned(), &module.socket());
    let folder = module.folder.path();
    let library = c_program::compile_library("i2c_dev", folder);
    let preloaded = std::env::var("LD_PRELOAD").map(|others| others + ":").unwrap_or_default();
    let variables = [
        ("LD_PRELOAD", format!("{preloaded}{}", library.display())),
        ("I2C_DEV_SOCKETS", format!("77={}", module.socket().display())),
        ("I2C_DEV_LOG", folder.join("messages").display().to_string()),
        (variable, value.to_owned()),
    ];
    let mut helper = Helper::start_with(module_path!(), &module, "preloaded", &variables);
    helper.expect("used");
    let messages = fs::read_to_string(folder.join("messages")).unwrap();
    bus.pull();
    helper.go();
    assert_eq!(helper.finish(), ["no chip"]);
    module.assert_logged(&["no chip responds at address 0x60", "The adapter reported: /dev/i2c-77: "]);
    messages.lines().map(str::to_owned).collect()
}

/// The length of a message: "77-60 read 4", "77-00 write 00".
fn length(message: &str) -> usize {
    match message.split_once(" read ") {
        Some((_, length)) => length.parse().unwrap(),
        None => message.rsplit(' ').next().unwrap().len() / 2,
    }
}

#[test]
fn a_chip_behind_an_adapter_for_short_messages_is_used_in_parts() {
    for longest in [61, 16] {
        let messages = used_through("I2C_DEV_LONGEST", &format!("77-{longest}"));
        // 63 bytes follow the first 4 of a public key or a signature.
        let long = |kind: &str| {
            messages.iter().filter(|message| message.contains(kind) && length(message) > longest / 2).count()
        };
        assert!(long(" read ") >= 1 && long(" write 03") >= 2, "{messages:?}");
        assert!(messages.iter().all(|message| length(message) <= longest), "{messages:?}");
    }
}

#[test]
fn whatever_an_adapter_reports_for_a_nack_the_chip_is_used_and_missed() {
    for errno in [libc::EINVAL, libc::EOPNOTSUPP, libc::ETIMEDOUT, libc::EBUSY] {
        used_through("I2C_DEV_NACK", &format!("77-{errno}"));
    }
}

#[test]
fn an_adapter_that_reports_fewer_messages_for_a_nack_returns_no_responses() {
    used_through("I2C_DEV_SHORT", "77");
}
