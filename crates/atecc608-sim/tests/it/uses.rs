// SPDX-License-Identifier: MIT OR Apache-2.0
//! The permitted uses of a key in the simulated chip, and their number: LimitedUse with CountMatch, UseLock,
//! VolatileKeyPermission with PersistentDisable, and the targets of KDF and ECDH (fact sheet sections 3.0, 3.5, 3.8,
//! 3.9, 5.1, 5.2 and 5.6).

use atecc608_sim::image::Part;
use atecc608_sim::{Image, Switches};
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::config_zone::{counter_encode, COUNTER_MAX};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};

const DIGEST: [u8; 32] = [0xD1; 32];
const PIN: [u8; 32] = [0x77; 32];

fn host_key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

fn point() -> [u8; 64] {
    host_key().verifying_key().to_encoded_point(false).as_bytes()[1..].try_into().unwrap()
}

fn signature() -> [u8; 64] {
    let signature: Signature = host_key().sign_prehash(&DIGEST).unwrap();
    signature.to_bytes().into()
}

/// `tls` with keys everywhere, the host's public key in slot 11, SecureBoot with that key (mode FullBoth), slot 13 to be
/// rolled, and the limit of 32 uses in slot 15.
fn image() -> Image {
    let mut image = tls_image(true, true);
    for number in [0, 1, 2] {
        let private = image.part_mut(Part::Slot(slot(number)));
        private.fill(0x22);
        private[..4].fill(0);
    }
    for (number, key) in [(5, [0x55; 32]), (6, [0x66; 32]), (7, PIN), (10, [0xAA; 32])] {
        image.part_mut(Part::Slot(slot(number)))[..32].copy_from_slice(&key);
    }
    let point = point();
    let stored = [&[0; 4][..], &point[..32], &[0; 4], &point[32..]].concat();
    image.part_mut(Part::Slot(slot(11))).copy_from_slice(&stored);
    image.part_mut(Part::Slot(slot(15)))[..8].copy_from_slice(&hex("20000000 20000000"));
    let config = image.part_mut(Part::Config);
    config[70..72].copy_from_slice(&[0x01, 0xBC]);
    config[20 + 2 * 13 + 1] = 0x2F;
    image
}

fn chip(change: impl FnOnce(&mut [u8])) -> Master {
    let mut image = image();
    change(image.part_mut(Part::Config));
    let master = Master::with_image(image).untimed();
    master.wake();
    master
}

