// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the tests of attestation: a provisioned chip under the test's control, the tool on it, and the message of
//! a statement built by hand.

use std::path::{Path, PathBuf};
use std::process::Output;

use atecc608::Chip;
use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus};
use atecc608_testkit::{chip, interposer};
use atecc608_token::bus::{host_random, Bus};
use atecc608_token::config::BusLocation;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::SecretKey;
use serde_json::Value;
use sha2::{Digest, Sha256};
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier};
use x509_cert::der::Encode;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::support::{hex, Bench};

pub const CHALLENGE: &str = "c0ffee00112233445566778899aabbccddeeff01";
pub const OTHER_CHALLENGE: &str = "c0ffee00112233445566778899aabbccddeeff02";

/// The tool, and a chip on its own bus, served by a thread of the test.
pub struct Attested {
    pub bench: Bench,
    pub bus: SimBus,
}

impl Attested {
    /// A chip as `provision tls` leaves it.
    pub fn new() -> Self {
        Self::with(chip::provisioned())
    }

    pub fn with(image: Image) -> Self {
        Self::served(image, chip::serve)
    }

    /// The same chip with an attacker on its bus, who substitutes his own key pair for the chip's keys. Returns his
    /// public key, too.
    pub fn interposed() -> (Self, Vec<u8>) {
        let (point, answer) = interposer::with_own_key();
        (Self::served(chip::provisioned(), |image, socket| interposer::serve(image, socket, answer)), point)
    }

    fn served(image: Image, serve: impl FnOnce(Image, &Path) -> SimBus) -> Self {
        let bench = Bench::with_config(|dir| {
            format!("bus = \"unix:{}/socket\"\naddress = {}\n", dir.display(), image.config().i2c_address())
        });
        let bus = serve(image, &bench.path("socket"));
        let this = Self { bench, bus };
        if this.bus.image(0).unwrap().config().config_locked() {
            this.enrol();
        }
        this
    }

    /// Gives the verifier the attestation key.
    pub fn enrol(&self) {
        std::fs::write(self.bench.path("key.pem"), pem(&self.key_in(1))).unwrap();
    }

    /// The private key that is in a slot's EEPROM.
    pub fn key_in(&self, number: u8) -> SecretKey {
        let image = self.bus.image(0).unwrap();
        SecretKey::from_slice(&image.part(Part::Slot(chip::slot(number)))[4..36]).unwrap()
    }

    pub fn put_key(&self, number: u8, scalar: u8) {
        let mut image = self.bus.image(0).unwrap();
        chip::put_key(&mut image, number, &[scalar; 32]);
        self.bus.set_image(0, image).unwrap();
    }

    pub fn tamper(&self, change: impl FnOnce(&mut [u8])) {
        let mut image = self.bus.image(0).unwrap();
        change(image.part_mut(Part::Config));
        self.bus.set_image(0, image).unwrap();
    }

    /// The driver, beside the tool.
    pub fn chip(&self) -> Chip<Bus> {
        let location = BusLocation::Unix(self.bench.path("socket"));
        Chip::new(Bus::open(&location, 0x60, &self.bench.path("state")).unwrap(), host_random)
    }

