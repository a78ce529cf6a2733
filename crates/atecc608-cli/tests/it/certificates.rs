// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 csr` and `cert`: from a key generated in the chip to a certificate that OpenSSL in its strict mode and
//! GnuTLS accept.

use crate::support::x509::*;
use crate::support::{stderr, stdout, Bench};
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::Certificate;

/// The certificate as other programs read it.
fn read(bench: &Bench, name: &str) -> Certificate {
    openssl(bench.dir.path(), &format!("x509 -in {name} -outform DER -out read.der"));
    Certificate::from_der(&std::fs::read(bench.path("read.der")).unwrap()).unwrap()
}

#[test]
fn standard_output_by_its_name_gets_the_result_and_nothing_else() {
    let bench = Bench::new();
    bench.provision();
    ok(&bench.run(&["key", "generate", "--label", "gateway"]));
    for output in ["/dev/stdout", "/proc/self/fd/1"] {
        let csr = ["csr", "--subject", "/CN=x", "--output", output];
        // Into a pipe, and into a file.
        let piped = stdout(&bench.run(&csr));
        let file = std::fs::File::create(bench.path("out")).unwrap();
        assert!(bench.command(&csr).stdout(file).status().unwrap().success());
        for text in [piped, std::fs::read_to_string(bench.path("out")).unwrap()] {
            assert!(text.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"), "{text}");
            assert!(text.ends_with("-----END CERTIFICATE REQUEST-----\n"), "{text}");
        }
    }
}

#[test]
fn each_step_from_a_blank_chip_to_a_certificate_names_the_next() {
    let bench = Bench::new();
    let next = |arguments: &[&str]| {
        let text = stdout(&bench.run(arguments));
        text.lines().find_map(|line| line.strip_prefix("Next: ")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert_eq!(next(&["provision", "tls", "--lock-forever"]), "atecc608 key generate --label NAME");
    let csr = "atecc608 csr --key gateway --subject /CN=NAME --output device.csr";
    assert_eq!(next(&["key", "generate", "--label", "gateway"]), csr);
    let issue = next(&["csr", "--key", "gateway", "--subject", "/CN=gateway-1", "--output", "device.csr"]);
    assert!(issue.starts_with("atecc608 cert issue --csr device.csr --ca CA.pem --ca-key CA.key"), "{issue}");
    ecparam_key(bench.dir.path(), "CA.key");
    authority(bench.dir.path(), "CA.key", "CA.pem");
    let words: Vec<&str> = issue.split(' ').skip(1).collect();
    let import = next(&words);
    assert!(import.starts_with("atecc608 cert import device.pem"), "{import}");
    let used = next(&["cert", "import", "device.pem"]);
    assert!(used.starts_with("use the key") && used.contains(";object=gateway;type=private"), "{used}");
}

#[test]
fn a_key_born_in_the_chip_gets_a_certificate_from_the_authority_whose_key_ecparam_wrote_with_its_ec_parameters_block() {
    let bench = Bench::new();
    bench.provision();
    let dir = bench.dir.path();
    ecparam_key(dir, "ca.key");
    authority(dir, "ca.key", "ca.pem");
    let key = bench.json(&["key", "generate", "--label", "gateway"]);
    assert_eq!(key["slot"], 0);
    ok(&bench.run(&["csr", "--key", "gateway", "--subject", "/O=Acme/CN=gateway-1", "--output", "gateway.csr"]));
    let told = openssl(dir, "req -in gateway.csr -noout -verify -pubkey");
    assert_eq!(told, key["public_key"].as_str().unwrap());
    let authority = ["--ca", "ca.pem", "--ca-key", "ca.key"];
    ok(&bench.run(&[&["cert", "issue", "--csr", "gateway.csr", "--output", "gateway.pem"], &authority[..]].concat()));
    assert_accepted(dir, "ca.pem", "gateway.pem");
    assert_eq!(subject(dir, "gateway.pem"), "subject=O=Acme,CN=gateway-1");
    // The same in one step, and kept on the token.
    let direct = ["cert", "issue", "--subject", "CN=gateway-1,O=Acme", "--store", "--output", "direct.pem"];
    ok(&bench.run(&[&direct, &authority[..]].concat()));
    assert_accepted(dir, "ca.pem", "direct.pem");
    assert_eq!(subject(dir, "direct.pem"), "subject=O=Acme,CN=gateway-1");
    let exported = bench.run(&["cert", "export", "--key", "gateway"]);
    assert!(exported.stdout == std::fs::read(bench.path("direct.pem")).unwrap(), "{}", stderr(&exported));
    assert_eq!(bench.json(&["cert", "list"])["certificates"][0]["key"], "gateway");
}

#[test]
fn authorities_with_rsa_and_p384_keys_sign_with_the_algorithm_that_fits_in_every_form_of_key_file() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    openssl(dir, "genrsa -traditional -out rsa-pkcs1.key 2048");
    openssl(dir, "pkcs8 -topk8 -nocrypt -in rsa-pkcs1.key -out rsa-pkcs8.key");
    openssl(dir, "rsa -in rsa-pkcs1.key -outform DER -traditional -out rsa-pkcs1.der");
    openssl(dir, "genrsa -out rsa4096.key 4096");
    openssl(dir, "ecparam -name secp384r1 -genkey -out p384-sec1.key");
    openssl(dir, "pkcs8 -topk8 -nocrypt -in p384-sec1.key -outform DER -out p384-pkcs8.der");
    openssl(dir, "ec -in ca.key -outform DER -out p256-sec1.der");
    openssl(dir, "pkcs8 -topk8 -nocrypt -in ca.key -out p256-pkcs8.key");
    for (make_with, keys, algorithm) in [
        ("ca.key", &["ca.key", "p256-sec1.der", "p256-pkcs8.key"][..], "ecdsa-with-SHA256"),
        ("p384-sec1.key", &["p384-sec1.key", "p384-pkcs8.der"], "ecdsa-with-SHA384"),
        ("rsa-pkcs1.key", &["rsa-pkcs1.key", "rsa-pkcs8.key", "rsa-pkcs1.der"], "sha256WithRSAEncryption"),
        ("rsa4096.key", &["rsa4096.key"], "sha256WithRSAEncryption"),
    ] {
        authority(dir, make_with, "this-ca.pem");
        for key in keys {
            ok(&issue(&bench, &["--ca", "this-ca.pem", "--ca-key", key, "--force"]));
            assert_accepted(dir, "this-ca.pem", "gateway.pem");
            let text = text(dir, "gateway.pem");
            assert_eq!(text.matches(&format!("Signature Algorithm: {algorithm}")).count(), 2, "{key}: {text}");
        }
    }
}

#[test]
fn a_certificate_has_what_rfc_5280_and_aws_iot_require() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    ok(&issue(&bench, &["--ca", "ca.pem", "--ca-key", "ca.key"]));
    let (ca, certificate) = (read(&bench, "ca.pem"), read(&bench, "gateway.pem"));
    let (serial, issuer) = (&certificate.tbs_certificate.serial_number, &certificate.tbs_certificate.issuer);
    assert_eq!((serial.as_bytes().len(), serial.as_bytes()[0] & 0xC0), (20, 0x40));
    assert_eq!(issuer.to_der().unwrap(), ca.tbs_certificate.subject.to_der().unwrap());
    let text = text(dir, "gateway.pem");
    for part in [
        "Version: 3 (0x2)",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n",
        "X509v3 Subject Key Identifier: \n",
        "X509v3 Authority Key Identifier: \n",
    ] {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    // Identifiers as OpenSSL computes them.
    let identifier = |name: &str, extension: &str| {
        let told = openssl(dir, &format!("x509 -in {name} -noout -ext {extension}"));
        told.lines().nth(1).unwrap().trim().to_owned()
    };
    assert_eq!(identifier("gateway.pem", "authorityKeyIdentifier"), identifier("ca.pem", "subjectKeyIdentifier"));
    ok(&issue(&bench, &["--ca", "ca.pem", "--ca-key", "ca.key", "--force"]));
    assert_ne!(read(&bench, "gateway.pem").tbs_certificate.serial_number, *serial, "a second one has another number");
}

#[test]
fn the_issuers_name_is_copied_byte_for_byte_whatever_string_types_it_has() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    // Old authorities use T61String; no program writes it today.
    let config = "[req]\nprompt=no\nstring_mask=MASK:0x0804\ndistinguished_name=dn\n[dn]\nO=Acme\nCN=Z\u{fc}rich\n";
    std::fs::write(dir.join("old.cnf"), config).unwrap();
    openssl(
        dir,
        "req -x509 -new -key ca.key -utf8 -config old.cnf -addext basicConstraints=critical,CA:TRUE -out old.pem",
    );
    let name = &read(&bench, "old.pem").tbs_certificate.subject;
    assert!(name.0.iter().flat_map(|part| part.0.iter()).all(|part| part.value.tag() == Tag::TeletexString));
    ok(&issue(&bench, &["--ca", "old.pem", "--ca-key", "ca.key"]));
    let (ca, certificate) = (read(&bench, "old.pem"), read(&bench, "gateway.pem"));
    assert_eq!(certificate.tbs_certificate.issuer.to_der().unwrap(), ca.tbs_certificate.subject.to_der().unwrap());
    openssl(dir, "verify -CAfile old.pem gateway.pem");
}

#[test]
fn encrypted_authority_keys_are_opened_with_a_passphrase_from_a_file_or_the_terminal() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    std::fs::write(dir.join("pass"), "correct horse\n").unwrap();
    for (name, options) in [
        ("default.key", ""),
        ("old.key", "-v2 des3 -v2prf hmacWithSHA1"),
        ("scrypt.key", "-scrypt"),
        ("binary.key", "-outform DER"),
    ] {
        openssl(dir, &format!("pkcs8 -topk8 -in ca.key {options} -passout file:pass -out {name}"));
        let passphrase = ["--ca", "ca.pem", "--ca-key", name, "--passphrase-file", "pass", "--force"];
        ok(&issue(&bench, &passphrase));
        assert_accepted(dir, "ca.pem", "gateway.pem");
    }
    std::fs::remove_file(bench.path("gateway.pem")).unwrap();
    let arguments = ["cert", "issue", "--key", "gateway", "--subject", "/CN=gateway-1", "--output", "gateway.pem"];
    let arguments = [&arguments, &["--ca", "ca.pem", "--ca-key", "default.key"][..]].concat();
    let (shown, status) = at_terminal(&bench, &arguments, "Passphrase of default.key: ", "correct horse\n");
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains("horse"), "a passphrase is not shown: {shown}");
    assert_accepted(dir, "ca.pem", "gateway.pem");
}

