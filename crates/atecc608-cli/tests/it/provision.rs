// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 provision`: what it writes and leaves unchanged, and that it can be interrupted anywhere.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{symlink, PermissionsExt};
use std::process::Stdio;

use crate::support::{control, hex, served, stderr, stdout, Bench};
use atecc608_cli::{Error, Plan, Standing, Work};
use atecc608_sim::Profile;
use atecc608_token::io_key::KeyFile;
use atecc608_token::profile;
use atecc608_token::store::Store;

const LOCK: [&str; 3] = ["provision", "tls", "--lock-forever"];

/// The chip is as reference/profiles.md says, locked, and its IO protection key is that in the file.
fn assert_provisioned(bench: &Bench) {
    let image = bench.image();
    let config = image.config();
    assert_eq!(
        config[20..52],
        hex("85 20 82 00 85 20 85 20 85 66 8F 46 8F 0F 9F 8F 0F 0F 8F 46 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F")
    );
    assert_eq!(
        config[96..],
        hex("33 00 13 00 33 00 33 00 33 00 3C 00 7C 00 1C 00 3C 00 3A 00 3C 00 30 00 3C 00 3C 00 30 00 3C 00")
    );
    assert_eq!(config[16..20], [0xC0, 0, 0, 0]);
    assert_eq!(config[52..68], hex("FF FF FF FF 00 00 00 00 FF FF FF FF 00 00 00 00"));
    assert_eq!(config[68..92], hex("00 00 00 00 00 69 76 00 00 00 00 00 00 00 00 00 00 00 00 00 FF FF 0E 60"));
    assert_eq!(config[92..96], [0; 4]);
    let key = std::fs::read(bench.key_file()).unwrap();
    assert_eq!(image.slot(6), [&key[..], &[0; 4]].concat());
    for slot in [5, 7, 9] {
        let bytes = image.slot(slot);
        assert!(
            bytes.chunks(8).all(|part| part.iter().any(|byte| *byte != 0xFF && *byte != 0)),
            "slot {slot}: {bytes:?}"
        );
    }
    for slot in [8, 10, 11, 12, 13, 14, 15] {
        assert!(image.slot(slot).iter().all(|byte| *byte == 0), "slot {slot}");
    }
    assert_eq!(image.otp(), [0; 64]);
    assert_ne!(image.slot(1)[4..], [0xFF; 32], "the attestation key");
}

#[test]
fn a_dry_run_shows_everything_and_changes_nothing() {
    let bench = Bench::new();
    let before = bench.image();
    let output = bench.run(&["provision", "tls"]);
    assert!(output.status.success());
    let text = stdout(&output);
    for part in [
        "slot 0\n     - 2083 0033 (P-256 private key: signs, also internally, GenKey makes a new key, lockable)\n     + 2085 0033",
        "chip_options\n     - 0000 (none)\n     + 0e60 (IO protection key in slot 6",
        "the IO protection key, kept on the host too",
        "nothing can change it afterwards",
        "Both locks are permanent",
        "To do it: atecc608 provision tls --lock-forever\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(bench.image(), before);
    assert!(!bench.path("keys").exists());
    assert_eq!(std::fs::read_dir(bench.path("state")).unwrap().count(), 0);
    assert_eq!(bench.json(&["provision", "tls"])["result"], "would-provision");
    assert_eq!(bench.image(), before);
}

#[test]
fn a_blank_chip_becomes_what_the_profile_says_and_a_second_run_changes_nothing() {
    let bench = Bench::new();
    let first = bench.json(&LOCK);
    assert_eq!(first["result"], "provisioned");
    assert_eq!(
        (&first["io_key"], &first["config_locked"], &first["data_locked"]),
        (&"created".into(), &true.into(), &true.into())
    );
    assert_provisioned(&bench);
    let state = bench.path("state").join(bench.serial()).join("state.toml");
    assert!(std::fs::read_to_string(state).unwrap().contains("generation = "));

    let (image, key) = (bench.image(), std::fs::read(bench.key_file()).unwrap());
    let second = bench.run(&LOCK);
    assert_eq!(second.status.code(), Some(0));
    assert!(stdout(&second).contains("already provisioned"), "{second:?}");
    let second = bench.json(&["provision", "tls"]);
    assert_eq!(second["result"], "already-provisioned");
    assert_eq!(second["attestation"], first["attestation"]);
    assert_eq!(first["attestation"]["slot"], 1);
    assert!(first["attestation"]["public_key"].as_str().unwrap().starts_with("04"));
    assert_eq!(bench.image(), image);
    assert_eq!(std::fs::read(bench.key_file()).unwrap(), key);
}

#[test]
fn the_io_key_is_for_the_group_only_and_its_folder_too() {
    let bench = Bench::new();
    bench.provision();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&bench.key_file()), 0o640);
    assert_eq!(mode(&bench.path("keys")), 0o750);
}

