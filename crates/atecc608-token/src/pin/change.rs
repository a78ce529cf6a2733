// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_SetPIN, C_InitPIN and C_InitToken. Before the chip gets another secret the state holds a blob for it, fsynced;
//! afterwards the chip shows which secret it holds. After an interruption at any moment, either the old PIN or the new
//! one is valid.

use super::blob::{Secret, StretchedPin};
use super::code::RecoveryCode;
use super::login::{officer_secret, proves, user_secret};
use super::{check_new_pin, Scheme, Who};
use crate::certificates::held;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::memory::LockedSecret;
use crate::token::Token;
use crate::turn::Turn;
use atecc608 as chip;
use atecc608::secrets::{Rolled, SharedSecret};
use atecc608_wire::zone::Address;
use atecc608_wire::{Slot, Status};

/// Maximum number of blobs that the state keeps: one, and those of interrupted changes.
const MAX_BLOBS: usize = 4;

/// C_InitPIN: the security officer sets the user's PIN, whatever it was before.
pub(crate) fn init_pin(token: &Token, pin: Option<&[u8]>) -> Result<()> {
    let mut deadline = token.deadline();
    let Some(scheme) = token.known(deadline)?.identity.scheme else {
        log::warn!("C_InitPIN: this token has no PIN; the profile tls-pin has one");
        return Err(Error::UserNotLoggedIn);
    };
    if token.who() != Who::Officer {
        return Err(Error::UserNotLoggedIn);
    }
    let pin = pin.ok_or_else(no_pin)?;
    check_new_pin(pin)?;
    let stretched = deadline.exclude(|| StretchedPin::new(pin))?;
    token.turn(deadline, |turn| {
        let officer = token.login.secret_of(&token.board, Who::Officer).ok_or(Error::UserNotLoggedIn)?;
        let secret = fresh_secret(turn)?;
        let blob = stretched.seal(&secret);
        turn.change_state(|state| {
            state.pins.push(blob.clone());
            let surplus = state.pins.len().saturating_sub(MAX_BLOBS);
            state.pins.drain(..surplus);
        })?;
        renew(turn, scheme, &officer, &secret)?;
        held::release_any(turn)?;
        turn.change_state(|state| state.pins = vec![blob.clone()])
    })
}

/// C_SetPIN: the user changes the PIN, or, while the security officer is logged in, the officer changes the recovery
/// code.
pub(crate) fn set_pin(token: &Token, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
    let mut deadline = token.deadline();
    let Some(scheme) = token.known(deadline)?.identity.scheme else {
        return Err(Error::ActionProhibited("this token has no PIN to change; the profile tls-pin has one".into()));
    };
    let (old, new) = (old.ok_or_else(no_pin)?, new.ok_or_else(no_pin)?);
    if token.who() == Who::Officer {
        return set_code(token, deadline, scheme, old, new);
    }
    check_new_pin(new)?;
    let secret = user_secret(token, scheme, old, &mut deadline)?;
    let stretched = deadline.exclude(|| StretchedPin::new(new))?;
    token.turn(deadline, |turn| {
        let secret = roll(turn, scheme, &secret, &stretched)?;
        // Before the next turn uses it.
        token.login.renew(&token.board, Who::User, secret);
        Ok(())
    })
}

/// Sets another recovery code of the security officer, which must be one that the tool generated, with 130 random bits.
fn set_code(token: &Token, deadline: Deadline, scheme: Scheme, old: &[u8], new: &[u8]) -> Result<()> {
    let new = RecoveryCode::parse(new).ok_or_else(|| {
        Error::PinInvalid(
            "the security officer's PIN is a recovery code: `atecc608 recovery-code --set` makes a new one and sets it"
                .into(),
        )
    })?;
    let old = officer_secret(token, scheme, old, deadline)?;
    token.turn(deadline, |turn| {
        let secret = LockedSecret::new(&new.secret(&turn.known().zone().serial_number()))?;
        let written = write(turn, scheme, scheme.officer, &old, &secret);
        if !proves(turn, scheme.officer, &secret)? {
            return written.and(Err(Error::DeviceError("the chip did not accept the new recovery code".into())));
        }
        token.login.renew(&token.board, Who::Officer, secret);
        Ok(())
    })
}

