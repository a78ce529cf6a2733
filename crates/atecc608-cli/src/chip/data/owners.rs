// SPDX-License-Identifier: MIT OR Apache-2.0
//! The owners of slots' contents: data of this software or of a rule of the chip is not overwritten like other data.

use super::access::Way;
use super::SlotAccess;
use crate::error::Result;
use crate::output::visible;
use atecc608_contents::certificate::Definition;
use atecc608_token::layout::{uses, Use};
use atecc608_token::pin::Scheme;
use atecc608_token::store::Store;
use atecc608_token::{is_certificate_in_slot_8, profile};
use atecc608_wire::commands::Read;
use atecc608_wire::config_zone::{KeyType, SecureBootStorage};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{ConfigZone, Slot};

/// Refuses to overwrite data that another command manages, and, without `replace`, data that a rule of the chip uses.
///
/// # Errors
/// [`crate::Error::Refused`] with the owner and the remedy; the [chip errors](crate::Error#chip-errors).
pub(super) fn check(access: &mut SlotAccess<'_>, replace: bool) -> Result<()> {
    if let Some(problem) = kept_by_this_software(access)? {
        return Err(access.refused(&problem));
    }
    if replace {
        return Ok(());
    }
    let what = match of_the_chips_rules(&access.zone, access.slot) {
        Some(what) => Some(what),
        None => of_the_makers_certificates(access)?,
    };
    match what {
        Some(what) => Err(access.refused(&format!(
            "slot {} holds {what}; nothing was written. --replace overwrites it permanently",
            access.slot
        ))),
        None => Ok(()),
    }
}

fn kept_by_this_software(access: &mut SlotAccess<'_>) -> Result<Option<String>> {
    let (zone, slot) = (access.zone.clone(), access.slot);
    let scheme = Scheme::of(&zone, profile::matching(&zone));
    if uses(&zone, slot).contains(&Use::IoKey) {
        return Ok(Some(format!(
            "slot {slot} holds the IO protection key, which host and chip share: `atecc608 pair` writes it"
        )));
    }
    if scheme.is_some_and(|scheme| [scheme.authorisation, scheme.officer].contains(&slot)) {
        return Ok(Some(format!(
            "slot {slot} holds a secret of the PIN: `pkcs11-tool --login --change-pin` writes it, and without it the keys are lost"
        )));
    }
    let store = Store::open(&access.target.config.state_dir, zone.serial_number());
    if let Some(key) = store.state().secrets.iter().find(|secret| secret.slot == slot.number()) {
        return Ok(Some(format!(
            "slot {slot} holds the secret key \"{0}\": destroy it first (`pkcs11-tool --delete-object --type secrkey --label \"{0}\"`)",
            visible(&key.label)
        )));
    }
    let may_hold_one = slot.number() == 8 && super::access::reading(&zone, slot) == Ok(Way::Clear);
    if may_hold_one && is_certificate_in_slot_8(&access.read(Way::Clear, 0, slot.size())?) {
        return Ok(Some(format!("slot {slot} holds a certificate of the token: `atecc608 cert remove` removes it")));
    }
    Ok(None)
}

/// Returns the use of the slot by a rule of the chip.
fn of_the_chips_rules(zone: &ConfigZone, slot: Slot) -> Option<String> {
    let of_other_slots = uses(zone, slot).first().map(|first| match first {
        Use::IoKey => "the IO protection key".to_owned(),
        Use::Writes(other) => format!("the key that encrypts what is written to slot {other}"),
        Use::Reads(other) => format!("the key that encrypts what is read from slot {other}"),
        Use::Authorises(other) => format!("the secret that authorises the use of slot {other}"),
    });
    let boot = zone.secure_boot();
    let of_secure_boot = match boot.storage() {
        SecureBootStorage::Off => None,
        _ if boot.key_slot() == slot => Some("the public key of secure boot"),
        SecureBootStorage::Digest | SecureBootStorage::Signature if boot.storage_slot() == slot => {
            Some("what secure boot compares with")
        }
        _ => None,
    };
    let validates = |other: Slot| zone.marks_validity(other) && zone.slot_config(other).read_key() == slot;
    of_other_slots
        .or_else(|| of_secure_boot.map(str::to_owned))
        .or_else(|| {
            (zone.latch_authority() == Some(slot)).then(|| "the secret that sets the persistent latch".to_owned())
        })
        .or_else(|| {
            let is_limited = Slot::all().any(|slot| zone.slot_config(slot).limited_use());
            (is_limited && zone.limit_slot() == Some(slot)).then(|| "the limit of keys with limited use".to_owned())
        })
        .or_else(|| {
            let key = zone.key_config(slot);
            let is_public_key = !key.private() && key.key_type() == KeyType::P256;
            let other = Slot::all().find(|other| is_public_key && *other != slot && validates(*other))?;
            Some(format!("the public key that validates the one in slot {other}"))
        })
}

/// Returns the certificates of chips as sold, which can't be restored.
fn of_the_makers_certificates(access: &mut SlotAccess<'_>) -> Result<Option<String>> {
    let read = Read { zone: Zone::Otp, address: Address::block(0, 0), block: true };
    let otp = access.target.converse(|awake| awake.execute(&read))?;
    let Some(places) = Definition::of_device(&otp).map(Definition::places) else { return Ok(None) };
    let part = [places.eui, places.device, places.signer_key, places.signer];
    let is_part = part.iter().any(|place| place.len > 0 && place.slot == access.slot.number());
    Ok(is_part.then(|| "a part of the certificates that the chip was sold with".to_owned()))
}
