// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mapping of slots to objects: from the configuration zone, the profile's names, and the user's own.

use super::pin::Scheme;
use super::profile::Profile;
use super::recognised;
use super::state::SecretKind;
use crate::config::{ObjectConfig, ObjectKind};
use atecc608_wire::config_zone::{KeyType, WritePolicy};
use atecc608_wire::{ConfigZone, Slot};

/// A slot whose private key is usable for a PKCS#11 caller: external Sign, or ECDH with the result on the bus. Keys
/// that only sign internally (attestation) are not objects, because no function could use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    /// Which slot.
    pub slot: Slot,
    /// External Sign is allowed.
    pub sign: bool,
    /// ECDH is allowed, and its result may leave the chip: in clear, or encrypted with a key that is on this host.
    pub derive: bool,
    /// The public key may be computed.
    pub public: bool,
    /// GenKey may replace the key.
    pub generate: bool,
    /// The key may have been imported (PrivWrite is allowed), so it does not count as generated in the chip.
    pub import: bool,
    /// Uses are counted permanently: such a key is used at most once for a request.
    pub limited_use: bool,
    /// The label if no other is stored.
    pub default_label: String,
    /// The id from the configuration.
    pub configured_id: Option<Vec<u8>>,
}

/// Returns the key slots of a chip with both zones locked, in order. `has_io_key`: whether the IO protection key is on
/// this host.
pub fn key_slots(
    zone: &ConfigZone,
    profile: Option<&Profile>,
    objects: &[ObjectConfig],
    has_io_key: bool,
) -> Vec<KeySlot> {
    let private = private_slots(zone).map(|slot| key_slot(zone, profile, objects, has_io_key, slot));
    private.filter(|key| key.sign || key.derive).collect()
}

/// Returns the slots of a chip between its locks that accept a private key, in order. WriteConfig does not count yet
/// (fact sheet section 5.7): GenKey works in every slot. Keys that only sign internally are included: after the data
/// lock some of them can't be generated.
pub fn key_slots_between_locks(zone: &ConfigZone, profile: Option<&Profile>, objects: &[ObjectConfig]) -> Vec<KeySlot> {
    open_private_slots(zone)
        .map(|slot| KeySlot { generate: true, ..key_slot(zone, profile, objects, false, slot) })
        .collect()
}

/// Whether a slot gets its key between the locks or never. Slots behind the latch are excluded: the secret that sets it
/// is written with the data lock.
pub fn gets_key_now_or_never(zone: &ConfigZone, slot: Slot) -> bool {
    let behind_latch = zone.key_config(slot).persistent_disable();
    is_permanent(zone, slot) && !behind_latch && open_private_slots(zone).any(|open| open == slot)
}

/// Whether the slot can't get a key once the data zone is locked.
pub fn is_permanent(zone: &ConfigZone, slot: Slot) -> bool {
    let rules = zone.slot_config(slot).write_config();
    zone.slot_locked(slot) || !(rules.gen_key() || rules.priv_write())
}

/// Returns the slots that accept a key between the locks, and report its public key.
fn open_private_slots(zone: &ConfigZone) -> impl Iterator<Item = Slot> + '_ {
    private_slots(zone).filter(|slot| zone.key_config(*slot).pub_info() && !zone.slot_locked(*slot))
}

/// Slots without IsSecret are excluded: the chip refuses GenKey and Sign there (fact sheet section 11).
fn private_slots(zone: &ConfigZone) -> impl Iterator<Item = Slot> + '_ {
    Slot::all().filter(|slot| zone.key_config(*slot).is_p256_private() && zone.slot_config(*slot).is_secret())
}

fn key_slot(
    zone: &ConfigZone,
    profile: Option<&Profile>,
    objects: &[ObjectConfig],
    has_io_key: bool,
    slot: Slot,
) -> KeySlot {
    let (access, options) = (zone.slot_config(slot), zone.chip_options());
    let output = match options.ecdh_protection() {
        0 => true,
        1 => options.io_protection() && has_io_key,
        _ => false,
    };
    let configured = objects.iter().find(|object| object.slot == slot && object.kind == ObjectKind::Private);
    KeySlot {
        slot,
        sign: access.external_sign(),
        derive: access.ecdh() && !access.ecdh_to_slot() && output,
        public: zone.key_config(slot).pub_info(),
        generate: access.write_config().gen_key() && !zone.slot_locked(slot),
        import: access.write_config().priv_write(),
        limited_use: access.limited_use(),
        default_label: configured.and_then(|object| object.label.clone()).unwrap_or_else(|| name(zone, profile, slot)),
        configured_id: configured.and_then(|object| object.id.clone()),
    }
}

