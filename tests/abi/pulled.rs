// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip is removed at each transfer of a change, through the C ABI: whatever the caller got, the next contact finds
//! what the chip holds, with the names that were given, and nothing happens twice. (Imports: import.rs. Secret keys:
//! secret_state.rs. Changes of the PIN: pin_interrupted.rs. Certificates in slot 8: slot_8.rs.)

use atecc608_sim::SimBus;
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::keys::{Handle, Session};
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, generate, point_in, sign, with_key};

/// Runs the work with the chip removed at each of its transfers, and `after` with the chip back in a process that knows
/// nothing.
fn at_each_transfer(
    begin: fn() -> (Module, SimBus, Session),
    work: fn(&Module, Session) -> Result<(), CK_RV>,
    after: fn(&Module, &SimBus, Session, Result<(), CK_RV>),
) {
    let transfers = {
        let (module, bus, session) = begin();
        bus.take_stats();
        work(&module, session).unwrap();
        bus.take_stats().transfers
    };
    for transfer in 1..=transfers {
        let (module, bus, session) = begin();
        bus.set_faults(format!("pull@{transfer}").parse().unwrap());
        let told = work(&module, session);
        bus.set_faults("none".parse().unwrap());
        bus.insert();
        println!("pulled at transfer {transfer} of {transfers}: {told:?}");
        let session = module.restart();
        after(&module, &bus, session, told);
    }
}

#[test]
fn a_key_whose_generation_was_interrupted_is_there_with_its_label_or_not_at_all() {
    at_each_transfer(
        || {
            let (module, bus) = Module::on_bus(chip::provisioned());
            let session = module.start();
            module.find(session, &[]).unwrap();
            (module, bus, session)
        },
        |module, session| generate(module, session, "a").map(drop),
        |module, bus, session, told| {
            let found = module.private_keys(session);
            let point = point_in(bus, 0);
            assert_eq!(found.len(), usize::from(point.is_some()));
            assert!(told.is_err() || point.is_some());
            assert!((1..16).all(|slot| point_in(bus, slot).is_none() || slot == 1), "one key at most");
            let key = match found.first() {
                Some(key) => *key,
                None => generate(module, session, "a").unwrap(),
            };
            assert_eq!(module.label(session, key), "a");
            assert_signed(&point_in(bus, 0).unwrap(), &sign(module, session, key).unwrap());
        },
    );
}

#[test]
fn a_key_whose_destruction_was_interrupted_has_its_name_and_works_or_is_gone() {
    at_each_transfer(
        || {
            let (module, bus, session, _) = with_key();
            std::fs::write(module.folder.path().join("point"), point_in(&bus, 0).unwrap()).unwrap();
            (module, bus, session)
        },
        |module, session| module.destroy(session, labelled(module, session)[0]),
        |module, bus, session, told| {
            let before = std::fs::read(module.folder.path().join("point")).unwrap();
            let is_there = point_in(bus, 0).unwrap() == before;
            assert!(told.is_err() || !is_there);
            let found = labelled(module, session);
            assert_eq!(found.len(), usize::from(is_there));
            if let [key] = found[..] {
                assert_signed(&before, &sign(module, session, key).unwrap());
                module.destroy(session, key).unwrap();
            }
            generate(module, session, "a").unwrap();
        },
    );
}

fn labelled(module: &Module, session: Session) -> Vec<Handle> {
    module.find_labelled(session, CKO_PRIVATE_KEY, "a")
}

fn counter(module: &Module, session: Session) -> Result<u32, CK_RV> {
    let class = [(CKA_CLASS, CKO_HW_FEATURE.to_ne_bytes().to_vec())];
    let counter = module.find(session, &class)?[0];
    let value = module.attribute(session, counter, CKA_VALUE)?;
    Ok(u32::from_be_bytes(value.try_into().unwrap()))
}

#[test]
fn an_interrupted_count_moves_the_counter_once_or_not_at_all() {
    at_each_transfer(
        || {
            let (module, bus, session, _) = with_key();
            assert_eq!(counter(&module, session), Ok(1));
            (module, bus, session)
        },
        |module, session| counter(module, session).map(drop),
        |module, _, session, told| {
            let now = counter(module, session).unwrap();
            match told {
                Ok(()) => assert_eq!(now, 3),
                Err(_) => assert!([2, 3].contains(&now), "{now}"),
            }
        },
    );
}
