// SPDX-License-Identifier: MIT OR Apache-2.0
//! Another chip replaces the first one while a process works with it, through the C ABI. The chip sleeps between
//! conversations, so a swap is not visible: every use or change of a slot's contents reads the serial number first.

use atecc608_sim::{Image, SimBus};
use cryptoki_sys::*;

use crate::common::chip;
use crate::common::keys::{error, Handle, Session};
use crate::common::module::{ulong, Module};
use crate::common::one_key::{generate, import, point_of, sign};
use crate::common::pin::{self, PIN};
use crate::common::secrets::{self, code, given, whole, Kind, IO_KEY};

const DATA: [u8; 16] = [7; 16];

/// A token with a key of each kind, and another chip with keys in the same slots.
pub struct Swap {
    pub module: Module,
    pub bus: SimBus,
    session: Session,
    private: Handle,
    aes: Handle,
    hmac: Handle,
    other: Image,
}

impl Swap {
    pub fn new() -> Self {
        let (module, bus, session) = secrets::with_io_key();
        let private = generate(&module, session, "a").unwrap();
        let key = |key_type, value: &[u8]| module.create_object(session, &given(true, key_type, value)).unwrap();
        let (aes, hmac) = (key(CKK_AES, &[1; 16]), key(CKK_GENERIC_SECRET, &[2; 32]));
        // The other chip has the same IO protection key: only its serial number and its keys differ.
        let mut other = chip::provisioned();
        chip::put_key(&mut other, 0, &[0x21; 32]);
        let io_key = other.part_mut(atecc608_sim::image::Part::Slot(chip::slot(6)));
        io_key[..32].copy_from_slice(&IO_KEY);
        assert_ne!(other.config().serial_number(), bus.image(0).unwrap().config().serial_number());
        Self { module, bus, session, private, aes, hmac, other }
    }

    /// The same keys in a new process.
    pub fn in_new_process(self) -> Self {
        let session = self.module.restart();
        let secret = |key_type: CK_KEY_TYPE| {
            let wanted = [(CKA_CLASS, ulong(CKO_SECRET_KEY)), (CKA_KEY_TYPE, ulong(key_type))];
            self.module.find(session, &wanted).unwrap()[0]
        };
        let private = self.module.private_keys(session)[0];
        let (aes, hmac) = (secret(CKK_AES), secret(CKK_GENERIC_SECRET));
        Self { session, private, aes, hmac, ..self }
    }

    fn swap(&self) {
        self.bus.set_image(0, self.other.clone()).unwrap();
    }
}

/// The calls of a client with the keys.
pub type Use = fn(&Swap) -> Result<(), CK_RV>;

pub const USES: [(&str, Use); 12] = [
    ("ECDH", |s| {
        let peer = p256::SecretKey::from_slice(&[0x42; 32]).unwrap().public_key();
        let peer = p256::EncodedPoint::from(peer);
        error(s.module.derive(s.session, s.private, CKD_NULL, &[], peer.as_bytes(), &[]))
    }),
    ("AES encryption", |s| error(whole(&s.module, s.session, true, &Kind::Plain(CKM_AES_ECB), s.aes, &DATA))),
    ("AES decryption", |s| error(whole(&s.module, s.session, false, &Kind::Plain(CKM_AES_ECB), s.aes, &DATA))),
    ("CMAC", |s| error(code(&s.module, s.session, &Kind::Plain(CKM_AES_CMAC), s.aes, &DATA))),
    ("HMAC", |s| error(code(&s.module, s.session, &Kind::Plain(CKM_SHA256_HMAC), s.hmac, &DATA))),
    ("signature", |s| error(sign(&s.module, s.session, s.private))),
    ("key generation", |s| error(generate(&s.module, s.session, "new"))),
    ("key import", |s| error(import(&s.module, s.session, "imported"))),
    ("private key destruction", |s| s.module.destroy(s.session, s.private)),
    ("secret key creation", |s| error(s.module.create_object(s.session, &given(true, CKK_AES, &[3; 16])))),
    ("AES key destruction", |s| s.module.destroy(s.session, s.aes)),
    ("HMAC key destruction", |s| s.module.destroy(s.session, s.hmac)),
];

#[test]
fn no_use_of_a_key_is_answered_by_another_chip_and_nothing_in_it_is_changed() {
    for (name, work) in USES {
        let swap = Swap::new();
        swap.swap();
        assert_eq!(work(&swap), Err(CKR_DEVICE_REMOVED), "{name}");
        let now = swap.bus.image(0).unwrap();
        for part in [atecc608_sim::image::Part::Config]
            .into_iter()
            .chain((0..16).map(|number| atecc608_sim::image::Part::Slot(chip::slot(number))))
        {
            assert!(now.part(part) == swap.other.part(part), "{name}: {part:?}");
        }
        swap.module.assert_logged(&["another chip"]);
    }
}

#[test]
fn the_monotonic_counter_of_another_chip_does_not_move() {
    let (module, bus, session) = secrets::with_io_key();
    let class = [(CKA_CLASS, CKO_HW_FEATURE.to_ne_bytes().to_vec())];
    let counter = module.find(session, &class).unwrap()[0];
    module.attribute(session, counter, CKA_VALUE).unwrap();
    let other = chip::provisioned();
    bus.set_image(0, other.clone()).unwrap();
    assert_eq!(module.attribute(session, counter, CKA_VALUE), Err(CKR_DEVICE_REMOVED));
    assert_eq!(bus.image(0).unwrap().config(), other.config());
}

#[test]
fn the_point_of_another_chip_is_not_kept_for_the_first() {
    let (module, bus, session) = secrets::with_io_key();
    let key = generate(&module, session, "a").unwrap();
    let own = point_of(&module, session, key);
    let first = bus.image(0).unwrap();
    let state = module.state_file();
    let text = std::fs::read_to_string(&state).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("public_key")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&state, without).unwrap();
    let session = module.restart();
    let key = module.private_keys(session)[0];
    let mut other = chip::provisioned();
    chip::put_key(&mut other, 0, &[0x21; 32]);
    bus.set_image(0, other).unwrap();
    // Its public key has to be read.
    assert!(module.attribute(session, key, CKA_ID).is_ok() || module.find(session, &[]).is_ok());
    let public = module.find(session, &[(CKA_CLASS, CKO_PUBLIC_KEY.to_ne_bytes().to_vec())]).unwrap_or_default();
    let _ = public.first().map(|key| module.attribute(session, *key, CKA_EC_POINT));
    bus.set_image(0, first).unwrap();
    let session = module.restart();
    assert_eq!(point_of(&module, session, module.private_keys(session)[0]), own);
}

#[test]
fn a_pin_is_not_called_wrong_because_another_chip_does_not_know_it() {
    let (module, bus) = pin::token();
    let session = module.start();
    let first = bus.image(0).unwrap();
    let mut other = chip::provisioned_with("tls-pin");
    assert_ne!(other.config().serial_number(), first.config().serial_number());
    other.part_mut(atecc608_sim::image::Part::Slot(chip::slot(pin::AUTHORISATION)))[..32].fill(9);
    bus.set_image(0, other).unwrap();
    assert_eq!(module.login(session, CKU_USER, PIN), Err(CKR_DEVICE_REMOVED));
    bus.set_image(0, first).unwrap();
    let session = module.restart();
    assert_eq!(module.login(session, CKU_USER, PIN), Ok(()));
}
