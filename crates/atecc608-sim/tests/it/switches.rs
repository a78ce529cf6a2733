// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every uncertain point of the fact sheet in both positions: the default, which is the strict reading, and the
//! behaviour with the switch turned.

use std::collections::BTreeSet;
use std::time::Duration;

use atecc608_sim::image::Part;
use atecc608_sim::{Image, Profile, SimChip, Switches};
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{Command, CommandPacket, Opcode, Status};

/// More than tWHI.
const WAKE_DELAY: Duration = Duration::from_millis(2);
const PIN: [u8; 32] = [0x77; 32];
const IO_KEY: [u8; 32] = [0x66; 32];
/// `X ‖ Y` of the curve's generator (SP 800-186).
const GENERATOR: &str = "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
    4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5";

/// One switch: its name, how to turn it, the steps, and the expected results in both positions.
struct Case {
    name: &'static str,
    turn: fn(&mut Switches),
    see: fn(Switches) -> u8,
    strict: u8,
    turned: u8,
}

macro_rules! cases {
    ($($name:ident = $value:expr, $strict:expr => $turned:expr, $see:expr;)*) => {
        [$(Case {
            name: stringify!($name),
            turn: |switches| switches.$name = $value,
            see: $see,
            strict: $strict,
            turned: $turned,
        }),*]
    };
}

/// The `tls` profile with keys in slots 0, 2, 6, 7 and 10, changed by hand.
fn image(data_locked: bool, change: impl FnOnce(&mut Image)) -> Image {
    let mut image = tls_image(true, data_locked);
    for number in [0, 2] {
        let private = image.part_mut(Part::Slot(slot(number)));
        private.fill(0x22);
        private[..4].fill(0);
    }
    for (number, key) in [(6, IO_KEY), (7, PIN), (10, [0xAA; 32])] {
        image.part_mut(Part::Slot(slot(number)))[..32].copy_from_slice(&key);
    }
    change(&mut image);
    image
}

fn on(image: Image, switches: Switches) -> Master {
    let master = Master::with_chip(SimChip::from_image(image).with_switches(switches)).untimed();
    master.wake();
    master
}

/// A chip with both zones locked, after changes to its configuration zone: pairs of offset and byte.
fn chip(switches: Switches, config: &[(usize, u8)]) -> Master {
    on(image(true, |image| config.iter().for_each(|(at, byte)| image.part_mut(Part::Config)[*at] = *byte)), switches)
}

/// The same with the data zone unlocked.
fn data_unlocked(switches: Switches, config: &[(usize, u8)]) -> Master {
    on(image(false, |image| config.iter().for_each(|(at, byte)| image.part_mut(Part::Config)[*at] = *byte)), switches)
}

fn config_unlocked(switches: Switches) -> Master {
    on(tls_image(false, false), switches)
}

/// The offset of a slot's SlotConfig.
const fn slot_config(number: usize) -> usize {
    20 + 2 * number
}

const fn key_config(number: usize) -> usize {
    96 + 2 * number
}

fn sign(master: &Master, number: u8) -> u8 {
    master.run_on(&Nonce::digest(&[5; 32])).unwrap();
    master.status_on(&Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(number) })
}

fn ecdh(public_key: [u8; 64]) -> Ecdh {
    Ecdh { key: EcdhKey::Slot(slot(2)), target: EcdhTarget::Output, encrypted: false, public_key }
}

fn point() -> [u8; 64] {
    hex(GENERATOR).try_into().unwrap()
}

fn raw(master: &Master, opcode: Opcode, param1: u8, param2: u16, data: &[u8]) -> u8 {
    let packet = CommandPacket::with_data(opcode, param1, param2, data.to_vec());
    master.write(&[vec![0x03], packet.encode()].concat()).unwrap();
    master.response()[1]
}

/// TempKey after GenDig(slot 6) over this nonce.
fn session(nonce: &[u8; 32]) -> [u8; 32] {
    sha(&[&IO_KEY, &[0x15, 2, 6, 0], &SN, &[0; 25], nonce])
}

fn encrypted_write(key: &[u8; 32]) -> Write {
    let address = Address::slot(slot(9), 0, 0);
    let [low, high] = address.0.to_le_bytes();
    let mac = sha(&[key, &[0x12, 0xC2, low, high], &SN, &[0; 25], &[0x5A; 32]]);
    Write { zone: Zone::Data, address, data: key.iter().map(|byte| byte ^ 0x5A).collect(), mac: Some(mac) }
}