/// A use of a slot's key: valid if the flag is set, else with an error of the caller.
type Use = (&'static str, u8, fn(&Master, bool) -> u8);

fn kdf(source: KdfSource, algorithm: KdfAlgorithm, len: usize) -> Kdf {
    Kdf { source, target: KdfTarget::Output, algorithm, message: vec![0; len] }
}

fn hkdf(source: KdfSource, message: HkdfMessage, len: usize) -> Kdf {
    kdf(source, KdfAlgorithm::Hkdf { message, zero_key: false }, len)
}

/// Every command that uses a slot as a key.
const USES: &[Use] = &[
    ("Sign(external)", 0, |m, right| {
        if right {
            m.run_on(&Nonce::digest(&DIGEST)).unwrap();
        }
        m.status_on(&Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(0) })
    }),
    ("Sign(internal)", 1, |m, right| {
        m.fixed_nonce(&[1; 32]);
        if right {
            m.run_on(&GenDig::slot(slot(10))).unwrap();
        }
        m.status_on(&Sign::Internal { slot: slot(1), full_serial: false, invalidate: false })
    }),
    ("ECDH", 2, |m, right| {
        let public_key = if right { point() } else { [1; 64] };
        let target = EcdhTarget::Output;
        m.status_on(&Ecdh { key: EcdhKey::Slot(slot(2)), target, encrypted: false, public_key })
    }),
    ("AES", 9, |m, right| {
        // Slot 9 has 72 bytes, so all four units; another slot's type is wrong.
        let number = if right { 9 } else { 10 };
        let key = KeyLocation::Slot(slot(number));
        m.status_on(&Aes::Block { key, unit: 3, decrypt: false, input: [0; 16] })
    }),
    ("KDF, key", 10, |m, right| {
        // A PRF key of 64 bytes fits, one of 32 in TempKey does not.
        let source = if right { KdfSource::Slot(slot(10)) } else { KdfSource::TempKey };
        m.status_on(&kdf(source, KdfAlgorithm::Prf { key_len: 3, long: false, aead: false }, 5))
    }),
    ("KDF, message", 10, |m, right| {
        m.fixed_nonce(&[1; 32]);
        let len = if right { 64 } else { 65 };
        m.status_on(&hkdf(KdfSource::TempKey, HkdfMessage::Slot(slot(10)), len))
    }),
    ("SHA(HMAC start)", 5, |m, right| {
        // Slot 9's key is one for AES.
        m.status_on(&Sha::HmacStart(KeyLocation::Slot(slot(if right { 5 } else { 9 }))))
    }),
    ("GenDig", 10, |m, right| {
        if right {
            m.fixed_nonce(&[1; 32]);
        }
        m.status_on(&GenDig::slot(slot(10)))
    }),
    ("MAC", 10, |m, right| {
        let full_serial = Mac { challenge: None, source_fixed: true, ..Mac::challenge(slot(10), [0; 32]) };
        m.fixed_nonce(&[1; 32]);
        m.status_on(&Mac { source_fixed: right, ..full_serial })
    }),
    ("CheckMac", 10, |m, right| {
        let response = sha(&[&[0xAA; 32], &[3; 32], &[0; 4], &[0; 8], &[0; 3], &SN[..1], &[0; 4], &SN[1..], &[0; 2]]);
        m.status_on(&CheckMac {
            slot: slot(10),
            temp_key_second: false,
            temp_key_first: false,
            source_fixed: false,
            otp: false,
            challenge: [3; 32],
            response: if right { response } else { [0; 32] },
            other_data: [0; 13],
        })
    }),
    ("DeriveKey", 13, |m, right| {
        m.fixed_nonce(&[1; 32]);
        m.status_on(&DeriveKey { target: slot(13), source_fixed: right, mac: None })
    }),
    ("Verify(stored)", 11, |m, right| {
        m.run_on(&Nonce::digest(if right { &DIGEST } else { &PIN })).unwrap();
        let key = VerifyKey::Stored { source: DigestSource::MessageDigestBuffer, slot: slot(11) };
        m.status_on(&Verify { key, signature: signature(), mac: false })
    }),
    ("SecureBoot", 11, |m, right| {
        let mode = SecureBootMode::Full { signature: signature() };
        let digest = if right { DIGEST } else { PIN };
        m.status_on(&SecureBoot { mode, prohibit: false, mac: false, digest })
    }),
];

/// The chip with LimitedUse on this slot, its counter at `count`, CountMatch as given.
fn limited(number: u8, count_match: u8, count: u32) -> Master {
    chip(|config| {
        config[20 + 2 * usize::from(number)] |= 0x20;
        config[18] = count_match;
        config[52..60].copy_from_slice(&counter_encode(count));
    })
}

fn counter(master: &Master) -> u32 {
    master.bus.image(0).unwrap().config().counter(0).unwrap()
}

#[test]
fn every_use_of_a_limited_key_counts_once_when_it_succeeds_and_the_last_one_is_the_last() {
    for (name, number, perform) in USES {
        let master = limited(*number, 0xF1, 30);
        assert_ne!(perform(&master, false), OK, "{name}");
        assert_eq!(counter(&master), 30, "{name}: a failed use");
        for count in [31, 32] {
            assert_eq!(perform(&master, true), OK, "{name}");
            assert_eq!(counter(&master), count, "{name}");
        }
        assert_eq!(perform(&master, true), EXECUTION, "{name}: spent");
        assert_eq!(counter(&master), 32, "{name}");
    }
}

