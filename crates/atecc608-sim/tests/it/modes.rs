// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every value of param1 for every command: the documented ones are accepted, all others are parse errors, and so is a
//! byte too much or too little (fact sheet sections 2.4 and 3.1 to 3.22).

use atecc608_testkit::master::*;
use atecc608_wire::config_zone::Model;
use atecc608_wire::{CommandPacket, Opcode};

/// Whether a mode is documented, and the rest of its packet: param2 and data.
struct Modes {
    opcode: Opcode,
    documented: fn(u8) -> bool,
    rest: fn(u8) -> (u16, Vec<u8>),
}

fn nothing(_: u8) -> (u16, Vec<u8>) {
    (0, Vec::new())
}

const COMMANDS: &[Modes] = &[
    Modes {
        opcode: Opcode::AES,
        documented: |mode| mode == 0x03 || mode & 0x3E == 0,
        rest: |mode| (9, vec![0; if mode == 0x03 { 32 } else { 16 }]),
    },
    Modes { opcode: Opcode::CHECK_MAC, documented: |mode| mode & !0x27 == 0, rest: |_| (10, vec![0; 77]) },
    Modes { opcode: Opcode::COUNTER, documented: |mode| mode <= 1, rest: nothing },
    Modes { opcode: Opcode::DERIVE_KEY, documented: |mode| matches!(mode, 0 | 4), rest: |_| (10, vec![0; 32]) },
    Modes {
        opcode: Opcode::ECDH,
        // Slot: as SlotConfig says, to a slot, to TempKey, to the bus; TempKey: the last three. Only a result to the
        // bus can be encrypted.
        documented: |mode| matches!(mode, 0x00 | 0x02 | 0x04 | 0x08 | 0x0C | 0x0E | 0x05 | 0x09 | 0x0D | 0x0F),
        rest: |_| (0, vec![1; 64]),
    },
    Modes {
        opcode: Opcode::GEN_DIG,
        documented: |mode| mode <= 5,
        rest: |mode| (0, vec![0; [0, 0, 4, 32, 0, 0].get(usize::from(mode)).copied().unwrap_or(0)]),
    },
    Modes {
        opcode: Opcode::GEN_KEY,
        documented: |mode| matches!(mode, 0x00 | 0x04 | 0x08 | 0x0C | 0x10),
        rest: |mode| (0, vec![0; if mode == 0x10 { 3 } else { 0 }]),
    },
    Modes { opcode: Opcode::INFO, documented: |mode| matches!(mode, 0 | 1 | 2 | 4), rest: nothing },
    Modes {
        opcode: Opcode::KDF,
        documented: |mode| mode & 0x80 == 0 && mode & 0x1C <= 0x14 && mode & 0x60 != 0x60,
        rest: |mode| {
            let data = match mode & 0x60 {
                0x20 => vec![0; 20],
                0x40 => vec![2, 0, 0, 5, 0, 0, 0, 0, 0],
                _ => vec![1, 0, 0, 5, 0, 0, 0, 0, 0],
            };
            (0, data)
        },
    },
    Modes {
        opcode: Opcode::LOCK,
        documented: |mode| mode & 0x40 == 0 && (mode & 0x03 == 2 || mode & 0x3F <= 1),
        rest: nothing,
    },
    Modes {
        opcode: Opcode::MAC,
        // The modes with OTP are a switch.
        documented: |mode| mode & !0x47 == 0,
        rest: |mode| (10, vec![0; if mode & 1 == 0 { 32 } else { 0 }]),
    },
    Modes {
        opcode: Opcode::NONCE,
        documented: |mode| matches!(mode, 0x00 | 0x01 | 0x03 | 0x23 | 0x43 | 0x63 | 0x83),
        rest: |mode| {
            let len = match mode {
                0x00 | 0x01 => 20,
                mode if mode & 0x20 != 0 => 64,
                _ => 32,
            };
            (0, vec![0; len])
        },
    },
    Modes { opcode: Opcode::PRIV_WRITE, documented: |mode| matches!(mode, 0x00 | 0x40), rest: |_| (4, vec![0; 68]) },
    Modes { opcode: Opcode::RANDOM, documented: |mode| mode <= 1, rest: nothing },
    Modes { opcode: Opcode::READ, documented: |mode| mode & 0x7C == 0 && mode & 3 != 3, rest: nothing },
    Modes {
        opcode: Opcode::SECURE_BOOT,
        documented: |mode| matches!(mode & 0x3F, 5..=7),
        rest: |mode| (0, vec![0; if mode & 0x3F == 6 { 32 } else { 96 }]),
    },
    Modes { opcode: Opcode::SELF_TEST, documented: |mode| mode & 0xC0 == 0, rest: nothing },
    Modes {
        opcode: Opcode::SHA,
        documented: |mode| matches!(mode, 0 | 1 | 2 | 0x42 | 0xC2 | 3 | 4 | 6 | 7),
        rest: |mode| match mode & 7 {
            1 | 2 => (5, vec![0; 5]),
            7 => (36, vec![0; 36]),
            3 | 4 => (5, Vec::new()),
            _ => (0, Vec::new()),
        },
    },
    Modes {
        opcode: Opcode::SIGN,
        // Internal; external from TempKey or the digest buffer, where bit 6 has no effect.
        documented: |mode| mode & !0x41 == 0 || matches!(mode, 0x80 | 0xC0 | 0xA0 | 0xE0),
        rest: nothing,
    },
    Modes { opcode: Opcode::UPDATE_EXTRA, documented: |mode| mode <= 1, rest: nothing },
    Modes {
        opcode: Opcode::VERIFY,
        documented: |mode| matches!(mode & 0x7F, 0x00 | 0x20 | 0x02 | 0x22) || matches!(mode, 0x03 | 0x07),
        rest: |mode| match mode & 0x0F {
            0x00 => (11, vec![1; 64]),
            0x03 | 0x07 => (14, vec![1; 83]),
            _ => (4, vec![1; 128]),
        },
    },
    Modes {
        opcode: Opcode::WRITE,
        documented: |mode| matches!(mode, 0x00 | 0x01 | 0x02 | 0x80 | 0x81 | 0x82 | 0xC2),
        rest: |mode| {
            let len = if mode & 0x80 != 0 { 32 } else { 4 };
            (if mode & 3 == 2 { 0x40 } else { 0 }, vec![0; len + if mode & 0x40 != 0 { 32 } else { 0 }])
        },
    },
];

