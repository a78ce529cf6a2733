// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chip's random number generator, and the generator for execution times and faults.

use std::time::Duration;

use p256::elliptic_curve::rand_core::{self, CryptoRng, RngCore};
use sha2::{Digest, Sha256};

/// Random numbers of a chip: real, or reproducible for tests.
pub(crate) enum ChipRng {
    /// The operating system's.
    System {
        /// Whether it ever failed; the chip then returns 08 (health test error).
        failed: bool,
    },
    /// SHA-256 over seed and counter.
    Seeded {
        /// The seed.
        seed: u64,
        /// Blocks drawn.
        counter: u64,
    },
}

impl ChipRng {
    pub(crate) const fn system() -> Self {
        Self::System { failed: false }
    }

    pub(crate) const fn seeded(seed: u64) -> Self {
        Self::Seeded { seed, counter: 0 }
    }

    /// Numbers for the creation of a chip: a part of the seed's sequence that the chip itself never reaches.
    pub(crate) const fn seeded_factory(seed: u64) -> Self {
        Self::Seeded { seed, counter: 1 << 63 }
    }

    /// Whether the numbers are usable: the generator's health test.
    pub(crate) fn healthy(&self) -> bool {
        !matches!(self, Self::System { failed: true })
    }

    pub(crate) fn bytes_32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill_bytes(&mut bytes);
        bytes
    }
}

impl RngCore for ChipRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        match self {
            Self::System { failed } => *failed |= getrandom::fill(dest).is_err(),
            Self::Seeded { seed, counter } => {
                for chunk in dest.chunks_mut(32) {
                    *counter += 1;
                    let block = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(counter.to_le_bytes());
                    chunk.copy_from_slice(&block.finalize()[..chunk.len()]);
                }
            }
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for ChipRng {}

/// Numbers for times and faults: splitmix64, never for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below a limit that is not 0, approximately uniform.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// Returns a time between two times, uniformly drawn.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_micros()).unwrap_or(0);
        low + Duration::from_micros(self.roll() % (span + 1))
    }
}
