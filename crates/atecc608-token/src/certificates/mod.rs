//! Certificates that the chip itself holds: those that it was sold with (`sold`), those of the user's own kinds
//! (`custom`), and the one that a client put into slot 8 (`held`). They are objects of the token as those in the state
//! folder are.

pub(super) mod custom;
pub(super) mod held;
pub(super) mod sold;

use std::borrow::Cow;

use cryptoki_sys::*;
use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::identity::{read_point, Identity};
use super::kept::Kept;
use super::point::Point;
use super::state::{StoredClass, StoredObject};
use super::template::{bool_value, ulong_value, Template};
use crate::config::{CertificateConfig, TokenConfig};
use atecc608::{self as chip, Awake, Chip, Transport};
use atecc608_contents::certificate::{CertificateError, CompressedCertificate, Place};
use atecc608_wire::config_zone::WritePolicy;
use atecc608_wire::{ConfigZone, Slot, SIGNATURE_LEN};

/// What is known about a chip's own certificates.
#[derive(Debug)]
pub struct Certificates {
    /// Kinds of the user's own.
    configured: Vec<CertificateConfig>,
    /// Whether clients' certificates go into slot 8.
    in_chip: bool,
    /// They are as [`Certificates::found`] says.
    up_to_date: bool,
    found: Vec<ChipCertificate>,
}

/// A certificate in the chip.
#[derive(Clone, Debug)]
pub(super) struct ChipCertificate {
    /// Whose key pair it certifies: that one's id is its own, and its label if it has none.
    pub(super) key: Option<Slot>,
    pub(super) object: StoredObject,
}

impl Certificates {
    /// Nothing was asked yet. There is nothing to ask in a chip that has only our own configuration, or none.
    pub(super) fn new(token: &TokenConfig, usable: bool, ours: bool) -> Self {
        let (configured, in_chip) = (token.certificates.clone(), token.certificates_in_chip);
        let nothing = !usable || ours && configured.is_empty() && !in_chip;
        Self { configured, in_chip, up_to_date: nothing, found: Vec::new() }
    }

    /// Another process may have changed what is in slot 8.
    pub(super) fn may_have_changed(&mut self) {
        self.up_to_date &= !self.in_chip;
    }
}

/// Whether a search may be for certificates.
pub(super) fn may_match(template: &Template) -> bool {
    template.bytes(CKA_CLASS).is_none_or(|class| class == ulong_value(CKO_CERTIFICATE))
}

impl Identity {
    /// Whether the chip has to be asked for its certificates.
    pub(super) fn wants_certificates(&self) -> bool {
        !self.certificates.up_to_date
    }

    /// Finds out which certificates the chip holds, once in a process; those that the state does not know are read.
    ///
    /// # Errors
    /// [`Error::Device`]. Certificates that can't be rebuilt or verified are none: the log says why.
    pub(super) fn learn_certificates<P: Transport>(&mut self, chip: &mut Chip<P>) -> Result<()> {
        if self.certificates.up_to_date {
            return Ok(());
        }
        let mut found = Vec::new();
        if self.profile.is_none() {
            self.learn_sold(chip, &mut found)?;
        }
        self.learn_custom(chip, &mut found)?;
        if self.certificates.in_chip {
            found.extend(self.read_held(chip)?);
        }
        self.certificates.found = found;
        self.certificates.up_to_date = true;
        Ok(())
    }

    /// The certificates and data objects of the state folder, then the chip's own certificates.
    pub(super) fn stored_objects(&self) -> impl Iterator<Item = Cow<'_, StoredObject>> {
        let in_state = self.store.state().objects.iter().map(Cow::Borrowed);
        in_state.chain(self.certificates.found.iter().map(|certificate| Cow::Owned(self.shown(certificate))))
    }

    /// The one of this CKA_UNIQUE_ID.
    pub(super) fn stored_object(&self, unique_id: &str) -> Option<Cow<'_, StoredObject>> {
        let in_state = self.store.state().objects.iter().find(|object| object.unique_id == unique_id);
        in_state.map(Cow::Borrowed).or_else(|| {
            let found = self.certificates.found.iter().find(|found| found.object.unique_id == unique_id)?;
            Some(Cow::Owned(self.shown(found)))
        })
    }

    /// With the names that its key pair has now.
    fn shown(&self, certificate: &ChipCertificate) -> StoredObject {
        let mut object = certificate.object.clone();
        if let Some(pair) = certificate.key.and_then(|slot| self.pair(slot)) {
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
    fn certificate(&self, name: &str, label: &str, point: Point, category: CK_ULONG, value: Vec<u8>) -> StoredObject {
        let never = bool_value(false);
        StoredObject {
            unique_id: format!("{}-{name}-certificate", self.zone.serial_number()),
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
    fn certified_point<P: Transport>(&mut self, chip: &mut Chip<P>, slot: Slot, anew: bool) -> Result<Option<Point>> {
        if self.is_out_of_reach(slot) {
            return Ok(self.known_point(slot));
        }
        if self.key_slot(slot).is_none() {
            return chip.converse(|awake| read_point(awake, slot)).map_err(Error::Device);
        }
        let point = if anew { self.read_point_anew(chip, slot) } else { self.learn_point(chip, slot) };
        match point {
            Err(Error::KeyHandleInvalid(_)) => Ok(None),
            other => other.map(Some),
        }
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
