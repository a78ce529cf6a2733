// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules. Their input is the command, the response, and the EEPROM before and after; they do not depend on the
//! chip's implementation.
//!
//! A secret is the content of a slot that is private, IsSecret or EncryptRead, if it was written before the data lock
//! or made by the chip; and the key of an encrypted transfer during the transfer. Data written after the data lock
//! belongs to its writer. The result of an ECDH or KDF is a secret only if ChipOptions keep it from the bus: else the
//! same command with another target returns it.

use std::collections::HashSet;

use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_wire::config_zone::KeyType;
use atecc608_wire::{CommandPacket, ConfigZone, Opcode, Slot};

use super::temp_key::{self, TempKey};
use atecc608_testkit::master::{sha, slot, OK, SN};

/// Bytes of a secret that do not appear by chance.
const WINDOW: usize = 8;

#[derive(Default)]
pub struct Judge {
    /// Every window of every secret so far.
    secrets: HashSet<[u8; WINDOW]>,
    temp_key: Option<TempKey>,
    /// The SHA context belongs to an HMAC.
    hmac: bool,
    /// Slots that CheckMac proved knowledge of since the last sleep.
    authorised: u16,
}

/// One command and its effects.
pub struct Event<'a> {
    pub before: &'a Image,
    pub packet: &'a CommandPacket,
    pub payload: &'a [u8],
    pub after: &'a Image,
}

impl Event<'_> {
    fn config(&self) -> ConfigZone {
        self.before.config()
    }

    fn mode(&self) -> u8 {
        self.packet.param1
    }

    fn encrypted(&self) -> bool {
        self.mode() & 0x40 != 0
    }

    /// Param2 as a slot, as in most commands.
    fn slot(&self) -> Slot {
        slot(self.packet.param2 as u8)
    }

    fn succeeded(&self) -> bool {
        self.packet.opcode == Opcode::SELF_TEST || self.payload.len() > 1 || self.payload[0] == OK
    }

    fn changed(&self, part: Part) -> bool {
        self.before.part(part) != self.after.part(part)
    }

    /// Reads and writes of slots: the slot, and the offset in it.
    fn place(&self) -> (Slot, usize) {
        let [low, block] = self.packet.param2.to_le_bytes();
        let word = if self.mode() & 0x80 == 0 { low & 7 } else { 0 };
        (slot(low >> 3 & 15), 32 * usize::from(block) + 4 * usize::from(word))
    }
}

fn guarded(config: &ConfigZone, slot: Slot) -> bool {
    let access = config.slot_config(slot);
    config.key_config(slot).private() || access.is_secret() || access.encrypt_read()
}

impl Judge {
    /// SRAM is lost.
    pub fn slept(&mut self) {
        self.temp_key = None;
        self.hmac = false;
        self.authorised = 0;
    }

    /// Panics if the chip violated a rule.
    pub fn check(&mut self, event: &Event<'_>) {
        if event.succeeded() {
            match event.packet.opcode {
                Opcode::READ => self.read(event),
                Opcode::WRITE => self.write(event),
                Opcode::PRIV_WRITE => self.priv_write(event),
                Opcode::GEN_KEY => gen_key(event),
                Opcode::DERIVE_KEY => self.derive_key(event),
                Opcode::MAC => self.mac(event),
                Opcode::CHECK_MAC => self.check_mac(event),
                Opcode::SHA => self.sha(event),
                Opcode::GEN_DIG if event.mode() == 2 => assert!(!private(event), "GenDig with a private key"),
                Opcode::AES if event.mode() & 3 != 3 && event.packet.param2 != 0xFFFF => aes(event),
                Opcode::ECDH => ecdh(event),
                Opcode::KDF => kdf(event),
                Opcode::SIGN => sign(event),
                _ => {}
            }
            self.authorisation(event);
        } else {
            let status = event.payload[0];
            assert!([0x01, 0x03, 0x05, 0x0F].contains(&status), "status {status:02X}");
            assert!(event.before == event.after, "refused, and yet something was written");
        }
        locks(event);
        self.leaks(event);
        self.remember(event);
    }

