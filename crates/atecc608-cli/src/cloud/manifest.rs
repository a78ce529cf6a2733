//! `atecc608 manifest`: reads what `provision --batch` has written down, and makes of it what a cloud's bulk registration wants. No chip
//! is needed for that.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{aws, azure};
use crate::error::{Error, Result};
use crate::manifest::Chips;
use crate::output::{visible, Output};

/// What is to be made of a manifest.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The chips in it
    List(ListArguments),
    /// The file for AWS IoT's bulk registration (start-thing-registration-task), one JSON line per thing
    Aws(aws::bulk::Arguments),
    /// Individual enrolments for Azure's Device Provisioning Service, as CSV or as bodies of its bulk operation
    Azure(azure::enrolments::Arguments),
}

/// Arguments of `manifest list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// The manifest
    file: PathBuf,
}

/// Does it.
///
/// # Errors
/// Those of the file; [`Error::Refused`] if a chip lacks what is wanted.
pub fn run(command: &Command) -> Result<Output> {
    match command {
        Command::List(arguments) => list(&existing(&arguments.file)?),
        Command::Aws(arguments) => aws::bulk::run(arguments),
        Command::Azure(arguments) => azure::enrolments::run(arguments),
    }
}

/// The chips of a file that has to be there.
///
/// # Errors
/// [`Error::Refused`] if it is not; as [`Chips::read`].
pub fn existing(path: &Path) -> Result<Chips> {
    if !path.exists() {
        return Err(Error::Refused(format!(
            "{}: there is no such file; `atecc608 provision --batch` writes one",
            path.display()
        )));
    }
    Chips::read(path)
}

fn list(chips: &Chips) -> Result<Output> {
    let mut text = String::new();
    for chip in &chips.records {
        let certificate = if chip.certificate.is_some() { "certificate" } else { "no certificate" };
        text += &format!(
            "{}  {}  {}  {}  {certificate}{}\n",
            visible(&chip.serial_number),
            visible(&chip.model),
            visible(&chip.profile),
            visible(&chip.time),
            if chip.adopted { ", provisioned by somebody else" } else { "" }
        );
    }
    text += &format!("{} chips\n", chips.records.len());
    Output::new(text, &serde_json::json!({ "chips": chips.records }))
}

/// The chips that lack something that an export needs, said in one message.
pub fn lacking(what: &str, remedy: &str, serial_numbers: &[&str]) -> Error {
    Error::Refused(format!(
        "{} chips have no {what} in the manifest ({}): {remedy}",
        serial_numbers.len(),
        serial_numbers.join(", ")
    ))
}
