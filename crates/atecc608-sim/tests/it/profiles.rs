// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chips as sold: each image holds the configuration of section 6 of the fact sheet, keys that work, and certificates
//! that chain to the root of simulated chips.

use std::fs;
use std::path::Path;
use std::process::Command;

use atecc608::Chip;
use atecc608_contents::certificate::{CompressedCertificate, Definition, Device, Parts};
use atecc608_sim::image::Part;
use atecc608_sim::profiles::{root_certificate, root_pem, root_public_key, Locks, OrderError};
use atecc608_sim::{Image, Order, Profile, SimBus, SimChip};
use atecc608_testkit::driver::{self, Simulated};
use atecc608_testkit::master::{hex, slot, Master};
use atecc608_wire::commands::{Aes, DigestSource, GenKey, GenKeyMode, Info, KeyLocation, Read, Sign};
use atecc608_wire::config_zone::{Model, SerialNumber};
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::{Slot, Status};
use der::Decode;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::EncodedPoint;
use sha2::{Digest, Sha256};

const DIGEST: [u8; 32] = [0x5A; 32];

/// Bytes 16 to 127 as the fact sheet prints them in section 6; its unspecified lock bytes are XX here, and are not
/// compared.
const BLANK: &str = "
    C0 00 00 00 83 20 87 20 8F 20 C4 8F 8F 8F 8F 8F
    9F 8F AF 8F 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 AF 8F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 55 55 FF FF 00 00 00 00 00 00
    33 00 33 00 33 00 1C 00 1C 00 1C 00 1C 00 1C 00
    3C 00 3C 00 3C 00 3C 00 3C 00 3C 00 3C 00 1C 00";
const VENDOR_TEST: &str = "
    C0 00 A1 00 AF 2F C4 44 87 20 C4 F4 8F 0F 0F 0F
    9F 8F 83 64 C4 44 C4 64 0F 0F 0F 0F 0F 0F 0F 0F
    0F 0F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 FF 84 03 BC 09 69 76 00 00 00 00 00
    00 00 00 00 00 00 XX XX FF FF 0E 40 00 00 00 00
    33 00 1C 00 13 00 1C 00 3C 00 3A 10 1C 00 33 00
    1C 00 1C 00 38 00 30 00 3C 00 3C 00 32 00 30 00";
const TNGTLS: &str = "
    6A 00 00 01 85 00 82 00 85 20 85 20 85 20 0F 8F
    8F 0F 9F 8F 0F 0F 8F 0F 0F 8F 0F 8F 0F 8F 00 00
    00 00 AF 8F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 00 00 00 00 00 69 76 00 00 00 00 00
    00 00 00 00 00 00 00 00 FF FF 0E 60 00 00 00 00
    53 00 53 00 73 00 73 00 73 00 1C 00 7C 00 1C 00
    3C 00 1A 00 1C 00 10 00 1C 00 3C 00 3C 00 1C 00";
const TFLXTLS: &str = "
    6C 00 00 01 85 00 82 00 85 20 85 20 85 20 8F 46
    8F 0F 9F 8F 0F 0F 8F 0F 0F 8F 0F 8F 0F 8F 0F 0F
    0D 1F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 00 00 03 F7 00 69 76 00 00 00 00 00
    00 00 00 00 00 00 00 00 FF FF 0E 60 00 00 00 00
    53 00 53 00 73 00 73 00 73 00 38 00 7C 00 1C 00
    3C 00 1A 00 1C 00 10 00 1C 00 30 00 12 00 30 00";
/// Section 6c, second variant: TrustFLEX's bytes except byte 16.
const TNGTLS_EARLY: &str = "
    6A 00 00 01 85 00 82 00 85 20 85 20 85 20 8F 46
    8F 0F 9F 8F 0F 0F 8F 0F 0F 8F 0F 8F 0F 8F 0F 0F
    0D 1F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 00 00 03 F7 00 69 76 00 00 00 00 00
    00 00 00 00 00 00 00 00 FF FF 0E 60 00 00 00 00
    53 00 53 00 73 00 73 00 73 00 38 00 7C 00 1C 00
    3C 00 1A 00 1C 00 10 00 1C 00 30 00 12 00 30 00";
