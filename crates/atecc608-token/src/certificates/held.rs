// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's certificate in slot 8 (`certificates = "chip"`).
//!
//! The slot's 416 bytes, all numbers little-endian:
//!
//! | bytes | contents |
//! | --- | --- |
//! | 0..4 | "CRT1" |
//! | 4, 5 | bytes of CKA_LABEL, of CKA_ID; an id of FF is the SHA-1 of the certificate's public key and is not stored |
//! | 6..8 | bytes of the certificate |
//! | 8..16 | the first bytes of the SHA-256 of all that follows |
//! | 16.. | label, id, certificate in DER; zeros |
//!
//! It is written from the second block of 32 bytes on, and the first block last; to destroy it, the first block is
//! overwritten with zeros. So after a loss of power at any moment there is a whole certificate, or none.

use cryptoki_sys::CKA_MODIFIABLE;
use sha2::{Digest, Sha256};

use super::ChipCertificate;
use crate::certificate;
use crate::config::ObjectKind;
use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::snapshot::Known;
use crate::state::{StoredClass, StoredObject};
use crate::template::bool_value;
use crate::turn::Turn;
use atecc608_wire::commands::{Read, Write};
use atecc608_wire::config_zone::WritePolicy;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot};

const SLOT: Slot = Slot::from_nibble(8);
const SIZE: usize = SLOT.size();
const MAGIC: &[u8; 4] = b"CRT1";
const HEADER: usize = 16;
/// The length of an id that is derived from the certificate.
const OWN_ID: u8 = 0xFF;

/// The contents of the slot.
enum Contents {
    Nothing,
    Certificate(StoredObject),
    /// Data of other software.
    Other,
}

/// Returns the certificate in slot 8, if there is one.
pub(super) fn read(turn: &mut Turn<'_>) -> Result<Option<ChipCertificate>> {
    let serial = turn.known().zone().serial_number();
    if let Some(problem) = unusable(turn.known().zone()) {
        log::warn!("chip {serial}: certificates = \"chip\": {problem}; they are kept in the state folder");
        return Ok(None);
    }
    match contents(turn)? {
        Contents::Certificate(object) => Ok(Some(ChipCertificate { key: None, point: None, object })),
        Contents::Nothing => Ok(None),
        Contents::Other if turn.known().identity.configured(ObjectKind::Certificate).next().is_some() => {
            log::info!("chip {serial}: slot 8 holds the configured certificate: others are kept in the state folder");
            Ok(None)
        }
        Contents::Other => {
            log::warn!("chip {serial}: slot 8 holds something else: certificates are kept in the state folder");
            Ok(None)
        }
    }
}

/// Returns why the slot can't be used for a certificate.
fn unusable(zone: &ConfigZone) -> Option<&'static str> {
    let access = zone.slot_config(SLOT);
    if zone.key_config(SLOT).private() || access.is_secret() || access.encrypt_read() {
        Some("slot 8 is not a slot for data in clear")
    } else if access.write_config().write_policy() != WritePolicy::Always || zone.slot_locked(SLOT) {
        Some("slot 8 can't be written any more")
    } else {
        None
    }
}

fn contents(turn: &mut Turn<'_>) -> Result<Contents> {
    let read = |block| Read { zone: Zone::Data, address: Address::slot(SLOT, block, 0), block: true };
    let slot = turn.converse(|awake| {
        let mut slot = awake.execute(&read(0))?;
        // Only the used part.
        let blocks = total(&slot).unwrap_or(0).div_ceil(32) as u8;
        for block in 1..blocks {
            slot.extend(awake.execute(&read(block))?);
        }
        Ok(slot)
    })?;
    Ok(match decode(&slot) {
        Some(mut object) => {
            object.unique_id = held_id(&turn.known());
            Contents::Certificate(object)
        }
        None if slot.starts_with(MAGIC) || [0x00, 0xFF].iter().any(|byte| slot.iter().all(|it| it == byte)) => {
            Contents::Nothing
        }
        None => Contents::Other,
    })
}

/// Writes a certificate to the chip if the configuration says so, it fits, and there is none yet; then returns its
/// CKA_UNIQUE_ID.
///
/// # Errors
/// The [turn errors](Error#turn-errors).
pub(crate) fn hold(turn: &mut Turn<'_>, object: &StoredObject) -> Result<Option<String>> {
    let known = turn.known();
    if !known.identity.certificates_in_chip || object.class != StoredClass::Certificate {
        return Ok(None);
    }
    // Logs why the slot can't be used, if so.
    super::learn(turn)?;
    if unusable(known.zone()).is_some() {
        return Ok(None);
    }
    let serial = known.zone().serial_number();
    let Some(slot) = encode(object) else {
        log::info!("chip {serial}: a certificate does not fit into slot 8: it is kept in the state folder");
        return Ok(None);
    };
    match contents(turn)? {
        Contents::Nothing => {}
        _ => {
            log::info!("chip {serial}: slot 8 is in use: a certificate is kept in the state folder");
            return Ok(None);
        }
    }
    turn.converse(|awake| {
        awake.confirm()?;
        awake.execute(&block(0, [0; 32]))?;
        for number in (1..SLOT.blocks()).chain([0]) {
            let mut data = [0; 32];
            data.copy_from_slice(&slot[32 * usize::from(number)..][..32]);
            awake.execute(&block(number, data))?;
        }
        Ok(())
    })?;
    slot_changed(turn)?;
    let known = turn.known();
    let held = known.certificates.found.iter().find(|found| found.object.value == object.value);
    let held = held.map(|held| held.object.unique_id.clone());
    held.map(Some).ok_or_else(|| Error::DeviceError("slot 8 does not hold what was written to it".into()))
}

