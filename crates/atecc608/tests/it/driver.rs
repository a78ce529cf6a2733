// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver against the simulated chip: the cost of a conversation, and that faults of chip and bus lose nothing.

use std::time::Duration;

use atecc608::ops::{Before, Identified};
use atecc608::provision::DataContents;
use atecc608::{Chip, Error, Transport};
use atecc608_sim::chip::ExecutionTimes;
use atecc608_sim::image::Part;
use atecc608_sim::{Image, Profile, SimBus, SimChip};
use atecc608_testkit::driver::{self, Simulated};
use atecc608_testkit::master::{slot, tls_image, ADDRESS, SERIAL};
use atecc608_wire::commands::{GenKey, Nonce};
use atecc608_wire::config_zone::{offset, Model, SerialNumber};
use atecc608_wire::{Opcode, Status};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::EncodedPoint;

const DIGEST: [u8; 32] = [0x5A; 32];

fn on_bus(image: Image, i2c_hz: u32) -> (SimBus, Chip<Simulated>) {
    let bus = SimBus::new(i2c_hz);
    bus.add_chip(SimChip::from_image(image));
    bus.seed(7);
    (bus.clone(), driver::on(&bus, ADDRESS))
}

/// A provisioned chip, and the driver for it.
fn provisioned() -> (SimBus, Chip<Simulated>) {
    on_bus(tls_image(true, true), 100_000)
}

/// The same with a key in slot 0, and no traffic counted yet.
fn with_key() -> (SimBus, Chip<Simulated>, [u8; 64]) {
    let (bus, mut chip) = provisioned();
    let public_key = chip.generate_key(slot(0), Before::Empty).unwrap();
    bus.take_stats();
    (bus, chip, public_key)
}

fn assert_verifies(public_key: &[u8; 64], signature: &[u8; 64]) {
    let key = VerifyingKey::from_encoded_point(&EncodedPoint::from_untagged_bytes(public_key.into())).unwrap();
    key.verify_prehash(&DIGEST, &Signature::from_slice(signature).unwrap()).unwrap();
}

fn sign(chip: &mut Chip<Simulated>) -> Result<[u8; 64], Error> {
    chip.converse(|awake| awake.sign_digest(slot(0), &DIGEST))
}

#[test]
fn the_configuration_is_four_reads_and_one_wake() {
    let (bus, mut chip) = provisioned();
    let zone = chip.converse(|awake| awake.read_config()).unwrap();
    assert_eq!((zone.serial_number(), zone.revision()), (SERIAL, [0, 0, 0x60, 3]));
    let stats = bus.stats();
    assert_eq!((stats.command(Opcode::READ), stats.total_commands(), stats.wakes, stats.sleeps), (4, 4, 1, 1));
    assert_eq!(stats.chip_us_max, 20_000);
}

#[test]
fn the_model_is_read_with_one_info() {
    let mut image = tls_image(true, true);
    image.set_revision([0x60, 0x7F]);
    let (bus, mut chip) = on_bus(image, 100_000);
    let zone = chip.converse(|awake| awake.read_config()).unwrap();
    bus.take_stats();
    let told = Identified { model: Model::Atecc608Other(0x7F), refused: None };
    assert_eq!(chip.converse(|awake| awake.identify(&zone)).unwrap(), told);
    assert_eq!((bus.stats().command(Opcode::INFO), bus.stats().total_commands()), (1, 1));
    // Refused, and then not answered at all.
    bus.set_faults("status@1:03".parse().unwrap());
    let refused = Identified { model: Model::Atecc608B, refused: Some(Status::PARSE_ERROR) };
    assert_eq!(chip.converse(|awake| awake.identify(&zone)).unwrap(), refused);
    bus.pull();
    assert!(chip.converse(|awake| awake.identify(&zone)).is_err());
}

#[test]
fn a_signature_is_three_commands_one_wake_and_verifies() {
    let (bus, mut chip, public_key) = with_key();
    let signature = sign(&mut chip).unwrap();
    assert_verifies(&public_key, &signature);
    let stats = bus.stats();
    assert_eq!((stats.total_commands(), stats.wakes, stats.chip_us_max), (3, 1, 158_000));
    assert_eq!(stats.idles, 0, "no conversation ends in idle");
}

