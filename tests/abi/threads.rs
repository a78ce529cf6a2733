// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many sessions, threads and tokens at once through the C ABI: every result belongs to its call, checked with other
//! implementations.

use std::collections::BTreeSet;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;

use crate::common::chip;
use crate::common::keys::{self, assert_signed, Handle, Session};
use crate::common::module::{boolean, c, len, mechanism, ulong, Module};
use crate::common::one_key::point_of;
use crate::common::secrets::{self, check, code, given, parts, put_io_key, whole, Kind};
use aes::cipher::{KeyIvInit, StreamCipher};
use aes::Aes128;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::Aes128Gcm;
use atecc608_sim::SimBus;
use cmac::{Cmac, Mac};
use cryptoki_sys::*;
use hmac::Hmac;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use sha2::{Digest, Sha256};

const THREADS: usize = 16;
const ROUNDS: usize = 3;
const AES_KEY: [u8; 16] = *b"sixteen byte key";
const HMAC_KEY: [u8; 32] = *b"a key that has thirty-two bytes.";

/// Makes a module, with its bus if the test controls that.
type Make = fn() -> (Module, Option<SimBus>);

/// A provisioned chip whose IO protection key the host has: in the process, or on a bus.
fn modules() -> [Make; 2] {
    let in_process: fn() -> _ = || {
        let image = chip::provisioned();
        let module = Module::with_chip(&image);
        put_io_key(&module, &image);
        (module, None)
    };
    let on_bus: fn() -> _ = || {
        let image = chip::provisioned();
        let (module, bus) = Module::on_bus(image.clone());
        put_io_key(&module, &image);
        (module, Some(bus))
    };
    [in_process, on_bus]
}

/// What the threads share: keys in the chip.
struct Shared {
    private: Handle,
    public: Handle,
    point: Vec<u8>,
    aes: Handle,
    hmac: Handle,
}

impl Shared {
    fn new(module: &Module, session: Session) -> Self {
        let (public, private) = keys::generate(module, session, "shared", &[1]).unwrap();
        let aes = module.create_object(session, &given(true, CKK_AES, &AES_KEY)).unwrap();
        let hmac = module.create_object(session, &given(true, CKK_GENERIC_SECRET, &HMAC_KEY)).unwrap();
        Self { private, public, point: point_of(module, session, private), aes, hmac }
    }
}

/// One thread: its number, and its own keys in its session.
struct Worker<'m> {
    module: &'m Module,
    shared: &'m Shared,
    session: Session,
    number: u8,
    own_aes: Handle,
    own_hmac: Handle,
}