#[test]
fn the_authoritys_key_may_be_in_the_chip_and_its_chain_is_exported_issuer_after_subject() {
    let bench = Bench::new();
    bench.provision();
    let dir = bench.dir.path();
    ok(&bench.run(&["key", "generate", "--label", "root"]));
    ok(&bench.run(&["key", "generate", "--label", "issuing"]));
    ok(&bench.run(&["key", "generate", "--label", "gateway"]));
    let root = ["cert", "self-sign", "--key", "root", "--subject", "/CN=Root", "--authority", "--path-length", "1"];
    ok(&bench.run(&[&root, &["--store", "--output", "root.pem"][..]].concat()));
    let issuing = ["cert", "issue", "--key", "issuing", "--subject", "/CN=Issuing", "--authority", "--ca", "root.pem"];
    ok(&bench.run(&[&issuing, &["--ca-chip-key", "root", "--store", "--output", "issuing.pem"][..]].concat()));
    let gateway = ["cert", "issue", "--key", "gateway", "--subject", "/CN=gateway-1", "--ca", "issuing.pem"];
    ok(&bench.run(&[&gateway, &["--ca-chip-key", "issuing", "--store", "--output", "gateway.pem"][..]].concat()));
    openssl(dir, "verify -x509_strict -CAfile root.pem -untrusted issuing.pem gateway.pem");
    let pathlen = text(dir, "issuing.pem");
    assert!(pathlen.contains("CA:TRUE, pathlen:0"), "one authority less than the root's 1: {pathlen}");
    let chain = stdout(&bench.run(&["cert", "export", "--key", "gateway", "--chain"]));
    let files = ["gateway.pem", "issuing.pem", "root.pem"].map(|name| std::fs::read_to_string(dir.join(name)).unwrap());
    assert_eq!(chain, files.concat());
    // Without a name, the key that is not the authority's is used.
    assert_eq!(stdout(&bench.run(&["cert", "export"])), files[0]);
}

