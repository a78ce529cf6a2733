// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip's life cycle: which commands work in which lock state, and the status of refused ones (fact sheet
//! sections 3.10, 3.15, 3.22 and 5.7).

use atecc608_sim::image::Part;
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::crc::crc16;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::Slot;

fn read(zone: Zone, address: Address, block: bool) -> Read {
    Read { zone, address, block }
}

fn write_block(slot_number: u8, block: u8) -> Write {
    Write::block(Zone::Data, Address::slot(slot(slot_number), block, 0), [0x5A; 32])
}

fn write_word(slot_number: u8, word: u8) -> Write {
    Write::word(Zone::Data, Address::slot(slot(slot_number), 0, word), [0x5A; 4])
}

fn blank() -> Master {
    let master = Master::with_image(tls_image(false, false));
    master.wake();
    master
}

fn config_locked() -> Master {
    let master = Master::with_image(tls_image(true, false));
    master.wake();
    master
}

#[test]
fn a_blank_chip_reads_as_the_fact_sheet_has_it() {
    let master = Master::blank();
    master.wake();
    let block = master.run(&read(Zone::Config, Address::block(0, 0), true)).unwrap();
    assert_eq!(block[..13], hex("01 23 53 49 00 00 60 03 4D 11 22 33 EE"));
    assert_eq!(block[16..], hex("C0 00 00 00 83 20 87 20 8F 20 C4 8F 8F 8F 8F 8F"));
    assert_eq!(master.run(&read(Zone::Config, Address(0x15), false)).unwrap(), hex("00 00 55 55"));
    assert_eq!(master.status(&read(Zone::Config, Address::block(4, 0), true)), PARSE);
}

#[test]
fn a_blank_chip_refuses_keys_and_data_but_hashes() {
    let master = blank();
    let digest = Nonce::digest(&[1; 32]);
    assert_eq!(master.status(&digest), OK);
    assert_eq!(master.status(&GenKey::create(slot(0))), EXECUTION);
    assert_eq!(master.status(&GenKey::public(slot(0))), EXECUTION);
    let source = DigestSource::MessageDigestBuffer;
    assert_eq!(master.status(&Sign::External { source, slot: slot(0) }), EXECUTION);
    assert_eq!(master.status(&write_block(8, 0)), EXECUTION);
    assert_eq!(master.status(&Write::block(Zone::Otp, Address::block(0, 0), [0; 32])), EXECUTION);
    assert_eq!(master.status(&read(Zone::Data, Address::slot(slot(8), 0, 0), true)), EXECUTION);
    assert_eq!(master.status(&read(Zone::Otp, Address::block(0, 0), true)), EXECUTION);
    assert_eq!(master.status(&Sha::HmacStart(KeyLocation::Slot(slot(5)))), EXECUTION);
    assert_eq!(master.lock(LockZone::Data), EXECUTION);
    assert_eq!(master.lock(LockZone::Slot(slot(8))), EXECUTION);
    assert_eq!(master.status(&Sha::Start), OK);
    assert_eq!(master.status(&Info::KeyValid(slot(0))), OK);
    assert_eq!(master.run(&SelfTest::ALL), Ok(0));
    let NonceResponse::Value(random) = master.run(&Nonce::Random { update_seed: true, num_in: [0; 20] }).unwrap()
    else {
        panic!("no value");
    };
    assert_eq!(random, Random::UNLOCKED_PATTERN);
}

#[test]
fn configuration_bytes_16_to_83_and_88_to_127_can_be_written_before_the_lock() {
    let master = blank();
    for word in 0..32 {
        let write = Write::word(Zone::Config, Address::block(word / 8, word % 8), [word; 4]);
        let expected = if matches!(word, 4..=20 | 22..=31) { OK } else { EXECUTION };
        assert_eq!(master.status(&write), expected, "word {word}");
        if word == 4 {
            // Written back, because the chip would move after the next sleep.
            master.run(&Write::word(Zone::Config, Address(4), [0xC0, 0, 0, 0])).unwrap();
        }
    }
    for block in 0..4 {
        let current = master.run(&read(Zone::Config, Address::block(block, 0), true)).unwrap();
        let write = Write::block(Zone::Config, Address::block(block, 0), current.try_into().unwrap());
        let expected = if matches!(block, 1 | 3) { OK } else { EXECUTION };
        assert_eq!(master.status(&write), expected, "block {block}");
    }
    assert_eq!(master.run(&read(Zone::Config, Address(0x15), false)).unwrap(), hex("00 00 55 55"));
}

#[test]
fn the_configuration_locks_once_and_only_with_the_right_summary() {
    let master = blank();
    let config = master.bus.image(0).unwrap().part(Part::Config).to_vec();
    let right = crc16(&config);
    let lock = |summary| Lock { zone: LockZone::Config, summary: Some(summary) };
    assert_eq!(master.status(&lock([right[0] ^ 1, right[1]])), EXECUTION);
    assert_eq!(master.run(&read(Zone::Config, Address(0x15), false)).unwrap(), hex("00 00 55 55"));
    assert_eq!(master.status(&lock(right)), OK);
    assert_eq!(master.run(&read(Zone::Config, Address(0x15), false)).unwrap(), hex("00 00 55 00"));
    assert_eq!(master.status(&lock(right)), EXECUTION);
    assert_eq!(master.lock(LockZone::Config), EXECUTION);
    assert_eq!(master.status(&Write::word(Zone::Config, Address(5), [0; 4])), EXECUTION);
}

