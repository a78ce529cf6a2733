// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_CreateObject with any template, and with any certificate: the return value is in the standard's list, the values
//! read back equal, a certificate's fields are those of a strict parser, and a destroyed object is gone.
#![no_main]

use std::sync::OnceLock;

use atecc608_fuzz::{Module, Output};
use cryptoki_sys::*;
use der::{Decode, Encode};
use libfuzzer_sys::fuzz_target;

/// The attributes that a template's bytes choose from.
const TYPES: [CK_ATTRIBUTE_TYPE; 40] = [
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_APPLICATION,
    CKA_VALUE,
    CKA_OBJECT_ID,
    CKA_CERTIFICATE_TYPE,
    CKA_ISSUER,
    CKA_SERIAL_NUMBER,
    CKA_TRUSTED,
    CKA_CERTIFICATE_CATEGORY,
    CKA_URL,
    CKA_CHECK_VALUE,
    CKA_KEY_TYPE,
    CKA_SUBJECT,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_DERIVE,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_VALUE_LEN,
    CKA_EXTRACTABLE,
    CKA_LOCAL,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_ALLOWED_MECHANISMS,
    CKA_PUBLIC_KEY_INFO,
    CKA_UNIQUE_ID,
    CKA_MODULUS,
];

fn attribute(kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_: kind, pValue: value.as_ptr().cast_mut().cast(), ulValueLen: value.len() as CK_ULONG }
}

/// Per attribute: its index in [`TYPES`], the length of its value, and the value.
fn template(mut bytes: &[u8]) -> Vec<CK_ATTRIBUTE> {
    let mut template = Vec::new();
    while let [number, len, rest @ ..] = bytes {
        let (value, after) = rest.split_at(rest.len().min((*len).into()));
        template.push(attribute(TYPES[usize::from(*number) % TYPES.len()], value));
        bytes = after;
    }
    template
}

/// Returns the value of an attribute; `None` if it is unavailable.
fn value(
    module: &Module,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    kind: CK_ATTRIBUTE_TYPE,
) -> Option<Vec<u8>> {
    let mut asked = CK_ATTRIBUTE { type_: kind, pValue: std::ptr::null_mut(), ulValueLen: 0 };
    let get = module.list.C_GetAttributeValue.unwrap();
    // SAFETY: the template is valid; NULL queries the length.
    if unsafe { get(session, object, &mut asked, 1) } != CKR_OK {
        return None;
    }
    let len = asked.ulValueLen as usize;
    let mut output = Output::of(len);
    asked.pValue = output.pointer().cast();
    // SAFETY: the buffer has the queried length.
    assert_eq!(unsafe { get(session, object, &mut asked, 1) }, CKR_OK);
    output.check();
    // SAFETY: the function filled it.
    Some(unsafe { std::slice::from_raw_parts(output.pointer(), len) }.to_vec())
}

fuzz_target!(|input: &[u8]| {
    static MODULE: OnceLock<(Module, CK_SESSION_HANDLE)> = OnceLock::new();
    let (module, session) = MODULE.get_or_init(|| {
        let module = Module::fresh();
        let session = module.session();
        (module, session)
    });
    let session = *session;
    let Some((what, bytes)) = input.split_first() else { return };
    let class = (CKO_CERTIFICATE as CK_ULONG).to_ne_bytes();
    let kind = (CKC_X_509 as CK_ULONG).to_ne_bytes();
    let is_certificate = what & 1 == 0;
    let mut attributes = if is_certificate {
        vec![
            attribute(CKA_CLASS, &class),
            attribute(CKA_CERTIFICATE_TYPE, &kind),
            attribute(CKA_TOKEN, &[what >> 1 & 1]),
            attribute(CKA_VALUE, bytes),
        ]
    } else {
        template(bytes)
    };
    let mut object = 0;
    // SAFETY: the template's values are as long as it says.
    let rv = unsafe {
        let count = attributes.len() as CK_ULONG;
        module.list.C_CreateObject.unwrap()(session, attributes.as_mut_ptr(), count, &mut object)
    };
    if rv == CKR_OK {
        if is_certificate {
            assert_eq!(value(module, session, object, CKA_VALUE).as_deref(), Some(bytes));
            if let Ok(strict) = x509_cert::Certificate::from_der(bytes) {
                let body = strict.tbs_certificate;
                let says = |kind| value(module, session, object, kind);
                assert_eq!(says(CKA_SUBJECT), Some(body.subject.to_der().unwrap()));
                assert_eq!(says(CKA_ISSUER), Some(body.issuer.to_der().unwrap()));
                assert_eq!(says(CKA_SERIAL_NUMBER), Some(body.serial_number.to_der().unwrap()));
            }
        } else {
            for kind in TYPES {
                let _ = value(module, session, object, kind);
            }
        }
        // SAFETY: plain numbers.
        let destroyed = unsafe { module.list.C_DestroyObject.unwrap()(session, object) };
        let stays = attributes.iter().any(|attribute| attribute.type_ == CKA_DESTROYABLE);
        assert!(destroyed == CKR_OK || stays, "C_DestroyObject: {destroyed:#x}");
        assert!(stays || value(module, session, object, CKA_CLASS).is_none());
    }
    atecc608_fuzz::codes::assert_all_allowed();
});
