// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sequences of calls over the C ABI, with any handles, mechanisms, templates and buffers: all return values are in the
//! standard's list, nothing is written behind a buffer, the private key is never returned, and the module can be
//! finalised.
#![no_main]

use std::ptr::null_mut;

use atecc608_fuzz::{Module, Output};
use cryptoki_sys::*;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const MECHANISMS: [CK_MECHANISM_TYPE; 24] = [
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKM_SHA256,
    CKM_SHA_1,
    CKM_SHA256_HMAC,
    CKM_SHA256_HMAC_GENERAL,
    CKM_AES_ECB,
    CKM_AES_CBC,
    CKM_AES_CBC_PAD,
    CKM_AES_CTR,
    CKM_AES_GCM,
    CKM_AES_CMAC,
    CKM_AES_CMAC_GENERAL,
    CKM_AES_KEY_GEN,
    CKM_GENERIC_SECRET_KEY_GEN,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDH1_DERIVE,
    CKM_ECDH1_COFACTOR_DERIVE,
    CKM_HKDF_DERIVE,
    CKM_HKDF_DATA,
    CKM_AES_KEY_WRAP,
    CKM_AES_KEY_WRAP_PAD,
    CKM_RSA_PKCS,
    CKM_SHA384,
];

const TYPES: [CK_ATTRIBUTE_TYPE; 24] = [
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_VALUE,
    CKA_KEY_TYPE,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_DERIVE,
    CKA_VALUE_LEN,
    CKA_EXTRACTABLE,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ALLOWED_MECHANISMS,
    CKA_UNIQUE_ID,
];

const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];

/// An attribute's value.
#[derive(Arbitrary, Debug)]
enum Value {
    Number(u8),
    Flag(bool),
    Curve,
    Bytes(Vec<u8>),
}

type Template = Vec<(u8, Value)>;