impl<'m> Worker<'m> {
    fn new(module: &'m Module, shared: &'m Shared, number: u8) -> Self {
        let session = module.open_session(0, true).unwrap();
        let own_aes = module.create_object(session, &given(false, CKK_AES, &[number; 16])).unwrap();
        let own_hmac = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &[number; 16])).unwrap();
        Self { module, shared, session, number, own_aes, own_hmac }
    }

    /// A message that no other thread has, nor this one in another round.
    fn message(&self, round: usize) -> Vec<u8> {
        (0..40).map(|at| self.number ^ (round as u8) << 5 ^ at).collect()
    }

    fn signatures(&self, round: usize) {
        let (module, session, message) = (self.module, self.session, self.message(round));
        let digest = Sha256::digest(&message);
        let signature = module.sign_with(session, CKM_ECDSA, self.shared.private, &digest).unwrap();
        assert_signed(&self.shared.point, &digest, &signature);
        let (start, end) = message.split_at(7);
        let signature = module.sign_parts(session, CKM_ECDSA_SHA256, self.shared.private, &[start, end]).unwrap();
        assert_signed(&self.shared.point, &digest, &signature);
        let verify = |digest: &[u8]| module.verify_with(session, CKM_ECDSA, self.shared.public, digest, &signature);
        assert_eq!(verify(&digest), Ok(()));
        assert_eq!(verify(&[self.number; 32]), Err(CKR_SIGNATURE_INVALID));
    }

    fn agreements(&self, round: usize) {
        let scalar: [u8; 32] = Sha256::digest(self.message(round)).into();
        let theirs = p256::SecretKey::from_slice(&scalar).unwrap();
        let ours = p256::PublicKey::from_sec1_bytes(&self.shared.point).unwrap();
        let secret = p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), ours.as_affine());
        let point = theirs.public_key().to_encoded_point(false);
        let open = [(CKA_SENSITIVE, boolean(false)), (CKA_EXTRACTABLE, boolean(true))];
        let (module, session) = (self.module, self.session);
        let derived = module.derive(session, self.shared.private, CKD_NULL, &[], point.as_bytes(), &open).unwrap();
        assert_eq!(module.attribute(session, derived, CKA_VALUE), Ok(secret.raw_secret_bytes().to_vec()));
        module.destroy(session, derived).unwrap();
    }

    fn digests(&self, round: usize) {
        let message = self.message(round).repeat(9);
        let (start, end) = message.split_at(200);
        let digest = self.module.digest_parts(self.session, CKM_SHA256, &[start, end]).unwrap();
        assert_eq!(digest, *Sha256::digest(&message));
    }

    fn ciphers(&self, round: usize) {
        let (module, session, message) = (self.module, self.session, self.message(round));
        for (key, value) in [(self.shared.aes, AES_KEY), (self.own_aes, [self.number; 16])] {
            let (iv, associated) = ([self.number; 12], [round as u8; 3]);
            let gcm = Kind::Gcm { iv: &iv, associated: &associated, tag_bits: 128 };
            let payload = Payload { msg: &message, aad: &associated };
            let sealed = Aes128Gcm::new(&value.into()).encrypt(&iv.into(), payload).unwrap();
            assert_eq!(whole(module, session, true, &gcm, key, &message), Ok(sealed.clone()));
            assert_eq!(whole(module, session, false, &gcm, key, &sealed), Ok(message.clone()));
            let mut expected = message.clone();
            let block = [self.number; 16];
            ctr::Ctr128BE::<Aes128>::new(&value.into(), &block.into()).apply_keystream(&mut expected);
            let (start, end) = message.split_at(17);
            assert_eq!(parts(module, session, true, &Kind::Ctr(128, block), key, &[start, end]), Ok(expected));
        }
    }

    fn codes(&self, round: usize) {
        let (module, session, message) = (self.module, self.session, self.message(round));
        let (cmac, hmac) = (Kind::Plain(CKM_AES_CMAC), Kind::Plain(CKM_SHA256_HMAC));
        for (key, value) in [(self.shared.aes, AES_KEY), (self.own_aes, [self.number; 16])] {
            let expected = <Cmac<Aes128> as Mac>::new(&value.into()).chain_update(&message).finalize().into_bytes();
            assert_eq!(code(module, session, &cmac, key, &message), Ok(expected.to_vec()));
        }
        for (key, value) in [(self.shared.hmac, &HMAC_KEY[..]), (self.own_hmac, &[self.number; 16][..])] {
            let expected = <Hmac<Sha256> as Mac>::new_from_slice(value).unwrap().chain_update(&message).finalize();
            assert_eq!(code(module, session, &hmac, key, &message), Ok(expected.into_bytes().to_vec()));
            let wrong = [self.number; 32];
            assert_eq!(check(module, session, &hmac, key, &message, &wrong), Err(CKR_SIGNATURE_INVALID));
        }
    }

    /// Returns random bytes.
    fn looks_around(&self) -> Vec<u8> {
        let (module, session, shared) = (self.module, self.session, self.shared);
        assert_eq!(module.private_keys(session), [shared.private]);
        assert_eq!(module.find_labelled(session, CKO_PUBLIC_KEY, "shared"), [shared.public]);
        assert_eq!(module.label(session, shared.private), "shared");
        assert_eq!(keys::point(module, session, shared.public), shared.point);
        assert_eq!(module.attribute(session, self.own_aes, CKA_VALUE_LEN), Ok(ulong(16)));
        assert_eq!(module.session_info(session).unwrap().slotID, 0);
        module.random(session, 16).unwrap()
    }

    /// All steps, each thread beginning with a different one.
    fn works(&self, random: &Mutex<BTreeSet<Vec<u8>>>) {
        for round in 0..ROUNDS {
            for step in 0..6 {
                match (step + usize::from(self.number)) % 6 {
                    0 => self.signatures(round),
                    1 => self.agreements(round),
                    2 => self.digests(round),
                    3 => self.ciphers(round),
                    4 => self.codes(round),
                    _ => assert!(random.lock().unwrap().insert(self.looks_around()), "the same random number twice"),
                }
            }
        }
    }
}

