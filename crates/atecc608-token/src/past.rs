// SPDX-License-Identifier: MIT OR Apache-2.0
//! A key's history: the attributes that no template contains and that a copy or a derived key takes over. PKCS#11 3.2:
//! CKA_LOCAL is true for a copy of a local key; each key derivation has the same rules about sensitivity and
//! extractability.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::object::SessionObject;
use super::template::{bool_value, Template};
use super::token::Token;
use super::ObjectHandle;

/// The attributes that a copy takes over from the original. Its own secrecy can only be increased by its template.
const TAKEN_ALONG: [CK_ATTRIBUTE_TYPE; 4] =
    [CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE];

/// Returns the history of a session object, for a copy of it. Empty for objects other than keys.
pub(super) fn of(source: &SessionObject) -> Template {
    let past = TAKEN_ALONG.iter().filter_map(|attribute| Some((*attribute, source.attributes.bytes(*attribute)?)));
    Template::new(past.map(|(attribute, value)| (attribute, Zeroizing::new(value.to_vec()))).collect())
}

/// Sets the history of a copy in the session.
pub(super) fn take_along(copy: &mut SessionObject, past: &Template) {
    for (attribute, value) in past.iter() {
        copy.attributes.set(attribute, Zeroizing::new(value.to_vec()));
    }
}

/// Whether the chip's keys have this history: generated, and secret from the beginning.
pub(super) fn is_of_the_chip(past: &Template) -> bool {
    [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE].iter().all(|flag| past.bytes(*flag) == Some(&[CK_TRUE]))
}

/// Sets CKA_ALWAYS_SENSITIVE and CKA_NEVER_EXTRACTABLE of a derived key: true if the base key's are, and the new key
/// started with that secrecy.
pub(super) fn derived(token: &Token, base: ObjectHandle, key: &mut SessionObject) {
    for (attribute, of_now, secret) in
        [(CKA_ALWAYS_SENSITIVE, CKA_SENSITIVE, CK_TRUE), (CKA_NEVER_EXTRACTABLE, CKA_EXTRACTABLE, CK_FALSE)]
    {
        // Nothing is known about a base key that is gone meanwhile.
        let of_base = token.attribute(base, attribute, token.deadline());
        let always = of_base.is_ok_and(|value| **value == [CK_TRUE]);
        let now = key.attributes.bytes(of_now) == Some(&[secret]);
        key.attributes.set(attribute, Zeroizing::new(bool_value(always && now)));
    }
}
