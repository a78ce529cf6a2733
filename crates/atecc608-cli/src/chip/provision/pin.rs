//! What a profile with a PIN needs beside: the user's PIN, its blob in the state, and the recovery code, which is handed over
//! before the data lock and kept nowhere.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::input::secret::{self, first_line};
use atecc608_token::io_key::IoKey;
use atecc608_token::pin::blob::{Secret, StretchedPin};
use atecc608_token::pin::check_new_pin;
use atecc608_token::pin::code::RecoveryCode;
use atecc608_token::point::Point;
use atecc608_token::profile::{Contents, Profile};
use atecc608_token::store::Store;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

/// Arguments of profiles with a PIN.
#[derive(Debug, Args)]
pub struct PinArguments {
    /// tls-pin: the user's PIN is the first line of this file (- is standard input). Without one the security officer gives it
    /// later
    #[arg(long, value_name = "FILE", conflicts_with = "ask_pin")]
    pin_file: Option<PathBuf>,
    /// tls-pin: ask for the user's PIN
    #[arg(long)]
    ask_pin: bool,
    /// tls-pin: the recovery code goes to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    recovery_code_file: Option<PathBuf>,
}

impl PinArguments {
    /// Whether anything was said about a PIN.
    pub fn any(&self) -> bool {
        self.pin_file.is_some() || self.ask_pin || self.recovery_code_file.is_some()
    }

    /// The user's PIN, if there is to be one now; and that the recovery code has somewhere to go.
    ///
    /// # Errors
    /// [`Error::Refused`] if one can't be read or is no PIN; the recovery code's file is there already.
    pub fn prepare(&self, json: bool) -> Result<Option<Zeroizing<Vec<u8>>>> {
        match &self.recovery_code_file {
            Some(path) if path.symlink_metadata().is_ok() => {
                return Err(Error::Refused(format!(
                    "{} exists: the recovery code goes to a new file only. If an interrupted run left it, that code is void: \
                     remove the file",
                    path.display()
                )))
            }
            None if json => {
                return Err(Error::Refused(
                    "with --json the recovery code needs a file of its own: --recovery-code-file FILE".to_owned(),
                ))
            }
            _ => {}
        }
        let pin = match &self.pin_file {
            Some(path) => Some(first_line(path)?),
            None if self.ask_pin => Some(ask()?),
            None => None,
        };
        if let Some(pin) = &pin {
            check_new_pin(pin).map_err(|error| Error::Refused(format!("the user's PIN: {error}")))?;
        }
        Ok(pin)
    }

    /// Gives the recovery code away: durably to its file, or to standard output.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Output`].
    pub fn hand_over(&self, code: &RecoveryCode) -> Result<()> {
        let code = code.text();
        let Some(path) = &self.recovery_code_file else {
            let mut stdout = std::io::stdout().lock();
            let text = Zeroizing::new(format!(
                "Recovery code of the security officer:\n\n    {}\n\nWrite it down now: it is shown this once and kept \
                 nowhere. With it the officer gives the user a PIN; without it a lost PIN makes the keys useless for good. It \
                 counts once this command says that the chip is provisioned.\n\n",
                *code
            ));
            return stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output);
        };
        let line = Zeroizing::new(format!("{}\n", *code));
        atecc608_files::create_new(path, line.as_bytes(), 0o600)
            .map_err(|error| Error::Refused(format!("{}: the recovery code: {error}", path.display())))
    }
}

/// Asks twice at the terminal, which shows nothing meanwhile.
fn ask() -> Result<Zeroizing<Vec<u8>>> {
    let pin = secret::ask("PIN of the user", "--pin-file FILE")?;
    if secret::ask("the same again", "--pin-file FILE")? != pin {
        return Err(Error::Refused("the two PINs differ: nothing was done".to_owned()));
    }
    Ok(pin)
}

/// What the work of provisioning needs for a profile with a PIN.
pub struct PinSetup<'a> {
    /// The user's PIN, if there is to be one now.
    pub pin: Option<Zeroizing<Vec<u8>>>,
    /// Gives the recovery code away, before anything depends on it for good.
    pub hand_over: &'a mut dyn FnMut(&RecoveryCode) -> Result<()>,
}

impl PinSetup<'_> {
    /// Whether the profile needs one.
    pub fn is_for(profile: &Profile) -> bool {
        Slot::all().any(|slot| profile.slot(slot).contents == Contents::AuthorisationSecret)
    }

    /// Sees, before anything is locked, that the state can be written.
    ///
    /// # Errors
    /// [`Error::Refused`]
    pub fn prepare(&self, store: &mut Store) -> Result<()> {
        store.change(|_| {}).map_err(|error| Error::Refused(error.to_string()))
    }

    /// Keeps what the host keeps of the authorisation secret, fsynced, before the chip gets it; and the attestation key's public
    /// key, which the chip tells after a login only.
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

/// Secrets that the host knows while it provisions.
pub struct Secrets {
    /// The IO protection key.
    pub io_key: IoKey,
    /// Those of a PIN.
    pub pin: Option<PinSecrets>,
}

/// The secrets of a chip with a PIN.
pub struct PinSecrets {
    /// A.
    pub authorisation: Secret,
    /// What S is made from.
    pub code: RecoveryCode,
    /// S.
    pub officer: Secret,
}

impl PinSecrets {
    /// The secrets made of two random blocks.
    pub fn new(authorisation: Secret, random: &Secret, serial: &SerialNumber) -> Self {
        let code = RecoveryCode::new(random);
        Self { authorisation, officer: code.secret(serial), code }
    }
}
