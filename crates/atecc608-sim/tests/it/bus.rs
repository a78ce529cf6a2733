// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip on its bus: wake, word addresses, busy, re-reading, watchdog, power (fact sheet sections 1 and
//! 2). The packets are copied from the fact sheet.

use std::time::{Duration, Instant};

use atecc608_sim::image::Part;
use atecc608_sim::transfer::{Segment, TransferFault};
use atecc608_sim::{Order, Profile, SimBus, SimChip, Timing};
use atecc608_testkit::master::*;
use atecc608_wire::commands::{GenKey, LockZone, Random, UpdateExtra, Write};
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::Opcode;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, I2c, NoAcknowledgeSource, Operation};

const INFO: &str = "07 30 00 00 00 03 5D";
const INFO_608B: &str = "07 00 00 60 03 83 BB";
const INFO_STATE: &str = "07 30 02 00 00 00 D8";
const RANDOM: &str = "07 1B 00 00 00 24 CD";
const SIGN: &str = "07 41 A0 00 00 7B 85";

fn nonce_to_digest_buffer() -> String {
    let data: String = (0..32).map(|byte| format!("{byte:02X}")).collect();
    format!("27 16 43 00 00 {data} D7 6C")
}

fn nack() -> Result<(), TransferFault> {
    Err(TransferFault::AddressNack)
}

#[test]
fn a_100_khz_pulse_wakes_and_a_400_khz_pulse_does_not() {
    let slow = Master::blank();
    slow.wake();
    assert_eq!(slow.bus.stats().wakes, 1);

    let bus = SimBus::new(400_000);
    bus.add_chip(SimChip::blank(Profile::Blank608B, SERIAL));
    let fast = Master { bus, address: ADDRESS };
    fast.pulse();
    fast.wait_us(1500);
    assert_eq!(fast.read(4), Err(TransferFault::AddressNack));
    assert_eq!(fast.bus.stats().wakes, 0);
}

#[test]
fn info_returns_the_revision() {
    let master = Master::blank();
    master.wake();
    assert_eq!(master.raw(INFO), hex(INFO_608B));
    let master = Master::with_chip(SimChip::blank(Profile::Blank608A, SERIAL));
    master.wake();
    assert_eq!(master.raw(INFO), hex("07 00 00 60 02 80 38"));
}

#[test]
fn random_is_a_pattern_until_the_configuration_is_locked() {
    let master = Master::blank();
    master.wake();
    assert_eq!(master.raw(RANDOM), hex(&format!("23 {} 41 1A", "FFFF0000".repeat(8))));
    let master = Master::tls();
    let first = master.raw(RANDOM);
    assert_ne!(first, master.raw(RANDOM));
    assert_eq!(first.len(), 35);
}

#[test]
fn nothing_is_acknowledged_before_twhi() {
    let master = Master::blank();
    master.pulse();
    master.wait_us(1200);
    assert_eq!(master.write(&[0x00]), nack());
    master.wait_us(300);
    assert_eq!(master.read(4).unwrap(), hex("04 11 33 43"));
}

#[test]
fn with_power_on_self_test_twhi_is_20_ms() {
    let mut image = tls_image(true, true);
    image.part_mut(Part::Config)[90] |= 1;
    let master = Master::with_image(image);
    master.pulse();
    master.wait_us(19_800);
    assert!(master.read(4).is_err());
    master.wait_us(300);
    assert_eq!(master.read(4).unwrap(), hex("04 11 33 43"));
}

#[test]
fn a_sleeping_chip_does_not_answer_and_writing_to_c0_wakes_it_by_accident() {
    let master = Master::blank();
    assert!(master.read(4).is_err());
    master.wait_us(1500);
    assert!(master.read(4).is_err(), "five low bits of C1 are too short");
    assert_eq!(master.write(&[0x01]), nack());
    master.wait_us(1500);
    assert_eq!(master.read(4).unwrap(), hex("04 11 33 43"));
    let stats = master.bus.stats();
    assert_eq!((stats.wakes, stats.accidental_wakes), (0, 1));

    let careful = Master::with_switches(tls_image(true, true), |switches| switches.any_traffic_wakes = false);
    assert_eq!(careful.write(&[0x01]), nack());
    careful.wait_us(1500);
    assert!(careful.read(4).is_err());
}

