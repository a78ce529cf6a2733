// SPDX-License-Identifier: MIT OR Apache-2.0
//! docs/pkcs11.md describes the module: its tables are checked against the module itself, called through the C ABI.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::ptr::null_mut;

use crate::common::module::{c, mechanism, Module};
use crate::common::secrets::with_io_key;
use crate::common::{codes, functions};
use atecc608_token::attribute;
use cryptoki_sys::*;

const DOCUMENT: &str = include_str!("../../docs/pkcs11.md");

/// The rows of the tables below this heading, without their heads: a row is its cells.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let section = DOCUMENT.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading is there");
    let mut rows = Vec::new();
    let mut in_head = true;
    for line in section.lines() {
        match line.strip_prefix('|') {
            None => in_head = true,
            Some(cells) if cells.starts_with(" ---") => in_head = false,
            Some(_) if in_head => {}
            Some(cells) => rows.push(cells.trim_end_matches('|').split('|').map(str::trim).collect()),
        }
    }
    rows
}

/// Functions and their results: `yes`, or the code of a refusal.
fn answers() -> BTreeMap<&'static str, &'static str> {
    let mut functions = BTreeMap::new();
    for row in rows("Functions") {
        for name in row[0].split(", ") {
            assert!(functions.insert(name.trim_matches('`'), row[1]).is_none(), "{name} is there twice");
        }
    }
    functions
}

fn code(name: &str) -> CK_RV {
    match name {
        "CKR_FUNCTION_NOT_PARALLEL" => CKR_FUNCTION_NOT_PARALLEL,
        "CKR_MECHANISM_INVALID" => CKR_MECHANISM_INVALID,
        "CKR_OPERATION_NOT_INITIALIZED" => CKR_OPERATION_NOT_INITIALIZED,
        "CKR_RANDOM_SEED_NOT_SUPPORTED" => CKR_RANDOM_SEED_NOT_SUPPORTED,
        "CKR_SAVED_STATE_INVALID" => CKR_SAVED_STATE_INVALID,
        "CKR_STATE_UNSAVEABLE" => CKR_STATE_UNSAVEABLE,
        other => panic!("{other} is no code of a refusal"),
    }
}

/// Calls a function by its name with these arguments, the rest 0: in C's calling conventions on Linux a callee does not see
/// arguments it does not expect.
fn call(module: &Module, name: &str, arguments: &[usize]) -> CK_RV {
    let function: libloading::Symbol<codes::Any> = unsafe { module.library.get(name.as_bytes()) }.unwrap();
    let a = |at| arguments.get(at).copied().unwrap_or_default();
    let rv = unsafe { function(a(0), a(1), a(2), a(3), a(4), a(5), a(6), a(7), a(8), a(9)) };
    codes::check(name, rv);
    rv
}

#[test]
fn the_functions_are_all_there_and_no_others() {
    let documented: BTreeSet<&str> = answers().into_keys().collect();
    assert_eq!(documented, functions::all().collect());
}

#[test]
fn what_is_said_to_be_refused_is_refused_with_that_code_and_nothing_else_is_unsupported() {
    let (module, _bus, session) = with_io_key();
    let mut length: CK_ULONG = 0;
    let mut any_mechanism = mechanism(CKM_ECDSA);
    for (name, answer) in answers() {
        if answer == "yes" {
            // Called with nothing but a session, none of them is unknown.
            if !matches!(name, "C_Initialize" | "C_Finalize" | "C_CloseSession" | "C_CloseAllSessions" | "C_Logout") {
                let first_is_no_session =
                    name.ends_with("List") || matches!(name, "C_GetInfo" | "C_GetInterface" | "C_WaitForSlotEvent");
                let first = if first_is_no_session { 0 } else { session as usize };
                assert_ne!(call(&module, name, &[first]), CKR_FUNCTION_NOT_SUPPORTED, "{name}");
            }
            continue;
        }
        // With the arguments that are needed to reach the refusal.
        let arguments: Vec<usize> = match name {
            _ if name.ends_with("Init") || name.ends_with("capsulateKey") => vec![(&raw mut any_mechanism) as usize],
            _ if name.starts_with("C_Async") => vec![c"C_Sign".as_ptr() as usize],
            "C_GetOperationState" => {
                let _ = c!(module, C_DigestInit(session, &mut mechanism(CKM_SHA256)));
                vec![0, (&raw mut length) as usize]
            }
            _ => vec![],
        };
        let rv = call(&module, name, &[&[session as usize][..], &arguments].concat());
        assert_eq!(rv, code(answer.trim_matches('`')), "{name}: {rv:#x}");
    }
}

