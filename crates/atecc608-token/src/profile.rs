// SPDX-License-Identifier: MIT OR Apache-2.0
//! Profiles: named configurations of all sixteen slots, as data files (`conf/profiles/`). They name the slots' objects,
//! and `atecc608 provision` writes them.

use crate::document::{Problem, Table};
use atecc608_wire::config_zone::{offset, ChipOptions, KeyConfig, SlotConfig};
use atecc608_wire::{ConfigZone, Slot};
use once_cell::race::OnceBox;

/// A profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name, as an argument of `provision`.
    pub name: String,
    /// Its purpose.
    pub description: String,
    /// Whether it was locked and used on real silicon.
    pub proven_on_silicon: bool,
    /// ChipOptions.
    chip_options: u16,
    /// The slots, 0 to 15 in order.
    pub slots: Vec<ProfileSlot>,
}

/// One slot of a profile.
#[derive(Clone, Debug)]
pub struct ProfileSlot {
    /// The default label of the slot's object.
    pub name: String,
    slot_config: u16,
    key_config: u16,
    /// The contents that provisioning writes.
    pub contents: Contents,
    /// The purpose of the slot.
    pub purpose: String,
}

/// The contents of a slot when the data zone is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Empty: a private key is generated there later.
    PrivateKey,
    /// A private key generated at provisioning.
    AttestationKey,
    /// The IO protection key, also stored on the host.
    IoKey,
    /// The secret that authorises the use of keys; on the host only encrypted with the user's PIN.
    AuthorisationSecret,
    /// The security officer's secret, derived from the recovery code.
    OfficerSecret,
    /// Random bytes that are not stored elsewhere.
    Random,
    /// Zeros.
    Zeros,
}

/// The files in `conf/profiles`, by name: a new profile is a file there and a line here. Tests check that none is
/// missing, and that each is valid.
const FILES: &[(&str, &str)] = &[
    ("tls", include_str!("../../../conf/profiles/tls.toml")),
    ("tls-pin", include_str!("../../../conf/profiles/tls-pin.toml")),
];

/// The contents of the files. Each is read at its first use, possibly by several threads at once. No thread waits for another: a
/// child forked meanwhile would wait for ever.
static PROFILES: [OnceBox<Option<Profile>>; FILES.len()] = [const { OnceBox::new() }; FILES.len()];

impl Profile {
    /// Parses a profile file.
    ///
    /// # Errors
    /// The [`Problem`] and its position.
    fn parse(text: &str) -> Result<Self, Problem> {
        let mut document = Table::parse(text)?;
        document
            .required::<i64>("format")?
            .check(|format| if format == 1 { Ok(()) } else { Err("format: expected 1") })?;
        let slots = document.tables("slot")?.into_iter().zip(0..).map(|(slot, number)| ProfileSlot::read(slot, number));
        let profile = Self {
            name: document.required("name")?.value,
            description: document.required("description")?.value,
            proven_on_silicon: document.required("proven_on_silicon")?.value,
            chip_options: word(&mut document, "chip_options")?,
            slots: slots.collect::<Result<_, _>>()?,
        };
        if profile.slots.len() != 16 {
            return Err(Problem::new(document.span(), "expected the slots 0 to 15"));
        }
        document.finish()?;
        Ok(profile)
    }
}

impl ProfileSlot {
    fn read(mut table: Table<'_>, number: i64) -> Result<Self, Problem> {
        let in_order = |slot| if slot == number { Ok(()) } else { Err("slot: expected all slots in order") };
        table.required::<i64>("slot")?.check(in_order)?;
        let slot = Self {
            name: table.required("name")?.value,
            slot_config: word(&mut table, "slot_config")?,
            key_config: word(&mut table, "key_config")?,
            contents: table.required::<String>("contents")?.check(|contents| Contents::parse(&contents))?,
            purpose: table.required("purpose")?.value,
        };
        table.finish()?;
        Ok(slot)
    }
}

fn word(table: &mut Table<'_>, key: &'static str) -> Result<u16, Problem> {
    table.required::<i64>(key)?.check(|word| u16::try_from(word).map_err(|_| format!("{key}: expected 16 bits")))
}