#[test]
fn a_bus_without_times_still_takes_one_to_wake_by_accident() {
    // If the machine stops for longer than that between the two transfers, the effect is not seen: try again.
    for _ in 0..100 {
        let bus = SimBus::with_timing(100_000, Timing::Fast);
        bus.add_chip(SimChip::from_image(tls_image(true, true)));
        let read = || bus.transfer(&[Segment::Read { address: 0x60, len: 4 }]);
        let start = Instant::now();
        assert!(bus.transfer(&[Segment::Write { address: 0x60, data: vec![0] }]).is_err());
        let at_once = read();
        if start.elapsed() >= Duration::from_micros(1500) {
            continue;
        }
        assert!(at_once.is_err(), "it wakes");
        assert_eq!(bus.stats().accidental_wakes, 1);
        std::thread::sleep(Duration::from_micros(1600));
        assert!(read().is_ok());
        // A real wake pulse wakes it at once.
        assert!(bus.transfer(&[Segment::Write { address: 0x60, data: vec![1] }]).is_ok(), "asleep");
        assert!(bus.transfer(&[Segment::Write { address: 0, data: vec![0] }]).is_err());
        assert!(read().is_ok());
        return;
    }
    panic!("the machine is too slow");
}

#[test]
fn a_pulse_to_an_awake_chip_is_ignored() {
    let master = Master::blank();
    master.wake();
    let info = master.raw(INFO);
    master.pulse();
    master.write(&[0x00]).unwrap();
    assert_eq!(master.read(7).unwrap(), info);
}

#[test]
fn a_command_may_follow_without_the_wake_response_being_read() {
    let master = Master::blank();
    master.pulse();
    master.wait_us(1500);
    assert_eq!(master.raw(INFO), hex(INFO_608B));
}

#[test]
fn busy_is_not_acknowledged_neither_read_nor_write() {
    let master = Master::blank();
    master.maximum_times();
    master.wake();
    master.write(&[vec![0x03], hex(RANDOM)].concat()).unwrap();
    assert_eq!(master.write(&[0x00]), nack());
    assert!(master.read(1).is_err());
    assert_eq!(master.write(&[0x01]), nack(), "not even sleep");
    master.wait_us(23_000);
    assert_eq!(master.read(1).unwrap(), [0x23]);
}

#[test]
fn the_output_counter_survives_transfers_is_reset_by_00_and_gives_ff_past_the_end() {
    let master = Master::blank();
    master.wake();
    master.write(&[vec![0x03], hex(INFO)].concat()).unwrap();
    master.wait_us(6000);
    assert_eq!(master.read(1).unwrap(), [0x07]);
    assert_eq!(master.read(6).unwrap(), hex("00 00 60 03 83 BB"));
    assert_eq!(master.read(3).unwrap(), [0xFF; 3]);
    for _ in 0..3 {
        master.write(&[0x00]).unwrap();
        assert_eq!(master.read(9).unwrap(), hex("07 00 00 60 03 83 BB FF FF"));
    }
}

#[test]
fn a_command_may_be_split_over_writes_and_nothing_is_read_before_its_end() {
    let master = Master::blank();
    master.wake();
    master.write(&hex("03 07 30")).unwrap();
    assert!(master.read(1).is_err());
    master.write(&hex("03 00 00 00 03")).unwrap();
    assert!(master.read(1).is_err());
    master.write(&hex("03 5D")).unwrap();
    assert_eq!(master.response(), hex(INFO_608B));
}

#[test]
fn a_command_cut_short_is_forgotten_with_a_reset() {
    let master = Master::blank();
    master.wake();
    master.write(&hex("03 07 30 00")).unwrap();
    master.write(&[0x00]).unwrap();
    assert_eq!(master.read(1).unwrap(), [0xFF]);
    assert_eq!(master.raw(INFO), hex(INFO_608B));
}

#[test]
fn bytes_after_the_packet_are_not_acknowledged() {
    let master = Master::blank();
    master.wake();
    assert_eq!(master.write(&hex("03 07 30 00 00 00 03 5D 00")), Err(TransferFault::DataNack));
    assert_eq!(master.response(), hex(INFO_608B));
}

#[test]
fn damaged_packets_answer_ff_and_execute_nothing() {
    let master = Master::tls();
    master.raw(&nonce_to_digest_buffer());
    assert_eq!(master.raw("07 41 A0 00 00 7B 84"), hex("04 FF 01 42"), "checksum");
    assert_eq!(master.raw("06 30 00 00 03 5D"), hex("04 FF 01 42"), "count too small");
    assert_eq!(master.raw("FF 30 00 00 00 03 5D"), hex("04 FF 01 42"), "count too large");
    assert_eq!(master.bus.stats().command(Opcode::SIGN), 0);
}

