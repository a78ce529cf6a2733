// SPDX-License-Identifier: MIT OR Apache-2.0
//! Code shared by the specification tests of the simulated chip: a bus master without the driver, and prepared chips.

use std::time::Duration;

use atecc608_sim::chip::ExecutionTimes;
use atecc608_sim::image::Part;
use atecc608_sim::transfer::{Segment, TransferFault, TransferResult};
use atecc608_sim::{Image, Profile, SimBus, SimChip, Switches};
use atecc608_wire::commands::{CheckMac, Info, Lock, LockZone, Nonce, NonceResponse, NonceTarget};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::{frame, Command, Slot, Status};
use sha2::{Digest, Sha256};

pub const SERIAL: SerialNumber = SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 0x11, 0x22, 0x33, 0xEE]);
pub const ADDRESS: u8 = 0x60;

/// Status bytes, as the fact sheet writes them (section 2.4).
pub const OK: u8 = 0x00;
pub const MISCOMPARE: u8 = 0x01;
pub const PARSE: u8 = 0x03;
pub const EXECUTION: u8 = 0x0F;

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// SHA-256 over the parts, in their order.
pub fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

/// SN\[8\] and SN\[0..2\], as in most messages.
pub const SN: [u8; 3] = [0xEE, 0x01, 0x23];

pub fn slot(number: u8) -> Slot {
    Slot::new(number).unwrap()
}

/// The `tls` profile of `reference/profiles.md`: SlotConfig and KeyConfig.
pub const TLS_SLOT_CONFIG: &str =
    "85 20 82 00 85 20 85 20 85 66 8F 46 8F 0F 9F 8F 0F 0F 8F 46 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F";
pub const TLS_KEY_CONFIG: &str =
    "33 00 13 00 33 00 33 00 33 00 3C 00 7C 00 1C 00 3C 00 3A 00 3C 00 30 00 3C 00 3C 00 30 00 3C 00";

/// The EEPROM of a chip with the `tls` profile, with these zones locked.
pub fn tls_image(config_locked: bool, data_locked: bool) -> Image {
    let mut image = Profile::Blank608B.image(SERIAL, ADDRESS);
    let config = image.part_mut(Part::Config);
    config[20..52].copy_from_slice(&hex(TLS_SLOT_CONFIG));
    config[96..128].copy_from_slice(&hex(TLS_KEY_CONFIG));
    config[90..92].copy_from_slice(&[0x0E, 0x60]);
    if config_locked {
        config[87] = 0;
    }
    if data_locked {
        config[86] = 0;
    }
    image
}

/// A bus master with one chip under test.
pub struct Master {
    pub bus: SimBus,
    pub address: u8,
}

impl Master {
    pub fn with_image(image: Image) -> Self {
        Self::with_chip(SimChip::from_image(image))
    }

    pub fn with_chip(chip: SimChip) -> Self {
        let bus = SimBus::new(100_000);
        bus.add_chip(chip);
        bus.seed(1);
        Self { bus, address: ADDRESS }
    }

    pub fn with_switches(image: Image, change: impl FnOnce(&mut Switches)) -> Self {
        let mut switches = Switches::default();
        change(&mut switches);
        Self::with_chip(SimChip::from_image(image).with_switches(switches))
    }

    pub fn blank() -> Self {
        Self::with_chip(SimChip::blank(Profile::Blank608B, SERIAL))
    }

    /// Both zones locked, as provisioned with `tls`, without keys; awake.
    pub fn tls() -> Self {
        let master = Self::with_image(tls_image(true, true));
        master.wake();
        master
    }

    /// Changes the EEPROM directly and restarts: asleep, then awake.
    pub fn tamper(&self, change: impl FnOnce(&mut Image)) {
        let mut image = self.bus.image(0).unwrap();
        change(&mut image);
        self.bus.set_image(0, image).unwrap();
    }

    pub fn write(&self, data: &[u8]) -> Result<(), TransferFault> {
        self.transfer(&[Segment::Write { address: self.address, data: data.to_vec() }]).map(drop).map_err(|e| e.0)
    }

    pub fn read(&self, len: u16) -> Result<Vec<u8>, TransferFault> {
        self.transfer(&[Segment::Read { address: self.address, len }]).map(|reads| reads[0].clone()).map_err(|e| e.0)
    }

    pub fn transfer(&self, segments: &[Segment]) -> TransferResult {
        self.bus.transfer(segments)
    }

    pub fn pulse(&self) {
        let pulse = Segment::Write { address: 0, data: vec![0] };
        assert_eq!(self.transfer(&[pulse]), Err((TransferFault::AddressNack, 0)), "nobody answers address 0");
    }

    pub fn wait_us(&self, us: u64) {
        self.bus.advance(Duration::from_micros(us));
    }

    pub fn wake(&self) {
        self.pulse();
        self.wait_us(1500);
        assert_eq!(self.read(4).unwrap(), hex("04 11 33 43"));
    }

