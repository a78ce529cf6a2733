//! Random numbers.

use super::error::{Error, Result};
use super::ptr::OutBytes;
use super::session::Session;

/// C_GenerateRandom
pub fn generate(session: &Session, out: OutBytes) -> Result<()> {
    out.fill(|piece| Ok(session.token().random(piece)?))
}

/// C_SeedRandom: the chip's generator takes no seed.
pub fn seed() -> Result<()> {
    Err(Error::RandomSeedNotSupported)
}
