// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the driver handles a refused query: another way if there is one, else the result is unknown; a slot never counts
//! as free.

use atecc608::latch::{Latch, LatchChange};
use atecc608::ops::Before;
use atecc608::presence::{Held, Presence};
use atecc608::secrets::SharedSecret;
use atecc608::{Chip, Error};
use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus, SimChip};
use atecc608_testkit::driver::{self, Simulated};
use atecc608_testkit::master::{slot, tls_image, ADDRESS, SERIAL};
use atecc608_wire::config_zone::offset;
use atecc608_wire::{Opcode, Status};

/// Slots 0 and 2 hold keys, slot 3 none.
fn image() -> Image {
    let mut image = tls_image(true, true);
    for number in [0, 2] {
        let part = image.part_mut(Part::Slot(slot(number)));
        part[..4].fill(0);
        part[4..].fill(0x21);
    }
    image.part_mut(Part::Slot(slot(6))).fill(0xA5);
    image
}

fn with_key_config(number: usize, set: u16, clear: u16) -> Image {
    let mut image = image();
    let at = offset::KEY_CONFIG + 2 * number;
    let word = image.config().key_config(slot(number as u8)).0 & !clear | set;
    image.part_mut(Part::Config)[at..at + 2].copy_from_slice(&word.to_le_bytes());
    image
}

fn on_bus(image: Image, faults: &str) -> (SimBus, Chip<Simulated>) {
    let bus = SimBus::new(100_000);
    bus.add_chip(SimChip::from_image(image));
    bus.seed(7);
    bus.set_faults(faults.parse().unwrap());
    (bus.clone(), driver::on(&bus, ADDRESS))
}

fn presence(chip: &mut Chip<Simulated>, image: &Image, number: u8) -> Result<Presence, Error> {
    chip.converse(|awake| awake.key_presence(&image.config(), slot(number)))
}

#[test]
fn a_chip_that_responds_gets_one_query() {
    let (bus, mut chip) = on_bus(image(), "none");
    assert_eq!(presence(&mut chip, &image(), 0), Ok(Presence { held: Held::Key, refused: None }));
    assert_eq!(presence(&mut chip, &image(), 3), Ok(Presence { held: Held::Nothing, refused: None }));
    assert_eq!(bus.stats().total_commands(), 2);
}

#[test]
fn gen_key_shows_what_info_refuses_to_tell() {
    for status in [Status::PARSE_ERROR, Status::EXECUTION_ERROR] {
        let (_, mut chip) = on_bus(image(), &format!("refuse@30:01:{:02X}", status.0));
        let refused = Some(status);
        assert_eq!(presence(&mut chip, &image(), 0), Ok(Presence { held: Held::Key, refused }));
        assert_eq!(presence(&mut chip, &image(), 3), Ok(Presence { held: Held::Nothing, refused }));
    }
}

#[test]
fn gen_key_is_believed_only_where_no_rule_explains_its_refusal() {
    let (private, pub_info, req_auth, latch) = (0x0001, 0x0002, 0x0080, 0x1000);
    for (set, clear) in [(0, private), (0, pub_info), (req_auth, 0), (latch, 0)] {
        let image = with_key_config(3, set, clear);
        let (bus, mut chip) = on_bus(image.clone(), "refuse@30:01:03");
        let refused = Some(Status::PARSE_ERROR);
        assert_eq!(
            presence(&mut chip, &image, 3),
            Ok(Presence { held: Held::Unknown, refused }),
            "{set:04X} {clear:04X}"
        );
        assert_eq!(bus.stats().command(Opcode::GEN_KEY), u64::from(set == latch), "{set:04X} {clear:04X}");
    }
    let mut locked = image();
    locked.part_mut(Part::Config)[offset::USE_LOCK] = 0x6A;
    let (_, mut chip) = on_bus(locked.clone(), "refuse@30:01:03");
    assert_eq!(presence(&mut chip, &locked, 3).unwrap().held, Held::Unknown);
}

#[test]
fn a_missing_response_is_not_a_refusal() {
    let (bus, mut chip) = on_bus(image(), "none");
    bus.pull();
    assert!(matches!(presence(&mut chip, &image(), 0), Err(Error::NotAnswering(_))));
    bus.insert();
    // A failed self-test concerns the chip, not the query.
    bus.set_faults("refuse@30:01:07".parse().unwrap());
    assert!(presence(&mut chip, &image(), 0).unwrap_err().has_status(Status::SELF_TEST_ERROR));
    bus.set_faults("refuse@30:01:FF".parse().unwrap());
    assert!(presence(&mut chip, &image(), 0).is_err());
}

