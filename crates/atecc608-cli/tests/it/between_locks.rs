// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys between the locks: `key generate --slot N` and `key import --slot N` after `lock config` and before `lock
//! data`, with a custom configuration in which slot 2 takes no key later.

use crate::support::x509::{ecparam_key, ok, openssl, refused};
use crate::support::{control, hex, served, stderr, stdout, Bench};
use serde_json::Value;

const LOCK_CONFIG: [&str; 3] = ["lock", "config", "--lock-forever"];
const LOCK_DATA: [&str; 3] = ["lock", "data", "--lock-forever"];
const TEST_SLOT: usize = 2;

/// `tls-pin` with a slot 2 that is permanent and requires no PIN.
pub fn own_configuration(bench: &Bench) {
    ok(&bench.run(&["config", "set", "profile:tls-pin"]));
    let mut bytes = hex(stdout(&bench.run(&["config", "get", "--format", "hex"])).trim());
    bytes[20 + 2 * TEST_SLOT..][..2].copy_from_slice(&[0x85, 0x00]);
    bytes[96 + 2 * TEST_SLOT..][..2].copy_from_slice(&[0x33, 0x00]);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(bench.path("own.hex"), digits).unwrap();
    ok(&bench.run(&["config", "set", "own.hex"]));
}

/// The same, locked.
pub fn lock_own_configuration(bench: &Bench) {
    own_configuration(bench);
    ok(&bench.run(&LOCK_CONFIG));
}

/// The same with a key in a file, and slot 1's key generated.
fn configured() -> Bench {
    let bench = Bench::new();
    lock_own_configuration(&bench);
    ecparam_key(bench.dir.path(), "mine.key");
    ok(&bench.run(&["key", "generate", "--slot", "1"]));
    bench
}

fn key(bench: &Bench) -> Value {
    bench.json(&["key", "public", "--slot", "2"])
}

fn public_key_of_file(bench: &Bench) -> String {
    openssl(bench.dir.path(), "pkey -in mine.key -pubout")
}

#[test]
fn the_order_configuration_lock_keys_data_lock_ends_with_keys_that_sign() {
    let bench = Bench::new();
    lock_own_configuration(&bench);
    let refusal = bench.run(&LOCK_DATA);
    assert!(stderr(&refusal).contains("slot 1: holds no key") && stderr(&refusal).contains("key generate --slot 1"));
    let first = stdout(&bench.run(&["key", "generate", "--slot", "1"]));
    assert!(first.contains("Next: atecc608 key generate --slot 2\n"), "{first}");
    let second = stdout(&bench.run(&["key", "generate", "--slot", "2", "--label", "device"]));
    assert!(second.contains("Next: atecc608 lock data\n"), "{second}");
    assert!(stdout(&bench.run(&["lock", "data"])).contains("To do it: atecc608 lock data --lock-forever\n"));
    ok(&bench.run(&LOCK_DATA));
    ok(&bench.run(&["csr", "--key", "device", "--subject", "/CN=x", "--output", "r.csr"]));
    openssl(bench.dir.path(), "req -in r.csr -noout -verify");
}

#[test]
fn a_generated_key_is_said_to_be_born_in_the_chip_and_an_imported_one_is_not() {
    let bench = configured();
    let born = bench.json(&["key", "generate", "--slot", "2"]);
    let imported = bench.json(&["key", "import", "mine.key", "--slot", "3", "--label", "mine"]);
    assert_eq!((&born["born_in_chip"], &imported["born_in_chip"]), (&true.into(), &false.into()));
    assert_eq!(imported["public_key"], public_key_of_file(&bench));
    ok(&bench.run(&[&LOCK_DATA[..], &["--accept-dangers"]].concat()));
    // Slot 3 requires the PIN, which nobody has; the state has the same entry for both.
    assert_eq!(key(&bench)["born_in_chip"], true);
    let state = std::fs::read_to_string(bench.path("state").join(bench.serial()).join("state.toml")).unwrap();
    assert_eq!(state.matches("imported = true").count(), 1, "{state}");
}

#[test]
fn an_imported_key_in_a_permanent_slot_stays_one_after_the_data_lock() {
    let bench = configured();
    let output = bench.run(&["key", "import", "mine.key", "--slot", "2"]);
    ok(&output);
    assert!(stderr(&output).contains("crossed the bus in clear"), "{output:?}");
    ok(&bench.run(&LOCK_DATA));
    assert_eq!(key(&bench)["born_in_chip"], false);
    ok(&bench.run(&["csr", "--slot", "2", "--subject", "/CN=x", "--output", "r.csr"]));
    assert_eq!(openssl(bench.dir.path(), "req -in r.csr -noout -verify -pubkey"), public_key_of_file(&bench));
    // A lost state forgets that (docs/state.md).
    std::fs::remove_dir_all(bench.path("state")).unwrap();
    std::fs::create_dir(bench.path("state")).unwrap();
    assert_eq!(key(&bench)["born_in_chip"], true);
}

