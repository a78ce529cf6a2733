// SPDX-License-Identifier: MIT OR Apache-2.0
//! The certificates of Trust&GO and TrustFLEX chips, rebuilt from the data in the chip (fact sheet section 7).
//!
//! The vectors are the vendor's examples of each kind (cryptoauthlib, app/tng): keys, dates, names and signatures
//! copied from them, and the SHA-256 of the whole.

use atecc608_contents::certificate::compressed::{CompressedCertificate, IssueDate, PUBLIC_KEY_HASH};
use atecc608_contents::certificate::x509::key_identifier;
use atecc608_contents::certificate::{root, CertificateError, Definition, Device, Parts, Root};
use atecc608_wire::config_zone::SerialNumber;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::EncodedPoint;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// The vendor's root (section 7.4).
const ROOT_KEY: &str = "BD54E66DE3875484006B53AE1580D50AA069E78ADF5578D85CE2D54DD5B83029\
                        6BFFDD6E6F7256FBD99EF1A116B11D33AD49103AA1858739DCFAE437E19D634E";
/// The signer's key of the examples.
const SIGNER_KEY: &str = "8498440A319B3F71E25D5226009000C756BD5C0FAE4A1B841AD4A33F21ABA09A\
                          48101C75C8282490B3B65A52802729BD3A752C3DF0DD1B04A2A1B57E0C922447";
const DEVICE_KEY: &str = "71F1A70DA379A3FDED6B5010BDAD6E1FB9E8EBA7DF2C4B5C67D35EBA84DA09E7\
                          7AE8DB2CCB9628EEEB85CDAAB35C92E53E1C44D55A2BA7A024AA92603B68948A";
const DEVICE: Device =
    Device { serial: SerialNumber([0x01, 0x23, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x01]), eui: *b"6827190000000000" };

const LORA_DEVICE: Device =
    Device { serial: SerialNumber([0x01, 0x23, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x27]), eui: *b"0004A30000000000" };

struct Example {
    definition: Definition,
    /// Hour of 2018-11-08.
    hour: u8,
    signature: &'static str,
    /// Length of the certificate, and of its signed part.
    sizes: (usize, usize),
    sha256: &'static str,
}

const SIGNER: Example = Example {
    definition: Definition::Signer,
    hour: 4,
    // Filler: it verifies under no key.
    signature: "C507B82A7BF9A33A1B78DCEB01C926929EF3783D468E69A284D36ABAB9251BEF\
                0E6D7F768D65A749FA712DDA2B692535CD577D650196A3D2BF3B22788E754186",
    sizes: (520, 430),
    sha256: "ae98b4e0bbb39e94674c948e581ea9b48606a3d0813ae783793c7d6cb994898e",
};

const DEVICES: [Example; 3] = [
    Example {
        definition: Definition::DeviceEarly,
        hour: 5,
        signature: "310D58C9D5F896D3FA8BEA6A13537E141054B5AD1738A665B142F8FFE9EFBCA8\
                    D6233A8B1A1093AEA143B10C9680566E194182EB84FF1FD39F3DF63EE5B37A19",
        sizes: (505, 415),
        sha256: "d9746129b906b2114a00d613b8999f7d332db397c2cb481db8bd9c4bbfb38143",
    },
    Example {
        definition: Definition::DeviceTngTls,
        hour: 5,
        signature: "7911D8EA9CB408320C2F0CCEE69B845A17D236F2130990894FC00F7E67FBC799\
                    5D61BBBB463A0AD3F6E381DB953D08EC66104F01C883134D639E6DC8052215E2",
        sizes: (546, 457),
        sha256: "d98a6fd3b17425a2073729a03eb054739d94e2525862d2825f871acb69d0e8c4",
    },
    Example {
        definition: Definition::DeviceTflxTls,
        hour: 5,
        signature: "567396E49C0AA74E616012E38A60C3A811097D9C5DA4CD3789C36296887E2A0C\
                    1E69B2AF0AD6C67EE12D5DBE5A445AD91DF1A598358ED069D98BD7DBB299CC34",
        sizes: (500, 411),
        sha256: "6e2bf8eb4c253773a043fd303aaa9fcfcf4a4b73c6776d145af15b6075fd1e05",
    },
];

