// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interrupted changes of the PIN: a process is killed at each command that it sends to the chip, executed or not.
//! Afterwards exactly one PIN is right, and the keys work with it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::module::{c, Module};
use crate::common::one_key::{assert_signed, point_in, sign, BOUND};
use crate::common::pin::{self, code, init_pin, init_token, set_pin, OTHER_PIN, PIN};
use crate::common::process::{self, Helper};
use atecc608_sim::{Image, SimBus};
use cryptoki_sys::*;

/// A PIN that no interrupted change sets.
const LAST_PIN: &[u8] = b"the last of them";

/// The work of a helper, by its role.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let module = Module::of_parent();
    let done = match role.as_str() {
        "set" => set_pin(&module, module.start(), PIN, OTHER_PIN),
        "reset" => {
            let session = module.start();
            module.login(session, CKU_SO, &code()).and_then(|()| init_pin(&module, session, OTHER_PIN))
        }
        "initialise" => module.initialize().and_then(|()| init_token(&module, &code(), "new")),
        other => panic!("{other}"),
    };
    process::say(&format!("{done:?}"));
}

/// A token with a key and a PIN, without users: its EEPROM and state can be restored.
struct Scene {
    module: Module,
    bus: SimBus,
    image: Image,
    state: Vec<u8>,
    point: Vec<u8>,
    /// Whether its user can change the PIN.
    rolls: bool,
}

impl Scene {
    fn new(rolls: bool) -> Self {
        let (module, bus, ..) = pin::with_key();
        module.finalize().unwrap();
        bus.set_switches(0, pin::rolling(rolls)).unwrap();
        let (image, state) = (bus.image(0).unwrap(), fs::read(module.state_file()).unwrap());
        let point = point_in(&bus, 0).unwrap();
        Self { module, bus, image, state, point, rolls }
    }

    fn put_back(&self) {
        self.bus.set_image(0, self.image.clone()).unwrap();
        fs::write(self.module.state_file(), &self.state).unwrap();
    }

    /// The output of an undisturbed change.
    fn outcome(&self, role: &str) -> String {
        let refused: Result<(), CK_RV> = if role == "set" && !self.rolls { Err(CKR_FUNCTION_FAILED) } else { Ok(()) };
        format!("{refused:?}")
    }

    /// The number of commands of the whole change.
    fn commands(&self, role: &str) -> u64 {
        self.bus.take_stats();
        assert_eq!(Helper::start(module_path!(), &self.module, role).finish(), [self.outcome(role)]);
        self.bus.take_stats().total_commands()
    }

    /// Kills the process that makes the change at its Nth command, which the chip executes or does not.
    fn kill_at(&self, role: &str, command: u64, executed: bool) {
        self.put_back();
        self.bus.take_stats();
        let busy = if executed { ":60000" } else { "" };
        self.bus.set_faults(format!("busy@{command}{busy}").parse().unwrap());
        let helper = Helper::start(module_path!(), &self.module, role);
        // The PIN is stretched before: seconds, under an emulator.
        let deadline = Instant::now() + 12 * BOUND;
        while self.bus.stats().total_commands() < command {
            assert!(Instant::now() < deadline, "command {command} does not come");
            // Only polling shows that another process has sent a command.
            thread::sleep(Duration::from_millis(1));
        }
        helper.kill();
        self.bus.set_faults("none".parse().unwrap());
        self.bus.power_off();
        self.bus.power_on();
    }

    /// Returns the PIN that is right now: no other is, and the key works with it. `None` if none is.
    fn right_pin(&self) -> Option<&'static [u8]> {
        let session = self.module.start();
        let mut right = Vec::new();
        for pin in [PIN, OTHER_PIN] {
            match self.module.login(session, CKU_USER, pin) {
                Ok(()) => {
                    assert_eq!(pin::blobs(&self.module, &self.bus).len(), 1, "the chip has decided");
                    let key = self.module.private_keys(session)[0];
                    assert_signed(&self.point, &sign(&self.module, session, key).unwrap());
                    pin::logout(&self.module, session).unwrap();
                    right.push(pin);
                }
                Err(rv) => assert!([CKR_PIN_INCORRECT, CKR_USER_PIN_NOT_INITIALIZED].contains(&rv), "{rv:#x}"),
            }
        }
        assert!(right.len() <= 1, "both PINs are right");
        if let ([pin], true) = (&right[..], self.rolls) {
            set_pin(&self.module, session, pin, LAST_PIN).unwrap();
            self.module.login(session, CKU_USER, LAST_PIN).unwrap();
        }
        self.module.finalize().unwrap();
        right.first().copied()
    }

    /// Kills the change at each of its commands; returns how often the old PIN was right afterwards, and how often the
    /// new.
    fn kill_everywhere(&self, role: &str) -> (usize, usize) {
        let (mut old, mut new) = (0, 0);
        // The first four read the configuration.
        for command in 5..=self.commands(role) {
            for executed in [false, true] {
                self.kill_at(role, command, executed);
                match self.right_pin() {
                    Some(OTHER_PIN) => new += 1,
                    Some(_) => old += 1,
                    None => panic!("{role}: command {command}, executed: {executed}: no PIN is right"),
                }
            }
        }
        (old, new)
    }
}