#[test]
fn sixteen_threads_with_all_mechanisms_mixed_each_get_their_own_results() {
    for make in modules() {
        let (module, _bus) = make();
        let session = module.start();
        let shared = Shared::new(&module, session);
        let (random, together) = (Mutex::default(), Barrier::new(THREADS));
        thread::scope(|scope| {
            for number in 0..THREADS as u8 {
                let (module, shared, random, together) = (&module, &shared, &random, &together);
                scope.spawn(move || {
                    let worker = Worker::new(module, shared, number + 1);
                    together.wait();
                    worker.works(random);
                    c!(module, C_CloseSession(worker.session)).unwrap();
                });
            }
        });
        assert_eq!(random.lock().unwrap().len(), THREADS * ROUNDS);
        // The session keys are gone with their sessions.
        assert_eq!(module.find(session, &[(CKA_TOKEN, boolean(false))]), Ok(vec![]));
        assert_eq!(module.token_info(0).unwrap().ulSessionCount, 1);
    }
}

#[test]
fn twelve_hundred_sessions_each_keep_an_operation_and_a_key_of_their_own() {
    let (module, _bus) = modules()[0]();
    module.initialize().unwrap();
    let message = |number: usize| format!("the message of session {number}").into_bytes();
    let sessions: Vec<(Session, Handle)> = (0..1200)
        .map(|number| {
            let session = module.open_session(0, number % 2 == 0).unwrap();
            c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
            let message = message(number);
            c!(module, C_DigestUpdate(session, message.as_ptr().cast_mut(), len(&message))).unwrap();
            let value = (number as u32).to_be_bytes().repeat(4);
            (session, module.create_object(session, &given(false, CKK_GENERIC_SECRET, &value)).unwrap())
        })
        .collect();
    assert_eq!(module.token_info(0).unwrap().ulSessionCount, 1200);
    assert_eq!(sessions.iter().collect::<BTreeSet<_>>().len(), 1200);
    for (number, (session, key)) in sessions.iter().enumerate().rev() {
        let (mut digest, mut length) = ([0; 32], 32);
        c!(module, C_DigestFinal(*session, digest.as_mut_ptr(), &mut length)).unwrap();
        assert_eq!(digest, *Sha256::digest(message(number)), "{number}");
        let value = (number as u32).to_be_bytes().repeat(4);
        let expected = <Hmac<Sha256> as Mac>::new_from_slice(&value).unwrap().chain_update(b"x").finalize();
        let made = code(&module, *session, &Kind::Plain(CKM_SHA256_HMAC), *key, b"x");
        assert_eq!(made, Ok(expected.into_bytes().to_vec()), "{number}");
        c!(module, C_CloseSession(*session)).unwrap();
    }
    assert_eq!(module.token_info(0).unwrap().ulSessionCount, 0);
}