#[test]
fn unknown_opcodes_and_modes_answer_03() {
    let master = Master::tls();
    for (opcode, param1) in [(0x11, 0), (0x01, 0), (0x13, 0), (0x99, 0), (0x30, 9), (0x1B, 2), (0x24, 2)] {
        let packet = atecc608_wire::CommandPacket::new(Opcode(opcode), param1, 0).encode();
        let text: String = packet.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(master.raw(&text), hex("04 03 83 42"), "{opcode:02X}");
    }
}

#[test]
fn reserved_word_addresses_are_not_acknowledged() {
    let master = Master::blank();
    master.wake();
    assert_eq!(master.write(&[0x04]), Err(TransferFault::DataNack));
    assert_eq!(master.write(&[0xFF]), Err(TransferFault::DataNack));
}

#[test]
fn idle_keeps_the_buffers_and_loses_the_output_and_sleep_loses_all() {
    let master = Master::tls();
    master.tamper(|image| image.part_mut(Part::Slot(slot(0)))[..36].copy_from_slice(&[vec![0; 35], vec![7]].concat()));
    master.restart();
    assert_eq!(master.raw(&nonce_to_digest_buffer()), hex("04 00 03 40"));
    master.idle();
    assert!(master.read(4).is_err());
    master.pulse();
    master.wait_us(1500);
    assert_eq!(master.read(4).unwrap(), hex("04 11 33 43"), "not the old response");
    assert_eq!(master.raw(SIGN).len(), 67);
    master.restart();
    assert_eq!(master.raw(SIGN), hex("04 0F 23 42"));
}

#[test]
fn the_watchdog_strikes_between_700_and_1700_ms_and_puts_to_sleep() {
    let mut ends = Vec::new();
    for seed in 0..20 {
        let master = Master::tls();
        master.sleep();
        master.bus.seed(seed);
        master.wake();
        let woken = master.bus.now();
        while master.read(1).is_ok() {
            master.wait_us(1000);
        }
        ends.push((master.bus.now() - woken).as_millis());
    }
    assert!(ends.iter().all(|end| (690..=1710).contains(end)), "{ends:?}");
    assert!(ends.iter().max().unwrap() - ends.iter().min().unwrap() > 200, "drawn: {ends:?}");
}

#[test]
fn a_command_that_the_watchdog_might_cut_off_answers_ee() {
    let master = Master::tls();
    master.wait_us(590_000);
    // Sign may take 115 ms; the earliest watchdog is at 700 ms, the drawn one may be later.
    let woken = master.bus.now();
    loop {
        let response = master.raw(SIGN);
        if response == hex("04 EE 31 41") {
            break;
        }
        assert_eq!(response, hex("04 0F 23 42"), "no digest");
        assert!(master.bus.now() - woken < Duration::from_millis(1200));
    }
    assert_eq!(master.raw(INFO), hex(INFO_608B), "short commands still fit");
    master.idle();
    master.wake();
    assert_eq!(master.raw(SIGN), hex("04 0F 23 42"));
}

#[test]
fn without_the_margin_the_watchdog_cuts_a_command_off_and_eeprom_stays_as_it_was() {
    let master = Master::with_switches(tls_image(true, true), |switches| switches.watchdog_margin = false);
    master.maximum_times();
    master.wake();
    let before = master.bus.image(0).unwrap();
    let genkey = hex("03 07 40 04 00 00 83 87");
    // Keep the chip busy until a GenKey no longer fits.
    while master.read(1).is_ok() {
        master.write(&genkey).unwrap();
        master.wait_us(116_000);
        if master.read(1).is_ok() {
            master.tamper(|image| *image = before.clone());
        }
    }
    assert!(master.bus.image(0).unwrap() == before);
    master.wake();
}

#[test]
fn each_command_takes_a_time_of_its_own_with_times_are_steady_and_another_one_each_time_without() {
    for steady in [true, false] {
        let master = Master::with_switches(tls_image(true, true), |switches| switches.times_are_steady = steady);
        master.wake();
        let random_takes = |_| {
            master.bus.take_stats();
            master.run_on(&Random { update_seed: true }).unwrap();
            master.bus.take_stats().chip_us_drawn
        };
        let times: Vec<u64> = (0..8).map(random_takes).collect();
        assert!(times.iter().all(|time| (1_000..23_000).contains(time)), "{times:?}");
        assert_eq!(times.iter().all(|time| *time == times[0]), steady, "{times:?}");
    }
}

