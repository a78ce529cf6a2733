// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of return values against which every call of the other tests is checked.

use std::collections::BTreeSet;

use crate::common::{codes, functions};
use cryptoki_sys::*;

#[test]
fn the_table_has_a_row_for_every_function_and_for_nothing_else() {
    let rows: BTreeSet<&str> = codes::functions_in_the_table().collect();
    assert_eq!(rows, functions::all().collect());
}

#[test]
fn values_of_other_functions_are_not_in_a_functions_row() {
    for (function, rv, may) in [
        ("C_Sign", CKR_OK, true),
        ("C_Sign", CKR_DEVICE_REMOVED, true),
        ("C_Sign", CKR_TOKEN_NOT_PRESENT, false),
        ("C_OpenSession", CKR_TOKEN_NOT_PRESENT, true),
        ("C_DestroyObject", CKR_ACTION_PROHIBITED, true),
        ("C_CreateObject", CKR_ACTION_PROHIBITED, false),
        ("C_GetFunctionList", CKR_SESSION_HANDLE_INVALID, false),
    ] {
        assert_eq!(codes::may_return(function, rv), may, "{function} {}", codes::name_of(rv));
    }
}

#[test]
#[should_panic(expected = "C_Sign: the chip is gone (CKR_TOKEN_NOT_PRESENT)")]
fn a_line_of_the_log_with_a_wrong_value_is_noticed() {
    let right = "atecc608-pkcs11[7] debug: C_Sign: CKR_OK\natecc608-pkcs11[7] warn: something else (CKR_OK)\n";
    assert_eq!(codes::check_log(right), 1);
    codes::check_log("atecc608-pkcs11[7] warn: C_Sign: the chip is gone (CKR_TOKEN_NOT_PRESENT)\n");
}