const MONGOOSE_OS: &str = "
    C0 00 55 00 87 64 87 64 87 64 87 64 80 0F 8F 8F
    9F 8F 82 20 C4 44 C4 44 0F 0F 0F 0F 0F 0F 0F 0F
    0F 0F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 FF FF FF FF FF FF FF FF FF FF FF FF
    FF FF FF FF 00 00 XX XX FF FF 00 00 00 00 00 00
    33 00 33 00 33 00 33 00 3C 00 1C 00 1C 00 33 00
    1C 00 1C 00 3C 00 3C 00 3C 00 3C 00 1C 00 3C 00";
const ARDUINO: &str = "
    C0 00 55 00 83 20 87 20 87 20 87 2F 87 2F 8F 8F
    9F 8F AF 8F 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 AF 8F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 FF FF FF FF FF FF FF FF FF FF FF FF
    FF FF FF FF 00 00 XX XX FF FF 00 00 00 00 00 00
    33 00 33 00 33 00 33 00 33 00 1C 00 1C 00 1C 00
    3C 00 3C 00 3C 00 3C 00 3C 00 3C 00 3C 00 1C 00";
const VENDOR_PKCS11: &str = "
    C0 00 00 01 8F 20 C4 44 87 20 87 20 8F 0F C4 36
    9F 0F 82 20 0F 0F C4 44 0F 0F 0F 0F 0F 0F 0F 0F
    0F 0F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 XX XX FF FF 00 00 00 00 00 00
    33 00 1C 00 13 00 13 00 7C 00 1C 00 3C 00 33 00
    3C 00 3C 00 3C 00 30 00 3C 00 3C 00 3C 00 30 00";
/// Section 6h: TrustFLEX's bytes with the differences it lists.
const CRYPTOAUTHTOOLS: &str = "
    6A 00 00 01 85 00 82 00 85 20 85 20 85 20 C6 46
    8F 0F 9F 8F 0F 0F 8F 0F 0F 0F 0F 0F 0F 0F 0F 0F
    0D 1F 0F 0F FF FF FF FF 00 00 00 00 FF FF FF FF
    00 00 00 00 00 00 03 F7 00 69 76 00 00 00 00 00
    00 00 00 00 00 00 XX XX FF FF 0E 60 00 00 00 00
    53 00 53 00 73 00 73 00 73 00 38 00 7C 00 1C 00
    3C 00 1A 00 3C 00 30 00 3C 00 30 00 12 00 30 00";

