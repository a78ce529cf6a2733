// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interrupted changes, through the C ABI: a process is killed while it generates or destroys a key. The next one finds
//! the outcome, and no key is hidden, invented or destroyed.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::chip;
use crate::common::module::Module;
use crate::common::one_key::{self, assert_signed, generate, import, point_in, point_of, sign, with_key, BOUND};
use crate::common::process::Helper;
use crate::common::secrets::with_io_key;
use atecc608_sim::SimBus;
use atecc608_wire::Opcode;
use cryptoki_sys::*;

/// Does something only if [`Helper`] runs it.
#[test]
fn helper_process() {
    one_key::do_as_told();
}

/// A process is killed in the middle of GenKey; whether that takes effect is `executed`.
fn kill_in_gen_key(module: &Module, bus: &SimBus, role: &str, executed: bool) {
    kill_in(module, bus, role, (Opcode::GEN_KEY, 0), executed);
}

/// A process is killed in the middle of a command, which `followed_by` others follow in a normal run.
fn kill_in(module: &Module, bus: &SimBus, role: &str, (opcode, followed_by): (Opcode, u64), executed: bool) {
    // The number of commands up to that one: counted on a twin.
    let before = bus.image(0).unwrap();
    let state = (module.state_dir().read_dir().unwrap().any(|entry| entry.unwrap().path().is_dir()))
        .then(|| fs::read(module.state_file()).unwrap());
    bus.take_stats();
    assert_eq!(Helper::start(module_path!(), module, role).finish(), ["Ok(())"]);
    let commands = bus.take_stats().total_commands() - followed_by;
    bus.set_image(0, before).unwrap();
    match state {
        Some(state) => fs::write(module.state_file(), state).unwrap(),
        None => fs::remove_file(module.state_file()).unwrap(),
    }
    let busy = if executed { ":60000" } else { "" };
    bus.set_faults(format!("busy@{commands}{busy}").parse().unwrap());
    let helper = Helper::start(module_path!(), module, role);
    let deadline = Instant::now() + BOUND;
    while bus.stats().total_commands() < commands {
        assert!(Instant::now() < deadline, "the {opcode} does not come");
        // Only polling shows that another process has sent a command.
        thread::sleep(Duration::from_millis(1));
    }
    assert!(bus.stats().command(opcode) > 0);
    helper.kill();
    bus.set_faults("none".parse().unwrap());
    bus.power_off();
    bus.power_on();
    assert!(fs::read_to_string(module.state_file()).unwrap().contains("intent"), "killed in the middle");
}

#[test]
fn a_generation_that_was_killed_is_resolved_both_ways() {
    for executed in [false, true] {
        let (module, bus) = Module::on_bus(chip::provisioned());
        kill_in_gen_key(&module, &bus, "generate a", executed);
        assert_eq!(point_in(&bus, 0).is_some(), executed);
        let session = module.start();
        let found = module.private_keys(session);
        assert_eq!(found.len(), usize::from(executed));
        module.assert_logged(&["slot 0", "key generation was interrupted"]);
        for key in &found {
            assert_eq!(module.label(session, *key), "a");
            assert_eq!(module.attribute(session, *key, CKA_ID), Ok(b"a".to_vec()));
            assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, *key).unwrap());
        }
        assert!(!fs::read_to_string(module.state_file()).unwrap().contains("intent"));
        let rv = generate(&module, session, "a").map(drop);
        assert_eq!(rv, if executed { Err(CKR_ATTRIBUTE_VALUE_INVALID) } else { Ok(()) });
    }
}

#[test]
fn a_generation_that_was_killed_does_not_bring_the_destroyed_key_back() {
    let (module, bus, session, key) = with_key();
    module.destroy(session, key).unwrap();
    module.finalize().unwrap();
    kill_in_gen_key(&module, &bus, "generate b", false);
    let session = module.start();
    assert!(module.private_keys(session).is_empty());
    module.assert_logged(&["slot 0", "key generation was interrupted", "had not taken effect"]);
    generate(&module, session, "device").unwrap();
}

#[test]
fn a_destruction_that_was_killed_is_resolved_both_ways() {
    for executed in [false, true] {
        let (module, bus, session, key) = with_key();
        let point = point_of(&module, session, key);
        module.finalize().unwrap();
        kill_in_gen_key(&module, &bus, "destroy a", executed);
        let session = module.start();
        let found = module.private_keys(session);
        module.assert_logged(&["slot 0", "key destruction was interrupted"]);
        assert_eq!(found.len(), 1);
        let key = found[0];
        if executed {
            // The new key is shown under the slot's name: it may be in use.
            assert_eq!(module.label(session, key), "device");
            assert_ne!(point_in(&bus, 0).unwrap(), point);
            module.destroy(session, key).unwrap();
            generate(&module, session, "device").unwrap();
        } else {
            assert_eq!(module.label(session, key), "a");
            assert_signed(&point, &sign(&module, session, key).unwrap());
        }
    }
}

#[test]
fn an_import_that_was_killed_is_resolved_both_ways() {
    for executed in [false, true] {
        let (module, bus, _) = with_io_key();
        module.finalize().unwrap();
        // The key is read back after it, beside the serial number.
        kill_in(&module, &bus, "import a", (Opcode::PRIV_WRITE, 2), executed);
        assert_eq!(point_in(&bus, 4).is_some(), executed);
        let session = module.start();
        let found = module.find_labelled(session, CKO_PRIVATE_KEY, "a");
        module.assert_logged(&["slot 4", "key import was interrupted"]);
        assert_eq!(found.len(), usize::from(executed));
        for key in &found {
            assert_signed(&point_in(&bus, 4).unwrap(), &sign(&module, session, *key).unwrap());
        }
        assert!(!fs::read_to_string(module.state_file()).unwrap().contains("intent"));
        let rv = import(&module, session, "a").map(drop);
        // The label is checked first.
        assert_eq!(rv, if executed { Err(CKR_ATTRIBUTE_VALUE_INVALID) } else { Ok(()) });
    }
}

#[test]
fn a_backup_from_the_middle_of_a_destruction_neither_hides_nor_frees_a_later_key() {
    let (module, bus, session, key) = with_key();
    module.destroy(session, key).unwrap();
    let destroyed = point_in(&bus, 0).unwrap();
    generate(&module, session, "later").unwrap();
    let later = point_in(&bus, 0).unwrap();
    module.finalize().unwrap();
    // As between intent and commit of the destruction.
    let serial = module.state_file().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let before: String = destroyed.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    fs::write(
        module.state_file(),
        format!(
            "format = 1\nserial = \"{serial}\"\ngeneration = 2\n[[slot]]\nslot = 0\nlabel = \"a\"\n\
             [[slot.intent]]\npurpose = \"destroy\"\nbefore = \"{before}\"\n"
        ),
    )
    .unwrap();
    let session = module.start();
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_signed(&later, &sign(&module, session, found[0]).unwrap());
    generate(&module, session, "other").unwrap();
    assert_eq!(point_in(&bus, 0).unwrap(), later, "the new key went elsewhere");
}

#[test]
fn an_open_intent_does_not_keep_keys_from_being_used_where_the_state_can_not_be_written() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    kill_in_gen_key(&module, &bus, "generate a", true);
    let _never = module.obstruct_state();
    let session = module.start();
    let found = module.private_keys(session);
    assert_eq!(found.len(), 1);
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, found[0]).unwrap());
    assert_eq!(generate(&module, session, "b"), Err(CKR_TOKEN_WRITE_PROTECTED));
}
