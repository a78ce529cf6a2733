// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executes the steps: a bus master who knows some of the keys, observed by the judge.

use std::collections::HashSet;

use atecc608_sim::chip::ExecutionTimes;
use atecc608_sim::image::Part;
use atecc608_sim::{Image, Profile, Switches};
use atecc608_wire::config_zone::KeyType;
use atecc608_wire::{frame, CommandPacket, Opcode, Slot};

use super::judge::{Event, Judge};
use super::steps::{Between, Case, Rest, Session, SessionNonce, Stage, Step};
use atecc608_testkit::master::{sha, slot, Master, ADDRESS, OK, SERIAL, SN};

/// A point of the curve (the fact sheet's, section 3.13): another party's public key.
const POINT: &str = "8F8D182BD819048582A9927EA0C56DEFB4159548E11CA5F7ABAC45BBCE76815B\
                     E5C64FCD2FD12698544DE037951726666073046119AD5E11A90AA49773AEAC86";

pub struct Attacker {
    master: Master,
    case: Case,
    judge: Judge,
    drawn: u64,
    /// TempKey, if the attacker knows it: from nonces, and keys that he knows.
    temp_key: Option<[u8; 32]>,
    /// Opcodes that succeeded, with their modes: the coverage of the search.
    pub reached: HashSet<(Opcode, u8)>,
    /// The sources of HKDF's message in commands that succeeded: details bits 0 and 1.
    pub hkdf_messages: HashSet<u8>,
}

impl Attacker {
    pub fn new(case: &Case) -> Self {
        // The less strict setting: with the default, KDF and ECDH can't write to any slot with restricted contents.
        let wide = |switches: &mut Switches| {
            switches.kdf_target_needs_always_write = false;
            switches.ecdh_target_follows_write_config = false;
        };
        let master = Master::with_switches(Profile::Blank608B.image(SERIAL, ADDRESS), wide);
        master.bus.set_execution_times(ExecutionTimes::Zero);
        master.wake();
        let (case, judge) = (case.clone(), Judge::default());
        let (reached, hkdf_messages) = (HashSet::new(), HashSet::new());
        Self { master, case, judge, drawn: 0, temp_key: None, reached, hkdf_messages }
    }

    /// Asserts that the locks are as the model says.
    pub fn assert_stage(&self, case: &Case) {
        let config = self.image().config();
        assert_eq!(config.config_locked(), case.stage >= Stage::ConfigLocked);
        assert_eq!(config.data_locked(), case.stage >= Stage::DataLocked);
        for slot in Slot::all() {
            assert_eq!(config.slot_locked(slot), case.locked >> slot.number() & 1 != 0, "{slot:?}");
        }
    }

    fn image(&self) -> Image {
        self.master.bus.image(0).unwrap()
    }

    /// 32 unique bytes.
    fn fresh(&mut self) -> [u8; 32] {
        self.drawn += 1;
        sha(&[b"a value of the attacker's", &self.drawn.to_le_bytes()])
    }

    /// Sends a command, passes it to the judge, and returns its payload if it succeeded.
    fn send(&mut self, opcode: Opcode, param1: u8, param2: u16, data: &[u8]) -> Option<Vec<u8>> {
        let packet = CommandPacket::with_data(opcode, param1, param2, data.to_vec());
        let before = self.image();
        self.master.write(&[vec![0x03], packet.encode()].concat()).unwrap();
        let payload = frame::decode_response(&self.master.response()).unwrap().to_vec();
        self.judge.check(&Event { before: &before, packet: &packet, payload: &payload, after: &self.image() });
        let succeeded = payload.len() > 1 || payload[0] == OK;
        if succeeded {
            self.reached.insert((opcode, param1));
            if opcode == Opcode::KDF && param1 & 0x60 == 0x40 {
                self.hkdf_messages.insert(data[0] & 3);
            }
        }
        succeeded.then_some(payload)
    }

    /// The key in a slot, or a guess.
    fn key(&self, number: u8) -> [u8; 32] {
        if self.case.known >> number & 1 == 0 {
            return [number; 32];
        }
        self.image().part(Part::Slot(slot(number)))[..32].try_into().unwrap()
    }

    fn rest(&mut self, rest: Rest) {
        match rest {
            Rest::Idle => self.master.idle(),
            Rest::Sleep => self.master.sleep(),
            Rest::PowerCycle => {
                self.master.bus.power_off();
                self.master.bus.power_on();
            }
        }
        if !matches!(rest, Rest::Idle) {
            self.judge.slept();
            self.temp_key = None;
        }
        self.master.wake();
    }

