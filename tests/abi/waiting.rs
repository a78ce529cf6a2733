// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which calls wait for the chip, and which do not: what is known is returned at once while a process or a thread has
//! the chip.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki_sys::*;
use rustix::fs::{flock, FlockOperation};

use crate::common::chip;
use crate::common::keys::{Handle, Session};
use crate::common::module::{boolean, c, mechanism, ulong, Module};
use crate::common::one_key::{generate, point_of};
use crate::common::process::{self, Helper};
use crate::common::secrets::{self, whole, Kind};
use crate::common::signers::{digest, in_process, served, verifies};
use crate::common::templates;

/// Far below the time for which the bus is held, and far above that of a call without waiting on a loaded machine.
const AT_ONCE: Duration = Duration::from_millis(500);
/// The minimum time for which the bus is held.
const HELD: Duration = Duration::from_secs(3);
/// A snapshot older than this must be refreshed.
const STALE: Duration = Duration::from_millis(1100);

/// Does something only if [`Helper`] runs it.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let (what, argument) = role.rsplit_once(' ').unwrap();
    match what {
        "hold" => {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(argument).unwrap();
            flock(&file, FlockOperation::LockExclusive).unwrap();
            process::say("held");
            process::wait();
        }
        // The bus is free for a moment three times a second.
        "take turns" => {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(argument).unwrap();
            thread::spawn(move || loop {
                flock(&file, FlockOperation::LockExclusive).unwrap();
                thread::sleep(Duration::from_millis(300));
                flock(&file, FlockOperation::Unlock).unwrap();
                thread::sleep(Duration::from_millis(3));
            });
            thread::sleep(Duration::from_millis(50));
            process::say("busy");
            process::wait();
        }
        "rename" => {
            let module = Module::of_parent();
            let session = module.start();
            let key = module.find_labelled(session, CKO_PRIVATE_KEY, "a")[0];
            module.set_attributes(session, key, &[(CKA_LABEL, argument.into())]).unwrap();
        }
        other => panic!("{other}"),
    }
}

/// Another process that has the bus until it is released.
fn holder(module: &Module) -> Helper {
    let file = if module.image().exists() { "chip.lock" } else { "bus.lock" };
    let lock = module.folder.path().join(file);
    let mut holder = Helper::start(module_path!(), module, &format!("hold {}", lock.display()));
    holder.expect("held");
    holder
}

/// A thread that takes the chip: it waits for the bus, or has it.
fn signs_meanwhile<'s>(
    scope: &'s thread::Scope<'s, '_>,
    module: &'s Module,
    key: Handle,
) -> thread::ScopedJoinHandle<'s, Result<Vec<u8>, CK_RV>> {
    let session = module.open_session(0, false).unwrap();
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    let (begins, begun) = mpsc::channel();
    let signer = scope.spawn(move || {
        begins.send(()).unwrap();
        module.sign(session, &digest(1, 1))
    });
    begun.recv().unwrap();
    // Time to enter the queue.
    thread::sleep(Duration::from_millis(50));
    signer
}

/// Calls that need nothing of the chip, each with its duration.
struct Timed<'m> {
    module: &'m Module,
    took: Vec<(&'static str, Duration)>,
}

impl Timed<'_> {
    fn call<T>(&mut self, name: &'static str, call: impl FnOnce(&Module) -> Result<T, CK_RV>) -> T {
        let start = Instant::now();
        let result = call(self.module);
        self.took.push((name, start.elapsed()));
        result.unwrap_or_else(|rv| panic!("{name}: {rv:#x}"))
    }

    #[track_caller]
    fn assert_at_once(&self) {
        let longest = self.took.iter().max_by_key(|(_, took)| *took);
        println!("{} calls at once, the longest: {longest:?}", self.took.len());
        let late: Vec<_> = self.took.iter().filter(|(_, took)| *took > AT_ONCE).collect();
        assert!(late.is_empty(), "{late:?}");
    }
}

