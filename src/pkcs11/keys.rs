//! Key management.

use cryptoki_sys::*;

use super::error::Result;
use super::ptr::Out;
use super::session::Session;
use super::types::{from_ulong, to_ulong};
use crate::token::{self, Mechanism, Template};

/// C_GenerateKey: no mechanism makes a secret key.
pub fn generate(mechanism: &Mechanism) -> Result<()> {
    Err(token::Error::MechanismInvalid(mechanism.mechanism).into())
}

/// C_GenerateKeyPair. Both handles are written, or none.
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

/// C_DeriveKey. A NULL handle is refused before anything is derived: the key could never be named.
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
