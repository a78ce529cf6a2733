//! The attributes of token objects. Each is the truth about the slot, or the standard's code.

use cryptoki_sys::*;

use super::certificate;
use super::error::{Error, Result};
use super::layout::KeySlot;
use super::mechanism::allowed;
use super::point::{Point, P256_PARAMS};
use super::state::{SlotState, StoredClass, StoredObject};
use super::template::{bool_value, ulong_value, Template};
use crate::config::slot_number;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::{ConfigZone, Slot};

/// Vendor attribute: the chip's slot that holds the key, a CK_ULONG. In a template for C_GenerateKeyPair, C_GenerateKey or
/// C_CreateObject it chooses the slot.
pub const CKA_ATECC608_SLOT: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3601;
/// Vendor attribute: the slot's SlotConfig word, a CK_ULONG.
pub const CKA_ATECC608_SLOT_CONFIG: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3602;
/// Vendor attribute: the slot's KeyConfig word, a CK_ULONG.
pub const CKA_ATECC608_KEY_CONFIG: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3603;
/// Vendor attribute: whether the slot is locked, so that nothing can replace its key; a CK_BBOOL.
pub const CKA_ATECC608_SLOT_LOCKED: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x4154_3604;

/// A vendor attribute of an object in this slot, if it is one.
pub fn slot_attribute(zone: &ConfigZone, slot: Slot, attribute: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
    Some(match attribute {
        CKA_ATECC608_SLOT => ulong_value(slot.number().into()),
        CKA_ATECC608_SLOT_CONFIG => ulong_value(zone.slot_config(slot).0.into()),
        CKA_ATECC608_KEY_CONFIG => ulong_value(zone.key_config(slot).0.into()),
        CKA_ATECC608_SLOT_LOCKED => bool_value(zone.slot_locked(slot)),
        _ => return None,
    })
}

/// The slot that a template asks for; the first that asks for one counts.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if the chip has no such slot.
pub fn slot_asked_for(templates: &[&Template]) -> Result<Option<Slot>> {
    for template in templates {
        if let Some(number) = template.ulong(CKA_ATECC608_SLOT)? {
            return slot_number(number).map(Some).map_err(|expected| {
                Error::AttributeValueInvalid(format!("CKA_ATECC608_SLOT is {number}: {expected}"))
            });
        }
    }
    Ok(None)
}

/// Attributes that every storage object answers alike: nothing here was validated by anybody (PKCS#11 3.2 section 4.4).
pub fn of_every_object(attribute: CK_ATTRIBUTE_TYPE) -> Option<Vec<u8>> {
    (attribute == CKA_OBJECT_VALIDATION_FLAGS).then(|| ulong_value(0))
}

/// How an attribute is answered.
#[derive(Debug)]
pub enum Answer {
    /// Its value in the ABI's encoding.
    Value(Vec<u8>),
    /// It depends on the public key, which is not known yet.
    NeedsPoint,
    /// It has none.
    Error(Error),
}

fn yes_or_no(value: bool) -> Answer {
    Answer::Value(bool_value(value))
}

fn number(value: CK_ULONG) -> Answer {
    Answer::Value(ulong_value(value))
}

fn mechanisms(mechanisms: Vec<CK_MECHANISM_TYPE>) -> Answer {
    Answer::Value(mechanisms.into_iter().flat_map(CK_MECHANISM_TYPE::to_ne_bytes).collect())
}

fn no_such(attribute: CK_ATTRIBUTE_TYPE) -> Answer {
    Answer::Error(Error::AttributeTypeInvalid(attribute))
}

/// A key pair in a slot, as its attributes see it.
pub struct KeyPair<'a> {
    /// The slot's abilities and default names.
    pub key: &'a KeySlot,
    /// What the state says about it.
    pub state: Option<&'a SlotState>,
    /// Its public key, if known.
    pub point: Option<Point>,
    /// The chip's configuration.
    pub zone: &'a ConfigZone,
}

