// SPDX-License-Identifier: MIT OR Apache-2.0
//! MAC, CheckMac, GenDig and Counter of the simulated chip (fact sheet sections 3.2, 3.3, 3.6, 3.11, 5.6 and 11), and
//! attacks on ReqAuth. All expected values are computed here, byte by byte.

use atecc608_sim::image::Part;
use atecc608_sim::{Image, Switches};
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::config_zone::{counter_encode, COUNTER_MAX};
use atecc608_wire::Status;

const PIN: [u8; 32] = [0x77; 32];

/// `tls` with a PIN in slot 7 (SlotConfig 9F 8F: NoMac), which slot 2 requires (ReqAuth, AuthKey 7); slots 4 and 10
/// hold keys of plain bytes.
fn tls_pin_image() -> Image {
    let mut image = tls_image(true, true);
    image.part_mut(Part::Slot(slot(7)))[..32].copy_from_slice(&PIN);
    image.part_mut(Part::Slot(slot(10)))[..32].copy_from_slice(&[0xAA; 32]);
    let private = image.part_mut(Part::Slot(slot(2)));
    private.fill(0x22);
    private[..4].fill(0);
    image.part_mut(Part::Config)[96 + 4..96 + 6].copy_from_slice(&[0xB3, 0x07]);
    image
}

fn chip(change: impl FnOnce(&mut Image)) -> Master {
    chip_with(change, |_| {})
}

fn chip_with(change: impl FnOnce(&mut Image), switches: impl FnOnce(&mut Switches)) -> Master {
    let mut image = tls_pin_image();
    change(&mut image);
    let master = Master::with_switches(image, switches).untimed();
    master.wake();
    master
}

const OTHER: [u8; 13] = [8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn check(number: u8, response: [u8; 32]) -> CheckMac {
    check_mac(number, response, OTHER)
}

/// The response of a holder of the key.
fn answer(key: &[u8; 32], challenge: &[u8; 32]) -> [u8; 32] {
    check_mac_answer(key, challenge, &OTHER)
}

fn authorise(master: &Master) {
    let nonce = master.random_nonce();
    master.run_on(&check(7, answer(&PIN, &nonce))).unwrap();
}

fn sign() -> Sign {
    Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(2) }
}

fn load_digest(master: &Master) {
    master.run_on(&Nonce::digest(&[5; 32])).unwrap();
}

#[test]
fn the_pin_authorises_one_key_until_sleep() {
    let master = chip(|_| {});
    load_digest(&master);
    assert_eq!(master.status_on(&sign()), EXECUTION);
    authorise(&master);
    assert_eq!(master.temp_key_state(), [0x00, 7 << 3 | 4], "TempKey is used up, slot 7 authorises");
    assert_eq!(master.status_on(&sign()), OK);
    assert_eq!(master.status_on(&sign()), OK);
    master.restart();
    load_digest(&master);
    assert_eq!(master.status_on(&sign()), EXECUTION);
}

/// An event that ends an authorisation, and the switch that prevents that.
type Ending = (fn(&Master), fn(&mut Switches));

#[test]
fn the_next_process_finds_nothing_of_an_authorisation() {
    // Another process loads a nonce, or guesses: each ends the authorisation.
    let nonce = |master: &Master| {
        master.random_nonce();
    };
    let guess = |master: &Master| {
        let wrong = CheckMac { temp_key_second: false, ..check(7, [0; 32]) };
        assert_eq!(master.status_on(&wrong), MISCOMPARE);
    };
    let strict: [Ending; 2] = [
        (nonce, |switches| switches.authorisation_survives_nonce = true),
        (guess, |switches| switches.failed_check_mac_clears_authorisation = false),
    ];
    for (step, lenient) in strict {
        let master = chip(|_| {});
        authorise(&master);
        step(&master);
        load_digest(&master);
        assert_eq!(master.status_on(&sign()), EXECUTION);
        let master = chip_with(|_| {}, lenient);
        authorise(&master);
        step(&master);
        load_digest(&master);
        assert_eq!(master.status_on(&sign()), OK);
    }
}

