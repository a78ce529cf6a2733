// SPDX-License-Identifier: MIT OR Apache-2.0
//! DeriveKey, PrivWrite, UpdateExtra, and encrypted Read and Write of the simulated chip (fact sheet sections 3.4, 3.13,
//! 3.15, 3.20, 3.22 and 5.4). All expected values are computed here, byte by byte.

use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::zone::{Address, Zone};

/// The vendor's unit-test configuration (section 6b), bytes 16 to 127 but for the lock bytes.
const CONFIG: &str = "C0 00 00 00 AF 2F C4 44 87 20 C4 F4 8F 0F 0F 0F 9F 8F 83 64 C4 44 C4 64 0F 0F 0F 0F 0F 0F 0F 0F
    0F 0F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF 00 00 00 00 FF 84 03 BC 09 69 76 00 00 00 00 00
    00 00 00 00 00 00 00 00 FF FF 0E 40 00 00 00 00
    33 00 1C 00 13 00 1C 00 3C 00 3A 10 1C 00 33 00 1C 00 1C 00 38 00 30 00 3C 00 3C 00 32 00 30 00";
const KEY: [u8; 32] = [0x44; 32];

fn chip(data_locked: bool, change: impl FnOnce(&mut Image)) -> Master {
    let mut image = tls_image(true, data_locked);
    let (config, lock) = (hex(CONFIG), if data_locked { 0 } else { 0x55 });
    image.part_mut(Part::Config)[16..].copy_from_slice(&config);
    image.part_mut(Part::Config)[86..88].copy_from_slice(&[lock, 0]);
    image.part_mut(Part::Slot(slot(4)))[..32].copy_from_slice(&KEY);
    image.part_mut(Part::Slot(slot(9)))[..32].copy_from_slice(&[0x99; 32]);
    change(&mut image);
    let master = Master::with_image(image).untimed();
    master.wake();
    master
}

fn stored(master: &Master, number: u8) -> Vec<u8> {
    master.bus.image(0).unwrap().part(Part::Slot(slot(number)))[..32].to_vec()
}

