// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which return values each function may have (`return_codes.txt`), and the function lists of a
//! [`Module`](super::module::Module) whose every call is checked against it.
//!
//! A test calls through wrappers: one for each function of the newest list, with as many integers as the longest
//! parameter list. In C's calling conventions on Linux they pass on what they get.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::OnceLock;

use cryptoki_sys::*;

use super::functions;

const TABLE: &str = include_str!("return_codes.txt");

/// A function with as many arguments as any.
pub type Any = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize, usize, usize, usize) -> CK_RV;

macro_rules! names {
    ($($name:ident)*) => { [$((stringify!($name), $name)),*] };
}

/// The return values in the table, and those of the module.
fn named() -> impl Iterator<Item = (&'static str, CK_RV)> {
    let names = names! {
        CKR_ACTION_PROHIBITED CKR_AEAD_DECRYPT_FAILED CKR_ARGUMENTS_BAD CKR_ATTRIBUTE_READ_ONLY
        CKR_ATTRIBUTE_SENSITIVE CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_BUFFER_TOO_SMALL
        CKR_CANT_LOCK CKR_CRYPTOKI_ALREADY_INITIALIZED CKR_CRYPTOKI_NOT_INITIALIZED CKR_CURVE_NOT_SUPPORTED
        CKR_DATA_INVALID CKR_DATA_LEN_RANGE CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED
        CKR_DOMAIN_PARAMS_INVALID CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE CKR_FUNCTION_CANCELED
        CKR_FUNCTION_FAILED CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED CKR_FUNCTION_REJECTED
        CKR_GENERAL_ERROR CKR_HOST_MEMORY CKR_INFORMATION_SENSITIVE CKR_KEY_CHANGED CKR_KEY_FUNCTION_NOT_PERMITTED
        CKR_KEY_HANDLE_INVALID CKR_KEY_INDIGESTIBLE CKR_KEY_NEEDED CKR_KEY_NOT_NEEDED CKR_KEY_NOT_WRAPPABLE
        CKR_KEY_SIZE_RANGE CKR_KEY_TYPE_INCONSISTENT CKR_KEY_UNEXTRACTABLE CKR_MECHANISM_INVALID
        CKR_MECHANISM_PARAM_INVALID CKR_NEED_TO_CREATE_THREADS CKR_NO_EVENT CKR_OBJECT_HANDLE_INVALID CKR_OK
        CKR_OPERATION_ACTIVE CKR_OPERATION_CANCEL_FAILED CKR_OPERATION_NOT_INITIALIZED
        CKR_PARAMETER_SET_NOT_SUPPORTED CKR_PENDING CKR_PIN_EXPIRED CKR_PIN_INCORRECT CKR_PIN_INVALID
        CKR_PIN_LEN_RANGE CKR_PIN_LOCKED CKR_RANDOM_NO_RNG CKR_RANDOM_SEED_NOT_SUPPORTED CKR_SAVED_STATE_INVALID
        CKR_SEED_RANDOM_REQUIRED CKR_SESSION_ASYNC_NOT_SUPPORTED CKR_SESSION_CLOSED CKR_SESSION_COUNT
        CKR_SESSION_EXISTS CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED CKR_SESSION_READ_ONLY
        CKR_SESSION_READ_ONLY_EXISTS CKR_SESSION_READ_WRITE_SO_EXISTS CKR_SIGNATURE_INVALID CKR_SIGNATURE_LEN_RANGE
        CKR_SLOT_ID_INVALID CKR_STATE_UNSAVEABLE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT
        CKR_TOKEN_NOT_PRESENT CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_RESOURCE_EXCEEDED CKR_TOKEN_WRITE_PROTECTED
        CKR_UNWRAPPING_KEY_HANDLE_INVALID CKR_UNWRAPPING_KEY_SIZE_RANGE CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT
        CKR_USER_ALREADY_LOGGED_IN CKR_USER_ANOTHER_ALREADY_LOGGED_IN CKR_USER_NOT_LOGGED_IN
        CKR_USER_PIN_NOT_INITIALIZED CKR_USER_TOO_MANY_TYPES CKR_USER_TYPE_INVALID CKR_WRAPPED_KEY_INVALID
        CKR_WRAPPED_KEY_LEN_RANGE CKR_WRAPPING_KEY_HANDLE_INVALID CKR_WRAPPING_KEY_SIZE_RANGE
        CKR_WRAPPING_KEY_TYPE_INCONSISTENT
    };
    names.into_iter()
}

