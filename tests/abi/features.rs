// SPDX-License-Identifier: MIT OR Apache-2.0
//! The monotonic counter, profile and mechanism objects, and functions near C_CopyObject that concern neither keys nor
//! stored objects.

use crate::common::chip;
use crate::common::keys::provisioned;
use crate::common::module::{boolean, c, ulong, Module};
use cryptoki_sys::*;

pub fn find_counter(module: &Module, session: CK_SESSION_HANDLE) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let template = [(CKA_CLASS, ulong(CKO_HW_FEATURE)), (CKA_HW_FEATURE_TYPE, ulong(CKH_MONOTONIC_COUNTER))];
    Ok(module.find(session, &template)?[0])
}

fn counter(module: &Module, session: CK_SESSION_HANDLE) -> CK_OBJECT_HANDLE {
    find_counter(module, session).unwrap()
}

/// Reads CKA_VALUE like a program that knows its length.
pub fn value(module: &Module, session: CK_SESSION_HANDLE, counter: CK_OBJECT_HANDLE) -> Result<u32, CK_RV> {
    let mut bytes = [0; 4];
    let mut attribute = CK_ATTRIBUTE { type_: CKA_VALUE, pValue: bytes.as_mut_ptr().cast(), ulValueLen: 4 };
    c!(module, C_GetAttributeValue(session, counter, &mut attribute, 1))?;
    Ok(u32::from_be_bytes(bytes))
}

#[test]
fn the_counter_gives_each_value_once() {
    let (module, bus) = Module::on_bus(chip::provisioned());
    let session = module.start();
    let counter = counter(&module, session);
    assert_eq!(module.attribute(session, counter, CKA_HAS_RESET), Ok(boolean(false)));
    assert_eq!(module.attribute(session, counter, CKA_RESET_ON_INIT), Ok(boolean(false)));
    assert_eq!(value(&module, session, counter), Ok(1));
    assert_eq!(value(&module, session, counter), Ok(2));
    // A length query, or a short buffer, does not count.
    let mut attribute = CK_ATTRIBUTE { type_: CKA_VALUE, pValue: std::ptr::null_mut(), ulValueLen: 0 };
    c!(module, C_GetAttributeValue(session, counter, &mut attribute, 1)).unwrap();
    assert_eq!(attribute.ulValueLen, 4);
    let mut short = [0_u8; 3];
    let mut attribute = CK_ATTRIBUTE { type_: CKA_VALUE, pValue: short.as_mut_ptr().cast(), ulValueLen: 3 };
    let refused = c!(module, C_GetAttributeValue(session, counter, &mut attribute, 1));
    assert_eq!((refused, attribute.ulValueLen), (Err(CKR_BUFFER_TOO_SMALL), CK_UNAVAILABLE_INFORMATION));
    // Nor does a response that was lost on the bus count twice.
    bus.set_faults("drop@2".parse().unwrap());
    assert_eq!(value(&module, session, counter), Ok(3));
    bus.set_faults("garble@2:9".parse().unwrap());
    assert_eq!(value(&module, session, counter), Ok(4));
    assert_eq!(bus.image(0).unwrap().config().counter(1), Some(4));
    assert_eq!(bus.image(0).unwrap().config().counter(0), Some(0), "that one is for limited-use keys");
}

#[test]
fn features_are_found_only_by_their_class() {
    let (module, session) = provisioned();
    assert_eq!(module.find(session, &[]), Ok(vec![]));
    assert_eq!(module.find(session, &[(CKA_HW_FEATURE_TYPE, ulong(CKH_MONOTONIC_COUNTER))]), Ok(vec![]));
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_HW_FEATURE))]).unwrap().len(), 1);
    let profiles = module.find(session, &[(CKA_CLASS, ulong(CKO_PROFILE))]).unwrap();
    let ids: Vec<_> = profiles.iter().map(|profile| module.attribute(session, *profile, CKA_PROFILE_ID)).collect();
    assert_eq!(ids, [Ok(ulong(CKP_BASELINE_PROVIDER)), Ok(ulong(CKP_PUBLIC_CERTIFICATES_TOKEN))]);
    let mut count = 0;
    c!(module, C_GetMechanismList(0, std::ptr::null_mut(), &mut count)).unwrap();
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_MECHANISM))]).unwrap().len(), count as usize);
    let template = [(CKA_CLASS, ulong(CKO_MECHANISM)), (CKA_MECHANISM_TYPE, ulong(CKM_AES_GCM))];
    assert_eq!(module.find(session, &template).unwrap().len(), 1);
}

#[test]
fn they_are_part_of_the_token() {
    let (module, session) = provisioned();
    let counter = counter(&module, session);
    assert_eq!(module.destroy(session, counter), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(module.set_attributes(session, counter, &[(CKA_VALUE, vec![0; 4])]), Err(CKR_ACTION_PROHIBITED));
    assert_eq!(module.attribute(session, counter, CKA_LABEL), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(module.attribute(session, counter, CKA_CLASS), Ok(ulong(CKO_HW_FEATURE)));
}
