// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 csr` and `cert` with inputs as users really give them: each error says what is wrong, where, and what to
//! do, and nothing is written.

use crate::support::x509::*;
use crate::support::{stderr, Bench};

/// `cert issue` with this authority's key; it is refused with these words.
fn key_is_refused(bench: &Bench, key: &str, parts: &[&str]) {
    let output = issue(bench, &["--ca", "ca.pem", "--ca-key", key]);
    refused(bench, &output, &[&[&format!("{key}: ")[..]], parts].concat());
}

fn authority_is_refused(bench: &Bench, certificate: &str, key: &str, parts: &[&str]) {
    let output = issue(bench, &["--ca", certificate, "--ca-key", key]);
    refused(bench, &output, parts);
}

#[test]
fn an_encrypted_authority_key_with_a_wrong_passphrase_or_none_to_ask_for_is_refused() {
    let bench = with_key_and_authority();
    std::fs::write(bench.path("pass"), "correct horse").unwrap();
    std::fs::write(bench.path("wrong"), "battery staple\n").unwrap();
    openssl(bench.dir.path(), "pkcs8 -topk8 -in ca.key -passout file:pass -out enc.key");
    let with = |file| issue(&bench, &["--ca", "ca.pem", "--ca-key", "enc.key", "--passphrase-file", file]);
    refused(&bench, &with("wrong"), &["enc.key: the passphrase is wrong"]);
    refused(&bench, &with("nowhere"), &["nowhere: No such file"]);
    let two = ["--ca", "ca.pem", "--ca-key", "-", "--passphrase-file", "-"];
    refused(
        &bench,
        &issue(&bench, &two),
        &["standard input (-) can be read once only, not --ca-key and --passphrase-file"],
    );
    // A process without a terminal: setsid takes it away.
    let tool = crate::support::TOOL;
    let arguments =
        ["--wait", tool, "cert", "issue", "--key", "gateway", "--subject", "/CN=x", "--output", "gateway.pem"];
    let mut command = std::process::Command::new("setsid");
    command.args(arguments).args(["--ca", "ca.pem", "--ca-key", "enc.key"]);
    command.env("ATECC608_PKCS11_CONF", bench.path("config.toml")).current_dir(bench.dir.path());
    let output = command.output().unwrap();
    refused(&bench, &output, &["Passphrase of enc.key is needed", "no terminal to ask", "--passphrase-file FILE"]);
}

#[test]
fn keys_encrypted_in_ways_that_are_too_old_are_named_with_the_command_that_converts_them() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    std::fs::write(dir.join("pass"), "correct horse\n").unwrap();
    openssl(dir, "ec -in ca.key -aes128 -passout file:pass -out legacy.key");
    assert!(std::fs::read_to_string(dir.join("legacy.key")).unwrap().contains("Proc-Type: 4,ENCRYPTED"));
    key_is_refused(
        &bench,
        "legacy.key",
        &["Proc-Type: 4,ENCRYPTED", "`openssl pkcs8 -topk8 -in legacy.key -out NEW-FILE`"],
    );
    openssl(dir, "pkcs8 -topk8 -in ca.key -v1 PBE-SHA1-3DES -passout file:pass -out pbes1.key");
    key_is_refused(&bench, "pbes1.key", &["too old", "`openssl pkcs8 -topk8 -v2 aes-256-cbc -in pbes1.key"]);
    // The advice works.
    openssl(dir, "pkcs8 -topk8 -in legacy.key -passin file:pass -passout pass:correct -out new.key");
    std::fs::write(dir.join("pass"), "correct\n").unwrap();
    ok(&issue(&bench, &["--ca", "ca.pem", "--ca-key", "new.key", "--passphrase-file", "pass"]));
}

#[test]
fn keys_of_other_kinds_are_named() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    for (make, parts) in [
        ("ecparam -name secp256k1 -genkey -out x.key", &["on the curve secp256k1", "P-256 (prime256v1) and P-384"][..]),
        ("ecparam -name secp521r1 -genkey -out x.key", &["on the curve secp521r1 (P-521)", "`atecc608 csr`"]),
        ("ecparam -name brainpoolP256r1 -genkey -noout -out x.key", &["on the curve brainpoolP256r1"]),
        ("ecparam -name prime256v1 -param_enc explicit -genkey -noout -out x.key", &["-param_enc named_curve"]),
        ("genpkey -algorithm ed25519 -out x.key", &["the key is an Ed25519 key"]),
        ("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out x.key", &["RSA with 1024 bits", "less than 2048"]),
    ] {
        openssl(dir, make);
        key_is_refused(&bench, "x.key", parts);
    }
}

