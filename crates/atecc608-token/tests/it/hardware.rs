// SPDX-License-Identifier: MIT OR Apache-2.0
//! The contract between driver and chip, tested on the chip that the environment names:
//!
//! ```text
//! ATECC608_HARDWARE=/dev/i2c-1@0x60 cargo test -p atecc608-token --test it hardware::
//! ```
//!
//! (as in `scripts/hardware-check.sh`). Without the variable it is tested on the simulated chip, so that the tests
//! always run. They write nothing and count nothing: a chip in use may be tested, if no other program uses it
//! meanwhile. A test that is not possible with this chip (for instance without a key) prints that and passes.

use std::path::Path;
use std::time::Duration;

use atecc608::{Awake, Chip, Error, Transport};
use atecc608_sim::image::Part;
use atecc608_testkit::master;
use atecc608_token::bus::{host_random, Bus, LockGuard};
use atecc608_token::config::BusLocation;
use atecc608_token::deadline::Deadline;
use atecc608_wire::commands::{
    Aes, DigestSource, DigestTarget, GenDig, Info, Kdf, KdfAlgorithm, KdfResponse, KdfSource, KdfTarget, KeyLocation,
    Nonce, NonceTarget, Random, Read, SelfTest, Sha, ShaResponse, Verify, VerifyKey, VerifyResponse,
};
use atecc608_wire::config_zone::Model;
use atecc608_wire::timing::WATCHDOG_MIN_MS;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{frame, word_address, Command, ConfigZone, Opcode, Slot, Status, AFTER_WAKE, WAKE_RESPONSE};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// The chip: BUS@ADDRESS.
const VARIABLE: &str = "ATECC608_HARDWARE";
/// The tests of this file take turns on the bus.
const TURN: Duration = Duration::from_secs(120);

/// The chip under test, in exclusive use.
struct Hardware {
    chip: Chip<Bus>,
    config: ConfigZone,
    model: Model,
    address: u8,
    _turn: LockGuard,
    /// The simulated chip's image.
    _folder: tempfile::TempDir,
}

