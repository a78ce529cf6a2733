// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C interface: PKCS#11 2.40, 3.0 and 3.2.
//!
//! The path of one call:
//!
//! 1. [`exports`]: the list of all C functions; the exported symbols and the function lists are generated from it
//!    (`interfaces` returns the lists).
//! 2. [`guard`]: the common part of every call: panics, initialised?, session, log, CK_RV.
//! 3. [`ptr`]: converts the caller's pointers to values. Only this file and `exports` handle pointers.
//! 4. The bodies, a file per chapter of the standard: `general`, `slots`, `sessions`, `objects`, `sign`, `verify`,
//!    `digest`, `dual`, `keys`, `random`, and in `unsupported` the functions that this module does not support. They
//!    are thin: the token does the work.
//!
//! State: [`lifecycle`] (C_Initialize, C_Finalize, fork) owns one [`module::Module`], which owns the tokens and the
//! [`session`] table. Errors: [`error`], with the table of their codes.

pub mod error;
pub mod exports;
pub mod guard;
pub mod lifecycle;
mod message;
pub mod module;
pub mod ptr;
pub mod session;
pub mod types;

mod cipher;
mod digest;
mod dual;
mod general;
mod interfaces;
mod keys;
mod objects;
mod random;
mod sessions;
mod sign;
mod slots;
mod unsupported;
mod verify;