#[test]
fn nothing_is_generated_or_imported_where_the_question_is_refused() {
    let (bus, mut chip) = on_bus(image(), "refuse@30:01:03");
    let before = bus.image(0);
    let not_told = Error::KeyNotTold { slot: slot(4), status: Status::PARSE_ERROR };
    assert_eq!(chip.slot_before_generation(slot(4)), Err(not_told.clone()));
    assert_eq!(chip.generate_key(slot(4), Before::Empty), Err(not_told.clone()));
    assert_eq!(chip.generate_attested_key(slot(4), Before::Empty, &[0; 20]).map(|_| ()), Err(not_told.clone()));
    let write_key = SharedSecret { slot: slot(6), value: &[0xA5; 32] };
    let imported = chip.import_key(&SERIAL, Some(&write_key), slot(4), Before::Empty, &[0x33; 32], &[0; 64]);
    assert_eq!(imported, Err(not_told));
    assert!(bus.image(0) == before);
}

/// After any fault, an import that fails and may have taken effect returns `Uncertain`, so that its mark is kept.
#[test]
fn an_import_in_clear_that_may_have_taken_effect_is_uncertain() {
    let scalar = [0x33; 32];
    let import = |chip: &mut Chip<Simulated>, expected: &[u8; 64]| {
        chip.import_key(&SERIAL, None, slot(4), Before::Empty, &scalar, expected)
    };
    let (_, mut chip) = on_bus(tls_image(true, false), "none");
    import(&mut chip, &[0; 64]).unwrap();
    let Ok(Before::Holds(expected)) = chip.slot_before_generation(slot(4)) else { panic!("it is there") };
    for faults in ["pull@N", "pull@N,refuse@40:00:0F", "pull@N,insert@M,refuse@40:00:0F", "pull@N,insert@M"] {
        let mut uncertain = 0;
        for transfer in 1.. {
            let faults = faults.replace('N', &transfer.to_string()).replace('M', &(transfer + 12).to_string());
            let (bus, mut chip) = on_bus(tls_image(true, false), &faults);
            let result = import(&mut chip, &expected);
            let pulled = bus.stats().transfers >= transfer;
            bus.set_faults("none".parse().unwrap());
            bus.insert();
            let there = chip.slot_before_generation(slot(4)).unwrap() == Before::Holds(expected);
            match result {
                Ok(()) => assert!(there, "{faults}"),
                Err(Error::Uncertain { .. }) => uncertain += u32::from(there),
                Err(error) => assert!(!there, "{faults}: {error}"),
            }
            if !pulled {
                break;
            }
        }
        assert!(uncertain > 0 || !faults.contains("0F"), "{faults}");
    }
}

#[test]
fn the_latch_is_set_with_the_secret_that_the_configuration_names_and_ends_with_the_power() {
    let mut image = image();
    image.part_mut(Part::Config)[offset::VOLATILE_KEY_PERMISSION] = 0x86;
    let (bus, mut chip) = on_bus(image, "none");
    let secret = |value| SharedSecret { slot: slot(6), value };
    let latch = |chip: &mut Chip<Simulated>| chip.converse(|awake| awake.latch());
    assert_eq!(latch(&mut chip), Ok(Latch::Clear));
    assert_eq!(chip.change_latch(&SERIAL, Some(&secret(&[0x11; 32])), true), Ok(LatchChange::WrongSecret));
    let refused = chip.change_latch(&SERIAL, None, true).unwrap_err();
    assert!(refused.has_status(Status::EXECUTION_ERROR), "{refused}");
    assert_eq!(latch(&mut chip), Ok(Latch::Clear));
    assert_eq!(chip.change_latch(&SERIAL, Some(&secret(&[0xA5; 32])), true), Ok(LatchChange::Done));
    // In a conversation of its own: the chip has slept.
    assert_eq!(latch(&mut chip), Ok(Latch::Set));
    bus.power_off();
    bus.power_on();
    assert_eq!(latch(&mut chip), Ok(Latch::Clear));
}

#[test]
fn a_lost_reply_does_not_keep_the_latch_from_being_set() {
    for faults in ["drop@1", "drop@2", "drop@3", "doze@2", "doze@3", "flip@3:12"] {
        let mut image = image();
        image.part_mut(Part::Config)[offset::VOLATILE_KEY_PERMISSION] = 0x86;
        let (_, mut chip) = on_bus(image, faults);
        let secret = SharedSecret { slot: slot(6), value: &[0xA5; 32] };
        assert_eq!(chip.change_latch(&SERIAL, Some(&secret), true), Ok(LatchChange::Done), "{faults}");
        assert_eq!(chip.converse(|awake| awake.latch()), Ok(Latch::Set), "{faults}");
    }
}

#[test]
fn a_latch_that_the_chip_does_not_report_is_unknown() {
    let (_, mut chip) = on_bus(image(), "none");
    assert_eq!(chip.converse(|awake| awake.latch()), Ok(Latch::NotTold));
}
