// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 recovery-code`: a new recovery code, which is the security officer's PIN.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::chip::pin::{self, OfficerArguments};
use crate::chip::provision::pin::{check_destination, hand_over};
use crate::error::{Error, Result};
use crate::output::{note, visible, Output};
use crate::target::Selection;
use atecc608_token::pin::code::RecoveryCode;

/// Arguments of `recovery-code`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Set the new code on the token, with the current one
    #[arg(long)]
    set: bool,
    #[command(flatten)]
    officer: OfficerArguments,
    /// Write the new code to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE", requires = "set")]
    new_recovery_code_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Code<'a> {
    recovery_code: &'a str,
}

#[derive(Serialize)]
struct Report<'a> {
    token: &'a str,
    recovery_code: &'static str,
}

/// Prints a new recovery code; with `--set` also sets it on the token.
///
/// # Errors
/// [`Error::HostRandom`] if the system has no random numbers; with `--set` [`Error::Refused`] if the token has no PIN,
/// the present code is wrong, or the file exists, and [`Error::Token`] if the chip fails: the message says which code
/// is valid.
pub fn run(selection: &Selection, arguments: &Arguments, json: bool) -> Result<Output> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random).map_err(Error::HostRandom)?;
    let code = RecoveryCode::new(&random);
    if arguments.set {
        return set(selection, arguments, &code, json);
    }
    if arguments.officer.recovery_code_file.is_some() {
        return Err(Error::Refused("--recovery-code-file works only with --set: nothing was done".to_owned()));
    }
    note("no token has this code yet: `atecc608 recovery-code --set` makes one and sets it");
    let code = code.text();
    Output::new(format!("{}\n", *code), &Code { recovery_code: &code })
}

fn set(selection: &Selection, arguments: &Arguments, code: &RecoveryCode, json: bool) -> Result<Output> {
    let file = arguments.new_recovery_code_file.as_deref();
    check_destination("--new-recovery-code-file", file, json)?;
    let token = pin::with_pin(selection)?;
    let old = token.log_in_as_officer(&arguments.officer)?;
    // First: a code that is set but not handed over would be useless.
    hand_over(code, file, "It is valid once this command reports that it is set; until then the old one is.")?;
    let text = code.text();
    if let Err(error) = token.keys.token().set_pin(Some(&old), Some(text.as_bytes())) {
        let cause = token.keys.failed(error);
        return Err(Error::Token(format!(
            "{cause}. Keep both codes: `atecc608 recovery-code --set` accepts the one that is valid"
        )));
    }
    let text =
        format!("The new recovery code of \"{}\" is set; the old one is no longer valid.\n", visible(&token.label));
    Output::new(text, &Report { token: &token.label, recovery_code: "set" })
}
