// SPDX-License-Identifier: MIT OR Apache-2.0
//! The common part of every C function: catches panics, finds the module and the session, logs the outcome once and
//! converts it to a CK_RV. `exports.rs` can't define a function without one of the three entries.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

use cryptoki_sys::*;
use log::{debug, log, Level};

use super::error::{Error, Result, Row};
use super::lifecycle;
use super::module::Module;
use super::session::Session;

/// The body of a function. Bodies are `dyn`, so that this code is compiled once instead of a hundred times. (A `dyn
/// FnMut` is larger: it includes a second function, for a call that consumes it.)
trait Body<A> {
    fn run(&mut self, argument: A) -> Result<()>;
}

impl<A, F: FnMut(A) -> Result<()>> Body<A> for F {
    fn run(&mut self, argument: A) -> Result<()> {
        self(argument)
    }
}

/// Runs a function that needs no initialised module.
pub fn library(name: &'static str, mut body: impl FnMut(()) -> Result<()>) -> CK_RV {
    guarded(name, &mut body)
}

/// Runs a function of the initialised module.
pub fn module(name: &'static str, mut body: impl FnMut(&Module) -> Result<()>) -> CK_RV {
    with_module(name, &mut body)
}

/// Runs a function of an open session, which is locked until it returns.
pub fn session(
    name: &'static str,
    handle: CK_SESSION_HANDLE,
    mut body: impl FnMut(&mut Session) -> Result<()>,
) -> CK_RV {
    with_session(name, handle, &mut body)
}

fn guarded(name: &str, body: &mut dyn Body<()>) -> CK_RV {
    // The state after a panic is consistent: locks are released, and an interrupted operation has been taken out of its
    // session before.
    let guarded = AssertUnwindSafe(|| {
        let result = catch_unwind(AssertUnwindSafe(|| body.run(()))).unwrap_or_else(|panic| Err(internal(&*panic)));
        answer(name, result)
    });
    catch_unwind(guarded).unwrap_or(CKR_GENERAL_ERROR)
}

fn with_module(name: &str, body: &mut dyn for<'m> Body<&'m Module>) -> CK_RV {
    guarded(name, &mut |()| body.run(lifecycle::enter()?.module()))
}

fn with_session(name: &str, handle: CK_SESSION_HANDLE, body: &mut dyn for<'s> Body<&'s mut Session>) -> CK_RV {
    with_module(name, &mut |module: &Module| module.sessions().with(handle, |session| body.run(session)))
}

fn internal(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::Internal(text.unwrap_or("a panic").into())
}

/// Logs the outcome and converts it to the return value.
fn answer(name: &str, result: Result<()>) -> CK_RV {
    let Err(error) = result else {
        debug!("{name}: CKR_OK");
        return CKR_OK;
    };
    let Row { rv, name: rv_name, level } = error.row_for(name);
    if level >= Level::Debug || log::log_enabled!(Level::Debug) {
        log!(level, "{name}: {error} ({rv_name})");
    } else {
        log!(level, "{name}: {error}");
    }
    rv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_general_error() {
        assert_eq!(library("C_Test", |()| panic!("for a test")), CKR_GENERAL_ERROR);
    }

    #[test]
    fn an_error_becomes_its_code() {
        assert_eq!(library("C_Test", |()| Err(Error::NoEvent)), CKR_NO_EVENT);
        assert_eq!(library("C_Test", |()| Ok(())), CKR_OK);
    }
}
