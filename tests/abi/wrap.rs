// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_WrapKey, C_UnwrapKey and C_CopyObject through the C ABI.

use std::ptr::null_mut;

use crate::common::keys::{self, create_certificate, with};
use crate::common::module::{attributes, boolean, c, len, ulong, Attributes, Module, Result};
use crate::common::secrets::{given, whole, with_io_key, Kind};
use crate::common::templates;
use cryptoki_sys::*;

type Session = CK_SESSION_HANDLE;
type Handle = CK_OBJECT_HANDLE;

const CBC_PAD: Kind<'static> = Kind::Iv(CKM_AES_CBC_PAD, [3; 16]);
const CBC: Kind<'static> = Kind::Iv(CKM_AES_CBC, [3; 16]);
const GCM: Kind<'static> = Kind::Gcm { iv: &[9; 12], associated: b"", tag_bits: 128 };

pub fn wrap(module: &Module, session: Session, kind: &Kind<'_>, with: Handle, key: Handle) -> Result<Vec<u8>> {
    kind.with(|mechanism| {
        let mut length = 0;
        c!(module, C_WrapKey(session, mechanism, with, key, null_mut(), &mut length))?;
        let mut wrapped = vec![0; length as usize];
        c!(module, C_WrapKey(session, mechanism, with, key, wrapped.as_mut_ptr(), &mut length))?;
        wrapped.truncate(length as usize);
        Ok(wrapped)
    })
}

pub fn unwrap(
    module: &Module,
    session: Session,
    kind: &Kind<'_>,
    with: Handle,
    wrapped: &[u8],
    template: Attributes,
) -> Result<Handle> {
    let (mut array, mut key) = (attributes(template), 0);
    let (data, data_len, count) = (wrapped.as_ptr().cast_mut(), len(wrapped), array.len() as CK_ULONG);
    kind.with(|mechanism| {
        c!(module, C_UnwrapKey(session, mechanism, with, data, data_len, array.as_mut_ptr(), count, &mut key))
    })?;
    Ok(key)
}

fn copy(module: &Module, session: Session, object: Handle, template: Attributes) -> Result<Handle> {
    let (mut array, mut copy) = (attributes(template), 0);
    c!(module, C_CopyObject(session, object, array.as_mut_ptr(), array.len() as CK_ULONG, &mut copy))?;
    Ok(copy)
}

/// A wrapping key in the session, and one in the chip.
fn wrapping_keys(module: &Module, session: Session) -> [Handle; 2] {
    let uses = [(CKA_WRAP, boolean(true)), (CKA_UNWRAP, boolean(true))];
    [
        module.create_object(session, &with(&given(false, CKK_AES, &[0x55; 16]), &uses)).unwrap(),
        module.create_object(session, &given(true, CKK_AES, &[0x55; 16])).unwrap(),
    ]
}

#[test]
fn a_wrapped_key_comes_back_and_is_what_encryption_makes_of_its_value() {
    let (module, _bus, session) = with_io_key();
    let value = b"a secret of 21 bytes.";
    let secret = module.create_object(session, &given(false, CKK_GENERIC_SECRET, value)).unwrap();
    for key in wrapping_keys(&module, session) {
        for kind in [&CBC_PAD, &GCM] {
            let wrapped = wrap(&module, session, kind, key, secret).unwrap();
            assert_eq!(whole(&module, session, true, kind, key, value), Ok(wrapped.clone()));
            let back = unwrap(&module, session, kind, key, &wrapped, &[(CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))]);
            assert_eq!(module.attribute(session, back.unwrap(), CKA_VALUE), Ok(value.to_vec()));
        }
        // Without padding it is filled up with zeros, and the length says where it ends.
        let wrapped = wrap(&module, session, &CBC, key, secret).unwrap();
        assert_eq!(wrapped.len(), 32);
        let template = [(CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)), (CKA_VALUE_LEN, ulong(21))];
        let back = unwrap(&module, session, &CBC, key, &wrapped, &template).unwrap();
        assert_eq!(module.attribute(session, back, CKA_VALUE), Ok(value.to_vec()));
    }
}