/// Name, bytes, revision, 7-bit address, last serial byte, locked, private slots.
type Row = (&'static str, &'static str, [u8; 4], u8, u8, bool, &'static [u8]);

const A: [u8; 4] = [0x00, 0x00, 0x60, 0x02];
const B: [u8; 4] = [0x00, 0x00, 0x60, 0x03];
/// Not published: a placeholder.
const C: [u8; 4] = [0x00, 0x00, 0x60, 0x04];
const TRUST: &[u8] = &[0, 1, 2, 3, 4];

const ROWS: [Row; 12] = [
    ("blank-608a", BLANK, A, 0x60, 0xEE, false, &[]),
    ("blank-608b", BLANK, B, 0x60, 0xEE, false, &[]),
    ("blank-608c", BLANK, C, 0x60, 0xEE, false, &[]),
    ("blank-508a", BLANK, [0x00, 0x00, 0x50, 0x00], 0x60, 0xEE, false, &[]),
    ("tngtls", TNGTLS, B, 0x35, 0x01, true, TRUST),
    ("tngtls-early", TNGTLS_EARLY, A, 0x35, 0x01, true, TRUST),
    ("tflxtls", TFLXTLS, B, 0x36, 0x01, true, TRUST),
    ("mongoose-os", MONGOOSE_OS, A, 0x60, 0xEE, true, &[0, 1, 2, 3, 7]),
    ("arduino", ARDUINO, A, 0x60, 0xEE, true, TRUST),
    ("vendor-pkcs11", VENDOR_PKCS11, B, 0x60, 0xEE, true, &[0, 2, 3, 7]),
    ("vendor-test", VENDOR_TEST, B, 0x60, 0xEE, true, &[0, 2, 7]),
    ("cryptoauthtools", CRYPTOAUTHTOOLS, B, 0x35, 0xEE, true, TRUST),
];

fn profile(name: &str) -> Profile {
    name.parse().unwrap()
}

fn sold(name: &str) -> Image {
    Order::of(profile(name)).make().unwrap().image
}

fn chip(image: Image) -> (SimBus, Chip<Simulated>) {
    let bus = SimBus::new(100_000);
    let address = image.config().i2c_address();
    bus.add_chip(SimChip::from_image(image));
    (bus.clone(), driver::on(&bus, address))
}

fn verifies(public_key: &[u8; 64], digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    let key = VerifyingKey::from_encoded_point(&EncodedPoint::from_untagged_bytes(public_key.into())).unwrap();
    key.verify_prehash(digest, &Signature::from_slice(signature).unwrap()).is_ok()
}

#[test]
fn every_profile_is_in_the_table() {
    let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.name()).collect();
    assert_eq!(names, ROWS.map(|row| row.0));
}

#[test]
fn each_configuration_is_that_of_the_fact_sheet_to_the_byte() {
    for (name, bytes, revision, address, last, locked, _) in ROWS {
        let image = sold(name);
        let config = *image.config().as_bytes();
        let expected: Vec<&str> = bytes.split_whitespace().collect();
        assert_eq!(expected.len(), 112, "{name}");
        for (at, byte) in (16..).zip(expected).filter(|(at, _)| ![86, 87].contains(at)) {
            assert_eq!(format!("{:02X}", config[at]), byte, "{name}, byte {at}");
        }
        assert_eq!(config[86..88], if locked { [0, 0] } else { [0x55, 0x55] }, "{name}");
        assert_eq!(config[4..8], revision, "{name}");
        assert_eq!(config[..4], hex("01 23 53 49"), "{name}");
        assert_eq!((config[8], config[12]), (0x4D, last), "{name}");
        assert_eq!(image.config().i2c_address(), address, "{name}");
    }
}

#[test]
fn each_private_slot_of_a_provisioned_chip_has_a_key_of_its_own_that_works() {
    for (name, .., locked, private) in ROWS {
        let (_, mut chip) = chip(sold(name));
        let config = chip.converse(|awake| awake.read_config()).unwrap();
        let slots = Slot::all().filter(|slot| config.key_config(*slot).private());
        if !locked {
            continue;
        }
        assert_eq!(slots.map(Slot::number).collect::<Vec<_>>(), private, "{name}");
        let mut keys = Vec::new();
        for number in private {
            let (access, key) = (config.slot_config(slot(*number)), config.key_config(slot(*number)));
            assert!(chip.converse(|awake| awake.key_valid(slot(*number))).unwrap(), "{name}, slot {number}");
            assert!(key.pub_info(), "{name}, slot {number}");
            let public_key = chip.converse(|awake| awake.public_key(slot(*number))).unwrap().unwrap();
            let signed = chip.converse(|awake| awake.sign_digest(slot(*number), &DIGEST));
            if access.external_sign() {
                assert!(verifies(&public_key, &DIGEST, &signed.unwrap()), "{name}, slot {number}");
            } else {
                let refused = signed.unwrap_err();
                assert!(refused.has_status(Status::EXECUTION_ERROR), "{name}, slot {number}: {refused}");
            }
            keys.push(public_key);
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), private.len(), "{name}");
    }
}

