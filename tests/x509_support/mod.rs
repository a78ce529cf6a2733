//! What the tests of certificates share: other people's tools that make authorities and judge what we make.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

/// Runs a program in `dir`; answers its standard output.
pub fn tool(dir: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn openssl(dir: &Path, arguments: &[&str]) -> String {
    tool(dir, "openssl", arguments)
}

/// A certification authority's certificate for the key, as OpenSSL makes one that its own strict mode accepts.
pub fn authority(dir: &Path, key: &str, certificate: &str) {
    let mut arguments =
        vec!["req", "-x509", "-new", "-key", key, "-subj", "/O=Acme/CN=Acme Device CA", "-days", "7300"];
    arguments.extend(["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", certificate]);
    openssl(dir, &arguments);
}

/// OpenSSL in its strict mode and GnuTLS accept the certificate for a TLS client.
pub fn assert_accepted(dir: &Path, authority: &str, certificate: &str) {
    let purpose = ["-purpose", "sslclient"];
    openssl(dir, &[&["verify", "-x509_strict", "-CAfile", authority], &purpose[..], &[certificate]].concat());
    let told = tool(dir, "certtool", &["--verify", "--load-ca-certificate", authority, "--infile", certificate]);
    assert!(told.contains("Verified. The certificate is trusted"), "{told}");
}

pub fn subject(dir: &Path, certificate: &str) -> String {
    openssl(dir, &["x509", "-in", certificate, "-noout", "-subject", "-nameopt", "utf8,sep_comma_plus_space,space_eq"])
        .trim_end()
        .to_owned()
}

pub fn ok(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