/// Both zones locked, and no watchdog.
fn chip() -> Master {
    let master = Master::with_image(tls_image(true, true)).untimed();
    master.wake();
    master
}

fn send(master: &Master, opcode: Opcode, mode: u8, param2: u16, data: Vec<u8>) -> Vec<u8> {
    let packet = CommandPacket::with_data(opcode, mode, param2, data);
    master.write(&[vec![0x03], packet.encode()].concat()).unwrap();
    master.response()
}

fn is_parse_error(answer: &[u8]) -> bool {
    answer == hex("04 03 83 42")
}

#[test]
fn every_command_is_in_the_table() {
    let listed: Vec<Opcode> = COMMANDS.iter().map(|modes| modes.opcode).collect();
    assert_eq!(listed.len(), 22);
    assert!(Opcode::ALL.iter().all(|opcode| listed.contains(opcode)));
}

#[test]
fn documented_modes_are_taken_and_all_others_are_parse_errors() {
    let master = chip();
    for Modes { opcode, documented, rest } in COMMANDS {
        for mode in 0..=0xFF {
            let (param2, data) = rest(mode);
            let answer = send(&master, *opcode, mode, param2, data);
            assert_eq!(is_parse_error(&answer), !documented(mode), "{opcode:?} {mode:02X}: {answer:02X?}");
        }
    }
}

#[test]
fn a_byte_too_much_or_too_little_is_a_parse_error_in_every_mode() {
    let master = chip();
    for Modes { opcode, documented, rest } in COMMANDS {
        for mode in (0..=0xFF).filter(|mode| documented(*mode)) {
            let (param2, mut data) = rest(mode);
            if data.pop().is_some() {
                let answer = send(&master, *opcode, mode, param2, data);
                assert!(is_parse_error(&answer), "{opcode:?} {mode:02X}, a byte too little: {answer:02X?}");
            }
            let (param2, mut data) = rest(mode);
            data.push(0);
            let answer = send(&master, *opcode, mode, param2, data);
            assert!(is_parse_error(&answer), "{opcode:?} {mode:02X}, a byte too much: {answer:02X?}");
        }
    }
}

