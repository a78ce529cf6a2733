// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 key`: private keys that are generated in the chip or written into it, and what prevents that.

use crate::support::x509::*;
use crate::support::{hex, stderr, stdout, Bench};
use atecc608_sim::Profile;
use atecc608_token::store::Store;

fn provisioned() -> Bench {
    let bench = Bench::new();
    bench.provision();
    bench
}

/// The public key of a file's private key, according to OpenSSL.
fn public_key(bench: &Bench, file: &str) -> String {
    openssl(bench.dir.path(), &format!("pkey -in {file} -pubout"))
}

#[test]
fn a_generated_key_has_its_label_id_and_slot_and_its_public_key_is_the_chips() {
    let bench = provisioned();
    let key = bench.json(&["key", "generate", "--label", "my key", "--id", "0A:0b", "--slot", "3"]);
    assert_eq!((&key["slot"], &key["label"], &key["id"]), (&3.into(), &"my key".into(), &"0a0b".into()));
    assert_eq!(
        (&key["born_in_chip"], &key["uri"]),
        (&true.into(), &"pkcs11:token=gateway;object=my%20key;type=private".into())
    );
    let xy = bench.chip().converse(|awake| awake.public_key(crate::support::slot(3))).unwrap().unwrap();
    let point = openssl_point(&bench, key["public_key"].as_str().unwrap());
    assert_eq!(point[point.len() - 64..], xy);
    assert_eq!(stdout(&bench.run(&["key", "public", "--key", "my key"])), key["public_key"].as_str().unwrap());
    ok(&bench.run(&["key", "public", "--slot", "3", "--der", "--output", "public.der"]));
    assert_eq!(std::fs::read(bench.path("public.der")).unwrap(), point);
}

/// A public key in DER, as OpenSSL converts it from PEM.
fn openssl_point(bench: &Bench, pem: &str) -> Vec<u8> {
    std::fs::write(bench.path("told.pem"), pem).unwrap();
    openssl(bench.dir.path(), "pkey -pubin -in told.pem -outform DER -out told.der");
    std::fs::read(bench.path("told.der")).unwrap()
}

#[test]
fn the_public_key_is_read_from_the_chip_even_where_the_state_says_another() {
    let bench = provisioned();
    let before = bench.json(&["key", "generate"]);
    // Another program, without access to the state, makes a new key in the slot.
    let xy = bench.chip().generate_key(crate::support::slot(0), holds(&bench)).unwrap();
    let now = bench.json(&["key", "public", "--slot", "0"]);
    assert_ne!(now["public_key"], before["public_key"]);
    assert!(openssl_point(&bench, now["public_key"].as_str().unwrap()).ends_with(&xy));
    ok(&bench.run(&["csr", "--slot", "0", "--subject", "/CN=x", "--output", "r.csr"]));
    let told = openssl(bench.dir.path(), "req -in r.csr -noout -verify -pubkey");
    assert_eq!(told, now["public_key"].as_str().unwrap());
}

fn holds(bench: &Bench) -> atecc608::ops::Before {
    bench.chip().slot_before_generation(crate::support::slot(0)).unwrap()
}

#[test]
fn a_private_key_is_imported_from_every_form_that_openssl_and_gnutls_write() {
    let bench = provisioned();
    let dir = bench.dir.path();
    std::fs::write(dir.join("pass"), "correct horse\n").unwrap();
    ecparam_key(dir, "parameters.key");
    openssl(dir, "ec -in parameters.key -out sec1.key");
    openssl(dir, "ec -in parameters.key -conv_form compressed -out compressed.key");
    openssl(dir, "ec -in parameters.key -no_public -out bare.key");
    openssl(dir, "ec -in parameters.key -outform DER -out sec1.der");
    openssl(dir, "pkcs8 -topk8 -nocrypt -in parameters.key -out pkcs8.key");
    openssl(dir, "pkcs8 -topk8 -nocrypt -in parameters.key -outform DER -out pkcs8.der");
    openssl(dir, "pkcs8 -topk8 -in parameters.key -passout file:pass -out encrypted.key");
    openssl(dir, "pkcs8 -topk8 -in parameters.key -passout file:pass -outform DER -out encrypted.der");
    tool(dir, "certtool", &["--load-privkey", "parameters.key", "--key-info", "--no-text", "--outfile", "gnutls.key"]);
    let expected = public_key(&bench, "parameters.key");
    for file in [
        "parameters.key",
        "sec1.key",
        "compressed.key",
        "bare.key",
        "sec1.der",
        "pkcs8.key",
        "pkcs8.der",
        "encrypted.key",
        "encrypted.der",
        "gnutls.key",
    ] {
        let key = bench.json(&["key", "import", file, "--passphrase-file", "pass", "--label", "imported"]);
        assert_eq!(key["public_key"], expected, "{file}: {key}");
        assert_eq!(
            (&key["slot"], &key["born_in_chip"]),
            (&4.into(), &false.into()),
            "an imported key was not born here"
        );
        ok(&bench.run(&["key", "destroy", "--key", "imported", "--yes"]));
    }
    let key = bench.json(&["key", "import", "pkcs8.key", "--label", "imported"]);
    assert_eq!(key["public_key"], expected);
    ok(&bench.run(&["csr", "--key", "imported", "--subject", "/CN=x", "--output", "r.csr"]));
    assert_eq!(openssl(dir, "req -in r.csr -noout -verify -pubkey"), expected);
}

