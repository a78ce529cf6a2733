// SPDX-License-Identifier: MIT OR Apache-2.0
//! Microchip's manifests: made by Python and OpenSSL according to the vendor's format guide, then read, checked, and
//! converted for AWS and Azure. Every change after the signature is detected.

use std::process::Output;

use crate::support::x509::{openssl, tool};
use crate::support::{stderr, stdout, Bench};
use atecc608_sim::Profile;
use serde_json::Value;

/// Writes `manifest.json`: each entry is signed with signer.key, and has key 0 with the certificates of its folder, keys 1 to 3
/// without any. `spoil` is Python that may change an entry's header, payload or the finished JWS.
const MAKE: &str = r#"
import base64, hashlib, json, subprocess, sys
def url(data): return base64.urlsafe_b64encode(data).rstrip(b'=').decode()
def run(*words, data=None): return subprocess.run(words, input=data, capture_output=True, check=True).stdout
def der(name): return run('openssl', 'x509', '-in', name, '-outform', 'DER')
def jwk(kid, spki, **more):
    return {'kid': kid, 'kty': 'EC', 'crv': 'P-256', 'x': url(spki[-64:-32]), 'y': url(spki[-32:]), **more}
def raw(signature):
    # DER: 30 len 02 len r 02 len s
    r_len = signature[3]; r = signature[4:4 + r_len]; s = signature[6 + r_len:]
    return b''.join(int.from_bytes(part, 'big').to_bytes(32, 'big') for part in (r, s))
signer = der('signer.pem')
entries = []
for number, unique_id in enumerate(sys.argv[2:]):
    spki = run('openssl', 'x509', '-in', f'{unique_id}.pem', '-noout', '-pubkey')
    spki = run('openssl', 'pkey', '-pubin', '-outform', 'DER', data=spki)
    header = {'alg': 'ES256', 'kid': url(b'key identifier'), 'x5t#S256': url(hashlib.sha256(signer).digest())}
    chain = [base64.b64encode(der(name)).decode() for name in (f'{unique_id}.pem', 'ca.pem')]
    payload = {'version': 1, 'model': 'ATECC608B', 'partNumber': 'ATECC608B-TNGTLS',
        'manufacturer': {'organizationName': 'Microchip Technology Inc'}, 'uniqueId': unique_id,
        'provisioningTimestamp': '2024-01-24T16:35:23.473Z',
        'publicKeySet': {'keys': [jwk('0', spki, x5c=chain)] + [jwk(str(kid), spki) for kid in (1, 2, 3)]},
        'encryptedSecretKeySet': {'keys': []}}
    entry = {'header': {'uniqueId': unique_id}}
    when = 'before'
    exec(sys.argv[1])
    entry['payload'] = url(json.dumps(payload).encode())
    entry['protected'] = url(json.dumps(header).encode())
    signed = (entry['protected'] + '.' + entry['payload']).encode()
    entry['signature'] = url(raw(run('openssl', 'dgst', '-sha256', '-sign', 'signer.key', data=signed)))
    when = 'after'
    exec(sys.argv[1])
    entries.append(entry)
json.dump(entries, open('manifest.json', 'w'), indent=2)
"#;

const CHIPS: [&str; 3] = ["0123f1822c38dd7a01", "0123f1822c38dd7b01", "0123f1822c38dd7c01"];

