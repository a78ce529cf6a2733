// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key pairs that exist in this process until their session ends: generated from chip and host randomness, used by the
//! host, and stored like session secret keys. Also private keys that a caller imports. None ever becomes a key of the
//! token, and their attributes say that they are not in the chip.

use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki_sys::*;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::SecretKey;
use zeroize::Zeroizing;

use super::attribute::CKA_ATECC608_SLOT;
use super::class::{self, NewPublicKey, NewSessionPrivate, PrivateKey, PublicKey};
use super::create::{checked_id, checked_text};
use super::error::{Error, Result};
use super::import::key_in;
use super::mechanism::allowed;
use super::object::{ObjectKey, SessionObject};
use super::point::Point;
use super::random::random;
use super::template::{bool_value, ulong_value, Template};
use super::token::Token;
use super::{modify, names, ObjectHandle, SessionRef};

/// The keytool configuration for generation in the chip.
const KEYTOOL: &str = "for keytool: attributes(generate, CKO_PRIVATE_KEY, CKK_EC) = { CKA_TOKEN = true CKA_PRIVATE = true CKA_SIGN = true } \
     and attributes(generate, CKO_PUBLIC_KEY, CKK_EC) = { CKA_TOKEN = true CKA_VERIFY = true }";

/// Whether the log line was written that a key is not in the chip because CKA_TOKEN was omitted.
static SAID: AtomicBool = AtomicBool::new(false);

/// Whether the two templates of C_GenerateKeyPair request a key pair of the session. A public template without
/// CKA_TOKEN follows the private one.
///
/// # Errors
/// [`Error::TemplateInconsistent`] if they differ, or name a slot of the chip; [`Error::AttributeValueInvalid`] for a
/// malformed CKA_TOKEN.
pub(super) fn is_asked(public: &Template, private: &Template) -> Result<bool> {
    let (of_public, of_private) = (public.boolean(CKA_TOKEN)?, private.boolean(CKA_TOKEN)?);
    let on_token = of_private == Some(true);
    if of_public.is_some_and(|of_public| of_public != on_token) {
        return Err(Error::TemplateInconsistent(
            "CKA_TOKEN differs between the two templates: true in both generates a key pair in the chip, false in both \
             a session key pair".into(),
        ));
    }
    if !on_token && [public, private].iter().any(|template| template.bytes(CKA_ATECC608_SLOT).is_some()) {
        return Err(Error::TemplateInconsistent(
            "CKA_ATECC608_SLOT names a slot of the chip: CKA_TOKEN must be true for a key pair there".into(),
        ));
    }
    if of_private.is_none() && !SAID.swap(true, Ordering::Relaxed) {
        log::warn!(
            "a private template without CKA_TOKEN generates a session key pair, in this process's memory: \
             CKA_TOKEN=true generates one in the chip ({KEYTOOL})"
        );
    }
    Ok(!on_token)
}

/// Generates a key pair; returns the handles of public and private key.
///
/// # Errors
/// [`Error::TemplateInconsistent`] if the configuration forbids session keys; [`Error::AttributeValueInvalid`] for
/// names of a key pair in the chip; [`Error::UserNotLoggedIn`] for a private key before the login; the [turn
/// errors](Error#turn-errors).
pub(super) fn generate(
    token: &Token,
    session: SessionRef,
    public: &Template,
    private: &Template,
) -> Result<(ObjectHandle, ObjectHandle)> {
    check_configured(token)?;
    for template in [public, private] {
        checked_text(template, CKA_LABEL)?;
        template.bytes(CKA_ID).map(checked_id).transpose()?;
    }
    if public.boolean(CKA_TRUSTED)? == Some(true) {
        return Err(Error::AttributeReadOnly(CKA_TRUSTED));
    }
    if private.boolean(CKA_PRIVATE)? != Some(false) {
        token.known(token.deadline())?.check_may_make_private()?;
    }
    let mut value = Zeroizing::new(vec![0; 32]);
    token.turn(token.deadline(), |turn| {
        for template in [public, private] {
            let (label, id) = (template.text(CKA_LABEL)?, template.bytes(CKA_ID));
            names::refuse_names_of_pairs(turn, label.unwrap_or_default(), id.unwrap_or_default())?;
        }
        random(turn, &mut value)
    })?;
    // One of 2^32 values is not a valid key.
    let point = secret_key(&value).and_then(|key| point_of(&key));
    let point =
        point.ok_or_else(|| Error::DeviceError("the random bytes are not a valid private key: try again".into()))?;
    let private =
        class::session_object::<PrivateKey>(&NewSessionPrivate { template: private, point, value, generated: true })?;
    let mut public = class::session_object::<PublicKey>(&NewPublicKey { template: public, point })?;
    public.set(CKA_LOCAL, Zeroizing::new(bool_value(true)));
    public.set(CKA_KEY_GEN_MECHANISM, Zeroizing::new(ulong_value(CKM_EC_KEY_PAIR_GEN)));
    let object = |attributes| SessionObject { session: session.id, attributes };
    let private = token.add_session_object(object(private))?;
    Ok((token.add_session_object(object(public))?, private))
}

