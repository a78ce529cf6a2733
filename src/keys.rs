// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key management.

use cryptoki_sys::*;

use super::error::Result;
use super::ptr::{InBuf, Out, OutBuf, Room};
use super::session::Session;
use super::types::{from_ulong, to_ulong};
use atecc608_token::buffer::copied;
use atecc608_token::{Mechanism, Template};

/// C_GenerateKey
pub fn generate(
    session: &Session,
    out: Out<CK_OBJECT_HANDLE>,
    mechanism: &Mechanism,
    template: &Template,
) -> Result<()> {
    out.set(to_ulong(session.token().generate_key(session.reference(), mechanism, template)?));
    Ok(())
}

/// C_GenerateKeyPair. Writes both handles, or neither.
pub fn generate_pair(
    session: &Session,
    public_handle: Out<CK_OBJECT_HANDLE>,
    private_handle: Out<CK_OBJECT_HANDLE>,
    mechanism: &Mechanism,
    public: &Template,
    private: &Template,
) -> Result<()> {
    let handles = session.token().generate_key_pair(session.reference(), mechanism, public, private)?;
    public_handle.set(to_ulong(handles.0));
    private_handle.set(to_ulong(handles.1));
    Ok(())
}

/// C_WrapKey, and C_WrapKeyAuthenticated with its associated data. A query for the length also wraps, to find the
/// length of the result.
pub fn wrap(
    session: &Session,
    mechanism: &Mechanism,
    wrapping_key: CK_OBJECT_HANDLE,
    key: CK_OBJECT_HANDLE,
    associated: Option<InBuf>,
    out: OutBuf,
) -> Result<()> {
    let associated = associated.map(|associated| copied(associated.bytes())).transpose()?;
    let wrapped = session.token().wrap_key(mechanism, from_ulong(wrapping_key), from_ulong(key), associated)?;
    match out.room_for(wrapped.len()) {
        Room::Query => Ok(()),
        Room::TooSmall(error) => Err(error),
        Room::Fits(slot) => {
            slot.write(&wrapped);
            Ok(())
        }
    }
}

/// C_UnwrapKey, and C_UnwrapKeyAuthenticated.
pub fn unwrap(
    session: &Session,
    out: Out<CK_OBJECT_HANDLE>,
    mechanism: &Mechanism,
    unwrapping_key: CK_OBJECT_HANDLE,
    wrapped: &InBuf,
    associated: Option<InBuf>,
    template: &Template,
) -> Result<()> {
    let associated = associated.map(|associated| copied(associated.bytes())).transpose()?;
    let (token, key) = (session.token(), from_ulong(unwrapping_key));
    out.set(to_ulong(token.unwrap_key(session.reference(), mechanism, key, wrapped.bytes(), associated, template)?));
    Ok(())
}

/// C_DeriveKey. A NULL handle is refused before anything is derived, because the key could not be used.
pub fn derive(
    session: &Session,
    out: Out<CK_OBJECT_HANDLE>,
    mechanism: &Mechanism,
    base: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<()> {
    out.set(to_ulong(session.token().derive_key(session.reference(), mechanism, from_ulong(base), template)?));
    Ok(())
}