#[test]
fn an_authorisation_lives_through_idle_since_the_vendors_driver_idles_after_every_command() {
    let master = chip(|_| {});
    authorise(&master);
    master.idle();
    master.wake();
    load_digest(&master);
    assert_eq!(master.status_on(&sign()), OK);
}

#[test]
fn a_guess_a_fixed_nonce_or_another_slot_authorises_nothing() {
    let master = chip(|_| {});
    let nonce = master.random_nonce();
    assert_eq!(master.status_on(&check(7, answer(&[0x78; 32], &nonce))), MISCOMPARE);
    assert_eq!(master.status_on(&check(7, answer(&PIN, &nonce))), EXECUTION, "the nonce is used up");
    master.fixed_nonce(&[9; 32]);
    assert_eq!(master.status_on(&check(7, answer(&PIN, &[9; 32]))), EXECUTION, "SourceFlag says fixed");
    master.fixed_nonce(&[9; 32]);
    let fixed = CheckMac { source_fixed: true, ..check(7, answer(&PIN, &[9; 32])) };
    assert_eq!(master.status_on(&fixed), OK);
    let chosen = CheckMac { temp_key_second: false, challenge: [3; 32], ..check(7, answer(&PIN, &[3; 32])) };
    assert_eq!(master.status_on(&chosen), OK);
    let nonce = master.random_nonce();
    assert_eq!(master.status_on(&check(10, answer(&[0xAA; 32], &nonce))), OK);
    load_digest(&master);
    assert_eq!(master.status_on(&sign()), EXECUTION);
}

#[test]
fn a_recorded_answer_is_worthless_under_another_nonce() {
    let master = chip(|_| {});
    let nonce = master.random_nonce();
    let recorded = answer(&PIN, &nonce);
    assert_eq!(master.status_on(&check(7, recorded)), OK);
    master.restart();
    master.random_nonce();
    assert_eq!(master.status_on(&check(7, recorded)), MISCOMPARE);
    // Loading the recorded nonce gives a fixed TempKey.
    master.fixed_nonce(&nonce);
    assert_eq!(master.status_on(&check(7, recorded)), EXECUTION);
    load_digest(&master);
    assert_eq!(master.status_on(&sign()), EXECUTION);
}

/// The chip computes the response to its own challenge: MAC mode 00 over the nonce has the message of CheckMac mode 01.
fn answer_by_mac(master: &Master) -> Result<u8, Status> {
    let nonce = master.random_nonce();
    let response = master.run_on(&Mac::challenge(slot(7), nonce))?;
    Ok(master.status_on(&check(7, response)))
}

#[test]
fn mac_does_not_reveal_the_pin_unless_no_mac_is_clear() {
    let master = chip(|_| {});
    assert_eq!(answer_by_mac(&master), Err(Status::EXECUTION_ERROR));
    load_digest(&master);
    assert_eq!(master.status_on(&sign()), EXECUTION);
    let master = chip(|image| image.part_mut(Part::Config)[20 + 14] &= !0x10);
    assert_eq!(answer_by_mac(&master), Ok(OK), "a PIN slot without NoMac authorises anybody");
    load_digest(&master);
    assert_eq!(master.status_on(&sign()), OK);
}

#[test]
fn gen_dig_with_the_pin_marks_temp_key_and_no_mac_follows() {
    let master = chip(|_| {});
    master.random_nonce();
    let gen_dig = GenDig::Data { slot: slot(7), other_data: Some([8, 0, 7, 0]) };
    assert_eq!(master.status_on(&gen_dig), OK);
    assert_eq!(master.temp_key_state(), [0xA7, 0x80]);
    assert_eq!(master.status_on(&GenDig::Config(0)), OK);
    assert_eq!(master.temp_key_state(), [0x80, 0x80], "NoMacFlag stays");
    let mac = Mac { challenge: None, ..Mac::challenge(slot(10), [0; 32]) };
    assert_eq!(master.status_on(&mac), EXECUTION);
    master.random_nonce();
    assert_eq!(master.status_on(&GenDig::Data { slot: slot(7), other_data: None }), EXECUTION);
}

