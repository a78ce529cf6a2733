// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_FindObjects: matches templates, and accesses the chip only if the result depends on it.

use std::sync::Arc;

use cryptoki_sys::*;

use super::class::{value, Answer, Half, SecretInSlot, SecretKey};
use super::deadline::Deadline;
use super::error::{Error, Result};
use super::object::{ObjectKey, SessionObject};
use super::snapshot::Known;
use super::template::{ulong_value, Template};
use super::token::Token;
use super::turn::Turn;
use super::{certificates, feature, learn, secret, ObjectHandle};
use atecc608::presence::Held;
use atecc608_wire::Slot;

/// The result of matching a template with an object without accessing the chip.
enum Match {
    Yes,
    No,
    /// It depends on the public key.
    NeedsPoint,
}

/// Returns handles of the matching objects in a stable order: private keys, public keys, secret keys, certificates and
/// data, session objects. Accesses the chip only if the result depends on it.
///
/// # Errors
/// The [turn errors](Error#turn-errors), if the chip has to be accessed.
pub(crate) fn find(token: &Token, template: &Template, deadline: Deadline) -> Result<Vec<ObjectHandle>> {
    let known = token.known(deadline)?;
    let mut found = if feature::is_asked(template) {
        feature::find(&known, template)
    } else {
        token.state_access.refresh(&token.board);
        let known = what_matters(token, template, deadline)?;
        let mut found = of_token(&known, template);
        let has = |object: &SessionObject| {
            template.iter().all(|(attribute, wanted)| object.attribute(attribute).is_ok_and(|value| value == wanted))
        };
        found.extend(token.objects.find(has));
        found
    };
    found.retain(|key| !token.objects.is_hidden(key));
    if token.known(deadline)?.hides_private() {
        found.retain(|key| !token.objects.is_private(key));
    }
    Ok(found.into_iter().map(|key| token.objects.handle(key)).collect())
}

/// Returns the known facts, with all facts that decide what matches. First resolves changes that other processes have
/// begun but not committed, if the chip is free: a process that holds it may be making the change.
fn what_matters(token: &Token, template: &Template, deadline: Deadline) -> Result<Arc<Known>> {
    let known = token.known(deadline)?;
    let known = if has_open_intents(&known) {
        let tried = token.try_turn(|turn| learn_what_matters(turn, template));
        tried.unwrap_or(Ok(known))?
    } else {
        known
    };
    if is_enough(&known, template) {
        return Ok(known);
    }
    token.turn(deadline, |turn| learn_what_matters(turn, template))
}

fn has_open_intents(known: &Known) -> bool {
    known.state().slots.iter().any(|slot| slot.intent.is_some())
        || known.state().secrets.iter().any(|secret| secret.pending.is_some())
}

/// Whether the matches can be decided without accessing the chip.
fn is_enough(known: &Known, template: &Template) -> bool {
    let certificates = certificates::may_match(known, template) && known.certificates.are_unknown();
    let secrets = may_be_secret(template) && known.unasked_secrets().next().is_some();
    !certificates
        && !secrets
        && candidates(known, template).into_iter().all(|(slot, half)| match known.known_presence(slot) {
            None => false,
            Some(Held::Nothing | Held::Unknown) => true,
            Some(Held::Key) => !matches!(matches(known, slot, half, template), Match::NeedsPoint),
        })
}

fn learn_what_matters(turn: &mut Turn<'_>, template: &Template) -> Result<Arc<Known>> {
    let candidates = candidates(&turn.known(), template);
    let is_candidate = |slot: &Slot| candidates.iter().any(|(candidate, _)| candidate == slot);
    let slots: Vec<Slot> = turn.known().identity.keys.iter().map(|key| key.slot).filter(is_candidate).collect();
    learn::presence(turn, &slots)?;
    for (slot, half) in candidates {
        let known = turn.known();
        let is_there = known.known_presence(slot) == Some(Held::Key);
        if is_there && matches!(matches(&known, slot, half, template), Match::NeedsPoint) {
            match learn::point_if_told(turn, slot) {
                // The key is gone.
                Err(Error::KeyHandleInvalid(_)) => {}
                told => drop(told?),
            }
        }
    }
    if certificates::may_match(&turn.known(), template) {
        certificates::learn(turn)?;
    }
    if may_be_secret(template) {
        secret::configured::learn(turn)?;
    }
    Ok(turn.known())
}

/// Whether the template may match secret keys.
fn may_be_secret(template: &Template) -> bool {
    template.bytes(CKA_CLASS).is_none_or(|class| class == ulong_value(CKO_SECRET_KEY))
}

/// Returns the keys that may match, present or not. Before a login, a slot that requires one shows its known public
/// key, but not the private key.
fn candidates(known: &Known, template: &Template) -> Vec<(Slot, Half)> {
    let mut candidates: Vec<(Slot, Half)> = Vec::new();
    for half in [Half::Private, Half::Public] {
        let is_shown = |slot| !known.is_out_of_reach(slot) || half == Half::Public && known.known_point(slot).is_some();
        let slots = known.identity.keys.iter().filter(|key| half == Half::Private || key.public).map(|key| key.slot);
        let may_match = |slot: &Slot| is_shown(*slot) && !matches!(matches(known, *slot, half, template), Match::No);
        candidates.extend(slots.filter(may_match).map(|slot| (slot, half)));
    }
    candidates
}

/// Returns the token's objects that match, as far as known.
fn of_token(known: &Known, template: &Template) -> Vec<ObjectKey> {
    let keys = candidates(known, template).into_iter().filter(|(slot, half)| {
        known.known_presence(*slot) == Some(Held::Key) && matches!(matches(known, *slot, *half, template), Match::Yes)
    });
    let mut found: Vec<ObjectKey> = keys.map(|(slot, half)| half.key(slot, known.epoch(slot))).collect();
    for secret in known.secrets() {
        let object = SecretInSlot { secret, zone: known.zone() };
        let has = |(attribute, wanted)| value::<SecretKey>(&object, attribute).is_ok_and(|value| value == wanted);
        if template.iter().all(has) {
            found.push(ObjectKey::Secret(secret.unique_id.clone()));
        }
    }
    for object in certificates::stored_objects(known) {
        let has = |(attribute, wanted)| object.attribute(attribute).is_ok_and(|value| value == wanted);
        if template.iter().all(has) {
            found.push(ObjectKey::Stored(object.unique_id.clone()));
        }
    }
    found
}

fn matches(known: &Known, slot: Slot, half: Half, template: &Template) -> Match {
    let Some(pair) = known.pair(slot) else { return Match::No };
    let mut result = Match::Yes;
    for (attribute, wanted) in template.iter() {
        match half.attribute(&pair, attribute) {
            Answer::Value(value) if value == wanted => {}
            Answer::NeedsPoint if attribute == CKA_ID && !may_be_default_id(known, slot, wanted) => return Match::No,
            Answer::NeedsPoint => result = Match::NeedsPoint,
            Answer::Value(_) | Answer::Error(_) => return Match::No,
        }
    }
    result
}

/// Whether an id can be the default id of a slot with an unknown public key: SHA-1 of a point, and not of one that
/// another slot is known to hold.
fn may_be_default_id(known: &Known, slot: Slot, id: &[u8]) -> bool {
    let is_anothers = |other: Slot| known.known_point(other).is_some_and(|point| point.key_id() == id);
    id.len() == 20 && !known.identity.keys.iter().map(|key| key.slot).any(|other| other != slot && is_anothers(other))
}
