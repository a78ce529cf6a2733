// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attestation on a chip with a PIN: slot 1 requires it, too.

use crate::support::attested::*;
use crate::support::stderr;
use atecc608_sim::Switches;
use atecc608_testkit::chip;

const WITH_PIN: [&str; 2] = ["--pin-file", "pin"];

/// A chip as `provision tls-pin` leaves it, and its PIN in a file.
fn provisioned(survives_nonce: bool) -> Attested {
    let chip = Attested::with(chip::blank());
    std::fs::write(chip.bench.path("pin"), "correct horse\n").unwrap();
    std::fs::write(chip.bench.path("wrong"), "battery staple\n").unwrap();
    let provision = ["provision", "tls-pin", "--lock-forever", "--pin-file", "pin", "--recovery-code-file", "code"];
    let output = chip.bench.run(&provision);
    assert!(output.status.success(), "{output:?}");
    let switches = Switches { authorisation_survives_nonce: survives_nonce, ..Switches::default() };
    chip.bus.set_switches(0, switches).unwrap();
    chip.enrol();
    chip
}

#[test]
fn with_the_pin_both_statements_are_made_where_an_authorisation_outlives_a_nonce() {
    let chip = provisioned(true);
    let born = chip.attest(&[&["--generate", "--label", "dev"][..], &WITH_PIN].concat());
    let lives = chip.attest(&[&["--key", "dev"][..], &WITH_PIN].concat());
    for (statement, mode) in [(born, 0x0C), (lives, 0x08)] {
        assert!(is_signed(&statement, mode, &chip.key_in(1)));
        let (verified, report) = chip.verify(&statement);
        assert!(verified, "{report:#}");
        assert!(lines(&report, "not_proven").contains("anybody who is authorised can"), "{report:#}");
    }
    let public = chip.bench.run(&[&["attest", "--public"][..], &WITH_PIN].concat());
    assert_eq!(String::from_utf8(public.stdout).unwrap(), pem(&chip.key_in(1)));
}

#[test]
fn without_the_pin_or_with_a_wrong_one_no_statement_and_no_key_is_made() {
    let chip = provisioned(true);
    let before = chip.bus.image(0).unwrap();
    for (arguments, part) in [
        (&["--generate"][..], "pass its file with --pin-file"),
        (&["--slot", "0"], "pass its file with --pin-file"),
        (&["--public"], "pass its file with --pin-file"),
        (&["--generate", "--pin-file", "wrong"], "PIN"),
        (&["--generate", "--pin-file", "nowhere"], "nowhere: "),
    ] {
        let output = chip.bench.run(&[&["attest"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
    }
    assert!(chip.bus.image(0).unwrap() == before);
}

#[test]
fn a_chip_whose_authorisation_ends_with_a_nonce_says_so_before_a_key_is_born() {
    let chip = provisioned(false);
    let before = chip.bus.image(0).unwrap();
    for arguments in [&["--generate"][..], &["--slot", "0"]] {
        let output = chip.bench.run(&[&["attest"], arguments, &WITH_PIN].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let part = if arguments == ["--generate"] { "does not outlive the Nonce" } else { "slot 0 holds no key" };
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert!(chip.bus.image(0).unwrap() == before);
}
