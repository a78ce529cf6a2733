//! Chips as sold: what their EEPROM holds when they leave the factory (fact sheet section 6).
//!
//! The provisioned ones (Trust&GO, TrustFLEX, the vendor's examples) come with the next issue: a variant here, its
//! bytes below.

use std::io;
use std::str::FromStr;

use super::image::Image;
use crate::wire::config_zone::{offset, SerialNumber};
use crate::wire::ConfigZone;

/// A chip as sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A blank ATECC608A.
    Blank608A,
    /// A blank ATECC608B.
    Blank608B,
    /// A blank ATECC508A, which is refused by those who want a 608: it only says that it is one.
    Blank508A,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 3] = [Self::Blank608A, Self::Blank608B, Self::Blank508A];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blank608A => "blank-608a",
            Self::Blank608B => "blank-608b",
            Self::Blank508A => "blank-508a",
        }
    }

    const fn revision(self) -> [u8; 4] {
        match self {
            Self::Blank608A => [0x00, 0x00, 0x60, 0x02],
            Self::Blank608B => [0x00, 0x00, 0x60, 0x03],
            Self::Blank508A => [0x00, 0x00, 0x50, 0x00],
        }
    }

    /// Its EEPROM, with this serial number, at this 7-bit address.
    pub fn image(self, serial: SerialNumber, address: u8) -> Image {
        let mut config = [0; ConfigZone::LEN];
        let sn = &serial.0;
        config[..4].copy_from_slice(&sn[..4]);
        config[4..8].copy_from_slice(&self.revision());
        config[8..13].copy_from_slice(&sn[4..]);
        // AES_Enable, reserved, I2C_Enable, reserved.
        config[13..16].copy_from_slice(&[0x01, 0x01, 0x00]);
        config[16..].copy_from_slice(&BLANK);
        config[offset::I2C_ADDRESS] = address << 1;
        Image::new(config)
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|profile| profile.name()).collect();
            format!("unknown profile \"{name}\"; known are: {}", known.join(", "))
        })
    }
}

/// A serial number of our own, `01 23 53 49 4D xx xx xx EE`: no real chip has one ("SIM").
///
/// # Errors
/// The system has no random numbers.
pub fn random_serial() -> io::Result<SerialNumber> {
    let mut serial = SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, 0, 0, 0, 0xEE]);
    getrandom::fill(&mut serial.0[5..8]).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(serial)
}

/// Configuration bytes 16 to 127 of a blank chip (fact sheet section 6a).
const BLANK: [u8; 112] = [
    0xC0, 0x00, 0x00, 0x00, 0x83, 0x20, 0x87, 0x20, 0x8F, 0x20, 0xC4, 0x8F, 0x8F, 0x8F, 0x8F, 0x8F, // 16
    0x9F, 0x8F, 0xAF, 0x8F, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // 32
    0x00, 0x00, 0xAF, 0x8F, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, // 48
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // 64
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x55, 0x55, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // 80
    0x33, 0x00, 0x33, 0x00, 0x33, 0x00, 0x1C, 0x00, 0x1C, 0x00, 0x1C, 0x00, 0x1C, 0x00, 0x1C, 0x00, // 96
    0x3C, 0x00, 0x3C, 0x00, 0x3C, 0x00, 0x3C, 0x00, 0x3C, 0x00, 0x3C, 0x00, 0x3C, 0x00, 0x1C, 0x00, // 112
];
