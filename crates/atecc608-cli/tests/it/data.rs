// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 data read` and `data write`: the contents of a slot, as far as its configuration allows.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::sold::with_chip;
use crate::support::x509::{ecparam_key, ok, openssl};
use crate::support::{control, serve, served, slot, stderr, stdout, Bench};
use atecc608_sim::image::Part;
use atecc608_sim::Profile;
use atecc608_wire::config_zone::offset;
use serde_json::Value;

/// The known key in slot 4 of the configuration of the vendor's unit tests (fact sheet section 6b).
const KNOWN_KEY: &str = "3780E63D4968ADE5D822C013FCC323845D1B569FE705B60006FEEC145A0DB1E3";

/// The vendor's test configuration; the file `key` holds the known key, with which slot 8 is read and written.
fn vendor() -> Bench {
    let bench = with_chip(Profile::VendorTest);
    std::fs::write(bench.path("key"), KNOWN_KEY).unwrap();
    bench
}

/// The example configuration of the vendor's PKCS#11 module.
fn example() -> Bench {
    with_chip(Profile::VendorPkcs11)
}

fn bytes(len: usize, first: u8) -> Vec<u8> {
    (0..len).map(|at| first.wrapping_add(at as u8)).collect()
}

fn write(bench: &Bench, data: &[u8], arguments: &[&str]) -> Output {
    std::fs::write(bench.path("data"), data).unwrap();
    bench.run(&[&["data", "write", "data"], arguments].concat())
}

fn read(bench: &Bench, arguments: &[&str]) -> Vec<u8> {
    let output = bench.run(&[&["data", "read"], arguments].concat());
    ok(&output);
    output.stdout
}

#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    for part in parts {
        assert!(stderr(output).contains(part), "{part:?}: {output:?}");
    }
}

#[test]
fn a_slot_in_clear_keeps_what_is_written_at_any_offset_and_all_beside_it() {
    let bench = example();
    let whole = bytes(416, 1);
    ok(&write(&bench, &whole, &["--slot", "8"]));
    assert_eq!(bench.image().slot(8), whole);
    let part = bytes(37, 0x80);
    ok(&write(&bench, &part, &["--slot", "8", "--offset", "51"]));
    let mut expected = whole;
    expected[51..88].copy_from_slice(&part);
    assert_eq!(bench.image().slot(8), expected);
    assert_eq!(read(&bench, &["--slot", "8"]), expected);
    assert_eq!(read(&bench, &["--slot", "8", "--offset", "51", "--length", "37"]), part);
    ok(&write(&bench, b"end", &["--slot", "8", "--offset", "413"]));
    assert_eq!(&bench.image().slot(8)[410..], [&expected[410..413], b"end"].concat());
}

#[test]
fn the_result_is_bytes_hex_digits_json_or_a_file() {
    let bench = example();
    ok(&write(&bench, b"\x00\xffAB", &["--slot", "10"]));
    let place = ["--slot", "10", "--length", "4"];
    assert_eq!(read(&bench, &place), b"\x00\xffAB");
    assert_eq!(read(&bench, &[&place[..], &["--hex"]].concat()), b"00ff4142\n");
    let json = bench.json(&[&["data", "read"], &place[..]].concat());
    assert_eq!((&json["data"], &json["slot"], &json["length"]), (&"00ff4142".into(), &10.into(), &4.into()));
    assert_eq!(read(&bench, &[&place[..], &["--output", "out"]].concat()), b"");
    assert_eq!(std::fs::read(bench.path("out")).unwrap(), b"\x00\xffAB");
    refused(&bench.run(&["data", "read", "--slot", "10", "--output", "out"]), &["the file exists", "--force"]);
    let written = bench.json(&["data", "write", "data", "--slot", "10"]);
    assert_eq!((&written["result"], &written["verified"]), (&"unchanged".into(), &true.into()));
}

#[test]
fn only_what_differs_is_sent_in_4_bytes_where_a_block_is_not_whole() {
    let (bench, _server) = served_example();
    ok(&write(&bench, &bytes(72, 1), &["--slot", "10"]));
    // Writes that it accepts.
    let cost = |data: &[u8], arguments: &[&str]| {
        stats(&bench);
        ok(&write(&bench, data, arguments));
        stats(&bench)["commands"]["Write"].as_u64().unwrap_or(0)
    };
    assert_eq!(cost(&bytes(72, 1), &["--slot", "10"]), 0);
    assert_eq!(cost(&bytes(72, 2), &["--slot", "10"]), 3);
    assert_eq!(cost(b"xxxxxxxxx", &["--slot", "10", "--offset", "2"]), 3, "words 0 to 2");
    assert_eq!(cost(b"xxxx", &["--slot", "10", "--offset", "3"]), 0);
    assert_eq!(cost(&[b'y'; 33], &["--slot", "10"]), 2, "a block and a word");
}

