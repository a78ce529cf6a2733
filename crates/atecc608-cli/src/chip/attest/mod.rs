// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 attest`: makes the chip state that a key was generated in it, or is in it. [`verify`] is the other side.

pub mod attested;
pub mod enrolled;
mod meaning;
pub mod statement;
pub mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};

use atecc608_files::{Draft, Folder};
use base16ct::lower::encode_string as hex;
use base16ct::mixed;
use clap::Args;
use cryptoki_sys::CKU_USER;

use crate::error::{Error, Result};
use crate::files::less_umask;
use crate::input::secret::first_line;
use crate::input::values::parse_slot;
use crate::output::{note, warn, Output};
use crate::target::{Selection, Target};
use crate::x509::pem;
use atecc608 as chip;
use atecc608::attest::{Evidence, Kind, ATTESTER, CHALLENGE_LEN};
use atecc608_token::attest::{self, BornKey, KeyName};
use atecc608_token::{self as token, Token};
use atecc608_wire::Slot;
use enrolled::Enrolment;
use statement::Statement;

/// A verifier's challenge: 40 hex digits.
pub(super) type Challenge = [u8; CHALLENGE_LEN];

/// Arguments of `attest`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).multiple(true).args(["public", "generate", "key", "slot"]),
    after_help = "docs/attestation.md describes what a statement proves and what it does not."
)]
pub struct Arguments {
    /// Print the attestation key's public key, for the verifiers of statements; use it right after provisioning
    #[arg(long, conflicts_with_all = ["generate", "key", "slot", "challenge", "output", "label"])]
    public: bool,
    /// Generate a key and state that it was born in the chip ("born here")
    #[arg(long, conflicts_with = "key")]
    generate: bool,
    /// The new key's label
    #[arg(long, requires = "generate")]
    label: Option<String>,
    /// State that the private key of this label lives in the chip ("lives here")
    #[arg(long, value_name = "LABEL", conflicts_with = "slot")]
    key: Option<String>,
    /// The same by slot; with --generate, where the new key goes
    #[arg(long, value_name = "N", value_parser = parse_slot)]
    slot: Option<Slot>,
    /// The verifier's challenge, 40 hex digits: only with it does the statement prove that it is fresh
    #[arg(long, value_name = "HEX", value_parser = challenge)]
    challenge: Option<Challenge>,
    /// Write the statement to this file, which must not exist yet, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// On a chip with a PIN: the user's PIN is the first line of this file (- is standard input)
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// Makes the chip state something about a key.
///
/// # Errors
/// The [chip errors](crate::Error#chip-errors); [`Error::Refused`] if the file can't be written. If a key was generated
/// but its statement failed, the error says so.
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let target = selection.target()?;
    let place = target.place();
    let token = token_of(target);
    let failed = |cause| match cause {
        token::Error::UserNotLoggedIn => {
            Error::Refused(format!("{place}: this chip needs the user's PIN: pass its file with --pin-file"))
        }
        cause => Error::Token(format!("{place}: {cause}")),
    };
    if let Some(path) = &arguments.pin_file {
        token.login(CKU_USER, Some(&first_line(path)?)).map_err(failed)?;
    }
    if arguments.public {
        let (serial, point) = attest::attestation_key(&token).map_err(failed)?;
        return Output::new(pem::public_key(&point), &Enrolment::new(&serial, ATTESTER, &point));
    }
    let challenge = match arguments.challenge {
        Some(challenge) => challenge,
        None => {
            note("no --challenge: a random one is used, so the statement will not prove when it was made");
            let mut challenge = [0; CHALLENGE_LEN];
            getrandom::fill(&mut challenge).map_err(Error::HostRandom)?;
            challenge
        }
    };
    // Check the file before a key is generated.
    let file = arguments.output.as_deref().map(NewFile::create).transpose()?;
    let evidence = if arguments.generate {
        let born = attest::generate_attested_key(&token, arguments.label.clone(), arguments.slot, &challenge);
        evidence_of(&place, born.map_err(|cause| not_generated(failed, cause))?)?
    } else {
        let key = match (&arguments.key, arguments.slot) {
            (Some(label), _) => KeyName::Label(label.clone()),
            (None, Some(slot)) => KeyName::Slot(slot),
            (None, None) => {
                return Err(Error::Refused("no key is named: use --key LABEL, --slot N or --generate".to_owned()))
            }
        };
        attest::attest_key(&token, &key, &challenge).map_err(failed)?
    };
    print(&evidence, file)
}

