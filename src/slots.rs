// SPDX-License-Identifier: MIT OR Apache-2.0
//! Slot and token management.

use std::time::Duration;

use cryptoki_sys::*;

use super::error::{Error, Result};
use super::module::Module;
use super::ptr::{InBuf, Out, OutList};
use super::session::Session;
use super::types::{length, padded};
use atecc608_token::{self as token, Token};

/// The manufacturer of the chip, as the vendor's own module spells it, so that URIs written for that module still
/// match.
const MANUFACTURER: &str = "Microchip Technology Inc";

/// C_GetSlotList. Without `present_only` no chip is accessed.
pub fn list(module: &Module, present_only: CK_BBOOL, out: OutList<CK_SLOT_ID>) -> Result<()> {
    let shown = |token: &Token| present_only == CK_FALSE || token.slot_info().present;
    let slots: Vec<CK_SLOT_ID> =
        module.tokens().iter().filter(|token| shown(token)).map(|token| token.slot_id()).collect();
    out.set(&slots)
}

/// C_GetSlotInfo
pub fn slot_info(token: &Token, out: Out<CK_SLOT_INFO>) -> Result<()> {
    let info = token.slot_info();
    let present = if info.present { CKF_TOKEN_PRESENT } else { 0 };
    out.set(CK_SLOT_INFO {
        slotDescription: padded(&info.description),
        manufacturerID: padded(MANUFACTURER),
        flags: CKF_HW_SLOT | CKF_REMOVABLE_DEVICE | present,
        hardwareVersion: CK_VERSION { major: 0, minor: 0 },
        firmwareVersion: CK_VERSION { major: 0, minor: 0 },
    });
    Ok(())
}

/// C_GetTokenInfo
pub fn token_info(module: &Module, token: &Token, out: Out<CK_TOKEN_INFO>) -> Result<()> {
    let info = token.info()?;
    let sessions = module.sessions().counts(token);
    out.set(CK_TOKEN_INFO {
        label: padded(&info.label),
        manufacturerID: padded(MANUFACTURER),
        model: padded(&info.model),
        serialNumber: padded(&info.serial_number),
        flags: info.flags,
        ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
        ulSessionCount: length(sessions.all),
        ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
        ulRwSessionCount: length(sessions.read_write),
        ulMaxPinLen: info.max_pin_len,
        ulMinPinLen: info.min_pin_len,
        ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
        ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
        hardwareVersion: info.hardware_version,
        firmwareVersion: CK_VERSION { major: 0, minor: 0 },
        // No CKF_CLOCK_ON_TOKEN, so no time.
        utcTime: padded(""),
    });
    Ok(())
}

/// C_GetMechanismList
pub fn mechanism_list(token: &Token, out: OutList<CK_MECHANISM_TYPE>) -> Result<()> {
    let mechanisms: Vec<_> = token.mechanisms()?.iter().map(|info| info.mechanism).collect();
    out.set(&mechanisms)
}

/// C_GetMechanismInfo
pub fn mechanism_info(token: &Token, mechanism: CK_MECHANISM_TYPE, out: Out<CK_MECHANISM_INFO>) -> Result<()> {
    let mechanisms = token.mechanisms()?;
    let info =
        mechanisms.iter().find(|info| info.mechanism == mechanism).ok_or(token::Error::MechanismInvalid(mechanism))?;
    out.set(CK_MECHANISM_INFO { ulMinKeySize: info.min_key_size, ulMaxKeySize: info.max_key_size, flags: info.flags });
    Ok(())
}

/// C_InitToken
pub fn init_token(module: &Module, token: &Token, so_pin: Option<InBuf>, label: &str) -> Result<()> {
    if module.sessions().counts(token).all != 0 {
        return Err(Error::SessionExists);
    }
    Ok(token.init_token(so_pin.as_ref().map(InBuf::bytes), label)?)
}

/// C_InitPIN
pub fn init_pin(session: &Session, pin: Option<InBuf>) -> Result<()> {
    check_read_write(session)?;
    Ok(session.token().init_pin(pin.as_ref().map(InBuf::bytes))?)
}

/// C_SetPIN
pub fn set_pin(session: &Session, old: Option<InBuf>, new: Option<InBuf>) -> Result<()> {
    check_read_write(session)?;
    Ok(session.token().set_pin(old.as_ref().map(InBuf::bytes), new.as_ref().map(InBuf::bytes))?)
}

fn check_read_write(session: &Session) -> Result<()> {
    if session.reference().read_write {
        Ok(())
    } else {
        Err(token::Error::SessionReadOnly.into())
    }
}

/// The interval at which the chips are polled while a caller waits for one to appear or disappear.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// C_WaitForSlotEvent. The buses are polled only while a caller waits here.
pub fn wait_for_event(module: &Module, flags: CK_FLAGS, out: Out<CK_SLOT_ID>) -> Result<()> {
    loop {
        if let Some(token) = module.tokens().iter().find(|token| token.take_event()) {
            out.set(token.slot_id());
            return Ok(());
        }
        if flags & CKF_DONT_BLOCK != 0 {
            return Err(Error::NoEvent);
        }
        if module.finalised().wait(POLL_INTERVAL) {
            return Err(Error::CryptokiNotInitialized);
        }
    }
}
