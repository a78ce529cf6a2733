// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects that are neither keys nor stored: the chip's monotonic counter, the profiles of the standard that the token
//! conforms to, and its mechanisms. They are found only by templates with their class (PKCS#11 3.0 sections 4.3, 4.12
//! and 4.13).

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::mechanism::offered;
use super::object::ObjectKey;
use super::snapshot::Known;
use super::template::{bool_value, ulong_value, Template};
use super::turn::Turn;

/// The counter for callers; the other one counts uses of limited-use keys.
const COUNTER: u8 = 1;

/// Bytes of the counter's CKA_VALUE.
pub const COUNTER_LEN: usize = 4;

/// One such object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// CKH_MONOTONIC_COUNTER.
    Counter,
    /// A CKO_PROFILE, by its CKP code.
    Profile(CK_PROFILE_ID),
    /// A CKO_MECHANISM.
    Mechanism(CK_MECHANISM_TYPE),
}

/// The token's profiles: certificates can be read without a login, so that clients need not request a PIN first.
const PROFILES: [CK_PROFILE_ID; 2] = [CKP_BASELINE_PROVIDER, CKP_PUBLIC_CERTIFICATES_TOKEN];

/// Whether a template names one of these classes.
pub fn is_asked(template: &Template) -> bool {
    let classes = [CKO_HW_FEATURE, CKO_PROFILE, CKO_MECHANISM];
    template.bytes(CKA_CLASS).is_some_and(|asked| classes.iter().any(|class| ulong_value(*class) == asked))
}

/// Returns the matching ones, without incrementing the counter.
pub(super) fn find(known: &Known, template: &Template) -> Vec<ObjectKey> {
    let identity = &known.identity;
    let mut features: Vec<Feature> = PROFILES.into_iter().map(Feature::Profile).collect();
    // The counter requires a locked configuration (fact sheet section 5.7).
    features.extend(identity.zone.config_locked().then_some(Feature::Counter));
    features.extend(offered(identity.abilities()).into_iter().map(|info| Feature::Mechanism(info.mechanism)));
    let has = |feature: &Feature| {
        template.iter().all(|(attribute, wanted)| feature.attribute(attribute).is_ok_and(|value| value == wanted))
    };
    features.into_iter().filter(has).map(ObjectKey::Feature).collect()
}

impl Feature {
    /// Returns the attribute's value, except the counter's CKA_VALUE, which a read increments.
    ///
    /// # Errors
    /// [`Error::AttributeTypeInvalid`] if the object has no such attribute.
    pub fn attribute(self, attribute: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>> {
        Ok(match (self, attribute) {
            (Self::Counter, CKA_CLASS) => ulong_value(CKO_HW_FEATURE),
            (Self::Counter, CKA_HW_FEATURE_TYPE) => ulong_value(CKH_MONOTONIC_COUNTER),
            (Self::Counter, CKA_RESET_ON_INIT | CKA_HAS_RESET) => bool_value(false),
            (Self::Profile(_), CKA_CLASS) => ulong_value(CKO_PROFILE),
            (Self::Profile(id), CKA_PROFILE_ID) => ulong_value(id),
            (Self::Mechanism(_), CKA_CLASS) => ulong_value(CKO_MECHANISM),
            (Self::Mechanism(mechanism), CKA_MECHANISM_TYPE) => ulong_value(mechanism),
            _ => return Err(Error::AttributeTypeInvalid(attribute)),
        })
    }
}

/// Increments the counter and returns its new value, big-endian, as in the standard (section 4.3.2). Each value is
/// returned once.
///
/// # Errors
/// [`Error::DeviceError`] if the counter has reached its maximum, 2,097,151; the [turn errors](Error#turn-errors).
pub(super) fn next(turn: &mut Turn<'_>) -> Result<Vec<u8>> {
    turn.chip.increment_counter(COUNTER).map(|value| value.to_be_bytes().to_vec()).map_err(|error| {
        if error.has_status(atecc608_wire::Status::EXECUTION_ERROR) {
            Error::DeviceError("the monotonic counter has reached its end".into())
        } else {
            error.into()
        }
    })
}
