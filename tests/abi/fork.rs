// SPDX-License-Identifier: MIT OR Apache-2.0
//! Forked children of a process with the module: each starts afresh, independent of the parent and its threads, and
//! disturbs no other process.
//!
//! `scripts/asan.sh` leaves this file out: the children use memory while their parent had other threads.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::fork::{fork, in_a_child, open_locks};
use crate::common::module::{boolean, c, Module};
use crate::common::one_key::{generate, point_of};
use crate::common::signers::{in_process, served, sign_rounds, verifies};
use crate::common::templates::P256;
use cryptoki_sys::*;

const TOY: &str = "[[token]]\nbus = \"/dev/i2c-no-such\"\n";

/// Forks children one after the other, while other threads do this repeatedly.
fn fork_amid(threads: u8, work: impl Fn() + Sync, children: u8, child: impl Fn(u8) -> bool) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        let fork_all = || (0..children).for_each(|round| in_a_child(|| child(round)));
        let result = catch_unwind(AssertUnwindSafe(fork_all));
        stop.store(true, Ordering::Relaxed);
        result.unwrap();
    });
}

#[test]
fn a_child_has_to_initialize() {
    let module = Module::configured(TOY);
    module.initialize().unwrap();
    in_a_child(|| module.slots(false) == Err(CKR_CRYPTOKI_NOT_INITIALIZED));
    assert_eq!(module.slots(false), Ok(vec![0]));
}

#[test]
fn a_child_initializes_without_finalize() {
    let module = Module::simulated();
    module.initialize().unwrap();
    let session = module.open_session(0, false).unwrap();
    in_a_child(|| {
        module.initialize() == Ok(())
            && module.session_info(session).map(drop) == Err(CKR_SESSION_HANDLE_INVALID)
            && module.slots(false) == Ok(vec![0])
            && module.initialize() == Err(CKR_CRYPTOKI_ALREADY_INITIALIZED)
            && module.finalize() == Ok(())
            && module.finalize() == Err(CKR_CRYPTOKI_NOT_INITIALIZED)
    });
    assert!(module.session_info(session).is_ok(), "the parent's session is still open");
}

#[test]
fn a_child_finalizes_and_initializes() {
    let module = Module::configured(TOY);
    module.initialize().unwrap();
    in_a_child(|| {
        module.finalize() == Ok(())
            && module.finalize() == Err(CKR_CRYPTOKI_NOT_INITIALIZED)
            && module.slots(false) == Err(CKR_CRYPTOKI_NOT_INITIALIZED)
            && module.initialize() == Ok(())
            && module.slots(false) == Ok(vec![0])
    });
    assert_eq!(module.slots(false), Ok(vec![0]));
}

