// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions that this module does not support. Each function here is the body of the C functions it names, and
//! returns the error that the standard provides. (The guard has checked the session, where there is one.)

use cryptoki_sys::{CK_BYTE, CK_MECHANISM};

use super::error::{Error, Result};
use super::session::Session;
use atecc608_token as token;

/// C_GetOperationState: the state of an operation can't leave its session.
pub fn save_state(session: &Session) -> Result<()> {
    Err(if session.is_busy() { Error::StateUnsaveable } else { Error::OperationNotInitialized(&"operation") })
}

/// C_SetOperationState: no state was ever saved.
pub fn restore_state() -> Result<()> {
    Err(Error::SavedStateInvalid)
}

/// C_SignRecoverInit, C_VerifyRecoverInit, C_MessageSignInit, C_MessageVerifyInit, C_EncapsulateKey, C_DecapsulateKey:
/// no mechanism supports them.
pub fn mechanism(mechanism: Option<CK_MECHANISM>) -> Result<()> {
    let mechanism = mechanism.ok_or(Error::ArgumentsBad(&"the mechanism is NULL"))?;
    Err(token::Error::MechanismInvalid(mechanism.mechanism).into())
}

/// C_SignRecover, C_VerifyRecover: such an operation can't be started.
pub fn recovery() -> Result<()> {
    Err(Error::OperationNotInitialized(&"operation with recovery"))
}

/// C_SignMessage, C_VerifyMessage and the rest: such an operation can't be started.
pub fn message_signing() -> Result<()> {
    Err(Error::OperationNotInitialized(&"operation with messages"))
}

/// C_AsyncComplete, C_AsyncGetID: no operation is asynchronous (3.2 section 5.21). `function` is the first byte of a
/// name.
pub fn asynchronous(function: Option<CK_BYTE>) -> Result<()> {
    check_name(function)?;
    Err(Error::OperationNotInitialized(&"asynchronous operation"))
}

/// C_AsyncJoin: there is nothing to join.
pub fn join(function: Option<CK_BYTE>) -> Result<()> {
    check_name(function)?;
    Err(Error::SavedStateInvalid)
}

fn check_name(function: Option<CK_BYTE>) -> Result<()> {
    match function {
        None => Err(Error::ArgumentsBad(&"the function's name is NULL")),
        Some(0) => Err(Error::ArgumentsBad(&"the function's name is empty")),
        Some(_) => Ok(()),
    }
}

/// C_GetFunctionStatus, C_CancelFunction: legacy functions for parallel execution.
pub fn parallel() -> Result<()> {
    Err(Error::FunctionNotParallel)
}
