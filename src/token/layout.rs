//! Which slot is which object: the configuration zone, the profile's names, and the user's own.

use super::profile::Profile;
use crate::config::ObjectConfig;
use crate::wire::{ConfigZone, Slot};

/// A slot whose private key can do something for a PKCS#11 caller: external Sign, or ECDH with the result on the
/// bus. Keys that only sign internally (attestation) are not objects: no function could use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySlot {
    /// Which slot.
    pub slot: Slot,
    /// External Sign is allowed.
    pub sign: bool,
    /// ECDH is allowed, and its result may leave the chip in clear.
    pub derive: bool,
    /// The public key may be computed.
    pub public: bool,
    /// GenKey may replace the key.
    pub generate: bool,
    /// The key may have come from outside (PrivWrite is allowed), so it is not claimed to be born here.
    pub import: bool,
    /// Uses are counted for good: such a key is never used twice for one request.
    pub limited_use: bool,
    /// The label while no other is stored.
    pub default_label: String,
    /// The id that the configuration gives.
    pub configured_id: Option<Vec<u8>>,
}

/// The key slots of a chip whose both zones are locked, in order.
pub fn key_slots(zone: &ConfigZone, profile: Option<&Profile>, objects: &[ObjectConfig]) -> Vec<KeySlot> {
    Slot::all()
        .filter_map(|slot| {
            let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
            let sign = access.external_sign();
            let derive = access.ecdh() && !access.ecdh_to_slot() && zone.chip_options().ecdh_protection() == 0;
            // Without IsSecret the chip refuses GenKey and Sign (fact sheet section 11).
            if !key.is_p256_private() || !access.is_secret() || !(sign || derive) {
                return None;
            }
            let configured = objects.iter().find(|object| object.slot == slot);
            Some(KeySlot {
                slot,
                sign,
                derive,
                public: key.pub_info(),
                generate: access.write_config().gen_key() && !zone.slot_locked(slot),
                import: access.write_config().priv_write(),
                limited_use: access.limited_use(),
                default_label: configured
                    .and_then(|object| object.label.clone())
                    .or_else(|| profile.map(|profile| profile.slot(slot).name.clone()))
                    .unwrap_or_else(|| format!("slot-{slot}")),
                configured_id: configured.and_then(|object| object.id.clone()),
            })
        })
        .collect()
}