impl Contents {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "private-key" => Ok(Self::PrivateKey),
            "attestation-key" => Ok(Self::AttestationKey),
            "io-key" => Ok(Self::IoKey),
            "authorisation-secret" => Ok(Self::AuthorisationSecret),
            "officer-secret" => Ok(Self::OfficerSecret),
            "random" => Ok(Self::Random),
            "zeros" => Ok(Self::Zeros),
            other => Err(format!(
                "contents: \"{other}\": expected private-key, attestation-key, io-key, authorisation-secret, \
                 officer-secret, random or zeros"
            )),
        }
    }
}

/// All profiles. Each is parsed when an iteration first reaches it.
pub fn all() -> impl Iterator<Item = &'static Profile> {
    FILES.iter().zip(&PROFILES).filter_map(|((name, text), profile)| {
        let parse = || Profile::parse(text).map_err(|problem| log::error!("profile {name}: {problem}")).ok();
        profile.get_or_init(|| Box::new(parse())).as_ref()
    })
}

/// Returns the profile with this name.
pub fn by_name(name: &str) -> Option<&'static Profile> {
    all().find(|profile| profile.name == name)
}

/// Returns the profile with the slots and options of a chip.
pub fn matching(zone: &ConfigZone) -> Option<&'static Profile> {
    all().find(|profile| profile.matches(zone))
}

/// Returns the profile of a chip between its locks that `atecc608 provision` finishes: the whole configuration is the
/// profile's, except address and counters.
pub fn finished_by_provision(zone: &ConfigZone) -> Option<&'static Profile> {
    let between_locks = zone.config_locked() && !zone.data_locked();
    if !between_locks {
        return None;
    }
    all().find(|profile| profile.is_all_of(zone))
}

/// Returns the next command of the tool for a chip that is not provisioned; it first shows what it would do.
pub fn next_command(zone: &ConfigZone) -> String {
    match finished_by_provision(zone) {
        _ if !zone.config_locked() => "atecc608 provision tls".to_owned(),
        Some(profile) => format!("atecc608 provision {}", profile.name),
        // The configuration is another tool's, or the user's own: only the data lock is left.
        None => "atecc608 lock data".to_owned(),
    }
}

impl Profile {
    /// Returns the configuration of a chip with this profile: `zone` with everything that Write may change set by the
    /// profile.
    pub fn apply(&self, zone: &ConfigZone) -> ConfigZone {
        let mut zone = zone.clone();
        let bytes = zone.as_bytes_mut();
        bytes[offset::I2C_ADDRESS] = 0xC0;
        bytes[offset::I2C_ADDRESS + 1..offset::SLOT_CONFIG].fill(0x00);
        for (index, slot) in self.slots.iter().enumerate() {
            let (access, key) = (offset::SLOT_CONFIG + 2 * index, offset::KEY_CONFIG + 2 * index);
            bytes[access..access + 2].copy_from_slice(&slot.slot_config.to_le_bytes());
            bytes[key..key + 2].copy_from_slice(&slot.key_config.to_le_bytes());
        }
        for counter in [offset::COUNTERS, offset::COUNTERS + 8] {
            bytes[counter..counter + 8].copy_from_slice(&atecc608_wire::config_zone::counter_encode(0));
        }
        bytes[offset::USE_LOCK..offset::USER_EXTRA].fill(0x00);
        // KdfIvStr, unused while KdfIvLoc is 0; the value is TrustFLEX's.
        bytes[73..75].copy_from_slice(&[0x69, 0x76]);
        bytes[offset::SLOT_LOCKED..offset::SLOT_LOCKED + 2].fill(0xFF);
        bytes[offset::CHIP_OPTIONS..offset::CHIP_OPTIONS + 2].copy_from_slice(&self.chip_options.to_le_bytes());
        bytes[92..96].fill(0x00);
        zone
    }

    /// Whether a chip has this profile's slots and options, whatever its address, counters and locks.
    pub fn matches(&self, zone: &ConfigZone) -> bool {
        zone.chip_options() == ChipOptions(self.chip_options)
            && Slot::all().zip(&self.slots).all(|(slot, profile)| {
                zone.slot_config(slot) == profile.slot_config() && zone.key_config(slot) == profile.key_config()
            })
    }

