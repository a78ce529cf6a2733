// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults on request, power loss, and the image file (DESIGN.md section 6; fact sheet sections 1.3 and 3.0).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use atecc608_sim::image::Part;
use atecc608_sim::transfer::{Segment, TransferFault};
use atecc608_sim::{ImageError, Profile, SimBus, SimChip};
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::Command;

const INFO: &str = "07 30 00 00 00 03 5D";
const INFO_608B: &str = "07 00 00 60 03 83 BB";

fn master_with(faults: &str) -> Master {
    let master = Master::tls();
    master.bus.set_faults(faults.parse().unwrap());
    master
}

fn write_slot_8(block: u8, byte: u8) -> Write {
    Write::block(Zone::Data, Address::slot(slot(8), block, 0), [byte; 32])
}

fn send(master: &Master, packet: &str) {
    master.write(&[vec![0x03], hex(packet)].concat()).unwrap();
    master.wait_us(120_000);
}

#[test]
fn a_flipped_bit_is_wrong_when_first_read_and_right_when_read_again() {
    let master = master_with("flip@2:9");
    assert_eq!(master.raw(INFO), hex(INFO_608B));
    assert_eq!(master.raw(INFO), hex("07 02 00 60 03 83 BB"));
    master.write(&[0x00]).unwrap();
    assert_eq!(master.read(7).unwrap(), hex(INFO_608B));
    assert_eq!(master.raw(INFO), hex(INFO_608B));
}

#[test]
fn a_garbled_command_answers_ff_once() {
    let master = master_with("garble@1:17");
    assert_eq!(master.raw(INFO), hex("04 FF 01 42"));
    assert_eq!(master.raw(INFO), hex(INFO_608B));
}

#[test]
fn a_dropped_reply_was_executed() {
    let master = master_with("drop@1");
    send(&master, "07 40 04 00 00 83 87");
    assert_eq!(master.read(4).unwrap(), [0xFF; 4]);
    assert_eq!(master.run(&Info::KeyValid(slot(0))).unwrap()[0], 1);
}

#[test]
fn a_dozing_chip_has_executed_and_sleeps() {
    let master = master_with("doze@1");
    send(&master, "07 40 04 00 00 83 87");
    assert_eq!(master.read(4), Err(TransferFault::AddressNack));
    master.wake();
    assert_eq!(master.run(&Info::KeyValid(slot(0))).unwrap()[0], 1);
}

#[test]
fn a_planned_status_executes_nothing() {
    let master = master_with("status@1:05");
    assert_eq!(master.raw("07 40 04 00 00 83 87"), hex("04 05 C3 43"));
    assert_eq!(master.run(&Info::KeyValid(slot(0))).unwrap()[0], 0);
}

#[test]
fn a_stuck_chip_stays_busy_until_its_watchdog_and_a_slow_one_comes_back() {
    let master = master_with("busy@1,busy@2:300");
    send(&master, "07 40 04 00 00 83 87");
    assert_eq!(master.read(4), Err(TransferFault::AddressNack));
    master.wait_us(400_000);
    master.pulse();
    master.wait_us(1500);
    assert_eq!(master.read(4), Err(TransferFault::AddressNack), "awake and busy: the pulse is ignored");
    master.wait_us(1_700_000);
    master.wake();
    assert_eq!(master.run(&Info::KeyValid(slot(0))).unwrap()[0], 0);
    let master = master_with("busy@1:300");
    send(&master, INFO);
    assert_eq!(master.read(1), Err(TransferFault::AddressNack));
    master.wait_us(200_000);
    assert_eq!(master.read(7).unwrap(), hex(INFO_608B));
}

#[test]
fn nacks_pulls_and_inserts_come_at_their_transfers() {
    let master = master_with("nack@2*2,pull@6,insert@8");
    let results: Vec<bool> = (1..=8).map(|_| master.write(&[0x00]).is_ok()).collect();
    assert_eq!(results, [true, false, false, true, true, false, false, false]);
    master.wait_us(200);
    master.wake();
}

#[test]
fn power_lost_within_a_block_leaves_the_old_block_and_after_it_the_new_one() {
    for (bytes, survives) in [(1, false), (31, false), (32, true)] {
        let master = master_with(&format!("power@{bytes}"));
        let packet = write_slot_8(0, 0x77).packet().encode();
        let _ = master.write(&[vec![0x03], packet].concat());
        master.wait_us(50_000);
        assert!(master.read(1).is_err(), "no power, no answer");
        master.bus.power_on();
        master.wait_us(200);
        master.wake();
        let block = master.bus.image(0).unwrap().part(Part::Slot(slot(8)))[..32].to_vec();
        assert_eq!(block, if survives { [0x77; 32] } else { [0xFF; 32] }, "after {bytes} bytes");
        assert_eq!(master.status(&write_slot_8(0, 0x78)), 0, "power goes away once");
    }
}

