// SPDX-License-Identifier: MIT OR Apache-2.0
//! 3.0's message functions with AES-GCM: their results equal those of C_Encrypt with the same vector.

use std::collections::HashSet;
use std::ptr::null_mut;

use crate::common::message::Message;
use crate::common::module::{len, ok, Module, Result};
use crate::common::secrets::{given, whole, with_io_key, Kind};
use cryptoki_sys::*;

const KEY: [u8; 16] = *b"sixteen byte key";

fn init(
    module: &Module,
    session: CK_SESSION_HANDLE,
    encrypt: bool,
    kind: CK_MECHANISM_TYPE,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let list = module.list_3_2();
    let function = if encrypt { list.C_MessageEncryptInit } else { list.C_MessageDecryptInit };
    // SAFETY: as the standard says.
    ok(unsafe { function.unwrap()(session, &mut crate::common::module::mechanism(kind), key) })
}

/// C_EncryptMessage or C_DecryptMessage, after a length query.
fn message(
    module: &Module,
    session: CK_SESSION_HANDLE,
    encrypt: bool,
    message: &mut Message,
    associated: &[u8],
    text: &[u8],
) -> Result<Vec<u8>> {
    let list = module.list_3_2();
    let function = if encrypt { list.C_EncryptMessage } else { list.C_DecryptMessage }.unwrap();
    let (mut parameter, mut length) = (message.parameter(), 0);
    let mut call = |output, length: &mut CK_ULONG| {
        let size = size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG;
        let (aad, data) = (associated.as_ptr().cast_mut(), text.as_ptr().cast_mut());
        // SAFETY: as the standard says.
        ok(unsafe {
            let parameter = (&raw mut parameter).cast();
            function(session, parameter, size, aad, len(associated), data, len(text), output, length)
        })
    };
    call(null_mut(), &mut length)?;
    assert_eq!(length, len(text));
    let mut output = vec![0; text.len() + 1];
    call(output.as_mut_ptr(), &mut length)?;
    output.truncate(length as usize);
    Ok(output)
}

/// C_MessageEncryptFinal or C_MessageDecryptFinal.
fn finish(module: &Module, session: CK_SESSION_HANDLE, encrypt: bool) -> Result<()> {
    let list = module.list_3_2();
    let function = if encrypt { list.C_MessageEncryptFinal } else { list.C_MessageDecryptFinal };
    // SAFETY: as the standard says.
    ok(unsafe { function.unwrap()(session) })
}

/// C_EncryptMessageBegin or C_DecryptMessageBegin.
fn begin(
    module: &Module,
    session: CK_SESSION_HANDLE,
    encrypt: bool,
    message: &mut Message,
    associated: &[u8],
) -> Result<()> {
    let list = module.list_3_2();
    let function = if encrypt { list.C_EncryptMessageBegin } else { list.C_DecryptMessageBegin }.unwrap();
    let mut parameter = message.parameter();
    let size = size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG;
    // SAFETY: as the standard says.
    ok(unsafe { function(session, (&raw mut parameter).cast(), size, associated.as_ptr().cast_mut(), len(associated)) })
}

/// C_EncryptMessageNext or C_DecryptMessageNext, after a length query, and after a call with a buffer that is too
/// short.
fn next(
    module: &Module,
    session: CK_SESSION_HANDLE,
    encrypt: bool,
    message: &mut Message,
    part: &[u8],
    flags: CK_FLAGS,
) -> Result<Vec<u8>> {
    let list = module.list_3_2();
    let function = if encrypt { list.C_EncryptMessageNext } else { list.C_DecryptMessageNext }.unwrap();
    let (mut parameter, mut length) = (message.parameter(), 0);
    let mut call = |output, length: &mut CK_ULONG| {
        let size = size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG;
        let parameter = (&raw mut parameter).cast();
        // SAFETY: as the standard says.
        ok(unsafe { function(session, parameter, size, part.as_ptr().cast_mut(), len(part), output, length, flags) })
    };
    call(null_mut(), &mut length)?;
    let (mut output, told) = (vec![0; length as usize + 1], length);
    if told > 0 {
        length = told - 1;
        assert_eq!(call(output.as_mut_ptr(), &mut length), Err(CKR_BUFFER_TOO_SMALL));
        assert_eq!(length, told);
    }
    call(output.as_mut_ptr(), &mut length)?;
    assert_eq!(length, told);
    output.truncate(told as usize);
    Ok(output)
}