#[test]
fn waiting_costs_little_more_than_the_chip_and_the_bus() {
    let (bus, mut chip, _) = with_key();
    let start = bus.now();
    sign(&mut chip).unwrap();
    let elapsed = (bus.now() - start).as_micros() as f64;
    let stats = bus.stats();
    // The budget of DESIGN.md section 5: chip time, bus time, wake delay, 3 % and 5 ms.
    let budget = 1.03 * (stats.chip_us_max as f64 + stats.bus_us as f64 + 1500.0) + 5000.0;
    assert!(elapsed <= budget, "{elapsed} us, budget {budget} us");
}

#[test]
fn a_dead_holder_leaves_nothing_behind() {
    let (mut bus, mut chip, public_key) = with_key();
    // Awake.
    bus.write(0x00, &[0]).unwrap_err();
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
    // Busy: GenKey was sent, and its reply is not read.
    bus.write(0x00, &[0]).unwrap_err();
    bus.delay_us(1500);
    bus.write(ADDRESS, &[0x03, 0x07, 0x40, 0x04, 0x02, 0x00, 0x81, 0x05]).ok();
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
    // Idle.
    bus.write(0x00, &[0]).unwrap_err();
    bus.delay_us(1500);
    bus.write(ADDRESS, &[0x02]).unwrap();
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
}

#[test]
fn a_conversation_ends_with_a_sleep_that_wipes_the_buffers() {
    let (_, mut chip, _) = with_key();
    chip.converse(|awake| awake.execute(&Nonce::digest(&DIGEST))).unwrap();
    let sign = atecc608_wire::commands::Sign::External {
        source: atecc608_wire::commands::DigestSource::MessageDigestBuffer,
        slot: slot(0),
    };
    let error = chip.converse(|awake| awake.execute(&sign)).unwrap_err();
    assert!(error.has_status(Status::EXECUTION_ERROR), "{error}");
}

#[test]
fn a_damaged_reply_is_read_again_and_costs_no_command() {
    let (bus, mut chip, public_key) = with_key();
    bus.set_faults("flip@1:20, flip@2:9, flip@3:100".parse().unwrap());
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
    let stats = bus.stats();
    assert_eq!((stats.total_commands(), stats.wakes), (3, 1));
}

#[test]
fn a_damaged_count_is_read_again() {
    for bit in 0..8 {
        let (bus, mut chip, public_key) = with_key();
        bus.set_faults(format!("flip@3:{bit}").parse().unwrap());
        assert_verifies(&public_key, &sign(&mut chip).unwrap());
        assert_eq!(bus.stats().command(Opcode::SIGN), 1, "bit {bit}");
    }
}

#[test]
fn a_command_that_arrives_damaged_is_sent_again_whatever_it_is() {
    let (bus, mut chip) = provisioned();
    bus.set_faults("garble@2:12".parse().unwrap());
    chip.generate_key(slot(2), Before::Empty).unwrap();
    assert_eq!(bus.stats().command(Opcode::GEN_KEY), 1, "the damaged one was never executed");
}

#[test]
fn an_ecc_fault_is_signed_once_more() {
    let (bus, mut chip, public_key) = with_key();
    bus.set_faults("status@3:05".parse().unwrap());
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
    assert_eq!(bus.stats().wakes, 1);
}

#[test]
fn a_lost_reply_an_expired_watchdog_and_a_stuck_chip_start_the_conversation_again() {
    for faults in ["drop@3", "doze@2", "doze@3", "status@2:EE", "status@1:08", "busy@3", "nack@4*3"] {
        let (bus, mut chip, public_key) = with_key();
        bus.set_faults(faults.parse().unwrap());
        let signature = sign(&mut chip).unwrap_or_else(|error| panic!("{faults}: {error}"));
        assert_verifies(&public_key, &signature);
        assert!(bus.stats().wakes >= 2, "{faults}");
    }
}

#[test]
fn a_refusal_is_not_tried_again() {
    let (bus, mut chip) = provisioned();
    let error = sign(&mut chip).unwrap_err();
    assert!(error.has_status(Status::EXECUTION_ERROR), "no key in the slot: {error}");
    assert_eq!(bus.stats().command(Opcode::SIGN), 1);
}

#[test]
fn a_key_whose_reply_is_lost_is_generated_once() {
    for faults in ["drop@2", "doze@2", "flip@2:30, flip@3:30", "doze@2, nack@9*2"] {
        let (bus, mut chip) = provisioned();
        bus.set_faults(faults.parse().unwrap());
        let public_key = chip.generate_key(slot(0), Before::Empty).unwrap_or_else(|error| panic!("{faults}: {error}"));
        // One GenKey created the key, at most one more returned its public key.
        assert!(bus.stats().command(Opcode::GEN_KEY) <= 2, "{faults}");
        bus.set_faults("none".parse().unwrap());
        assert_eq!(chip.converse(|awake| awake.public_key(slot(0))), Ok(Some(public_key)), "{faults}");
        assert_verifies(&public_key, &sign(&mut chip).unwrap());
    }
}

