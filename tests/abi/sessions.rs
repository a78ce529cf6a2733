// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions, login, and the rules of operations over the C ABI, with a blank chip: none of it needs a key.

use std::ptr::null_mut;

use crate::common::module::{c, mechanism, Module};
use cryptoki_sys::*;

fn initialized() -> Module {
    let module = Module::simulated();
    module.initialize().unwrap();
    module
}

#[test]
fn sessions_are_counted_and_handles_not_used_again() {
    let module = initialized();
    let (first, second) = (module.open_session(0, false).unwrap(), module.open_session(0, true).unwrap());
    let info = module.token_info(0).unwrap();
    assert_eq!((info.ulSessionCount, info.ulRwSessionCount), (2, 1));
    assert_eq!((info.ulMaxSessionCount, info.ulMaxRwSessionCount), (CK_EFFECTIVELY_INFINITE, CK_EFFECTIVELY_INFINITE));
    c!(module, C_CloseSession(second)).unwrap();
    assert_eq!(c!(module, C_CloseSession(second)), Err(CKR_SESSION_HANDLE_INVALID));
    let third = module.open_session(0, true).unwrap();
    assert!(![0, first, second].contains(&third));
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(module.token_info(0).unwrap().ulSessionCount, 0);
    assert_eq!(module.session_info(first).map(drop), Err(CKR_SESSION_HANDLE_INVALID));
}

#[test]
fn a_thousand_sessions_can_be_open() {
    let module = initialized();
    for _ in 0..1000 {
        module.open_session(0, true).unwrap();
    }
    assert_eq!(module.token_info(0).unwrap().ulSessionCount, 1000);
}

#[test]
fn session_flags_are_checked() {
    let module = initialized();
    let open = |flags| {
        let mut session = 0;
        c!(module, C_OpenSession(0, flags, null_mut(), None, &mut session))
    };
    assert_eq!(open(0), Err(CKR_SESSION_PARALLEL_NOT_SUPPORTED));
    assert_eq!(open(CKF_SERIAL_SESSION | CKF_ASYNC_SESSION), Err(CKR_SESSION_ASYNC_NOT_SUPPORTED));
    assert_eq!(open(CKF_SERIAL_SESSION), Ok(()));
    assert_eq!(module.open_session(1, false), Err(CKR_SLOT_ID_INVALID));
}

#[test]
fn login_belongs_to_the_application_and_ends_with_its_last_session() {
    let module = initialized();
    let (reader, writer) = (module.open_session(0, false).unwrap(), module.open_session(0, true).unwrap());
    let states = || [reader, writer].map(|session| module.session_info(session).unwrap().state);
    assert_eq!(states(), [CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION]);
    assert_eq!(module.login(reader, CKU_USER, b"1234"), Ok(()));
    assert_eq!(states(), [CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS]);
    assert_eq!(module.login(writer, CKU_USER, b""), Err(CKR_USER_ALREADY_LOGGED_IN));
    c!(module, C_Logout(writer)).unwrap();
    assert_eq!(states(), [CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION]);
    module.login(reader, CKU_USER, b"").unwrap();
    c!(module, C_CloseAllSessions(0)).unwrap();
    let session = module.open_session(0, false).unwrap();
    assert_eq!(module.session_info(session).unwrap().state, CKS_RO_PUBLIC_SESSION);
}

#[test]
fn the_security_officer_does_not_share_with_read_only_sessions() {
    let module = initialized();
    let session = module.open_session(0, false).unwrap();
    assert_eq!(module.login(session, CKU_SO, b"1234"), Err(CKR_SESSION_READ_ONLY_EXISTS));
}

#[test]
fn users_have_no_names() {
    let module = initialized();
    let session = module.open_session(0, false).unwrap();
    let login = |name: &[u8]| unsafe {
        let function = module.list_3_2().C_LoginUser.unwrap();
        function(session, CKU_USER, null_mut(), 0, name.as_ptr().cast_mut(), name.len() as CK_ULONG)
    };
    assert_eq!(login(b"alice"), CKR_USER_TYPE_INVALID);
    assert_eq!(login(b""), CKR_OK);
}

