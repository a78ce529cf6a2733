//! What the configuration says that slots hold (`[[token.object]]`): somebody's public key. What a slot holds is whoever's who may
//! write it: it is checked for its form, shown as hearsay (CKA_TRUSTED is false), and absent if it is anything else.

use cryptoki_sys::{CKA_DESTROYABLE, CKA_MODIFIABLE};

use super::{stored_point, ChipCertificate};
use crate::config::{ObjectConfig, ObjectKind};
use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::names;
use crate::point::Point;
use crate::snapshot::Known;
use crate::state::{StoredClass, StoredObject};
use crate::template::bool_value;
use crate::turn::Turn;
use atecc608_wire::config_zone::KeyType;
use atecc608_wire::{ConfigZone, Slot};

/// Bytes of a public key as slots hold it (fact sheet section 5.9): four zeros before each of X and Y.
const STORED_KEY_LEN: usize = 72;
/// The top nibble of the first byte of a public key that was validated.
const VALIDATED: u8 = 0x50;

/// Adds what the configuration says that slots hold.
pub(super) fn learn(turn: &mut Turn<'_>, found: &mut Vec<ChipCertificate>) -> Result<()> {
    let identity = turn.known().identity.clone();
    for entry in identity.configured(ObjectKind::Public) {
        match read(turn, entry)? {
            Ok(object) => found.push(ChipCertificate { key: None, object }),
            Err(problem) => log::warn!(
                "chip {}: the public key in slot {} is not shown: {problem}",
                identity.zone.serial_number(),
                entry.slot
            ),
        }
    }
    Ok(())
}

/// Reads one of them; the inner error is why it is not shown.
fn read(turn: &mut Turn<'_>, entry: &ObjectConfig) -> Result<Result<StoredObject, String>> {
    let slot = entry.slot;
    if let Some(problem) = unreadable(turn.known().zone(), slot) {
        return Ok(Err(problem));
    }
    let bytes = match turn.converse(|awake| awake.read_slot(slot, STORED_KEY_LEN)) {
        Err(error @ Error::Device(_)) if error.is_about_one_slot() => return Ok(Err(error.to_string())),
        read => read?,
    };
    let known = turn.known();
    Ok(public_key(&known, entry, &bytes))
}

fn public_key(known: &Known, entry: &ObjectConfig, bytes: &[u8]) -> Result<StoredObject, String> {
    let slot = entry.slot;
    let marked = known.zone().marks_validity(slot);
    let point = point_in(bytes, marked).ok_or_else(|| {
        "it is none: expected four zeros before each of X and Y, and a point on P-256 (72 bytes)".to_owned()
    })?;
    if marked && bytes.first().is_some_and(|first| first & 0xF0 != VALIDATED) {
        return Err("it is not validated, and its configuration wants that before each use (PubInfo)".to_owned());
    }
    let object = StoredObject {
        value: point.public_key_info(),
        ..part_of_slot(known, entry, StoredClass::PublicKey, "public", point.key_id().to_vec())
    };
    if names::are_of_a_pair(known, &object.label, &object.id, point) {
        return Err(format!("a key pair of the chip has its label \"{}\" or its id: give it others", object.label));
    }
    Ok(object)
}

/// Why a slot can't hold a public key that is to be seen.
fn unreadable(zone: &ConfigZone, slot: Slot) -> Option<String> {
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    if key.private() || key.key_type() != KeyType::P256 || slot.size() < STORED_KEY_LEN {
        Some("the slot's configuration is for none (KeyConfig; slots 8 to 15 have room for one)".to_owned())
    } else if access.is_secret() || access.encrypt_read() {
        Some("the slot's configuration does not let it be read in clear".to_owned())
    } else {
        None
    }
}

/// The point in a slot, if nothing but the chip's mark stands beside it.
fn point_in(bytes: &[u8], marked: bool) -> Option<Point> {
    let first = *bytes.first()? & if marked { 0x0F } else { 0xFF };
    let padding = [bytes.get(1..4)?, bytes.get(36..40)?].concat();
    let is_padded = first == 0 && padding.iter().all(|byte| *byte == 0);
    is_padded.then(|| stored_point(bytes)).flatten()
}

/// An object in a slot with its configured names, or these: nothing changes or destroys it through PKCS#11.
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