#[test]
fn two_chips_in_one_configuration_are_two_tokens_used_at_once() {
    // On buses of their own, and on one bus.
    let apart = "[[token]]\nbus = \"sim:FOLDER/one\"\nlabel = \"one\"\n[[token]]\nbus = \"sim:FOLDER/two\"\nlabel = \"two\"\naddress = 0x61\n";
    let together = "[[token]]\nbus = \"unix:FOLDER/bus\"\nlabel = \"one\"\n[[token]]\nbus = \"unix:FOLDER/bus\"\nlabel = \"two\"\naddress = 0x61\n";
    for configuration in [apart, together] {
        let module = Module::configured(configuration);
        let images = [chip::provisioned(), chip::moved_to(0x61, chip::provisioned())];
        let _bus = (configuration == together).then(|| chip::serve_all(images.clone(), &module.socket()));
        images[0].save(&module.folder.path().join("one")).unwrap();
        images[1].save(&module.folder.path().join("two")).unwrap();
        module.initialize().unwrap();
        assert_eq!(module.slots(true), Ok(vec![0, 1]));
        let sessions = [0, 1].map(|slot| module.open_session(slot, true).unwrap());
        let serials = [0, 1].map(|slot| module.token_info(slot).unwrap().serialNumber);
        assert_ne!(serials[0], serials[1]);
        // The same label and id in both.
        let pairs = sessions.map(|session| keys::generate(&module, session, "key", &[1]).unwrap());
        let points = [0, 1].map(|slot| keys::point(&module, sessions[slot], pairs[slot].0));
        assert_ne!(points[0], points[1]);
        thread::scope(|scope| {
            for number in 0..8_usize {
                let (module, points) = (&module, &points);
                scope.spawn(move || {
                    let slot = number % 2;
                    let session = module.open_session(slot as CK_SLOT_ID, false).unwrap();
                    let found = module.private_keys(session);
                    assert_eq!(found.len(), 1);
                    for round in 0..4 {
                        let digest = [(number * 16 + round) as u8; 32];
                        let signature = module.sign_with(session, CKM_ECDSA, found[0], &digest).unwrap();
                        assert_signed(&points[slot], &digest, &signature);
                    }
                });
            }
        });
        // Closing or creating something in one does not affect the other.
        c!(module, C_CloseAllSessions(0)).unwrap();
        assert_eq!(module.session_info(sessions[0]).map(drop), Err(CKR_SESSION_HANDLE_INVALID));
        let signature = module.sign_with(sessions[1], CKM_ECDSA, pairs[1].1, &[5; 32]).unwrap();
        assert_signed(&points[1], &[5; 32], &signature);
    }
}

#[test]
fn threads_work_whatever_locking_was_asked_for_at_initialize() {
    static CALLED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn create(place: *mut *mut std::ffi::c_void) -> CK_RV {
        CALLED.fetch_add(1, Ordering::Relaxed);
        unsafe { *place = place.cast() };
        CKR_OK
    }
    unsafe extern "C" fn use_it(_: *mut std::ffi::c_void) -> CK_RV {
        CKR_OK
    }
    let (module, _bus) = modules()[0]();
    let none = CK_C_INITIALIZE_ARGS::default();
    let own = CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(create),
        DestroyMutex: Some(use_it),
        LockMutex: Some(use_it),
        UnlockMutex: Some(use_it),
        ..none
    };
    let variants = [
        Some(none),
        Some(CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..none }),
        Some(CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK | CKF_LIBRARY_CANT_CREATE_OS_THREADS, ..own }),
        Some(own),
        None,
    ];
    for mut args in variants {
        let args = args.as_mut().map_or(null_mut(), |args| (args as *mut CK_C_INITIALIZE_ARGS).cast());
        c!(module, C_Initialize(args)).unwrap();
        let session = module.open_session(0, true).unwrap();
        if module.private_keys(session).is_empty() {
            keys::generate(&module, session, "shared", &[1]).unwrap();
        }
        thread::scope(|scope| {
            for number in 0..4 {
                let module = &module;
                scope.spawn(move || {
                    let session = module.open_session(0, false).unwrap();
                    let key = module.private_keys(session)[0];
                    let point = point_of(module, session, key);
                    let signature = module.sign_with(session, CKM_ECDSA, key, &[number; 32]).unwrap();
                    assert_signed(&point, &[number; 32], &signature);
                });
            }
        });
        module.finalize().unwrap();
    }
}

