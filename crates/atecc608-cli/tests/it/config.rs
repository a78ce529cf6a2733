// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 config get|diff|check|set`: three equivalent forms, dangerous settings, and no lock.

use crate::support::{control, hex, served, stderr, stdout, Bench};
use atecc608_sim::Profile;
use serde_json::Value;

/// Bytes 16 to 127 of mongoose-os's sample, as the fact sheet (section 6e) has them.
const MONGOOSE_OS: &str = "C0 00 55 00 87 64 87 64 87 64 87 64 80 0F 8F 8F 9F 8F 82 20 C4 44 C4 44 0F 0F 0F 0F 0F 0F 0F 0F \
     0F 0F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF 00 00 00 00 FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF FF 00 00 55 55 \
     FF FF 00 00 00 00 00 00 33 00 33 00 33 00 33 00 3C 00 1C 00 1C 00 33 00 1C 00 1C 00 3C 00 3C 00 3C 00 3C 00 1C 00 3C 00";

const ALL: [Profile; 11] = [
    Profile::Blank608A,
    Profile::Blank608B,
    Profile::Blank508A,
    Profile::TngTls,
    Profile::TngTlsEarly,
    Profile::TflxTls,
    Profile::MongooseOs,
    Profile::Arduino,
    Profile::VendorPkcs11,
    Profile::VendorTest,
    Profile::CryptoAuthTools,
];

/// Writes the chip's configuration to a file.
fn get(bench: &Bench, format: &str, file: &str) -> String {
    let output = bench.run(&["config", "get", "--format", format]);
    assert!(output.status.success(), "{output:?}");
    std::fs::write(bench.path(file), &output.stdout).unwrap();
    stdout(&output)
}

/// Returns the slots and texts of the checks with this result. The JSON has them under their earlier names, too.
fn findings(report: &Value, result: &str) -> Vec<String> {
    let level = match result {
        "ok" => "note",
        "failed" => "danger",
        same => same,
    };
    let of = |list: &str, key: &str, word: &str, text: &str| -> Vec<String> {
        let findings = report[list].as_array().unwrap().iter().filter(|finding| finding[key] == word);
        findings.map(|finding| format!("{}: {}", finding["slot"], finding[text].as_str().unwrap())).collect()
    };
    let found = of("checks", "result", result, "detail");
    assert_eq!(of("findings", "level", level, "text"), found);
    found
}

fn check(bench: &Bench) -> Value {
    bench.json(&["config", "check"])
}

#[test]
fn each_form_of_each_known_configuration_is_read_back_as_it_was() {
    for profile in ALL {
        // Chips as sold have addresses of their own.
        let bench = Bench::with_chip(profile);
        let address = bench.image().config()[16] >> 1;
        let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
        std::fs::write(bench.path("config.toml"), config + &format!("address = {address:#04x}\n")).unwrap();
        for format in ["toml", "hex", "yaml"] {
            let file = format!("file.{format}");
            get(&bench, format, &file);
            let report = bench.json(&["config", "diff", &file]);
            assert_eq!(report["differs"], false, "{profile:?} {format}: {report:#}");
        }
    }
}

