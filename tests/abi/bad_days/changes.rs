// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls that change a token, each with the token that it starts with. A call that has taken effect already has no
//! effect when repeated, or returns an error that says so.

use std::fs;

use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus};
use atecc608_token::pin::code::RecoveryCode;
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::keys::{create_certificate, Handle, Session};
use crate::common::module::{boolean, c, ulong, Module};
use crate::common::one_key::{generate, import, point_of};
use crate::common::pin::{self, code, init_pin, init_token, set_pin, OTHER_PIN, PIN};
use crate::common::secrets::{self, given, with_io_key};
use crate::common::templates;

/// A call that changes the token.
pub struct Change {
    pub name: &'static str,
    /// The token before it.
    pub begin: fn() -> (Module, SimBus, Session),
    /// From C_Initialize on.
    pub work: fn(&Module) -> Result<(), CK_RV>,
    /// What it may return if it had taken effect before.
    pub again: &'static [CK_RV],
    /// The slots that it may write.
    pub slots: &'static [u8],
}

/// A label that neither the old nor the new token has, but that may be seen in between: the slot's name, for a key
/// whose destruction was interrupted (docs/state.md).
pub const BETWEEN: &str = "key-2";

const NEW_PINS: [&[u8]; 2] = [PIN, OTHER_PIN];

pub const ALL: [Change; 16] = [
    Change {
        name: "generate a key pair",
        begin: with_kept_key,
        work: |module| generate(module, module.start(), "a").map(drop),
        again: &[CKR_ATTRIBUTE_VALUE_INVALID],
        slots: &[2],
    },
    Change {
        name: "destroy a private key",
        begin: with_two_keys,
        work: |module| destroy_keys(module, &["a", BETWEEN]),
        again: &[],
        slots: &[2],
    },
    Change {
        name: "import a private key",
        begin: with_secrets,
        work: |module| import(module, module.start(), "a").map(drop),
        again: &[CKR_ATTRIBUTE_VALUE_INVALID, CKR_DEVICE_MEMORY],
        slots: &[4],
    },
    Change {
        name: "change a label and an id",
        begin: with_two_keys,
        work: |module| {
            let session = module.start();
            let names = [(CKA_LABEL, b"b".to_vec()), (CKA_ID, b"b".to_vec())];
            each(module, session, CKO_PRIVATE_KEY, "a", |key| module.set_attributes(session, key, &names))
        },
        again: &[],
        slots: &[],
    },
    Change {
        name: "create a data object",
        begin: with_kept_key,
        work: |module| unless_there(module, CKO_DATA, "d", |session| create_data(module, session)),
        again: &[],
        slots: &[],
    },
    Change {
        name: "destroy a data object",
        begin: || {
            let (module, bus, session) = with_kept_key();
            create_data(&module, session).unwrap();
            (module, bus, session)
        },
        work: |module| destroy_all(module, CKO_DATA, "d"),
        again: &[],
        slots: &[],
    },
    Change {
        name: "a certificate into slot 8",
        begin: with_certificates_in_the_chip,
        work: |module| unless_there(module, CKO_CERTIFICATE, "crt", |session| certificate(module, session)),
        again: &[],
        slots: &[8],
    },
    Change {
        name: "destroy the certificate in slot 8",
        begin: || {
            let (module, bus, session) = with_certificates_in_the_chip();
            certificate(&module, session).unwrap();
            (module, bus, session)
        },
        work: |module| destroy_all(module, CKO_CERTIFICATE, "crt"),
        again: &[],
        slots: &[8],
    },
    Change {
        name: "generate an AES key",
        begin: with_secrets,
        work: |module| {
            unless_there(module, CKO_SECRET_KEY, "a key", |session| {
                secrets::generate(module, session, CKM_AES_KEY_GEN, &secrets::aes(true, 16))
            })
        },
        again: &[],
        slots: &[9],
    },
    Change {
        name: "import an HMAC key",
        begin: with_secrets,
        work: |module| unless_there(module, CKO_SECRET_KEY, "a key", |session| hmac_key(module, session)),
        again: &[],
        slots: &[5],
    },
    Change {
        name: "destroy an HMAC key",
        begin: || {
            let (module, bus, session) = with_secrets();
            hmac_key(&module, session).unwrap();
            (module, bus, session)
        },
        work: |module| destroy_all(module, CKO_SECRET_KEY, "a key"),
        again: &[],
        slots: &[5],
    },
    Change {
        name: "C_SetPIN by the user",
        begin: || with_pin(true),
        work: |module| set_pin(module, module.start(), PIN, OTHER_PIN),
        again: &[CKR_PIN_INCORRECT],
        slots: &[pin::AUTHORISATION],
    },
    Change {
        name: "C_SetPIN by the user of a chip that does not roll the secret",
        begin: || with_pin(false),
        work: |module| match set_pin(module, module.start(), PIN, OTHER_PIN) {
            Err(CKR_FUNCTION_FAILED) => Ok(()),
            other => other,
        },
        again: &[],
        slots: &[],
    },
    Change {
        name: "C_InitPIN",
        begin: || with_pin(false),
        work: |module| as_officer(module, |session| init_pin(module, session, OTHER_PIN)),
        again: &[],
        slots: &[pin::AUTHORISATION],
    },
    Change {
        name: "C_SetPIN by the security officer",
        begin: || with_pin(false),
        work: |module| as_officer(module, |session| set_pin(module, session, &code(), &new_code())),
        again: &[CKR_PIN_INCORRECT],
        slots: &[pin::OFFICER],
    },
    Change {
        name: "C_InitToken",
        begin: || with_pin(false),
        work: |module| module.initialize().and_then(|()| init_token(module, &code(), "new")),
        again: &[],
        slots: &[pin::AUTHORISATION],
    },
];

