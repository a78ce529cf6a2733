// SPDX-License-Identifier: MIT OR Apache-2.0
//! Message-based encryption of PKCS#11 3.0: AES-GCM, whole or in parts. No part of a decrypted message is returned
//! before its tag was checked: with parts, the last part returns the whole text.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::ptr::{InBuf, MessageParameter, OutBuf, Room};
use super::session::{Activity, Session};
use super::types::from_ulong;
use atecc608_token::deadline::Deadline;
use atecc608_token::{Direction, Mechanism, MessageCipher};

fn activity(session: &mut Session, direction: Direction) -> &mut Activity<MessageCipher> {
    match direction {
        Direction::Encrypt => &mut session.message_encrypt,
        Direction::Decrypt => &mut session.message_decrypt,
    }
}

/// C_MessageEncryptInit, C_MessageDecryptInit
pub fn init(
    session: &mut Session,
    direction: Direction,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let Some(mechanism) = mechanism else { return activity(session, direction).cancel_by_null_mechanism() };
    activity(session, direction).check_idle()?;
    let cipher = session.token().message_cipher(direction, &mechanism, from_ulong(key))?;
    activity(session, direction).start(cipher)
}

/// C_EncryptMessage, C_DecryptMessage. An encryption writes the vector and the tag to the parameter; a query for the
/// length, or a short buffer, uses no vector.
pub fn whole(
    session: &mut Session,
    direction: Direction,
    parameter: Result<MessageParameter>,
    associated: Result<InBuf>,
    text: Result<InBuf>,
    output: Result<OutBuf>,
) -> Result<()> {
    let mut deadline = session.token().deadline();
    let cipher = activity(session, direction).active()?;
    check_no_message(cipher)?;
    let (parameter, associated, text, output) = (parameter?, associated?, text?, output?);
    let slot = match output.room_for(text.bytes().len()) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let iv = cipher.begin_message(&parameter.vector()?, associated.bytes())?;
    let text = last_part(cipher, &mut deadline, direction, &parameter, &text)?;
    if direction == Direction::Encrypt {
        parameter.set_iv(&iv);
    }
    slot.write(&text);
    Ok(())
}

/// C_EncryptMessageBegin, C_DecryptMessageBegin
pub fn begin(
    session: &mut Session,
    direction: Direction,
    parameter: Result<MessageParameter>,
    associated: Result<InBuf>,
) -> Result<()> {
    let cipher = activity(session, direction).active()?;
    check_no_message(cipher)?;
    let (parameter, associated) = (parameter?, associated?);
    let iv = cipher.begin_message(&parameter.vector()?, associated.bytes())?;
    if direction == Direction::Encrypt {
        parameter.set_iv(&iv);
    }
    Ok(())
}

fn check_no_message(cipher: &MessageCipher) -> Result<()> {
    if cipher.is_in_message() {
        return Err(Error::OperationActive(&"message in parts"));
    }
    Ok(())
}

/// C_EncryptMessageNext, C_DecryptMessageNext. A query for the length, or a short buffer, does not change the message;
/// any other failure ends the message, but not the series.
pub fn next(
    session: &mut Session,
    direction: Direction,
    parameter: Result<MessageParameter>,
    input: Result<InBuf>,
    output: Result<OutBuf>,
    flags: CK_FLAGS,
) -> Result<()> {
    let mut deadline = session.token().deadline();
    let cipher = activity(session, direction).active()?;
    if !cipher.is_in_message() {
        return Err(Error::OperationNotInitialized(&"message in parts"));
    }
    let result = part(cipher, &mut deadline, direction, parameter, input, output, flags);
    if !matches!(result, Ok(()) | Err(Error::BufferTooSmall(_))) {
        cipher.cancel_message();
    }
    result
}

fn part(
    cipher: &mut MessageCipher,
    deadline: &mut Deadline,
    direction: Direction,
    parameter: Result<MessageParameter>,
    input: Result<InBuf>,
    output: Result<OutBuf>,
    flags: CK_FLAGS,
) -> Result<()> {
    let (parameter, input, output) = (parameter?, input?, output?);
    let is_last = match flags {
        0 => false,
        CKF_END_OF_MESSAGE => true,
        _ => return Err(Error::ArgumentsBad(&"the only flag of a part of a message is CKF_END_OF_MESSAGE")),
    };
    let slot = match output.room_for(cipher.part_len(input.bytes().len(), is_last)) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let text = match is_last {
        false => cipher.part(deadline, input.bytes())?,
        true => last_part(cipher, deadline, direction, &parameter, &input)?,
    };
    slot.write(&text);
    Ok(())
}

/// Returns the output of the last part of a message, and reads or writes the tag in the parameter. The message ends in
/// any case.
fn last_part(
    cipher: &mut MessageCipher,
    deadline: &mut Deadline,
    direction: Direction,
    parameter: &MessageParameter,
    input: &InBuf,
) -> Result<Zeroizing<Vec<u8>>> {
    let given = match direction {
        Direction::Encrypt => Vec::new(),
        Direction::Decrypt => parameter.tag().inspect_err(|_| cipher.cancel_message())?,
    };
    let (text, tag) = cipher.last_part(deadline, input.bytes(), &given)?;
    if direction == Direction::Encrypt {
        parameter.set_tag(&tag)?;
    }
    Ok(text)
}

/// C_MessageEncryptFinal, C_MessageDecryptFinal
pub fn finish(session: &mut Session, direction: Direction) -> Result<()> {
    activity(session, direction).take().map(drop)
}
