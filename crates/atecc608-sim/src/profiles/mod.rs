// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chips as sold or provisioned: the configurations of section 6 of the fact sheet, by name.
//!
//! [`Profile`] is the name; [`Order`] creates a chip, with its initial contents:
//!
//! - Blank chips are empty, and nothing is locked.
//! - Trust&GO and TrustFLEX come locked, with keys in slots 0 to 4, a product code in the OTP zone, and certificates.
//!   The IO protection key (slot 6) is not set: according to the data sheets it "requires setup before use".
//! - The others are configurations that other tools write. Their chips are as the tool leaves them: locked, with
//!   generated keys in the private slots, and otherwise empty.
//!
//! Bytes that were never written are FF.

mod authority;
mod configurations;
pub mod new;
mod order;

use std::io;
use std::str::FromStr;

use configurations::Configuration;

use super::image::Image;
use atecc608_contents::certificate::Definition;
use atecc608_wire::config_zone::{offset, Model, SerialNumber, UNLOCKED};
use atecc608_wire::ConfigZone;

pub use authority::{root, root_certificate, root_pem, root_public_key, AuthorityError, ROOT_NOTE, SIGNER_ID};
pub use order::{Locks, Order, OrderError, Sold};

/// A chip as sold, or as another tool has provisioned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A blank ATECC608A.
    Blank608A,
    /// A blank ATECC608B.
    Blank608B,
    /// A blank ATECC608C.
    Blank608C,
    /// A blank ATECC508A, which programs for a 608 refuse: a simulated 608 with that model, without the commands that a
    /// 508 lacks.
    Blank508A,
    /// Trust&GO.
    TngTls,
    /// The first Trust&GO: an ATECC608A with TrustFLEX's bytes and the older device certificate.
    TngTlsEarly,
    /// TrustFLEX.
    TflxTls,
    /// mongoose-os's sample configuration.
    MongooseOs,
    /// The default configuration of Arduino's ECCX08 library.
    Arduino,
    /// The vendor's example for its PKCS#11 library.
    VendorPkcs11,
    /// The configuration of the vendor's unit tests.
    VendorTest,
    /// The example of the vendor's cryptoauthtools.
    CryptoAuthTools,
}

/// An ATECC608C. The last byte of its Info(Revision) is not published: this value is a placeholder.
pub const ATECC608C: Model = Model::Atecc608Other(0x04);

/// The initial contents of a chip's slots and OTP zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    /// A key in each private slot.
    Keys,
    /// The same, and what the vendor's unit tests need: their known key and a counter limit.
    KeysAndTestKey,
    /// The same as `Keys`, a product code, and certificates of the kind that the code names.
    Certificates {
        /// The first eight bytes of the OTP zone.
        otp: &'static [u8; 8],
        /// The device certificate's kind.
        definition: Definition,
    },
}

