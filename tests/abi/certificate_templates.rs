// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compressed certificates of a user's own kinds, through the C ABI: a template file says how they are rebuilt. The
//! `openssl` command makes the certificates, and the module must rebuild them to the byte.

use std::fs;

use crate::common::chip::{self, slot};
use crate::common::keys::{Handle, Session};
use crate::common::module::{ulong, Module};
use crate::common::openssl::OpenSsl;
use atecc608_contents::certificate::template::{Field, Template, Values};
use atecc608_contents::certificate::{CertificateError, CompressedCertificate, IssueDate};
use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_token::point::P256_PARAMS;
use atecc608_wire::config_zone::SerialNumber;
use cryptoki_sys::*;
use der::Decode;
use p256::ecdsa::Signature;
use proptest::prelude::*;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;

/// A user's CA, a device's certificate that it issued, and the chip that keeps that in 72 bytes.
struct Issued {
    openssl: OpenSsl,
    image: Image,
    /// The files that openssl made with the chip's key.
    device: Vec<u8>,
}

/// The files that `openssl ca` needs.
const CA: &str = "[ca]\ndefault_ca = this\n\
    [this]\ndatabase = index.txt\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\npolicy = any\n\
    x509_extensions = extensions\n\
    [any]\norganizationName = optional\ncommonName = supplied\n\
    [extensions]\nsubjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n";

/// From 2024-05-06 07:00 for 20 years.
const DATES: (&str, &str) = ("20240506070000Z", "20440506070000Z");
const COMPRESSED_DATES: (IssueDate, u8) = (IssueDate { year: 2024, month: 5, day: 6, hour: 7 }, 20);

impl Issued {
    fn new() -> Self {
        let openssl = OpenSsl::new();
        let mut image = chip::provisioned();
        chip::put_key(&mut image, 0, &[0x21; 32]);
        let point = chip::point_in(&image, 0).unwrap();
        // ECPrivateKey (RFC 5915): the test knows the chip's key, so openssl can make the request.
        let sec1 = [&[0x30, 0x31, 2, 1, 1, 4, 32][..], &[0x21; 32], &[0xA0, 0x0A], &P256_PARAMS].concat();
        openssl.write("chip.key", &sec1);
        openssl.run("ecparam -name prime256v1 -genkey -noout -out ca.key");
        openssl.run("req -x509 -new -key ca.key -subj /CN=CA-A1B2 -days 9000 -out ca.pem");
        openssl.run("x509 -in ca.pem -outform DER -out ca.der");
        // The serial number is derived from key and dates, as source 0A says.
        let compressed = Self::compressed([0; 64]);
        let serial: String = compressed
            .serial_number(point[1..].try_into().unwrap())
            .unwrap()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let subject = format!("O = Example\nCN = gateway {}\n", image.config().serial_number());
        openssl
            .write("request.cnf", format!("[req]\nprompt = no\ndistinguished_name = dn\n[dn]\n{subject}").as_bytes());
        openssl.run("req -new -config request.cnf -key chip.key -keyform DER -out chip.csr");
        openssl.write("ca.cnf", CA.as_bytes());
        openssl.write("index.txt", b"");
        openssl.write("serial", serial.as_bytes());
        let (from, to) = DATES;
        openssl.run(&format!(
            "ca -config ca.cnf -batch -notext -cert ca.pem -keyfile ca.key -startdate {from} -enddate {to} -in chip.csr \
             -out device.pem"
        ));
        openssl.run("x509 -in device.pem -outform DER -out device.der");
        let device = openssl.read("device.der");
        let parsed = Certificate::from_der(&device).unwrap();
        let signature = Signature::from_der(parsed.signature.raw_bytes()).unwrap().to_bytes().into();
        let stored = Self::compressed(signature).encode().unwrap();
        image.part_mut(Part::Slot(slot(10))).copy_from_slice(&stored);
        Self { openssl, image, device }
    }

    fn compressed(signature: [u8; 64]) -> CompressedCertificate {
        CompressedCertificate {
            signature,
            issued: COMPRESSED_DATES.0,
            expire_years: COMPRESSED_DATES.1,
            signer_id: [0xA1, 0xB2],
            template_id: 7,
            chain_id: 2,
            serial_source: 0x0A,
            format: 0,
        }
    }

