// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 data read`.

use base16ct::lower::encode_string as hex;
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::access::{self, Way};
use super::{key, Place, SlotAccess};
use crate::error::{Error, Result};
use crate::files::OutputArguments;
use crate::output::{Output, Text};
use crate::target::Selection;

/// Arguments of `data read`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// How many bytes; up to the slot's end if omitted
    #[arg(long, value_name = "BYTES")]
    length: Option<usize>,
    /// Hex digits instead of the bytes themselves
    #[arg(long, conflicts_with = "json")]
    hex: bool,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Serialize)]
struct Contents {
    serial_number: String,
    slot: u8,
    offset: usize,
    length: usize,
    /// Hex digits; `None` if the data was written to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

pub(super) fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    arguments.output.check()?;
    let Place { slot, offset, .. } = arguments.place;
    let len = arguments.length.unwrap_or(slot.size().saturating_sub(offset));
    if len == 0 || offset.checked_add(len).is_none_or(|end| end > slot.size()) {
        return Err(Error::Refused(format!(
            "slot {slot} has {} bytes: --offset and --length must name one or more of them",
            slot.size()
        )));
    }
    let key = key(arguments.place.key_file.as_deref())?;
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let mut access = SlotAccess::new(&mut target, &arguments.place, key)?;
    let way = access::reading(&access.zone, slot).map_err(|problem| access.refused(&problem))?;
    access.check_key(way, "read")?;
    let bytes = access.read(way, offset, len)?;
    let serial_number = access.zone.serial_number().to_string();
    drop(guard);
    let digits = Zeroizing::new(hex(&bytes));
    let contents = match arguments.hex {
        true => Zeroizing::new(format!("{}\n", *digits).into_bytes()),
        false => bytes,
    };
    let written = match way {
        Way::Clear => arguments.output.write(&contents)?,
        Way::Encrypted(_) => arguments.output.write_secret(&contents)?,
    };
    let (text, data) = match written {
        true => (Vec::new(), None),
        false => (contents.to_vec(), Some(digits.to_string())),
    };
    Output::new(Text::Contents(text), &Contents { serial_number, slot: slot.number(), offset, length: len, data })
}
