// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contents of slots according to the configuration (`[[token.object]]`): another party's public key, or a
//! certificate in DER. Any program with write access to the slot may have written it: its form is checked, it is not
//! trusted (CKA_TRUSTED is false), and it is not shown if it is anything else.

use cryptoki_sys::{CKA_DESTROYABLE, CKA_MODIFIABLE};

use super::{stored_point, ChipCertificate};
use crate::bus::Bus;
use crate::certificate;
use crate::config::{ObjectConfig, ObjectKind};
use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::names;
use crate::point::Point;
use crate::snapshot::Known;
use crate::state::{StoredClass, StoredObject};
use crate::template::bool_value;
use crate::turn::Turn;
use atecc608::Awake;
use atecc608_wire::config_zone::KeyType;
use atecc608_wire::Slot;
use der::{Decode, Header, Reader, SliceReader};

/// Length of a public key in a slot (fact sheet section 5.9): four zeros before each of X and Y.
const STORED_KEY_LEN: usize = 72;
/// Bytes of one Read.
const BLOCK: usize = 32;
/// The top nibble of the first byte of a validated public key.
const VALIDATED: u8 = 0x50;

/// Adds the objects that the configuration describes.
pub(super) fn learn(turn: &mut Turn<'_>, found: &mut Vec<ChipCertificate>) -> Result<()> {
    let identity = turn.known().identity.clone();
    for entry in &identity.configured_objects {
        let (what, object) = match entry.kind {
            ObjectKind::Public => ("public key", read_public_key(turn, entry)?),
            ObjectKind::Certificate => ("certificate", read_certificate(turn, entry)?),
            ObjectKind::Private | ObjectKind::Secret => continue,
        };
        match object {
            Ok(object) => found.push(object),
            Err(problem) => log::warn!(
                "chip {}: the {what} in slot {} is not shown: {problem}",
                identity.zone.serial_number(),
                entry.slot
            ),
        }
    }
    Ok(())
}

/// Reads a public key; the inner error says why it is not shown.
fn read_public_key(turn: &mut Turn<'_>, entry: &ObjectConfig) -> Result<Result<ChipCertificate, String>> {
    let slot = entry.slot;
    let key = turn.known().zone().key_config(slot);
    if key.private() || key.key_type() != KeyType::P256 || slot.size() < STORED_KEY_LEN {
        return Ok(Err("the slot's configuration does not permit one (KeyConfig; use a slot from 8 to 15)".to_owned()));
    }
    let bytes = read(turn, slot, |awake| awake.read_slot(slot, STORED_KEY_LEN))?;
    let known = turn.known();
    Ok(bytes.and_then(|bytes| {
        let object = public_key(&known, entry, &bytes)?;
        Ok(ChipCertificate { key: None, point: None, object })
    }))
}

/// Reads a certificate; the inner error says why it is not shown.
fn read_certificate(turn: &mut Turn<'_>, entry: &ObjectConfig) -> Result<Result<ChipCertificate, String>> {
    let slot = entry.slot;
    let bytes = read(turn, slot, |awake| {
        let beginning = awake.read_slot(slot, BLOCK)?;
        match der_len(&beginning).filter(|len| *len <= slot.size()) {
            Some(len) => awake.read_slot(slot, len),
            None => Ok(Vec::new()),
        }
    })?;
    let known = turn.known();
    Ok(bytes.and_then(|value| {
        let fields = certificate::parse(&value)
            .map_err(|_| format!("expected an X.509 certificate in DER, {} bytes at most", slot.size()))?;
        let id = fields.point.map(|point| point.key_id().to_vec()).unwrap_or_default();
        let object = part_of_slot(&known, entry, StoredClass::Certificate, "certificate", id);
        Ok(ChipCertificate {
            key: None,
            // A configured id takes precedence.
            point: fields.point.filter(|_| entry.id.is_none()),
            object: StoredObject { value, ..object },
        })
    }))
}

/// Reads data from a slot; the inner error says why that is not possible.
fn read(
    turn: &mut Turn<'_>,
    slot: Slot,
    work: impl FnMut(&mut Awake<'_, Bus>) -> atecc608::Result<Vec<u8>>,
) -> Result<Result<Vec<u8>, String>> {
    let access = turn.known().zone().slot_config(slot);
    if turn.known().zone().key_config(slot).private() || access.is_secret() || access.encrypt_read() {
        return Ok(Err("the slot can't be read in clear".to_owned()));
    }
    match turn.converse(work) {
        Err(error @ Error::Device(_)) if error.is_about_one_slot() => Ok(Err(error.to_string())),
        read => read.map(Ok),
    }
}

/// Returns the length of the DER element that begins here, from its header.
fn der_len(beginning: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(beginning).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    (reader.position() + header.length).ok()?.try_into().ok()
}

fn public_key(known: &Known, entry: &ObjectConfig, bytes: &[u8]) -> Result<StoredObject, String> {
    let marked = known.zone().marks_validity(entry.slot);
    let point = point_in(bytes, marked)
        .ok_or_else(|| "expected four zeros before each of X and Y, and a point on P-256 (72 bytes)".to_owned())?;
    if marked && bytes.first().is_some_and(|first| first & 0xF0 != VALIDATED) {
        return Err(
            "it is not validated, and its configuration requires validation before each use (PubInfo)".to_owned()
        );
    }
    let object = StoredObject {
        value: point.public_key_info(),
        ..part_of_slot(known, entry, StoredClass::PublicKey, "public", point.key_id().to_vec())
    };
    if names::are_of_a_pair(known, &object.label, &object.id, point) {
        return Err(format!(
            "a key pair of the chip has its label \"{}\" or its id: give it another label and id",
            object.label
        ));
    }
    Ok(object)
}

/// Returns the point in a slot, if the slot contains nothing else except the chip's mark.
fn point_in(bytes: &[u8], marked: bool) -> Option<Point> {
    let first = *bytes.first()? & if marked { 0x0F } else { 0xFF };
    let padding = [bytes.get(1..4)?, bytes.get(36..40)?].concat();
    let is_padded = first == 0 && padding.iter().all(|byte| *byte == 0);
    is_padded.then(|| stored_point(bytes)).flatten()
}

/// An object in a slot with its configured names, or these defaults: it can't be changed or destroyed through PKCS#11.
fn part_of_slot(known: &Known, entry: &ObjectConfig, class: StoredClass, name: &str, id: Vec<u8>) -> StoredObject {
    let never = bool_value(false);
    StoredObject {
        unique_id: format!("{}-slot-{}-{name}", known.zone().serial_number(), entry.slot),
        class,
        label: entry.label.clone().unwrap_or_else(|| format!("slot-{}", entry.slot)),
        id: entry.id.clone().unwrap_or(id),
        application: String::new(),
        kept: Kept(vec![(CKA_MODIFIABLE, never.clone()), (CKA_DESTROYABLE, never)]),
        value: Vec::new(),
    }
}
