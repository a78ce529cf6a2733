// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every call that changes a token, under bad conditions: the process is killed before each transfer to the chip and
//! before each system call that changes the state, or the disk is full or read-only from there on. Afterwards the token
//! is in the state before or after the call, every key works, and the same call again gives the result of an
//! undisturbed one.
//!
//! A sample of the steps runs at each change; its seed is printed. scripts/soak/bad-days.sh runs all of them, and
//! random moments.

mod changes;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus};
use atecc608_testkit::stop_at::{Disturbance, Sample, StopAt, KILLED};
use atecc608_token::bus::host_random;
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, point_in, point_of, sign};
use crate::common::process::{self, Helper};
use changes::{assert_one_code, enter, leave, Change, ALL, BETWEEN};

/// Does something only if [`Helper`] runs it: the change that its role names.
#[test]
fn helper_process() {
    let Some(role) = process::role() else { return };
    let module = Module::of_parent();
    let change = ALL.iter().find(|change| change.name == role).unwrap();
    process::say(&format!("{:?}", (change.work)(&module)));
}

/// Classes and labels of all objects, sorted.
type Objects = Vec<(CK_OBJECT_CLASS, String)>;

fn objects(module: &Module, session: CK_SESSION_HANDLE) -> Objects {
    let mut all: Objects = module
        .find(session, &[])
        .unwrap()
        .into_iter()
        .map(|object| {
            let class = module.attribute(session, object, CKA_CLASS).unwrap();
            (CK_OBJECT_CLASS::from_ne_bytes(class.try_into().unwrap()), module.label(session, object))
        })
        .collect();
    all.sort();
    all
}

/// A token before a change, which can be restored.
struct Scene {
    change: &'static Change,
    module: Module,
    bus: SimBus,
    stop_at: StopAt,
    image: Image,
    state: (PathBuf, Vec<u8>),
    before: Objects,
    after: Objects,
    took: Duration,
}

impl Scene {
    fn new(change: &'static Change, stop_at: &StopAt) -> Self {
        let (module, bus, session) = (change.begin)();
        let before = objects(&module, session);
        leave(&module);
        let stop_at = StopAt { folders: vec![module.state_dir()], ..stop_at.clone() };
        let state = (module.state_file(), fs::read(module.state_file()).unwrap());
        let image = bus.image(0).unwrap();
        let (after, took) = (Vec::new(), Duration::ZERO);
        let mut scene = Self { change, module, bus, stop_at, image, state, before, after, took };
        let began = Instant::now();
        assert_eq!(scene.run(Disturbance::Kill, 0), (vec!["Ok(())".to_owned()], Some(0)), "{}", change.name);
        scene.took = began.elapsed();
        let session = scene.module.start();
        enter(&scene.module, session);
        scene.after = objects(&scene.module, session);
        leave(&scene.module);
        scene
    }

    fn run(&self, disturbance: Disturbance, step: usize) -> (Vec<String>, Option<i32>) {
        let stop_at = self.stop_at.command(disturbance, step);
        let ended = Helper::start_under(stop_at, module_path!(), &self.module, self.change.name).end();
        self.bus.power_off();
        self.bus.power_on();
        ended
    }

    fn put_back(&self) {
        let folder = self.state.0.parent().unwrap();
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(folder).unwrap();
        fs::write(&self.state.0, &self.state.1).unwrap();
        self.bus.set_image(0, self.image.clone()).unwrap();
    }

    fn disturb(&self, disturbance: Disturbance, step: usize) {
        self.put_back();
        let (said, status) = self.run(disturbance, step);
        let steps = self.stop_at.steps();
        let what = steps.last().map_or("nothing", String::as_str);
        let case = format!("{}, {disturbance:?} at step {step} ({what}): {said:?}", self.change.name);
        match disturbance {
            // If the change took fewer steps this time, it is finished.
            Disturbance::Kill => assert!(status == Some(KILLED) || said == ["Ok(())"], "{case}, {status:?}"),
            _ => {
                assert_eq!((status, said.len()), (Some(0), 1), "{case}");
                let expected = match disturbance {
                    Disturbance::Full => CKR_DEVICE_MEMORY,
                    _ => CKR_TOKEN_WRITE_PROTECTED,
                };
                let failed: Result<(), CK_RV> = Err(expected);
                assert!(said[0] == format!("{failed:?}") || said[0] == "Ok(())", "{case}");
            }
        }
        self.check(&case, said.first().is_some_and(|said| said == "Ok(())"));
    }