#[test]
fn two_chips_share_the_bus_and_each_answers_at_its_own_address() {
    let bus = SimBus::new(100_000);
    bus.add_chip(SimChip::from_image(Profile::Blank608A.image(SERIAL, 0x60)));
    let other = SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 0x44, 0x55, 0x66, 0xEE]);
    bus.add_chip(SimChip::from_image(Profile::Blank608B.image(other, 0x35)));
    let (a, b) = (Master { bus: bus.clone(), address: 0x60 }, Master { bus: bus.clone(), address: 0x35 });
    a.wake();
    assert_eq!(b.read(4).unwrap(), hex("04 11 33 43"), "one pulse wakes both");
    assert_eq!(a.raw(INFO), hex("07 00 00 60 02 80 38"));
    assert_eq!(b.raw(INFO), hex(INFO_608B));
    a.sleep();
    assert_eq!(b.raw(INFO), hex(INFO_608B));
    assert!(a.read(1).is_err() || bus.stats().accidental_wakes > 0);
    assert_eq!(Master { bus, address: 0x6A }.write(&[0x00]), nack());
}

/// Word 4 of the configuration.
fn address_and_chip_mode(address: u8, chip_mode: u8) -> Write {
    Write::word(Zone::Config, Address(4), [address, 0, 0, chip_mode])
}

#[test]
fn a_new_address_counts_after_sleep() {
    let master = Master::blank();
    master.wake();
    assert_eq!(master.status(&address_and_chip_mode(0xD0, 0)), OK);
    assert_eq!(master.raw(INFO), hex(INFO_608B));
    master.idle();
    master.wake();
    master.sleep();
    master.pulse();
    master.wait_us(1500);
    assert_eq!(master.write(&[0x00]), nack());
    let moved = Master { bus: master.bus.clone(), address: 0x68 };
    assert_eq!(moved.read(4).unwrap(), hex("04 11 33 43"));
}

#[test]
fn user_extra_add_is_the_address_after_sleep_if_chip_mode_says_so() {
    for (chip_mode, address, nobody) in [(1, 0x68, ADDRESS), (0, ADDRESS, 0x68)] {
        let master = Master::blank();
        master.wake();
        assert_eq!(master.status(&address_and_chip_mode(ADDRESS << 1, chip_mode)), OK);
        assert_eq!(master.raw(INFO), hex(INFO_608B), "UserExtraAdd is 0: nothing changes");
        master.restart();
        assert_eq!(master.status(&UpdateExtra::UserExtraAdd(0xD0)), OK);
        master.idle();
        master.wake();
        assert_eq!(master.raw(INFO), hex(INFO_608B), "idle is no sleep");
        master.sleep();
        master.pulse();
        master.wait_us(1500);
        let at = |address| Master { bus: master.bus.clone(), address };
        assert_eq!(at(nobody).write(&[0x00]), nack());
        assert_eq!(at(address).read(4).unwrap(), hex("04 11 33 43"), "ChipMode {chip_mode}");
    }
}

#[test]
fn a_locked_trust_and_go_chip_takes_one_other_address_for_good() {
    let order = Order { address: Some(ADDRESS), seed: Some(7), ..Order::of(Profile::TngTls) };
    let master = Master::with_image(order.make().unwrap().image);
    master.wake();
    assert_eq!(master.status(&address_and_chip_mode(0xC4, 1)), EXECUTION, "the configuration is locked");
    assert_eq!(master.status(&UpdateExtra::UserExtraAdd(0)), OK, "00 over 00");
    assert_eq!(master.status(&UpdateExtra::UserExtraAdd(0xC2)), OK);
    assert_eq!(master.status(&UpdateExtra::UserExtraAdd(0xC4)), EXECUTION, "once");
    assert_eq!(master.raw(INFO), hex(INFO_608B), "not before it sleeps");
    master.bus.power_off();
    master.bus.power_on();
    master.wait_us(200);
    master.pulse();
    master.wait_us(1500);
    assert_eq!(master.write(&[0x00]), nack(), "a loss of power is a sleep");
    let moved = Master { bus: master.bus.clone(), address: 0x61 };
    assert_eq!(moved.read(4).unwrap(), hex("04 11 33 43"));
    assert_eq!(moved.status(&UpdateExtra::UserExtraAdd(0xC4)), EXECUTION);
    moved.restart();
    assert_eq!(moved.raw(INFO), hex(INFO_608B), "where it was");
}

