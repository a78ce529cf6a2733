// SPDX-License-Identifier: MIT OR Apache-2.0
//! Untrusted files and names: whatever they contain, reading them ends with a result or an error.

use atecc608_cli::x509::certificate::Certificate;
use atecc608_cli::x509::key_file::{Passphrase, PrivateKey};
use atecc608_cli::x509::subject::Subject;
use atecc608_cli::x509::{alternative, issue, pem, request, terms};
use proptest::prelude::*;

const SECRET: &str = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

/// A key, a request and a certificate, made here.
fn samples() -> [Vec<u8>; 3] {
    let key = PrivateKey::P256(p256::SecretKey::from_slice(&[7; 32]).unwrap());
    let subject = Subject::parse("/O=Acme/CN=gateway-1").unwrap();
    let names = [alternative::parse("DNS:gateway.example.com").unwrap()];
    let request = request::build(&subject, &names, &key).unwrap();
    let certificate = issue::self_sign(&subject, &names, &terms::Terms::device(), &key).unwrap();
    let PrivateKey::P256(secret) = key else { unreachable!() };
    [pkcs8::EncodePrivateKey::to_pkcs8_der(&secret).unwrap().as_bytes().to_vec(), request, certificate]
}

fn read_all(bytes: &[u8]) {
    // A required passphrase is not available, and never read from a terminal.
    let nowhere = Passphrase::File("/nonexistent/passphrase".into());
    let _ = PrivateKey::parse("file", bytes, &nowhere);
    let _ = Certificate::from_der("file", bytes).map(|certificate| {
        let texts = (certificate.subject().to_string(), certificate.alternative_names(), certificate.key_identifier());
        (certificate.is_signed_by(&certificate), texts)
    });
    let _ = request::parse("file", bytes);
    let _ = Subject::from_der(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_keys_requests_and_certificates_are_read_or_refused(
        which in 0usize..3, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), whole in any::<bool>()
    ) {
        let mut bytes = SAMPLES.with(|samples| samples[which].clone());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        read_all(&bytes);
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            read_all(format!("{SECRET}{}", pem::encode(label, &bytes)).as_bytes());
        }
    }

    #[test]
    fn any_bytes_and_any_pem_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(-----BEGIN [A-Z ]{0,20}-----|-----END [A-Z ]{0,20}-----|[A-Za-z0-9+/=: ]{0,64}|\n|\r\n){0,30}") {
        read_all(&bytes);
        read_all(text.as_bytes());
    }

    #[test]
    fn what_is_taken_as_a_subject_comes_back_as_the_same_name(text in "[/,]?((CN|O|C|DC|serialNumber|1\\.2\\.3)=[\\PC]{0,12}[/,+]?){0,4}") {
        if let Ok(subject) = Subject::parse(&text) {
            prop_assert_eq!(Subject::from_der(subject.der()).unwrap(), subject.clone());
            prop_assert!(!subject.is_empty());
        }
    }

    #[test]
    fn any_text_is_a_further_name_or_refused(text in "(DNS|IP|URI|email|x)?:?\\PC{0,40}") {
        if let Ok(name) = alternative::parse(&text) {
            alternative::text(&name);
        }
    }
}

thread_local! {
    static SAMPLES: [Vec<u8>; 3] = samples();
}