    /// TempKey := a random or a fixed nonce.
    fn nonce(&mut self, fixed: bool) {
        let input = self.fresh();
        if fixed {
            self.temp_key = self.send(Opcode::NONCE, 3, 0, &input).map(|_| input);
        } else {
            let random = self.send(Opcode::NONCE, 0, 0, &input[..20]);
            self.temp_key = random.map(|random| sha(&[&random, &input[..20], &[0x16, 0, 0]]));
        }
    }

    fn gen_dig(&mut self, number: u8) {
        let other = [0x15, 2, number, 0];
        let done = self.send(Opcode::GEN_DIG, 2, number.into(), &other).is_some();
        let old = self.temp_key.filter(|_| done);
        self.temp_key = old.map(|old| sha(&[&self.key(number), &other, &SN, &[0; 25], &old]));
    }

    /// Prepares TempKey for an encrypted transfer with a slot's key, or nearly so. Returns the attacker's value of it.
    fn open(&mut self, configured: u8, session: &Session) -> [u8; 32] {
        match session.nonce {
            SessionNonce::Random => self.nonce(false),
            SessionNonce::Fixed => self.nonce(true),
            SessionNonce::None => {}
        }
        self.gen_dig(session.key.unwrap_or(configured));
        match session.between {
            Between::Nothing | Between::Twice => {}
            Between::Idle => self.rest(Rest::Idle),
            Between::Sleep => self.rest(Rest::Sleep),
            Between::GenDigConfig => drop(self.send(Opcode::GEN_DIG, 0, 1, &[])),
            Between::GenDig(other) => self.gen_dig(other),
            Between::Derived => {
                let input = self.fresh();
                let value = self.send(Opcode::NONCE, 0, 0x8000, &input[..20]);
                self.temp_key = value.and_then(|value| value.try_into().ok());
            }
            Between::Mac(other) => drop(self.send(Opcode::MAC, 5, other.into(), &[])),
        }
        self.temp_key.unwrap_or([0x5A; 32])
    }

    /// A slot's configured ReadKey and WriteKey.
    fn keys_of(&self, number: u8) -> [u8; 2] {
        let access = self.image().config().slot_config(slot(number));
        [access.read_key().number(), access.write_key().number()]
    }

    fn encrypted_write(&mut self, opcode: Opcode, mode: u8, param2: u16, zeros: &[u8], plain: &[u8], key: [u8; 32]) {
        let [low, high] = param2.to_le_bytes();
        let stream = [&key[..], &sha(&[&key])[..4]].concat();
        let cipher: Vec<u8> = plain.iter().zip(stream).map(|(byte, key)| byte ^ key).collect();
        let mac = sha(&[&key, &[opcode.0, mode, low, high], &SN, zeros, plain]);
        self.send(opcode, mode, param2, &[&cipher[..], &mac].concat());
    }

    /// Four zero bytes and a scalar.
    fn scalar(&mut self) -> [u8; 36] {
        let mut key = [0; 36];
        key[4..].copy_from_slice(&self.fresh());
        // Below the order of the group.
        key[4] &= 0x7F;
        key
    }