#[derive(Arbitrary, Debug)]
enum Parameter {
    None,
    Bytes(Vec<u8>),
    Iv([u8; 16]),
    Length(u8),
    Ctr(u8, [u8; 16]),
    Gcm { iv: Vec<u8>, aad: Vec<u8>, tag_bits: u8 },
    Ecdh { kdf: u8, shared: Vec<u8>, point: Vec<u8> },
    Hkdf { extract: bool, expand: bool, salt: u8, key: u8, salt_bytes: Vec<u8>, info: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Way {
    mechanism: u8,
    parameter: Parameter,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Digest,
    Sign,
    Encrypt,
    Decrypt,
    Verify,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Open(bool),
    Close,
    Session(u8),
    Begin(Kind, Way, u8),
    Cancel(Kind),
    Whole(Kind, Vec<u8>, u16),
    Update(Kind, Vec<u8>, u16),
    Final(Kind, Vec<u8>, u16),
    Find(Template, u8),
    Create(Template),
    Copy(u8, Template),
    Destroy(u8),
    Get(u8, Vec<(u8, u16)>),
    Set(u8, Template),
    GenerateKey(Way, Template),
    GenerateKeyPair(Way, Template, Template),
    Derive(Way, u8, Template),
    Wrap(Way, u8, u8, u16),
    Unwrap(Way, u8, Vec<u8>, Template),
    Random(u16),
    OperationState(u16),
    SetOperationState(Vec<u8>, u8, u8),
    Login(u8),
    Logout,
    SessionCancel(u32),
    SignRecover(Vec<u8>),
    DigestKey(u8),
}

/// A caller: its sessions and the objects that it knows.
struct Caller {
    module: Module,
    sessions: Vec<CK_SESSION_HANDLE>,
    session: CK_SESSION_HANDLE,
    objects: Vec<CK_OBJECT_HANDLE>,
}

/// A template in the ABI's form.
struct Attributes {
    list: Vec<CK_ATTRIBUTE>,
    /// The targets of its pointers.
    _values: Vec<Vec<u8>>,
}

impl Attributes {
    fn of(template: &Template) -> Self {
        let values: Vec<Vec<u8>> = template
            .iter()
            .map(|(_, value)| match value {
                Value::Number(number) => CK_ULONG::from(*number).to_ne_bytes().to_vec(),
                Value::Flag(flag) => vec![(*flag).into()],
                Value::Curve => P256.to_vec(),
                Value::Bytes(bytes) => bytes.clone(),
            })
            .collect();
        let attribute = |((kind, _), value): (&(u8, Value), &Vec<u8>)| CK_ATTRIBUTE {
            type_: TYPES[usize::from(*kind) % TYPES.len()],
            pValue: value.as_ptr().cast_mut().cast(),
            ulValueLen: value.len() as CK_ULONG,
        };
        Self { list: template.iter().zip(&values).map(attribute).collect(), _values: values }
    }

    fn pointer(&mut self) -> *mut CK_ATTRIBUTE {
        self.list.as_mut_ptr()
    }

    fn count(&self) -> CK_ULONG {
        self.list.len() as CK_ULONG
    }
}

fn bytes(slice: &[u8]) -> (*mut u8, CK_ULONG) {
    (slice.as_ptr().cast_mut(), slice.len() as CK_ULONG)
}

impl Caller {
    fn object(&self, number: u8) -> CK_OBJECT_HANDLE {
        match self.objects.len() {
            0 => number.into(),
            len => self.objects.get(usize::from(number) % (len + 1)).copied().unwrap_or(number.into()),
        }
    }

    fn note(&mut self, rv: CK_RV, object: CK_OBJECT_HANDLE) {
        if rv == CKR_OK {
            self.objects.push(object);
        }
    }

    /// Calls with the mechanism in the ABI's form.
    fn with<T>(&self, way: &Way, call: impl FnOnce(&Self, *mut CK_MECHANISM) -> T) -> T {
        // The targets of the pointers.
        let (mut length, mut ctr, mut gcm, mut ecdh, mut hkdf): (CK_ULONG, _, _, _, _);
        fn of<T>(value: &mut T) -> (*mut u8, usize) {
            ((value as *mut T).cast(), size_of::<T>())
        }
        let (pointer, len) = match &way.parameter {
            Parameter::None => (null_mut(), 0),
            Parameter::Bytes(given) => (given.as_ptr().cast_mut(), given.len()),
            Parameter::Iv(iv) => (iv.as_ptr().cast_mut(), 16),
            Parameter::Length(len) => {
                length = (*len).into();
                of(&mut length)
            }
            Parameter::Ctr(bits, counter) => {
                ctr = CK_AES_CTR_PARAMS { ulCounterBits: (*bits).into(), cb: *counter };
                of(&mut ctr)
            }
            Parameter::Gcm { iv, aad, tag_bits } => {
                gcm = CK_GCM_PARAMS {
                    pIv: bytes(iv).0,
                    ulIvLen: bytes(iv).1,
                    ulIvBits: bytes(iv).1 * 8,
                    pAAD: bytes(aad).0,
                    ulAADLen: bytes(aad).1,
                    ulTagBits: (*tag_bits).into(),
                };
                of(&mut gcm)
            }
            Parameter::Ecdh { kdf, shared, point } => {
                ecdh = CK_ECDH1_DERIVE_PARAMS {
                    kdf: (*kdf).into(),
                    ulSharedDataLen: bytes(shared).1,
                    pSharedData: bytes(shared).0,
                    ulPublicDataLen: bytes(point).1,
                    pPublicData: bytes(point).0,
                };
                of(&mut ecdh)
            }
            Parameter::Hkdf { extract, expand, salt, key, salt_bytes, info } => {
                hkdf = CK_HKDF_PARAMS {
                    bExtract: (*extract).into(),
                    bExpand: (*expand).into(),
                    prfHashMechanism: CKM_SHA256,
                    ulSaltType: (*salt % 6).into(),
                    pSalt: bytes(salt_bytes).0,
                    ulSaltLen: bytes(salt_bytes).1,
                    hSaltKey: self.object(*key),
                    pInfo: bytes(info).0,
                    ulInfoLen: bytes(info).1,
                };
                of(&mut hkdf)
            }
        };
        let mechanism = MECHANISMS[usize::from(way.mechanism) % MECHANISMS.len()];
        let mut mechanism = CK_MECHANISM { mechanism, pParameter: pointer.cast(), ulParameterLen: len as CK_ULONG };
        call(self, &mut mechanism)
    }

    /// Calls with an output buffer of this many bytes; with NULL for an odd multiple of 256.
    fn out(&self, room: u16, call: impl FnOnce(*mut u8, *mut CK_ULONG) -> CK_RV) {
        let mut output = Output::of(room.into());
        let mut len = room.into();
        let pointer = if room & 0x1FF == 0x100 { null_mut() } else { output.pointer() };
        let rv = call(pointer, &mut len);
        assert!(rv != CKR_OK || pointer.is_null() || len <= room.into(), "more bytes than there is room for");
        output.check();
    }

    // SAFETY of all calls: each pointer is to a value or a buffer of this function, as long as its length argument
    // says.
    fn step(&mut self, step: &Step) {
        let (list, s) = (self.module.list, self.session);
        let mut object = 0;
        match step {
            Step::Open(write) => {
                let flags = CKF_SERIAL_SESSION | if *write { CKF_RW_SESSION } else { 0 };
                let mut session = 0;
                if unsafe { list.C_OpenSession.unwrap()(0, flags, null_mut(), None, &mut session) } == CKR_OK {
                    self.sessions.push(session);
                    self.session = session;
                }
            }
            Step::Close => drop(unsafe { list.C_CloseSession.unwrap()(s) }),
            Step::Session(number) => {
                self.session = self.sessions.get(usize::from(*number)).copied().unwrap_or((*number).into());
            }
            Step::Begin(kind, way, key) => {
                self.with(way, |caller, mechanism| unsafe {
                    let key = caller.object(*key);
                    match kind {
                        Kind::Digest => list.C_DigestInit.unwrap()(s, mechanism),
                        Kind::Sign => list.C_SignInit.unwrap()(s, mechanism, key),
                        Kind::Verify => list.C_VerifyInit.unwrap()(s, mechanism, key),
                        Kind::Encrypt => list.C_EncryptInit.unwrap()(s, mechanism, key),
                        Kind::Decrypt => list.C_DecryptInit.unwrap()(s, mechanism, key),
                    }
                });
            }
            Step::Cancel(kind) => unsafe {
                match kind {
                    Kind::Digest => list.C_DigestInit.unwrap()(s, null_mut()),
                    Kind::Sign => list.C_SignInit.unwrap()(s, null_mut(), 0),
                    Kind::Verify => list.C_VerifyInit.unwrap()(s, null_mut(), 0),
                    Kind::Encrypt => list.C_EncryptInit.unwrap()(s, null_mut(), 0),
                    Kind::Decrypt => list.C_DecryptInit.unwrap()(s, null_mut(), 0),
                };
            },
            Step::Whole(kind, data, room) => self.out(*room, |out, len| unsafe {
                let (data, size) = bytes(data);
                match kind {
                    Kind::Digest => list.C_Digest.unwrap()(s, data, size, out, len),
                    Kind::Sign => list.C_Sign.unwrap()(s, data, size, out, len),
                    Kind::Verify => list.C_Verify.unwrap()(s, data, size, data, size),
                    Kind::Encrypt => list.C_Encrypt.unwrap()(s, data, size, out, len),
                    Kind::Decrypt => list.C_Decrypt.unwrap()(s, data, size, out, len),
                }
            }),
            Step::Update(kind, data, room) => self.out(*room, |out, len| unsafe {
                let (data, size) = bytes(data);
                match kind {
                    Kind::Digest => list.C_DigestUpdate.unwrap()(s, data, size),
                    Kind::Sign => list.C_SignUpdate.unwrap()(s, data, size),
                    Kind::Verify => list.C_VerifyUpdate.unwrap()(s, data, size),
                    Kind::Encrypt => return list.C_EncryptUpdate.unwrap()(s, data, size, out, len),
                    Kind::Decrypt => return list.C_DecryptUpdate.unwrap()(s, data, size, out, len),
                }
            }),
            Step::Final(kind, signature, room) => self.out(*room, |out, len| unsafe {
                match kind {
                    Kind::Digest => list.C_DigestFinal.unwrap()(s, out, len),
                    Kind::Sign => list.C_SignFinal.unwrap()(s, out, len),
                    Kind::Verify => list.C_VerifyFinal.unwrap()(s, bytes(signature).0, bytes(signature).1),
                    Kind::Encrypt => list.C_EncryptFinal.unwrap()(s, out, len),
                    Kind::Decrypt => list.C_DecryptFinal.unwrap()(s, out, len),
                }
            }),
            Step::Find(template, most) => {
                let mut template = Attributes::of(template);
                let mut found = [0; 8];
                let mut count = 0;
                unsafe {
                    list.C_FindObjectsInit.unwrap()(s, template.pointer(), template.count());
                    let most = CK_ULONG::from(*most % 9);
                    if list.C_FindObjects.unwrap()(s, found.as_mut_ptr(), most, &mut count) == CKR_OK {
                        assert!(count <= most);
                        self.objects.extend(&found[..count as usize]);
                    }
                    list.C_FindObjectsFinal.unwrap()(s);
                }
            }
            Step::Create(template) => {
                let mut template = Attributes::of(template);
                let rv = unsafe { list.C_CreateObject.unwrap()(s, template.pointer(), template.count(), &mut object) };
                self.note(rv, object);
            }
            Step::Copy(from, template) => {
                let (mut template, from) = (Attributes::of(template), self.object(*from));
                let rv =
                    unsafe { list.C_CopyObject.unwrap()(s, from, template.pointer(), template.count(), &mut object) };
                self.note(rv, object);
            }
            Step::Destroy(number) => drop(unsafe { list.C_DestroyObject.unwrap()(s, self.object(*number)) }),
            Step::Get(number, asked) => {
                let mut outputs: Vec<Output> = asked.iter().map(|(_, room)| Output::of((*room).into())).collect();
                let mut template: Vec<CK_ATTRIBUTE> = asked
                    .iter()
                    .zip(&mut outputs)
                    .map(|((kind, room), output)| CK_ATTRIBUTE {
                        type_: TYPES[usize::from(*kind) % TYPES.len()],
                        pValue: output.pointer().cast(),
                        ulValueLen: (*room).into(),
                    })
                    .collect();
                let count = template.len() as CK_ULONG;
                unsafe { list.C_GetAttributeValue.unwrap()(s, self.object(*number), template.as_mut_ptr(), count) };
                outputs.iter().for_each(Output::check);
            }
            Step::Set(number, template) => {
                let mut template = Attributes::of(template);
                let (pointer, count) = (template.pointer(), template.count());
                unsafe { list.C_SetAttributeValue.unwrap()(s, self.object(*number), pointer, count) };
            }
            Step::GenerateKey(way, template) => {
                let mut template = Attributes::of(template);
                let rv = self.with(way, |_, mechanism| unsafe {
                    let (pointer, count) = (template.pointer(), template.count());
                    list.C_GenerateKey.unwrap()(s, mechanism, pointer, count, &mut object)
                });
                self.note(rv, object);
            }
            Step::GenerateKeyPair(way, public, private) => {
                let (mut public, mut private, mut other) = (Attributes::of(public), Attributes::of(private), 0);
                let rv = self.with(way, |_, mechanism| unsafe {
                    let (pointer, count) = (public.pointer(), public.count());
                    let (secret, secrets) = (private.pointer(), private.count());
                    let generate = list.C_GenerateKeyPair.unwrap();
                    generate(s, mechanism, pointer, count, secret, secrets, &mut other, &mut object)
                });
                self.note(rv, object);
                self.note(rv, other);
            }
            Step::Derive(way, key, template) => {
                let mut template = Attributes::of(template);
                let rv = self.with(way, |caller, mechanism| unsafe {
                    let (pointer, count) = (template.pointer(), template.count());
                    list.C_DeriveKey.unwrap()(s, mechanism, caller.object(*key), pointer, count, &mut object)
                });
                self.note(rv, object);
            }
            Step::Wrap(way, wrapping, key, room) => self.out(*room, |out, len| {
                self.with(way, |caller, mechanism| unsafe {
                    let (wrapping, key) = (caller.object(*wrapping), caller.object(*key));
                    list.C_WrapKey.unwrap()(s, mechanism, wrapping, key, out, len)
                })
            }),
            Step::Unwrap(way, key, wrapped, template) => {
                let mut template = Attributes::of(template);
                let rv = self.with(way, |caller, mechanism| unsafe {
                    let (data, size) = bytes(wrapped);
                    let (pointer, count) = (template.pointer(), template.count());
                    let unwrap_key = list.C_UnwrapKey.unwrap();
                    unwrap_key(s, mechanism, caller.object(*key), data, size, pointer, count, &mut object)
                });
                self.note(rv, object);
            }
            Step::Random(room) => {
                self.out(*room, |out, len| unsafe { list.C_GenerateRandom.unwrap()(s, out, *len) });
            }
            Step::OperationState(room) => {
                self.out(*room, |out, len| unsafe { list.C_GetOperationState.unwrap()(s, out, len) });
            }
            Step::SetOperationState(state, one, other) => unsafe {
                let (one, other) = (self.object(*one), self.object(*other));
                list.C_SetOperationState.unwrap()(s, bytes(state).0, bytes(state).1, one, other);
            },
            Step::Login(user) => unsafe {
                list.C_Login.unwrap()(s, (*user % 4).into(), b"12345678".as_ptr().cast_mut(), 8);
            },
            Step::Logout => drop(unsafe { list.C_Logout.unwrap()(s) }),
            Step::SessionCancel(flags) => drop(unsafe { list.C_SessionCancel.unwrap()(s, (*flags).into()) }),
            Step::SignRecover(data) => self
                .out(80, |out, len| unsafe { list.C_SignRecover.unwrap()(s, bytes(data).0, bytes(data).1, out, len) }),
            Step::DigestKey(key) => drop(unsafe { list.C_DigestKey.unwrap()(s, self.object(*key)) }),
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let module = Module::fresh();
    let session = module.session();
    let mut caller = Caller { module, sessions: vec![session], session, objects: Vec::new() };
    caller.step(&Step::Find(Vec::new(), 8));
    for step in steps.iter().take(40) {
        caller.step(step);
    }
});