#[test]
fn a_change_by_the_user_that_was_killed_leaves_the_old_pin_or_the_new_one_where_the_chip_rolls_the_secret() {
    let (old, new) = Scene::new(true).kill_everywhere("set");
    assert!(old > 0 && new > 0, "{old} {new}");
}

#[test]
fn a_change_by_the_user_that_was_killed_leaves_the_old_pin_where_the_chip_does_not_roll_it() {
    let (old, new) = Scene::new(false).kill_everywhere("set");
    assert!(old > 0 && new == 0, "{old} {new}");
}

#[test]
fn a_reset_by_the_security_officer_that_was_killed_leaves_the_old_pin_or_the_new_one() {
    let (old, new) = Scene::new(false).kill_everywhere("reset");
    assert!(old > 0 && new > 0, "{old} {new}");
}

#[test]
fn a_reset_by_another_process_ends_the_login_of_this_one() {
    let (module, bus, session, key) = pin::with_key();
    assert_eq!(Helper::start(module_path!(), &module, "reset").finish(), ["Ok(())"]);
    assert_eq!(sign(&module, session, key), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(module.session_info(session).unwrap().state, CKS_RW_PUBLIC_SESSION);
    assert!(module.private_keys(session).is_empty());
    module.assert_logged(&["another process changed or reset the PIN"]);
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_PIN_INCORRECT));
    module.login(session, CKU_USER, OTHER_PIN).unwrap();
    let key = module.private_keys(session)[0];
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
}

#[test]
fn an_initialisation_that_was_killed_can_be_done_again() {
    let scene = Scene::new(false);
    let (mut untouched, mut begun) = (0, 0);
    for command in 5..=scene.commands("initialise") {
        for executed in [false, true] {
            scene.kill_at("initialise", command, executed);
            match scene.right_pin() {
                Some(_) => untouched += 1,
                None => begun += 1,
            }
            scene.module.initialize().unwrap();
            init_token(&scene.module, &code(), "new").unwrap();
            let session = scene.module.open_session(0, true).unwrap();
            assert_eq!(scene.module.login(session, CKU_USER, PIN), Err(CKR_USER_PIN_NOT_INITIALIZED));
            scene.module.login(session, CKU_SO, &code()).unwrap();
            init_pin(&scene.module, session, LAST_PIN).unwrap();
            c!(scene.module, C_Logout(session)).unwrap();
            scene.module.login(session, CKU_USER, LAST_PIN).unwrap();
            let key = scene.module.private_keys(session)[0];
            assert_signed(&scene.point, &sign(&scene.module, session, key).unwrap());
            scene.module.finalize().unwrap();
        }
    }
    assert!(untouched > 0 && begun > 0, "{untouched} {begun}");
}

#[test]
fn transient_faults_of_the_bus_are_overcome() {
    for rolls in [false, true] {
        let scene = Scene::new(rolls);
        let last = scene.commands("set");
        for fault in ["drop@N", "doze@N", "nack@N*3"] {
            for command in 7..=last {
                scene.put_back();
                scene.bus.set_faults(fault.replace('N', &command.to_string()).parse().unwrap());
                let said = Helper::start(module_path!(), &scene.module, "set").finish();
                scene.bus.set_faults("none".parse().unwrap());
                assert_eq!(said, [scene.outcome("set")], "{fault} at {command} of {last}");
            }
            assert_eq!(scene.right_pin(), Some(if rolls { OTHER_PIN } else { PIN }), "{fault}");
        }
    }
}
