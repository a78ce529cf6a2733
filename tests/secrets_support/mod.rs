//! What the search of tests/sim_secrets.rs is made of: the steps that it draws ([`steps`]), who takes them
//! ([`attacker`]), and who looks at what the chip did ([`judge`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod attacker;
pub mod judge;
pub mod steps;
pub mod temp_key;
