// SPDX-License-Identifier: MIT OR Apache-2.0
//! The identified chip: the facts fixed by its configuration zone, which do not change while it is present.

use std::sync::Arc;

use super::configuration::KeptConfiguration;
use super::error::{Error, Result};
use super::io_key::KeyFile;
use super::layout::{key_slots, key_slots_between_locks, secret_slot, secret_slots, KeySlot, SecretSlot};
use super::mechanism::Abilities;
use super::pin::Scheme;
use super::profile::{self, Profile};
use super::state::{SecretKind, StoredSecret};
use super::store::StateFile;
use super::trusted::TrustedKeys;
use crate::config::{CertificateConfig, Config, ObjectConfig, ObjectKind, TokenConfig};
use atecc608_contents::words;
use atecc608_wire::config_zone::Model;
use atecc608_wire::{ConfigZone, Slot};

/// An identified chip.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Its configuration zone.
    pub(crate) zone: ConfigZone,
    /// Its model.
    pub(crate) model: Model,
    /// The profile with which it was provisioned, if it is a built-in one.
    pub(crate) profile: Option<&'static Profile>,
    /// Its key slots; empty unless both zones are locked, or the chip is open between its locks.
    pub(crate) keys: Vec<KeySlot>,
    /// Its slots for secret keys; empty unless both zones are locked.
    pub(crate) secrets: Vec<SecretSlot>,
    /// The slots that hold a secret key according to the configuration.
    pub(crate) configured_secrets: Vec<(SecretSlot, ObjectConfig)>,
    /// The file of its IO protection key on the host.
    pub(crate) io_key: KeyFile,
    /// The file of its trusted public keys.
    pub(crate) trusted: TrustedKeys,
    /// The file of its configuration, stored by root.
    pub(crate) kept_configuration: KeptConfiguration,
    /// Whether blocks 1 and 3 of the zone come from that file.
    pub(crate) is_partly_kept: bool,
    /// The file of its state.
    pub(crate) state_file: StateFile,
    /// Whether it is simulated.
    pub(crate) simulated: bool,
    /// Its PIN scheme, if it has a PIN.
    pub(crate) scheme: Option<Scheme>,
    /// Certificates of the user's own kinds.
    pub(crate) configured_certificates: Vec<CertificateConfig>,
    /// The slots' contents besides key pairs, according to the configuration.
    pub(crate) configured_objects: Vec<ObjectConfig>,
    /// Whether clients' certificates are stored in slot 8.
    pub(crate) certificates_in_chip: bool,
    /// Whether the tool may put keys into it between its locks.
    pub(crate) open_between_locks: bool,
}

/// Which chips count as having keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KeysIn {
    /// Chips with both zones locked.
    #[default]
    Provisioned,
    /// Also chips between their locks, except those that `provision` fills: for the tool.
    BetweenLocksToo,
}

impl Identity {
    /// The chip with this configuration zone, which was read completely or taken partly from the stored one, at the
    /// place that `config` describes.
    ///
    /// # Errors
    /// [`Error::TokenNotRecognized`] if it is not an ATECC608.
    pub(crate) fn new(
        (zone, is_partly_kept): (ConfigZone, bool),
        model: Model,
        simulated: bool,
        config: &Config,
        token: &TokenConfig,
        keys_in: KeysIn,
    ) -> Result<Arc<Self>> {
        let serial = zone.serial_number();
        if !model.is_608() {
            let model = words::a_model(model);
            return Err(Error::TokenNotRecognized(
                format!("the chip {serial} is {model}, not an ATECC608: this module can't use it").into(),
            ));
        }
        let place = token.place();
        if simulated {
            log::warn!("{place}: the chip {serial} is simulated; its keys are in a file and protect nothing");
        }
        let usable = zone.config_locked() && zone.data_locked();
        let profile = profile::matching(&zone);
        let between_locks =
            zone.config_locked() && !zone.data_locked() && profile::finished_by_provision(&zone).is_none();
        let open_between_locks = between_locks && keys_in == KeysIn::BetweenLocksToo;
        if !usable && !open_between_locks {
            let state = if zone.config_locked() { "half provisioned" } else { "blank" };
            log::warn!("{place}: the chip {serial} is {state}: run `{}`", profile::next_command(&zone));
        }
        let scheme = if usable { Scheme::of(&zone, profile) } else { None };
        let io_key = KeyFile::of(config, token, simulated, &serial);
        let has_io_key = io_key.load().is_ok_and(|key| key.is_some());
        if scheme.is_some() && !has_io_key {
            log::warn!(
                "{place}: {} does not hold the IO protection key of the chip {serial}: keys can sign, but not derive",
                io_key.path().display()
            );
        }
        let keys = match usable {
            true => key_slots(&zone, profile, &token.objects, has_io_key),
            false if open_between_locks => key_slots_between_locks(&zone, profile, &token.objects),
            false => Vec::new(),
        };
        let secrets = if usable { secret_slots(&zone, profile) } else { Vec::new() };
        let configured_secrets = if usable { configured_secrets(&zone, profile, token) } else { Vec::new() };
        Ok(Arc::new(Self {
            state_file: StateFile::new(&config.state_dir, serial),
            configured_certificates: token.certificates.clone(),
            configured_objects: token
                .objects
                .iter()
                .filter(|object| object.kind != ObjectKind::Private)
                .cloned()
                .collect(),
            certificates_in_chip: token.certificates_in_chip,
            open_between_locks,
            zone,
            model,
            profile,
            keys,
            secrets,
            configured_secrets,
            kept_configuration: KeptConfiguration::beside(&io_key),
            is_partly_kept,
            trusted: TrustedKeys::beside(&io_key),
            io_key,
            simulated,
            scheme,
        }))
    }