#[test]
fn a_key_that_is_imported_twice_has_its_default_id_twice_and_the_log_says_so() {
    let bench = configured();
    let first = bench.json(&["key", "import", "mine.key", "--slot", "2"]);
    let second = bench.run(&["key", "import", "mine.key", "--slot", "3", "--json"]);
    ok(&second);
    assert!(stderr(&second).contains("the keys in slots 2 and 3 are the same key"), "{second:?}");
    assert!(stdout(&second).contains(first["id"].as_str().unwrap()), "{second:?}");
}

#[test]
fn an_imported_attestation_key_attests_nothing() {
    let bench = Bench::new();
    lock_own_configuration(&bench);
    ecparam_key(bench.dir.path(), "mine.key");
    ok(&bench.run(&["key", "import", "mine.key", "--slot", "1"]));
    ok(&bench.run(&["key", "generate", "--slot", "2"]));
    ok(&bench.run(&LOCK_DATA));
    for arguments in [&["attest", "--public"][..], &["attest", "--slot", "2"]] {
        refused(&bench, &bench.run(arguments), &["its key was imported before the data lock"]);
    }
}

#[test]
fn a_slot_that_holds_a_key_is_overwritten_only_with_replace() {
    let bench = configured();
    let first = bench.json(&["key", "generate", "--slot", "2"]);
    let before = bench.image();
    for command in [&["key", "generate", "--slot", "2"][..], &["key", "import", "mine.key", "--slot", "2"]] {
        refused(&bench, &bench.run(command), &["slot 2 already holds a key", "--replace"]);
    }
    assert!(bench.image() == before);
    let imported = bench.json(&["key", "import", "mine.key", "--slot", "2", "--replace"]);
    assert_eq!(
        (&imported["public_key"], &imported["born_in_chip"]),
        (&public_key_of_file(&bench).into(), &false.into())
    );
    let second = bench.json(&["key", "generate", "--slot", "2", "--replace"]);
    assert_eq!(second["born_in_chip"], true);
    assert_ne!(first["public_key"], second["public_key"]);
    // The key that the slot holds already is accepted.
    ok(&bench.run(&["key", "import", "mine.key", "--slot", "3", "--label", "mine"]));
    ok(&bench.run(&["key", "import", "mine.key", "--slot", "3", "--label", "mine"]));
}

#[test]
fn what_is_mistyped_is_refused_with_what_to_do() {
    let bench = configured();
    ok(&bench.run(&["key", "generate", "--slot", "3", "--label", "taken"]));
    let before = bench.image();
    for (command, parts) in [
        (&["key", "generate"][..], &["add --slot N (slot 0, 1, 2, 3, 4 can; slot 2 must get a key now"][..]),
        (&["key", "import", "mine.key"], &["add --slot N"]),
        (&["key", "generate", "--label", "device"], &["add --slot N"]),
        (&["key", "generate", "--slot", "5"], &["slot 5 is not a key slot", "slot 0, 1, 2, 3, 4 can"]),
        (&["key", "import", "mine.key", "--slot", "8"], &["slot 8 is not a key slot", "slot 0, 1, 2, 3, 4 can"]),
        (&["key", "generate", "--slot", "2", "--label", "taken"], &["labels of private keys are unique"]),
        (&["key", "import", "own.hex", "--slot", "2"], &["own.hex"]),
        (&["key", "destroy", "--slot", "3", "--yes"], &["`atecc608 key generate --slot N --replace`"]),
        (&["csr", "--slot", "3", "--subject", "/CN=x"], &["half provisioned", "`atecc608 lock data`"]),
    ] {
        refused(&bench, &bench.run(command), parts);
    }
    assert!(bench.image() == before);
    ok(&bench.run(&["key", "generate", "--slot", "2"]));
    ok(&bench.run(&LOCK_DATA));
    refused(&bench, &bench.run(&["key", "generate", "--slot", "2", "--replace"]), &["`atecc608 key destroy` frees"]);
}

#[test]
fn a_chip_that_refuses_key_valid_is_locked_with_what_that_means() {
    let (bench, _server) = served();
    own_configuration(&bench);
    control(&bench, &["faults", "refuse@30:01:03"]);
    let locked = bench.run(&LOCK_CONFIG);
    ok(&locked);
    assert!(stdout(&locked).contains("the configuration is locked"), "{locked:?}");
    for command in [&["key", "generate", "--slot", "2"][..], &["key", "generate", "--slot", "2", "--replace"]] {
        refused(&bench, &bench.run(command), &["slot 2: the chip refuses to report whether it holds a key"]);
    }
    refused(&bench, &bench.run(&LOCK_DATA), &["slot 1: the chip refuses to report", "--accept-dangers"]);
    ok(&bench.run(&[&LOCK_DATA[..], &["--accept-dangers"]].concat()));
}

#[test]
fn a_chip_that_provision_finishes_takes_its_keys_afterwards() {
    let bench = Bench::new();
    ok(&bench.run(&["config", "set", "profile:tls"]));
    let locked = bench.run(&[&LOCK_CONFIG[..], &["--accept-dangers"]].concat());
    assert!(stdout(&locked).contains("Next: atecc608 provision tls\n"), "{locked:?}");
    refused(&bench, &bench.run(&["key", "generate", "--slot", "0"]), &["`atecc608 provision tls`"]);
}

