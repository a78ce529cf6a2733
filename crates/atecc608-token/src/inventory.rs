// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip's private keys as the command-line tool shows them: which slots can hold one, which do, and why a slot is
//! unsuitable. Not reachable through PKCS#11.

use super::attest::KeyName;
use super::class::{Answer, Half};
use super::error::{Error, Result};
use super::identity::Identity;
use super::keygen;
use super::latch;
use super::layout::{secret_slots, KeySlot, SecretAccess, SecretSlot};
use super::learn::{self, read_point};
use super::point::Point;
use super::profile;
use super::secret::place;
use super::state::{EmptyPlace, State};
use super::token::Token;
use super::trusted::TrustedKeys;
use super::turn::Turn;
use atecc608::latch::Latch;
use atecc608::presence::Held;
use atecc608_wire::{ConfigZone, Slot};
use cryptoki_sys::CKA_ID;

/// One slot that can hold a private key.
#[derive(Clone, Debug)]
pub struct KeyReport {
    /// The slot, and the permitted uses of its key.
    pub key: KeySlot,
    /// The label of its key; for an empty slot the slot's name.
    pub label: String,
    /// CKA_ID; `None` while it depends on an unknown public key.
    pub id: Option<Vec<u8>>,
    /// Whether it holds a visible key; `None` if that is known only after a login.
    pub held: Option<Held>,
    /// The queries that the chip refused. If that includes the presence of a key, the slot is never free.
    pub refused: Vec<Question>,
    /// The persistent latch, if the key works only while it is set.
    pub latch: Option<Latch>,
    /// Its public key: from the chip, or from the state if the chip requires a login.
    pub point: Option<Point>,
    /// Whether the slot is locked permanently.
    pub locked: bool,
    /// Whether the slot works only after a login, and there was none.
    pub wants_login: bool,
}

/// A query to the chip about a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it holds a key: Info(KeyValid).
    Presence,
    /// Its public key: GenKey(public).
    PublicKey,
}

/// The way of a new key into a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// GenKey.
    Generated,
    /// PrivWrite.
    Imported,
}

/// Returns all slots that can hold a private key, in order, with public keys read from the chip.
///
/// # Errors
/// [`Error::DeviceError`] if the chip is not provisioned; the [turn errors](Error#turn-errors).
pub fn key_reports(token: &Token) -> Result<Vec<KeyReport>> {
    token.turn(token.deadline(), |turn| {
        let known = turn.known();
        known.identity.check_has_keys()?;
        let slots: Vec<Slot> = known.identity.keys.iter().map(|key| key.slot).collect();
        learn::presence(turn, &slots)?;
        slots.into_iter().map(|slot| report(turn, slot)).collect()
    })
}

/// Returns the slot of a private key, and its public key read from the chip.
///
/// # Errors
/// [`Error::KeyHandleInvalid`] if there is no such key or its public key can't be read; the [turn
/// errors](Error#turn-errors).
pub fn read_public_key(token: &Token, key: &KeyName) -> Result<(Slot, Point)> {
    token.turn(token.deadline(), |turn| {
        turn.known().identity.check_has_keys()?;
        let slot = find(turn, key)?;
        if turn.known().is_out_of_reach(slot) {
            return Err(Error::UserNotLoggedIn);
        }
        Ok((slot, learn::point_anew(turn, slot)?))
    })
}

/// Returns the places for secret keys of a chip that holds none: `slots` has each slot's bytes, if known. `zone` is its
/// configuration once both zones are locked.
pub fn empty_places(zone: &ConfigZone, slots: &[Option<Vec<u8>>; 16]) -> Vec<EmptyPlace> {
    let mut places = Vec::new();
    for secret in secret_slots(zone, profile::matching(zone)) {
        let Some(bytes) = &slots[secret.slot.index()] else { continue };
        for (block, bytes) in (0..secret.keys).zip(bytes.chunks_exact(32)) {
            let check = bytes.try_into().ok().and_then(|bytes| place::check_value(secret.kind, bytes).ok());
            places.extend(check.map(|check| EmptyPlace { slot: secret.slot.number(), block, check }));
        }
    }
    places
}