fn encrypted_priv_write(key: &[u8; 32]) -> PrivWrite {
    let mut plain = [0x33; 36];
    plain[..4].fill(0);
    let stream = [&key[..], &sha(&[key])[..4]].concat();
    let mac = sha(&[key, &[0x46, 0x40, 4, 0], &SN, &[0; 21], &plain]);
    PrivWrite { slot: slot(4), encrypted: true, key: std::array::from_fn(|i| plain[i] ^ stream[i]), mac }
}

fn authorised(master: &Master) -> u8 {
    u8::from(master.temp_key_state()[1] & 0x04 != 0)
}

fn temp_key_valid(master: &Master) -> u8 {
    u8::from(master.temp_key_state()[1] & 0x80 != 0)
}

fn kdf(source: KdfSource, target: KdfTarget) -> Kdf {
    let algorithm = KdfAlgorithm::Prf { key_len: 1, long: false, aead: false };
    Kdf { source, target, algorithm, message: b"label".to_vec() }
}

fn verify(key: VerifyKey, mac: bool) -> Verify {
    Verify { key, signature: [1; 64], mac }
}

fn mac_of_temp_key() -> Mac {
    let mac = Mac::challenge(slot(0), [0; 32]);
    Mac { challenge: None, temp_key_first: true, source_fixed: true, ..mac }
}

fn check_mac_of_temp_key() -> CheckMac {
    CheckMac {
        slot: slot(0),
        temp_key_second: false,
        temp_key_first: true,
        source_fixed: true,
        otp: false,
        challenge: [0; 32],
        response: [0; 32],
        other_data: [0; 13],
    }
}

fn roll(mac: Option<[u8; 32]>) -> DeriveKey {
    DeriveKey { target: slot(10), source_fixed: true, mac }
}

/// SecureBoot compares with the digest in slot 12 (mode FullDig).
fn boot(master: &Master) -> u8 {
    master.tamper(|image| image.part_mut(Part::Slot(slot(12)))[..32].fill(0xD1));
    master.status_on(&SecureBoot { mode: SecureBootMode::FullStore, prohibit: false, mac: false, digest: [0xD1; 32] })
}

/// CheckMac with slot 10, whose neighbour slot 11 has ReadKey 0.
fn copied(switches: Switches) -> Master {
    let master = chip(switches, &[(slot_config(11), 0x80)]);
    assert_eq!(prove(&master, 10, &[0xAA; 32]), OK);
    master
}

fn blank_byte(switches: Switches, part: Part) -> u8 {
    SimChip::blank_with(Profile::Blank608B, SERIAL, switches).image().part(part)[7]
}

fn all() -> Vec<Case> {
    let (chip_and_bus, commands, keys) = (chip_and_bus(), commands(), keys());
    chip_and_bus.into_iter().chain(commands).chain(keys).collect()
}

