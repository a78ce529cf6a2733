// SPDX-License-Identifier: MIT OR Apache-2.0
//! The product that a chip is sold as, by the code that Microchip wrote to the OTP zone.
//!
//! The codes come from Microchip's data sheets (sections on the OTP zone) and library (cryptoauthlib, `app/tng`).
//! According to the data sheets they may change; a chip with another code is an unknown product.

use core::fmt;

/// A product that is sold with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its name.
    pub name: &'static str,
    /// OTP\[0..8\]; zeros follow.
    pub code: Code,
}

/// The first 8 bytes of the OTP zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub [u8; 8]);

const fn product(name: &'static str, code: [u8; 8]) -> Product {
    Product { name, code: Code(code) }
}

/// All known products.
pub const PRODUCTS: [Product; 11] = [
    product("Trust&GO (TNGTLS)", *b"x6tjuZMy"),
    product("Trust&GO (TNGTLS), an early one", *b"Rsuy5YJh"),
    product("TrustFLEX (TFLXTLS), or an early Trust&GO (TNGTLS)", *b"wdNxAjae"),
    product("TrustFLEX (TFLXTLS)", *b"MKMwyhP1"),
    product("TrustFLEX (ATECC608C-TFLXTLS)", *b"KQp2ZkD8"),
    product("TrustFLEX (TFLXTLS) for the single-wire interface", *b"BWuzMoAa"),
    product("TrustMANAGER (TMNGTLS)", [0x02, 0x25, 0x70, 0x13, 0x37, 0xB9, 0xCF, 0xF0]),
    product("Trust&GO for the Helium network (TNGHNT)", [0x28, 0xD5, 0x88, 0x47, 0x6D, 0x3A, 0xA1, 0x7C]),
    product("Trust&GO for LoRaWAN (TNGLoRaWAN), The Things Industries", *b"jsMu7iYO"),
    product("Trust&GO for LoRaWAN (TNGLoRaWAN), Actility", *b"09qJNxI3"),
    product("Trust&GO for LoRaWAN (TNGLoRaWAN), an early one", *b"BxZvm6q2"),
];

/// Returns the product of a chip with this OTP zone (64 bytes), if its code is known and nothing follows it.
pub fn of_otp(otp: &[u8]) -> Option<&'static Product> {
    let (code, rest) = otp.split_first_chunk::<8>()?;
    let product = PRODUCTS.iter().find(|product| product.code.0 == *code)?;
    rest.iter().all(|byte| *byte == 0).then_some(product)
}

impl fmt::Display for Code {
    /// Prints text if it is printable, else hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(&self.0) {
            Ok(text) if self.0.iter().all(u8::is_ascii_alphanumeric) => f.write_str(text),
            _ => self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(code: &[u8]) -> [u8; 64] {
        let mut otp = [0; 64];
        otp[..code.len()].copy_from_slice(code);
        otp
    }

    #[test]
    fn a_code_names_its_product_if_only_zeros_follow() {
        assert_eq!(of_otp(&zone(b"x6tjuZMy")).unwrap().name, "Trust&GO (TNGTLS)");
        assert_eq!(of_otp(&zone(b"x6tjuZMz")), None);
        assert_eq!(of_otp(&zone(b"x6tjuZMy and more")), None);
        assert_eq!(of_otp(&[0xFF; 64]), None);
        assert_eq!(of_otp(&[]), None);
    }

    #[test]
    fn no_code_is_there_twice() {
        let codes: std::collections::BTreeSet<[u8; 8]> = PRODUCTS.iter().map(|product| product.code.0).collect();
        assert_eq!(codes.len(), PRODUCTS.len());
    }

    #[test]
    fn codes_are_shown_as_people_know_them() {
        assert_eq!(PRODUCTS[0].code.to_string(), "x6tjuZMy");
        assert_eq!(PRODUCTS[6].code.to_string(), "0225701337B9CFF0");
    }
}