/// TempKey after GenDig(slot 4) over a random nonce.
fn session_key(master: &Master) -> [u8; 32] {
    let nonce = master.random_nonce();
    master.run_on(&GenDig::slot(slot(4))).unwrap();
    sha(&[&KEY, &[0x15, 2, 4, 0], &SN, &[0; 25], &nonce])
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

#[test]
fn data_goes_in_and_out_encrypted_and_every_session_key_works_once() {
    for data_locked in [false, true] {
        let master = chip(data_locked, |_| {});
        let (address, plain) = (Address::slot(slot(8), 0, 0), [0x5A; 32]);
        let write = |key: &[u8; 32]| {
            let mac = sha(&[key, &[0x12, 0xC2, 0x40, 0], &SN, &[0; 25], &plain]);
            Write { zone: Zone::Data, address, data: xor(&plain, key), mac: Some(mac) }
        };
        let key = session_key(&master);
        assert_eq!(master.status_on(&write(&key)), OK);
        assert_eq!(stored(&master, 8), plain);
        assert_eq!(master.status_on(&write(&key)), EXECUTION, "a replayed write");
        session_key(&master);
        assert_eq!(master.status_on(&write(&key)), EXECUTION, "a write recorded under another nonce");
        let key = session_key(&master);
        let mut forged = write(&key);
        forged.data[0] ^= 1;
        assert_eq!(master.status_on(&forged), EXECUTION);
        assert_eq!(stored(&master, 8), plain);
        master.fixed_nonce(&[1; 32]);
        master.run_on(&GenDig::slot(slot(4))).unwrap();
        let key = sha(&[&KEY, &[0x15, 2, 4, 0], &SN, &[0; 25], &[1; 32]]);
        assert_eq!(master.status_on(&write(&key)), EXECUTION, "a nonce that the caller chose");
        let read = Read { zone: Zone::Data, address, block: true };
        assert_eq!(master.status_on(&read), EXECUTION, "no session");
        let key = session_key(&master);
        match master.run_on(&read) {
            Ok(bytes) if data_locked => assert_eq!(xor(&bytes, &key), plain),
            other => assert!(!data_locked && other.is_err()),
        }
        assert_eq!(master.temp_key_state()[1], 0);
    }
}

#[test]
fn derive_key_rolls_a_key_over_temp_key() {
    let master = chip(true, |_| {});
    let roll = DeriveKey { target: slot(9), source_fixed: false, mac: None };
    assert_eq!(master.status_on(&roll), EXECUTION, "no TempKey");
    let nonce = master.random_nonce();
    assert_eq!(master.status_on(&roll), OK);
    let first = sha(&[&[0x99; 32], &[0x1C, 0, 9, 0], &SN, &[0; 25], &nonce]);
    assert_eq!(stored(&master, 9), first);
    assert_eq!(master.status_on(&roll), EXECUTION, "TempKey is used up");
    master.fixed_nonce(&[6; 32]);
    assert_eq!(master.status_on(&roll), EXECUTION, "SourceFlag");
    master.fixed_nonce(&[6; 32]);
    assert_eq!(master.status_on(&DeriveKey { source_fixed: true, ..roll }), OK);
    assert_eq!(stored(&master, 9), sha(&[&first, &[0x1C, 4, 9, 0], &SN, &[0; 25], &[6; 32]]));
    for target in [slot(8), slot(10), slot(0)] {
        master.random_nonce();
        assert_eq!(master.status_on(&DeriveKey { target, ..roll }), EXECUTION, "{target}: not allowed there");
    }
    let unlocked = chip(false, |_| {});
    unlocked.random_nonce();
    assert_eq!(unlocked.status_on(&roll), EXECUTION);
    let no_mac = chip(true, |image| image.part_mut(Part::Config)[20 + 18] |= 0x10);
    no_mac.random_nonce();
    assert_eq!(no_mac.status_on(&roll), EXECUTION, "a NoMac key is not rolled");
}

#[test]
fn derive_key_creates_only_for_those_who_know_the_parent() {
    let master = chip(true, |_| {});
    let create = DeriveKey { target: slot(3), source_fixed: false, mac: None };
    let mac = sha(&[&KEY, &[0x1C, 0, 3, 0], &SN]);
    master.random_nonce();
    assert_eq!(master.status_on(&create), EXECUTION, "the MAC is mandatory");
    master.random_nonce();
    assert_eq!(master.status_on(&DeriveKey { mac: Some([0; 32]), ..create }), MISCOMPARE);
    assert_eq!(master.temp_key_state()[1], 0);
    assert_eq!(stored(&master, 3), [0xFF; 32]);
    let nonce = master.random_nonce();
    assert_eq!(master.status_on(&DeriveKey { mac: Some(mac), ..create }), OK);
    assert_eq!(stored(&master, 3), sha(&[&KEY, &[0x1C, 0, 3, 0], &SN, &[0; 25], &nonce]));
}

/// The vendor's test key (section 3.13) and its public key.
const SCALAR: &str = "878F0AB6A526D7111C26E6170810796E7B33007F832B8D64467ED6F870537A19";
const PUBLIC: &str = "8F8D182BD819048582A9927EA0C56DEFB4159548E11CA5F7ABAC45BBCE76815B
    E5C64FCD2FD12698544DE037951726666073046119AD5E11A90AA49773AEAC86";

fn clear_key(number: u8) -> PrivWrite {
    let key = [vec![0; 4], hex(SCALAR)].concat().try_into().unwrap();
    PrivWrite { slot: slot(number), encrypted: false, key, mac: [0; 32] }
}

#[test]
fn private_keys_are_written_in_clear_only_before_the_data_lock() {
    let master = chip(false, |_| {});
    assert_eq!(master.status_on(&clear_key(7)), OK);
    assert_eq!(master.run_on(&GenKey::public(slot(7))).unwrap().unwrap()[..], hex(PUBLIC));
    assert_eq!(master.status_on(&clear_key(8)), EXECUTION, "no private slot");
    for key in [[0; 36], [0xFF; 36]] {
        let wrong = PrivWrite { slot: slot(7), encrypted: false, key, mac: [0; 32] };
        assert_eq!(master.status_on(&wrong), EXECUTION, "no scalar");
    }
    assert_eq!(chip(true, |_| {}).status_on(&clear_key(7)), EXECUTION);
    let blank = Master::with_image(tls_image(false, false)).untimed();
    blank.wake();
    assert_eq!(blank.status_on(&clear_key(0)), EXECUTION);
}

#[test]
fn private_keys_are_written_encrypted_with_the_write_key() {
    let master = chip(true, |_| {});
    let plain: [u8; 36] = clear_key(7).key;
    let write = |number: u8, key: &[u8; 32]| {
        let stream = [&key[..], &sha(&[key])[..4]].concat();
        let mac = sha(&[key, &[0x46, 0x40, number, 0], &SN, &[0; 21], &plain]);
        PrivWrite { slot: slot(number), encrypted: true, key: xor(&plain, &stream).try_into().unwrap(), mac }
    };
    let key = session_key(&master);
    assert_eq!(master.status_on(&write(7, &key)), OK);
    assert_eq!(master.run_on(&GenKey::public(slot(7))).unwrap().unwrap()[..], hex(PUBLIC));
    assert_eq!(master.status_on(&write(7, &key)), EXECUTION, "replayed");
    let key = session_key(&master);
    let mut forged = write(7, &key);
    forged.mac[0] ^= 1;
    assert_eq!(master.status_on(&forged), EXECUTION);
    let key = session_key(&master);
    assert_eq!(master.status_on(&write(2, &key)), EXECUTION, "WriteConfig bit 14 is 0");
    let nonce = master.random_nonce();
    assert_eq!(master.status_on(&write(7, &nonce)), EXECUTION, "not from GenDig");
}

#[test]
fn extra_bytes_are_written_once() {
    for master in [chip(true, |_| {}), Master::blank().untimed()] {
        let _ = master.write(&[1]);
        master.wake();
        let byte = |at: usize| master.bus.image(0).unwrap().part(Part::Config)[at];
        assert_eq!(master.status_on(&UpdateExtra::UserExtra(0)), OK, "00 over 00");
        assert_eq!(master.status_on(&UpdateExtra::UserExtra(0x42)), OK);
        assert_eq!(byte(84), 0x42);
        assert_eq!(master.status_on(&UpdateExtra::UserExtra(0x42)), EXECUTION, "even the same");
        assert_eq!(master.status_on(&UpdateExtra::UserExtra(0)), EXECUTION);
        assert_eq!(master.status_on(&UpdateExtra::UserExtraAdd(0x6A)), OK);
        assert_eq!((byte(84), byte(85)), (0x42, 0x6A));
        assert_eq!(master.status_on(&UpdateExtra::Decrement(0)), PARSE);
    }
}