#[test]
fn a_self_signed_certificate_is_for_a_device_and_one_for_an_authority_signs_others() {
    let bench = Bench::new();
    bench.provision();
    let dir = bench.dir.path();
    ok(&bench.run(&["key", "generate"]));
    let named = ["--subject", "CN=gateway-1", "--san", "DNS:gateway.example.com,IP:192.0.2.1"];
    let server = ["--server", "--client", "--days", "30", "--output", "server.pem"];
    ok(&bench.run(&[&["cert", "self-sign"], &named[..], &server].concat()));
    openssl(dir, "verify -CAfile server.pem -purpose sslserver -verify_hostname gateway.example.com server.pem");
    openssl(dir, "verify -CAfile server.pem -purpose sslclient -verify_ip 192.0.2.1 server.pem");
    ok(&bench.run(&["cert", "self-sign", "--subject", "CN=Root", "--authority", "--output", "root.pem"]));
    openssl(dir, "verify -x509_strict -CAfile root.pem root.pem");
    assert!(text(dir, "root.pem").contains("Certificate Sign, CRL Sign"));
}

#[test]
fn both_ways_to_write_a_subject_make_the_same_name_and_zurich_is_utf_8() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    let csr = |subject: &str| {
        let output = bench.run(&["csr", "--subject", subject, "--der", "--output", "r.der", "--force"]);
        ok(&output);
        let request = x509_cert::request::CertReq::from_der(&std::fs::read(bench.path("r.der")).unwrap()).unwrap();
        openssl(dir, "req -in r.der -inform DER -noout -verify");
        request.info.subject.to_der().unwrap()
    };
    let slashes = csr("/C=CH/L=Zürich/O=Acme, Inc./CN=gateway-1");
    assert_eq!(slashes, csr(r"CN=gateway-1,O=Acme\, Inc.,L=Z\C3\BCrich,C=CH"));
    assert_eq!(slashes, csr(r"2.5.4.3=gateway-1, o=Acme\2C Inc. , L=Zürich , c=CH"));
    // OpenSSL makes exactly the same bytes.
    let subject = "/C=CH/L=Zürich/O=Acme, Inc./CN=gateway-1";
    let arguments = ["req", "-new", "-key", "ca.key", "-utf8", "-subj", subject, "-outform", "DER", "-out", "o.der"];
    tool(dir, "openssl", &arguments);
    let theirs = x509_cert::request::CertReq::from_der(&std::fs::read(bench.path("o.der")).unwrap()).unwrap();
    assert_eq!(slashes, theirs.info.subject.to_der().unwrap());
    // Special characters are taken literally after a backslash.
    for (text, expected) in
        [(r#"/CN=the \"best\" one"#, r#"the "best" one"#), (r"/CN=a\/b", "a/b"), (r"/CN=\“x\”", "“x”")]
    {
        let name = csr(text);
        assert!(name.windows(expected.len()).any(|part| part == expected.as_bytes()), "{text}");
    }
}

#[test]
fn a_requests_further_names_are_taken_over_and_nothing_else_that_it_asks_for() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    let asked = "-addext subjectAltName=DNS:a.example.com,email:x@example.com,URI:urn:x:1,IP:2001:db8::1";
    openssl(dir, "ecparam -name secp384r1 -genkey -noout -out other.key");
    openssl(
        dir,
        &format!("req -new -key other.key -subj /CN=other {asked} -addext basicConstraints=CA:TRUE -out o.csr"),
    );
    ok(&bench.run(&["cert", "issue", "--csr", "o.csr", "--ca", "ca.pem", "--ca-key", "ca.key", "--output", "o.pem"]));
    assert_accepted(dir, "ca.pem", "o.pem");
    let text = text(dir, "o.pem");
    let names = "DNS:a.example.com, email:x@example.com, URI:urn:x:1, IP Address:2001:DB8:0:0:0:0:0:1";
    assert!(text.contains(names) && text.contains("CA:FALSE"), "{text}");
}

