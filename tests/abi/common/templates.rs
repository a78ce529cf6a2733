// SPDX-License-Identifier: MIT OR Apache-2.0
//! The templates that stock tools send to generate a P-256 key pair (reference/clients.md), and certificates.

use std::str::FromStr;
use std::time::Duration;

use cryptoki_sys::*;
use der::asn1::{BitString, OctetString};
use der::{Decode, Encode};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};
use x509_cert::time::Validity;
use x509_cert::{Certificate, TbsCertificate, Version};

use super::module::{boolean, ulong};

/// prime256v1 as a named curve.
pub const P256: &[u8] = &[0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
/// secp384r1.
pub const P384: &[u8] = &[0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];

pub type Template = Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>;

/// The two templates of one call.
pub struct Pair {
    pub client: &'static str,
    pub public: Template,
    pub private: Template,
}

fn yes(attribute: CK_ATTRIBUTE_TYPE) -> (CK_ATTRIBUTE_TYPE, Vec<u8>) {
    (attribute, boolean(true))
}

fn no(attribute: CK_ATTRIBUTE_TYPE) -> (CK_ATTRIBUTE_TYPE, Vec<u8>) {
    (attribute, boolean(false))
}

/// The templates of each client for a key with this label and id.
pub fn of_all_clients(label: &str, id: &[u8]) -> Vec<Pair> {
    let curve = || (CKA_EC_PARAMS, P256.to_vec());
    let (label, id) = (|| (CKA_LABEL, label.as_bytes().to_vec()), || (CKA_ID, id.to_vec()));
    let class = |class| (CKA_CLASS, ulong(class));
    let ec = || (CKA_KEY_TYPE, ulong(CKK_EC));
    vec![
        Pair {
            client: "pkcs11-tool",
            public: vec![
                class(CKO_PUBLIC_KEY),
                yes(CKA_TOKEN),
                yes(CKA_VERIFY),
                curve(),
                ec(),
                label(),
                id(),
                no(CKA_PRIVATE),
            ],
            private: vec![
                class(CKO_PRIVATE_KEY),
                yes(CKA_TOKEN),
                yes(CKA_PRIVATE),
                yes(CKA_SENSITIVE),
                yes(CKA_SIGN),
                ec(),
                label(),
                id(),
            ],
        },
        Pair {
            client: "pkcs11-tool --usage-derive",
            public: vec![
                class(CKO_PUBLIC_KEY),
                yes(CKA_TOKEN),
                yes(CKA_DERIVE),
                curve(),
                ec(),
                label(),
                id(),
                no(CKA_PRIVATE),
            ],
            private: vec![
                class(CKO_PRIVATE_KEY),
                yes(CKA_TOKEN),
                yes(CKA_PRIVATE),
                yes(CKA_SENSITIVE),
                yes(CKA_DERIVE),
                ec(),
                label(),
                id(),
            ],
        },
        Pair {
            client: "p11tool",
            public: vec![yes(CKA_TOKEN), no(CKA_PRIVATE), id(), yes(CKA_VERIFY), curve(), label()],
            private: vec![id(), yes(CKA_SIGN), yes(CKA_PRIVATE), yes(CKA_TOKEN), label(), yes(CKA_SENSITIVE)],
        },
        Pair {
            client: "pkcs11-provider",
            public: vec![yes(CKA_TOKEN), yes(CKA_DERIVE), yes(CKA_VERIFY), yes(CKA_WRAP), curve(), id(), label()],
            private: vec![
                yes(CKA_TOKEN),
                yes(CKA_DERIVE),
                yes(CKA_PRIVATE),
                yes(CKA_SENSITIVE),
                yes(CKA_SIGN),
                yes(CKA_UNWRAP),
                id(),
                label(),
            ],
        },
        Pair {
            client: "python-pkcs11",
            public: vec![
                class(CKO_PUBLIC_KEY),
                id(),
                label(),
                yes(CKA_TOKEN),
                no(CKA_ENCRYPT),
                no(CKA_WRAP),
                yes(CKA_VERIFY),
                yes(CKA_DERIVE),
                curve(),
            ],
            private: vec![
                class(CKO_PRIVATE_KEY),
                id(),
                label(),
                yes(CKA_TOKEN),
                yes(CKA_PRIVATE),
                yes(CKA_SENSITIVE),
                no(CKA_DECRYPT),
                yes(CKA_UNWRAP),
                yes(CKA_SIGN),
                yes(CKA_DERIVE),
            ],
        },
        Pair {
            client: "crypto11",
            public: vec![class(CKO_PUBLIC_KEY), ec(), yes(CKA_TOKEN), yes(CKA_VERIFY), curve(), id(), label()],
            private: vec![yes(CKA_TOKEN), yes(CKA_SIGN), yes(CKA_SENSITIVE), no(CKA_EXTRACTABLE), id(), label()],
        },
    ]
}

/// The templates of clients that send neither label nor id, and set the id afterwards.
pub fn of_clients_without_names() -> Vec<Pair> {
    let curve = || (CKA_EC_PARAMS, P256.to_vec());
    vec![
        Pair {
            client: "SunPKCS11",
            public: vec![yes(CKA_TOKEN), yes(CKA_VERIFY), curve()],
            private: vec![yes(CKA_TOKEN), yes(CKA_PRIVATE), yes(CKA_SIGN)],
        },
        Pair {
            client: "NSS",
            public: vec![
                curve(),
                yes(CKA_TOKEN),
                yes(CKA_DERIVE),
                no(CKA_WRAP),
                yes(CKA_VERIFY),
                no(CKA_VERIFY_RECOVER),
                no(CKA_ENCRYPT),
            ],
            private: vec![
                yes(CKA_TOKEN),
                yes(CKA_PRIVATE),
                yes(CKA_SENSITIVE),
                yes(CKA_DERIVE),
                no(CKA_UNWRAP),
                yes(CKA_SIGN),
                no(CKA_DECRYPT),
            ],
        },
        Pair {
            client: "python-pkcs11 without names",
            public: vec![yes(CKA_TOKEN), (CKA_ID, vec![]), (CKA_LABEL, vec![]), yes(CKA_VERIFY), curve()],
            private: vec![yes(CKA_TOKEN), (CKA_ID, vec![]), (CKA_LABEL, vec![]), yes(CKA_SIGN)],
        },
    ]
}

/// A P-256 private key for import, whose id is its label.
pub fn private_key(label: &str, scalar: &[u8]) -> Template {
    vec![
        (CKA_CLASS, ulong(CKO_PRIVATE_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_EC)),
        yes(CKA_TOKEN),
        yes(CKA_PRIVATE),
        yes(CKA_SIGN),
        (CKA_EC_PARAMS, P256.to_vec()),
        (CKA_VALUE, scalar.to_vec()),
        (CKA_LABEL, label.as_bytes().to_vec()),
        (CKA_ID, label.as_bytes().to_vec()),
    ]
}

/// A certificate in DER for this public key (04 ‖ X ‖ Y), with an arbitrary signature.
pub fn certificate(subject: &str, point: &[u8]) -> Vec<u8> {
    let signer = SigningKey::from_slice(&[0x11; 32]).unwrap();
    let ecdsa_with_sha256 =
        AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), parameters: None };
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[0x05]).unwrap(),
        signature: ecdsa_with_sha256.clone(),
        issuer: Name::from_str("CN=test CA").unwrap(),
        validity: Validity::from_now(Duration::from_secs(86_400)).unwrap(),
        subject: Name::from_str(&format!("CN={subject}")).unwrap(),
        subject_public_key_info: public_key_info(point),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: None,
    };
    let signature: DerSignature = signer.sign(&tbs_certificate.to_der().unwrap());
    let signature = BitString::from_bytes(signature.as_bytes()).unwrap();
    Certificate { tbs_certificate, signature_algorithm: ecdsa_with_sha256, signature }.to_der().unwrap()
}

/// SubjectPublicKeyInfo of a P-256 key.
pub fn public_key_info(point: &[u8]) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
            parameters: Some(der::Any::from_der(P256).unwrap()),
        },
        subject_public_key: BitString::from_bytes(point).unwrap(),
    }
}

/// CKA_EC_POINT of a point 04 ‖ X ‖ Y, and back.
pub fn wrapped(point: &[u8]) -> Vec<u8> {
    OctetString::new(point).unwrap().to_der().unwrap()
}

pub fn unwrapped(ec_point: &[u8]) -> Vec<u8> {
    OctetString::from_der(ec_point).unwrap().into_bytes()
}