#[test]
fn a_chip_is_locked_as_far_as_it_is_ordered_and_filled_only_when_it_can_be() {
    for (name, .., private) in ROWS.iter().filter(|row| row.5) {
        for locks in [Locks::None, Locks::Config, Locks::Data] {
            let image = Order { locks: Some(locks), ..Order::of(profile(name)) }.make().unwrap().image;
            let config = image.config();
            assert_eq!(config.config_locked(), locks != Locks::None, "{name}");
            assert_eq!(config.data_locked(), locks == Locks::Data, "{name}");
            let written = |part| image.part(part).iter().any(|byte| *byte != 0xFF);
            let filled = private.iter().all(|number| written(Part::Slot(slot(*number))));
            let empty = !written(Part::Otp) && !Slot::all().any(|slot| written(Part::Slot(slot)));
            assert_eq!((filled, empty), (locks != Locks::None, locks == Locks::None), "{name}");
        }
    }
}

#[test]
fn a_blank_chip_is_empty() {
    for name in ["blank-608a", "blank-608b", "blank-508a"] {
        let image = sold(name);
        for part in Slot::all().map(Part::Slot).chain([Part::Otp]) {
            assert!(image.part(part).iter().all(|byte| *byte == 0xFF), "{name}, {part:?}");
        }
    }
}

#[test]
fn the_unit_tests_chip_has_the_known_key_and_a_limit_that_its_counted_key_can_live_with() {
    let image = sold("vendor-test");
    let known = hex("37 80 E6 3D 49 68 AD E5 D8 22 C0 13 FC C3 23 84 5D 1B 56 9F E7 05 B6 00 06 FE EC 14 5A 0D B1 E3");
    assert_eq!(image.part(Part::Slot(slot(4)))[..32], known);
    // 2 097 120: a multiple of 32 below the counter's maximum (section 5.6), twice.
    assert_eq!(image.part(Part::Slot(slot(10)))[..8], hex("E0 FF 1F 00 E0 FF 1F 00"));
    let (bus, mut chip) = chip(image);
    chip.converse(|awake| awake.sign_digest(slot(0), &DIGEST)).unwrap();
    assert_eq!(bus.image(0).unwrap().config().counter(0), Some(1));
}

/// The data that a Trust chip returns.
struct Trust {
    serial: SerialNumber,
    otp: Vec<u8>,
    public_key: [u8; 64],
    signer_key: [u8; 64],
    device: CompressedCertificate,
    signer: CompressedCertificate,
    eui48: Vec<u8>,
}

impl Trust {
    fn read(name: &str) -> Self {
        let (_, mut chip) = chip(sold(name));
        let config = chip.converse(|awake| awake.read_config()).unwrap();
        let mut read = |number, len| chip.converse(|awake| awake.read_slot(slot(number), len)).unwrap();
        let compressed = |bytes: Vec<u8>| CompressedCertificate::decode(&bytes.try_into().unwrap()).unwrap();
        let (device, stored, signer) = (compressed(read(10, 72)), read(11, 72), compressed(read(12, 72)));
        let eui48 = if name == "tngtls" { read(5, 12) } else { Vec::new() };
        assert_eq!((&stored[..4], &stored[36..40]), (&[0; 4][..], &[0; 4][..]), "{name}: padding (section 5.9)");
        let otp = chip.converse(|awake| {
            let block = |block| Read { zone: Zone::Otp, address: Address::block(block, 0), block: true };
            Ok([awake.execute(&block(0))?, awake.execute(&block(1))?].concat())
        });
        Self {
            serial: config.serial_number(),
            otp: otp.unwrap(),
            public_key: chip.converse(|awake| awake.public_key(slot(0))).unwrap().unwrap(),
            signer_key: [&stored[4..36], &stored[40..]].concat().try_into().unwrap(),
            device,
            signer,
            eui48,
        }
    }