#[test]
fn a_slot_read_and_written_with_a_key_crosses_the_bus_encrypted() {
    let bench = vendor();
    let data = bytes(96, 7);
    ok(&write(&bench, &data, &["--slot", "8", "--offset", "32", "--key-file", "key"]));
    assert_eq!(&bench.image().slot(8)[32..128], data);
    assert_eq!(read(&bench, &["--slot", "8", "--offset", "32", "--length", "96", "--key-file", "key"]), data);
    // Both with the same key: the slot is readable, and so accepts any place.
    ok(&write(&bench, b"here", &["--slot", "8", "--offset", "34", "--key-file", "key"]));
    assert_eq!(&bench.image().slot(8)[32..40], [&data[..2], b"here", &data[6..8]].concat());
    let wire = bench
        .command(&["data", "read", "--slot", "8", "--length", "64", "--key-file", "key", "--hex"])
        .env("ATECC608_LOG", "trace")
        .output()
        .unwrap();
    let plain = stdout(&wire).trim().to_owned();
    assert!(!stderr(&wire).to_lowercase().contains(&plain[64..96]), "the log shows what the slot holds");
    ok(&bench.run(&["data", "read", "--slot", "8", "--key-file", "key", "--output", "secret"]));
    let mode = bench.path("secret").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_wrong_key_neither_reads_nor_writes() {
    let bench = vendor();
    std::fs::write(bench.path("wrong"), [0x11; 32]).unwrap();
    let before = bench.image();
    let parts = ["does not hold the key in slot 4", "--key-file"];
    refused(&bench.run(&["data", "read", "--slot", "8", "--key-file", "wrong"]), &parts);
    refused(&write(&bench, &[1; 32], &["--slot", "8", "--key-file", "wrong"]), &parts);
    let parts = ["with the key in slot 4", "--key-file FILE", "the IO protection key"];
    refused(&bench.run(&["data", "read", "--slot", "8"]), &parts);
    refused(&write(&bench, &[1; 32], &["--slot", "8"]), &parts);
    refused(&write(&bench, &[1; 32], &["--slot", "13", "--key-file", "key"]), &["in clear", "leave it out"]);
    assert!(bench.image() == before);
}

#[test]
fn a_slot_that_can_not_be_read_takes_whole_blocks() {
    let bench = Bench::new();
    bench.provision();
    // Slot 9 of `tls`: AES keys, written with the IO protection key.
    let key = bench.key_file();
    let key = key.to_str().unwrap();
    ok(&write(&bench, &bytes(32, 1), &["--slot", "9", "--offset", "32", "--key-file", key]));
    assert_eq!(&bench.image().slot(9)[32..64], bytes(32, 1));
    let json = bench.json(&["data", "write", "data", "--slot", "9", "--key-file", key]);
    assert_eq!((&json["result"], &json["verified"]), (&"written".into(), &false.into()));
    for (len, offset) in [(16, "0"), (32, "4"), (33, "0")] {
        let output = write(&bench, &bytes(len, 1), &["--slot", "9", "--offset", offset, "--key-file", key]);
        refused(&output, &["multiples of 32", "--offset", "slot's end (72)"]);
    }
}

#[test]
fn rules_that_forbid_it_are_named_with_what_to_do() {
    let bench = vendor();
    let read = |slot: &str| bench.run(&["data", "read", "--slot", slot, "--key-file", "key"]);
    let write = |slot: &str| write(&bench, &[1; 32], &["--slot", slot, "--key-file", "key"]);
    let before = bench.image();
    refused(&read("0"), &["private key, which never leaves", "`atecc608 key public --slot 0`"]);
    refused(&write("0"), &["private key", "`atecc608 key import --slot 0`"]);
    refused(&read("6"), &["IsSecret is 1 and EncryptRead is 0", "`atecc608 info`"]);
    refused(&write("6"), &["can never be written", "its contents are permanent"]);
    refused(&write("4"), &["IO protection key", "`atecc608 pair`"]);
    assert!(bench.image() == before);
    bench.tamper(|config| {
        // Slot 13 is locked individually; slot 12 requires an authorisation with key 4.
        config[offset::SLOT_LOCKED + 1] &= !0x20;
        config[offset::KEY_CONFIG + 2 * 12..][..2].copy_from_slice(&[0xBC, 0x04]);
    });
    refused(&write("13"), &["individually locked"]);
    refused(&write("12"), &["authorisation with the key in slot 4 (ReqAuth)", "`atecc608 info`"]);
    // The key that encrypts: NoMac, limited use, a private key.
    for (low, part) in [(0x9F, "NoMac forbids"), (0xAF, "LimitedUse"), (0x8F, "")] {
        bench.tamper(|config| config[offset::SLOT_CONFIG + 2 * 4] = low);
        let output = bench.run(&["data", "read", "--slot", "8", "--length", "4", "--key-file", "key"]);
        assert_eq!(output.status.success(), part.is_empty(), "{output:?}");
        assert!(stderr(&output).contains(part), "{output:?}");
    }
    bench.tamper(|config| config[offset::SLOT_CONFIG + 2 * 8] = 0xC2);
    refused(&read("8"), &["key in slot 2, which is for a private key"]);
}

#[test]
fn before_the_data_lock_the_error_says_what_to_do() {
    let bench = Bench::new();
    let check = |part: &str| {
        for output in [bench.run(&["data", "read", "--slot", "8"]), write(&bench, b"x", &["--slot", "8"])] {
            refused(&output, &[part, "`atecc608 provision tls`", "`atecc608 lock data --contents FILE`"]);
        }
    };
    check("blank");
    ok(&bench.run(&["config", "set", "profile:tls"]));
    ok(&bench.run(&["lock", "config", "--lock-forever", "--accept-dangers"]));
    check("half provisioned");
}

#[test]
fn places_outside_the_slot_and_files_that_do_not_fit_are_refused() {
    let bench = example();
    for (offset, len) in [("72", "1"), ("71", "2"), ("0", "0"), ("18446744073709551615", "2")] {
        let output = bench.run(&["data", "read", "--slot", "10", "--offset", offset, "--length", len]);
        refused(&output, &["slot 10 has 72 bytes", "--offset"]);
    }
    refused(&bench.run(&["data", "read", "--slot", "10", "--offset", "73"]), &["slot 10 has 72 bytes"]);
    for (len, offset) in [(73, "0"), (2, "71"), (1, "72"), (1, "18446744073709551615")] {
        refused(
            &write(&bench, &bytes(len, 1), &["--slot", "10", "--offset", offset]),
            &["slot 10 has 72 bytes", "--offset"],
        );
    }
    refused(&write(&bench, b"", &["--slot", "10"]), &["it is empty"]);
    assert_eq!(bench.run(&["data", "read", "--slot", "16"]).status.code(), Some(2));
    let both = ["data", "write", "-", "--slot", "8", "--key-file", "-"];
    refused(&bench.run(&both), &["standard input (-) can be read once only"]);
}

#[test]
fn what_this_software_keeps_in_a_slot_is_left_to_its_own_command() {
    let bench = Bench::new();
    bench.provision();
    refused(&write(&bench, &[1; 32], &["--slot", "6", "--replace"]), &["IO protection key", "`atecc608 pair`"]);
    std::fs::write(bench.path("pin"), "12345678\n").unwrap();
    let pin = Bench::new();
    ok(&pin.run(&["provision", "tls-pin", "--lock-forever"]));
    for slot in ["5", "7"] {
        let key = pin.key_file();
        let output = write(&pin, &[1; 32], &["--slot", slot, "--replace", "--key-file", key.to_str().unwrap()]);
        refused(&output, &["a secret of the PIN"]);
    }
}

#[test]
fn a_certificate_of_the_token_in_slot_8_is_not_written_over() {
    let bench = Bench::new();
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), config + "certificates = \"chip\"\n").unwrap();
    bench.provision();
    ok(&bench.run(&["key", "generate"]));
    ok(&bench.run(&["csr", "--subject", "/CN=x", "--output", "r.csr"]));
    // Without extensions it fits.
    ecparam_key(bench.dir.path(), "ca.key");
    openssl(bench.dir.path(), "req -x509 -new -key ca.key -subj /CN=y -out ca.pem");
    openssl(bench.dir.path(), "x509 -req -in r.csr -CA ca.pem -CAkey ca.key -out small.pem");
    ok(&bench.run(&["cert", "import", "small.pem"]));
    let before = bench.image();
    assert!(before.slot(8).starts_with(b"CRT1"), "the certificate is in the chip");
    refused(&write(&bench, b"x", &["--slot", "8", "--offset", "100", "--replace"]), &["`atecc608 cert remove`"]);
    assert!(bench.image() == before);
    ok(&bench.run(&["cert", "remove", "--label", "device"]));
    ok(&write(&bench, b"x", &["--slot", "8"]));
}

