// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_GenerateKeyPair and the destruction of private keys: permanent replacements of a key in the chip.

use cryptoki_sys::*;

use super::attribute::slot_asked_for;
use super::between_locks::KeyNames;
use super::class::{self, PrivateKey, PublicKey, Ways};
use super::error::{Error, Result};
use super::identity::Identity;
use super::kept::Kept;
use super::layout::KeySlot;
use super::mechanism::Mechanism;
use super::object::KeyRef;
use super::pin::is_barred;
use super::point::{check_curve, Point};
use super::snapshot::Known;
use super::state::{Intent, Purpose, State};
use super::template::Template;
use super::token::Token;
use super::turn::Turn;
use super::{latch, learn, names};
use crate::bus::Bus;
use atecc608::ops::Before;
use atecc608::presence::{Held, Presence};
use atecc608::{self as chip, Chip};
use atecc608_wire::{Slot, Status};

/// A slot that holds a key.
const A_KEY: Presence = Presence { held: Held::Key, refused: None };

/// The request in the two templates of C_GenerateKeyPair.
pub(super) struct KeyPairRequest {
    label: Option<String>,
    public_label: Option<String>,
    id: Option<Vec<u8>>,
    slot: Option<Slot>,
    kept: Kept,
    /// Whether an existing key is overwritten.
    replace: bool,
}

impl KeyPairRequest {
    /// A key pair with this label, in this slot; missing values are chosen as usual.
    pub(super) fn named(label: Option<String>, slot: Option<Slot>) -> Self {
        Self { label, public_label: None, id: None, slot, kept: Kept::default(), replace: false }
    }

    /// A key pair for a slot of a chip between its locks.
    pub(super) fn between_locks(names: KeyNames, replace: bool) -> Self {
        Self { id: names.id, replace, ..Self::named(names.label, Some(names.slot)) }
    }

    /// Checks the templates of C_GenerateKeyPair, for a key pair in the chip or in the session.
    ///
    /// # Errors
    /// [`Error::MechanismInvalid`], [`Error::TemplateInconsistent`], [`Error::TemplateIncomplete`],
    /// [`Error::CurveNotSupported`], [`Error::AttributeValueInvalid`], [`Error::AttributeTypeInvalid`].
    pub(super) fn check(mechanism: &Mechanism, public: &Template, private: &Template) -> Result<()> {
        if mechanism.mechanism != CKM_EC_KEY_PAIR_GEN {
            return Err(Error::MechanismInvalid(mechanism.mechanism));
        }
        super::digest::no_parameter(mechanism)?;
        let inconsistent = |text: &str| Err(Error::TemplateInconsistent(text.to_owned().into()));
        class::check_template::<PublicKey>(Ways::GENERATE_PAIR, public)?;
        class::check_template::<PrivateKey>(Ways::GENERATE_PAIR, private)?;
        for (template, class) in [(public, CKO_PUBLIC_KEY), (private, CKO_PRIVATE_KEY)] {
            if template.ulong(CKA_CLASS)?.is_some_and(|given| given != class) {
                return inconsistent("CKA_CLASS does not fit the half of the key pair");
            }
            if template.ulong(CKA_KEY_TYPE)?.is_some_and(|given| given != CKK_EC) {
                return inconsistent("CKA_KEY_TYPE: the mechanism generates CKK_EC keys");
            }
        }
        check_curve(public.bytes(CKA_EC_PARAMS).or_else(|| private.bytes(CKA_EC_PARAMS)))?;
        if private.boolean(CKA_ALWAYS_AUTHENTICATE)? == Some(true) {
            return inconsistent("CKA_ALWAYS_AUTHENTICATE=true: the chip can't require a PIN at each use");
        }
        Ok(())
    }

