//! `atecc608 key`, `csr` and `cert`: from a key born in the chip to a certificate that others accept.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod cli_support;
mod x509_support;

use cli_support::{stderr, Bench};
use x509_support::*;

#[test]
fn a_key_born_in_the_chip_gets_a_certificate_from_the_authority_whose_key_ecparam_wrote_with_its_ec_parameters_block() {
    let bench = Bench::new();
    bench.provision();
    let dir = bench.dir.path();
    openssl(dir, &["ecparam", "-name", "prime256v1", "-genkey", "-out", "ca.key"]);
    assert!(std::fs::read_to_string(bench.path("ca.key")).unwrap().starts_with("-----BEGIN EC PARAMETERS-----"));
    authority(dir, "ca.key", "ca.pem");
    let key = bench.json(&["key", "generate", "--label", "gateway"]);
    assert_eq!(key["slot"], 0);
    ok(&bench.run(&["csr", "--key", "gateway", "--subject", "/O=Acme/CN=gateway-1", "--output", "gateway.csr"]));
    let told = openssl(dir, &["req", "-in", "gateway.csr", "-noout", "-verify", "-pubkey"]);
    assert_eq!(told, key["public_key"].as_str().unwrap());
    ok(&bench.run(&[
        "cert",
        "issue",
        "--csr",
        "gateway.csr",
        "--ca",
        "ca.pem",
        "--ca-key",
        "ca.key",
        "--output",
        "gateway.pem",
    ]));
    assert_accepted(dir, "ca.pem", "gateway.pem");
    assert_eq!(subject(dir, "gateway.pem"), "subject=O = Acme, CN = gateway-1");
    // The same without the detour, and kept on the token.
    ok(&bench.run(&[
        "cert",
        "issue",
        "--key",
        "gateway",
        "--subject",
        "CN=gateway-1,O=Acme",
        "--ca",
        "ca.pem",
        "--ca-key",
        "ca.key",
        "--store",
        "--output",
        "direct.pem",
    ]));
    assert_accepted(dir, "ca.pem", "direct.pem");
    assert_eq!(subject(dir, "direct.pem"), "subject=O = Acme, CN = gateway-1");
    let exported = bench.run(&["cert", "export"]);
    assert!(exported.stdout == std::fs::read(bench.path("direct.pem")).unwrap(), "{}", stderr(&exported));
}
