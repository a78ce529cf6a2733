// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 attest` and `verify-attestation`: every statement is signed, every change to it is refused, and it claims
//! only what is proven.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::attested::*;
use crate::support::{stderr, stdout, Bench};
use atecc608_cli::Statement;
use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_testkit::built;
use atecc608_testkit::chip::{self, slot};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use serde_json::{json, Value};

#[test]
fn a_birth_is_signed_by_the_attestation_key_over_what_the_fact_sheet_says() {
    let chip = Attested::new();
    let born = chip.attest(&["--generate", "--label", "dev"]);
    assert_eq!((&born["kind"], &born["slot"]), (&"born-here".into(), &0.into()));
    assert_eq!(field(&born, "configuration"), chip.bus.image(0).unwrap().config().as_bytes());
    assert_eq!(field(&born, "public_key"), chip.key_in(0).public_key().to_encoded_point(false).as_bytes());
    assert!(is_signed(&born, 0x0C, &chip.key_in(1)));
    assert!(!is_signed(&born, 0x08, &chip.key_in(1)));
    let (verified, report) = chip.verify(&born);
    assert!(verified, "{report:#}");
    assert!(lines(&report, "proven").contains("the chip itself generated this key pair in slot 0"), "{report:#}");
    // The key exists and works.
    let info = chip.bench.json(&["info"]);
    assert_eq!(info["slots"][0]["key"]["label"], "dev");
}

#[test]
fn a_residence_is_signed_too_and_is_no_birth() {
    let chip = Attested::new();
    chip.put_key(2, 7);
    for key in [["--key", "key-2"], ["--slot", "2"]] {
        let lives = chip.attest(&key);
        assert_eq!((&lives["kind"], &lives["slot"]), (&"lives-here".into(), &2.into()));
        assert!(is_signed(&lives, 0x08, &chip.key_in(1)));
        assert!(!is_signed(&lives, 0x0C, &chip.key_in(1)));
        let (verified, report) = chip.verify(&lives);
        assert!(verified, "{report:#}");
        assert!(!lines(&report, "proven").contains("generated this key"));
        assert!(lines(&report, "proven").contains("not written from outside since the data zone was locked"));
        assert!(lines(&report, "not_proven").contains("that the key was generated in the chip"));
    }
}

#[test]
fn whatever_is_changed_in_a_statement_is_refused_and_the_reason_named() {
    let chip = Attested::new();
    chip.put_key(2, 7);
    for (kind, statement) in
        [("lives-here", chip.attest(&["--generate"])), ("born-here", chip.attest(&["--slot", "2"]))]
    {
        let flipped = |name: &str, at: usize| {
            let mut digits = statement[name].as_str().unwrap().to_owned();
            let digit = u8::from_str_radix(&digits[at..=at], 16).unwrap() ^ 1;
            digits.replace_range(at..=at, &format!("{digit:x}"));
            Value::from(digits)
        };
        // The reason for which each change is refused; the first one, if there are several.
        let mut changes = vec![
            ("format", json!("other"), "format: "),
            ("version", json!(2), "version: "),
            ("kind", json!(kind), "signature"),
            ("kind", json!("dreamt"), "kind: "),
            ("serial_number", flipped("serial_number", 5), "serial_number: "),
            ("slot", json!(3), "signature"),
            ("slot", json!(16), "slot: "),
            ("challenge", flipped("challenge", 39), "signature"),
            ("random", flipped("random", 0), "signature"),
            ("public_key", flipped("public_key", 1), "public_key: "),
            ("public_key", flipped("public_key", 129), "signature"),
            ("signature", flipped("signature", 64), "signature"),
            ("signature", json!("00".repeat(64)), "signature"),
            ("random", json!("00"), "random: "),
            ("more", json!(1), "more"),
        ];
        // Each byte of the configuration; those of the serial number also differ from the field.
        for at in 0..128 {
            let is_serial = at < 4 || (8..13).contains(&at);
            changes.push((
                "configuration",
                flipped("configuration", 2 * at + 1),
                if is_serial { "serial_number: " } else { "signature" },
            ));
        }
        for (name, value, reason) in changes.into_iter().step_by(if kind == "born-here" { 5 } else { 1 }) {
            let mut changed = statement.clone();
            changed[name] = value;
            assert_ne!(changed, statement, "{name}");
            let (verified, report) = chip.verify(&changed);
            assert!(!verified, "{name}");
            let named = match report["error"].as_str() {
                Some(error) => error.contains(reason),
                None => wrong(&report).first().is_some_and(|first| first == reason),
            };
            assert!(named, "{name}: {reason}: {report:#}");
            assert!(report["proven"].as_array().is_none_or(Vec::is_empty), "{report:#}");
        }
        for name in statement.as_object().unwrap().keys() {
            let mut changed = statement.clone();
            changed.as_object_mut().unwrap().remove(name);
            let (_, report) = chip.verify(&changed);
            assert!(report["error"].as_str().unwrap().contains(name), "{report:#}");
        }
    }
}