fn new_code() -> Vec<u8> {
    RecoveryCode::new(&[0x2E; 32]).text().as_bytes().to_vec()
}

fn with_kept_key() -> (Module, SimBus, Session) {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    generate(&module, session, "kept").unwrap();
    (module, bus, session)
}

fn with_two_keys() -> (Module, SimBus, Session) {
    let (module, bus, session) = with_kept_key();
    generate(&module, session, "a").unwrap();
    (module, bus, session)
}

fn with_secrets() -> (Module, SimBus, Session) {
    let (module, bus, session) = with_io_key();
    generate(&module, session, "kept").unwrap();
    (module, bus, session)
}

fn with_certificates_in_the_chip() -> (Module, SimBus, Session) {
    let (module, bus, _) = with_kept_key();
    module.finalize().unwrap();
    let text = fs::read_to_string(module.configuration()).unwrap();
    fs::write(module.configuration(), text + "certificates = \"chip\"\n").unwrap();
    let session = module.start();
    (module, bus, session)
}

fn with_pin(rolls: bool) -> (Module, SimBus, Session) {
    let (module, bus, session, _) = pin::with_key();
    bus.set_switches(0, pin::rolling(rolls)).unwrap();
    (module, bus, session)
}

fn as_officer(module: &Module, work: impl FnOnce(Session) -> Result<(), CK_RV>) -> Result<(), CK_RV> {
    let session = module.start();
    module.login(session, CKU_SO, &code()).and_then(|()| work(session))
}

fn each(
    module: &Module,
    session: Session,
    class: CK_OBJECT_CLASS,
    label: &str,
    work: impl Fn(Handle) -> Result<(), CK_RV>,
) -> Result<(), CK_RV> {
    module.find_labelled(session, class, label).into_iter().try_for_each(work)
}

fn destroy_all(module: &Module, class: CK_OBJECT_CLASS, label: &str) -> Result<(), CK_RV> {
    let session = module.start();
    each(module, session, class, label, |object| module.destroy(session, object))
}

fn destroy_keys(module: &Module, labels: &[&str]) -> Result<(), CK_RV> {
    let session = module.start();
    labels
        .iter()
        .try_for_each(|label| each(module, session, CKO_PRIVATE_KEY, label, |key| module.destroy(session, key)))
}

fn unless_there(
    module: &Module,
    class: CK_OBJECT_CLASS,
    label: &str,
    make: impl FnOnce(Session) -> Result<Handle, CK_RV>,
) -> Result<(), CK_RV> {
    let session = module.start();
    match module.find_labelled(session, class, label)[..] {
        [] => make(session).map(drop),
        _ => Ok(()),
    }
}

fn create_data(module: &Module, session: Session) -> Result<Handle, CK_RV> {
    let template = [
        (CKA_CLASS, ulong(CKO_DATA)),
        (CKA_TOKEN, boolean(true)),
        (CKA_LABEL, b"d".to_vec()),
        (CKA_VALUE, b"value".to_vec()),
    ];
    module.create_object(session, &template)
}

fn certificate(module: &Module, session: Session) -> Result<Handle, CK_RV> {
    let point = point_of(module, session, module.find_labelled(session, CKO_PRIVATE_KEY, "kept")[0]);
    let der = templates::certificate("device", &point);
    create_certificate(module, session, &der, &[(CKA_LABEL, b"crt".to_vec())])
}

fn hmac_key(module: &Module, session: Session) -> Result<Handle, CK_RV> {
    module.create_object(session, &given(true, CKK_GENERIC_SECRET, &[7; 32]))
}

/// Logs in if the token has a PIN, with the only right one; after C_InitToken removed it, with one that the security
/// officer sets. Returns the PIN.
pub fn enter(module: &Module, session: Session) -> Option<&'static [u8]> {
    if module.token_info(0).unwrap().flags & CKF_LOGIN_REQUIRED == 0 {
        return None;
    }
    let mut right = Vec::new();
    let mut refusals = Vec::new();
    for pin in NEW_PINS {
        match module.login(session, CKU_USER, pin) {
            Ok(()) => {
                right.push(pin);
                pin::logout(module, session).unwrap();
            }
            Err(rv) => refusals.push(rv),
        }
    }
    assert!(right.len() <= 1, "both PINs are right");
    let Some(pin) = right.first() else {
        // A token that is being initialised.
        let officer = [code(), new_code()].into_iter().find(|code| module.login(session, CKU_SO, code).is_ok());
        assert!(officer.is_some(), "neither a PIN nor a recovery code is right: {refusals:x?}");
        init_pin(module, session, PIN).unwrap();
        pin::logout(module, session).unwrap();
        module.login(session, CKU_USER, PIN).unwrap();
        return None;
    };
    module.login(session, CKU_USER, pin).unwrap();
    Some(pin)
}

/// Exactly one recovery code is right: the secret derived from it is in the chip.
pub fn assert_one_code(image: &Image) {
    let secrets = [RecoveryCode::new(&[0x2D; 32]), RecoveryCode::new(&[0x2E; 32])]
        .map(|code| *code.secret(&image.config().serial_number()));
    let there = image.part(Part::Slot(chip::slot(pin::OFFICER)))[..32].to_vec();
    assert!(secrets.iter().any(|secret| secret[..] == there), "no recovery code is right");
}

/// Closes all sessions.
pub fn leave(module: &Module) {
    c!(module, C_CloseAllSessions(0)).unwrap();
    module.finalize().unwrap();
}