    /// No response contains eight bytes of a secret. An encrypted read shows its own key if the plaintext is known; by
    /// then the key is cleared.
    fn leaks(&self, event: &Event<'_>) {
        for window in event.payload.windows(WINDOW) {
            assert!(!self.secrets.contains(window), "the answer shows a secret");
        }
        if let Some(TempKey { value: Some(value), key: Some(_), .. }) = &self.temp_key {
            let own = event.packet.opcode == Opcode::READ;
            let shown = event.payload.windows(WINDOW).any(|shown| value.windows(WINDOW).any(|part| part == shown));
            assert!(own || !shown, "the answer shows a session's key");
        }
    }

    fn remember(&mut self, event: &Event<'_>) {
        let config = event.after.config();
        let options = config.chip_options();
        let secret = match event.packet.opcode {
            Opcode::WRITE | Opcode::PRIV_WRITE => !event.config().data_locked(),
            Opcode::ECDH => options.ecdh_protection() != 0,
            Opcode::KDF => options.kdf_protection() != 0,
            _ => true,
        };
        for part in Slot::all().filter(|slot| secret && guarded(&config, *slot)).map(Part::Slot) {
            let (old, new) = (event.before.part(part), event.after.part(part));
            for at in 0..new.len().saturating_sub(WINDOW - 1) {
                let window: [u8; WINDOW] = new[at..at + WINDOW].try_into().unwrap();
                // Eight equal bytes are not secret: an erased slot, the end of a short block.
                if window != old[at..at + WINDOW] && window != [window[0]; WINDOW] {
                    self.secrets.insert(window);
                }
            }
        }
        if event.succeeded() {
            let old = self.temp_key.take();
            self.temp_key = temp_key::after(old, event.packet, event.payload, event.before);
        }
    }

    /// The TempKey of an encrypted transfer: GenDig made it with this slot's key from a random nonce. Returns its
    /// value, if known.
    fn session(&self, key: Slot) -> Option<[u8; 32]> {
        let temp_key = self.temp_key.as_ref().expect("an encrypted transfer without a TempKey");
        assert!(temp_key.is_session_of(key.number()), "an encrypted transfer with {temp_key:?} instead of {key:?}'s");
        temp_key.value
    }

    fn read(&self, event: &Event<'_>) {
        let config = event.config();
        let len = if event.mode() & 0x80 == 0 { 4 } else { 32 };
        let (part, at) = match event.mode() & 3 {
            2 => (Part::Slot(event.place().0), event.place().1),
            zone => ([Part::Config, Part::Otp][usize::from(zone)], usize::from(event.packet.param2 & 0x1F) * 4),
        };
        let at = if len == 32 { at / 32 * 32 } else { at };
        let mut expected: Vec<u8> = event.before.part(part)[at..].iter().copied().take(len).collect();
        expected.resize(len, 0);
        assert!(part == Part::Config || config.data_locked(), "{part:?} was read before the data lock");
        if let Part::Slot(slot) = part {
            let access = config.slot_config(slot);
            assert!(!config.key_config(slot).private(), "a private key was read");
            if guarded(&config, slot) {
                assert!(access.is_secret() && access.encrypt_read() && len == 32, "{slot:?} was read: {access:?}");
                let Some(key) = self.session(access.read_key()) else { return };
                expected.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            }
        }
        assert_eq!(event.payload, expected, "what was read is not what is stored");
    }