#[test]
fn check_mac_copies_the_paired_slot_only_if_its_read_key_is_0() {
    // Slot 10 is the password, slot 11 the target (SlotConfig 0F 0F: ReadKey 15).
    let secret = [0x5C; 32];
    for (read_key, number, copied) in [(0x80, 10, true), (0x8F, 10, false), (0x80, 11, false)] {
        let master = chip(|image| {
            image.part_mut(Part::Config)[20 + 22] = read_key;
            image.part_mut(Part::Slot(slot(11)))[..32].copy_from_slice(if number == 11 {
                &[0xAA; 32]
            } else {
                &secret
            });
        });
        let nonce = master.random_nonce();
        assert_eq!(master.status_on(&check(number, answer(&[0xAA; 32], &nonce))), OK);
        let state = master.temp_key_state();
        assert_eq!((state[0], state[1] & 0x80), if copied { (0x10, 0x80) } else { (0, 0) });
        if copied {
            let mac = Mac { challenge: None, source_fixed: true, ..Mac::challenge(slot(10), [0; 32]) };
            let expected = sha(&[&[0xAA; 32], &secret, &[8, 5, 10, 0], &[0; 11], &SN[..1], &[0; 4], &SN[1..], &[0; 2]]);
            assert_eq!(master.run_on(&mac), Ok(expected));
            assert_eq!(master.temp_key_state()[1] & 0x80, 0, "used up");
            let nonce = master.random_nonce();
            assert_eq!(master.status_on(&check(number, answer(&[0xAA; 32], &nonce))), OK);
            master.idle();
            master.wake();
            assert_eq!(master.temp_key_state()[1] & 0x80, 0, "a copy does not survive idle");
        }
    }
    // The PIN can't be used to copy itself: slot 7 is odd, and a wrong password copies nothing.
    let master = chip(|image| image.part_mut(Part::Config)[20 + 22] = 0x80);
    master.random_nonce();
    assert_eq!(master.status_on(&check(10, [0; 32])), MISCOMPARE);
    assert_eq!(master.temp_key_state()[1], 0);
}

#[test]
fn mac_has_the_documented_message_and_uses_temp_key_up() {
    let master = chip(|_| {});
    let (key, sn) = ([0xAA; 32], SERIAL.0);
    let plain = Mac::challenge(slot(10), [1; 32]);
    master.fixed_nonce(&[2; 32]);
    let expected = sha(&[&key, &[1; 32], &[8, 0, 10, 0], &[0; 11], &SN[..1], &[0; 4], &SN[1..], &[0; 2]]);
    assert_eq!(master.run_on(&plain), Ok(expected));
    assert_eq!(master.temp_key_state(), [0x10, 0x80], "mode 00 leaves TempKey");
    let over_temp_key = Mac { challenge: None, full_serial: true, source_fixed: true, ..plain };
    let expected = sha(&[&key, &[2; 32], &[8, 0x45, 10, 0], &[0; 11], &SN[..1], &sn[4..8], &SN[1..], &sn[2..4]]);
    assert_eq!(master.run_on(&over_temp_key), Ok(expected));
    assert_eq!(master.status_on(&over_temp_key), EXECUTION);
    master.fixed_nonce(&[2; 32]);
    assert_eq!(master.status_on(&Mac { source_fixed: false, ..over_temp_key }), EXECUTION);
    assert_eq!(master.status_on(&Mac { otp: MacOtp::First8, ..plain }), PARSE);
    assert_eq!(master.status_on(&Mac::challenge(slot(0), [1; 32])), EXECUTION, "a private key");
    let lenient = chip_with(|_| {}, |switches| switches.mac_takes_otp = true);
    let expected = sha(&[&key, &[1; 32], &[8, 0x20, 10, 0], &[0xFF; 8], &[0; 3], &SN[..1], &[0; 4], &SN[1..], &[0; 2]]);
    assert_eq!(lenient.run_on(&Mac { otp: MacOtp::First8, ..plain }), Ok(expected));
}

