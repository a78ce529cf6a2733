// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations of several sessions, begun, continued, queried, finished, cancelled and abandoned in any order: each call
//! returns what a simple model of the standard says.

use std::ptr::null_mut;

use crate::common::module::{c, len, mechanism, Module};
use crate::common::one_key::with_key_in_process;
use crate::common::secrets::given;
use cryptoki_sys::*;
use hmac::{Hmac, Mac};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sha2::{Digest, Sha256};

const SESSIONS: usize = 3;
const KEY: [u8; 20] = [7; 20];
/// Of SHA-256, and its HMAC.
const LEN: usize = 32;

/// The operations that can be active in a session, one of each at a time.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Digest,
    Sign,
}

/// The buffer of a call.
#[derive(Clone, Copy, Debug)]
enum Room {
    Null,
    Bytes(usize),
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Close,
    Init(Kind),
    Cancel(Kind),
    Update(Kind, Vec<u8>),
    Whole(Kind, Vec<u8>, Room),
    Final(Kind, Room),
    FindInit,
    Find(usize),
    FindFinal,
    /// C_SessionCancel of digests and searches.
    SessionCancel,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let kind = || prop_oneof![Just(Kind::Digest), Just(Kind::Sign)];
    let data = || vec(any::<u8>(), 0..100);
    let room = || {
        let odd = prop::sample::select(vec![0, 1, LEN - 1, LEN + 1, 200]);
        prop_oneof![2 => Just(Room::Null), 3 => Just(Room::Bytes(LEN)), 2 => odd.prop_map(Room::Bytes)]
    };
    let step = prop_oneof![
        1 => Just(Step::Open),
        1 => Just(Step::Close),
        5 => kind().prop_map(Step::Init),
        1 => kind().prop_map(Step::Cancel),
        5 => (kind(), data()).prop_map(|(kind, data)| Step::Update(kind, data)),
        4 => (kind(), data(), room()).prop_map(|(kind, data, room)| Step::Whole(kind, data, room)),
        4 => (kind(), room()).prop_map(|(kind, room)| Step::Final(kind, room)),
        2 => Just(Step::FindInit),
        2 => (0..4_usize).prop_map(Step::Find),
        1 => Just(Step::FindFinal),
        1 => Just(Step::SessionCancel),
    ];
    vec((0..SESSIONS, step), 1..80)
}

/// An operation that collects data.
#[derive(Default)]
struct Collected {
    data: Vec<u8>,
    in_parts: bool,
}

/// The expected state of a session.
#[derive(Default)]
struct Model {
    digest: Option<Collected>,
    sign: Option<Collected>,
    /// How many objects a search has yet to give.
    find: Option<usize>,
}

type Answer = Result<Option<Vec<u8>>, CK_RV>;

fn result_of(kind: Kind, data: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Digest => Sha256::digest(data).to_vec(),
        Kind::Sign => {
            <Hmac<Sha256> as Mac>::new_from_slice(&KEY).unwrap().chain_update(data).finalize().into_bytes().to_vec()
        }
    }
}

impl Model {
    fn activity(&mut self, kind: Kind) -> &mut Option<Collected> {
        match kind {
            Kind::Digest => &mut self.digest,
            Kind::Sign => &mut self.sign,
        }
    }

    /// A call that returns the result, if there is room for it.
    fn end(&mut self, kind: Kind, data: &[u8], room: Room) -> Answer {
        match room {
            Room::Null => Ok(None),
            Room::Bytes(room) if room < LEN => Err(CKR_BUFFER_TOO_SMALL),
            Room::Bytes(_) => {
                let collected = self.activity(kind).take().unwrap();
                Ok(Some(result_of(kind, &[&collected.data, data].concat())))
            }
        }
    }

    fn expects(&mut self, step: &Step, objects: usize) -> Answer {
        match step {
            Step::Open | Step::Close => unreachable!(),
            Step::Init(kind) => match self.activity(*kind) {
                Some(_) => Err(CKR_OPERATION_ACTIVE),
                none => {
                    *none = Some(Collected::default());
                    Ok(None)
                }
            },
            Step::Cancel(kind) => self.activity(*kind).take().map(|_| None).ok_or(CKR_ARGUMENTS_BAD),
            Step::Update(kind, data) => {
                let collected = self.activity(*kind).as_mut().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
                collected.data.extend(data);
                collected.in_parts = true;
                Ok(None)
            }
            Step::Whole(kind, data, room) => {
                let collected = self.activity(*kind).as_ref().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
                if collected.in_parts {
                    *self.activity(*kind) = None;
                    return Err(CKR_OPERATION_ACTIVE);
                }
                self.end(*kind, data, *room)
            }
            Step::Final(kind, room) => {
                self.activity(*kind).as_ref().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
                self.end(*kind, &[], *room)
            }
            Step::FindInit if self.find.is_some() => Err(CKR_OPERATION_ACTIVE),
            Step::FindInit => {
                self.find = Some(objects);
                Ok(None)
            }
            Step::Find(room) => {
                let left = self.find.as_mut().ok_or(CKR_OPERATION_NOT_INITIALIZED)?;
                let given = (*room).min(*left);
                *left -= given;
                Ok(Some(vec![given as u8]))
            }
            Step::FindFinal => self.find.take().map(|_| None).ok_or(CKR_OPERATION_NOT_INITIALIZED),
            Step::SessionCancel => {
                (self.digest, self.find) = (None, None);
                Ok(None)
            }
        }
    }
}

