// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 pin` and `recovery-code --set`: set and change the user's PIN and the security officer's recovery code;
//! the chip decides which are right.

use crate::support::x509::{ok, refused, typed_at_terminal};
use crate::support::{on_a_socket, serve, stdout, Bench, Server};
use atecc608_token::pin::code::RecoveryCode;

const LOCK: [&str; 5] = ["provision", "tls-pin", "--lock-forever", "--recovery-code-file", "code"];

/// A chip with the profile `tls-pin`; its recovery code is in the file `code`.
fn bench(pin: Option<&str>) -> Bench {
    provisioned(Bench::new(), pin)
}

/// The same with a chip that renews the secret behind the PIN, which a user needs to change the PIN.
fn rolling(pin: Option<&str>) -> (Bench, Server) {
    let bench = on_a_socket();
    let server = serve(&bench, &["--switches", "derive_key_rolls_no_mac=on"]);
    (provisioned(bench, pin), server)
}

fn provisioned(bench: Bench, pin: Option<&str>) -> Bench {
    let pin = pin.map(|pin| write(&bench, "pin", pin));
    let arguments = pin.as_deref().map_or_else(Vec::new, |pin| vec!["--pin-file", pin]);
    ok(&bench.run(&[&LOCK[..], &arguments].concat()));
    bench
}

fn write(bench: &Bench, name: &str, text: &str) -> String {
    std::fs::write(bench.path(name), format!("{text}\n")).unwrap();
    name.to_owned()
}

/// Whether the chip accepts the PIN in this file: a key is generated with it.
fn works(bench: &Bench, file: &str) -> bool {
    let output = bench.run(&["key", "generate", "--pin-file", file]);
    if output.status.success() {
        let slot = bench.json(&["key", "list", "--pin-file", file])["slots"][0]["slot"].to_string();
        ok(&bench.run(&["key", "destroy", "--slot", &slot, "--yes", "--pin-file", file]));
        return true;
    }
    refused(bench, &output, &["the PIN is wrong"]);
    false
}

#[test]
fn the_officer_sets_the_first_pin_and_the_user_changes_it() {
    let (bench, _server) = rolling(None);
    write(&bench, "first", "correct horse");
    write(&bench, "second", "battery staple");
    refused(
        &bench,
        &bench.run(&["pin", "change", "--pin-file", "first", "--new-pin-file", "second"]),
        &["`atecc608 pin init`"],
    );
    let set = bench.json(&["pin", "init", "--recovery-code-file", "code", "--new-pin-file", "first"]);
    assert_eq!(set["pin"], "set");
    assert!(works(&bench, "first"));
    let again = bench.run(&["pin", "init", "--recovery-code-file", "code", "--new-pin-file", "second"]);
    refused(&bench, &again, &["the user has a PIN already", "`atecc608 pin reset`"]);
    refused(
        &bench,
        &bench.run(&["pin", "change", "--pin-file", "second", "--new-pin-file", "second"]),
        &["the PIN is wrong"],
    );
    ok(&bench.run(&["pin", "change", "--pin-file", "first", "--new-pin-file", "second"]));
    assert!(works(&bench, "second") && !works(&bench, "first"));
}

#[test]
fn a_chip_that_does_not_renew_the_secret_keeps_the_pin() {
    let bench = bench(Some("correct horse"));
    write(&bench, "new", "battery staple");
    let output = bench.run(&["pin", "change", "--pin-file", "pin", "--new-pin-file", "new"]);
    refused(&bench, &output, &["the PIN is unchanged", "`atecc608 pin reset`"]);
    assert!(works(&bench, "pin") && !works(&bench, "new"));
}

#[test]
fn a_lost_pin_is_reset_with_the_recovery_code_and_with_nothing_else() {
    let bench = bench(Some("correct horse"));
    write(&bench, "new", "battery staple");
    write(&bench, "wrong", &RecoveryCode::new(&[7; 32]).text());
    write(&bench, "short", "1234");
    for (code, pin, parts) in [
        ("wrong", "new", &["the recovery code is wrong", "`atecc608 provision tls-pin`"][..]),
        ("pin", "new", &["the recovery code is wrong"]),
        ("code", "short", &["the new PIN", "at least 8 characters"]),
        ("code", "nowhere", &["nowhere: No such file"]),
        ("-", "-", &["standard input (-) can be read once only", "--recovery-code-file and --new-pin-file"]),
    ] {
        refused(&bench, &bench.run(&["pin", "reset", "--recovery-code-file", code, "--new-pin-file", pin]), parts);
        assert!(works(&bench, "pin"));
    }
    ok(&bench.run(&["pin", "reset", "--recovery-code-file", "code", "--new-pin-file", "new"]));
    assert!(works(&bench, "new") && !works(&bench, "pin"));
}

