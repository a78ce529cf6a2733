// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_Login and C_Logout: the chip decides whether a PIN is right.

use std::sync::Arc;

use cryptoki_sys::*;
use parking_lot::Mutex;

use super::blob::PinBlob;
use super::code::RecoveryCode;
use super::{Scheme, Who};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::memory::LockedSecret;
use crate::snapshot::Board;
use crate::token::Token;
use crate::turn::Turn;
use atecc608::secrets::SharedSecret;
use atecc608_wire::Slot;

/// How often a PIN is tried again because another process changed the blobs meanwhile.
const TRIES: u32 = 3;

/// The secret of the present login: the authorisation secret, or the security officer's; `None` if the token has no
/// PIN. The logged-in user is on the [`Board`]; both change together.
#[derive(Debug, Default)]
pub(crate) struct Login(Mutex<Option<Arc<LockedSecret>>>);

impl Login {
    /// Logs in, after running `before`.
    ///
    /// # Errors
    /// [`Error::UserAlreadyLoggedIn`], [`Error::UserAnotherAlreadyLoggedIn`].
    fn begin(&self, board: &Board, who: Who, secret: Option<LockedSecret>, before: impl FnOnce()) -> Result<()> {
        let mut held = self.0.lock();
        check_nobody(board, who)?;
        before();
        *held = secret.map(Arc::new);
        board.change(|snapshot| snapshot.set_who(who));
        Ok(())
    }

    /// Ends a login; returns who was logged in, and whether the login had a secret.
    pub(crate) fn end(&self, board: &Board) -> (Who, bool) {
        let mut held = self.0.lock();
        let who = board.change(|snapshot| {
            let who = snapshot.who;
            snapshot.set_who(Who::Nobody);
            who
        });
        (who, held.take().is_some())
    }

    /// Ends a login with a secret; one without is kept.
    pub(crate) fn end_where_it_rests_on_a_secret(&self, board: &Board) {
        if self.0.lock().take().is_some() {
            board.change(|snapshot| snapshot.set_who(Who::Nobody));
        }
    }

    /// Ends the login with this secret, which the chip refused.
    pub(crate) fn end_if_it_rests_on(&self, refused: Option<&Arc<LockedSecret>>, board: &Board) {
        let mut held = self.0.lock();
        if held.as_ref().zip(refused).is_some_and(|(held, refused)| Arc::ptr_eq(held, refused)) {
            *held = None;
            board.change(|snapshot| snapshot.set_who(Who::Nobody));
        }
    }

    /// Returns the secret, if it is the user's.
    pub(crate) fn user_secret(&self, board: &Board) -> Option<Arc<LockedSecret>> {
        self.secret_of(board, Who::User)
    }

    pub(super) fn secret_of(&self, board: &Board, who: Who) -> Option<Arc<LockedSecret>> {
        let held = self.0.lock();
        held.clone().filter(|_| board.snapshot().who == who)
    }

    /// Replaces the secret of the logged-in user.
    pub(super) fn renew(&self, board: &Board, who: Who, secret: LockedSecret) {
        let mut held = self.0.lock();
        if held.is_some() && board.snapshot().who == who {
            *held = Some(Arc::new(secret));
        }
    }
}

/// C_Login. Without a PIN scheme only the PIN is ignored, because AWS clients always log in.
pub(crate) fn log_in(token: &Token, user: CK_USER_TYPE, pin: Option<&[u8]>) -> Result<()> {
    let mut deadline = token.deadline();
    let wanted = match user {
        CKU_USER => Who::User,
        CKU_SO => Who::Officer,
        CKU_CONTEXT_SPECIFIC => {
            return Err(Error::OperationNotInitialized(
                "no operation waits for a PIN: CKA_ALWAYS_AUTHENTICATE is false on every key".into(),
            ))
        }
        other => return Err(Error::UserTypeInvalid(format!("user type {other} does not exist").into())),
    };
    let Some(scheme) = token.known(deadline)?.identity.scheme else {
        if wanted == Who::Officer {
            return Err(Error::UserTypeInvalid(
                "this token has no PIN and so no security officer; the profile tls-pin has both".into(),
            ));
        }
        return match token.login.begin(&token.board, Who::User, None, || {}) {
            Err(_) => Err(Error::UserAlreadyLoggedIn),
            done => done,
        };
    };
    check_nobody(&token.board, wanted)?;
    let pin = pin.ok_or(Error::PinIncorrect)?;
    let secret = match wanted {
        Who::Officer => officer_secret(token, scheme, pin, deadline)?,
        _ => user_secret(token, scheme, pin, &mut deadline)?,
    };
    // Another thread may have logged in first.
    token.login.begin(&token.board, wanted, Some(secret), || token.objects.forget_private())
}

