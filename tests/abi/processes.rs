// SPDX-License-Identifier: MIT OR Apache-2.0
//! Several processes on one chip through the C ABI: they take turns, see each other's changes, and die without blocking
//! the others.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::chip;
use crate::common::keys::{Handle, Session};
use crate::common::module::Module;
use crate::common::one_key::{generate, point_of};
use crate::common::process::{self, Helper};
use crate::common::signers::{digest, in_process, served, sign_rounds, verifies, ROUNDS};
use cryptoki_sys::*;
use rustix::fs::{flock, FlockOperation};

/// Does something only if [`Helper`] runs it.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let (what, argument) = role.split_once(' ').unwrap_or((&role, ""));
    if what == "hold" {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(argument).unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
        process::say("held");
        process::wait();
        return;
    }
    let module = Module::of_parent();
    let session = module.start();
    if what == "sign-and-fork" {
        return sign_and_fork(&module, session);
    }
    process::say("ready");
    process::wait();
    let key = || module.find_labelled(session, CKO_PRIVATE_KEY, "a")[0];
    match what {
        "sign" => sign_rounds(&module, session, argument.parse().unwrap()),
        "generate" => {
            for number in 0..2 {
                let key = generate(&module, session, &format!("{argument}{number}")).unwrap();
                process::say(&slot_of(&module, session, key).to_string());
            }
        }
        "rename" => module.set_attributes(session, key(), &[(CKA_LABEL, argument.into())]).unwrap(),
        "destroy" => module.destroy(session, key()).unwrap(),
        other => panic!("{other}"),
    }
}

/// Signs in one thread, which the chip prevents from finishing; forks in another meanwhile.
fn sign_and_fork(module: &Module, session: Session) {
    let sign = module.list.C_Sign.unwrap();
    let key = module.find_labelled(session, CKO_PRIVATE_KEY, "a")[0];
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    process::say("ready");
    process::wait();
    thread::spawn(move || {
        let (mut data, mut signature, mut length) = ([7; 32], [0; 64], 64);
        unsafe { sign(session, data.as_mut_ptr(), 32, signature.as_mut_ptr(), &mut length) }
    });
    process::wait();
    let child = unsafe { libc::fork() };
    if child == 0 {
        // It never uses the module and never ends by itself.
        loop {
            unsafe { libc::pause() };
        }
    }
    process::say(&child.to_string());
    process::wait();
}

fn slot_of(module: &Module, session: Session, key: Handle) -> CK_ULONG {
    // CKA_ATECC608_SLOT of include/atecc608_pkcs11.h.
    let value = module.attribute(session, key, 0xC154_3601).unwrap();
    CK_ULONG::from_ne_bytes(value.try_into().unwrap())
}

/// Starts helpers and lets them run at once.
fn at_once<const N: usize>(module: &Module, roles: [&str; N]) -> [Helper; N] {
    let mut helpers = roles.map(|role| Helper::start(module_path!(), module, role));
    helpers.iter_mut().for_each(|helper| helper.expect("ready"));
    helpers.iter_mut().for_each(Helper::go);
    helpers
}

/// Lets one helper do its work.
fn alone(module: &Module, role: &str) {
    at_once(module, [role]).into_iter().for_each(|helper| drop(helper.finish()));
}

#[test]
fn processes_and_threads_that_sign_at_once_each_get_their_own_signatures() {
    for make in [in_process, served] {
        let (module, _bus) = make();
        let session = module.start();
        generate(&module, session, "a").unwrap();
        let helpers = at_once(&module, ["sign 1", "sign 2"]);
        thread::scope(|scope| {
            for signer in [3, 4] {
                let own = module.open_session(0, false).unwrap();
                let module = &module;
                scope.spawn(move || sign_rounds_of(module.list, own, signer));
            }
        });
        helpers.into_iter().for_each(|helper| assert_eq!(helper.finish(), [""; 0]));
    }
}

/// As [`sign_rounds`], in a thread: with the function list only.
fn sign_rounds_of(list: &CK_FUNCTION_LIST, session: Session, signer: u8) {
    let (init, sign) = (list.C_SignInit.unwrap(), list.C_Sign.unwrap());
    let (find, next, done) =
        (list.C_FindObjectsInit.unwrap(), list.C_FindObjects.unwrap(), list.C_FindObjectsFinal.unwrap());
    let mut class = CKO_PRIVATE_KEY;
    let mut template = CK_ATTRIBUTE {
        type_: CKA_CLASS,
        pValue: (&raw mut class).cast(),
        ulValueLen: size_of::<CK_ULONG>() as CK_ULONG,
    };
    let (mut key, mut count) = (0, 0);
    unsafe {
        assert_eq!(find(session, &mut template, 1), CKR_OK);
        assert_eq!(next(session, &mut key, 1, &mut count), CKR_OK);
        assert_eq!(done(session), CKR_OK);
        for round in 0..ROUNDS {
            let (mut data, mut signature, mut length) = (digest(signer, round), [0; 64], 64);
            let mut kind = crate::common::module::mechanism(CKM_ECDSA);
            assert_eq!(init(session, &mut kind, key), CKR_OK);
            // The module checks each signature itself; what it returned was right.
            assert_eq!(sign(session, data.as_mut_ptr(), 32, signature.as_mut_ptr(), &mut length), CKR_OK);
        }
    }
}

