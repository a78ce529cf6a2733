// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attacks on the PIN of `tls-pin`, each with the access that docs/security.md assumes.

use std::collections::HashSet;
use std::fs;

use crate::common::chip;
use crate::common::module::Module;
use crate::common::one_key::{generate, sign};
use crate::common::pin::{self, AUTHORISATION, OFFICER, OTHER_PIN, PIN};
use atecc608::authorise::Gate;
use atecc608::{Awake, Chip, Error, Transport};
use atecc608_sim::image::Part;
use atecc608_sim::{SimBus, SimChip, Switches, Timing};
use atecc608_testkit::driver::{self, Simulated};
use atecc608_token::memory::LockedSecret;
use atecc608_token::pin::Scheme;
use atecc608_token::profile;
use atecc608_wire::commands::*;
use atecc608_wire::config_zone::SerialNumber;
use atecc608_wire::zone::{Address, Zone};
use atecc608_wire::Status;
use cryptoki_sys::*;
use sha2::{Digest, Sha256};

const DIGEST: [u8; 32] = [0xD1; 32];

/// The profile's chip with a key in slot 0, and a driver for it without a login.
fn attacked() -> (SimBus, Chip<Simulated>) {
    let mut image = pin::image();
    chip::put_key(&mut image, 0, &[0x21; 32]);
    let bus = SimBus::with_timing(100_000, Timing::Fast);
    bus.add_chip(SimChip::from_image(image));
    (bus.clone(), driver::on(&bus, 0x60))
}

fn serial(bus: &SimBus) -> SerialNumber {
    bus.image(0).unwrap().config().serial_number()
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) {
    let status = |error: &Error| match error {
        Error::Status { status, .. } => Some(*status),
        Error::Uncertain { cause, .. } => match **cause {
            Error::Status { status, .. } => Some(status),
            _ => None,
        },
        _ => None,
    };
    let error = result.unwrap_err();
    let known = [Status::EXECUTION_ERROR, Status::PARSE_ERROR, Status::MISCOMPARE];
    assert!(status(&error).is_some_and(|status| known.contains(&status)), "{error:?}");
}

/// Sign with slot 0, as an attacker tries it after each attack.
fn sign_as_attacker<P: Transport>(awake: &mut Awake<'_, P>) -> Result<[u8; 64], Error> {
    awake.execute(&Nonce::digest(&DIGEST))?;
    awake.execute(&Sign::External { source: DigestSource::MessageDigestBuffer, slot: chip::slot(0) })
}

fn check_mac(response: [u8; 32]) -> CheckMac {
    CheckMac {
        slot: chip::slot(AUTHORISATION),
        temp_key_second: true,
        temp_key_first: false,
        source_fixed: false,
        otp: false,
        challenge: [0; 32],
        response,
        other_data: [0; 13],
    }
}

#[test]
fn a_recorded_login_played_back_gives_nothing() {
    let (bus, mut driver) = attacked();
    let zone = bus.image(0).unwrap().config();
    let scheme = Scheme::of(&zone, profile::matching(&zone)).unwrap();
    let secret = LockedSecret::new(&pin::secret_in(&bus.image(0).unwrap(), AUTHORISATION)).unwrap();
    let shared = atecc608::secrets::SharedSecret { slot: scheme.authorisation, value: &secret };
    // A proof is valid for one nonce: the same proof again, after another, is wrong.
    let serial = serial(&bus);
    assert!(driver.converse(|awake| awake.proves(&serial, &shared)).unwrap());
    let recorded = driver
        .converse(|awake| {
            let nonce = awake.random_nonce()?;
            let mut check = check_mac([0; 32]);
            check.response = atecc608_wire::messages::check_mac(&secret, &nonce, &check, &[0; 11], &serial);
            awake.execute(&check)?;
            sign_as_attacker(awake)?;
            Ok(check)
        })
        .unwrap();
    refused(driver.converse_once(|awake| {
        awake.execute(&Nonce::Random { update_seed: true, num_in: [7; 20] })?;
        awake.execute(&recorded)
    }));
    refused(driver.converse_once(|awake| {
        awake.execute(&Nonce::Random { update_seed: true, num_in: [7; 20] })?;
        let _ = awake.execute(&recorded);
        sign_as_attacker(awake)
    }));
    // Nor does the owner's login leave anything usable.
    let gate = Gate { serial, key: scheme.authorisation, slots: scheme.guarded, secret: Some(Box::new(secret)) };
    driver.set_gate(Some(gate));
    driver.converse(|awake| awake.sign_digest(chip::slot(0), &DIGEST)).unwrap();
    driver.set_gate(None);
    refused(driver.converse_once(sign_as_attacker));
}

