// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 pair`: an IO protection key for chips that are sold without one.

use std::fs;

use crate::support::Bench;
use atecc608_sim::{Order, Profile};

/// A Trust&GO chip at its own address.
pub fn trust_and_go() -> Bench {
    let bench = Bench::with_config(|dir| format!("bus = \"sim:{}\"\naddress = 0x35\n", dir.join("chip").display()));
    Order::of(Profile::TngTls).make().unwrap().image.save(&bench.chip_file()).unwrap();
    bench
}

fn slot_6(bench: &Bench) -> Vec<u8> {
    bench.image().slot(6)[..32].to_vec()
}

#[test]
fn chip_and_host_have_a_common_key_afterwards() {
    let bench = trust_and_go();
    let paired = bench.json(&["pair"]);
    assert_eq!((&paired["result"], &paired["slot"]), (&"paired".into(), &6.into()));
    assert_eq!((&paired["serial_number"], &paired["serial"]), (&bench.serial().into(), &bench.serial().into()));
    let results = |report: &serde_json::Value| -> Vec<String> {
        let checks = report["checks"].as_array().unwrap().iter();
        checks
            .map(|check| format!("{} {}", check["result"].as_str().unwrap(), check["name"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(results(&paired), ["ok IO protection key", "warning slot 6"], "{paired:#}");
    let key = fs::read(bench.key_file()).unwrap();
    assert_eq!(slot_6(&bench), key);
    assert!(key.iter().any(|byte| *byte != key[0]));
    assert_eq!(bench.json(&["pair"])["result"], "already paired");
    assert_eq!(slot_6(&bench), key);
}

#[test]
fn another_hosts_key_is_replaced_only_when_told() {
    let bench = trust_and_go();
    bench.json(&["pair"]);
    let theirs = slot_6(&bench);
    fs::write(bench.key_file(), [0x42; 32]).unwrap();
    let refused = bench.run(&["pair"]);
    assert!(!refused.status.success());
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("another IO protection key") && text.contains("--replace"), "{text}");
    assert_eq!(slot_6(&bench), theirs);
    assert_eq!(bench.json(&["pair", "--replace"])["result"], "paired");
    assert_eq!(slot_6(&bench), [0x42; 32]);
}

#[test]
fn a_chip_whose_configuration_has_no_such_key_is_left_alone() {
    for (profile, part) in [(Profile::Blank608B, "not provisioned"), (Profile::Arduino, "no IO protection key")] {
        let bench = Bench::with_config(|dir| format!("bus = \"sim:{}\"\n", dir.join("chip").display()));
        Order::of(profile).make().unwrap().image.save(&bench.chip_file()).unwrap();
        let before = bench.image();
        let refused = bench.run(&["pair"]);
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && text.contains(part), "{text}");
        assert_eq!(bench.image(), before);
        assert!(!bench.key_file().exists());
    }
}
