// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip returns only legal responses to any input, and reveals no secret.

use atecc608_sim::image::Part;
use atecc608_sim::transfer::Segment;
use atecc608_testkit::master::*;
use atecc608_wire::{frame, CommandPacket, Opcode};
use proptest::collection::vec;
use proptest::prelude::*;

/// A packet with a valid envelope, most often with a known opcode and a likely length.
fn packet() -> impl Strategy<Value = CommandPacket> {
    let opcode = prop_oneof![4 => prop::sample::select(Opcode::ALL).prop_map(|opcode| opcode.0), 1 => any::<u8>()];
    let param1 = prop_oneof![Just(0), Just(4), Just(0x80), Just(0x82), Just(0x43), any::<u8>()];
    let param2 = prop_oneof![3 => 0_u16..16, 2 => any::<u16>()];
    let len = prop::sample::select(vec![0_usize, 3, 4, 20, 32, 64, 83, 128]);
    let data = prop_oneof![4 => len.prop_flat_map(|len| vec(any::<u8>(), len)), 1 => vec(any::<u8>(), 0..=148)];
    (opcode, param1, param2, data)
        .prop_map(|(opcode, param1, param2, data)| CommandPacket::with_data(Opcode(opcode), param1, param2, data))
}

/// Traffic of a master, or noise.
#[derive(Clone, Debug)]
enum Traffic {
    /// Bytes to the chip, in several transfers.
    Write(Vec<Vec<u8>>),
    Transfer(Vec<Segment>),
    Read(u16),
    Pulse,
    Wait(u64),
}

/// Random bytes, or a packet that is valid, cut off, too long or damaged; as one write or in pieces.
fn written() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let damage = prop_oneof![
        2 => Just((None, None)),
        1 => any::<prop::sample::Index>().prop_map(|end| (Some(end), None)),
        1 => any::<(prop::sample::Index, u8)>().prop_map(|damage| (None, Some(damage))),
    ];
    let packet = (packet(), damage, vec(any::<u8>(), 0..3)).prop_map(|(packet, (end, bit), extra)| {
        let mut bytes = [vec![0x03], packet.encode(), extra].concat();
        if let Some((at, bit)) = bit {
            *at.get_mut(&mut bytes) ^= 1 << (bit % 8);
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        bytes
    });
    let noise = prop_oneof![3 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 150..400)];
    let overlong = vec(any::<u8>(), 0..300).prop_map(|bytes| [vec![0x03, bytes.len() as u8], bytes].concat());
    let bytes = prop_oneof![4 => packet, 1 => noise, 1 => overlong];
    (bytes, any::<prop::sample::Index>(), 0..4).prop_map(|(bytes, at, kind)| {
        let (first, rest) = bytes.split_at(if bytes.is_empty() { 0 } else { at.index(bytes.len()) });
        match kind {
            // The second piece with or without its own word address.
            0 => vec![first.to_vec(), [&[0x03], rest].concat()],
            1 => vec![first.to_vec(), rest.to_vec()],
            _ => vec![bytes],
        }
    })
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let address = || prop_oneof![6 => Just(ADDRESS), 1 => Just(0), 1 => any::<u8>()];
    let segment = prop_oneof![
        (address(), vec(any::<u8>(), 0..20)).prop_map(|(address, data)| Segment::Write { address, data }),
        (address(), 0_u16..200).prop_map(|(address, len)| Segment::Read { address, len }),
    ];
    prop_oneof![
        5 => written().prop_map(Traffic::Write),
        1 => vec(segment, 0..45).prop_map(Traffic::Transfer),
        2 => (0_u16..300).prop_map(Traffic::Read),
        3 => Just(Traffic::Pulse),
        3 => prop_oneof![0_u64..3000, 0_u64..800_000].prop_map(Traffic::Wait),
    ]
}

/// Reads the whole response from its start; `None` if the chip does not acknowledge, has no response or falls asleep.
fn whole_answer(master: &Master) -> Option<Vec<u8>> {
    master.write(&[0x00]).ok()?;
    let bytes = master.read(200).ok()?;
    // If the watchdog expired during the read, the rest of it was an idle bus.
    master.write(&[0x00]).ok()?;
    (bytes[0] != 0xFF).then_some(bytes)
}