#[test]
fn an_encrypted_keys_passphrase_is_asked_for_at_the_terminal_and_not_shown() {
    let bench = provisioned();
    let dir = bench.dir.path();
    std::fs::write(dir.join("pass"), "correct horse\n").unwrap();
    ecparam_key(dir, "plain.key");
    openssl(dir, "pkcs8 -topk8 -in plain.key -passout file:pass -out encrypted.key");
    let (shown, status) =
        at_terminal(&bench, &["key", "import", "encrypted.key"], "Passphrase of encrypted.key: ", "battery staple\n");
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("encrypted.key: the passphrase is wrong") && !shown.contains("battery"), "{shown}");
    let (shown, status) =
        at_terminal(&bench, &["key", "import", "encrypted.key"], "Passphrase of encrypted.key: ", "correct horse\n");
    assert_eq!(status, 0, "{shown}");
    assert_eq!(stdout(&bench.run(&["key", "public", "--key", "import"])), public_key(&bench, "plain.key"));
    // Corrected with backspace (which removes all of an ü), and with Ctrl-U; aborted with Ctrl-C.
    for (typed, wrong) in [("correct horü\x7fse\n", true), ("nonsense\x15correct horse\n", true), ("corr\x03", false)]
    {
        let (shown, status) = at_terminal(&bench, &["key", "import", "encrypted.key"], "Passphrase of", typed);
        assert_eq!(status, 1, "the slot already holds a key: {shown}");
        assert_eq!(shown.contains("no slot that permits the import of a private key is free"), wrong, "{shown}");
        assert_eq!(shown.contains("empty input"), !wrong, "{shown}");
    }
}

#[test]
fn keys_that_the_chip_cannot_hold_are_refused_before_it_is_asked() {
    let bench = provisioned();
    let dir = bench.dir.path();
    openssl(dir, "ecparam -name secp384r1 -genkey -out p384.key");
    openssl(dir, "genrsa -out rsa.key 2048");
    ecparam_key(dir, "ca.key");
    authority(dir, "ca.key", "ca.pem");
    let before = bench.image();
    for (file, parts) in [
        ("p384.key", &["this is a key of P-384", "P-256 (prime256v1) only", "`atecc608 key generate`"][..]),
        ("rsa.key", &["this is a key of RSA with 2048 bits"]),
        ("ca.pem", &["this is a certificate instead of its private key"]),
        ("nowhere", &["nowhere: No such file"]),
    ] {
        refused(&bench, &bench.run(&["key", "import", file]), &[&[file][..], parts].concat());
    }
    assert!(bench.image() == before);
}