    fn write(&self, event: &Event<'_>) {
        let config = event.config();
        let (slot, at) = event.place();
        match event.mode() & 3 {
            0 => return assert!(!config.config_locked(), "the locked configuration was written"),
            1 => return assert!(config.config_locked() && !config.data_locked(), "OTP was written"),
            _ => {}
        }
        let access = config.slot_config(slot);
        assert!(config.config_locked() && !config.key_config(slot).private(), "Write to {slot:?}");
        let wide = event.mode() & 0x80 != 0;
        if config.data_locked() {
            let bits = access.write_config().0;
            let allowed = if event.encrypted() { bits & 4 != 0 } else { bits <= 1 };
            assert!(allowed, "WriteConfig {bits:04b}, encrypted: {}", event.encrypted());
            assert!(wide || !access.is_secret() && !access.encrypt_read(), "a word of {slot:?} was written");
        } else {
            assert!(wide, "a word was written before the data lock");
        }
        if event.encrypted() {
            let Some(key) = self.session(access.write_key()) else { return };
            let plain: Vec<u8> = event.packet.data[..32].iter().zip(key).map(|(byte, key)| byte ^ key).collect();
            assert_eq!(event.packet.data[32..], transfer_mac(&key, event.packet, &[0; 25], &plain), "the MAC of Write");
            let stored = &event.after.part(Part::Slot(slot))[at..];
            // The first byte of a public key that requires validation belongs to the chip.
            let len = stored.len().min(32);
            assert_eq!(stored[1..len], plain[1..len], "what was stored is not what was sent");
        }
    }

    fn priv_write(&self, event: &Event<'_>) {
        let config = event.config();
        let access = config.slot_config(event.slot());
        assert!(private(event) && access.is_secret(), "PrivWrite to a slot for something else");
        if !event.encrypted() {
            return assert!(!config.data_locked(), "a private key was written in clear after the data lock");
        }
        assert!(access.write_config().0 & 4 != 0, "PrivWrite is forbidden");
        let Some(key) = self.session(access.write_key()) else { return };
        let stream = [&key[..], &sha(&[&key])[..4]].concat();
        let plain: Vec<u8> = event.packet.data[..36].iter().zip(stream).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(event.packet.data[36..], transfer_mac(&key, event.packet, &[0; 21], &plain), "the MAC of PrivWrite");
        assert_eq!(event.after.part(Part::Slot(event.slot()))[..36], plain);
    }

    fn derive_key(&self, event: &Event<'_>) {
        let (config, target) = (event.config(), event.slot());
        let access = config.slot_config(target);
        let bits = access.write_config().0;
        assert!(bits & 2 != 0 && !private(event) && config.data_locked(), "DeriveKey is not allowed: {bits:04b}");
        let parent = if bits & 1 != 0 { access.write_key() } else { target };
        assert!(!config.key_config(parent).private(), "DeriveKey from a private key");
        let parent = &event.before.part(Part::Slot(parent))[..32];
        let header = header(event.packet);
        if bits & 8 != 0 || !event.packet.data.is_empty() {
            assert_eq!(event.packet.data, sha(&[parent, &header, &SN]), "the MAC of DeriveKey");
        }
        let temp_key = self.temp_key.as_ref().expect("DeriveKey without a TempKey");
        assert!(!temp_key.no_mac && temp_key.random != (event.mode() & 4 != 0), "DeriveKey with {temp_key:?}");
        if let Some(value) = temp_key.value {
            let key = sha(&[parent, &header, &SN, &[0; 25], &value]);
            assert_eq!(event.after.part(Part::Slot(target))[..32], key, "the derived key");
        }
    }

    fn mac(&self, event: &Event<'_>) {
        if event.mode() & 2 == 0 {
            let access = event.config().slot_config(event.slot());
            assert!(!access.no_mac() && !private(event), "MAC with {:?}", event.slot());
        }
        assert!(event.mode() & 3 == 0 || self.temp_key.as_ref().is_some_and(|temp_key| !temp_key.no_mac), "NoMacFlag");
    }

