// SPDX-License-Identifier: MIT OR Apache-2.0
//! General-purpose functions: C_Initialize, C_Finalize, C_GetInfo. (C_GetFunctionList and related functions are in
//! `interfaces`.)

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::lifecycle;
use super::module::Module;
use super::ptr::{self, Out};
use super::types::padded;
use atecc608_token::config::Config;
use atecc608_token::logging::{self, LogSettings};
use atecc608_token::process;

/// The name of this package in the ABI's manufacturer fields.
const MANUFACTURER: &str = "atecc608-pkcs11";

/// C_Initialize
pub fn initialize(args: Option<CK_C_INITIALIZE_ARGS>) -> Result<()> {
    lifecycle::initialise(|| {
        // Open the log first, so that it gets all later messages.
        let config = Config::load(!process::is_privileged());
        logging::init(config.as_ref().map_or(&LogSettings::default(), |config| &config.log));
        check_args(args)?;
        process::release_locks_in_children();
        Ok(Module::new(config.map_err(|error| Error::Configuration(error.to_string().into()))?))
    })
}

/// The module uses the operating system's locks, which work in every program on Linux: a caller's own mutexes
/// (CKF_OS_LOCKING_OK clear, all four functions given) are accepted and not used. It creates no threads, so
/// CKF_LIBRARY_CANT_CREATE_OS_THREADS has no effect.
fn check_args(args: Option<CK_C_INITIALIZE_ARGS>) -> Result<()> {
    let Some(args) = args else { return Ok(()) };
    ptr::must_be_null(args.pReserved)?;
    let mutex_functions =
        [args.CreateMutex.is_some(), args.DestroyMutex.is_some(), args.LockMutex.is_some(), args.UnlockMutex.is_some()];
    if mutex_functions.iter().all(|given| *given == mutex_functions[0]) {
        Ok(())
    } else {
        Err(Error::ArgumentsBad(&"some of the four mutex functions are given, and some are NULL"))
    }
}

/// C_Finalize
pub fn finalize() -> Result<()> {
    lifecycle::finalise()
}

/// C_GetInfo. Returns the version of the function list that the caller used: clients of 2.40 refuse 3.x.
pub fn info(version: CK_VERSION, out: Out<CK_INFO>) -> Result<()> {
    out.set(CK_INFO {
        cryptokiVersion: version,
        manufacturerID: padded(MANUFACTURER),
        flags: 0,
        libraryDescription: padded("ATECC608 secure element"),
        libraryVersion: CK_VERSION {
            major: env!("CARGO_PKG_VERSION_MAJOR").parse().unwrap_or(0),
            minor: env!("CARGO_PKG_VERSION_MINOR").parse().unwrap_or(0),
        },
    });
    Ok(())
}
