// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secret keys and their entries in the state, through the C ABI: a state that is lost, old, or from the middle of a
//! change. The chip can't show a secret key or distinguish it from the contents of an empty place; no key is
//! overwritten without a request, and none is used for another.

use std::fs;

use atecc608_sim::image::Part;
use atecc608_sim::SimBus;
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::keys::{error, with, Handle, Session};
use crate::common::module::{ulong, Module};
use crate::common::secrets::{code, given, whole, with_io_key, Kind};
use atecc608_token::attribute::CKA_ATECC608_SLOT;

const DATA: [u8; 16] = [0; 16];
const ONE: [u8; 16] = *b"the first aes ke";
const TWO: [u8; 16] = *b"the second aes k";
const HMAC_ONE: [u8; 32] = *b"the first secret of thirty-two b";
const HMAC_TWO: [u8; 32] = *b"another secret of thirty-two byt";

/// A kind of secret keys: its type, slot, two values, and a use.
struct Tried {
    key_type: CK_KEY_TYPE,
    slot: u8,
    one: &'static [u8],
    two: &'static [u8],
    using: fn(&Module, Session, Handle) -> Result<(), CK_RV>,
}

const KINDS: [Tried; 2] = [
    Tried {
        key_type: CKK_AES,
        slot: 9,
        one: &ONE,
        two: &TWO,
        using: |module, session, key| error(whole(module, session, true, &Kind::Plain(CKM_AES_ECB), key, &DATA)),
    },
    Tried {
        key_type: CKK_GENERIC_SECRET,
        slot: 5,
        one: &HMAC_ONE,
        two: &HMAC_TWO,
        using: |module, session, key| error(code(module, session, &Kind::Plain(CKM_SHA256_HMAC), key, &DATA)),
    },
];

fn slot_bytes(bus: &SimBus, slot: u8) -> Vec<u8> {
    bus.image(0).unwrap().part(Part::Slot(chip::slot(slot))).to_vec()
}

fn secret_keys(module: &Module, session: Session) -> Vec<Handle> {
    module.find(session, &[(CKA_CLASS, ulong(CKO_SECRET_KEY))]).unwrap()
}

fn create(module: &Module, session: Session, kind: &Tried, value: &[u8]) -> Result<Handle, CK_RV> {
    module.create_object(session, &given(true, kind.key_type, value))
}

#[test]
fn with_the_state_lost_nothing_is_written_until_the_slot_is_named() {
    for kind in &KINDS {
        let (module, bus, session) = with_io_key();
        create(&module, session, kind, kind.one).unwrap();
        fs::remove_file(module.state_file()).unwrap();
        let (session, before) = (module.restart(), slot_bytes(&bus, kind.slot));
        assert!(secret_keys(&module, session).is_empty());
        assert_eq!(create(&module, session, kind, kind.two), Err(CKR_DEVICE_MEMORY));
        module.assert_logged(&[&format!("slot {}", kind.slot), "atecc608 key empty --slot", "CKA_ATECC608_SLOT"]);
        assert_eq!(slot_bytes(&bus, kind.slot), before);
        let named = with(&given(true, kind.key_type, kind.two), &[(CKA_ATECC608_SLOT, ulong(kind.slot.into()))]);
        let key = module.create_object(session, &named).unwrap();
        assert_eq!((kind.using)(&module, session, key), Ok(()));
    }
}

#[test]
fn with_an_old_backup_no_other_key_is_used_under_its_name_and_the_log_says_so() {
    for kind in &KINDS {
        let (module, bus, session) = with_io_key();
        let one = create(&module, session, kind, kind.one).unwrap();
        let backup = fs::read(module.state_file()).unwrap();
        module.destroy(session, one).unwrap();
        create(&module, session, kind, kind.two).unwrap();
        fs::write(module.state_file(), backup).unwrap();
        let mut session = session;
        for _ in ["in the running process", "in a new one"] {
            let key = secret_keys(&module, session)[0];
            assert_eq!((kind.using)(&module, session, key), Err(CKR_KEY_HANDLE_INVALID));
            let slot = format!("slot {}", kind.slot);
            module.assert_logged(&[&slot, "does not hold the secret key", "check value differs"]);
            session = module.restart();
        }
        // The name can be removed, and the key in the slot stays.
        let before = slot_bytes(&bus, kind.slot);
        let key = secret_keys(&module, session)[0];
        assert_eq!(module.destroy(session, key), Ok(()));
        assert_eq!(slot_bytes(&bus, kind.slot), before);
        assert!(secret_keys(&module, session).is_empty());
    }
}