    /// Success requires knowledge of the key.
    fn check_mac(&mut self, event: &Event<'_>) {
        let (challenge, rest) = event.packet.data.split_first_chunk::<32>().unwrap();
        let (response, other) = rest.split_first_chunk::<32>().unwrap();
        assert!(event.mode() & 2 != 0 || !private(event), "CheckMac with a private key");
        let value = self.temp_key.as_ref().and_then(|temp_key| temp_key.value);
        let block = |bit: u8, otherwise: &[u8]| -> Option<[u8; 32]> {
            if event.mode() & bit != 0 {
                value
            } else {
                otherwise.first_chunk().copied()
            }
        };
        let blocks = block(2, event.before.part(Part::Slot(event.slot()))).zip(block(1, challenge));
        if let Some((first, second)) = blocks {
            let otp =
                if event.mode() & 0x20 == 0 { [0; 8] } else { event.before.part(Part::Otp)[..8].try_into().unwrap() };
            let parts = [&first[..], &second, &other[..4], &otp, &other[4..7], &SN[..1], &other[7..11], &SN[1..]];
            assert_eq!(*response, sha(&[&parts.concat(), &other[11..]]), "CheckMac takes a wrong response");
        }
        if event.mode() & 3 == 1 && self.temp_key.as_ref().is_some_and(|temp_key| temp_key.random) {
            self.authorised |= 1 << event.slot().number();
        }
    }

    fn sha(&mut self, event: &Event<'_>) {
        match event.mode() & 7 {
            4 => {
                self.hmac = true;
                if event.packet.param2 != 0xFFFF {
                    let access = event.config().slot_config(event.slot());
                    assert!(!access.no_mac() && !private(event), "HMAC with {:?}", event.slot());
                }
            }
            0 | 7 => self.hmac = false,
            6 => assert!(!self.hmac, "the context of an HMAC was read"),
            _ => {}
        }
    }

    /// ReqAuth: no use of a key without proof of knowing its AuthKey.
    fn authorisation(&self, event: &Event<'_>) {
        let opcode = event.packet.opcode;
        let uses_slot = match opcode {
            Opcode::MAC | Opcode::CHECK_MAC => event.mode() & 2 == 0,
            Opcode::AES => event.mode() & 3 != 3,
            Opcode::SHA => event.mode() & 7 == 4,
            Opcode::ECDH => event.mode() & 1 == 0,
            Opcode::GEN_DIG => event.mode() == 2,
            Opcode::SIGN => true,
            _ => false,
        };
        let used = match opcode {
            Opcode::KDF => kdf_slots(event),
            _ if uses_slot && event.packet.param2 != 0xFFFF => vec![event.slot()],
            _ => Vec::new(),
        };
        for slot in used {
            assert!(self.may_use(event, slot), "{slot:?} was used without authorisation");
        }
        if event.config().data_locked() {
            for slot in Slot::all().filter(|slot| event.changed(Part::Slot(*slot))) {
                assert!(self.may_use(event, slot), "{slot:?} was changed without authorisation");
            }
        }
    }

    fn may_use(&self, event: &Event<'_>, slot: Slot) -> bool {
        let key = event.config().key_config(slot);
        !key.req_auth() || self.authorised >> key.auth_key().number() & 1 != 0
    }
}

fn private(event: &Event<'_>) -> bool {
    event.config().key_config(event.slot()).private()
}

fn header(packet: &CommandPacket) -> [u8; 4] {
    let [low, high] = packet.param2.to_le_bytes();
    [packet.opcode.0, packet.param1, low, high]
}

/// The MAC of Write and PrivWrite.
fn transfer_mac(key: &[u8], packet: &CommandPacket, zeros: &[u8], plain: &[u8]) -> [u8; 32] {
    sha(&[key, &header(packet), &SN, zeros, plain])
}

fn gen_key(event: &Event<'_>) {
    let config = event.config();
    if event.packet.param2 == 0xFFFF || event.mode() == 0x10 {
        return;
    }
    assert!(private(event) && config.slot_config(event.slot()).is_secret(), "GenKey in {:?}", event.slot());
    let create = event.mode() & 4 != 0;
    if config.data_locked() {
        let allowed = config.slot_config(event.slot()).write_config().0 & 2 != 0;
        assert!(!create || allowed, "GenKey is forbidden");
        assert!(create || config.key_config(event.slot()).pub_info(), "a public key without PubInfo");
    }
}

fn aes(event: &Event<'_>) {
    let key = event.config().key_config(event.slot());
    assert!(key.key_type() == KeyType::Aes && !key.private(), "AES with {:?}", event.slot());
}