#[test]
fn data_that_a_rule_of_the_chip_depends_on_are_overwritten_only_on_request() {
    // A certificate of a chip as sold, in a slot that can still be written.
    let bench = with_chip(Profile::CryptoAuthTools);
    bench.change(|image| {
        let code = *b"MKMwyhP1";
        image.part_mut(Part::Otp).fill(0);
        image.part_mut(Part::Otp)[..8].copy_from_slice(&code);
    });
    let before = bench.image();
    let output = write(&bench, &[1; 72], &["--slot", "10"]);
    refused(&output, &["certificates that the chip was sold with", "--replace"]);
    assert!(bench.image() == before);
    ok(&write(&bench, &[1; 72], &["--slot", "10", "--replace"]));
    assert_eq!(bench.image().slot(10), [1; 72]);
    // The key of mongoose-os's encrypted writes, and the limit of the vendor's keys with limited use.
    let mos = with_chip(Profile::MongooseOs);
    refused(&write(&mos, &[1; 32], &["--slot", "4"]), &["the key that encrypts what is written to slot", "--replace"]);
    ok(&write(&mos, &[1; 32], &["--slot", "4", "--replace"]));
    assert_eq!(&mos.image().slot(4)[..32], [1; 32]);
    refused(&write(&vendor(), &[0; 8], &["--slot", "10"]), &["the limit of keys with limited use", "--replace"]);
    refused(&write(&vendor(), &[0; 72], &["--slot", "15"]), &["validates the one in slot 14", "--replace"]);
}