#[test]
fn processes_that_generate_at_once_get_different_slots() {
    for make in [in_process, served] {
        let (module, _bus) = make();
        let session = module.start();
        let helpers = at_once(&module, ["generate p", "generate q"]);
        let slots: Vec<String> = helpers.into_iter().flat_map(Helper::finish).collect();
        assert_eq!(slots.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(["0", "2", "3", "4"]));
        let labels: BTreeSet<String> =
            module.private_keys(session).iter().map(|key| module.label(session, *key)).collect();
        assert_eq!(labels, BTreeSet::from(["p0", "p1", "q0", "q1"].map(str::to_owned)));
        for key in module.private_keys(session) {
            let signature = module.sign_with(session, CKM_ECDSA, key, &[1; 32]).unwrap();
            assert!(verifies(&point_of(&module, session, key), &[1; 32], &signature));
        }
    }
}

#[test]
fn a_process_that_signs_while_another_generates_and_destroys_is_not_disturbed() {
    let (module, _bus) = in_process();
    let session = module.start();
    generate(&module, session, "a").unwrap();
    let helpers = at_once(&module, ["sign 1"]);
    for _ in 0..3 {
        let key = generate(&module, session, "other").unwrap();
        module.destroy(session, key).unwrap();
    }
    helpers.into_iter().for_each(|helper| assert_eq!(helper.finish(), [""; 0]));
}

#[test]
fn another_processs_changes_are_seen_at_the_next_search() {
    let (module, _bus) = in_process();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    alone(&module, "rename b");
    assert!(module.find_labelled(session, CKO_PRIVATE_KEY, "a").is_empty());
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "b"), [key]);
    module.set_attributes(session, key, &[(CKA_LABEL, b"a".to_vec())]).unwrap();
    alone(&module, "destroy");
    assert!(module.find(session, &[]).unwrap().is_empty());
    alone(&module, "generate a");
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "a0").len(), 1);
}

#[test]
fn a_lock_held_too_long_is_a_device_error_and_the_log_names_the_holder() {
    let module =
        Module::configured("log = \"warn:FOLDER/log\"\nlock_timeout = 0.2\n[[token]]\nbus = \"sim:FOLDER/chip\"\n");
    chip::provisioned().save(&module.image()).unwrap();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let lock = module.folder.path().join("chip.lock");
    let mut holder = Helper::start(module_path!(), &module, &format!("hold {}", lock.display()));
    holder.expect("held");
    let start = Instant::now();
    assert_eq!(module.sign_with(session, CKM_ECDSA, key, &[1; 32]), Err(CKR_DEVICE_ERROR));
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(3), "{waited:?}");
    module.assert_logged(&["C_Sign", "chip.lock", "locked", &format!("process {}", holder.child.id())]);
    holder.go();
    holder.finish();
    assert!(module.sign_with(session, CKM_ECDSA, key, &[1; 32]).is_ok());
}

#[test]
fn a_lock_held_too_long_is_no_absent_chip() {
    let module = Module::configured("lock_timeout = 0.1\n[[token]]\nbus = \"sim:FOLDER/chip\"\n");
    chip::provisioned().save(&module.image()).unwrap();
    module.start();
    module.finalize().unwrap();
    let lock = module.folder.path().join("chip.lock");
    let mut holder = Helper::start(module_path!(), &module, &format!("hold {}", lock.display()));
    holder.expect("held");
    module.initialize().unwrap();
    for _ in 0..2 {
        assert_eq!(module.token_info(0).map(drop), Err(CKR_DEVICE_ERROR));
    }
    assert_eq!(module.open_session(0, false), Err(CKR_DEVICE_ERROR));
}

#[test]
fn a_process_killed_with_the_lock_leaves_it_free_even_if_its_child_lives_on() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let mut helper = Helper::start(module_path!(), &module, "sign-and-fork");
    helper.expect("ready");
    bus.take_stats();
    bus.set_faults("busy@1".parse().unwrap());
    helper.go();
    let deadline = Instant::now() + Duration::from_secs(5);
    while bus.stats().total_commands() == 0 {
        assert!(Instant::now() < deadline, "the helper does not sign");
        // Only polling shows that another process has sent a command.
        thread::sleep(Duration::from_millis(1));
    }
    // It holds the lock as long as the chip is busy.
    helper.go();
    let child: i32 = helper.heard().unwrap().parse().unwrap();
    helper.kill();
    assert_eq!(unsafe { libc::kill(child, 0) }, 0, "the child lives");
    bus.set_faults("none".parse().unwrap());
    bus.power_off();
    bus.power_on();
    let start = Instant::now();
    let signature = module.sign_with(session, CKM_ECDSA, key, &[1; 32]);
    let waited = start.elapsed();
    unsafe { libc::kill(child, libc::SIGKILL) };
    assert!(verifies(&point_of(&module, session, key), &[1; 32], &signature.unwrap()));
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[test]
fn a_chip_that_a_killed_process_left_awake_and_busy_serves_the_next() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    // After each of the three commands of a signature.
    for commands in 1..=3 {
        let mut helper = Helper::start(module_path!(), &module, "sign-and-fork");
        helper.expect("ready");
        bus.take_stats();
        // Executed, and then silent for ten milliseconds of bus time.
        bus.set_faults(format!("busy@{commands}:10").parse().unwrap());
        helper.go();
        let deadline = Instant::now() + Duration::from_secs(5);
        while bus.stats().total_commands() < commands {
            assert!(Instant::now() < deadline, "the helper does not sign");
            thread::yield_now();
        }
        helper.kill();
        let signature = module.sign_with(session, CKM_ECDSA, key, &[1; 32]).unwrap();
        assert!(verifies(&point_of(&module, session, key), &[1; 32], &signature));
    }
}