#[test]
fn the_chip_does_not_compute_the_response_to_its_own_nonce() {
    // Nonce, MAC over it with slot 5, CheckMac with what MAC answered: their messages coincide.
    let (_bus, mut driver) = attacked();
    for challenge in [true, false] {
        refused(driver.converse_once(|awake| {
            let nonce = awake.random_nonce()?;
            let mac = Mac::challenge(chip::slot(AUTHORISATION), nonce);
            let mac = if challenge { mac } else { Mac { challenge: None, ..mac } };
            let response = awake.execute(&mac)?;
            let mut check = check_mac(response);
            check.other_data[..3].copy_from_slice(&[0x08, 0, AUTHORISATION]);
            awake.execute(&check)?;
            sign_as_attacker(awake)
        }));
    }
}

#[test]
fn without_the_secret_no_command_uses_a_key_or_replaces_a_secret() {
    let (bus, mut driver) = attacked();
    let before = bus.image(0).unwrap();
    let nothing = [0; 32];
    refused(driver.converse_once(sign_as_attacker));
    let peer: [u8; 64] = chip::point_in(&before, 0).unwrap()[1..].try_into().unwrap();
    refused(driver.converse_once(|awake| awake.ecdh(chip::slot(0), &peer)));
    refused(driver.converse_once(|awake| awake.execute(&GenKey::create(chip::slot(0)))));
    refused(driver.converse_once(|awake| awake.execute(&GenKey::public(chip::slot(0)))));
    let aes = Aes::Block { key: KeyLocation::Slot(chip::slot(9)), unit: 0, decrypt: false, input: [0; 16] };
    refused(driver.converse_once(|awake| awake.execute(&aes)));
    for slot in [AUTHORISATION, 6, OFFICER, 9, 15] {
        let address = Address::slot(chip::slot(slot), 0, 0);
        refused(driver.converse_once(|awake| awake.execute(&Write::block(Zone::Data, address, nothing))));
        refused(driver.converse_once(|awake| awake.execute(&Read { zone: Zone::Data, address, block: true })));
        // Under a write key that the attacker made.
        let serial = serial(&bus);
        let key = atecc608::secrets::SharedSecret {
            slot: before.config().slot_config(chip::slot(slot)).write_key(),
            value: &nothing,
        };
        refused(driver.converse_once(|awake| awake.write_encrypted(&serial, &key, address, &nothing)));
    }
    let derive = DeriveKey { target: chip::slot(AUTHORISATION), source_fixed: false, mac: Some(nothing) };
    refused(driver.converse_once(|awake| {
        awake.random_nonce()?;
        awake.execute(&derive)
    }));
    assert!(bus.image(0).unwrap() == before, "nothing was changed");
}

/// GenKey into TempKey and ECDH from there into a slot: the attacker knows the other key, and so the secret.
fn plant_by_ecdh(driver: &mut Chip<Simulated>, slot: u8, peer: &[u8; 64]) -> Result<(), Error> {
    let create = GenKey { mode: GenKeyMode::Create { digest: false }, key: KeyLocation::TempKey };
    let target = EcdhTarget::Slot(chip::slot(slot));
    driver.converse_once(|awake| {
        awake.execute(&create)?;
        awake.execute(&Ecdh { key: EcdhKey::TempKey, target, encrypted: false, public_key: *peer })
    })?;
    Ok(())
}

/// PRF of a key that the attacker has put into TempKey.
fn plant_by_kdf(driver: &mut Chip<Simulated>, slot: u8) -> Result<(), Error> {
    let algorithm = KdfAlgorithm::Prf { key_len: 1, long: false, aead: false };
    let (source, target) = (KdfSource::TempKey, KdfTarget::Slot(chip::slot(slot)));
    driver.converse_once(|awake| {
        awake.execute(&Nonce::Fixed { target: NonceTarget::TempKey, value: vec![7; 32] })?;
        awake.execute(&Kdf { source, target, algorithm, message: vec![7; 32] })
    })?;
    Ok(())
}