/// A message in parts, the last of which ends it.
fn in_parts(
    module: &Module,
    session: CK_SESSION_HANDLE,
    encrypt: bool,
    message: &mut Message,
    associated: &[u8],
    parts: &[&[u8]],
) -> Result<Vec<Vec<u8>>> {
    begin(module, session, encrypt, message, associated)?;
    let flags = |number| if number + 1 == parts.len() { CKF_END_OF_MESSAGE } else { 0 };
    let parts = parts.iter().enumerate();
    parts.map(|(number, part)| next(module, session, encrypt, message, part, flags(number))).collect()
}

#[test]
fn messages_in_parts_are_those_of_c_encrypt_and_come_back_with_the_last_part() {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let key = module.create_object(session, &given(on_token, CKK_AES, &KEY)).unwrap();
        init(&module, session, true, CKM_AES_GCM, key).unwrap();
        init(&module, session, false, CKM_AES_GCM, key).unwrap();
        for (number, parts) in
            [&[&b""[..]][..], &[b"a message"], &[b"in", b"", b" parts of any size ", b"."]].into_iter().enumerate()
        {
            let text = parts.concat();
            let mut sent = Message::new([number as u8; 12], 0, CKG_NO_GENERATE);
            let encrypted = in_parts(&module, session, true, &mut sent, b"to", parts).unwrap();
            let lengths = |parts: &[Vec<u8>]| parts.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(lengths(&encrypted), parts.iter().map(|part| part.len()).collect::<Vec<_>>());
            let gcm = Kind::Gcm { iv: &sent.iv, associated: b"to", tag_bits: 128 };
            let expected = whole(&module, session, true, &gcm, key, &text).unwrap();
            assert_eq!([&encrypted.concat()[..], &sent.tag].concat(), expected);
            let encrypted: Vec<&[u8]> = encrypted.iter().map(Vec::as_slice).collect();
            let decrypted = in_parts(&module, session, false, &mut sent, b"to", &encrypted).unwrap();
            assert!(
                lengths(&decrypted)[..parts.len() - 1].iter().all(|len| *len == 0),
                "nothing before the tag was seen"
            );
            assert_eq!(decrypted.concat(), text);
            assert_eq!(message(&module, session, false, &mut sent, b"to", &encrypted.concat()), Ok(text));
        }
        assert_eq!([true, false].map(|encrypt| finish(&module, session, encrypt)), [Ok(()), Ok(())]);
    }
}

#[test]
fn a_forged_message_in_parts_gives_nothing_away_and_the_series_goes_on() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    init(&module, session, true, CKM_AES_GCM, key).unwrap();
    init(&module, session, false, CKM_AES_GCM, key).unwrap();
    let mut sent = Message::new([1; 12], 0, CKG_NO_GENERATE);
    let encrypted = in_parts(&module, session, true, &mut sent, b"to", &[b"one part", b" and another"]).unwrap();
    sent.tag[0] ^= 1;
    let parts: Vec<&[u8]> = encrypted.iter().map(Vec::as_slice).collect();
    assert_eq!(in_parts(&module, session, false, &mut sent, b"to", &parts), Err(CKR_AEAD_DECRYPT_FAILED));
    sent.tag[0] ^= 1;
    assert_eq!(in_parts(&module, session, false, &mut sent, b"TO", &parts), Err(CKR_AEAD_DECRYPT_FAILED));
    assert_eq!(in_parts(&module, session, false, &mut sent, b"to", &parts).unwrap().concat(), b"one part and another");
}

