// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip's SRAM, and the effect of every command and power state on it (fact sheet sections 1.3 and 3.0).

use atecc608_sim::image::Part;
use atecc608_sim::Image;
use atecc608_testkit::master::*;
use atecc608_wire::commands::*;
use atecc608_wire::zone::{Address, Zone};
use p256::elliptic_curve::sec1::ToEncodedPoint;

const PIN: [u8; 32] = [0x77; 32];
const IO_KEY: [u8; 32] = [0x66; 32];

/// The contents of SRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Volatile {
    /// TempKey's flags, as Info(State) returns them, if it is valid.
    temp_key: Option<u8>,
    digest: bool,
    alternate_key: bool,
    sha: bool,
    authorised: bool,
}

/// Everything is filled; TempKey was chosen by the caller.
const FULL: Volatile =
    Volatile { temp_key: Some(0x10), digest: true, alternate_key: true, sha: true, authorised: true };
const EMPTY: Volatile = Volatile { temp_key: None, digest: false, alternate_key: false, sha: false, authorised: false };

/// `tls` with keys everywhere; slot 13 can be rolled, slot 14 is read encrypted with key 6; SecureBoot compares with the
/// digest in slot 12.
fn image() -> Image {
    let mut image = tls_image(true, true);
    for number in [0, 1, 2] {
        let private = image.part_mut(Part::Slot(slot(number)));
        private.fill(0x22);
        private[..4].fill(0);
    }
    for (number, key) in [(6, IO_KEY), (7, PIN), (10, [0xAA; 32]), (12, [0xD1; 32])] {
        image.part_mut(Part::Slot(slot(number)))[..32].copy_from_slice(&key);
    }
    let point = point();
    let stored = [&[0; 4][..], &point[..32], &[0; 4], &point[32..]].concat();
    image.part_mut(Part::Slot(slot(11))).copy_from_slice(&stored);
    let config = image.part_mut(Part::Config);
    config[70..72].copy_from_slice(&[0x03, 0xBC]);
    config[20 + 2 * 13 + 1] = 0x2F;
    config[20 + 2 * 14] = 0xC6;
    image
}

/// The public key of the private keys above.
fn point() -> [u8; 64] {
    let key = p256::SecretKey::from_slice(&[0x22; 32]).unwrap().public_key();
    key.to_encoded_point(false).as_bytes()[1..].try_into().unwrap()
}

fn check_mac(master: &Master, number: u8, key: &[u8; 32], second: &[u8; 32], source_fixed: bool) -> u8 {
    let response = sha(&[key, second, &[0; 4], &[0; 8], &[0; 3], &SN[..1], &[0; 4], &SN[1..], &[0; 2]]);
    master.status_on(&CheckMac {
        slot: slot(number),
        temp_key_second: true,
        temp_key_first: false,
        source_fixed,
        otp: false,
        challenge: [0; 32],
        response,
        other_data: [0; 13],
    })
}

/// Fills everything. TempKey comes last and from SHA, because a nonce would end the authorisation.
fn fill(master: &Master) {
    let nonce = master.random_nonce();
    assert_eq!(check_mac(master, 7, &PIN, &nonce, false), OK);
    load(master, NonceTarget::MessageDigestBuffer);
    load(master, NonceTarget::AlternateKeyBuffer);
    atecc608_testkit::vectors::chip_sha(master, b"abc", DigestTarget::TempKey);
    ok(master, &Sha::Start);
}

fn see(master: &Master) -> Volatile {
    let [flags, state] = master.temp_key_state();
    // A refusal of the following commands would clear TempKey.
    let kdf = hkdf(KdfSource::AlternateKeyBuffer, KdfTarget::Output);
    Volatile {
        temp_key: (state & 0x80 != 0).then_some(flags),
        authorised: state & 0x04 != 0,
        digest: master.status_on(&sign(DigestSource::MessageDigestBuffer)) == OK,
        alternate_key: master.status_on(&kdf) == OK,
        sha: master.status_on(&Sha::Update(vec![0])) == OK,
    }
}

fn ok<C: atecc608_wire::Command>(master: &Master, command: &C) {
    assert_eq!(master.status_on(command), OK);
}

fn load(master: &Master, target: NonceTarget) {
    ok(master, &Nonce::Fixed { target, value: vec![1; 32] });
}

