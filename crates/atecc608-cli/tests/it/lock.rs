// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 lock config|data|slot`: what it shows, refuses and locks, and that it can be interrupted anywhere.

use crate::support::kernel::Kernel;
use crate::support::{control, hex, served, stderr, stdout, Bench};
use crate::ways_on::stopped_between_locks;
use atecc608::ops::Before;
use atecc608_sim::Profile;
use atecc608_wire::Slot;

/// A custom configuration without dangers, from `tls-pin` with one slot changed: it is not one of the profiles.
fn own_configuration(bench: &Bench) {
    let text = stdout(&bench.run(&["config", "get", "--format", "hex"]));
    let mut bytes = hex(text.trim());
    let tls_pin = stdout(&bench.run(&["config", "diff", "profile:tls-pin", "--json"]));
    assert!(tls_pin.contains("\"differs\": true"));
    assert!(bench.run(&["config", "set", "profile:tls-pin"]).status.success());
    bytes.copy_from_slice(&hex(stdout(&bench.run(&["config", "get", "--format", "hex"])).trim()));
    // Slot 13 can't be locked individually.
    bytes[96 + 26] &= !0x20;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(bench.path("own.hex"), digits).unwrap();
    assert!(bench.run(&["config", "set", "own.hex"]).status.success());
}

const LOCK_CONFIG: [&str; 3] = ["lock", "config", "--lock-forever"];
const LOCK_DATA: [&str; 3] = ["lock", "data", "--lock-forever"];

fn locks(bench: &Bench) -> [u8; 2] {
    [bench.image().config()[87], bench.image().config()[86]]
}

/// A chip whose configuration is locked, with a key in its attestation slot, which takes none later.
fn configured() -> Bench {
    let bench = Bench::new();
    own_configuration(&bench);
    let output = bench.run(&LOCK_CONFIG);
    assert!(output.status.success(), "{output:?}");
    bench.chip().generate_key(Slot::new(1).unwrap(), Before::Empty).unwrap();
    bench
}