/// Destroys the certificate in slot 8 if it has this CKA_UNIQUE_ID; returns whether it did.
///
/// # Errors
/// The [turn errors](Error#turn-errors).
pub(crate) fn release(turn: &mut Turn<'_>, unique_id: &str) -> Result<bool> {
    if unique_id != held_id(&turn.known()) {
        return Ok(false);
    }
    turn.converse(|awake| {
        awake.confirm()?;
        awake.execute(&block(0, [0; 32]))
    })?;
    slot_changed(turn)?;
    Ok(true)
}

/// Destroys the certificate in slot 8, if there is one.
///
/// # Errors
/// The [turn errors](Error#turn-errors).
pub(crate) fn release_any(turn: &mut Turn<'_>) -> Result<()> {
    let known = turn.known();
    if known.identity.certificates_in_chip && read(turn)?.is_some() {
        release(turn, &held_id(&known))?;
    }
    Ok(())
}

/// Whether slot 8 with these 416 bytes holds a certificate written by this software.
pub fn is_in(slot: &[u8]) -> bool {
    decode(slot).is_some()
}

fn held_id(known: &Known) -> String {
    format!("{}-slot-{SLOT}-certificate", known.zone().serial_number())
}

/// Rereads the slot, and makes other processes do so.
fn slot_changed(turn: &mut Turn<'_>) -> Result<()> {
    turn.learn(|known| known.certificates.may_have_changed(&known.identity))?;
    super::learn(turn)?;
    let changed = turn.known().state().slot_8_changes + 1;
    if let Err(error) = turn.change_state(|state| state.slot_8_changes = changed) {
        log::debug!("cannot record the change of slot 8 for other processes: {error}");
    }
    Ok(())
}

fn block(number: u8, data: [u8; 32]) -> Write {
    Write::block(Zone::Data, Address::slot(SLOT, number, 0), data)
}

/// Returns the number of used bytes, from the header.
fn total(slot: &[u8]) -> Option<usize> {
    let header = slot.strip_prefix(MAGIC)?.get(..4)?;
    let id = if header[1] == OWN_ID { 0 } else { header[1].into() };
    let total = HEADER + usize::from(header[0]) + id + usize::from(u16::from_le_bytes([header[2], header[3]]));
    (total <= SIZE).then_some(total)
}

fn digest(body: &[u8]) -> [u8; 8] {
    let mut digest = [0; 8];
    digest.copy_from_slice(&Sha256::digest(body)[..8]);
    digest
}

/// Returns the slot's bytes; `None` if the certificate does not fit, or has attributes that can't be stored there.
fn encode(object: &StoredObject) -> Option<[u8; SIZE]> {
    let own_id = own_id(&object.value).is_some_and(|id| id[..] == object.id);
    let id: &[u8] = if own_id { &[] } else { &object.id };
    let body = [object.label.as_bytes(), id, &object.value].concat();
    if HEADER + body.len() > SIZE || !object.kept.0.is_empty() {
        return None;
    }
    let mut slot = [0; SIZE];
    slot[..4].copy_from_slice(MAGIC);
    // All shorter than the slot; an id with the length OWN_ID would leave no space for a certificate.
    slot[4] = object.label.len() as u8;
    slot[5] = if own_id { OWN_ID } else { id.len() as u8 };
    slot[6..8].copy_from_slice(&(object.value.len() as u16).to_le_bytes());
    slot[8..HEADER].copy_from_slice(&digest(&body));
    slot[HEADER..HEADER + body.len()].copy_from_slice(&body);
    Some(slot)
}

/// Returns the certificate in a slot; `None` if there is none, or it is damaged.
fn decode(slot: &[u8]) -> Option<StoredObject> {
    let body = slot.get(HEADER..total(slot)?)?;
    let (label, rest) = body.split_at_checked(slot[4].into())?;
    let (id, value) = if slot[5] == OWN_ID {
        (None, rest)
    } else {
        rest.split_at_checked(slot[5].into()).map(|(id, rest)| (Some(id), rest))?
    };
    if slot[8..HEADER] != digest(body) {
        return None;
    }
    Some(StoredObject {
        unique_id: String::new(),
        class: StoredClass::Certificate,
        label: String::from_utf8(label.to_vec()).ok()?,
        id: id.map(<[u8]>::to_vec).or_else(|| own_id(value).map(Vec::from))?,
        application: String::new(),
        // A change of its names would have to rewrite the slot.
        kept: Kept(vec![(CKA_MODIFIABLE, bool_value(false))]),
        value: value.to_vec(),
    })
}

/// Returns the default id of the key that a certificate certifies.
fn own_id(value: &[u8]) -> Option<[u8; 20]> {
    certificate::parse(value).ok()?.point.map(|point| point.key_id())
}
