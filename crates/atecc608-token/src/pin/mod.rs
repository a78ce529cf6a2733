// SPDX-License-Identifier: MIT OR Apache-2.0
//! The PIN of the profile `tls-pin`, enforced by the chip (docs/security.md).
//!
//! A slot of the chip holds A, 256 random bits, and every key names it as the secret that authorises its use. The state
//! folder holds A XOR Argon2id(PIN, salt) ([`blob`]), and nothing with which a guess could be checked: only the chip
//! can tell whether a PIN is right (`login`). Another slot holds S, the security officer's secret, derived from the
//! recovery code ([`code`]) that provisioning printed; writes of A are encrypted with it. `change` changes the user's
//! PIN.
//!
//! The state may hold several blobs: a change of the PIN adds one before the chip gets another A, and the chip decides
//! at the next login which one is valid. After an interruption at any moment, one of them is.

pub mod blob;
pub(crate) mod change;
pub mod code;
pub(crate) mod login;

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::profile::{Contents, Profile};
use atecc608_wire::{ConfigZone, Slot};

/// Minimum length of a PIN, in characters.
pub const MIN_PIN_CHARS: usize = 8;
/// Maximum length of a PIN, in bytes.
pub const MAX_PIN_LEN: usize = 255;

/// The slots of a chip that enforces a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// A, the authorisation secret.
    pub authorisation: Slot,
    /// S, the security officer's secret.
    pub officer: Slot,
    /// Bit N: slot N works only after an authorisation with A.
    pub guarded: u16,
}

impl Scheme {
    /// Returns the scheme of a chip with this profile and configuration, if it has one.
    pub fn of(zone: &ConfigZone, profile: Option<&Profile>) -> Option<Self> {
        let profile = profile?;
        let with = |contents| Slot::all().find(|slot| profile.slot(*slot).contents == contents);
        let authorisation = with(Contents::AuthorisationSecret)?;
        let guarded = |slot: &Slot| {
            let key = zone.key_config(*slot);
            key.req_auth() && key.auth_key() == authorisation
        };
        let guarded = Slot::all().filter(guarded).fold(0, |slots, slot| slots | 1 << slot.number());
        Some(Self { authorisation, officer: with(Contents::OfficerSecret)?, guarded })
    }

    /// Whether the slot works only after an authorisation.
    pub fn guards(&self, slot: Slot) -> bool {
        self.guarded & 1 << slot.number() != 0
    }
}

/// Whether the slot requires an authorisation that is not available here: the host has the secret only for a chip with
/// a PIN.
pub fn is_barred(zone: &ConfigZone, profile: Option<&Profile>, slot: Slot) -> bool {
    let guarded = Scheme::of(zone, profile).is_some_and(|scheme| scheme.guards(slot));
    zone.key_config(slot).req_auth() && !guarded
}

/// The logged-in user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody.
    Nobody,
    /// CKU_USER.
    User,
    /// CKU_SO.
    Officer,
}

/// Checks a new PIN of the user.
///
/// # Errors
/// [`Error::PinLenRange`] if it is too short or too long; [`Error::PinInvalid`] if it is not UTF-8.
pub fn check_new_pin(pin: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(pin).map_err(|_| Error::PinInvalid("a PIN is text in UTF-8".into()))?;
    let chars = text.chars().count();
    if chars < MIN_PIN_CHARS || pin.len() > MAX_PIN_LEN {
        return Err(Error::PinLenRange(
            format!(
            "a PIN has at least {MIN_PIN_CHARS} characters and at most {MAX_PIN_LEN} bytes: the chip does not limit \
             attempts, so a short PIN could be guessed"
        )
            .into(),
        ));
    }
    Ok(())
}

/// Returns the CKF flags of a token with this scheme.
pub fn token_flags(scheme: Option<Scheme>, has_pin: bool) -> CK_FLAGS {
    match scheme {
        None => 0,
        Some(_) if has_pin => CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED,
        Some(_) => CKF_LOGIN_REQUIRED,
    }
}
