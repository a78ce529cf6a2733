// SPDX-License-Identifier: MIT OR Apache-2.0
//! The PIN of the profile `tls-pin` through the C ABI: access before and after login, and that the chip enforces it.

use std::ptr::null_mut;

use crate::common::keys;
use crate::common::module::{boolean, c, ulong};
use crate::common::one_key::{assert_signed, generate, point_in, sign};
use crate::common::pin::{self, code, init_pin, init_token, logout, set_pin, OTHER_PIN, PIN};
use atecc608_token::pin::code::RecoveryCode;
use atecc608_wire::Opcode;
use cryptoki_sys::*;

#[test]
fn the_right_pin_logs_in_and_keys_work_until_the_logout() {
    let (module, bus) = pin::token();
    let session = module.start();
    assert_eq!(module.session_info(session).unwrap().state, CKS_RW_PUBLIC_SESSION);
    assert_eq!(generate(&module, session, "a"), Err(CKR_USER_NOT_LOGGED_IN));
    module.login(session, CKU_USER, PIN).unwrap();
    assert_eq!(module.session_info(session).unwrap().state, CKS_RW_USER_FUNCTIONS);
    let key = generate(&module, session, "a").unwrap();
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
    logout(&module, session).unwrap();
    assert_eq!(sign(&module, session, key), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(logout(&module, session), Err(CKR_USER_NOT_LOGGED_IN));
    module.login(session, CKU_USER, PIN).unwrap();
    assert_eq!(sign(&module, session, key), Err(CKR_KEY_HANDLE_INVALID), "such a handle never comes back");
    let key = module.private_keys(session)[0];
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
}

#[test]
fn token_information_says_that_a_login_is_required_and_counts_no_failures() {
    let (module, bus) = pin::token();
    let session = module.start();
    for _ in 0..5 {
        assert_eq!(module.login(session, CKU_USER, OTHER_PIN), Err(CKR_PIN_INCORRECT));
    }
    let info = module.token_info(0).unwrap();
    let set = CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED | CKF_RNG;
    assert_eq!(info.flags, set, "no COUNT_LOW, FINAL_TRY or LOCKED: the chip has no such counter");
    assert_eq!((info.ulMinPinLen, info.ulMaxPinLen), (8, 255));
    module.login(session, CKU_USER, PIN).unwrap();
    module.finalize().unwrap();
    pin::store(&module, &bus).change(|state| state.pins.clear()).unwrap();
    let session = module.start();
    assert_eq!(module.token_info(0).unwrap().flags, set & !CKF_USER_PIN_INITIALIZED);
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_USER_PIN_NOT_INITIALIZED));
    module.assert_logged(&["security officer", "C_InitPIN"]);
}

#[test]
fn before_the_login_public_keys_and_certificates_are_seen_and_private_objects_are_not() {
    let (module, _bus, session, _) = pin::with_key();
    let der = crate::common::templates::certificate("a", &[4; 65]);
    keys::create_certificate(&module, session, &der, &[(CKA_ID, b"a".to_vec())]).unwrap();
    let session = module.restart();
    assert!(module.private_keys(session).is_empty());
    let public = module.find_labelled(session, CKO_PUBLIC_KEY, "a");
    assert_eq!(public.len(), 1);
    assert_eq!(keys::point(&module, session, public[0]).len(), 65);
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]).unwrap().len(), 1);
    assert_eq!(module.find(session, &[(CKA_PRIVATE, boolean(true))]), Ok(vec![]));
    assert_eq!(module.find(session, &[]).unwrap().len(), 2);
    module.login(session, CKU_USER, PIN).unwrap();
    assert_eq!(module.find(session, &[]).unwrap().len(), 3);
}

#[test]
fn a_signature_after_a_login_is_four_commands_and_195_ms() {
    let (module, bus, session, key) = pin::with_key();
    for _ in 0..3 {
        bus.take_stats();
        sign(&module, session, key).unwrap();
        let stats = bus.take_stats();
        assert_eq!((stats.total_commands(), stats.wakes), (4, 1), "{stats:?}");
        assert_eq!((stats.command(Opcode::NONCE), stats.command(Opcode::CHECK_MAC)), (2, 1));
        assert!(stats.chip_us_max <= 195_000, "{stats:?}");
    }
}