    /// The offset of these bytes in the device's certificate, from an offset on.
    fn at(&self, bytes: &[u8]) -> usize {
        self.device.windows(bytes.len()).position(|window| window == bytes).unwrap()
    }

    /// The template file; its example is another device's certificate: all fields are overwritten with X.
    fn template(&self) -> String {
        let parsed = Certificate::from_der(&self.device).unwrap().tbs_certificate;
        let point = parsed.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
        let ca = Certificate::from_der(&self.openssl.read("ca.der")).unwrap().tbs_certificate;
        let ca_point = ca.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
        let serial = self.image.config().serial_number().to_string();
        let fields = [
            ("public-key", self.at(&point[1..]), 64),
            ("serial-number", self.at(parsed.serial_number.as_bytes()), 16),
            ("not-before", self.at(b"240506070000Z"), 13),
            ("not-after", self.at(b"440506070000Z"), 13),
            ("signer-id", self.at(b"A1B2"), 4),
            ("subject-key-id", self.at(&Sha1::digest(&point)), 20),
            ("authority-key-id", self.at(&Sha1::digest(&ca_point)), 20),
            ("chip-serial", self.at(serial.as_bytes()), 18),
        ];
        let mut example = self.device.clone();
        let mut text = "format = 1\ncertificate = \"example.der\"\ncompressed_slot = 10\nprivate_key_slot = 0\n\
                        template_id = 7\nchain_id = 2\n"
            .to_owned();
        for (name, offset, len) in fields {
            example[offset..offset + len].fill(b'X');
            text += &format!("\n[[field]]\nname = \"{name}\"\noffset = {offset}\n");
        }
        self.openssl.write("example.der", &example);
        text
    }

    /// The module with the chip and this template.
    fn module(&self, template: &str, issuer: &str) -> Module {
        self.openssl.write("device.toml", template.as_bytes());
        let module = Module::configured(&format!(
            "log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"sim:FOLDER/chip\"\n\
             [[token.certificate]]\nlabel = \"mine\"\ntemplate = \"{}\"\nissuer = \"{issuer}\"\n",
            self.openssl.path("device.toml").display(),
        ));
        self.image.save(&module.image()).unwrap();
        module
    }

    fn ca(&self) -> String {
        self.openssl.path("ca.der").display().to_string()
    }
}

fn certificates(module: &Module, session: Session) -> Vec<Handle> {
    module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]).unwrap()
}

#[test]
fn what_openssl_made_is_rebuilt_to_the_byte() {
    let issued = Issued::new();
    let module = issued.module(&issued.template(), &issued.ca());
    let session = module.start();
    let found = certificates(&module, session);
    assert_eq!(found.len(), 1, "{}", module.log());
    assert_eq!(module.attribute(session, found[0], CKA_VALUE), Ok(issued.device.clone()));
    assert_eq!(module.label(session, found[0]), "mine");
    let key = module.private_keys(session)[0];
    assert_eq!(module.attribute(session, found[0], CKA_ID), module.attribute(session, key, CKA_ID));
    assert_eq!(module.destroy(session, found[0]), Err(CKR_ACTION_PROHIBITED));
    issued.openssl.write_certificate("shown.pem", &module.attribute(session, found[0], CKA_VALUE).unwrap());
    issued.openssl.run("verify -CAfile ca.pem shown.pem");
}

#[test]
fn keys_and_fields_may_come_from_the_chips_data() {
    let mut issued = Issued::new();
    let mut stored = vec![0; 4];
    let point = chip::point_in(&issued.image, 0).unwrap();
    stored.extend(&point[1..33]);
    stored.extend([0; 4]);
    stored.extend(&point[33..]);
    issued.image.part_mut(Part::Slot(slot(11))).copy_from_slice(&stored);
    issued.image.part_mut(Part::Slot(slot(13)))[40..47].copy_from_slice(b"gateway");
    issued.image.part_mut(Part::Slot(slot(12)))[..2].copy_from_slice(&[0xA1, 0xB2]);
    let (name, id) = (issued.at(b"gateway "), issued.at(b"A1B2"));
    let template =
        issued.template().replace("private_key_slot = 0", "public_key_slot = 11").replace("signer-id", "data")
            + &format!("\n[[field]]\nname = \"data\"\noffset = {name}\nslot = 13\nslot_offset = 40\nlength = 7\n");
    let place = format!("offset = {id}\n");
    let template = template.replace(&place, &format!("{place}slot = 12\nlength = 2\nhex = true\n"));
    let mut example = issued.openssl.read("example.der");
    example[name..name + 7].fill(b'X');
    issued.openssl.write("example.der", &example);
    let module = issued.module(&template, &issued.ca());
    let session = module.start();
    let found = certificates(&module, session);
    assert_eq!(found.len(), 1, "{}", module.log());
    assert_eq!(module.attribute(session, found[0], CKA_VALUE), Ok(issued.device.clone()));
}

