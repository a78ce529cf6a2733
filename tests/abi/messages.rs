//! 3.0's message functions with AES-GCM: what they answer is what C_Encrypt answers under the same vector.

use std::collections::HashSet;
use std::ptr::null_mut;

use crate::common::module::{len, ok, Module, Result};
use crate::common::secrets::{given, whole, with_io_key, Kind};
use cryptoki_sys::*;

const KEY: [u8; 16] = *b"sixteen byte key";

/// What a caller keeps for each message.
struct Message {
    iv: [u8; 12],
    fixed_bits: CK_ULONG,
    generator: CK_GENERATOR_FUNCTION,
    tag: [u8; 16],
}

impl Message {
    fn new(iv: [u8; 12], fixed_bits: CK_ULONG, generator: CK_GENERATOR_FUNCTION) -> Self {
        Self { iv, fixed_bits, generator, tag: [0; 16] }
    }

    fn parameter(&mut self) -> CK_GCM_MESSAGE_PARAMS {
        CK_GCM_MESSAGE_PARAMS {
            pIv: self.iv.as_mut_ptr(),
            ulIvLen: 12,
            ulIvFixedBits: self.fixed_bits,
            ivGenerator: self.generator,
            pTag: self.tag.as_mut_ptr(),
            ulTagBits: 128,
        }
    }
}

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

/// C_EncryptMessage or C_DecryptMessage, its length asked first.
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
        let list = module.list_3_2();
        // SAFETY: as the standard says.
        unsafe {
            assert_eq!(list.C_MessageEncryptFinal.unwrap()(session), CKR_OK);
            assert_eq!(list.C_MessageDecryptFinal.unwrap()(session), CKR_OK);
            assert_eq!(list.C_MessageDecryptFinal.unwrap()(session), CKR_OPERATION_NOT_INITIALIZED);
        }
    }
}

#[test]
fn generated_vectors_keep_the_fixed_bits_and_never_repeat() {
    let (module, _bus, session) = with_io_key();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    let generators = [CKG_GENERATE, CKG_GENERATE_COUNTER, CKG_GENERATE_COUNTER_XOR, CKG_GENERATE_RANDOM];
    // Nor in another series with the same key: a vector that comes twice would give the texts away.
    let mut seen = HashSet::new();
    for generator in generators.into_iter().chain(generators) {
        init(&module, session, true, CKM_AES_GCM, key).unwrap();
        for _ in 0..20 {
            let mut sent = Message::new([0xAB; 12], 32, generator);
            message(&module, session, true, &mut sent, b"", b"text").unwrap();
            assert_eq!(sent.iv[..4], [0xAB; 4]);
            assert!(seen.insert(sent.iv), "{generator}: a vector came twice");
        }
        // SAFETY: as the standard says.
        assert_eq!(unsafe { module.list_3_2().C_MessageEncryptFinal.unwrap()(session) }, CKR_OK);
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
    // The series goes on after a message that was refused.
    assert!(message(&module, session, true, &mut sent, b"", b"x").is_ok());
}
