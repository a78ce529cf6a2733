// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip's P-256 against published vectors: Wycheproof's and NIST's (fact sheet sections 3.5, 3.13, 3.21).

use atecc608_testkit::master::*;
use atecc608_testkit::vectors::*;
use atecc608_wire::commands::*;

fn verify(source: DigestSource, public_key: [u8; 64], signature: [u8; 64]) -> Verify {
    Verify { key: VerifyKey::External { source, public_key }, signature, mac: false }
}

/// Each line is number, result, X, Y, message, signature.
fn check_signatures(text: &str, expected: usize) {
    let master = between_the_locks();
    let mut seen = 0;
    for line in columns(text) {
        let [number, result, x, y, message, signature] = line[..] else { panic!("{line:?}") };
        chip_sha(&master, &bytes(message), DigestTarget::MessageDigestBuffer);
        let public_key = array(&[x, y].concat());
        let command = verify(DigestSource::MessageDigestBuffer, public_key, array(signature));
        let status = if result == "valid" { OK } else { MISCOMPARE };
        assert_eq!(master.status_on(&command), status, "{number}");
        seen += 1;
    }
    assert_eq!(seen, expected);
}

#[test]
fn verify_agrees_with_wycheproof() {
    check_signatures(include_str!("../../../../tests/vectors/ecdsa_wycheproof.txt"), 241);
}

#[test]
fn verify_agrees_with_nist() {
    check_signatures(include_str!("../../../../tests/vectors/ecdsa_nist.txt"), 15);
}

#[test]
fn a_public_key_off_the_curve_is_an_execution_error_and_never_a_miscompare() {
    let master = between_the_locks();
    for line in columns(include_str!("../../../../tests/vectors/public_keys_nist.txt")) {
        let [number, result, x, y] = line[..] else { panic!("{line:?}") };
        master.run_on(&Nonce::digest(&[1; 32])).unwrap();
        let public_key = array(&[x, y].concat());
        // The signature is wrong in any case: the status shows whether the key was accepted (01) or refused (0F).
        let status = if result == "valid" { MISCOMPARE } else { EXECUTION };
        let command = verify(DigestSource::MessageDigestBuffer, public_key, [1; 64]);
        assert_eq!(master.status_on(&command), status, "{number}");
    }
}

#[test]
fn ecdh_agrees_with_wycheproof() {
    let master = between_the_locks();
    let (mut valid, mut invalid) = (0, 0);
    for line in columns(include_str!("../../../../tests/vectors/ecdh_wycheproof.txt")) {
        let [number, result, private, public, shared] = line[..] else { panic!("{line:?}") };
        let key = [vec![0; 4], bytes(private)].concat().try_into().unwrap();
        let write = PrivWrite { slot: slot(2), encrypted: false, key, mac: [0; 32] };
        assert_eq!(master.status_on(&write), OK, "{number}");
        let ecdh = Ecdh {
            key: EcdhKey::Slot(slot(2)),
            target: EcdhTarget::Output,
            encrypted: false,
            public_key: array(public),
        };
        let answer = master.run_on(&ecdh).map_err(|status| status.0);
        if result == "valid" {
            assert!(answer == Ok(EcdhResponse::Clear(array(shared))), "{number}");
            valid += 1;
        } else {
            assert!(answer == Err(EXECUTION), "{number}: not on the curve");
            invalid += 1;
        }
    }
    assert_eq!((valid, invalid), (330, 16));
}
