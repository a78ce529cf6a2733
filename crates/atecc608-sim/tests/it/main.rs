// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulated chip, tested against the fact sheet with a bus master without the driver.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod bus;
mod crypto;
mod faults;
mod images;
mod keys;
mod locks;
mod modes;
mod openssl;
mod profiles;
mod properties;
mod secrets;
mod server;
mod switches;
mod symmetric;
mod usbip;
mod uses;
mod vectors_ecc;
mod vectors_symmetric;
mod volatile;