/// Milliseconds until the response to Info(Revision) can be read.
fn time_of_info(faults: &str) -> u64 {
    let master = Master::tls();
    master.maximum_times();
    master.bus.set_faults(faults.parse().unwrap());
    master.write(&[vec![0x03], hex(INFO)].concat()).unwrap();
    let start = master.bus.now();
    while master.read(1).is_err() {
        master.wait_us(100);
    }
    (master.bus.now() - start).as_millis() as u64
}

#[test]
fn a_stretched_command_takes_longer_than_its_maximum() {
    // Info takes at most 5 ms.
    assert!((5..7).contains(&time_of_info("none")));
    assert!((10..12).contains(&time_of_info("stretch@1:100")));
    assert!((15..17).contains(&time_of_info("stretch:200")));
    assert!((20..22).contains(&time_of_info("stretch:200,stretch@1:100")));
    assert!((5..7).contains(&time_of_info("stretch@2:100")));
}

#[test]
fn a_command_stretched_past_the_watchdog_is_never_executed() {
    // 115 ms, and thirty times as much: the watchdog expires after 1.7 s at the latest.
    let master = master_with("stretch@1:3000");
    send(&master, "07 40 04 00 00 83 87");
    master.wait_us(1_700_000);
    master.wake();
    assert_eq!(master.run(&Info::KeyValid(slot(0))).unwrap()[0], 0);
}

#[test]
fn a_failed_health_test_lasts_until_the_next_wake_or_clears_itself() {
    for (options, after) in [(0x06, 0x08), (0x0E, 0x00)] {
        let master = master_with("health@2").untimed();
        master.tamper(|image| image.part_mut(Part::Config)[90] = options);
        let random = Random { update_seed: true };
        assert_eq!(master.status_on(&random), OK);
        assert_eq!(master.status_on(&random), 0x08);
        assert_eq!(master.status_on(&Info::Revision), OK, "only who needs a random number is refused");
        assert_eq!(master.status_on(&random), after, "ChipOptions {options:02X}");
        master.restart();
        assert_eq!(master.status_on(&random), OK);
    }
}

#[test]
fn power_lost_by_faults_at_a_rate_comes_back_and_the_same_seed_repeats_the_run() {
    let run = |seed: u64| {
        let master = Master::tls();
        master.bus.set_faults(format!("rate:60:{seed}").parse().unwrap());
        let mut answered = Vec::new();
        for round in 0..200 {
            let pulse = Segment::Write { address: 0, data: vec![0] };
            let _ = master.transfer(&[pulse]);
            master.wait_us(1500);
            let packet = write_slot_8(round % 4, round).packet().encode();
            let _ = master.write(&[vec![0x03], packet].concat());
            master.wait_us(60_000);
            answered.push(master.read(4).ok());
            let _ = master.write(&[0x01]);
            master.wait_us(2_000_000);
        }
        (answered, master)
    };
    let (first, master) = run(1);
    assert_eq!(first, run(1).0);
    assert_ne!(first, run(2).0);
    let good = first.iter().filter(|answer| answer.as_deref() == Some(&hex("04 00 03 40")[..])).count();
    assert!((20..180).contains(&good), "{good} of 200 writes were answered with success");
    master.bus.set_faults("none".parse().unwrap());
    master.bus.power_on();
    master.bus.insert();
    master.wait_us(2_000_000);
    master.wake();
    assert_eq!(master.status(&write_slot_8(0, 1)), OK);
}

#[test]
fn in_failure_state_only_read_config_and_self_test_are_answered() {
    let master = master_with("selftest:04");
    assert_eq!(master.run(&SelfTest { tests: 0x01 }), Ok(0));
    // `run` idles and wakes before each command, which ends the failure state: raw packets here.
    let self_test = |tests| {
        let packet = SelfTest { tests }.packet().encode();
        packet.iter().map(|byte| format!("{byte:02X}")).collect::<String>()
    };
    assert_eq!(master.raw(&self_test(0x3D))[1], 0x04);
    assert_eq!(master.raw(INFO), hex("04 07 40 C2"));
    assert_eq!(master.raw(&self_test(0))[1], 0x04);
    assert_eq!(master.raw("07 02 80 00 00 09 AD").len(), 35);
    assert_eq!(master.raw("07 02 82 00 00 05 B1")[1..2], [0xFF], "damaged packets first");
    master.restart();
    assert_eq!(master.raw(INFO), hex(INFO_608B));
    // The power-on self-test fails again with every wake.
    master.tamper(|image| image.part_mut(Part::Config)[90] |= 1);
    master.sleep();
    master.pulse();
    master.wait_us(20_000);
    assert_eq!(master.read(4).unwrap(), hex("04 07 40 C2"));
    assert_eq!(master.raw(INFO), hex("04 07 40 C2"));
}