fn sign(source: DigestSource) -> Sign {
    Sign::External { source, slot: slot(0) }
}

fn hkdf(source: KdfSource, target: KdfTarget) -> Kdf {
    let algorithm = KdfAlgorithm::Hkdf { message: HkdfMessage::Input, zero_key: false };
    Kdf { source, target, algorithm, message: vec![1] }
}

fn ecdh(key: EcdhKey, target: EcdhTarget) -> Ecdh {
    Ecdh { key, target, encrypted: false, public_key: point() }
}

fn verify(source: DigestSource) -> Verify {
    Verify { key: VerifyKey::External { source, public_key: point() }, signature: [1; 64], mac: false }
}

fn gen_key(mode: GenKeyMode, key: KeyLocation) -> GenKey {
    GenKey { mode, key }
}

fn boot(mac: bool) -> SecureBoot {
    SecureBoot { mode: SecureBootMode::FullStore, prohibit: false, mac, digest: [0xD1; 32] }
}

/// TempKey as GenDig(slot 6) makes it over a random nonce.
fn session(master: &Master) -> [u8; 32] {
    let nonce = master.random_nonce();
    ok(master, &GenDig::slot(slot(6)));
    sha(&[&IO_KEY, &[0x15, 2, 6, 0], &SN, &[0; 25], &nonce])
}

