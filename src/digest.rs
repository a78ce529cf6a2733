// SPDX-License-Identifier: MIT OR Apache-2.0
//! Message digests, computed on the host. The two-call rule is that of `sign`.

use super::error::Result;
use super::ptr::{InBuf, OutBuf, Room};
use super::session::Session;
use super::types::from_ulong;
use atecc608_token::{DigestOperation, Mechanism};
use cryptoki_sys::*;

/// C_DigestInit
pub fn init(session: &mut Session, mechanism: Option<Mechanism>) -> Result<()> {
    let Some(mechanism) = mechanism else { return session.digest.cancel_by_null_mechanism() };
    session.digest.check_idle()?;
    session.digest.start(DigestOperation::new(&mechanism)?)
}

/// C_Digest
pub fn digest(session: &mut Session, data: Result<InBuf>, digest: Result<OutBuf>) -> Result<()> {
    let len = session.digest.check_unused()?.len();
    let (data, digest) = (session.digest.or_end(data)?, session.digest.or_end(digest)?);
    let slot = match digest.room_for(len) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let mut operation = session.digest.take()?;
    operation.update(data.bytes());
    slot.write(&operation.finish());
    Ok(())
}

/// C_DigestUpdate
pub fn update(session: &mut Session, data: Result<InBuf>) -> Result<()> {
    session.digest.part(|operation| {
        operation.update(data?.bytes());
        Ok(())
    })
}

/// C_DigestKey: for session keys only, because the values of others are not available.
pub fn key(session: &mut Session, key: CK_OBJECT_HANDLE) -> Result<()> {
    let token = session.token().clone();
    session.digest.part(|operation| {
        operation.update(&token.digestible_value(from_ulong(key))?);
        Ok(())
    })
}

/// C_DigestFinal
pub fn finish(session: &mut Session, digest: Result<OutBuf>) -> Result<()> {
    let len = session.digest.active()?.len();
    let slot = match session.digest.or_end(digest)?.room_for(len) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    slot.write(&session.digest.take()?.finish());
    Ok(())
}
