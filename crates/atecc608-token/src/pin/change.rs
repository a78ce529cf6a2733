//! C_SetPIN, C_InitPIN and C_InitToken. Before the chip gets another secret the state holds a blob for it, fsynced; after that
//! the chip is asked which one it holds. Interrupted anywhere, the old PIN or the new one is right.

use std::sync::Arc;

use super::blob::{Secret, StretchedPin};
use super::code::RecoveryCode;
use super::{check_new_pin, Scheme, Who};
use crate::bus::Bus;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::locked::LockedSecret;
use crate::Token;
use atecc608::secrets::{Rolled, SharedSecret};
use atecc608::{self as chip, Chip};
use atecc608_wire::zone::Address;
use atecc608_wire::{Slot, Status};

/// Most blobs that the state keeps: one, and those of changes that were interrupted.
const MAX_BLOBS: usize = 4;

impl Token {
    /// C_InitPIN: the security officer gives the user a PIN, whatever it was before.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`] unless the officer is logged in, [`Error::PinLenRange`], [`Error::PinInvalid`], those of
    /// state folder and chip.
    pub fn init_pin(&self, pin: Option<&[u8]>) -> Result<()> {
        let Some(scheme) = self.scheme()? else {
            log::warn!("C_InitPIN: this token has no PIN; the profile tls-pin has one");
            return Err(Error::UserNotLoggedIn);
        };
        if self.who() != Who::Officer {
            return Err(Error::UserNotLoggedIn);
        }
        let pin = pin.ok_or_else(no_pin)?;
        check_new_pin(pin)?;
        let stretched = StretchedPin::new(pin)?;
        self.with_device(|device| {
            let officer = device.secret.clone().ok_or(Error::UserNotLoggedIn)?;
            device.with_chip(|chip, identity| {
                let secret = fresh_secret(chip)?;
                let blob = stretched.seal(&secret);
                identity.confirm_chip(chip)?;
                identity.store.change(|state| {
                    state.pins.push(blob.clone());
                    let surplus = state.pins.len().saturating_sub(MAX_BLOBS);
                    state.pins.drain(..surplus);
                })?;
                renew(chip, identity, scheme, &officer, &secret)?;
                identity.release_any(chip)?;
                identity.store.change(|state| state.pins = vec![blob.clone()])
            })
        })
    }

