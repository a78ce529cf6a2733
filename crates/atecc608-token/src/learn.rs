// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads from the chip which slots hold keys, and their public keys. The results are posted.

use super::error::{Error, Result};
use super::latch;
use super::point::Point;
use super::turn::Turn;
use atecc608::presence::{Held, Presence};
use atecc608::{self as chip, Awake, Transport};
use atecc608_wire::{Opcode, Slot, Status};

/// Reads which of these slots hold keys, if unknown, in one conversation. A slot whose tombstone names its present key
/// counts as empty.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails.
pub(crate) fn presence(turn: &mut Turn<'_>, slots: &[Slot]) -> Result<()> {
    let known = turn.known();
    let unknown: Vec<(Slot, Option<&[u8]>)> = slots
        .iter()
        .filter(|slot| known.known_presence(**slot).is_none())
        .map(|slot| (*slot, known.state().slot(*slot).and_then(|state| state.tombstone.as_deref())))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let answers = turn.converse(|awake| {
        unknown
            .iter()
            .map(|(slot, tombstone)| {
                let presence = awake.key_presence(known.zone(), *slot)?;
                // A check of the tombstone costs a GenKey: only if it would hide a key.
                let asked = presence.held == Held::Key && tombstone.is_some() && !known.is_out_of_reach(*slot);
                let point = if asked { told_point(awake, *slot)? } else { None };
                Ok((presence, point))
            })
            .collect::<chip::Result<Vec<_>>>()
    })?;
    log_refused(unknown.iter().zip(&answers).map(|((slot, _), (presence, _))| (*slot, *presence)));
    for ((slot, tombstone), (mut presence, point)) in unknown.into_iter().zip(answers) {
        match tombstone.filter(|_| presence.held == Held::Key) {
            // Whether the tombstone is right can be read after a login.
            Some(_) if known.is_out_of_reach(slot) => continue,
            Some(mark) => presence.held = under_mark(slot, mark, point),
            None => {}
        }
        turn.learn(|known| known.key_is_present(slot, Some(presence), point))?;
    }
    Ok(())
}

/// Returns the assumed contents of a slot with a tombstone, whose key has this public key.
fn under_mark(slot: Slot, mark: &[u8], point: Option<Point>) -> Held {
    match point {
        Some(point) if mark == point.uncompressed() => Held::Nothing,
        Some(_) => {
            log::warn!("slot {slot} holds another key than the one that was destroyed there: it is shown");
            Held::Key
        }
        None => {
            log::warn!(
                "slot {slot}: the chip refuses to report which key it holds, and one was destroyed there: it is not \
                 shown"
            );
            Held::Unknown
        }
    }
}

/// Logs one line about the slots whose presence of a key the chip refused to tell.
fn log_refused(presences: impl Iterator<Item = (Slot, Presence)>) {
    let refused: Vec<(Slot, Held, Status)> =
        presences.filter_map(|(slot, presence)| Some((slot, presence.held, presence.refused?))).collect();
    let Some((_, _, status)) = refused.first() else { return };
    let slots: Vec<String> = refused
        .iter()
        .map(|(slot, held, _)| match held {
            Held::Key => format!("{slot} (GenKey shows a key)"),
            Held::Nothing => format!("{slot} (GenKey shows none)"),
            Held::Unknown => format!("{slot} (unknown)"),
        })
        .collect();
    log::warn!(
        "the chip refuses to report whether slots hold keys, {status}: slot {}; nothing is generated or imported there",
        slots.join(", ")
    );
}

/// Returns the slot's public key, read from the chip if it is unknown, and then stored in the state.
///
/// # Errors
/// As [`point_anew`].
pub(crate) fn point(turn: &mut Turn<'_>, slot: Slot) -> Result<Point> {
    match turn.known().known_point(slot) {
        Some(point) => Ok(point),
        None => point_anew(turn, slot),
    }
}

/// As [`point`]; returns `None`, with a line in the log, if the chip refuses to tell it.
///
/// # Errors
/// As [`point`].
pub(crate) fn point_if_told(turn: &mut Turn<'_>, slot: Slot) -> Result<Option<Point>> {
    match point(turn, slot) {
        Err(error) if error.is_about_one_slot() => {
            log::warn!("cannot read the public key of slot {slot}: {error}");
            Ok(None)
        }
        told => told.map(Some),
    }
}