#[test]
fn user_and_security_officer_exclude_each_other() {
    let (module, _bus) = pin::token();
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_USER_ALREADY_LOGGED_IN));
    assert_eq!(module.login(session, CKU_SO, &code()), Err(CKR_USER_ANOTHER_ALREADY_LOGGED_IN));
    logout(&module, session).unwrap();
    let read_only = module.open_session(0, false).unwrap();
    assert_eq!(module.login(session, CKU_SO, &code()), Err(CKR_SESSION_READ_ONLY_EXISTS));
    c!(module, C_CloseSession(read_only)).unwrap();
    assert_eq!(module.login(session, CKU_SO, PIN), Err(CKR_PIN_INCORRECT));
    module.login(session, CKU_SO, &code()).unwrap();
    assert_eq!(module.session_info(session).unwrap().state, CKS_RW_SO_FUNCTIONS);
    assert_eq!(module.login(session, CKU_SO, &code()), Err(CKR_USER_ALREADY_LOGGED_IN));
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_USER_ANOTHER_ALREADY_LOGGED_IN));
    assert_eq!(module.open_session(0, false), Err(CKR_SESSION_READ_WRITE_SO_EXISTS));
    assert_eq!(generate(&module, session, "a"), Err(CKR_USER_NOT_LOGGED_IN));
    c!(module, C_CloseAllSessions(0)).unwrap();
    let session = module.open_session(0, true).unwrap();
    assert_eq!(module.session_info(session).unwrap().state, CKS_RW_PUBLIC_SESSION);
}

#[test]
fn an_impossible_pin_is_refused() {
    let (module, bus) = pin::token();
    bus.set_switches(0, pin::rolling(true)).unwrap();
    let session = module.start();
    assert_eq!(module.login(session, CKU_USER, b""), Err(CKR_PIN_INCORRECT));
    assert_eq!(c!(module, C_Login(session, CKU_USER, null_mut(), 0)), Err(CKR_PIN_INCORRECT));
    assert_eq!(init_pin(&module, session, OTHER_PIN), Err(CKR_USER_NOT_LOGGED_IN));
    for (new, expected) in [
        (&b"seven77"[..], CKR_PIN_LEN_RANGE),
        (&[b'x'; 256][..], CKR_PIN_LEN_RANGE),
        (&b"\xFF\xFE\xFD\xFC\xFB\xFA\xF9\xF8"[..], CKR_PIN_INVALID),
        ("äöüäöüä".as_bytes(), CKR_PIN_LEN_RANGE),
    ] {
        assert_eq!(set_pin(&module, session, PIN, new), Err(expected));
    }
    assert_eq!(set_pin(&module, session, OTHER_PIN, b"long enough"), Err(CKR_PIN_INCORRECT));
    set_pin(&module, session, PIN, "äöüäöüäö".as_bytes()).unwrap();
    module.login(session, CKU_USER, "äöüäöüäö".as_bytes()).unwrap();
}

#[test]
fn the_user_changes_the_pin_and_stays_logged_in_where_the_chip_rolls_the_secret() {
    let (module, bus, session, key) = pin::with_key();
    bus.set_switches(0, pin::rolling(true)).unwrap();
    let (before, old_blobs) = (bus.image(0).unwrap(), pin::blobs(&module, &bus));
    set_pin(&module, session, PIN, OTHER_PIN).unwrap();
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
    assert_ne!(pin::secret_in(&before, pin::AUTHORISATION), pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION));
    assert_eq!(pin::blobs(&module, &bus).len(), 1);
    let session = module.restart();
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_PIN_INCORRECT));
    module.login(session, CKU_USER, OTHER_PIN).unwrap();
    module.finalize().unwrap();
    // A backup of the state, and the PIN of its time.
    pin::store(&module, &bus).change(|state| state.pins = old_blobs).unwrap();
    let session = module.start();
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_PIN_INCORRECT));
}

#[test]
fn where_the_chip_does_not_roll_the_secret_the_user_keeps_the_pin_and_the_state_one_blob() {
    let (module, bus, session, key) = pin::with_key();
    bus.set_switches(0, pin::rolling(false)).unwrap();
    let (before, blobs) = (bus.image(0).unwrap(), pin::blobs(&module, &bus));
    for _ in 0..2 {
        assert_eq!(set_pin(&module, session, PIN, OTHER_PIN), Err(CKR_FUNCTION_FAILED));
        // The same blob as before: not a second one of the same secret under another PIN or salt.
        assert_eq!(pin::blobs(&module, &bus), blobs);
    }
    module.assert_logged(&["C_SetPIN", "security officer", "C_InitPIN"]);
    assert_eq!(pin::secret_in(&before, pin::AUTHORISATION), pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION));
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
    let session = module.restart();
    assert_eq!(module.login(session, CKU_USER, OTHER_PIN), Err(CKR_PIN_INCORRECT));
    module.login(session, CKU_USER, PIN).unwrap();
    // The remaining way.
    logout(&module, session).unwrap();
    module.login(session, CKU_SO, &code()).unwrap();
    init_pin(&module, session, OTHER_PIN).unwrap();
    logout(&module, session).unwrap();
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_PIN_INCORRECT));
    module.login(session, CKU_USER, OTHER_PIN).unwrap();
}

