//! C_FindObjects: matching templates, and asking the chip only where its answer matters.

use cryptoki_sys::*;

use super::attribute::{stored_attribute, Answer, KeyPair};
use super::certificates;
use super::device::Device;
use super::error::Result;
use super::feature;
use super::identity::Identity;
use super::object::{KeyRef, ObjectKey, SessionObjects};
use super::template::Template;
use atecc608_wire::Slot;

/// One half of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Private,
    Public,
}

impl Half {
    pub(super) fn key(self, slot: Slot, epoch: u32) -> ObjectKey {
        match self {
            Half::Private => ObjectKey::PrivateKey(KeyRef { slot, epoch }),
            Half::Public => ObjectKey::PublicKey(KeyRef { slot, epoch }),
        }
    }

    pub(super) fn attribute(self, pair: &KeyPair<'_>, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
        match self {
            Half::Private => pair.private_attribute(attribute),
            Half::Public => pair.public_attribute(attribute),
        }
    }
}

/// What a template says of an object without asking the chip.
enum Match {
    Yes,
    No,
    /// It depends on the public key.
    NeedsPoint,
}

impl Identity {
    /// The key pair of a key slot, with what is known of its public key.
    pub(super) fn pair(&self, slot: Slot) -> Option<KeyPair<'_>> {
        self.key_slot(slot).map(|key| KeyPair {
            key,
            state: self.store.state().slot(slot),
            point: self.known_point(slot),
            zone: &self.zone,
        })
    }

    fn matches(&self, slot: Slot, half: Half, template: &Template) -> Match {
        let Some(pair) = self.pair(slot) else { return Match::No };
        let mut result = Match::Yes;
        for (attribute, wanted) in template.iter() {
            match half.attribute(&pair, attribute) {
                Answer::Value(value) if value == wanted => {}
                Answer::NeedsPoint if attribute == CKA_ID && !self.may_be_default_id(slot, wanted) => return Match::No,
                Answer::NeedsPoint => result = Match::NeedsPoint,
                Answer::Value(_) | Answer::Error(_) => return Match::No,
            }
        }
        result
    }

    /// Whether an id can be the default one of a slot whose public key is not known: SHA-1 of a point, and not of
    /// one that another slot is known to hold.
    fn may_be_default_id(&self, slot: Slot, id: &[u8]) -> bool {
        let is_anothers = |other: &Slot| self.known_point(*other).is_some_and(|point| point.key_id() == id);
        id.len() == 20
            && !self.keys.iter().map(|key| key.slot).filter(|other| *other != slot).any(|other| is_anothers(&other))
    }
}

/// The objects that match, in a stable order: private keys, public keys, secret keys, certificates and data, session
/// objects.
///
/// # Errors
/// Those of the chip, where it had to be asked.
pub(super) fn find(
    device: &mut Device,
    session_objects: &SessionObjects,
    template: &Template,
) -> Result<Vec<ObjectKey>> {
    if feature::is_asked(template) {
        return feature::find(device, template);
    }
    let identity = device.identity()?;
    identity.refresh();
    let mut found = find_keys(device, template)?;
    if certificates::may_match(template) && device.identity()?.wants_certificates() {
        device.with_chip(|chip, identity| identity.learn_certificates(chip))?;
    }
    let identity = device.identity()?;
    for secret in identity.store.state().secrets.iter().filter(|secret| identity.secret_slot_of(secret).is_some()) {
        let has = |(attribute, wanted)| secret.attribute(&identity.zone, attribute).is_ok_and(|value| value == wanted);
        if template.iter().all(has) {
            found.push(ObjectKey::Secret(secret.unique_id.clone()));
        }
    }
    for object in identity.stored_objects() {
        let has = |(attribute, wanted)| stored_attribute(&object, attribute).is_ok_and(|value| value == wanted);
        if template.iter().all(has) {
            found.push(ObjectKey::Stored(object.unique_id.clone()));
        }
    }
    for (number, object) in session_objects.iter() {
        if template.iter().all(|(attribute, wanted)| object.attribute(attribute).is_ok_and(|value| value == wanted)) {
            found.push(ObjectKey::Session(number));
        }
    }
    Ok(found)
}

fn find_keys(device: &mut Device, template: &Template) -> Result<Vec<ObjectKey>> {
    let state = device.identity()?.store.state();
    if state.slots.iter().any(|state| state.intent.is_some())
        || state.secrets.iter().any(|secret| secret.pending.is_some())
    {
        // Resolved first: it may change which keys there are, and their names.
        device.with_chip(|_, _| Ok(()))?;
    }
    let identity = device.identity()?;
    let mut candidates: Vec<(Slot, Half)> = Vec::new();
    for half in [Half::Private, Half::Public] {
        // Before a login a slot that wants one shows the public key that is known, and never the private one.
        let is_shown =
            |slot| !identity.is_out_of_reach(slot) || half == Half::Public && identity.known_point(slot).is_some();
        let slots = identity.keys.iter().filter(|key| half == Half::Private || key.public).map(|key| key.slot);
        let slots = slots.filter(|slot| is_shown(*slot));
        candidates.extend(
            slots.filter(|slot| !matches!(identity.matches(*slot, half, template), Match::No)).map(|slot| (slot, half)),
        );
    }
    let is_candidate = |slot: &Slot| candidates.iter().any(|(candidate, _)| candidate == slot);
    let slots: Vec<Slot> = identity.keys.iter().map(|key| key.slot).filter(is_candidate).collect();
    if slots.iter().any(|slot| identity.known_presence(*slot).is_none()) {
        device.with_chip(|chip, identity| identity.learn_presence(chip, &slots))?;
    }
    let mut found = Vec::new();
    for (slot, half) in candidates {
        let identity = device.identity()?;
        if identity.known_presence(slot) != Some(true) {
            continue;
        }
        if let Match::NeedsPoint = identity.matches(slot, half, template) {
            device.with_chip(|chip, identity| identity.learn_point(chip, slot))?;
        }
        let identity = device.identity()?;
        // Asked again: another process may have changed names meanwhile.
        if let Match::Yes = identity.matches(slot, half, template) {
            found.push(half.key(slot, identity.epoch(slot)));
        }
    }
    Ok(found)
}