impl KeyPair<'_> {
    /// CKA_LABEL of the private key.
    pub fn label(&self) -> &str {
        self.state.and_then(|state| state.label.as_deref()).unwrap_or(&self.key.default_label)
    }

    /// CKA_LABEL of the public key.
    pub fn public_label(&self) -> &str {
        self.state.and_then(|state| state.public_label.as_deref()).unwrap_or_else(|| self.label())
    }

    /// CKA_ID that was stored or configured.
    pub fn given_id(&self) -> Option<&[u8]> {
        self.state.and_then(|state| state.id.as_deref()).or(self.key.configured_id.as_deref())
    }

    fn serial(&self) -> SerialNumber {
        self.zone.serial_number()
    }

    /// Whether the client took this permission away.
    fn denies(&self, permission: CK_ATTRIBUTE_TYPE) -> bool {
        self.state.is_some_and(|state| state.kept.denies(permission))
    }

    /// A value that the client gave, or none.
    fn kept(&self, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        let kept = self.state.and_then(|state| state.kept.get(attribute));
        Answer::Value(kept.unwrap_or_default().to_vec())
    }

    fn id(&self) -> Answer {
        match (self.given_id(), self.point) {
            (Some(id), _) => Answer::Value(id.to_vec()),
            (None, Some(point)) => Answer::Value(point.key_id().to_vec()),
            (None, None) if self.key.public => Answer::NeedsPoint,
            (None, None) => Answer::Value(format!("{}-{}", self.serial(), self.key.slot).into_bytes()),
        }
    }

    fn of_point(&self, attribute: CK_ATTRIBUTE_TYPE, value: impl FnOnce(Point) -> Vec<u8>) -> Answer {
        match self.point {
            Some(point) => Answer::Value(value(point)),
            None if self.key.public => Answer::NeedsPoint,
            None => no_such(attribute),
        }
    }

    /// Whether the key can only have been born in the chip.
    fn born_here(&self) -> bool {
        !self.key.import
    }

    /// Attributes that both halves share.
    fn common(&self, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        match attribute {
            CKA_TOKEN => yes_or_no(true),
            CKA_MODIFIABLE => yes_or_no(!self.denies(CKA_MODIFIABLE)),
            CKA_COPYABLE => yes_or_no(false),
            CKA_KEY_TYPE => number(CKK_EC),
            CKA_ID => self.id(),
            CKA_START_DATE | CKA_END_DATE | CKA_SUBJECT => self.kept(attribute),
            CKA_DERIVE => yes_or_no(self.key.derive),
            CKA_LOCAL => yes_or_no(self.born_here()),
            CKA_KEY_GEN_MECHANISM if self.born_here() => number(CKM_EC_KEY_PAIR_GEN),
            CKA_KEY_GEN_MECHANISM => number(CK_UNAVAILABLE_INFORMATION),
            CKA_EC_PARAMS => Answer::Value(P256_PARAMS.to_vec()),
            CKA_PUBLIC_KEY_INFO => self.of_point(attribute, |point| point.public_key_info()),
            // They constrain nothing (2.40 section 4.7.3, 3.2 section 4.8).
            CKA_WRAP_TEMPLATE | CKA_UNWRAP_TEMPLATE | CKA_DERIVE_TEMPLATE => Answer::Value(Vec::new()),
            _ => match slot_attribute(self.zone, self.key.slot, attribute).or_else(|| of_every_object(attribute)) {
                Some(value) => Answer::Value(value),
                None => no_such(attribute),
            },
        }
    }

    /// An attribute of the private key (PKCS#11 3.0 sections 4.9 and 2.3.4).
    pub fn private_attribute(&self, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        match attribute {
            CKA_CLASS => number(CKO_PRIVATE_KEY),
            CKA_PRIVATE | CKA_SENSITIVE => yes_or_no(true),
            CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE => yes_or_no(self.born_here()),
            CKA_EXTRACTABLE | CKA_ALWAYS_AUTHENTICATE | CKA_WRAP_WITH_TRUSTED => yes_or_no(false),
            CKA_DESTROYABLE => yes_or_no(self.key.generate && !self.denies(CKA_DESTROYABLE)),
            CKA_ALLOWED_MECHANISMS => mechanisms(allowed(self.key.sign, self.key.derive)),
            CKA_DECAPSULATE => yes_or_no(false),
            CKA_DECAPSULATE_TEMPLATE => Answer::Value(Vec::new()),
            CKA_LABEL => Answer::Value(self.label().as_bytes().to_vec()),
            CKA_SIGN => yes_or_no(self.key.sign),
            CKA_SIGN_RECOVER | CKA_DECRYPT | CKA_UNWRAP => yes_or_no(false),
            CKA_UNIQUE_ID => Answer::Value(format!("{}-{}-private", self.serial(), self.key.slot).into_bytes()),
            CKA_VALUE => Answer::Error(Error::AttributeSensitive(attribute)),
            CKA_WRAP_TEMPLATE => no_such(attribute),
            _ => self.common(attribute),
        }
    }

    /// An attribute of the public key (PKCS#11 3.0 sections 4.8 and 2.3.3).
    pub fn public_attribute(&self, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        match attribute {
            CKA_CLASS => number(CKO_PUBLIC_KEY),
            CKA_PRIVATE | CKA_DESTROYABLE | CKA_TRUSTED => yes_or_no(false),
            CKA_LABEL => Answer::Value(self.public_label().as_bytes().to_vec()),
            CKA_VERIFY => yes_or_no(self.key.sign),
            CKA_VERIFY_RECOVER | CKA_ENCRYPT | CKA_WRAP | CKA_ENCAPSULATE => yes_or_no(false),
            CKA_ENCAPSULATE_TEMPLATE => Answer::Value(Vec::new()),
            CKA_ALLOWED_MECHANISMS => mechanisms(allowed(self.key.sign, false)),
            CKA_UNWRAP_TEMPLATE | CKA_DERIVE_TEMPLATE => no_such(attribute),
            // Deriving is done with the private key.
            CKA_DERIVE => yes_or_no(false),
            CKA_UNIQUE_ID => Answer::Value(format!("{}-{}-public", self.serial(), self.key.slot).into_bytes()),
            CKA_EC_POINT => self.of_point(attribute, |point| point.ec_point()),
            _ => self.common(attribute),
        }
    }
}