#[test]
fn a_req_random_key_requires_a_random_nonce_in_the_message() {
    let master = chip(|image| image.part_mut(Part::Config)[96 + 20] |= 0x40);
    let over = Mac { challenge: None, ..Mac::challenge(slot(10), [0; 32]) };
    master.random_nonce();
    assert_eq!(master.status_on(&over), OK);
    master.random_nonce();
    assert_eq!(master.status_on(&Mac::challenge(slot(10), [1; 32])), EXECUTION);
    master.fixed_nonce(&[1; 32]);
    assert_eq!(master.status_on(&Mac { source_fixed: true, ..over }), EXECUTION);
    master.fixed_nonce(&[1; 32]);
    assert_eq!(master.status_on(&GenDig::slot(slot(10))), EXECUTION);
    let nonce = master.random_nonce();
    assert_eq!(master.status_on(&check(10, answer(&[0xAA; 32], &nonce))), OK);
}

/// Checks TempKey with a MAC with slot 10.
fn temp_key_is(master: &Master, expected: &[u8; 32], source_fixed: bool) {
    let mac = Mac { challenge: None, source_fixed, ..Mac::challenge(slot(10), [0; 32]) };
    let param1 = 1 | u8::from(source_fixed) << 2;
    let expected = sha(&[&[0xAA; 32], expected, &[8, param1, 10, 0], &[0; 11], &SN[..1], &[0; 4], &SN[1..], &[0; 2]]);
    assert_eq!(master.run_on(&mac), Ok(expected));
}

#[test]
fn gen_dig_digests_every_zone_as_documented() {
    let master = chip(|image| {
        image.part_mut(Part::Otp)[32..].fill(0x0F);
        image.part_mut(Part::Config)[60..68].copy_from_slice(&counter_encode(1000));
    });
    let image = master.bus.image(0).unwrap();
    let (config, data) = (image.part(Part::Config).to_vec(), [0x61; 32]);
    let facts = |facts: &[u8]| [&[0][..], facts, &vec![0; 24 - facts.len()]].concat();
    let none = [0; 25];
    type Case<'a> = (GenDig, u8, Box<dyn Fn(&[u8; 32]) -> [u8; 32] + 'a>);
    let cases: Vec<Case<'_>> = vec![
        (GenDig::Config(3), 0, Box::new(|t| sha(&[&config[96..], &[0x15, 0, 3, 0], &SN, &none, t]))),
        (GenDig::Otp(1), 0, Box::new(|t| sha(&[&[0x0F; 32], &[0x15, 1, 1, 0], &SN, &none, t]))),
        (GenDig::slot(slot(10)), 0x2A, Box::new(|t| sha(&[&[0xAA; 32], &[0x15, 2, 10, 0], &SN, &none, t]))),
        (
            GenDig::SharedNonce { temp_key_first: false, label: 9, other_data: data },
            0,
            Box::new(|t| sha(&[&data, &[0x15, 3, 9, 0], &SN, &none, t])),
        ),
        (
            GenDig::SharedNonce { temp_key_first: true, label: 9, other_data: data },
            0,
            Box::new(|t| sha(&[t, &[0x15, 3, 9, 0], &SN, &none, &data])),
        ),
        (
            GenDig::Counter(1),
            0,
            Box::new(|t| sha(&[&[0; 32], &[0x15, 4, 1, 0], &SN, &facts(&1000_u32.to_le_bytes()), t])),
        ),
        (
            GenDig::KeyConfig(slot(7)),
            0,
            Box::new(|t| sha(&[&[0; 32], &[0x15, 5, 7, 0], &SN, &facts(&[0x9F, 0x8F, 0x1C, 0x00, 0x01]), t])),
        ),
    ];
    for (command, flags, expected) in cases {
        assert_eq!(master.status_on(&command), EXECUTION, "no TempKey: {command:?}");
        let nonce = master.random_nonce();
        assert_eq!(master.status_on(&command), OK, "{command:?}");
        assert_eq!(master.temp_key_state(), [flags, 0x80], "{command:?}");
        temp_key_is(&master, &expected(&nonce), false);
        master.fixed_nonce(&[8; 64]);
        assert_eq!(master.status_on(&command), OK, "{command:?}");
        temp_key_is(&master, &expected(&[8; 32]), true);
    }
    master.random_nonce();
    assert_eq!(master.status_on(&GenDig::slot(slot(0))), EXECUTION, "a private key");
}