/// The result of a query for a public key.
enum Told {
    Point(Point),
    /// The slot holds no key.
    NoKey,
    /// The chip refused, but not because the slot is empty.
    Refused(chip::Error),
}

fn ask_point<P: Transport>(awake: &mut Awake<'_, P>, slot: Slot) -> chip::Result<Told> {
    match read_point(awake, slot) {
        Ok(Some(point)) => Ok(Told::Point(point)),
        // An empty slot is one of several reasons.
        Ok(None) => match awake.key_valid(slot) {
            Ok(false) => Ok(Told::NoKey),
            Err(error) if error.refusal().is_none() => Err(error),
            _ => Ok(Told::Refused(chip::Error::Status { opcode: Opcode::GEN_KEY, status: Status::EXECUTION_ERROR })),
        },
        Err(error) if error.refusal().is_some() => Ok(Told::Refused(error)),
        Err(error) => Err(error),
    }
}

/// Returns the slot's public key, read from the chip. If the key has changed, its handles end.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails; [`Error::BehindLatch`] if the latch is not set;
/// [`Error::KeyHandleInvalid`] if there is no key.
pub(crate) fn point_anew(turn: &mut Turn<'_>, slot: Slot) -> Result<Point> {
    let point = match turn.converse(|awake| ask_point(awake, slot))? {
        Told::Point(point) => point,
        Told::NoKey => {
            key_differs(turn, slot, None)?;
            return Err(Error::KeyHandleInvalid(format!("slot {slot} holds no key").into()));
        }
        Told::Refused(error) => return Err(latch::explained(turn, slot, error)),
    };
    if turn.known().known_point(slot) != Some(point) {
        key_differs(turn, slot, Some(point))?;
    }
    turn.learn(|known| known.key_is(slot, point))?;
    Ok(point)
}

/// As [`point_anew`], for the key of a handle.
///
/// # Errors
/// As [`point_anew`]; also [`Error::KeyHandleInvalid`] if the key has changed.
pub(crate) fn same_point_anew(turn: &mut Turn<'_>, slot: Slot) -> Result<Point> {
    let (before, now) = (turn.known().known_point(slot), point_anew(turn, slot)?);
    if before.is_some_and(|before| before != now) {
        return Err(Error::KeyHandleInvalid(
            format!("the key in slot {slot} changed since it was found: search for it again").into(),
        ));
    }
    Ok(now)
}

/// Notes that the slot holds another key (or none) than known; its public key is stored in the state if that is
/// writable.
fn key_differs(turn: &mut Turn<'_>, slot: Slot, point: Option<Point>) -> Result<()> {
    if turn.learn(|known| known.key_differs(slot, point))? {
        log::warn!("slot {slot} holds another key than the state lists: the state's copy is dropped");
    }
    let kept = turn.change_state(|state| {
        state.slot_mut(slot).public_key = point.map(|point| point.uncompressed().to_vec());
    });
    if let Err(error) = kept {
        log::debug!("cannot store the public key of slot {slot}: {error}");
    }
    Ok(())
}

/// As [`read_point`]; also returns `None` if the chip refuses with another status than for an empty slot.
pub(crate) fn told_point<P: Transport>(awake: &mut Awake<'_, P>, slot: Slot) -> chip::Result<Option<Point>> {
    on_curve(slot, awake.public_key_if_told(slot)?)
}

/// Returns the public key of the private key in the slot; `None` if there is no key.
pub(crate) fn read_point<P: Transport>(awake: &mut Awake<'_, P>, slot: Slot) -> chip::Result<Option<Point>> {
    on_curve(slot, awake.public_key(slot)?)
}

fn on_curve(slot: Slot, xy: Option<[u8; 64]>) -> chip::Result<Option<Point>> {
    xy.map(|xy| {
        Point::from_xy(&xy).ok_or_else(|| {
            chip::Error::Mismatch(format!("slot {slot}: the public key is not on the curve P-256").into())
        })
    })
    .transpose()
}