#[test]
fn a_slot_not_for_keys_in_use_or_locked_is_refused_and_the_message_lists_the_usable_slots() {
    let bench = provisioned();
    ecparam_key(bench.dir.path(), "new.key");
    ok(&bench.run(&["key", "generate", "--label", "gateway", "--id", "0a"]));
    ok(&bench.run(&["key", "generate", "--label", "second", "--slot", "2"]));
    // Slot 2 is locked, as Lock(slot) leaves it.
    bench.tamper(|config| config[88] &= !(1 << 2));
    let before = bench.image();
    let generate = |slot| bench.run(&["key", "generate", "--slot", slot]);
    let import = |slot| bench.run(&["key", "import", "new.key", "--slot", slot]);
    for (output, parts) in [
        (generate("8"), &["slot 8 (\"certificate\") is not a key slot", "slot 0, 3, 4 can"][..]),
        (generate("1"), &["the key of slot 1 (\"attestation\") signs statements of the chip only", "slot 0, 3, 4 can"]),
        (generate("0"), &["slot 0 holds the key \"gateway\"", "`atecc608 key destroy --slot 0`"]),
        (generate("2"), &["slot 2 is permanently locked", "slot 0, 3, 4 can"]),
        (import("3"), &["the configuration of slot 3 does not permit the import of a private key", "slot 4 can"]),
        (import("2"), &["slot 2 is permanently locked", "slot 4 can"]),
        (import("9"), &["slot 9 (\"aes\") is not a key slot"]),
        (
            bench.run(&["key", "generate", "--label", "gateway"]),
            &["the private key in slot 0 already has the label \"gateway\""],
        ),
        (
            bench.run(&["key", "generate", "--label", "another", "--id", "0a"]),
            &["CKA_ID 0a", "the private key in slot 0 (\"gateway\") already has it"],
        ),
        (bench.run(&["key", "public", "--slot", "3"]), &["slot 3 holds no key", "`atecc608 key generate --slot 3`"]),
        (
            bench.run(&["key", "public", "--key", "nobody"]),
            &["no private key has the label \"nobody\"", "`atecc608 key list`"],
        ),
        (bench.run(&["key", "public"]), &["several keys (\"gateway\", \"second\")", "--key LABEL"]),
        (bench.run(&["key", "destroy", "--slot", "2", "--yes"]), &["permanent"]),
        (bench.run(&["key", "destroy", "--yes"]), &["no key is named"]),
        (bench.run(&["key", "generate", "--label", ""]), &["--label"]),
    ] {
        refused(&bench, &output, parts);
    }
    assert!(bench.image() == before);
    for slot in ["16", "-1", "x"] {
        assert_eq!(bench.run(&["key", "generate", &format!("--slot={slot}")]).status.code(), Some(2));
    }
}

#[test]
fn when_all_slots_hold_keys_nothing_is_overwritten() {
    let bench = provisioned();
    ecparam_key(bench.dir.path(), "new.key");
    for label in ["a", "b", "c", "d"] {
        ok(&bench.run(&["key", "generate", "--label", label]));
    }
    let before = bench.image();
    refused(
        &bench,
        &bench.run(&["key", "generate"]),
        &[
            "no slot is free: slot 0 holds \"a\", slot 2 holds \"b\", slot 3 holds \"c\", slot 4 holds \"d\"",
            "`atecc608 key destroy --slot N` frees a slot and destroys its key for good",
        ],
    );
    refused(
        &bench,
        &bench.run(&["key", "import", "new.key"]),
        &[
            "no slot that permits the import of a private key is free: slot 4 holds \"d\"",
            "`atecc608 key destroy --slot 4`",
        ],
    );
    // The label is the better reason: the existing key may be the wanted one.
    for command in [&["key", "generate"][..], &["key", "import", "new.key"]] {
        let output = bench.run(&[command, &["--label", "c"]].concat());
        refused(&bench, &output, &["the private key in slot 3 already has the label \"c\""]);
    }
    assert!(bench.image() == before);
}

#[test]
fn chips_that_are_blank_or_take_no_key_from_outside_say_what_to_do() {
    let bench = Bench::new();
    for command in [&["key", "list"][..], &["key", "generate"], &["csr", "--subject", "/CN=x"], &["key", "public"]] {
        refused(&bench, &bench.run(command), &["the chip is not provisioned", "`atecc608 provision"]);
    }
    let bench = Bench::with_chip(Profile::TngTls);
    ecparam_key(bench.dir.path(), "new.key");
    refused(&bench, &bench.run(&["key", "import", "new.key"]), &["permits no import of a private key", "key generate"]);
    refused(
        &bench,
        &bench.run(&["key", "generate", "--slot", "0"]),
        &["the configuration of slot 0 does not permit a new key (GenKey is forbidden)"],
    );
    // Its own key works.
    ok(&bench.run(&["csr", "--slot", "0", "--subject", "/CN=x", "--output", "r.csr"]));
    openssl(bench.dir.path(), "req -in r.csr -noout -verify");
}