    /// Device and signer certificates in DER.
    fn certificates(&self, definition: Definition) -> (Vec<u8>, Vec<u8>) {
        let root = root_public_key().unwrap();
        let mut eui = [0; 16];
        eui.iter_mut().zip(&self.eui48).for_each(|(to, from)| *to = *from);
        let device = Device { serial: self.serial, eui };
        let parts = Parts {
            definition,
            compressed: &self.device,
            public_key: &self.public_key,
            issuer_key: &self.signer_key,
            device,
        };
        let signer = Parts {
            definition: Definition::Signer,
            compressed: &self.signer,
            public_key: &self.signer_key,
            issuer_key: &root,
            device,
        };
        (parts.certificate().unwrap(), signer.certificate().unwrap())
    }
}

/// Name, product code, definition, common name of the subject around the serial number.
const TRUSTED: [(&str, &str, Definition, [&str; 2]); 3] = [
    ("tngtls", "x6tjuZMy", Definition::DeviceTngTls, ["sn", ""]),
    ("tngtls-early", "wdNxAjae", Definition::DeviceEarly, ["", " ATECC"]),
    ("tflxtls", "MKMwyhP1", Definition::DeviceTflxTls, ["sn", ""]),
];

#[test]
fn trust_chips_have_their_product_code_and_compressed_certificates_of_its_kind() {
    for (name, code, definition, _) in TRUSTED {
        let trust = Trust::read(name);
        assert_eq!(trust.otp, [code.as_bytes(), &[0; 56]].concat(), "{name}");
        assert_eq!(Definition::of_device(&trust.otp), Some(definition), "{name}");
        let ids = |c: &CompressedCertificate| (c.template_id, c.chain_id, c.serial_source, c.format, c.expire_years);
        let template = if definition == Definition::DeviceEarly { 2 } else { 3 };
        assert_eq!(ids(&trust.device), (template, 0, 0x0A, 0, 28), "{name}");
        assert_eq!(ids(&trust.signer), (1, 0, 0x0A, 0, 31), "{name}");
        assert_eq!(trust.device.signer_id, trust.signer.signer_id, "{name}");
    }
}

#[test]
fn the_ethernet_address_is_locally_administered_and_the_serial_numbers() {
    let trust = Trust::read("tngtls");
    let text = String::from_utf8(trust.eui48).unwrap();
    assert_eq!(text, format!("025349{}", &trust.serial.to_string()[10..16]));
    assert_eq!(hex(&text)[0] & 3, 2, "locally administered, of one station");
}

#[test]
fn openssl_verifies_the_chain_of_trust_chips_to_the_root_of_simulated_chips() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    fs::write(&root, root_pem().unwrap()).unwrap();
    let verify = |arguments: &[&Path]| {
        let output = Command::new("openssl").arg("verify").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    verify(&["-x509_strict".as_ref(), "-CAfile".as_ref(), &root, &root]);
    for (name, _, definition, _) in TRUSTED {
        let (device, signer) = Trust::read(name).certificates(definition);
        let write = |file: &str, der: &[u8]| {
            let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap();
            let path = folder.path().join(file);
            fs::write(&path, pem).unwrap();
            path
        };
        let (device, signer) = (write("device.pem", &device), write("signer.pem", &signer));
        verify(&["-CAfile".as_ref(), &root, &signer]);
        verify(&["-CAfile".as_ref(), &root, "-untrusted".as_ref(), &signer, &device]);
        // With another root the verification must fail: else the check would prove nothing.
        let wrong = Command::new("openssl").arg("verify").arg("-CAfile").arg(&root).arg(&device).output().unwrap();
        assert!(!wrong.status.success(), "{name}: a device under the root itself");
    }
}