    /// Parses the templates that stock tools send, for a key pair in the chip. They were checked before.
    ///
    /// # Errors
    /// [`Error::TemplateInconsistent`] for attributes that a key generated in the chip can't have;
    /// [`Error::AttributeValueInvalid`] for invalid values.
    pub(super) fn new<'t>(public: &'t Template, private: &'t Template) -> Result<Self> {
        let inconsistent = |text: &str| Err(Error::TemplateInconsistent(text.to_owned().into()));
        if private.boolean(CKA_SENSITIVE)? == Some(false) || private.boolean(CKA_EXTRACTABLE)? == Some(true) {
            return inconsistent("CKA_SENSITIVE=false, CKA_EXTRACTABLE=true: a private key never leaves the chip");
        }
        let text = |template: &Template| -> Result<Option<String>> {
            Ok(template.text(CKA_LABEL)?.filter(|label| !label.is_empty()).map(str::to_owned))
        };
        // python-pkcs11 sends empty ids if none was given; a private key must have an id.
        let id = |template: &'t Template| template.bytes(CKA_ID).filter(|id| !id.is_empty());
        let (public_label, private_label) = (text(public)?, text(private)?);
        let label = private_label.or_else(|| public_label.clone());
        Ok(Self {
            public_label: public_label.filter(|public| label.as_ref() != Some(public)),
            label,
            id: id(private).or_else(|| id(public)).map(<[u8]>::to_vec),
            slot: slot_asked_for(&[private, public])?,
            kept: class::kept::<PrivateKey>(&[private, public])?,
            replace: false,
        })
    }
}

/// Replaces the key in a slot with these contents: one GenKey that takes effect. Returns X ‖ Y.
pub(super) type Create<'c> = &'c mut dyn FnMut(&mut Chip<Bus>, Slot, Before) -> chip::Result<[u8; 64]>;

/// Generates a key pair with `create`; returns its slot.
///
/// # Errors
/// [`Error::DeviceMemory`] if no slot is free; [`Error::ActionProhibited`] if the requested one can't hold a new key;
/// [`Error::AttributeValueInvalid`] if another key has the label or id; the [turn errors](Error#turn-errors) and [state
/// folder errors](Error#state-folder-errors).
pub(super) fn generate(turn: &mut Turn<'_>, request: KeyPairRequest, create: Create<'_>) -> Result<Slot> {
    let (slot, before, label) = settle(turn, &request)?;
    let known = turn.known();
    let intent = Intent {
        before: public_bytes(before)?,
        after: None,
        kept: request.kept,
        purpose: Purpose::Generate,
        label,
        public_label: request.public_label,
        id: request.id,
    };
    replace_key(turn, slot, before, intent, create).map_err(|error| barred(&known, slot, error))?;
    Ok(slot)
}

/// Returns the slot that [`generate`] would choose for a key with this label, without a change.
///
/// # Errors
/// As [`generate`], without the errors of the state folder.
pub(super) fn slot_for(token: &Token, label: &str) -> Result<Slot> {
    let deadline = token.deadline();
    token.known(deadline)?.check_may_make_private()?;
    let request = KeyPairRequest::named(Some(label.to_owned()), None);
    token.turn(deadline, |turn| settle(turn, &request).map(|(slot, ..)| slot))
}

/// Returns the slot for a request, its present contents, and the label of its new key.
fn settle(turn: &mut Turn<'_>, request: &KeyPairRequest) -> Result<(Slot, Before, Option<String>)> {
    turn.known().identity.check_has_keys()?;
    let (slot, before) = choose_slot(turn, request)?;
    let label = names::settled_label(turn, slot, request.label.clone())?;
    names::refuse_second_id(turn, slot, request.id.as_deref())?;
    let known = turn.known();
    if !request.replace && !is_free(&known, slot, before)? {
        let same_label = known.pair(slot).is_some_and(|pair| Some(pair.label()) == label.as_deref());
        return Err(match label {
            Some(label) if same_label => names::second_label(slot, &label),
            _ => Error::DeviceMemory(format!("slot {slot} is not free: {}", names::held_by(&known, &[slot])).into()),
        });
    }
    Ok((slot, before, label))
}

/// Returns why the chip refused GenKey, if the slot requires an authorisation that is not available here.
fn barred(known: &Known, slot: Slot, error: Error) -> Error {
    match error {
        Error::Device(error)
            if error.has_status(Status::EXECUTION_ERROR) && is_barred(known.zone(), known.identity.profile, slot) =>
        {
            Error::ActionProhibited(format!("slot {slot}: {error}. {}", only_with_authorisation(&[slot])).into())
        }
        error => error,
    }
}

fn only_with_authorisation(slots: &[Slot]) -> String {
    format!(
        "slots {} need an authorisation, which this software supports only on chips with the profile tls-pin: use \
         another slot (`atecc608 info`)",
        numbers(slots)
    )
}

