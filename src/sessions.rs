// SPDX-License-Identifier: MIT OR Apache-2.0
//! Session management, login and logout.

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::module::Module;
use super::ptr::{InBuf, Out};
use super::session::Session;
use atecc608_token::pin::Who;
use atecc608_token::{self as token, Token};

/// C_OpenSession. The application's data and callback are accepted but not used: no call takes so long that it would
/// offer to cancel.
pub fn open(module: &Module, slot: CK_SLOT_ID, flags: CK_FLAGS, out: Out<CK_SESSION_HANDLE>) -> Result<()> {
    let token = module.token(slot)?;
    if flags & CKF_SERIAL_SESSION == 0 {
        return Err(Error::SessionParallelNotSupported);
    }
    if flags & CKF_ASYNC_SESSION != 0 {
        return Err(Error::SessionAsyncNotSupported);
    }
    token.ensure_present()?;
    if flags & CKF_RW_SESSION == 0 && token.who() == Who::Officer {
        return Err(Error::SessionReadWriteSoExists);
    }
    out.set(module.sessions().open(token, flags & CKF_RW_SESSION != 0));
    Ok(())
}

/// C_CloseSession
pub fn close(module: &Module, session: CK_SESSION_HANDLE) -> Result<()> {
    module.sessions().close(session)
}

/// C_CloseAllSessions
pub fn close_all(module: &Module, token: &Token) -> Result<()> {
    module.sessions().close_all(token);
    Ok(())
}

/// C_GetSessionInfo
pub fn info(session: &Session, out: Out<CK_SESSION_INFO>) -> Result<()> {
    out.set(CK_SESSION_INFO {
        slotID: session.token().slot_id(),
        state: session.state(),
        flags: session.flags(),
        ulDeviceError: 0,
    });
    Ok(())
}

/// C_SessionCancel. Operations that are not active are ignored.
pub fn cancel(session: &mut Session, flags: CK_FLAGS) -> Result<()> {
    let asked = |flag| flags & flag != 0;
    if asked(CKF_FIND_OBJECTS) {
        session.find.cancel();
    }
    if asked(CKF_ENCRYPT) {
        session.encrypt.cancel();
    }
    if asked(CKF_DECRYPT) {
        session.decrypt.cancel();
    }
    if asked(CKF_MESSAGE_ENCRYPT) {
        session.message_encrypt.cancel();
    }
    if asked(CKF_MESSAGE_DECRYPT) {
        session.message_decrypt.cancel();
    }
    if asked(CKF_SIGN) {
        session.sign.cancel();
    }
    if asked(CKF_VERIFY) {
        session.verify.cancel();
    }
    if asked(CKF_DIGEST) {
        session.digest.cancel();
    }
    Ok(())
}

/// C_Login
pub fn login(
    module: &Module,
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: impl FnOnce() -> Result<Option<InBuf>>,
) -> Result<()> {
    module.sessions().with(session, |session| {
        let pin = pin()?;
        let counts = module.sessions().counts(session.token());
        if user == CKU_SO && counts.all != counts.read_write {
            return Err(Error::SessionReadOnlyExists);
        }
        Ok(session.token().login(user, pin.as_ref().map(InBuf::bytes))?)
    })
}

/// C_LoginUser: as C_Login, because users have no names here.
pub fn check_user_name(name: &InBuf) -> Result<()> {
    if name.bytes().is_empty() {
        return Ok(());
    }
    Err(token::Error::UserTypeInvalid("the token has no users with names: give C_LoginUser an empty one".into()).into())
}

/// C_Logout
pub fn logout(session: &Session) -> Result<()> {
    Ok(session.token().logout()?)
}

/// C_GetSessionValidationFlags. There is no validation (such as FIPS 140) to report, so no flag is set.
pub fn validation_flags(kind: CK_SESSION_VALIDATION_FLAGS_TYPE, out: Out<CK_FLAGS>) -> Result<()> {
    if kind != CKS_LAST_VALIDATION_OK {
        return Err(Error::ArgumentsBad(&"the type of the validation flags is unknown"));
    }
    out.set(0);
    Ok(())
}
