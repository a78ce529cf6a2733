// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of private keys in the chip. Labels and ids are unique among them: AWS clients refuse a token with two equal labels, and
//! OpenSSL's provider pairs a private key with the first public key of the same id.

use super::class::KeyPair;
use super::error::{Error, Result};
use super::learn;
use super::point::Point;
use super::snapshot::Known;
use super::turn::Turn;
use atecc608::presence::Held;
use atecc608_wire::Slot;

/// Returns the label of a new key in this slot: `None` means the slot's name, unless another key has that label.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if another private key has the requested label; the [turn
/// errors](Error#turn-errors).
pub(super) fn settled_label(turn: &mut Turn<'_>, slot: Slot, label: Option<String>) -> Result<Option<String>> {
    if let Some(label) = label {
        refuse_second_label(turn, Some(slot), &label)?;
        return Ok(Some(label));
    }
    let default = turn.known().key_slot(slot).map(|key| key.default_label.clone()).unwrap_or_default();
    let taken = refuse_second_label(turn, Some(slot), &default);
    Ok(matches!(taken, Err(Error::AttributeValueInvalid(_))).then(|| format!("slot-{slot}")))
}

/// Refuses a label that a private key in another slot has: AWS clients refuse a token with two equal labels.
///
/// # Errors
/// [`Error::AttributeValueInvalid`], the [turn errors](Error#turn-errors).
pub(super) fn refuse_second_label(turn: &mut Turn<'_>, slot: Option<Slot>, label: &str) -> Result<()> {
    let known = turn.known();
    let same = |other: &Slot| known.pair(*other).is_some_and(|pair| pair.label() == label);
    match occupied(turn, other_slots(turn, slot).into_iter().filter(same).collect())?.first() {
        Some(other) => Err(second_label(*other, label)),
        None => Ok(()),
    }
}

/// Refuses an id for the key in this slot that another private key has; the default is the configured id of the slot.
/// Empty ids may be used repeatedly.
///
/// # Errors
/// [`Error::AttributeValueInvalid`], the [turn errors](Error#turn-errors).
pub(super) fn refuse_second_id(turn: &mut Turn<'_>, slot: Slot, id: Option<&[u8]>) -> Result<()> {
    let known = turn.known();
    let configured = known.key_slot(slot).and_then(|key| key.configured_id.as_deref());
    let Some(id) = id.or(configured).filter(|id| !id.is_empty()) else { return Ok(()) };
    match holder_of_id(turn, Some(slot), id)? {
        Some(other) => Err(second_id(turn, other, id)),
        None => Ok(()),
    }
}

/// Refuses names for a stand-alone public key that a key pair in the chip has.
///
/// # Errors
/// [`Error::AttributeValueInvalid`], the [turn errors](Error#turn-errors).
pub(super) fn refuse_names_of_pairs(turn: &mut Turn<'_>, label: &str, id: &[u8]) -> Result<()> {
    let known = turn.known();
    let is_called = |slot: &Slot| known.pair(*slot).is_some_and(|pair| is_label_of(&pair, label));
    if let Some(slot) = occupied(turn, other_slots(turn, None).into_iter().filter(is_called).collect())?.first() {
        return Err(second_label(*slot, label));
    }
    match holder_of_id(turn, None, id)? {
        Some(slot) if !id.is_empty() => Err(second_id(turn, slot, id)),
        _ => Ok(()),
    }
}

/// Whether a key pair that the chip holds, or may hold, has one of these names. `point` is the public key with these
/// names: its own default id does not count.
pub(super) fn are_of_a_pair(known: &Known, label: &str, id: &[u8], point: Point) -> bool {
    let may_hold_one = |slot: &Slot| known.known_presence(*slot) != Some(Held::Nothing);
    let slots = known.identity.keys.iter().map(|key| key.slot).filter(may_hold_one);
    slots.filter_map(|slot| known.pair(slot)).any(|pair| {
        let has_id = match (pair.given_id(), pair.point()) {
            (Some(given), _) => given == id,
            (None, Some(own)) => own.key_id() == id,
            (None, None) => id.len() == 20 && id != point.key_id(),
        };
        !id.is_empty() && has_id || is_label_of(&pair, label)
    })
}