    /// Whether this is a chip's whole configuration, except what provisioning does not change (the address) and use
    /// changes (the counters).
    pub fn is_all_of(&self, zone: &ConfigZone) -> bool {
        let mut wanted = self.apply(zone);
        let (bytes, now) = (wanted.as_bytes_mut(), zone.as_bytes());
        bytes[offset::I2C_ADDRESS] = now[offset::I2C_ADDRESS] & !1;
        let counters = offset::COUNTERS..offset::USE_LOCK;
        bytes[counters.clone()].copy_from_slice(&now[counters]);
        wanted == *zone
    }

    /// The slot's entry.
    pub fn slot(&self, slot: Slot) -> &ProfileSlot {
        &self.slots[slot.index()]
    }
}

impl ProfileSlot {
    /// SlotConfig.
    pub fn slot_config(&self) -> SlotConfig {
        SlotConfig(self.slot_config)
    }

    /// KeyConfig.
    pub fn key_config(&self) -> KeyConfig {
        KeyConfig(self.key_config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[test]
    fn the_profile_tls_is_the_contracts_byte_for_byte() {
        let zone = by_name("tls").unwrap().apply(&ConfigZone::new([0; 128]));
        // reference/profiles.md.
        assert_eq!(
            zone.as_bytes()[20..52],
            hex("85 20 82 00 85 20 85 20 85 66 8F 46 8F 0F 9F 8F 0F 0F 8F 46 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F")
        );
        assert_eq!(
            zone.as_bytes()[96..],
            hex("33 00 13 00 33 00 33 00 33 00 3C 00 7C 00 1C 00 3C 00 3A 00 3C 00 30 00 3C 00 3C 00 30 00 3C 00")
        );
        assert_eq!(zone.as_bytes()[16..20], [0xC0, 0, 0, 0]);
        assert_eq!(zone.as_bytes()[52..68], hex("FF FF FF FF 00 00 00 00 FF FF FF FF 00 00 00 00"));
        assert_eq!(zone.as_bytes()[68..75], [0, 0, 0, 0, 0, 0x69, 0x76]);
        assert_eq!(zone.as_bytes()[88..96], hex("FF FF 0E 60 00 00 00 00"));
        assert_eq!(matching(&zone).unwrap().name, "tls");
    }

    #[test]
    fn the_profile_tls_pin_is_the_contracts_byte_for_byte() {
        let zone = by_name("tls-pin").unwrap().apply(&ConfigZone::new([0; 128]));
        // reference/profiles.md.
        assert_eq!(
            zone.as_bytes()[20..52],
            hex("85 20 82 00 85 20 85 20 85 66 9F E7 8F 47 8F 47 0F 0F 8F 46 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F C6 46")
        );
        assert_eq!(
            zone.as_bytes()[96..],
            hex("B3 05 93 05 B3 05 B3 05 B3 05 5C 00 7C 00 5C 00 3C 00 BA 05 3C 00 30 00 3C 00 3C 00 30 00 3C 00")
        );
        assert_eq!(zone.as_bytes()[16..20], [0xC0, 0, 0, 0]);
        assert_eq!(zone.as_bytes()[52..68], hex("FF FF FF FF 00 00 00 00 FF FF FF FF 00 00 00 00"));
        assert_eq!(zone.as_bytes()[68..75], [0, 0, 0, 0, 0, 0x69, 0x76]);
        assert_eq!(zone.as_bytes()[88..96], hex("FF FF 0E 65 00 00 00 00"));
        assert_eq!(matching(&zone).unwrap().name, "tls-pin");
    }

    #[test]
    fn every_file_in_conf_profiles_is_in_the_list_and_can_be_used() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf/profiles"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut listed: Vec<String> = FILES.iter().map(|(name, _)| format!("{name}.toml")).collect();
        files.sort();
        listed.sort();
        assert_eq!(listed, files);
        for (name, text) in FILES {
            let profile = Profile::parse(text).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
            assert_eq!(profile.name, *name);
        }
    }

    #[test]
    fn names_of_slots_differ() {
        for profile in all() {
            let mut names: Vec<&str> = profile.slots.iter().map(|slot| slot.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), 16, "{}", profile.name);
        }
    }
}
