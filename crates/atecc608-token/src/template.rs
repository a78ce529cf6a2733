// SPDX-License-Identifier: MIT OR Apache-2.0
//! Templates: attribute types with their values in the ABI's encoding, read as typed values.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::memory::LockedBytes;

/// The attributes that are a CK_BBOOL.
const BOOLEANS: [CK_ATTRIBUTE_TYPE; 22] = [
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_TRUSTED,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_DERIVE,
    CKA_EXTRACTABLE,
    CKA_LOCAL,
    CKA_NEVER_EXTRACTABLE,
    CKA_ALWAYS_SENSITIVE,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_WRAP_WITH_TRUSTED,
];

/// A caller's template, copied.
#[derive(Clone, Default)]
pub struct Template(Vec<(CK_ATTRIBUTE_TYPE, Value)>);

/// One attribute's value.
enum Value {
    Given(Zeroizing<Vec<u8>>),
    /// A secret that is stored for longer.
    Kept(LockedBytes),
}

impl Value {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Kept(bytes) => bytes,
        }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::Given(Zeroizing::new(self.bytes().to_vec()))
    }
}

impl Template {
    /// A template of these attributes, in order.
    pub fn new(attributes: Vec<(CK_ATTRIBUTE_TYPE, Zeroizing<Vec<u8>>)>) -> Self {
        Self(attributes.into_iter().map(|(attribute, value)| (attribute, Value::Given(value))).collect())
    }

    /// Sets an attribute, replacing its value.
    pub fn set(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: Zeroizing<Vec<u8>>) {
        match self.0.iter_mut().find(|(ty, _)| *ty == attribute) {
            Some((_, old)) => *old = Value::Given(value),
            None => self.0.push((attribute, Value::Given(value))),
        }
    }

    /// Moves an attribute's value, if there is one, to memory for secrets ([`LockedBytes`]).
    ///
    /// # Errors
    /// [`Error::HostMemory`] if the host has no memory.
    pub(crate) fn keep_secret(&mut self, attribute: CK_ATTRIBUTE_TYPE) -> Result<()> {
        for (_, value) in self.0.iter_mut().filter(|(ty, value)| *ty == attribute && !value.bytes().is_empty()) {
            *value = Value::Kept(LockedBytes::copy_of(value.bytes())?);
        }
        Ok(())
    }

    /// The attributes in the caller's order.
    pub fn iter(&self) -> impl Iterator<Item = (CK_ATTRIBUTE_TYPE, &[u8])> {
        self.0.iter().map(|(attribute, value)| (*attribute, value.bytes()))
    }

    /// Checks the rules for every object's template: no attribute has two values, and each CK_BBOOL is valid. A
    /// repetition of the same value is accepted, as the standard recommends (base specification, section 4.1.1).
    ///
    /// # Errors
    /// [`Error::TemplateInconsistent`] for two values of an attribute; [`Error::AttributeValueInvalid`] for an invalid
    /// CK_BBOOL.
    pub fn check_form(&self) -> Result<()> {
        for (attribute, value) in self.iter() {
            if self.bytes(attribute) != Some(value) {
                return Err(Error::TemplateInconsistent(
                    format!("attribute {attribute:#x} has two values in one template").into(),
                ));
            }
            if BOOLEANS.contains(&attribute) {
                read_bool(attribute, value)?;
            }
        }
        Ok(())
    }

    /// Returns the value of the first attribute of this type.
    pub fn bytes(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        self.iter().find(|(ty, _)| *ty == attribute).map(|(_, value)| value)
    }

    /// Returns the value as a CK_BBOOL.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] if it is not one byte, 0 or 1.
    pub fn boolean(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<bool>> {
        self.bytes(attribute).map(|value| read_bool(attribute, value)).transpose()
    }

    /// Returns the value as a CK_ULONG.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] if it does not have the size of one.
    pub fn ulong(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<CK_ULONG>> {
        self.bytes(attribute).map(|value| read_ulong(attribute, value)).transpose()
    }

    /// Returns the value as a list of mechanisms.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] if its size is not a multiple of theirs.
    pub fn mechanisms(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<Vec<CK_MECHANISM_TYPE>>> {
        let each = size_of::<CK_MECHANISM_TYPE>();
        self.bytes(attribute)
            .map(|value| value.chunks(each).map(|one| read_ulong(attribute, one)).collect())
            .transpose()
    }

    /// Returns the value as UTF-8 text.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] if it is not UTF-8.
    pub fn text(&self, attribute: CK_ATTRIBUTE_TYPE) -> Result<Option<&str>> {
        self.bytes(attribute)
            .map(|value| {
                std::str::from_utf8(value).map_err(|_| {
                    Error::AttributeValueInvalid(format!("attribute {attribute:#x} is not UTF-8 text").into())
                })
            })
            .transpose()
    }
}

fn read_bool(attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Result<bool> {
    match value {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Error::AttributeValueInvalid(
            format!("attribute {attribute:#x} is not a CK_BBOOL (one byte, 0 or 1)").into(),
        )),
    }
}

fn read_ulong(attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Result<CK_ULONG> {
    let bytes = value.try_into().map_err(|_| {
        Error::AttributeValueInvalid(
            format!("attribute {attribute:#x} has {} bytes: a CK_ULONG has {}", value.len(), size_of::<CK_ULONG>())
                .into(),
        )
    })?;
    Ok(CK_ULONG::from_ne_bytes(bytes))
}

/// A CK_BBOOL in the ABI's encoding.
pub fn bool_value(value: bool) -> Vec<u8> {
    vec![CK_BBOOL::from(value)]
}

/// A list of mechanisms in the ABI's encoding.
pub(crate) fn mechanisms_value(mechanisms: &[CK_MECHANISM_TYPE]) -> Vec<u8> {
    mechanisms.iter().flat_map(|mechanism| mechanism.to_ne_bytes()).collect()
}

/// A CK_ULONG in the ABI's encoding.
pub fn ulong_value(value: CK_ULONG) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}
