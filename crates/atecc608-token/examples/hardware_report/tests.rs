// SPDX-License-Identifier: MIT OR Apache-2.0
//! The probes on simulated chips: each switch is detected by its name, in its other position.

use atecc608_sim::profiles::Locks;
use atecc608_sim::{Image, Order, Profile, SimBus, SimChip, Switches};
use atecc608_wire::config_zone::SerialNumber;

use crate::bench::Bench;
use crate::compare::compare;
use crate::examine::{examine, Options};
use crate::report::{Host, Report};
use crate::simulator;

const SERIAL: SerialNumber = SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 0x11, 0x22, 0x33, 0xEE]);

fn host() -> Host {
    Host {
        kernel: "none".to_owned(),
        board: None,
        bus: "in memory".to_owned(),
        adapter: None,
        i2c_hz: Some(100_000),
        address: "0x60".to_owned(),
    }
}

fn options(sacrifice: bool) -> Options {
    Options { rounds: 1, with_serial: false, sacrifice }
}

/// Examines and consumes a chip with these switches; also returns its EEPROM afterwards.
fn report_on(image: Image, switches: Switches, sacrifice: bool) -> (Report, Image) {
    let bus = SimBus::new(100_000);
    bus.add_chip(SimChip::from_image(image).with_switches(switches));
    bus.seed(7);
    let mut bench = Bench::new(Box::new(bus.clone()), 0x60);
    let report = examine(&mut bench, host(), &options(sacrifice)).unwrap();
    (report, bus.image(0).unwrap())
}

fn blank() -> Image {
    blank_with(&Switches::default())
}

fn blank_with(switches: &Switches) -> Image {
    SimChip::blank_with(Profile::Blank608B, SERIAL, switches.clone()).image().clone()
}

/// The report that the strict simulated chip would have given.
fn strict(report: &Report) -> Report {
    let (mut bench, host) = simulator::like(report, 100_000, Switches::default()).unwrap();
    examine(&mut bench, host, &options(report.sacrificed)).unwrap()
}

/// Switches that no probe of a sacrificed chip can detect, and why.
const UNSEEN: &[(&str, &str)] = &[
    ("use_lock_gates_keys", "UseLock would gate all other questions too: it needs a separate chip"),
    ("output_protection_means_inside", "the same for ECDHProt and KDFProt; a chip that has them is tested"),
    ("long_watchdog_spreads", "ChipMode bit 2 would slow every question down; the script measures a chip that has it"),
    ("failed_wake_is_the_vendors", "it needs a broken chip"),
    ("times_are_steady", "the table of timings measures how much the times vary"),
];

#[test]
fn every_switch_is_seen_in_both_positions_by_its_name() {
    let (report, _) = report_on(blank(), Switches::default(), true);
    let strict = strict(&report);
    for (name, position) in Switches::default().positions() {
        if UNSEEN.iter().any(|(unseen, _)| *unseen == name) {
            continue;
        }
        let other = match position.as_str() {
            "on" => "off",
            "off" => "on",
            "0F" => "05",
            "00" => "EE",
            "FF" => "A5",
            _ => "0F",
        };
        let line = format!("{name}={other}");
        let switches: Switches = line.parse().unwrap();
        let (report, _) = report_on(blank_with(&switches), switches, true);
        assert_eq!(report.switches, line);
        let comparison = compare(&report, &strict);
        assert!(comparison.differences > 0, "{line}");
        let hint =
            format!("crates/atecc608-sim/src/switches.rs: {name} would have to be {other} instead of {position}");
        assert!(comparison.text.contains(&hint), "{line}: {}", comparison.text);
    }
}

#[test]
fn protection_of_outputs_is_seen_on_a_chip_that_has_it() {
    for (low, high) in [(0x0E, 0x43), (0x0E, 0x4C)] {
        for position in ["on", "off"] {
            let mut image = blank();
            let config = image.part_mut(atecc608_sim::image::Part::Config);
            (config[86], config[87], config[90], config[91]) = (0, 0, low, high);
            let line = format!("output_protection_means_inside={position}");
            let (report, _) = report_on(image, line.parse().unwrap(), false);
            assert_eq!(report.switches, if position == "on" { line } else { "none".to_owned() });
        }
    }
}

#[test]
fn a_strict_chip_differs_in_nothing_from_a_strict_chip() {
    let (report, _) = report_on(blank(), Switches::default(), true);
    assert_eq!(report.switches, "none");
    let comparison = compare(&report, &strict(&report));
    assert_eq!(comparison.differences, 0, "{}", comparison.text);
}

#[test]
fn without_a_sacrifice_nothing_is_written() {
    let (_, after) = report_on(blank(), Switches::default(), false);
    assert!(after == blank(), "blank");
    // A sacrificed chip has keys of all kinds, limited ones too.
    let (_, spent) = report_on(blank(), Switches::default(), true);
    let (report, after) = report_on(spent.clone(), Switches::default(), false);
    assert!(after == spent, "locked");
    assert!(report.findings.iter().filter(|finding| finding.seen.is_some()).count() > 30);
}

#[test]
fn chips_as_sold_are_left_as_they_are_and_behave_as_a_chip_made_from_their_report() {
    for profile in Profile::ALL.into_iter().filter(|profile| profile.model().is_608()) {
        for locks in [Locks::None, Locks::Config, Locks::Data] {
            let order = Order { seed: Some(1), locks: Some(locks), address: Some(0x60), ..Order::of(profile) };
            let image = order.make().unwrap().image;
            let (report, after) = report_on(image.clone(), Switches::default(), false);
            assert!(after == image, "{} {locks:?}", profile.name());
            let comparison = compare(&report, &strict(&report));
            assert_eq!(comparison.differences, 0, "{} {locks:?}: {}", profile.name(), comparison.text);
        }
    }
}

#[test]
fn a_report_tells_no_serial_number_unless_asked() {
    let (report, _) = report_on(blank(), Switches::default(), true);
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains("112233") && !text.contains("11 22 33"), "{text}");
    assert_eq!(report.chip.serial_number, "0123xxxxxxxxxxxxEE");
    assert_eq!(report.chip.serial, report.chip.serial_number);
}

#[test]
fn a_report_survives_its_file() {
    let (report, _) = report_on(blank(), Switches::default(), false);
    let text = serde_json::to_string_pretty(&report).unwrap();
    let read: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(read.findings, report.findings);
    assert_eq!(read.config().unwrap().as_bytes()[13..], blank().config().as_bytes()[13..]);
}

#[test]
fn a_chip_that_cannot_be_locked_is_no_agreement() {
    let (mut report, _) = report_on(blank(), Switches::default(), true);
    report.findings.retain(|finding| finding.state == "nothing locked");
    let whole = strict(&report);
    let comparison = compare(&whole, &report);
    assert!(comparison.differences > 0, "{}", comparison.text);
}
