// SPDX-License-Identifier: MIT OR Apache-2.0
//! The recovery code: the security officer's PIN. 130 random bits in 26 letters and digits, and two more that detect
//! typing errors. The officer's secret S is derived from it, and from nothing else that is stored.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::blob::Secret;
use atecc608_wire::config_zone::SerialNumber;

/// Crockford's: without I, L, O, U. Letters that are easily confused are read as the intended ones.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Random symbols, five bits each.
const RANDOM: usize = 26;
/// Symbols computed from the others.
const CHECK: usize = 2;
/// Symbols between two dashes.
const GROUP: usize = 4;
/// Separates the derivation of S from other uses of the hash.
const DOMAIN: &[u8] = b"atecc608-pkcs11 tls-pin security officer 1";

/// A recovery code, as symbols without dashes.
pub struct RecoveryCode(Zeroizing<Vec<u8>>);

impl RecoveryCode {
    /// Creates a code from random bytes, of which 26 times five bits are used.
    pub fn new(random: &[u8; 32]) -> Self {
        let symbol = |byte: &u8| ALPHABET[usize::from(byte & 31)];
        let mut symbols = Zeroizing::new(Vec::with_capacity(RANDOM + CHECK));
        symbols.extend(random[..RANDOM].iter().map(symbol));
        let check = check(&symbols);
        symbols.extend(check);
        Self(symbols)
    }

    /// Parses a code, in upper or lower case, with or without dashes and spaces. Returns `None` if it is not a code, or
    /// mistyped.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut symbols = Zeroizing::new(Vec::with_capacity(RANDOM + CHECK));
        for byte in text.iter().filter(|byte| !matches!(**byte, b'-' | b' ')) {
            let symbol = match byte.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            if !ALPHABET.contains(&symbol) || symbols.len() == RANDOM + CHECK {
                return None;
            }
            symbols.push(symbol);
        }
        let is_code = symbols.len() == RANDOM + CHECK && symbols[RANDOM..] == check(&symbols[..RANDOM]);
        is_code.then_some(Self(symbols))
    }

    /// Returns the printed form: groups of four with dashes between them.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        for (at, symbol) in self.0.iter().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(*symbol));
        }
        text
    }

    /// Returns the security officer's secret of this chip.
    pub fn secret(&self, serial: &SerialNumber) -> Secret {
        let digest = Sha256::new().chain_update(DOMAIN).chain_update(serial.0).chain_update(&self.0[..]);
        Zeroizing::new(digest.finalize().into())
    }
}

/// Ten bits of a digest. They are computed from the rest of the code, so they do not help to guess it.
fn check(symbols: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::new().chain_update(b"check").chain_update(symbols).finalize();
    [ALPHABET[usize::from(digest[0] & 31)], ALPHABET[usize::from(digest[1] & 31)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIAL: SerialNumber = SerialNumber([1, 0x23, 0x53, 0x49, 0x4D, 1, 2, 3, 0xEE]);

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = RecoveryCode::new(&std::array::from_fn(|i| i as u8 * 7));
        let text = code.text();
        assert_eq!((text.len(), text.matches('-').count()), (28 + 6, 6));
        let typed = text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        let read = RecoveryCode::parse(typed.as_bytes()).unwrap();
        assert_eq!(read.secret(&SERIAL), code.secret(&SERIAL));
        let other = SerialNumber([9; 9]);
        assert_ne!(code.secret(&other), code.secret(&SERIAL), "each chip has its own secret");
    }

    #[test]
    fn a_mistyped_code_is_none() {
        let text = RecoveryCode::new(&[3; 32]).text();
        assert!(RecoveryCode::parse(&text.as_bytes()[1..]).is_none());
        assert!(RecoveryCode::parse([text.as_bytes(), b"0"].concat().as_slice()).is_none());
        let mut swapped = text.as_bytes().to_vec();
        swapped[0] = if swapped[0] == b'7' { b'8' } else { b'7' };
        assert!(RecoveryCode::parse(&swapped).is_none());
        assert!(RecoveryCode::parse("ÄÖÜ".as_bytes()).is_none());
    }

    #[test]
    fn a_symbol_outside_the_alphabet_is_none_though_the_check_fits() {
        let symbols = [b'U'; RANDOM];
        assert!(RecoveryCode::parse(&[&symbols[..], &check(&symbols)].concat()).is_none());
    }
}