#[test]
fn another_reader_of_certificates_finds_the_right_names_keys_and_signatures() {
    let root = x509_cert::Certificate::from_der(&root_certificate().unwrap()).unwrap();
    for (name, _, definition, [before, after]) in TRUSTED {
        let trust = Trust::read(name);
        let (device, signer) = trust.certificates(definition);
        let (device, signer) =
            (x509_cert::Certificate::from_der(&device).unwrap(), x509_cert::Certificate::from_der(&signer).unwrap());
        let (tbs, issuer) = (&device.tbs_certificate, &signer.tbs_certificate);
        let subject = format!("CN={before}{}{after},O=Microchip Technology Inc", trust.serial);
        assert_eq!(tbs.subject.to_string(), subject, "{name}");
        assert_eq!(tbs.issuer, issuer.subject, "{name}");
        assert_eq!(issuer.subject.to_string(), "CN=Crypto Authentication Signer 5349,O=Microchip Technology Inc");
        assert_eq!(issuer.issuer, root.tbs_certificate.subject, "{name}");
        assert_eq!(tbs.subject_public_key_info.subject_public_key.raw_bytes()[1..], trust.public_key, "{name}");
        let checks =
            [(&device, trust.signer_key), (&signer, root_public_key().unwrap()), (&root, root_public_key().unwrap())];
        for (certificate, key) in checks {
            let signed = Sha256::digest(der::Encode::to_der(&certificate.tbs_certificate).unwrap());
            let signature = Signature::from_der(certificate.signature.raw_bytes()).unwrap();
            assert!(verifies(&key, &signed.into(), &signature.to_bytes().into()), "{name}");
        }
    }
}

#[test]
fn the_root_never_changes() {
    // Testers have registered this root with other services: it must not change.
    let root = root_certificate().unwrap();
    assert_eq!(hex_of(&Sha256::digest(&root)), ROOT_SHA256);
    let parsed = x509_cert::Certificate::from_der(&root).unwrap().tbs_certificate;
    assert_eq!(parsed.subject.to_string(), "CN=Crypto Authentication Root CA 002,O=Microchip Technology Inc");
    // It has the vendor's name, but not its key (section 7.4).
    let key = hex_of(&root_public_key().unwrap());
    assert!(!key.starts_with("bd54e66de3875484"), "{key}");
}

/// Of its DER.
const ROOT_SHA256: &str = "7ac3d4acfd2ec82473f13ed85aa6429c044a2286c5288e842cc9e42b2d856f63";

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_attestation_key_of_a_trust_chip_signs_what_the_chip_itself_made_and_nothing_else() {
    let master = Master { address: 0x35, ..Master::with_image(sold("tngtls")) };
    master.wake();
    master.random_nonce();
    let external = Sign::External { source: DigestSource::TempKey, slot: slot(1) };
    assert_eq!(master.status_on(&external), Status::EXECUTION_ERROR.0);
    let internal = Sign::Internal { slot: slot(1), full_serial: true, invalidate: false };
    assert_eq!(master.status_on(&internal), Status::EXECUTION_ERROR.0, "a nonce is not the chip's own");
    master.random_nonce();
    let digest = GenKey { mode: GenKeyMode::Public { digest: true }, key: KeyLocation::Slot(slot(2)) };
    master.run_on(&digest).unwrap();
    assert_eq!(master.status_on(&internal), 0);
}

#[test]
fn a_seed_makes_the_same_chip_again_and_no_seed_another_one() {
    for (name, ..) in ROWS {
        let make = |seed| Order { seed, ..Order::of(profile(name)) }.make().unwrap().image.encode();
        assert_eq!(make(Some(7)), make(Some(7)), "{name}");
        assert_ne!(make(Some(7)), make(Some(8)), "{name}");
        assert_ne!(make(None), make(None), "{name}");
    }
}

#[test]
fn a_seeded_chip_does_not_go_on_with_the_numbers_that_its_keys_were_made_of() {
    let image = Order { seed: Some(7), ..Order::of(profile("arduino")) }.make().unwrap().image;
    let born: Vec<Vec<u8>> = (0..5).map(|n| image.part(Part::Slot(slot(n)))[4..].to_vec()).collect();
    let bus = SimBus::new(100_000);
    bus.add_chip(SimChip::from_image(image).seeded(7));
    let mut chip = driver::on(&bus, 0x60);
    for _ in 0..8 {
        let random = chip.converse(|awake| awake.random()).unwrap();
        assert!(!born.contains(&random.to_vec()));
    }
}

