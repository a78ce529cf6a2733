// SPDX-License-Identifier: MIT OR Apache-2.0
//! The token itself through the C ABI: login with any PIN or none, its names, C_InitToken, random numbers, the list of
//! mechanisms.

use std::collections::BTreeSet;
use std::ptr::null_mut;

use crate::common::chip;
use crate::common::keys::{generate, provisioned};
use crate::common::module::{c, mechanism, Module};
use crate::common::secrets::{self, aes, given};
use atecc608_sim::image::Part;
use atecc608_testkit::interposer;
use atecc608_wire::{CommandPacket, Opcode};
use cryptoki_sys::*;

#[test]
fn login_succeeds_with_any_pin_or_none_and_once() {
    let (module, session) = provisioned();
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    let read_only = module.open_session(0, false).unwrap();
    let state = |session| module.session_info(session).unwrap().state;
    for pin in [&b"1234"[..], b"", &[0xFF; 200]] {
        assert_eq!((state(session), state(read_only)), (CKS_RW_PUBLIC_SESSION, CKS_RO_PUBLIC_SESSION));
        assert_eq!(module.login(session, CKU_USER, pin), Ok(()));
        assert_eq!((state(session), state(read_only)), (CKS_RW_USER_FUNCTIONS, CKS_RO_USER_FUNCTIONS));
        assert_eq!(module.login(read_only, CKU_USER, pin), Err(CKR_USER_ALREADY_LOGGED_IN));
        assert!(module.sign_with(read_only, CKM_ECDSA, key, &[1; 32]).is_ok());
        assert_eq!(c!(module, C_Logout(session)), Ok(()));
    }
    assert_eq!(c!(module, C_Login(session, CKU_USER, null_mut(), 0)), Ok(()));
    c!(module, C_CloseAllSessions(0)).unwrap();
    let session = module.open_session(0, true).unwrap();
    assert_eq!(state(session), CKS_RW_PUBLIC_SESSION, "the last session takes the login with it");
    // Private keys are visible without login.
    assert_eq!(module.private_keys(session).len(), 1);
}

#[test]
fn there_is_no_security_officer_and_no_pin_to_change() {
    let (module, session) = provisioned();
    assert_eq!(module.login(session, CKU_SO, b"1234"), Err(CKR_USER_TYPE_INVALID));
    module.assert_logged(&["no PIN", "tls-pin"]);
    assert_eq!(module.login(session, CKU_CONTEXT_SPECIFIC, b""), Err(CKR_OPERATION_NOT_INITIALIZED));
    let pin = b"1234".as_ptr().cast_mut();
    assert_eq!(c!(module, C_InitPIN(session, pin, 4)), Err(CKR_USER_NOT_LOGGED_IN));
    module.assert_logged(&["C_InitPIN"]);
    assert_eq!(c!(module, C_SetPIN(session, pin, 4, pin, 4)), Err(CKR_FUNCTION_FAILED));
    module.assert_logged(&["C_SetPIN"]);
    let flags = module.token_info(0).unwrap().flags;
    assert_eq!(flags & (CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED), 0);
    assert_eq!(flags & (CKF_TOKEN_INITIALIZED | CKF_RNG), CKF_TOKEN_INITIALIZED | CKF_RNG);
}

#[test]
fn the_token_names_itself_and_says_that_it_is_simulated() {
    let (module, _) = provisioned();
    let info = module.token_info(0).unwrap();
    let serial = String::from_utf8(info.serialNumber.to_vec()).unwrap();
    assert!(serial.starts_with("2353494D"), "{serial}");
    assert_eq!(&info.model, b"ATECC608-SIM    ");
    // As Microchip's own module says it.
    assert_eq!(&info.manufacturerID, b"Microchip Technology Inc        ");
    let mut slot = CK_SLOT_INFO::default();
    c!(module, C_GetSlotInfo(0, &mut slot)).unwrap();
    assert_eq!(slot.manufacturerID, info.manufacturerID);
    let label = String::from_utf8(info.label.to_vec()).unwrap();
    assert_eq!(label.trim_end(), format!("ATECC608-{}", &serial[8..]));
    module.assert_logged(&["simulated"]);
}

#[test]
fn init_token_sets_the_label_and_destroys_nothing() {
    let (module, session) = provisioned();
    let mut label = *b"gateway 7                       ";
    let mut init = || c!(module, C_InitToken(0, null_mut(), 0, label.as_mut_ptr()));
    assert_eq!(init(), Err(CKR_SESSION_EXISTS));
    let (_, key) = generate(&module, session, "a", &[1]).unwrap();
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(init(), Err(CKR_FUNCTION_FAILED));
    module.assert_logged(&["C_InitToken", "objects"]);
    let session = module.open_session(0, true).unwrap();
    let found = module.private_keys(session);
    assert_eq!(found, [key]);
    module.destroy(session, key).unwrap();
    c!(module, C_CloseAllSessions(0)).unwrap();
    assert_eq!(init(), Ok(()));
    assert_eq!(&module.token_info(0).unwrap().label, b"gateway 7                       ");
    module.restart();
    assert_eq!(&module.token_info(0).unwrap().label, b"gateway 7                       ");
}