#[test]
fn between_the_locks_32_byte_writes_ignore_the_policy_and_nothing_is_read() {
    let master = config_locked();
    for number in 0..16 {
        let private = number < 5;
        assert_eq!(master.status(&write_block(number, 0)), if private { EXECUTION } else { OK }, "slot {number}");
        assert_eq!(master.status(&write_word(number, 0)), EXECUTION);
        assert_eq!(master.status(&read(Zone::Data, Address::slot(slot(number), 0, 0), true)), EXECUTION);
    }
    assert_eq!(master.status(&Write::block(Zone::Otp, Address::block(1, 0), [7; 32])), OK);
    assert_eq!(master.status(&Write::word(Zone::Otp, Address::block(1, 0), [7; 4])), EXECUTION);
    assert_eq!(master.status(&read(Zone::Otp, Address::block(1, 0), true)), EXECUTION);
    // Short last blocks accept the existing bytes; a 32-byte write ignores the word; there is no block after the last.
    assert_eq!(master.status(&write_block(7, 1)), OK);
    assert_eq!(master.status(&Write::block(Zone::Data, Address::slot(slot(9), 2, 1), [1; 32])), OK);
    assert_eq!(master.status(&write_block(7, 2)), PARSE);
    assert_eq!(master.status(&write_block(9, 3)), PARSE);
    assert_eq!(master.status(&write_block(8, 12)), OK);
    assert_eq!(master.status(&write_block(8, 13)), PARSE);
    assert_eq!(master.lock(LockZone::Slot(slot(8))), EXECUTION);
    let image = master.bus.image(0).unwrap();
    assert_eq!(image.part(Part::Slot(slot(9)))[64..], [1; 8]);
    assert_eq!(image.part(Part::Slot(slot(7))), [0x5A; 36]);
}

#[test]
fn the_data_summary_covers_all_slots_but_private_keys_then_otp() {
    let master = config_locked();
    assert_eq!(master.status(&GenKey::create(slot(0))), OK);
    assert_eq!(master.status(&write_block(8, 3)), OK);
    let image = master.bus.image(0).unwrap();
    let mut contents = Vec::new();
    for number in 5..16 {
        contents.extend(image.part(Part::Slot(slot(number))));
    }
    contents.extend(image.part(Part::Otp));
    let right = crc16(&contents);
    let lock = |summary| Lock { zone: LockZone::Data, summary: Some(summary) };
    assert_eq!(master.status(&lock([right[0], right[1] ^ 0x80])), EXECUTION);
    assert_eq!(master.status(&lock(right)), OK);
    assert_eq!(master.run(&read(Zone::Config, Address(0x15), false)).unwrap(), [0, 0, 0, 0]);
    assert_eq!(master.status(&lock(right)), EXECUTION);
}

#[test]
fn after_the_data_lock_the_policy_of_each_slot_counts() {
    let master = Master::tls();
    for number in 0..16 {
        // Clear writes: slot 6 (secret, always), 8 and 10 to 15. Encrypted ones (4, 5, 9) and never (7) refuse them.
        let clear = matches!(number, 6 | 8 | 10..=15);
        assert_eq!(master.status(&write_block(number, 0)), if clear { OK } else { EXECUTION }, "slot {number}");
        // Words only where the slot is not secret.
        let words = clear && number != 6;
        assert_eq!(master.status(&write_word(number, 2)), if words { OK } else { EXECUTION }, "slot {number}");
        let readable = matches!(number, 8 | 10..=15);
        for block in [false, true] {
            let command = read(Zone::Data, Address::slot(slot(number), 0, 0), block);
            assert_eq!(master.status(&command), if readable { OK } else { EXECUTION }, "slot {number}");
        }
    }
    assert_eq!(master.status(&read(Zone::Otp, Address::block(1, 7), false)), OK);
    assert_eq!(master.status(&Write::block(Zone::Otp, Address::block(0, 0), [0; 32])), EXECUTION);
    // A short last block is padded with zeros.
    let last = master.run(&read(Zone::Data, Address::slot(slot(10), 2, 0), true)).unwrap();
    assert_eq!(last, [[0xFF; 8].to_vec(), vec![0; 24]].concat());
    assert_eq!(master.status(&read(Zone::Data, Address::slot(slot(10), 2, 2), false)), PARSE);
    assert_eq!(master.status(&read(Zone::Data, Address(0x80), true)), PARSE, "slot 16");
}