#[test]
fn a_missing_image_becomes_a_blank_608b_with_a_sim_serial_and_0660() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.img");
    let chip = SimChip::open(&path, 0x35).unwrap();
    assert!(chip.serial().is_simulated());
    assert_eq!(chip.serial().0[8], 0xEE);
    assert_eq!(chip.address(), 0x35);
    assert_eq!(chip.image().revision(), [0, 0, 0x60, 3]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let again = SimChip::open(&path, 0x60).unwrap();
    assert_eq!((again.serial(), again.address()), (chip.serial(), 0x35));
    assert!(SimChip::open_existing(&folder.path().join("none")).is_err());
    let profile = SimChip::open_profile(&folder.path().join("508"), 0x60, Profile::Blank508A).unwrap();
    assert_eq!(profile.image().revision(), [0, 0, 0x50, 0]);
}

#[test]
fn a_damaged_or_foreign_file_is_refused_by_name_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.img");
    SimChip::open(&path, 0x60).unwrap();
    let good = fs::read(&path).unwrap();
    let mut damaged = good.clone();
    damaged[700] ^= 4;
    for bytes in [damaged, good[..100].to_vec(), b"# a text file".to_vec(), Vec::new()] {
        fs::write(&path, &bytes).unwrap();
        let error = SimChip::open(&path, 0x60).err().unwrap();
        assert!(matches!(error, ImageError::Corrupt { .. }));
        let text = error.to_string();
        assert!(text.contains("chip.img") && text.contains("move it away"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let missing = SimChip::open(&folder.path().join("no/such/folder"), 0x60).err().unwrap().to_string();
    assert!(missing.contains("no/such/folder"), "{missing}");
}

#[test]
fn what_is_written_is_in_the_file_and_another_process_sees_it_after_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.img");
    tls_image(true, true).create(&path).unwrap();
    let open = || {
        let bus = SimBus::new(100_000);
        bus.add_chip(SimChip::open_existing(&path).unwrap());
        Master { bus, address: ADDRESS }
    };
    let (first, second) = (open(), open());
    first.wake();
    second.wake();
    let key = first.run(&GenKey::create(slot(0))).unwrap();
    assert_eq!(second.run(&Info::KeyValid(slot(0))).unwrap()[0], 0);
    second.bus.reload().unwrap();
    assert_eq!(second.run(&GenKey::public(slot(0))).unwrap(), key);
    // Only the image is left, and no temporary file.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::write(&path, b"junk").unwrap();
    assert!(second.bus.reload().unwrap_err().to_string().contains("chip.img"));
    assert_eq!(second.run(&GenKey::public(slot(0))).unwrap(), key, "the contents are as before");
}

#[test]
fn a_file_that_cannot_be_replaced_takes_the_chips_power_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("gone");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("chip.img");
    tls_image(true, true).create(&path).unwrap();
    let master = Master::with_chip(SimChip::open_existing(&path).unwrap());
    master.wake();
    fs::remove_dir_all(&inner).unwrap();
    let _ = master.write(&[vec![0x03], write_slot_8(0, 1).packet().encode()].concat());
    master.wait_us(50_000);
    assert!(master.read(1).is_err());
    assert_eq!(master.bus.image(0).unwrap().part(Part::Slot(slot(8)))[0], 0xFF);
}

#[test]
fn seeds_repeat_and_without_one_nothing_does() {
    let random = |seed: Option<u64>| {
        let bus = SimBus::new(100_000);
        bus.add_chip(SimChip::from_image(tls_image(true, true)));
        if let Some(seed) = seed {
            bus.seed(seed);
        }
        let master = Master { bus, address: ADDRESS };
        master.wake();
        (master.run(&Random { update_seed: true }).unwrap(), master.bus.now())
    };
    assert_eq!(random(Some(5)), random(Some(5)));
    assert_ne!(random(Some(5)), random(Some(6)));
    assert_ne!(random(None).0, random(None).0);
}
