//! A PKCS#11 module over Microchip's ATECC608 secure element on I2C.
//!
//! # Layers
//!
//! Dependencies point one way only (`tests/layering.rs` checks it):
//!
//! ```text
//! wire  <-  chip  <-  token  <-  pkcs11        bus: where a chip is reached; opened by token
//! wire  <-  sim                                cli: beside pkcs11, on token and chip
//! ```
//!
//! # Reading order
//!
//! 1. [`wire`]: bytes and types. One type per command of the chip.
//! 2. [`chip`]: the driver: wake, exchange, retry, sleep; what the chip can be asked to do.
//! 3. [`bus`]: how a chip is reached (Linux I2C, simulated), and the lock around one conversation.
//! 4. [`token`]: keys, certificates and data as objects; labels and ids in the state folder.
//! 5. [`pkcs11`]: the C functions.
//! 6. [`sim`]: the simulated chip, written from the fact sheet, sharing only [`wire`] with the driver.
//! 7. [`cli`]: the `atecc608` tool.

pub mod bus;
pub mod chip;
pub mod cli;
pub mod config;
pub mod document;
pub mod logging;
pub mod pkcs11;
pub mod process;
#[cfg(feature = "sim")]
pub mod sim;
pub mod token;
pub mod wire;