#[test]
fn a_vector_generated_for_a_message_in_parts_is_returned_when_it_begins() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    init(&module, session, true, CKM_AES_GCM, key).unwrap();
    init(&module, session, false, CKM_AES_GCM, key).unwrap();
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let mut sent = Message::new([0xAB; 12], 32, CKG_GENERATE);
        begin(&module, session, true, &mut sent, b"").unwrap();
        assert_eq!(sent.iv[..4], [0xAB; 4]);
        assert!(seen.insert(sent.iv));
        let encrypted = next(&module, session, true, &mut sent, b"text", CKF_END_OF_MESSAGE).unwrap();
        assert_eq!(message(&module, session, false, &mut sent, b"", &encrypted), Ok(b"text".to_vec()));
    }
}

#[test]
fn one_message_is_active_at_a_time_and_an_error_ends_it() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    for encrypt in [true, false] {
        let mut sent = Message::new([1; 12], 0, CKG_NO_GENERATE);
        let begin = |message: &mut Message| self::begin(&module, session, encrypt, message, b"");
        let next = |message: &mut Message, flags| self::next(&module, session, encrypt, message, b"x", flags);
        assert_eq!(begin(&mut sent), Err(CKR_OPERATION_NOT_INITIALIZED));
        init(&module, session, encrypt, CKM_AES_GCM, key).unwrap();
        assert_eq!(next(&mut sent, CKF_END_OF_MESSAGE), Err(CKR_OPERATION_NOT_INITIALIZED));
        begin(&mut sent).unwrap();
        assert_eq!(begin(&mut sent), Err(CKR_OPERATION_ACTIVE));
        assert_eq!(message(&module, session, encrypt, &mut sent, b"", b"x"), Err(CKR_OPERATION_ACTIVE));
        assert!(next(&mut sent, 0).is_ok(), "the message goes on");
        assert_eq!(next(&mut sent, CKF_END_OF_MESSAGE | 2), Err(CKR_ARGUMENTS_BAD));
        assert_eq!(next(&mut sent, 0), Err(CKR_OPERATION_NOT_INITIALIZED));
        // The series continues, and ends with its message.
        begin(&mut sent).unwrap();
        assert_eq!(finish(&module, session, encrypt), Ok(()));
        assert_eq!(next(&mut sent, 0), Err(CKR_OPERATION_NOT_INITIALIZED));
    }
}

#[test]
fn a_tag_of_another_length_than_the_message_began_with_is_refused() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    let list = module.list_3_2();
    let mut output = [0; 4];
    for (encrypt, function) in [(true, list.C_EncryptMessageNext), (false, list.C_DecryptMessageNext)] {
        init(&module, session, encrypt, CKM_AES_GCM, key).unwrap();
        let mut sent = Message::new([1; 12], 0, CKG_NO_GENERATE);
        begin(&module, session, encrypt, &mut sent, b"").unwrap();
        let mut parameter = CK_GCM_MESSAGE_PARAMS { ulTagBits: 96, ..sent.parameter() };
        let (parameter, size) = ((&raw mut parameter).cast(), size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG);
        let (text, mut length) = (b"text".as_ptr().cast_mut(), 4);
        // SAFETY: as the standard says.
        let rv = unsafe {
            let out = output.as_mut_ptr();
            function.unwrap()(session, parameter, size, text, 4, out, &mut length, CKF_END_OF_MESSAGE)
        };
        assert_eq!((rv, output, sent.tag), (CKR_MECHANISM_PARAM_INVALID, [0; 4], [0; 16]));
    }
}

#[test]
fn a_series_begins_without_a_parameter_or_with_one_of_the_right_form() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    let list = module.list_3_2();
    let mut parameter = Message::new([1; 12], 0, CKG_NO_GENERATE).parameter();
    let (place, size) = ((&raw mut parameter).cast(), size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG);
    for (encrypt, begin) in [(true, list.C_MessageEncryptInit), (false, list.C_MessageDecryptInit)] {
        for (pointer, length, expected) in [
            (null_mut(), 0, CKR_OK),
            (place, size, CKR_OK),
            (null_mut(), size, CKR_MECHANISM_PARAM_INVALID),
            (place, 1, CKR_MECHANISM_PARAM_INVALID),
            (place, size + 1, CKR_MECHANISM_PARAM_INVALID),
        ] {
            let mut kind = CK_MECHANISM { mechanism: CKM_AES_GCM, pParameter: pointer, ulParameterLen: length };
            // SAFETY: as the standard says; a parameter of a wrong length is not read.
            assert_eq!(unsafe { begin.unwrap()(session, &mut kind, key) }, expected, "{length} bytes");
            if expected == CKR_OK {
                assert_eq!(finish(&module, session, encrypt), Ok(()));
            }
        }
    }
}

