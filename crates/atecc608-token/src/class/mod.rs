// SPDX-License-Identifier: MIT OR Apache-2.0
//! The classes of objects, with a table for each: every attribute, its value for an object of the token, the templates
//! that may contain it, how it can be changed, and its value for a new session object.

mod key_pair;
mod secret_key;
mod stored;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::kept::{self, Kept};
use super::object::SessionObject;
use super::template::{bool_value, mechanisms_value, ulong_value, Template};

pub(crate) use key_pair::{Half, KeyPair, NewPublicKey, NewSessionPrivate, PrivateKey, PublicKey};
pub(crate) use secret_key::{NewSessionSecret, SecretInSlot, SecretKey};
pub(crate) use stored::{certificate_check_value, Certificate, Data};

/// A class of objects.
pub(crate) trait Class: Sized + 'static {
    /// An object of the token.
    type Object<'a>;
    /// A new session object.
    type New<'a>: New;
    /// The table.
    const ROWS: &'static [Row<Self>];
}

/// One attribute of a class.
pub(crate) struct Row<C: Class> {
    attribute: CK_ATTRIBUTE_TYPE,
    /// The value for an object of the token; `None`: it does not have the attribute.
    read: Option<for<'a, 'b> fn(&'b C::Object<'a>) -> Answer>,
    /// The templates that may contain it.
    given: Ways,
    /// Whether the state stores a template's value.
    kept: bool,
    change: Change,
    session: Session<C>,
}

/// The value of an attribute.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Its value in the ABI's encoding.
    Value(Vec<u8>),
    /// It depends on the public key, which is not known yet.
    NeedsPoint,
    /// It has none, or none that may be returned.
    Error(Error),
}

/// Ways to create an object of a class; each has a template.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ways(u8);

impl Ways {
    const NONE: Self = Self(0);
    /// C_GenerateKeyPair, both of whose templates may contain the same attributes.
    pub(crate) const GENERATE_PAIR: Self = Self(1);
    /// All others.
    pub(crate) const CREATE: Self = Self(2);
    const ALL: Self = Self(3);
}

/// How an attribute can be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Not at all.
    Never,
    /// To any valid value.
    Freely,
    /// In session objects only, to any valid value.
    InSession,
    /// In session objects only, to this value.
    InSessionTo(bool),
}

/// The value of an attribute for a new session object.
enum Session<C: Class> {
    /// None: it does not have the attribute.
    Nothing,
    /// The template's value, else this.
    Flag(bool),
    /// The template's value, else an empty one.
    Bytes,
    /// Always this.
    Is(bool),
    /// Always an empty value.
    Empty,
    /// Always this.
    Number(CK_ULONG),
    /// A value computed from the new object.
    Made(for<'a, 'b> fn(&'b C::New<'a>) -> Result<Vec<u8>>),
}

/// The common part of all new session objects.
pub(crate) trait New {
    /// The template of the new object.
    fn template(&self) -> &Template;
}

/// For classes whose session objects are always copies of the token's, never made from a template.
pub(crate) enum NeverNew {}

impl New for NeverNew {
    fn template(&self) -> &Template {
        match *self {}
    }
}

impl<C: Class> Row<C> {
    /// An attribute that objects of the token have; no template may contain it, and it can't be changed.
    const fn read(attribute: CK_ATTRIBUTE_TYPE, read: for<'a, 'b> fn(&'b C::Object<'a>) -> Answer) -> Self {
        Self { read: Some(read), ..Self::unread(attribute) }
    }

    /// An attribute that no object of the token has.
    const fn unread(attribute: CK_ATTRIBUTE_TYPE) -> Self {
        Self { attribute, read: None, given: Ways::NONE, kept: false, change: Change::Never, session: Session::Nothing }
    }

    /// Templates of these ways may contain it.
    const fn given(mut self, ways: Ways) -> Self {
        self.given = ways;
        self
    }

    /// The state stores a template's value.
    const fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    const fn changes(mut self, change: Change) -> Self {
        self.change = change;
        self
    }

    const fn in_session(mut self, session: Session<C>) -> Self {
        self.session = session;
        self
    }
}

fn row<C: Class>(attribute: CK_ATTRIBUTE_TYPE) -> Option<&'static Row<C>> {
    C::ROWS.iter().find(|row| row.attribute == attribute)
}

/// Returns the value of an attribute of an object of the token.
pub(crate) fn read<C: Class>(object: &C::Object<'_>, attribute: CK_ATTRIBUTE_TYPE) -> Answer {
    match row::<C>(attribute).and_then(|row| row.read) {
        Some(read) => read(object),
        None => Answer::Error(Error::AttributeTypeInvalid(attribute)),
    }
}

/// Returns the value of an attribute that does not depend on a public key.
///
/// # Errors
/// [`Error::AttributeTypeInvalid`], [`Error::AttributeSensitive`].
pub(crate) fn value<C: Class>(object: &C::Object<'_>, attribute: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>> {
    match read::<C>(object, attribute) {
        Answer::Value(value) => Ok(value),
        Answer::Error(error) => Err(error),
        Answer::NeedsPoint => Err(Error::AttributeTypeInvalid(attribute)),
    }
}

/// Returns all attributes of an object.
pub(crate) fn values<C: Class>(object: &C::Object<'_>) -> Template {
    let values = C::ROWS.iter().filter_map(|row| match row.read?(object) {
        Answer::Value(value) => Some((row.attribute, Zeroizing::new(value))),
        Answer::NeedsPoint | Answer::Error(_) => None,
    });
    Template::new(values.collect())
}

