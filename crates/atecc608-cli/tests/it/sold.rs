// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tool with chips as they are sold: what they are, their certificates and the chain.

use crate::support::x509::*;
use crate::support::{hex, stderr, stdout, Bench};
use atecc608_sim::image::Part;
use atecc608_sim::profiles::root_pem;
use atecc608_sim::Profile;
use serde_json::{json, Value};

pub fn with_chip(profile: Profile) -> Bench {
    let bench = Bench::with_config(|dir| {
        let address = profile.address();
        format!("bus = \"sim:{}\"\naddress = {address}\nlabel = \"sold\"\n", dir.join("chip").display())
    });
    let made = std::process::Command::new(atecc608_testkit::built::simulator())
        .args(["new", "--profile", profile.name(), "--state"])
        .arg(bench.chip_file())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    bench
}

#[test]
fn info_and_doctor_say_whose_configuration_it_is() {
    for (profile, name) in [
        (Profile::TngTls, "Trust&GO or TrustFLEX"),
        (Profile::TflxTls, "Trust&GO or TrustFLEX"),
        (Profile::MongooseOs, "mongoose-os"),
        (Profile::Arduino, "Arduino ECCX08"),
        (Profile::VendorPkcs11, "the vendor's PKCS#11 example"),
    ] {
        let bench = with_chip(profile);
        let info = bench.json(&["info"]);
        assert_eq!((&info["profile"], &info["recognised"]), (&None::<&str>.into(), &name.into()));
        assert_eq!(info["slots"][0]["key"]["label"], "device");
        let doctor = bench.json(&["doctor"]);
        assert!(
            doctor.to_string().contains(&format!("{name}: its configuration decides what keys may do")),
            "{doctor}"
        );
    }
}

#[test]
fn info_says_what_the_chip_is_sold_as_and_why() {
    for (profile, code, name) in [
        (Profile::TngTls, "x6tjuZMy", "Trust&GO (TNGTLS)"),
        (Profile::TngTlsEarly, "wdNxAjae", "TrustFLEX (TFLXTLS), or an early Trust&GO (TNGTLS)"),
        (Profile::TflxTls, "MKMwyhP1", "TrustFLEX (TFLXTLS)"),
    ] {
        let bench = with_chip(profile);
        assert_eq!(bench.json(&["info"])["product"], json!({ "name": name, "otp_code": code }));
        let text = stdout(&bench.run(&["info"]));
        assert!(text.contains(&format!("product         {name}: its OTP zone begins with {code}\n")), "{text}");
    }
    // Microchip's data sheets of the ECC608-TMNGTLS and -TNGHNT, sections on the OTP zone.
    for (code, name) in [
        ("0225701337B9CFF0", "TrustMANAGER (TMNGTLS)"),
        ("28D588476D3AA17C", "Trust&GO for the Helium network (TNGHNT)"),
    ] {
        let bench = with_chip(Profile::TngTls);
        bench.change(|image| image.part_mut(Part::Otp)[..8].copy_from_slice(&hex(code)));
        assert_eq!(bench.json(&["info"])["product"], json!({ "name": name, "otp_code": code }));
    }
    for profile in [Profile::Blank608B, Profile::MongooseOs] {
        assert_eq!(with_chip(profile).json(&["info"])["product"], Value::Null);
    }
}

#[test]
fn a_chip_of_any_revision_is_recognised_whatever_its_configuration_zone_says() {
    // Info(Revision); RevNum in the configuration zone; the model, and its name in the output.
    for (revision, number, model, told) in [
        ([0x60, 0x02], [0, 0, 0x60, 0x03], "ATECC608A", "ATECC608A"),
        ([0x60, 0x03], [0, 0, 0x60, 0x02], "ATECC608B", "ATECC608B"),
        ([0x60, 0x04], [0, 0, 0x60, 0x03], "ATECC608", "ATECC608 (revision 04)"),
        ([0x60, 0x7F], [0, 0, 0x50, 0x00], "ATECC608", "ATECC608 (revision 7F)"),
        ([0x60, 0x03], [0xFF; 4], "ATECC608B", "ATECC608B"),
    ] {
        let bench = with_chip(Profile::TngTls);
        bench.change(|image| {
            image.part_mut(Part::Config)[4..8].copy_from_slice(&number);
            image.set_revision(revision);
        });
        let info = bench.json(&["info"]);
        let shown = format!("0000{:02x}{:02x}", revision[0], revision[1]);
        assert_eq!((&info["model"], &info["revision"]), (&model.into(), &shown.into()));
        let doctor = stdout(&bench.run(&["doctor"]));
        assert!(doctor.contains(&format!("{told} 0123")), "{doctor}");
        assert!(stdout(&bench.run(&["key", "list"])).contains("device"));
    }
    let other = with_chip(Profile::TngTls);
    other.change(|image| image.set_revision([0x50, 0x00]));
    let refused = other.run(&["info"]);
    assert!(!refused.status.success());
    assert!(stdout(&refused).contains("an ATECC508A, not an ATECC608"), "{}", stdout(&refused));
}

#[test]
fn the_chain_is_exported_device_first_and_root_last() {
    for profile in [Profile::TngTls, Profile::TngTlsEarly, Profile::TflxTls] {
        let bench = with_chip(profile);
        let dir = bench.dir.path();
        let exported = bench.run(&["cert", "export", "--label", "device", "--chain", "--output", "chain.pem"]);
        assert!(exported.status.success(), "{}", stderr(&exported));
        let chain = std::fs::read_to_string(bench.path("chain.pem")).unwrap();
        let certificates: Vec<&str> = chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
        assert_eq!(certificates.len(), 3);
        assert_eq!(certificates[2], root_pem().unwrap());
        for (name, pem) in ["device.pem", "signer.pem", "root.pem"].iter().zip(&certificates) {
            std::fs::write(bench.path(name), pem).unwrap();
        }
        openssl(dir, "verify -CAfile root.pem -untrusted signer.pem device.pem");
        // The same with the key's name, and without a name.
        for which in [&["--key", "device"][..], &[]] {
            let again = bench.run(&[&["cert", "export", "--chain"], which].concat());
            assert_eq!(stdout(&again), chain, "{}", stderr(&again));
        }
    }
}

#[test]
fn the_certificates_are_listed_with_their_key_and_cannot_be_removed() {
    let bench = with_chip(Profile::TngTls);
    let list = bench.json(&["cert", "list"]);
    let certificates = list["certificates"].as_array().unwrap();
    let labels: Vec<&str> = certificates.iter().map(|certificate| certificate["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["device", "signer", "root"]);
    assert_eq!(certificates[0]["key"], "device");
    assert_eq!(certificates[1]["is_authority"], true);
    for label in labels {
        let removed = bench.run(&["cert", "remove", "--label", label]);
        assert_eq!(removed.status.code(), Some(1), "{label}");
        assert!(stderr(&removed).contains("is part of the chip"), "{}", stderr(&removed));
    }
}