fn chip_and_bus() -> impl IntoIterator<Item = Case> {
    cases! {
        any_traffic_wakes = false, 1 => 0, |switches| {
            let master = chip(switches, &[]);
            master.sleep();
            master.write(&[0]).unwrap_err();
            master.bus.advance(WAKE_DELAY);
            u8::from(master.read(4).is_ok())
        };
        reserved_word_address_nacks = false, 1 => 0, |switches| u8::from(chip(switches, &[]).write(&[0x07]).is_err());
        past_the_end = 0x00, 0xFF => 0x00, |switches| {
            let master = chip(switches, &[]);
            master.run_on(&Info::Revision).unwrap();
            master.read(1).unwrap()[0]
        };
        failed_wake_is_the_vendors = true, 0x40 => 0xC4, |switches| {
            let master = chip(switches, &[(90, 0x01)]);
            master.bus.set_faults("selftest:04".parse().unwrap());
            master.sleep();
            master.pulse();
            master.read(4).unwrap()[2]
        };
        long_watchdog_spreads = false, 0 => 1, |switches| {
            // ChipMode bit 2; with the seed that all these chips have, the spread does not hit 13 s.
            let master = Master::with_chip(SimChip::from_image(image(true, |image| {
                image.part_mut(Part::Config)[19] = 0x04;
            })).with_switches(switches));
            master.wake();
            master.wait_us(12_900_000);
            let before = master.read(1).is_ok();
            master.wait_us(200_000);
            u8::from(before && master.read(1).is_err())
        };
        blank_otp = 0x00, 0xFF => 0x00, |switches| blank_byte(switches, Part::Otp);
        blank_slots = 0x00, 0xFF => 0x00, |switches| blank_byte(switches, Part::Slot(slot(15)));
        authorisation_survives_idle = false, 1 => 0, |switches| {
            let master = chip(switches, &[]);
            assert_eq!(prove(&master, 7, &PIN), OK);
            master.idle();
            master.wake();
            authorised(&master)
        };
        copied_temp_key_survives_idle = true, 0 => 1, |switches| {
            let master = copied(switches);
            master.idle();
            master.wake();
            temp_key_valid(&master)
        };
        refusal_clears_temp_key = false, 0 => 1, |switches| {
            let master = chip(switches, &[]);
            master.fixed_nonce(&[1; 32]);
            assert_eq!(master.status_on(&GenKey::public(slot(8))), EXECUTION);
            temp_key_valid(&master)
        };
        self_test_keeps_temp_key = true, 0 => 1, |switches| {
            let master = chip(switches, &[]);
            master.fixed_nonce(&[1; 32]);
            assert_eq!(master.run_on(&SelfTest::ALL), Ok(0));
            temp_key_valid(&master)
        };
        address_out_of_range = Status::EXECUTION_ERROR, PARSE => EXECUTION, |switches| {
            chip(switches, &[]).status_on(&Read { zone: Zone::Config, address: Address::block(4, 0), block: true })
        };
        short_block_padding = 0xEE, 0x00 => 0xEE, |switches| {
            let read = Read { zone: Zone::Data, address: Address::slot(slot(10), 2, 0), block: true };
            chip(switches, &[]).run_on(&read).unwrap()[31]
        };
        config_place_not_writable = Status::PARSE_ERROR, EXECUTION => PARSE, |switches| {
            config_unlocked(switches).status_on(&Write::word(Zone::Config, Address(0), [0; 4]))
        };
    }
}

