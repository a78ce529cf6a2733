// SPDX-License-Identifier: MIT OR Apache-2.0
//! Object management.

use cryptoki_sys::*;
use log::debug;

use super::error::{Error, Result};
use super::ptr::{AttributeRequest, AttributeRequests, Out, OutArray};
use super::session::{Search, Session};
use super::types::{from_ulong, length, to_ulong};
use atecc608_token::deadline::Deadline;
use atecc608_token::{self as token, Template};

/// C_CreateObject
pub fn create(session: &Session, template: &Template, out: Out<CK_OBJECT_HANDLE>) -> Result<()> {
    out.set(to_ulong(session.token().create_object(session.reference(), template)?));
    Ok(())
}

/// C_CopyObject
pub fn copy(
    session: &Session,
    object: CK_OBJECT_HANDLE,
    template: &Template,
    out: Out<CK_OBJECT_HANDLE>,
) -> Result<()> {
    out.set(to_ulong(session.token().copy_object(session.reference(), from_ulong(object), template)?));
    Ok(())
}

/// C_DestroyObject
pub fn destroy(session: &Session, object: CK_OBJECT_HANDLE) -> Result<()> {
    Ok(session.token().destroy_object(session.reference(), from_ulong(object))?)
}

/// C_GetObjectSize
pub fn size(session: &Session, object: CK_OBJECT_HANDLE, out: Out<CK_ULONG>) -> Result<()> {
    out.set(session.token().object_size(from_ulong(object))?);
    Ok(())
}

/// C_GetAttributeValue. Tries every attribute, then returns the first error; errors of the chip come before those of
/// attributes.
pub fn get_attributes(session: &Session, object: CK_OBJECT_HANDLE, requests: AttributeRequests) -> Result<()> {
    session.token().check_object(from_ulong(object))?;
    // One deadline for all attributes.
    let deadline = session.token().deadline();
    let mut outcome = Ok(());
    for request in requests.each() {
        let attribute = request.attribute();
        let Err(error) = get_attribute(session, object, request, deadline) else { continue };
        debug!("C_GetAttributeValue: attribute {attribute:#x} of object {object}: {error}");
        let graver = match &outcome {
            Ok(()) => true,
            Err(before) => is_about_an_attribute(before) && !is_about_an_attribute(&error),
        };
        if graver {
            outcome = Err(error);
        }
    }
    outcome
}

fn get_attribute(
    session: &Session,
    object: CK_OBJECT_HANDLE,
    request: AttributeRequest,
    deadline: Deadline,
) -> Result<()> {
    let (token, handle) = (session.token(), from_ulong(object));
    if let Some(len) = token.length_without_asking(handle, request.attribute())? {
        if !request.has_room_for(len) {
            return request.set_len(len);
        }
    }
    match token.attribute(handle, request.attribute(), deadline) {
        Ok(value) => request.set(&value),
        Err(error) => {
            request.unavailable();
            Err(error.into())
        }
    }
}

/// Whether the error concerns one attribute only, and not the object or the chip.
fn is_about_an_attribute(error: &Error) -> bool {
    use token::Error::{AttributeSensitive, AttributeTypeInvalid};
    matches!(error, Error::BufferTooSmall(_) | Error::Token(AttributeSensitive(_) | AttributeTypeInvalid(_)))
}

/// C_SetAttributeValue
pub fn set_attributes(session: &Session, object: CK_OBJECT_HANDLE, template: &Template) -> Result<()> {
    Ok(session.token().set_attributes(session.reference(), from_ulong(object), template)?)
}

/// C_FindObjectsInit: collects the matches, so that later changes of objects do not affect the search.
pub fn find_init(session: &mut Session, template: &Template) -> Result<()> {
    session.find.check_idle()?;
    let found = session.token().find(template)?;
    session.find.start(Search { found: found.into_iter() })
}

/// C_FindObjects
pub fn find(session: &mut Session, out: OutArray<CK_OBJECT_HANDLE>, count: Out<CK_ULONG>) -> Result<()> {
    let search = session.find.active()?;
    count.set(length(out.set(search.found.by_ref().map(to_ulong))));
    Ok(())
}

/// C_FindObjectsFinal
pub fn find_final(session: &mut Session) -> Result<()> {
    session.find.take().map(drop)
}