    /// C_SetPIN: the user changes the PIN, or, while the security officer is logged in, that one the recovery code.
    ///
    /// # Errors
    /// [`Error::ActionProhibited`] on a token without PIN; [`Error::PinIncorrect`], [`Error::PinLenRange`],
    /// [`Error::PinInvalid`], [`Error::UserPinNotInitialized`], those of state folder and chip.
    pub fn set_pin(&self, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<()> {
        let Some(scheme) = self.scheme()? else {
            return Err(Error::ActionProhibited(
                "this token has no PIN to change; the profile tls-pin has one".to_owned(),
            ));
        };
        let (old, new) = (old.ok_or_else(no_pin)?, new.ok_or_else(no_pin)?);
        if self.who() == Who::Officer {
            return self.set_code(scheme, old, new);
        }
        check_new_pin(new)?;
        let secret = self.user_secret(scheme, old)?;
        let stretched = StretchedPin::new(new)?;
        let inner = &mut *self.inner.lock();
        let rolled = inner.device.with_chip(|chip, identity| roll(chip, identity, scheme, &secret, &stretched))?;
        if let (Some(secret), Who::User) = (rolled, self.who()) {
            inner.device.secret = Some(Arc::new(secret));
        }
        Ok(())
    }

    /// The security officer's other recovery code. It is one that the tool made: nobody thinks of 128 random bits.
    fn set_code(&self, scheme: Scheme, old: &[u8], new: &[u8]) -> Result<()> {
        let new = RecoveryCode::parse(new).ok_or_else(|| {
            Error::PinInvalid(
                "the security officer's PIN is a recovery code: `atecc608 recovery-code` makes a new one".to_owned(),
            )
        })?;
        let old = self.officer_secret(scheme, old)?;
        let inner = &mut *self.inner.lock();
        let secret = inner.device.with_chip(|chip, identity| {
            let secret = LockedSecret::new(&new.secret(&identity.zone.serial_number()));
            identity.confirm_chip(chip)?;
            let written = write(chip, identity, scheme, scheme.officer, &old, secret.value());
            if identity.proves(chip, scheme.officer, &secret)? {
                return Ok(secret);
            }
            written.and(Err(Error::DeviceError("the chip did not take the new recovery code".to_owned())))
        })?;
        inner.device.secret = Some(Arc::new(secret));
        Ok(())
    }

    /// C_InitToken on a token with a PIN: the chip proves the officer, certificates and data objects go, and the user has no
    /// PIN any more. Keys stay: they are destroyed by name only.
    ///
    /// # Errors
    /// [`Error::PinIncorrect`], those of state folder and chip.
    pub(crate) fn init_token_with_pin(&self, scheme: Scheme, code: Option<&[u8]>, label: String) -> Result<()> {
        let officer = self.officer_secret(scheme, code.ok_or(Error::PinIncorrect)?)?;
        self.with_device(|device| {
            device.with_chip(|chip, identity| {
                // A secret that nobody keeps.
                let secret = fresh_secret(chip)?;
                identity.confirm_chip(chip)?;
                renew(chip, identity, scheme, &officer, &secret)?;
                identity.release_any(chip)?;
                identity.store.change(|state| {
                    state.pins.clear();
                    state.objects.clear();
                    state.label = Some(label);
                })
            })
        })
    }
}

fn no_pin() -> Error {
    Error::PinInvalid("the PIN is NULL, and the token has no keypad of its own to ask for it".to_owned())
}

fn fresh_secret(chip: &mut Chip<Bus>) -> Result<Secret> {
    chip.converse(|awake| awake.fresh_secret()).map_err(Error::Device)
}

/// Gives the chip another authorisation secret, and sees that it has it.
fn renew(
    chip: &mut Chip<Bus>,
    identity: &Identity,
    scheme: Scheme,
    officer: &LockedSecret,
    secret: &Secret,
) -> Result<()> {
    let written = write(chip, identity, scheme, scheme.authorisation, officer, secret);
    if identity.proves(chip, scheme.authorisation, &LockedSecret::new(secret))? {
        return Ok(());
    }
    written.and(Err(Error::DeviceError("the chip did not take the new secret".to_owned())))
}

/// Writes a secret under the officer's.
fn write(
    chip: &mut Chip<Bus>,
    identity: &Identity,
    scheme: Scheme,
    slot: Slot,
    officer: &LockedSecret,
    secret: &[u8; 32],
) -> Result<()> {
    let write_key = SharedSecret { slot: scheme.officer, value: officer.value() };
    let serial = identity.zone.serial_number();
    let written = chip.write_secret(&serial, Some(&write_key), Address::slot(slot, 0, 0), secret);
    written.map_err(|error| match error {
        // The officer's secret is another one by now.
        error if error.has_status(Status::EXECUTION_ERROR) => {
            Error::Device(chip::Error::NotAuthorised { slot: scheme.officer, refused: true })
        }
        other => Error::Device(other),
    })
}

/// The user's change: the chip makes the new secret out of the old one. Answers it; none if the chip keeps the old one, which
/// is then under the new PIN.
fn roll(
    chip: &mut Chip<Bus>,
    identity: &mut Identity,
    scheme: Scheme,
    secret: &LockedSecret,
    pin: &StretchedPin,
) -> Result<Option<LockedSecret>> {
    identity.confirm_chip(chip)?;
    let before = identity.store.state().pins.clone();
    let serial = identity.zone.serial_number();
    let mut not_kept = None;
    let shared = SharedSecret { slot: scheme.authorisation, value: secret.value() };
    let rolled = chip.roll_key(&serial, &shared, &mut |new| {
        let kept = identity.store.change(|state| {
            state.pins.clone_from(&before);
            state.pins.push(pin.seal(new));
        });
        not_kept = kept.err();
        not_kept.is_none()
    });
    if let Some(error) = not_kept {
        return Err(error);
    }
    match rolled.map_err(Error::Device)? {
        Rolled::To(new) => {
            if let Err(error) = identity.store.change(|state| state.pins = vec![pin.seal(&new)]) {
                // It still holds both blobs: the next login finds out.
                log::warn!("{error}");
            }
            Ok(Some(LockedSecret::new(&new)))
        }
        Rolled::Refused => {
            identity.store.change(|state| state.pins = vec![pin.seal(secret.value())])?;
            log::warn!(
                "chip {serial}: the PIN is changed, but the chip does not renew the secret behind it: a copy of the state \
                 folder from before (a backup) stays valid with the old PIN until the security officer gives a new one"
            );
            Ok(None)
        }
    }
}