#[test]
fn between_the_locks_keys_work_and_before_them_nothing_does() {
    for (locked, expected) in [(false, EXECUTION), (true, OK)] {
        let master = Master::with_image(tls_image(locked, false)).untimed();
        master.wake();
        master.fixed_nonce(&[1; 32]);
        assert_eq!(master.status_on(&GenDig::slot(slot(10))), expected);
        assert_eq!(master.status_on(&Mac::challenge(slot(10), [0; 32])), expected);
        let check = CheckMac { temp_key_second: false, ..check(10, answer(&[0xFF; 32], &[0; 32])) };
        assert_eq!(master.status_on(&check), expected);
        assert_eq!(master.status_on(&Counter { number: 1, increment: true }), expected);
    }
}

#[test]
fn a_counter_that_was_preset_is_read_before_the_configuration_is_locked() {
    // The vendor's unit test counter_write_test: preset, then read.
    let mut image = tls_image(false, false);
    image.part_mut(Part::Config)[60..68].copy_from_slice(&counter_encode(1000));
    let master = Master::with_image(image).untimed();
    master.wake();
    assert_eq!(master.run_on(&Counter { number: 1, increment: false }), Ok(1000));
}

#[test]
fn counters_count_to_their_end_and_stay_there() {
    let master = chip(|image| {
        image.part_mut(Part::Config)[60..68].copy_from_slice(&counter_encode(COUNTER_MAX - 1));
    });
    let counter = |number, increment| Counter { number, increment };
    for value in 1..=70_u32 {
        assert_eq!(master.run_on(&counter(0, true)), Ok(value));
        assert_eq!(master.run_on(&counter(0, false)), Ok(value));
    }
    // 70 = 2 * 32 + 6: written out by hand (section 5.6).
    assert_eq!(master.bus.image(0).unwrap().part(Part::Config)[52..60], hex("03FF 0000 0002 0001"));
    assert_eq!(master.run_on(&counter(1, true)), Ok(COUNTER_MAX));
    assert_eq!(master.status_on(&counter(1, true)), EXECUTION);
    assert_eq!(master.run_on(&counter(1, false)), Ok(COUNTER_MAX));
    assert_eq!(master.status_on(&Counter { number: 2, increment: false }), PARSE);
    master.tamper(|image| image.part_mut(Part::Config)[60..68].fill(0xFF));
    assert_eq!(master.status_on(&counter(1, false)), EXECUTION, "no counter value");
}

#[test]
fn limited_use_is_spent_by_mac_check_mac_and_gen_dig_when_they_succeed() {
    let master = chip(|image| image.part_mut(Part::Config)[20 + 20] |= 0x20);
    let spent = || master.run_on(&Counter { number: 0, increment: false }).unwrap();
    assert_eq!(master.status_on(&Mac::challenge(slot(10), [0; 32])), OK);
    assert_eq!(spent(), 1);
    master.random_nonce();
    assert_eq!(master.status_on(&GenDig::slot(slot(10))), OK);
    assert_eq!(spent(), 2);
    let right = CheckMac { temp_key_second: false, ..check(10, answer(&[0xAA; 32], &[0; 32])) };
    assert_eq!(master.status_on(&right), OK);
    assert_eq!(spent(), 3);
    assert_eq!(master.status_on(&CheckMac { response: [0; 32], ..right }), MISCOMPARE);
    assert_eq!(spent(), 3, "a failed use does not count");
}