/// Checks that the configuration allows private keys of the session.
///
/// # Errors
/// [`Error::TemplateInconsistent`] if not.
fn check_configured(token: &Token) -> Result<()> {
    if token.token_config.session_keys {
        return Ok(());
    }
    Err(Error::TemplateInconsistent(
        "CKA_TOKEN=false: `session_keys = false` in the configuration refuses key pairs outside the chip".into(),
    ))
}

/// Returns a caller's private key as a session object.
///
/// # Errors
/// As [`key_in`]; [`Error::TemplateInconsistent`] if the template names a slot of the chip.
pub(super) fn brought(session: SessionRef, template: &Template) -> Result<SessionObject> {
    let (scalar, point) = key_in(template)?;
    if template.bytes(CKA_ATECC608_SLOT).is_some() {
        return Err(Error::TemplateInconsistent(
            "CKA_ATECC608_SLOT names a slot of the chip: CKA_TOKEN must be true for a private key there".into(),
        ));
    }
    checked_text(template, CKA_LABEL)?;
    template.bytes(CKA_ID).map(checked_id).transpose()?;
    if template.boolean(CKA_TOKEN)?.is_none() && !SAID.swap(true, Ordering::Relaxed) {
        log::warn!(
            "a private key without CKA_TOKEN is a session key, in this process's memory: CKA_TOKEN=true writes it into \
             the chip, if a slot permits imports"
        );
    }
    let value = Zeroizing::new(scalar.to_vec());
    let attributes =
        class::session_object::<PrivateKey>(&NewSessionPrivate { template, point, value, generated: false })?;
    Ok(SessionObject { session: session.id, attributes })
}

/// Adds a caller's private key.
///
/// # Errors
/// [`Error::TemplateInconsistent`] if the configuration forbids session keys; [`Error::AttributeValueInvalid`] for
/// names of a key pair in the chip; [`Error::UserNotLoggedIn`] for a private key before the login; the [turn
/// errors](Error#turn-errors).
pub(super) fn add(token: &Token, key: SessionObject) -> Result<ObjectHandle> {
    check_configured(token)?;
    if key.is_private() {
        token.known(token.deadline())?.check_may_make_private()?;
    }
    refuse_names_of_pairs(token, &key.attributes)?;
    token.add_session_object(key)
}

/// Refuses names of a key pair in the chip for a private key of the session.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if a key pair in the chip has one of the names; the [turn
/// errors](Error#turn-errors).
pub(super) fn refuse_names_of_pairs(token: &Token, template: &Template) -> Result<()> {
    let (label, id) = (template.text(CKA_LABEL)?.unwrap_or_default(), template.bytes(CKA_ID).unwrap_or_default());
    if label.is_empty() && id.is_empty() {
        return Ok(());
    }
    token.turn(token.deadline(), |turn| names::refuse_names_of_pairs(turn, label, id))
}

/// Returns a copy in a session.
///
/// # Errors
/// [`Error::TemplateInconsistent`] for one on the token, because it was not generated in the chip; else as
/// [`modify::copy_of`].
pub(super) fn copy_of(session: SessionRef, source: &SessionObject, template: &Template) -> Result<SessionObject> {
    let changed = modify::copy_of(source, template)?;
    if changed.boolean(CKA_TOKEN)? == Some(true) {
        return Err(Error::TemplateInconsistent(
            format!(
                "CKA_TOKEN=true: this private key is in the process's memory and can't become a key of the chip. \
                 Generate it with CKA_TOKEN=true ({KEYTOOL})"
            )
            .into(),
        ));
    }
    let mut attributes = source.attributes.clone();
    for (attribute, value) in template.iter() {
        attributes.set(attribute, Zeroizing::new(value.to_vec()));
    }
    Ok(SessionObject { session: session.id, attributes })
}

