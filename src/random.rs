// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random numbers.

use super::error::{Error, Result};
use super::ptr::OutBytes;
use super::session::Session;

/// C_GenerateRandom
pub fn generate(session: &Session, out: OutBytes) -> Result<()> {
    let mut deadline = session.token().deadline();
    out.fill(|piece| Ok(session.token().random(&mut deadline, piece)?))
}

/// C_SeedRandom: the chip's generator accepts no seed.
pub fn seed() -> Result<()> {
    Err(Error::RandomSeedNotSupported)
}