#[test]
fn every_further_name_that_is_signed_is_printed_without_control_characters() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    let configuration =
        "[req]\ndistinguished_name=dn\n[dn]\n[names]\nsubjectAltName=DNS:a.example.com,DNS:b\u{1b}[2Kc\n";
    std::fs::write(dir.join("names.cnf"), configuration).unwrap();
    openssl(
        dir,
        "req -new -config names.cnf -reqexts names -newkey rsa:2048 -nodes -keyout o.key -subj /CN=o -out o.csr",
    );
    let issue = ["cert", "issue", "--csr", "o.csr", "--ca", "ca.pem", "--ca-key", "ca.key", "--subject", "/CN=mine"];
    let output = bench.run(&issue);
    ok(&output);
    let said = stderr(&output);
    assert!(said.contains(r"the certificate is also for DNS:a.example.com, DNS:b\u{1b}[2Kc"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn validity_is_ten_years_within_the_authoritys_or_what_was_asked_for() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    let dates = |arguments: &[&str]| {
        let output = issue(&bench, &[&["--ca", "ca.pem", "--ca-key", "ca.key", "--force"], arguments].concat());
        ok(&output);
        (openssl(dir, "x509 -in gateway.pem -noout -startdate -enddate"), stderr(&output))
    };
    let days = |certificate: &Certificate| {
        let validity = certificate.tbs_certificate.validity;
        (validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration()).as_secs() / 86400
    };
    let (told, warned) = dates(&[]);
    assert_eq!((days(&read(&bench, "gateway.pem")), warned.contains("warning")), (3650, false), "{told}");
    let (told, _) = dates(&["--not-before", "2026-01-31", "--not-after", "2031-06-30T12:00:00Z"]);
    assert_eq!(told, "notBefore=Jan 31 00:00:00 2026 GMT\nnotAfter=Jun 30 12:00:00 2031 GMT\n");
    // From 2050 on a GeneralizedTime, and a warning beyond the authority's own validity.
    let (told, warned) = dates(&["--not-after", "never"]);
    assert!(told.ends_with("notAfter=Dec 31 23:59:59 9999 GMT\n"), "{told}");
    assert!(warned.contains("warning: the authority's own certificate ends at"), "{warned}");
    authority_with(dir, "ca.key", "ca.pem", "-days 100");
    let end = |name: &str| openssl(dir, &format!("x509 -in {name} -noout -enddate"));
    let (_, warned) = dates(&[]);
    assert!(warned.contains("warning: the authority's own certificate ends at"), "{warned}");
    assert_eq!(end("gateway.pem"), end("ca.pem"));
}

#[test]
fn certificates_are_kept_once_with_their_keys_names_and_seen_by_others_until_they_are_removed() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    ok(&issue(&bench, &["--ca", "ca.pem", "--ca-key", "ca.key"]));
    let both = ["gateway.pem", "ca.pem"].map(|name| std::fs::read_to_string(dir.join(name)).unwrap()).concat();
    std::fs::write(dir.join("bundle.pem"), format!("Bag Attributes\r\n\r\n{}", both.replace('\n', "\r\n"))).unwrap();
    let imported = bench.json(&["cert", "import", "bundle.pem"]);
    let of = |which: usize, what: &str| imported["certificates"][which][what].as_str().unwrap_or("-").to_owned();
    assert_eq!((of(0, "result"), of(0, "label"), of(0, "key")), ("kept".into(), "gateway".into(), "gateway".into()));
    assert_eq!((of(1, "result"), of(1, "label"), of(1, "key")), ("kept".into(), "Acme-CA".into(), "-".into()));
    let again = bench.json(&["cert", "import", "bundle.pem"]);
    assert_eq!(again["certificates"][0]["result"], "already there");
    let listed = bench.json(&["cert", "list"]);
    assert_eq!(listed["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(listed["certificates"][0]["id"], bench.json(&["key", "public"])["id"]);
    let serial = of(0, "serial_number");
    // A second one for the same key is named, and replaces the first one on request.
    ok(&issue(&bench, &["--ca", "ca.pem", "--ca-key", "ca.key", "--force"]));
    let second = bench.run(&["cert", "import", "gateway.pem"]);
    assert!(stderr(&second).contains(&format!("`atecc608 cert remove --serial {serial}`")), "{}", stderr(&second));
    assert_eq!(bench.json(&["cert", "list"])["certificates"].as_array().unwrap().len(), 3);
    let several = bench.run(&["cert", "export", "--key", "gateway"]);
    refused_without_file(&several, "several certificates match");
    ok(&bench.run(&["cert", "import", "gateway.pem", "--replace"]));
    assert_eq!(bench.json(&["cert", "list"])["certificates"].as_array().unwrap().len(), 2);
    let serial = bench.json(&["cert", "export", "--key", "gateway"])["serial_number"].as_str().unwrap().to_owned();
    ok(&bench.run(&["cert", "export", "--serial", &serial, "--der", "--output", "gateway.der"]));
    assert_eq!(
        openssl(dir, "x509 -in gateway.der -inform DER"),
        std::fs::read_to_string(dir.join("gateway.pem")).unwrap()
    );
    ok(&bench.run(&["cert", "remove", "--label", "Acme-CA"]));
    assert_eq!(bench.json(&["cert", "list"])["certificates"].as_array().unwrap().len(), 1);
    let output = bench.run(&["cert", "export", "--label", "Acme-CA"]);
    refused_without_file(&output, "the token has no such certificate among its 1");
}

fn refused_without_file(output: &std::process::Output, part: &str) {
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(output).contains(part), "{}", stderr(output));
}

#[test]
fn a_certificate_that_the_chip_itself_keeps_stays_and_another_one_for_its_key_is_kept_beside_it() {
    let bench = Bench::with_chip(atecc608_sim::Profile::TngTls);
    let output = bench.run(&["cert", "remove", "--label", "device"]);
    refused_without_file(&output, "the certificate \"device\" is part of the chip: it can't be removed");
    let own = ["cert", "self-sign", "--slot", "0", "--subject", "/CN=mine", "--store", "--replace", "--label", "mine"];
    let output = bench.run(&[&own, &["--output", "own.pem"][..]].concat());
    ok(&output);
    assert!(stderr(&output).contains("can't be removed, and clients may use that one"), "{}", stderr(&output));
    let exported = bench.run(&["cert", "export", "--label", "mine"]);
    assert!(exported.stdout == std::fs::read(bench.path("own.pem")).unwrap());
    // What the chip shows by itself: device, signer and root.
    ok(&bench.run(&["cert", "export", "--label", "device", "--chain", "--output", "chain.pem"]));
    assert_eq!(std::fs::read_to_string(bench.path("chain.pem")).unwrap().matches("BEGIN CERTIFICATE").count(), 3);
}