#[test]
fn files_that_hold_something_else_than_a_key_are_named() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    openssl(dir, "ec -in ca.key -pubout -out public.pem");
    openssl(dir, "x509 -in ca.pem -outform DER -out ca.der");
    openssl(dir, "req -new -key ca.key -subj /CN=x -out request.pem");
    openssl(dir, "ecparam -name prime256v1 -out parameters.pem");
    openssl(dir, "pkcs12 -export -inkey ca.key -in ca.pem -passout pass:x -out store.p12");
    let key = std::fs::read_to_string(dir.join("ca.key")).unwrap();
    let write = |name: &str, contents: &[u8]| std::fs::write(dir.join(name), contents).unwrap();
    write("empty", b"");
    write("blank", b"\r\n \n");
    write("words", b"hello\n");
    let end = key.rfind("-----END").unwrap();
    write("cut", &key.as_bytes()[..end]);
    write("short", key.replace("-----END EC PRIVATE", "AAA=\n-----END EC PRIVATE").as_bytes());
    write("dashes", key.replace("-----", "\u{2014}\u{2014}").as_bytes());
    write("indented", key.replace("-----BEGIN", "> -----BEGIN").as_bytes());
    write("wide", &[&[0xFF, 0xFE][..], &key.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat());
    let last = key.trim_end().lines().rev().nth(1).unwrap();
    write("garbled", key.replace(last, &last.replace(&last[..4], "AAAA")).as_bytes());
    for (name, parts) in [
        ("ca.pem", &["this is a certificate instead of its private key"][..]),
        ("ca.der", &["this is a certificate or a request"]),
        ("public.pem", &["this is a public key"]),
        ("request.pem", &["this is a certificate request"]),
        (
            "parameters.pem",
            &["the parameters of a curve and no key", "`openssl ecparam -name prime256v1 -genkey -noout`"],
        ),
        ("store.p12", &["PKCS#12", "`openssl pkcs12 -in store.p12 -nocerts -out NEW-FILE`"]),
        ("empty", &["the file is empty"]),
        ("blank", &["the file is empty"]),
        ("words", &["neither PEM (no line -----BEGIN ...-----) nor DER"]),
        ("cut", &["has no end: the file is cut off"]),
        ("short", &["is not whole Base64"]),
        ("dashes", &["typographic dashes"]),
        ("indented", &["five hyphens on each side, and nothing before them"]),
        ("wide", &["UTF-16", "`iconv -f UTF-16 -t UTF-8`"]),
    ] {
        let output = issue(&bench, &["--ca", "ca.pem", "--ca-key", name]);
        refused(&bench, &output, &[&[name][..], parts].concat());
    }
    let output = issue(&bench, &["--ca", "ca.pem", "--ca-key", "garbled"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    authority_is_refused(&bench, "ca.key", "ca.key", &["ca.key: this is a private key instead of a certificate"]);
    authority_is_refused(&bench, "nowhere.pem", "ca.key", &["nowhere.pem: No such file"]);
}

#[test]
fn keys_with_windows_line_ends_a_byte_order_mark_or_text_before_them_are_taken() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    let key = std::fs::read_to_string(dir.join("ca.key")).unwrap();
    let certificate = std::fs::read_to_string(dir.join("ca.pem")).unwrap();
    for contents in [
        key.replace('\n', "\r\n"),
        format!("\u{FEFF}{key}"),
        format!("Bag Attributes\n    friendlyName: Zürich\n{key}"),
        format!("{certificate}{key}"),
        key.lines().map(|line| format!("  {line}  \n")).collect(),
    ] {
        std::fs::write(dir.join("odd.key"), &contents).unwrap();
        ok(&issue(&bench, &["--ca", "ca.pem", "--ca-key", "odd.key", "--force"]));
        assert_accepted(dir, "ca.pem", "gateway.pem");
    }
}

#[test]
fn an_authoritys_key_and_certificate_that_do_not_belong_together_are_refused() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    ecparam_key(dir, "other.key");
    openssl(dir, "genrsa -out rsa.key 2048");
    for key in ["other.key", "rsa.key"] {
        let words =
            ["is not the private key of ca.pem (\"CN=Acme-CA\")", "belong to two different pairs", "openssl pkey"];
        authority_is_refused(&bench, "ca.pem", key, &words);
    }
    // Of a file with a chain, the matching certificate is used.
    authority(dir, "rsa.key", "rsa.pem");
    let both = ["rsa.pem", "ca.pem"].map(|name| std::fs::read_to_string(dir.join(name)).unwrap()).concat();
    std::fs::write(dir.join("both.pem"), both).unwrap();
    ok(&issue(&bench, &["--ca", "both.pem", "--ca-key", "ca.key"]));
    assert_accepted(dir, "ca.pem", "gateway.pem");
}

