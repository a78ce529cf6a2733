// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the wire layer against external vectors: fact sheet sections 2.3 (recomputed with the vendor's `atCRC`), 5.6
//! and 9 (recomputed with the vendor's `atcah_*`).

use atecc608_wire::commands::*;
use atecc608_wire::config_zone::*;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::*;
use sha2::{Digest, Sha256};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn range<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first + i as u8)
}

fn slot(number: u8) -> Slot {
    Slot::new(number).unwrap()
}

const SERIAL: SerialNumber = SerialNumber([0x01, 0x23, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6, 0xEE]);

/// Asserts the frame of a command in both directions.
fn assert_frame<C: Command + PartialEq + std::fmt::Debug>(command: C, frame: &str) {
    let bytes = command.packet().encode();
    assert_eq!(bytes, hex(frame), "{command:?} encodes");
    assert_eq!(C::from_packet(&CommandPacket::decode(&bytes).unwrap()), Ok(command), "{frame} decodes");
}

#[test]
fn responses_have_the_vendors_checksums() {
    for frame in [
        "04113343",
        "04000340",
        "040100C3",
        "04038342",
        "0405C343",
        "040740C2",
        "040860C0",
        "040F2342",
        "04EE3141",
        "04FF0142",
        "07000060028038",
        "070000600383BB",
    ] {
        let bytes = hex(frame);
        let payload = frame::decode_response(&bytes).unwrap();
        assert_eq!(frame::encode_response(payload), bytes, "{frame}");
    }
    assert_eq!(frame::encode_response(&[AFTER_WAKE]), WAKE_RESPONSE);
    let locked_random = frame::encode_response(&Random::UNLOCKED_PATTERN);
    assert_eq!(locked_random, hex(&format!("23{}411A", "FFFF0000".repeat(8))));
}

#[test]
fn commands_have_the_vendors_frames() {
    assert_frame(Info::Revision, "07300000 00035D");
    assert_frame(Counter { number: 0, increment: false }, "0724000000 0CFD");
    assert_frame(Info::State, "07300200 0000D8");
    assert_frame(Random { update_seed: true }, "071B0000 0024CD");
    assert_frame(Read { zone: Zone::Config, address: Address::block(0, 0), block: true }, "07028000 0009AD");
    assert_frame(Read { zone: Zone::Config, address: Address::block(2, 5), block: false }, "07020015 00175D");
    assert_frame(GenKey::create(slot(0)), "07400400 008387");
    assert_frame(GenKey::public(slot(0)), "07400000 000005");
    assert_frame(Lock { zone: LockZone::Config, summary: None }, "07178000 00398D");
    assert_frame(Lock { zone: LockZone::Data, summary: None }, "07178100 003A07");
    assert_frame(Lock { zone: LockZone::Slot(slot(13)), summary: None }, "07173600 005E0A");
    assert_frame(
        Nonce::digest(&range(0)),
        "27164300 00 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F D76C",
    );
    assert_frame(Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(0) }, "0741A000 007B85");
    assert_frame(Sha::Start, "07470000 002E85");
    assert_frame(SelfTest::ALL, "07773B00 009DFB");
}