#[test]
fn the_yaml_form_is_mos_s_layout() {
    let bench = Bench::with_chip(Profile::MongooseOs);
    let text = get(&bench, "yaml", "mos.yaml");
    assert!(text.starts_with("serialnum:\n- 1\n- 35\n"), "{text}");
    for part in [
        "\nrevision: 24578\nreserved13: ",
        "\ni2caddress: 192\nreserved17: 0\notpmode: 85\nchipmode:\n  selectorwriteonce: false\n  ttlenable: false\n  \
         watchdogduration: 1s\nslotinfo:\n- num: 0\n  slotconfig:\n    privatekeyslotconfig:\n      extsignenable: true\n      \
         intsignenable: true\n      ecdhenable: true\n      ecdhtonextslot: false\n    nomac: false\n    limiteduse: false\n    \
         encryptread: false\n    issecret: true\n    writekey: 4\n    writeconfig: 6\n  keyconfig:\n    private: true\n    \
         pubinfo: true\n    keytype: ECC\n    lockable: true\n    reqrandom: false\n    reqauth: false\n    authkey: 0\n    \
         intrusiondisable: false\n    x509id: 0\n- num: 1\n",
        "- num: 4\n  slotconfig:\n    readkey: 0\n    nomac: false\n",
        "\n    keytype: NonECC\n",
        "\ncounter0: 18446744069414584320\ncounter1: 18446744069414584320\nlastkeyuse0: 18446744073709551615\n\
         lastkeyuse1: 18446744073709551615\nuserextra: 0\nselector: 0\nlockvalue: Locked\nlockconfig: Locked\n\
         slotlocked: 65535\nreserved90: 0\nreserved91: 0\nx509format:\n- publicposition: 0\n  templatelength: 0\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // A form of a 508 has no keywords for AES: mos would refuse it, and the tool says so.
    let bench = Bench::new();
    bench.provision();
    let output = bench.run(&["config", "get", "--format", "yaml"]);
    assert!(stderr(&output).contains("mos's layout has no fields for the key type of slots 9"), "{}", stderr(&output));
}

#[test]
fn a_configuration_that_mos_has_written_down_is_set_and_nothing_is_locked() {
    let other = Bench::with_chip(Profile::MongooseOs);
    let yaml = get(&other, "yaml", "mos.yaml");
    let bench = Bench::new();
    std::fs::write(bench.path("mos.yaml"), yaml).unwrap();
    let before = bench.image();
    let dry = bench.run(&["config", "set", "mos.yaml", "--dry-run"]);
    assert!(dry.status.success(), "{dry:?}");
    let text = stdout(&dry);
    for part in
        ["slot 0\n     - 2083 0033", "+ 6487 0033", "byte 18 is 0x55", "Nothing was changed", "leave --dry-run out"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(bench.image(), before, "a dry run");
    assert_eq!(bench.json(&["config", "set", "mos.yaml", "--dry-run"])["result"], "would-write");

    let done = bench.run(&["config", "set", "mos.yaml"]);
    assert!(stdout(&done).contains("Nothing is locked"), "{done:?}");
    assert!(stderr(&done).contains("mos.yaml is of the chip"), "{}", stderr(&done));
    let image = bench.image();
    assert_eq!(image.config()[16..], hex(MONGOOSE_OS), "but for the locks, which stay open");
    assert_eq!(image.config()[..16], before.config()[..16]);
    assert_eq!(bench.json(&["config", "set", "mos.yaml"])["result"], "already-written");
}

#[test]
fn the_write_option_of_earlier_versions_has_no_effect_and_contradicts_a_dry_run() {
    let bench = Bench::new();
    let before = bench.image();
    let both = bench.run(&["config", "set", "profile:tls", "--write", "--dry-run"]);
    assert_eq!((both.status.code(), bench.image() == before), (Some(2), true), "{both:?}");
    assert_eq!(bench.json(&["config", "set", "profile:tls", "--write"])["result"], "written");
    assert!(bench.image() != before);
    assert!(!stdout(&bench.run(&["config", "set", "--help"])).contains("--write"));
}

#[test]
fn a_configuration_from_standard_input_in_hex_without_the_factory_s_bytes() {
    let bench = Bench::new();
    std::fs::write(bench.path("digits"), MONGOOSE_OS).unwrap();
    let script = format!("{} config set - --json < digits", crate::support::TOOL);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).env("ATECC608_PKCS11_CONF", bench.path("config.toml")).current_dir(bench.dir.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(bench.image().config()[16..], hex(MONGOOSE_OS));
}

#[test]
fn one_edited_line_of_the_toml_is_the_one_difference() {
    let bench = Bench::new();
    let text = get(&bench, "toml", "chip.toml");
    let slot_0 = text.find("\nslot = 0\n").unwrap();
    let (head, tail) = text.split_at(slot_0);
    std::fs::write(bench.path("chip.toml"), format!("{head}{}", tail.replacen("ecdh = false", "ecdh = true", 1)))
        .unwrap();
    let output = bench.run(&["config", "diff", "chip.toml"]);
    assert_eq!(output.status.code(), Some(3), "it differs");
    let report = bench.json(&["config", "diff", "chip.toml"]);
    let changes = report["changes"].as_array().unwrap();
    assert_eq!((changes.len(), &changes[0]["field"]), (1, &"slot 0".into()), "{report:#}");
    assert!(changes[0]["becomes"].as_str().unwrap().starts_with("2087 0033"), "{report:#}");
    assert!(bench.run(&["config", "set", "chip.toml"]).status.success());
    assert_eq!(bench.image().config()[20..22], [0x87, 0x20]);
    // Two files, no chip.
    std::fs::remove_file(bench.path("config.toml")).unwrap();
    let report = bench.json(&["config", "diff", "profile:tls", "profile:tls-pin"]);
    assert_eq!(report["differs"], true);
    assert_eq!(report["changes"].as_array().unwrap().iter().filter(|change| change["field"] == "slot 8").count(), 0);
}

#[test]
fn a_chip_whose_address_changes_is_written_completely_and_the_new_address_is_printed() {
    let bench = Bench::new();
    let text = get(&bench, "toml", "chip.toml").replace("i2c_address = 0xC0", "i2c_address = 0x6A");
    std::fs::write(bench.path("chip.toml"), text.replace("count_match_slot = 0", "count_match_slot = 3")).unwrap();
    let output = bench.run(&["config", "set", "chip.toml"]);
    assert!(stdout(&output).contains("address = 0x35"), "{output:?}");
    assert_eq!(bench.image().config()[16..19], [0x6A, 0x00, 0x30]);
    assert_eq!(bench.run(&["info"]).status.code(), Some(1), "it moved");
}

#[test]
fn what_is_locked_or_no_608_is_left_alone() {
    let bench = Bench::new();
    bench.provision();
    let before = bench.image();
    let output = bench.run(&["config", "set", "profile:tls-pin"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is locked") && stderr(&output).contains("config diff"), "{}", stderr(&output));
    assert_eq!(bench.image(), before);
    let bench = Bench::with_chip(Profile::Blank508A);
    let output = bench.run(&["config", "set", "profile:tls"]);
    assert!(stderr(&output).contains("an ATECC508A, not an ATECC608"), "{}", stderr(&output));
}

#[test]
fn a_file_that_is_no_configuration_is_refused_with_place_and_remedy() {
    let bench = Bench::new();
    let before = bench.image();
    for (name, text, problem) in [
        ("a.toml", "i2c_address = 0xC0\n", "a.toml: line 1: "),
        ("a.hex", "00 11", "a.hex: expected 128 bytes"),
        ("a.yaml", "slotinfo: 3\n", "a.yaml: i2caddress is missing"),
        ("b.yaml", "- : [", "b.yaml: not YAML"),
        ("c", "Lorem ipsum", "c: line 1: \"Lorem\": expected pairs of hex digits"),
    ] {
        std::fs::write(bench.path(name), text).unwrap();
        let output = bench.run(&["config", "set", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let said = stderr(&output);
        assert!(said.contains(problem), "{said}");
    }
    let output = bench.run(&["config", "set", "nowhere.toml"]);
    assert!(stderr(&output).contains("nowhere.toml: No such file"), "{}", stderr(&output));
    let output = bench.run(&["config", "diff", "profile:tsl"]);
    assert!(stderr(&output).contains("there are tls, tls-pin"), "{}", stderr(&output));
    assert_eq!(bench.image(), before);
}

#[test]
fn power_lost_while_a_configuration_is_written_is_finished_by_the_next_run() {
    for bytes in (0..300).step_by(37) {
        let (bench, _server) = served();
        control(&bench, &["faults", &format!("power@{bytes}")]);
        let first = bench.run(&["config", "set", "profile:tls"]);
        if !first.status.success() && stderr(&first).contains("stopped") {
            assert!(stderr(&first).contains("Nothing is locked: run the same command again"), "{}", stderr(&first));
        }
        control(&bench, &["faults", "none"]);
        control(&bench, &["power-on"]);
        let second = bench.run(&["config", "set", "profile:tls"]);
        assert!(second.status.success(), "{bytes}: {second:?}");
        assert_eq!(bench.json(&["config", "diff", "profile:tls"])["differs"], false, "{bytes}");
    }
}

#[test]
fn check_says_what_each_slot_may_do() {
    let bench = Bench::new();
    bench.provision();
    let text = stdout(&bench.run(&["config", "check"]));
    for part in [
        "slot  0  P-256 private key: signs, ECDH, GenKey makes a new key, lockable",
        "slot  1  P-256 private key: signs internally only, permanent",
        "slot  9  AES keys: never read, written encrypted with key 6",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(bench.run(&["config", "check", "--strict", "profile:tls-pin"]).status.code(), Some(0));
}

/// Each dangerous setting, made by hand in a configuration without any, is the only danger found.
#[test]
fn each_dangerous_setting_is_found_where_it_is() {
    let tls_pin = Bench::new();
    assert!(tls_pin.run(&["config", "set", "profile:tls-pin"]).status.success());
    assert_eq!(findings(&check(&tls_pin), "failed"), Vec::<String>::new());
    type Spoil = fn(&mut [u8]);
    let spoils: [(Spoil, &str); 14] = [
        // Slot 6, with which slot 4 is imported and slots 9 and 15 are written, can be written in clear.
        (|config| config[33] = 0x0F, "4: the private key can be overwritten by anybody who reaches the bus"),
        (|config| config[18] = 0x55, "5: byte 18 is 0x55: OTPmode of a 508"),
        (|config| config[68..84].fill(0xFF), "null: bytes 68 to 83 are FF"),
        (|config| config[20] = 0x05, "0: a private key that is not marked secret"),
        (|config| config[96] = 0x27 | 0x80, "0: a private key of a type"),
        (|config| config[90] = 0x0C, "null: results of ECDH or KDF leave the chip encrypted only"),
        (|config| config[16] = 0x02, "null: I2C address 0x01 is reserved"),
        (|config| config[19] = 0x48, "null: clock divider 9"),
        (|config| config[88] = 0xFB, "null: slot_locked locks slots 2 "),
        // Slot 2 keeps ECDH results in slot 3, which is made readable data.
        (
            |config| (config[24], config[26], config[27], config[102], config[103]) = (0x8D, 0x0F, 0x0F, 0x3C, 0),
            "2: ECDH writes its results into slot 3",
        ),
        // The authorising key can be written in clear; works with MAC; is copied by CheckMac.
        (|config| config[31] = 0x0F, "0: its use needs an authorisation with key 5, and key 5 can be overwritten"),
        (|config| config[30] = 0x8F, "0: its use needs an authorisation with key 5, which is not NoMac"),
        (|config| config[30] = 0x90, "0: its use needs an authorisation with key 5, whose ReadKey is 0"),
        (|config| (config[70], config[71]) = (0x03, 0xB8), "11: the public key of secure boot can be overwritten"),
    ];
    for (spoil, danger) in spoils {
        let bench = Bench::new();
        assert!(bench.run(&["config", "set", "profile:tls-pin"]).status.success());
        let mut bytes = bench.image().config().to_vec();
        spoil(&mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(bench.path("bad.hex"), digits).unwrap();
        let report = bench.json(&["config", "check", "bad.hex"]);
        let dangers = findings(&report, "failed");
        assert!(dangers.iter().any(|found| found.starts_with(danger)), "{danger}: {dangers:#?}");
        assert_eq!(report["dangers"], dangers.len());
        assert_eq!(bench.run(&["config", "check", "--strict", "bad.hex"]).status.code(), Some(3));
        assert_eq!(bench.run(&["config", "check", "bad.hex"]).status.code(), Some(0));
    }
}

#[test]
fn ecdh_in_clear_and_keys_that_sign_two_ways_are_warned_of() {
    let bench = Bench::with_chip(Profile::MongooseOs);
    let warnings = findings(&check(&bench), "warning");
    assert!(warnings.iter().any(|text| text.starts_with("0: ECDH results cross the bus in clear")), "{warnings:#?}");
    assert!(
        warnings.iter().any(|text| text.starts_with("3: signs data of the host and data of the chip")),
        "{warnings:#?}"
    );
    let dangers = findings(&check(&bench), "failed");
    for danger in ["0: the private key can be overwritten", "5: byte 18 is 0x55", "null: bytes 68 to 83 are FF"] {
        assert!(dangers.iter().any(|text| text.starts_with(danger)), "{danger} is not in {dangers:#?}");
    }
    // A setting that is a pitfall on a 608 may be right on a 508.
    let bench = Bench::with_chip(Profile::Blank508A);
    bench.tamper(|config| config[18] = 0x55);
    assert!(!findings(&check(&bench), "failed").iter().any(|text| text.contains("byte 18")));
}

#[test]
fn a_chip_between_its_two_locks_can_have_its_keys_written_in_clear() {
    let bench = Bench::new();
    bench.tamper(|config| config[87] = 0);
    assert!(findings(&check(&bench), "failed")[0].contains("anybody can write every slot in clear"));
}
