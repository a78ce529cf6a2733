// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys between the locks: the configuration is locked, the data zone is not. Every slot for a private key then accepts
//! one, whatever WriteConfig says about later (fact sheet section 5.7), and some slots accept none later. For the
//! command-line tool, and for configurations of the user's own: `provision` fills those of the built-in profiles. Not
//! reachable through PKCS#11.

use super::error::{Error, Result};
use super::import::{self, ImportRequest};
use super::keygen::{self, KeyPairRequest};
use super::state::{Intent, Purpose};
use super::token::Token;
use super::turn::Turn;
use atecc608::ops::Before;
use atecc608::Chip;
use atecc608_wire::{ConfigZone, Slot};

/// The slot and the names of a new key.
#[derive(Clone, Debug)]
pub struct KeyNames {
    /// The slot.
    pub slot: Slot,
    /// CKA_LABEL; default: the slot's name.
    pub label: Option<String>,
    /// CKA_ID; default: SHA-1 of the public key.
    pub id: Option<Vec<u8>>,
}

/// The result of a request for a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A new key was generated.
    Now,
    /// The requested key was already there, from an earlier call that was interrupted.
    Before,
}

/// Returns whether the chip is between its locks and open to this token.
///
/// # Errors
/// The [first contact errors](Error#first-contact-errors).
pub fn is_open(token: &Token) -> Result<bool> {
    Ok(token.known(token.deadline())?.identity.open_between_locks)
}

/// Returns the chip's configuration.
///
/// # Errors
/// The [first contact errors](Error#first-contact-errors).
pub fn zone(token: &Token) -> Result<ConfigZone> {
    Ok(token.known(token.deadline())?.zone().clone())
}

/// Generates a key pair in the slot; `replace` overwrites a key that is there.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot holds a key and `replace` is false, or can't hold one;
/// [`Error::AttributeValueInvalid`] if another key has the label; the [turn errors](Error#turn-errors) and [state
/// folder errors](Error#state-folder-errors).
pub fn generate(token: &Token, names: KeyNames, replace: bool) -> Result<Made> {
    let deadline = token.deadline();
    let slot = names.slot;
    let interrupted = token.known(deadline)?.state().slot(slot).and_then(|state| state.intent.clone());
    token.turn(deadline, |turn| {
        check_open(turn)?;
        if let Some(intent) = interrupted.filter(|intent| is_asked_for(intent, &names)) {
            if took_effect(turn, slot, &intent)? {
                return Ok(Made::Before);
            }
        }
        if !replace && keygen::before_new_key(turn, slot)? != Before::Empty {
            return Err(occupied(slot));
        }
        keygen::generate(turn, KeyPairRequest::between_locks(names, replace), &mut Chip::generate_key)?;
        Ok(Made::Now)
    })
}

/// Imports a private key into the slot, in clear; `replace` overwrites another key that is there. `scalar` is the key,
/// big-endian.
///
/// # Errors
/// As [`generate`].
pub fn import(token: &Token, scalar: &[u8; 32], names: KeyNames, replace: bool) -> Result<()> {
    let slot = names.slot;
    let request = ImportRequest::between_locks(scalar, names)?;
    token.turn(token.deadline(), |turn| {
        check_open(turn)?;
        import::import_between_locks(turn, slot, request, replace)
    })
}

fn check_open(turn: &Turn<'_>) -> Result<()> {
    if turn.known().identity.open_between_locks {
        return Ok(());
    }
    Err(Error::ActionProhibited("the locks of the chip changed meanwhile: run the same command again".into()))
}

/// Whether an interrupted generation was for the requested key.
fn is_asked_for(intent: &Intent, names: &KeyNames) -> bool {
    let same_label = names.label.is_none() || names.label == intent.label;
    let same_id = names.id.is_none() || names.id == intent.id;
    intent.purpose == Purpose::Generate && same_label && same_id
}

/// Whether the interrupted generation took effect: the turn has read that from the chip, and noted it in the state.
fn took_effect(turn: &mut Turn<'_>, slot: Slot, intent: &Intent) -> Result<bool> {
    let known = turn.known();
    let stored = known.state().slot(slot).and_then(|state| state.public_key.as_deref());
    let held = keygen::public_bytes(keygen::before_new_key(turn, slot)?)?;
    Ok(held.as_deref() == stored && intent.took_effect(held.as_deref()))
}

/// The refusal of a slot that holds a key.
pub(super) fn occupied(slot: Slot) -> Error {
    Error::ActionProhibited(
        format!(
        "slot {slot} already holds a key: use another slot (`atecc608 key list`), or add --replace to overwrite that \
         key permanently"
    )
        .into(),
    )
}
