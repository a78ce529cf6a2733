// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verifying signatures: C_Verify, and 3.2's C_VerifySignature, which gets the signature first. Both use the same
//! operation; the functions of one do not accept an operation started with the other.

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::ptr::InBuf;
use super::session::{Session, Verification};
use super::types::from_ulong;
use atecc608_token::buffer::copied;
use atecc608_token::{Mechanism, VerifyOperation};

/// C_VerifyInit, and C_VerifySignatureInit with a signature.
pub fn init(
    session: &mut Session,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
    signature: Option<InBuf>,
) -> Result<()> {
    let Some(mechanism) = mechanism else { return session.verify.cancel_by_null_mechanism() };
    session.verify.check_idle()?;
    let operation = VerifyOperation::new(session.token(), &mechanism, from_ulong(key))?;
    let signature = signature.map(|signature| copied(signature.bytes())).transpose()?;
    session.verify.start(Verification { operation, signature })
}

/// C_Verify
pub fn verify(session: &mut Session, data: Result<InBuf>, signature: Result<InBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    check_kind(session, false)?;
    session.verify.check_unused()?;
    let Verification { mut operation, .. } = session.verify.take()?;
    operation.update(&mut deadline, data?.bytes())?;
    Ok(operation.finish(&mut deadline, signature?.bytes())?)
}

/// C_VerifyUpdate
pub fn update(session: &mut Session, data: Result<InBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    check_kind(session, false)?;
    session.verify.part(|verification| Ok(verification.operation.update(&mut deadline, data?.bytes())?))
}

/// C_VerifyFinal
pub fn finish(session: &mut Session, signature: Result<InBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    check_kind(session, false)?;
    let Verification { operation, .. } = session.verify.take()?;
    Ok(operation.finish(&mut deadline, signature?.bytes())?)
}

/// C_VerifySignature
pub fn verify_signature(session: &mut Session, data: Result<InBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    check_kind(session, true)?;
    session.verify.check_unused()?;
    let Verification { mut operation, signature } = session.verify.take()?;
    operation.update(&mut deadline, data?.bytes())?;
    Ok(operation.finish(&mut deadline, &signature.unwrap_or_default())?)
}

/// C_VerifySignatureUpdate
pub fn signature_update(session: &mut Session, data: Result<InBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    check_kind(session, true)?;
    session.verify.part(|verification| Ok(verification.operation.update(&mut deadline, data?.bytes())?))
}

/// C_VerifySignatureFinal
pub fn signature_finish(session: &mut Session) -> Result<()> {
    let mut deadline = session.token().deadline();
    check_kind(session, true)?;
    let Verification { operation, signature } = session.verify.take()?;
    Ok(operation.finish(&mut deadline, &signature.unwrap_or_default())?)
}

/// Checks that a verification of this kind is active.
pub fn check_kind(session: &mut Session, signature_first: bool) -> Result<()> {
    if session.verify.active()?.signature.is_some() == signature_first {
        Ok(())
    } else {
        Err(Error::OperationNotInitialized(&"verification of this kind"))
    }
}