#[test]
fn a_lost_gen_key_is_sent_once_more() {
    let (bus, mut chip) = provisioned();
    // Stuck without having executed it, until the watchdog bites.
    bus.set_faults("busy@2".parse().unwrap());
    let public_key = chip.generate_key(slot(0), Before::Empty).unwrap();
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
}

#[test]
fn a_key_that_is_not_the_expected_one_is_left_alone() {
    let (bus, mut chip, public_key) = with_key();
    let error = chip.generate_key(slot(0), Before::Empty).unwrap_err();
    assert!(matches!(error, Error::Mismatch(_)), "{error}");
    assert_eq!(chip.converse(|awake| awake.public_key(slot(0))), Ok(Some(public_key)));
    let other = chip.generate_key(slot(2), Before::Empty).unwrap();
    assert!(chip.generate_key(slot(0), Before::Holds(other)).is_err());
    assert_eq!(chip.converse(|awake| awake.public_key(slot(0))), Ok(Some(public_key)));
    bus.take_stats();
    assert_ne!(chip.generate_key(slot(0), Before::Holds(public_key)).unwrap(), public_key);
}

#[test]
fn a_pulled_chip_is_reported_in_bounded_time_and_works_when_it_is_back() {
    let (bus, mut chip, public_key) = with_key();
    bus.pull();
    let start = bus.now();
    let error = sign(&mut chip).unwrap_err();
    assert!(error.is_absence() && error.to_string().contains("no chip responds at address 0x60"), "{error}");
    assert!(bus.now() - start < Duration::from_millis(500));
    bus.insert();
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
}

#[test]
fn a_chip_pulled_in_the_middle_is_reported() {
    let (bus, mut chip, _) = with_key();
    bus.set_faults("pull@8".parse().unwrap());
    let error = sign(&mut chip).unwrap_err();
    assert!(matches!(error, Error::NotAnswering { .. }), "{error}");
}

#[test]
fn at_400_khz_the_wake_pulse_is_too_short_and_the_error_says_so() {
    let (_, mut chip) = on_bus(tls_image(true, true), 400_000);
    let error = chip.converse(|awake| awake.read_config()).unwrap_err();
    assert!(error.to_string().contains("100 kHz"), "{error}");
}

#[test]
fn the_slowest_clock_divider_does_not_starve_a_signature() {
    // ChipMode 68: Random, Nonce and Sign need 708 ms, the watchdog may bite after 700.
    let mut image = tls_image(true, true);
    image.part_mut(Part::Config)[19] = 0x68;
    let (bus, mut chip) = on_bus(image, 100_000);
    let zone = chip.converse(|awake| awake.read_config()).unwrap();
    chip.apply_timing(&zone);
    let public_key = chip.generate_key(slot(0), Before::Empty).unwrap();
    bus.take_stats();
    assert_verifies(&public_key, &sign(&mut chip).unwrap());
    let stats = bus.stats();
    assert_eq!((stats.total_commands(), stats.idles), (3, 1), "through idle, which keeps the digest");
}

#[test]
fn a_power_on_self_test_is_waited_for() {
    let mut image = tls_image(true, true);
    image.part_mut(Part::Config)[90] |= 1;
    let (_, mut chip) = on_bus(image, 100_000);
    chip.converse(|awake| awake.read_config()).unwrap();
}

#[test]
fn a_chip_that_fails_its_self_test_is_put_to_sleep() {
    let mut image = tls_image(true, true);
    image.part_mut(Part::Config)[90] |= 1;
    let (bus, mut chip) = on_bus(image, 100_000);
    bus.set_faults("selftest:04".parse().unwrap());
    assert_eq!(chip.converse(|awake| awake.read_config()).unwrap_err(), Error::SelfTestFailed);
    assert_eq!((bus.stats().wakes, bus.stats().sleeps), (1, 1));
}

#[test]
fn two_chips_share_a_bus() {
    let (bus, mut one) = provisioned();
    let mut other_image = tls_image(true, true);
    other_image.part_mut(Part::Config)[16] = 0x6A;
    bus.add_chip(SimChip::from_image(other_image));
    let mut two = driver::on(&bus, 0x35);
    let (a, b) = (one.generate_key(slot(0), Before::Empty), two.generate_key(slot(0), Before::Empty));
    assert_ne!(a.unwrap(), b.unwrap());
}

