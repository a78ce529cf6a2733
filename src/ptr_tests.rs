// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests with NULL, short, absurd and misaligned pointers of a caller.

use atecc608_token::Parameter;
use std::ptr::{null, null_mut};

use proptest::prelude::*;

use super::*;

fn attribute(type_: CK_ATTRIBUTE_TYPE, value: &mut [u8]) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_, pValue: value.as_mut_ptr().cast(), ulValueLen: length(value.len()) }
}

// SAFETY (all of this file): each pointer is NULL or points to a local variable of the length that belongs to it, or
// the length must be refused before anything is read.
macro_rules! call {
    ($($call:tt)*) => {{
        // SAFETY: see above.
        unsafe { $($call)* }
    }};
}

#[test]
fn null_input_is_allowed_only_with_length_0() {
    assert!(call!(input(null(), 0)).unwrap().bytes().is_empty());
    assert!(matches!(call!(input(null(), 1)), Err(Error::ArgumentsBad(_))));
}

#[test]
fn a_buffer_that_would_end_behind_the_memory_is_refused() {
    // With 32-bit addresses, half the memory may follow a low address.
    const HALF: CK_ULONG = if CK_ULONG::BITS == 64 { CK_ULONG::MAX / 2 } else { CK_ULONG::MAX / 2 + 1 };
    let mut byte = 0_u8;
    for len in [HALF, HALF + 1, CK_ULONG::MAX] {
        assert!(matches!(call!(input(&byte, len)), Err(Error::ArgumentsBad(_))));
        assert!(matches!(call!(out_bytes(&mut byte, len)), Err(Error::ArgumentsBad(_))));
    }
}

#[test]
fn a_null_pin_is_not_an_empty_one() {
    assert!(call!(pin(null(), 0)).unwrap().is_none());
    assert_eq!(call!(pin(b"".as_ptr(), 0)).unwrap().unwrap().bytes(), b"");
    assert!(call!(pin(null(), 4)).is_err());
}

#[test]
fn a_label_loses_its_padding() {
    let padded = *b"gateway 1                       ";
    assert_eq!(call!(label(padded.as_ptr())).unwrap(), "gateway 1");
    assert!(call!(label(null())).is_err());
    assert!(call!(label([0xFF; 32].as_ptr())).is_err());
}

#[test]
fn c_strings_are_compared_whole() {
    for (string, same) in [(&b"PKCS 11\0"[..], true), (b"PKCS 1\0", false), (b"PKCS 111\0", false), (b"\0", false)] {
        assert_eq!(call!(c_string_is(string.as_ptr(), c"PKCS 11")), same);
    }
}

#[test]
fn a_length_query_stores_the_length() {
    let mut len = 7;
    assert!(matches!(call!(output(null_mut(), &mut len)).unwrap().room_for(64), Room::Query));
    assert_eq!(len, 64);
}

#[test]
fn a_short_buffer_stores_the_length_and_is_not_touched() {
    let (mut data, mut len) = ([1; 8], 4);
    let room = call!(output(data.as_mut_ptr(), &mut len)).unwrap().room_for(5);
    assert!(matches!(room, Room::TooSmall(Error::BufferTooSmall(5))));
    assert_eq!((len, data), (5, [1; 8]));
}

#[test]
fn a_long_buffer_gets_the_result_and_its_length() {
    let (mut data, mut len) = ([1; 8], 8);
    let Room::Fits(slot) = call!(output(data.as_mut_ptr(), &mut len)).unwrap().room_for(5) else { panic!("fits") };
    slot.write(&[2; 5]);
    assert_eq!((len, data), (5, [2, 2, 2, 2, 2, 1, 1, 1]));
}

#[test]
fn an_output_without_a_length_is_refused() {
    assert!(call!(output([0_u8; 8].as_mut_ptr(), null_mut())).is_err());
}

#[test]
fn a_list_is_counted_then_copied() {
    let mut count = 0;
    call!(out_list::<CK_ULONG>(null_mut(), &mut count)).unwrap().set(&[4, 5]).unwrap();
    assert_eq!(count, 2);
    let mut list = [0; 3];
    count = 1;
    let short = call!(out_list(list.as_mut_ptr(), &mut count)).unwrap().set(&[4, 5]);
    assert!(matches!(short, Err(Error::BufferTooSmall(2))));
    assert_eq!((count, list), (2, [0, 0, 0]));
    call!(out_list(list.as_mut_ptr(), &mut count)).unwrap().set(&[4, 5]).unwrap();
    assert_eq!((count, list), (2, [4, 5, 0]));
}

#[test]
fn long_output_is_filled_piece_by_piece() {
    let mut data = vec![0; 10_000];
    let mut pieces = 0;
    let bytes = call!(out_bytes(data.as_mut_ptr(), 10_000)).unwrap();
    bytes
        .fill(|piece| {
            pieces += 1;
            piece.fill(pieces);
            Ok(())
        })
        .unwrap();
    assert_eq!((data[0], data[4096], data[9_999], pieces), (1, 2, 3, 3));
}

#[test]
fn a_template_of_absurd_size_is_refused_before_it_is_read() {
    let one = attribute(CKA_LABEL, &mut []);
    for count in [1025, 1 << 30, CK_ULONG::MAX] {
        assert!(matches!(call!(template(&one, count)), Err(Error::ArgumentsBad(_))));
    }
    assert!(call!(template(null(), 1)).is_err());
    assert_eq!(call!(template(null(), 0)).unwrap().iter().count(), 0);
}

#[test]
fn a_value_of_absurd_size_is_refused_before_it_is_read() {
    let mut byte = [0];
    let mut one = attribute(CKA_LABEL, &mut byte);
    for len in [CK_UNAVAILABLE_INFORMATION, (1 << 20) + 1] {
        one.ulValueLen = len;
        assert!(matches!(call!(template(&one, 1)), Err(Error::Token(atecc608_token::Error::AttributeValueInvalid(_)))));
    }
}

