// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two operations at once (C_DigestEncryptUpdate and similar), keys in digests, and the functions that this module
//! refuses, through the C ABI.

use std::ptr::null_mut;

use crate::common::keys::{assert_signed, generate, point};
use crate::common::module::{c, len, mechanism, ok, Module, Result};
use crate::common::secrets::{self, given, with_io_key, Kind};
use cryptoki_sys::*;
use sha2::{Digest, Sha256};

type Session = CK_SESSION_HANDLE;
type Update = unsafe extern "C" fn(Session, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG) -> CK_RV;

const CBC: Kind<'static> = Kind::Iv(CKM_AES_CBC, [7; 16]);
const CBC_PAD: Kind<'static> = Kind::Iv(CKM_AES_CBC_PAD, [7; 16]);

/// One call after a length query, which must not change anything.
fn update(function: Option<Update>, session: Session, data: &[u8]) -> Result<Vec<u8>> {
    let (function, mut length) = (function.unwrap(), 0);
    let call = |output: *mut CK_BYTE, length: &mut CK_ULONG| {
        ok(unsafe { function(session, data.as_ptr().cast_mut(), len(data), output, length) })
    };
    call(null_mut(), &mut length)?;
    let mut output = vec![0; length as usize];
    if length > 0 {
        let mut short = length - 1;
        assert_eq!(call(output.as_mut_ptr(), &mut short), Err(CKR_BUFFER_TOO_SMALL));
    }
    call(output.as_mut_ptr(), &mut length)?;
    output.truncate(length as usize);
    Ok(output)
}

fn digest_final(module: &Module, session: Session) -> Result<Vec<u8>> {
    let (mut digest, mut length) = (vec![0; 64], 64);
    c!(module, C_DigestFinal(session, digest.as_mut_ptr(), &mut length))?;
    digest.truncate(length as usize);
    Ok(digest)
}

fn text() -> Vec<u8> {
    (0..80).collect()
}

#[test]
fn a_text_is_digested_and_encrypted_in_one_go_with_keys_of_either_kind() {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let key = module.create_object(session, &given(on_token, CKK_AES, &[0x55; 16])).unwrap();
        let text = text();
        let whole = secrets::whole(&module, session, true, &CBC, key, &text).unwrap();
        c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
        secrets::init(&module, session, true, &CBC, key).unwrap();
        let mut encrypted = Vec::new();
        for part in text.chunks(24) {
            encrypted.extend(update(module.list.C_DigestEncryptUpdate, session, part).unwrap());
        }
        assert_eq!(encrypted, whole);
        assert_eq!(digest_final(&module, session), Ok(Sha256::digest(&text).to_vec()));
        let mut end = [0; 16];
        c!(module, C_EncryptFinal(session, end.as_mut_ptr(), &mut 16)).unwrap();
    }
}

#[test]
fn what_is_decrypted_is_digested_and_the_padded_end_is_the_callers_to_add() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &[0x55; 16])).unwrap();
    let encrypted = secrets::whole(&module, session, true, &CBC_PAD, key, &text()).unwrap();
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    secrets::init(&module, session, false, &CBC_PAD, key).unwrap();
    let mut clear = update(module.list.C_DecryptDigestUpdate, session, &encrypted).unwrap();
    let (mut end, mut length) = ([0; 32], 32);
    c!(module, C_DecryptFinal(session, end.as_mut_ptr(), &mut length)).unwrap();
    c!(module, C_DigestUpdate(session, end.as_mut_ptr(), length)).unwrap();
    clear.extend(&end[..length as usize]);
    assert_eq!(clear, text());
    assert_eq!(digest_final(&module, session), Ok(Sha256::digest(text()).to_vec()));
}

#[test]
fn a_text_is_signed_and_encrypted_then_decrypted_and_verified() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &[0x55; 16])).unwrap();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    let text = text();
    module.sign_init(session, CKM_ECDSA_SHA256, private).unwrap();
    secrets::init(&module, session, true, &CBC, key).unwrap();
    let encrypted = update(module.list.C_SignEncryptUpdate, session, &text).unwrap();
    let (mut signature, mut length) = ([0; 64], 64);
    c!(module, C_SignFinal(session, signature.as_mut_ptr(), &mut length)).unwrap();
    let (mut end, mut end_len) = ([0; 16], 16);
    c!(module, C_EncryptFinal(session, end.as_mut_ptr(), &mut end_len)).unwrap();
    assert_eq!(end_len, 0);
    assert_signed(&point(&module, session, public), &Sha256::digest(&text), &signature);
    module.verify_init(session, CKM_ECDSA_SHA256, public).unwrap();
    secrets::init(&module, session, false, &CBC, key).unwrap();
    let mut clear = Vec::new();
    for part in encrypted.chunks(32) {
        clear.extend(update(module.list.C_DecryptVerifyUpdate, session, part).unwrap());
    }
    assert_eq!(clear, text);
    c!(module, C_VerifyFinal(session, signature.as_mut_ptr(), 64)).unwrap();
}

