// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals that interrupt system calls while the module is used, through the C ABI. The kernel's I2C is
//! `tests/c/i2c_dev.c`.

use crate::common::c_program;
use crate::common::chip;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, generate, point_of, sign};
use crate::common::process::{self, Helper};

/// Does something only if [`Helper`] runs it: with signals all the time.
#[test]
fn helper_process() {
    if process::role().is_none() {
        return;
    }
    let module = Module::of_parent();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let point = point_of(&module, session, key);
    for _ in 0..5 {
        assert_signed(&point, &sign(&module, session, key).unwrap());
    }
    process::say("signed");
}

#[test]
fn keys_are_generated_and_sign_while_signals_arrive_all_the_time() {
    let module = Module::configured("log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"/dev/i2c-77\"\n");
    let _bus = chip::serve(chip::provisioned(), &module.socket());
    let variables = c_program::preloaded_i2c(&module, &[("I2C_DEV_SIGNALS", "1".to_owned())]);
    let helper = Helper::start_with(module_path!(), &module, "signals", &variables);
    assert_eq!(helper.finish(), ["signed"]);
    // No transfer is repeated, so none may have been interrupted.
    let log = module.log();
    assert!(log.lines().all(|line| line.contains("is simulated")), "{log}");
}