#[test]
fn random_numbers_come_in_any_amount() {
    let (module, session) = provisioned();
    for length in [0, 1, 31, 32, 33, 1000] {
        assert_eq!(module.random(session, length).unwrap().len(), length);
    }
    let (a, b) = (module.random(session, 64).unwrap(), module.random(session, 64).unwrap());
    let parts: BTreeSet<&[u8]> = a.chunks(32).chain(b.chunks(32)).collect();
    assert_eq!(parts.len(), 4);
    assert_eq!(c!(module, C_SeedRandom(session, [1].as_mut_ptr(), 1)), Err(CKR_RANDOM_SEED_NOT_SUPPORTED));
}

#[test]
fn random_numbers_are_not_those_of_an_attacker_on_the_bus() {
    let module = Module::on_socket();
    let zeros = |packet: &CommandPacket| (packet.opcode == Opcode::RANDOM).then(|| vec![0; 32]);
    let bus = interposer::serve(chip::provisioned(), &module.socket(), zeros);
    let session = module.start();
    let (a, b) = (module.random(session, 48).unwrap(), module.random(session, 48).unwrap());
    assert_eq!(bus.stats().command(Opcode::RANDOM), 4, "the chip is asked");
    for part in a.chunks(16).chain(b.chunks(16)) {
        assert_ne!(part, [0; 16]);
    }
    assert_ne!(a, b);
}

#[test]
fn the_mechanisms_are_listed_with_sizes_and_flags() {
    let (module, _) = provisioned();
    let info = |kind| {
        let mut info = CK_MECHANISM_INFO::default();
        c!(module, C_GetMechanismInfo(0, kind, &mut info)).map(|()| info)
    };
    let ec = CKF_HW | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
    for (kind, flags) in [
        (CKM_EC_KEY_PAIR_GEN, ec | CKF_GENERATE_KEY_PAIR),
        (CKM_ECDSA, ec | CKF_EC_COMPRESS | CKF_SIGN | CKF_VERIFY),
        (CKM_ECDSA_SHA256, ec | CKF_EC_COMPRESS | CKF_SIGN | CKF_VERIFY),
        (CKM_ECDH1_DERIVE, ec | CKF_EC_COMPRESS | CKF_DERIVE),
    ] {
        let info = info(kind).unwrap();
        assert_eq!((info.ulMinKeySize, info.ulMaxKeySize, info.flags), (256, 256, flags));
    }
    assert_eq!(info(CKM_SHA256).map(|info| info.flags), Ok(CKF_DIGEST));
    assert_eq!(info(CKM_RSA_PKCS).map(drop), Err(CKR_MECHANISM_INVALID));
}

#[test]
fn a_chip_without_aes_offers_none_and_does_none() {
    let mut image = chip::provisioned();
    // AES_Enable.
    image.part_mut(Part::Config)[13] = 0;
    let module = Module::with_chip(&image);
    let session = module.start();
    let kinds = [CKM_AES_KEY_GEN, CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_CTR, CKM_AES_GCM, CKM_AES_CMAC];
    let (mut count, mut list) = (100, [0; 100]);
    c!(module, C_GetMechanismList(0, list.as_mut_ptr(), &mut count)).unwrap();
    let list = &list[..count as usize];
    assert!(list.contains(&CKM_SHA256_HMAC) && kinds.iter().all(|kind| !list.contains(kind)), "{list:x?}");
    for kind in kinds {
        let mut info = CK_MECHANISM_INFO::default();
        assert_eq!(c!(module, C_GetMechanismInfo(0, kind, &mut info)), Err(CKR_MECHANISM_INVALID));
    }
    // Nor on the host, with a key of the session.
    let key = module.create_object(session, &given(false, CKK_AES, &[7; 16])).unwrap();
    let mut ecb = mechanism(CKM_AES_ECB);
    assert_eq!(c!(module, C_EncryptInit(session, &mut ecb, key)), Err(CKR_MECHANISM_INVALID));
    assert_eq!(module.sign_init(session, CKM_AES_CMAC, key), Err(CKR_MECHANISM_INVALID));
    assert_eq!(secrets::generate(&module, session, CKM_AES_KEY_GEN, &aes(false, 16)), Err(CKR_MECHANISM_INVALID));
}