#[test]
fn a_key_without_limited_use_neither_counts_nor_stops() {
    for (name, _, perform) in USES {
        let master = chip(|config| config[18] = 0xF1);
        for _ in 0..2 {
            assert_eq!(perform(&master, true), OK, "{name}");
        }
        assert_eq!(counter(&master), 0, "{name}");
    }
}

#[test]
fn without_count_match_the_limit_is_the_counters_end() {
    for (name, number, perform) in USES {
        let master = limited(*number, 0xF0, COUNTER_MAX - 1);
        assert_eq!(perform(&master, true), OK, "{name}");
        assert_eq!(perform(&master, true), EXECUTION, "{name}");
        assert_eq!(counter(&master), COUNTER_MAX, "{name}");
    }
}

/// Halves that differ, as those of a certificate; not a multiple of 32; a blank slot.
const NO_LIMITS: [&str; 3] = ["20000000 40000000", "21000000 21000000", "FFFFFFFF FFFFFFFF"];

fn without_a_limit(number: u8, count: u32, content: &str) -> Master {
    let master = limited(number, 0xF1, count);
    master.tamper(|image| image.part_mut(Part::Slot(slot(15)))[..8].copy_from_slice(&hex(content)));
    master
}

#[test]
fn where_count_match_names_other_data_the_limit_is_the_counters_end() {
    for content in NO_LIMITS {
        for (name, number, perform) in USES {
            let master = without_a_limit(*number, COUNTER_MAX - 1, content);
            assert_eq!(perform(&master, true), OK, "{name}: {content}");
            assert_eq!(perform(&master, true), EXECUTION, "{name}: {content}");
            assert_eq!(counter(&master), COUNTER_MAX);
        }
    }
}

#[test]
fn a_chip_that_requires_a_limit_refuses_every_use_without_one() {
    for content in NO_LIMITS {
        for (name, number, perform) in USES {
            let master = without_a_limit(*number, 0, content);
            let strict = Switches { count_match_must_be_a_limit: true, ..Switches::default() };
            master.bus.set_switches(0, strict).unwrap();
            assert_eq!(perform(&master, true), EXECUTION, "{name}: {content}");
            assert_eq!(counter(&master), 0);
        }
    }
}

#[test]
fn making_and_showing_a_limited_key_does_not_count() {
    let master = limited(0, 0xF1, 32);
    assert_eq!(master.status_on(&GenKey::create(slot(0))), OK);
    assert_eq!(master.status_on(&GenKey::public(slot(0))), OK);
    assert_eq!(counter(&master), 32);
}

fn authorise(master: &Master, number: u8, key: &[u8; 32]) {
    assert_eq!(prove(master, number, key), OK);
}

#[test]
fn use_lock_disables_all_keys_until_the_one_it_names_is_proven() {
    for (name, _, perform) in USES {
        let master = chip(|config| config[68] = 0x7A);
        if *name == "Sign(internal)" {
            // Its GenDig is already refused.
            master.fixed_nonce(&[1; 32]);
            assert_eq!(master.status_on(&GenDig::slot(slot(10))), EXECUTION);
        } else {
            assert_eq!(perform(&master, true), EXECUTION, "{name}");
        }
    }
    let master = chip(|config| config[68] = 0x7A);
    assert_eq!(master.status_on(&GenKey::public(slot(0))), EXECUTION);
    master.run_on(&Nonce::digest(&DIGEST)).unwrap();
    let sign = Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(0) };
    assert_eq!(master.status_on(&sign), EXECUTION);
    authorise(&master, 7, &PIN);
    assert_eq!(master.status_on(&sign), OK);
    assert_eq!(master.status_on(&GenKey::public(slot(0))), OK);
    master.restart();
    master.run_on(&Nonce::digest(&DIGEST)).unwrap();
    assert_eq!(master.status_on(&sign), EXECUTION, "until sleep");
    // Any other low nibble is off: FF is what configurations for the 508 leave there.
    for off in [0x70, 0x75, 0xFF] {
        let master = chip(|config| config[68] = off);
        master.run_on(&Nonce::digest(&DIGEST)).unwrap();
        assert_eq!(master.status_on(&sign), OK, "{off:02X}");
    }
}