/// Makes the call; a length query must return the length.
fn call(module: &Module, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE, step: &Step) -> Answer {
    let input = |data: &[u8]| (data.as_ptr().cast_mut(), len(data));
    // The result of a function that fills a buffer. The buffer is larger than the length passed, to detect writes past
    // it.
    let filled = |room: Room, fill: &dyn Fn(*mut u8, &mut CK_ULONG) -> Result<(), CK_RV>| -> Answer {
        let (mut buffer, told) = ([0xEE; 256], if let Room::Bytes(room) = room { room } else { 5 });
        let mut length = told as CK_ULONG;
        let result = fill(if let Room::Null = room { null_mut() } else { buffer.as_mut_ptr() }, &mut length);
        let answered = matches!(result, Ok(()) | Err(CKR_BUFFER_TOO_SMALL));
        assert_eq!(length as usize, if answered { LEN } else { told });
        let written = if result.is_ok() && matches!(room, Room::Bytes(_)) { LEN } else { 0 };
        assert!(buffer[written..].iter().all(|byte| *byte == 0xEE), "something else was written");
        result.map(|()| (written > 0).then(|| buffer[..written].to_vec()))
    };
    match step {
        Step::Open | Step::Close => unreachable!(),
        Step::Init(Kind::Digest) => c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).map(|()| None),
        Step::Init(Kind::Sign) => c!(module, C_SignInit(session, &mut mechanism(CKM_SHA256_HMAC), key)).map(|()| None),
        Step::Cancel(Kind::Digest) => c!(module, C_DigestInit(session, null_mut())).map(|()| None),
        Step::Cancel(Kind::Sign) => c!(module, C_SignInit(session, null_mut(), key)).map(|()| None),
        Step::Update(kind, data) => {
            let (data, data_len) = input(data);
            let result = match kind {
                Kind::Digest => c!(module, C_DigestUpdate(session, data, data_len)),
                Kind::Sign => c!(module, C_SignUpdate(session, data, data_len)),
            };
            result.map(|()| None)
        }
        Step::Whole(kind, data, room) => {
            let (data, data_len) = input(data);
            filled(*room, &|buffer, length| match kind {
                Kind::Digest => c!(module, C_Digest(session, data, data_len, buffer, length)),
                Kind::Sign => c!(module, C_Sign(session, data, data_len, buffer, length)),
            })
        }
        Step::Final(kind, room) => filled(*room, &|buffer, length| match kind {
            Kind::Digest => c!(module, C_DigestFinal(session, buffer, length)),
            Kind::Sign => c!(module, C_SignFinal(session, buffer, length)),
        }),
        Step::FindInit => c!(module, C_FindObjectsInit(session, null_mut(), 0)).map(|()| None),
        Step::Find(room) => {
            let (mut found, mut count) = ([0; 8], 0);
            c!(module, C_FindObjects(session, found.as_mut_ptr(), *room as CK_ULONG, &mut count))?;
            assert!(found[..count as usize].iter().all(|handle| *handle != 0));
            Ok(Some(vec![count as u8]))
        }
        Step::FindFinal => c!(module, C_FindObjectsFinal(session)).map(|()| None),
        Step::SessionCancel => {
            let cancel = module.list_3_2().C_SessionCancel.unwrap();
            crate::common::module::ok(unsafe { cancel(session, CKF_DIGEST | CKF_FIND_OBJECTS) }).map(|()| None)
        }
    }
}

#[test]
fn any_sequence_of_operations_returns_what_the_standard_says() {
    let (module, base, _) = with_key_in_process();
    let key = module.create_object(base, &given(false, CKK_GENERIC_SECRET, &KEY)).unwrap();
    let objects = module.find(base, &[]).unwrap().len();
    let mut runner = TestRunner::new(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() });
    let tried = runner.run(&steps(), |steps| {
        // The handle is kept after the session is closed: it must be invalid then.
        let mut sessions: [(CK_SESSION_HANDLE, Option<Model>); SESSIONS] = Default::default();
        for (at, step) in &steps {
            let (handle, model) = &mut sessions[*at];
            match (&step, &mut *model) {
                (Step::Open, None) => {
                    (*handle, *model) = (module.open_session(0, at % 2 == 0).unwrap(), Some(Model::default()))
                }
                (Step::Open, Some(_)) => {}
                (Step::Close, open) => {
                    let expected = open.take().map(|_| ()).ok_or(CKR_SESSION_HANDLE_INVALID);
                    prop_assert_eq!(c!(module, C_CloseSession(*handle)), expected);
                }
                (_, None) => prop_assert_eq!(call(&module, *handle, key, step), Err(CKR_SESSION_HANDLE_INVALID)),
                (_, Some(model)) => {
                    let expected = model.expects(step, objects);
                    prop_assert_eq!(call(&module, *handle, key, step), expected, "{:?}", step);
                }
            }
        }
        for (handle, _) in sessions.into_iter().filter(|(_, model)| model.is_some()) {
            c!(module, C_CloseSession(handle)).unwrap();
        }
        Ok(())
    });
    tried.unwrap();
}
