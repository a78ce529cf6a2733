//! What this module does not do, in one place. Each function here is the body of the C functions it names, and gives the
//! answer that the standard has for them. (The guard has checked the session by then, where there is one.)

use super::error::{Error, Result};

/// C_GetOperationState, C_SetOperationState: an operation can't leave its session.
pub fn operation_state() -> Result<()> {
    Err(Error::FunctionNotSupported)
}

/// C_EncryptMessageBegin, C_EncryptMessageNext, and the same of C_DecryptMessage: a message is given whole.
pub fn message_in_parts() -> Result<()> {
    Err(Error::FunctionNotSupported)
}

/// C_SignRecoverInit, C_SignRecover, C_VerifyRecoverInit, C_VerifyRecover: ECDSA has no recovery.
pub fn recovery() -> Result<()> {
    Err(Error::FunctionNotSupported)
}

/// C_DigestEncryptUpdate, C_DecryptDigestUpdate, C_SignEncryptUpdate, C_DecryptVerifyUpdate.
pub fn dual_function() -> Result<()> {
    Err(Error::FunctionNotSupported)
}

/// C_MessageSignInit, C_SignMessage and the rest, and the same of C_MessageVerify: no mechanism has messages.
pub fn message_signing() -> Result<()> {
    Err(Error::FunctionNotSupported)
}

/// C_EncapsulateKey, C_DecapsulateKey: no mechanism encapsulates.
pub fn encapsulation() -> Result<()> {
    Err(Error::FunctionNotSupported)
}

/// C_AsyncComplete, C_AsyncGetID, C_AsyncJoin: there are no asynchronous sessions.
pub fn asynchronous() -> Result<()> {
    Err(Error::FunctionNotSupported)
}

/// C_GetFunctionStatus, C_CancelFunction: left from a time of parallel execution.
pub fn parallel() -> Result<()> {
    Err(Error::FunctionNotParallel)
}