    pub fn take(&mut self, step: &Step) {
        let address = |slot: u8, block: u8, word: u8| u16::from_le_bytes([slot << 3 | word, block]);
        match *step {
            Step::Configure => self.configure(),
            Step::LockConfig => drop(self.send(Opcode::LOCK, 0x80, 0, &[])),
            Step::LockData => drop(self.send(Opcode::LOCK, 0x81, 0, &[])),
            Step::LockSlot(slot) => drop(self.send(Opcode::LOCK, 2 | slot << 2, 0, &[])),
            Step::Fill => self.fill(),
            Step::WriteOtp(block) => {
                let value = self.fresh();
                self.send(Opcode::WRITE, 0x81, u16::from(block) << 3, &value);
            }
            Step::PrivWriteClear(slot) => {
                let key = self.scalar();
                self.send(Opcode::PRIV_WRITE, 0, slot.into(), &[&key[..], &[0; 32]].concat());
            }
            Step::Generate { slot, mode } => {
                let other: &[u8] = if mode == 0x10 { &[1, 2, 3] } else { &[] };
                self.send(Opcode::GEN_KEY, mode, slot.into(), other);
            }
            Step::Read { zone, slot, block, word, wide } => {
                let at = if zone == 2 { address(slot, block, word) } else { u16::from(block << 3 | word) };
                self.send(Opcode::READ, zone | u8::from(wide) << 7, at, &[]);
            }
            Step::ReadEncrypted { slot, block, wide, ref session } => {
                let [read_key, _] = self.keys_of(slot);
                self.open(read_key, session);
                for _ in 0..times(session) {
                    self.send(Opcode::READ, 2 | u8::from(wide) << 7, address(slot, block, 0), &[]);
                }
            }
            Step::Write { slot, block, wide } => {
                let value = self.fresh();
                let (mode, len) = if wide { (0x82, 32) } else { (0x02, 4) };
                self.send(Opcode::WRITE, mode, address(slot, block, 0), &value[..len]);
            }
            Step::WriteEncrypted { slot, block, ref session } => {
                let [_, write_key] = self.keys_of(slot);
                let (key, plain) = (self.open(write_key, session), self.fresh());
                for _ in 0..times(session) {
                    let address = address(slot, block, 0);
                    self.encrypted_write(Opcode::WRITE, 0xC2, address, &[0; 25], &plain, key);
                }
            }
            Step::PrivWriteEncrypted { slot, ref session } => {
                let [_, write_key] = self.keys_of(slot);
                let (key, plain) = (self.open(write_key, session), self.scalar());
                self.encrypted_write(Opcode::PRIV_WRITE, 0x40, slot.into(), &[0; 21], &plain, key);
            }
            Step::Derive { target, mac, fixed } => self.derive(target, mac, fixed),
            Step::Nonce(kind) => self.any_nonce(kind),
            Step::GenDig { zone: 2, which } => self.gen_dig(which),
            Step::GenDig { zone, which } => {
                let value = self.fresh();
                let data = if zone == 3 { &value[..] } else { &[] };
                self.send(Opcode::GEN_DIG, zone, which.into(), data);
            }
            Step::Mac { slot, mode } => {
                if mode & 3 != 0 {
                    self.nonce(mode & 4 != 0);
                }
                let challenge = self.fresh();
                let data: &[u8] = if mode & 1 == 0 { &challenge } else { &[] };
                self.send(Opcode::MAC, mode, slot.into(), data);
            }
            Step::CheckMac { slot, mode } => self.check_mac(slot, mode),
            Step::Copied { slot, used_by } => {
                self.check_mac(slot, 5);
                let value = self.fresh();
                match used_by {
                    0 => self.send(Opcode::AES, 0, 0xFFFF, &value[..16]),
                    1 => self.send(Opcode::KDF, 0x50, 0, &[&[2, 0, 0, 32], &value[..]].concat()),
                    2 => self.send(Opcode::SHA, 4, 0xFFFF, &[]).and_then(|_| self.send(Opcode::SHA, 2, 32, &value)),
                    _ => self.send(Opcode::MAC, 6, 0, &value),
                };
            }
            Step::Authorised { slot, fixed } => self.use_authorised(slot, fixed),
            Step::Ecdh { slot, mode } => {
                let param2 = if mode & 1 == 0 || mode & 0x0C == 4 { slot } else { 0 };
                if mode & 1 != 0 {
                    self.send(Opcode::GEN_KEY, 4, 0xFFFF, &[]);
                }
                self.send(Opcode::ECDH, mode, param2.into(), &atecc608_testkit::master::hex(POINT));
            }
            Step::Kdf { mode, source, target, details: [first, second] } => {
                // PRF of 32 or 64 bytes, sometimes with halves; AES; HKDF over a slot, TempKey or the input.
                let len = if mode & 0x60 == 0x40 && first & 8 != 0 { 64 } else { 32 };
                let details = match mode & 0x60 {
                    0x00 => [first & 3, second & 3, 0, 32],
                    0x20 => [first & 3, 0, 0, 0],
                    _ if second & 3 == 0 => [first & 4, second >> 4, 0, len],
                    _ if second & 3 == 1 => [1 | first & 4, 0, 0, len],
                    _ => [2 | first & 5, 0, 0, len],
                };
                if second & 4 == 0 {
                    self.any_nonce([3, 3, 0, 5][usize::from(mode & 3)]);
                }
                let message = [self.fresh(), self.fresh()].concat();
                let len = if mode & 0x60 == 0x20 { 16 } else { usize::from(len) };
                let data = [&details[..], &message[..len]].concat();
                self.send(Opcode::KDF, mode, u16::from_le_bytes([source, target]), &data);
            }
            Step::Aes { slot, mode } => {
                let block = self.fresh();
                self.send(Opcode::AES, mode, slot.map_or(0xFFFF, u16::from), &block[..16]);
            }
            Step::Sha { mode, slot } => {
                let bytes = self.fresh();
                let (param2, data) = match mode & 7 {
                    4 => (slot.map_or(0xFFFF, u16::from), &[][..]),
                    1 | 2 => (32, &bytes[..]),
                    _ => (0, &[][..]),
                };
                self.send(Opcode::SHA, mode, param2, data);
            }
            Step::Sign { slot, mode } => {
                let digest = self.fresh();
                self.send(Opcode::NONCE, if mode == 0xA0 { 0x43 } else { 3 }, 0, &digest);
                if mode & 0x80 == 0 {
                    self.send(Opcode::GEN_DIG, 0, 0, &[]);
                }
                self.send(Opcode::SIGN, mode, slot.into(), &[]);
            }
            Step::Any { opcode, param1, param2, len } => {
                let bytes = [self.fresh(), self.fresh(), self.fresh()].concat();
                self.send(Opcode(opcode), param1, param2, &bytes[..len]);
                self.temp_key = None;
            }
            Step::Rest(rest) => self.rest(rest),
        }
    }

