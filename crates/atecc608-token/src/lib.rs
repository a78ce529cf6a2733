// SPDX-License-Identifier: MIT OR Apache-2.0
//! The token: one chip as PKCS#11 objects. Safe Rust, no raw pointers; independent of C and of the sessions' operation
//! state.
//!
//! The chip is the truth about keys; the state folder holds names, certificates, cached points and marks.
//!
//! # Three types
//!
//! - [`Token`] is one configured chip: the known facts, the link to the chip, and a method for each operation of the
//!   PKCS#11 functions.
//! - `snapshot::Known` holds the known facts about the chip at one moment: configuration, state, keys, certificates,
//!   login. It is immutable; a change creates a new one, which is posted as a whole. Readers take the posted one
//!   without waiting.
//! - `turn::Turn` is a turn with the chip: the queue, the bus lock, the identity of the chip. All functions that access
//!   the chip take `&mut Turn`.
//!
//! # Reading order
//!
//! 1. `token`, the list of all operations and which half each needs.
//! 2. `snapshot`, `identity` (which chip it is), `configuration` (its configuration zone, stored by root), `state` and
//!    `store` (the state folder), `state_dir`, `state_access`.
//! 3. `turn`, `absence` (its errors), `learn` (reading facts about keys), `latch`, `intents` (changes begun and not
//!    committed), `io_protection`, `trusted` (public keys stored by root).
//! 4. Objects: `class` (a table of attributes for each class), `object` (handles), `find`, `access` (by handle),
//!    `create`, `public_key`, `modify`; `certificates`.
//! 5. Keys: `keygen`, `import`, `names`, `session_pair`, `sign`, `derive`, `kdf`, `secret`, `cipher`, `mac`, `wrap`;
//!    `pin` is the login.
//! 6. For the tool: `inventory`, `between_locks`, `attest`. At the bottom: `bus`, `config`, `memory` (for secrets),
//!    `process`.

pub mod attest;
pub mod attribute;
pub mod between_locks;
pub mod buffer;
pub mod bus;
pub mod certificate;
pub mod config;
pub mod configuration;
pub mod deadline;
pub mod document;
pub mod error;
pub mod inventory;
pub mod io_key;
pub mod layout;
pub mod logging;
pub mod memory;
pub mod pin;
pub mod point;
pub mod process;
pub mod profile;
pub mod recognised;
pub mod state;
pub mod state_dir;
pub mod store;
pub mod template;
pub mod trusted;
pub mod visible;

mod absence;
mod access;
mod certificates;
mod cipher;
mod class;
mod create;
mod derive;
mod digest;
mod fair;
#[cfg(test)]
mod fair_tests;
mod feature;
mod find;
mod identity;
mod import;
mod info;
mod intents;
mod io_protection;
mod kdf;
mod kept;
mod keygen;
mod latch;
mod learn;
mod mac;
mod mechanism;
#[cfg(test)]
mod models;
mod modify;
mod names;
mod object;
mod past;
mod posted;
mod public_key;
mod random;
mod secret;
mod session_pair;
mod sign;
mod snapshot;
mod state_access;
mod state_file;
mod sync;
mod token;
mod turn;
mod wrap;

pub use certificates::held::is_in as is_certificate_in_slot_8;
pub use cipher::message::{MessageCipher, MessageVector};
pub use cipher::{CipherOperation, Direction};
pub use digest::DigestOperation;
pub use error::{Error, Result};
pub use info::{SlotInfo, TokenInfo};
pub use mechanism::{HkdfSalt, Mechanism, MechanismInfo, Parameter};
pub use sign::{SignOperation, VerifyOperation};
pub use template::Template;
pub use token::Token;

/// An object's handle within one token and process.
pub type ObjectHandle = u64;

/// The session of a call, to which session objects belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    /// The session's handle.
    pub id: u64,
    /// Whether it may change token objects.
    pub read_write: bool,
}
