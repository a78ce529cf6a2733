// SPDX-License-Identifier: MIT OR Apache-2.0
//! Certificates in the chip: those it was sold with (`sold`), those of the user's own kinds (`custom`), and a client's
//! certificate in slot 8 (`held`); also public keys in slots that the configuration names (`configured`). They are
//! objects of the token like those in the state folder.

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

/// The known certificates of a chip.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// Whether [`Certificates::found`] is current.
    up_to_date: bool,
    found: Arc<[ChipCertificate]>,
}

/// A certificate in the chip.
#[derive(Clone, Debug)]
pub(super) struct ChipCertificate {
    /// The slot of the key pair that it certifies, whose id it gets, and whose label if it has none.
    pub(super) key: Option<Slot>,
    /// The key that it certifies, if it gets the id of the key pair with that key.
    pub(super) point: Option<Point>,
    pub(super) object: StoredObject,
}

impl Certificates {
    /// Nothing has been read yet. A chip with one of this project's profiles, or without a configuration, has none to
    /// read.
    pub(super) fn new(identity: &Identity) -> Self {
        let nothing_is_configured = identity.configured_certificates.is_empty()
            && identity.configured_objects.iter().all(|object| object.kind == ObjectKind::Secret)
            && !identity.certificates_in_chip;
        let nothing = !identity.is_provisioned() || identity.profile.is_some() && nothing_is_configured;
        Self { up_to_date: nothing, found: Arc::new([]) }
    }

    /// Another process may have changed slot 8.
    pub(super) fn may_have_changed(&mut self, identity: &Identity) {
        self.up_to_date &= !identity.certificates_in_chip;
    }

    /// Whether they must be read from the chip.
    pub(super) fn are_unknown(&self) -> bool {
        !self.up_to_date
    }
}

/// Whether a search may match an object of this module.
pub(super) fn may_match(known: &Known, template: &Template) -> bool {
    let has_public_keys = known.identity.configured(ObjectKind::Public).next().is_some();
    template.bytes(CKA_CLASS).is_none_or(|class| {
        class == ulong_value(CKO_CERTIFICATE) || has_public_keys && class == ulong_value(CKO_PUBLIC_KEY)
    })
}

/// Reads which certificates the chip holds, once in a process; only those that are missing in the state.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails. Certificates that can't be rebuilt or verified are left out, and the
/// log says why.
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

/// Returns the certificates, data objects and public keys of the state folder, then the chip's own certificates.
pub(super) fn stored_objects(known: &Known) -> impl Iterator<Item = Cow<'_, StoredObject>> {
    let in_state = known.state().objects.iter().filter(|object| public_key::is_shown(known, object));
    in_state
        .map(Cow::Borrowed)
        .chain(known.certificates.found.iter().map(|certificate| Cow::Owned(shown(known, certificate))))
}

/// Returns the object with this CKA_UNIQUE_ID.
pub(super) fn stored_object<'k>(known: &'k Known, unique_id: &str) -> Option<Cow<'k, StoredObject>> {
    let mut shown_of_state = known.state().objects.iter().filter(|object| public_key::is_shown(known, object));
    let in_state = shown_of_state.find(|object| object.unique_id == unique_id);
    in_state.map(Cow::Borrowed).or_else(|| {
        let found = known.certificates.found.iter().find(|found| found.object.unique_id == unique_id)?;
        Some(Cow::Owned(shown(known, found)))
    })
}

/// Returns the certificate with the present names of its key pair.
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

/// A certificate that is part of the chip: it can't be changed or destroyed.
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

/// Returns the public key of the private key in a slot, cached or read again; `None` if there is no key, or its public
/// key can't be read.
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

/// Reads bytes of the chip's data that can be read in clear.
fn read_place<P: Transport>(awake: &mut Awake<'_, P>, place: Place) -> chip::Result<Vec<u8>> {
    let mut bytes = awake.read_slot(Slot::from_nibble(place.slot), place.offset + place.len)?;
    Ok(bytes.split_off(place.offset.min(bytes.len())))
}

/// Whether a slot can't be changed any more.
fn is_permanent(zone: &ConfigZone, slot: u8) -> bool {
    let slot = Slot::from_nibble(slot);
    zone.slot_locked(slot) || zone.slot_config(slot).write_config().write_policy() == WritePolicy::Never
}

/// Decodes a public key from its form in slots (fact sheet section 5.9).
fn stored_point(padded: &[u8]) -> Option<Point> {
    let mut xy = [0; 64];
    xy[..32].copy_from_slice(padded.get(4..36)?);
    xy[32..].copy_from_slice(padded.get(40..72)?);
    Point::from_xy(&xy)
}

/// Decodes a compressed certificate.
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
    #[error(
        "its signature does not verify with its issuer's key: it belongs to another key or another issuer, or was \
         changed"
    )]
    Signature,
    #[error("the public key that it certifies is not in the chip, or can't be read")]
    NoKey,
    #[error("its data is missing in the chip")]
    Missing,
    #[error("{0}")]
    Template(String),
}
