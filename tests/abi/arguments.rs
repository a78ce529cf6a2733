// SPDX-License-Identifier: MIT OR Apache-2.0
//! Invalid handles, keys of another type than the mechanism's, and buffers that are NULL, empty or larger than memory,
//! through the C ABI.

use std::ptr::null_mut;

use crate::common::message::Message;
use crate::common::module::{c, ok, Module, Result};
use crate::common::one_key::{generate, sign, with_key_in_process, DIGEST};
use crate::common::secrets::{given, with_io_key, Kind};
use cryptoki_sys::*;

#[test]
fn handles_that_name_nothing_are_refused_everywhere() {
    let (module, session, _) = with_key_in_process();
    for handle in [0, 4711, CK_ULONG::MAX] {
        assert_eq!(module.attribute(session, handle, CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.set_attributes(session, handle, &[(CKA_ID, vec![])]), Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.destroy(session, handle), Err(CKR_OBJECT_HANDLE_INVALID));
        let mut out = 0;
        assert_eq!(c!(module, C_GetObjectSize(session, handle, &mut out)), Err(CKR_OBJECT_HANDLE_INVALID));
        let copied = c!(module, C_CopyObject(session, handle, null_mut(), 0, &mut out));
        assert_eq!(copied, Err(CKR_OBJECT_HANDLE_INVALID));
        assert_eq!(module.sign_init(session, CKM_ECDSA, handle), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(module.verify_init(session, CKM_ECDSA, handle), Err(CKR_KEY_HANDLE_INVALID));
        assert_eq!(module.find(handle, &[]), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(sign(&module, handle, 1), Err(CKR_SESSION_HANDLE_INVALID));
        assert_eq!(generate(&module, handle, "b"), Err(CKR_SESSION_HANDLE_INVALID));
    }
    let mut kind = crate::common::module::mechanism(CKM_SHA256);
    let rv = c!(module, C_DigestKey(session, 1));
    assert!(rv.is_err());
    c!(module, C_DigestInit(session, &mut kind)).unwrap();
    assert!(c!(module, C_DigestKey(session, 1)).is_err());
}

#[test]
fn buffers_that_are_null_or_empty_are_refused_or_empty() {
    let (module, session, key) = with_key_in_process();
    let mut length = 64;
    let mut signature = [0; 64];
    // NULL data of some length; NULL length; a NULL buffer is a length query whatever the length says.
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    let rv = c!(module, C_Sign(session, null_mut(), 32, signature.as_mut_ptr(), &mut length));
    assert_eq!(rv, Err(CKR_ARGUMENTS_BAD));
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    let mut data = DIGEST;
    let rv = c!(module, C_Sign(session, data.as_mut_ptr(), 32, signature.as_mut_ptr(), null_mut()));
    assert_eq!(rv, Err(CKR_ARGUMENTS_BAD));
    module.sign_init(session, CKM_ECDSA, key).unwrap();
    length = 7;
    assert_eq!(c!(module, C_Sign(session, data.as_mut_ptr(), 32, null_mut(), &mut length)), Ok(()));
    assert_eq!(length, 64);
    length = 0;
    let rv = c!(module, C_Sign(session, data.as_mut_ptr(), 32, signature.as_mut_ptr(), &mut length));
    assert_eq!((rv, length), (Err(CKR_BUFFER_TOO_SMALL), 64));
    assert!(module.sign(session, &DIGEST).is_ok());
    assert_eq!(c!(module, C_GenerateRandom(session, null_mut(), 8)), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(c!(module, C_GenerateRandom(session, null_mut(), 0)), Ok(()));
    assert_eq!(c!(module, C_GetAttributeValue(session, key, null_mut(), 1)), Err(CKR_ARGUMENTS_BAD));
    let mut zero = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: (&raw mut signature).cast(), ulValueLen: 0 };
    assert_eq!(c!(module, C_GetAttributeValue(session, key, &mut zero, 1)), Err(CKR_BUFFER_TOO_SMALL));
    let mut null_value = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: null_mut(), ulValueLen: 5 };
    assert_eq!(c!(module, C_SetAttributeValue(session, key, &mut null_value, 1)), Err(CKR_ARGUMENTS_BAD));
    assert!(c!(module, C_FindObjectsInit(session, &mut null_value, 1)).is_err());
    assert_eq!(c!(module, C_FindObjectsInit(session, null_mut(), 1)), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(module.label(session, key), "a");
}

/// Lengths that no buffer has: up to the last byte of an address space, past its half, and more.
const IMPOSSIBLE: [CK_ULONG; 4] = [CK_ULONG::MAX / 2, CK_ULONG::MAX / 2 + 1, CK_ULONG::MAX - 1, CK_ULONG::MAX];

#[test]
fn an_input_that_would_end_behind_the_memory_is_refused_by_every_function() {
    let (module, _bus, session) = with_io_key();
    let aes = module.create_object(session, &given(false, CKK_AES, &[5; 16])).unwrap();
    let secret = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &[5; 16])).unwrap();
    let cbc = Kind::Iv(CKM_AES_CBC, [0; 16]);
    let hmac = Kind::Plain(CKM_SHA256_HMAC);
    let begin_digest = || Kind::Plain(CKM_SHA256).with(|kind| c!(module, C_DigestInit(session, kind)));
    let mut data = [0; 64];
    let data = data.as_mut_ptr();
    // With addresses of 32 bits, half the memory may follow a low address, such as the stack's under an emulator.
    let fits = |len: CK_ULONG| {
        let end = (data as usize).checked_add(len as usize);
        CK_ULONG::BITS == 32 && len == CK_ULONG::MAX / 2 && end.is_some()
    };
    for len in IMPOSSIBLE.into_iter().filter(|len| !fits(*len)) {
        // A length query reads no input, and is refused too.
        for output in [null_mut(), data] {
            let mut room = 64;
            let refused = |name: &str, result: Result<()>| {
                assert_eq!(result, Err(CKR_ARGUMENTS_BAD), "{name} with {len:#x} bytes");
            };
            begin_digest().unwrap();
            refused("C_Digest", c!(module, C_Digest(session, data, len, output, &mut room)));
            begin_digest().unwrap();
            refused("C_DigestUpdate", c!(module, C_DigestUpdate(session, data, len)));
            cbc.with(|kind| c!(module, C_EncryptInit(session, kind, aes))).unwrap();
            refused("C_Encrypt", c!(module, C_Encrypt(session, data, len, output, &mut room)));
            cbc.with(|kind| c!(module, C_EncryptInit(session, kind, aes))).unwrap();
            refused("C_EncryptUpdate", c!(module, C_EncryptUpdate(session, data, len, output, &mut room)));
            cbc.with(|kind| c!(module, C_DecryptInit(session, kind, aes))).unwrap();
            refused("C_Decrypt", c!(module, C_Decrypt(session, data, len, output, &mut room)));
            cbc.with(|kind| c!(module, C_DecryptInit(session, kind, aes))).unwrap();
            refused("C_DecryptUpdate", c!(module, C_DecryptUpdate(session, data, len, output, &mut room)));
            hmac.with(|kind| c!(module, C_SignInit(session, kind, secret))).unwrap();
            refused("C_Sign", c!(module, C_Sign(session, data, len, output, &mut room)));
            hmac.with(|kind| c!(module, C_SignInit(session, kind, secret))).unwrap();
            refused("C_SignUpdate", c!(module, C_SignUpdate(session, data, len)));
            hmac.with(|kind| c!(module, C_VerifyInit(session, kind, secret))).unwrap();
            refused("C_Verify", c!(module, C_Verify(session, data, len, data, 32)));
            hmac.with(|kind| c!(module, C_VerifyInit(session, kind, secret))).unwrap();
            refused("C_Verify, signature", c!(module, C_Verify(session, data, 8, data, len)));
            refused("C_SeedRandom", c!(module, C_SeedRandom(session, data, len)));
            refused("C_GenerateRandom", c!(module, C_GenerateRandom(session, data, len)));
            for (name, result) in messages(&module, session, aes, data, len, output) {
                refused(name, result);
            }
        }
    }
}

/// The functions of messages, with each of their inputs as long as `len` says.
fn messages(
    module: &Module,
    session: CK_SESSION_HANDLE,
    aes: CK_OBJECT_HANDLE,
    data: *mut u8,
    len: CK_ULONG,
    output: *mut u8,
) -> Vec<(&'static str, Result<()>)> {
    let list = module.list_3_2();
    let (mut message, mut room) = (Message::new([1; 12], 0, CKG_NO_GENERATE), 64);
    let mut parameter = message.parameter();
    let parameter = (&raw mut parameter).cast();
    let size = size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG;
    let mut kind = crate::common::module::mechanism(CKM_AES_GCM);
    let mut results = Vec::new();
    // SAFETY: as the standard says, but for the lengths, with which nothing may be read.
    unsafe {
        for (names, init, whole, begin, next, finish) in [
            (
                ["C_EncryptMessage", "C_EncryptMessageBegin", "C_EncryptMessageNext"],
                list.C_MessageEncryptInit,
                list.C_EncryptMessage,
                list.C_EncryptMessageBegin,
                list.C_EncryptMessageNext,
                list.C_MessageEncryptFinal,
            ),
            (
                ["C_DecryptMessage", "C_DecryptMessageBegin", "C_DecryptMessageNext"],
                list.C_MessageDecryptInit,
                list.C_DecryptMessage,
                list.C_DecryptMessageBegin,
                list.C_DecryptMessageNext,
                list.C_MessageDecryptFinal,
            ),
        ] {
            let (whole, begin, next) = (whole.unwrap(), begin.unwrap(), next.unwrap());
            ok(init.unwrap()(session, &mut kind, aes)).unwrap();
            for (associated, text) in [(len, 8), (8, len)] {
                let rv = whole(session, parameter, size, data, associated, data, text, output, &mut room);
                results.push((names[0], ok(rv)));
            }
            let rv = whole(session, parameter, len, data, 8, data, 8, output, &mut room);
            assert_eq!(rv, CKR_MECHANISM_PARAM_INVALID, "{} with a parameter of {len:#x} bytes", names[0]);
            results.push((names[1], ok(begin(session, parameter, size, data, len))));
            for flags in [0, CKF_END_OF_MESSAGE] {
                ok(begin(session, parameter, size, data, 8)).unwrap();
                results.push((names[2], ok(next(session, parameter, size, data, len, output, &mut room, flags))));
            }
            ok(finish.unwrap()(session)).unwrap();
        }
    }
    results
}

#[test]
fn a_key_of_another_type_than_the_mechanisms_is_refused_for_its_type() {
    let (module, _bus, session) = with_io_key();
    let create = |on_token, key_type| module.create_object(session, &given(on_token, key_type, &[5; 16])).unwrap();
    let private = generate(&module, session, "a").unwrap();
    let public = module.public_of(session, private);
    let aes = [create(false, CKK_AES), create(true, CKK_AES)];
    let generic = [create(false, CKK_GENERIC_SECRET), create(true, CKK_GENERIC_SECRET)];
    let both = |keys: [CK_OBJECT_HANDLE; 2], more: &[CK_OBJECT_HANDLE]| [&keys[..], more].concat();
    let ciphers = [
        Kind::Plain(CKM_AES_ECB),
        Kind::Iv(CKM_AES_CBC, [0; 16]),
        Kind::Iv(CKM_AES_CBC_PAD, [0; 16]),
        Kind::Ctr(128, [0; 16]),
        Kind::Gcm { iv: &[1; 12], associated: b"", tag_bits: 128 },
    ];
    let list = module.list_3_2();
    for kind in &ciphers {
        for key in both(generic, &[public, private]) {
            let results = kind.with(|kind| {
                [c!(module, C_EncryptInit(session, kind, key)), c!(module, C_DecryptInit(session, kind, key))]
            });
            assert_eq!(results, [Err(CKR_KEY_TYPE_INCONSISTENT); 2]);
        }
    }
    let mut gcm = crate::common::module::mechanism(CKM_AES_GCM);
    for key in both(generic, &[public, private]) {
        for init in [list.C_MessageEncryptInit, list.C_MessageDecryptInit] {
            // SAFETY: as the standard says.
            assert_eq!(unsafe { init.unwrap()(session, &mut gcm, key) }, CKR_KEY_TYPE_INCONSISTENT);
        }
    }
    for (kind, wrong) in [
        (CKM_AES_CMAC, both(generic, &[public, private])),
        (CKM_SHA256_HMAC, both(aes, &[public, private])),
        (CKM_ECDSA, both(aes, &generic)),
        (CKM_ECDSA_SHA256, both(aes, &generic)),
    ] {
        for key in wrong {
            assert_eq!(module.sign_init(session, kind, key), Err(CKR_KEY_TYPE_INCONSISTENT), "{kind:#x}");
            assert_eq!(module.verify_init(session, kind, key), Err(CKR_KEY_TYPE_INCONSISTENT), "{kind:#x}");
        }
    }
    assert_eq!(module.sign_init(session, CKM_ECDSA, public), Err(CKR_KEY_TYPE_INCONSISTENT));
    assert_eq!(module.verify_init(session, CKM_ECDSA, private), Err(CKR_KEY_TYPE_INCONSISTENT));
    // The right type without the right use.
    let use_less = |key_type, uses: &[CK_ATTRIBUTE_TYPE]| {
        let mut template = given(false, key_type, &[5; 16]);
        template.extend(uses.iter().map(|usage| (*usage, crate::common::module::boolean(false))));
        module.create_object(session, &template).unwrap()
    };
    let key = use_less(CKK_AES, &[CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN]);
    let results = ciphers[0]
        .with(|kind| [c!(module, C_EncryptInit(session, kind, key)), c!(module, C_DecryptInit(session, kind, key))]);
    assert_eq!(results, [Err(CKR_KEY_FUNCTION_NOT_PERMITTED); 2]);
    assert_eq!(module.sign_init(session, CKM_AES_CMAC, key), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    let key = use_less(CKK_GENERIC_SECRET, &[CKA_SIGN]);
    assert_eq!(module.sign_init(session, CKM_SHA256_HMAC, key), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
}
