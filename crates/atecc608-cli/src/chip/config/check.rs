// SPDX-License-Identifier: MIT OR Apache-2.0
//! Explains what a configuration allows, and which settings are dangerous (fact sheet sections 5 and 11).

use super::findings::finding;
use crate::output::check::{Check, Verdict};
use atecc608::i2c::probe::USUAL_ADDRESSES;
use atecc608_contents::words;
use atecc608_token::pin::is_barred;
use atecc608_token::profile;
use atecc608_wire::config_zone::{offset, KeyType, WritePolicy};
use atecc608_wire::timing::ClockDivider;
use atecc608_wire::{ConfigZone, Slot};

/// Returns the findings about a configuration before an ATECC608 is locked with it, the worst first.
pub fn findings(zone: &ConfigZone) -> Vec<Check> {
    let mut check = Checker { zone, findings: Vec::new() };
    check.left_by_a_508();
    check.all()
}

/// The same for an ATECC508A, where the bytes of a 508 are correct.
pub fn findings_on_a_508(zone: &ConfigZone) -> Vec<Check> {
    Checker { zone, findings: Vec::new() }.all()
}

impl Checker<'_> {
    fn all(mut self) -> Vec<Check> {
        self.chip();
        self.address();
        let zone = self.zone;
        for slot in Slot::all() {
            if zone.key_config(slot).private() {
                self.private(slot);
            } else {
                self.other(slot);
            }
            self.authorisation(slot);
        }
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.result));
        self.findings
    }
}

/// Returns one line per slot: its permitted uses.
pub fn explanation(zone: &ConfigZone, slot: Slot) -> String {
    let rules = words::rules(zone, slot).join(", ");
    let locked = if zone.slot_locked(slot) { "locked; " } else { "" };
    format!("{}: {locked}{rules}", words::kind(zone, slot))
}

/// SlotConfig of a chip from the factory (fact sheet section 6a).
const FACTORY: [u16; 16] =
    [0x2083, 0x2087, 0x208F, 0x8FC4, 0x8F8F, 0x8F8F, 0x8F9F, 0x8FAF, 0, 0, 0, 0, 0, 0, 0, 0x8FAF];

struct Checker<'z> {
    zone: &'z ConfigZone,
    findings: Vec<Check>,
}

