//! Keys between the locks: the configuration is locked, the data zone is not. Every slot for a private key takes one then, whatever
//! WriteConfig says of later (fact sheet section 5.7), and some slots take none later. For the command-line tool, and for
//! configurations of the user's own: `provision` fills those of our profiles. Nothing of it is reachable through PKCS#11.

use super::error::{Error, Result};
use super::import::{self, ImportRequest};
use super::keygen::{self, KeyPairRequest};
use super::state::{Intent, Purpose};
use super::token::Token;
use super::turn::Turn;
use atecc608::ops::Before;
use atecc608::Chip;
use atecc608_wire::{ConfigZone, Slot};

/// Where a new key goes, and what it is called.
#[derive(Clone, Debug)]
pub struct KeyNames {
    /// The slot.
    pub slot: Slot,
    /// CKA_LABEL; without one the slot's name.
    pub label: Option<String>,
    /// CKA_ID; without one SHA-1 of the public key.
    pub id: Option<Vec<u8>>,
}

/// What became of a request for a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// There is a new key.
    Now,
    /// An earlier call was interrupted, and its key was there: it is the one that was asked for.
    Before,
}

/// Returns whether the chip is between its locks and open to this token.
///
/// # Errors
/// Those of the first contact.
pub fn is_open(token: &Token) -> Result<bool> {
    Ok(token.known(token.deadline())?.identity.open_between_locks)
}

/// The chip's configuration.
///
/// # Errors
/// Those of the first contact.
pub fn zone(token: &Token) -> Result<ConfigZone> {
    Ok(token.known(token.deadline())?.zone().clone())
}

/// Generates a key pair in the slot; `replace` overwrites a key that is there.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot holds a key and that is not to be replaced, or takes none;
/// [`Error::AttributeValueInvalid`] if the label is another key's; those of state folder and chip.
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

/// Writes a private key from outside into the slot, in clear; `replace` overwrites another key that is there. `scalar` is its number,
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
    Err(Error::ActionProhibited("the chip is not between its locks any more: run the same command again".into()))
}

/// Whether an interrupted generation was for the key that is asked for now.
fn is_asked_for(intent: &Intent, names: &KeyNames) -> bool {
    let same_label = names.label.is_none() || names.label == intent.label;
    let same_id = names.id.is_none() || names.id == intent.id;
    intent.purpose == Purpose::Generate && same_label && same_id
}

/// Whether the interrupted generation took effect: the turn has asked the chip, and noted it in the state.
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
        "slot {slot} holds a key already: take another slot (`atecc608 key list`), or add --replace to overwrite that key for good"
    )
    .into())
}
