// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signing.
//!
//! A query for the length, or a short buffer, does not change the operation; any other result of a function that
//! returns the signature ends it.

use cryptoki_sys::*;

use super::error::Result;
use super::ptr::{InBuf, OutBuf, Room};
use super::session::Session;
use super::types::from_ulong;
use atecc608_token::{Mechanism, SignOperation};

/// C_SignInit
pub fn init(session: &mut Session, mechanism: Option<Mechanism>, key: CK_OBJECT_HANDLE) -> Result<()> {
    let Some(mechanism) = mechanism else { return session.sign.cancel_by_null_mechanism() };
    session.sign.check_idle()?;
    let operation = SignOperation::new(session.token(), &mechanism, from_ulong(key))?;
    session.sign.start(operation)
}

/// C_Sign
pub fn sign(session: &mut Session, data: Result<InBuf>, signature: Result<OutBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    let len = session.sign.check_unused()?.len();
    let (data, signature) = (session.sign.or_end(data)?, session.sign.or_end(signature)?);
    let slot = match signature.room_for(len) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let mut operation = session.sign.take()?;
    operation.update(&mut deadline, data.bytes())?;
    slot.write(&operation.finish(session.token(), &mut deadline)?);
    Ok(())
}

/// C_SignUpdate
pub fn update(session: &mut Session, data: Result<InBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    session.sign.part(|operation| Ok(operation.update(&mut deadline, data?.bytes())?))
}

/// C_SignFinal
pub fn finish(session: &mut Session, signature: Result<OutBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    let len = session.sign.active()?.len();
    let slot = match session.sign.or_end(signature)?.room_for(len) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let operation = session.sign.take()?;
    slot.write(&operation.finish(session.token(), &mut deadline)?);
    Ok(())
}