/// C_InitToken on a token with a PIN: the chip checks the officer's secret, certificates and data objects are removed,
/// and the user has no PIN any more. Keys are kept: they are destroyed only by name.
pub(crate) fn init_token(token: &Token, scheme: Scheme, code: Option<&[u8]>, label: String) -> Result<()> {
    let deadline = token.deadline();
    let officer = officer_secret(token, scheme, code.ok_or(Error::PinIncorrect)?, deadline)?;
    token.turn(deadline, |turn| {
        // A secret that is not stored anywhere.
        let secret = fresh_secret(turn)?;
        renew(turn, scheme, &officer, &secret)?;
        held::release_any(turn)?;
        turn.change_state(|state| {
            state.pins.clear();
            state.objects.clear();
            state.label = Some(label);
        })
    })
}

fn no_pin() -> Error {
    Error::PinInvalid("the PIN is NULL, and the token has no keypad".into())
}

fn fresh_secret(turn: &mut Turn<'_>) -> Result<Secret> {
    turn.converse(|awake| awake.fresh_secret())
}

/// Writes another authorisation secret to the chip, and checks that the chip holds it.
fn renew(turn: &mut Turn<'_>, scheme: Scheme, officer: &LockedSecret, secret: &Secret) -> Result<()> {
    let written = write(turn, scheme, scheme.authorisation, officer, secret);
    if proves(turn, scheme.authorisation, &LockedSecret::new(secret)?)? {
        return Ok(());
    }
    written.and(Err(Error::DeviceError("the chip did not accept the new secret".into())))
}

/// Writes a secret, encrypted with the officer's.
fn write(turn: &mut Turn<'_>, scheme: Scheme, slot: Slot, officer: &LockedSecret, secret: &[u8; 32]) -> Result<()> {
    let write_key = SharedSecret { slot: scheme.officer, value: officer };
    let serial = turn.known().zone().serial_number();
    let written = turn.chip.write_secret(&serial, Some(&write_key), Address::slot(slot, 0, 0), secret);
    written.map_err(|error| match error {
        // The officer's secret has changed meanwhile.
        error if error.has_status(Status::EXECUTION_ERROR) => {
            chip::Error::NotAuthorised { slot: scheme.officer, refused: true }.into()
        }
        other => other.into(),
    })
}

/// The user's change: the chip derives the new secret from the old one. Returns the new secret. The old secret is never
/// encrypted with another PIN: two blobs of one secret, from two backups, would reveal both PINs to an attacker who
/// tries PINs on each and compares.
///
/// # Errors
/// [`Error::PinNotChanged`] if the chip refuses; the [turn errors](Error#turn-errors) and [state folder
/// errors](Error#state-folder-errors). The old PIN is then valid.
fn roll(turn: &mut Turn<'_>, scheme: Scheme, secret: &LockedSecret, pin: &StretchedPin) -> Result<LockedSecret> {
    let before = turn.known().state().pins.clone();
    let serial = turn.known().zone().serial_number();
    let mut not_kept = None;
    let shared = SharedSecret { slot: scheme.authorisation, value: secret };
    let notes = &mut turn.notes;
    let rolled = turn.chip.roll_key(&serial, &shared, &mut |new| {
        let kept = notes.change_state(|state| {
            state.pins.clone_from(&before);
            state.pins.push(pin.seal(new));
        });
        not_kept = kept.err();
        not_kept.is_none()
    });
    if let Some(error) = not_kept {
        return Err(error);
    }
    match rolled.map_err(Error::from)? {
        Rolled::To(new) => {
            if let Err(error) = turn.change_state(|state| state.pins = vec![pin.seal(&new)]) {
                // The state still has both blobs: the next login decides.
                log::warn!("{error}");
            }
            LockedSecret::new(&new)
        }
        Rolled::Refused => {
            turn.change_state(|state| state.pins = before)?;
            Err(Error::PinNotChanged(
                format!(
                    "chip {serial}: it does not renew the secret behind the PIN, so the PIN is unchanged: the security \
                     officer can set another one with the recovery code (`atecc608 pin reset`, or C_InitPIN)"
                )
                .into(),
            ))
        }
    }
}