#[test]
fn a_pin_is_asked_for_twice_and_not_shown() {
    let (bench, _server) = rolling(Some("correct horse"));
    let arguments = ["pin", "change", "--pin-file", "pin"];
    let prompt = "New PIN of the user: ";
    let again = "The same again: ";
    let (shown, status) =
        typed_at_terminal(&bench, &arguments, &[(prompt, "battery staple\n"), (again, "battery stable\n")]);
    assert!(shown.contains("the two inputs differ") && !shown.contains("battery"), "{shown}");
    assert_eq!(status, 1);
    assert!(works(&bench, "pin"));
    let (shown, status) =
        typed_at_terminal(&bench, &arguments, &[(prompt, "battery staple\n"), (again, "battery staple\n")]);
    assert_eq!(status, 0, "{shown}");
    write(&bench, "new", "battery staple");
    assert!(works(&bench, "new") && !works(&bench, "pin"));
}

#[test]
fn a_token_without_a_pin_gets_none() {
    let bench = Bench::new();
    bench.provision();
    write(&bench, "pin", "correct horse");
    for command in ["init", "reset"] {
        let output = bench.run(&["pin", command, "--recovery-code-file", "pin", "--new-pin-file", "pin"]);
        refused(&bench, &output, &["this token has no PIN", "`atecc608 provision tls-pin`"]);
    }
}

#[test]
fn a_new_recovery_code_replaces_the_old_one() {
    let bench = bench(Some("correct horse"));
    write(&bench, "new-pin", "battery staple");
    let set = ["recovery-code", "--set", "--recovery-code-file", "code", "--new-recovery-code-file", "new"];
    assert_eq!(bench.json(&set)["recovery_code"], "set");
    let code = std::fs::read_to_string(bench.path("new")).unwrap();
    assert!(RecoveryCode::parse(code.trim().as_bytes()).is_some(), "{code}");
    assert!(works(&bench, "pin"), "the user's PIN is another thing");
    let old = bench.run(&["pin", "reset", "--recovery-code-file", "code", "--new-pin-file", "new-pin"]);
    refused(&bench, &old, &["the recovery code is wrong"]);
    ok(&bench.run(&["pin", "reset", "--recovery-code-file", "new", "--new-pin-file", "new-pin"]));
    assert!(works(&bench, "new-pin"));
    // Not over a file, and not with the old code; the new one stays valid.
    refused(&bench, &bench.run(&set), &["new exists"]);
    std::fs::remove_file(bench.path("code")).unwrap();
    std::fs::copy(bench.path("new"), bench.path("code")).unwrap();
    let printed = bench.run(&["recovery-code", "--set", "--recovery-code-file", "code"]);
    ok(&printed);
    let printed = stdout(&printed);
    let codes = printed.lines().filter(|line| RecoveryCode::parse(line.trim().as_bytes()).is_some());
    assert_eq!(codes.count(), 1, "{printed}");
}

#[test]
fn provisioning_again_with_another_pin_is_refused_and_with_the_same_one_is_done() {
    let bench = bench(Some("correct horse"));
    let dry_run = ["provision", "tls-pin"];
    let command = ["provision", "tls-pin", "--lock-forever"];
    write(&bench, "new", "battery staple");
    for given in [&command[..], &dry_run] {
        for options in [["--pin-file", "new"], ["--recovery-code-file", "other"], ["--recovery-code-file", "pin"]] {
            let output = bench.run(&[given, &options].concat());
            refused(&bench, &output, &["is provisioned already", "nothing was changed", "`atecc608 pin init`"]);
        }
        ok(&bench.run(&[given, &["--pin-file", "pin", "--recovery-code-file", "code"]].concat()));
        ok(&bench.run(given));
    }
    assert!(!bench.path("other").exists() && works(&bench, "pin"));
}