/// Refuses a template with an attribute that it may not contain.
///
/// # Errors
/// [`Error::AttributeTypeInvalid`].
pub(crate) fn check_template<C: Class>(way: Ways, template: &Template) -> Result<()> {
    match template.iter().find(|(attribute, _)| !may_be_given::<C>(way, *attribute)) {
        Some((attribute, _)) => Err(Error::AttributeTypeInvalid(attribute)),
        None => Ok(()),
    }
}

fn may_be_given<C: Class>(way: Ways, attribute: CK_ATTRIBUTE_TYPE) -> bool {
    row::<C>(attribute).is_some_and(|row| row.given.0 & way.0 != 0)
}

/// Returns the attributes of these templates that the state stores; the first template with an attribute counts.
///
/// # Errors
/// [`Error::AttributeValueInvalid`].
pub(crate) fn kept<C: Class>(templates: &[&Template]) -> Result<Kept> {
    let mut kept = Kept::default();
    for row in C::ROWS.iter().filter(|row| row.kept) {
        if let Some(value) = templates.iter().find_map(|template| template.bytes(row.attribute)) {
            kept.set(row.attribute, value)?;
        }
    }
    Ok(kept)
}

/// Changes the stored attributes of an object of the token; others are only checked.
///
/// # Errors
/// [`Error::AttributeReadOnly`], [`Error::AttributeValueInvalid`].
pub(crate) fn change<C: Class>(kept: &mut Kept, template: &Template) -> Result<()> {
    for (attribute, value) in template.iter() {
        let row = row::<C>(attribute).filter(|row| row.change == Change::Freely);
        if row.ok_or(Error::AttributeReadOnly(attribute))?.kept {
            kept.set(attribute, value)?;
        }
    }
    Ok(())
}

/// Returns the attributes of a new session object.
///
/// # Errors
/// [`Error::AttributeValueInvalid`].
pub(crate) fn session_object<C: Class>(new: &C::New<'_>) -> Result<Template> {
    let mut attributes = Template::default();
    for row in C::ROWS {
        let (attribute, template) = (row.attribute, new.template());
        let value = match row.session {
            Session::Nothing => continue,
            Session::Flag(default) => bool_value(template.boolean(attribute)?.unwrap_or(default)),
            Session::Bytes => {
                let value = template.bytes(attribute).unwrap_or_default();
                kept::check(attribute, value)?;
                value.to_vec()
            }
            Session::Is(value) => bool_value(value),
            Session::Empty => Vec::new(),
            Session::Number(value) => ulong_value(value),
            Session::Made(make) => make(new)?,
        };
        attributes.set(attribute, Zeroizing::new(value));
    }
    Ok(attributes)
}

/// Whether a session object's attribute may be set to this value.
pub(crate) fn may_change_in_session(object: &SessionObject, attribute: CK_ATTRIBUTE_TYPE, value: &[u8]) -> bool {
    let Some(now) = object.attributes.bytes(attribute) else { return false };
    let change = match object.attributes.ulong(CKA_CLASS) {
        Ok(Some(CKO_SECRET_KEY)) => row::<SecretKey>(attribute).map(|row| row.change),
        Ok(Some(CKO_PUBLIC_KEY)) => row::<PublicKey>(attribute).map(|row| row.change),
        Ok(Some(CKO_PRIVATE_KEY)) => row::<PrivateKey>(attribute).map(|row| row.change),
        Ok(Some(CKO_CERTIFICATE)) => row::<Certificate>(attribute).map(|row| row.change),
        _ => row::<Data>(attribute).map(|row| row.change),
    };
    match change {
        Some(Change::Freely | Change::InSession) => true,
        Some(Change::InSessionTo(to)) => value == bool_value(to) || value == now,
        Some(Change::Never) | None => false,
    }
}

/// Whether a copy of a session object gets this attribute from the original.
pub(crate) fn is_copied(object: &SessionObject, attribute: CK_ATTRIBUTE_TYPE) -> bool {
    let way = Ways::CREATE;
    match object.attributes.ulong(CKA_CLASS) {
        Ok(Some(CKO_SECRET_KEY)) => may_be_given::<SecretKey>(way, attribute),
        Ok(Some(CKO_PUBLIC_KEY)) => may_be_given::<PublicKey>(way, attribute),
        Ok(Some(CKO_PRIVATE_KEY)) => may_be_given::<PrivateKey>(way, attribute),
        Ok(Some(CKO_CERTIFICATE)) => may_be_given::<Certificate>(way, attribute),
        _ => may_be_given::<Data>(way, attribute),
    }
}

fn yes_or_no(value: bool) -> Answer {
    Answer::Value(bool_value(value))
}

fn number(value: CK_ULONG) -> Answer {
    Answer::Value(ulong_value(value))
}

fn text(value: &str) -> Answer {
    Answer::Value(value.as_bytes().to_vec())
}

fn mechanisms(mechanisms: &[CK_MECHANISM_TYPE]) -> Answer {
    Answer::Value(mechanisms_value(mechanisms))
}

/// An empty value: unspecified, or unrestricted (2.40 section 4.7.3, 3.2 section 4.8).
fn empty() -> Answer {
    Answer::Value(Vec::new())
}

/// CKA_OBJECT_VALIDATION_FLAGS: nothing here is validated (PKCS#11 3.2 section 4.4).
fn no_validation() -> Answer {
    number(0)
}
