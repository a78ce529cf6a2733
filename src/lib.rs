//! The C interface: PKCS#11 2.40, 3.0 and 3.2.
//!
//! One call, from the outside in:
//!
//! 1. [`exports`]: the list of all C functions; from it come the exported symbols and the function lists (`interfaces`
//!    returns those).
//! 2. [`guard`]: what every call goes through: panics, initialised?, session, log, CK_RV.
//! 3. [`ptr`]: the caller's pointers become values. Nothing beyond this file and `exports` sees one.
//! 4. The bodies, a file per chapter of the standard: `general`, `slots`, `sessions`, `objects`, `sign`, `verify`,
//!    `digest`, `dual`, `keys`, `random`, and in `unsupported` all that this module does not do. They are thin: the work is
//!    the token's.
//!
//! State: [`lifecycle`] (C_Initialize, C_Finalize, fork) holds one [`module::Module`], which holds the tokens and the
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