fn commands() -> impl IntoIterator<Item = Case> {
    cases! {
        derived_nonce_is_random = true, 0x10 => 0x00, |switches| {
            let master = chip(switches, &[]);
            master.fixed_nonce(&[1; 32]);
            master.run_on(&Nonce::Derived { update_seed: true, num_in: [2; 20] }).unwrap();
            master.temp_key_state()[0]
        };
        sha_digest_is_fixed = false, 0x10 => 0x00, |switches| {
            let master = chip(switches, &[]);
            atecc608_testkit::vectors::chip_sha(&master, b"abc", DigestTarget::TempKey);
            master.temp_key_state()[0]
        };
        sha_end_takes_64 = true, PARSE => OK, |switches| {
            let master = chip(switches, &[]);
            master.run_on(&Sha::Start).unwrap();
            master.status_on(&Sha::End { rest: vec![0; 64], target: DigestTarget::Output })
        };
        info_gpio = Status::EXECUTION_ERROR, PARSE => EXECUTION, |switches| {
            raw(&chip(switches, &[]), Opcode::INFO, 3, 0, &[])
        };
        latch_read_needs_permission = false, EXECUTION => OK, |switches| chip(switches, &[]).status_on(&Info::LatchRead);
        latch_clear_is_free = true, EXECUTION => OK, |switches| {
            chip(switches, &[(69, 0x87)]).status_on(&Info::LatchSet(false))
        };
        counter_needs_config_lock = true, OK => EXECUTION, |switches| {
            config_unlocked(switches).status_on(&Counter { number: 0, increment: false })
        };
        update_extra_decrements = true, PARSE => OK, |switches| {
            chip(switches, &[]).status_on(&UpdateExtra::Decrement(10))
        };
        mac_takes_otp = true, PARSE => OK, |switches| {
            let mac = Mac { otp: MacOtp::First8, ..Mac::challenge(slot(10), [0; 32]) };
            chip(switches, &[]).status_on(&mac)
        };
        lock_summary_mismatch = Status::MISCOMPARE, EXECUTION => MISCOMPARE, |switches| {
            config_unlocked(switches).status_on(&Lock { zone: LockZone::Config, summary: Some([0, 0]) })
        };
        slot_lock_needs_data_lock = false, EXECUTION => OK, |switches| {
            data_unlocked(switches, &[]).status_on(&Lock { zone: LockZone::Slot(slot(8)), summary: None })
        };
        check_mac_copies = false, 1 => 0, |switches| temp_key_valid(&copied(switches));
        failed_check_mac_clears_authorisation = false, 0 => 1, |switches| {
            let master = chip(switches, &[]);
            assert_eq!(prove(&master, 7, &PIN), OK);
            let wrong = CheckMac { temp_key_second: false, ..check_mac(10, [0; 32], [0; 13]) };
            assert_eq!(master.status_on(&wrong), MISCOMPARE);
            authorised(&master)
        };
        authorisation_survives_nonce = true, 0 => 1, |switches| {
            let master = chip(switches, &[]);
            assert_eq!(prove(&master, 7, &PIN), OK);
            master.random_nonce();
            authorised(&master)
        };
        authorisation_survives_buffer_nonce = false, 3 => 0, |switches| {
            let survives = |target| {
                let master = chip(switches.clone(), &[]);
                assert_eq!(prove(&master, 7, &PIN), OK);
                master.run_on(&Nonce::Fixed { target, value: vec![1; 32] }).unwrap();
                authorised(&master)
            };
            survives(NonceTarget::MessageDigestBuffer) | survives(NonceTarget::AlternateKeyBuffer) << 1
        };
        verify_external_needs_config_lock = true, MISCOMPARE => EXECUTION, |switches| {
            let master = config_unlocked(switches);
            master.run_on(&Nonce::digest(&[1; 32])).unwrap();
            let key = VerifyKey::External { source: DigestSource::MessageDigestBuffer, public_key: point() };
            master.status_on(&verify(key, false))
        };
        // HMAC, KDF, MAC, CheckMac and GenDig: a bit each.
        temp_key_macs_need_config_lock = false, 0 => 0b1_1111, |switches| {
            let master = config_unlocked(switches);
            let kdf = kdf(KdfSource::TempKey, KdfTarget::Output);
            let accepted: [&dyn Fn() -> u8; 5] = [
                &|| master.status_on(&Sha::HmacStart(KeyLocation::TempKey)),
                &|| master.status_on(&kdf),
                &|| master.status_on(&mac_of_temp_key()),
                // A wrong MAC, which was compared.
                &|| master.status_on(&check_mac_of_temp_key()) ^ MISCOMPARE,
                &|| master.status_on(&GenDig::Counter(0)),
            ];
            accepted.iter().enumerate().fold(0, |bits, (bit, ask)| {
                master.fixed_nonce(&[1; 32]);
                bits | u8::from(ask() == OK) << bit
            })
        };
        verify_validate_external = Status::EXECUTION_ERROR, PARSE => EXECUTION, |switches| {
            chip(switches, &[]).status_on(&verify(VerifyKey::ValidateExternal { slot: slot(14), public_key: point() }, false))
        };
        // Off: the mode does not exist. On: there is no TempKey.
        verify_validate_answers_mac = true, PARSE => EXECUTION, |switches| {
            chip(switches, &[]).status_on(&verify(VerifyKey::Validate { slot: slot(14), other_data: [0; 19] }, true))
        };
        secure_boot_needs_data_lock = false, EXECUTION => OK, |switches| {
            boot(&data_unlocked(switches, &[(70, 0x03), (71, 0xBC)]))
        };
        secure_boot_nonce_always = false, EXECUTION => OK, |switches| boot(&chip(switches, &[(70, 0x13), (71, 0xBC)]));
    }
}

