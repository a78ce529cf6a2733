// SPDX-License-Identifier: MIT OR Apache-2.0
//! C_WaitForSlotEvent: a chip that is removed and inserted, on a bus that the test controls.

use std::ptr::{dangling_mut, null_mut};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::chip;
use crate::common::module::{c, ok, Module};
use crate::common::one_key::{sign, with_key};
use cryptoki_sys::*;

const NONE: Result<CK_SLOT_ID, CK_RV> = Err(CKR_NO_EVENT);

fn event(module: &Module) -> Result<CK_SLOT_ID, CK_RV> {
    let mut slot = 99;
    c!(module, C_WaitForSlotEvent(CKF_DONT_BLOCK, &mut slot, null_mut())).map(|()| slot)
}

/// A thread that blocks until there is an event, and returns it.
fn wait_in_a_thread(module: &Module) -> Receiver<Result<CK_SLOT_ID, CK_RV>> {
    let wait = module.list.C_WaitForSlotEvent.unwrap();
    let (told, answer) = channel();
    thread::spawn(move || {
        let mut slot = 99;
        let rv = unsafe { wait(0, &mut slot, null_mut()) };
        told.send(ok(rv).map(|()| slot)).unwrap();
    });
    answer
}

#[test]
fn a_chip_that_goes_and_comes_is_one_event_each_time() {
    let (module, bus, session, key) = with_key();
    assert_eq!(event(&module), NONE, "what was there from the start is no event");
    bus.pull();
    // The module looks for the chip once a second, or after an error.
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    assert_eq!(event(&module), Ok(0));
    assert_eq!(event(&module), NONE);
    bus.insert();
    sign(&module, session, key).unwrap();
    assert_eq!(event(&module), Ok(0));
    assert_eq!(event(&module), NONE);
}

#[test]
fn a_change_that_a_program_already_noticed_is_an_event_too() {
    let (module, bus, session, key) = with_key();
    assert_eq!(module.slots(true), Ok(vec![0]));
    bus.pull();
    assert_eq!(sign(&module, session, key), Err(CKR_DEVICE_REMOVED));
    assert_eq!(module.slots(true), Ok(vec![]));
    assert_eq!(event(&module), Ok(0));
}

#[test]
fn a_blocking_wait_ends_when_the_chip_goes() {
    let (module, bus, session, key) = with_key();
    assert_eq!(event(&module), NONE);
    let answer = wait_in_a_thread(&module);
    bus.pull();
    assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok(Ok(0)));
    // Other threads use the token while one waits.
    let answer = wait_in_a_thread(&module);
    bus.insert();
    sign(&module, session, key).unwrap();
    assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok(Ok(0)));
}

#[test]
fn a_blocking_wait_does_not_delay_finalize_and_is_ended_by_it() {
    let (module, _bus) = Module::on_bus(chip::provisioned());
    module.initialize().unwrap();
    let answer = wait_in_a_thread(&module);
    assert!(answer.try_recv().is_err());
    // Before the thread waits or after: it ends in both cases.
    let before = Instant::now();
    module.finalize().unwrap();
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok(Err(CKR_CRYPTOKI_NOT_INITIALIZED)));
    assert_eq!(module.initialize(), Ok(()));
}

#[test]
fn without_slots_there_is_never_an_event() {
    let module = Module::configured("");
    module.initialize().unwrap();
    assert_eq!(event(&module), NONE);
    let answer = wait_in_a_thread(&module);
    module.finalize().unwrap();
    assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok(Err(CKR_CRYPTOKI_NOT_INITIALIZED)));
}

#[test]
fn arguments_are_checked() {
    let module = Module::configured("");
    module.initialize().unwrap();
    let mut slot = 0;
    assert_eq!(c!(module, C_WaitForSlotEvent(0, null_mut(), null_mut())), Err(CKR_ARGUMENTS_BAD));
    assert_eq!(c!(module, C_WaitForSlotEvent(0, &mut slot, dangling_mut())), Err(CKR_ARGUMENTS_BAD));
}