#[test]
fn a_digest_is_asked_in_two_calls_and_a_short_buffer_keeps_it() {
    let module = initialized();
    let session = module.open_session(0, false).unwrap();
    let (mut data, mut digest) = (*b"abc", [0; 32]);
    let mut call = |digest: *mut u8, mut room: CK_ULONG| {
        c!(module, C_Digest(session, data.as_mut_ptr(), 3, digest, &mut room)).map(|()| room).map_err(|rv| (rv, room))
    };
    assert_eq!(call(null_mut(), 0), Err((CKR_OPERATION_NOT_INITIALIZED, 0)));
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    assert_eq!(c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))), Err(CKR_OPERATION_ACTIVE));
    assert_eq!(call(null_mut(), 0), Ok(32));
    assert_eq!(call(digest.as_mut_ptr(), 31), Err((CKR_BUFFER_TOO_SMALL, 32)));
    assert_eq!(call(digest.as_mut_ptr(), 32), Ok(32));
    assert_eq!(digest[..4], [0xBA, 0x78, 0x16, 0xBF]);
    assert_eq!(call(digest.as_mut_ptr(), 32), Err((CKR_OPERATION_NOT_INITIALIZED, 32)));
}

#[test]
fn an_operation_in_parts_is_not_finished_by_the_single_call() {
    let module = initialized();
    let session = module.open_session(0, false).unwrap();
    let (mut digest, mut room) = ([0; 32], 32);
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    c!(module, C_DigestUpdate(session, null_mut(), 0)).unwrap();
    let single = c!(module, C_Digest(session, null_mut(), 0, digest.as_mut_ptr(), &mut room));
    assert_eq!(single, Err(CKR_OPERATION_ACTIVE));
    let last = c!(module, C_DigestFinal(session, digest.as_mut_ptr(), &mut room));
    assert_eq!(last, Err(CKR_OPERATION_NOT_INITIALIZED));
}

#[test]
fn operations_are_cancelled_by_a_null_mechanism_or_by_name() {
    let module = initialized();
    let session = module.open_session(0, false).unwrap();
    let begin = || c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256)));
    assert_eq!(c!(module, C_DigestInit(session, null_mut())), Err(CKR_ARGUMENTS_BAD));
    begin().unwrap();
    assert_eq!(c!(module, C_DigestInit(session, null_mut())), Ok(()));
    begin().unwrap();
    let cancel = module.list_3_2().C_SessionCancel.unwrap();
    assert_eq!(unsafe { cancel(session, CKF_SIGN | CKF_FIND_OBJECTS) }, CKR_OK);
    assert_eq!(begin(), Err(CKR_OPERATION_ACTIVE));
    assert_eq!(unsafe { cancel(session, CKF_DIGEST) }, CKR_OK);
    assert_eq!(begin(), Ok(()));
}

#[test]
fn a_search_is_independent_of_other_operations() {
    let module = initialized();
    let session = module.open_session(0, false).unwrap();
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    c!(module, C_FindObjectsInit(session, null_mut(), 0)).unwrap();
    assert_eq!(c!(module, C_FindObjectsInit(session, null_mut(), 0)), Err(CKR_OPERATION_ACTIVE));
    let mut count = 9;
    assert_eq!(c!(module, C_FindObjects(session, null_mut(), 1, &mut count)), Err(CKR_ARGUMENTS_BAD));
    c!(module, C_FindObjects(session, null_mut(), 0, &mut count)).unwrap();
    assert_eq!(count, 0);
    c!(module, C_FindObjectsFinal(session)).unwrap();
    assert_eq!(c!(module, C_FindObjectsFinal(session)), Err(CKR_OPERATION_NOT_INITIALIZED));
}

#[test]
fn what_is_not_supported_says_so() {
    let module = initialized();
    let session = module.open_session(0, false).unwrap();
    assert_eq!(c!(module, C_SeedRandom(session, [1_u8].as_mut_ptr(), 1)), Err(CKR_RANDOM_SEED_NOT_SUPPORTED));
    assert_eq!(c!(module, C_GetFunctionStatus(session)), Err(CKR_FUNCTION_NOT_PARALLEL));
    assert_eq!(c!(module, C_CancelFunction(session)), Err(CKR_FUNCTION_NOT_PARALLEL));
    let encrypt = c!(module, C_EncryptInit(session, &mut mechanism(CKM_RSA_PKCS), 1));
    assert!([Err(CKR_MECHANISM_INVALID), Err(CKR_KEY_HANDLE_INVALID)].contains(&encrypt));
    assert_eq!(module.random(session, 16), Err(CKR_RANDOM_NO_RNG), "a blank chip has no random numbers");
    c!(module, C_GenerateRandom(session, null_mut(), 0)).unwrap();
}