fn keys() -> impl IntoIterator<Item = Case> {
    cases! {
        create_needs_pub_info = false, EXECUTION => OK, |switches| {
            chip(switches, &[(key_config(0), 0x31)]).status_on(&GenKey::create(slot(0)))
        };
        public_needs_pub_info_before_data_lock = false, EXECUTION => OK, |switches| {
            data_unlocked(switches, &[(key_config(0), 0x31)]).status_on(&GenKey::public(slot(0)))
        };
        count_match_must_be_a_limit = true, OK => EXECUTION, |switches| {
            // LimitedUse, and a slot that holds other data.
            let limited = &[(slot_config(0), 0xA7), (18, 0xA1)];
            sign(&chip(switches, limited), 0)
        };
        key_use_needs_data_lock = true, OK => EXECUTION, |switches| sign(&data_unlocked(switches, &[]), 0);
        req_random_gates_sign = true, OK => EXECUTION, |switches| sign(&chip(switches, &[(key_config(0), 0x73)]), 0);
        req_random_gates_aes = false, EXECUTION => OK, |switches| {
            let key = KeyLocation::Slot(slot(9));
            chip(switches, &[(key_config(9), 0x7A)])
                .status_on(&Aes::Block { key, unit: 0, decrypt: false, input: [0; 16] })
        };
        aes_wrong_key_type = Status::PARSE_ERROR, EXECUTION => PARSE, |switches| {
            let key = KeyLocation::Slot(slot(10));
            chip(switches, &[]).status_on(&Aes::Block { key, unit: 0, decrypt: false, input: [0; 16] })
        };
        aes_uses_up_temp_key = true, 1 => 0, |switches| {
            let master = chip(switches, &[]);
            master.fixed_nonce(&[1; 32]);
            let key = KeyLocation::TempKey;
            master.run_on(&Aes::Block { key, unit: 0, decrypt: false, input: [0; 16] }).unwrap();
            temp_key_valid(&master)
        };
        use_lock_gates_keys = false, EXECUTION => OK, |switches| sign(&chip(switches, &[(68, 0x7A)]), 0);
        ecdh_to_slot_forbids_output = false, EXECUTION => OK, |switches| {
            chip(switches, &[(slot_config(2), 0x8D)]).status_on(&ecdh(point()))
        };
        ecdh_target_follows_write_config = false, EXECUTION => OK, |switches| {
            let master = chip(switches, &[]);
            let key = KeyLocation::TempKey;
            master.run_on(&GenKey { mode: GenKeyMode::Create { digest: false }, key }).unwrap();
            let target = EcdhTarget::Slot(slot(9));
            master.status_on(&Ecdh { key: EcdhKey::TempKey, target, ..ecdh(point()) })
        };
        ecdh_bad_point = Status::ECC_FAULT, EXECUTION => 0x05, |switches| {
            chip(switches, &[]).status_on(&ecdh([1; 64]))
        };
        output_protection_means_inside = true, EXECUTION => OK, |switches| {
            let master = chip(switches, &[(91, 0x68), (slot_config(9) + 1, 0x0F)]);
            master.status_on(&kdf(KdfSource::Slot(slot(10)), KdfTarget::Slot(slot(9))))
        };
        kdf_target_needs_always_write = false, EXECUTION => OK, |switches| {
            chip(switches, &[]).status_on(&kdf(KdfSource::Slot(slot(10)), KdfTarget::Slot(slot(9))))
        };
        hkdf_message_length_is_free = true, EXECUTION => OK, |switches| {
            let master = chip(switches, &[]);
            master.fixed_nonce(&[1; 32]);
            let algorithm = KdfAlgorithm::Hkdf { message: HkdfMessage::Slot(slot(10)), zero_key: false };
            let (source, target, message) = (KdfSource::TempKey, KdfTarget::Output, vec![0; 33]);
            master.status_on(&Kdf { source, target, algorithm, message })
        };
        kdf_slot_rules_are_hmacs = false, EXECUTION => OK, |switches| {
            chip(switches, &[]).status_on(&kdf(KdfSource::Slot(slot(7)), KdfTarget::Output))
        };
        gen_dig_refuses_private_keys = false, EXECUTION => OK, |switches| {
            let master = chip(switches, &[]);
            master.random_nonce();
            master.status_on(&GenDig::slot(slot(0)))
        };
        write_mac_mismatch = Status::MISCOMPARE, EXECUTION => MISCOMPARE, |switches| {
            let master = chip(switches, &[]);
            master.random_nonce();
            master.run_on(&GenDig::slot(slot(6))).unwrap();
            master.status_on(&encrypted_write(&[0; 32]))
        };
        encrypted_write_needs_random = false, EXECUTION => OK, |switches| {
            let master = chip(switches, &[(key_config(6), 0x3C)]);
            master.fixed_nonce(&[1; 32]);
            master.run_on(&GenDig::slot(slot(6))).unwrap();
            master.status_on(&encrypted_write(&session(&[1; 32])))
        };
        priv_write_mac_mismatch = Status::MISCOMPARE, EXECUTION => MISCOMPARE, |switches| {
            let master = chip(switches, &[]);
            master.random_nonce();
            master.run_on(&GenDig::slot(slot(6))).unwrap();
            master.status_on(&encrypted_priv_write(&[0; 32]))
        };
        req_auth_gates_priv_write = false, EXECUTION => OK, |switches| {
            let master = chip(switches, &[(key_config(4), 0xB3), (key_config(4) + 1, 0x07)]);
            let nonce = master.random_nonce();
            master.run_on(&GenDig::slot(slot(6))).unwrap();
            master.status_on(&encrypted_priv_write(&session(&nonce)))
        };
        req_auth_gates_gen_key = false, EXECUTION => OK, |switches| {
            chip(switches, &[(key_config(0), 0xB3), (key_config(0) + 1, 0x07)]).status_on(&GenKey::public(slot(0)))
        };
        req_auth_gates_write = false, EXECUTION => OK, |switches| {
            let master = chip(switches, &[(key_config(8), 0xBC), (key_config(8) + 1, 0x07)]);
            master.status_on(&Write::block(Zone::Data, Address::slot(slot(8), 0, 0), [0; 32]))
        };
        derive_key_needs_data_lock = false, EXECUTION => OK, |switches| {
            let master = data_unlocked(switches, &[(slot_config(10) + 1, 0x2F)]);
            master.fixed_nonce(&[1; 32]);
            master.status_on(&roll(None))
        };
        derive_key_rolls_no_mac = true, EXECUTION => OK, |switches| {
            let master = chip(switches, &[(slot_config(10), 0x1F), (slot_config(10) + 1, 0x2F)]);
            master.fixed_nonce(&[1; 32]);
            master.status_on(&roll(None))
        };
        derive_key_mac_mismatch = Status::EXECUTION_ERROR, MISCOMPARE => EXECUTION, |switches| {
            let master = chip(switches, &[(slot_config(10) + 1, 0xAF)]);
            master.fixed_nonce(&[1; 32]);
            master.status_on(&roll(Some([0; 32])))
        };
    }
}

