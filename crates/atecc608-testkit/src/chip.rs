// SPDX-License-Identifier: MIT OR Apache-2.0
//! Simulated chips in the states in which the module finds them, and buses that a test controls: counters, faults, the
//! chip's EEPROM.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use atecc608_sim::image::Part;
use atecc608_sim::server::Server;
use atecc608_sim::{Image, Order, Profile, SimBus, SimChip, Timing};
use atecc608_token::profile::{self, Contents};
use atecc608_wire::config_zone::{offset, SerialNumber};
use atecc608_wire::Slot;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::SecretKey;

use crate::built;

const ADDRESS: u8 = 0x60;

pub fn slot(number: u8) -> Slot {
    Slot::new(number).unwrap()
}

/// A serial number that no other chip of this test has.
fn serial() -> SerialNumber {
    static LAST: AtomicU8 = AtomicU8::new(0);
    SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 0x7E, 0x57, LAST.fetch_add(1, Ordering::Relaxed), 0xEE])
}

/// As it leaves the factory.
pub fn blank() -> Image {
    Profile::Blank608B.image(serial(), ADDRESS)
}

/// An ATECC508A.
pub fn other_model() -> Image {
    Profile::Blank508A.image(serial(), ADDRESS)
}

/// With the profile `tls` in its locked configuration; the data zone is not locked.
pub fn half_provisioned() -> Image {
    half_provisioned_with("tls")
}

fn half_provisioned_with(profile: &str) -> Image {
    let mut image = blank();
    let zone = profile::by_name(profile).unwrap().apply(&image.config());
    image.part_mut(Part::Config).copy_from_slice(zone.as_bytes());
    image.part_mut(Part::Config)[offset::LOCK_CONFIG] = 0x00;
    image
}

/// Provisioned with the profile `tls`, as `atecc608 provision tls` leaves it: without keys.
pub fn provisioned() -> Image {
    provisioned_with("tls")
}

/// The same with another profile. Secrets are A5 bytes.
pub fn provisioned_with(profile: &str) -> Image {
    let mut image = half_provisioned_with(profile);
    for slot in Slot::all() {
        let part = image.part_mut(Part::Slot(slot));
        match profile::by_name(profile).unwrap().slot(slot).contents {
            Contents::PrivateKey => {}
            Contents::Zeros => part.fill(0),
            // The value of a secret does not matter to any test.
            Contents::IoKey | Contents::Random => part.fill(0xA5),
            Contents::AuthorisationSecret | Contents::OfficerSecret => part.fill(0xA5),
            Contents::AttestationKey => put_scalar(part, &[0x5A; 32]),
        }
    }
    image.part_mut(Part::Config)[offset::LOCK_VALUE] = 0x00;
    image
}

/// A chip as sold, or as another tool leaves it, but at the default address; the same one each time.
pub fn sold(profile: Profile) -> Image {
    let order = Order { address: Some(ADDRESS), seed: Some(7), ..Order::of(profile) };
    order.make().unwrap().image
}

/// The chip at another address, as a factory may set it before locking the configuration.
pub fn moved_to(address: u8, mut image: Image) -> Image {
    image.part_mut(Part::Config)[offset::I2C_ADDRESS] = address << 1;
    image
}

/// Puts a private key into a slot directly, which no command can do.
pub fn put_key(image: &mut Image, number: u8, scalar: &[u8; 32]) {
    put_scalar(image.part_mut(Part::Slot(slot(number))), scalar);
}

fn put_scalar(part: &mut [u8], scalar: &[u8; 32]) {
    part[..4].fill(0);
    part[4..36].copy_from_slice(scalar);
}

/// The public key 04 ‖ X ‖ Y of the private key in the slot; `None` if it holds none.
pub fn point_in(image: &Image, number: u8) -> Option<Vec<u8>> {
    let part = image.part(Part::Slot(slot(number)));
    let key = SecretKey::from_slice(&part[4..36]).ok().filter(|_| part[..4] == [0; 4])?;
    Some(key.public_key().to_encoded_point(false).as_bytes().to_vec())
}

/// A bus with one chip, served at the socket by a thread of the test. Execution takes no time; the nominal time is
/// counted.
pub fn serve(image: Image, socket: &Path) -> SimBus {
    serve_all([image], socket)
}

/// The same with several chips at their addresses.
pub fn serve_all(images: impl IntoIterator<Item = Image>, socket: &Path) -> SimBus {
    serve_with(Timing::Fast, images, socket)
}

/// The same with one chip, with the execution times of a real one.
pub fn serve_in_real_time(image: Image, socket: &Path) -> SimBus {
    serve_with(Timing::Real, [image], socket)
}

fn serve_with(timing: Timing, images: impl IntoIterator<Item = Image>, socket: &Path) -> SimBus {
    let bus = SimBus::with_timing(100_000, timing);
    images.into_iter().for_each(|image| bus.add_chip(SimChip::from_image(image)));
    let server = Server::on_bus(bus.clone(), socket).unwrap();
    thread::spawn(move || server.run());
    bus
}

/// `atecc608-sim serve` as a process, for tests that kill it. Killed when dropped.
pub struct SimProcess(pub Child);

impl SimProcess {
    pub fn serve(state: &Path, socket: &Path) -> Self {
        let mut child = Command::new(built::simulator())
            .args(["serve", "--timing", "fast", "--socket"])
            .arg(socket)
            .arg("--state")
            .arg(state)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert!(line.starts_with("listening"), "{line}");
        Self(child)
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for SimProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