#[test]
fn keys_are_listed_between_the_locks_and_pkcs11_has_none() {
    let bench = configured();
    ok(&bench.run(&["key", "generate", "--slot", "2", "--label", "device"]));
    let list = bench.json(&["key", "list"]);
    let slots: Vec<(u64, &str)> = list["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["slot"].as_u64().unwrap(), s["holds"].as_str().unwrap()))
        .collect();
    assert_eq!(slots, [(0, "empty"), (1, "key"), (2, "key"), (3, "empty"), (4, "empty")]);
    // Commands that sign or keep certificates use the token through PKCS#11.
    refused(&bench, &bench.run(&["cert", "self-sign", "--slot", "2", "--subject", "/CN=x"]), &["half provisioned"]);
}

/// A key has 36 bytes in the chip's memory.
#[test]
fn power_lost_at_any_moment_leaves_a_chip_that_the_same_command_finishes() {
    for (command, born) in
        [(&["key", "generate", "--slot", "2"][..], true), (&["key", "import", "mine.key", "--slot", "2"], false)]
    {
        for (bytes, finishes) in [(0, false), (1, false), (18, false), (36, false), (37, true)] {
            let (bench, _server) = served();
            lock_own_configuration(&bench);
            ecparam_key(bench.dir.path(), "mine.key");
            control(&bench, &["faults", &format!("power@{bytes}")]);
            assert_eq!(bench.run(command).status.success(), finishes, "{bytes}");
            control(&bench, &["faults", "none"]);
            control(&bench, &["power-on"]);
            if !finishes {
                ok(&bench.run(command));
            }
            assert_eq!(key(&bench)["born_in_chip"], born, "{bytes}");
        }
    }
}

/// The chip is removed during imports, and the user continues with the data lock.
#[test]
fn an_import_that_was_interrupted_anywhere_is_marked_if_the_key_is_there() {
    let (bench, _server) = served();
    lock_own_configuration(&bench);
    ecparam_key(bench.dir.path(), "mine.key");
    ok(&bench.run(&["key", "generate", "--slot", "1"]));
    let (mut transfer, mut interrupted) = (44, 0);
    loop {
        control(&bench, &["faults", &format!("pull@{transfer}")]);
        let finished = bench.run(&["key", "import", "mine.key", "--slot", "2", "--replace"]).status.success();
        control(&bench, &["faults", "none"]);
        control(&bench, &["insert"]);
        let there = bench.run(&["key", "public", "--slot", "2", "--json"]);
        if finished {
            break;
        }
        if there.status.success() {
            let there: Value = serde_json::from_slice(&there.stdout).unwrap();
            let is_imported = there["public_key"] == public_key_of_file(&bench);
            assert_eq!(there["born_in_chip"], !is_imported, "transfer {transfer}");
            if is_imported {
                interrupted += 1;
                // The next import must not find it.
                ok(&bench.run(&["key", "generate", "--slot", "2", "--replace"]));
            }
        }
        transfer += 6;
    }
    assert!(interrupted > 0);
    ok(&bench.run(&LOCK_DATA));
    assert_eq!(key(&bench)["born_in_chip"], false);
}

/// The response of GenKey is lost for good: the state still has the intent, and the chip the key.
#[test]
fn a_generation_with_an_unknown_outcome_is_finished_by_the_same_command() {
    let bench = configured();
    let state = bench.path("state").join(bench.serial()).join("state.toml");
    let before = std::fs::read_to_string(&state).unwrap();
    let made = bench.json(&["key", "generate", "--slot", "2", "--label", "device"]);
    let intent = "\n[[slot]]\nslot = 2\n\n[[slot.intent]]\npurpose = \"generate\"\nlabel = \"device\"\n";
    std::fs::write(&state, before + intent).unwrap();
    let again = bench.run(&["key", "generate", "--slot", "2", "--label", "device", "--json"]);
    ok(&again);
    assert!(stderr(&again).contains("was interrupted and took effect"), "{again:?}");
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again, made);
}

#[test]
fn an_import_with_an_unknown_outcome_is_marked_by_any_next_command() {
    let bench = configured();
    let state = bench.path("state").join(bench.serial()).join("state.toml");
    let before = std::fs::read_to_string(&state).unwrap();
    ok(&bench.run(&["key", "import", "mine.key", "--slot", "2"]));
    let after = std::fs::read_to_string(&state).unwrap();
    let point = after.split("public_key = ").last().unwrap().lines().next().unwrap();
    let intent = format!("\n[[slot]]\nslot = 2\n\n[[slot.intent]]\npurpose = \"import\"\nafter = {point}\n");
    std::fs::write(&state, before + &intent).unwrap();
    ok(&bench.run(&LOCK_DATA));
    assert_eq!(key(&bench)["born_in_chip"], false);
}
