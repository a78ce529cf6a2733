//! Asking the chip about its keys: which slots hold one, and which. What it tells is posted.

use super::error::{Error, Result};
use super::latch;
use super::point::Point;
use super::turn::Turn;
use atecc608::presence::{Held, Presence};
use atecc608::{self as chip, Awake, Transport};
use atecc608_wire::{Opcode, Slot, Status};

/// Asks which of these slots hold keys, in one conversation, where that is not known. A slot whose tombstone names the key that is in
/// it counts as empty.
///
/// # Errors
/// [`Error::Device`].
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
                // Only where the mark would hide a key is it worth a GenKey to see that it is right.
                let asked = presence.held == Held::Key && tombstone.is_some() && !known.is_out_of_reach(*slot);
                let point = if asked { told_point(awake, *slot)? } else { None };
                Ok((presence, point))
            })
            .collect::<chip::Result<Vec<_>>>()
    })?;
    log_refused(unknown.iter().zip(&answers).map(|((slot, _), (presence, _))| (*slot, *presence)));
    for ((slot, tombstone), (mut presence, point)) in unknown.into_iter().zip(answers) {
        match tombstone.filter(|_| presence.held == Held::Key) {
            // Whether the mark is right can be asked after a login.
            Some(_) if known.is_out_of_reach(slot) => continue,
            Some(mark) => presence.held = under_mark(slot, mark, point),
            None => {}
        }
        turn.learn(|known| known.key_is_present(slot, Some(presence), point))?;
    }
    Ok(())
}

/// What a slot with a tombstone is taken to hold, if its key is the one with this public key.
fn under_mark(slot: Slot, mark: &[u8], point: Option<Point>) -> Held {
    match point {
        Some(point) if mark == point.uncompressed() => Held::Nothing,
        Some(_) => {
            log::warn!("slot {slot} holds another key than the one that was destroyed there: it is shown");
            Held::Key
        }
        None => {
            log::warn!("slot {slot}: the chip refuses to tell which key it holds, and one was destroyed there: it is not shown");
            Held::Unknown
        }
    }
}

/// One line about the slots of which the chip refused to say whether they hold a key.
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
        "the chip refuses to say whether slots hold keys, {status}: slot {}; nothing is generated or imported there",
        slots.join(", ")
    );
}

/// The slot's public key, read from the chip if it is not known; it is then kept in the state.
///
/// # Errors
/// As [`point_anew`].
pub(crate) fn point(turn: &mut Turn<'_>, slot: Slot) -> Result<Point> {
    match turn.known().known_point(slot) {
        Some(point) => Ok(point),
        None => point_anew(turn, slot),
    }
}

/// As [`point`]; none, with a line in the log, if the chip refuses to tell this one.
///
/// # Errors
/// As [`point`].
pub(crate) fn point_if_told(turn: &mut Turn<'_>, slot: Slot) -> Result<Option<Point>> {
    match point(turn, slot) {
        Err(error) if error.is_about_one_slot() => {
            log::warn!("the public key of slot {slot} is not known: {error}");
            Ok(None)
        }
        told => told.map(Some),
    }
}

/// What came of the question for a public key.
enum Told {
    Point(Point),
    /// The slot holds no key.
    NoKey,
    /// The chip refused, and does not say that the slot is empty.
    Refused(chip::Error),
}

fn ask_point<P: Transport>(awake: &mut Awake<'_, P>, slot: Slot) -> chip::Result<Told> {
    match read_point(awake, slot) {
        Ok(Some(point)) => Ok(Told::Point(point)),
        // An empty slot is one reason among others.
        Ok(None) => match awake.key_valid(slot) {
            Ok(false) => Ok(Told::NoKey),
            Err(error) if error.refusal().is_none() => Err(error),
            _ => Ok(Told::Refused(chip::Error::Status { opcode: Opcode::GEN_KEY, status: Status::EXECUTION_ERROR })),
        },
        Err(error) if error.refusal().is_some() => Ok(Told::Refused(error)),
        Err(error) => Err(error),
    }
}

/// The slot's public key as the chip tells it now. A key that turns out to be another ends its handles.
///
/// # Errors
/// [`Error::Device`], [`Error::BehindLatch`]; [`Error::KeyHandleInvalid`] if there is no key.
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

/// As [`point_anew`], for the key that a handle names.
///
/// # Errors
/// As [`point_anew`], and [`Error::KeyHandleInvalid`] if it is another key than the one that was known.
pub(crate) fn same_point_anew(turn: &mut Turn<'_>, slot: Slot) -> Result<Point> {
    let (before, now) = (turn.known().known_point(slot), point_anew(turn, slot)?);
    if before.is_some_and(|before| before != now) {
        return Err(Error::KeyHandleInvalid(
            format!("slot {slot} holds another key than when it was found: find the key again").into(),
        ));
    }
    Ok(now)
}

/// The slot holds another key (or none) than what was known; its public key is kept in the state if that can be written.
fn key_differs(turn: &mut Turn<'_>, slot: Slot, point: Option<Point>) -> Result<()> {
    if turn.learn(|known| known.key_differs(slot, point))? {
        log::warn!("slot {slot} holds another key than the state says: the state's copy is dropped");
    }
    let kept = turn.change_state(|state| {
        state.slot_mut(slot).public_key = point.map(|point| point.uncompressed().to_vec());
    });
    if let Err(error) = kept {
        log::debug!("the public key of slot {slot} is not kept: {error}");
    }
    Ok(())
}

/// As [`read_point`]; also none if the chip refuses with another status than for an empty slot.
pub(crate) fn told_point<P: Transport>(awake: &mut Awake<'_, P>, slot: Slot) -> chip::Result<Option<Point>> {
    on_curve(slot, awake.public_key_if_told(slot)?)
}

/// Returns the public key of the private key in the slot; none if there is no key.
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