/// What a token returns without its chip: slot, token, sessions, objects, the beginning of operations, and everything
/// that the host computes.
fn everything_that_is_known(module: &Module, session: Session, private: Handle, signature: &[u8]) {
    let mut timed = Timed { module, took: Vec::new() };
    timed.call("C_GetSlotInfo", |module| c!(module, C_GetSlotInfo(0, &mut CK_SLOT_INFO::default())));
    assert_eq!(timed.call("C_GetSlotList", |module| module.slots(true)), [0]);
    timed.call("C_GetTokenInfo", |module| module.token_info(0));
    let mut count = 0;
    timed.call("C_GetMechanismList", |module| c!(module, C_GetMechanismList(0, null_mut(), &mut count)));
    timed.call("C_GetMechanismInfo", |module| {
        c!(module, C_GetMechanismInfo(0, CKM_ECDSA, &mut CK_MECHANISM_INFO::default()))
    });
    let other = timed.call("C_OpenSession", |module| module.open_session(0, true));
    timed.call("C_GetSessionInfo", |module| module.session_info(other));
    timed.call("C_Login", |module| c!(module, C_Login(other, CKU_USER, null_mut(), 0)));
    timed.call("C_Logout", |module| c!(module, C_Logout(other)));
    let found = timed.call("C_FindObjects", |module| module.find(other, &[(CKA_CLASS, ulong(CKO_PRIVATE_KEY))]));
    assert_eq!(found, [private]);
    let public = timed.call("C_FindObjects", |module| {
        module.find(other, &[(CKA_CLASS, ulong(CKO_PUBLIC_KEY)), (CKA_LABEL, b"a".to_vec())])
    })[0];
    for attribute in [CKA_LABEL, CKA_ID, CKA_SIGN, CKA_PUBLIC_KEY_INFO] {
        timed.call("C_GetAttributeValue", |module| module.attribute(other, private, attribute));
    }
    timed.call("C_GetAttributeValue", |module| module.attribute(other, public, CKA_EC_POINT));
    timed.call("C_SignInit", |module| module.sign_init(other, CKM_ECDSA, private));
    let (mut data, mut length) = ([7; 32], 0);
    timed.call("C_Sign for the length", |module| {
        c!(module, C_Sign(other, data.as_mut_ptr(), 32, null_mut(), &mut length))
    });
    timed.call("C_VerifyInit, C_Verify", |module| {
        module.verify_with(other, CKM_ECDSA, public, &digest(0, 0), signature)
    });
    timed.call("C_Digest", |module| module.digest_parts(other, CKM_SHA256, &[b"abc"]));
    let given = secrets::given(false, CKK_AES, &[7; 16]);
    let aes = timed.call("C_CreateObject", |module| module.create_object(other, &given));
    timed.call("C_EncryptInit, C_Encrypt", |module| {
        whole(module, other, true, &Kind::Plain(CKM_AES_ECB), aes, &[1; 16])
    });
    timed.call("C_DestroyObject", |module| module.destroy(other, aes));
    timed.call("C_DigestInit", |module| c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))));
    timed.call("C_SessionCancel", |module| c!(module, C_DigestInit(session, null_mut())));
    timed.call("C_CloseSession", |module| c!(module, C_CloseSession(other)));
    timed.assert_at_once();
}

#[test]
fn what_is_known_is_returned_at_once_while_another_process_has_the_bus_and_a_thread_waits_for_it() {
    for make in [in_process, served] {
        let (module, _bus) = make();
        let session = module.start();
        let key = generate(&module, session, "a").unwrap();
        let point = point_of(&module, session, key);
        let signature = module.sign_with(session, CKM_ECDSA, key, &digest(0, 0)).unwrap();
        let mut holder = holder(&module);
        let start = Instant::now();
        thread::scope(|scope| {
            let signer = signs_meanwhile(scope, &module, key);
            everything_that_is_known(&module, session, key, &signature);
            // Also data older than a second, which would be refreshed if the chip were free.
            thread::sleep(STALE);
            everything_that_is_known(&module, session, key, &signature);
            assert!(!signer.is_finished());
            thread::sleep(HELD.saturating_sub(start.elapsed()));
            holder.go();
            assert!(verifies(&point, &digest(1, 1), &signer.join().unwrap().unwrap()));
        });
        holder.finish();
    }
}