/// An attribute of a certificate or data object in the state folder.
///
/// # Errors
/// [`Error::AttributeTypeInvalid`].
pub fn stored_attribute(object: &StoredObject, attribute: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>> {
    Ok(match attribute {
        CKA_TOKEN => bool_value(true),
        CKA_MODIFIABLE | CKA_COPYABLE | CKA_DESTROYABLE => bool_value(!object.kept.denies(attribute)),
        CKA_OBJECT_VALIDATION_FLAGS => ulong_value(0),
        CKA_PRIVATE => bool_value(false),
        CKA_LABEL => object.label.as_bytes().to_vec(),
        CKA_UNIQUE_ID => object.unique_id.as_bytes().to_vec(),
        CKA_VALUE => object.value.clone(),
        _ => match object.class {
            StoredClass::Certificate => return certificate_attribute(object, attribute),
            StoredClass::Data => return data_attribute(object, attribute),
        },
    })
}

/// CKA_CHECK_VALUE of a certificate: the first bytes of its SHA-1.
pub fn certificate_check_value(value: &[u8]) -> Vec<u8> {
    use sha1::Digest;
    sha1::Sha1::digest(value)[..3].to_vec()
}

fn certificate_attribute(object: &StoredObject, attribute: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>> {
    let fields = || certificate::parse(&object.value);
    let kept = |default| object.kept.get(attribute).map_or_else(|| ulong_value(default), <[u8]>::to_vec);
    Ok(match attribute {
        CKA_CLASS => ulong_value(CKO_CERTIFICATE),
        CKA_CERTIFICATE_TYPE => ulong_value(CKC_X_509),
        CKA_CERTIFICATE_CATEGORY => kept(CK_CERTIFICATE_CATEGORY_UNSPECIFIED),
        CKA_TRUSTED => bool_value(false),
        CKA_ID => object.id.clone(),
        CKA_SUBJECT => fields()?.subject,
        CKA_ISSUER => fields()?.issuer,
        CKA_SERIAL_NUMBER => fields()?.serial_number,
        CKA_PUBLIC_KEY_INFO => fields()?.public_key_info,
        CKA_START_DATE => fields()?.start_date,
        CKA_END_DATE => fields()?.end_date,
        CKA_CHECK_VALUE => certificate_check_value(&object.value),
        CKA_URL | CKA_HASH_OF_SUBJECT_PUBLIC_KEY | CKA_HASH_OF_ISSUER_PUBLIC_KEY => {
            object.kept.get(attribute).unwrap_or_default().to_vec()
        }
        CKA_JAVA_MIDP_SECURITY_DOMAIN => kept(CK_SECURITY_DOMAIN_UNSPECIFIED),
        CKA_NAME_HASH_ALGORITHM => kept(CKM_SHA_1),
        _ => return Err(Error::AttributeTypeInvalid(attribute)),
    })
}

fn data_attribute(object: &StoredObject, attribute: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>> {
    match attribute {
        CKA_CLASS => Ok(ulong_value(CKO_DATA)),
        CKA_APPLICATION => Ok(object.application.as_bytes().to_vec()),
        CKA_OBJECT_ID => Ok(object.id.clone()),
        _ => Err(Error::AttributeTypeInvalid(attribute)),
    }
}