#[test]
fn a_child_of_a_process_without_module_has_none() {
    let module = Module::configured(TOY);
    in_a_child(|| module.finalize() == Err(CKR_CRYPTOKI_NOT_INITIALIZED) && module.initialize() == Ok(()));
    assert_eq!(module.slots(false), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
}

#[test]
fn a_grandchild_starts_afresh_too() {
    let module = Module::configured(TOY);
    module.initialize().unwrap();
    in_a_child(|| {
        module.initialize().unwrap();
        in_a_child(|| module.slots(false) == Err(CKR_CRYPTOKI_NOT_INITIALIZED) && module.initialize() == Ok(()));
        module.slots(false) == Ok(vec![0])
    });
}

#[test]
fn a_child_forked_while_other_threads_are_in_calls_does_not_hang() {
    let module = Module::simulated();
    let log = module.folder.path().join("log");
    unsafe { std::env::set_var("ATECC608_LOG", format!("debug:{}", log.display())) };
    module.initialize().unwrap();
    let (open, close) = (module.list.C_OpenSession.unwrap(), module.list.C_CloseSession.unwrap());
    let work = || {
        let mut session = 0;
        unsafe {
            open(0, CKF_SERIAL_SESSION, null_mut(), None, &mut session);
            close(session);
        }
    };
    fork_amid(3, work, 50, |round| {
        (round % 2 == 0 || module.finalize() == Ok(()))
            && module.initialize() == Ok(())
            && module.open_session(0, false).is_ok()
            && module.finalize() == Ok(())
    });
    unsafe { std::env::remove_var("ATECC608_LOG") };
}

#[test]
fn a_child_does_not_keep_the_lock_on_the_bus() {
    let module = Module::simulated();
    module.initialize().unwrap();
    module.open_session(0, false).unwrap();
    let folder = module.folder.path();
    assert_ne!(open_locks(folder), 0);
    in_a_child(|| {
        open_locks(folder) == 0
            && module.initialize() == Ok(())
            && module.open_session(0, false).is_ok()
            && open_locks(folder) != 0
    });
    assert_ne!(open_locks(folder), 0);
}

#[test]
fn a_forked_child_initialises_anew_and_signs_and_its_parent_goes_on() {
    for make in [in_process, served] {
        let (module, _bus) = make();
        let session = module.start();
        let key = generate(&module, session, "a").unwrap();
        let point = point_of(&module, session, key);
        for finalize in [false, true] {
            in_a_child(|| {
                assert_eq!(module.session_info(session).map(drop), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
                assert!(!finalize || module.finalize() == Ok(()));
                let session = module.start();
                let key = module.find_labelled(session, CKO_PRIVATE_KEY, "a")[0];
                let signature = module.sign_with(session, CKM_ECDSA, key, &[1; 32]).unwrap();
                verifies(&point, &[1; 32], &signature) && module.finalize() == Ok(())
            });
            let signature = module.sign_with(session, CKM_ECDSA, key, &[2; 32]).unwrap();
            assert!(verifies(&point, &[2; 32], &signature));
        }
    }
}

#[test]
fn parent_and_child_sign_at_once() {
    for make in [in_process, served] {
        let (module, _bus) = make();
        let session = module.start();
        generate(&module, session, "a").unwrap();
        let child = fork(|| {
            sign_rounds(&module, module.start(), 1);
            true
        });
        sign_rounds(&module, session, 2);
        child.ends_well();
    }
}

#[test]
fn a_child_forked_while_other_threads_sign_signs_too() {
    for make in [in_process, served] {
        let (module, _bus) = make();
        let session = module.start();
        let key = generate(&module, session, "a").unwrap();
        let point = point_of(&module, session, key);
        let work = || {
            let own = module.open_session(0, false).unwrap();
            let signature = module.sign_with(own, CKM_ECDSA, key, &[3; 32]).unwrap();
            assert!(verifies(&point, &[3; 32], &signature));
            c!(module, C_CloseSession(own)).unwrap();
        };
        fork_amid(2, work, 12, |round| {
            assert!(round % 2 == 0 || module.finalize().is_ok_and(|()| module.finalize().is_err()));
            sign_rounds(&module, module.start(), round);
            module.finalize() == Ok(())
        });
        assert!(module.sign_with(session, CKM_ECDSA, key, &[4; 32]).is_ok());
    }
}

#[test]
fn a_child_forked_amid_initialize_and_finalize_signs() {
    let (module, _bus) = in_process();
    let session = module.start();
    generate(&module, session, "a").unwrap();
    module.finalize().unwrap();
    let work = || {
        module.initialize().unwrap();
        module.finalize().unwrap();
    };
    fork_amid(1, work, 20, |round| {
        sign_rounds(&module, module.start(), round);
        module.finalize() == Ok(())
    });
}

#[test]
fn a_child_of_a_child_of_a_process_that_is_logged_in_and_in_the_middle_of_its_work_signs() {
    let (module, _bus) = served();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    module.login(session, CKU_USER, b"1234").unwrap();
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    in_a_child(|| {
        let own = module.start();
        // The login is the parent's.
        assert_eq!(module.session_info(own).unwrap().state, CKS_RW_PUBLIC_SESSION);
        let key = module.find_labelled(own, CKO_PRIVATE_KEY, "a")[0];
        module.sign_init(own, CKM_ECDSA, key).unwrap();
        in_a_child(|| {
            sign_rounds(&module, module.start(), 3);
            true
        });
        module.sign(own, &[2; 32]).is_ok()
    });
    assert_eq!(module.session_info(session).unwrap().state, CKS_RW_USER_FUNCTIONS);
    let signature = module.sign(session, &[1; 32]).unwrap();
    assert!(verifies(&point_of(&module, session, key), &[1; 32], &signature));
}

#[test]
fn a_child_keeps_files_that_have_the_numbers_of_lock_files_that_its_program_closed() {
    let (module, _bus) = in_process();
    let session = module.start();
    generate(&module, session, "a").unwrap();
    let folder = module.folder.path().join("files");
    fs::create_dir(&folder).unwrap();
    in_a_child(|| {
        // As closefrom(3) does.
        for descriptor in 3..1024 {
            unsafe { libc::close(descriptor) };
        }
        let paths: Vec<_> = (0..64).map(|number| folder.join(number.to_string())).collect();
        let files: Vec<_> = paths.iter().map(|path| fs::File::create(path).unwrap()).collect();
        in_a_child(|| {
            let mut both = files.iter().zip(&paths);
            both.all(|(file, path)| file.metadata().unwrap().ino() == fs::metadata(path).unwrap().ino())
        });
        true
    });
}

/// In a child, since the limit is the process's.
#[test]
fn a_process_without_free_descriptors_keeps_its_state_or_fails() {
    let (module, _bus) = served();
    let session = module.start();
    generate(&module, session, "a").unwrap();
    let named = |session| module.find(session, &[(CKA_LABEL, b"a".to_vec())]).map(|found| found.len());
    in_a_child(|| {
        let session = module.start();
        assert_eq!(named(session), Ok(2));
        let files: Vec<_> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
        assert_eq!(named(session), Ok(2));
        drop(files);
        assert_eq!(named(session), Ok(2));
        generate(&module, session, "b").is_ok()
    });
}

#[test]
fn a_child_has_key_pairs_of_its_own_sessions_only() {
    let (module, _bus) = served();
    let session = module.start();
    let pair = |session| {
        let public = [(CKA_TOKEN, boolean(false)), (CKA_EC_PARAMS, P256.to_vec())];
        module.generate_key_pair(session, &public, &[(CKA_TOKEN, boolean(false))])
    };
    let signs = |session, (public, private)| {
        let signature = module.sign_with(session, CKM_ECDSA, private, &[1; 32])?;
        module.verify_with(session, CKM_ECDSA, public, &[1; 32], &signature)
    };
    let parents = pair(session).unwrap();
    let parents_point = module.attribute(session, parents.0, CKA_EC_POINT).unwrap();
    in_a_child(|| {
        assert_eq!(signs(session, parents), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
        let own = module.start();
        assert_eq!(module.find(own, &[]), Ok(vec![]));
        assert_eq!(signs(own, parents), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(module.attribute(own, parents.0, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
        let childs = pair(own).unwrap();
        assert_eq!(signs(own, childs), Ok(()));
        module.attribute(own, childs.0, CKA_EC_POINT).unwrap() != parents_point
    });
    assert_eq!(signs(session, parents), Ok(()));
}

#[test]
fn a_session_operation_of_the_parent_survives_a_fork() {
    let (module, _bus) = served();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    module.sign_init(session, CKM_ECDSA_SHA256, key).unwrap();
    let mut data = [9; 5];
    c!(module, C_SignUpdate(session, data.as_mut_ptr(), 5)).unwrap();
    in_a_child(|| module.finalize() == Ok(()) && module.initialize() == Ok(()));
    let (mut signature, mut length) = ([0; 64], 64);
    c!(module, C_SignFinal(session, signature.as_mut_ptr(), &mut length)).unwrap();
    use sha2::Digest;
    assert!(verifies(&point_of(&module, session, key), &sha2::Sha256::digest(data), &signature));
}
