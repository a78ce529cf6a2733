// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects that a client creates, through the C ABI: certificates (checked with x509-cert) and data, on the token and
//! in a session. Private keys: abi_import.rs; secret keys: abi_secret_keys.rs.

use crate::common::chip;
use crate::common::keys::{create_certificate, generate, point, provisioned};
use crate::common::module::{boolean, c, ulong, Module};
use crate::common::templates;
use cryptoki_sys::*;
use der::{Decode, Encode};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use sha1::{Digest, Sha1};

#[test]
fn a_certificate_is_kept_found_and_read_back() {
    let (module, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = templates::certificate("device-002", &point(&module, session, public));
    let more = [(CKA_LABEL, b"crt".to_vec()), (CKA_ID, vec![0x20])];
    create_certificate(&module, session, &der, &more).unwrap();
    let session = module.restart();
    let found = module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_ID, vec![0x20])]).unwrap();
    assert_eq!(found.len(), 1);
    let parsed = x509_cert::Certificate::from_der(&der).unwrap().tbs_certificate;
    for (attribute, value) in [
        (CKA_VALUE, der.clone()),
        (CKA_LABEL, b"crt".to_vec()),
        (CKA_ID, vec![0x20]),
        (CKA_CERTIFICATE_TYPE, ulong(CKC_X_509)),
        (CKA_SUBJECT, parsed.subject.to_der().unwrap()),
        (CKA_ISSUER, parsed.issuer.to_der().unwrap()),
        (CKA_SERIAL_NUMBER, parsed.serial_number.to_der().unwrap()),
        (CKA_PUBLIC_KEY_INFO, parsed.subject_public_key_info.to_der().unwrap()),
        (CKA_PRIVATE, boolean(false)),
        (CKA_TOKEN, boolean(true)),
        (CKA_TRUSTED, boolean(false)),
        (CKA_CHECK_VALUE, Sha1::digest(&der)[..3].to_vec()),
    ] {
        assert_eq!(module.attribute(session, found[0], attribute), Ok(value), "{attribute:#x}");
    }
    // By subject, as SunPKCS11 walks a chain.
    let by_subject = [(CKA_TOKEN, boolean(true)), (CKA_SUBJECT, parsed.subject.to_der().unwrap())];
    assert_eq!(module.find(session, &by_subject), Ok(found.clone()));
    assert_eq!(module.set_attributes(session, found[0], &[(CKA_LABEL, b"new".to_vec()), (CKA_ID, vec![2])]), Ok(()));
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_ID, vec![2])]), Ok(found.clone()));
    assert_eq!(module.set_attributes(session, found[0], &[(CKA_VALUE, der)]), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(module.destroy(session, found[0]), Ok(()));
    assert_eq!(module.attribute(session, found[0], CKA_ID), Err(CKR_OBJECT_HANDLE_INVALID));
    let session = module.restart();
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]), Ok(vec![]));
}

#[test]
fn a_certificates_subject_is_its_own_whether_its_template_has_none_or_another() {
    let (module, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = templates::certificate("device", &point(&module, session, public));
    let subject = x509_cert::Certificate::from_der(&der).unwrap().tbs_certificate.subject.to_der().unwrap();
    // corePKCS11 gives it "TestSubject".
    for given in [&[][..], &[(CKA_SUBJECT, b"TestSubject".to_vec())]] {
        let certificate = create_certificate(&module, session, &der, given).unwrap();
        assert_eq!(module.attribute(session, certificate, CKA_SUBJECT).as_ref(), Ok(&subject));
        assert_eq!(module.find(session, &[(CKA_SUBJECT, subject.clone())]), Ok(vec![certificate]));
        module.destroy(session, certificate).unwrap();
    }
}

#[test]
fn a_certificates_dates_are_its_templates_else_its_own() {
    let (module, session) = provisioned();
    let (public, _) = generate(&module, session, "a", &[1]).unwrap();
    let der = templates::certificate("x", &point(&module, session, public));
    let dates = |session, certificate| {
        [CKA_START_DATE, CKA_END_DATE].map(|date| module.attribute(session, certificate, date).unwrap())
    };
    let parsed = x509_cert::Certificate::from_der(&der).unwrap().tbs_certificate.validity;
    let own = [parsed.not_before, parsed.not_after].map(|time| {
        let time = time.to_date_time();
        format!("{:04}{:02}{:02}", time.year(), time.month(), time.day()).into_bytes()
    });
    let given = [b"19990102".to_vec(), b"20010304".to_vec()];
    let create = |id, [from, to]: &[Vec<u8>; 2], on_token| {
        let more = [
            (CKA_ID, vec![id]),
            (CKA_START_DATE, from.clone()),
            (CKA_END_DATE, to.clone()),
            (CKA_TOKEN, boolean(on_token)),
        ];
        create_certificate(&module, session, &der, &more)
    };
    for on_token in [false, true] {
        assert_eq!(dates(session, create(1, &given, on_token).unwrap()), given);
        assert_eq!(dates(session, create(2, &own, on_token).unwrap()), own);
        assert_eq!(dates(session, create(3, &[vec![], vec![]], on_token).unwrap()), own);
        assert_eq!(create(4, &[b"1999".to_vec(), vec![]], on_token), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    let session = module.restart();
    for (id, expected) in [(1, given), (2, own)] {
        let found = module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE)), (CKA_ID, vec![id])]).unwrap();
        assert_eq!((found.len(), dates(session, found[0])), (1, expected));
    }
}