/// The token behind a configured chip.
fn token_of(target: Target) -> Token {
    Token::new(&target.config, &target.token)
}

/// The error if no key was generated, or if that is not known yet.
fn not_generated(failed: impl Fn(token::Error) -> Error, cause: token::Error) -> Error {
    match cause {
        token::Error::Device(ref error) if matches!(**error, chip::Error::Uncertain { .. }) => Error::Token(format!(
            "{}. The chip may hold a new key: check with `atecc608 info` when it responds again. A born-here statement \
             is no longer possible for it: use it with a lives-here statement, or destroy it",
            failed(cause)
        )),
        cause => failed(cause),
    }
}

/// Returns the statement of a generation, if there is one; the message tells the result for the key in any case.
fn evidence_of(place: &str, born: BornKey) -> Result<Evidence> {
    if let Some(problem) = &born.not_noted {
        warn(&format!("the key is in slot {}, but its label is not stored yet: {problem}", born.slot));
    }
    born.evidence.map_err(|cause| {
        Error::Refused(format!(
            "{place}: there is a new key in slot {slot} (\"{label}\", public key 04{xy}), but no born-here statement: \
             {cause}. It can't be made afterwards: use the key with a lives-here statement (`atecc608 attest --slot \
             {slot}`), or destroy it and generate another",
            slot = born.slot,
            label = born.label,
            xy = hex(&born.point.xy()),
        ))
    })
}

fn print(evidence: &Evidence, file: Option<NewFile>) -> Result<Output> {
    let statement = Statement::new(evidence);
    let mut text = serde_json::to_string_pretty(&statement).map_err(|error| Error::Output(error.into()))?;
    text.push('\n');
    let Some(file) = file else {
        return Output::document(text, &statement);
    };
    let path = file.path.display().to_string();
    match file.write(&text) {
        Ok(()) => {
            let what = match evidence.kind {
                Kind::BornHere => "generated the key in",
                Kind::LivesHere => "holds the key in",
            };
            let serial = evidence.zone.serial_number();
            Output::document(
                format!("{path}: the statement of the chip {serial} that it {what} slot {}\n", evidence.slot),
                &statement,
            )
        }
        Err(problem) => {
            note(&format!("{path}: {problem}; the statement is on standard output instead"));
            Ok(Output::document(text, &statement)?.failed_if(true))
        }
    }
}

/// The file for a statement: its folder is written to before the chip is used, and nothing is left there on a failure.
/// An existing file is never overwritten: the statement of a generation can't be made twice.
struct NewFile {
    path: PathBuf,
    draft: Draft,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self> {
        let refused = |problem: &dyn std::fmt::Display| Error::Refused(format!("{}: {problem}", path.display()));
        if path.symlink_metadata().is_ok() {
            return Err(refused(&"the file exists, and a statement is never overwritten: choose another name"));
        }
        let draft = Folder::containing(path).and_then(|(folder, name)| folder.draft(name, less_umask(0o666)));
        Ok(Self { path: path.to_owned(), draft: draft.map_err(|error| refused(&error))? })
    }

    fn write(mut self, text: &str) -> std::io::Result<()> {
        self.draft.write_all(text.as_bytes())?;
        self.draft.create_new().map(drop)
    }
}

/// Parses a challenge.
///
/// # Errors
/// The expected form.
pub(super) fn challenge(text: &str) -> Result<Challenge, String> {
    let bytes = mixed::decode_vec(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("expected {} hex digits", 2 * CHALLENGE_LEN))
}