/// A provisioned chip whose address UserExtraAdd can change.
fn movable() -> (SimBus, Chip<Simulated>) {
    let mut image = tls_image(true, true);
    image.part_mut(Part::Config)[offset::CHIP_MODE] |= 1;
    on_bus(image, 100_000)
}

#[test]
fn a_chip_is_at_the_address_in_user_extra_add_once_it_has_slept() {
    let (bus, mut chip) = movable();
    chip.permanently_write_user_extra_add(0x61 << 1).unwrap();
    let gone = chip.converse(|awake| awake.read_identity()).unwrap_err();
    assert!(gone.is_absence(), "{gone}");
    let mut moved = driver::on(&bus, 0x61);
    assert_eq!(moved.converse(|awake| awake.read_config()).unwrap().serial_number(), SERIAL);
    let again = moved.permanently_write_user_extra_add(0x62 << 1).unwrap_err();
    assert!(again.has_status(Status::EXECUTION_ERROR), "{again}");
    assert_eq!(bus.image(0).unwrap().config().i2c_address(), 0x61);
}

#[test]
fn an_address_is_not_changed_in_another_chip_and_a_lost_reply_is_reported() {
    let (bus, mut chip) = movable();
    chip.expect(Some(SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 0x44, 0x55, 0x66, 0xEE])));
    let other = chip.permanently_write_user_extra_add(0x61 << 1).unwrap_err();
    assert!(matches!(other, Error::AnotherChip { found: SERIAL, .. }), "{other}");
    chip.expect(None);
    bus.set_faults("doze@1".parse().unwrap());
    let lost = chip.permanently_write_user_extra_add(0x61 << 1).unwrap_err();
    assert!(matches!(lost, Error::Uncertain { opcode: Opcode::UPDATE_EXTRA, .. }), "{lost}");
    assert_eq!(bus.stats().command(Opcode::UPDATE_EXTRA), 1, "sent once");
}

#[test]
fn ecdh_agrees_with_p256() {
    use p256::elliptic_curve::sec1::ToEncodedPoint;
    let (_, mut chip, public_key) = with_key();
    let theirs = p256::ecdh::EphemeralSecret::random(&mut p256::elliptic_curve::rand_core::OsRng);
    let mut xy = [0; 64];
    xy.copy_from_slice(&theirs.public_key().to_encoded_point(false).as_bytes()[1..]);
    let secret = chip.converse(|awake| awake.ecdh(slot(0), &xy)).unwrap();
    let ours = p256::PublicKey::from_sec1_bytes(&[&[4], &public_key[..]].concat()).unwrap();
    assert_eq!(secret[..], theirs.diffie_hellman(&ours).raw_secret_bytes()[..]);
}

#[test]
fn a_blank_chip_is_configured_locked_and_used() {
    let (_, mut chip) = on_bus(Profile::Blank608B.image(SERIAL, ADDRESS), 100_000);
    let blank = chip.converse(|awake| awake.read_config()).unwrap();
    assert_eq!(chip.converse(|awake| awake.random()).unwrap(), atecc608_wire::commands::Random::UNLOCKED_PATTERN);
    let wanted = tls_image(false, false).config();
    assert_ne!(blank, wanted);
    let written = chip.write_config(&wanted).unwrap();
    assert_eq!(written, wanted);
    chip.permanently_lock_config(&written).unwrap();
    let mut contents = DataContents { slots: Default::default(), otp: [0; 64] };
    for slot in atecc608_wire::Slot::all().filter(|slot| !written.key_config(*slot).private()) {
        let bytes = vec![slot.number(); slot.size()];
        chip.write_slot(slot, &bytes).unwrap();
        contents.slots[slot.index()] = Some(bytes);
    }
    chip.write_otp(&contents.otp).unwrap();
    let mut wrong = contents.clone();
    wrong.otp = [1; 64];
    assert!(chip.permanently_lock_data(&wrong).is_err(), "the checksum must fit");
    chip.permanently_lock_data(&contents).unwrap();
    assert!(chip.converse(|awake| awake.read_config()).unwrap().data_locked());
    assert_eq!(chip.converse(|awake| awake.read_slot(slot(8), 416)).unwrap(), [8; 416]);
}