/// Returns the slots for secret keys of a chip with both zones locked, each with its number of places that the state
/// does not describe: whether they hold keys is unknown. `zone` is its configuration.
pub fn unknown_places(zone: &ConfigZone, state: &State) -> Vec<(Slot, usize)> {
    let count = |secret: SecretSlot| {
        let is_unknown =
            |block: &u8| !state.has_secret(secret.slot, *block) && state.empty(secret.slot, *block).is_none();
        (secret.slot, (0..secret.keys).filter(is_unknown).count())
    };
    let slots = secret_slots(zone, profile::matching(zone));
    let writable = slots.into_iter().filter(|secret| secret.access != SecretAccess::Never);
    writable.map(count).filter(|(_, places)| *places > 0).collect()
}

/// Marks all places of a slot for secret keys that the state does not describe as empty. Returns their number.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot is not for secret keys; the [turn errors](Error#turn-errors).
pub fn call_secret_slot_empty(token: &Token, slot: Slot) -> Result<usize> {
    token.turn(token.deadline(), |turn| {
        turn.known().identity.check_provisioned()?;
        place::call_empty(turn, slot)
    })
}

/// Marks these places for secret keys as empty, except those with keys in the state. Returns their number.
///
/// # Errors
/// The [turn errors](Error#turn-errors).
pub fn take_empty_places(token: &Token, mut places: Vec<EmptyPlace>) -> Result<usize> {
    token.turn(token.deadline(), |turn| {
        places.retain(|empty| place::is_free(&turn.known(), empty));
        let count = places.len();
        turn.change_state(|state| places.into_iter().for_each(|place| state.call_empty(place)))?;
        Ok(count)
    })
}

/// Returns the file of the chip's trusted public keys.
///
/// # Errors
/// The [first contact errors](Error#first-contact-errors).
pub fn trusted_keys(token: &Token) -> Result<TrustedKeys> {
    Ok(token.known(token.deadline())?.identity.trusted.clone())
}

/// Stores the chip's configuration for the module, where only root can write ([`configuration`](crate::configuration));
/// does nothing if a lock is missing.
///
/// # Errors
/// The [first contact errors](Error#first-contact-errors); the inner error if the file can't be written.
pub fn keep_configuration(token: &Token) -> Result<std::io::Result<()>> {
    let identity = &token.known(token.deadline())?.identity;
    // A zone from the stored file must not be stored again.
    Ok(if identity.is_partly_kept { Ok(()) } else { identity.kept_configuration.store(&identity.zone) })
}

/// Returns why this slot can't hold a new key, whatever it holds now; `None` if it can.
///
/// # Errors
/// [`Error::DeviceError`] if the chip is not provisioned; the [first contact errors](Error#first-contact-errors).
pub fn slot_problem(token: &Token, slot: Slot, new: NewKey) -> Result<Option<String>> {
    let known = token.known(token.deadline())?;
    known.identity.check_has_keys()?;
    Ok(problem(&known.identity, slot, new))
}

/// Returns the slot that a new key with this label would get, without a change.
///
/// # Errors
/// [`Error::DeviceMemory`] if no slot is free; [`Error::ActionProhibited`] if the slot of this name can't hold a new
/// key; [`Error::AttributeValueInvalid`] if another key has the label; the [turn errors](Error#turn-errors).
pub fn slot_for_new_key(token: &Token, label: &str) -> Result<Slot> {
    keygen::slot_for(token, label)
}

fn report(turn: &mut Turn<'_>, slot: Slot) -> Result<KeyReport> {
    let known = turn.known();
    let wants_login = known.is_out_of_reach(slot);
    let held = known.known_presence(slot);
    let mut refused: Vec<Question> =
        known.presence_was_refused(slot).then_some(Question::Presence).into_iter().collect();
    let tells = known.key_slot(slot).is_some_and(|key| key.public);
    let point = match held {
        Some(Held::Key) if tells && !wants_login => match learn::point_anew(turn, slot) {
            Err(error) if error.is_about_one_slot() => {
                log::warn!("cannot read the public key of slot {slot}: {error}");
                refused.push(Question::PublicKey);
                None
            }
            point => Some(point?),
        },
        Some(Held::Key) => known.known_point(slot),
        _ => None,
    };
    let latch = latch::of_slot(turn, slot)?;
    let known = turn.known();
    let locked = known.zone().slot_locked(slot);
    let pair = known.pair(slot).ok_or_else(|| Error::State(format!("slot {slot} is not a key slot").into()))?;
    let id = match Half::Private.attribute(&pair, CKA_ID) {
        Answer::Value(id) => Some(id),
        _ => None,
    };
    let label = if held == Some(Held::Nothing) { pair.key.default_label.clone() } else { pair.label().to_owned() };
    let id = id.filter(|_| held != Some(Held::Nothing));
    Ok(KeyReport { key: pair.key.clone(), label, id, held, refused, latch, point, locked, wants_login })
}

