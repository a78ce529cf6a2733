// SPDX-License-Identifier: MIT OR Apache-2.0
//! A state file that is truncated, damaged, of a newer version, set back in time or deleted repeatedly, through the C
//! ABI. The module reports the error, changes nothing in a file that it can't read, and no key of the chip is hidden,
//! used for another or overwritten.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use atecc608_sim::image::Part;
use atecc608_sim::SimBus;
use atecc608_testkit::stop_at::Sample;
use atecc608_token::store::Store;
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::keys::{slot_of, Session};
use crate::common::module::Module;
use crate::common::one_key::{assert_signed, change_image, generate, point_in, point_of, sign, with_key};
use crate::common::secrets::{given, with_io_key};

/// A token whose state has every kind of entry: a live key in slot 0, a destroyed one in slot 2, a secret key, empty places.
fn with_much_state() -> (Module, SimBus, Session) {
    let (module, bus, session) = with_io_key();
    generate(&module, session, "live").unwrap();
    let dead = generate(&module, session, "dead").unwrap();
    module.destroy(session, dead).unwrap();
    module.create_object(session, &given(true, CKK_GENERIC_SECRET, &[7; 32])).unwrap();
    (module, bus, session)
}

/// Every text with one bit flipped, and every prefix.
fn damaged(text: &[u8]) -> Vec<Vec<u8>> {
    let flipped = (0..8 * text.len()).map(|bit| {
        let mut flipped = text.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    flipped.chain((0..text.len()).map(|length| text[..length].to_vec())).collect()
}

#[test]
fn whichever_bit_is_flipped_and_wherever_it_ends_the_file_is_read_or_kept_and_named() {
    let (module, bus, _) = with_much_state();
    module.finalize().unwrap();
    let (file, serial) = (module.state_file(), bus.image(0).unwrap().config().serial_number());
    let text = fs::read(&file).unwrap();
    let mut kept = 0;
    for damaged in damaged(&text) {
        fs::write(&file, &damaged).unwrap();
        let mut store = Store::open(&module.state_dir(), serial);
        let Some(damage) = store.damage().map(str::to_owned) else { continue };
        kept += 1;
        assert!(damage.contains(file.to_str().unwrap()) && damage.contains("restore it"), "{damage}");
        assert!(store.change(|state| state.label = None).is_err());
        assert!(fs::read(&file).unwrap() == damaged, "{damage}");
    }
    assert!(kept > text.len(), "only {kept} were noticed");
}

/// The slots of live keys are unchanged, and the keys in them are shown and sign.
fn assert_live(module: &Module, bus: &SimBus, session: Session, before: &atecc608_sim::Image, case: &str) {
    let image = bus.image(0).unwrap();
    for slot in [0, 5] {
        let part = Part::Slot(chip::slot(slot));
        assert!(image.part(part) == before.part(part), "{case}: slot {slot} was overwritten");
    }
    let live = point_in(bus, 0).unwrap();
    let found: Vec<_> =
        module.private_keys(session).into_iter().filter(|key| point_of(module, session, *key) == live).collect();
    let [key] = found[..] else { panic!("{case}: the live key is shown {} times", found.len()) };
    assert_signed(&live, &sign(module, session, key).unwrap_or_else(|rv| panic!("{case}: {rv:#x}")));
}

#[test]
fn with_a_damaged_state_live_keys_are_shown_sign_and_are_not_overwritten() {
    let (module, bus, _) = with_much_state();
    module.finalize().unwrap();
    let (file, image) = (module.state_file(), bus.image(0).unwrap());
    let all = damaged(&fs::read(&file).unwrap());
    for number in Sample::new().of(all.len(), 20) {
        let case = format!("damage {number}");
        fs::write(&file, &all[number - 1]).unwrap();
        bus.set_image(0, image.clone()).unwrap();
        let session = module.start();
        // A wrong cached point is noticed at the first use, and shown until then.
        for key in module.private_keys(session) {
            let _ = sign(&module, session, key);
        }
        assert_live(&module, &bus, session, &image, &case);
        for label in ["x", "y"] {
            let _ = generate(&module, session, label);
        }
        let _ = module.create_object(session, &given(true, CKK_GENERIC_SECRET, &[8; 32]));
        assert_live(&module, &bus, session, &image, &case);
        module.finalize().unwrap();
    }
}

#[test]
fn a_state_that_a_newer_version_has_written_is_kept_and_keys_are_used() {
    let additions: [fn(&str) -> String; 3] = [
        |text| text.replace("format = 1", "format = 2"),
        |text| text.replacen("generation", "colour = \"red\"\ngeneration", 1),
        |text| text.replacen("[[slot]]", "[[slot]]\ncolour = \"red\"", 1),
    ];
    for (addition, problem) in additions.iter().zip(["format 2 is not known", "unknown key", "unknown key slot.colour"])
    {
        let (module, bus, session, _) = with_key();
        let text = addition(&fs::read_to_string(module.state_file()).unwrap());
        fs::write(module.state_file(), &text).unwrap();
        for session in [session, 0] {
            let session = if session == 0 { module.restart() } else { session };
            let found = module.private_keys(session);
            assert_eq!(found.len(), 1);
            assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, found[0]).unwrap());
            assert_eq!(generate(&module, session, "b"), Err(CKR_TOKEN_WRITE_PROTECTED));
        }
        module.assert_logged(&["state.toml", problem, "restore it"]);
        assert_eq!(fs::read_to_string(module.state_file()).unwrap(), text);
    }
}