#[test]
fn another_chips_statement_an_old_one_and_one_of_another_serial_number_are_refused() {
    let (chip, other) = (
        Attested::new(),
        Attested::with({
            let mut image = chip::provisioned();
            chip::put_key(&mut image, 1, &[0x33; 32]);
            image
        }),
    );
    let (statement, others) = (chip.attest(&["--generate"]), other.attest(&["--generate"]));
    let (verified, report) = chip.verify(&others);
    assert_eq!((verified, wrong(&report)), (false, vec!["signature".to_owned()]));
    assert!(other.verify(&others).0);

    let (verified, report) = chip.verify_with(&statement, &["--challenge", OTHER_CHALLENGE]);
    assert_eq!((verified, wrong(&report)), (false, vec!["challenge".to_owned()]));
    let (verified, report) = chip.verify_with(&statement, &["--any-challenge"]);
    assert!(verified && lines(&report, "not_proven").contains("when the statement was made"), "{report:#}");
    // The verifier has to choose between the two.
    assert_eq!(chip.run_verify(&statement, &[]).status.code(), Some(2));

    let serial = statement["serial_number"].as_str().unwrap();
    assert!(chip.verify_with(&statement, &["--any-challenge", "--serial", serial]).0);
    let (verified, report) =
        chip.verify_with(&statement, &["--any-challenge", "--serial", others["serial_number"].as_str().unwrap()]);
    assert_eq!((verified, wrong(&report)), (false, vec!["serial number".to_owned()]));
}

#[test]
fn the_enrolled_key_is_what_provision_and_attest_public_print() {
    let bench = Bench::new();
    let provisioned = bench.run(&["provision", "tls", "--lock-forever", "--json"]);
    std::fs::write(bench.path("provision.json"), &provisioned.stdout).unwrap();
    for (name, json) in [("public.pem", false), ("public.json", true)] {
        let output = bench.run(if json { &["attest", "--public", "--json"] } else { &["attest", "--public"] });
        assert!(output.status.success(), "{output:?}");
        std::fs::write(bench.path(name), output.stdout).unwrap();
    }
    let output = bench.run(&["attest", "--generate", "--challenge", CHALLENGE, "--output", "born.json"]);
    assert!(stdout(&output).starts_with("born.json: the statement"), "{output:?}");
    let verify = |key: &str| {
        let arguments = ["verify-attestation", "born.json", "--challenge", CHALLENGE, "--attestation-key", key];
        // No configuration is required.
        bench.command(&arguments).env("ATECC608_PKCS11_CONF", "/nowhere").output().unwrap()
    };
    for key in ["provision.json", "public.pem", "public.json"] {
        let output = verify(key);
        assert_eq!(output.status.code(), Some(0), "{key}: {output:?}");
        assert!(stdout(&output).starts_with("born.json: verified: born-here\n"));
    }
    // A file of another chip's serial number, with this chip's key in it.
    let mut enrolled: Value = serde_json::from_slice(&provisioned.stdout).unwrap();
    enrolled["serial_number"] = json!("0123534900000000EE");
    std::fs::write(bench.path("other.json"), enrolled.to_string()).unwrap();
    assert!(stdout(&verify("other.json")).contains("failed   serial number"));
    for text in ["", "{}", "{\"serial_number\": \"01\", \"attestation\": null}", "-----BEGIN PUBLIC KEY-----\n"] {
        std::fs::write(bench.path("bad"), text).unwrap();
        let output = verify("bad");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("not a usable attestation key"), "{output:?}");
    }
}