#[test]
fn the_latch_is_set_with_the_key_in_volatile_key_permission_and_enables_keys_with_persistent_disable() {
    let latched = |permission: u8| {
        chip(|config| {
            config[69] = permission;
            // PersistentDisable on slots 9 and 10.
            config[96 + 19] |= 0x10;
            config[96 + 21] |= 0x10;
        })
    };
    let shut = |master: &Master| {
        let key = KeyLocation::Slot(slot(9));
        let aes = master.status_on(&Aes::Block { key, unit: 0, decrypt: false, input: [0; 16] });
        let mac = master.status_on(&Mac::challenge(slot(10), [0; 32]));
        assert_eq!(aes, mac);
        aes == EXECUTION
    };
    let master = latched(0x87);
    assert!(shut(&master));
    assert_eq!(master.status_on(&Info::LatchSet(true)), EXECUTION, "nobody has shown a key");
    authorise(&master, 5, &[0x55; 32]);
    assert_eq!(master.status_on(&Info::LatchSet(true)), EXECUTION, "another key");
    authorise(&master, 7, &PIN);
    assert_eq!(master.run_on(&Info::LatchSet(true)), Ok([1, 0, 0, 0]));
    assert!(!shut(&master));
    master.restart();
    assert!(!shut(&master), "the latch survives sleep");
    assert_eq!(master.status_on(&Info::LatchSet(false)), EXECUTION);
    authorise(&master, 7, &PIN);
    assert_eq!(master.run_on(&Info::LatchSet(false)), Ok([0; 4]));
    assert!(shut(&master));
    // Bit 7 enables the function.
    let master = latched(0x07);
    authorise(&master, 7, &PIN);
    assert_eq!(master.status_on(&Info::LatchSet(true)), EXECUTION);
    assert!(shut(&master));
}

/// HMAC with SHA-256 (RFC 2104) of a key of 32 bytes.
fn hmac(key: &[u8; 32], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| -> [u8; 64] { std::array::from_fn(|i| byte ^ key.get(i).copied().unwrap_or(0)) };
    sha(&[&pad(0x5C), &sha(&[&pad(0x36), message])]).to_vec()
}

#[test]
fn hkdf_takes_32_or_64_bytes_of_a_slot_or_temp_key_for_its_message() {
    let master = chip(|_| {});
    let temp_key: Vec<u8> = (0..64).collect();
    master.fixed_nonce(&temp_key);
    let stored = master.bus.image(0).unwrap().part(Part::Slot(slot(10))).to_vec();
    for len in [32, 64] {
        let expected = hmac(&temp_key[..32].try_into().unwrap(), &stored[..len]);
        let command = hkdf(KdfSource::TempKey, HkdfMessage::Slot(slot(10)), len);
        assert_eq!(master.run_on(&command), Ok(KdfResponse::Clear(expected)), "{len} bytes");
    }
    for len in [32, 64] {
        let expected = hmac(&[0xAA; 32], &temp_key[..len]);
        let command = hkdf(KdfSource::Slot(slot(10)), HkdfMessage::TempKey, len);
        assert_eq!(master.run_on(&command), Ok(KdfResponse::Clear(expected)), "{len} bytes");
    }
    // More than the slot has, lengths that would reveal a secret byte by byte, nothing, a private key, and a key with
    // NoMac.
    for refused in [
        hkdf(KdfSource::Slot(slot(10)), HkdfMessage::TempKey, 1),
        hkdf(KdfSource::Slot(slot(10)), HkdfMessage::TempKey, 33),
        hkdf(KdfSource::Slot(slot(10)), HkdfMessage::TempKey, 0),
        hkdf(KdfSource::TempKey, HkdfMessage::Slot(slot(10)), 33),
        hkdf(KdfSource::TempKey, HkdfMessage::Slot(slot(5)), 64),
        hkdf(KdfSource::TempKey, HkdfMessage::Slot(slot(0)), 32),
        hkdf(KdfSource::TempKey, HkdfMessage::Slot(slot(7)), 32),
        hkdf(KdfSource::TempKey, HkdfMessage::Slot(slot(11)), 32),
    ] {
        master.fixed_nonce(&temp_key);
        assert_eq!(master.status_on(&refused), EXECUTION, "{refused:?}");
    }
}