fn hardware() -> Hardware {
    let folder = tempfile::tempdir().unwrap();
    let named = match std::env::var(VARIABLE) {
        Ok(named) => named,
        Err(_) => simulated(folder.path()),
    };
    let (bus, address) = named.rsplit_once('@').unwrap_or_else(|| panic!("{VARIABLE}: expected BUS@ADDRESS: {named}"));
    let address = u8::from_str_radix(address.trim_start_matches("0x"), 16).unwrap();
    let location = BusLocation::parse(bus).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    let mut bus = Bus::open(&location, address, folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let turn = bus.lock(Deadline::after(TURN)).unwrap_or_else(|error| panic!("{error}"));
    let mut chip = Chip::new(bus, host_random);
    let read = chip.converse(|awake| {
        let config = awake.read_config()?;
        let model = awake.identify(&config)?.model;
        Ok((config, model))
    });
    let (config, model) = read.unwrap_or_else(|error| panic!("{error}"));
    chip.apply_timing(&config);
    Hardware { chip, config, model, address, _turn: turn, _folder: folder }
}

/// A provisioned chip with a key in slot 0.
fn simulated(folder: &Path) -> String {
    let mut image = master::tls_image(true, true);
    let key = p256::SecretKey::random(&mut p256::elliptic_curve::rand_core::OsRng);
    let stored = image.part_mut(Part::Slot(master::slot(0)));
    stored[..4].fill(0);
    stored[4..36].copy_from_slice(&key.to_bytes());
    let file = folder.join("chip.eeprom");
    image.create(&file).unwrap();
    format!("sim:{}@{:#04x}", file.display(), master::ADDRESS)
}

impl Hardware {
    fn converse<T>(&mut self, work: impl FnMut(&mut Awake<'_, Bus>) -> Result<T, Error>) -> T {
        self.chip.converse(work).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Writes to the chip, bypassing the driver; returns whether it acknowledged.
    fn write(&mut self, bytes: &[u8]) -> bool {
        let address = self.address;
        self.chip.transport_mut().i2c().unwrap().write(address, bytes).is_ok()
    }

    fn read(&mut self, len: usize) -> Option<Vec<u8>> {
        let (address, mut bytes) = (self.address, vec![0; len]);
        self.chip.transport_mut().i2c().unwrap().read(address, &mut bytes).ok()?;
        Some(bytes)
    }

    fn pulse(&mut self) {
        self.chip.transport_mut().i2c().unwrap().write(0x00, &[0x00]).ok();
        let up = if self.config.chip_options().power_on_self_test() { 20_000 } else { 1500 };
        self.chip.transport_mut().delay(Duration::from_micros(up));
    }

    /// Wakes it with empty buffers, bypassing the driver.
    fn wake(&mut self) {
        self.write(&[word_address::SLEEP]);
        self.pulse();
        assert_eq!(self.read(4), Some(WAKE_RESPONSE.to_vec()));
    }

    /// Polls for a whole reply, bypassing the driver.
    fn reply(&mut self) -> Vec<u8> {
        for _ in 0..6000 {
            if let Some(count) = self.read(1) {
                let rest = self.read(usize::from(count[0]) - 1).unwrap();
                return [count, rest].concat();
            }
            self.chip.transport_mut().delay(Duration::from_micros(500));
        }
        panic!("no reply");
    }

    fn send(&mut self, packet: &[u8]) -> bool {
        self.write(&[&[word_address::COMMAND], packet].concat())
    }

    /// Info(State), bypassing the driver: whether TempKey is valid.
    fn temp_key_is_valid(&mut self) -> bool {
        self.send(&Info::State.packet().encode());
        let reply = self.reply();
        frame::decode_response(&reply).unwrap()[1] & 0x80 != 0
    }

    /// Returns the slot of a private key that may be used freely, signs, and reports its public key.
    fn signing_slot(&mut self) -> Option<Slot> {
        let config = self.config.clone();
        let may = |slot: &Slot| {
            let (slot_config, key_config) = (config.slot_config(*slot), config.key_config(*slot));
            key_config.is_p256_private()
                && key_config.pub_info()
                && slot_config.external_sign()
                && !slot_config.limited_use()
                && !key_config.req_auth()
                && !key_config.persistent_disable()
        };
        let slots: Vec<Slot> = Slot::all().filter(may).collect();
        self.converse(|awake| {
            for slot in &slots {
                if awake.key_valid(*slot)? {
                    return Ok(Some(*slot));
                }
            }
            Ok(None)
        })
    }
}

/// Prints why a test is not possible with this chip.
macro_rules! needs {
    ($condition:expr, $why:literal) => {
        if !$condition {
            println!("not asked of this chip: {}", $why);
            return;
        }
    };
}

fn hex<const N: usize>(digits: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
}

#[test]
fn it_is_an_atecc608_with_the_same_serial_number_each_time() {
    let mut hardware = hardware();
    assert!(hardware.model.is_608(), "{}", hardware.model);
    let serial = hardware.config.serial_number();
    assert_eq!(serial.0[..2], [0x01, 0x23]);
    for _ in 0..5 {
        let identity = hardware.converse(|awake| awake.read_identity());
        assert_eq!(identity, hardware.config.as_bytes()[..32]);
    }
    let revision = hardware.converse(|awake| awake.execute(&Info::Revision));
    assert_eq!(revision, hardware.config.as_bytes()[4..8]);
}

#[test]
fn the_configuration_read_by_words_is_the_one_read_by_blocks() {
    let mut hardware = hardware();
    let words = hardware.converse(|awake| {
        let mut bytes = Vec::new();
        for at in 0..32_u8 {
            let address = Address::block(at / 8, at % 8);
            bytes.extend(awake.execute(&Read { zone: Zone::Config, address, block: false })?);
        }
        Ok(bytes)
    });
    assert_eq!(words, hardware.config.as_bytes());
}

#[test]
fn a_conversation_ends_asleep_and_leaves_nothing_behind() {
    let mut hardware = hardware();
    let fixed = Nonce::Fixed { target: NonceTarget::TempKey, value: vec![0x5A; 32] };
    hardware.converse(|awake| awake.execute(&fixed));
    assert_eq!(hardware.read(1), None, "asleep: its address is not acknowledged");
    let state = hardware.converse(|awake| awake.execute(&Info::State));
    assert_eq!(state[1] & 0x84, 0, "neither TempKey nor an authorisation");
}

#[test]
fn idle_keeps_temp_key_and_sleep_wipes_it() {
    let mut hardware = hardware();
    hardware.wake();
    hardware.send(&Nonce::Fixed { target: NonceTarget::TempKey, value: vec![0x5A; 32] }.packet().encode());
    hardware.reply();
    assert!(hardware.write(&[word_address::IDLE]));
    hardware.pulse();
    assert_eq!(hardware.read(4), Some(WAKE_RESPONSE.to_vec()));
    assert!(hardware.temp_key_is_valid());
    hardware.wake();
    assert!(!hardware.temp_key_is_valid());
}

#[test]
fn a_chip_that_a_dead_holder_left_awake_busy_idle_or_in_the_middle_of_a_packet_works() {
    let mut hardware = hardware();
    let serial = hardware.config.serial_number();
    let packet = Random { update_seed: false }.packet().encode();
    let read = |hardware: &mut Hardware| hardware.converse(|awake| awake.read_config()).serial_number();
    hardware.wake();
    assert_eq!(read(&mut hardware), serial, "awake");
    hardware.wake();
    hardware.send(&packet);
    assert_eq!(read(&mut hardware), serial, "busy");
    hardware.wake();
    hardware.write(&[word_address::IDLE]);
    assert_eq!(read(&mut hardware), serial, "idle");
    hardware.wake();
    hardware.send(&packet[..4]);
    assert_eq!(read(&mut hardware), serial, "half a packet");
}

#[test]
fn a_damaged_packet_is_answered_ff_and_not_executed() {
    let mut hardware = hardware();
    hardware.wake();
    let fixed = Nonce::Fixed { target: NonceTarget::TempKey, value: vec![0x5A; 32] }.packet().encode();
    for bit in [0, 77, 8 * fixed.len() - 1] {
        let mut damaged = fixed.clone();
        // Except the count, because the chip would then wait for other bytes.
        damaged[1 + bit / 8 % (fixed.len() - 1)] ^= 1 << (bit % 8);
        hardware.send(&damaged);
        let reply = hardware.reply();
        assert_eq!(frame::decode_response(&reply), Ok(&[Status::CRC_ERROR.0][..]), "bit {bit}");
        assert!(!hardware.temp_key_is_valid(), "bit {bit}");
    }
}

#[test]
fn a_reply_can_be_read_again_and_in_pieces() {
    let mut hardware = hardware();
    hardware.wake();
    hardware.send(&Read { zone: Zone::Config, address: Address::block(0, 0), block: true }.packet().encode());
    let reply = hardware.reply();
    assert_eq!(frame::decode_response(&reply).unwrap(), &hardware.config.as_bytes()[..32]);
    for pieces in [vec![35], vec![1, 34], vec![4, 4, 27]] {
        assert!(hardware.write(&[word_address::RESET]));
        let again: Vec<u8> = pieces.iter().flat_map(|len| hardware.read(*len).unwrap()).collect();
        assert_eq!(again, reply, "{pieces:?}");
    }
}

#[test]
fn a_busy_chip_is_silent() {
    let mut hardware = hardware();
    hardware.wake();
    // The longest command, so that even a slow machine can act while it runs.
    hardware.send(&SelfTest::ALL.packet().encode());
    assert_eq!(hardware.read(1), None, "a read");
    assert!(!hardware.write(&[word_address::RESET]), "a write");
    assert_eq!(hardware.reply(), [0x04, 0x00, 0x03, 0x40], "all tests passed");
}

#[test]
fn a_command_may_be_sent_before_the_answer_to_the_wake_is_read() {
    let mut hardware = hardware();
    hardware.write(&[word_address::SLEEP]);
    hardware.pulse();
    hardware.send(&Info::Revision.packet().encode());
    let reply = hardware.reply();
    let payload = frame::decode_response(&reply).unwrap();
    assert_ne!(payload, [AFTER_WAKE]);
    assert_eq!(payload, &hardware.config.as_bytes()[4..8]);
}

#[test]
fn the_watchdog_strikes_in_its_time_and_the_next_conversation_works() {
    let mut hardware = hardware();
    needs!(hardware.config.chip_mode() & 4 == 0, "its watchdog is the long one");
    hardware.wake();
    let woken = hardware.chip.transport_mut().now();
    let mut alive = Duration::ZERO;
    while hardware.read(1).is_some() {
        alive = hardware.chip.transport_mut().now() - woken;
        // The longest watchdog time, and the delay of a busy machine.
        assert!(alive < Duration::from_millis(5000), "it does not strike");
        hardware.chip.transport_mut().delay(Duration::from_millis(10));
    }
    let silent = hardware.chip.transport_mut().now() - woken;
    assert!(silent >= Duration::from_millis(WATCHDOG_MIN_MS), "alive at {alive:?}, silent at {silent:?}");
    hardware.converse(|awake| awake.read_config());
}

#[test]
fn a_digest_longer_than_the_watchdog_allows_is_right() {
    let mut hardware = hardware();
    let message: Vec<u8> = (0..60 * 64_u32).map(|i| (i % 251) as u8).collect();
    let digest = hardware.converse(|awake| {
        awake.execute(&Sha::Start)?;
        for block in message.chunks(64) {
            awake.execute(&Sha::Update(block.to_vec()))?;
        }
        awake.execute(&Sha::End { rest: Vec::new(), target: DigestTarget::Output })
    });
    assert_eq!(digest, ShaResponse::Digest(Sha256::digest(&message).into()));
}

#[test]
fn random_numbers_differ_once_the_configuration_is_locked() {
    let mut hardware = hardware();
    let (first, second) = hardware.converse(|awake| Ok((awake.random()?, awake.random()?)));
    if hardware.config.config_locked() {
        assert_ne!(first, second);
    } else {
        assert_eq!((first, second), (Random::UNLOCKED_PATTERN, Random::UNLOCKED_PATTERN));
    }
}

#[test]
fn what_is_refused_is_refused_once_and_by_its_name() {
    let mut hardware = hardware();
    let end = Sha::End { rest: Vec::new(), target: DigestTarget::Output };
    let error = hardware.chip.converse(|awake| awake.execute(&end)).unwrap_err();
    assert_eq!(error, Error::Status { opcode: Opcode::SHA, status: Status::EXECUTION_ERROR });
    let error = hardware.chip.converse(|awake| awake.execute(&GenDig::Config(0))).unwrap_err();
    assert_eq!(error, Error::Status { opcode: Opcode::GEN_DIG, status: Status::EXECUTION_ERROR }, "no TempKey");
}

#[test]
fn a_signature_verifies() {
    let mut hardware = hardware();
    let Some(slot) = hardware.signing_slot() else {
        println!("not asked of this chip: it has no key that is free to sign and tells its public key");
        return;
    };
    let digest: [u8; 32] = Sha256::digest(b"a message that means nothing").into();
    let public = hardware.converse(|awake| awake.public_key(slot)).unwrap();
    let key = VerifyingKey::from_sec1_bytes(&[&[4], &public[..]].concat()).unwrap();
    for _ in 0..3 {
        let signature = hardware.converse(|awake| awake.sign_digest(slot, &digest));
        key.verify_prehash(&digest, &Signature::from_slice(&signature).unwrap()).unwrap();
    }
}

/// RFC 6979, appendix A.2.5: P-256, SHA-256, "sample".
#[test]
fn the_chip_verifies_a_known_signature_and_refuses_a_wrong_one() {
    let mut hardware = hardware();
    needs!(hardware.config.config_locked(), "its configuration is not locked");
    let public_key = hex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
         7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    let mut signature = hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    let digest: [u8; 32] = Sha256::digest(b"sample").into();
    let key = VerifyKey::External { source: DigestSource::MessageDigestBuffer, public_key };
    let mut verify = |signature| {
        hardware.chip.converse(|awake| {
            awake.execute(&Nonce::digest(&digest))?;
            awake.execute(&Verify { key: key.clone(), signature, mac: false })
        })
    };
    assert_eq!(verify(signature), Ok(VerifyResponse::Valid));
    signature[63] ^= 1;
    assert!(verify(signature).unwrap_err().has_status(Status::MISCOMPARE));
}

/// FIPS 197, appendix C.1.
#[test]
fn aes_with_a_key_of_the_callers_is_right() {
    let mut hardware = hardware();
    needs!(hardware.config.config_locked() && hardware.config.aes_enabled(), "AES needs a locked configuration");
    let key = hex::<16>("000102030405060708090a0b0c0d0e0f");
    let input = hex("00112233445566778899aabbccddeeff");
    let output = hardware.converse(|awake| {
        awake.execute(&Nonce::Fixed { target: NonceTarget::TempKey, value: [key, key].concat() })?;
        awake.execute(&Aes::Block { key: KeyLocation::TempKey, unit: 0, decrypt: false, input })
    });
    assert_eq!(output, hex("69c4e0d86a7b0430d8cdb78070b4c55a"));
}

/// The vendor's vector (fact sheet section 3.9).
#[test]
fn the_key_derivation_of_tls_is_right() {
    let mut hardware = hardware();
    let free = hardware.config.config_locked() && hardware.config.chip_options().kdf_protection() == 0;
    needs!(free, "KDF to the bus needs a locked configuration with KDFProt 0");
    let half = hex::<16>("000102030405060708090a0b0c0d0e0f");
    let kdf = Kdf {
        source: KdfSource::TempKey,
        target: KdfTarget::Output,
        algorithm: KdfAlgorithm::Prf { key_len: 1, long: true, aead: false },
        message: half.to_vec(),
    };
    let output = hardware.converse(|awake| {
        awake.execute(&Nonce::Fixed { target: NonceTarget::TempKey, value: [half, half].concat() })?;
        awake.execute(&kdf)
    });
    let expected: [u8; 64] = hex("1ebcbe62005ab948fdffe1c402aaba354ec676050c9bc1aae1ff5b1509a4a04a\
         44254664c2a480f5b77ea2d1020c7ba4b3640c4ac793324c26d6fddfdb1f011a");
    assert_eq!(output, KdfResponse::Clear(expected.to_vec()));
}

#[test]
fn reading_commands_change_nothing_in_the_configuration_zone() {
    let mut hardware = hardware();
    if let Some(slot) = hardware.signing_slot() {
        hardware.converse(|awake| awake.sign_digest(slot, &[0x5A; 32]));
    }
    hardware.converse(|awake| awake.random());
    let after = hardware.converse(|awake| awake.read_config());
    assert!(after == hardware.config, "counters and lock bytes included");
}
