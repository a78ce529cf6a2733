// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_CreateObject of a private key: the key was generated outside the chip, and is written to a slot whose
//! configuration allows encrypted PrivWrite. It then stays there like any other; but it never counts as generated in
//! the chip.

use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::SecretKey;
use zeroize::Zeroizing;

use super::attribute::slot_asked_for;
use super::between_locks::KeyNames;
use super::class::{self, PrivateKey, Ways};
use super::create::{check_key_type, checked_id, checked_text};
use super::error::{Error, Result};
use super::io_protection::{transport_key, write_refused};
use super::kept::Kept;
use super::keygen::{before_new_key, begin_intent, commit_intent, first_free, public_bytes, withdraw_intent};
use super::layout::KeySlot;
use super::learn::read_point;
use super::pin::is_barred;
use super::point::{check_curve, Point};
use super::state::{Intent, Purpose};
use super::template::Template;
use super::turn::Turn;
use super::{between_locks, latch, names, SessionRef};

use atecc608 as chip;
use atecc608::ops::Before;
use atecc608::secrets::SharedSecret;
use atecc608_wire::Slot;

/// The request in a template of C_CreateObject.
pub(super) struct ImportRequest {
    scalar: Zeroizing<[u8; 32]>,
    point: Point,
    label: Option<String>,
    id: Option<Vec<u8>>,
    kept: Kept,
    slot: Option<Slot>,
}

impl ImportRequest {
    /// A key for a slot of a chip between its locks; `scalar` is the key, big-endian.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] if it is not a valid private key.
    pub(super) fn between_locks(scalar: &[u8; 32], names: KeyNames) -> Result<Self> {
        let (scalar, point) = key_pair(scalar)?;
        Ok(Self { scalar, point, label: names.label, id: names.id, kept: Kept::default(), slot: Some(names.slot) })
    }

    /// Parses a template. More secrecy than it requests (CKA_SENSITIVE, CKA_EXTRACTABLE) is accepted, because tools
    /// send their own defaults.
    ///
    /// # Errors
    /// [`Error::TemplateIncomplete`], [`Error::TemplateInconsistent`], [`Error::CurveNotSupported`],
    /// [`Error::AttributeValueInvalid`], [`Error::AttributeTypeInvalid`], [`Error::SessionReadOnly`].
    pub(super) fn new(session: SessionRef, template: &Template) -> Result<Self> {
        let (scalar, point) = key_in(template)?;
        if !session.read_write {
            return Err(Error::SessionReadOnly);
        }
        Ok(Self {
            scalar,
            point,
            label: checked_text(template, CKA_LABEL)?.filter(|label| !label.is_empty()),
            id: template.bytes(CKA_ID).filter(|id| !id.is_empty()).map(checked_id).transpose()?,
            kept: class::kept::<PrivateKey>(&[template])?,
            slot: slot_asked_for(&[template])?,
        })
    }
}

/// Returns the scalar, big-endian, and the public point of the private key in a template.
///
/// # Errors
/// [`Error::TemplateIncomplete`], [`Error::TemplateInconsistent`], [`Error::CurveNotSupported`],
/// [`Error::AttributeValueInvalid`], [`Error::AttributeTypeInvalid`].
pub(super) fn key_in(template: &Template) -> Result<(Zeroizing<[u8; 32]>, Point)> {
    check_key_type(template)?;
    class::check_template::<PrivateKey>(Ways::CREATE, template)?;
    if template.boolean(CKA_ALWAYS_AUTHENTICATE)? == Some(true) {
        return Err(Error::TemplateInconsistent(
            "CKA_ALWAYS_AUTHENTICATE=true: the chip can't require a PIN at each use".into(),
        ));
    }
    let missing = |name: &str| Error::TemplateIncomplete(format!("{name} is missing from the template").into());
    check_curve(template.bytes(CKA_EC_PARAMS))?;
    let (scalar, point) = key_pair(template.bytes(CKA_VALUE).ok_or_else(|| missing("CKA_VALUE"))?)?;
    let other_point = template.bytes(CKA_EC_POINT).is_some_and(|given| Point::from_caller(given) != Some(point));
    let other_info = template.bytes(CKA_PUBLIC_KEY_INFO).filter(|info| !info.is_empty());
    if other_point || other_info.is_some_and(|info| info != point.public_key_info()) {
        return Err(Error::TemplateInconsistent(
            "CKA_EC_POINT or CKA_PUBLIC_KEY_INFO is not the public key of CKA_VALUE".into(),
        ));
    }
    Ok((scalar, point))
}

/// Returns the scalar, big-endian with or without its leading zeros, and its public point.
fn key_pair(value: &[u8]) -> Result<(Zeroizing<[u8; 32]>, Point)> {
    let invalid = || Error::AttributeValueInvalid("CKA_VALUE is not a P-256 private key".into());
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    let digits = &value[zeros..];
    let mut scalar = Zeroizing::new([0; 32]);
    let at = scalar.len().checked_sub(digits.len()).ok_or_else(invalid)?;
    scalar[at..].copy_from_slice(digits);
    // SecretKey wipes itself.
    let key = SecretKey::from_slice(&scalar[..]).map_err(|_| invalid())?;
    let point = Point::from_uncompressed(key.public_key().to_encoded_point(false).as_bytes()).ok_or_else(invalid)?;
    Ok((scalar, point))
}