macro_rules! codes {
    ($($name:ident)*) => { [$((stringify!($name), $name as CK_ULONG)),*] };
}

#[test]
fn the_mechanisms_are_those_of_a_chip_with_the_profile_tls() {
    let mechanisms = codes! {
        CKM_EC_KEY_PAIR_GEN CKM_ECDSA CKM_ECDSA_SHA1 CKM_ECDSA_SHA224 CKM_ECDSA_SHA256 CKM_ECDSA_SHA384 CKM_ECDSA_SHA512
        CKM_ECDH1_DERIVE CKM_ECDH1_COFACTOR_DERIVE CKM_AES_KEY_GEN CKM_GENERIC_SECRET_KEY_GEN CKM_HKDF_DERIVE CKM_HKDF_DATA
        CKM_TLS12_KDF CKM_AES_ECB CKM_AES_CBC CKM_AES_CBC_PAD CKM_AES_CTR CKM_AES_GCM CKM_AES_CMAC CKM_AES_CMAC_GENERAL
        CKM_SHA256_HMAC CKM_SHA256_HMAC_GENERAL CKM_SHA_1 CKM_SHA224 CKM_SHA256 CKM_SHA384 CKM_SHA512
    };
    let flags = codes! {
        CKF_HW CKF_ENCRYPT CKF_DECRYPT CKF_DIGEST CKF_SIGN CKF_VERIFY CKF_GENERATE CKF_GENERATE_KEY_PAIR CKF_WRAP
        CKF_UNWRAP CKF_DERIVE CKF_MESSAGE_ENCRYPT CKF_MESSAGE_DECRYPT CKF_MULTI_MESSAGE CKF_EC_F_P CKF_EC_NAMEDCURVE CKF_EC_UNCOMPRESS
        CKF_EC_COMPRESS
    };
    let (module, _bus, _) = with_io_key();
    let mut count = 0;
    c!(module, C_GetMechanismList(0, null_mut(), &mut count)).unwrap();
    let mut offered = vec![0; count as usize];
    c!(module, C_GetMechanismList(0, offered.as_mut_ptr(), &mut count)).unwrap();
    let mut documented = BTreeSet::new();
    for row in rows("Mechanisms") {
        let sizes: Vec<CK_ULONG> = row[1].split(" to ").map(|size| size.parse().unwrap()).collect();
        let named = row[2].split(", ").map(|name| {
            let name = format!("CKF_{}", name.trim_matches('`'));
            flags.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is no flag")).1
        });
        let flags = named.fold(0, |all, flag| all | flag);
        for name in row[0].split(", ") {
            let (_, kind) = mechanisms.iter().find(|(known, _)| *known == name.trim_matches('`')).expect(name);
            assert!(documented.insert(*kind), "{name} is there twice");
            let mut info = CK_MECHANISM_INFO::default();
            c!(module, C_GetMechanismInfo(0, *kind, &mut info)).unwrap();
            let said = (sizes[0], *sizes.last().unwrap(), flags);
            assert_eq!((info.ulMinKeySize, info.ulMaxKeySize, info.flags), said, "{name}: {:#x}", info.flags);
        }
    }
    assert_eq!(documented, offered.into_iter().collect());
}

#[test]
fn the_vendor_attributes_have_the_numbers_of_the_header() {
    let of_module = [
        ("CKA_ATECC608_SLOT", attribute::CKA_ATECC608_SLOT),
        ("CKA_ATECC608_SLOT_CONFIG", attribute::CKA_ATECC608_SLOT_CONFIG),
        ("CKA_ATECC608_KEY_CONFIG", attribute::CKA_ATECC608_KEY_CONFIG),
        ("CKA_ATECC608_SLOT_LOCKED", attribute::CKA_ATECC608_SLOT_LOCKED),
    ];
    let documented: BTreeSet<String> =
        rows("Vendor attributes").iter().map(|row| format!("{} {}", row[0], row[1])).collect();
    assert_eq!(documented, of_module.iter().map(|(name, number)| format!("`{name}` `0x{number:X}`")).collect());
}

#[test]
fn interfaces_give_the_functions_that_the_document_lists() {
    let (module, _bus, _) = with_io_key();
    // The list is the one that a program gets with the newest interface.
    let list: *const c_void = std::ptr::from_ref(module.list_3_2()).cast();
    let functions = answers().len();
    let pointers = unsafe { std::slice::from_raw_parts(list.cast::<usize>(), 1 + functions) };
    assert_eq!(size_of::<CK_FUNCTION_LIST_3_2>(), (1 + functions) * size_of::<usize>());
    assert!(pointers[1..].iter().all(|function| *function != 0));
}
