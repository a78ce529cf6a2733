// SPDX-License-Identifier: MIT OR Apache-2.0
//! A token with a PIN: a chip with the profile `tls-pin` as `atecc608 provision tls-pin --pin-file` leaves it.

use atecc608_sim::image::Part;
use atecc608_sim::{Image, SimBus, Switches};
use atecc608_token::pin::blob::{PinBlob, StretchedPin};
use atecc608_token::pin::code::RecoveryCode;
use atecc608_token::store::Store;
use cryptoki_sys::*;

use super::keys::{Handle, Session};
use super::module::{c, len, Module, Result};
use super::one_key::generate;
use super::{chip, secrets};

/// The user's PIN.
pub const PIN: &[u8] = b"correct horse";
/// A wrong PIN.
pub const OTHER_PIN: &[u8] = b"battery staple";

/// The slots of the profile.
pub const AUTHORISATION: u8 = 5;
pub const OFFICER: u8 = 7;

/// The security officer's PIN.
pub fn code() -> Vec<u8> {
    recovery_code().text().as_bytes().to_vec()
}

fn recovery_code() -> RecoveryCode {
    RecoveryCode::new(&[0x2D; 32])
}

/// A, as in [`image`]: bytes that occur nowhere else.
pub fn secret() -> [u8; 32] {
    std::array::from_fn(|i| (i * 37 + 11) as u8)
}

/// The 32 bytes of a secret in the EEPROM.
pub fn secret_in(image: &Image, number: u8) -> [u8; 32] {
    image.part(Part::Slot(chip::slot(number)))[..32].try_into().unwrap()
}

/// The chip alone.
pub fn image() -> Image {
    let mut image = chip::provisioned_with("tls-pin");
    let officer = recovery_code().secret(&image.config().serial_number());
    image.part_mut(Part::Slot(chip::slot(OFFICER)))[..32].copy_from_slice(&*officer);
    image.part_mut(Part::Slot(chip::slot(AUTHORISATION)))[..32].copy_from_slice(&secret());
    image
}

/// The chip's state, as the module keeps it.
pub fn store(module: &Module, bus: &SimBus) -> Store {
    Store::open(&module.state_dir(), bus.image(0).unwrap().config().serial_number())
}

/// The state's entry about A.
pub fn blobs(module: &Module, bus: &SimBus) -> Vec<PinBlob> {
    store(module, bus).state().pins.clone()
}

/// A module, its chip on a bus that the test controls, the IO protection key on the host, and the user's PIN in the
/// state.
pub fn token() -> (Module, SimBus) {
    let (module, bus) = Module::on_bus(image());
    give_pin(&module, &bus);
    (module, bus)
}

/// Gives the host its part of the chip's secrets.
pub fn give_pin(module: &Module, bus: &SimBus) {
    secrets::put_io_key(module, &bus.image(0).unwrap());
    let secret = secret_in(&bus.image(0).unwrap(), AUTHORISATION);
    let blob = StretchedPin::new(PIN).unwrap().seal(&secret);
    store(module, bus).change(|state| state.pins = vec![blob]).unwrap();
}

/// The same with a read-write session, the user logged in, and a key "a".
pub fn with_key() -> (Module, SimBus, Session, Handle) {
    let (module, bus) = token();
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    let key = generate(&module, session, "a").unwrap();
    (module, bus, session, key)
}

pub fn logout(module: &Module, session: Session) -> Result<()> {
    c!(module, C_Logout(session))
}

pub fn init_pin(module: &Module, session: Session, pin: &[u8]) -> Result<()> {
    c!(module, C_InitPIN(session, pin.as_ptr().cast_mut(), len(pin)))
}

/// A chip whose DeriveKey rolls the secret behind the PIN, so that its user may change that, or refuses to.
pub fn rolling(rolls: bool) -> Switches {
    Switches { derive_key_rolls_no_mac: rolls, ..Switches::default() }
}

pub fn set_pin(module: &Module, session: Session, old: &[u8], new: &[u8]) -> Result<()> {
    c!(module, C_SetPIN(session, old.as_ptr().cast_mut(), len(old), new.as_ptr().cast_mut(), len(new)))
}

pub fn init_token(module: &Module, code: &[u8], label: &str) -> Result<()> {
    let mut padded = [b' '; 32];
    padded[..label.len()].copy_from_slice(label.as_bytes());
    c!(module, C_InitToken(0, code.as_ptr().cast_mut(), len(code), padded.as_mut_ptr()))
}