/// Whether the object is a private key of the session.
pub(super) fn is_private_key(object: &SessionObject) -> bool {
    matches!(object.attributes.ulong(CKA_CLASS), Ok(Some(CKO_PRIVATE_KEY)))
}

/// Checks that a private key of the session allows a use and a mechanism; `None` if the handle names another object.
///
/// # Errors
/// [`Error::KeyHandleInvalid`], [`Error::KeyFunctionNotPermitted`], [`Error::MechanismInvalid`].
pub(super) fn check_use(
    token: &Token,
    key: ObjectHandle,
    usage: CK_ATTRIBUTE_TYPE,
    mechanism: CK_MECHANISM_TYPE,
) -> Result<Option<()>> {
    let ObjectKey::Session(number) = token.key_object(key)? else { return Ok(None) };
    token.objects.with_session_object(number, |object| {
        let Some(object) = object.filter(|object| is_private_key(object)) else { return Ok(None) };
        if object.attributes.boolean(usage)? != Some(true) {
            return Err(Error::KeyFunctionNotPermitted(
                format!("attribute {usage:#x} of the key does not allow this use").into(),
            ));
        }
        match object.attributes.mechanisms(CKA_ALLOWED_MECHANISMS)?.unwrap_or_default().contains(&mechanism) {
            true => Ok(Some(())),
            false => Err(Error::MechanismInvalid(mechanism)),
        }
    })
}

/// Calls `work` with a private key of the session.
///
/// # Errors
/// [`Error::KeyHandleInvalid`] if it is gone.
fn with_key<T>(token: &Token, key: ObjectHandle, work: impl FnOnce(SecretKey) -> T) -> Result<T> {
    let gone = || Error::ObjectHandleInvalid(key).of_key();
    let ObjectKey::Session(number) = token.key_object(key)? else { return Err(gone()) };
    // SecretKey wipes itself.
    let key = token.objects.with_session_object(number, |object| secret_key(object?.attributes.bytes(CKA_VALUE)?));
    key.map(work).ok_or_else(gone)
}

/// Signs a digest; returns r ‖ s, after verifying it.
///
/// # Errors
/// [`Error::KeyHandleInvalid`] if the key is gone; [`Error::DeviceError`] if the signature does not verify.
pub(super) fn sign(token: &Token, key: ObjectHandle, digest: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>> {
    let faulty =
        || Error::DeviceError("a signature of the host does not verify: its memory or processor is faulty".into());
    let (signature, point) = with_key(token, key, |key| {
        let signature: Option<Signature> = SigningKey::from(&key).sign_prehash(digest).ok();
        (signature, point_of(&key))
    })?;
    let signature: [u8; 64] = signature.ok_or_else(faulty)?.to_bytes().into();
    point.ok_or_else(faulty)?.verify(digest, &signature).map_err(|_| faulty())?;
    Ok(Zeroizing::new(signature.to_vec()))
}

/// Returns the shared secret of this key and the other side's.
///
/// # Errors
/// [`Error::KeyHandleInvalid`] if the key is gone.
pub(super) fn agree(token: &Token, key: ObjectHandle, theirs: &Point) -> Result<Zeroizing<[u8; 32]>> {
    with_key(token, key, |key| {
        let shared = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), theirs.as_affine());
        Zeroizing::new((*shared.raw_secret_bytes()).into())
    })
}

fn secret_key(value: &[u8]) -> Option<SecretKey> {
    SecretKey::from_slice(value).ok()
}

fn point_of(key: &SecretKey) -> Option<Point> {
    Point::from_uncompressed(key.public_key().to_encoded_point(false).as_bytes())
}

/// CKA_ALLOWED_MECHANISMS of a private key of the session: the supported ones that its template lists.
///
/// # Errors
/// [`Error::AttributeValueInvalid`].
pub(super) fn allowed_mechanisms(template: &Template) -> Result<Vec<CK_MECHANISM_TYPE>> {
    let mut possible = allowed(true, true);
    let wanted = template.mechanisms(CKA_ALLOWED_MECHANISMS)?;
    if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
        possible.retain(|mechanism| wanted.contains(mechanism));
    }
    Ok(possible)
}
