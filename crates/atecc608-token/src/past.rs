//! A key's past: the attributes that no template has and that a copy or a derived key takes over. PKCS#11 3.2: CKA_LOCAL is true for
//! a copy of a local key; each key derivation has the same rules about sensitivity and extractability.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::object::SessionObject;
use super::template::{bool_value, Template};
use super::token::Token;
use super::ObjectHandle;

/// What a copy has of the key that it is a copy of. What it is by itself, its template can only make more secret.
const TAKEN_ALONG: [CK_ATTRIBUTE_TYPE; 4] =
    [CKA_LOCAL, CKA_KEY_GEN_MECHANISM, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE];

/// The past of a session object, for a copy of it. Empty for what is no key.
pub(super) fn of(source: &SessionObject) -> Template {
    let past = TAKEN_ALONG.iter().filter_map(|attribute| Some((*attribute, source.attributes.bytes(*attribute)?)));
    Template::new(past.map(|(attribute, value)| (attribute, Zeroizing::new(value.to_vec()))).collect())
}

/// Gives a past to a copy in the session.
pub(super) fn take_along(copy: &mut SessionObject, past: &Template) {
    for (attribute, value) in past.iter() {
        copy.attributes.set(attribute, Zeroizing::new(value.to_vec()));
    }
}

/// Whether the chip's keys have this past: generated, and secret from the beginning.
pub(super) fn is_of_the_chip(past: &Template) -> bool {
    [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE].iter().all(|flag| past.bytes(*flag) == Some(&[CK_TRUE]))
}

/// Sets CKA_ALWAYS_SENSITIVE and CKA_NEVER_EXTRACTABLE of a derived key: true if the base key's are, and the new key began so.
pub(super) fn derived(token: &Token, base: ObjectHandle, key: &mut SessionObject) {
    for (attribute, of_now, secret) in
        [(CKA_ALWAYS_SENSITIVE, CKA_SENSITIVE, CK_TRUE), (CKA_NEVER_EXTRACTABLE, CKA_EXTRACTABLE, CK_FALSE)]
    {
        // A base key that is gone meanwhile vouches for nothing.
        let of_base = token.attribute(base, attribute, token.deadline());
        let always = of_base.is_ok_and(|value| **value == [CK_TRUE]);
        let now = key.attributes.bytes(of_now) == Some(&[secret]);
        key.attributes.set(attribute, Zeroizing::new(bool_value(always && now)));
    }
}