#[test]
fn a_key_in_the_import_slot_is_claimed_to_be_born_only_by_its_birth() {
    let chip = Attested::new();
    let born = chip.attest(&["--generate", "--slot", "4"]);
    let (verified, report) = chip.verify(&born);
    assert!(verified && lines(&report, "proven").contains("the chip itself generated this key pair in slot 4"));
    let replaced = "it can be replaced by another one, also by one from outside";
    assert!(lines(&report, "not_proven").contains(replaced), "{report:#}");

    let lives = chip.attest(&["--slot", "4"]);
    let (verified, report) = chip.verify(&lives);
    assert!(verified);
    for claim in ["generated this key", "not written from outside"] {
        assert!(!lines(&report, "proven").contains(claim), "{report:#}");
    }
    let unknown = "anybody who knows the key in slot 6 could have written it from outside";
    assert!(lines(&report, "not_proven").contains(unknown), "{report:#}");

    // An imported key has no birth statement: the one made before it does not match.
    chip.put_key(4, 9);
    let mut stolen = born;
    stolen["public_key"] = chip.attest(&["--slot", "4"])["public_key"].clone();
    assert_eq!(wrong(&chip.verify(&stolen).1), ["signature"]);
}

#[test]
fn a_genuine_statement_of_a_chip_with_other_rules_is_refused_for_them() {
    type Change = fn(&mut [u8]);
    let changes: [(Change, &str, &str); 6] = [
        (|config| config[22] |= 0x01, "attestation key's rules", "derives for callers"),
        (|config| config[22] |= 0x04, "attestation key's rules", "derives for callers"),
        (|config| config[23] |= 0x20, "attestation key's rules", "can be replaced"),
        (|config| config[23] |= 0x40, "attestation key's rules", "can be replaced"),
        (|config| config[24] = 0x82, "key's rules", "neither signs nor derives"),
        (|config| config[86] = 0x55, "locks", "data zone not locked"),
    ];
    for (change, name, part) in changes {
        let chip = Attested::new();
        chip.put_key(2, 7);
        chip.tamper(change);
        let mut driver = chip.chip();
        let challenge = crate::support::hex(CHALLENGE).try_into().unwrap();
        // The tool itself does not query such a chip.
        let output = chip.bench.run(&["attest", "--slot", "2"]);
        assert_eq!(output.status.code(), Some(1), "{part}: {output:?}");
        let statement = serde_json::to_value(Statement::new(&driver.attest(slot(2), &challenge).unwrap())).unwrap();
        let (verified, report) = chip.verify(&statement);
        assert!(!verified && wrong(&report) == [name], "{part}: {report:#}");
        let details = report["checks"].to_string();
        assert!(details.contains(part), "{part}: {details}");
    }
}

