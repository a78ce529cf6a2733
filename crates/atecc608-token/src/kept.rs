// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attributes of an object of the token that are stored as the client gave them: facts that the chip can't know,
//! without a field of their own in the state. The tables in `class` list them.

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::template::bool_value;

/// Those of type CK_ULONG.
const NUMBERS: [CK_ATTRIBUTE_TYPE; 3] =
    [CKA_CERTIFICATE_CATEGORY, CKA_JAVA_MIDP_SECURITY_DOMAIN, CKA_NAME_HASH_ALGORITHM];

/// Longest stored value, in bytes.
const MAX_LEN: usize = 1024;

/// Attributes with their values in the ABI's encoding, each at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(pub Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>);

impl Kept {
    /// Returns the stored value.
    pub fn get(&self, attribute: CK_ATTRIBUTE_TYPE) -> Option<&[u8]> {
        self.0.iter().find(|(kept, _)| *kept == attribute).map(|(_, value)| value.as_slice())
    }

    /// Whether the client removed this permission (CKA_MODIFIABLE, CKA_DESTROYABLE, CKA_COPYABLE).
    pub fn denies(&self, permission: CK_ATTRIBUTE_TYPE) -> bool {
        self.get(permission) == Some(&bool_value(false))
    }

    /// Stores a value, unless it is the default.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] if a value is not valid.
    pub fn set(&mut self, attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Result<()> {
        check(attribute, value)?;
        if value.len() > MAX_LEN {
            return Err(Error::AttributeValueInvalid(
                format!("attribute {attribute:#x} has {} bytes: at most {MAX_LEN} are supported", value.len()).into(),
            ));
        }
        self.0.retain(|(kept, _)| *kept != attribute);
        let is_default = value.is_empty() || (is_permission(attribute) && value == bool_value(true));
        if !is_default {
            self.0.push((attribute, value.to_vec()));
        }
        Ok(())
    }

    /// Refuses a change if CKA_MODIFIABLE is false.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] if it is not permitted.
    pub fn check_modifiable(&self) -> Result<()> {
        self.check(CKA_MODIFIABLE, "CKA_MODIFIABLE")
    }

    /// Refuses a destruction if CKA_DESTROYABLE is false.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] if it is not permitted.
    pub fn check_destroyable(&self) -> Result<()> {
        self.check(CKA_DESTROYABLE, "CKA_DESTROYABLE")
    }

    fn check(&self, permission: CK_ATTRIBUTE_TYPE, name: &str) -> Result<()> {
        if self.denies(permission) {
            return Err(Error::ActionProhibited(format!("{name} of the object is false").into()));
        }
        Ok(())
    }
}

/// Converts a value to its form in state files. A CK_ULONG has eight bytes there, little-endian, on every machine.
pub(super) fn to_stored(attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Vec<u8> {
    match value.try_into().map(CK_ULONG::from_ne_bytes) {
        Ok(CK_UNAVAILABLE_INFORMATION) if NUMBERS.contains(&attribute) => u64::MAX.to_le_bytes().to_vec(),
        // The cast is needed on 32-bit machines only.
        #[allow(clippy::unnecessary_cast)]
        Ok(number) if NUMBERS.contains(&attribute) => (number as u64).to_le_bytes().to_vec(),
        _ => value.to_vec(),
    }
}

/// Converts a value from a state file to the ABI's encoding. Earlier versions on 32-bit machines wrote a CK_ULONG as
/// four bytes. Returns `None` for a number that this machine's CK_ULONG can't hold.
pub(super) fn from_stored(attribute: CK_ATTRIBUTE_TYPE, stored: Vec<u8>) -> Option<Vec<u8>> {
    if !NUMBERS.contains(&attribute) {
        return Some(stored);
    }
    let number = if let Ok(eight) = stored.as_slice().try_into() {
        u64::from_le_bytes(eight)
    } else {
        match u32::from_le_bytes(stored.as_slice().try_into().ok()?) {
            u32::MAX => u64::MAX,
            number => number.into(),
        }
    };
    // A no-op on 64-bit machines.
    #[allow(clippy::useless_conversion)]
    let number = if number == u64::MAX { CK_UNAVAILABLE_INFORMATION } else { number.try_into().ok()? };
    Some(number.to_ne_bytes().to_vec())
}

fn is_permission(attribute: CK_ATTRIBUTE_TYPE) -> bool {
    matches!(attribute, CKA_MODIFIABLE | CKA_DESTROYABLE | CKA_COPYABLE)
}

/// Refuses an invalid value of the attribute.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if a value is not valid.
pub fn check(attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Result<()> {
    let is_date = || value.is_empty() || (value.len() == 8 && value.iter().all(u8::is_ascii_digit));
    let good = match attribute {
        permission if is_permission(permission) => matches!(value, [0 | 1]),
        CKA_START_DATE | CKA_END_DATE => is_date(),
        number if NUMBERS.contains(&number) => value.len() == size_of::<CK_ULONG>(),
        _ => true,
    };
    if good {
        return Ok(());
    }
    Err(Error::AttributeValueInvalid(
        format!("attribute {attribute:#x} can't have this value ({} bytes)", value.len()).into(),
    ))
}