#[test]
fn a_lock_whose_reply_is_lost_is_decided_by_the_lock_bytes() {
    for faults in ["drop@1", "doze@1", "busy@1"] {
        let (bus, mut chip) = on_bus(Profile::Blank608B.image(SERIAL, ADDRESS), 100_000);
        let zone = chip.converse(|awake| awake.read_config()).unwrap();
        bus.set_faults(faults.parse().unwrap());
        chip.permanently_lock_config(&zone).unwrap_or_else(|error| panic!("{faults}: {error}"));
        assert!(chip.converse(|awake| awake.read_config()).unwrap().config_locked(), "{faults}");
    }
}

#[test]
fn seeded_storms_of_bit_errors_never_yield_a_wrong_answer() {
    for seed in 0..200_usize {
        let (bus, mut chip, public_key) = with_key();
        let faults = format!(
            "flip@{}:{}, garble@{}:{}, nack@{}",
            1 + seed % 4,
            seed * 13 % 500,
            1 + seed % 5,
            seed * 7 % 56,
            2 + seed % 17
        );
        bus.set_faults(faults.parse().unwrap());
        match sign(&mut chip) {
            Ok(signature) => assert_verifies(&public_key, &signature),
            Err(error) => panic!("{faults}: {error}"),
        }
        assert_eq!(chip.converse(|awake| awake.execute(&GenKey::public(slot(0)))), Ok(Some(public_key)));
    }
}

/// Ends all disturbances: no faults, supply on, chip inserted.
fn calm(bus: &SimBus) {
    bus.set_faults("none".parse().unwrap());
    bus.power_on();
    bus.insert();
}

#[test]
fn seeded_faults_of_all_kinds_never_yield_a_wrong_answer_and_leave_a_chip_that_works() {
    let (mut good, mut failed) = (0, 0);
    for seed in 0..60_u64 {
        // A signature is about fifty transfers: the rates range from almost no fault in it to several.
        let permille = 1 + seed % 40;
        let (bus, mut chip, public_key) = with_key();
        bus.set_faults(format!("rate:{permille}:{seed}").parse().unwrap());
        for _ in 0..4 {
            match sign(&mut chip) {
                Ok(signature) => {
                    assert_verifies(&public_key, &signature);
                    good += 1;
                }
                Err(_) => failed += 1,
            }
            match chip.converse(|awake| awake.execute(&GenKey::public(slot(0)))) {
                Ok(answer) => assert_eq!(answer, Some(public_key), "rate:{permille}:{seed}"),
                Err(_) => failed += 1,
            }
        }
        calm(&bus);
        let signature = sign(&mut chip).unwrap_or_else(|error| panic!("after rate:{permille}:{seed}: {error}"));
        assert_verifies(&public_key, &signature);
    }
    // The driver repeats what it may, and fails only if the chip stays away.
    assert!(good > failed, "{good} signatures, {failed} failures");
}

#[test]
fn under_seeded_faults_the_key_that_is_reported_is_the_one_in_the_chip() {
    for seed in 0..60_u64 {
        let (bus, mut chip) = provisioned();
        bus.set_faults(format!("rate:100:{seed}").parse().unwrap());
        let reported = chip.generate_key(slot(0), Before::Empty);
        calm(&bus);
        let stored = chip.converse(|awake| awake.public_key(slot(0)));
        match reported {
            Ok(public_key) => assert_eq!(stored, Ok(Some(public_key)), "seed {seed}"),
            // The outcome is unknown: the slot holds no key, or one that was never reported.
            Err(_) => assert!(stored.is_ok(), "seed {seed}: {stored:?}"),
        }
    }
}

#[test]
fn a_chip_slower_than_its_maxima_is_waited_for_up_to_a_limit_and_then_reported() {
    for (percent, patient) in [(10, true), (100, false), (1000, false)] {
        let (bus, mut chip, public_key) = with_key();
        bus.set_execution_times(ExecutionTimes::Maximum);
        bus.set_faults(format!("stretch:{percent}").parse().unwrap());
        match sign(&mut chip) {
            Ok(signature) => assert_verifies(&public_key, &signature),
            Err(error) => assert!(!patient && error.to_string().contains("did not finish"), "{percent} %: {error}"),
        }
        calm(&bus);
        assert_verifies(&public_key, &sign(&mut chip).unwrap());
    }
}

#[test]
fn the_clock_never_goes_back() {
    let (_, mut chip) = provisioned();
    let transport = chip.transport_mut();
    let before = transport.now();
    transport.delay(Duration::from_millis(3));
    assert!(transport.now() >= before + Duration::from_millis(3));
}