#[test]
fn what_another_process_has_renamed_is_found_at_once_while_the_bus_is_held() {
    let (module, _bus) = served();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    assert_eq!(module.private_keys(session), [key]);
    Helper::start(module_path!(), &module, "rename b").finish();
    let mut holder = holder(&module);
    let start = Instant::now();
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "b"), [key]);
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "a"), [] as [Handle; 0]);
    assert_eq!(module.label(session, key), "b");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    holder.go();
    holder.finish();
}

#[test]
fn a_first_contact_waits_for_the_bus_and_ends_with_who_has_it() {
    let module =
        Module::configured("log = \"warn:FOLDER/log\"\nlock_timeout = 1\n[[token]]\nbus = \"sim:FOLDER/chip\"\n");
    chip::provisioned().save(&module.image()).unwrap();
    let mut holder = holder(&module);
    module.initialize().unwrap();
    let start = Instant::now();
    assert_eq!(module.open_session(0, false), Err(CKR_DEVICE_ERROR));
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(5), "{waited:?}");
    module.assert_logged(&["C_OpenSession", "chip.lock", &format!("process {}", holder.child.id())]);
    holder.go();
    holder.finish();
    module.open_session(0, false).unwrap();
}

#[test]
fn a_call_of_many_turns_waits_as_long_as_one_of_a_single_turn() {
    let module = Module::configured("lock_timeout = 1\n[[token]]\nbus = \"sim:FOLDER/chip\"\n");
    let image = chip::provisioned();
    image.save(&module.image()).unwrap();
    secrets::put_io_key(&module, &image);
    let session = module.start();
    let key = secrets::generate(&module, session, CKM_AES_KEY_GEN, &secrets::aes(true, 16)).unwrap();
    let text = [0; 16 * 16 * 64];
    let ecb = Kind::Plain(CKM_AES_ECB);
    let encrypt = || whole(&module, session, true, &ecb, key, &text).map(|encrypted| encrypted.len());
    assert_eq!(encrypt(), Ok(text.len()));
    let lock = module.folder.path().join("chip.lock");
    let mut other = Helper::start(module_path!(), &module, &format!("take turns {}", lock.display()));
    other.expect("busy");
    let start = Instant::now();
    assert_eq!(encrypt(), Err(CKR_DEVICE_ERROR));
    // Each turn comes soon enough; all 64 together do not.
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(5), "{waited:?}");
    other.go();
    other.finish();
}

/// Four threads that sign on a slow chip, for [`HELD`]; each returns its count.
fn signers(module: &Module, point: &[u8], work: impl Fn(Session, usize, usize) -> bool + Sync) {
    let end = Instant::now() + HELD;
    thread::scope(|scope| {
        for number in 0..4 {
            let (session, work) = (module.open_session(0, true).unwrap(), &work);
            scope.spawn(move || {
                for round in 0.. {
                    if Instant::now() > end || !work(session, number, round) {
                        return;
                    }
                    let digest = digest(number as u8, round);
                    if let Ok(signature) = module.sign(session, &digest) {
                        assert!(verifies(point, &digest, &signature), "thread {number}, round {round}");
                    }
                }
            });
        }
    });
}

#[test]
fn sign_init_does_not_wait_while_four_threads_sign() {
    let module = Module::on_socket();
    let _bus = chip::serve_in_real_time(chip::provisioned(), &module.socket());
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let point = point_of(&module, session, key);
    let longest = Mutex::new(Duration::ZERO);
    let signed = AtomicUsize::new(0);
    signers(&module, &point, |session, _, _| {
        let start = Instant::now();
        module.sign_init(session, CKM_ECDSA, key).unwrap();
        let took = start.elapsed();
        let mut longest = longest.lock().unwrap();
        *longest = took.max(*longest);
        signed.fetch_add(1, Ordering::Relaxed);
        true
    });
    let (longest, signed) = (longest.into_inner().unwrap(), signed.into_inner());
    assert!(signed > 4, "{signed} signatures");
    println!("{signed} signatures, the longest C_SignInit: {longest:?}");
    // A signature takes about 100 ms, and three others wait.
    assert!(longest < Duration::from_millis(200), "{longest:?}");
}