/// As in NervesKey: the name in the OTP zone. And the serial number byte by byte, if a definition has it so.
#[test]
fn fields_may_come_from_the_otp_zone_and_from_parts_of_the_serial_number() {
    let mut issued = Issued::new();
    issued.image.part_mut(Part::Otp)[30..37].copy_from_slice(b"gateway");
    let name = issued.at(b"gateway ");
    let serial = issued.image.config().serial_number();
    let digits = issued.at(serial.to_string().as_bytes());
    let mut example = issued.device.clone();
    example[name..name + 26].fill(b'X');
    let start = issued.template().replace("chip-serial", "data");
    issued.openssl.write("example.der", &example);
    let with = |from: &str, hex: &str| {
        start.replace(
            &format!("offset = {digits}\n"),
            &format!("offset = {digits}\nserial_offset = 0\nlength = 4\nhex = true\n"),
        ) + &format!("\n[[field]]\nname = \"data\"\noffset = {name}\n{from}\nlength = 7\n")
            + &format!(
                "\n[[field]]\nname = \"data\"\noffset = {}\nserial_offset = 4\nlength = 5\nhex = {hex}\n",
                digits + 8
            )
            + &format!("\n[[field]]\nname = \"data\"\noffset = {}\nslot = 14\nlength = 1\n", name + 7)
    };
    issued.image.part_mut(Part::Slot(slot(14)))[0] = b' ';
    let shown = |template: &str| {
        let module = issued.module(template, &issued.ca());
        let session = module.start();
        let found = certificates(&module, session);
        (found.first().map(|object| module.attribute(session, *object, CKA_VALUE).unwrap()), module.log())
    };
    let (value, log) = shown(&with("otp_offset = 30", "\"upper\""));
    assert_eq!(value, Some(issued.device.clone()), "{log}");
    for (from, hex, problem) in [
        ("otp_offset = 30", "\"lower\"", "is not shown: "),
        ("otp_offset = 31", "true", "is not shown: "),
        ("otp_offset = 60", "true", "the OTP zone has 64 bytes"),
        ("otp_offset = 30\nslot = 1", "true", "expected one of slot, otp_offset and serial_offset"),
        ("otp_offset = 64", "true", "otp_offset: expected 0 to 63"),
        ("otp_offset = 30", "\"big\"", "hex: expected true, false, \"upper\" or \"lower\""),
        ("serial_offset = 3", "true", "the serial number 9"),
    ] {
        let (value, log) = shown(&with(from, hex));
        assert_eq!(value, None, "{from} {hex}");
        assert!(log.contains(problem), "{problem}: {log}");
    }
}