#[test]
fn messages_are_encrypted_as_by_c_encrypt_and_come_back() {
    let (module, _bus, session) = with_io_key();
    for on_token in [false, true] {
        let key = module.create_object(session, &given(on_token, CKK_AES, &KEY)).unwrap();
        init(&module, session, true, CKM_AES_GCM, key).unwrap();
        init(&module, session, false, CKM_AES_GCM, key).unwrap();
        for (number, text) in [&b""[..], b"a message", &[7; 100]].into_iter().enumerate() {
            let mut sent = Message::new([number as u8; 12], 0, CKG_NO_GENERATE);
            let encrypted = message(&module, session, true, &mut sent, b"to", text).unwrap();
            let gcm = Kind::Gcm { iv: &sent.iv, associated: b"to", tag_bits: 128 };
            let expected = whole(&module, session, true, &gcm, key, text).unwrap();
            assert_eq!([&encrypted[..], &sent.tag].concat(), expected);
            assert_eq!(message(&module, session, false, &mut sent, b"to", &encrypted), Ok(text.to_vec()));
            let other = message(&module, session, false, &mut sent, b"TO", &encrypted);
            assert_eq!(other, Err(CKR_AEAD_DECRYPT_FAILED));
            sent.tag[0] ^= 1;
            let forged = message(&module, session, false, &mut sent, b"to", &encrypted);
            assert_eq!(forged, Err(CKR_AEAD_DECRYPT_FAILED));
        }
        assert_eq!(
            [true, true, false].map(|encrypt| finish(&module, session, encrypt)),
            [Ok(()), Err(CKR_OPERATION_NOT_INITIALIZED), Ok(())]
        );
    }
}

#[test]
fn generated_vectors_keep_the_fixed_bits_and_never_repeat() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    let generators = [CKG_GENERATE, CKG_GENERATE_COUNTER, CKG_GENERATE_COUNTER_XOR, CKG_GENERATE_RANDOM];
    // Nor in another series with the same key: a repeated vector would reveal the texts.
    let mut seen = HashSet::new();
    for generator in generators.into_iter().chain(generators) {
        init(&module, session, true, CKM_AES_GCM, key).unwrap();
        for _ in 0..20 {
            let mut sent = Message::new([0xAB; 12], 32, generator);
            message(&module, session, true, &mut sent, b"", b"text").unwrap();
            assert_eq!(sent.iv[..4], [0xAB; 4]);
            assert!(seen.insert(sent.iv), "{generator}: a vector came twice");
        }
        assert_eq!(finish(&module, session, true), Ok(()));
    }
}

#[test]
fn what_is_not_a_message_cipher_is_refused() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    let secret = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &KEY)).unwrap();
    assert_eq!(init(&module, session, true, CKM_AES_CBC, key), Err(CKR_MECHANISM_INVALID));
    assert_eq!(init(&module, session, true, CKM_AES_GCM, secret), Err(CKR_KEY_TYPE_INCONSISTENT));
    let mut sent = Message::new([1; 12], 0, CKG_NO_GENERATE);
    let nothing = message(&module, session, true, &mut sent, b"", b"");
    assert_eq!(nothing, Err(CKR_OPERATION_NOT_INITIALIZED));
    init(&module, session, true, CKM_AES_GCM, key).unwrap();
    for (fixed_bits, generator) in [(96, CKG_GENERATE), (33, CKG_GENERATE), (97, CKG_GENERATE), (0, 99)] {
        let mut sent = Message::new([1; 12], fixed_bits, generator);
        assert_eq!(message(&module, session, true, &mut sent, b"", b"x"), Err(CKR_MECHANISM_PARAM_INVALID));
    }
    // The series continues after a refused message.
    assert!(message(&module, session, true, &mut sent, b"", b"x").is_ok());
}
