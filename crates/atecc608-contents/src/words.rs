// SPDX-License-Identifier: MIT OR Apache-2.0
//! Describes a configuration in words: the permitted uses of each slot, the meaning of the options (fact sheet section
//! 5).

use atecc608_wire::config_zone::{ChipOptions, KeyType, Model, WritePolicy};
use atecc608_wire::timing::ClockDivider;
use atecc608_wire::{ConfigZone, Slot};

/// Returns the purpose of a slot.
pub fn kind(zone: &ConfigZone, slot: Slot) -> &'static str {
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    match (key.private(), key.key_type()) {
        (true, KeyType::P256) => "P-256 private key",
        (true, _) => "private key of a reserved type",
        (false, KeyType::P256) => "P-256 public key",
        (false, KeyType::Aes) => "AES keys",
        (false, KeyType::ShaOrData) if access.is_secret() => "secret",
        (false, KeyType::ShaOrData) => "data",
        (false, KeyType::Reserved(_)) => "reserved type",
    }
}

/// Returns the permitted uses of a slot once both zones are locked, in short phrases.
pub fn rules(zone: &ConfigZone, slot: Slot) -> Vec<String> {
    let mut rules = if zone.key_config(slot).private() { private_rules(zone, slot) } else { other_rules(zone, slot) };
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    if key.req_random() {
        rules.push("random nonce required".to_owned());
    }
    if key.req_auth() {
        rules.push(format!("authorisation with key {} required", key.auth_key()));
    }
    if access.limited_use() {
        rules.push("uses counted by counter 0".to_owned());
    }
    if key.persistent_disable() {
        rules.push("only while the persistent latch is set".to_owned());
    }
    if key.lockable() {
        rules.push("lockable".to_owned());
    }
    rules
}

fn private_rules(zone: &ConfigZone, slot: Slot) -> Vec<String> {
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    let mut rules = Vec::new();
    match (access.external_sign(), access.internal_sign()) {
        (true, true) => rules.push("signs, also internally".to_owned()),
        (true, false) => rules.push("signs".to_owned()),
        (false, true) => rules.push("signs internally only".to_owned()),
        (false, false) => {}
    }
    if access.ecdh() && access.ecdh_to_slot() {
        rules.push(format!("ECDH into slot {}", slot.number() | 1));
    } else if access.ecdh() {
        rules.push("ECDH".to_owned());
    }
    if access.write_config().gen_key() {
        rules.push("GenKey makes a new key".to_owned());
    }
    if access.write_config().priv_write() {
        rules.push(format!("import encrypted with key {}", access.write_key()));
    }
    if !access.write_config().gen_key() && !access.write_config().priv_write() {
        rules.push("permanent".to_owned());
    }
    if !key.pub_info() {
        rules.push("public key not readable".to_owned());
    }
    if !access.is_secret() {
        rules.push("unusable: not marked secret".to_owned());
    }
    rules
}

fn other_rules(zone: &ConfigZone, slot: Slot) -> Vec<String> {
    let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
    let read = match (access.is_secret(), access.encrypt_read()) {
        (false, false) => "read in clear".to_owned(),
        (true, false) => "never read".to_owned(),
        (_, true) => format!("read encrypted with key {}", access.read_key()),
    };
    let write = match access.write_config().write_policy() {
        WritePolicy::Always => "written in clear".to_owned(),
        WritePolicy::PubInvalid => "written in clear while not validated".to_owned(),
        WritePolicy::Never => "never written".to_owned(),
        WritePolicy::Encrypted => format!("written encrypted with key {}", access.write_key()),
    };
    let mut rules = vec![read, write];
    if access.write_config().gen_key() {
        let source = if access.write_config().derive_creates() {
            format!("DeriveKey from key {}", access.write_key())
        } else {
            "DeriveKey rolls it".to_owned()
        };
        let mac = if access.write_config().derive_wants_mac() { ", with MAC" } else { "" };
        rules.push(source + mac);
    }
    match (key.pub_info(), key.key_type()) {
        (true, KeyType::P256) => rules.push("must be validated before use".to_owned()),
        (true, KeyType::Aes | KeyType::ShaOrData) => rules.push("target of KDF and ECDH".to_owned()),
        _ => {}
    }
    if access.no_mac() && access.is_secret() {
        rules.push("no MAC".to_owned());
    }
    rules
}

/// ChipOptions in short phrases.
pub fn chip_options(options: ChipOptions) -> Vec<String> {
    let mut words = Vec::new();
    if options.power_on_self_test() {
        words.push("self-test at power-on".to_owned());
    }
    if options.io_protection() {
        words.push(format!("IO protection key in slot {}", options.io_key()));
    }
    if options.kdf_aes() {
        words.push("KDF with AES".to_owned());
    }
    if options.health_test_auto_clear() {
        words.push("a failed health test clears itself".to_owned());
    }
    for (name, protection) in [("ECDH", options.ecdh_protection()), ("KDF", options.kdf_protection())] {
        let how = match protection {
            0 => continue,
            1 => "leave encrypted only",
            2 => "stay in TempKey",
            _ => "stay in a slot",
        };
        words.push(format!("{name} results {how}"));
    }
    if words.is_empty() {
        words.push("none".to_owned());
    }
    words
}

/// The clock divider in words.
pub fn clock_divider(divider: ClockDivider) -> &'static str {
    match divider {
        ClockDivider::M0 => "M0 (fastest)",
        ClockDivider::M1 => "M1 (slower)",
        ClockDivider::M2 => "M2 (slowest)",
    }
}

/// "locked" or "not locked".
pub fn locked(locked: bool) -> &'static str {
    if locked {
        "locked"
    } else {
        "not locked"
    }
}

/// Returns the chip's model, with its revision if the model has no letter.
pub fn model(model: Model) -> String {
    match model {
        Model::Atecc608Other(revision) => format!("{model} (revision {revision:02X})"),
        _ => model.to_string(),
    }
}

/// Returns the chip's model with its article.
pub fn a_model(which: Model) -> String {
    let model = model(which);
    format!("{} {model}", if model.starts_with(['A', 'a']) { "an" } else { "a" })
}

/// Returns the two bytes of a word as stored, in the notation of profiles.md.
pub fn word(value: u16) -> String {
    format!("{value:04X}")
}
