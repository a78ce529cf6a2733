// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resolves a replacement of a key that was begun and not committed: the public key in the slot shows whether it took
//! effect.

use super::error::Result;
use super::learn::told_point;
use super::state::{Intent, Purpose, SlotState, State};
use super::turn::Turn;
use atecc608::presence::{Held, Presence};
use atecc608_wire::Slot;

/// Finishes the changes of a process that died.
///
/// A destruction then leaves no tombstone. The state may be a backup from the middle of one, and the present key may
/// have been generated since: it must not be hidden, and the slot must not count as free.
///
/// # Errors
/// [`Error::Device`](super::Error::Device) if the chip or the bus fails.
pub(crate) fn resolve(turn: &mut Turn<'_>) -> Result<()> {
    let known = turn.known();
    for state in known.state().slots.iter().filter(|state| state.intent.is_some()) {
        // Others are resolved after the next login.
        if !known.is_out_of_reach(Slot::from_nibble(state.slot)) {
            resolve_one(turn, state)?;
        }
    }
    Ok(())
}

/// The chip refuses to tell the result: the slot's key is not shown, and the next turn asks again.
fn stays_open(turn: &mut Turn<'_>, slot: Slot) -> Result<()> {
    if turn.known().known_presence(slot) == Some(Held::Unknown) {
        return Ok(());
    }
    log::warn!(
        "slot {slot}: a key generation, import or destruction was interrupted, and the chip refuses to report the \
         slot's contents"
    );
    turn.learn(|known| known.key_is_present(slot, Some(Presence { held: Held::Unknown, refused: None }), None))
}

fn resolve_one(turn: &mut Turn<'_>, state: &SlotState) -> Result<()> {
    let slot = Slot::from_nibble(state.slot);
    let Some(intent) = &state.intent else { return Ok(()) };
    let zone = turn.known().zone().clone();
    let now = turn.converse(|awake| match awake.key_presence(&zone, slot)? {
        Presence { held: Held::Key, .. } => told_point(awake, slot).map(|point| point.map(Some)),
        Presence { held: Held::Nothing, refused: None } => Ok(Some(None)),
        // GenKey shows no key. A single refusal may have another cause, so the intent must be kept.
        Presence { held: Held::Nothing, refused: Some(_) } | Presence { held: Held::Unknown, .. } => Ok(None),
    })?;
    let Some(now) = now else { return stays_open(turn, slot) };
    let now_bytes = now.map(|point| point.uncompressed().to_vec());
    let took_effect = intent.took_effect(now_bytes.as_deref());
    log::warn!(
        "slot {slot}: a {} was interrupted; {}",
        match intent.purpose {
            Purpose::Generate => "key generation",
            Purpose::Import => "key import",
            Purpose::Destroy => "key destruction",
        },
        match (took_effect, intent.purpose) {
            (false, _) => "it had not taken effect",
            (true, Purpose::Generate | Purpose::Import) => "it had taken effect",
            (true, Purpose::Destroy) => "the key is gone, and the slot holds another one: destroy it if it is not used",
        }
    );
    let resolve = |state: &mut State| {
        let slot_state = state.slot_mut(slot);
        slot_state.intent = None;
        if took_effect {
            let purpose = if intent.purpose == Purpose::Import { Purpose::Import } else { Purpose::Generate };
            slot_state.intent_took_effect(&Intent { purpose, ..intent.clone() }, now_bytes.clone());
        }
    };
    turn.notes.commit_at_least_here(slot, resolve, |known| {
        if took_effect {
            known.key_was_replaced(slot, now);
        } else {
            // It may be a destroyed key that was about to be replaced.
            known.key_is_present(slot, None, None);
        }
    })
}