/// The properties of a profile.
struct Facts {
    name: &'static str,
    summary: &'static str,
    model: Model,
    configuration: &'static Configuration,
    locks: Locks,
    contents: Contents,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 12] = [
        Self::Blank608A,
        Self::Blank608B,
        Self::Blank608C,
        Self::Blank508A,
        Self::TngTls,
        Self::TngTlsEarly,
        Self::TflxTls,
        Self::MongooseOs,
        Self::Arduino,
        Self::VendorPkcs11,
        Self::VendorTest,
        Self::CryptoAuthTools,
    ];

    const fn facts(self) -> Facts {
        let blank = Facts {
            name: "",
            summary: "",
            model: Model::Atecc608B,
            configuration: &configurations::BLANK,
            locks: Locks::None,
            contents: Contents::Keys,
        };
        let provisioned = Facts { locks: Locks::Data, ..blank };
        match self {
            Self::Blank608A => {
                Facts { name: "blank-608a", summary: "a blank ATECC608A", model: Model::Atecc608A, ..blank }
            }
            Self::Blank608B => Facts { name: "blank-608b", summary: "a blank ATECC608B", ..blank },
            Self::Blank608C => Facts { name: "blank-608c", summary: "a blank ATECC608C", model: ATECC608C, ..blank },
            Self::Blank508A => Facts {
                name: "blank-508a",
                summary: "a blank ATECC508A",
                model: Model::Other([0, 0, 0x50, 0]),
                ..blank
            },
            Self::TngTls => Facts {
                name: "tngtls",
                summary: "Trust&GO (TNGTLS)",
                configuration: &configurations::TNGTLS,
                contents: Contents::Certificates { otp: b"x6tjuZMy", definition: Definition::DeviceTngTls },
                ..provisioned
            },
            Self::TngTlsEarly => Facts {
                name: "tngtls-early",
                summary: "early Trust&GO (ATECC608A-TNGTLS)",
                model: Model::Atecc608A,
                configuration: &configurations::TNGTLS_EARLY,
                contents: Contents::Certificates { otp: b"wdNxAjae", definition: Definition::DeviceEarly },
                ..provisioned
            },
            Self::TflxTls => Facts {
                name: "tflxtls",
                summary: "TrustFLEX (TFLXTLS)",
                configuration: &configurations::TFLXTLS,
                contents: Contents::Certificates { otp: b"MKMwyhP1", definition: Definition::DeviceTflxTls },
                ..provisioned
            },
            Self::MongooseOs => Facts {
                name: "mongoose-os",
                summary: "a chip provisioned with mongoose-os's sample configuration",
                model: Model::Atecc608A,
                configuration: &configurations::MONGOOSE_OS,
                ..provisioned
            },
            Self::Arduino => Facts {
                name: "arduino",
                summary: "a chip provisioned with Arduino's ECCX08 library",
                model: Model::Atecc608A,
                configuration: &configurations::ARDUINO,
                ..provisioned
            },
            Self::VendorPkcs11 => Facts {
                name: "vendor-pkcs11",
                summary: "a chip provisioned for the vendor's PKCS#11 library",
                configuration: &configurations::VENDOR_PKCS11,
                ..provisioned
            },
            Self::VendorTest => Facts {
                name: "vendor-test",
                summary: "a chip provisioned for the vendor's unit tests",
                configuration: &configurations::VENDOR_TEST,
                contents: Contents::KeysAndTestKey,
                ..provisioned
            },
            Self::CryptoAuthTools => Facts {
                name: "cryptoauthtools",
                summary: "a chip provisioned with the vendor's cryptoauthtools",
                configuration: &configurations::CRYPTOAUTHTOOLS,
                ..provisioned
            },
        }
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// A short description.
    pub const fn summary(self) -> &'static str {
        self.facts().summary
    }

    /// The default 7-bit address.
    pub const fn address(self) -> u8 {
        self.facts().configuration[0] >> 1
    }

    /// The chip's model.
    pub const fn model(self) -> Model {
        self.facts().model
    }

    /// The initial contents; a TrustFLEX of another letter has another product code.
    const fn contents(self, model: Model) -> Contents {
        match (self, model) {
            // Its data sheet's section on the OTP zone, and the vendor's library for the certificate.
            (Self::TflxTls, Model::Atecc608Other(_)) => {
                Contents::Certificates { otp: b"KQp2ZkD8", definition: Definition::DeviceTngTls }
            }
            _ => self.facts().contents,
        }
    }

    /// The zones that are locked initially.
    pub const fn locks(self) -> Locks {
        self.facts().locks
    }

    /// The last byte of its serial numbers (fact sheet section 5.1).
    const fn last_serial_byte(self) -> u8 {
        match self {
            Self::TngTls | Self::TngTlsEarly | Self::TflxTls => 0x01,
            _ => 0xEE,
        }
    }

    /// Returns its configuration in a chip with this serial number at this 7-bit address: no zone is locked, and the
    /// slots are empty.
    pub fn image(self, serial: SerialNumber, address: u8) -> Image {
        self.image_of(self.model(), serial, address)
    }

    fn image_of(self, model: Model, serial: SerialNumber, address: u8) -> Image {
        let mut config = [0; ConfigZone::LEN];
        let sn = &serial.0;
        config[..4].copy_from_slice(&sn[..4]);
        config[4..8].copy_from_slice(&model.revision());
        config[8..13].copy_from_slice(&sn[4..]);
        // AES_Enable, I2C_Enable, reserved.
        config[13..16].copy_from_slice(&[0x01, 0x01, 0x00]);
        config[16..].copy_from_slice(self.facts().configuration);
        config[offset::I2C_ADDRESS] = address << 1;
        config[offset::LOCK_VALUE] = UNLOCKED;
        config[offset::LOCK_CONFIG] = UNLOCKED;
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

/// Returns a random serial number for a simulated chip, `01 23 53 49 4D xx xx xx EE` ("SIM"): no real chip has such a
/// number.
///
/// # Errors
/// An I/O error if the system has no random numbers.
pub fn random_serial() -> io::Result<SerialNumber> {
    let mut middle = [0; 3];
    getrandom::fill(&mut middle).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(serial(middle, 0xEE))
}

fn serial(middle: [u8; 3], last: u8) -> SerialNumber {
    let [a, b, c] = middle;
    SerialNumber([0x01, 0x23, 0x53, 0x49, 0x4D, a, b, c, last])
}