#[test]
fn every_command_survives_a_round_trip() {
    fn round_trip<C: Command + PartialEq + std::fmt::Debug>(command: C) {
        let packet = CommandPacket::decode(&command.packet().encode()).unwrap();
        assert_eq!(C::from_packet(&packet), Ok(command));
    }
    for update_seed in [true, false] {
        round_trip(Nonce::Random { update_seed, num_in: range(1) });
        round_trip(Nonce::Derived { update_seed, num_in: range(1) });
    }
    for target in [NonceTarget::TempKey, NonceTarget::MessageDigestBuffer, NonceTarget::AlternateKeyBuffer] {
        round_trip(Nonce::Fixed { target, value: vec![7; 32] });
    }
    round_trip(Nonce::Fixed { target: NonceTarget::MessageDigestBuffer, value: vec![7; 64] });
    round_trip(GenKey { mode: GenKeyMode::StoredDigest { other_data: [1, 2, 3] }, key: KeyLocation::Slot(slot(14)) });
    round_trip(GenKey { mode: GenKeyMode::Create { digest: false }, key: KeyLocation::TempKey });
    round_trip(Sign::Internal { slot: slot(1), full_serial: true, invalidate: true });
    round_trip(Write::word(Zone::Config, Address::block(1, 3), [1, 2, 3, 4]));
    round_trip(Write {
        zone: Zone::Data,
        address: Address::slot(slot(9), 1, 0),
        data: vec![9; 32],
        mac: Some([8; 32]),
    });
    round_trip(Lock { zone: LockZone::Data, summary: Some([0x34, 0x12]) });
    for key in [
        VerifyKey::Stored { source: DigestSource::MessageDigestBuffer, slot: slot(15) },
        VerifyKey::External { source: DigestSource::TempKey, public_key: range(0) },
        VerifyKey::Validate { slot: slot(14), other_data: range(3) },
        VerifyKey::Invalidate { slot: slot(14), other_data: range(3) },
    ] {
        round_trip(Verify { key: key.clone(), signature: range(0), mac: false });
        round_trip(Verify { key, signature: range(0), mac: true });
    }
    for (key, target) in [
        (EcdhKey::Slot(slot(2)), EcdhTarget::Compatible),
        (EcdhKey::Slot(slot(2)), EcdhTarget::Slot(slot(3))),
        (EcdhKey::TempKey, EcdhTarget::Slot(slot(6))),
        (EcdhKey::TempKey, EcdhTarget::TempKey),
        (EcdhKey::Slot(slot(0)), EcdhTarget::Output),
    ] {
        round_trip(Ecdh { key, target, encrypted: false, public_key: range(0) });
    }
    round_trip(Sha::Update(vec![1, 2, 3, 4, 5]));
    round_trip(Sha::End { rest: vec![1; 64], target: DigestTarget::Output });
    round_trip(Sha::Public(slot(11)));
    round_trip(Sha::HmacStart(KeyLocation::TempKey));
    round_trip(Sha::WriteContext(vec![0; 40]));
    round_trip(Info::LatchSet(true));
    round_trip(Info::KeyValid(slot(3)));
}