#[test]
fn an_authoritys_unacceptable_certificate_is_refused() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    let make = |options: &str| openssl(dir, &format!("req -x509 -new -key ca.key -subj /CN=CA -out x.pem {options}"));
    make("-addext basicConstraints=critical,CA:FALSE");
    authority_is_refused(
        &bench,
        "x.pem",
        "ca.key",
        &["x.pem (\"CN=CA\")", "not the certificate of a certification authority", "CA:FALSE"],
    );
    std::fs::write(dir.join("bare.cnf"), "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
    make("-config bare.cnf");
    authority_is_refused(
        &bench,
        "x.pem",
        "ca.key",
        &["basicConstraints CA:TRUE is missing", "-addext basicConstraints"],
    );
    make("-addext keyUsage=critical,digitalSignature");
    authority_is_refused(&bench, "x.pem", "ca.key", &["keyCertSign is missing"]);
    // Two days in the past, and in the future: `req` of OpenSSL 3.0 has no option for dates, `ca` has.
    std::fs::write(dir.join("index.txt"), "").unwrap();
    std::fs::write(
        dir.join("ca.cnf"),
        "[ca]\ndefault_ca=a\n[a]\nnew_certs_dir=.\ndatabase=index.txt\ndefault_md=sha256\npolicy=p\nx509_extensions=e\n\
         unique_subject=no\nrand_serial=yes\n[p]\ncommonName=supplied\n[e]\nbasicConstraints=critical,CA:TRUE\n",
    )
    .unwrap();
    openssl(dir, "req -new -key ca.key -subj /CN=CA -out x.csr");
    let dated = |from: &str, to: &str| {
        let sign = "ca -batch -notext -config ca.cnf -selfsign -keyfile ca.key -in x.csr -out x.pem";
        openssl(dir, &format!("{sign} -startdate {from} -enddate {to}"));
    };
    dated("20200101000000Z", "20210101000000Z");
    authority_is_refused(&bench, "x.pem", "ca.key", &["it expired at 2021-01-01T00:00:00Z", "renew it first"]);
    dated("20900101000000Z", "20910101000000Z");
    authority_is_refused(&bench, "x.pem", "ca.key", &["valid from 2090-01-01T00:00:00Z on", "clock right"]);
}