/// Writes the key to a free slot; returns the slot.
///
/// # Errors
/// [`Error::DeviceMemory`] if no slot is free; [`Error::ActionProhibited`] if no slot accepts a private key or the
/// write key is not on this host; [`Error::AttributeValueInvalid`] if another key has the label or id; the [turn
/// errors](Error#turn-errors) and [state folder errors](Error#state-folder-errors).
pub(super) fn import(turn: &mut Turn<'_>, request: ImportRequest) -> Result<Slot> {
    turn.known().identity.check_provisioned()?;
    let (slot, before) = choose_slot(turn, &request)?;
    let label = names::settled_label(turn, slot, request.label.clone())?;
    names::refuse_second_id(turn, slot, request.id.as_deref())?;
    let (key_slot, key) = transport_key(turn, slot, turn.known().zone().slot_config(slot).write_key())?;
    let write_key = SharedSecret { slot: key_slot, value: &key };
    write(turn, Some(&write_key), slot, before, ImportRequest { label, ..request })?;
    Ok(slot)
}

/// Writes the key in clear to this slot of a chip between its locks. The slot may already hold the same key, from an
/// earlier import.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot holds another key and `replace` is false; [`Error::AttributeValueInvalid`]
/// if another key has the label or id; the [turn errors](Error#turn-errors) and [state folder
/// errors](Error#state-folder-errors).
pub(super) fn import_between_locks(
    turn: &mut Turn<'_>,
    slot: Slot,
    request: ImportRequest,
    replace: bool,
) -> Result<()> {
    let before = before_new_key(turn, slot)?;
    let is_there = before == Before::Holds(request.point.xy());
    if !replace && !is_there && before != Before::Empty {
        return Err(between_locks::occupied(slot));
    }
    let label = names::settled_label(turn, slot, request.label.clone())?;
    names::refuse_second_id(turn, slot, request.id.as_deref())?;
    write(turn, None, slot, before, ImportRequest { label, ..request })
}

/// PrivWrite between an intent, which is on disk before, and a commit after. It is committed if the chip computes the
/// same public key as the host.
fn write(
    turn: &mut Turn<'_>,
    write_key: Option<&SharedSecret<'_>>,
    slot: Slot,
    before: Before,
    request: ImportRequest,
) -> Result<()> {
    let point = request.point;
    let intent = Intent {
        before: public_bytes(before)?,
        after: Some(point.uncompressed().to_vec()),
        purpose: Purpose::Import,
        label: request.label,
        public_label: None,
        id: request.id,
        kept: request.kept,
    };
    let earlier = begin_intent(turn, slot, &intent)?;
    let serial = turn.known().zone().serial_number();
    let written = turn.chip.import_key(&serial, write_key, slot, before, &request.scalar, &point.xy());
    if let Err(error) = written {
        withdraw_intent(turn, slot, earlier, &error);
        return Err(match write_key {
            Some(_) => write_refused(turn, slot, error),
            None => error.into(),
        });
    }
    // After a failure here the intent stays open: the next read of the slot shows the result.
    match turn.converse(|awake| read_point(awake, slot))? {
        Some(now) if now == point => {
            commit_intent(turn, slot, &intent, point)?;
            names::warn_of_second_default_id(turn, slot, point)
        }
        Some(_) => Err(Error::DeviceError(
            format!("slot {slot}: the chip does not hold the key that was written: bus or chip is faulty").into(),
        )),
        None => Err(latch::explained(turn, slot, chip::Error::PublicKeyNotTold(slot))),
    }
}

/// Returns a free slot that accepts a private key, and its present contents: the slot requested by number or name, else
/// the first.
fn choose_slot(turn: &mut Turn<'_>, request: &ImportRequest) -> Result<(Slot, Before)> {
    let known = turn.known();
    let (keys, zone) = (&known.identity.keys, known.zone());
    let takes = |key: &&KeySlot| {
        key.import && key.public && !zone.slot_locked(key.slot) && !is_barred(zone, known.identity.profile, key.slot)
    };
    let all: Vec<Slot> = keys.iter().filter(takes).map(|key| key.slot).collect();
    let named = keys.iter().find(|key| Some(&key.default_label) == request.label.as_ref());
    let named = named.map(|key| key.slot).filter(|slot| all.contains(slot));
    let candidates = match (request.slot, named) {
        (Some(slot), _) if !all.contains(&slot) => {
            return Err(Error::ActionProhibited(
                format!(
                "CKA_ATECC608_SLOT: the configuration or lock of slot {slot} does not permit the import of a private \
                 key"
            )
                .into(),
            ))
        }
        (Some(slot), _) | (None, Some(slot)) => vec![slot],
        (None, None) => all,
    };
    if let Some(free) = first_free(turn, &candidates)? {
        return Ok(free);
    }
    if let Some(label) = &request.label {
        names::refuse_second_label(turn, None, label)?;
    }
    Err(match candidates.as_slice() {
        [] => Error::ActionProhibited(
            "no slot of this chip permits the import of a private key: generate one in the chip (C_GenerateKeyPair, \
             `atecc608 key generate`)"
                .into(),
        ),
        slots => Error::DeviceMemory(
            format!(
                "no slot that permits the import of a private key is free: {}",
                names::held_by(&turn.known(), slots)
            )
            .into(),
        ),
    })
}