#[test]
fn a_packet_cut_at_any_length_is_refused() {
    let whole = Nonce::digest(&range(0)).packet().encode();
    for length in 0..whole.len() {
        assert!(CommandPacket::decode(&whole[..length]).is_err(), "{length} bytes");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(CommandPacket::decode(&longer), Err(FrameError::Count(0x27)));
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let whole = frame::encode_response(&range::<32>(0));
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(frame::decode_response(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn illegal_parameters_are_parse_errors() {
    let packet = |opcode, param1, param2, len| CommandPacket::with_data(opcode, param1, param2, vec![0; len]);
    assert!(Nonce::from_packet(&packet(Opcode::NONCE, 0x02, 0, 20)).is_err(), "mode 02");
    assert!(Nonce::from_packet(&packet(Opcode::NONCE, 0xA3, 0, 64)).is_err(), "64 bytes into the alternate key buffer");
    assert!(GenKey::from_packet(&packet(Opcode::GEN_KEY, 0x04, 16, 0)).is_err(), "slot 16");
    assert!(Read::from_packet(&packet(Opcode::READ, 0x04, 0, 0)).is_err(), "stray mode bit");
    assert!(Read::from_packet(&packet(Opcode::READ, 0x03, 0, 0)).is_err(), "zone 3");
    assert!(Write::from_packet(&packet(Opcode::WRITE, 0x82, 0, 31)).is_err(), "31 bytes");
    assert!(Sha::from_packet(&packet(Opcode::SHA, 0x01, 65, 65)).is_err(), "65 bytes");
    assert!(Sha::from_packet(&packet(Opcode::SHA, 0x01, 5, 4)).is_err(), "length that lies");
    assert!(Lock::from_packet(&packet(Opcode::LOCK, 0x40, 0, 0)).is_err(), "bit 6");
    assert!(Verify::from_packet(&packet(Opcode::VERIFY, 0x02, 5, 128)).is_err(), "another curve");
}

#[test]
fn counters_are_encoded_as_the_vendor_does() {
    for (value, bytes) in [
        (0, "FFFFFFFF00000000"),
        (1, "7FFFFFFF00000000"),
        (16, "0000FFFF00000000"),
        (17, "00007FFF00000000"),
        (31, "0000000100000000"),
        (32, "FFFF000000010000"),
        (33, "7FFF000000010000"),
        (48, "0000FFFF00010001"),
        (1000, "00FF0000001F001E"),
        (COUNTER_MAX, "00000001FFFFFFFF"),
    ] {
        let bytes: [u8; 8] = hex(bytes).try_into().unwrap();
        assert_eq!(counter_encode(value), bytes, "{value}");
        assert_eq!(counter_decode(bytes), Some(value));
    }
    assert_eq!(counter_decode([0xFF; 8]), None, "no chip writes this");
}

#[test]
fn host_and_chip_digest_the_same_messages() {
    let temp_key: [u8; 32] = range(0x40);
    assert_eq!(
        messages::nonce(&range(0x80), &range(0xA0), 0)[..],
        hex("7293c9953a9a3a885d58a508233739a4201784d7c4f9b21c7a12e278298481ac")
    );
    assert_eq!(
        messages::gen_key_digest(&temp_key, [0x08, 0x02, 0x00], &SERIAL, &range(0))[..],
        hex("5e3967b9cae49e55ac716d98ba0bab8be39110bd84eb4d8d7c4539cdbf7f9201")
    );
    assert_eq!(
        messages::gen_key_digest(&temp_key, [1, 2, 3], &SERIAL, &range(0))[..],
        hex("95db191c11d1ec575ffe359e9859426a20fa747c8f7c8b7ad74d87a0da9e68ad")
    );
    assert_eq!(
        messages::io_key_stream(&range(0), &range(0xB0))[..],
        hex("a38072ab31c60c4cf419b32a5e670dfae4e3d70104892ba535b37bcad98e8b4a07377c6353315837b449a9104be308368cfae42c53953b34ae29446e850fd027")
    );
}

#[test]
fn internal_signatures_cover_the_documented_message() {
    let statement = messages::SlotStatement {
        slot_config: SlotConfig(0x0F8F),
        key_config: KeyConfig(0x003C),
        flags: messages::TempKeyFlags { key_id: 4, gen_dig: true, ..Default::default() },
        slot_locked: false,
        validated: false,
    };
    for (full_serial, digest, other_data) in [
        (
            false,
            "52f2f93198013587255fd46bc0fe1907ee9a6438d10e7fd2004179f5589ab47d",
            "0001008f0f3c00240000000000000000010000",
        ),
        (
            true,
            "1c3af05a057b3264ec76a78f9ae489b3188e30042ef3688fceb659947abf96d6",
            "4001008f0f3c00240000c3d4e5f6a1b2010000",
        ),
    ] {
        let sign = Sign::Internal { slot: slot(1), full_serial, invalidate: false };
        let message = messages::sign_internal(&range(0x40), &sign, &statement, &SERIAL);
        assert_eq!(Sha256::digest(message)[..], hex(digest));
        let other = messages::sign_internal_other_data(&message);
        assert_eq!(other[..], hex(other_data));
        // Verify(Validate) rebuilds the same digest from its OtherData.
        assert_eq!(messages::verify_validate(&range(0x40), &other, &SERIAL)[..], hex(digest));
    }
}

#[test]
fn verify_answers_the_documented_macs() {
    let io_key = range(0);
    let mac = |key, message: &[u8; 32]| {
        let verify = Verify { key, signature: range(0), mac: true };
        messages::verify_mac(&io_key, message, &range(0xB0), &verify).to_vec()
    };
    let external = |source| VerifyKey::External { source, public_key: range(0) };
    assert_eq!(
        mac(external(DigestSource::MessageDigestBuffer), &range(0x60)),
        hex("21d7db76a6ca37b614506a23c5f7ae7b8d4175143d5cfa01d66279acd5c83e8d")
    );
    assert_eq!(
        mac(external(DigestSource::TempKey), &range(0x40)),
        hex("289bc573a157c1a81bd3f6ba91016e6280a0852c7744f947eb780d1f3283df8a")
    );
}

#[test]
fn slots_have_the_documented_sizes() {
    let sizes: Vec<usize> = Slot::all().map(Slot::size).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1208);
    assert_eq!((sizes[7], sizes[8], sizes[9]), (36, 416, 72));
    assert_eq!((slot(0).blocks(), slot(8).blocks(), slot(15).blocks()), (2, 13, 3));
    assert!(Slot::new(16).is_none());
}

#[test]
fn execution_times_are_the_fact_sheets() {
    use timing::{maximum, ClockDivider};
    let millis = |opcode, divider| maximum(opcode, divider).as_millis();
    assert_eq!(millis(Opcode::SIGN, ClockDivider::M0), 115);
    assert_eq!(millis(Opcode::GEN_KEY, ClockDivider::M1), 215);
    assert_eq!(millis(Opcode::VERIFY, ClockDivider::M2), 1085);
    assert_eq!(ClockDivider::from_chip_mode(0x68), ClockDivider::M2);
    assert_eq!(ClockDivider::from_chip_mode(0x28), ClockDivider::M1);
    assert_eq!(ClockDivider::from_chip_mode(0x07), ClockDivider::M0);
}

#[test]
fn the_configuration_zone_reads_as_the_trust_and_go_dump() {
    let mut bytes = [0u8; 128];
    bytes[..16].copy_from_slice(&hex("0123CFE1 00006002 EF17F0B001 01 01 00"));
    bytes[16..].copy_from_slice(&hex(
        "6A 00 00 01 85 00 82 00 85 20 85 20 85 20 8F 46 8F 0F 9F 8F 0F 0F 8F 0F 0F 8F 0F 8F 0F 8F 0F 0F
         0D 1F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF 00 00 00 00 00 00 03 F7 00 69 76 00 00 00 00 00
         00 00 00 00 00 00 00 00 FF FF 0E 60 00 00 00 00
         53 00 53 00 73 00 73 00 73 00 38 00 7C 00 1C 00 3C 00 1A 00 1C 00 10 00 1C 00 30 00 12 00 30 00",
    ));
    let zone = ConfigZone::new(bytes);
    assert_eq!(zone.serial_number().to_string(), "0123CFE1EF17F0B001");
    assert_eq!(zone.serial_number().short(), "23CFE1EF17F0B001");
    assert_eq!(Model::from_revision(zone.revision()), Model::Atecc608A);
    assert_eq!(zone.i2c_address(), 0x35);
    assert!(zone.config_locked() && zone.data_locked());
    let device_key = (zone.slot_config(slot(0)), zone.key_config(slot(0)));
    assert!(device_key.0.external_sign() && device_key.0.ecdh() && !device_key.0.internal_sign());
    assert!(!device_key.0.write_config().gen_key(), "Trust&GO's device key is permanent");
    assert!(device_key.1.is_p256_private() && device_key.1.pub_info() && device_key.1.req_random());
    assert!(zone.slot_config(slot(2)).write_config().gen_key());
    assert_eq!(zone.slot_config(slot(5)).write_config().write_policy(), WritePolicy::Encrypted);
    assert_eq!(zone.slot_config(slot(14)).write_config().write_policy(), WritePolicy::PubInvalid);
    assert_eq!(zone.key_config(slot(9)).key_type(), KeyType::Aes);
    assert!(zone.chip_options().io_protection() && zone.chip_options().io_key() == slot(6));
    assert_eq!((zone.counter(0), zone.counter(1)), (Some(0), Some(0)));
}

fn otp() -> [u8; 11] {
    range(0xC8)
}

#[test]
fn macs_are_the_vendors() {
    let (key, challenge, temp_key) = (range::<32>(0), range::<32>(0x20), range::<32>(0x40));
    let plain = Mac::challenge(slot(4), challenge);
    let full = Mac { full_serial: true, ..plain };
    let over_temp_key = Mac { challenge: None, ..full };
    let fixed_first = Mac { source_fixed: true, ..over_temp_key };
    for (command, second, param1, expected) in [
        (plain, &challenge, 0x00, "5220c88a1bd2fc7592c581f387d32cc19a13d1014f3d290475f9fd170380eb34"),
        (full, &challenge, 0x40, "e8225c0857fac61c022e2f128027fb44b4b49a09453bd7e46cc16027c254fa98"),
        (over_temp_key, &temp_key, 0x41, "7d792b7174b8d262aa2218b00503ac76b7f6bafd11b9d0562e057384992377eb"),
        (fixed_first, &temp_key, 0x45, "9756dcc6285139e41164deeb5cfab051dc8e696ca900e959ccec6bd37e6d4f32"),
    ] {
        assert_eq!(command.packet().param1, param1);
        assert_eq!(Mac::from_packet(&command.packet()), Ok(command));
        assert_eq!(messages::mac(&key, second, &command, &otp(), &SERIAL)[..], hex(expected), "mode {param1:02X}");
    }
    let with_otp = Mac { otp: MacOtp::First11, ..plain };
    assert_eq!(Mac::from_packet(&with_otp.packet()), Ok(with_otp));
    assert_eq!(
        messages::mac(&key, &challenge, &with_otp, &otp(), &SERIAL),
        <[u8; 32]>::from(Sha256::digest(
            [&key[..], &challenge, &[8, 0x10, 4, 0], &otp(), &[0xEE, 0, 0, 0, 0, 0x01, 0x23, 0, 0]].concat()
        ))
    );
}

#[test]
fn check_macs_are_the_vendors() {
    let (key, challenge, temp_key) = (range::<32>(0), range::<32>(0x20), range::<32>(0x40));
    let plain = CheckMac {
        slot: slot(4),
        temp_key_second: false,
        temp_key_first: false,
        source_fixed: false,
        otp: false,
        challenge,
        response: range(0x60),
        other_data: range(0xF0),
    };
    let over_temp_key = CheckMac { temp_key_second: true, ..plain };
    let with_otp = CheckMac { otp: true, ..over_temp_key };
    for (command, second, param1, expected) in [
        (plain, &challenge, 0x00, "e62e2c651cbd1903cf62d03644fe80e6a624b159ea1a5ec77140eaf456f008e3"),
        (over_temp_key, &temp_key, 0x01, "909a2cf83a5057bc71c109161589cd25a391d618b4675ef794980b5cbd5f5bb1"),
        (with_otp, &temp_key, 0x21, "5f2165f7103769ced73540b50dc1823d6771d0a6166c2ecd20d9a2f9a337fc31"),
    ] {
        assert_eq!(command.packet().param1, param1);
        assert_eq!(command.packet().encode()[0], 84);
        assert_eq!(CheckMac::from_packet(&command.packet()), Ok(command));
        assert_eq!(messages::check_mac(&key, second, &command, &otp(), &SERIAL)[..], hex(expected), "{param1:02X}");
    }
}

#[test]
fn gen_dig_is_the_vendors_in_all_zones() {
    use messages::GenDigInput::*;
    let key = || zeroize::Zeroizing::new(range::<32>(0));
    let shared = |temp_key_first| GenDig::SharedNonce { temp_key_first, label: 4, other_data: range(0x60) };
    let no_mac = [0x16, 1, 2, 3];
    let key_config = KeyConfig {
        slot_config: config_zone::SlotConfig(0x0F8F),
        key_config: config_zone::KeyConfig(0x003C),
        slot_locked: false,
    };
    for (command, input, count, expected) in [
        (GenDig::slot(slot(4)), Block(key()), 11, "b2219c6943f468fd99bbcd3080074904f014e7115e808d4aaf7e63375a69a10a"),
        (
            GenDig::Data { slot: slot(4), other_data: Some(no_mac) },
            NoMac(key(), no_mac),
            11,
            "966077d89d9a5f1114d9d2257d59f150a0a2c36fda482ec2adf208fd56c6c55f",
        ),
        (GenDig::Config(1), Block(key()), 7, "a3e36be838aae50bbaf1f7f2f059fb2c4c9f44314bb0155b43846935a5bf2600"),
        (shared(false), SharedNonce, 39, "2c02a0eccb0a92ffbd908c0db5f324e47ff11a8002b11bd0e54356ee1a237326"),
        (shared(true), SharedNonce, 39, "a1d1df9a3bd61df96602bb0fd8bff2e2462572ef13b2d93957898454896c7257"),
        (
            GenDig::Counter(0),
            Counter(0x0102_0304),
            7,
            "1180ecd5be660da7c623cf7d602f63100bf125adb2350e6dfb448eb135f17555",
        ),
        (GenDig::KeyConfig(slot(4)), key_config, 7, "f361dca4b34e20b3ca37719051aef7e93c80da2bdccc0790587a6925874c2761"),
    ] {
        assert_eq!(command.packet().encode()[0], count);
        assert_eq!(GenDig::from_packet(&command.packet()), Ok(command));
        assert_eq!(messages::gen_dig(&range(0x40), &command, &input, &SERIAL)[..], hex(expected), "{command:?}");
    }
    assert_eq!(shared(true).packet().param2, 0x8004);
    assert!(GenDig::from_packet(&CommandPacket::new(Opcode::GEN_DIG, 0, 4)).is_err(), "block 4");
    assert!(GenDig::from_packet(&CommandPacket::new(Opcode::GEN_DIG, 4, 2)).is_err(), "counter 2");
    assert!(GenDig::from_packet(&CommandPacket::new(Opcode::GEN_DIG, 3, 0)).is_err(), "no data");
    assert!(GenDig::from_packet(&CommandPacket::new(Opcode::GEN_DIG, 6, 0)).is_err(), "zone 6");
}

#[test]
fn derived_and_written_keys_are_the_vendors() {
    let derive = DeriveKey { target: slot(9), source_fixed: false, mac: None };
    assert_eq!(DeriveKey::from_packet(&derive.packet()), Ok(derive));
    assert_eq!(
        messages::derive_key(&range(0), &range(0x40), &derive, &SERIAL)[..],
        hex("720013b5b06200971e56735d6807e7456c903695eb9434d6735c0754b5e3ff60")
    );
    let derive = DeriveKey { target: slot(3), source_fixed: false, mac: Some(range(0)) };
    assert_eq!(DeriveKey::from_packet(&derive.packet()), Ok(derive));
    assert_eq!(derive.packet().encode()[0], 0x27);
    assert_eq!(
        messages::derive_key_mac(&range(0), &derive, &SERIAL)[..],
        hex("7efaeadbc6b70b843d72d49c695dd4781590ea46d06368486820a6af67f57845")
    );
    let mut plain = [0; 36];
    plain[4..].copy_from_slice(&range::<32>(0x60));
    let stream = messages::priv_write_key_stream(&range(0x40));
    let key = std::array::from_fn(|i| plain[i] ^ stream[i]);
    assert_eq!(key[..], hex("40414243242424242c2c2c2c242424243c3c3c3c242424242c2c2c2c24242424b6573198"));
    let write = PrivWrite { slot: slot(7), encrypted: true, key, mac: range(0) };
    assert_eq!(PrivWrite::from_packet(&write.packet()), Ok(write.clone()));
    assert_eq!(write.packet().encode()[0], 75);
    assert_eq!(
        messages::priv_write_mac(&range(0x40), &write, &SERIAL, &plain)[..],
        hex("6cc9a673bd4ee2400a955c001d39a46f7861534eee3f94f36baba3ccd452e7f7")
    );
}

#[test]
fn secure_boot_is_the_vendors() {
    let hashed = messages::secure_boot_hashed_key(&range(0), &range(0x40));
    assert_eq!(hashed[..], hex("f87cebe54d641cf23236575ca7381d14025eb8eb06223fb639f1bdce0dc3e4a4"));
    let signature: [u8; 64] = range(0);
    let full = SecureBoot { mode: SecureBootMode::Full { signature }, prohibit: false, mac: true, digest: range(0x60) };
    let store = SecureBoot { mode: SecureBootMode::FullStore, ..full };
    for (command, param1, count, signature, expected) in [
        (full, 0x85, 103, Some(&signature), "c645119492ff94552fe5a0b95504922f247440603c54319b7fab0e6f83a8a606"),
        (store, 0x86, 39, None, "ed0363de7b669837c3952d659eb803596dd29dfef3f529ca9b1b42304df54289"),
        (store, 0x86, 39, Some(&signature), "240c6e46bd1b20706f252d1954f3846f490772a00c32092962c1394eacc5bcf7"),
    ] {
        let packet = command.packet();
        assert_eq!((packet.param1, packet.encode()[0]), (param1, count));
        assert_eq!(SecureBoot::from_packet(&packet), Ok(command));
        assert_eq!(messages::secure_boot_mac(&hashed, &range(0x60), signature, &command)[..], hex(expected));
    }
}

#[test]
fn aes_kdf_and_update_extra_decode_what_they_encode() {
    let block = |key, unit, decrypt| Aes::Block { key, unit, decrypt, input: range(0) };
    for (command, param1, param2, count) in [
        (block(KeyLocation::Slot(slot(9)), 2, false), 0x80, 9, 23),
        (block(KeyLocation::TempKey, 3, true), 0xC1, 0xFFFF, 23),
        (Aes::GaloisMultiply { h: range(0), input: range(1) }, 3, 0, 39),
    ] {
        let packet = command.packet();
        assert_eq!((packet.param1, packet.param2, packet.encode()[0]), (param1, param2, count));
        assert_eq!(Aes::from_packet(&packet), Ok(command));
    }
    for extra in [UpdateExtra::UserExtra(7), UpdateExtra::UserExtraAdd(8), UpdateExtra::Decrement(9)] {
        assert_eq!(UpdateExtra::from_packet(&extra.packet()), Ok(extra));
    }
    let prf = KdfAlgorithm::Prf { key_len: 1, long: true, aead: false };
    let hkdf = KdfAlgorithm::Hkdf { message: HkdfMessage::SpecialIv, zero_key: true };
    let (from, to) = (KdfSource::Slot(slot(9)), KdfTarget::Slot(slot(5)));
    for (source, target, algorithm, len, param1, param2, details) in [
        (from, to, prf, 13, 0x0A, 0x0509, "01 01 00 0D"),
        (KdfSource::TempKey, KdfTarget::Output, prf, 128, 0x10, 0, "01 01 00 80"),
        (
            KdfSource::TempKeyUpper,
            KdfTarget::OutputEncrypted,
            KdfAlgorithm::Aes { unit: 1 },
            16,
            0x35,
            0,
            "01 00 00 00",
        ),
        (KdfSource::AlternateKeyBuffer, KdfTarget::TempKeyUpper, hkdf, 12, 0x47, 0, "07 00 00 0C"),
    ] {
        let command = Kdf { source, target, algorithm, message: vec![9; len] };
        let packet = command.packet();
        assert_eq!((packet.param1, packet.param2, packet.encode()[0]), (param1, param2, 11 + len as u8));
        assert_eq!(packet.data[..4], hex(details));
        assert_eq!(Kdf::from_packet(&packet), Ok(command));
    }
}
