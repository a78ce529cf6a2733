// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 provision tls-pin`: what the chip and the host hold afterwards, where the recovery code goes, and that it
//! can be interrupted anywhere.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::{hex, stderr, stdout, Bench};
use atecc608_cli::{Error, PinSetup, Plan, Standing, Work};
use atecc608_token::io_key::KeyFile;
use atecc608_token::pin::code::RecoveryCode;
use atecc608_token::profile;
use atecc608_token::store::Store;
use atecc608_wire::config_zone::SerialNumber;
use zeroize::Zeroizing;

const LOCK: [&str; 3] = ["provision", "tls-pin", "--lock-forever"];
const PIN: &[u8] = b"correct horse";

fn serial(bench: &Bench) -> SerialNumber {
    SerialNumber(hex(&bench.serial()).try_into().unwrap())
}

fn store(bench: &Bench) -> Store {
    Store::open(&bench.path("state"), serial(bench))
}

fn first_32(bench: &Bench, slot: usize) -> [u8; 32] {
    bench.image().slot(slot)[..32].try_into().unwrap()
}

/// The chip is as reference/profiles.md says, and its secrets are the host's.
#[track_caller]
fn assert_provisioned(bench: &Bench, pin: Option<&[u8]>, code: &[u8]) {
    let image = bench.image();
    let config = image.config();
    assert_eq!(
        config[20..52],
        hex("85 20 82 00 85 20 85 20 85 66 9F E7 8F 47 8F 47 0F 0F 8F 46 0F 0F 0F 0F 0F 0F 0F 0F 0F 0F C6 46")
    );
    assert_eq!(
        config[96..],
        hex("B3 05 93 05 B3 05 B3 05 B3 05 5C 00 7C 00 5C 00 3C 00 BA 05 3C 00 30 00 3C 00 3C 00 30 00 3C 00")
    );
    assert_eq!(config[68..92], hex("00 00 00 00 00 69 76 00 00 00 00 00 00 00 00 00 00 00 00 00 FF FF 0E 65"));
    assert_eq!(image.slot(6)[..32], std::fs::read(bench.key_file()).unwrap()[..]);
    assert_eq!(image.slot(15), [0; 72]);
    let officer = RecoveryCode::parse(code).unwrap().secret(&serial(bench));
    assert_eq!(first_32(bench, 7), *officer);
    let pins = store(bench).state().pins.clone();
    match pin {
        Some(pin) => {
            assert_eq!(pins.len(), 1);
            assert_eq!(*pins[0].open(pin).unwrap(), first_32(bench, 5));
        }
        None => assert!(pins.is_empty()),
    }
}

/// The recovery code in what the command printed.
fn code_in(text: &str) -> String {
    let codes = text.lines().map(str::trim).filter(|line| RecoveryCode::parse(line.as_bytes()).is_some());
    let codes: Vec<&str> = codes.collect();
    assert_eq!(codes.len(), 1, "{text}");
    codes[0].to_owned()
}

/// All that the host keeps, except the IO protection key.
fn everything_in_the_state(bench: &Bench) -> Vec<u8> {
    let folder = bench.path("state").join(bench.serial());
    std::fs::read_dir(folder).unwrap().flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_blank_chip_gets_its_secrets_and_the_host_keeps_none_of_them() {
    let bench = Bench::new();
    std::fs::write(bench.path("pin"), [PIN, b"\n"].concat()).unwrap();
    let output = bench.run(&[&LOCK[..], &["--pin-file", "pin"]].concat());
    assert!(output.status.success(), "{output:?}");
    let code = code_in(&stdout(&output));
    assert!(stdout(&output).contains("User PIN: set"));
    assert!(!stderr(&output).contains(&code), "the code goes to standard output only");
    assert_provisioned(&bench, Some(PIN), code.as_bytes());
    let state = String::from_utf8(everything_in_the_state(&bench)).unwrap().to_lowercase();
    for secret in [first_32(&bench, 5), first_32(&bench, 7)] {
        let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!state.contains(&digits));
    }
    assert!(!state.contains(&code.to_lowercase()) && !state.contains("correct horse"));

    let before = bench.image();
    let again = bench.run(&LOCK);
    assert!(again.status.success() && stdout(&again).contains("already provisioned"), "{again:?}");
    assert!(
        stdout(&again).contains("BEGIN PUBLIC KEY"),
        "the attestation key's, which the chip does not tell any more"
    );
    assert_eq!(bench.image(), before);
    assert_provisioned(&bench, Some(PIN), code.as_bytes());
}