impl Checker<'_> {
    fn say(&mut self, result: Verdict, slot: Option<Slot>, text: impl Into<String>) {
        self.findings.push(finding(result, slot, text));
    }

    fn policy(&self, slot: Slot) -> WritePolicy {
        self.zone.slot_config(slot).write_config().write_policy()
    }

    /// Whether an attacker on the bus can put his own key into the slot.
    fn replaceable(&self, slot: Slot) -> bool {
        let writable = matches!(self.policy(slot), WritePolicy::Always | WritePolicy::PubInvalid);
        writable && !self.zone.key_config(slot).private() && !self.zone.slot_locked(slot)
    }

    /// Returns why the slot is insecure for a symmetric key, if it is.
    fn weakness(&self, slot: Slot) -> Option<String> {
        let (access, key) = (self.zone.slot_config(slot), self.zone.key_config(slot));
        if key.private() {
            Some(format!("slot {slot} holds a private key instead of a symmetric one: it can't work"))
        } else if !access.is_secret() && !access.encrypt_read() {
            Some(format!("key {slot} can be read in clear"))
        } else if self.replaceable(slot) {
            Some(format!("key {slot} can be overwritten in clear"))
        } else {
            None
        }
    }

    fn chip(&mut self) {
        let zone = self.zone;
        match zone.chip_mode() >> 3 {
            0 | 0x05 => {}
            0x0D => self.say(
                Verdict::Warning,
                None,
                "clock divider 13 (slowest): a signature can take longer than the watchdog permits, and fail",
            ),
            other => self.say(Verdict::Failed, None, format!("clock divider {other}: expected 0, 5 or 13")),
        }
        debug_assert!(matches!(zone.clock_divider(), ClockDivider::M0 | ClockDivider::M1 | ClockDivider::M2));
        let (options, io_key) = (zone.chip_options(), zone.chip_options().io_key());
        if options.io_protection() {
            match self.weakness(io_key) {
                Some(weakness) if zone.key_config(io_key).private() => {
                    self.say(Verdict::Failed, Some(io_key), weakness)
                }
                Some(weakness) => self.say(
                    Verdict::Warning,
                    Some(io_key),
                    format!(
                        "the IO protection key protects against listeners only, not against writers on the bus: \
                         {weakness}"
                    ),
                ),
                None => {}
            }
        } else if options.ecdh_protection() == 1 || options.kdf_protection() == 1 {
            self.say(
                Verdict::Failed,
                None,
                "results of ECDH or KDF leave the chip encrypted only, and there is no IO protection key: they can \
                 never leave it",
            );
        }
        let locked: Vec<String> = Slot::all().filter(|slot| zone.slot_locked(*slot)).map(|s| s.to_string()).collect();
        if !zone.config_locked() && !locked.is_empty() {
            self.say(
                Verdict::Failed,
                None,
                format!("slot_locked locks slots {} from the beginning: they stay as they are", locked.join(", ")),
            );
        }
        if !zone.config_locked() && Slot::all().all(|slot| zone.slot_config(slot).0 == FACTORY[slot.index()]) {
            self.say(
                Verdict::Failed,
                None,
                "these are the factory settings of the slots: no configuration has been written yet",
            );
        }
        if zone.config_locked() && !zone.data_locked() {
            self.say(
                Verdict::Failed,
                None,
                "the data zone is not locked: until it is, anybody can write every slot in clear, private keys \
                 included",
            );
        }
    }

    fn address(&mut self) {
        let (zone, bytes) = (self.zone, *self.zone.as_bytes());
        let address = zone.i2c_address();
        if !(0x08..=0x77).contains(&address) {
            let text = format!("I2C address {address:#04x} is reserved: the chip could not be reached any more");
            self.say(Verdict::Failed, None, text);
        }
        if zone.chip_mode() & 1 == 1 && bytes[offset::USER_EXTRA_ADD] == 0 {
            self.say(
                Verdict::Warning,
                None,
                "user_extra_add is the I2C address (ChipMode bit 0) and is not set yet: UpdateExtra can move the chip \
                 to any address, once",
            );
        }
        if zone.chip_mode() & 1 == 0 && bytes[offset::USER_EXTRA_ADD] != 0 {
            let text = format!(
                "user_extra_add is {:#04x}, and ChipMode bit 0 is clear: the chip does not use it as its address",
                bytes[offset::USER_EXTRA_ADD]
            );
            self.say(Verdict::Warning, None, text);
        }
        let byte = bytes[offset::I2C_ADDRESS];
        if USUAL_ADDRESSES.contains(&byte) && !USUAL_ADDRESSES.contains(&address) {
            let text = format!(
                "byte 16 is {byte:#04x}, which looks like an address of 7 bits: the chip would respond at {address:#04x}. For \
                 {byte:#04x} write {:#04x}, the address shifted left by one bit",
                byte << 1
            );
            self.say(Verdict::Failed, None, text);
        }
    }

    /// Bytes with another meaning on an ATECC508A, as in configurations made for it.
    fn left_by_a_508(&mut self) {
        if self.zone.revision()[2] == 0x50 {
            self.say(
                Verdict::Ok,
                None,
                "the revision is that of an ATECC508A: this is what the bytes mean on an ATECC608",
            );
        }
        let bytes = *self.zone.as_bytes();
        match bytes[offset::COUNT_MATCH] {
            0 => {}
            byte if byte & 1 == 1 => self.say(
                if matches!(byte, 0x55 | 0xAA) { Verdict::Failed } else { Verdict::Ok },
                Some(Slot::from_nibble(byte >> 4)),
                format!(
                    "byte 18 is {byte:#04x}: {}on a 608 it is CountMatch, on, and slot {} holds the limit of all LimitedUse \
                     keys",
                    if byte == 0x55 { "OTPmode of a 508 (consumption); " } else { "" },
                    byte >> 4
                ),
            ),
            byte => self.say(
                Verdict::Warning,
                None,
                format!("byte 18 is {byte:#04x}: OTPmode of a 508; on a 608 it is CountMatch, off, and should be 0"),
            ),
        }
        if bytes[offset::USE_LOCK..offset::USER_EXTRA].iter().all(|byte| *byte == 0xFF) {
            self.say(
                Verdict::Failed,
                None,
                "bytes 68 to 83 are FF: LastKeyUse of a 508. On a 608 that is UseLock, a permission for volatile keys \
                 (slot 15), and secure boot on (FullDig, slots 15 and 15)",
            );
        } else if bytes[offset::SECURE_BOOT] & 3 != 0 {
            let key = self.zone.secure_boot().key_slot();
            if !matches!(self.zone.key_config(key).key_type(), KeyType::P256) || self.zone.key_config(key).private() {
                self.say(
                    Verdict::Failed,
                    Some(key),
                    "secure boot needs a public key here, and the slot is not for one",
                );
            } else if self.replaceable(key) {
                self.say(Verdict::Failed, Some(key), "the public key of secure boot can be overwritten in clear");
            }
        }
    }

    fn private(&mut self, slot: Slot) {
        let (zone, at) = (self.zone, Some(slot));
        let (access, key, policy) =
            (zone.slot_config(slot), zone.key_config(slot), zone.slot_config(slot).write_config());
        if !matches!(key.key_type(), KeyType::P256) {
            self.say(Verdict::Failed, at, "a private key of a type that the chip does not support: it can't be used");
        }
        if !access.is_secret() {
            self.say(Verdict::Failed, at, "a private key that is not marked secret: GenKey and Sign refuse it");
        }
        if policy.priv_write() && !zone.slot_locked(slot) {
            let write_key = access.write_key();
            if let Some(weakness) = self.weakness(write_key) {
                self.say(
                    Verdict::Failed,
                    at,
                    format!(
                        "the private key can be overwritten by anybody who reaches the bus: imports are encrypted with \
                         key {write_key}, and {weakness}"
                    ),
                );
            }
        }
        if policy.gen_key() && !key.req_auth() && !zone.slot_locked(slot) {
            let until = if key.lockable() { "; `atecc608 lock slot` ends that" } else { "" };
            self.say(Verdict::Ok, at, format!("anybody who reaches the bus can generate a new key here{until}"));
        }
        if access.ecdh() && access.ecdh_to_slot() {
            let target = Slot::from_nibble(slot.number() | 1);
            if !zone.slot_config(target).is_secret() {
                let text = format!("ECDH writes its results into slot {target}, which can be read in clear");
                self.say(Verdict::Failed, at, text);
            }
        } else if access.ecdh() && zone.chip_options().ecdh_protection() == 0 {
            self.say(
                Verdict::Warning,
                at,
                "ECDH results cross the bus in clear if the host requests it (ECDHProt is 0)",
            );
        }
        if access.external_sign() && access.internal_sign() {
            self.say(
                Verdict::Warning,
                at,
                "signs data of the host and data of the chip: the host can make it sign a false statement of the chip",
            );
        }
        if !access.external_sign() && !access.internal_sign() && !access.ecdh() {
            self.say(Verdict::Warning, at, "a private key without any permitted use");
        }
        if !key.pub_info() {
            self.say(Verdict::Warning, at, "its public key can't be read: no certificate can be issued for it");
        }
        if !policy.gen_key() && !policy.priv_write() {
            self.say(Verdict::Ok, at, "permanent: the key must be generated or written before the data lock");
        }
        self.common(slot);
    }

    fn other(&mut self, slot: Slot) {
        let (zone, at) = (self.zone, Some(slot));
        let (access, key) = (zone.slot_config(slot), zone.key_config(slot));
        let is_public_key = matches!(key.key_type(), KeyType::P256);
        if let KeyType::Reserved(number) = key.key_type() {
            self.say(Verdict::Failed, at, format!("key type {number} is reserved"));
        }
        if is_public_key && slot.number() < 8 {
            self.say(Verdict::Failed, at, "a public key needs 72 bytes, and slots 0 to 7 have 36");
        }
        if is_public_key && self.replaceable(slot) && !key.pub_info() {
            self.say(Verdict::Ok, at, "anybody who reaches the bus can replace this public key: do not trust it");
        }
        if access.is_secret() && !access.encrypt_read() && access.read_key().number() == 0 {
            self.say(Verdict::Warning, at, "ReadKey 0 on a secret: CheckMac copies it to TempKey (the copy function)");
        }
        if access.is_secret() && self.replaceable(slot) {
            self.say(
                Verdict::Warning,
                at,
                "a secret that can be overwritten in clear: anybody who reaches the bus can replace it",
            );
        }
        if !access.is_secret() && access.encrypt_read() {
            self.say(Verdict::Failed, at, "reads are encrypted, but the slot is not marked secret");
        }
        let encrypted_writes = self.policy(slot) == WritePolicy::Encrypted;
        let uses =
            [(access.encrypt_read(), access.read_key(), "reads"), (encrypted_writes, access.write_key(), "writes")];
        for (used, with, what) in uses {
            if !used || with == slot {
                continue;
            }
            if let Some(weakness) = self.weakness(with) {
                let result = if access.is_secret() { Verdict::Failed } else { Verdict::Warning };
                self.say(result, at, format!("{what} are encrypted with key {with}, and {weakness}"));
            }
        }
        let with = access.write_key();
        let usable = with != slot && self.weakness(with).is_none();
        if encrypted_writes && usable && zone.slot_config(with).no_mac() {
            let text = format!("writes are encrypted with key {with}, which is NoMac: the chip refuses them");
            self.say(Verdict::Warning, at, text);
        }
        self.common(slot);
    }

    fn common(&mut self, slot: Slot) {
        let (zone, at) = (self.zone, Some(slot));
        let key = zone.key_config(slot);
        if key.persistent_disable() && !zone.secure_boot().sets_latch() {
            match zone.latch_authority() {
                Some(_) => self.say(
                    Verdict::Warning,
                    at,
                    "works only while the persistent latch is set, and secure boot does not set it: the host has to, after \
                     each power-up (`atecc608 latch set`)",
                ),
                None => self.say(
                    Verdict::Failed,
                    at,
                    "works only while the persistent latch is set, and nothing in this configuration can set it: \
                     neither secure boot nor VolatileKeyPermission",
                ),
            }
        }
        if zone.slot_config(slot).limited_use() {
            self.say(
                Verdict::Warning,
                at,
                "the number of its uses is limited permanently: it stops working when they are used up",
            );
        }
    }

    fn authorisation(&mut self, slot: Slot) {
        let key = self.zone.key_config(slot);
        if !key.req_auth() {
            if key.auth_key().number() != 0 {
                self.say(Verdict::Warning, Some(slot), "AuthKey is set without ReqAuth: it should be 0");
            }
            return;
        }
        if key.private() && is_barred(self.zone, profile::matching(self.zone), slot) {
            self.say(
                Verdict::Warning,
                Some(slot),
                "its use needs an authorisation, which this software supports only on chips with the profile tls-pin: \
                 it could not use the key",
            );
        }
        let auth_key = key.auth_key();
        let access = self.zone.slot_config(auth_key);
        if let Some(weakness) = self.weakness(auth_key) {
            let text = format!("its use needs an authorisation with key {auth_key}, and {weakness}");
            self.say(Verdict::Failed, Some(slot), text);
        } else if !access.no_mac() {
            let text = format!(
                "its use needs an authorisation with key {auth_key}, which is not NoMac: MAC returns what CheckMac \
                 expects, without the secret"
            );
            self.say(Verdict::Failed, Some(slot), text);
        } else if access.read_key().number() == 0 {
            let text =
                format!("its use needs an authorisation with key {auth_key}, whose ReadKey is 0 (CheckMac's copy)");
            self.say(Verdict::Failed, Some(slot), text);
        }
    }
}
