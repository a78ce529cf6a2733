// SPDX-License-Identifier: MIT OR Apache-2.0
//! Creates a chip: its EEPROM with the initial contents.

use std::fmt;
use std::io;

use super::authority::{certify, AuthorityError};
use super::{serial, Contents, Profile};
use crate::ecc::{private_key, public_point};
use crate::image::{Image, Part};
use crate::random::ChipRng;
use atecc608_contents::certificate::compressed::{DEVICE_SLOT, SIGNER_KEY_SLOT, SIGNER_SLOT};
use atecc608_contents::certificate::{Definition, Device};
use atecc608_wire::config_zone::{offset, Model, SerialNumber, COUNTER_MAX};
use atecc608_wire::Slot;
use p256::SecretKey;

/// Which zones of a chip are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locks {
    /// None: the configuration is written; the slots are blank, because a chip in this state accepts nothing into them.
    None,
    /// The configuration zone. Slots and OTP zone have been filled, and may still be written.
    Config,
    /// The configuration, data and OTP zones.
    Data,
}

/// The chip to create.
#[derive(Clone, Debug)]
pub struct Order {
    /// The profile.
    pub profile: Profile,
    /// Its serial number, which must be a simulated chip's; `None`: a new one.
    pub serial: Option<SerialNumber>,
    /// Its 7-bit address; `None`: the profile's.
    pub address: Option<u8>,
    /// Its model; `None`: the profile's. A profile that names the model allows no other.
    pub model: Option<Model>,
    /// The last two bytes that Info(Revision) returns; `None`: those of the configuration zone.
    pub revision: Option<[u8; 2]>,
    /// Makes serial number and keys reproducible.
    pub seed: Option<u64>,
    /// The zones to lock; `None`: the profile's.
    pub locks: Option<Locks>,
}

/// A created chip.
pub struct Sold {
    /// Its EEPROM.
    pub image: Image,
    /// Its contents, as lines of text.
    pub contents: Vec<String>,
}

/// Why a chip cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The serial number could be a real chip's.
    #[error("serial number {0} is not allowed: it must begin with 012353494D, which marks simulated chips")]
    Serial(SerialNumber),
    /// The profile does not exist with this model.
    #[error("{} is sold as {} only", profile.name(), profile.model())]
    Model {
        /// The requested profile.
        profile: Profile,
    },
    /// The system has no random numbers.
    #[error("cannot generate random numbers: {0}")]
    Random(io::Error),
    /// The certificates cannot be created.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl From<OrderError> for io::Error {
    fn from(error: OrderError) -> Self {
        io::Error::other(error)
    }
}

/// The known key of the vendor's unit tests (fact sheet section 6b), in slot 4.
const TEST_KEY: [u8; 32] = [
    0x37, 0x80, 0xE6, 0x3D, 0x49, 0x68, 0xAD, 0xE5, 0xD8, 0x22, 0xC0, 0x13, 0xFC, 0xC3, 0x23, 0x84, 0x5D, 0x1B, 0x56,
    0x9F, 0xE7, 0x05, 0xB6, 0x00, 0x06, 0xFE, 0xEC, 0x14, 0x5A, 0x0D, 0xB1, 0xE3,
];
/// The limit of counter 0 in slot 10 of the same: the largest multiple of 32 (fact sheet section 5.6).
const TEST_LIMIT: u32 = COUNTER_MAX / 32 * 32;

impl Order {
    /// An order for the profile as sold.
    pub const fn of(profile: Profile) -> Self {
        Self { profile, serial: None, address: None, model: None, revision: None, seed: None, locks: None }
    }

    /// Creates the chip.
    ///
    /// # Errors
    /// [`OrderError`] if the serial number or model is not allowed, the system has no random numbers, or a certificate
    /// can't be created.
    pub fn make(&self) -> Result<Sold, OrderError> {
        let mut rng = self.seed.map_or_else(ChipRng::system, ChipRng::seeded_factory);
        let serial = self.serial_number(&mut rng)?;
        let model = self.model()?;
        let address = self.address.unwrap_or_else(|| self.profile.address());
        let locks = self.locks.unwrap_or_else(|| self.profile.locks());
        let mut image = self.profile.image_of(model, serial, address);
        if let Some(revision) = self.revision {
            image.set_revision(revision);
        }
        let mut maker = Maker { image, rng, contents: Vec::new() };
        if locks != Locks::None {
            maker.fill(self.profile.contents(model), serial)?;
            maker.image.part_mut(Part::Config)[offset::LOCK_CONFIG] = 0;
        }
        if locks == Locks::Data {
            maker.image.part_mut(Part::Config)[offset::LOCK_VALUE] = 0;
        }
        if !maker.rng.healthy() {
            return Err(no_random());
        }
        Ok(Sold { image: maker.image, contents: maker.contents })
    }

