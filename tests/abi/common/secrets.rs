// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys through the C ABI, on a chip provisioned with `tls` whose IO protection key the host has.

use std::ffi::c_void;
use std::fs;
use std::ptr::null_mut;

use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus};
use atecc608_token::inventory::empty_places;
use atecc608_token::store::Store;
use cryptoki_sys::*;

use super::chip;
use super::module::{attributes, boolean, c, len, ulong, Attributes, Module, Result};
use super::templates::Template;

type Session = CK_SESSION_HANDLE;
type Handle = CK_OBJECT_HANDLE;

/// The IO protection key of the tests' chips.
pub const IO_KEY: [u8; 32] = [0xA5; 32];

/// A module on a bus that the test controls, its chip's IO protection key on the host, and a read-write session.
pub fn with_io_key() -> (Module, SimBus, Session) {
    let image = chip::provisioned();
    let (module, bus) = Module::on_bus(image.clone());
    put_io_key(&module, &image);
    let session = module.start();
    (module, bus, session)
}

/// The same with `io_protection = "required"`.
pub fn requiring_io_key() -> (Module, SimBus, Session) {
    let module = Module::configured(
        "log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"unix:FOLDER/bus\"\nio_protection = \"required\"\n",
    );
    let image = chip::provisioned();
    let bus = chip::serve(image.clone(), &module.socket());
    put_io_key(&module, &image);
    let session = module.start();
    (module, bus, session)
}

/// An attacker on the bus writes an IO protection key of his own into the chip, which `tls` allows.
pub fn replace_io_key(bus: &SimBus) {
    let mut image = bus.image(0).unwrap();
    image.part_mut(Part::Slot(chip::slot(6)))[..32].fill(0x66);
    bus.set_image(0, image).unwrap();
}

/// Leaves on the host what `atecc608 provision` leaves there for this chip: the IO protection key, and the empty places
/// for secret keys in the state.
pub fn put_io_key(module: &Module, image: &Image) {
    let keys = module.configuration().parent().unwrap().join("keys");
    fs::create_dir(&keys).unwrap();
    let (zone, serial) = (image.config(), image.config().serial_number());
    fs::write(keys.join(serial.to_string()), IO_KEY).unwrap();
    let slots = std::array::from_fn(|number| Some(image.part(Part::Slot(chip::slot(number as u8))).to_vec()));
    let empty = empty_places(&zone, &slots);
    Store::open(&module.state_dir(), serial).change(|state| state.empty = empty).unwrap();
}

/// C_GenerateKey.
pub fn generate(module: &Module, session: Session, kind: CK_MECHANISM_TYPE, template: Attributes) -> Result<Handle> {
    let (mut array, mut key) = (attributes(template), 0);
    let count = array.len() as CK_ULONG;
    let mut kind = super::module::mechanism(kind);
    c!(module, C_GenerateKey(session, &mut kind, array.as_mut_ptr(), count, &mut key))?;
    Ok(key)
}

/// The template of an AES key of this many bytes.
pub fn aes(on_token: bool, bytes: CK_ULONG) -> Template {
    vec![(CKA_TOKEN, boolean(on_token)), (CKA_VALUE_LEN, ulong(bytes)), (CKA_LABEL, b"a key".to_vec())]
}

/// The template of a secret key with this value.
pub fn given(on_token: bool, key_type: CK_KEY_TYPE, value: &[u8]) -> Template {
    vec![
        (CKA_CLASS, ulong(CKO_SECRET_KEY)),
        (CKA_TOKEN, boolean(on_token)),
        (CKA_KEY_TYPE, ulong(key_type)),
        (CKA_VALUE, value.to_vec()),
        (CKA_LABEL, b"a key".to_vec()),
    ]
}

/// A mechanism with its parameter.
pub enum Kind<'p> {
    Plain(CK_MECHANISM_TYPE),
    Iv(CK_MECHANISM_TYPE, [u8; 16]),
    Ctr(CK_ULONG, [u8; 16]),
    Gcm { iv: &'p [u8], associated: &'p [u8], tag_bits: CK_ULONG },
    Length(CK_MECHANISM_TYPE, CK_ULONG),
}