#[test]
fn only_keys_that_may_leave_are_wrapped() {
    let (module, _bus, session) = with_io_key();
    let [key, in_chip] = wrapping_keys(&module, session);
    let (public, private) = keys::generate(&module, session, "a", &[1]).unwrap();
    let secret = given(false, CKK_GENERIC_SECRET, &[1; 16]);
    let hidden = module.create_object(session, &with(&secret, &[(CKA_EXTRACTABLE, boolean(false))])).unwrap();
    let trusting = module.create_object(session, &with(&secret, &[(CKA_WRAP_WITH_TRUSTED, boolean(true))])).unwrap();
    let secret = module.create_object(session, &secret).unwrap();
    for (object, expected) in [
        (private, CKR_KEY_UNEXTRACTABLE),
        (in_chip, CKR_KEY_UNEXTRACTABLE),
        (hidden, CKR_KEY_UNEXTRACTABLE),
        (trusting, CKR_KEY_NOT_WRAPPABLE),
        (public, CKR_KEY_NOT_WRAPPABLE),
        (4711, CKR_KEY_HANDLE_INVALID),
    ] {
        assert_eq!(wrap(&module, session, &CBC_PAD, key, object), Err(expected));
    }
    let idle = module.create_object(session, &with(&given(false, CKK_AES, &[1; 16]), &[(CKA_WRAP, boolean(false))]));
    assert_eq!(wrap(&module, session, &CBC_PAD, idle.unwrap(), secret), Err(CKR_KEY_FUNCTION_NOT_PERMITTED));
    assert_eq!(wrap(&module, session, &CBC_PAD, secret, secret), Err(CKR_WRAPPING_KEY_TYPE_INCONSISTENT));
    assert_eq!(wrap(&module, session, &CBC_PAD, private, secret), Err(CKR_WRAPPING_KEY_TYPE_INCONSISTENT));
    assert_eq!(wrap(&module, session, &CBC_PAD, 4711, secret), Err(CKR_WRAPPING_KEY_HANDLE_INVALID));
    assert_eq!(wrap(&module, session, &Kind::Ctr(128, [0; 16]), key, secret), Err(CKR_MECHANISM_INVALID));
}

#[test]
fn a_damaged_wrapped_key_makes_none() {
    let (module, _bus, session) = with_io_key();
    let secret = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &[1; 20])).unwrap();
    let template = [(CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))];
    for key in wrapping_keys(&module, session) {
        let mut wrapped = wrap(&module, session, &GCM, key, secret).unwrap();
        wrapped[0] ^= 1;
        let unwrap = |wrapped: &[u8], template| unwrap(&module, session, &GCM, key, wrapped, template);
        assert_eq!(unwrap(&wrapped, &template), Err(CKR_WRAPPED_KEY_INVALID));
        assert_eq!(unwrap(&wrapped[..15], &template), Err(CKR_WRAPPED_KEY_LEN_RANGE));
        wrapped[0] ^= 1;
        assert_eq!(unwrap(&wrapped, &[]), Err(CKR_TEMPLATE_INCOMPLETE));
        let aes = [(CKA_KEY_TYPE, ulong(CKK_AES))];
        assert_eq!(unwrap(&wrapped, &aes), Err(CKR_WRAPPED_KEY_LEN_RANGE), "20 bytes are no AES key");
    }
}

