// SPDX-License-Identifier: MIT OR Apache-2.0
//! Additions for a profile with a PIN: the user's PIN, its blob in the state, and the recovery code, which is handed
//! over before the data lock and not stored.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use cryptoki_sys::{CKU_SO, CKU_USER};
use zeroize::Zeroizing;

use crate::chip_keys::ChipKeys;
use crate::error::{Error, Result};
use crate::input::secret::{self, first_line};
use atecc608_token as token;
use atecc608_token::io_key::IoKey;
use atecc608_token::pin::blob::{Secret, StretchedPin};
use atecc608_token::pin::check_new_pin;
use atecc608_token::pin::code::RecoveryCode;
use atecc608_token::point::Point;
use atecc608_token::profile::{Contents, Profile};
use atecc608_token::store::Store;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

/// Why options about PINs are refused.
const NO_EFFECT: &str = "this chip is provisioned already, and has another PIN or recovery code than the one given, which has no effect: \
     nothing was changed. `atecc608 pin init` sets the user's first PIN, `atecc608 pin change` changes it, `atecc608 recovery-code --set` \
     replaces the recovery code";

/// Arguments of profiles with a PIN.
#[derive(Debug, Args)]
pub struct PinArguments {
    /// tls-pin: read the user's PIN from the first line of this file (- is standard input). Without one the security officer
    /// sets it later
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ask_pin", "batch"])]
    pin_file: Option<PathBuf>,
    /// tls-pin: ask for the user's PIN
    #[arg(long, conflicts_with = "batch")]
    ask_pin: bool,
    /// tls-pin: write the recovery code to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "batch")]
    recovery_code_file: Option<PathBuf>,
}

impl PinArguments {
    /// Whether an option about PINs was given.
    pub fn any(&self) -> bool {
        self.pin_file.is_some() || self.ask_pin || self.recovery_code_file.is_some()
    }

    /// Checks that a provisioned chip has the given PIN and recovery code: the command may be a repetition.
    ///
    /// # Errors
    /// [`Error::Refused`] if PIN or recovery code differ, because they are not changed here; [`Error::Token`] if the
    /// chip fails.
    pub fn confirm(&self, keys: &ChipKeys) -> Result<()> {
        let pin = match &self.pin_file {
            Some(path) => Some(first_line(path)?),
            None if self.ask_pin => Some(secret::ask("PIN of the user", "--pin-file FILE")?),
            None => None,
        };
        let code = match &self.recovery_code_file {
            Some(path) if path.exists() => Some(first_line(path)?),
            Some(_) => return Err(keys.refused(NO_EFFECT)),
            None => None,
        };
        for (user, secret) in [(CKU_USER, pin), (CKU_SO, code)] {
            let Some(secret) = secret else { continue };
            match keys.token().login(user, Some(&secret)) {
                Ok(()) => keys.token().logout().map_err(|error| keys.failed(error))?,
                Err(token::Error::PinIncorrect | token::Error::UserPinNotInitialized(_)) => {
                    return Err(keys.refused(NO_EFFECT))
                }
                Err(error) => return Err(keys.failed(error)),
            }
        }
        Ok(())
    }

    /// Returns the user's PIN, if one is set now; also checks the destination of the recovery code.
    ///
    /// # Errors
    /// [`Error::Refused`] if the PIN can't be read or is invalid, or the recovery code's file exists.
    pub fn prepare(&self, json: bool) -> Result<Option<Zeroizing<Vec<u8>>>> {
        check_destination("--recovery-code-file", self.recovery_code_file.as_deref(), json)?;
        let pin = match &self.pin_file {
            Some(path) => Some(first_line(path)?),
            None if self.ask_pin => Some(secret::ask_twice("PIN of the user", "--pin-file FILE")?),
            None => None,
        };
        if let Some(pin) = &pin {
            check_new_pin(pin).map_err(|error| Error::Refused(format!("the user's PIN: {error}")))?;
        }
        Ok(pin)
    }

    /// Writes the recovery code durably to its file, or to standard output.
    ///
    /// # Errors
    /// [`Error::Refused`] if the file can't be written; [`Error::Output`] if standard output can't.
    pub fn hand_over(&self, code: &RecoveryCode) -> Result<()> {
        let valid = "It is valid once this command reports that the chip is provisioned.";
        hand_over(code, self.recovery_code_file.as_deref(), valid)
    }
}