    fn kill_at_a_moment(&self) {
        self.put_back();
        let mut share = [0; 1];
        host_random(&mut share).unwrap();
        let moment = self.took.mul_f64(f64::from(share[0]) / 255.0);
        let stop_at = self.stop_at.command(Disturbance::Kill, 0);
        let helper = Helper::start_under(stop_at, module_path!(), &self.module, self.change.name);
        // The moment is the one under test.
        thread::sleep(moment);
        helper.kill();
        self.bus.power_off();
        self.bus.power_on();
        self.check(&format!("{}, killed after {moment:?}", self.change.name), false);
    }

    /// What must be true after any end of the change.
    fn check(&self, case: &str, done: bool) {
        let module = &self.module;
        let left = self.bus.image(0).unwrap();
        for number in 0..16 {
            let part = Part::Slot(chip::slot(number));
            let may_change = self.change.slots.contains(&number);
            assert!(may_change || left.part(part) == self.image.part(part), "{case}: slot {number} was changed");
        }
        let session = module.start();
        enter(module, session);
        let now = objects(module, session);
        let without: Objects = now.iter().filter(|(_, label)| label != BETWEEN).cloned().collect();
        assert!(now == self.before || without == self.after, "{case}: {now:?}");
        assert!(!done || without == self.after, "{case}: done, and not there: {now:?}");
        for key in module.private_keys(session) {
            let (label, point) = (module.label(session, key), point_of(module, session, key));
            assert_signed(&point, &sign(module, session, key).unwrap_or_else(|rv| panic!("{case}: {label}: {rv:#x}")));
            assert!((0..16).any(|slot| point_in(&self.bus, slot).as_ref() == Some(&point)), "{case}: {label}");
        }
        leave(module);

        let again = (self.change.work)(module);
        let is_expected = again.is_ok() || again.is_err_and(|rv| self.change.again.contains(&rv));
        assert!(is_expected, "{case}: again: {again:x?}");
        leave(module);
        let session = module.start();
        enter(module, session);
        assert_eq!(objects(module, session), self.after, "{case}: again");
        leave(module);
        let image = self.bus.image(0).unwrap();
        if image.part(Part::Config)[..] == self.image.part(Part::Config)[..] && self.has_officer() {
            assert_one_code(&image);
        }
        let state = fs::read_to_string(&self.state.0).unwrap();
        assert!(!state.contains("intent") && !state.contains("pending"), "{case}: {state}");
    }

    fn has_officer(&self) -> bool {
        self.change.slots.iter().any(|slot| [5, 7].contains(slot)) && self.change.name.starts_with("C_")
    }
}

/// Tries this many steps of each change.
fn at_some_steps(some: usize, disturbances: &[Disturbance], more: impl Fn(&Scene)) {
    let (mut sample, folder) = (Sample::new(), tempfile::tempdir().unwrap());
    let stop_at = StopAt::compile(folder.path());
    for change in &ALL {
        let scene = Scene::new(change, &stop_at);
        for disturbance in disturbances {
            scene.put_back();
            scene.run(*disturbance, 0);
            let last = scene.stop_at.steps().len();
            let tried = sample.of(last, some);
            println!("{}: {disturbance:?} at {tried:?} of {last} steps", change.name);
            tried.iter().for_each(|step| scene.disturb(*disturbance, *step));
        }
        more(&scene);
    }
}

#[test]
fn a_process_killed_at_any_step_or_moment_of_a_change_leaves_the_token_before_or_after_it() {
    // Random moments of each change.
    let moments = std::env::var("ATECC608_TEST_MOMENTS").map_or(1, |moments| moments.parse().unwrap());
    at_some_steps(2, &[Disturbance::Kill], |scene| (0..moments).for_each(|_| scene.kill_at_a_moment()));
}

#[test]
fn a_disk_that_is_full_or_read_only_from_any_step_on_leaves_the_token_before_or_after_the_change() {
    at_some_steps(1, &[Disturbance::Full, Disturbance::ReadOnly], |_| ());
}