/// An event, and the contents after it.
type Case = (&'static str, fn(&Master), Volatile);

fn check(cases: &[Case]) {
    for (name, happens, expected) in cases {
        let master = Master::with_image(image());
        master.maximum_times();
        master.wake();
        fill(&master);
        master.bus.set_execution_times(atecc608_sim::chip::ExecutionTimes::Typical);
        happens(&master);
        let master = master.untimed();
        assert_eq!(see(&master), *expected, "{name}");
    }
}

const NO_TEMP_KEY: Volatile = Volatile { temp_key: None, ..FULL };

#[test]
fn power_states_and_the_watchdog() {
    check(&[
        ("nothing", |_| {}, FULL),
        ("a wake pulse while awake", Master::pulse, FULL),
        (
            "idle",
            |m| {
                m.idle();
                m.wake();
            },
            FULL,
        ),
        ("sleep", Master::restart, EMPTY),
        (
            "the watchdog",
            |m| {
                m.wait_us(1_700_000);
                m.wake();
            },
            EMPTY,
        ),
        (
            "power loss",
            |m| {
                m.bus.power_off();
                m.bus.power_on();
                m.wait_us(200);
                m.wake();
            },
            EMPTY,
        ),
    ]);
}

#[test]
fn commands_that_touch_nothing() {
    check(&[
        ("Info", |m| ok(m, &Info::Revision), FULL),
        ("Info(KeyValid)", |m| ok(m, &Info::KeyValid(slot(0))), FULL),
        ("Read(config)", |m| ok(m, &Read { zone: Zone::Config, address: Address(0), block: true }), FULL),
        (
            "Read(data) in clear",
            |m| ok(m, &Read { zone: Zone::Data, address: Address::slot(slot(8), 0, 0), block: true }),
            FULL,
        ),
        ("Write(data) in clear", |m| ok(m, &Write::block(Zone::Data, Address::slot(slot(8), 0, 0), [0; 32])), FULL),
        ("Counter", |m| ok(m, &Counter { number: 1, increment: true }), FULL),
        ("Lock(slot)", |m| ok(m, &Lock { zone: LockZone::Slot(slot(8)), summary: None }), FULL),
        ("UpdateExtra", |m| ok(m, &UpdateExtra::UserExtra(1)), FULL),
        ("Random", |m| ok(m, &Random { update_seed: true }), FULL),
        ("MAC with a challenge", |m| ok(m, &Mac::challenge(slot(10), [0; 32])), FULL),
        ("Sign from the digest buffer", |m| ok(m, &sign(DigestSource::MessageDigestBuffer)), FULL),
        (
            "Verify from the digest buffer",
            |m| assert_eq!(m.status_on(&verify(DigestSource::MessageDigestBuffer)), MISCOMPARE),
            FULL,
        ),
        ("GenKey(public)", |m| ok(m, &GenKey::public(slot(0))), FULL),
        ("GenKey(create)", |m| ok(m, &GenKey::create(slot(0))), FULL),
        ("ECDH", |m| ok(m, &ecdh(EcdhKey::Slot(slot(2)), EcdhTarget::Output)), FULL),
        ("KDF from TempKey to the bus", |m| ok(m, &hkdf(KdfSource::TempKey, KdfTarget::Output)), FULL),
        (
            "AES with TempKey",
            |m| ok(m, &Aes::Block { key: KeyLocation::TempKey, unit: 0, decrypt: false, input: [0; 16] }),
            FULL,
        ),
        ("AES(GFM)", |m| ok(m, &Aes::GaloisMultiply { h: [1; 16], input: [1; 16] }), FULL),
        ("HMAC with TempKey", |m| ok(m, &Sha::HmacStart(KeyLocation::TempKey)), FULL),
        ("SHA(update)", |m| ok(m, &Sha::Update(vec![1; 64])), FULL),
        ("SecureBoot", |m| ok(m, &boot(false)), FULL),
        ("a damaged packet", |m| assert_eq!(m.raw("07 16 00 00 00 00 00"), hex("04 FF 01 42")), FULL),
        ("a parse error", |m| assert_eq!(m.status_on(&Counter { number: 2, increment: false }), PARSE), FULL),
    ]);
}

#[test]
fn commands_that_load_temp_key_or_a_buffer() {
    let nonce = |flags| Volatile { temp_key: Some(flags), authorised: false, ..FULL };
    let flags = |flags| Volatile { temp_key: Some(flags), ..FULL };
    check(&[
        (
            "Nonce(random)",
            |m| {
                m.random_nonce();
            },
            nonce(0x00),
        ),
        ("Nonce(fixed)", |m| m.fixed_nonce(&[2; 64]), nonce(0x10)),
        ("Nonce(derived)", |m| ok(m, &Nonce::Derived { update_seed: true, num_in: [0; 20] }), nonce(0x10)),
        ("Nonce to the digest buffer", |m| load(m, NonceTarget::MessageDigestBuffer), FULL),
        ("Nonce to the alternate key buffer", |m| load(m, NonceTarget::AlternateKeyBuffer), FULL),
        ("GenDig(slot 10)", |m| ok(m, &GenDig::slot(slot(10))), flags(0x3A)),
        (
            "GenDig(slot 7), which has NoMac",
            |m| ok(m, &GenDig::Data { slot: slot(7), other_data: Some([0; 4]) }),
            flags(0xB7),
        ),
        ("GenDig(config)", |m| ok(m, &GenDig::Config(0)), flags(0x10)),
        (
            "GenKey(create) with digest",
            |m| ok(m, &gen_key(GenKeyMode::Create { digest: true }, KeyLocation::Slot(slot(2)))),
            flags(0x52),
        ),
        (
            "GenKey(digest)",
            |m| ok(m, &gen_key(GenKeyMode::StoredDigest { other_data: [0; 3] }, KeyLocation::Slot(slot(11)))),
            flags(0x5B),
        ),
        (
            "GenKey in TempKey",
            |m| ok(m, &gen_key(GenKeyMode::Create { digest: false }, KeyLocation::TempKey)),
            flags(0x00),
        ),
        ("ECDH to TempKey", |m| ok(m, &ecdh(EcdhKey::Slot(slot(2)), EcdhTarget::TempKey)), flags(0x10)),
        ("KDF to TempKey", |m| ok(m, &hkdf(KdfSource::TempKey, KdfTarget::TempKey)), flags(0x10)),
        ("KDF to the alternate key buffer", |m| ok(m, &hkdf(KdfSource::TempKey, KdfTarget::AlternateKeyBuffer)), FULL),
        (
            "SHA(end) to TempKey",
            |m| {
                atecc608_testkit::vectors::sha_end(m, &[], DigestTarget::TempKey);
            },
            Volatile { sha: false, ..flags(0x10) },
        ),
        (
            "SHA(end) to the digest buffer",
            |m| {
                atecc608_testkit::vectors::sha_end(m, &[], DigestTarget::MessageDigestBuffer);
            },
            Volatile { sha: false, ..FULL },
        ),
        (
            "SHA(end)",
            |m| {
                atecc608_testkit::vectors::sha_end(m, &[], DigestTarget::Output);
            },
            Volatile { sha: false, ..FULL },
        ),
    ]);
}

#[test]
fn commands_that_use_temp_key_up() {
    let after_a_nonce = Volatile { authorised: false, ..NO_TEMP_KEY };
    check(&[
        (
            "MAC over TempKey",
            |m| ok(m, &Mac { challenge: None, source_fixed: true, ..Mac::challenge(slot(10), [0; 32]) }),
            NO_TEMP_KEY,
        ),
        (
            "CheckMac over a TempKey that the caller chose",
            |m| assert_eq!(check_mac(m, 10, &[0xAA; 32], &sha(&[b"abc"]), true), OK),
            NO_TEMP_KEY,
        ),
        (
            "CheckMac that fails",
            |m| assert_eq!(check_mac(m, 10, &[0xAB; 32], &sha(&[b"abc"]), true), MISCOMPARE),
            after_a_nonce,
        ),
        ("DeriveKey", |m| ok(m, &DeriveKey { target: slot(13), source_fixed: true, mac: None }), NO_TEMP_KEY),
        ("Sign from TempKey", |m| ok(m, &sign(DigestSource::TempKey)), NO_TEMP_KEY),
        (
            "Sign(internal)",
            |m| {
                ok(m, &GenDig::Config(0));
                ok(m, &GenDig::slot(slot(10)));
                ok(m, &Sign::Internal { slot: slot(1), full_serial: false, invalidate: false });
            },
            NO_TEMP_KEY,
        ),
        ("Verify from TempKey", |m| assert_eq!(m.status_on(&verify(DigestSource::TempKey)), MISCOMPARE), NO_TEMP_KEY),
        (
            "ECDH with the key in TempKey",
            |m| {
                ok(m, &gen_key(GenKeyMode::Create { digest: false }, KeyLocation::TempKey));
                ok(m, &ecdh(EcdhKey::TempKey, EcdhTarget::Output));
            },
            NO_TEMP_KEY,
        ),
        ("SecureBoot with an encrypted digest", |m| assert_eq!(m.status_on(&boot(true)), MISCOMPARE), NO_TEMP_KEY),
        ("SelfTest", |m| assert_eq!(m.run_on(&SelfTest::ALL), Ok(0)), NO_TEMP_KEY),
        ("a refusal", |m| assert_eq!(m.status_on(&GenKey::public(slot(8))), EXECUTION), NO_TEMP_KEY),
        (
            "Read, encrypted",
            |m| {
                session(m);
                ok(m, &Read { zone: Zone::Data, address: Address::slot(slot(14), 0, 0), block: true });
            },
            after_a_nonce,
        ),
        (
            "Write, encrypted",
            |m| {
                let key = session(m);
                let address = Address::slot(slot(9), 0, 0);
                let [low, high] = address.0.to_le_bytes();
                let mac = sha(&[&key, &[0x12, 0xC2, low, high], &SN, &[0; 25], &[0; 32]]);
                ok(m, &Write { zone: Zone::Data, address, data: key.to_vec(), mac: Some(mac) });
            },
            after_a_nonce,
        ),
        (
            "PrivWrite, encrypted",
            |m| {
                let key = session(m);
                let mut plain = [0x33; 36];
                plain[..4].fill(0);
                let stream = [&key[..], &sha(&[&key])[..4]].concat();
                let mac = sha(&[&key, &[0x46, 0x40, 4, 0], &SN, &[0; 21], &plain]);
                let key = std::array::from_fn(|i| plain[i] ^ stream[i]);
                ok(m, &PrivWrite { slot: slot(4), encrypted: true, key, mac });
            },
            after_a_nonce,
        ),
    ]);
}

#[test]
fn the_latch_survives_everything_but_power_loss() {
    let master = Master::with_image(image()).untimed();
    master.tamper(|image| image.part_mut(Part::Config)[69] = 0x87);
    master.wake();
    fill(&master);
    let latch = || master.run_on(&Info::LatchRead).unwrap()[0];
    assert_eq!(latch(), 0);
    ok(&master, &Info::LatchSet(true));
    assert_eq!(latch(), 1);
    master.idle();
    master.wake();
    assert_eq!(latch(), 1);
    master.restart();
    assert_eq!(latch(), 1);
    master.bus.power_off();
    master.bus.power_on();
    master.wake();
    assert_eq!(latch(), 0);
}