/// Overwrites a private key with an unused random one, whose public key becomes the slot's tombstone.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot's configuration forbids that; the [turn errors](Error#turn-errors) and
/// [state folder errors](Error#state-folder-errors).
pub(super) fn destroy(turn: &mut Turn<'_>, key: KeyRef) -> Result<()> {
    turn.check_key(key)?;
    let slot = key.slot;
    let known = turn.known();
    if !known.key_slot(slot).is_some_and(|key| key.generate) {
        return Err(Error::ActionProhibited(
            format!(
            "the key in slot {slot} is permanent: the slot's configuration or lock forbids GenKey (CKA_DESTROYABLE is \
             false)"
        )
            .into(),
        ));
    }
    if let Some(state) = known.state().slot(slot) {
        state.kept.check_destroyable()?;
    }
    let before = Before::Holds(learn::same_point_anew(turn, slot)?.xy());
    let intent = Intent {
        before: public_bytes(before)?,
        after: None,
        kept: Kept::default(),
        purpose: Purpose::Destroy,
        label: None,
        public_label: None,
        id: None,
    };
    replace_key(turn, slot, before, intent, &mut Chip::generate_key)
}

/// Returns the contents of a slot that will get a key.
///
/// # Errors
/// [`Error::BehindLatch`] if the latch is not set; [`Error::Device`] if the chip or the bus fails, with
/// [`chip::Error::KeyNotTold`] if the chip does not tell whether the slot is free.
pub(super) fn before_new_key(turn: &mut Turn<'_>, slot: Slot) -> Result<Before> {
    latch::check(turn, slot)?;
    turn.chip.slot_before_generation(slot).map_err(Error::from)
}

/// GenKey between an intent, which is on disk before, and a commit after, so that a later process can tell the result.
fn replace_key(turn: &mut Turn<'_>, slot: Slot, before: Before, intent: Intent, create: Create<'_>) -> Result<()> {
    let earlier = begin_intent(turn, slot, &intent)?;
    let generated = create(turn.chip, slot, before);
    if let Err(error) = &generated {
        withdraw_intent(turn, slot, earlier, error);
    }
    let generated = generated.map_err(|error| latch::explained(turn, slot, error))?;
    let point = Point::from_xy(&generated).ok_or_else(|| {
        Error::DeviceError(format!("slot {slot}: the new public key is not on the curve P-256").into())
    })?;
    commit_intent(turn, slot, &intent, point)
}

/// Stores the intent to change a slot's key. Returns the open intent that it replaces.
///
/// # Errors
/// [`Error::TokenWriteProtected`], [`Error::DeviceMemory`].
pub(super) fn begin_intent(turn: &mut Turn<'_>, slot: Slot, intent: &Intent) -> Result<Option<Intent>> {
    let mut earlier = None;
    turn.change_state(|state| earlier = state.slot_mut(slot).intent.replace(intent.clone()))?;
    Ok(earlier)
}

/// Removes an intent after `error`, unless the change may have taken effect. If the state can't be written, the intent
/// stays, and the next turn resolves it.
pub(super) fn withdraw_intent(turn: &mut Turn<'_>, slot: Slot, earlier: Option<Intent>, error: &chip::Error) {
    if matches!(error, chip::Error::Uncertain { .. }) {
        return;
    }
    if let Err(error) = turn.change_state(|state| state.slot_mut(slot).intent.clone_from(&earlier)) {
        log::warn!("slot {slot}: {error}");
    }
}

/// Commits an intent that took effect: the slot holds this key.
///
/// # Errors
/// The [state folder errors](Error#state-folder-errors); the key is in the slot nevertheless.
pub(super) fn commit_intent(turn: &mut Turn<'_>, slot: Slot, intent: &Intent, point: Point) -> Result<()> {
    let live = Some(point).filter(|_| intent.purpose != Purpose::Destroy);
    let took_effect = |state: &mut State| {
        state.slot_mut(slot).intent_took_effect(intent, Some(point.uncompressed().to_vec()));
    };
    turn.notes.commit(took_effect, |known| known.key_was_replaced(slot, live))
}