#[test]
fn hkdf_details_are_parsed_strictly() {
    let master = chip(|_| {});
    master.fixed_nonce(&[1; 32]);
    let status = |details: [u8; 4], message: &[u8]| {
        let data = [&details[..], message].concat();
        let packet = atecc608_wire::CommandPacket::with_data(atecc608_wire::Opcode::KDF, 0x50, 0, data);
        master.write(&[vec![0x03], packet.encode()].concat()).unwrap();
        let answer = master.response();
        if answer.len() == 4 {
            answer[1]
        } else {
            OK
        }
    };
    assert_eq!(status([0, 10, 0, 32], &[0; 32]), OK, "slot 10 is in byte 1");
    assert_eq!(status([0, 16, 0, 4], &[0; 4]), PARSE, "there is no slot 16");
    assert_eq!(status([0, 10, 1, 4], &[0; 4]), PARSE, "a reserved byte");
    assert_eq!(status([2, 10, 0, 4], &[0; 4]), PARSE, "a slot, and the message in the command");
    assert_eq!(status([0, 10, 0, 4], &[0; 3]), PARSE, "a wrong length");
    assert_eq!(status([8, 0, 0, 4], &[0; 4]), PARSE, "a reserved bit");
}

/// A secret that ECDH may write: WriteConfig is Always, and PubInfo is set.
fn slot_3_is_a_target(config: &mut [u8]) {
    config[20 + 6..20 + 8].copy_from_slice(&[0x8F, 0x0F]);
    config[96 + 6..96 + 8].copy_from_slice(&[0x3E, 0x00]);
}

#[test]
fn ecdh_obeys_chip_options_and_hides_nothing_that_goes_to_a_slot() {
    // ECDHProt 0 to 3, for the bus, the bus encrypted, TempKey, and slot 3 beside the key (N|1).
    for (protection, allowed) in [
        (0, [OK, OK, OK, OK]),
        (1, [EXECUTION, OK, OK, OK]),
        (2, [EXECUTION, EXECUTION, OK, EXECUTION]),
        (3, [EXECUTION, EXECUTION, EXECUTION, OK]),
    ] {
        let master = chip(|config| {
            config[91] |= protection;
            slot_3_is_a_target(config);
        });
        let ecdh = |target, encrypted| Ecdh { key: EcdhKey::Slot(slot(2)), target, encrypted, public_key: point() };
        let commands = [
            ecdh(EcdhTarget::Output, false),
            ecdh(EcdhTarget::Output, true),
            ecdh(EcdhTarget::TempKey, false),
            ecdh(EcdhTarget::Slot(slot(3)), false),
        ];
        for (command, status) in commands.iter().zip(allowed) {
            assert_eq!(master.status_on(command), status, "ECDHProt {protection}, {:?}", command.target);
        }
    }
    // The compatible mode writes to the slot if SlotConfig says so; then there is nothing to encrypt.
    let master = chip(|config| {
        config[24] |= 0x08;
        slot_3_is_a_target(config);
    });
    let compatible = |encrypted| Ecdh {
        key: EcdhKey::Slot(slot(2)),
        target: EcdhTarget::Compatible,
        encrypted,
        public_key: point(),
    };
    assert_eq!(master.status_on(&compatible(true)), EXECUTION);
    assert!(master.run_on(&compatible(false)) == Ok(EcdhResponse::Kept));
}
