// SPDX-License-Identifier: MIT OR Apache-2.0
//! Encryption and decryption, which differ only in their direction.
//!
//! A query for the length, or a short buffer, does not change the operation; any other failure ends it.

use cryptoki_sys::*;

use super::error::Result;
use super::ptr::{InBuf, OutBuf, Room};
use super::session::{Activity, Session};
use super::types::from_ulong;
use atecc608_token::deadline::Deadline;
use atecc608_token::{CipherOperation, Direction, Mechanism};

/// The session's operation of this direction.
pub fn activity(session: &mut Session, direction: Direction) -> &mut Activity<CipherOperation> {
    match direction {
        Direction::Encrypt => &mut session.encrypt,
        Direction::Decrypt => &mut session.decrypt,
    }
}

/// C_EncryptInit, C_DecryptInit
pub fn init(
    session: &mut Session,
    direction: Direction,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let Some(mechanism) = mechanism else { return activity(session, direction).cancel_by_null_mechanism() };
    activity(session, direction).check_idle()?;
    let operation = session.token().cipher(direction, &mechanism, from_ulong(key))?;
    activity(session, direction).start(operation)
}

/// C_Encrypt, C_Decrypt
pub fn whole(session: &mut Session, direction: Direction, input: Result<InBuf>, output: Result<OutBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    let activity = activity(session, direction);
    activity.check_unused()?;
    let (input, output) = (activity.or_end(input)?, activity.or_end(output)?);
    end(activity, &mut deadline, input.bytes(), output)
}

/// C_EncryptUpdate, C_DecryptUpdate
pub fn update(session: &mut Session, direction: Direction, input: Result<InBuf>, output: Result<OutBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    let activity = activity(session, direction);
    activity.active()?;
    let (input, output) = (activity.or_end(input)?, activity.or_end(output)?);
    let slot = match output.room_for(activity.active()?.update_len(input.bytes().len())) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    activity.part(|operation| {
        let output = operation.update(&mut deadline, input.bytes())?;
        slot.write(&output);
        Ok(())
    })
}

/// C_EncryptFinal, C_DecryptFinal
pub fn finish(session: &mut Session, direction: Direction, output: Result<OutBuf>) -> Result<()> {
    let mut deadline = session.token().deadline();
    let activity = activity(session, direction);
    activity.active()?;
    let output = activity.or_end(output)?;
    end(activity, &mut deadline, &[], output)
}

/// The rest of the output, after the last input.
fn end(activity: &mut Activity<CipherOperation>, deadline: &mut Deadline, input: &[u8], output: OutBuf) -> Result<()> {
    let operation = activity.active()?;
    let at_most = operation.end_len(input.len());
    // The length of a padded text is known only after decryption: a buffer that may be too short is not refused before.
    let exact = if operation.end_len_is_secret() && !output.is_query() && !output.has_room_for(at_most) {
        let computed = operation.end(deadline, input).map_err(Into::into);
        activity.or_end(computed)?
    } else {
        at_most
    };
    let slot = match output.room_for(exact) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let mut operation = activity.take()?;
    operation.end(deadline, input)?;
    slot.write(&operation.take());
    Ok(())
}
