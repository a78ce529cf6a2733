// SPDX-License-Identifier: MIT OR Apache-2.0
//! Children made with the system call, where no fork handler runs, and children with the same process id as their
//! parent: they start afresh as others do. A child that shares its parent's memory is no separate process.
//!
//! The parents are helpers with one active thread: such a child can't even allocate if another thread was allocating.
//! `scripts/asan.sh` leaves this file out, as it does fork.rs.

use std::ffi::c_void;
use std::path::PathBuf;

use crate::common::fork::{open_locks, raw_fork};
use crate::common::keys::{Handle, Session};
use crate::common::module::Module;
use crate::common::one_key::{point_of, sign, DIGEST};
use crate::common::process::{self, Helper};
use crate::common::signers::{in_process, served, verifies};
use crate::common::{one_key, pin};
use cryptoki_sys::*;

/// A parent and its children: each child initialises anew, after C_Finalize or without, and signs, and the parent
/// continues with its session.
fn sign_in_both(module: &Module, finalize_before: &[bool]) {
    let session = module.start();
    let key = module.find_labelled(session, CKO_PRIVATE_KEY, "a")[0];
    let signs = |session: Session, key: Handle| {
        let point = point_of(module, session, key);
        verifies(&point, &DIGEST, &sign(module, session, key).unwrap())
    };
    assert!(signs(session, key));
    // The configuration is the test's, and so is its folder.
    let folder = PathBuf::from(std::env::var_os("ATECC608_PKCS11_CONF").unwrap()).parent().unwrap().to_owned();
    assert_ne!(open_locks(&folder), 0);
    for finalize in finalize_before {
        raw_fork(|| {
            assert_eq!(module.session_info(session).map(drop), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
            assert_eq!(open_locks(&folder), 0, "the parent's locks");
            assert!(!finalize || module.finalize() == Ok(()));
            let own = module.start();
            signs(own, module.find_labelled(own, CKO_PRIVATE_KEY, "a")[0]) && open_locks(&folder) != 0
        })
        .ends_well();
        assert!(signs(session, key));
    }
    process::say("both signed");
}

/// The same where both have the process id 1, each in a pid namespace of its own.
fn sign_in_both_with_one_pid(module: &Module) {
    let into_new_namespace = || unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0;
    if !into_new_namespace() {
        return process::say(&format!("no pid namespaces: {}", std::io::Error::last_os_error()));
    }
    raw_fork(|| {
        assert!(std::process::id() == 1 && into_new_namespace());
        // A second child would get the id 2.
        sign_in_both(module, &[false]);
        true
    })
    .ends_well();
}

/// Calls the module in a child that shares the memory, as `vfork` makes one.
fn call_in_a_child_with_this_memory(module: &Module) {
    let session = module.start();
    let key = module.find_labelled(session, CKO_PRIVATE_KEY, "a")[0];
    extern "C" fn child(argument: *mut c_void) -> i32 {
        let get_slot_list = unsafe { *argument.cast::<CK_FUNCTION_LIST>() }.C_GetSlotList.unwrap();
        let mut count = 0;
        i32::from(unsafe { get_slot_list(CK_FALSE, std::ptr::null_mut(), &mut count) } != CKR_OK || count != 1)
    }
    let mut stack = vec![0_u8; 1024 * 1024];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let list = std::ptr::from_ref(module.list).cast_mut().cast();
    let pid = unsafe { libc::clone(child, stack.as_mut_ptr_range().end.cast(), flags, list) };
    let mut status = -1;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "it is its parent's module");
    assert!(sign(module, session, key).is_ok(), "the parent's session is still open");
    process::say("both called");
}

#[test]
fn helper_process() {
    match process::role().as_deref() {
        None => {}
        Some("sign in both") => sign_in_both(&Module::of_parent(), &[false, true]),
        Some("sign in both with one pid") => sign_in_both_with_one_pid(&Module::of_parent()),
        Some("call in a child with this memory") => call_in_a_child_with_this_memory(&Module::of_parent()),
        Some("fork while logged in") => fork_while_logged_in(&Module::of_parent()),
        Some(role) => panic!("{role}"),
    }
}

fn said_by(role: &str) -> Vec<String> {
    let (module, _bus) = served();
    one_key::generate(&module, module.start(), "a").unwrap();
    module.finalize().unwrap();
    Helper::start(module_path!(), &module, role).finish()
}

#[test]
fn a_child_that_a_system_call_made_initialises_anew_and_signs_and_its_parent_goes_on() {
    assert_eq!(said_by("sign in both"), ["both signed"]);
    // The chip in the module's own process.
    let (module, _) = in_process();
    one_key::generate(&module, module.start(), "a").unwrap();
    module.finalize().unwrap();
    assert_eq!(Helper::start(module_path!(), &module, "sign in both").finish(), ["both signed"]);
}

#[test]
fn a_child_with_its_parents_process_id_does_so_too() {
    let said = said_by("sign in both with one pid");
    if said[0].starts_with("no pid namespaces") {
        eprintln!("not tested: {}", said[0]);
        return;
    }
    assert_eq!(said, ["both signed"]);
}

#[test]
fn a_child_that_shares_its_parents_memory_uses_its_parents_module() {
    assert_eq!(said_by("call in a child with this memory"), ["both called"]);
}

/// A child made with the system call is not logged in.
fn fork_while_logged_in(module: &Module) {
    let session = module.start();
    module.login(session, CKU_USER, pin::PIN).unwrap();
    let key = module.private_keys(session)[0];
    raw_fork(|| {
        let own = module.start();
        module.private_keys(own).is_empty() && module.login(own, CKU_USER, pin::PIN).is_ok()
    })
    .ends_well();
    process::say(&format!("{:?}", sign(module, session, key).map(drop)));
}

#[test]
fn a_child_of_a_process_that_is_logged_in_logs_in_itself() {
    let (module, _bus, ..) = pin::with_key();
    module.finalize().unwrap();
    assert_eq!(Helper::start(module_path!(), &module, "fork while logged in").finish(), ["Ok(())"]);
}
