// SPDX-License-Identifier: MIT OR Apache-2.0
//! Empty places for secret keys: `provision` prints them, a manifest carries them, `key empty` accepts them, and
//! `doctor` reports them if they are missing.

use std::process::Command;

use crate::support::{stderr, stdout, Bench};
use atecc608_token::store::Store;
use atecc608_wire::config_zone::SerialNumber;

/// Slot, block and check value of the places that are empty according to the state.
fn empty(bench: &Bench) -> Vec<(u8, u8, String)> {
    let serial = SerialNumber::in_identity(bench.image().config()[..32].try_into().unwrap());
    let store = Store::open(&bench.path("state"), serial);
    let places = store.state().empty.iter();
    places.map(|place| (place.slot, place.block, base16ct::lower::encode_string(&place.check))).collect()
}

/// As OpenSSL encrypts a block of zeros with what the slot holds.
fn openssl_check(bench: &Bench, slot: usize, block: usize) -> String {
    let key: String = bench.image().slot(slot)[32 * block..][..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let (input, output) = (bench.path("zeros"), bench.path("encrypted"));
    std::fs::write(&input, [0; 16]).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["enc", "-aes-128-ecb", "-nopad", "-K", &key, "-in"]).arg(&input).arg("-out").arg(&output);
    assert!(openssl.status().unwrap().success());
    std::fs::read(output).unwrap()[..3].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn provision_says_which_places_are_empty_by_the_check_value_of_what_fills_them() {
    let bench = Bench::new();
    bench.provision();
    let places = empty(&bench);
    assert_eq!(places.iter().map(|(slot, block, _)| (*slot, *block)).collect::<Vec<_>>(), [(5, 0), (9, 0), (9, 1)]);
    for block in [0, 1] {
        assert_eq!(places[1 + block].2, openssl_check(&bench, 9, block));
    }
    let doctor = bench.json(&["doctor"]);
    assert!(!doctor["checks"].as_array().unwrap().iter().any(|check| check["name"] == "secret keys"), "{doctor:#}");
}

#[test]
fn with_the_state_lost_doctor_names_the_places_and_key_empty_frees_them() {
    let bench = Bench::new();
    bench.provision();
    let before = empty(&bench);
    std::fs::remove_dir_all(bench.path("state").join(bench.serial())).unwrap();
    let doctor = bench.json(&["doctor"]);
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "secret keys").unwrap();
    assert_eq!(check["result"], "warning");
    assert!(check["detail"].as_str().unwrap().starts_with("slot 5, 9: "), "{check:#}");
    assert!(check["remedy"].as_str().unwrap().contains("atecc608 key empty --slot 5"), "{check:#}");
    for (slot, places) in [("5", 1), ("9", 2), ("9", 2)] {
        assert_eq!(bench.json(&["key", "empty", "--slot", slot])["places"], places);
    }
    assert_eq!(empty(&bench), before);
    let refused = bench.run(&["key", "empty", "--slot", "0"]);
    assert!(!refused.status.success());
    assert!(
        stderr(&refused).contains("slot 0 is not for secret keys: slot 5, 9 of this chip can hold them"),
        "{refused:?}"
    );
    assert!(!bench.run(&["key", "empty"]).status.success());
}

#[test]
fn a_manifest_carries_the_empty_places_to_the_machine_that_the_chip_goes_into() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("buses")).unwrap();
    std::fs::copy(bench.path("config.toml"), bench.path("buses/one.toml")).unwrap();
    let batch = ["provision", "tls", "--batch", "buses", "--manifest", "manifest", "--lock-forever"];
    let output = bench.run(&batch);
    assert!(output.status.success(), "{output:?}");
    let before = empty(&bench);
    assert_eq!(before.len(), 3);
    std::fs::remove_dir_all(bench.path("state").join(bench.serial())).unwrap();
    let taken = bench.run(&["key", "empty", "--manifest", "manifest"]);
    assert!(stdout(&taken).starts_with("3 places of the chip"), "{taken:?}");
    assert_eq!(empty(&bench), before);
    let other = Bench::new();
    other.provision();
    std::fs::copy(bench.path("manifest"), other.path("manifest")).unwrap();
    let refused = other.run(&["key", "empty", "--manifest", "manifest"]);
    assert!(stderr(&refused).contains(&format!("the chip {} is not in it", other.serial())), "{refused:?}");
}