/// Definition 4 of the LoRaWAN chips, with another serial number and an EUI-64.
const LORA: Example = Example {
    definition: Definition::DeviceLora,
    hour: 5,
    signature: "A8341AF321BCB19CCC8F0F1CE8907CF8ED4C245F934C50BD8330B61C8727D2C8\
                FC1E80CA01E9D9D96B3ECB41797B959910216EF2902C0B13227F919CD2633482",
    sizes: (552, 461),
    sha256: "31f00cf61041ac95c2f80fecaa8b5284887846c03adbde967c29c11244839870",
};

impl Example {
    fn compressed(&self) -> CompressedCertificate {
        let (template_id, expire_years) = match self.definition {
            Definition::Signer => (1, 31),
            Definition::DeviceEarly => (2, 28),
            Definition::DeviceTngTls | Definition::DeviceTflxTls => (3, 28),
            Definition::DeviceLora => (4, 28),
        };
        CompressedCertificate {
            signature: bytes(self.signature),
            issued: IssueDate { year: 2018, month: 11, day: 8, hour: self.hour },
            expire_years,
            signer_id: [0xFF, 0xFF],
            template_id,
            chain_id: 0,
            serial_source: PUBLIC_KEY_HASH,
            format: 0,
        }
    }

    /// Returns the certificate, and its signed part.
    fn rebuild(&self) -> (Vec<u8>, Vec<u8>) {
        let (public_key, issuer_key) = match self.definition {
            Definition::Signer => (SIGNER_KEY, ROOT_KEY),
            _ => (DEVICE_KEY, SIGNER_KEY),
        };
        let compressed = CompressedCertificate::decode(&self.compressed().encode().unwrap()).unwrap();
        let parts = Parts {
            definition: self.definition,
            compressed: &compressed,
            public_key: &bytes(public_key),
            issuer_key: &bytes(issuer_key),
            device: match self.definition {
                Definition::DeviceLora => LORA_DEVICE,
                _ => DEVICE,
            },
        };
        (parts.certificate().unwrap(), parts.to_be_signed().unwrap())
    }
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn each_of_the_vendors_examples_is_rebuilt_to_the_byte() {
    for example in DEVICES.iter().chain([&SIGNER, &LORA]) {
        let (certificate, to_be_signed) = example.rebuild();
        assert_eq!((certificate.len(), to_be_signed.len()), example.sizes, "{:?}", example.definition);
        assert_eq!(certificate[4..4 + to_be_signed.len()], to_be_signed);
        assert_eq!(hex(&Sha256::digest(&certificate)), example.sha256, "{:?}", example.definition);
    }
}

#[test]
fn the_vendors_signatures_verify_what_was_put_together() {
    let signer =
        VerifyingKey::from_encoded_point(&EncodedPoint::from_untagged_bytes(&bytes::<64>(SIGNER_KEY).into())).unwrap();
    for example in DEVICES.iter().chain([&LORA]) {
        let signature = Signature::from_slice(&bytes::<64>(example.signature)).unwrap();
        signer.verify(&example.rebuild().1, &signature).unwrap();
    }
}

#[test]
fn fields_are_where_the_vendors_definitions_say() {
    // Section 7.4: template offsets of key, serial number, dates, key identifiers, signature and names.
    let offsets = [
        (&SIGNER, 266, 414, 381, 446),
        (&DEVICES[0], 257, 399, 366, 431),
        (&DEVICES[1], 253, 441, 408, 473),
        (&DEVICES[2], 253, 395, 362, 427),
    ];
    for (example, key, authority, subject, signature) in offsets {
        let signer = example.definition == Definition::Signer;
        let certificate = example.rebuild().0;
        let at = |offset: usize, len: usize| &certificate[offset..offset + len];
        let (own, issuer) = if signer { (SIGNER_KEY, ROOT_KEY) } else { (DEVICE_KEY, SIGNER_KEY) };
        assert_eq!(at(key, 64), bytes::<64>(own));
        assert_eq!(at(subject, 20), key_identifier(&bytes(own)));
        assert_eq!(at(authority, 20), key_identifier(&bytes(issuer)));
        assert_eq!(at(128, 13), if signer { b"181108040000Z" } else { b"181108050000Z" });
        assert_eq!(at(143, 15), if signer { b"20491108040000Z" } else { b"20461108050000Z" });
        assert_eq!(at(if signer { 235 } else { 120 }, 4), b"FFFF");
        // A BIT STRING.
        assert_eq!(at(signature, 1), [0x03]);
    }
    let certificate = DEVICES[1].rebuild().0;
    assert_eq!(&certificate[208..226], b"012301020304050601");
    assert_eq!(&certificate[355..367], b"682719000000");
}

#[test]
fn serial_numbers_are_digests_of_key_and_dates() {
    // Section 7.2.
    let signer = SIGNER.compressed().serial_number(&bytes(SIGNER_KEY)).unwrap();
    assert_eq!(hex(&signer), "440ee4170cb545ce59698e3056990a5d");
    let device = DEVICES[1].compressed().serial_number(&bytes(DEVICE_KEY)).unwrap();
    assert_eq!(hex(&device), "55ce2e8ff61c6250b7e1680354141c94");
}

#[test]
fn key_identifiers_are_the_roots_and_the_examples() {
    assert_eq!(hex(&key_identifier(&bytes(ROOT_KEY))), "7aed7d6dc6b7789db23801a5e84a8cb0a40e2a8c");
    assert_eq!(hex(&key_identifier(&bytes(DEVICE_KEY))), "1a90b22237a451b757dd36d13a852be13d2ef2ca");
}

#[test]
fn the_compressed_form_is_72_bytes_as_the_fact_sheet_lays_them_out() {
    // Section 7.1: 2018-11-08 05:00, 28 years is 95 A0 BC.
    let encoded = DEVICES[1].compressed().encode().unwrap();
    assert_eq!(encoded[..64], bytes::<64>(DEVICES[1].signature));
    assert_eq!(encoded[64..], [0x95, 0xA0, 0xBC, 0xFF, 0xFF, 0x30, 0xA0, 0x00]);
}

#[test]
fn longer_dates_need_format_1_and_go_into_the_last_byte() {
    let issued = IssueDate { year: 2033, month: 11, day: 8, hour: 5 };
    let long = CompressedCertificate { issued, expire_years: 60, ..DEVICES[1].compressed() };
    assert_eq!(long.encode(), Err(CertificateError::Date));
    let long = CompressedCertificate { format: 1, ..long };
    let encoded = long.encode().unwrap();
    // 2033 is 1 and 32; 60 is 28 and 32.
    assert_eq!(encoded[64..], [0x0D, 0xA0, 0xBC, 0xFF, 0xFF, 0x30, 0xA1, 0x50]);
    assert_eq!(CompressedCertificate::decode(&encoded), Ok(long.clone()));
    let mut digest = Sha256::new();
    digest.update(bytes::<64>(DEVICE_KEY));
    digest.update([0x0D, 0xA0, 0xBC, 0x50]);
    assert_eq!(long.serial_number(&bytes(DEVICE_KEY)).unwrap()[1..], digest.finalize()[1..16]);
}

#[test]
fn format_2_is_format_1_for_this_curve() {
    // Signatures of larger curves continue after the 72 bytes (cryptoauthlib, atcacert.h); those of P-256 do not.
    let issued = IssueDate { year: 2033, month: 11, day: 8, hour: 5 };
    let one = CompressedCertificate { issued, expire_years: 60, format: 1, ..DEVICES[1].compressed() };
    let two = CompressedCertificate { format: 2, ..one.clone() };
    let (mut encoded, key) = (one.encode().unwrap(), bytes(DEVICE_KEY));
    encoded[70] = 0xA2;
    assert_eq!(CompressedCertificate::decode(&encoded), Ok(two.clone()));
    assert_eq!(two.encode(), Ok(encoded));
    assert_eq!(two.serial_number(&key), one.serial_number(&key));
}

#[test]
fn no_expiry_is_the_last_moment_of_the_year_9999() {
    let compressed = CompressedCertificate { expire_years: 0, ..DEVICES[1].compressed() };
    let (public_key, issuer_key) = (&bytes(DEVICE_KEY), &bytes(SIGNER_KEY));
    let definition = Definition::DeviceTngTls;
    let parts = Parts { definition, compressed: &compressed, public_key, issuer_key, device: DEVICE };
    assert_eq!(&parts.certificate().unwrap()[143..158], b"99991231235959Z");
}

#[test]
fn another_kind_of_certificate_or_an_impossible_date_is_refused() {
    let good = DEVICES[1].compressed();
    let rebuild = |compressed: CompressedCertificate| {
        let (public_key, issuer_key) = (&bytes(DEVICE_KEY), &bytes(SIGNER_KEY));
        let definition = Definition::DeviceTngTls;
        Parts { definition, compressed: &compressed, public_key, issuer_key, device: DEVICE }.certificate()
    };
    assert!(rebuild(good.clone()).is_ok());
    for other in [
        CompressedCertificate { template_id: 2, ..good.clone() },
        CompressedCertificate { chain_id: 1, ..good.clone() },
        CompressedCertificate { serial_source: 0x0B, ..good.clone() },
    ] {
        assert_eq!(rebuild(other), Err(CertificateError::Definition));
    }
    for (month, day, hour) in [(13, 8, 5), (0, 8, 5), (2, 30, 5), (11, 0, 5), (11, 8, 24)] {
        let issued = IssueDate { year: 2018, month, day, hour };
        assert_eq!(rebuild(CompressedCertificate { issued, ..good.clone() }), Err(CertificateError::Date));
    }
    let mut encoded = good.encode().unwrap();
    encoded[70] = 0xA3;
    assert_eq!(CompressedCertificate::decode(&encoded), Err(CertificateError::Format(3)));
}

#[test]
fn the_product_code_names_the_devices_definition() {
    // Section 5.10.
    let zone = |code: &[u8; 8]| [code.as_slice(), &[0; 56]].concat();
    assert_eq!(Definition::of_device(&zone(b"x6tjuZMy")), Some(Definition::DeviceTngTls));
    assert_eq!(Definition::of_device(&zone(b"MKMwyhP1")), Some(Definition::DeviceTflxTls));
    assert_eq!(Definition::of_device(&zone(b"wdNxAjae")), Some(Definition::DeviceEarly));
    assert_eq!(Definition::of_device(&zone(b"jsMu7iYO")), Some(Definition::DeviceLora));
    assert_eq!(Definition::of_device(&[0xFF; 64]), None);
    assert_eq!(Definition::of_device(b"x6tju"), None);
}

#[test]
fn the_vendors_root_is_rebuilt_to_the_byte_and_signs_itself() {
    let certificate = root::MICROCHIP.certificate().unwrap();
    // As published by the vendor (cryptoauthlib, app/tng/tng_root_cert.c).
    assert_eq!(certificate.len(), 501);
    assert_eq!(hex(&Sha256::digest(&certificate)), "a5b883bf22933f43a9414fedcd4da87dd468e7301d875b86c5b783f22a0116bd");
    assert_eq!(root::MICROCHIP.public_key, bytes::<64>(ROOT_KEY));
    signs_itself(&root::MICROCHIP);
}

fn signs_itself(root: &Root) {
    let key = VerifyingKey::from_encoded_point(&EncodedPoint::from_untagged_bytes(&root.public_key.into())).unwrap();
    key.verify(&root.to_be_signed().unwrap(), &Signature::from_slice(&root.signature).unwrap()).unwrap();
}

#[test]
fn the_root_of_simulated_chips_is_the_one_that_they_are_made_with() {
    assert_eq!(root::SIMULATED, atecc608_sim::profiles::root().unwrap());
    signs_itself(&root::SIMULATED);
}

proptest! {
    #[test]
    fn whatever_a_chip_holds_is_read_rebuilt_or_refused_but_never_panics(
        stored in prop::array::uniform32(any::<u8>()),
        fields in any::<[u8; 8]>(),
        key in prop::array::uniform32(any::<u8>()),
        eui in any::<[u8; 16]>(),
    ) {
        let compressed: [u8; 72] = [stored.as_slice(), &stored, &fields].concat().try_into().unwrap();
        let public_key: [u8; 64] = [key, key].concat().try_into().unwrap();
        if let Ok(read) = CompressedCertificate::decode(&compressed) {
            // Fields without a meaning in format 0 are not encoded.
            let mut meant = compressed;
            meant[71] &= if read.format == 0 { 0 } else { 0xF0 };
            prop_assert_eq!(read.encode().unwrap(), meant);
            for definition in [
                Definition::Signer,
                Definition::DeviceTngTls,
                Definition::DeviceTflxTls,
                Definition::DeviceLora,
            ] {
                let forced = CompressedCertificate {
                    template_id: definition.template_id(),
                    chain_id: 0,
                    serial_source: PUBLIC_KEY_HASH,
                    ..read.clone()
                };
                let device = Device { eui, ..DEVICE };
                let parts = Parts {
                    definition,
                    compressed: &forced,
                    public_key: &public_key,
                    issuer_key: &public_key,
                    device,
                };
                if let Ok(certificate) = parts.certificate() {
                    prop_assert!(certificate.len() > 480);
                }
            }
        }
    }
}
