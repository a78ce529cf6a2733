// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip and the `openssl` command check each other's keys, signatures and shared secrets.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Output};

use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use p256::ecdsa::Signature;
use tempfile::TempDir;

const DIGEST: [u8; 32] = [0x5A; 32];

/// A folder for `openssl` to work in.
struct OpenSsl(TempDir);

impl OpenSsl {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs it in the folder, with these arguments.
    fn output(&self, words: &str) -> Output {
        let folder: &Path = self.0.path();
        let output = Program::new("openssl").args(words.split(' ')).current_dir(folder).output();
        output.unwrap_or_else(|error| panic!("this test needs the openssl command: {error}"))
    }

    fn run(&self, words: &str) {
        let output = self.output(words);
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stores a public key as SubjectPublicKeyInfo in DER (RFC 5480): a fixed header for P-256, then the point.
    fn write_public_key(&self, name: &str, point: &[u8; 64]) {
        let header = hex("3059 3013 0607 2A8648CE3D0201 0608 2A8648CE3D030107 034200 04");
        self.write(name, &[&header[..], point].concat());
    }

    /// Reads X and Y of a public key that OpenSSL wrote.
    fn read_public_key(&self, name: &str) -> [u8; 64] {
        *self.read(name).last_chunk().unwrap()
    }
}

fn chip_with_keys() -> (Master, [u8; 64], [u8; 64]) {
    let master = Master::tls().untimed();
    let signing = master.run_on(&GenKey::create(slot(0))).unwrap().unwrap();
    let agreeing = master.run_on(&GenKey::create(slot(2))).unwrap().unwrap();
    (master, signing, agreeing)
}

#[test]
fn openssl_accepts_the_chips_public_key_and_its_signatures_and_no_other_digest() {
    let (master, public_key, _) = chip_with_keys();
    let openssl = OpenSsl::new();
    openssl.write_public_key("chip.der", &public_key);
    openssl.run("pkey -pubin -inform DER -in chip.der -pubcheck -noout");
    openssl.write("digest", &DIGEST);
    openssl.write("other", &[0x5B; 32]);
    master.run_on(&Nonce::digest(&DIGEST)).unwrap();
    for _ in 0..8 {
        let sign = Sign::External { source: DigestSource::MessageDigestBuffer, slot: slot(0) };
        let signature = Signature::from_slice(&master.run_on(&sign).unwrap()).unwrap();
        openssl.write("signature", signature.to_der().as_bytes());
        let verify = "pkeyutl -verify -pubin -keyform DER -inkey chip.der -sigfile signature -in";
        openssl.run(&format!("{verify} digest"));
        assert!(!openssl.output(&format!("{verify} other")).status.success());
    }
}

#[test]
fn the_chip_accepts_openssls_signatures_and_no_other_digest() {
    let (master, ..) = chip_with_keys();
    let openssl = OpenSsl::new();
    openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out host.pem");
    openssl.run("pkey -in host.pem -pubout -outform DER -out host.der");
    openssl.write("digest", &DIGEST);
    for _ in 0..8 {
        openssl.run("pkeyutl -sign -inkey host.pem -in digest -out signature");
        let signature = Signature::from_der(&openssl.read("signature")).unwrap().to_bytes().into();
        let key = VerifyKey::External {
            source: DigestSource::MessageDigestBuffer,
            public_key: openssl.read_public_key("host.der"),
        };
        let verify = Verify { key, signature, mac: false };
        master.run_on(&Nonce::digest(&DIGEST)).unwrap();
        assert_eq!(master.status_on(&verify), OK);
        master.run_on(&Nonce::digest(&[0x5B; 32])).unwrap();
        assert_eq!(master.status_on(&verify), MISCOMPARE);
    }
}

#[test]
fn the_chip_and_openssl_agree_on_a_secret() {
    let (master, _, public_key) = chip_with_keys();
    let openssl = OpenSsl::new();
    openssl.write_public_key("chip.der", &public_key);
    openssl.run("pkey -pubin -inform DER -in chip.der -pubout -out chip.pem");
    for _ in 0..4 {
        openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out host.pem");
        openssl.run("pkey -in host.pem -pubout -outform DER -out host.der");
        openssl.run("pkeyutl -derive -inkey host.pem -peerkey chip.pem -out secret");
        let ecdh = Ecdh {
            key: EcdhKey::Slot(slot(2)),
            target: EcdhTarget::Output,
            encrypted: false,
            public_key: openssl.read_public_key("host.der"),
        };
        let secret = openssl.read("secret").try_into().unwrap();
        assert!(master.run_on(&ecdh) == Ok(EcdhResponse::Clear(secret)));
    }
}