/// The name of a return value.
pub fn name_of(rv: CK_RV) -> String {
    named().find(|(_, known)| *known == rv).map_or_else(|| format!("{rv:#x}"), |(name, _)| name.to_owned())
}

/// Functions, and the return values that they may have.
fn table() -> &'static BTreeMap<&'static str, BTreeSet<CK_RV>> {
    static PARSED: OnceLock<BTreeMap<&str, BTreeSet<CK_RV>>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let mut rows: BTreeMap<&str, BTreeSet<CK_RV>> = BTreeMap::new();
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (functions, values) = line.split_once(':').unwrap();
            // An exception has a reason, and is for functions that have rows.
            let (values, reason) = values.split_once(" - ").map_or((values, None), |(values, why)| (values, Some(why)));
            let mut allowed = BTreeSet::new();
            for value in values.split_whitespace() {
                if value.starts_with('@') {
                    allowed.extend(&rows[value]);
                } else {
                    let name = format!("CKR_{value}");
                    allowed.insert(named().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}?")).1);
                }
            }
            for function in functions.split(' ') {
                let row = match reason {
                    Some(reason) => rows.get_mut(function).filter(|_| reason.len() > 20).expect(line),
                    None if rows.contains_key(function) => panic!("{function} has two rows"),
                    None => rows.entry(function).or_insert_with_key(|_| allowed.clone()),
                };
                // A value that the standard has is no exception.
                assert!(reason.is_none() || row.is_disjoint(&allowed), "{line}");
                row.extend(&allowed);
            }
        }
        rows
    })
}

/// The functions that have a row.
pub fn functions_in_the_table() -> impl Iterator<Item = &'static str> {
    table().keys().copied().filter(|name| !name.starts_with('@'))
}

/// Whether the function may return this.
pub fn may_return(function: &str, rv: CK_RV) -> bool {
    table()["@every"].contains(&rv) || table()[function].contains(&rv)
}

/// The first function with a return value that it must not have, by its position in the list plus one, and that value.
static WRONG: (AtomicUsize, AtomicUsize) = (AtomicUsize::new(0), AtomicUsize::new(0));

/// The process of the tests; others are its children.
static TESTS: AtomicU32 = AtomicU32::new(0);

/// Checks a function's return value. Forked children and threads come here, too: no lock is taken. Errors are reported
/// by [`assert_all_allowed`]; a child ends.
pub fn check(function: &str, rv: CK_RV) {
    if !may_return(function, rv) {
        eprintln!("{function} returned {}, which it does not have: tests/abi/common/return_codes.txt", name_of(rv));
        if TESTS.load(Ordering::Relaxed) != std::process::id() {
            std::process::abort();
        }
        let place = functions::all().position(|name| name == function).unwrap();
        if WRONG.0.compare_exchange(0, place + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            WRONG.1.store(rv as usize, Ordering::Relaxed);
        }
    }
}

/// Fails if a function returned a value that it must not since the last call.
#[track_caller]
pub fn assert_all_allowed() {
    let place = WRONG.0.swap(0, Ordering::Relaxed);
    if let Some(function) = place.checked_sub(1).and_then(|place| functions::all().nth(place)) {
        let rv = WRONG.1.load(Ordering::Relaxed) as CK_RV;
        panic!("{function} returned {}, which it does not have: tests/abi/common/return_codes.txt", name_of(rv));
    }
}

/// The module's functions behind the wrappers.
static REAL: [AtomicUsize; FUNCTIONS] = [const { AtomicUsize::new(0) }; FUNCTIONS];

