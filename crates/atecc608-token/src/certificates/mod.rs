//! Certificates that the chip itself holds: those that it was sold with (`sold`), those of the user's own kinds
//! (`custom`), and the one that a client put into slot 8 (`held`); and somebody's public keys, where the configuration says that
//! slots hold some (`configured`). They are objects of the token as those in the state folder are.

pub(super) mod configured;
pub(super) mod custom;
pub(super) mod held;
pub(super) mod sold;

use std::borrow::Cow;
use std::sync::Arc;

use cryptoki_sys::*;
use sha2::{Digest, Sha256};

use super::config::ObjectKind;
use super::error::{Error, Result};
use super::identity::Identity;
use super::kept::Kept;
use super::learn::told_point;
use super::point::Point;
use super::public_key;
use super::snapshot::Known;
use super::state::{StoredClass, StoredObject};
use super::template::{bool_value, ulong_value, Template};
use super::turn::Turn;
use atecc608::{self as chip, Awake, Transport};
use atecc608_contents::certificate::{CertificateError, CompressedCertificate, Place};
use atecc608_wire::config_zone::{SerialNumber, WritePolicy};
use atecc608_wire::{ConfigZone, Slot, SIGNATURE_LEN};

/// What is known about a chip's own certificates.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// They are as [`Certificates::found`] says.
    up_to_date: bool,
    found: Arc<[ChipCertificate]>,
}

/// A certificate in the chip.
#[derive(Clone, Debug)]
pub(super) struct ChipCertificate {
    /// Whose key pair it certifies: that one's id is its own, and its label if it has none.
    pub(super) key: Option<Slot>,
    /// The key that it certifies, where it takes the id of the key pair that has it.
    pub(super) point: Option<Point>,
    pub(super) object: StoredObject,
}

impl Certificates {
    /// Nothing was asked yet. There is nothing to ask in a chip that has only our own configuration, or none.
    pub(super) fn new(identity: &Identity) -> Self {
        let nothing_is_configured = identity.configured_certificates.is_empty()
            && identity.configured_objects.iter().all(|object| object.kind == ObjectKind::Secret)
            && !identity.certificates_in_chip;
        let nothing = !identity.is_provisioned() || identity.profile.is_some() && nothing_is_configured;
        Self { up_to_date: nothing, found: Arc::new([]) }
    }

    /// Another process may have changed what is in slot 8.
    pub(super) fn may_have_changed(&mut self, identity: &Identity) {
        self.up_to_date &= !identity.certificates_in_chip;
    }

    /// Whether the chip has to be asked for them.
    pub(super) fn are_unknown(&self) -> bool {
        !self.up_to_date
    }
}

/// Whether a search may be for something that is found here.
pub(super) fn may_match(known: &Known, template: &Template) -> bool {
    let has_public_keys = known.identity.configured(ObjectKind::Public).next().is_some();
    template.bytes(CKA_CLASS).is_none_or(|class| {
        class == ulong_value(CKO_CERTIFICATE) || has_public_keys && class == ulong_value(CKO_PUBLIC_KEY)
    })
}

/// Finds out which certificates the chip holds, once in a process; those that the state does not know are read.
///
/// # Errors
/// [`Error::Device`]. Certificates that can't be rebuilt or verified are none: the log says why.
pub(super) fn learn(turn: &mut Turn<'_>) -> Result<()> {
    let known = turn.known();
    if !known.certificates.are_unknown() {
        return Ok(());
    }
    let mut found = Vec::new();
    if known.identity.profile.is_none() {
        sold::learn(turn, &mut found)?;
    }
    custom::learn(turn, &mut found)?;
    if known.identity.certificates_in_chip {
        match held::read(turn) {
            Err(error) if error.is_about_one_slot() => {
                log::warn!("chip {}: slot 8 can't be read: {error}", known.zone().serial_number());
            }
            held => found.extend(held?),
        }
    }
    configured::learn(turn, &mut found)?;
    turn.learn(|known| known.certificates = Certificates { up_to_date: true, found: found.into() })
}

/// The certificates, data objects and public keys of the state folder, then the chip's own certificates.
pub(super) fn stored_objects(known: &Known) -> impl Iterator<Item = Cow<'_, StoredObject>> {
    let in_state = known.state().objects.iter().filter(|object| public_key::is_shown(known, object));
    in_state
        .map(Cow::Borrowed)
        .chain(known.certificates.found.iter().map(|certificate| Cow::Owned(shown(known, certificate))))
}

