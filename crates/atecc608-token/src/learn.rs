//! Asking the chip about its keys: which slots hold one, and which. What it tells is posted.

use super::error::{Error, Result};
use super::point::Point;
use super::turn::Turn;
use atecc608::{self as chip, Awake, Transport};
use atecc608_wire::Slot;

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
                let valid = awake.key_valid(*slot)?;
                // Only where the mark would hide a key is it worth a GenKey to see that it is right.
                let asked = valid && tombstone.is_some() && !known.is_out_of_reach(*slot);
                let point = if asked { read_point(awake, *slot)? } else { None };
                Ok((valid, point))
            })
            .collect::<chip::Result<Vec<_>>>()
    })?;
    for ((slot, tombstone), (valid, point)) in unknown.into_iter().zip(answers) {
        if valid && tombstone.is_some() && known.is_out_of_reach(slot) {
            // Whether the mark is right can be asked after a login.
            continue;
        }
        let destroyed = point.is_some_and(|point| tombstone == Some(&point.uncompressed()));
        if tombstone.is_some() && valid && !destroyed {
            log::warn!("slot {slot} holds another key than the one that was destroyed there: it is shown");
        }
        turn.learn(|known| known.key_is_present(slot, Some(valid && !destroyed), point))?;
    }
    Ok(())
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

/// The slot's public key as the chip tells it now. A key that turns out to be another ends its handles.
///
/// # Errors
/// [`Error::Device`]; [`Error::KeyHandleInvalid`] if there is no key, or it does not tell its public key.
pub(crate) fn point_anew(turn: &mut Turn<'_>, slot: Slot) -> Result<Point> {
    let point = turn.converse(|awake| read_point(awake, slot))?;
    let Some(point) = point else {
        key_differs(turn, slot, None)?;
        return Err(Error::KeyHandleInvalid(
            format!("slot {slot} holds no key, or does not tell its public key").into(),
        ));
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

/// The public key of the private key in the slot; none if there is none or it is not told.
pub(crate) fn read_point<P: Transport>(awake: &mut Awake<'_, P>, slot: Slot) -> chip::Result<Option<Point>> {
    match awake.public_key(slot)? {
        Some(xy) => Point::from_xy(&xy).map(Some).ok_or_else(|| {
            chip::Error::Mismatch(format!("slot {slot}: the public key is not on the curve P-256").into())
        }),
        None => Ok(None),
    }
}
