// SPDX-License-Identifier: MIT OR Apache-2.0
//! The permissions of a slot's configuration: SlotConfig and KeyConfig, as sentences if they forbid something.

use crate::chip::stage::Stage;
use atecc608_token::profile;
use atecc608_wire::config_zone::WritePolicy;
use atecc608_wire::{ConfigZone, Slot};

/// How bytes cross the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In clear.
    Clear,
    /// Encrypted with the key in this slot.
    Encrypted(Slot),
}

/// Returns how a slot is read.
///
/// # Errors
/// The rule that forbids it, and the remedy.
pub fn reading(zone: &ConfigZone, slot: Slot) -> Result<Way, String> {
    ensure_locked(zone)?;
    if zone.key_config(slot).private() {
        return Err(format!(
            "slot {slot} is for a private key, which never leaves the chip; `atecc608 key public --slot {slot}` prints its public key"
        ));
    }
    let access = zone.slot_config(slot);
    match (access.is_secret(), access.encrypt_read()) {
        (false, false) => Ok(Way::Clear),
        (true, true) => encrypted(zone, slot, access.read_key(), "read"),
        (true, false) => Err(format!(
            "slot {slot} is secret and can never be read (IsSecret is 1 and EncryptRead is 0, for good); `atecc608 info` lists the \
             rules of each slot"
        )),
        (false, true) => Err(format!(
            "slot {slot} can never be read: EncryptRead is 1 and IsSecret is 0, for good, which no chip reads; `atecc608 info` lists \
             the rules of each slot"
        )),
    }
}

/// Returns how a slot is written.
///
/// # Errors
/// The rule that forbids it, and the remedy.
pub fn writing(zone: &ConfigZone, slot: Slot) -> Result<Way, String> {
    ensure_locked(zone)?;
    let key = zone.key_config(slot);
    if key.private() {
        return Err(format!(
            "slot {slot} is for a private key: `atecc608 key generate --slot {slot}` or `atecc608 key import --slot {slot}` writes one"
        ));
    }
    if zone.slot_locked(slot) {
        return Err(format!("slot {slot} is individually locked: its contents are permanent"));
    }
    if key.req_auth() {
        return Err(format!(
            "slot {slot} is written only after an authorisation with the key in slot {} (ReqAuth), which this command does not give; \
             `atecc608 info` lists the rules of each slot",
            key.auth_key()
        ));
    }
    let access = zone.slot_config(slot);
    match access.write_config().write_policy() {
        WritePolicy::Always | WritePolicy::PubInvalid => Ok(Way::Clear),
        WritePolicy::Encrypted => encrypted(zone, slot, access.write_key(), "written"),
        WritePolicy::Never => Err(format!(
            "slot {slot} can never be written (WriteConfig): its contents are permanent since the data lock"
        )),
    }
}

/// Whether the slot can also be read and written 4 bytes at a time.
pub fn has_words(zone: &ConfigZone, slot: Slot) -> bool {
    let access = zone.slot_config(slot);
    !access.is_secret() && !access.encrypt_read() && access.write_config().write_policy() != WritePolicy::Encrypted
}

/// Before the data lock the chip reads no slot, and `lock data` overwrites all of them.
fn ensure_locked(zone: &ConfigZone) -> Result<(), String> {
    if zone.config_locked() && zone.data_locked() {
        return Ok(());
    }
    Err(format!(
        "it is {}: slots can be read and written once both zones are locked: `{}` shows what to do. `atecc608 lock \
         data --contents FILE` writes slots before the lock",
        Stage::of(zone),
        profile::next_command(zone)
    ))
}

/// Whether the key in slot `by` can encrypt the transfer (`verb`) of `slot`.
fn encrypted(zone: &ConfigZone, slot: Slot, by: Slot, verb: &str) -> Result<Way, String> {
    let (access, key) = (zone.slot_config(by), zone.key_config(by));
    let rule = format!("slot {slot} is {verb} encrypted with the key in slot {by}");
    if key.private() {
        return Err(format!("{rule}, which is for a private key: this is impossible"));
    }
    if access.no_mac() {
        return Err(format!("{rule}, whose NoMac forbids that permanently"));
    }
    if access.limited_use() {
        return Err(format!(
            "{rule}, whose uses are counted (LimitedUse): this command would consume several of them, so it is \
             refused; `atecc608 counter 0` shows the count"
        ));
    }
    if key.req_auth() {
        return Err(format!(
            "{rule}, which works only after an authorisation with the key in slot {} (ReqAuth): this command does not give it; \
             `atecc608 info` lists the rules of each slot",
            key.auth_key()
        ));
    }
    Ok(Way::Encrypted(by))
}