#[test]
fn the_serial_number_must_be_a_simulated_chips() {
    let order = |serial| Order { serial: Some(SerialNumber(serial)), ..Order::of(profile("tngtls")) };
    let own = [0x01, 0x23, 0x53, 0x49, 0x4D, 0xAB, 0xCD, 0xEF, 0x01];
    assert_eq!(order(own).make().unwrap().image.config().serial_number(), SerialNumber(own));
    let real = [0x01, 0x23, 0xCF, 0xE1, 0xEF, 0x17, 0xF0, 0xB0, 0x01];
    assert!(matches!(order(real).make(), Err(OrderError::Serial(_))));
}

#[test]
fn another_model_can_be_ordered_where_a_profile_is_only_a_configuration() {
    let make = |name: &str, model| Order { model: Some(model), ..Order::of(profile(name)) }.make();
    let other = make("arduino", Model::Atecc608B).unwrap().image;
    assert_eq!(Model::from_revision(other.revision()), Model::Atecc608B);
    assert!(matches!(make("tngtls-early", Model::Atecc608B), Err(OrderError::Model { .. })));
    assert!(matches!(make("blank-608a", Model::Atecc608B), Err(OrderError::Model { .. })));
    assert!(make("blank-608a", Model::Atecc608A).is_ok());
}

#[test]
fn trust_chips_are_sold_with_every_letter() {
    let letters = [Model::Atecc608A, Model::Atecc608B, atecc608_sim::profiles::ATECC608C];
    for (name, codes) in [("tngtls", [b"x6tjuZMy"; 3]), ("tflxtls", [b"MKMwyhP1", b"MKMwyhP1", b"KQp2ZkD8"])] {
        for (model, code) in letters.into_iter().zip(codes) {
            let image = Order { model: Some(model), ..Order::of(profile(name)) }.make().unwrap().image;
            assert_eq!((image.revision(), image.config().revision()), (model.revision(), model.revision()));
            assert_eq!(image.part(Part::Otp)[..8], code[..], "{name} {model:?}");
        }
    }
}

#[test]
fn a_chip_may_be_another_than_its_configuration_zone_says_and_stays_so_in_its_file() {
    let order = Order { revision: Some([0x60, 0x7F]), ..Order::of(profile("tngtls")) };
    let image = Image::decode(&order.make().unwrap().image.encode()).unwrap();
    assert_eq!((image.revision(), image.config().revision()), ([0, 0, 0x60, 0x7F], [0, 0, 0x60, 3]));
    let (bus, mut chip) = chip(image);
    assert_eq!(chip.converse(|awake| awake.execute(&Info::Revision)).unwrap(), [0, 0, 0x60, 0x7F]);
    // Info(Revision) decides: an ATECC508A has no AES, whatever its configuration zone says.
    let mut other = bus.image(0).unwrap();
    other.set_revision([0x50, 0x00]);
    bus.set_image(0, other).unwrap();
    let aes = Aes::Block { key: KeyLocation::TempKey, unit: 0, decrypt: false, input: [0; 16] };
    assert!(chip.converse(|awake| awake.execute(&aes)).unwrap_err().has_status(Status::PARSE_ERROR));
}

#[test]
fn a_given_address_is_used() {
    let image = Order { address: Some(0x42), ..Order::of(profile("tngtls")) }.make().unwrap().image;
    assert_eq!((image.config().as_bytes()[16], image.config().i2c_address()), (0x84, 0x42));
    let (_, mut chip) = chip(image);
    assert!(chip.converse(|awake| awake.key_valid(slot(0))).unwrap());
}