#[test]
fn a_param2_that_names_nothing_is_a_parse_error() {
    let master = chip();
    let cases: &[(Opcode, u8, &[u16])] = &[
        (Opcode::AES, 0x00, &[16, 0x0100, 0xFFFE]),
        (Opcode::CHECK_MAC, 0x00, &[16, 0x0100]),
        (Opcode::COUNTER, 0, &[2, 0x0100]),
        (Opcode::DERIVE_KEY, 0, &[16, 0x0100]),
        (Opcode::ECDH, 0x00, &[16, 0x0100]),
        (Opcode::ECDH, 0x0D, &[1, 16]),
        (Opcode::GEN_DIG, 0, &[4, 0x0100]),
        (Opcode::GEN_DIG, 1, &[2]),
        (Opcode::GEN_DIG, 2, &[16]),
        (Opcode::GEN_DIG, 3, &[0x0100, 0x4000]),
        (Opcode::GEN_DIG, 4, &[2]),
        (Opcode::GEN_DIG, 5, &[16]),
        (Opcode::GEN_KEY, 0x04, &[16, 0x0100]),
        (Opcode::GEN_KEY, 0x00, &[16, 0xFFFF]),
        (Opcode::INFO, 0, &[1]),
        (Opcode::INFO, 1, &[16]),
        (Opcode::INFO, 2, &[1]),
        (Opcode::INFO, 4, &[1, 4]),
        (Opcode::KDF, 0x12, &[16]),
        (Opcode::KDF, 0x08, &[0x1000]),
        (Opcode::LOCK, 0x80, &[1]),
        (Opcode::LOCK, 0x02, &[1]),
        (Opcode::MAC, 0x00, &[16]),
        (Opcode::NONCE, 0x00, &[1, 0x4000]),
        (Opcode::NONCE, 0x03, &[1, 0x8000]),
        (Opcode::PRIV_WRITE, 0x00, &[16]),
        (Opcode::RANDOM, 0, &[1]),
        (Opcode::READ, 0x80, &[0x20, 0x0100]),
        (Opcode::READ, 0x82, &[0x80, 0x0238]),
        (Opcode::SECURE_BOOT, 5, &[1]),
        (Opcode::SELF_TEST, 0x01, &[1]),
        (Opcode::SHA, 0, &[1]),
        (Opcode::SHA, 1, &[4, 6]),
        (Opcode::SHA, 3, &[16]),
        (Opcode::SHA, 4, &[16, 0xFFFE]),
        (Opcode::SHA, 6, &[1]),
        (Opcode::SIGN, 0x80, &[16]),
        (Opcode::UPDATE_EXTRA, 0, &[0x0100]),
        (Opcode::VERIFY, 0x00, &[16]),
        (Opcode::VERIFY, 0x02, &[0, 5]),
        (Opcode::VERIFY, 0x03, &[16]),
    ];
    for (opcode, mode, all) in cases {
        let modes = COMMANDS.iter().find(|modes| modes.opcode == *opcode).unwrap();
        for param2 in *all {
            let answer = send(&master, *opcode, *mode, *param2, (modes.rest)(*mode).1);
            assert!(is_parse_error(&answer), "{opcode:?} {mode:02X} {param2:04X}: {answer:02X?}");
        }
    }
}

#[test]
fn opcodes_of_other_chips_are_parse_errors() {
    let master = chip();
    assert_eq!(Model::from_revision(master.bus.image(0).unwrap().revision()), Model::Atecc608B);
    for opcode in (0..=0xFF).map(Opcode).filter(|opcode| !Opcode::ALL.contains(opcode)) {
        assert!(is_parse_error(&send(&master, opcode, 0, 0, Vec::new())), "{opcode:?}");
    }
}