#[test]
fn the_security_officer_gives_the_user_a_pin_even_if_the_state_is_lost() {
    let (module, bus, session, _) = pin::with_key();
    let old = pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION);
    logout(&module, session).unwrap();
    module.finalize().unwrap();
    std::fs::remove_dir_all(module.state_file().parent().unwrap()).unwrap();
    let session = module.start();
    module.login(session, CKU_SO, &code()).unwrap();
    init_pin(&module, session, OTHER_PIN).unwrap();
    assert_ne!(pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION), old, "a fresh secret");
    logout(&module, session).unwrap();
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_PIN_INCORRECT));
    module.login(session, CKU_USER, OTHER_PIN).unwrap();
    let key = module.private_keys(session)[0];
    assert_signed(&point_in(&bus, 0).unwrap(), &sign(&module, session, key).unwrap());
}

#[test]
fn the_security_officer_changes_the_recovery_code_for_one_as_the_tool_makes_them() {
    let (module, _bus) = pin::token();
    let session = module.start();
    module.login(session, CKU_SO, &code()).unwrap();
    assert_eq!(set_pin(&module, session, &code(), b"one I thought of myself"), Err(CKR_PIN_INVALID));
    module.assert_logged(&["atecc608 recovery-code"]);
    let new = RecoveryCode::new(&[0x77; 32]).text();
    let new = new.as_bytes();
    assert_eq!(set_pin(&module, session, PIN, new), Err(CKR_PIN_INCORRECT));
    set_pin(&module, session, &code(), new).unwrap();
    init_pin(&module, session, OTHER_PIN).unwrap();
    let session = module.restart();
    assert_eq!(module.login(session, CKU_SO, &code()), Err(CKR_PIN_INCORRECT));
    module.login(session, CKU_SO, new).unwrap();
    logout(&module, session).unwrap();
    module.login(session, CKU_USER, OTHER_PIN).unwrap();
}

#[test]
fn a_pin_that_the_state_can_not_keep_is_not_given() {
    for rolls in [false, true] {
        let (module, bus, session, _) = pin::with_key();
        bus.set_switches(0, pin::rolling(rolls)).unwrap();
        let before = pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION);
        let make_replaceable = module.obstruct_state();
        assert_eq!(set_pin(&module, session, PIN, OTHER_PIN), Err(CKR_TOKEN_WRITE_PROTECTED));
        logout(&module, session).unwrap();
        module.login(session, CKU_SO, &code()).unwrap();
        assert_eq!(init_pin(&module, session, OTHER_PIN), Err(CKR_TOKEN_WRITE_PROTECTED));
        logout(&module, session).unwrap();
        assert_eq!(pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION), before);
        make_replaceable();
        module.login(session, CKU_USER, PIN).unwrap();
    }
}

#[test]
fn another_chip_in_the_place_of_the_first_ends_the_login() {
    let (module, bus, session, key) = pin::with_key();
    bus.pull();
    assert!(sign(&module, session, key).is_err());
    bus.set_image(0, pin::image()).unwrap();
    bus.insert();
    assert!(sign(&module, session, key).is_err());
    assert_eq!(module.session_info(session).unwrap().state, CKS_RW_PUBLIC_SESSION);
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_USER_PIN_NOT_INITIALIZED), "its state is another");
}

#[test]
fn initialising_the_token_takes_certificates_and_the_pin_and_leaves_the_keys() {
    let (module, bus, session, _) = pin::with_key();
    let der = crate::common::templates::certificate("a", &[4; 65]);
    keys::create_certificate(&module, session, &der, &[]).unwrap();
    let point = point_in(&bus, 0).unwrap();
    assert_eq!(init_token(&module, &code(), "new"), Err(CKR_SESSION_EXISTS));
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(init_token(&module, PIN, "new"), Err(CKR_PIN_INCORRECT));
    let old = pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION);
    init_token(&module, &code(), "new").unwrap();
    assert_ne!(pin::secret_in(&bus.image(0).unwrap(), pin::AUTHORISATION), old);
    let info = module.token_info(0).unwrap();
    assert!(info.label.starts_with(b"new "));
    assert_eq!(info.flags & CKF_USER_PIN_INITIALIZED, 0);
    let session = module.open_session(0, true).unwrap();
    assert_eq!(module.find(session, &[(CKA_CLASS, ulong(CKO_CERTIFICATE))]), Ok(vec![]));
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_USER_PIN_NOT_INITIALIZED));
    module.login(session, CKU_SO, &code()).unwrap();
    init_pin(&module, session, OTHER_PIN).unwrap();
    logout(&module, session).unwrap();
    module.login(session, CKU_USER, OTHER_PIN).unwrap();
    assert_eq!(point_in(&bus, 0).unwrap(), point);
    assert_signed(&point, &sign(&module, session, module.private_keys(session)[0]).unwrap());
}