/// The return values that are allowed for a thread while another calls C_Finalize and C_Initialize.
const MAY_BE: [CK_RV; 4] =
    [CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SESSION_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID];

#[test]
fn finalize_while_others_work_ends_their_sessions_and_makes_no_wrong_result() {
    for make in modules() {
        let (module, _bus) = make();
        let session = module.start();
        let (_, private) = keys::generate(&module, session, "shared", &[1]).unwrap();
        let point = point_of(&module, session, private);
        let (stop, signed) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..6_u8 {
                let (module, point, stop, signed) = (&module, &point, &stop, &signed);
                scope.spawn(move || {
                    for round in (0..=u8::MAX).cycle() {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let digest = [number ^ round << 3; 32];
                        let work = || {
                            let session = module.open_session(0, false)?;
                            let found = module.find(session, &[(CKA_CLASS, ulong(CKO_PRIVATE_KEY))])?;
                            let random = module.random(session, 8)?;
                            assert_ne!(random, [0; 8]);
                            let expected = Sha256::digest(digest).to_vec();
                            assert_eq!(module.digest_parts(session, CKM_SHA256, &[&digest])?, expected);
                            module.sign_with(session, CKM_ECDSA, found[0], &digest)
                        };
                        match work() {
                            Ok(signature) => {
                                assert_signed(point, &digest, &signature);
                                signed.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(rv) => assert!(MAY_BE.contains(&rv), "{rv:#x}"),
                        }
                    }
                });
            }
            for round in 0..60 {
                // Some of the work must be done in between.
                let before = signed.load(Ordering::Relaxed);
                while round % 10 == 0 && signed.load(Ordering::Relaxed) == before {
                    thread::yield_now();
                }
                assert_eq!(module.finalize(), Ok(()));
                assert_eq!(module.initialize(), Ok(()));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(signed.load(Ordering::Relaxed) >= 6);
    }
}

#[test]
fn a_handle_from_before_finalize_is_invalid_afterwards() {
    let (module, _bus) = modules()[0]();
    let before = module.start();
    let (_, key) = keys::generate(&module, before, "a", &[1]).unwrap();
    let after = module.restart();
    assert_ne!(before, after);
    assert_eq!(module.session_info(before).map(drop), Err(CKR_SESSION_HANDLE_INVALID));
    // Nor an object's.
    assert_eq!(module.find(after, &[]).unwrap().len(), 2);
    assert_eq!(module.attribute(after, key, CKA_CLASS), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.sign_init(after, CKM_ECDSA, key), Err(CKR_KEY_HANDLE_INVALID));
}

#[test]
fn sessions_opened_and_closed_by_many_threads_leave_none_behind() {
    let (module, _bus) = modules()[0]();
    let session = module.start();
    keys::generate(&module, session, "shared", &[1]).unwrap();
    let handles = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (module, handles) = (&module, &handles);
            scope.spawn(move || {
                for _ in 0..40 {
                    let session = module.open_session(0, number % 2 == 0).unwrap();
                    assert!(handles.lock().unwrap().insert(session), "a handle was used twice");
                    let key = secrets::generate(module, session, CKM_AES_KEY_GEN, &secrets::aes(false, 16)).unwrap();
                    assert_eq!(module.attribute(session, key, CKA_VALUE_LEN), Ok(ulong(16)));
                    c!(module, C_CloseSession(session)).unwrap();
                    assert_eq!(c!(module, C_CloseSession(session)), Err(CKR_SESSION_HANDLE_INVALID));
                    assert!(module.attribute(session, key, CKA_VALUE_LEN).is_err());
                }
            });
        }
    });
    assert_eq!(handles.lock().unwrap().len(), THREADS * 40);
    assert_eq!(module.token_info(0).unwrap().ulSessionCount, 1);
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]), Ok(vec![]));
}