#[test]
fn a_public_key_that_is_to_be_validated_counts_as_not_validated_after_a_write() {
    let bench = vendor();
    let mut key = bytes(72, 0);
    key[..4].fill(0);
    bench.change(|image| {
        let stored = image.part_mut(Part::Slot(slot(14)));
        stored.copy_from_slice(&key);
        stored[0] = 0x50;
    });
    let json = |data: &[u8]| {
        std::fs::write(bench.path("data"), data).unwrap();
        bench.json(&["data", "write", "data", "--slot", "14"])
    };
    assert_eq!(json(&key)["result"], "unchanged");
    assert_eq!(bench.image().slot(14)[0], 0x50);
    key[71] ^= 1;
    // WriteConfig of slot 14 is Always in this configuration.
    let written = json(&key);
    assert_eq!((&written["result"], &written["verified"]), (&"written".into(), &true.into()), "{written}");
    assert_eq!((bench.image().slot(14)[0] & 0xF0, bench.image().slot(14)[71]), (0xA0, key[71]));
    // PubInvalid: only while it is not validated.
    bench.tamper(|config| config[offset::SLOT_CONFIG + 2 * 14 + 1] = 0x1F);
    bench.change(|image| image.part_mut(Part::Slot(slot(14)))[0] = 0x50);
    key[71] ^= 1;
    refused(&write(&bench, &key, &["--slot", "14"]), &["is validated", "`atecc608 info`"]);
}

fn served_example() -> (Bench, crate::support::Server) {
    let (bench, server) = served();
    drop(server);
    std::fs::remove_file(bench.path("socket")).unwrap();
    std::fs::remove_file(bench.chip_file()).unwrap();
    let server = serve(&bench, &["--profile", Profile::VendorPkcs11.name()]);
    (bench, server)
}

/// Returns what the simulator has counted since the last call.
fn stats(bench: &Bench) -> Value {
    let output = std::process::Command::new(atecc608_testkit::built::simulator())
        .args(["stats", "--reset", "--socket"])
        .arg(bench.path("socket"))
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_write_that_was_cut_off_is_finished_by_the_same_command() {
    let (bench, _server) = served_example();
    let data = bytes(416, 3);
    for cut in [1, 32, 100, 415] {
        control(&bench, &["faults", &format!("power@{cut}")]);
        let output = write(&bench, &data, &["--slot", "8"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        control(&bench, &["faults", "none"]);
        control(&bench, &["power-on"]);
        ok(&write(&bench, &data, &["--slot", "8"]));
        assert_eq!(read(&bench, &["--slot", "8"]), data);
        ok(&write(&bench, &[0; 416], &["--slot", "8"]));
    }
}

#[test]
fn a_lost_reply_neither_loses_nor_repeats_anything_that_shows() {
    let (bench, _server) = served_example();
    let data = bytes(416, 9);
    for nth in [3, 20, 25] {
        control(&bench, &["faults", &format!("drop@{nth}")]);
        ok(&write(&bench, &data, &["--slot", "8"]));
        assert_eq!(read(&bench, &["--slot", "8"]), data);
        control(&bench, &["faults", "none"]);
        ok(&write(&bench, &[0; 416], &["--slot", "8"]));
    }
}