#[test]
fn chips_as_they_are_sold_attest_too() {
    for profile in ["tngtls", "tflxtls"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("chip");
        let mut new = std::process::Command::new(built::simulator());
        assert!(new.args(["new", "--profile", profile, "--state"]).arg(&file).output().unwrap().status.success());
        let mut image = Image::load(&file).unwrap();
        // Slot 2 is free: no key, as after a factory that generated none.
        image.part_mut(Part::Slot(slot(2))).fill(0);
        let chip = Attested::with(image);
        assert_eq!(stdout(&chip.bench.run(&["attest", "--public"])), pem(&chip.key_in(1)));
        let lives = chip.attest(&["--slot", "0"]);
        assert!(is_signed(&lives, 0x08, &chip.key_in(1)), "{profile}");
        assert!(chip.verify(&lives).0, "{profile}");
        // ReqRandom is set on these slots.
        let born = chip.attest(&["--generate", "--slot", "2"]);
        assert!(is_signed(&born, 0x0C, &chip.key_in(1)), "{profile}");
        let (verified, report) = chip.verify(&born);
        assert!(verified, "{report:#}");
        // The key of slot 0 is permanent.
        let output = chip.bench.run(&["attest", "--generate", "--slot", "0"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

#[test]
fn what_cannot_be_stated_is_refused_with_a_reason_and_leaves_no_file() {
    let chip = Attested::new();
    chip.put_key(0, 7);
    let before = chip.bus.image(0).unwrap();
    for (arguments, part) in [
        (&["--slot", "1"][..], "the attestation key's own slot"),
        (&["--slot", "6"], "does not hold a P-256 private key"),
        (&["--slot", "3"], "slot 3 holds no key"),
        (&["--key", "nobody"], "no private key has the label \"nobody\""),
        (&["--generate", "--slot", "0"], "slot 0 is not free: slot 0 holds"),
        (&["--generate", "--slot", "1"], "slot 1"),
        (&["--generate", "--label", "device"], "already has the label \"device\""),
    ] {
        let output = chip.bench.run(&[&["attest", "--challenge", CHALLENGE, "--output", "file"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
        assert!(!chip.bench.path("file").exists(), "{arguments:?}");
    }
    // An existing file may be a statement, and is kept.
    std::fs::write(chip.bench.path("file"), "mine").unwrap();
    let output = chip.bench.run(&["attest", "--generate", "--output", "file"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(chip.bench.path("file")).unwrap(), b"mine");
    for arguments in [&["--challenge", "00"][..], &["--public", "--generate"], &["--label", "x", "--slot", "0"], &[]] {
        assert_eq!(chip.bench.run(&[&["attest"], arguments].concat()).status.code(), Some(2), "{arguments:?}");
    }
    assert!(chip.bus.image(0).unwrap() == before);
}

#[test]
fn without_a_challenge_a_random_one_is_drawn_and_said_to_prove_nothing() {
    let chip = Attested::new();
    chip.put_key(0, 7);
    let run = || chip.bench.run(&["attest", "--slot", "0"]);
    let (one, two) = (run(), run());
    assert!(stderr(&one).contains("will not prove when it was made"), "{one:?}");
    let challenge = |output: &std::process::Output| {
        let statement: Value = serde_json::from_slice(&output.stdout).unwrap();
        statement["challenge"].clone()
    };
    assert_ne!(challenge(&one), challenge(&two));
}

#[test]
fn a_birth_whose_statement_is_lost_leaves_a_key_and_says_so() {
    let commands = {
        let twin = Attested::new();
        twin.attest(&["--generate"]);
        twin.bus.stats().total_commands()
    };
    let (mut lost, mut made) = (0, 0);
    for number in 1..=commands {
        let chip = Attested::new();
        chip.bus.set_faults(format!("drop@{number}").parse().unwrap());
        let output = chip.bench.run(&["attest", "--generate", "--label", "dev", "--challenge", CHALLENGE]);
        chip.bus.set_faults("none".parse().unwrap());
        let public_key = field(&chip.attest(&["--key", "dev"]), "public_key");
        assert_eq!(public_key, chip.key_in(0).public_key().to_encoded_point(false).as_bytes());
        if output.status.success() {
            made += 1;
            let born: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(chip.verify(&born).0, "{number}");
            assert_eq!(field(&born, "public_key"), public_key);
        } else {
            lost += 1;
            let text = stderr(&output);
            let key: String = public_key.iter().map(|byte| format!("{byte:02x}")).collect();
            for part in ["no born-here statement", &key, "`atecc608 attest --slot 0`", "or destroy it"] {
                assert!(text.contains(part), "{number}: {part}: {text}");
            }
            assert_eq!(stdout(&output), "");
        }
    }
    // Only GenKey and the commands that sign it can't be repeated.
    assert_eq!((lost, made), (2, commands - 2));
}

#[test]
fn a_chip_that_fails_during_a_birth_is_queried_by_the_next_command() {
    let chip = Attested::new();
    // Power is lost while the key is written; the old contents remain.
    chip.bus.set_faults("power@0".parse().unwrap());
    let output = chip.bench.run(&["attest", "--generate", "--label", "dev", "--output", "file"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    for part in
        ["not known whether GenKey took effect", "A born-here statement is no longer possible", "`atecc608 info`"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!chip.bench.path("file").exists());
    chip.bus.set_faults("none".parse().unwrap());
    chip.bus.power_on();
    assert!(stderr(&chip.bench.run(&["attest", "--key", "dev"])).contains("no private key has the label"));
    assert!(chip.verify(&chip.attest(&["--generate", "--label", "dev"])).0);
}

#[test]
fn a_birth_is_not_lost_over_a_state_folder_that_stops_being_written() {
    // The folder becomes unusable after the intent is in it and before the commit: repeated until that is the case.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < deadline, "the folder never gave way in between");
        let chip = Attested::new();
        let arguments = ["attest", "--generate", "--label", "dev", "--challenge", CHALLENGE];
        let child = chip.bench.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let serial = chip.bus.image(0).unwrap().config().serial_number().to_string();
        let folder = chip.bench.path("state").join(serial);
        let begun = || std::fs::read_to_string(folder.join("state.toml")).is_ok_and(|text| text.contains("intent"));
        while !begun() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        // A file in the place of the folder: the next change can't be written.
        let elsewhere = chip.bench.path("elsewhere");
        let moved = std::fs::rename(&folder, &elsewhere).and_then(|()| std::fs::write(&folder, ""));
        let output = child.wait_with_output().unwrap();
        if moved.is_err() || !stderr(&output).contains("its label is not stored yet") {
            continue;
        }
        assert!(output.status.success(), "{output:?}");
        assert!(chip.verify(&serde_json::from_slice(&output.stdout).unwrap()).0);
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&elsewhere, &folder).unwrap();
        // The next command finds the intent, and the key.
        assert!(chip.verify(&chip.attest(&["--key", "dev"])).0);
        break;
    }
}