#[test]
fn what_an_old_backup_calls_empty_is_not_overwritten_if_a_key_is_there_now() {
    for kind in &KINDS {
        let (module, bus, session) = with_io_key();
        let backup = fs::read(module.state_file()).unwrap();
        create(&module, session, kind, kind.one).unwrap();
        fs::write(module.state_file(), backup).unwrap();
        let session = module.restart();
        let second = create(&module, session, kind, kind.two);
        assert_eq!(second.is_ok(), kind.key_type == CKK_AES, "slot 9 has another place: {second:?}");
        assert_eq!(&slot_bytes(&bus, kind.slot)[..kind.one.len()], kind.one);
        module.assert_logged(&[&format!("slot {}", kind.slot), "marks a place of it as empty", "are not overwritten"]);
    }
}

#[test]
fn a_check_value_is_asked_for_once_in_a_process() {
    for kind in &KINDS {
        let (module, bus, session) = with_io_key();
        create(&module, session, kind, kind.one).unwrap();
        let session = module.restart();
        let key = secret_keys(&module, session)[0];
        let costs = [(); 3].map(|()| {
            bus.take_stats();
            (kind.using)(&module, session, key).unwrap();
            bus.take_stats().total_commands()
        });
        assert!(costs[0] > costs[1] && costs[1] == costs[2], "{costs:?}");
    }
}

#[test]
fn a_key_whose_writing_was_interrupted_is_there_if_the_chip_holds_it_and_its_place_is_free_if_not() {
    let mut seen = [false; 2];
    for kind in &KINDS {
        for transfer in (4..72).step_by(3) {
            let (module, bus, session) = with_io_key();
            bus.set_faults(format!("pull@{transfer}").parse().unwrap());
            let created = create(&module, session, kind, kind.one);
            bus.set_faults("none".parse().unwrap());
            bus.insert();
            let session = module.restart();
            let found = secret_keys(&module, session);
            let holds_it = slot_bytes(&bus, kind.slot).starts_with(kind.one);
            assert_eq!(found.len(), usize::from(holds_it), "pulled at transfer {transfer}: {created:?}");
            assert!(holds_it || created.is_err());
            seen[usize::from(holds_it && created.is_err())] = true;
            match found.first() {
                Some(key) => assert_eq!((kind.using)(&module, session, *key), Ok(())),
                None => assert!(create(&module, session, kind, kind.two).is_ok(), "transfer {transfer}"),
            }
        }
    }
    assert!(seen[1], "an interruption after the chip has taken the key is among them");
}

#[test]
fn a_destruction_that_was_interrupted_is_finished_at_the_next_contact() {
    let mut finished = false;
    for kind in &KINDS {
        for transfer in (4..72).step_by(3) {
            let (module, bus, session) = with_io_key();
            let key = create(&module, session, kind, kind.one).unwrap();
            bus.set_faults(format!("pull@{transfer}").parse().unwrap());
            let destroyed = module.destroy(session, key);
            let begun = fs::read_to_string(module.state_file()).unwrap().contains("pending = \"destroy\"");
            bus.set_faults("none".parse().unwrap());
            bus.insert();
            let session = module.restart();
            let found = secret_keys(&module, session);
            let holds_it = slot_bytes(&bus, kind.slot).starts_with(kind.one);
            assert_eq!(found.len(), usize::from(holds_it), "pulled at transfer {transfer}: {destroyed:?}");
            assert_eq!(holds_it, destroyed.is_err() && !begun, "what was begun is finished: transfer {transfer}");
            finished |= destroyed.is_err() && begun;
            if !holds_it {
                assert!(create(&module, session, kind, kind.two).is_ok(), "transfer {transfer}");
            }
        }
    }
    assert!(finished);
}

#[test]
fn a_destruction_that_can_not_be_finished_leaves_the_key_to_be_seen() {
    let kind = &KINDS[1];
    let interrupted = (4..72).step_by(2).find_map(|transfer| {
        let (module, bus, session) = with_io_key();
        let key = create(&module, session, kind, kind.one).unwrap();
        bus.set_faults(format!("pull@{transfer}").parse().unwrap());
        let _ = module.destroy(session, key);
        let begun = fs::read_to_string(module.state_file()).unwrap().contains("pending = \"destroy\"");
        (begun && slot_bytes(&bus, kind.slot).starts_with(kind.one)).then_some((module, bus))
    });
    let (module, bus) = interrupted.expect("one of them is before the write");
    bus.set_faults("none".parse().unwrap());
    bus.insert();
    let keys = module.configuration().with_file_name("keys");
    fs::rename(&keys, keys.with_file_name("aside")).unwrap();
    let session = module.restart();
    let found = secret_keys(&module, session);
    assert_eq!(found.len(), 1);
    module.assert_logged(&["slot 5", "can't be finished now, and the key is still there"]);
    assert_eq!((kind.using)(&module, session, found[0]), Ok(()));
    fs::rename(keys.with_file_name("aside"), &keys).unwrap();
    assert_eq!(module.destroy(session, found[0]), Ok(()));
}
