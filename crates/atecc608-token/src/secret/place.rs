// SPDX-License-Identifier: MIT OR Apache-2.0
//! The places of the chip for secret keys, and the known facts about their contents: the chip does not reveal them, but
//! computes a check value.
//!
//! The initial contents of a place can't be distinguished from a key. So a place that the state does not describe is
//! unknown, and is written only if the caller names its slot. The state marks a place as empty with the check value of
//! its contents: an entry from an old backup does not match if a key was written there since.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::ChipSecret;
use crate::cipher::aes::HostAes;
use crate::error::{Error, Result};
use crate::layout::{SecretAccess, SecretSlot};
use crate::snapshot::Known;
use crate::state::{CheckValue, EmptyPlace, SecretKind, StoredSecret, CHECK_LEN};
use crate::turn::Turn;
use atecc608_wire::commands::{Aes, KeyLocation};
use atecc608_wire::Slot;

/// The message of the HMAC that is the check value of a generic secret.
const HMAC_TEXT: &[u8] = b"atecc608-pkcs11 check value";

/// Computes the check value of the 32 bytes of a place: the first bytes of a block of zeros that AES has encrypted with
/// the first 16 (CKA_CHECK_VALUE), or of an HMAC over a fixed text.
///
/// # Errors
/// Never for a value of 32 bytes.
pub fn check_value(kind: SecretKind, value: &[u8; 32]) -> Result<CheckValue> {
    let mut check = [0; CHECK_LEN];
    match kind {
        SecretKind::Aes => {
            let mut block = [0; 16];
            HostAes::new(&value[..16])?.encrypt(&mut block);
            check.copy_from_slice(&block[..CHECK_LEN]);
        }
        SecretKind::Generic => {
            let hmac = <Hmac<Sha256> as Mac>::new_from_slice(value);
            let mut hmac =
                hmac.map_err(|_| Error::KeySizeRange("HMAC does not support a key of this length".into()))?;
            hmac.update(HMAC_TEXT);
            check.copy_from_slice(&hmac.finalize().into_bytes()[..CHECK_LEN]);
        }
    }
    Ok(check)
}

/// Returns the check value of a place's present contents: one AES, or two SHA.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails.
pub(crate) fn check_value_in_chip(turn: &mut Turn<'_>, place: &ChipSecret) -> Result<CheckValue> {
    let mut check = [0; CHECK_LEN];
    match place.kind {
        SecretKind::Aes => {
            let aes = Aes::Block {
                key: KeyLocation::Slot(place.slot),
                unit: place.aes_unit(),
                decrypt: false,
                input: [0; 16],
            };
            let block = turn.converse(|awake| {
                awake.before_use(place.slot)?;
                awake.execute(&aes)
            })?;
            check.copy_from_slice(&block[..CHECK_LEN]);
        }
        SecretKind::Generic => {
            let code = turn.converse(|awake| awake.hmac(place.slot, HMAC_TEXT))?;
            check.copy_from_slice(&code[..CHECK_LEN]);
        }
    }
    Ok(check)
}

impl SecretSlot {
    /// A place of the slot.
    pub(crate) fn place(&self, block: u8, unique_id: &str) -> ChipSecret {
        ChipSecret { unique_id: unique_id.to_owned(), slot: self.slot, block, kind: self.kind }
    }
}

/// A place for a new key.
pub(crate) struct FreePlace {
    /// Its slot.
    pub(crate) slot: SecretSlot,
    /// Which 32 bytes.
    pub(crate) block: u8,
    /// The check value of its present contents.
    pub(crate) before: CheckValue,
}

