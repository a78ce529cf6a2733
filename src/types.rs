// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small conversions between the types of the ABI and those of the module.

use cryptoki_sys::*;

/// Converts a CK_ULONG (64 bits, or 32 on 32-bit machines) to a number of the module.
// The cast is needed on 32-bit machines only.
#[allow(clippy::unnecessary_cast)]
pub fn from_ulong(number: CK_ULONG) -> u64 {
    number as u64
}

/// Converts a number of the module to a CK_ULONG. Handles are small counters, so nothing is cut off on 32-bit machines
/// either.
#[allow(clippy::unnecessary_cast)]
pub fn to_ulong(number: u64) -> CK_ULONG {
    number as CK_ULONG
}

/// Converts a length or count to a CK_ULONG, which is as wide as a pointer on Linux.
pub fn length(number: usize) -> CK_ULONG {
    number as CK_ULONG
}

/// A fixed string of the ABI: blank-padded, no NUL, cut at a character boundary if it is too long.
pub fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut field = [b' '; N];
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_strings_are_blank_padded() {
        assert_eq!(&padded::<6>("ab"), b"ab    ");
        assert_eq!(&padded::<2>("abc"), b"ab");
    }

    #[test]
    fn a_long_string_is_cut_between_characters() {
        assert_eq!(&padded::<4>("ab\u{20ac}"), b"ab  ");
    }
}
