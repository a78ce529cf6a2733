// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 info`, `config get`, `random`, and the selection of a chip.

use crate::support::{hex, output_of_copy, stderr, stdout, Bench, TOOL};
use atecc608::ops::Before;
use atecc608_sim::Profile;
use atecc608_testkit::privileged::make_setgid;
use atecc608_token::config::CONF_VARIABLE;
use atecc608_token::store::Store;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::Slot;

fn slot(number: u8) -> Slot {
    Slot::new(number).unwrap()
}

/// Generates a key and changes its entry in the state.
fn generate(bench: &Bench, number: u8, label: Option<&str>, destroyed: bool) {
    let mut public_key = vec![0x04];
    public_key.extend(bench.chip().generate_key(slot(number), Before::Empty).unwrap());
    let serial = SerialNumber(hex(&bench.serial()).try_into().unwrap());
    let mut store = Store::open(&bench.path("state"), serial);
    store
        .change(|state| {
            let state = state.slot_mut(slot(number));
            state.label = label.map(str::to_owned);
            if destroyed {
                state.tombstone = Some(public_key);
            } else {
                state.public_key = Some(public_key);
            }
        })
        .unwrap();
}

#[test]
fn info_on_a_blank_chip() {
    let bench = Bench::new();
    let output = bench.run(&["info"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
    let text = stdout(&output);
    assert!(text.contains("ATECC608B (simulated") && text.contains("atecc608 provision tls"), "{text}");
    let info = bench.json(&["info"]);
    assert_eq!(
        (&info["stage"], &info["usable"], &info["profile"]),
        (&"blank".into(), &false.into(), &None::<&str>.into())
    );
    assert_eq!(info["serial_number"], bench.serial());
    assert_eq!(info["slots"].as_array().unwrap().len(), 16);
}

#[test]
fn info_on_a_half_provisioned_chip() {
    let bench = Bench::new();
    bench.tamper(|config| config[87] = 0);
    let info = bench.json(&["info"]);
    assert_eq!(
        (&info["stage"], &info["config_locked"], &info["data_locked"]),
        (&"half provisioned".into(), &true.into(), &false.into())
    );
    assert_eq!(bench.run(&["info"]).status.code(), Some(0));
}

#[test]
fn info_on_a_provisioned_chip_shows_keys_by_their_names() {
    let bench = Bench::new();
    bench.provision();
    generate(&bench, 0, Some("dev-key"), false);
    generate(&bench, 2, None, true);
    generate(&bench, 3, None, false);
    let info = bench.json(&["info"]);
    assert_eq!(
        (&info["stage"], &info["profile"], &info["usable"]),
        (&"provisioned".into(), &"tls".into(), &true.into())
    );
    let key = |slot: usize| info["slots"][slot]["key"].clone();
    assert_eq!((&key(0)["presence"], &key(0)["label"]), (&"present".into(), &"dev-key".into()));
    assert_eq!(key(0)["id"].as_str().unwrap().len(), 40);
    assert_eq!(key(1)["presence"], "present");
    assert_eq!(key(2)["presence"], "destroyed");
    assert_eq!((&key(3)["presence"], &key(3)["label"]), (&"present".into(), &"key-3".into()));
    assert_eq!(key(4)["presence"], "none");
    assert_eq!(info["slots"][6]["key"], serde_json::Value::Null);
    assert_eq!(info["slots"][4]["slot_config"], "6685");
    let text = stdout(&bench.run(&["info"]));
    for part in ["key \"dev-key\", id ", "destroyed key, free", "signs internally only, permanent"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn info_on_a_508_says_what_it_is_and_fails() {
    let bench = Bench::with_chip(Profile::Blank508A);
    let output = bench.run(&["info"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("this is an ATECC508A, not an ATECC608"));
    let info = bench.json(&["info"]);
    assert_eq!((&info["model"], &info["usable"]), (&"ATECC508A".into(), &false.into()));
}

#[test]
fn config_get_is_what_the_chip_holds_in_all_three_forms() {
    let bench = Bench::new();
    bench.provision();
    let image = bench.image();
    assert_eq!(hex(stdout(&bench.run(&["config", "get", "--hex"])).trim()), image.config());
    let json = bench.json(&["config", "get"]);
    assert_eq!(hex(json["bytes"].as_str().unwrap()), image.config());
    assert_eq!(json["fields"][0]["name"], "serial_number_0_3");
    // The text is TOML for another reader, too, with the same values.
    let text = stdout(&bench.run(&["config", "get"]));
    let document = toml::de::DeTable::parse(&text).unwrap();
    let table = document.get_ref();
    let slots = table["slot"].get_ref().as_array().unwrap();
    assert_eq!(slots.len(), 16);
    let flag = |name: &str| slots[1].get_ref()[name].get_ref().as_bool().unwrap();
    assert_eq!(
        (flag("internal_sign"), flag("external_sign"), flag("ecdh"), flag("private")),
        (true, false, false, true)
    );
    assert_eq!(table["io_protection_slot"].get_ref().as_integer().unwrap().as_str(), "6");
    assert_eq!(table["lock_config"].get_ref().as_str(), Some("locked"));
}

#[test]
fn random_bytes_differ_and_are_as_many_as_asked() {
    let bench = Bench::new();
    bench.provision();
    let once = || stdout(&bench.run(&["random", "40"]));
    let (one, two) = (once(), once());
    assert_eq!(hex(one.trim()).len(), 40);
    assert_ne!(one, two);
    assert_eq!(bench.run(&["random", "1000", "--binary"]).stdout.len(), 1000);
    let json = bench.json(&["random"]);
    assert_eq!(hex(json["random"].as_str().unwrap()).len(), 32);
}

#[test]
fn random_on_a_blank_chip_is_refused_and_says_why() {
    let bench = Bench::new();
    let output = bench.run(&["random", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("a constant"), "{}", stderr(&output));
    assert!(stdout(&output).contains("\"error\""));
    for wrong in [vec!["random", "0"], vec!["random", "--binary", "--json"], vec!["config", "get", "--hex", "--json"]] {
        assert_eq!(bench.run(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn without_a_configuration_it_says_what_to_write() {
    let bench = Bench::new();
    std::fs::write(bench.path("config.toml"), "").unwrap();
    let output = bench.run(&["info"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("[[token]]"), "{}", stderr(&output));
    let output = bench.run(&["info", "--config", "/nonexistent/config.toml"]);
    assert!(stderr(&output).contains("/nonexistent/config.toml") && stderr(&output).contains("--config"));
}

#[test]
fn one_of_several_chips_is_chosen_by_label_slot_or_serial_number() {
    let bench = Bench::with_config(|dir| {
        let dir = dir.display();
        format!("bus = \"sim:{dir}/chip\"\nlabel = \"one\"\n[[token]]\nbus = \"sim:{dir}/other\"\nslot = 7\n")
    });
    let output = bench.run(&["info"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--token \"one\" or 7"), "{}", stderr(&output));
    let serial = |token: &str| bench.json(&["info", "--token", token])["serial_number"].as_str().unwrap().to_owned();
    let (one, other) = (serial("one"), serial("7"));
    assert_ne!(one, other);
    assert_eq!(one, bench.serial());
    assert_eq!(serial(&other), other);
    assert_eq!(serial(&other[2..].to_lowercase()), other);
    assert_eq!(serial(&format!("ATECC608-{}", &other[10..])), other);
    let output = bench.run(&["--token", "nobody", "info"]);
    assert!(stderr(&output).contains("\"nobody\""), "{}", stderr(&output));
}

#[test]
fn a_standard_output_closed_by_its_reader_is_not_a_failure() {
    let bench = Bench::new();
    let script = format!("{} info | head -n 1; exit ${{PIPESTATUS[0]}}", crate::support::TOOL);
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .env("ATECC608_PKCS11_CONF", bench.path("config.toml"))
        .output()
        .unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_setgid_tool_ignores_the_environment() {
    if std::path::Path::new(atecc608_token::config::DEFAULT_PATH).exists() {
        eprintln!("skipped: this machine has a configuration, and the default path is fixed");
        return;
    }
    let bench = Bench::new();
    let tool = bench.path("tool");
    std::fs::copy(TOOL, &tool).unwrap();
    let run = |arguments: &[&str]| {
        let configuration = bench.path("config.toml");
        output_of_copy(std::process::Command::new(&tool).args(arguments).env(CONF_VARIABLE, configuration))
    };
    let plain = run(&["info"]);
    assert!(plain.status.success(), "{plain:?}");
    if make_setgid(&tool) {
        let setgid = run(&["info"]);
        assert!(!setgid.status.success() && stderr(&setgid).contains("no configuration"), "{setgid:?}");
        // A file that the user names is an exception.
        let named = run(&["info", "--config", bench.path("config.toml").to_str().unwrap()]);
        assert!(named.status.success(), "{named:?}");
    }
}