#[test]
fn a_chain_of_them_is_verified_link_by_link() {
    // The authority's key and the signature of its certificate are in the chip; the device's names it as its issuer.
    let mut issued = Issued::new();
    let template = issued.template();
    let der = issued.openssl.read("ca.der");
    let ca = Certificate::from_der(&der).unwrap();
    let point = ca.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
    let at = der.windows(64).position(|window| window == &point[1..]).unwrap();
    let signature = Signature::from_der(ca.signature.raw_bytes()).unwrap().to_bytes().into();
    let compressed = CompressedCertificate { serial_source: 0, template_id: 1, ..Issued::compressed(signature) };
    issued.image.part_mut(Part::Slot(slot(12))).copy_from_slice(&compressed.encode().unwrap());
    let padded = [&[0; 4], &point[1..33], &[0; 4], &point[33..]].concat();
    issued.image.part_mut(Part::Slot(slot(11))).copy_from_slice(&padded);
    let mut example = der.clone();
    example[at..at + 64].fill(0);
    issued.openssl.write("ca-example.der", &example);
    let text = format!(
        "format = 1\ncertificate = \"ca-example.der\"\ncompressed_slot = 12\npublic_key_slot = 11\ntemplate_id = 1\n\
         chain_id = 2\nserial_source = 0\n[[field]]\nname = \"public-key\"\noffset = {at}\n"
    );
    issued.openssl.write("ca.toml", text.as_bytes());
    let module = issued.module(&template, &issued.ca());
    let folder = issued.openssl.path("");
    let entry = |label: &str, template: &str, issuer: &str| {
        let template = folder.join(template);
        format!(
            "[[token.certificate]]\nlabel = \"{label}\"\ntemplate = \"{}\"\nissuer = \"{issuer}\"\n",
            template.display()
        )
    };
    let text = fs::read_to_string(module.configuration()).unwrap();
    let text = text.split_inclusive("[[token.certificate]]").next().unwrap().replace("[[token.certificate]]", "");
    let text = [
        text,
        entry("ca", "ca.toml", &issued.ca()),
        entry("device", "device.toml", "ca"),
        entry("orphan", "device.toml", "device"),
    ];
    fs::write(module.configuration(), text.concat()).unwrap();
    let session = module.start();
    let labels: Vec<String> =
        certificates(&module, session).into_iter().map(|found| module.label(session, found)).collect();
    assert_eq!(labels, ["ca", "device"], "{}", module.log());
    // "device" did not issue it.
    module.assert_logged(&["\"orphan\"", "is not shown", "does not verify"]);
}

#[test]
fn a_certificate_of_another_issuer_or_chip_is_not_shown() {
    let issued = Issued::new();
    let template = issued.template();
    issued.openssl.run("ecparam -name prime256v1 -genkey -noout -out other.key");
    issued.openssl.run("req -x509 -new -key other.key -subj /CN=other -days 9 -outform DER -out other.der");
    let other = issued.openssl.path("other.der").display().to_string();
    let module = issued.module(&template, &other);
    assert_eq!(certificates(&module, module.start()), [0; 0]);
    module.assert_logged(&["\"mine\"", "device.toml", "is not shown", "does not verify"]);
    drop(module);
    let mut other_key = Issued { image: issued.image.clone(), ..issued };
    chip::put_key(&mut other_key.image, 0, &[0x22; 32]);
    let module = other_key.module(&template, &other_key.ca());
    assert_eq!(certificates(&module, module.start()), [0; 0]);
    module.assert_logged(&["\"mine\"", "it belongs to another key"]);
}

#[test]
fn a_wrong_template_says_what_is_wrong_and_where() {
    let issued = Issued::new();
    let good = issued.template();
    let wrong = [
        (good.replace("format = 1", "format = 2"), ":1: format: expected 0 to 1"),
        (good.replace("template_id = 7\n", ""), "template_id is missing"),
        (good.replace("template_id = 7", "template_id = 16"), ":5: template_id: expected 0 to 15"),
        (good.replace("template_id = 7", "template_id = 6"), "of another kind"),
        (good.replace("serial-number", "serial"), "there is no field \"serial\""),
        (good.replace("compressed_slot = 10", "compressed_slot = 2"), "slot 2 has 36 bytes"),
        (good.replace("compressed_slot = 10", "compressed_slot = 16"), ":3: compressed_slot: expected 0 to 15"),
        (good.replace("example.der", "nowhere.der"), "nowhere.der: No such file"),
        (good.replace("example.der", "ca.pem"), "not a certificate in DER"),
        (good.replace("private_key_slot = 0", "private_key_slot = 2"), "not in the chip"),
        (good.replace("private_key_slot = 0", "public_key_slot = 11"), "not in the chip"),
        (good.replace("name = \"public-key\"\noffset = ", "name = \"public-key\"\noffset = 9"), "is not where"),
        (good.replace("name = \"not-before\"", "name = \"serial-number\""), "is not where"),
        (format!("{good}colour = \"red\"\n"), "colour"),
    ];
    for (template, expected) in wrong {
        let module = issued.module(&template, &issued.ca());
        assert_eq!(certificates(&module, module.start()), [0; 0], "{expected}");
        module.assert_logged(&["\"mine\"", "is not shown", expected]);
    }
}

