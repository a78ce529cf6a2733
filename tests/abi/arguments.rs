//! Handles that name nothing, keys of another type than the mechanism's, and buffers that are NULL or empty,
//! through the C ABI.

use std::ptr::null_mut;

use crate::common::module::c;
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
    // NULL data of some length; NULL length; a NULL buffer asks for the length whatever the length says.
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
