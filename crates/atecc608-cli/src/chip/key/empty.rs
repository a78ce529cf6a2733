// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 key empty`: marks places for secret keys as empty. The chip can't distinguish the contents of a place from
//! a key, so the user must know, or take it from the factory's manifest.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::chip_keys::{ChipKeys, LoginArguments};
use crate::error::{Error, Result};
use crate::input::values::parse_slot;
use crate::manifest::{Chips, SecretPlace};
use crate::output::Output;
use crate::target::Selection;
use atecc608_wire::Slot;

/// Arguments of `key empty`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["slot", "manifest"])))]
pub struct Arguments {
    /// The unknown contents of this slot, 0 to 15, are not a key: the next key may overwrite them
    #[arg(long, value_name = "N", value_parser = parse_slot)]
    slot: Option<Slot>,
    /// Take the chip's empty places from the manifest that it was provisioned with
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    login: LoginArguments,
}

#[derive(Serialize)]
struct Emptied {
    serial_number: String,
    places: usize,
}

/// Marks the places in the state.
///
/// # Errors
/// [`Error::Refused`] if the slot is not for secret keys, or the manifest does not list the chip; the [chip
/// errors](crate::Error#chip-errors).
pub fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let keys = ChipKeys::open_logged_in(selection, &arguments.login)?;
    let serial_number = keys.zone()?.serial_number().to_string();
    let places = match (arguments.slot, &arguments.manifest) {
        (Some(slot), _) => keys.call_secret_slot_empty(slot)?,
        (None, Some(path)) => {
            let chips = Chips::read(path)?;
            let record = chips.of(&serial_number).ok_or_else(|| {
                let remedy = "give the manifest that it was provisioned with, or name a slot (--slot N)";
                Error::Refused(format!("{}: the chip {serial_number} is not in it: {remedy}", path.display()))
            })?;
            keys.take_empty_places(record.empty_secret_places.iter().filter_map(SecretPlace::parse).collect())?
        }
        (None, None) => 0,
    };
    let text = match places {
        0 => format!("The chip {serial_number} has no further place for a secret key there: nothing was changed.\n"),
        1 => format!("1 place of the chip {serial_number} counts as empty: the next secret key may go there.\n"),
        places => {
            format!("{places} places of the chip {serial_number} count as empty: the next secret keys may go there.\n")
        }
    };
    Output::new(text, &Emptied { serial_number, places })
}
