//! C_Login and C_Logout: whether a PIN is right, the chip says.

use std::sync::Arc;

use cryptoki_sys::*;

use super::blob::PinBlob;
use super::code::RecoveryCode;
use super::{Scheme, Who};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::locked::LockedSecret;
use crate::Token;
use atecc608::secrets::SharedSecret;
use atecc608::Transport;
use atecc608_wire::Slot;

/// How often a PIN is tried anew because another process changed the blobs meanwhile.
const TRIES: u32 = 3;

impl Token {
    /// Logs in. Without a PIN scheme only the PIN is ignored: AWS clients always log in.
    ///
    /// # Errors
    /// [`Error::UserAlreadyLoggedIn`], [`Error::UserAnotherAlreadyLoggedIn`], [`Error::UserTypeInvalid`],
    /// [`Error::PinIncorrect`], [`Error::UserPinNotInitialized`]; those of the chip.
    pub fn login(&self, user: CK_USER_TYPE, pin: Option<&[u8]>) -> Result<()> {
        let wanted = match user {
            CKU_USER => Who::User,
            CKU_SO => Who::Officer,
            CKU_CONTEXT_SPECIFIC => {
                return Err(Error::OperationNotInitialized(
                    "no operation waits for a PIN: CKA_ALWAYS_AUTHENTICATE is false on every key".to_owned(),
                ))
            }
            other => return Err(Error::UserTypeInvalid(format!("user type {other} does not exist"))),
        };
        let Some(scheme) = self.scheme()? else {
            if wanted == Who::Officer {
                return Err(no_officer());
            }
            return match self.login.set(Who::User) {
                Who::Nobody => Ok(()),
                _ => Err(Error::UserAlreadyLoggedIn),
            };
        };
        self.check_nobody(wanted)?;
        let pin = pin.ok_or(Error::PinIncorrect)?;
        let secret = match wanted {
            Who::Officer => self.officer_secret(scheme, pin)?,
            _ => self.user_secret(scheme, pin)?,
        };
        let inner = &mut *self.inner.lock();
        // Another thread may have been faster.
        self.check_nobody(wanted)?;
        inner.forget_private_objects();
        inner.device.secret = Some(Arc::new(secret));
        self.login.set(wanted);
        Ok(())
    }

    fn check_nobody(&self, wanted: Who) -> Result<()> {
        match self.login.who() {
            Who::Nobody => Ok(()),
            who if who == wanted => Err(Error::UserAlreadyLoggedIn),
            _ => Err(Error::UserAnotherAlreadyLoggedIn),
        }
    }

    /// Logs out: the secret is forgotten, and with it all private objects' handles.
    ///
    /// # Errors
    /// [`Error::UserNotLoggedIn`].
    pub fn logout(&self) -> Result<()> {
        let inner = &mut *self.inner.lock();
        match self.login.set(Who::Nobody) {
            Who::Nobody => Err(Error::UserNotLoggedIn),
            _ => {
                inner.logged_out();
                Ok(())
            }
        }
    }

    /// Who is logged in.
    pub fn who(&self) -> Who {
        self.login.who()
    }

    /// The chip's PIN scheme, if it has one.
    ///
    /// # Errors
    /// Those of the chip, if it was not identified yet.
    pub(crate) fn scheme(&self) -> Result<Option<Scheme>> {
        Ok(self.inner.lock().device.identity()?.scheme)
    }

    /// What the user's PIN makes of the state, if the chip says that it is right. Where the state holds several blobs, the
    /// one that counts stays. The PIN is stretched without any lock: it takes long.
    ///
    /// # Errors
    /// [`Error::PinIncorrect`], [`Error::UserPinNotInitialized`], those of the chip.
    pub(super) fn user_secret(&self, scheme: Scheme, pin: &[u8]) -> Result<LockedSecret> {
        for _ in 0..TRIES {
            let pins = {
                let inner = &mut *self.inner.lock();
                let identity = inner.device.identity()?;
                identity.refresh();
                identity.store.state().pins.clone()
            };
            if pins.is_empty() {
                return Err(Error::UserPinNotInitialized(
                    "the user has no PIN yet, or the state folder was lost: the security officer gives one (C_InitPIN, \
                     with the recovery code)"
                        .to_owned(),
                ));
            }
            let opened = pins.iter().map(|blob| blob.open(pin).map(|secret| LockedSecret::new(&secret)));
            let opened: Vec<LockedSecret> = opened.collect::<Result<_>>()?;
            match which(&mut self.inner.lock().device, scheme, &pins, opened)? {
                Tried::Right(secret) => return Ok(secret),
                Tried::Wrong => return Err(Error::PinIncorrect),
                Tried::Outdated => log::debug!("another process changed the PIN meanwhile; trying again"),
            }
        }
        Err(Error::DeviceError("other processes change the PIN all the time".to_owned()))
    }

    /// The security officer's secret, if the chip says that this recovery code is right.
    ///
    /// # Errors
    /// [`Error::PinIncorrect`], those of the chip.
    pub(super) fn officer_secret(&self, scheme: Scheme, code: &[u8]) -> Result<LockedSecret> {
        let Some(code) = RecoveryCode::parse(code) else {
            log::warn!(
                "the security officer's PIN is the recovery code that provisioning printed; this is none, or mistyped"
            );
            return Err(Error::PinIncorrect);
        };
        self.with_device(|device| {
            device.with_chip(|chip, identity| {
                let secret = LockedSecret::new(&code.secret(&identity.zone.serial_number()));
                if identity.proves(chip, scheme.officer, &secret)? {
                    Ok(secret)
                } else {
                    Err(Error::PinIncorrect)
                }
            })
        })
    }
}

pub(super) fn no_officer() -> Error {
    Error::UserTypeInvalid("this token has no PIN and so no security officer; the profile tls-pin has both".to_owned())
}

/// What became of a PIN.
enum Tried {
    Right(LockedSecret),
    Wrong,
    /// The state holds other blobs by now.
    Outdated,
}

/// Lets the chip say which of the secrets is its own.
fn which(device: &mut Device, scheme: Scheme, pins: &[PinBlob], opened: Vec<LockedSecret>) -> Result<Tried> {
    device.with_chip(|chip, identity| {
        if identity.store.state().pins != pins {
            return Ok(Tried::Outdated);
        }
        for (blob, secret) in pins.iter().zip(opened) {
            if !identity.proves(chip, scheme.authorisation, &secret)? {
                continue;
            }
            if pins.len() > 1 {
                log::warn!("a change of the PIN was interrupted; the PIN given now is the one that counts");
                if let Err(error) = identity.store.change(|state| state.pins = vec![blob.clone()]) {
                    log::warn!("{error}");
                }
            }
            return Ok(Tried::Right(secret));
        }
        Ok(Tried::Wrong)
    })
}

impl Identity {
    /// Whether the chip holds this secret: Nonce and CheckMac.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub(super) fn proves<P: Transport>(
        &self,
        chip: &mut atecc608::Chip<P>,
        slot: Slot,
        secret: &LockedSecret,
    ) -> Result<bool> {
        let serial = self.zone.serial_number();
        let shared = SharedSecret { slot, value: secret.value() };
        chip.converse(|awake| awake.proves(&serial, &shared)).map_err(Error::Device)
    }
}