#[test]
fn a_chip_that_is_pulled_and_put_back_while_threads_sign_makes_errors_and_nothing_worse() {
    let (module, bus) = served();
    let bus = bus.unwrap();
    let session = module.start();
    let key = generate(&module, session, "a").unwrap();
    let point = point_of(&module, session, key);
    thread::scope(|scope| {
        let pulls = scope.spawn(|| {
            for _ in 0..5 {
                thread::sleep(HELD / 12);
                bus.pull();
                thread::sleep(HELD / 12);
                bus.insert();
            }
        });
        signers(&module, &point, |session, _, round| {
            // What is known remains available while it is away.
            assert_eq!(module.label(session, key), "a");
            if round % 4 == 0 {
                let present = module.slots(true).unwrap();
                assert!(present.is_empty() || present == [0]);
            }
            module.sign_init(session, CKM_ECDSA, key).unwrap();
            true
        });
        pulls.join().unwrap();
    });
    let signature = module.sign_with(session, CKM_ECDSA, key, &digest(9, 9)).unwrap();
    assert!(verifies(&point, &digest(9, 9), &signature));
    assert_eq!(module.slots(true), Ok(vec![0]));
}

#[test]
fn threads_that_generate_destroy_find_and_sign_at_once_never_see_a_wrong_key() {
    for make in [in_process, served] {
        let (module, _bus) = make();
        let session = module.start();
        let key = generate(&module, session, "a").unwrap();
        let point = point_of(&module, session, key);
        let (made, end) = (Mutex::new(BTreeSet::new()), Instant::now() + HELD);
        thread::scope(|scope| {
            for number in 0..2 {
                let (module, made) = (&module, &made);
                scope.spawn(move || {
                    let session = module.open_session(0, true).unwrap();
                    for round in 0.. {
                        if Instant::now() > end {
                            return;
                        }
                        let label = format!("{number}-{round}");
                        let key = generate(module, session, &label).unwrap();
                        assert_eq!(module.label(session, key), label);
                        let point = point_of(module, session, key);
                        assert!(made.lock().unwrap().insert(point.clone()), "the same key twice");
                        let signature = module.sign_with(session, CKM_ECDSA, key, &digest(number, round)).unwrap();
                        assert!(verifies(&point, &digest(number, round), &signature));
                        assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, &label), [key]);
                        module.destroy(session, key).unwrap();
                        assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, &label), [] as [Handle; 0]);
                        assert_eq!(module.attribute(session, key, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
                    }
                });
            }
            for number in 2..4 {
                let (module, point) = (&module, &point);
                scope.spawn(move || {
                    let session = module.open_session(0, true).unwrap();
                    for round in 0.. {
                        if Instant::now() > end {
                            return;
                        }
                        // The permanent key always exists, once, and the others appear and disappear with their names.
                        assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "a"), [key]);
                        let found = module.private_keys(session);
                        assert!(found.contains(&key) && found.len() <= 3, "{found:?}");
                        for other in found.into_iter().filter(|found| *found != key) {
                            match module.attribute(session, other, CKA_LABEL) {
                                Ok(label) => assert_ne!(label, b"a"),
                                Err(rv) => assert_eq!(rv, CKR_OBJECT_HANDLE_INVALID),
                            }
                        }
                        let signature = module.sign_with(session, CKM_ECDSA, key, &digest(number, round)).unwrap();
                        assert!(verifies(point, &digest(number, round), &signature));
                    }
                });
            }
        });
        assert_eq!(module.private_keys(session), [key]);
        // No key was left in the chip: two more get slots.
        let pair = &templates::of_all_clients("z", &[1])[2];
        module.generate_key_pair(session, &pair.public, &pair.private).unwrap();
        assert_eq!(module.find(session, &[(CKA_TOKEN, boolean(true)), (CKA_LABEL, b"z".to_vec())]).unwrap().len(), 2);
    }
}
