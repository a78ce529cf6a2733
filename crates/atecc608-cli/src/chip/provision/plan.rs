// SPDX-License-Identifier: MIT OR Apache-2.0
//! The changes of provisioning a chip with a profile, and whether it may be started or continued at all.

use serde::Serialize;

use crate::chip::config::diff::changes;
pub use crate::chip::config::diff::Change;
use crate::chip::config::fields::ChangedBy;
use atecc608_token::profile::{Contents, Profile};
use atecc608_wire::config_zone::{offset, WritePolicy};
use atecc608_wire::{ConfigZone, Slot};

/// The progress of a chip with this profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its configuration can be written.
    Blank,
    /// Its configuration is this profile's and locked; its data are not locked.
    HalfProvisioned,
    /// Both zones are locked, with this profile.
    Provisioned,
}

/// The planned changes.
#[derive(Debug)]
pub struct Plan {
    /// The progress of the chip.
    pub standing: Standing,
    /// Its new configuration.
    pub wanted: ConfigZone,
    /// The changes of the configuration.
    pub changes: Vec<Change>,
    /// The contents of every slot.
    pub slots: Vec<SlotPlan>,
}

/// The contents of one slot.
#[derive(Clone, Debug, Serialize)]
pub struct SlotPlan {
    /// 0 to 15.
    pub slot: u8,
    /// The profile's name of it.
    pub name: String,
    /// Its contents when the data are locked.
    #[serde(skip)]
    pub contents: Contents,
    /// The written data, in words.
    pub written: &'static str,
    /// Whether it can't be changed after the data lock.
    pub permanent: bool,
    /// The profile's description of it.
    pub purpose: String,
}

impl Plan {
    /// Makes the plan for the chip at `address` (7 bits) with this configuration.
    ///
    /// # Errors
    /// The differences, if the chip is locked with another configuration.
    pub fn new(zone: &ConfigZone, profile: &Profile, address: u8) -> Result<Self, Vec<Change>> {
        let mut wanted = profile.apply(zone);
        // The profile's address is that of blank chips. A chip with another one keeps it: the configuration file, and
        // perhaps a second chip on the same bus, depend on it. Once it is locked, byte 16 need not be the effective
        // address.
        let locked = zone.config_locked();
        wanted.as_bytes_mut()[offset::I2C_ADDRESS] =
            if locked { zone.as_bytes()[offset::I2C_ADDRESS] & !1 } else { address << 1 };
        let changes = changes(zone, &wanted);
        let standing = match (zone.config_locked(), zone.data_locked()) {
            (false, false) => Standing::Blank,
            (true, false) if changes.iter().all(Change::is_by_use) => Standing::HalfProvisioned,
            (true, true) if profile.matches(zone) => Standing::Provisioned,
            _ => return Err(changes),
        };
        let slots = Slot::all().map(|slot| slot_plan(&wanted, profile, slot)).collect();
        Ok(Self { standing, wanted, changes, slots })
    }

    /// Whether a slot has these contents.
    pub fn has(&self, contents: Contents) -> bool {
        self.slots.iter().any(|slot| slot.contents == contents)
    }

    /// Returns the deviations of a provisioned chip from the profile, except for changes by its owner since.
    pub fn deviations(&self) -> Vec<&str> {
        let by_nobody = |change: &&Change| change.changed_by == ChangedBy::Nothing;
        self.changes.iter().filter(by_nobody).map(|change| change.field.as_str()).collect()
    }
}

/// The fields' names.
pub fn names(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.field.as_str()).collect()
}

fn slot_plan(wanted: &ConfigZone, profile: &Profile, slot: Slot) -> SlotPlan {
    let entry = profile.slot(slot);
    let write_config = wanted.slot_config(slot).write_config();
    let permanent = if wanted.key_config(slot).private() {
        !write_config.gen_key() && !write_config.priv_write()
    } else {
        write_config.write_policy() == WritePolicy::Never && !write_config.gen_key()
    };
    SlotPlan {
        slot: slot.number(),
        name: entry.name.clone(),
        contents: entry.contents,
        written: match entry.contents {
            Contents::PrivateKey => "nothing: a key is generated there later",
            Contents::AttestationKey => "a new key, generated in the chip",
            Contents::IoKey => "the IO protection key, kept on the host too",
            Contents::AuthorisationSecret => "the secret behind the user's PIN, on the host under the PIN only",
            Contents::OfficerSecret => "the security officer's secret, made from a recovery code that is shown once",
            Contents::Random => "random bytes, kept nowhere",
            Contents::Zeros => "zeros",
        },
        permanent,
        purpose: entry.purpose.clone(),
    }
}
