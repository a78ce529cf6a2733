// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parameter of a message with AES-GCM (3.0).

use cryptoki_sys::*;

/// What a caller keeps for each message.
pub struct Message {
    pub iv: [u8; 12],
    pub fixed_bits: CK_ULONG,
    pub generator: CK_GENERATOR_FUNCTION,
    pub tag: [u8; 16],
}

impl Message {
    pub fn new(iv: [u8; 12], fixed_bits: CK_ULONG, generator: CK_GENERATOR_FUNCTION) -> Self {
        Self { iv, fixed_bits, generator, tag: [0; 16] }
    }

    pub fn parameter(&mut self) -> CK_GCM_MESSAGE_PARAMS {
        CK_GCM_MESSAGE_PARAMS {
            pIv: self.iv.as_mut_ptr(),
            ulIvLen: 12,
            ulIvFixedBits: self.fixed_bits,
            ivGenerator: self.generator,
            pTag: self.tag.as_mut_ptr(),
            ulTagBits: 128,
        }
    }
}
