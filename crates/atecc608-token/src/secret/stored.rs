// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys in slots of the chip. The value is written there once and never read; only the state knows its name, and
//! that it is a key at all. Its check value shows whether the chip holds it.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::place::{check_value, check_value_in_chip, free_place, FreePlace};
use super::ChipSecret;
use crate::create::unique_id;
use crate::error::{Error, Result};
use crate::io_key::IoKey;
use crate::io_protection::{transport_key, write_refused};
use crate::kept::Kept;
use crate::layout::{SecretAccess, SecretSlot};
use crate::state::{EmptyPlace, PendingSecret, SecretKind, State, StoredSecret};
use crate::turn::Turn;
use atecc608 as chip;
use atecc608::secrets::SharedSecret;
use atecc608_wire::zone::Address;
use atecc608_wire::Slot;

impl SecretKind {
    /// Returns the kind for a key type.
    ///
    /// # Errors
    /// [`Error::AttributeValueInvalid`] if a value is not valid.
    pub fn of_key_type(key_type: CK_KEY_TYPE) -> Result<Self> {
        match key_type {
            CKK_AES => Ok(Self::Aes),
            CKK_GENERIC_SECRET | CKK_SHA256_HMAC => Ok(Self::Generic),
            other => Err(Error::AttributeValueInvalid(
                format!("CKA_KEY_TYPE is {other:#x}: the chip holds CKK_AES and CKK_GENERIC_SECRET").into(),
            )),
        }
    }

    /// CKA_KEY_TYPE.
    pub fn key_type(self) -> CK_KEY_TYPE {
        match self {
            Self::Aes => CKK_AES,
            Self::Generic => CKK_GENERIC_SECRET,
        }
    }

    /// Returns the possible lengths of a value in the chip, in bytes.
    pub fn lengths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Aes => 16..=16,
            // HMAC pads shorter keys with zeros, as the slot does.
            Self::Generic => 1..=32,
        }
    }
}

impl StoredSecret {
    /// Returns the key for an operation.
    pub fn place(&self) -> ChipSecret {
        ChipSecret {
            unique_id: self.unique_id.clone(),
            slot: Slot::from_nibble(self.slot),
            block: self.block,
            kind: self.kind,
        }
    }

    /// Whether the attribute of a use is true.
    pub fn may(&self, usage: CK_ATTRIBUTE_TYPE) -> bool {
        match self.kind {
            SecretKind::Aes => {
                matches!(usage, CKA_ENCRYPT | CKA_DECRYPT | CKA_SIGN | CKA_VERIFY | CKA_WRAP | CKA_UNWRAP)
            }
            SecretKind::Generic => matches!(usage, CKA_SIGN | CKA_VERIFY | CKA_DERIVE),
        }
    }
}

impl NewSecret {
    /// Checks that the chip can keep a value of this length.
    ///
    /// # Errors
    /// [`Error::KeySizeRange`].
    pub(crate) fn check_len(&self) -> Result<()> {
        let lengths = self.kind.lengths();
        if lengths.contains(&self.value.len()) {
            return Ok(());
        }
        Err(Error::KeySizeRange(
            format!(
                "CKA_VALUE_LEN is {}: the chip holds keys of {} to {} bytes",
                self.value.len(),
                lengths.start(),
                lengths.end()
            )
            .into(),
        ))
    }
}

/// A new secret key for the chip.
pub struct NewSecret {
    /// What kind.
    pub kind: SecretKind,
    /// Its value, with a length that the kind allows.
    pub value: Zeroizing<Vec<u8>>,
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Vec<u8>,
    /// Other stored attributes.
    pub kept: Kept,
    /// CKA_ATECC608_SLOT.
    pub slot: Option<Slot>,
    /// Whether C_GenerateKey generates it.
    pub generated: bool,
}

