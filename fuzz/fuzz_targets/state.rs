// SPDX-License-Identifier: MIT OR Apache-2.0
//! A state file: a damaged one is not changed; a valid one is written and read back unchanged.
#![no_main]

use std::fs;

use atecc608_fuzz::folder;
use atecc608_token::store::Store;
use atecc608_wire::config_zone::SerialNumber;
use libfuzzer_sys::fuzz_target;

const SERIAL: SerialNumber = SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 0x7E, 0x57, 0x00, 0xEE]);

fuzz_target!(|contents: &[u8]| {
    let mut store = Store::open(folder(), SERIAL);
    let path = store.path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, contents).unwrap();
    store = Store::open(folder(), SERIAL);
    let before = store.state().clone();
    if before.generation > i64::MAX as u64 - 2 {
        return;
    }
    let changed = store.change(|state| state.label = Some("\u{1F511} \"new\"\n\\".to_owned()));
    if let Some(damage) = store.damage() {
        assert!(changed.is_err() && damage.contains("state.toml"));
        assert_eq!(fs::read(&path).unwrap(), contents, "a damaged file was written over");
        return;
    }
    changed.unwrap();
    let again = Store::open(folder(), SERIAL);
    assert_eq!(again.damage(), None);
    assert_eq!(again.state(), store.state());
    let mut expected = again.state().clone();
    expected.label.clone_from(&before.label);
    expected.generation = before.generation;
    assert_eq!(expected, before, "something else changed");
});