#[test]
fn a_new_clock_divider_counts_after_sleep() {
    // ChipMode bits 7 to 3, and GenKey's maximum.
    for (divider, after_sleep) in [(0x00, 115), (0x05, 215), (0x0D, 653)] {
        let master = Master::with_image(tls_image(false, false));
        master.maximum_times();
        master.wake();
        let gen_key_takes = || {
            let sent = master.bus.now();
            assert_eq!(master.run_on(&GenKey::create(slot(0))).unwrap().unwrap().len(), 64);
            (master.bus.now() - sent).as_millis()
        };
        assert_eq!(master.status(&address_and_chip_mode(ADDRESS << 1, divider << 3)), OK);
        assert_eq!(master.lock(LockZone::Config), OK);
        master.idle();
        master.wake();
        // The transfers, and up to a millisecond between two polls.
        let fast = gen_key_takes();
        assert!((115..115 + 12).contains(&fast), "{fast} ms before sleep");
        master.restart();
        let slow = gen_key_takes();
        assert!((after_sleep..after_sleep + 12).contains(&slow), "{slow} ms after sleep, divider {divider:02X}");
    }
}

#[test]
fn a_power_cycle_loses_everything_but_eeprom_and_the_first_wake_needs_100_us() {
    let master = Master::tls();
    master.raw(&nonce_to_digest_buffer());
    master.bus.power_off();
    assert!(master.read(1).is_err());
    master.pulse();
    master.wait_us(1500);
    assert!(master.read(1).is_err());
    master.bus.power_on();
    master.wait_us(200);
    master.wake();
    assert_eq!(master.raw(SIGN), hex("04 0F 23 42"));
    master.bus.pull();
    assert!(master.read(1).is_err());
    master.bus.insert();
    master.wait_us(200);
    master.wake();
}

#[test]
fn info_state_shows_temp_key() {
    let master = Master::tls();
    assert_eq!(master.raw(INFO_STATE)[1..5], [0, 0, 0, 0]);
    let nonce = atecc608_wire::commands::Nonce::Fixed {
        target: atecc608_wire::commands::NonceTarget::TempKey,
        value: vec![0; 32],
    };
    master.run(&nonce).unwrap();
    assert_eq!(master.raw(INFO_STATE)[1..5], [0x10, 0x80, 0, 0]);
}

#[test]
fn counters_count_what_happened() {
    let master = Master::blank();
    master.wake();
    master.bus.take_stats();
    master.write(&[vec![0x03], hex(INFO)].concat()).unwrap();
    assert!(master.read(1).is_err());
    master.wait_us(6000);
    master.read(7).unwrap();
    master.sleep();
    let stats = master.bus.take_stats();
    assert_eq!((stats.transfers, stats.bytes_written, stats.bytes_read), (4, 8 + 1, 7));
    assert_eq!((stats.nacks, stats.sleeps, stats.idles, stats.wakes), (1, 1, 0, 0));
    // 9 + 1 + 8 + 2 bytes of 90 us, four times START and STOP.
    assert_eq!(stats.bus_us, 20 * 90 + 4 * 20);
    assert_eq!((stats.chip_us_max, stats.chip_us_typ), (5000, 100));
    let json = serde_json::to_value(&stats).unwrap();
    let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let mut expected = [
        "transfers",
        "bytes_written",
        "bytes_read",
        "nacks",
        "wakes",
        "sleeps",
        "idles",
        "commands",
        "bus_us",
        "chip_us_max",
        "chip_us_typ",
        "chip_us_drawn",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(json["commands"], serde_json::json!({ "Info": 1 }));
    assert_eq!(master.bus.stats().transfers, 0);
}

#[test]
fn embedded_hal_merges_neighbours_and_names_the_nack() {
    let master = Master::blank();
    master.wake();
    let mut bus = master.bus.clone();
    bus.take_stats();
    let (mut first, mut rest) = ([0; 1], [0; 6]);
    bus.transaction(0x60, &mut [Operation::Write(&[0x03, 0x07]), Operation::Write(&hex("30 00 00 00 03 5D"))]).unwrap();
    bus.delay_ms(6);
    bus.transaction(0x60, &mut [Operation::Read(&mut first), Operation::Read(&mut rest)]).unwrap();
    assert_eq!([&first[..], &rest].concat(), hex(INFO_608B));
    assert_eq!(bus.stats().transfers, 2);
    assert_eq!(bus.write(0x61, &[0]), Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)));
    assert_eq!(bus.write(0x60, &[9]), Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data)));
    // A repeated START: reset the counter and read, in one transfer.
    let mut again = [0; 7];
    bus.write_read(0x60, &[0x00], &mut again).unwrap();
    assert_eq!(again.to_vec(), hex(INFO_608B));
    assert!(bus.transfer(&[Segment::Read { address: 0x80, len: 1 }]).is_err());
}