#[test]
fn authenticated_wrapping_covers_the_associated_data() {
    let (module, _bus, session) = with_io_key();
    let list = module.list_3_2();
    let (wrap, unwrap) = (list.C_WrapKeyAuthenticated.unwrap(), list.C_UnwrapKeyAuthenticated.unwrap());
    let secret = module.create_object(session, &given(false, CKK_GENERIC_SECRET, &[1; 20])).unwrap();
    let [key, _] = wrapping_keys(&module, session);
    let (mut wrapped, mut length, mut data) = ([0; 64], 64, *b"who for");
    GCM.with(|mechanism| {
        // SAFETY: as the standard says.
        let rv =
            unsafe { wrap(session, mechanism, key, secret, data.as_mut_ptr(), 7, wrapped.as_mut_ptr(), &mut length) };
        assert_eq!((rv, length), (CKR_OK, 36));
        for (associated, expected) in [(*b"who for", CKR_OK), (*b"another", CKR_WRAPPED_KEY_INVALID)] {
            let (template, mut made, mut associated) = ([(CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))], 0, associated);
            let mut array = attributes(&template);
            // SAFETY: as the standard says.
            let rv = unsafe {
                let associated = associated.as_mut_ptr();
                unwrap(
                    session,
                    mechanism,
                    key,
                    wrapped.as_mut_ptr(),
                    36,
                    array.as_mut_ptr(),
                    1,
                    associated,
                    7,
                    &mut made,
                )
            };
            assert_eq!(rv, expected);
        }
    });
}

#[test]
fn copies_have_what_the_original_had_and_what_was_asked() {
    let (module, _bus, session) = with_io_key();
    let secret = module.create_object(session, &given(false, CKK_AES, &[1; 16])).unwrap();
    let twin = copy(&module, session, secret, &[(CKA_LABEL, b"twin".to_vec())]).unwrap();
    assert_eq!(module.attribute(session, twin, CKA_VALUE), Ok(vec![1; 16]));
    assert_eq!(module.label(session, twin), "twin");
    // A copy may be more secret than the original, not less.
    let hidden = copy(&module, session, secret, &[(CKA_SENSITIVE, boolean(true))]).unwrap();
    assert_eq!(module.attribute(session, hidden, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(copy(&module, session, hidden, &[(CKA_SENSITIVE, boolean(false))]), Err(CKR_ATTRIBUTE_READ_ONLY));
    // Into the chip, where it is as secret as all keys there.
    let hidden = [(CKA_SENSITIVE, boolean(true)), (CKA_EXTRACTABLE, boolean(false))];
    let in_chip = copy(
        &module,
        session,
        secret,
        &with(&hidden.to_vec(), &[(CKA_TOKEN, boolean(true)), (CKA_PRIVATE, boolean(true))]),
    );
    let ecb = Kind::Plain(CKM_AES_ECB);
    assert_eq!(
        whole(&module, session, true, &ecb, in_chip.unwrap(), &[0; 16]),
        whole(&module, session, true, &ecb, secret, &[0; 16])
    );
}

#[test]
fn certificates_and_data_are_copied_between_session_and_token() {
    let (module, _bus, session) = with_io_key();
    let (public, private) = keys::generate(&module, session, "a", &[1]).unwrap();
    let der = templates::certificate("CN=a", &keys::point(&module, session, public));
    let certificate = create_certificate(&module, session, &der, &[]).unwrap();
    let in_session = copy(&module, session, certificate, &[(CKA_TOKEN, boolean(false))]).unwrap();
    assert_eq!(module.attribute(session, in_session, CKA_VALUE), Ok(der.clone()));
    assert_eq!(module.attribute(session, in_session, CKA_TOKEN), Ok(boolean(false)));
    let back = copy(&module, session, in_session, &[(CKA_TOKEN, boolean(true)), (CKA_LABEL, b"b".to_vec())]).unwrap();
    assert_eq!(module.attribute(session, back, CKA_TOKEN), Ok(boolean(true)));
    assert_eq!(copy(&module, session, back, &[(CKA_VALUE, der)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    let read_only = module.open_session(0, false).unwrap();
    assert_eq!(copy(&module, read_only, certificate, &[]), Err(CKR_SESSION_READ_ONLY));
    for key in [public, private] {
        assert_eq!(copy(&module, session, key, &[]), Err(CKR_ACTION_PROHIBITED));
        assert_eq!(module.attribute(session, key, CKA_COPYABLE), Ok(boolean(false)));
    }
    assert_eq!(copy(&module, session, 4711, &[]), Err(CKR_OBJECT_HANDLE_INVALID));
}
