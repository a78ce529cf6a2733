// SPDX-License-Identifier: MIT OR Apache-2.0
//! CRC-16 as the chip computes it (fact sheet section 2.3).

/// The checksum over `bytes`, in the order it is sent (low byte first).
///
/// Polynomial 0x8005, initial value 0; each byte is fed least significant bit first into a register that
/// shifts left. This is not CRC-16/ARC: the register is not reflected.
pub fn crc16(bytes: &[u8]) -> [u8; 2] {
    crc16_update(0, bytes).to_le_bytes()
}

/// Feeds `bytes` into a running checksum; start with 0. For summaries over several pieces (Lock command).
pub fn crc16_update(mut register: u16, bytes: &[u8]) -> u16 {
    for byte in bytes {
        for bit in 0..8 {
            let data_bit = u16::from(byte >> bit & 1);
            let top_bit = register >> 15;
            register <<= 1;
            if data_bit != top_bit {
                register ^= 0x8005;
            }
        }
    }
    register
}
