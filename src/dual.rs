// SPDX-License-Identifier: MIT OR Apache-2.0
//! Dual-function operations: encryption or decryption, combined with an operation on the clear text. Each runs the two
//! single operations, both of which must be active.
//!
//! A query for the length, or a short buffer, changes neither; any other failure ends both. The last clear text of a
//! padded or authenticated decryption is returned by C_DecryptFinal only: the caller passes it to C_DigestUpdate or
//! C_VerifyUpdate, as the standard says.

use super::cipher;
use super::error::Result;
use super::ptr::{InBuf, OutBuf, Room};
use super::session::Session;
use super::verify;
use atecc608_token::deadline::Deadline;
use atecc608_token::Direction;

/// The operation on the clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// C_DigestUpdate.
    Digest,
    /// C_SignUpdate.
    Sign,
    /// C_VerifyUpdate.
    Verify,
}

impl Beside {
    fn check_active(self, session: &mut Session) -> Result<()> {
        match self {
            Self::Digest => session.digest.active().map(drop),
            Self::Sign => session.sign.active().map(drop),
            Self::Verify => verify::check_kind(session, false),
        }
    }

    fn update(self, session: &mut Session, deadline: &mut Deadline, clear: &[u8]) -> Result<()> {
        match self {
            Self::Digest => session.digest.part(|digest| {
                digest.update(clear);
                Ok(())
            }),
            Self::Sign => session.sign.part(|operation| Ok(operation.update(deadline, clear)?)),
            Self::Verify => session.verify.part(|verification| Ok(verification.operation.update(deadline, clear)?)),
        }
    }

    fn cancel(self, session: &mut Session) {
        match self {
            Self::Digest => session.digest.cancel(),
            Self::Sign => session.sign.cancel(),
            Self::Verify => session.verify.cancel(),
        };
    }
}

/// C_DigestEncryptUpdate, C_DecryptDigestUpdate, C_SignEncryptUpdate, C_DecryptVerifyUpdate
pub fn update(
    session: &mut Session,
    direction: Direction,
    beside: Beside,
    input: Result<InBuf>,
    output: Result<OutBuf>,
) -> Result<()> {
    beside.check_active(session)?;
    cipher::activity(session, direction).active()?;
    let end_both = |session: &mut Session| {
        cipher::activity(session, direction).cancel();
        beside.cancel(session);
    };
    let (input, output) = match (input, output) {
        (Ok(input), Ok(output)) => (input, output),
        (Err(error), _) | (_, Err(error)) => {
            end_both(session);
            return Err(error);
        }
    };
    let mut deadline = session.token().deadline();
    let activity = cipher::activity(session, direction);
    let slot = match output.room_for(activity.active()?.update_len(input.bytes().len())) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let mut result = Default::default();
    let done = activity
        .part(|operation| {
            result = operation.update(&mut deadline, input.bytes())?;
            Ok(())
        })
        .and_then(|()| {
            let clear = if direction == Direction::Encrypt { input.bytes() } else { &result };
            beside.update(session, &mut deadline, clear)
        });
    match done {
        Ok(()) => slot.write(&result),
        Err(_) => end_both(session),
    }
    done
}