pub(super) fn public_bytes(before: Before) -> Result<Option<Vec<u8>>> {
    match before {
        Before::Empty => Ok(None),
        Before::Holds(xy) => Point::from_xy(&xy)
            .map(|point| Some(point.uncompressed().to_vec()))
            .ok_or_else(|| Error::DeviceError("the slot's public key is not on the curve P-256".into())),
    }
}

/// A slot is free if it holds no key, or exactly the key of its tombstone.
fn is_free(known: &Known, slot: Slot, before: Before) -> Result<bool> {
    let tombstone = known.state().slot(slot).and_then(|state| state.tombstone.as_ref());
    Ok(public_bytes(before)?.is_none_or(|key| tombstone == Some(&key)))
}

/// Returns the slot for a request, and its present contents.
fn choose_slot(turn: &mut Turn<'_>, request: &KeyPairRequest) -> Result<(Slot, Before)> {
    let known = turn.known();
    if let Some(slot) = named_slot(&known.identity, request)? {
        return Ok((slot, before_new_key(turn, slot)?));
    }
    let slots = known.identity.keys.iter().filter(|key| key.generate && key.public).map(|key| key.slot);
    let (barred, candidates): (Vec<Slot>, Vec<Slot>) =
        slots.partition(|slot| is_barred(known.zone(), known.identity.profile, *slot));
    learn::presence(turn, &candidates)?;
    let held = |turn: &Turn<'_>, slot: &Slot| turn.known().known_presence(*slot);
    let empty: Vec<Slot> = candidates.iter().copied().filter(|slot| held(turn, slot) == Some(Held::Nothing)).collect();
    if let Some(free) = first_free(turn, &empty)? {
        return Ok(free);
    }
    // A label in use is the better reason: the key may be the one that the caller wants.
    if let Some(label) = &request.label {
        names::refuse_second_label(turn, None, label)?;
    }
    let unknown: Vec<Slot> =
        candidates.iter().copied().filter(|slot| held(turn, slot) == Some(Held::Unknown)).collect();
    Err(Error::DeviceMemory(match (candidates.as_slice(), unknown.as_slice()) {
        ([], _) if !barred.is_empty() => only_with_authorisation(&barred).into(),
        ([], _) => "no slot of this chip can get a new key: all keys are permanent (`atecc608 key list`)".into(),
        (taken, []) => format!("no slot is free: {}", names::held_by(&turn.known(), taken)).into(),
        (_, unknown) => format!(
            "no slot is free: the chip refuses to report whether slots {} hold keys, and the others hold keys",
            numbers(unknown)
        )
        .into(),
    }))
}

/// Returns the first free slot of these, and its contents; `None` if they all hold keys.
///
/// # Errors
/// As [`before_new_key`], if no other slot is free.
pub(super) fn first_free(turn: &mut Turn<'_>, slots: &[Slot]) -> Result<Option<(Slot, Before)>> {
    let mut passed_over = None;
    for slot in slots.iter().copied() {
        match before_new_key(turn, slot) {
            Ok(before) if is_free(&turn.known(), slot, before)? => return Ok(Some((slot, before))),
            // Another host with another state, or none, may have changed the slot since the last query.
            Ok(_) => turn.learn(|known| known.key_is_present(slot, Some(A_KEY), None))?,
            Err(error) if error.is_about_one_slot() => passed_over = passed_over.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    passed_over.map_or(Ok(None), Err)
}

fn numbers(slots: &[Slot]) -> String {
    slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the slot that a request names by number or label.
fn named_slot(identity: &Identity, request: &KeyPairRequest) -> Result<Option<Slot>> {
    if let Some(slot) = request.slot {
        return match identity.key_slot(slot) {
            Some(key) if key.generate => Ok(Some(slot)),
            _ => Err(Error::ActionProhibited(
                format!(
                    "CKA_ATECC608_SLOT: the configuration or lock of slot {slot} does not permit a new signing key"
                )
                .into(),
            )),
        };
    }
    let named = |key: &&KeySlot| Some(&key.default_label) == request.label.as_ref();
    if let Some(key) = identity.keys.iter().find(named) {
        if key.generate {
            return Ok(Some(key.slot));
        }
        return Err(Error::ActionProhibited(
            format!("CKA_LABEL names slot {} (\"{}\"), whose key is permanent", key.slot, key.default_label).into(),
        ));
    }
    Ok(None)
}
