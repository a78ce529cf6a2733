// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `openssl` command as another implementation for keys and certificates, in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

pub struct OpenSsl(TempDir);

impl OpenSsl {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs it in the folder, with these words; returns its output and status.
    pub fn output(&self, words: &str) -> Output {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(self.0.path()).output();
        output.unwrap_or_else(|error| panic!("this test needs the openssl command: {error}"))
    }

    /// The same, which must succeed; returns its standard output.
    #[track_caller]
    pub fn run(&self, words: &str) -> String {
        let output = self.output(words);
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stores a certificate in DER as PEM.
    pub fn write_certificate(&self, name: &str, der: &[u8]) {
        self.write("certificate.der", der);
        self.run(&format!("x509 -inform DER -in certificate.der -out {name}"));
    }
}