/// Writes a key to a free place of the chip; returns its CKA_UNIQUE_ID. The state announces the write before, and the
/// chip's contents show afterwards whether it took effect.
///
/// # Errors
/// [`Error::DeviceMemory`] if there is no free place; [`Error::ActionProhibited`] if the requested slot can't hold such
/// a key or its write key is not on this host; the [turn errors](Error#turn-errors) and [state folder
/// errors](Error#state-folder-errors).
pub(crate) fn create(turn: &mut Turn<'_>, new: NewSecret) -> Result<String> {
    let NewSecret { kind, value, label, id, kept, slot, generated } = new;
    let mut plaintext = Zeroizing::new([0; 32]);
    plaintext[..value.len()].copy_from_slice(&value);
    let FreePlace { slot, block, before } = free_place(turn, kind, slot)?;
    let write_key = write_key(turn, &slot)?;
    let unique_id = unique_id()?;
    let secret = StoredSecret {
        unique_id: unique_id.clone(),
        slot: slot.slot.number(),
        block,
        kind,
        len: value.len() as u8,
        label,
        id,
        kept,
        check: check_value(kind, &plaintext)?,
        generated,
        pending: Some(PendingSecret::Write { before }),
    };
    turn.change_state(|state| state.secrets.push(secret.clone()))?;
    if let Err(error) = overwrite(turn, &secret.place(), write_key.as_ref(), &plaintext) {
        if !is_uncertain(&error) {
            // Otherwise the next turn checks the chip.
            turn.change_state(|state| forget(state, &unique_id))?;
        }
        return Err(error);
    }
    if check_value_in_chip(turn, &secret.place())? != secret.check {
        return Err(Error::DeviceError(
            format!("slot {}: the chip does not hold the key that was written: bus or chip is faulty", slot.slot)
                .into(),
        ));
    }
    commit_written(turn, &secret)?;
    Ok(unique_id)
}

fn is_uncertain(error: &Error) -> bool {
    matches!(error, Error::Device(error) if matches!(**error, chip::Error::Uncertain { .. }))
}

/// Commits a key that the chip holds.
fn commit_written(turn: &mut Turn<'_>, secret: &StoredSecret) -> Result<()> {
    let (slot, unique_id) = (Slot::from_nibble(secret.slot), &secret.unique_id);
    let commit = |state: &mut State| {
        state.fill(slot, secret.block);
        let written = state.secrets.iter_mut().find(|stored| stored.unique_id == *unique_id);
        written.into_iter().for_each(|stored| stored.pending = None);
    };
    turn.notes.commit(commit, |known| known.secret_is_proven(unique_id))
}

/// Overwrites a key with random bytes. If the chip holds another key than the state says, removes only the state's
/// entry.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot can't be written; the [turn errors](Error#turn-errors) and [state folder
/// errors](Error#state-folder-errors).
pub(crate) fn destroy(turn: &mut Turn<'_>, secret: &ChipSecret) -> Result<()> {
    let stored = known_secret(turn, secret)?;
    stored.kept.check_destroyable()?;
    if check_value_in_chip(turn, secret)? != stored.check {
        log::warn!("slot {}: the chip no longer holds this key there: only its names are removed", secret.slot);
        return turn.change_state(|state| forget(state, &secret.unique_id));
    }
    finish_destruction(turn, &stored)
}

/// Overwrites an existing key with random bytes, which then fill an empty place.
fn finish_destruction(turn: &mut Turn<'_>, stored: &StoredSecret) -> Result<()> {
    let secret = stored.place();
    let known = turn.known();
    let place = known.identity.secret_slot(secret.slot);
    let place = place.ok_or_else(|| Error::ActionProhibited(format!("slot {} keeps its key", secret.slot).into()))?;
    let write_key = write_key(turn, place)?;
    let mut filler = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *filler)
        .map_err(|error| Error::DeviceError(format!("cannot get random bytes from the system: {error}").into()))?;
    let check = check_value(secret.kind, &filler)?;
    turn.change_state(|state| {
        let found = state.secrets.iter_mut().find(|stored| stored.unique_id == secret.unique_id);
        found.into_iter().for_each(|stored| stored.pending = Some(PendingSecret::Destroy { filler: check }));
    })?;
    overwrite(turn, &secret, write_key.as_ref(), &filler)?;
    turn.change_state(|state| destroyed(state, stored, check))
}

fn destroyed(state: &mut State, stored: &StoredSecret, filler: [u8; 3]) {
    forget(state, &stored.unique_id);
    state.call_empty(EmptyPlace { slot: stored.slot, block: stored.block, check: filler });
}

fn forget(state: &mut State, unique_id: &str) {
    state.secrets.retain(|secret| secret.unique_id != unique_id);
}

fn known_secret(turn: &Turn<'_>, secret: &ChipSecret) -> Result<StoredSecret> {
    let stored = turn.known().secret(&secret.unique_id).cloned();
    stored.ok_or_else(|| Error::KeyHandleInvalid(format!("the secret key in slot {} is gone", secret.slot).into()))
}