    /// A statement, made under [`CHALLENGE`].
    pub fn attest(&self, arguments: &[&str]) -> Value {
        let output = self.bench.run(&[&["attest", "--challenge", CHALLENGE], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn store(&self, statement: &Value) -> PathBuf {
        let path = self.bench.path("statement.json");
        std::fs::write(&path, statement.to_string()).unwrap();
        path
    }

    /// Whether the verifier accepts the statement under [`CHALLENGE`], and its output.
    pub fn verify(&self, statement: &Value) -> (bool, Value) {
        self.verify_with(statement, &["--challenge", CHALLENGE])
    }

    pub fn verify_with(&self, statement: &Value, arguments: &[&str]) -> (bool, Value) {
        let output = self.run_verify(statement, &[arguments, &["--json"]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let verified = output.status.code() == Some(0);
        assert!(report["verified"].as_bool().unwrap_or(false) == verified, "{report:#}");
        (verified, report)
    }

    pub fn run_verify(&self, statement: &Value, arguments: &[&str]) -> Output {
        let path = self.store(statement);
        let fixed = ["verify-attestation", path.to_str().unwrap(), "--attestation-key", "key.pem"];
        self.bench.run(&[&fixed, arguments].concat())
    }
}

/// The names of the failed checks; empty for a file that can't be read at all.
pub fn wrong(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    assert!(checks.iter().all(|check| (check["result"] == "ok") == (check["holds"] == true)), "{report:#}");
    let wrong = checks.iter().filter(|check| check["result"] == "failed");
    wrong.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

pub fn lines(report: &Value, list: &str) -> String {
    report[list].as_array().unwrap().iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
}

/// SubjectPublicKeyInfo in PEM, written by another implementation.
pub fn pem(key: &SecretKey) -> String {
    let curve = Any::from(&ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"));
    let oid = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    let point = key.public_key().to_encoded_point(false);
    let info = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters: Some(curve) },
        subject_public_key: BitString::from_bytes(point.as_bytes()).unwrap(),
    };
    der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &info.to_der().unwrap()).unwrap()
}

pub fn field(statement: &Value, name: &str) -> Vec<u8> {
    hex(statement[name].as_str().unwrap())
}

fn sha(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

fn short_serial(config: &[u8]) -> [u8; 3] {
    [config[12], config[0], config[1]]
}

/// What GenDig of slot 1's configuration digests beside `temp_key` (96 bytes, section 3.6): its SHA-256 is TempKey before the
/// key comes into it.
pub fn last_gen_dig(config: &[u8], temp_key: &[u8]) -> Vec<u8> {
    let attester = [&[0], &config[22..24], &config[98..100], &[0x01], &[0; 19][..]].concat();
    [&[0; 32], &[0x15, 0x05, 0x01, 0x00][..], &short_serial(config), &attester, temp_key].concat()
}

/// TempKey after nonce and configuration, without that last step.
pub fn temp_key_before(config: &[u8], random: &[u8], challenge: &[u8]) -> Vec<u8> {
    let first = sha(&[random, challenge, &[0x16, 0x00, 0x00]]);
    (0..4).fold(first, |temp_key, block| {
        let bytes = &config[32 * usize::from(block)..][..32];
        sha(&[bytes, &[0x15, 0x00, block, 0x00], &short_serial(config), &[0; 25], &temp_key])
    })
}

/// The 55 bytes that the attestation key must have signed, byte by byte from sections 3.6, 3.7, 3.12 and 3.19 of the
/// fact sheet. `mode` is GenKey's; `more_flags` are the flags of TempKey beside GenKeyData.
pub fn message(statement: &Value, mode: u8, more_flags: u8) -> Vec<u8> {
    let config = field(statement, "configuration");
    let slot = statement["slot"].as_u64().unwrap() as usize;
    let temp_key = temp_key_before(&config, &field(statement, "random"), &field(statement, "challenge"));
    let temp_key = sha(&[&last_gen_dig(&config, &temp_key)]);
    let public_key = &field(statement, "public_key")[1..];
    let temp_key = sha(&[&temp_key, &[0x40, mode, slot as u8, 0x00], &short_serial(&config), &[0; 25], public_key]);
    let words = [&config[20 + 2 * slot..][..2], &config[96 + 2 * slot..][..2]].concat();
    let flags = 0x40 | slot as u8 | more_flags;
    // SN[8], SN[4..8], SN[0..2], SN[2..4]: the serial number is in bytes 0 to 3 and 8 to 12.
    let tail = [&[flags, 0, 0, config[12]], &config[8..12], &config[..4], &[0x01, 0x00, 0x00]].concat();
    [&temp_key, &[0x41, 0x40, 0x01, 0x00][..], &words, &tail].concat()
}

/// Whether the statement's signature is `key`'s over the message, according to another implementation.
pub fn is_signed(statement: &Value, mode: u8, key: &SecretKey) -> bool {
    is_signed_with_flags(statement, mode, 0, key)
}

pub fn is_signed_with_flags(statement: &Value, mode: u8, more_flags: u8, key: &SecretKey) -> bool {
    let message = message(statement, mode, more_flags);
    assert_eq!(message.len(), 55);
    let signature = Signature::from_slice(&field(statement, "signature")).unwrap();
    VerifyingKey::from(key.public_key()).verify_prehash(&Sha256::digest(message), &signature).is_ok()
}