#[test]
fn an_existing_io_key_is_used_and_never_overwritten() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("keys")).unwrap();
    let key: Vec<u8> = (1..=32).collect();
    std::fs::write(bench.key_file(), &key).unwrap();
    std::fs::set_permissions(bench.key_file(), PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(bench.json(&["provision", "tls"])["io_key"], "would be reused");
    let output = bench.run(&LOCK);
    assert!(stdout(&output).contains("(reused)"));
    assert!(stderr(&output).contains("chmod 640"), "{}", stderr(&output));
    assert_eq!(std::fs::read(bench.key_file()).unwrap(), key);
    assert_eq!(bench.image().slot(6)[..32], key);
}

#[test]
fn a_key_file_that_cannot_be_used_stops_everything_before_the_first_lock() {
    type Spoil = fn(&Bench);
    let spoils: [(Spoil, &str); 3] = [
        (|bench| std::fs::write(bench.key_file(), "short").unwrap(), "32 bytes"),
        (|bench| symlink("/dev/null", bench.key_file()).unwrap(), "symbolic link"),
        (|bench| std::fs::create_dir(bench.key_file()).unwrap(), "not a regular file"),
    ];
    for (spoil, problem) in spoils {
        let bench = Bench::new();
        std::fs::create_dir(bench.path("keys")).unwrap();
        spoil(&bench);
        let before = bench.image();
        let output = bench.run(&LOCK);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(problem), "{}", stderr(&output));
        assert_eq!(bench.image(), before);
    }
    // A folder that can't be created.
    let bench = Bench::new();
    std::fs::write(bench.path("keys"), "").unwrap();
    let before = bench.image();
    assert_eq!(bench.run(&LOCK).status.code(), Some(1));
    assert_eq!(bench.image(), before);
}

#[test]
fn a_chip_that_is_something_else_is_left_alone() {
    type Spoil = fn(&mut [u8]);
    let spoils: [(Spoil, &str); 5] = [
        // Another configuration, locked.
        (|config| config[87] = 0, "half provisioned"),
        (|config| config[86..88].fill(0), "provisioned"),
        (|config| config[86] = 0, "blank"),
        // This profile's slots, but secure boot on, which can't be undone.
        (|config| (config[70], config[87]) = (1, 0), "secure_boot"),
        // This profile's slots, but one locked already.
        (|config| (config[88], config[87]) = (0xFE, 0), "slot_locked"),
    ];
    for (number, (spoil, part)) in spoils.into_iter().enumerate() {
        let bench = Bench::new();
        if number >= 3 {
            let tls = profile::by_name("tls").unwrap();
            bench.tamper(|config| {
                let zone = atecc608_wire::ConfigZone::new(config.try_into().unwrap());
                config.copy_from_slice(tls.apply(&zone).as_bytes());
            });
        }
        bench.tamper(spoil);
        let before = bench.image();
        let output = bench.run(&LOCK);
        assert_eq!(output.status.code(), Some(1), "{number}: {output:?}");
        let text = stderr(&output);
        assert!(text.contains(part) && text.contains("nothing was done"), "{number}: {text}");
        assert_eq!(bench.image(), before, "{number}");
        assert!(!bench.path("keys").exists());
    }
}

#[test]
fn a_chip_with_the_profiles_slots_and_something_else_is_said_to_differ() {
    let bench = Bench::new();
    bench.provision();
    bench.tamper(|config| (config[70], config[88]) = (1, 0xFE));
    let report = bench.json(&LOCK);
    assert_eq!(report["result"], "already-provisioned");
    assert_eq!(report["changes"].as_array().unwrap().len(), 0);
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.ends_with("differs from it in secure_boot"), "{warning}");
}

#[test]
fn keys_that_were_there_before_the_data_lock_are_warned_of() {
    let bench = Bench::new();
    assert!(run_with(&bench, "power@150").is_err());
    let slot = |number| atecc608_wire::Slot::new(number).unwrap();
    assert_eq!(bench.image().config()[86..88], [0x55, 0x00], "half provisioned");
    for number in [1, 2] {
        let before = bench.chip().slot_before_generation(slot(number)).unwrap();
        bench.chip().generate_key(slot(number), before).unwrap();
    }
    let attestation = bench.image().slot(1).to_vec();
    let report = bench.json(&LOCK);
    assert_eq!(report["result"], "provisioned");
    assert!(report["warnings"][0].as_str().unwrap().starts_with("slots 2 held a key"), "{report:#}");
    assert_ne!(bench.image().slot(1), attestation, "an attestation key that was found proves nothing");
}

