// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ids of private keys are unique, as their labels are: OpenSSL's provider and others pair a private key with the first public key of
//! the same id.

use crate::common::chip;
use crate::common::keys::{error, generate, point, provisioned, without};
use crate::common::module::{boolean, ulong, Module};
use crate::common::secrets::with_io_key;
use crate::common::templates::{self, certificate, private_key};
use cryptoki_sys::*;
use sha1::{Digest, Sha1};

const TAKEN: Result<(), CK_RV> = Err(CKR_ATTRIBUTE_VALUE_INVALID);

#[test]
fn a_second_key_with_the_id_of_another_is_not_generated_and_the_log_names_the_holder() {
    let (module, session) = provisioned();
    generate(&module, session, "one", &[1]).unwrap();
    assert_eq!(error(generate(&module, session, "two", &[1])), TAKEN);
    assert_eq!(module.assert_logged(&["CKA_ID 01", "slot 0", "\"one\"", "unique"]), 1);
    assert_eq!(module.private_keys(session).len(), 1);
    generate(&module, session, "two", &[2]).unwrap();
    // Not after a restart either, when nothing is known of the chip yet.
    let session = module.restart();
    assert_eq!(error(generate(&module, session, "three", &[2])), TAKEN);
}

#[test]
fn a_key_with_the_id_of_another_is_not_imported() {
    let (module, _bus, session) = with_io_key();
    generate(&module, session, "one", b"mine").unwrap();
    assert_eq!(module.create_object(session, &private_key("mine", &[0x21; 32])).map(drop), TAKEN);
    module.assert_logged(&["CKA_ID 6d696e65", "slot 0", "\"one\""]);
    assert_eq!(module.private_keys(session).len(), 1);
}

#[test]
fn an_id_is_not_changed_to_that_of_another_pair_by_either_half() {
    let (module, session) = provisioned();
    let (_, first) = generate(&module, session, "one", &[1]).unwrap();
    let (public, private) = generate(&module, session, "two", &[2]).unwrap();
    let change = |key, id: &[u8]| module.set_attributes(session, key, &[(CKA_ID, id.to_vec())]);
    for half in [public, private] {
        assert_eq!(change(half, &[1]), TAKEN);
        assert_eq!(change(half, &[2]), Ok(()), "it has this one");
    }
    assert_eq!(module.assert_logged(&["CKA_ID 01", "slot 0"]), 2);
    assert_eq!(change(first, &[3]), Ok(()));
    assert_eq!(change(private, &[1]), Ok(()), "nobody has it any more");
}

#[test]
fn the_default_id_of_another_key_is_taken_too_also_while_its_public_key_is_not_known() {
    let (module, session) = provisioned();
    let templates::Pair { public, private, .. } = &templates::of_clients_without_names()[0];
    let (public, _) = module.generate_key_pair(session, public, private).unwrap();
    let default = Sha1::digest(point(&module, session, public)).to_vec();
    assert_eq!(error(generate(&module, session, "two", &default)), TAKEN);
    std::fs::remove_file(module.state_file()).unwrap();
    let session = module.restart();
    assert_eq!(error(generate(&module, session, "two", &default)), TAKEN);
    generate(&module, session, "two", &[7; 20]).unwrap();
}

#[test]
fn a_configured_id_that_another_key_has_is_taken() {
    let module = Module::configured(
        "log = \"warn:FOLDER/log\"\n[[token]]\nbus = \"sim:FOLDER/chip\"\n[[token.object]]\nslot = 2\nlabel = \"tls\"\nid = \"01\"\n",
    );
    chip::provisioned().save(&module.image()).unwrap();
    let session = module.start();
    generate(&module, session, "one", &[1]).unwrap();
    let pair = &templates::of_all_clients("tls", &[])[2];
    let (public, private) = (without(&pair.public, CKA_ID), without(&pair.private, CKA_ID));
    assert_eq!(error(module.generate_key_pair(session, &public, &private)), TAKEN);
}

#[test]
fn ids_of_destroyed_keys_certificates_and_secret_keys_and_empty_ids_are_free() {
    let (module, session) = provisioned();
    let (_, first) = generate(&module, session, "one", &[1]).unwrap();
    module.destroy(session, first).unwrap();
    generate(&module, session, "again", &[1]).unwrap();
    let certificate = [
        (CKA_CLASS, ulong(CKO_CERTIFICATE)),
        (CKA_CERTIFICATE_TYPE, ulong(CKC_X_509)),
        (CKA_TOKEN, boolean(true)),
        (CKA_ID, vec![2]),
        (
            CKA_VALUE,
            certificate(
                "x",
                &templates::unwrapped(
                    &module
                        .attribute(session, module.public_of(session, module.private_keys(session)[0]), CKA_EC_POINT)
                        .unwrap(),
                ),
            ),
        ),
    ];
    module.create_object(session, &certificate).unwrap();
    let secret = [
        (CKA_CLASS, ulong(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ulong(CKK_AES)),
        (CKA_ID, vec![2]),
        (CKA_VALUE, vec![0; 16]),
    ];
    module.create_object(session, &secret).unwrap();
    let (_, second) = generate(&module, session, "two", &[2]).unwrap();
    let (_, third) = generate(&module, session, "three", &[3]).unwrap();
    for key in [second, third] {
        assert_eq!(module.set_attributes(session, key, &[(CKA_ID, vec![])]), Ok(()));
    }
}
