// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 data write`.
//!
//! Only differences are written, block by block, so that repeating an interrupted write finishes it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::access::{self, Way};
use super::plan::{Piece, Plan};
use super::{key, owners, Place, SlotAccess};
use crate::error::{Error, Result};
use crate::input::{self, secret};
use crate::output::Output;
use crate::target::Selection;
use atecc608::secrets::SharedSecret;
use atecc608_wire::commands::Write;
use atecc608_wire::config_zone::WritePolicy;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{Slot, Status};

/// Arguments of `data write`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file whose bytes are written (- is standard input)
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Overwrite a key or certificate that a rule of the chip refers to
    #[arg(long)]
    replace: bool,
}

#[derive(Serialize)]
struct Report {
    serial_number: String,
    slot: u8,
    offset: usize,
    length: usize,
    result: Outcome,
    /// Whether the slot was read afterwards and holds the bytes.
    verified: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Written,
    Unchanged,
}

pub(super) fn run(selection: &Selection, arguments: &Arguments) -> Result<Output> {
    let Place { slot, offset, ref key_file } = arguments.place;
    secret::one_from_stdin(&[("--key-file", key_file.as_deref()), ("the file", Some(&arguments.file))])?;
    let data = contents(&arguments.file, slot, offset)?;
    let key = key(key_file.as_deref())?;
    let mut target = selection.target()?;
    let guard = target.lock()?;
    let mut access = SlotAccess::new(&mut target, &arguments.place, key)?;
    let way = access::writing(&access.zone, slot).map_err(|problem| access.refused(&problem))?;
    owners::check(&mut access, arguments.replace)?;
    access.check_key(way, "written")?;
    let reading = readable(&access, way);
    let plan = match reading {
        Some(reading) => {
            let now = access.read(reading, 0, slot.size())?;
            let data = marked(&access, &now, offset, &data);
            Plan::over(&now, offset, &data, access::has_words(&access.zone, slot))
        }
        None => Plan::blind(slot.size(), offset, &data)
            .map_err(|problem| access.refused(&format!("slot {slot}: {problem}")))?,
    };
    for piece in &plan.pieces {
        send(&mut access, way, piece)?;
    }
    if let Some(reading) = reading.filter(|_| !plan.pieces.is_empty()) {
        let now = access.read(reading, 0, slot.size())?;
        let differs = now.iter().zip(plan.wanted.iter()).skip(offset).take(data.len());
        let mark = access.zone.marks_validity(slot);
        let wrong = differs.enumerate().find(|(at, (now, wanted))| {
            let mask = if mark && offset + at == 0 { 0x0F } else { 0xFF };
            (*now ^ *wanted) & mask != 0
        });
        if let Some((at, _)) = wrong {
            return Err(access.refused(&format!(
                "byte {} of slot {slot} reads back differently: bus or chip is faulty (`atecc608 doctor`)",
                offset + at
            )));
        }
    }
    let report = Report {
        serial_number: access.zone.serial_number().to_string(),
        slot: slot.number(),
        offset,
        length: data.len(),
        result: if plan.pieces.is_empty() { Outcome::Unchanged } else { Outcome::Written },
        verified: reading.is_some(),
    };
    drop(guard);
    Output::new(text(&report), &report)
}

/// Returns the bytes to write, which fit into the slot.
fn contents(file: &Path, slot: Slot, offset: usize) -> Result<Zeroizing<Vec<u8>>> {
    let refused = |problem: String| Error::Refused(format!("{}: {problem}", file.display()));
    let room = slot.size().saturating_sub(offset);
    let no_room = || refused(format!("it does not fit: slot {slot} has {} bytes, --offset leaves {room}", slot.size()));
    let data = input::read(file, slot.size()).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => no_room(),
        _ => refused(error.to_string()),
    })?;
    match data.len() {
        0 => Err(refused("it is empty: there is nothing to write".to_owned())),
        len if len > room => Err(no_room()),
        _ => Ok(data),
    }
}

/// Returns how the slot can be read with the given key, if it can.
fn readable(access: &SlotAccess<'_>, writing: Way) -> Option<Way> {
    match access::reading(&access.zone, access.slot).ok()? {
        Way::Clear => Some(Way::Clear),
        reading => (reading == writing).then_some(reading),
    }
}

/// Returns the bytes with the chip's own mark in the first one, if it keeps one there: otherwise they would always
/// differ.
fn marked(access: &SlotAccess<'_>, now: &[u8], offset: usize, data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut data = Zeroizing::new(data.to_vec());
    if access.zone.marks_validity(access.slot) && offset == 0 {
        data[0] = data[0] & 0x0F | now[0] & 0xF0;
    }
    data
}

fn send(access: &mut SlotAccess<'_>, way: Way, piece: &Piece) -> Result<()> {
    let (slot, serial) = (access.slot, access.zone.serial_number());
    let address = Address::slot(slot, piece.block, piece.word.unwrap_or(0));
    let sent = if let Ok(word) = <[u8; 4]>::try_from(piece.bytes.as_slice()) {
        access.target.chip.converse(|awake| {
            awake.confirm()?;
            awake.execute(&Write::word(Zone::Data, address, word))
        })
    } else {
        let mut block = Zeroizing::new([0; 32]);
        block.copy_from_slice(&piece.bytes);
        let key = match (way, &access.key) {
            (Way::Encrypted(by), Some(value)) => Some(SharedSecret { slot: by, value }),
            _ => None,
        };
        access.target.chip.write_secret(&serial, key.as_ref(), address, &block)
    };
    sent.map_err(|cause| {
        let (key, policy) =
            (access.zone.key_config(slot), access.zone.slot_config(slot).write_config().write_policy());
        if !cause.has_status(Status::EXECUTION_ERROR) {
            return Error::Chip { place: access.target.place(), cause };
        }
        access.refused(&match policy {
            WritePolicy::PubInvalid => format!(
                "{cause}: the public key in slot {slot} is validated, and can't be written until it is invalidated (Verify), which this \
                 tool has no command for; `atecc608 info` lists the rules of each slot"
            ),
            _ if key.persistent_disable() => {
                format!("{cause}: slot {slot} works only while the persistent latch is set (`atecc608 latch show`)")
            }
            _ => format!("{cause}: the rules of slot {slot} forbid it (`atecc608 info` lists them)"),
        })
    })
}

fn text(report: &Report) -> String {
    let Report { serial_number, slot, offset, length, result, verified } = report;
    let place = format!("{length} bytes from byte {offset} of slot {slot} (chip {serial_number})");
    match (result, verified) {
        (Outcome::Unchanged, _) => format!("Unchanged: {place} already hold these values.\n"),
        (Outcome::Written, true) => format!("Written: {place}, and read back.\n"),
        (Outcome::Written, false) => format!("Written: {place}. The slot can't be read back.\n"),
    }
}
