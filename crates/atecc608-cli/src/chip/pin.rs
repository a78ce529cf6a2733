// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 pin`: the user's PIN on a token that has one. The security officer sets it, with the recovery code; the user changes it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cryptoki_sys::{CKF_LOGIN_REQUIRED, CKF_USER_PIN_INITIALIZED, CKU_SO};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::chip_keys::ChipKeys;
use crate::error::{Error, Result};
use crate::input::secret;
use crate::output::{visible, Output};
use crate::target::Selection;
use atecc608_token as token;
use atecc608_token::pin::check_new_pin;

/// What is done with the PIN.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set the user's first PIN, as the security officer
    Init(ByOfficer),
    /// Change the user's PIN, as the user
    Change(ByUser),
    /// Set a new PIN if the old one is lost or known to others, as the security officer
    Reset(ByOfficer),
}

/// The security officer's authentication.
#[derive(Debug, Args)]
pub struct OfficerArguments {
    /// Read the recovery code from the first line of this file (- is standard input) instead of asking for it
    #[arg(long, value_name = "FILE")]
    pub recovery_code_file: Option<PathBuf>,
}

/// The new PIN.
#[derive(Debug, Args)]
pub struct NewPinArguments {
    /// Read the new PIN from the first line of this file (- is standard input) instead of asking for it
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
}

/// Arguments of `pin init` and `pin reset`.
#[derive(Debug, Args)]
pub struct ByOfficer {
    #[command(flatten)]
    officer: OfficerArguments,
    #[command(flatten)]
    new: NewPinArguments,
}

/// Arguments of `pin change`.
#[derive(Debug, Args)]
pub struct ByUser {
    /// Read the current PIN from the first line of this file (- is standard input) instead of asking for it
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewPinArguments,
}

#[derive(Serialize)]
struct Report<'a> {
    token: &'a str,
    pin: &'static str,
}

/// Sets or changes the PIN.
///
/// # Errors
/// [`Error::Refused`] if the token has no PIN, or is in the wrong state for the command, or the PIN or recovery code given is
/// wrong; [`Error::Token`] with the cause if chip or state folder fail.
pub fn run(selection: &Selection, command: &Command) -> Result<Output> {
    match command {
        Command::Init(arguments) => init(selection, arguments),
        Command::Change(arguments) => change(selection, arguments),
        Command::Reset(arguments) => by_officer(&with_pin(selection)?, arguments, "set anew"),
    }
}

/// A token with a PIN.
pub struct WithPin {
    /// Its keys, not logged in.
    pub keys: ChipKeys,
    /// Its label.
    pub label: String,
    /// Whether the user has a PIN.
    has_pin: bool,
}

/// The token that the command line selects.
///
/// # Errors
/// [`Error::Refused`] if it has no PIN; the [chip errors](crate::Error#chip-errors).
pub fn with_pin(selection: &Selection) -> Result<WithPin> {
    let keys = ChipKeys::open(selection)?;
    let info = keys.token().info().map_err(|error| keys.failed(error))?;
    if info.flags & CKF_LOGIN_REQUIRED == 0 {
        return Err(keys.refused(
            "this token has no PIN: its keys work without one. A blank chip gets a PIN with `atecc608 provision tls-pin`",
        ));
    }
    Ok(WithPin { keys, label: info.label, has_pin: info.flags & CKF_USER_PIN_INITIALIZED != 0 })
}

fn init(selection: &Selection, arguments: &ByOfficer) -> Result<Output> {
    let token = with_pin(selection)?;
    if token.has_pin {
        return Err(token.keys.refused(
            "the user has a PIN already: `atecc608 pin change` changes it, `atecc608 pin reset` replaces a lost one",
        ));
    }
    by_officer(&token, arguments, "set")
}

fn by_officer(token: &WithPin, arguments: &ByOfficer, what: &'static str) -> Result<Output> {
    secret::one_from_stdin(&[
        ("--recovery-code-file", arguments.officer.recovery_code_file.as_deref()),
        ("--new-pin-file", arguments.new.new_pin_file.as_deref()),
    ])?;
    token.log_in_as_officer(&arguments.officer)?;
    let pin = arguments.new.get()?;
    token.keys.token().init_pin(Some(&pin)).map_err(|error| token.keys.failed(error))?;
    report(token, what)
}

fn change(selection: &Selection, arguments: &ByUser) -> Result<Output> {
    secret::one_from_stdin(&[
        ("--pin-file", arguments.pin_file.as_deref()),
        ("--new-pin-file", arguments.new.new_pin_file.as_deref()),
    ])?;
    let token = with_pin(selection)?;
    if !token.has_pin {
        return Err(token
            .keys
            .refused("the user has no PIN yet: `atecc608 pin init` sets one, with the recovery code"));
    }
    let old = match &arguments.pin_file {
        Some(path) => secret::first_line(path)?,
        None => secret::ask(&format!("Current PIN of the user of {}", token.label), "--pin-file FILE")?,
    };
    let new = arguments.new.get()?;
    token.keys.token().set_pin(Some(&old), Some(&new)).map_err(|error| token.keys.failed(error))?;
    report(&token, "changed")
}

impl WithPin {
    /// Logs in as the security officer. Returns the given recovery code.
    ///
    /// # Errors
    /// [`Error::Refused`] if the recovery code is wrong, or there is no terminal to ask for it; [`Error::Token`] if the
    /// chip fails.
    pub fn log_in_as_officer(&self, officer: &OfficerArguments) -> Result<Zeroizing<Vec<u8>>> {
        let code = match &officer.recovery_code_file {
            Some(path) => secret::first_line(path)?,
            None => secret::ask(&format!("Recovery code of {}", self.label), "--recovery-code-file FILE")?,
        };
        match self.keys.token().login(CKU_SO, Some(&code)) {
            Ok(()) => Ok(code),
            Err(token::Error::PinIncorrect) => Err(self.keys.refused(
                "the recovery code is wrong: nothing was done. The valid one was printed by `atecc608 provision \
                 tls-pin`, or by the last `atecc608 recovery-code --set`",
            )),
            Err(error) => Err(self.keys.failed(error)),
        }
    }
}

impl NewPinArguments {
    /// Returns the new PIN, after checking that a token accepts it.
    fn get(&self) -> Result<Zeroizing<Vec<u8>>> {
        let pin = match &self.new_pin_file {
            Some(path) => secret::first_line(path)?,
            None => secret::ask_twice("New PIN of the user", "--new-pin-file FILE")?,
        };
        check_new_pin(&pin).map_err(|error| Error::Refused(format!("the new PIN: {error}")))?;
        Ok(pin)
    }
}

fn report(token: &WithPin, what: &'static str) -> Result<Output> {
    let text = format!(
        "The PIN of the user of \"{}\" is {what}. Programs that are logged in have to log in again.\n",
        visible(&token.label)
    );
    Output::new(text, &Report { token: &token.label, pin: what })
}