    fn configure(&mut self) {
        for (number, (access, key)) in (0_u8..).zip(self.case.slots.clone()) {
            // Two slots share a word: the even one writes both.
            if number % 2 == 0 {
                let (next_access, next_key) = self.case.slots[usize::from(number) + 1];
                for (first, words) in [(5, [access, next_access]), (24, [key, next_key])] {
                    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                    self.send(Opcode::WRITE, 0, u16::from(first + number / 2), &data);
                }
            }
        }
        let [low, high] = self.case.chip_options.to_le_bytes();
        self.send(Opcode::WRITE, 0, 22, &[0xFF, 0xFF, low, high]);
    }

    /// A secret in every block of every slot.
    fn fill(&mut self) {
        let config = self.image().config();
        for place in Slot::all() {
            let number = place.number();
            if config.key_config(place).private() {
                self.take(&Step::PrivWriteClear(number));
            } else {
                (0..place.blocks()).for_each(|block| self.take(&Step::Write { slot: number, block, wide: true }));
            }
        }
    }

    fn any_nonce(&mut self, kind: u8) {
        let value = [self.fresh(), self.fresh()].concat();
        match kind {
            0 => self.nonce(false),
            1 => {
                let value = self.send(Opcode::NONCE, 1, 0x8000, &value[..20]);
                self.temp_key = value.and_then(|value| value.try_into().ok());
            }
            2 => self.nonce(true),
            3 => drop(self.send(Opcode::NONCE, 0x23, 0, &value)),
            4 => drop(self.send(Opcode::NONCE, 0x63, 0, &value)),
            _ => drop(self.send(Opcode::NONCE, 0x83, 0, &value[..32])),
        }
    }

    fn derive(&mut self, target: u8, mac: bool, fixed: bool) {
        self.nonce(fixed);
        let access = self.image().config().slot_config(slot(target));
        let parent = if access.write_config().0 & 1 != 0 { access.write_key().number() } else { target };
        let mode = u8::from(fixed) << 2;
        let proof = sha(&[&self.key(parent), &[0x1C, mode, target, 0], &SN]);
        self.send(Opcode::DERIVE_KEY, mode, target.into(), if mac { &proof } else { &[] });
    }

    fn use_authorised(&mut self, number: u8, fixed: bool) {
        let key = self.image().config().key_config(slot(number));
        let value = self.fresh();
        self.send(Opcode::NONCE, 0x43, 0, &value);
        self.check_mac(key.auth_key().number(), 1 | u8::from(fixed) << 2);
        match key.key_type() {
            KeyType::P256 => self.send(Opcode::SIGN, 0xA0, number.into(), &[]),
            KeyType::Aes => self.send(Opcode::AES, 0, number.into(), &value[..16]),
            _ => self.send(Opcode::MAC, 0, number.into(), &value),
        };
    }

    fn check_mac(&mut self, number: u8, mode: u8) {
        if mode & 3 != 0 {
            self.nonce(mode & 4 != 0);
        }
        let (challenge, other) = (self.fresh(), [number; 13]);
        let temp_key = self.temp_key.unwrap_or_default();
        let first = if mode & 2 == 0 { self.key(number) } else { temp_key };
        let second = if mode & 1 == 0 { challenge } else { temp_key };
        let otp = if mode & 0x20 == 0 { [0; 8] } else { self.image().part(Part::Otp)[..8].try_into().unwrap() };
        let parts = [&other[..4], &otp, &other[4..7], &SN[..1], &other[7..11], &SN[1..], &other[11..]].concat();
        let response = sha(&[&first, &second, &parts]);
        self.send(Opcode::CHECK_MAC, mode, number.into(), &[&challenge[..], &response, &other].concat());
    }
}

fn times(session: &Session) -> usize {
    if matches!(session.between, Between::Twice) {
        2
    } else {
        1
    }
}
