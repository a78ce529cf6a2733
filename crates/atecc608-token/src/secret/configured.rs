//! Secret keys that only the configuration knows of (`[[token.object]]` with `type = "secret"`): somebody wrote them into a slot with other
//! software. The chip can't tell whether anybody did: it computes with whatever the slot holds.

use cryptoki_sys::{CKA_DESTROYABLE, CKA_MODIFIABLE};

use super::place::check_value_in_chip;
use crate::config::ObjectConfig;
use crate::error::Result;
use crate::kept::Kept;
use crate::layout::SecretSlot;
use crate::state::StoredSecret;
use crate::template::bool_value;
use crate::turn::Turn;

/// Asks the chip, once in a process, to compute with each of them: one AES, or two SHA. One that it refuses is absent.
///
/// # Errors
/// [`crate::Error::Device`].
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
                    // Its names are the configuration's.
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
