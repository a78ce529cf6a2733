// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver's attestation against the simulated chip: its cost, and that no fault creates a second key or an invalid
//! statement.

use atecc608::attest::{Born, Evidence};
use atecc608::ops::Before;
use atecc608::{Chip, Error};
use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus, SimChip};
use atecc608_testkit::driver::{self, Simulated};
use atecc608_testkit::master::{slot, tls_image, ADDRESS};
use atecc608_wire::Opcode;
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::SecretKey;

const CHALLENGE: [u8; 20] = [0xC0; 20];
const ATTESTER: [u8; 32] = [0x5A; 32];

/// A bus that counts how often the key in slot 0 changes.
struct Watched {
    bus: SimBus,
    key: Vec<u8>,
    changes: usize,
}

impl Watched {
    fn key(bus: &SimBus) -> Vec<u8> {
        bus.image(0).unwrap().part(Part::Slot(slot(0))).to_vec()
    }
}

impl ErrorType for Watched {
    type Error = <SimBus as ErrorType>::Error;
}

impl I2c for Watched {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Self::Error> {
        let result = self.bus.transaction(address, operations);
        let key = Self::key(&self.bus);
        self.changes += usize::from(key != self.key);
        self.key = key;
        result
    }
}

fn image() -> Image {
    let mut image = tls_image(true, true);
    let part = image.part_mut(Part::Slot(slot(1)));
    part[..4].fill(0);
    part[4..].copy_from_slice(&ATTESTER);
    image
}

fn watched(image: Image) -> (SimBus, Chip<Simulated<Watched>>) {
    let bus = SimBus::new(100_000);
    bus.add_chip(SimChip::from_image(image));
    bus.seed(7);
    let key = Watched::key(&bus);
    let between = Watched { bus: bus.clone(), key, changes: 0 };
    let transport = driver::transport(&bus, between, ADDRESS);
    (bus, Chip::new(transport, driver::host_random))
}

fn holds(evidence: &Evidence) -> bool {
    let key = VerifyingKey::from(SecretKey::from_slice(&ATTESTER).unwrap().public_key());
    key.verify_prehash(&evidence.digest(), &Signature::from_slice(&evidence.signature).unwrap()).is_ok()
}

/// X ‖ Y of the key in slot 0's EEPROM.
fn public_key(key: &[u8]) -> Vec<u8> {
    use p256::elliptic_curve::sec1::ToEncodedPoint;
    let key = SecretKey::from_slice(&key[4..]).unwrap();
    key.public_key().to_encoded_point(false).as_bytes()[1..].to_vec()
}

#[test]
fn a_statement_costs_twelve_commands_and_one_wake_and_a_birth_one_more_command() {
    let (bus, mut chip) = watched(image());
    let born = chip.generate_attested_key(slot(0), Before::Empty, &CHALLENGE).unwrap();
    assert!(holds(&born.evidence.unwrap()));
    let stats = bus.take_stats();
    assert_eq!((stats.total_commands(), stats.wakes), (13, 1), "an Info sees that the slot is empty");
    let lives = chip.attest(slot(0), &CHALLENGE).unwrap();
    assert!(holds(&lives));
    assert_eq!(lives.public_key, born.public_key);
    let stats = bus.take_stats();
    assert_eq!((stats.total_commands(), stats.wakes), (12, 1));
    assert_eq!(stats.command(Opcode::GEN_DIG), 5);
}

#[test]
fn the_slowest_clock_divider_goes_through_idle_and_comes_to_the_same() {
    let mut image = image();
    image.part_mut(Part::Config)[19] = 0x0D << 3;
    let (bus, mut chip) = watched(image);
    let zone = chip.converse(|awake| awake.read_config()).unwrap();
    chip.apply_timing(&zone);
    bus.take_stats();
    let born = chip.generate_attested_key(slot(0), Before::Empty, &CHALLENGE).unwrap();
    assert!(holds(&born.evidence.unwrap()));
    assert!(bus.take_stats().wakes > 1);
}

#[test]
fn a_fault_at_any_command_of_a_birth_makes_neither_two_keys_nor_a_false_statement() {
    let faults = [
        "drop@N",
        "doze@N",
        "garble@N:20",
        "flip@N:9",
        "status@N:EE",
        "status@N:05",
        "status@N:08",
        "status@N:0F",
        "status@N:03",
        "busy@N",
        "busy@N:900",
        "nack@N*3",
        "pull@N",
        "pull@N,insert@M",
        "power@N",
        "health@N",
    ];
    let (mut born, mut stillborn) = (0, 0);
    for fault in faults {
        // The number of transfers, or commands.
        let last = if fault.starts_with("nack") || fault.starts_with("pull") { 45 } else { 18 };
        for number in 1..=last {
            let fault = fault.replace('N', &number.to_string()).replace('M', &(number + 4).to_string());
            let (bus, mut chip) = watched(image());
            let empty = Watched::key(&bus);
            bus.set_faults(fault.parse().unwrap());
            let result = chip.generate_attested_key(slot(0), Before::Empty, &CHALLENGE);
            let changes = chip.transport_mut().bus().changes;
            assert!(changes <= 1, "{fault}: {changes} keys");
            let now = Watched::key(&bus);
            match result {
                Ok(Born { public_key: told, evidence }) => {
                    assert_eq!(public_key(&now), told, "{fault}");
                    match evidence {
                        Ok(evidence) => {
                            assert!(holds(&evidence), "{fault}");
                            assert_eq!(evidence.public_key, told, "{fault}");
                            born += 1;
                        }
                        Err(_) => stillborn += 1,
                    }
                }
                // The chip no longer responded, so the outcome stays open.
                Err(Error::Uncertain { opcode, .. }) => assert_eq!(opcode, Opcode::GEN_KEY, "{fault}"),
                Err(error) => assert_eq!(now, empty, "{fault}: {error}"),
            }
        }
    }
    assert!(born > 150 && stillborn > 5, "{born} {stillborn}");
}

#[test]
fn transient_faults_do_not_stop_a_residence() {
    for fault in ["drop@N", "doze@N", "garble@N:20", "flip@N:9", "status@N:EE", "busy@N", "nack@N*3"] {
        for number in 1..=12 {
            let (bus, mut chip) = watched(image());
            chip.generate_key(slot(0), Before::Empty).unwrap();
            let fault = fault.replace('N', &number.to_string());
            bus.set_faults(fault.parse().unwrap());
            let evidence = chip.attest(slot(0), &CHALLENGE).unwrap_or_else(|error| panic!("{fault}: {error}"));
            assert!(holds(&evidence), "{fault}");
            assert_eq!(chip.transport_mut().bus().changes, 1);
        }
    }
}

#[test]
fn a_slot_with_unexpected_contents_is_not_changed() {
    let (bus, mut chip) = watched(image());
    chip.generate_key(slot(0), Before::Empty).unwrap();
    let key = Watched::key(&bus);
    let refused = chip.generate_attested_key(slot(0), Before::Empty, &CHALLENGE);
    assert!(matches!(refused, Err(Error::Mismatch(_))));
    assert_eq!(Watched::key(&bus), key);
}