#[test]
fn without_a_pin_the_security_officer_gives_one_later() {
    let bench = Bench::new();
    let output = bench.run(&[&LOCK[..], &["--recovery-code-file", "code", "--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["result"], &report["user_pin"]), (&"provisioned".into(), &"not set".into()));
    let code = std::fs::read(bench.path("code")).unwrap();
    assert_eq!(std::fs::metadata(bench.path("code")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_provisioned(&bench, None, code.trim_ascii());
}

#[test]
fn nothing_is_done_where_the_pin_or_the_way_for_the_code_is_wrong() {
    let bench = Bench::new();
    let before = bench.image();
    std::fs::write(bench.path("short"), "seven77\n").unwrap();
    std::fs::write(bench.path("pin"), PIN).unwrap();
    for (more, words) in [
        (&["--pin-file", "short"][..], "at least 8 characters"),
        (&["--pin-file", "absent"][..], "absent"),
        (&["--recovery-code-file", "pin"][..], "pin exists"),
        (&["--json"][..], "--recovery-code-file"),
    ] {
        let output = bench.run(&[&LOCK[..], more].concat());
        assert!(!output.status.success(), "{more:?}");
        assert!(stderr(&output).contains(words), "{output:?}");
        assert_eq!(bench.image(), before);
    }
    let output = bench.run(&["provision", "tls", "--lock-forever", "--pin-file", "pin"]);
    assert!(stderr(&output).contains("tls has no PIN"), "{output:?}");
    std::fs::set_permissions(bench.path("state"), PermissionsExt::from_mode(0o500)).unwrap();
    if std::fs::write(bench.path("state/probe"), "").is_err() {
        let output = bench.run(&LOCK);
        assert!(!output.status.success() && bench.image() == before, "{output:?}");
    }
}

#[test]
fn the_dry_run_of_it_changes_nothing_and_asks_nothing() {
    let bench = Bench::new();
    let before = bench.image();
    let output = bench.run(&["provision", "tls-pin"]);
    let text = stdout(&output);
    for part in ["the secret behind the user's PIN", "recovery code is shown once", "--pin-file"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(bench.image(), before);
    assert!(!bench.path("keys").exists());
}

/// One run in this process, equal to one in its own process, with faults during it; returns the recovery code if it was
/// printed. A provisioned chip is not changed.
fn run_with(bench: &Bench, faults: &str) -> (Result<(), Error>, Option<String>) {
    let profile = profile::by_name("tls-pin").unwrap();
    let key_file = KeyFile::at(bench.key_file());
    let (mut chip, bus) = bench.simulated();
    let zone = chip.converse(|awake| awake.read_config()).unwrap();
    let plan = Plan::new(&zone, profile, 0x60).unwrap();
    if plan.standing == Standing::Provisioned {
        return (Ok(()), None);
    }
    bus.set_faults(faults.parse().unwrap());
    let (mut store, mut code) = (store(bench), None);
    let mut hand_over = |given: &RecoveryCode| {
        code = Some(given.text().to_string());
        Ok(())
    };
    let pin = Some(PinSetup { pin: Some(Zeroizing::new(PIN.to_vec())), hand_over: &mut hand_over });
    let (key_file, store) = (&key_file, &mut store);
    let done = Work { chip: &mut chip, profile, key_file, store, pin, say: &mut |_| {} }.run(&plan);
    (done.map(drop), code)
}

#[test]
fn power_lost_at_any_moment_leaves_a_chip_that_a_second_run_finishes_and_the_last_code_counts() {
    for bytes in (0..).step_by(89) {
        let bench = Bench::new();
        let (first, first_code) = run_with(&bench, &format!("power@{bytes}"));
        let (second, second_code) = run_with(&bench, "none");
        second.unwrap_or_else(|error| panic!("after {bytes} bytes: {error}"));
        let code = second_code.or(first_code).unwrap();
        assert_provisioned(&bench, Some(PIN), code.as_bytes());
        if first.is_ok() {
            assert!(bytes > 1000, "more is written than {bytes} bytes");
            break;
        }
    }
}

#[test]
fn transient_faults_do_not_stop_the_first_run() {
    for fault in ["drop@N", "doze@N", "garble@N:20", "flip@N:9", "status@N:EE", "busy@N", "nack@N*3"] {
        for number in [60, 85, 88] {
            let bench = Bench::new();
            let fault = fault.replace('N', &number.to_string());
            let (done, code) = run_with(&bench, &fault);
            done.unwrap_or_else(|error| panic!("{fault}: {error}"));
            assert_provisioned(&bench, Some(PIN), code.unwrap().as_bytes());
        }
    }
}

#[test]
fn a_killed_tool_is_finished_by_the_next_one() {
    for lines in [1, 4, 7, 8, 12, 20, 21, 22, 23] {
        let bench = Bench::new();
        std::fs::write(bench.path("pin"), PIN).unwrap();
        let arguments = [&LOCK[..], &["--pin-file", "pin"]].concat();
        let mut child = bench.command(&arguments).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let read = BufReader::new(child.stderr.take().unwrap()).lines().take(lines).count();
        child.kill().unwrap();
        let first = child.wait_with_output().unwrap();
        assert_eq!(read, lines);
        let second = bench.run(&arguments);
        assert!(second.status.success(), "{second:?}");
        let last = if stdout(&second).contains("already") { &first } else { &second };
        assert_provisioned(&bench, Some(PIN), code_in(&stdout(last)).as_bytes());
    }
}

#[test]
fn a_closed_standard_output_stops_the_work_before_the_data_lock() {
    let bench = Bench::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = bench.command(&LOCK).stdout(full).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("standard output"), "{output:?}");
    assert_eq!(bench.image().config()[86..88], [0x55, 0x00], "the data are not locked");
    let output = bench.run(&LOCK);
    assert!(output.status.success());
    assert_provisioned(&bench, None, code_in(&stdout(&output)).as_bytes());
}

#[test]
fn a_new_recovery_code_is_another_one_each_time_and_one_that_the_module_takes() {
    let bench = Bench::new();
    let text = stdout(&bench.run(&["recovery-code"]));
    let json = bench.json(&["recovery-code"])["recovery_code"].as_str().unwrap().to_owned();
    let code = |text: &str| RecoveryCode::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text:?} is no code"));
    assert_ne!(*code(text.trim_end()).text(), *code(&json).text());
}