/// The one of this CKA_UNIQUE_ID.
pub(super) fn stored_object<'k>(known: &'k Known, unique_id: &str) -> Option<Cow<'k, StoredObject>> {
    let mut shown_of_state = known.state().objects.iter().filter(|object| public_key::is_shown(known, object));
    let in_state = shown_of_state.find(|object| object.unique_id == unique_id);
    in_state.map(Cow::Borrowed).or_else(|| {
        let found = known.certificates.found.iter().find(|found| found.object.unique_id == unique_id)?;
        Some(Cow::Owned(shown(known, found)))
    })
}

/// With the names that its key pair has now.
fn shown(known: &Known, certificate: &ChipCertificate) -> StoredObject {
    let mut object = certificate.object.clone();
    let certified = || {
        let point = certificate.point?;
        known.identity.keys.iter().map(|key| key.slot).find(|slot| known.known_point(*slot) == Some(point))
    };
    if let Some(pair) = certificate.key.or_else(certified).and_then(|slot| known.pair(slot)) {
        if let Some(id) = pair.given_id() {
            object.id = id.to_vec();
        }
        if object.label.is_empty() {
            object.label = pair.label().to_owned();
        }
    }
    object
}

/// A certificate that is part of the chip: nothing changes or destroys it.
fn part_of_the_chip(
    serial: SerialNumber,
    name: &str,
    label: &str,
    point: Point,
    category: CK_ULONG,
    value: Vec<u8>,
) -> StoredObject {
    let never = bool_value(false);
    StoredObject {
        unique_id: format!("{serial}-{name}-certificate"),
        class: StoredClass::Certificate,
        label: label.to_owned(),
        id: point.key_id().to_vec(),
        application: String::new(),
        kept: Kept(vec![
            (CKA_MODIFIABLE, never.clone()),
            (CKA_DESTROYABLE, never),
            (CKA_CERTIFICATE_CATEGORY, ulong_value(category)),
        ]),
        value,
    }
}

/// The public key of the private key in a slot: as it is known, or read anew; none if there is no key, or it does not tell.
fn certified_point(turn: &mut Turn<'_>, slot: Slot, anew: bool) -> Result<Option<Point>> {
    let known = turn.known();
    if known.is_out_of_reach(slot) {
        return Ok(known.known_point(slot));
    }
    if known.key_slot(slot).is_none() {
        return turn.converse(|awake| told_point(awake, slot));
    }
    let point = if anew { crate::learn::point_anew(turn, slot) } else { crate::learn::point(turn, slot) };
    match point {
        Err(Error::KeyHandleInvalid(_)) => Ok(None),
        Err(error) if error.is_about_one_slot() => Ok(None),
        other => other.map(Some),
    }
}

/// The bytes of the chip's data at a place, which can be read in clear.
fn read_place<P: Transport>(awake: &mut Awake<'_, P>, place: Place) -> chip::Result<Vec<u8>> {
    let mut bytes = awake.read_slot(Slot::from_nibble(place.slot), place.offset + place.len)?;
    Ok(bytes.split_off(place.offset.min(bytes.len())))
}

/// Whether nothing can change a slot any more.
fn is_permanent(zone: &ConfigZone, slot: u8) -> bool {
    let slot = Slot::from_nibble(slot);
    zone.slot_locked(slot) || zone.slot_config(slot).write_config().write_policy() == WritePolicy::Never
}

/// A public key as slots hold it (fact sheet section 5.9), without the padding; the point on the curve.
fn stored_point(padded: &[u8]) -> Option<Point> {
    let mut xy = [0; 64];
    xy[..32].copy_from_slice(padded.get(4..36)?);
    xy[32..].copy_from_slice(padded.get(40..72)?);
    Point::from_xy(&xy)
}

/// A compressed certificate.
fn compressed(bytes: &[u8]) -> Result<CompressedCertificate, Problem> {
    let bytes = bytes.try_into().map_err(|_| Problem::Missing)?;
    Ok(CompressedCertificate::decode(bytes)?)
}

/// Checks an issuer's signature over a TBSCertificate.
fn verify(issuer: Point, to_be_signed: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), Problem> {
    issuer.verify(&Sha256::digest(to_be_signed).into(), signature).map_err(|_| Problem::Signature)
}

/// Why a certificate is not shown.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("its issuer's key does not verify its signature, so it is of another key than this chip's, of another issuer, or was changed")]
    Signature,
    #[error("the public key that it certifies is not in the chip, or not told by it")]
    NoKey,
    #[error("what the chip keeps of it is not there")]
    Missing,
    #[error("{0}")]
    Template(String),
}
