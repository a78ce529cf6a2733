// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 trust`, and the public keys that root's other commands keep where only root writes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use atecc608_sim::{Image, Order, Profile};
use atecc608_token::configuration::KeptConfiguration;
use atecc608_token::io_key::KeyFile;
use serde_json::Value;

use crate::support::{run_as, stderr, stdout, Bench};

fn trusted(bench: &Bench) -> Vec<String> {
    let text = fs::read_to_string(bench.key_file().with_file_name(format!("{}.public", bench.serial()))).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// As OpenSSL reads the public key.
fn openssl_point(pem: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("key.pem"), folder.path().join("key.der"));
    fs::write(&file, pem.as_str().unwrap()).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["pkey", "-pubin", "-outform", "DER", "-in"]).arg(&file).arg("-out").arg(&out);
    assert!(openssl.status().unwrap().success());
    let der = fs::read(out).unwrap();
    base16ct::lower::encode_string(&der[der.len() - 65..])
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not tested: what root alone does");
    }
    is_root
}

#[test]
fn roots_key_commands_keep_the_public_keys_where_only_root_writes() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.provision();
    let one = bench.json(&["key", "generate", "--slot", "0"]);
    let two = bench.json(&["key", "generate", "--slot", "2"]);
    let lines = |keys: &[(u8, &Value)]| -> Vec<String> {
        keys.iter().map(|(slot, key)| format!("{slot} {}", openssl_point(&key["public_key"]))).collect()
    };
    assert_eq!(trusted(&bench), lines(&[(0, &one), (2, &two)]));
    assert!(bench.run(&["key", "destroy", "--slot", "0", "--yes"]).status.success());
    assert_eq!(trusted(&bench), lines(&[(2, &two)]));
}

#[test]
fn a_set_up_that_goes_on_with_the_key_of_an_interrupted_one_stores_it_too() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.provision();
    let key = bench.json(&["key", "generate", "--label", "gateway-1"]);
    // As if it had been killed after the generation.
    fs::remove_file(bench.key_file().with_file_name(format!("{}.public", bench.serial()))).unwrap();
    let setup = ["azure", "setup", "--device", "gateway-1", "--hub", "acme", "--dir", "azure", "--offline"];
    assert_eq!(bench.json(&setup)["key_generated"], false);
    assert_eq!(trusted(&bench), [format!("0 {}", openssl_point(&key["public_key"]))]);
}

#[test]
fn trust_stores_what_the_chip_shows_and_forgets_what_it_does_not() {
    let bench = Bench::new();
    bench.provision();
    let key = bench.json(&["key", "generate", "--slot", "0"]);
    let file = bench.key_file().with_file_name(format!("{}.public", bench.serial()));
    fs::write(&file, format!("3 {}\n", openssl_point(&key["public_key"]))).unwrap();
    let report = bench.json(&["trust"]);
    assert_eq!(report["serial_number"], bench.serial());
    assert_eq!(report["keys"][0]["slot"], 0);
    assert_eq!(report["keys"][0]["public_key"], key["public_key"]);
    assert_eq!(report["file"], file.display().to_string());
    assert_eq!(trusted(&bench), [format!("0 {}", openssl_point(&key["public_key"]))]);
    assert!(stdout(&bench.run(&["trust"])).contains("slot  0  \"device\""));
}

/// The configuration that is kept for the module.
fn kept(bench: &Bench) -> KeptConfiguration {
    KeptConfiguration::beside(&KeyFile::at(bench.key_file()))
}

#[test]
fn provision_keeps_the_configuration_and_trust_keeps_it_anew_whatever_the_file_has() {
    let bench = Bench::new();
    bench.provision();
    let chip = Image::load(&bench.chip_file()).unwrap().config();
    let (kept, serial) = (kept(&bench), chip.serial_number());
    assert_eq!(kept.load(&serial), Some(chip.fixed()));
    let mut wrong = chip.clone();
    wrong.as_bytes_mut()[100] ^= 1;
    for text in ["", "00"] {
        fs::write(kept.path(), text).unwrap();
        assert!(bench.run(&["trust"]).status.success());
        assert_eq!(kept.load(&serial), Some(chip.fixed()));
    }
    kept.store(&wrong).unwrap();
    assert_eq!(kept.load(&serial), Some(wrong.fixed()));
    assert!(bench.run(&["trust"]).status.success());
    assert_eq!(kept.load(&serial), Some(chip.fixed()));
}

#[test]
fn roots_key_commands_keep_the_configuration() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.provision();
    let kept = kept(&bench);
    fs::remove_file(kept.path()).unwrap();
    bench.json(&["key", "generate", "--slot", "0"]);
    let chip = Image::load(&bench.chip_file()).unwrap().config();
    assert_eq!(kept.load(&chip.serial_number()), Some(chip.fixed()));
}

#[test]
fn pairing_keeps_the_public_keys_of_a_chip_as_sold() {
    let bench = Bench::with_config(|dir| format!("bus = \"sim:{}\"\naddress = 0x35\n", dir.join("chip").display()));
    Order::of(Profile::TngTls).make().unwrap().image.save(&bench.chip_file()).unwrap();
    assert_eq!(bench.json(&["pair"])["result"], "paired");
    let public = bench.json(&["key", "public", "--slot", "0"]);
    assert!(trusted(&bench).contains(&format!("0 {}", openssl_point(&public["public_key"]))));
}

#[test]
fn a_member_of_the_group_can_not_vouch_for_keys() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.provision();
    assert!(bench.run(&["key", "generate", "--slot", "0"]).status.success());
    let before = trusted(&bench);
    for (name, mode) in [("", 0o755), ("state", 0o777), ("keys", 0o755), ("chip", 0o666), ("chip.lock", 0o666)] {
        fs::set_permissions(bench.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let output = run_as(&bench, &bench.command(&["trust"]), 65534, 65534);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("only root writes there: run this with sudo"), "{output:?}");
    assert_eq!(trusted(&bench), before);
}