#[test]
fn no_derivation_puts_the_attackers_secret_in_the_place_of_the_users() {
    let (bus, mut driver) = attacked();
    let before = bus.image(0).unwrap();
    let peer: [u8; 64] = chip::point_in(&before, 0).unwrap()[1..].try_into().unwrap();
    // With the check of WriteConfig and that of ReqAuth, each alone.
    let no_write_rule = Switches {
        ecdh_target_follows_write_config: false,
        kdf_target_needs_always_write: false,
        ..Switches::default()
    };
    let no_authorisation = Switches { req_auth_gates_write: false, ..Switches::default() };
    for switches in [Switches::default(), no_write_rule.clone(), no_authorisation] {
        bus.set_switches(0, switches).unwrap();
        for slot in 0..16 {
            refused(plant_by_ecdh(&mut driver, slot, &peer));
            refused(plant_by_kdf(&mut driver, slot));
        }
        assert!(bus.image(0).unwrap() == before, "nothing was changed");
    }
    // With neither it succeeds: docs/security.md says what that would mean.
    bus.set_switches(0, Switches { req_auth_gates_write: false, ..no_write_rule }).unwrap();
    let mut held = before.part(Part::Slot(chip::slot(9))).to_vec();
    for plant in
        [|driver: &mut _, peer: &_| plant_by_ecdh(driver, 9, peer), |driver: &mut _, _: &_| plant_by_kdf(driver, 9)]
    {
        plant(&mut driver, &peer).unwrap();
        let now = bus.image(0).unwrap().part(Part::Slot(chip::slot(9))).to_vec();
        assert_ne!(std::mem::replace(&mut held, now.clone()), now);
    }
}

#[test]
fn the_disk_alone_tells_no_right_pin_from_a_wrong_one() {
    let (module, bus, session, _) = pin::with_key();
    bus.set_switches(0, pin::rolling(true)).unwrap();
    pin::set_pin(&module, session, PIN, OTHER_PIN).unwrap();
    module.finalize().unwrap();
    let secret = pin::secret_in(&bus.image(0).unwrap(), AUTHORISATION);
    let state = fs::read_to_string(module.state_file()).unwrap();
    let blob = pin::blobs(&module, &bus).remove(0);
    let serial = serial(&bus);
    let mut candidates = HashSet::new();
    for guess in [OTHER_PIN, PIN, b"12345678", b"password", b"correct battery", b"letmein!!"] {
        let opened = blob.open(guess).unwrap();
        assert_eq!(*opened == secret, guess == OTHER_PIN);
        assert!(candidates.insert(*opened), "each guess gives other bytes");
        // Neither they nor anything derived from them is in the state: all guesses look alike.
        for made in [
            opened.to_vec(),
            Sha256::digest(&opened[..]).to_vec(),
            Sha256::digest([&opened[..], &serial.0].concat()).to_vec(),
            Sha256::digest([&serial.0, &opened[..]].concat()).to_vec(),
            Sha256::digest([&opened[..], &blob.salt].concat()).to_vec(),
        ] {
            let digits: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!state.contains(&digits[..16]));
        }
    }
    assert_eq!(state.matches("[[pin]]").count(), 1, "and no blob of before is left");
}

#[test]
fn neither_log_nor_files_hold_a_pin_or_a_secret() {
    let module = Module::configured("log = \"trace:FOLDER/log\"\n[[token]]\nbus = \"unix:FOLDER/bus\"\n");
    let bus = chip::serve(pin::image(), &module.socket());
    pin::give_pin(&module, &bus);
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    let key = generate(&module, session, "a").unwrap();
    sign(&module, session, key).unwrap();
    bus.set_switches(0, pin::rolling(true)).unwrap();
    pin::set_pin(&module, session, PIN, OTHER_PIN).unwrap();
    pin::logout(&module, session).unwrap();
    module.login(session, CKU_SO, &pin::code()).unwrap();
    let old = pin::secret_in(&bus.image(0).unwrap(), AUTHORISATION);
    pin::init_pin(&module, session, PIN).unwrap();
    let image = bus.image(0).unwrap();
    let log = module.log();
    assert!(log.contains("CheckMac"), "the log is worth a look");
    let state = fs::read_to_string(module.state_file()).unwrap();
    let code = pin::code();
    for secret in [&old[..], &pin::secret_in(&image, AUTHORISATION), &pin::secret_in(&image, OFFICER)] {
        let digits: String = secret[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let listed = secret[..8].iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(", ");
        for text in [&log, &state] {
            assert!(!text.to_lowercase().contains(&digits) && !text.contains(&listed));
        }
    }
    for secret in [PIN, OTHER_PIN, &code] {
        let text = std::str::from_utf8(secret).unwrap();
        assert!(!log.contains(text) && !state.contains(text));
    }
}

#[test]
fn a_foreign_blob_in_the_state_opens_nothing() {
    let (module, bus, ..) = pin::with_key();
    module.finalize().unwrap();
    // The attacker knows which PIN opens it, and its contents; the chip holds another secret.
    let blob = atecc608_token::pin::blob::StretchedPin::new(b"attacker").unwrap().seal(&[0; 32]);
    pin::store(&module, &bus).change(|state| state.pins = vec![blob]).unwrap();
    let session = module.start();
    assert_eq!(module.login(session, CKU_USER, b"attacker"), Err(CKR_PIN_INCORRECT));
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_PIN_INCORRECT));
}
