//! Whatever is sent to the simulated chip, it answers something legal, and no secret comes out.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod sim_support;

use atecc608_pkcs11::sim::image::Part;
use atecc608_pkcs11::wire::{frame, CommandPacket, Opcode};
use proptest::collection::vec;
use proptest::prelude::*;
use sim_support::*;

/// A packet with a right envelope: a known opcode more often than not, likely lengths more often than others.
fn packet() -> impl Strategy<Value = CommandPacket> {
    let opcode = prop_oneof![4 => prop::sample::select(Opcode::ALL).prop_map(|opcode| opcode.0), 1 => any::<u8>()];
    let param1 = prop_oneof![Just(0), Just(4), Just(0x80), Just(0x82), Just(0x43), any::<u8>()];
    let param2 = prop_oneof![3 => 0_u16..16, 2 => any::<u16>()];
    let len = prop::sample::select(vec![0_usize, 3, 4, 20, 32, 64, 83, 128]);
    let data = prop_oneof![4 => len.prop_flat_map(|len| vec(any::<u8>(), len)), 1 => vec(any::<u8>(), 0..=148)];
    (opcode, param1, param2, data)
        .prop_map(|(opcode, param1, param2, data)| CommandPacket::with_data(Opcode(opcode), param1, param2, data))
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
    fn any_bytes_on_the_bus_leave_a_chip_that_can_be_woken(writes in vec(vec(any::<u8>(), 0..40), 1..20)) {
        let master = Master::tls();
        for bytes in writes {
            let _ = master.write(&bytes);
            let _ = master.read(5);
            master.wait_us(3000);
        }
        master.wait_us(2_500_000);
        // The watchdog has struck, whatever state that was.
        master.wake();
    }

    #[test]
    fn no_answer_contains_a_secret(packets in vec(packet(), 1..60)) {
        let mut image = tls_image(true, true);
        // Slots 0 to 7 and 9 are secret; a pattern that no command makes.
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