#[test]
fn every_switch_is_strict_by_default_and_does_what_it_says_when_turned() {
    for case in all() {
        let mut switches = Switches::default();
        assert_eq!((case.see)(switches.clone()), case.strict, "{}: default", case.name);
        (case.turn)(&mut switches);
        assert_ne!(switches, Switches::default(), "{}", case.name);
        assert_eq!((case.see)(switches), case.turned, "{}: turned", case.name);
    }
}

#[test]
fn no_switch_is_left_out() {
    // In bus.rs, because they concern time.
    let elsewhere = ["watchdog_margin", "times_are_steady"];
    let source = include_str!("../../src/switches.rs");
    let body = source.split_once("pub struct Switches {").unwrap().1.split_once("\n}").unwrap().0;
    let fields: BTreeSet<&str> = body
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub "))
        .map(|field| field.split_once(':').unwrap().0)
        .collect();
    let tested: Vec<&str> = all().iter().map(|case| case.name).chain(elsewhere).collect();
    assert_eq!(tested.iter().copied().collect::<BTreeSet<_>>(), fields);
    assert_eq!(tested.len(), fields.len(), "each once");
    assert!(elsewhere.iter().all(|name| include_str!("bus.rs").contains(name)));
}

#[test]
fn the_older_chips_decrement_spends_a_use_of_a_limited_key_and_stops_at_the_limit() {
    let switches = Switches { update_extra_decrements: true, ..Switches::default() };
    // Slot 10 is limited; CountMatch is on with the limit in slot 12.
    let master = chip(switches, &[(slot_config(10), 0x2F), (18, 0xC1)]);
    master.tamper(|image| image.part_mut(Part::Slot(slot(12)))[..8].copy_from_slice(&hex("20000000 20000000")));
    let counter = || master.run_on(&Counter { number: 0, increment: false }).unwrap();
    assert_eq!(master.status_on(&UpdateExtra::Decrement(11)), OK, "no limit: nothing happens");
    assert_eq!(counter(), 0);
    for uses in 1..=32 {
        assert_eq!(master.status_on(&UpdateExtra::Decrement(10)), OK);
        assert_eq!(counter(), uses);
    }
    assert_eq!(master.status_on(&UpdateExtra::Decrement(10)), EXECUTION);
    assert_eq!(master.status_on(&Mac::challenge(slot(10), [0; 32])), EXECUTION, "spent");
    assert_eq!(master.status_on(&UpdateExtra::Decrement(16)), PARSE);
    assert_eq!(UpdateExtra::Decrement(10).packet().encode()[1..5], [0x20, 2, 10, 0]);
}