    fn serial_number(&self, rng: &mut ChipRng) -> Result<SerialNumber, OrderError> {
        match self.serial {
            Some(serial) if serial.is_simulated() => Ok(serial),
            Some(serial) => Err(OrderError::Serial(serial)),
            None => {
                let [a, b, c, ..] = rng.bytes_32();
                Ok(serial([a, b, c], self.profile.last_serial_byte()))
            }
        }
    }

    fn model(&self) -> Result<Model, OrderError> {
        let own = self.profile.model();
        let model = self.model.unwrap_or(own);
        let fixed = self.profile.locks() == Locks::None || self.profile == Profile::TngTlsEarly;
        if fixed && model.revision() != own.revision() {
            return Err(OrderError::Model { profile: self.profile });
        }
        Ok(model)
    }
}

fn no_random() -> OrderError {
    OrderError::Random(io::Error::other("the system's generator failed"))
}

/// A chip that is being created.
struct Maker {
    image: Image,
    rng: ChipRng,
    contents: Vec<String>,
}

impl Maker {
    fn fill(&mut self, contents: Contents, serial: SerialNumber) -> Result<(), OrderError> {
        let keys = self.make_keys()?;
        match contents {
            Contents::Keys => {}
            Contents::KeysAndTestKey => {
                self.put(4, &TEST_KEY, "the known key of the unit tests");
                let limit = [TEST_LIMIT.to_le_bytes(), TEST_LIMIT.to_le_bytes()].concat();
                self.put(10, &limit, &format!("the limit of counter 0, {TEST_LIMIT}"));
            }
            Contents::Certificates { otp, definition } => {
                let zone = self.image.part_mut(Part::Otp);
                zone.fill(0);
                zone[..otp.len()].copy_from_slice(otp);
                self.contents.push(format!("OTP zone: product code {}", String::from_utf8_lossy(otp)));
                if let Some(key) = keys.first() {
                    self.put_certificates(definition, serial, &public_point(key))?;
                }
            }
        }
        Ok(())
    }

    /// Creates a key in each private slot.
    fn make_keys(&mut self) -> Result<Vec<SecretKey>, OrderError> {
        let config = self.image.config();
        let slots: Vec<Slot> = Slot::all().filter(|slot| config.key_config(*slot).is_p256_private()).collect();
        let mut keys = Vec::with_capacity(slots.len());
        for slot in &slots {
            let key = self.make_key()?;
            let stored = self.image.part_mut(Part::Slot(*slot));
            stored[..4].fill(0);
            stored[4..].copy_from_slice(&key.to_bytes());
            keys.push(key);
        }
        self.contents.push(format!("slots {}: P-256 private keys, made in the chip", List(&slots)));
        Ok(keys)
    }

    fn make_key(&mut self) -> Result<SecretKey, OrderError> {
        loop {
            let scalar = zeroize::Zeroizing::new(self.rng.bytes_32());
            if !self.rng.healthy() {
                return Err(no_random());
            }
            // One in 2^32 random numbers is not a valid scalar.
            if let Some(key) = private_key(&*scalar) {
                return Ok(key);
            }
        }
    }

    fn put_certificates(
        &mut self,
        definition: Definition,
        serial: SerialNumber,
        public_key: &[u8; 64],
    ) -> Result<(), OrderError> {
        let mut eui = [0; 16];
        eui[..12].copy_from_slice(&eui48(serial));
        if definition == Definition::DeviceTngTls {
            self.put(5, &eui[..12], &format!("EUI-48 {}", String::from_utf8_lossy(&eui[..12])));
        }
        let chain = certify(definition, Device { serial, eui }, public_key)?;
        self.put(DEVICE_SLOT, &chain.device, "compressed certificate of the key in slot 0");
        let (x, y) = chain.signer_key.split_at(32);
        self.put(SIGNER_KEY_SLOT, &[&[0; 4], x, &[0; 4], y].concat(), "public key of the signer");
        self.put(SIGNER_SLOT, &chain.signer, "compressed certificate of the signer");
        Ok(())
    }

    /// Writes the beginning of a slot; the rest is not changed.
    fn put(&mut self, number: u8, bytes: &[u8], what: &str) {
        let slot = Slot::from_nibble(number);
        let stored = self.image.part_mut(Part::Slot(slot));
        stored.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.contents.push(format!("slot {slot}: {what}"));
    }
}

/// Returns a locally administered address, unique like the serial number: 02 53 49 ("SI") and the serial number's last
/// digits, as twelve hexadecimal digits.
fn eui48(serial: SerialNumber) -> [u8; 12] {
    let bytes = [0x02, 0x53, 0x49, serial.0[5], serial.0[6], serial.0[7]];
    let mut text = [0; 12];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[byte >> 4, byte & 0x0F].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
    }
    text
}

/// "0, 1 and 4".
struct List<'a>(&'a [Slot]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, slot) in self.0.iter().enumerate() {
            let before = match i {
                0 => "",
                _ if i + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{before}{slot}")?;
        }
        Ok(())
    }
}
