// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process at its memory limit: allocations whose size the caller determines fail with CKR_HOST_MEMORY, and the
//! process continues.

use std::fs;

use crate::common::keys::create_certificate;
use crate::common::message::Message;
use crate::common::module::{c, len, ok, Module, Result};
use crate::common::process::{self, Helper};
use crate::common::secrets::{code, given, init, whole, with_io_key, Kind};
use cryptoki_sys::*;
use rustix::process::{setrlimit, Resource, Rlimit};

type Session = CK_SESSION_HANDLE;
type Handle = CK_OBJECT_HANDLE;

const KEY: [u8; 16] = *b"sixteen byte key";
const IV: [u8; 16] = [7; 16];
const GCM: Kind<'static> = Kind::Gcm { iv: &[1; 12], associated: b"", tag_bits: 128 };

/// Bytes that the caller has in memory, and of which a copy does not fit.
const LARGE: usize = 72 << 20;
/// Bytes that the process can still get.
const LEFT: u64 = 24 << 20;

/// Lets this process have LEFT more bytes than it has now.
fn limit_memory() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let used = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    setrlimit(Resource::As, Rlimit { current: Some(used + LEFT), maximum: None }).unwrap();
}

/// C_Encrypt or C_Decrypt, or their update, of `data` into a buffer that has room.
fn cipher(
    module: &Module,
    session: Session,
    (encrypt, in_parts): (bool, bool),
    kind: &Kind<'_>,
    key: Handle,
    (data, output): (&[u8], &mut [u8]),
) -> Result<()> {
    init(module, session, encrypt, kind, key)?;
    let (input, input_len, output, mut room) = (data.as_ptr().cast_mut(), len(data), output.as_mut_ptr(), len(output));
    match (encrypt, in_parts) {
        (true, false) => c!(module, C_Encrypt(session, input, input_len, output, &mut room)),
        (true, true) => c!(module, C_EncryptUpdate(session, input, input_len, output, &mut room)),
        (false, false) => c!(module, C_Decrypt(session, input, input_len, output, &mut room)),
        (false, true) => c!(module, C_DecryptUpdate(session, input, input_len, output, &mut room)),
    }
}

/// C_EncryptMessage of nothing, with this beside it.
fn message(
    module: &Module,
    session: Session,
    key: Handle,
    associated: &[u8],
    text: &[u8],
    output: &mut [u8],
) -> Result<()> {
    let (list, mut message) = (module.list_3_2(), Message::new([3; 12], 0, CKG_NO_GENERATE));
    let mut parameter = message.parameter();
    let (aad, input, mut room) = (associated.as_ptr().cast_mut(), text.as_ptr().cast_mut(), len(output));
    // SAFETY: as the standard says.
    unsafe {
        ok(list.C_MessageEncryptInit.unwrap()(session, &mut crate::common::module::mechanism(CKM_AES_GCM), key))?;
        let size = size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG;
        let parameter = (&raw mut parameter).cast();
        let encrypt = list.C_EncryptMessage.unwrap();
        let output = output.as_mut_ptr();
        let done = encrypt(session, parameter, size, aad, len(associated), input, len(text), output, &mut room);
        ok(list.C_MessageEncryptFinal.unwrap()(session))?;
        ok(done)
    }
}

/// C_WrapKeyAuthenticated of the key with itself.
fn wrap(module: &Module, session: Session, key: Handle, associated: &[u8]) -> Result<()> {
    let (wrap, mut wrapped, mut room) = (module.list_3_2().C_WrapKeyAuthenticated.unwrap(), [0; 64], 64);
    GCM.with(|mechanism| {
        let aad = associated.as_ptr().cast_mut();
        // SAFETY: as the standard says.
        ok(unsafe { wrap(session, mechanism, key, key, aad, len(associated), wrapped.as_mut_ptr(), &mut room) })
    })
}

/// C_CreateObject with a template of `count` attributes, all of them these bytes.
fn create(module: &Module, session: Session, value: &[u8], count: usize) -> Result<()> {
    let attribute = CK_ATTRIBUTE { type_: CKA_VALUE, pValue: value.as_ptr().cast_mut().cast(), ulValueLen: len(value) };
    let (mut template, mut object) = (vec![attribute; count], 0);
    c!(module, C_CreateObject(session, template.as_mut_ptr(), count as CK_ULONG, &mut object))
}

#[test]
fn helper_process() {
    if process::role().is_none() {
        return;
    }
    let module = Module::of_parent();
    let session = module.start();
    let key = module.create_object(session, &given(false, CKK_AES, &KEY)).unwrap();
    let (data, mut output) = (vec![0x5A; LARGE], vec![0; LARGE + 64]);
    let small = whole(&module, session, true, &GCM, key, b"small").unwrap();
    limit_memory();

    const NO_MEMORY: Result<()> = Err(CKR_HOST_MEMORY);
    // (AES-GCM takes at most 64 MiB at once: cipher.rs.)
    let modes =
        [Kind::Iv(CKM_AES_CBC, IV), Kind::Iv(CKM_AES_CBC_PAD, IV), Kind::Ctr(128, IV), Kind::Plain(CKM_AES_ECB)];
    for (number, kind) in modes.iter().enumerate() {
        for way in [(true, false), (true, true), (false, false), (false, true)] {
            let result = cipher(&module, session, way, kind, key, (&data, &mut output));
            assert_eq!(result, NO_MEMORY, "mode {number}, {way:?}");
        }
    }
    assert_eq!(message(&module, session, key, &data, b"", &mut output), NO_MEMORY);
    assert_eq!(message(&module, session, key, b"", &data[..64 << 20], &mut output), NO_MEMORY);
    assert_eq!(message(&module, session, key, b"", &data, &mut output), Err(CKR_DATA_LEN_RANGE));
    assert_eq!(wrap(&module, session, key, &data), NO_MEMORY);
    // A value that a token never keeps is refused by its length; many values that it might keep do not fit.
    assert_eq!(create(&module, session, &data, 1), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(create(&module, session, &data[..1 << 20], 500), NO_MEMORY);
    assert_eq!(create(&module, session, &data[..1 << 20], 10), NO_MEMORY);
    let too_long = Kind::Gcm { iv: &[1; 12], associated: &data, tag_bits: 128 };
    assert_eq!(init(&module, session, true, &too_long, key), Err(CKR_MECHANISM_PARAM_INVALID));
    // A MAC needs no copy of its message.
    assert_eq!(
        code(&module, session, &Kind::Plain(CKM_AES_CMAC), key, &data[..12 << 20]).map(|code| code.len()),
        Ok(16)
    );

    // The process continues as before.
    assert_eq!(whole(&module, session, true, &GCM, key, b"small"), Ok(small));
    let der = crate::common::templates::certificate("x", &p256::EncodedPoint::from(peer()).to_bytes());
    create_certificate(&module, session, &der, &[]).unwrap();
    module.finalize().unwrap();
    process::say("alive");
}

fn peer() -> p256::PublicKey {
    p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key()
}

#[test]
fn a_caller_whose_data_does_not_fit_gets_host_memory_and_the_process_goes_on() {
    let (module, _bus, _session) = with_io_key();
    let mut helper = Helper::start(module_path!(), &module, "");
    helper.expect("alive");
    helper.finish();
    module.assert_logged(&["C_Encrypt: cannot allocate", "bytes"]);
}