    pub fn sleep(&self) {
        self.write(&[0x01]).unwrap();
    }

    pub fn idle(&self) {
        self.write(&[0x02]).unwrap();
    }

    /// Sleep and wake: clears TempKey and buffers, restarts the watchdog.
    pub fn restart(&self) {
        self.sleep();
        self.wake();
    }

    /// Polls until the chip responds; returns the whole response packet, read as the vendor's driver does: count, then
    /// the rest.
    pub fn response(&self) -> Vec<u8> {
        for _ in 0..3000 {
            self.wait_us(1000);
            if let Ok(count) = self.read(1) {
                let rest = self.read(u16::from(count[0]).saturating_sub(1)).unwrap();
                return [count, rest].concat();
            }
        }
        panic!("no answer within three seconds");
    }

    /// Sends a packet unchanged (after word address 03) and returns the response packet unchanged.
    pub fn raw(&self, packet: &str) -> Vec<u8> {
        self.write(&[vec![0x03], hex(packet)].concat()).unwrap();
        self.response()
    }

    /// Executes a command after idle and wake, so that the watchdog does not interfere.
    pub fn run<C: Command>(&self, command: &C) -> Result<C::Response, Status> {
        self.idle();
        self.wake();
        self.run_on(command)
    }

    /// Executes a command in the session of the previous one: no idle, no wake.
    pub fn run_on<C: Command>(&self, command: &C) -> Result<C::Response, Status> {
        self.write(&[vec![0x03], command.packet().encode()].concat()).unwrap();
        let packet = self.response();
        match frame::decode_response(&packet).unwrap() {
            [status] if !C::ONE_BYTE_IS_DATA && *status != 0 => Err(Status(*status)),
            payload => Ok(command.response(payload).unwrap()),
        }
    }

    /// The status of a command in the session of the previous one.
    pub fn status_on<C: Command>(&self, command: &C) -> u8 {
        self.run_on(command).map_or_else(|status| status.0, |_| 0)
    }

    /// Makes execution take no time and disables the watchdog, so that a session can be as long as a test needs.
    pub fn untimed(self) -> Self {
        self.bus.set_execution_times(ExecutionTimes::Zero);
        self
    }

    /// Loads TempKey with a random nonce; returns its value, computed here.
    pub fn random_nonce(&self) -> [u8; 32] {
        let nonce = Nonce::Random { update_seed: true, num_in: [7; 20] };
        let NonceResponse::Value(random) = self.run_on(&nonce).unwrap() else {
            panic!("a random nonce answers a value")
        };
        sha(&[&random, &[7; 20], &[0x16, 0, 0]])
    }

    /// Loads TempKey with these bytes.
    pub fn fixed_nonce(&self, value: &[u8]) {
        self.run_on(&Nonce::Fixed { target: NonceTarget::TempKey, value: value.to_vec() }).unwrap();
    }

    /// The first two bytes of Info(State): TempKey's flags; whether it is valid, and which slot is authorised.
    pub fn temp_key_state(&self) -> [u8; 2] {
        let state = self.run_on(&Info::State).unwrap();
        [state[0], state[1]]
    }

    /// The command's status: 00 for success.
    pub fn status<C: Command>(&self, command: &C) -> u8 {
        self.run(command).map_or_else(|status| status.0, |_| 0)
    }

    pub fn maximum_times(&self) {
        self.bus.set_execution_times(ExecutionTimes::Maximum);
    }

    pub fn lock(&self, zone: LockZone) -> u8 {
        self.status(&Lock { zone, summary: None })
    }
}

/// `tls` with its configuration locked and its data not.
pub fn between_the_locks() -> Master {
    let master = Master::with_image(tls_image(true, false)).untimed();
    master.wake();
    master
}

/// CheckMac of a response to the nonce in TempKey.
pub fn check_mac(number: u8, response: [u8; 32], other_data: [u8; 13]) -> CheckMac {
    CheckMac {
        slot: slot(number),
        temp_key_second: true,
        temp_key_first: false,
        source_fixed: false,
        otp: false,
        challenge: [0; 32],
        response,
        other_data,
    }
}

/// The response of a holder of the key to a challenge (fact sheet section 3.2).
pub fn check_mac_answer(key: &[u8; 32], challenge: &[u8; 32], other: &[u8; 13]) -> [u8; 32] {
    sha(&[key, challenge, &other[..4], &[0; 8], &other[4..7], &SN[..1], &other[7..11], &SN[1..], &other[11..]])
}

/// Executes CheckMac over a random nonce with this key; returns the status.
pub fn prove(master: &Master, number: u8, key: &[u8; 32]) -> u8 {
    let answer = check_mac_answer(key, &master.random_nonce(), &[0; 13]);
    master.status_on(&check_mac(number, answer, [0; 13]))
}
