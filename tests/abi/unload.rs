// SPDX-License-Identifier: MIT OR Apache-2.0
//! Unloading the library without C_Finalize: it leaves nothing in the process.

use std::fs;
use std::ptr::null_mut;

use crate::common::module::Module;
use crate::common::one_key::sign;
use crate::common::pin::{self, PIN};
use crate::common::process::{self, Helper};
use crate::common::{self, fork::in_a_child};
use cryptoki_sys::*;

/// Resources of a process that a library can leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    descriptors: usize,
    threads: usize,
    /// Mappings of whole pages, not those of the allocator.
    secrets: usize,
    locked_kb: usize,
}

impl Left {
    fn now() -> Self {
        let count = |folder| fs::read_dir(folder).unwrap().count();
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let secrets = smaps.lines().filter(|line| line.starts_with("VmFlags:") && line.contains(" wf")).count();
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            secrets,
            locked_kb: process::status_kb("VmLck"),
        }
    }
}

fn is_loaded() -> bool {
    let path = std::ffi::CString::new(common::module_path().to_str().unwrap()).unwrap();
    !unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) }.is_null()
}

/// Loads the module, logs in, signs and unloads it.
fn use_once() {
    let mut module = Module::of_parent();
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    sign(&module, session, module.private_keys(session)[0]).unwrap();
    let left = Left::now();
    assert!(left.secrets != 0 && left.locked_kb != 0, "pages of secrets are found: {left:?}");
    module.finalized_at_the_end = false;
    drop(module);
    assert!(!is_loaded());
}

fn use_often() {
    use_once();
    let (before, memory) = (Left::now(), process::status_kb("VmRSS"));
    (0..50).for_each(|_| use_once());
    assert_eq!(Left::now(), before);
    process::say(&process::status_kb("VmRSS").saturating_sub(memory).to_string());
}

/// Ends while two threads call the module: one signs, one waits for an event.
fn end_amid_calls() {
    let module = Module::of_parent();
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    let key = module.private_keys(session)[0];
    let wait = module.list.C_WaitForSlotEvent.unwrap();
    std::thread::scope(|scope| {
        let (signed, main) = std::sync::mpsc::channel();
        // Whatever the calls return at the end.
        scope.spawn(move || unsafe { wait(0, &mut 0, null_mut()) });
        let module = &module;
        scope.spawn(move || while sign(module, session, key).is_ok_and(|_| signed.send(()).is_ok()) {});
        main.recv().unwrap();
        std::process::exit(0);
    });
}

#[test]
fn helper_process() {
    match process::role().as_deref() {
        None => {}
        Some("use it often") => use_often(),
        Some("end amid calls") => end_amid_calls(),
        Some(role) => panic!("{role}"),
    }
}

#[test]
fn unloading_without_finalize_leaves_nothing_behind() {
    let (module, _bus, ..) = pin::with_key();
    module.finalize().unwrap();
    let said = Helper::start(module_path!(), &module, "use it often").finish();
    let grown: usize = said[0].parse().unwrap();
    // Some KiB of constants a time.
    assert!(grown < 2048, "{grown} KiB");
}

#[test]
fn a_process_may_end_while_its_threads_call_the_module() {
    let (module, _bus, ..) = pin::with_key();
    module.finalize().unwrap();
    for _ in 0..5 {
        Helper::start(module_path!(), &module, "end amid calls").finish();
    }
}

#[test]
fn unloading_while_a_thread_lives_that_called_the_module_is_harmless() {
    let mut module = Module::simulated();
    module.initialize().unwrap();
    let open = module.list.C_OpenSession.unwrap();
    let (called, unloaded) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut session = 0;
            assert_eq!(unsafe { open(0, CKF_SERIAL_SESSION, null_mut(), None, &mut session) }, CKR_OK);
            called.wait();
            unloaded.wait();
            // The thread ends after the library is gone: no code of it may run then.
        });
        called.wait();
        module.finalized_at_the_end = false;
        drop(module);
        unloaded.wait();
    });
    // It leaves no fork handler.
    in_a_child(|| true);
    // And it can be loaded again.
    let module = Module::simulated();
    assert_eq!(module.initialize(), Ok(()));
}