#[test]
fn stores_and_keys_in_the_place_of_a_certificate_are_named_with_the_command_that_takes_it_out() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    openssl(dir, "pkcs12 -export -inkey ca.key -in ca.pem -passout pass:x -out ca.p12");
    openssl(dir, "crl2pkcs7 -nocrl -certfile ca.pem -out ca.p7b");
    openssl(dir, "crl2pkcs7 -nocrl -certfile ca.pem -outform DER -out ca.p7c");
    openssl(dir, "pkcs8 -topk8 -nocrypt -in ca.key -outform DER -out pkcs8.der");
    openssl(dir, "ec -in ca.key -outform DER -out sec1.der");
    openssl(dir, "ec -in ca.key -pubout -outform DER -out public.der");
    for (name, parts) in [
        ("ca.p12", &["this is a PKCS#12 store", "`openssl pkcs12 -in ca.p12 -nokeys -out NEW-FILE`"][..]),
        ("ca.p7b", &["this is PKCS#7", "`openssl pkcs7 -in ca.p7b -print_certs -out NEW-FILE`"]),
        ("ca.p7c", &["this is PKCS#7", "`openssl pkcs7 -inform DER -in ca.p7c -print_certs -out NEW-FILE`"]),
        ("ca.key", &["this is a private key instead of a certificate"]),
        ("pkcs8.der", &["this is a private key"]),
        ("sec1.der", &["this is a private key"]),
        ("public.der", &["this is a public key"]),
    ] {
        authority_is_refused(&bench, name, "ca.key", &[&[name][..], parts].concat());
        let csr = ["cert", "issue", "--csr", name, "--ca", "ca.pem", "--ca-key", "ca.key", "--output", "gateway.pem"];
        refused(&bench, &bench.run(&csr), &[name, "instead of a certificate request"]);
        let import = bench.run(&["cert", "import", name]);
        assert!(stderr(&import).contains(parts[0]), "{}", stderr(&import));
        assert!(!stderr(&import).contains("CKA_VALUE"), "{}", stderr(&import));
    }
    // The advice works.
    openssl(dir, "pkcs12 -in ca.p12 -passin pass:x -nokeys -out from-p12.pem");
    openssl(dir, "pkcs7 -in ca.p7b -print_certs -out from-p7b.pem");
    openssl(dir, "pkcs7 -inform DER -in ca.p7c -print_certs -out from-p7c.pem");
    for name in ["from-p12.pem", "from-p7b.pem", "from-p7c.pem"] {
        ok(&issue(&bench, &["--ca", name, "--ca-key", "ca.key", "--force"]));
    }
}

#[test]
fn an_authority_of_version_1_is_named_with_the_command_that_makes_one_of_version_3() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    openssl(dir, "req -new -key ca.key -subj /CN=Old -out old.csr");
    openssl(dir, "x509 -req -in old.csr -signkey ca.key -days 9 -out old.pem");
    assert!(text(dir, "old.pem").contains("Version: 1 (0x0)"));
    let version_3 =
        "-days 3650 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out NEW-FILE";
    authority_is_refused(
        &bench,
        "old.pem",
        "ca.key",
        &["old.pem (\"CN=Old\"): this is a certificate of version 1", version_3],
    );
    openssl(dir, &format!("req -x509 -new -key ca.key -subj /CN=Old {}", version_3.replace("NEW-FILE", "new.pem")));
    ok(&issue(&bench, &["--ca", "new.pem", "--ca-key", "ca.key"]));
    assert_accepted(dir, "new.pem", "gateway.pem");
}

#[test]
fn an_authority_with_path_length_0_makes_no_other_authority() {
    let bench = with_key_and_authority();
    authority_with(bench.dir.path(), "ca.key", "leaf-ca.pem", "-addext basicConstraints=critical,CA:TRUE,pathlen:0");
    let output = issue(&bench, &["--ca", "leaf-ca.pem", "--ca-key", "ca.key", "--authority"]);
    refused(&bench, &output, &["may have 0 authorities below it at most (pathlen)"]);
    let own = [
        "cert",
        "issue",
        "--subject",
        "/CN=Acme-CA",
        "--ca",
        "ca.pem",
        "--ca-key",
        "ca.key",
        "--output",
        "gateway.pem",
    ];
    refused(&bench, &bench.run(&own), &["the authority's own name", "another --subject"]);
}