#[test]
fn the_configuration_is_checked_as_all_of_it_is() {
    let token = "[[token]]\nbus = \"sim:FOLDER/chip\"\n";
    for (lines, expected) in [
        ("certificates = \"slot\"", "expected \"chip\" or \"state\""),
        ("io_protection = \"on\"", "expected \"required\" or \"preferred\""),
        ("[[token.certificate]]\nlabel = \"a\"\nissuer = \"/ca.der\"", "certificate.template is missing"),
        ("[[token.certificate]]\nlabel = \"a\"\ntemplate = \"t\"\nissuer = \"/ca.der\"", "absolute path"),
        ("[[token.certificate]]\nlabel = \"a\"\ntemplate = \"/t\"\nissuer = \"b\"", "before this one"),
        ("[[token.certificate]]\nlabel = \"a\"\ntemplate = \"/t\"\nissuer = \"a\"", "before this one"),
    ] {
        let module = Module::configured(&format!("log = \"warn:FOLDER/log\"\n{token}{lines}\n"));
        let error = atecc608_token::config::Config::parse(
            &module.configuration(),
            &fs::read_to_string(module.configuration()).unwrap(),
        )
        .unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(module.initialize(), Err(CKR_GENERAL_ERROR));
    }
}

const POINT: [u8; 64] = [0x42; 64];

fn values(compressed: &CompressedCertificate) -> Values<'_> {
    let serial = SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 1, 2, 3, 0xEE]);
    Values { compressed, public_key: &POINT, issuer_key: &POINT, serial }
}

#[test]
fn serial_numbers_come_from_where_the_source_says() {
    // Section 7.2 of the fact sheet.
    let issued = Issued::new();
    let at = issued.at(Certificate::from_der(&issued.device).unwrap().tbs_certificate.serial_number.as_bytes());
    let made = |source: u8, example: &[u8]| -> Vec<u8> {
        let template = Template::new(example.to_vec(), vec![(Field::SerialNumber, at)], (7, 2, source)).unwrap();
        let compressed = CompressedCertificate { serial_source: source, ..Issued::compressed([1; 64]) };
        let certificate = template.certificate(&values(&compressed));
        let parsed = Certificate::from_der(&certificate.unwrap()).unwrap().tbs_certificate;
        parsed.serial_number.as_bytes().to_vec()
    };
    let dates = Issued::compressed([1; 64]).encode().unwrap()[64..67].to_vec();
    let hash = |of: &[u8]| {
        let mut digest = Sha256::digest([of, &dates].concat())[..16].to_vec();
        digest[0] = digest[0] & 0x7F | 0x40;
        digest
    };
    let old = Certificate::from_der(&issued.device).unwrap().tbs_certificate.serial_number.as_bytes().to_vec();
    assert_eq!(made(0x00, &issued.device), old);
    assert_eq!(made(0x0A, &issued.device), hash(&POINT));
    assert_eq!(made(0x0B, &issued.device), hash(&values(&Issued::compressed([1; 64])).serial.0));
    // The other two have their own lengths.
    let compressed = CompressedCertificate { serial_source: 8, ..Issued::compressed([1; 64]) };
    let template = Template::new(issued.device.clone(), vec![(Field::SerialNumber, at)], (7, 2, 8)).unwrap();
    let error = template.certificate(&values(&compressed)).unwrap_err();
    assert_eq!(error, CertificateError::Example("a field has another length than the example's"));
}

proptest! {
    #[test]
    fn whatever_is_called_a_certificate_and_wherever_its_fields_are_nothing_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in 0usize..700,
        change in (0usize..600, any::<u8>()),
        stored in any::<[u8; 8]>(),
    ) {
        let fields = || vec![
            (Field::PublicKey, at),
            (Field::SerialNumber, at / 2),
            (Field::NotAfter, at / 3),
            (Field::Data(vec![0; 5]), at),
        ];
        prop_assert!(Template::new(bytes, fields(), (0, 0, 0)).is_err());
        let mut good = crate::common::templates::certificate("x", &[&[4], &POINT[..]].concat());
        let len = good.len();
        good[change.0 % len] ^= change.1;
        let mut compressed = [7; 72];
        compressed[64..].copy_from_slice(&stored);
        let Ok(compressed) = CompressedCertificate::decode(&compressed) else { return Ok(()) };
        let ids = (compressed.template_id, compressed.chain_id, compressed.serial_source);
        for field in fields() {
            if let Ok(template) = Template::new(good.clone(), vec![field], ids) {
                let _ = template.certificate(&values(&compressed));
            }
        }
    }
}