#[test]
fn a_state_folder_that_cannot_be_written_is_a_warning() {
    let bench = Bench::new();
    std::fs::remove_dir(bench.path("state")).unwrap();
    std::fs::write(bench.path("state"), "").unwrap();
    let report = bench.json(&LOCK);
    assert_eq!((&report["result"], &report["data_locked"]), (&"provisioned".into(), &true.into()));
    assert!(report["warnings"][0].as_str().unwrap().contains("can't be stored"), "{report:#}");
}

#[test]
fn a_508_is_refused() {
    let bench = Bench::with_chip(Profile::Blank508A);
    let before = bench.image();
    let output = bench.run(&LOCK);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("an ATECC508A, not an ATECC608"), "{}", stderr(&output));
    assert_eq!(bench.image(), before);
}

#[test]
fn a_profile_that_does_not_exist_is_wrong_usage() {
    let output = Bench::new().run(&["provision", "tsl"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("tls"));
}

#[test]
fn a_chip_at_another_address_keeps_it() {
    let bench = Bench::with_config(|dir| {
        format!(
            "bus = \"sim:{}\"\naddress = 0x35\nio_key_file = \"{}\"\n",
            dir.join("chip").display(),
            dir.join("io").display()
        )
    });
    bench.provision();
    assert_eq!(bench.image().config()[16], 0x35 << 1);
    assert_eq!(std::fs::read(bench.path("io")).unwrap().len(), 32);
    assert_eq!(bench.json(&["info"])["profile"], "tls");
}

/// One run in this process, equal to one in its own process, with faults during it.
fn run_with(bench: &Bench, faults: &str) -> Result<bool, Error> {
    let (mut chip, bus) = bench.simulated();
    let zone = chip.converse(|awake| awake.read_config()).unwrap();
    let tls = profile::by_name("tls").unwrap();
    let plan = Plan::new(&zone, tls, 0x60).unwrap_or_else(|changes| panic!("{faults}: {changes:?}"));
    if plan.standing == Standing::Provisioned {
        return Ok(false);
    }
    bus.set_faults(faults.parse().unwrap());
    let key_file = KeyFile::at(bench.key_file());
    let mut store = Store::open(&bench.path("state"), zone.serial_number());
    let mut work =
        Work { chip: &mut chip, profile: tls, pin: None, key_file: &key_file, store: &mut store, say: &mut |_| {} };
    work.run(&plan).map(|_| true)
}

#[test]
fn power_lost_at_any_moment_leaves_a_chip_that_a_second_run_finishes() {
    let mut finished = false;
    for bytes in (0..).step_by(41) {
        let bench = Bench::new();
        match run_with(&bench, &format!("power@{bytes}")) {
            Err(Error::Stopped { standing, .. }) => {
                let locked = bench.image().config()[87] == 0;
                assert_eq!(
                    standing.starts_with("The configuration is permanently locked"),
                    locked,
                    "{bytes}: {standing}"
                );
            }
            Err(other) => panic!("{bytes}: {other}"),
            Ok(_) => finished = true,
        }
        run_with(&bench, "none").unwrap_or_else(|error| panic!("after {bytes} bytes: {error}"));
        assert_provisioned(&bench);
        if finished {
            assert!(bytes > 1000, "more is written than {bytes} bytes");
            break;
        }
    }
}

#[test]
fn transient_faults_do_not_stop_the_first_run() {
    for fault in ["drop@N", "doze@N", "garble@N:20", "flip@N:9", "status@N:EE", "busy@N", "nack@N*3"] {
        for number in (1..=110).step_by(11) {
            let bench = Bench::new();
            let fault = fault.replace('N', &number.to_string());
            run_with(&bench, &fault).unwrap_or_else(|error| panic!("{fault}: {error}"));
            assert_provisioned(&bench);
        }
    }
}

#[test]
fn a_killed_tool_is_finished_by_the_next_one() {
    for lines in [1, 2, 3, 5, 6, 7, 9, 12, 18, 19] {
        let bench = Bench::new();
        let mut child = bench.command(&LOCK).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let read = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(read, lines);
        bench.provision();
        assert_provisioned(&bench);
    }
}

#[test]
fn a_run_that_stops_says_where_the_chip_stands_and_what_to_do() {
    for (faults, parts) in [
        ("power@20", ["stopped while writing the configuration: ", "Nothing is locked: run the same command again"]),
        (
            "power@400",
            ["stopped while writing slot 8: ", "The configuration is permanently locked, the data zone is not"],
        ),
    ] {
        let (bench, _server) = served();
        control(&bench, &["faults", faults]);
        let output = bench.run(&LOCK);
        assert_eq!(output.status.code(), Some(1));
        for part in parts {
            assert!(stderr(&output).contains(part), "{}", stderr(&output));
        }
        control(&bench, &["power-on"]);
        control(&bench, &["faults", "none"]);
        bench.provision();
        assert_provisioned(&bench);
    }
}