const FUNCTIONS: usize = 104;

#[allow(clippy::too_many_arguments)]
unsafe extern "C" fn wrapper<const PLACE: usize>(
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
    g: usize,
    h: usize,
    i: usize,
    j: usize,
) -> CK_RV {
    let real = REAL[PLACE].load(Ordering::Relaxed);
    // SAFETY: `wrapped` put a C function there.
    let rv = unsafe { std::mem::transmute::<usize, Any>(real)(a, b, c, d, e, f, g, h, i, j) };
    check(NAMES[PLACE], rv);
    rv
}

/// The functions in the list's order.
const NAMES: [&str; FUNCTIONS] = {
    let mut names = [""; FUNCTIONS];
    let mut at = 0;
    while at < FUNCTIONS {
        let (two, three) = (functions::V2_40.len(), functions::V2_40.len() + functions::V3_0.len());
        names[at] = if at < two {
            functions::V2_40[at]
        } else if at < three {
            functions::V3_0[at - two]
        } else {
            functions::V3_2[at - three]
        };
        at += 1;
    }
    names
};

macro_rules! ten {
    ($($tens:literal)*) => {
        [$([
            wrapper::<{ $tens * 10 }> as Any, wrapper::<{ $tens * 10 + 1 }>, wrapper::<{ $tens * 10 + 2 }>,
            wrapper::<{ $tens * 10 + 3 }>, wrapper::<{ $tens * 10 + 4 }>, wrapper::<{ $tens * 10 + 5 }>,
            wrapper::<{ $tens * 10 + 6 }>, wrapper::<{ $tens * 10 + 7 }>, wrapper::<{ $tens * 10 + 8 }>,
            wrapper::<{ $tens * 10 + 9 }>,
        ]),*]
    };
}

/// A function list of the module with every function wrapped: the version, and a pointer for each.
///
/// # Safety
/// `list` is a function list of `count` functions.
pub unsafe fn wrapped(list: *const c_void, count: usize) -> *const c_void {
    let _ = table();
    TESTS.store(std::process::id(), Ordering::Relaxed);
    let wrappers = ten! { 0 1 2 3 4 5 6 7 8 9 };
    let rest = [wrapper::<100> as Any, wrapper::<101>, wrapper::<102>, wrapper::<103>];
    let wrappers = wrappers.into_iter().flatten().chain(rest);
    // SAFETY: the caller's promise; the version takes as much room as a pointer.
    let real = unsafe { std::slice::from_raw_parts(list.cast::<usize>(), 1 + count) };
    let mut copy = vec![real[0]];
    for (place, (function, wrapper)) in real[1..].iter().zip(wrappers).enumerate() {
        REAL[place].store(*function, Ordering::Relaxed);
        copy.push(wrapper as usize);
    }
    Vec::leak(copy).as_ptr().cast()
}

/// Checks the lines of a log at the level debug: `C_Name: text (CKR_NAME)`. Returns the number of calls.
#[track_caller]
pub fn check_log(log: &str) -> usize {
    let (mut calls, mut wrong) = (0, BTreeMap::new());
    for line in log.lines() {
        let Some((function, rv)) = call_of(line) else { continue };
        calls += 1;
        let known = named().find(|(name, _)| *name == rv).unwrap_or_else(|| panic!("{rv}?")).1;
        if !may_return(function, known) {
            wrong.insert((function, rv), line);
        }
    }
    assert!(wrong.is_empty(), "not in tests/abi/common/return_codes.txt: {:#?}", wrong.values());
    calls
}

/// The function and the name of the return value in a line of the log.
fn call_of(line: &str) -> Option<(&str, &str)> {
    let (_, text) = line.split_once("] ")?;
    let (_, call) = text.split_once(": ")?;
    let (function, text) = call.split_once(": ")?;
    let rv = if text == "CKR_OK" { text } else { text.rsplit_once('(')?.1.strip_suffix(')')? };
    (function.starts_with("C_") && rv.starts_with("CKR_")).then_some((function, rv))
}