#[test]
fn a_change_is_seen_though_the_clock_was_set_back() {
    let (module, bus, session, key) = with_key();
    let last = fs::metadata(module.state_file()).unwrap().mtime();
    let serial = bus.image(0).unwrap().config().serial_number();
    let mut elsewhere = Store::open(&module.state_dir(), serial);
    elsewhere.change(|state| state.slots[0].label = Some("b".into())).unwrap();
    let file = fs::File::options().write(true).open(module.state_file()).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    assert!(fs::metadata(module.state_file()).unwrap().mtime() < last);
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "b"), [key]);
    // And the module's own change after that.
    module.set_attributes(session, key, &[(CKA_LABEL, b"c".to_vec())]).unwrap();
    let session = module.restart();
    assert_eq!(module.find_labelled(session, CKO_PRIVATE_KEY, "c").len(), 1);
}

/// Deletes the folder of a chip repeatedly.
struct Deleter {
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl Deleter {
    fn start(folder: PathBuf) -> Self {
        let stop = std::sync::Arc::<AtomicBool>::default();
        let ends = stop.clone();
        let thread = thread::spawn(move || {
            let mut deleted = 0;
            while !ends.load(Ordering::Relaxed) {
                deleted += usize::from(fs::remove_dir_all(&folder).is_ok());
                thread::yield_now();
            }
            deleted
        });
        Self { stop, thread: Some(thread) }
    }

    fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn files_that_a_member_deletes_during_operations_cost_names_and_no_key() {
    let (module, bus, session, _) = with_key();
    let before = bus.image(0).unwrap();
    let folder = module.state_file().parent().unwrap().to_owned();
    let deleter = Deleter::start(folder);
    let mut made = 0;
    for number in 0..12 {
        for name in ["bus.lock", "bus.queue"] {
            fs::remove_file(module.folder.path().join(name)).unwrap();
        }
        let label = format!("key {number}");
        match generate(&module, session, &label) {
            Ok(_) => made += 1,
            Err(rv) => assert!([CKR_DEVICE_MEMORY, CKR_TOKEN_WRITE_PROTECTED].contains(&rv), "{rv:#x}"),
        }
        for key in module.private_keys(session) {
            match sign(&module, session, key) {
                // Its id may be lost between two calls, and with it the link to its public key.
                Ok(signature) => {
                    let slot = slot_of(&module, session, key);
                    assert_signed(&point_in(&bus, slot).unwrap(), &signature);
                }
                Err(rv) => assert_eq!(rv, CKR_KEY_HANDLE_INVALID),
            }
        }
    }
    assert!(deleter.end() > 0, "nothing was deleted");
    let there = [2, 3, 4].iter().filter(|slot| point_in(&bus, **slot).is_some()).count();
    assert!(made <= there, "{made} keys were made, {there} are there");
    let part = Part::Slot(chip::slot(0));
    assert!(bus.image(0).unwrap().part(part) == before.part(part), "the first key");
    let session = module.restart();
    assert_eq!(module.private_keys(session).len(), there + 1, "each key is shown");
    for key in module.private_keys(session) {
        assert_signed(&point_of(&module, session, key), &sign(&module, session, key).unwrap());
    }
}

#[test]
fn a_chip_that_another_tool_provisions_under_an_open_session_keeps_its_keys_and_shows_them() {
    let (module, bus) = Module::on_bus(chip::blank());
    let session = module.start();
    assert_eq!(module.random(session, 8), Err(CKR_RANDOM_NO_RNG));
    let serial = bus.image(0).unwrap().config().serial_number();
    let mut provisioned = chip::provisioned();
    chip::put_key(&mut provisioned, 0, &[0x21; 32]);
    change_image(&bus, |image| {
        // Its serial number stays.
        let own = image.part(Part::Config)[..16].to_vec();
        *image = provisioned.clone();
        image.part_mut(Part::Config)[..4].copy_from_slice(&own[..4]);
        image.part_mut(Part::Config)[8..13].copy_from_slice(&own[8..13]);
    });
    assert_eq!(bus.image(0).unwrap().config().serial_number(), serial);
    let theirs = point_in(&bus, 0).unwrap();
    let _ = generate(&module, session, "device");
    assert_eq!(point_in(&bus, 0).unwrap(), theirs, "in the running process");
    let session = module.restart();
    let found = module.private_keys(session);
    assert!(found.iter().any(|key| point_of(&module, session, *key) == theirs));
    generate(&module, session, "b").unwrap();
    assert_eq!(point_in(&bus, 0).unwrap(), theirs, "after a restart");
}