#[test]
fn subjects_with_quotes_and_other_copying_mistakes_are_refused_with_the_remedy() {
    let bench = with_key_and_authority();
    for (subject, parts) in [
        (
            "\u{201C}/CN=gateway-1\u{201D}",
            &["typographic quotation mark \u{201C} (U+201C)", "Type the quotes", "anew"][..],
        ),
        ("/O=\u{2018}Acme\u{2019}/CN=x", &["U+2018", "write a backslash before it"]),
        ("/O=\u{AB}Acme\u{BB}/CN=x", &["U+00AB"]),
        ("\"/CN=gateway-1\"", &["a quotation mark \" in it that the shell did not take away", "--subject \"/O="]),
        ("CN=\"gateway\"", &["quotation mark", "write a backslash before it"]),
        ("'/CN=gateway-1'", &["begins with a quotation mark '"]),
        ("/CN=gate\u{200B}way", &["an invisible character (U+200B)"]),
        ("/CN=gate\u{A0}way", &["U+00A0"]),
        ("/CN=a\nb", &["control character (U+000A)"]),
        ("", &["it is empty", "/CN=gateway-1"]),
        ("gateway-1", &["\"gateway-1\" has no TYPE="]),
        ("/CN=a/b", &["\"b\" has no TYPE=", "written \\/"]),
        ("CN=Acme, Inc", &["\"Inc\"", "written \\,"]),
        ("/CN=x/", &["it ends with a /"]),
        ("/CN=", &["CN is empty"]),
        ("/XY=1/CN=x", &["\"XY\" is not a known type", "serialNumber"]),
        ("/C=Schweiz/CN=x", &["two capital letters, such as CH", "\"Schweiz\""]),
        ("/emailAddress=jürg@example.com", &["ASCII letters"]),
        ("/serialNumber=a@b", &["ASCII letters"]),
        (r"CN=\FF\FE", &["not UTF-8"]),
        (r"/CN=x\", &["ends with a backslash"]),
        (&format!("/CN={}", "x".repeat(65)), &["CN has 65 characters, where at most 64"]),
    ] {
        let output = bench.run(&["csr", "--subject", subject, "--output", "gateway.pem"]);
        refused(&bench, &output, &[&["the subject "], parts].concat());
    }
}

#[test]
fn invalid_further_names_are_refused() {
    let bench = with_key_and_authority();
    for (name, part) in [
        ("gateway.example.com", "write DNS:gateway.example.com"),
        ("DNS:https://gateway/", "not a host name"),
        ("DNS:gateway:8883", "not a host name"),
        ("DNS:zürich.example.com", "Punycode"),
        ("IP:192.0.2.256", "not an IP address"),
        ("email:nobody", "an e-mail address has an @"),
        ("URI:nowhere", "begins with a scheme"),
        ("DNS:", "the text after the colon is empty, or begins with a blank"),
        ("XMPP:x", "write DNS:"),
    ] {
        let output = bench.run(&["csr", "--subject", "/CN=x", "--san", name, "--output", "gateway.pem"]);
        refused(&bench, &output, &[&format!("the name {name:?}"), part]);
    }
}

#[test]
fn changed_or_invalid_requests_are_refused() {
    let bench = with_key_and_authority();
    let dir = bench.dir.path();
    ok(&bench.run(&["csr", "--subject", "/CN=gateway-1", "--der", "--output", "good.csr"]));
    let mut bytes = std::fs::read(dir.join("good.csr")).unwrap();
    let at = bytes.windows(9).position(|part| part == b"gateway-1").unwrap();
    bytes[at + 8] = b'2';
    std::fs::write(dir.join("bad.csr"), bytes).unwrap();
    let with = |csr: &str| {
        bench.run(&["cert", "issue", "--csr", csr, "--ca", "ca.pem", "--ca-key", "ca.key", "--output", "gateway.pem"])
    };
    refused(&bench, &with("bad.csr"), &["bad.csr: the certificate request can't be trusted: its signature is wrong"]);
    refused(&bench, &with("ca.pem"), &["ca.pem: this is CERTIFICATE instead of a certificate request"]);
    for bits in ["512", "1024", "2040"] {
        openssl(dir, &format!("req -new -newkey rsa:{bits} -nodes -keyout small.key -subj /CN=small -out small.csr"));
        refused(&bench, &with("small.csr"), &["small.csr", &format!("RSA with {bits} bits"), "less than 2048"]);
    }
    ok(&with("good.csr"));
}

#[test]
fn impossible_times_and_existing_files_are_refused() {
    let bench = with_key_and_authority();
    let with = |arguments: &[&str]| issue(&bench, &[&["--ca", "ca.pem", "--ca-key", "ca.key"], arguments].concat());
    refused(&bench, &with(&["--not-after", "2020-01-01"]), &["would end", "before it begins"]);
    let past = ["--not-before", "2019-01-01", "--not-after", "2020-01-01"];
    refused(&bench, &with(&past), &["would be expired already", "2020-01-01T23:59:59Z"]);
    for wrong in [&["--not-after", "tomorrow"][..], &["--not-before", "31.1.2026"], &["--days", "0"]] {
        assert_eq!(with(wrong).status.code(), Some(2), "{wrong:?}");
    }
    std::fs::write(bench.path("gateway.pem"), "mine").unwrap();
    let output = with(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("gateway.pem: the file exists"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(bench.path("gateway.pem")).unwrap(), "mine");
}