fn is_label_of(pair: &KeyPair<'_>, label: &str) -> bool {
    !label.is_empty() && (pair.label() == label || pair.public_label() == label)
}

/// Logs that a key without a given id gets the same default id as another one, because the same key is in the chip
/// twice.
///
/// # Errors
/// The [turn errors](Error#turn-errors).
pub(super) fn warn_of_second_default_id(turn: &mut Turn<'_>, slot: Slot, point: Point) -> Result<()> {
    if turn.known().pair(slot).is_some_and(|pair| pair.given_id().is_some()) {
        return Ok(());
    }
    if let Some(other) = holder_of_id(turn, Some(slot), &point.key_id())? {
        log::warn!(
            "the keys in slots {other} and {slot} are the same key, so both have the id {}: give one of them another CKA_ID, or destroy it",
            base16ct::lower::encode_string(&point.key_id())
        );
    }
    Ok(())
}

/// Returns the other slot whose private key has this id. Reads a public key from the chip only if its default id may
/// match.
fn holder_of_id(turn: &mut Turn<'_>, slot: Option<Slot>, id: &[u8]) -> Result<Option<Slot>> {
    let known = turn.known();
    let may_have_it = |other: &Slot| {
        known.pair(*other).is_some_and(|pair| match (pair.given_id(), pair.point()) {
            (Some(given), _) => given == id,
            (None, Some(point)) => point.key_id() == id,
            // SHA-1 of its public key, if it has an id at all.
            (None, None) => pair.key.public && id.len() == 20,
        })
    };
    for other in occupied(turn, other_slots(turn, slot).into_iter().filter(may_have_it).collect())? {
        let is_given = known.pair(other).is_some_and(|pair| pair.given_id().is_some());
        if is_given || learn::point_if_told(turn, other)?.is_some_and(|point| point.key_id() == id) {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Returns the slots for keys except this one.
fn other_slots(turn: &Turn<'_>, slot: Option<Slot>) -> Vec<Slot> {
    turn.known().identity.keys.iter().map(|key| key.slot).filter(|other| Some(*other) != slot).collect()
}

/// Returns those of these slots that hold a key, or may hold one.
fn occupied(turn: &mut Turn<'_>, slots: Vec<Slot>) -> Result<Vec<Slot>> {
    learn::presence(turn, &slots)?;
    let known = turn.known();
    let may_hold_one = |slot: &Slot| matches!(known.known_presence(*slot), Some(Held::Key | Held::Unknown));
    Ok(slots.into_iter().filter(may_hold_one).collect())
}

/// Returns the keys in these slots with their labels, and a command that destroys one of them: for the message that no
/// slot is free.
pub(super) fn held_by(known: &Known, slots: &[Slot]) -> String {
    let label = |slot: &Slot| known.pair(*slot).map(|pair| pair.label().to_owned()).unwrap_or_default();
    let keys: Vec<String> = slots.iter().map(|slot| format!("slot {slot} holds \"{}\"", label(slot))).collect();
    let which = if let [only] = slots { only.to_string() } else { "N".to_owned() };
    format!("{}; `atecc608 key destroy --slot {which}` frees a slot and destroys its key for good", keys.join(", "))
}

fn second_id(turn: &Turn<'_>, slot: Slot, id: &[u8]) -> Error {
    let label = turn.known().pair(slot).map(|pair| pair.label().to_owned()).unwrap_or_default();
    Error::AttributeValueInvalid(
        format!(
            "CKA_ID {}: the private key in slot {slot} (\"{label}\") already has it; ids of private keys are unique: \
             choose another one",
            base16ct::lower::encode_string(id)
        )
        .into(),
    )
}

pub(super) fn second_label(slot: Slot, label: &str) -> Error {
    Error::AttributeValueInvalid(
        format!(
            "the private key in slot {slot} already has the label \"{label}\"; labels of private keys are unique: \
             choose another one"
        )
        .into(),
    )
}
