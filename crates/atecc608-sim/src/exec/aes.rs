// SPDX-License-Identifier: MIT OR Apache-2.0
//! AES (fact sheet section 3.1).

use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::Aes128;
use zeroize::Zeroizing;

use super::super::core::{Core, Outcome, Refusal};
use super::super::rules::Nonce;
use super::Execute;
use crate::buffers::Content;
use crate::image::Part;
use atecc608_wire::commands::{Aes, KeyLocation};
use atecc608_wire::config_zone::KeyType;

impl Execute for Aes {
    fn execute(&self, core: &mut Core) -> Outcome {
        match self {
            Aes::GaloisMultiply { h, input } => Ok(multiply(h, input).to_vec()),
            // Config[13] counts in every lock state.
            Aes::Block { .. } if !core.config().aes_enabled() => Err(Refusal::PARSE),
            Aes::Block { key: KeyLocation::Slot(slot), unit, decrypt, input } => {
                let config = core.config();
                let aes = config.key_config(*slot).key_type() == KeyType::Aes && !config.key_config(*slot).private();
                let nonce = if core.switches.req_random_gates_aes { Nonce::WantedByReqRandom } else { Nonce::NotAsked };
                let key_use = core.use_key(*slot, nonce)?;
                if !aes {
                    return Err(Refusal::Status(core.switches.aes_wrong_key_type));
                }
                let key = unit_of(core.image().part(Part::Slot(*slot)), *unit)?;
                let output = block(&key, *decrypt, input);
                core.count_use(key_use)?;
                Ok(output.to_vec())
            }
            Aes::Block { key: KeyLocation::TempKey, unit, decrypt, input } => {
                // The vendor's test program loads a key with Nonce into a part whose configuration is not locked (section 12).
                let temp_key = core.sram.temp_key.as_ref().ok_or(Refusal::EXECUTION)?;
                let Content::Bytes(bytes) = &temp_key.content else {
                    return Err(Refusal::EXECUTION);
                };
                let key = unit_of(bytes, *unit)?;
                let output = block(&key, *decrypt, input);
                if core.switches.aes_uses_up_temp_key {
                    core.sram.temp_key = None;
                }
                Ok(output.to_vec())
            }
        }
    }
}

/// Returns 16 bytes of key, by the index of the unit; at most four units.
pub(super) fn unit_of(bytes: &[u8], unit: u8) -> Result<Zeroizing<[u8; 16]>, Refusal> {
    let at = 16 * usize::from(unit);
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map(Zeroizing::new).ok_or(Refusal::EXECUTION)
}

/// AES-128 of one block.
pub(super) fn block(key: &[u8; 16], decrypt: bool, input: &[u8; 16]) -> [u8; 16] {
    let cipher = Aes128::new(key.into());
    let mut block = (*input).into();
    if decrypt {
        cipher.decrypt_block(&mut block);
    } else {
        cipher.encrypt_block(&mut block);
    }
    block.into()
}

/// Multiplies in GF(2^128) with GCM's bit order: the first bit of the first byte is the coefficient of 1.
fn multiply(h: &[u8; 16], input: &[u8; 16]) -> [u8; 16] {
    let (mut factor, input) = (u128::from_be_bytes(*h), u128::from_be_bytes(*input));
    let mut product = 0;
    for bit in (0..128).rev() {
        if input >> bit & 1 == 1 {
            product ^= factor;
        }
        let carry = factor & 1;
        factor = (factor >> 1) ^ (carry * (0xE1 << 120));
    }
    product.to_be_bytes()
}