#[test]
fn a_certificate_without_names_gets_those_of_its_key() {
    let (module, session) = provisioned();
    let (public, private) = generate(&module, session, "my key", &[1, 2, 3]).unwrap();
    let der = templates::certificate("x", &point(&module, session, public));
    let certificate = create_certificate(&module, session, &der, &[]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(vec![1, 2, 3]));
    assert_eq!(module.label(session, certificate), module.label(session, private));
    // For a key that is not here: none.
    let stranger = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false);
    let der = templates::certificate("ca", stranger.as_bytes());
    let certificate = create_certificate(&module, session, &der, &[]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(vec![]));
}

#[test]
fn a_certificate_gets_its_keys_id_even_if_the_state_was_lost() {
    let mut image = chip::provisioned();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    let point = chip::point_in(&image, 0).unwrap();
    let module = Module::with_chip(&image);
    let session = module.start();
    let certificate = create_certificate(&module, session, &templates::certificate("x", &point), &[]).unwrap();
    assert_eq!(module.attribute(session, certificate, CKA_ID), Ok(Sha1::digest(&point).to_vec()));
}

#[test]
fn what_is_no_certificate_is_not_kept_as_one() {
    let (module, session) = provisioned();
    let stranger = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key().to_encoded_point(false);
    let der = templates::certificate("x", stranger.as_bytes());
    for bad in [&b"-----BEGIN CERTIFICATE-----"[..], &der[..der.len() - 1], &[0x30, 0x80], &[0xFF; 100]] {
        let rv = create_certificate(&module, session, bad, &[]);
        assert_eq!(rv, Err(CKR_ATTRIBUTE_VALUE_INVALID), "{bad:02X?}");
    }
    let trailing = [der.as_slice(), &[0]].concat();
    assert_eq!(create_certificate(&module, session, &trailing, &[]), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(create_certificate(&module, session, &[], &[]), Err(CKR_TEMPLATE_INCOMPLETE));
    let kind = [(CKA_CERTIFICATE_TYPE, ulong(CKC_WTLS))];
    assert_eq!(create_certificate(&module, session, &der, &kind), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let private = [(CKA_PRIVATE, boolean(true))];
    assert_eq!(create_certificate(&module, session, &der, &private), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(create_certificate(&module, session, &der, &[(CKA_MODULUS, vec![1])]), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(module.find(session, &[]), Ok(vec![]));
}

#[test]
fn data_objects_are_kept_and_changed() {
    let (module, session) = provisioned();
    // As pkcs11-tool --write-object --type data.
    let template = [
        (CKA_CLASS, ulong(CKO_DATA)),
        (CKA_TOKEN, boolean(true)),
        (CKA_VALUE, vec![0, 1, 255]),
        (CKA_PRIVATE, boolean(false)),
        (CKA_APPLICATION, b"se".to_vec()),
        (CKA_LABEL, b"slot8".to_vec()),
    ];
    module.create_object(session, &template).unwrap();
    let session = module.restart();
    let data = module.find_labelled(session, CKO_DATA, "slot8")[0];
    assert_eq!(module.attribute(session, data, CKA_VALUE), Ok(vec![0, 1, 255]));
    assert_eq!(module.attribute(session, data, CKA_APPLICATION), Ok(b"se".to_vec()));
    assert_eq!(module.set_attributes(session, data, &[(CKA_VALUE, vec![7])]), Ok(()));
    assert_eq!(module.attribute(session, data, CKA_VALUE), Ok(vec![7]));
    let mut size = 0;
    assert_eq!(c!(module, C_GetObjectSize(session, data, &mut size)), Ok(()));
    assert_eq!(size, 1);
    let too_much = [(CKA_VALUE, vec![7; 65 * 1024])];
    assert_eq!(module.set_attributes(session, data, &too_much), Err(CKR_DEVICE_MEMORY));
    assert_eq!(module.destroy(session, data), Ok(()));
    assert_eq!(module.find(session, &[]), Ok(vec![]));
}

#[test]
fn session_objects_die_with_their_session() {
    let (module, session) = provisioned();
    let other = module.open_session(0, true).unwrap();
    let template = [(CKA_CLASS, ulong(CKO_DATA)), (CKA_VALUE, vec![1]), (CKA_LABEL, b"s".to_vec())];
    let mine = module.create_object(session, &template).unwrap();
    let theirs = module.create_object(other, &template).unwrap();
    assert_eq!(module.find_labelled(session, CKO_DATA, "s"), [mine, theirs]);
    c!(module, C_CloseSession(other)).unwrap();
    assert_eq!(module.find_labelled(session, CKO_DATA, "s"), [mine]);
    assert_eq!(module.attribute(session, theirs, CKA_VALUE), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(module.destroy(session, mine), Ok(()));
    let again = module.create_object(session, &template).unwrap();
    assert_ne!(again, mine, "a handle is never used twice");
    c!(module, C_CloseAllSessions(0)).unwrap();
    let session = module.open_session(0, true).unwrap();
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    assert!(!module.state_dir().read_dir().unwrap().any(|entry| entry.unwrap().path().is_dir()), "nothing was written");
}