    /// Whether both zones are locked, so that keys can be used.
    pub(crate) fn is_provisioned(&self) -> bool {
        self.zone.config_locked() && self.zone.data_locked()
    }

    /// Checks that keys can be used.
    ///
    /// # Errors
    /// [`Error::DeviceError`].
    pub(crate) fn check_provisioned(&self) -> Result<()> {
        if self.is_provisioned() {
            return Ok(());
        }
        let command = profile::next_command(&self.zone);
        let text = if self.zone.config_locked() {
            format!(
                "the chip is half provisioned: its keys work once the data zone is locked; `{command}` shows what to do"
            )
        } else {
            format!("the chip is not provisioned: it has no keys yet; `{command}` shows what to do")
        };
        Err(Error::DeviceError(text.into()))
    }

    /// Checks that the chip can hold keys and report which it has.
    ///
    /// # Errors
    /// As [`Identity::check_provisioned`].
    pub(crate) fn check_has_keys(&self) -> Result<()> {
        if self.open_between_locks {
            return Ok(());
        }
        self.check_provisioned()
    }

    /// Returns the uses of keys that the configuration allows.
    pub(crate) fn abilities(&self) -> Abilities {
        Abilities {
            sign: self.keys.iter().any(|key| key.sign),
            derive: self.keys.iter().any(|key| key.derive),
            generate: self.keys.iter().any(|key| key.generate),
            aes_enabled: self.zone.aes_enabled(),
            aes: self.has_secrets(SecretKind::Aes),
            hmac: self.has_secrets(SecretKind::Generic),
        }
    }

    /// Returns the configured contents of slots, of one kind.
    pub(crate) fn configured(&self, kind: ObjectKind) -> impl Iterator<Item = &ObjectConfig> {
        self.configured_objects.iter().filter(move |object| object.kind == kind)
    }

    fn has_secrets(&self, kind: SecretKind) -> bool {
        let configured = self.configured_secrets.iter().map(|(place, _)| place);
        self.secrets.iter().chain(configured).any(|place| place.kind == kind)
    }

    /// Whether the configuration says that this place holds a secret key: always the first place of a slot.
    pub(crate) fn is_configured_secret(&self, slot: Slot, block: u8) -> bool {
        block == 0 && self.configured(ObjectKind::Secret).any(|entry| entry.slot == slot)
    }

    /// The key slot, if the slot is one.
    pub(crate) fn key_slot(&self, slot: Slot) -> Option<&KeySlot> {
        self.keys.iter().find(|key| key.slot == slot)
    }

    /// The secret slot, if the slot is one.
    pub(crate) fn secret_slot(&self, slot: Slot) -> Option<&SecretSlot> {
        self.secrets.iter().find(|place| place.slot == slot)
    }

    /// Returns the slot of this key, if the chip's configuration still allows that.
    pub(crate) fn secret_slot_of(&self, secret: &StoredSecret) -> Option<&SecretSlot> {
        self.secret_slot(Slot::from_nibble(secret.slot))
            .filter(|place| place.kind == secret.kind && secret.block < place.keys)
    }
}

/// Returns the slots that hold a secret key according to the configuration, if a key there can be used.
fn configured_secrets(
    zone: &ConfigZone,
    profile: Option<&Profile>,
    token: &TokenConfig,
) -> Vec<(SecretSlot, ObjectConfig)> {
    let entries = token.objects.iter().filter(|object| object.kind == ObjectKind::Secret);
    let usable = entries.filter_map(|entry| {
        let place = secret_slot(zone, profile, entry.slot);
        if place.is_none() {
            log::warn!(
                "chip {}: the secret key in slot {} is not shown: no PKCS#11 function could use a key there (it needs IsSecret, KeyType AES or \
                 SHA, none of NoMac, ReqRandom, LimitedUse, ReqAuth and PersistentDisable, and no other slot that depends on it; `atecc608 \
                 info` lists the rules of each slot)",
                zone.serial_number(),
                entry.slot
            );
        }
        Some((place?, entry.clone()))
    });
    usable.collect()
}