/// Returns the slot of an existing key.
fn find(turn: &mut Turn<'_>, key: &KeyName) -> Result<Slot> {
    let known = turn.known();
    if let KeyName::Slot(slot) = key {
        if known.key_slot(*slot).is_none() {
            let problem = not_a_key_slot(&known.identity, *slot);
            // The attestation key is not an object of the token, but has a public key.
            let has_a_key = known.zone().key_config(*slot).is_p256_private()
                && turn.converse(|awake| read_point(awake, *slot))?.is_some();
            return Err(Error::KeyHandleInvalid(if has_a_key {
                format!("{problem} (`atecc608 attest --public` prints its public key)").into()
            } else {
                format!("{problem} (`atecc608 key list` shows the others)").into()
            }));
        }
    }
    let is_meant = |slot: &Slot| match key {
        KeyName::Slot(wanted) => slot == wanted,
        KeyName::Label(label) => known.pair(*slot).is_some_and(|pair| pair.label() == label),
    };
    let slots: Vec<Slot> = known.identity.keys.iter().map(|key| key.slot).filter(is_meant).collect();
    learn::presence(turn, &slots)?;
    // A slot whose key is shown only after a login may hold it.
    let may_be = |slot: &Slot| turn.known().known_presence(*slot) != Some(Held::Nothing);
    slots.into_iter().find(may_be).ok_or_else(|| {
        Error::KeyHandleInvalid(match key {
            KeyName::Slot(slot) => {
                format!("slot {slot} holds no key: `atecc608 key generate --slot {slot}` generates one").into()
            }
            KeyName::Label(label) => {
                format!("no private key has the label \"{label}\": `atecc608 key list` lists the keys").into()
            }
        })
    })
}

/// Returns the obstacle for a new key, whatever the slot holds.
fn problem(identity: &Identity, slot: Slot, new: NewKey) -> Option<String> {
    let fit = |key: &&KeySlot| match new {
        NewKey::Generated => key.generate && key.public,
        NewKey::Imported => {
            (key.import || identity.open_between_locks) && key.public && !identity.zone.slot_locked(key.slot)
        }
    };
    let slots: Vec<String> = identity.keys.iter().filter(fit).map(|key| key.slot.to_string()).collect();
    let others = match slots.as_slice() {
        [] => "no slot of this chip can".to_owned(),
        slots => format!("slot {} can", slots.join(", ")),
    };
    let problem = match identity.key_slot(slot) {
        None => not_a_key_slot(identity, slot),
        Some(key) if fit(&key) => return None,
        Some(_) if identity.zone.slot_locked(slot) => {
            format!("slot {slot} is permanently locked: its key can't be replaced")
        }
        Some(_) if new == NewKey::Imported => {
            format!(
                "the configuration of slot {slot} does not permit the import of a private key (PrivWrite is \
                 forbidden)"
            )
        }
        Some(key) if !key.public => {
            format!(
                "the configuration of slot {slot} does not permit reading its public key, so a key there could not be \
                 used"
            )
        }
        Some(_) => format!("the configuration of slot {slot} does not permit a new key (GenKey is forbidden)"),
    };
    Some(format!("{problem}; {others}"))
}

fn not_a_key_slot(identity: &Identity, slot: Slot) -> String {
    let name = identity.profile.map(|profile| format!(" (\"{}\")", profile.slot(slot).name)).unwrap_or_default();
    let is_private = identity.zone.key_config(slot).is_p256_private();
    if is_private && identity.zone.slot_locked(slot) {
        format!("slot {slot}{name} is permanently locked: its key can't be replaced")
    } else if is_private && identity.open_between_locks {
        format!("a key in slot {slot}{name} could not be used: its configuration lacks PubInfo or IsSecret")
    } else if is_private {
        format!("the key of slot {slot}{name} signs statements of the chip only, no other data")
    } else {
        format!("slot {slot}{name} is not a key slot: its configuration is for data or secrets")
    }
}