/// One whole packet with a valid CRC and a known status, then nothing.
fn assert_legal(answer: &[u8]) {
    let (packet, rest) = answer.split_at(answer[0].into());
    assert!(rest.iter().all(|byte| *byte == 0xFF), "{answer:02X?}");
    let payload = frame::decode_response(packet).unwrap_or_else(|error| panic!("{answer:02X?}: {error:?}"));
    // SelfTest returns a map of the failed tests: none.
    let known = [0x00, 0x01, 0x03, 0x05, 0x0F, 0x11, 0xEE, 0xFF];
    assert!(payload.len() > 1 || known.contains(&payload[0]), "{payload:02X?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_packet_in_any_lock_state_is_answered(locks in 0..3, packets in vec(packet(), 1..40)) {
        let master = Master::with_image(tls_image(locks > 0, locks > 1));
        for packet in packets {
            if master.write(&[0x02]).is_err() && master.bus.image(0).unwrap().config().i2c_address() != ADDRESS {
                return Ok(());
            }
            master.pulse();
            master.wait_us(20_000);
            if master.write(&[vec![0x03], packet.encode()].concat()).is_err() {
                // A configuration write has moved the chip to another address.
                prop_assert_eq!(locks, 0);
                return Ok(());
            }
            let response = master.response();
            let payload = frame::decode_response(&response).unwrap();
            prop_assert!(payload.len() > 1 || packet.opcode == Opcode::SELF_TEST
                || [0x00, 0x01, 0x03, 0x05, 0x07, 0x0F].contains(&payload[0]), "{packet:?}: {payload:02X?}");
        }
    }

    #[test]
    fn any_bytes_on_the_bus_are_answered_legally_and_leave_a_chip_that_can_be_woken(
        data_locked in any::<bool>(),
        traffic in vec(traffic(), 1..40),
    ) {
        let master = Master::with_image(tls_image(true, data_locked));
        for event in traffic {
            match event {
                Traffic::Write(pieces) => {
                    for piece in pieces {
                        let _ = master.write(&piece);
                    }
                }
                Traffic::Transfer(segments) => drop(master.transfer(&segments)),
                // The output counter may be anywhere: no more bytes than requested.
                Traffic::Read(len) => {
                    if let Ok(bytes) = master.read(len) {
                        prop_assert_eq!(bytes.len(), usize::from(len));
                    }
                }
                Traffic::Pulse => master.pulse(),
                Traffic::Wait(micros) => master.wait_us(micros),
            }
            if let Some(answer) = whole_answer(&master) {
                assert_legal(&answer);
            }
        }
        // The watchdog expires, in any state.
        master.wait_us(2_500_000);
        master.wake();
    }

    #[test]
    fn no_answer_contains_a_secret(packets in vec(packet(), 1..60)) {
        let mut image = tls_image(true, true);
        // Slots 0 to 7 and 9 are secret; the pattern can't result from a command.
        for number in [0, 1, 2, 3, 4, 5, 6, 7, 9] {
            let bytes = image.part_mut(Part::Slot(slot(number)));
            (0..).zip(bytes.iter_mut()).for_each(|(i, byte)| *byte = if i < 4 { 0 } else { 0x5E ^ number ^ i });
        }
        let secrets: Vec<Vec<u8>> = [0, 1, 2, 3, 4, 5, 6, 7, 9]
            .iter()
            .map(|number| image.part(Part::Slot(slot(*number)))[4..36].to_vec())
            .collect();
        let master = Master::with_image(image);
        for packet in packets {
            let _ = master.write(&[0x02]);
            master.pulse();
            master.wait_us(1500);
            master.write(&[vec![0x03], packet.encode()].concat()).unwrap();
            let response = master.response();
            for secret in &secrets {
                for window in secret.windows(4) {
                    prop_assert!(!response.windows(4).any(|part| part == window), "{packet:?}");
                }
            }
        }
    }
}