/// Finds a place for a key of this kind: the first that is marked as empty, if the chip's check value matches; else, if
/// the caller names the slot, its first place that the state does not describe.
///
/// # Errors
/// [`Error::DeviceMemory`] if there is none; [`Error::ActionProhibited`] if the requested slot can't hold such a key;
/// the [turn errors](Error#turn-errors) and [state folder errors](Error#state-folder-errors).
pub(crate) fn free_place(turn: &mut Turn<'_>, kind: SecretKind, wanted: Option<Slot>) -> Result<FreePlace> {
    let slots = writable_slots(&turn.known(), kind, wanted)?;
    let all = slots.iter().flat_map(|slot| (0..slot.keys).map(move |block| (slot, block)));
    let open: Vec<_> = all.filter(|(slot, block)| !turn.known().has_secret(slot.slot, *block)).collect();
    for (slot, block) in &open {
        let Some(empty) = turn.known().state().empty(slot.slot, *block).cloned() else { continue };
        let before = check_value_in_chip(turn, &slot.place(*block, ""))?;
        if before == empty.check {
            return Ok(FreePlace { slot: (*slot).clone(), block: *block, before });
        }
        log::warn!(
            "slot {}: the state marks a place of it as empty, but the chip holds other contents there. They may be a \
             key, so they are not overwritten",
            slot.slot
        );
        turn.change_state(|state| state.fill(slot.slot, *block))?;
    }
    if wanted.is_some() {
        let unknown = open.iter().find(|(slot, block)| turn.known().state().empty(slot.slot, *block).is_none());
        if let Some((slot, block)) = unknown {
            let before = check_value_in_chip(turn, &slot.place(*block, ""))?;
            return Ok(FreePlace { slot: (*slot).clone(), block: *block, before });
        }
    }
    let mut unknown: Vec<Slot> = open.iter().map(|(slot, _)| slot.slot).collect();
    unknown.dedup();
    let numbers = |slots: &[Slot]| slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::DeviceMemory(if unknown.is_empty() {
        let known = turn.known();
        let in_slots = |secret: &&StoredSecret| slots.iter().any(|slot| slot.slot.number() == secret.slot);
        let labels = known.state().secrets.iter().filter(in_slots).map(|secret| format!("\"{}\"", secret.label));
        format!(
            "every place for such a key is in use, by {}; `pkcs11-tool --delete-object --type secrkey --label LABEL` \
             destroys one for good",
            labels.collect::<Vec<_>>().join(", ")
        )
        .into()
    } else {
        format!(
            "the state does not say whether slot {0} holds a key, so nothing is written there: if it holds none, run \
             `atecc608 key empty --slot {1}`; or name the slot (CKA_ATECC608_SLOT) to overwrite its contents",
            numbers(&unknown),
            unknown[0]
        )
        .into()
    }))
}

/// Returns the slots that can hold new keys of this kind.
fn writable_slots(known: &Known, kind: SecretKind, wanted: Option<Slot>) -> Result<Vec<SecretSlot>> {
    let takes = |place: &&SecretSlot| {
        place.kind == kind && wanted.is_none_or(|slot| slot == place.slot) && place.access != SecretAccess::Never
    };
    let slots: Vec<SecretSlot> = known.identity.secrets.iter().filter(takes).cloned().collect();
    match (slots.is_empty(), wanted) {
        (false, _) => Ok(slots),
        (true, Some(slot)) => {
            Err(Error::ActionProhibited(format!("CKA_ATECC608_SLOT: slot {slot} can't hold such a key").into()))
        }
        (true, None) => Err(Error::ActionProhibited("no slot of this chip can hold such a key".into())),
    }
}

/// Whether the chip has this place, and the state has no key there.
pub(crate) fn is_free(known: &Known, place: &EmptyPlace) -> bool {
    let slot = Slot::from_nibble(place.slot);
    let is_one = known.identity.secret_slot(slot).is_some_and(|secret| place.block < secret.keys);
    is_one && !known.has_secret(slot, place.block)
}

/// Marks all places of a slot without a key in the state as empty: they may be overwritten from now on. Returns their
/// number.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot is not for secret keys; the [turn errors](Error#turn-errors) and [state
/// folder errors](Error#state-folder-errors).
pub(crate) fn call_empty(turn: &mut Turn<'_>, slot: Slot) -> Result<usize> {
    let known = turn.known();
    let place = known.identity.secret_slot(slot).cloned();
    let place = place.ok_or_else(|| {
        let slots: Vec<String> = known.identity.secrets.iter().map(|place| place.slot.to_string()).collect();
        Error::ActionProhibited(match slots.as_slice() {
            [] => "no slot of this chip is for secret keys (`atecc608 info` lists the purpose of each)".into(),
            slots => format!(
                "slot {slot} is not for secret keys: slot {} of this chip can hold them (--slot N)",
                slots.join(", ")
            )
            .into(),
        })
    })?;
    let mut empty = Vec::new();
    for block in (0..place.keys).filter(|block| !known.has_secret(slot, *block)) {
        let check = check_value_in_chip(turn, &place.place(block, ""))?;
        empty.push(EmptyPlace { slot: slot.number(), block, check });
    }
    let places = empty.len();
    turn.change_state(|state| empty.into_iter().for_each(|place| state.call_empty(place)))?;
    Ok(places)
}