/// Checks the destination of a new recovery code: a new file, or standard output if that is text.
///
/// # Errors
/// [`Error::Refused`] if the file, which `option` names, exists, or is missing where standard output is JSON.
pub fn check_destination(option: &str, file: Option<&Path>, json: bool) -> Result<()> {
    match file {
        Some(path) if path.symlink_metadata().is_ok() => Err(Error::Refused(format!(
            "{} exists: the recovery code is written to a new file only. If an interrupted run left the file, its code \
             is not valid: remove it",
            path.display()
        ))),
        None if json => {
            Err(Error::Refused(format!("with --json the recovery code needs a file of its own: {option} FILE")))
        }
        _ => Ok(()),
    }
}

/// Writes a recovery code durably to a new file, or to standard output with the text `valid`, which says from when on
/// it is valid.
///
/// # Errors
/// [`Error::Refused`] if the file can't be written; [`Error::Output`] if standard output can't.
pub fn hand_over(code: &RecoveryCode, file: Option<&Path>, valid: &str) -> Result<()> {
    let code = code.text();
    let Some(path) = file else {
        let mut stdout = std::io::stdout().lock();
        let text = Zeroizing::new(format!(
            "Recovery code of the security officer:\n\n    {}\n\nWrite it down now: it is shown this once and kept \
             nowhere. With it the officer gives the user a PIN; without it a lost PIN makes the keys permanently \
             useless. {valid}\n\n",
            *code
        ));
        return stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output);
    };
    let line = Zeroizing::new(format!("{}\n", *code));
    atecc608_files::create_new(path, line.as_bytes(), 0o600)
        .map_err(|error| Error::Refused(format!("{}: the recovery code: {error}", path.display())))
}

/// Additional inputs of provisioning for a profile with a PIN.
pub struct PinSetup<'a> {
    /// The user's PIN, if one is set now.
    pub pin: Option<Zeroizing<Vec<u8>>>,
    /// Hands over the recovery code, before a lock depends on it.
    pub hand_over: &'a mut dyn FnMut(&RecoveryCode) -> Result<()>,
}

impl PinSetup<'_> {
    /// Whether the profile has a PIN.
    pub fn is_for(profile: &Profile) -> bool {
        Slot::all().any(|slot| profile.slot(slot).contents == Contents::AuthorisationSecret)
    }

    /// Checks, before a lock, that the state can be written.
    ///
    /// # Errors
    /// [`Error::Refused`] if it can't.
    pub fn prepare(&self, store: &mut Store) -> Result<()> {
        store.change(|_| {}).map_err(|error| Error::Refused(error.to_string()))
    }

    /// Stores the host's part of the authorisation secret, fsynced, before the chip gets it; also the attestation key's
    /// public key, which the chip returns only after a login.
    ///
    /// # Errors
    /// [`Error::Refused`] if the state can't be written.
    pub fn keep(&self, store: &mut Store, authorisation: &Secret, attestation: Option<&(Slot, Point)>) -> Result<()> {
        let refused = |error: atecc608_token::Error| Error::Refused(error.to_string());
        let pins = match &self.pin {
            Some(pin) => vec![StretchedPin::new(pin).map_err(refused)?.seal(authorisation)],
            None => Vec::new(),
        };
        let kept = store.change(|state| {
            state.pins = pins;
            if let Some((slot, point)) = attestation {
                state.slot_mut(*slot).public_key = Some(point.uncompressed().to_vec());
            }
        });
        kept.map_err(refused)
    }
}

/// The secrets that the host knows during provisioning.
pub struct Secrets {
    /// The IO protection key.
    pub io_key: IoKey,
    /// The secrets of a PIN.
    pub pin: Option<PinSecrets>,
}

/// The secrets of a chip with a PIN.
pub struct PinSecrets {
    /// A.
    pub authorisation: Secret,
    /// The source of S.
    pub code: RecoveryCode,
    /// S.
    pub officer: Secret,
}

impl PinSecrets {
    /// Makes the secrets from two random blocks.
    pub fn new(authorisation: Secret, random: &Secret, serial: &SerialNumber) -> Self {
        let code = RecoveryCode::new(random);
        Self { authorisation, officer: code.secret(serial), code }
    }
}
