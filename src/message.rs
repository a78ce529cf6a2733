//! 3.0's functions for messages: AES-GCM, a whole message at a time. In parts they are refused: a part of a decrypted
//! message would be out before its tag was seen.

use cryptoki_sys::*;

use super::error::Result;
use super::ptr::{InBuf, MessageParameter, OutBuf, Room};
use super::session::{Activity, Session};
use super::types::from_ulong;
use atecc608_token::buffer::copied;
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

/// C_EncryptMessage, C_DecryptMessage. Of an encryption the vector and the tag go where the parameter says; a question for the
/// length, or a short buffer, uses up no vector.
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
    let (parameter, associated, text, output) = (parameter?, associated?, text?, output?);
    let slot = match output.room_for(text.bytes().len()) {
        Room::Query => return Ok(()),
        Room::TooSmall(error) => return Err(error),
        Room::Fits(slot) => slot,
    };
    let mut text = zeroize::Zeroizing::new(copied(text.bytes())?);
    let (vector, associated) = (parameter.vector()?, associated.bytes());
    match direction {
        Direction::Encrypt => {
            let (iv, tag) = cipher.encrypt(&mut deadline, &vector, associated, &mut text)?;
            parameter.set_iv(&iv);
            parameter.set_tag(&tag);
        }
        Direction::Decrypt => cipher.decrypt(&mut deadline, &vector, associated, &parameter.tag()?, &mut text)?,
    }
    slot.write(&text);
    Ok(())
}

/// C_MessageEncryptFinal, C_MessageDecryptFinal
pub fn finish(session: &mut Session, direction: Direction) -> Result<()> {
    activity(session, direction).take().map(drop)
}