/// Checks, once in a process, that the chip holds the key of a handle: results with another key would not be noticed.
///
/// # Errors
/// [`Error::KeyHandleInvalid`] if it holds another one, or the state no longer has the key; the [turn
/// errors](Error#turn-errors).
pub(crate) fn prove(turn: &mut Turn<'_>, secret: &ChipSecret) -> Result<()> {
    let stored = known_secret(turn, secret)?;
    if turn.known().is_proven_secret(&secret.unique_id) {
        return Ok(());
    }
    if check_value_in_chip(turn, secret)? == stored.check {
        return turn.learn(|known| known.secret_is_proven(&secret.unique_id));
    }
    let problem = format!(
        "slot {}: the chip does not hold the secret key \"{}\" (its check value differs): the state is out of date, or \
         another host has written a key",
        secret.slot, stored.label
    );
    log::warn!("{problem}");
    Err(Error::KeyHandleInvalid(problem.into()))
}

/// Returns the write key of the slot, if it has one.
///
/// # Errors
/// [`Error::ActionProhibited`] if this host does not have it.
fn write_key(turn: &Turn<'_>, place: &SecretSlot) -> Result<Option<(Slot, IoKey)>> {
    match place.access {
        SecretAccess::Clear => Ok(None),
        SecretAccess::Never => Err(Error::ActionProhibited(format!("slot {} can't be written", place.slot).into())),
        SecretAccess::Encrypted(key_slot) => transport_key(turn, place.slot, key_slot).map(Some),
    }
}

fn overwrite(
    turn: &mut Turn<'_>,
    secret: &ChipSecret,
    write_key: Option<&(Slot, IoKey)>,
    plaintext: &[u8; 32],
) -> Result<()> {
    let shared = write_key.map(|(slot, value)| SharedSecret { slot: *slot, value });
    let address = Address::slot(secret.slot, secret.block, 0);
    let serial = turn.known().zone().serial_number();
    let written = turn.chip.write_secret(&serial, shared.as_ref(), address, plaintext);
    written.map_err(|error| match write_key {
        Some(_) => write_refused(turn, secret.slot, error),
        None => error.into(),
    })
}

/// Finishes changes of secret keys that were begun and not committed. The chip's check value shows the progress.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails.
pub(crate) fn resolve(turn: &mut Turn<'_>) -> Result<()> {
    let known = turn.known();
    for secret in &known.state().secrets {
        // Others are finished after the next login.
        if let (Some(pending), false) = (secret.pending, known.is_out_of_reach(Slot::from_nibble(secret.slot))) {
            resolve_one(turn, secret, pending)?;
        }
    }
    Ok(())
}

fn resolve_one(turn: &mut Turn<'_>, secret: &StoredSecret, pending: PendingSecret) -> Result<()> {
    let slot = Slot::from_nibble(secret.slot);
    let what = match pending {
        PendingSecret::Write { .. } => "writing",
        PendingSecret::Destroy { .. } => "destruction",
    };
    let check = match check_value_in_chip(turn, &secret.place()) {
        Err(error) if error.is_about_one_slot() => {
            log::warn!("slot {slot}: the {what} of a secret key was interrupted, and its result is not known: {error}");
            return Ok(());
        }
        check => check?,
    };
    let say = |outcome: &str| log::warn!("slot {slot}: the {what} of a secret key was interrupted; {outcome}");
    match pending {
        PendingSecret::Write { .. } if check == secret.check => {
            say("it had taken effect");
            settle(turn, secret, |state| state.fill(slot, secret.block))
        }
        PendingSecret::Write { before } if check == before => {
            say("it had not taken effect");
            settle(turn, secret, |state| forget(state, &secret.unique_id))
        }
        PendingSecret::Destroy { filler } if check == filler => {
            say("it had taken effect");
            settle(turn, secret, |state| destroyed(state, secret, filler))
        }
        PendingSecret::Destroy { .. } if check == secret.check => match finish_destruction(turn, secret) {
            Err(error @ (Error::ActionProhibited(_) | Error::TokenWriteProtected(_) | Error::DeviceMemory(_))) => {
                say(&format!("it can't be finished now, and the key is still there: {error}"));
                settle(turn, secret, |_| ())
            }
            finished => {
                say("it is finished now");
                finished
            }
        },
        _ => {
            say("the chip holds another key there, or none that the state knows");
            settle(turn, secret, |state| {
                forget(state, &secret.unique_id);
                state.fill(slot, secret.block);
            })
        }
    }
}

/// Ends a pending change with a change of the state.
fn settle(turn: &mut Turn<'_>, secret: &StoredSecret, change: impl Fn(&mut State)) -> Result<()> {
    let settled = |state: &mut State| {
        let found = state.secrets.iter_mut().find(|stored| stored.unique_id == secret.unique_id);
        found.into_iter().for_each(|stored| stored.pending = None);
        change(state);
    };
    turn.notes.commit_at_least_here(Slot::from_nibble(secret.slot), settled, |_| {})
}