#[test]
fn a_locked_slot_is_neither_written_nor_generated_and_locks_once() {
    let master = Master::tls();
    for (number, expected) in [(0, OK), (8, OK), (1, EXECUTION), (7, EXECUTION)] {
        assert_eq!(master.lock(LockZone::Slot(slot(number))), expected, "slot {number}");
        assert_eq!(master.lock(LockZone::Slot(slot(number))), EXECUTION, "slot {number} again");
    }
    assert_eq!(master.status(&write_block(8, 0)), EXECUTION);
    assert_eq!(master.status(&GenKey::create(slot(0))), EXECUTION);
    assert_eq!(master.status(&GenKey::create(slot(2))), OK);
    assert_eq!(master.bus.image(0).unwrap().part(Part::Config)[88..90], [0xFE, 0xFE]);
}

#[test]
fn gen_key_create_ignores_write_config_before_the_data_lock_only() {
    let master = config_locked();
    assert_eq!(master.status(&GenKey::create(slot(1))), OK);
    assert_eq!(master.status(&GenKey::create(slot(8))), EXECUTION, "not a private slot");
    assert_eq!(master.lock(LockZone::Data), OK);
    assert_eq!(master.status(&GenKey::create(slot(1))), EXECUTION);
    assert_eq!(master.status(&GenKey::public(slot(1))), OK);
    assert_eq!(master.status(&GenKey::public(slot(0))), EXECUTION, "never generated");
    assert_eq!(master.status(&GenKey::create(slot(0))), OK);
    assert_eq!(master.run(&Info::KeyValid(slot(0))), Ok([1, 0, 0, 0]));
    assert_eq!(master.run(&Info::KeyValid(slot(2))), Ok([0; 4]));
}

#[test]
fn private_slots_need_is_secret_and_pub_info_is_obeyed() {
    let master = Master::tls();
    assert_eq!(master.status(&GenKey::create(slot(0))), OK);
    master.tamper(|image| image.part_mut(Part::Config)[20] &= 0x7F);
    assert_eq!(master.status(&GenKey::create(slot(0))), EXECUTION, "IsSecret is missing");
    master.tamper(|image| {
        image.part_mut(Part::Config)[20] |= 0x80;
        image.part_mut(Part::Config)[96] &= !2;
    });
    assert_eq!(master.status(&GenKey::public(slot(0))), EXECUTION, "no PubInfo");
    assert_eq!(master.status(&GenKey::create(slot(0))), EXECUTION, "no PubInfo");
}

#[test]
fn req_auth_refuses_for_lack_of_an_authorisation_and_persistent_disable_for_lack_of_the_latch() {
    let digest = Nonce::digest(&[1; 32]);
    let sign = Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(0) };
    for bit in [0x0080_u16, 0x1000] {
        let master = Master::tls();
        assert_eq!(master.status(&GenKey::create(slot(0))), OK);
        assert_eq!(master.status(&digest), OK);
        assert_eq!(master.status(&sign), OK);
        master.tamper(|image| {
            let word = &mut image.part_mut(Part::Config)[96..98];
            word.copy_from_slice(&(u16::from_le_bytes([word[0], word[1]]) | bit).to_le_bytes());
        });
        assert_eq!(master.status(&sign), EXECUTION);
        assert_eq!(master.status(&GenKey::public(slot(0))), EXECUTION);
        assert_eq!(master.status(&Info::LatchSet(true)), EXECUTION);
        assert_eq!(master.status(&Info::LatchRead), EXECUTION, "VolatileKeyPermission does not enable it");
    }
}

#[test]
fn a_limited_key_spends_counter_0_on_success_and_stops_at_its_limit() {
    let master = Master::tls();
    assert_eq!(master.status(&GenKey::create(slot(0))), OK);
    master.tamper(|image| {
        let config = image.part_mut(Part::Config);
        config[20] |= 0x20;
        // CountMatch: the limit is in slot 10.
        config[18] = 0xA1;
        config[52..60].copy_from_slice(&atecc608_wire::config_zone::counter_encode(30));
        image.part_mut(Part::Slot(slot(10)))[..8].copy_from_slice(&hex("20 00 00 00 20 00 00 00"));
    });
    let counter = || master.bus.image(0).unwrap().config().counter(0).unwrap();
    let sign = Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(0) };
    assert_eq!(master.status(&sign), EXECUTION, "no digest");
    assert_eq!(counter(), 30);
    master.run(&Nonce::digest(&[1; 32])).unwrap();
    assert_eq!(master.status(&sign), OK);
    assert_eq!(master.status(&GenKey::public(slot(0))), OK, "GenKey does not count");
    assert_eq!(master.status(&sign), OK);
    assert_eq!(master.status(&sign), EXECUTION);
    assert_eq!(counter(), 32);
}

#[test]
fn slots_outside_0_to_15_are_parse_errors() {
    let master = Master::tls();
    for packet in [(0x40, 4, 16), (0x41, 0xA0, 16), (0x30, 1, 16), (0x40, 0, 0x100)] {
        let (opcode, param1, param2) = packet;
        let packet = atecc608_wire::CommandPacket::new(atecc608_wire::Opcode(opcode), param1, param2);
        let text: String = packet.encode().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(master.raw(&text), hex("04 03 83 42"));
    }
    assert!(Slot::new(16).is_none());
}