#[test]
fn both_operations_must_be_there_and_a_failure_ends_both() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &[0x55; 16])).unwrap();
    let (_, private) = generate(&module, session, "a", &[1]).unwrap();
    let not_there = Err(CKR_OPERATION_NOT_INITIALIZED);
    let list = module.list;
    for function in
        [list.C_DigestEncryptUpdate, list.C_DecryptDigestUpdate, list.C_SignEncryptUpdate, list.C_DecryptVerifyUpdate]
    {
        assert_eq!(update(function, session, &[0; 16]), not_there);
    }
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    assert_eq!(update(list.C_DigestEncryptUpdate, session, &[0; 16]), not_there);
    assert!(digest_final(&module, session).is_ok(), "the digest was left alone");
    // CKM_ECDSA takes 64 bytes at most.
    module.sign_init(session, CKM_ECDSA, private).unwrap();
    secrets::init(&module, session, true, &CBC, key).unwrap();
    assert_eq!(update(list.C_SignEncryptUpdate, session, &[0; 80]), Err(CKR_DATA_LEN_RANGE));
    assert_eq!(module.sign(session, &[0; 32]), not_there);
    let finished = c!(module, C_EncryptFinal(session, null_mut(), &mut 0));
    assert_eq!(finished, Err(CKR_OPERATION_NOT_INITIALIZED));
    // NULL data of some length.
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    secrets::init(&module, session, true, &CBC, key).unwrap();
    let bad = c!(module, C_DigestEncryptUpdate(session, null_mut(), 16, null_mut(), &mut 0));
    assert_eq!(bad, Err(CKR_ARGUMENTS_BAD));
    assert_eq!(digest_final(&module, session), not_there);
}

#[test]
fn a_session_keys_value_goes_into_a_digest_and_a_chip_keys_does_not() {
    let (module, _bus, session) = with_io_key();
    let on_host = module.create_object(session, &given(false, CKK_GENERIC_SECRET, b"a secret")).unwrap();
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    c!(module, C_DigestUpdate(session, b"before ".as_ptr().cast_mut(), 7)).unwrap();
    c!(module, C_DigestKey(session, on_host)).unwrap();
    assert_eq!(digest_final(&module, session), Ok(Sha256::digest(b"before a secret").to_vec()));
    let in_chip = module.create_object(session, &given(true, CKK_AES, &[0x55; 16])).unwrap();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    for (key, expected) in [
        (in_chip, CKR_KEY_INDIGESTIBLE),
        (private, CKR_KEY_INDIGESTIBLE),
        (public, CKR_KEY_INDIGESTIBLE),
        (4711, CKR_KEY_HANDLE_INVALID),
    ] {
        c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
        assert_eq!(c!(module, C_DigestKey(session, key)), Err(expected));
        assert_eq!(digest_final(&module, session), Err(CKR_OPERATION_NOT_INITIALIZED), "that ended it");
    }
}

#[test]
fn an_operations_state_is_not_saved() {
    let (module, _bus, session) = with_io_key();
    let mut length = 0;
    let get = |length| c!(module, C_GetOperationState(session, null_mut(), length));
    assert_eq!(get(&mut length), Err(CKR_OPERATION_NOT_INITIALIZED));
    assert_eq!(get(null_mut()), Err(CKR_ARGUMENTS_BAD));
    c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256))).unwrap();
    assert_eq!(get(&mut length), Err(CKR_STATE_UNSAVEABLE));
    let mut state = [0; 8];
    let set = c!(module, C_SetOperationState(session, state.as_mut_ptr(), 8, 0, 0));
    assert_eq!(set, Err(CKR_SAVED_STATE_INVALID));
    assert_eq!(digest_final(&module, session), Ok(Sha256::digest(b"").to_vec()), "it goes on all the same");
}

#[test]
fn recovery_encapsulation_and_asynchronous_calls_are_refused_as_the_standard_has_it() {
    let (module, _bus, session) = with_io_key();
    let (public, private) = generate(&module, session, "a", &[1]).unwrap();
    let no_mechanism = Err(CKR_MECHANISM_INVALID);
    assert_eq!(c!(module, C_SignRecoverInit(session, &mut mechanism(CKM_ECDSA), private)), no_mechanism);
    assert_eq!(c!(module, C_VerifyRecoverInit(session, &mut mechanism(CKM_ECDSA), public)), no_mechanism);
    assert_eq!(c!(module, C_SignRecoverInit(session, null_mut(), private)), Err(CKR_ARGUMENTS_BAD));
    let recover = c!(module, C_SignRecover(session, null_mut(), 0, null_mut(), &mut 0));
    assert_eq!(recover, Err(CKR_OPERATION_NOT_INITIALIZED));
    let list = module.list_3_2();
    let mut key = 0;
    unsafe {
        let mut kem = mechanism(CKM_ECDH1_DERIVE);
        let encapsulate = list.C_EncapsulateKey.unwrap();
        let rv = encapsulate(session, &mut kem, public, null_mut(), 0, null_mut(), &mut 0, &mut key);
        assert_eq!(ok(rv), no_mechanism);
        let decapsulate = list.C_DecapsulateKey.unwrap();
        assert_eq!(ok(decapsulate(session, &mut kem, private, null_mut(), 0, null_mut(), 0, &mut key)), no_mechanism);
        let name = c"C_Sign".as_ptr().cast_mut().cast();
        let complete = list.C_AsyncComplete.unwrap();
        assert_eq!(complete(session, name, null_mut()), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(complete(session, null_mut(), null_mut()), CKR_ARGUMENTS_BAD);
        assert_eq!(list.C_AsyncGetID.unwrap()(session, name, &mut 0), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(list.C_AsyncJoin.unwrap()(session, name, 1, null_mut(), 0), CKR_SAVED_STATE_INVALID);
        let empty = c"".as_ptr().cast_mut().cast();
        assert_eq!(complete(session, empty, null_mut()), CKR_ARGUMENTS_BAD);
        assert_eq!(list.C_AsyncGetID.unwrap()(session, empty, &mut 0), CKR_ARGUMENTS_BAD);
        assert_eq!(list.C_AsyncJoin.unwrap()(session, empty, 1, null_mut(), 0), CKR_ARGUMENTS_BAD);
    }
}