fn check_nobody(board: &Board, wanted: Who) -> Result<()> {
    match board.snapshot().who {
        Who::Nobody => Ok(()),
        who if who == wanted => Err(Error::UserAlreadyLoggedIn),
        _ => Err(Error::UserAnotherAlreadyLoggedIn),
    }
}

/// C_Logout: forgets the secret, and with it all private objects' handles. If logins have no effect, objects are kept.
pub(crate) fn log_out(token: &Token) -> Result<()> {
    let (who, rested_on_a_secret) = token.login.end(&token.board);
    if rested_on_a_secret {
        token.objects.forget_private();
    }
    match who {
        Who::Nobody => Err(Error::UserNotLoggedIn),
        _ => Ok(()),
    }
}

/// Returns the secret decrypted with the user's PIN, if the chip confirms it. If the state holds several blobs, only
/// the valid one is kept. The PIN is stretched without holding a lock, because that takes long.
///
/// # Errors
/// [`Error::PinIncorrect`], [`Error::UserPinNotInitialized`], the [turn errors](Error#turn-errors).
pub(super) fn user_secret(token: &Token, scheme: Scheme, pin: &[u8], deadline: &mut Deadline) -> Result<LockedSecret> {
    for _ in 0..TRIES {
        token.state_access.refresh(&token.board);
        let pins = token.known(*deadline)?.state().pins.clone();
        if pins.is_empty() {
            return Err(Error::UserPinNotInitialized(
                "the user has no PIN yet, or the state folder was lost: the security officer sets one, with the \
                 recovery code (`atecc608 pin init`, or C_InitPIN)"
                    .into(),
            ));
        }
        let opened = deadline.exclude(|| pins.iter().map(|blob| blob.open(pin)).collect::<Result<_>>())?;
        match token.turn(*deadline, |turn| which(turn, scheme, &pins, opened))? {
            Tried::Right(secret) => return Ok(secret),
            Tried::Wrong => return Err(Error::PinIncorrect),
            Tried::Outdated => log::debug!("another process changed the PIN meanwhile; trying again"),
        }
    }
    Err(Error::DeviceError("other processes keep changing the PIN: try again".into()))
}

/// Returns the security officer's secret, if the chip confirms this recovery code.
///
/// # Errors
/// [`Error::PinIncorrect`], the [turn errors](Error#turn-errors).
pub(super) fn officer_secret(token: &Token, scheme: Scheme, code: &[u8], deadline: Deadline) -> Result<LockedSecret> {
    let Some(code) = RecoveryCode::parse(code) else {
        log::warn!(
            "the security officer's PIN is the recovery code that provisioning printed; this is not a recovery code, \
             or is mistyped"
        );
        return Err(Error::PinIncorrect);
    };
    token.turn(deadline, |turn| {
        let secret = LockedSecret::new(&code.secret(&turn.known().zone().serial_number()))?;
        if proves(turn, scheme.officer, &secret)? {
            Ok(secret)
        } else {
            Err(Error::PinIncorrect)
        }
    })
}

/// The result of trying a PIN.
enum Tried {
    Right(LockedSecret),
    Wrong,
    /// The state's blobs have changed meanwhile.
    Outdated,
}

/// Asks the chip which of the secrets is its own.
fn which(turn: &mut Turn<'_>, scheme: Scheme, pins: &[PinBlob], opened: Vec<LockedSecret>) -> Result<Tried> {
    if turn.known().state().pins != pins {
        return Ok(Tried::Outdated);
    }
    for (blob, secret) in pins.iter().zip(opened) {
        if !proves(turn, scheme.authorisation, &secret)? {
            continue;
        }
        if pins.len() > 1 {
            log::warn!("a change of the PIN was interrupted; the PIN given now is valid");
            if let Err(error) = turn.change_state(|state| state.pins = vec![blob.clone()]) {
                log::warn!("{error}");
            }
        }
        return Ok(Tried::Right(secret));
    }
    Ok(Tried::Wrong)
}

/// Whether the chip holds this secret: Nonce and CheckMac.
///
/// # Errors
/// [`Error::Device`] if the chip or the bus fails.
pub(super) fn proves(turn: &mut Turn<'_>, slot: Slot, secret: &LockedSecret) -> Result<bool> {
    let serial = turn.known().zone().serial_number();
    let shared = SharedSecret { slot, value: secret };
    turn.converse(|awake| awake.proves(&serial, &shared))
}