/// A folder with an authority, a manifest signer, another one, and a key and certificate for each of three chips.
fn with_certificates() -> Bench {
    let bench = Bench::new();
    let dir = bench.dir.path();
    for name in ["ca", "signer", "other"] {
        openssl(dir, &format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        openssl(dir, &format!("req -x509 -new -key {name}.key -subj /O=Acme/CN={name} -days 99 -out {name}.pem"));
    }
    for chip in CHIPS {
        openssl(dir, &format!("ecparam -name prime256v1 -genkey -noout -out {chip}.key"));
        openssl(dir, &format!("req -new -key {chip}.key -subj /O=Acme/CN=sn{chip} -out {chip}.csr"));
        let sign = format!("x509 -req -in {chip}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -out {chip}.pem");
        openssl(dir, &sign);
    }
    make(&bench, "");
    bench
}

fn make(bench: &Bench, spoil: &str) {
    tool(bench.dir.path(), "python3", &[&["-c", MAKE, spoil], &CHIPS[..]].concat());
}

fn check(bench: &Bench) -> Output {
    bench.run(&["manifest", "check", "manifest.json", "--signer", "signer.pem"])
}

#[test]
fn a_manifest_of_microchips_is_listed_and_checked_with_its_signers_certificate() {
    let bench = with_certificates();
    let listed = bench.run(&["manifest", "list", "manifest.json"]);
    assert!(listed.status.success(), "{listed:?}");
    let line = "0123F1822C38DD7A01  ATECC608B  ATECC608B-TNGTLS  2024-01-24T16:35:23.473Z  certificate\n";
    assert!(stdout(&listed).starts_with(line), "{}", stdout(&listed));
    assert!(stdout(&listed).ends_with("\n3 chips\n"));
    assert!(stderr(&listed).contains("signatures of this manifest from Microchip were not verified"));
    let checked = check(&bench);
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(stdout(&checked), "3 of 3 chips are valid (signatures, keys and certificates)\n");
    // In DER, and beside others.
    openssl(bench.dir.path(), "x509 -in signer.pem -outform DER -out signer.cer");
    let both = ["manifest", "check", "manifest.json", "--signer", "other.pem", "--signer", "signer.cer"];
    assert!(bench.run(&both).status.success());
    let without = bench.run(&["manifest", "check", "manifest.json"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(stderr(&without).contains("pass the signer's certificate with --signer FILE"), "{}", stderr(&without));
    let other = bench.run(&["manifest", "check", "manifest.json", "--signer", "other.pem"]);
    assert_eq!(other.status.code(), Some(3));
    let digest = openssl(bench.dir.path(), "x509 -in signer.pem -noout -fingerprint -sha256");
    let digest = digest.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    let said = format!("it is signed with another certificate (SHA-256 {digest}) than --signer gives");
    assert!(stdout(&other).contains(&said), "{}", stdout(&other));
}

#[test]
fn whatever_is_changed_after_it_was_signed_is_found() {
    let bench = with_certificates();
    for (spoil, problem) in [
        (
            "payload['model'] = 'X' if when == 'after' else 'Y'; entry['payload'] = url(json.dumps(payload).encode())",
            "the signature is wrong",
        ),
        (
            "header['x'] = when\nif when == 'after': entry['protected'] = url(json.dumps(header).encode())",
            "the signature is wrong",
        ),
        ("if when == 'after': entry['signature'] = url(bytes(64))", "the signature is wrong"),
        ("if when == 'after': entry['signature'] = url(b'')", "the signature is wrong"),
        ("if when == 'after': entry['signature'] = url(bytes(67))", "the signature is wrong"),
        // An error of the signer, or of another user of the signer's key.
        (
            "payload['publicKeySet']['keys'][0]['x5c'].pop(0)",
            "the certificates of key 0: the first one is for another key",
        ),
        (
            "payload['publicKeySet']['keys'][0]['x5c'][1] = base64.b64encode(der('other.pem')).decode()",
            "is not signed by \"CN=other,O=Acme\"",
        ),
        ("payload['publicKeySet']['keys'][0]['x5c'][1] = 'AAAA'", "x5c 2: this is not an X.509 certificate"),
    ] {
        make(&bench, &format!("if number == 1:\n exec({spoil:?})"));
        let output = check(&bench);
        assert_eq!(output.status.code(), Some(3), "{spoil}: {output:?}");
        let text = stdout(&output);
        assert!(text.contains(problem) && text.contains("0123F1822C38DD7B01"), "{spoil}: {text}");
        assert!(text.contains("2 of 3 chips are valid"), "{text}");
        for cloud in [&["aws", "--certificates"][..], &["azure"]] {
            let made =
                bench.run(&[&["manifest", cloud[0], "manifest.json", "--signer", "signer.pem"], &cloud[1..]].concat());
            assert_eq!((made.status.code(), made.stdout.is_empty()), (Some(1), true), "{made:?}");
            assert!(
                stderr(&made).contains("1 chips do not match their signatures, the first 0123F1822C38DD7B01"),
                "{made:?}"
            );
        }
    }
}

#[test]
fn entries_that_can_t_be_read_are_named_with_their_number() {
    let bench = with_certificates();
    for (spoil, problem) in [
        ("header['alg'] = 'none'", "protected: alg is \"none\": only ES256 is supported"),
        ("header['alg'] = 'HS256'", "protected: alg is \"HS256\""),
        ("header['crit'] = ['b64']", "protected: crit names extensions"),
        ("payload['version'] = 2", "payload: version is 2: this tool supports 1"),
        (
            "payload['uniqueId'] = '0123f1822c38dd7d01'",
            "the signed payload is that of another chip, 0123F1822C38DD7D01",
        ),
        ("payload['publicKeySet']['keys'] = []", "publicKeySet has no key"),
        ("payload['publicKeySet']['keys'][2]['x'] = url(bytes(32))", "key 2: x and y are not a point on P-256"),
        ("payload['publicKeySet']['keys'][2]['y'] = url(bytes(31))", "key 2: x and y are not a point on P-256"),
        ("payload['publicKeySet']['keys'][1]['kty'] = 'RSA'", "key 1: it is RSA P-256"),
        ("payload['publicKeySet']['keys'][0]['kid'] = '16'", "kid of the key is not a slot"),
        ("payload['publicKeySet']['keys'][0]['x5c'][0] = '-'", "key 0: x5c is not Base64"),
        ("payload.pop('publicKeySet', None)", "payload: missing field `publicKeySet`"),
        ("if when == 'after': entry['payload'] = '***'", "payload is not base64url"),
        ("if when == 'after': entry['payload'] = url(b'[' * 100000)", "payload: "),
        ("if when == 'after': entry['signature'] = '='", "signature is not base64url"),
    ] {
        make(&bench, &format!("if number == 1:\n exec({spoil:?})"));
        let output = check(&bench);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{spoil}: {output:?}");
        assert!(
            said.contains("manifest.json: entry 2 (0123f1822c38dd7b01): ") && said.contains(problem),
            "{spoil}: {said}"
        );
    }
    make(&bench, "unique_id = entry['header']['uniqueId'] = payload['uniqueId'] = sys.argv[2]");
    let said = stderr(&check(&bench));
    assert!(said.contains("entry 2: the chip 0123F1822C38DD7A01 is already in entry 1"), "{said}");
    make(&bench, "entry['header'] = {}; payload['uniqueId'] = '=HYPERLINK(1)'");
    let said = stderr(&check(&bench));
    assert!(said.contains("entry 1: serial_number: \"=HYPERLINK(1)\": expected 18 hex digits"), "{said}");
    let whole = std::fs::read_to_string(bench.path("manifest.json")).unwrap();
    for (text, problem) in
        [(&whole[..whole.len() / 2], "Is the file whole?"), ("[{}]", "missing field"), ("[1]", "line 1")]
    {
        std::fs::write(bench.path("manifest.json"), text).unwrap();
        let said = stderr(&check(&bench));
        assert!(said.contains("manifest.json: not a manifest from Microchip: ") && said.contains(problem), "{said}");
    }
    let batch = ["provision", "tls", "--batch", "config.toml", "--manifest", "manifest.json"];
    let said = stderr(&bench.run(&batch));
    assert!(said.contains("this is a JSON array, such as a manifest from Microchip"), "{said}");
}

#[test]
fn aws_and_azure_get_the_certificates_of_a_checked_manifest() {
    let bench = with_certificates();
    let refused = bench.run(&["manifest", "aws", "manifest.json", "--certificates"]);
    assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(1), true), "{refused:?}");
    let pem = |name: &str| std::fs::read_to_string(bench.path(name)).unwrap();
    for how in [&["--signer", "signer.pem"][..], &["--unchecked"]] {
        let aws = bench.run(
            &[&["manifest", "aws", "manifest.json", "--certificates", "--thing-name", "gw-{serial}"], how].concat(),
        );
        let things: Vec<Value> = stdout(&aws).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (thing, chip) in things.iter().zip(CHIPS) {
            let serial = chip.to_uppercase();
            let wanted = serde_json::json!({
                "ThingName": format!("gw-{serial}"), "SerialNumber": serial,
                "CertificatePem": pem(&format!("{chip}.pem")), "CACertificatePem": pem("ca.pem"),
            });
            assert_eq!(*thing, wanted);
        }
        assert_eq!(things.len(), 3, "{aws:?}");
        let azure = bench.run(&[&["manifest", "azure", "manifest.json", "--bulk"], how].concat());
        let body: Value = serde_json::from_slice(&azure.stdout).unwrap();
        for (enrolment, chip) in body["enrollments"].as_array().unwrap().iter().zip(CHIPS) {
            assert_eq!(enrolment["registrationId"], format!("sn{chip}"));
            let primary = &enrolment["attestation"]["x509"]["clientCertificates"]["primary"]["certificate"];
            assert_eq!(primary.as_str().unwrap(), pem(&format!("{chip}.pem")).trim_end());
        }
    }
    // A TrustFLEX chip has no certificate as delivered.
    make(&bench, "payload['publicKeySet']['keys'][0].pop('x5c', None)");
    assert!(check(&bench).status.success());
    let azure = bench.run(&["manifest", "azure", "manifest.json", "--signer", "signer.pem"]);
    assert!(stderr(&azure).contains("3 chips have no certificate in the manifest"), "{}", stderr(&azure));
}

/// The certificates of a Trust&GO chip are Microchip's own layout, which stricter readers of X.509 refuse.
#[test]
fn the_certificates_of_a_trust_and_go_chip_are_read() {
    let bench = with_certificates();
    let sold = Bench::with_chip(Profile::TngTls);
    let config = std::fs::read_to_string(sold.path("config.toml")).unwrap();
    let address = sold.image().config()[16] >> 1;
    std::fs::write(sold.path("config.toml"), config + &format!("address = {address}\n")).unwrap();
    let exported = sold.run(&["cert", "export", "--key", "device", "--chain"]);
    let text = stdout(&exported);
    let blocks: Vec<String> = text.split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect();
    assert!(blocks.len() >= 2, "{exported:?}");
    std::fs::write(bench.path(&format!("{}.pem", CHIPS[0])), &blocks[0]).unwrap();
    std::fs::write(bench.path("ca.pem"), &blocks[1]).unwrap();
    tool(bench.dir.path(), "python3", &["-c", MAKE, "", CHIPS[0]]);
    let checked = check(&bench);
    assert!(checked.status.success(), "{checked:?}");
    assert!(bench.run(&["manifest", "azure", "manifest.json", "--signer", "signer.pem"]).status.success());
}

#[test]
fn the_certificates_of_a_batch_are_checked_too() {
    let station = crate::batch::Station::new(2);
    station.make_ca();
    station.complete(&crate::batch::CA);
    let check = || station.tool(&["manifest", "check", "manifest"]).output().unwrap();
    assert_eq!(stdout(&check()), "2 of 2 chips are valid (keys and certificates)\n");
    // The two chips' certificates are swapped.
    let mut records = station.manifest();
    let first = records[0]["certificate"].take();
    records[0]["certificate"] = records[1]["certificate"].take();
    records[1]["certificate"] = first;
    std::fs::write(station.path("manifest"), records.iter().map(|record| format!("{record}\n")).collect::<String>())
        .unwrap();
    let swapped = check();
    assert_eq!(swapped.status.code(), Some(3));
    assert_eq!(
        stdout(&swapped).matches("the certificate is for another key than that of the chip").count(),
        2,
        "{swapped:?}"
    );
}