fn ecdh(event: &Event<'_>) {
    let config = event.config();
    let protection = config.chip_options().ecdh_protection();
    if event.mode() & 1 == 0 {
        let access = config.slot_config(event.slot());
        assert!(private(event) && access.ecdh(), "ECDH with {:?}", event.slot());
        assert!(event.payload.len() == 1 || !access.ecdh_to_slot(), "the secret is for slot N|1");
    }
    match event.payload.len() {
        32 => assert_eq!(protection, 0, "a secret in clear"),
        64 => assert!(protection <= 1 && config.chip_options().io_protection(), "a secret on the bus"),
        _ => {}
    }
}

fn kdf(event: &Event<'_>) {
    let config = event.config();
    let options = config.chip_options();
    for slot in kdf_slots(event) {
        assert!(!config.key_config(slot).private(), "KDF with a private key");
        assert!(!config.slot_config(slot).no_mac(), "KDF with {slot:?}, which has NoMac");
    }
    match event.mode() & 0x1C {
        0x14 => assert!(options.kdf_protection() <= 1 && options.io_protection(), "a derived key on the bus"),
        _ if event.payload.len() > 1 => assert_eq!(options.kdf_protection(), 0, "a derived key in clear"),
        _ => {}
    }
}

/// The slots that a KDF takes its key and, if it is HKDF, its message from.
fn kdf_slots(event: &Event<'_>) -> Vec<Slot> {
    let hkdf = event.mode() & 0x60 == 0x40;
    let [low, high] = [event.packet.data[0], event.packet.data[1]];
    // HKDF with a key of zeros uses no source.
    let source = (event.mode() & 3 == 2 && !(hkdf && low & 4 != 0)).then(|| event.slot());
    let message = (hkdf && low & 3 == 0).then(|| slot(high));
    source.into_iter().chain(message).collect()
}

fn sign(event: &Event<'_>) {
    let access = event.config().slot_config(event.slot());
    let allowed = if event.mode() & 0x80 != 0 { access.external_sign() } else { access.internal_sign() };
    assert!(private(event) && allowed, "Sign with {:?}", event.slot());
}

/// Locked contents stay locked and unchanged.
fn locks(event: &Event<'_>) {
    let (old, new) = (event.config(), event.after.config());
    let slot_changed = |slot: &Slot| event.changed(Part::Slot(*slot));
    for slot in Slot::all().filter(|slot| old.slot_locked(*slot)) {
        assert!(new.slot_locked(slot), "a slot was unlocked");
        assert!(!slot_changed(&slot), "the locked slot {slot} was changed");
    }
    assert!(new.config_locked() || !old.config_locked() && !new.data_locked(), "the configuration's lock was undone");
    assert!(new.data_locked() || !old.data_locked(), "the data zone's lock was undone");
    assert!(!(event.changed(Part::Otp) && old.data_locked()), "OTP was changed after the data lock");
    assert!(
        old.config_locked() || !Slot::all().any(|slot| slot_changed(&slot)),
        "data before the configuration's lock"
    );
    assert!(Slot::all().filter(slot_changed).count() <= 1, "one command changed several slots");
    let (old, new) = (old.as_bytes(), new.as_bytes());
    for at in (0..ConfigZone::LEN).filter(|at| old[*at] != new[*at]) {
        let opcode = event.packet.opcode;
        let allowed = match at {
            // Written by the chip only.
            0..=15 => false,
            84 | 85 => opcode == Opcode::UPDATE_EXTRA && old[at] == 0,
            86 | 87 => opcode == Opcode::LOCK && new[at] == 0,
            88 | 89 if old[87] == 0 => opcode == Opcode::LOCK && old[at] & new[at] == new[at],
            // Counters: the first also counts uses of keys.
            52..=59 if old[87] == 0 => {
                event.after.config().counter(0) == event.config().counter(0).map(|count| count + 1)
            }
            60..=67 if old[87] == 0 => opcode == Opcode::COUNTER && event.mode() == 1,
            _ => old[87] != 0 && opcode == Opcode::WRITE,
        };
        assert!(allowed, "{opcode} changed configuration byte {at} from {:02X} to {:02X}", old[at], new[at]);
    }
}