#[test]
fn a_null_value_is_allowed_only_with_length_0() {
    let mut one = CK_ATTRIBUTE { type_: CKA_ID, pValue: null_mut(), ulValueLen: 0 };
    assert_eq!(call!(template(&one, 1)).unwrap().bytes(CKA_ID), Some(&[][..]));
    one.ulValueLen = 3;
    assert!(matches!(call!(template(&one, 1)), Err(Error::ArgumentsBad(_))));
}

#[test]
fn nested_templates_are_never_followed() {
    let mut nested = CK_ATTRIBUTE { type_: CKA_ID, pValue: 8 as *mut _, ulValueLen: CK_ULONG::MAX / 2 };
    let outer = CK_ATTRIBUTE {
        type_: CKA_WRAP_TEMPLATE,
        pValue: (&raw mut nested).cast(),
        ulValueLen: length(size_of::<CK_ATTRIBUTE>()),
    };
    let template = call!(template(&outer, 1)).unwrap();
    assert_eq!(template.bytes(CKA_WRAP_TEMPLATE).map(<[u8]>::len), Some(size_of::<CK_ATTRIBUTE>()));
}

#[test]
fn attributes_are_counted_filled_or_unavailable() {
    let mut room = [0; 4];
    let mut requests = [
        CK_ATTRIBUTE { type_: CKA_ID, pValue: null_mut(), ulValueLen: 0 },
        attribute(CKA_ID, &mut room),
        attribute(CKA_ID, &mut [0; 2]),
        attribute(CKA_VALUE, &mut [0; 2]),
    ];
    let each = call!(attribute_requests(requests.as_mut_ptr(), 4)).unwrap().each();
    let results: Vec<bool> = each
        .map(|request| match request.attribute() {
            CKA_ID => request.set(b"abc").is_ok(),
            _ => {
                request.unavailable();
                false
            }
        })
        .collect();
    assert_eq!(results, [true, true, false, false]);
    let lengths = requests.map(|request| request.ulValueLen);
    assert_eq!(lengths, [3, 3, CK_UNAVAILABLE_INFORMATION, CK_UNAVAILABLE_INFORMATION]);
    assert_eq!(&room, b"abc\0");
}

#[test]
fn ecdh_parameters_become_typed() {
    let mut point = [4; 65];
    let mut params = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: null_mut(),
        ulPublicDataLen: 65,
        pPublicData: point.as_mut_ptr(),
    };
    let mut ecdh = CK_MECHANISM {
        mechanism: CKM_ECDH1_DERIVE,
        pParameter: (&raw mut params).cast(),
        ulParameterLen: length(size_of::<CK_ECDH1_DERIVE_PARAMS>()),
    };
    let expected = Parameter::Ecdh1 { kdf: CKD_NULL, shared_data: vec![], public_data: vec![4; 65] };
    assert_eq!(call!(mechanism(&ecdh)).unwrap().parameter, expected);
    params = CK_ECDH1_DERIVE_PARAMS { ulSharedDataLen: 1, ..params };
    ecdh.pParameter = (&raw mut params).cast();
    assert!(matches!(call!(mechanism(&ecdh)), Err(Error::MechanismParamInvalid(_))));
    ecdh.ulParameterLen -= 1;
    assert!(matches!(call!(mechanism(&ecdh)), Err(Error::MechanismParamInvalid(_))));
    ecdh.ulParameterLen = 0;
    assert!(matches!(call!(mechanism(&ecdh)), Err(Error::MechanismParamInvalid(_))));
}

#[test]
fn other_parameters_are_bytes() {
    let mut bytes = [1_u8, 2, 3];
    let mut other = CK_MECHANISM { mechanism: CKM_ECDSA, pParameter: bytes.as_mut_ptr().cast(), ulParameterLen: 3 };
    assert_eq!(call!(mechanism(&other)).unwrap().parameter, Parameter::Other(vec![1, 2, 3]));
    other.ulParameterLen = 0;
    assert_eq!(call!(mechanism(&other)).unwrap().parameter, Parameter::None);
    other.ulParameterLen = CK_ULONG::MAX;
    assert!(matches!(call!(mechanism(&other)), Err(Error::MechanismParamInvalid(_))));
    other = CK_MECHANISM { mechanism: CKM_ECDSA, pParameter: null_mut(), ulParameterLen: 3 };
    assert!(matches!(call!(mechanism(&other)), Err(Error::MechanismParamInvalid(_))));
    assert!(matches!(call!(mechanism(null())), Err(Error::ArgumentsBad(_))));
    assert!(call!(optional_mechanism(null())).unwrap().is_none());
}

proptest! {
    #[test]
    fn templates_arrive_as_they_are_from_any_address(
        values in prop::collection::vec((any::<CK_ATTRIBUTE_TYPE>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        offset in 0_usize..8,
    ) {
        let mut values = values;
        let array: Vec<CK_ATTRIBUTE> =
            values.iter_mut().map(|(type_, value)| attribute(*type_, value)).collect();
        // The same array at an address that is misaligned for a CK_ATTRIBUTE.
        let size = size_of_val(array.as_slice());
        let mut memory = vec![0_u8; offset + size];
        call!(ptr::copy_nonoverlapping(array.as_ptr().cast::<u8>(), memory.as_mut_ptr().add(offset), size));
        let template = call!(template(memory.as_ptr().add(offset).cast(), length(array.len()))).unwrap();
        let read: Vec<_> = template.iter().map(|(type_, value)| (type_, value.to_vec())).collect();
        prop_assert_eq!(read, values);
    }
}