impl Kind<'_> {
    /// Calls with the C structure.
    pub fn with<T>(&self, call: impl FnOnce(*mut CK_MECHANISM) -> T) -> T {
        fn one<P, T>(kind: CK_MECHANISM_TYPE, mut parameter: P, call: impl FnOnce(*mut CK_MECHANISM) -> T) -> T {
            let mut mechanism = CK_MECHANISM {
                mechanism: kind,
                pParameter: (&raw mut parameter).cast::<c_void>(),
                ulParameterLen: size_of::<P>() as CK_ULONG,
            };
            call(&mut mechanism)
        }
        match self {
            Kind::Plain(kind) => {
                call(&mut CK_MECHANISM { mechanism: *kind, pParameter: null_mut(), ulParameterLen: 0 })
            }
            Kind::Iv(kind, iv) => one(*kind, *iv, call),
            Kind::Ctr(bits, block) => one(CKM_AES_CTR, CK_AES_CTR_PARAMS { ulCounterBits: *bits, cb: *block }, call),
            Kind::Length(kind, length) => one(*kind, *length, call),
            Kind::Gcm { iv, associated, tag_bits } => one(
                CKM_AES_GCM,
                CK_GCM_PARAMS {
                    pIv: iv.as_ptr().cast_mut(),
                    ulIvLen: len(iv),
                    ulIvBits: 0,
                    pAAD: associated.as_ptr().cast_mut(),
                    ulAADLen: len(associated),
                    ulTagBits: *tag_bits,
                },
                call,
            ),
        }
    }
}

/// C_EncryptInit, or C_DecryptInit.
pub fn init(module: &Module, session: Session, encrypt: bool, kind: &Kind<'_>, key: Handle) -> Result<()> {
    kind.with(|mechanism| match encrypt {
        true => c!(module, C_EncryptInit(session, mechanism, key)),
        false => c!(module, C_DecryptInit(session, mechanism, key)),
    })
}

/// One call, after a length query.
pub fn whole(
    module: &Module,
    session: Session,
    encrypt: bool,
    kind: &Kind<'_>,
    key: Handle,
    input: &[u8],
) -> Result<Vec<u8>> {
    init(module, session, encrypt, kind, key)?;
    let (data, data_len, mut length) = (input.as_ptr().cast_mut(), len(input), 0);
    let call = |output, length: &mut CK_ULONG| match encrypt {
        true => c!(module, C_Encrypt(session, data, data_len, output, length)),
        false => c!(module, C_Decrypt(session, data, data_len, output, length)),
    };
    call(null_mut(), &mut length)?;
    let mut output = vec![0; length as usize];
    call(output.as_mut_ptr(), &mut length)?;
    output.truncate(length as usize);
    Ok(output)
}

/// In parts, each after a length query; every length that is returned for an update is exact.
pub fn parts(
    module: &Module,
    session: Session,
    encrypt: bool,
    kind: &Kind<'_>,
    key: Handle,
    parts: &[&[u8]],
) -> Result<Vec<u8>> {
    init(module, session, encrypt, kind, key)?;
    let mut all = Vec::new();
    for part in parts {
        let (data, data_len, mut length) = (part.as_ptr().cast_mut(), len(part), 0);
        let call = |output, length: &mut CK_ULONG| match encrypt {
            true => c!(module, C_EncryptUpdate(session, data, data_len, output, length)),
            false => c!(module, C_DecryptUpdate(session, data, data_len, output, length)),
        };
        call(null_mut(), &mut length)?;
        let (mut output, told) = (vec![0xEE; length as usize + 1], length);
        call(output.as_mut_ptr(), &mut length)?;
        assert_eq!(length, told);
        all.extend(&output[..length as usize]);
    }
    let mut length = 0;
    let call = |output, length: &mut CK_ULONG| match encrypt {
        true => c!(module, C_EncryptFinal(session, output, length)),
        false => c!(module, C_DecryptFinal(session, output, length)),
    };
    call(null_mut(), &mut length)?;
    let mut output = vec![0; length as usize + 1];
    call(output.as_mut_ptr(), &mut length)?;
    all.extend(&output[..length as usize]);
    Ok(all)
}

/// C_SignInit and C_Sign.
pub fn code(module: &Module, session: Session, kind: &Kind<'_>, key: Handle, data: &[u8]) -> Result<Vec<u8>> {
    kind.with(|mechanism| c!(module, C_SignInit(session, mechanism, key)))?;
    module.sign(session, data)
}

/// C_VerifyInit and C_Verify.
pub fn check(module: &Module, session: Session, kind: &Kind<'_>, key: Handle, data: &[u8], code: &[u8]) -> Result<()> {
    kind.with(|mechanism| c!(module, C_VerifyInit(session, mechanism, key)))?;
    module.verify(session, data, code)
}