#[test]
fn a_dry_run_lists_what_becomes_permanent_and_changes_nothing() {
    let bench = Bench::new();
    own_configuration(&bench);
    let before = bench.image();
    let output = bench.run(&["lock", "config"]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    for part in [
        "what `lock config` would make permanent",
        "slot  0  P-256 private key: signs, ECDH, GenKey makes a new key, authorisation with key 5 required, lockable",
        "address  0x60",
        "To do it: atecc608 lock config --lock-forever\n",
        "No command, reset or tool can undo it",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(bench.image(), before);
    assert_eq!(bench.json(&["lock", "config"])["result"], "would-lock");
}

#[test]
fn a_configuration_is_locked_once_and_data_and_slots_are_not() {
    let bench = Bench::new();
    own_configuration(&bench);
    assert_eq!(bench.json(&LOCK_CONFIG)["result"], "locked");
    assert_eq!(locks(&bench), [0x00, 0x55]);
    assert_eq!(bench.json(&LOCK_CONFIG)["result"], "already-locked");
    assert_eq!(bench.run(&LOCK_CONFIG).status.code(), Some(0));
}

#[test]
fn a_factory_configuration_or_one_with_a_danger_is_locked_only_with_accept_dangers() {
    let bench = Bench::new();
    let output = bench.run(&LOCK_CONFIG);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("these are the factory settings of the slots")
            && stderr(&output).contains("--accept-dangers")
    );
    assert_eq!(locks(&bench), [0x55, 0x55]);
    let dry = stdout(&bench.run(&["lock", "config"]));
    assert!(dry.contains("lock config --lock-forever --accept-dangers"), "{dry}");
    assert_eq!(bench.json(&[&LOCK_CONFIG[..], &["--accept-dangers"]].concat())["result"], "locked");
}

#[test]
fn a_configuration_that_is_not_the_expected_one_is_not_locked() {
    let bench = Bench::new();
    own_configuration(&bench);
    let output = bench.run(&["lock", "config", "--expect", "profile:tls-pin", "--lock-forever"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("differs from profile:tls-pin") && text.contains("slot 13"), "{text}");
    assert_eq!(locks(&bench), [0x55, 0x55]);
    let output = bench.run(&["lock", "config", "--expect", "own.hex", "--lock-forever"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_configuration_that_silicon_never_had_is_locked_into_a_real_chip_only_on_demand() {
    let kernel = Kernel::with_a_real_serial_number();
    let run = |arguments: &[&str]| kernel.command(arguments).output().unwrap();
    let simulated = || {
        let info: serde_json::Value = serde_json::from_slice(&run(&["info", "--json"]).stdout).unwrap();
        info["simulated"].as_bool().unwrap()
    };
    // On a simulator's own bus it would count as simulated, with any serial number.
    kernel.configure(&format!("bus = \"unix:{}\"\n", kernel.bench.path("socket").display()));
    assert!(simulated());
    kernel.configure("bus = \"/dev/i2c-1\"\n");
    assert!(!simulated());
    assert!(run(&["config", "set", "profile:tls-pin"]).status.success());
    let refused = run(&LOCK_CONFIG);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("have not locked this configuration on real silicon")
            && stderr(&refused).contains("--unproven")
    );
    assert_eq!(kernel.bench.image().config()[86..88], [0x55, 0x55]);
    assert!(stdout(&run(&["lock", "config"])).contains("atecc608 lock config --lock-forever --unproven\n"));
    let insisted = run(&[&LOCK_CONFIG[..], &["--unproven"]].concat());
    assert!(insisted.status.success(), "{insisted:?}");
    assert_eq!(kernel.bench.image().config()[86..88], [0x55, 0x00]);
    // The same for provisioning, which continues from there.
    let refused = run(&["provision", "tls-pin", "--lock-forever", "--recovery-code-file", "code"]);
    assert!(stderr(&refused).contains("--unproven"), "{refused:?}");
    assert_eq!(kernel.bench.image().config()[86..88], [0x55, 0x00]);
}

#[test]
fn a_simulated_chip_behind_a_node_of_the_kernel_is_one_by_its_serial_number() {
    let kernel = Kernel::new();
    let run = |arguments: &[&str]| kernel.command(arguments).output().unwrap();
    let info = stdout(&run(&["info"]));
    assert!(info.contains("simulated: its keys are in a file and protect nothing"), "{info}");
    assert!(run(&["config", "set", "profile:tls-pin"]).status.success());
    let shown = stdout(&run(&["lock", "config"]));
    assert!(shown.contains("atecc608 lock config --lock-forever\n"), "{shown}");
    let locked = run(&LOCK_CONFIG);
    assert!(locked.status.success(), "{locked:?}");
    // An unnecessary option is not refused.
    let provisioned = run(&["provision", "tls-pin", "--lock-forever", "--unproven", "--recovery-code-file", "code"]);
    assert!(provisioned.status.success(), "{provisioned:?}");
    assert_eq!(kernel.bench.image().config()[86..88], [0x00, 0x00]);
    assert!(kernel.bench.key_file().exists(), "beside the configuration");
}

#[test]
fn a_508_and_a_blank_chip_s_data_and_slots_are_refused() {
    let bench = Bench::with_chip(Profile::Blank508A);
    let output = bench.run(&LOCK_CONFIG);
    assert!(stderr(&output).contains("an ATECC508A, not an ATECC608"), "{}", stderr(&output));
    let bench = Bench::new();
    let before = bench.image();
    assert!(stderr(&bench.run(&LOCK_DATA)).contains("is not locked: lock it first with `atecc608 lock config`"));
    assert!(stderr(&bench.run(&["lock", "slot", "0", "--lock-forever"])).contains("once both zones are"));
    assert_eq!(bench.image(), before);
    assert_eq!(bench.run(&["lock", "slot", "16"]).status.code(), Some(2));
}

#[test]
fn data_are_written_as_the_file_says_and_locked_and_secrets_not_given_are_random() {
    let bench = configured();
    std::fs::write(
        bench.path("contents.toml"),
        "otp = \"4142\"\n[[slot]]\nslot = 8\nvalue = \"cafe\"\n[[slot]]\nslot = 6\nvalue = \"0102030405060708\"\n",
    )
    .unwrap();
    let before = bench.image();
    let dry = bench.run(&["lock", "data", "--contents", "contents.toml"]);
    let text = stdout(&dry);
    for part in [
        "slot  1  P-256 private key   gets nothing: it holds a key, which may have come from outside",
        "slot  2  P-256 private key   gets nothing: it holds no key",
        "slot  6  secret              gets the bytes of the file",
        "slot  9  AES keys            gets random bytes, kept nowhere",
        "slot 10  data                gets zeros",
        "To do it: atecc608 lock data --contents contents.toml --lock-forever",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(bench.image(), before);
    let report = bench.json(&["lock", "data", "--contents", "contents.toml", "--lock-forever"]);
    assert_eq!(report["result"], "locked", "{report:#}");
    let image = bench.image();
    assert_eq!(locks(&bench), [0, 0]);
    assert_eq!((&image.otp()[..3], &image.slot(8)[..3]), (&b"AB\0"[..], &[0xCA, 0xFE, 0][..]));
    assert_eq!(image.slot(6)[..10], [1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
    assert!(image.slot(10).iter().all(|byte| *byte == 0));
    assert!(image.slot(9).chunks(8).all(|part| part.iter().any(|byte| *byte != 0xFF && *byte != 0)));
    assert_eq!(image.slot(1), before.slot(1), "a private key is left alone");
    assert_eq!(bench.json(&LOCK_DATA)["result"], "already-locked");
}

/// The vendor's test configuration has public keys that need validation, and keys whose uses CountMatch limits.
#[test]
fn public_keys_get_the_chips_own_mark_and_the_limit_of_uses_is_the_highest() {
    let bench = stopped_between_locks(Profile::VendorTest);
    let limit = usize::from(bench.image().config()[18] >> 4);
    let dry = stdout(&bench.run(&["lock", "data"]));
    assert!(dry.contains("gets the highest limit for keys with limited use, then zeros"), "{dry}");
    assert_eq!(bench.json(&[&LOCK_DATA[..], &["--accept-dangers"]].concat())["result"], "locked");
    // 2 097 120, the highest multiple of 32 below the counter's end, twice.
    assert_eq!(bench.image().slot(limit)[..8], [0xE0, 0xFF, 0x1F, 0, 0xE0, 0xFF, 0x1F, 0]);
    assert!((9..16).any(|slot| bench.image().slot(slot)[0] == 0xA0), "not validated");
}

#[test]
fn the_slots_of_a_profile_with_other_settings_are_locked_only_on_request() {
    let bench = Bench::new();
    assert!(bench.run(&["config", "set", "profile:tls-pin"]).status.success());
    bench.tamper(|config| config[70] = 1);
    let output = bench.run(&LOCK_CONFIG);
    let text = stderr(&output);
    for part in ["these are the slots of the profile tls-pin, but not its secure_boot", "config set profile:tls-pin"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(locks(&bench), [0x55, 0x55]);
    assert!(bench.run(&["config", "set", "profile:tls-pin"]).status.success());
    assert!(stdout(&bench.run(&LOCK_CONFIG)).ends_with("Next: atecc608 provision tls-pin\n"));
}

#[test]
fn what_another_tool_has_put_into_the_slots_can_be_kept_unseen() {
    let bench = configured();
    let slot = Slot::new(8).unwrap();
    bench.chip().write_slot(slot, &[0x5A; 416]).unwrap();
    let before = bench.image();
    let report = bench.json(&["lock", "data", "--keep", "--lock-forever"]);
    assert_eq!(report["result"], "locked", "{report:#}");
    assert_eq!(bench.image().slot(8), before.slot(8));
    assert_eq!(bench.image().otp(), before.otp());
}

#[test]
fn a_permanent_slot_without_its_key_and_a_chip_of_our_own_profile_are_not_locked() {
    let bench = Bench::new();
    own_configuration(&bench);
    assert!(bench.run(&LOCK_CONFIG).status.success());
    let output = bench.run(&LOCK_DATA);
    assert!(
        stderr(&output).contains("slot 1: holds no key, and after the data lock none can be generated"),
        "{output:?}"
    );
    assert_eq!(locks(&bench), [0x00, 0x55]);

    let bench = Bench::new();
    assert!(bench.run(&["config", "set", "profile:tls"]).status.success());
    assert!(bench.run(&[&LOCK_CONFIG[..], &["--accept-dangers"]].concat()).status.success());
    let output = bench.run(&[&LOCK_DATA[..], &["--accept-dangers"]].concat());
    assert!(stderr(&output).contains("`atecc608 provision tls` fills its slots"), "{output:?}");
    assert_eq!(locks(&bench), [0x00, 0x55]);
    // And that works.
    bench.provision();
}

#[test]
fn contents_that_do_not_fit_are_refused_before_anything_is_written() {
    let bench = configured();
    let before = bench.image();
    for (text, problem) in [
        ("[[slot]]\nslot = 0\nvalue = \"00\"\n", "c.toml:2: slot.slot: 0 is for a private key"),
        ("[[slot]]\nslot = 5\nvalue = \"0\"\n", "c.toml:3: slot.value: expected hex digits"),
        ("[[slot]]\nslot = 5\n", "slot.value is missing"),
        ("otp = \"\"\n", "otp: expected 1 to 64 bytes, found 0"),
        (
            "[[slot]]\nslot = 8\nvalue = \"00\"\n[[slot]]\nslot = 8\nvalue = \"00\"\n",
            "c.toml:5: slot.slot: this slot is listed twice",
        ),
        ("secret = 3\n", "unknown key secret"),
    ] {
        std::fs::write(bench.path("c.toml"), text).unwrap();
        let output = bench.run(&["lock", "data", "--contents", "c.toml", "--lock-forever"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(problem), "{problem:?}: {}", stderr(&output));
    }
    assert_eq!(bench.image(), before);
}

#[test]
fn a_slot_with_its_key_is_locked_and_keeps_it() {
    let bench = Bench::new();
    bench.provision();
    let empty = bench.run(&["lock", "slot", "0", "--lock-forever"]);
    assert!(stderr(&empty).contains("slot 0 holds no key, and after the lock it can never get one"), "{empty:?}");
    let slot = Slot::new(0).unwrap();
    let key = bench.chip().generate_key(slot, Before::Empty).unwrap();
    let dry = bench.run(&["lock", "slot", "0"]);
    assert!(stdout(&dry).contains("-----BEGIN PUBLIC KEY-----"), "{dry:?}");
    assert_eq!(bench.image().config()[88..90], [0xFF, 0xFF]);
    assert_eq!(bench.json(&["lock", "slot", "0", "--lock-forever"])["result"], "locked");
    assert_eq!(bench.image().config()[88..90], [0xFE, 0xFF]);
    assert_eq!(bench.json(&["lock", "slot", "0", "--lock-forever"])["result"], "already-locked");
    assert!(bench.chip().generate_key(slot, Before::Holds(key)).is_err(), "the chip keeps it");
    let fixed = bench.run(&["lock", "slot", "1", "--lock-forever"]);
    assert!(stderr(&fixed).contains("KeyConfig.Lockable is 0"), "{fixed:?}");
    let data = stdout(&bench.run(&["lock", "slot", "8"]));
    assert!(data.contains("416 bytes, all 00"), "{data}");
}

#[test]
fn power_lost_at_any_moment_leaves_a_chip_that_a_second_run_finishes() {
    // These bytes reach the chip's memory.
    for (command, expected, step, at_least) in
        [(&LOCK_CONFIG[..], [0x00, 0x55], 1, 1), (&LOCK_DATA, [0x00, 0x00], 301, 900)]
    {
        let mut finished = false;
        for bytes in (0..).step_by(step) {
            let (bench, _server) = served();
            own_configuration(&bench);
            if expected[1] == 0 {
                assert!(bench.run(&LOCK_CONFIG).status.success());
            }
            let arguments = [command, &["--accept-dangers"]].concat();
            control(&bench, &["faults", &format!("power@{bytes}")]);
            let first = bench.run(&arguments);
            if first.status.success() {
                finished = true;
            } else if stderr(&first).contains("stopped while") {
                assert!(stderr(&first).contains("run ") && stderr(&first).contains("again"), "{}", stderr(&first));
            }
            control(&bench, &["faults", "none"]);
            control(&bench, &["power-on"]);
            let second = bench.run(&arguments);
            assert!(second.status.success(), "{bytes}: {second:?}");
            assert_eq!(locks(&bench), expected, "{bytes}");
            if finished {
                assert!(bytes >= at_least, "more is written than {bytes} bytes");
                break;
            }
        }
    }
}