/// A slot that can hold secret keys for PKCS#11 callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSlot {
    /// Which slot.
    pub slot: Slot,
    /// The kind of keys.
    pub kind: SecretKind,
    /// The number of keys: each has 32 bytes of the slot, because it is written 32 bytes at a time.
    pub keys: u8,
    /// How they are written.
    pub access: SecretAccess,
    /// Its name in the profile.
    pub name: String,
}

/// How a secret slot is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretAccess {
    /// In clear on the bus.
    Clear,
    /// Encrypted with the key in this slot.
    Encrypted(Slot),
    /// Not at all: the contents are permanent.
    Never,
}

/// Returns the slots of a chip with both zones locked that can hold secret keys, in order: for AES those of that key
/// type, for HMAC other secrets that the chip's rules do not use otherwise.
pub fn secret_slots(zone: &ConfigZone, profile: Option<&Profile>) -> Vec<SecretSlot> {
    let keeps_secrets = |slot: &Slot| !zone.slot_config(*slot).encrypt_read();
    Slot::all().filter(keeps_secrets).filter_map(|slot| secret_slot(zone, profile, slot)).collect()
}

/// Returns the slot as one for secret keys; a slot that can be read encrypted, too, if the user says that it holds a
/// key. `None` if no PKCS#11 caller could use a key there.
pub fn secret_slot(zone: &ConfigZone, profile: Option<&Profile>, slot: Slot) -> Option<SecretSlot> {
    let scheme = Scheme::of(zone, profile);
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    // After a login the chip allows slots that name the login's secret.
    let barred = key.req_auth() && !scheme.is_some_and(|scheme| scheme.guards(slot));
    let gated = access.limited_use() || barred || key.persistent_disable();
    if key.private() || !access.is_secret() || gated {
        return None;
    }
    let kind = match key.key_type() {
        KeyType::Aes if zone.aes_enabled() => SecretKind::Aes,
        // The chip's HMAC refuses keys with NoMac or ReqRandom (fact sheet section 11).
        KeyType::ShaOrData if !access.no_mac() && !key.req_random() && !serves_the_chip(zone, slot) => {
            SecretKind::Generic
        }
        _ => return None,
    };
    Some(SecretSlot {
        slot,
        kind,
        keys: if kind == SecretKind::Aes { (slot.size() / 32) as u8 } else { 1 },
        access: match access.write_config().write_policy() {
            _ if zone.slot_locked(slot) => SecretAccess::Never,
            WritePolicy::Always => SecretAccess::Clear,
            WritePolicy::Encrypted => SecretAccess::Encrypted(access.write_key()),
            WritePolicy::PubInvalid | WritePolicy::Never => SecretAccess::Never,
        },
        name: name(zone, profile, slot),
    })
}

/// The default label of a slot's object.
fn name(zone: &ConfigZone, profile: Option<&Profile>, slot: Slot) -> String {
    profile.map_or_else(|| recognised::name(zone, slot), |profile| profile.slot(slot).name.clone())
}

/// A use of a slot by the chip's own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It holds the IO protection key.
    IoKey,
    /// Its key encrypts writes to this slot, or imports into it.
    Writes(Slot),
    /// Its key encrypts reads from this slot.
    Reads(Slot),
    /// Its secret authorises the use of this slot.
    Authorises(Slot),
}

/// Returns the uses of a slot by the chip's own rules: as IO protection key, or to read, write or authorise another
/// slot.
pub fn uses(zone: &ConfigZone, slot: Slot) -> Vec<Use> {
    let is_io_key = zone.chip_options().io_protection() && zone.chip_options().io_key() == slot;
    let of_other = |other: Slot| {
        let (access, key) = (zone.slot_config(other), zone.key_config(other));
        let encrypts = access.write_config().write_policy() == WritePolicy::Encrypted && !key.private();
        let imports = key.private() && access.write_config().priv_write();
        [
            ((encrypts || imports) && access.write_key() == slot).then_some(Use::Writes(other)),
            (access.encrypt_read() && access.read_key() == slot).then_some(Use::Reads(other)),
            (key.req_auth() && key.auth_key() == slot).then_some(Use::Authorises(other)),
        ]
    };
    is_io_key.then_some(Use::IoKey).into_iter().chain(Slot::all().flat_map(of_other).flatten()).collect()
}

fn serves_the_chip(zone: &ConfigZone, slot: Slot) -> bool {
    !uses(zone, slot).is_empty()
}