#[test]
fn a_destroyed_key_is_gone_for_good_and_its_slot_free() {
    let bench = provisioned();
    let key = bench.json(&["key", "generate", "--label", "gateway"]);
    ok(&bench.run(&["cert", "self-sign", "--subject", "/CN=x", "--store"]));
    // There is no terminal for the confirmation.
    refused(
        &bench,
        &bench.run(&["key", "destroy", "--key", "gateway"]),
        &["would destroy the private key \"gateway\" in slot 0 permanently", "--yes", "nothing was done"],
    );
    let output = bench.run(&["key", "destroy", "--key", "gateway", "--yes"]);
    let hint = format!("`atecc608 cert remove --id {}`", key["id"].as_str().unwrap());
    assert!(stdout(&output).contains(&hint), "{output:?}");
    let listed = bench.json(&["key", "list"]);
    assert_eq!((&listed["slots"][0]["holds"], &listed["slots"][0]["slot"]), (&"empty".into(), &0.into()));
    let again = bench.json(&["key", "generate", "--label", "gateway"]);
    assert_eq!(again["slot"], 0);
    assert_ne!(again["public_key"], key["public_key"]);
}

#[test]
fn on_a_chip_with_a_pin_it_is_asked_for_or_read_from_a_file() {
    let bench = Bench::new();
    std::fs::write(bench.path("pin"), "correct horse\n").unwrap();
    std::fs::write(bench.path("wrong"), "battery staple\n").unwrap();
    let provision = ["provision", "tls-pin", "--lock-forever", "--pin-file", "pin", "--recovery-code-file", "code"];
    ok(&bench.run(&provision));
    ecparam_key(bench.dir.path(), "new.key");
    let before = bench.image();
    let wrong = bench.run(&["key", "generate", "--pin-file", "wrong"]);
    refused(&bench, &wrong, &["the PIN is wrong; nothing was done"]);
    assert!(bench.image() == before);
    ok(&bench.run(&["key", "generate", "--label", "gateway", "--pin-file", "pin"]));
    // The simulated chip follows its documents: an authorisation ends with a Nonce, with which an encrypted write
    // begins.
    let imported = bench.run(&["key", "import", "new.key", "--pin-file", "pin"]);
    refused(&bench, &imported, &["slot 4: the chip refused the write", "generate keys in the chip instead"]);
    let csr = ["csr", "--key", "gateway", "--subject", "/CN=x", "--output", "r.csr"];
    let (shown, status) = at_terminal(&bench, &csr, "PIN of the user of gateway: ", "correct horse\n");
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
    openssl(bench.dir.path(), "req -in r.csr -noout -verify");
    // Objects that are visible without a login are listed, and certificates need no login.
    let listed = bench.json(&["key", "list"]);
    assert_eq!((&listed["slots"][0]["holds"], &listed["slots"][0]["label"]), (&"key".into(), &"gateway".into()));
    ok(&bench.run(&["cert", "self-sign", "--key", "gateway", "--subject", "/CN=x", "--store", "--pin-file", "pin"]));
    assert_eq!(bench.json(&["cert", "list"])["certificates"][0]["key"], "gateway");
    ok(&bench.run(&["cert", "export", "--key", "gateway", "--chain", "--output", "exported.pem"]));
    openssl(bench.dir.path(), "x509 -in exported.pem -noout -subject");
    let nowhere = bench.run(&["key", "destroy", "--key", "gateway", "--yes", "--pin-file", "nowhere"]);
    assert!(stderr(&nowhere).contains("nowhere: No such file"), "{}", stderr(&nowhere));
}

#[test]
fn doctor_finds_keys_that_share_an_id_from_a_version_that_allowed_it() {
    let bench = Bench::new();
    bench.provision();
    for slot in ["0", "2"] {
        bench.json(&["key", "generate", "--slot", slot]);
    }
    let keys_check = |id: Option<Vec<u8>>| {
        let serial = atecc608_wire::config_zone::SerialNumber(hex(&bench.serial()).try_into().unwrap());
        Store::open(&bench.path("state"), serial)
            .change(|state| state.slots.iter_mut().for_each(|slot| slot.id = id.clone()))
            .unwrap();
        let report = bench.run(&["doctor", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&stdout(&report)).unwrap();
        report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "keys").unwrap().clone()
    };
    let shared = keys_check(Some(vec![1]));
    assert_eq!(shared["result"], "warning");
    assert_eq!(shared["detail"], "slot 0, 2: their keys have the same id 01, so programs confuse them");
    for free in [None, Some(Vec::new())] {
        assert_eq!(keys_check(free)["detail"], "2 known, 0 destroyed and free");
    }
}
