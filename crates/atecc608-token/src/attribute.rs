// SPDX-License-Identifier: MIT OR Apache-2.0
//! The vendor-defined attributes: the slot of a key, and its configuration. (The attributes of each class are in
//! `class`.)

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::template::Template;
use crate::config::slot_number;
use atecc608_wire::Slot;

/// Vendor attribute: the chip's slot that holds the key, a CK_ULONG. In a template for C_GenerateKeyPair, C_GenerateKey or
/// C_CreateObject it chooses the slot.
pub const CKA_ATECC608_SLOT: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3601;
/// Vendor attribute: the slot's SlotConfig word, a CK_ULONG.
pub const CKA_ATECC608_SLOT_CONFIG: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3602;
/// Vendor attribute: the slot's KeyConfig word, a CK_ULONG.
pub const CKA_ATECC608_KEY_CONFIG: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3603;
/// Vendor attribute: whether the slot is locked, so that nothing can replace its key; a CK_BBOOL.
pub const CKA_ATECC608_SLOT_LOCKED: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3604;
/// Vendor attribute: whether the key is in the chip, a CK_BBOOL. Keys of a session and stand-alone public keys are not.
pub const CKA_ATECC608_IN_CHIP: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3605;

/// Returns the slot that a template requests; the first template with one counts.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if the chip has no such slot.
pub fn slot_asked_for(templates: &[&Template]) -> Result<Option<Slot>> {
    for template in templates {
        if let Some(number) = template.ulong(CKA_ATECC608_SLOT)? {
            return slot_number(number).map(Some).map_err(|expected| {
                Error::AttributeValueInvalid(format!("CKA_ATECC608_SLOT is {number}: {expected}").into())
            });
        }
    }
    Ok(None)
}
