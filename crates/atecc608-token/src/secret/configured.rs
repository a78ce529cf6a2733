// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys that only the configuration describes (`[[token.object]]` with `type = "secret"`), written to a slot by
//! other software. The chip can't tell whether that was done: it computes with any contents of the slot.

use cryptoki_sys::{CKA_DESTROYABLE, CKA_MODIFIABLE};

use super::place::check_value_in_chip;
use crate::config::ObjectConfig;
use crate::error::Result;
use crate::kept::Kept;
use crate::layout::SecretSlot;
use crate::state::StoredSecret;
use crate::template::bool_value;
use crate::turn::Turn;

/// Lets the chip compute with each of them, once in a process: one AES, or two SHA. A refused one is absent.
///
/// # Errors
/// [`crate::Error::Device`] if the chip or the bus fails.
pub(crate) fn learn(turn: &mut Turn<'_>) -> Result<()> {
    let unasked: Vec<(SecretSlot, ObjectConfig)> = turn.known().unasked_secrets().cloned().collect();
    for (place, entry) in unasked {
        let slot = place.slot;
        let unique_id = format!("{}-slot-{slot}-secret", turn.known().zone().serial_number());
        let secret = match check_value_in_chip(turn, &place.place(0, &unique_id)) {
            Err(error) if error.is_about_one_slot() => {
                log::warn!("the secret key in slot {slot} is not shown: the chip refuses to compute with it: {error}");
                None
            }
            check => {
                let never = bool_value(false);
                Some(StoredSecret {
                    unique_id,
                    slot: slot.number(),
                    block: 0,
                    kind: place.kind,
                    len: *place.kind.lengths().end() as u8,
                    label: entry.label.unwrap_or(place.name),
                    id: entry.id.unwrap_or_default(),
                    // Its names come from the configuration.
                    kept: Kept(vec![(CKA_MODIFIABLE, never.clone()), (CKA_DESTROYABLE, never)]),
                    check: check?,
                    generated: false,
                    pending: None,
                })
            }
        };
        turn.learn(|known| known.secret_was_asked(slot, secret))?;
    }
    Ok(())
}
