//! CKM_ECDH1_DERIVE: the shared secret from the chip, the key derivation function on the host.

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::device::Device;
use super::digest::Hasher;
use super::error::{Error, Result};
use super::mechanism::{Mechanism, Parameter};
use super::object::{KeyRef, SessionObject};
use super::point::Point;
use super::template::{bool_value, ulong_value, Template};
use super::SessionRef;

/// Bytes of an ECDH secret on P-256.
const SECRET_LEN: usize = 32;
/// Longest key that the X9.63 functions are asked for.
const MAX_KEY_LEN: usize = 1024;

/// The derived key that a template asks for.
struct DerivedKey {
    key_type: CK_KEY_TYPE,
    len: usize,
    sensitive: bool,
    extractable: bool,
}

/// Derives a session key with the private key `key`.
///
/// # Errors
/// Those of the mechanism's parameter, of the template, and of the chip.
pub(super) fn derive(
    device: &mut Device,
    session: SessionRef,
    mechanism: &Mechanism,
    key: KeyRef,
    template: &Template,
) -> Result<SessionObject> {
    let Parameter::Ecdh1 { kdf, shared_data, public_data } = &mechanism.parameter else {
        return Err(Error::MechanismParamInvalid("CKM_ECDH1_DERIVE takes CK_ECDH1_DERIVE_PARAMS".to_owned()));
    };
    if *kdf != CKD_NULL && Hasher::for_kdf(*kdf).is_none() {
        return Err(Error::MechanismParamInvalid(format!("key derivation function {kdf:#x} is not supported")));
    }
    if *kdf == CKD_NULL && !shared_data.is_empty() {
        return Err(Error::MechanismParamInvalid("CKD_NULL takes no shared data".to_owned()));
    }
    let theirs = Point::from_caller(public_data).ok_or_else(|| {
        Error::MechanismParamInvalid("the other side's public key is not a point on P-256".to_owned())
    })?;
    let wanted = DerivedKey::from_template(template, *kdf == CKD_NULL)?;
    let secret = Zeroizing::new(shared_secret(device, key, &theirs)?);
    let value = match Hasher::for_kdf(*kdf) {
        // Leading bytes are removed if fewer are wanted (PKCS#11 3.0 section 2.3.8).
        None => Zeroizing::new(secret[SECRET_LEN - wanted.len..].to_vec()),
        Some(hasher) => x963(&hasher, secret.as_slice(), shared_data, wanted.len),
    };
    Ok(wanted.into_object(session, template, value))
}

/// One ECDH in the chip, once the slot is known to hold the key that its handle names.
fn shared_secret(device: &mut Device, key: KeyRef, theirs: &Point) -> Result<[u8; SECRET_LEN]> {
    let slot = key.slot;
    device.with_key(key, |chip, identity| {
        let key = identity.key_slot(slot);
        if !key.is_some_and(|key| key.derive) {
            return Err(Error::KeyFunctionNotPermitted(format!(
                "slot {slot} is configured not to derive (CKA_DERIVE is false)"
            )));
        }
        let (public, limited) = (key.is_some_and(|key| key.public), key.is_some_and(|key| key.limited_use));
        if public && identity.checked_point(slot).is_none() {
            // Unlike a signature, the result can't be checked afterwards.
            let (cached, now) = (identity.known_point(slot), identity.read_point_anew(chip, slot)?);
            if cached.is_some_and(|cached| cached != now) {
                return Err(Error::KeyHandleInvalid(format!(
                    "slot {slot} holds another key than when it was found: find the key again"
                )));
            }
        }
        let result = if limited {
            chip.converse_once(|awake| awake.ecdh(slot, &theirs.xy()))
        } else {
            chip.converse(|awake| awake.ecdh(slot, &theirs.xy()))
        };
        result.map_err(Error::Device)
    })
}

/// The key derivation function of ANSI X9.63: digests over secret, counter and shared info.
fn x963(hasher: &Hasher, secret: &[u8], shared_data: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(len + hasher.len()));
    for counter in 1_u32.. {
        if key.len() >= len {
            break;
        }
        let mut hasher = hasher.clone();
        hasher.update(secret);
        hasher.update(&counter.to_be_bytes());
        hasher.update(shared_data);
        key.extend(Zeroizing::new(hasher.finish()).iter());
    }
    key.truncate(len);
    key
}

impl DerivedKey {
    fn from_template(template: &Template, bare_secret: bool) -> Result<Self> {
        let inconsistent = |text: &str| Err(Error::TemplateInconsistent(text.to_owned()));
        if template.boolean(CKA_TOKEN)? == Some(true) {
            return inconsistent("CKA_TOKEN: a derived key is a session object; it is not kept in the chip");
        }
        if template.ulong(CKA_CLASS)?.is_some_and(|class| class != CKO_SECRET_KEY) {
            return inconsistent("CKA_CLASS: a derived key is a CKO_SECRET_KEY");
        }
        let key_type = template.ulong(CKA_KEY_TYPE)?.unwrap_or(CKK_GENERIC_SECRET);
        let len = template.ulong(CKA_VALUE_LEN)?.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let default = if key_type == CKK_AES { None } else { Some(SECRET_LEN) };
        let Some(len) = len.or(default) else {
            return Err(Error::TemplateIncomplete(
                "CKA_VALUE_LEN: an AES key needs its length, 16, 24 or 32".to_owned(),
            ));
        };
        match key_type {
            CKK_AES if !matches!(len, 16 | 24 | 32) => {
                return inconsistent("CKA_VALUE_LEN: an AES key has 16, 24 or 32 bytes");
            }
            CKK_AES | CKK_GENERIC_SECRET => {}
            _ => return inconsistent("CKA_KEY_TYPE: a derived key is a CKK_GENERIC_SECRET or CKK_AES"),
        }
        let most = if bare_secret { SECRET_LEN } else { MAX_KEY_LEN };
        if len == 0 || len > most {
            return Err(Error::AttributeValueInvalid(format!(
                "CKA_VALUE_LEN: {len}, where 1 to {most} bytes can be derived"
            )));
        }
        Ok(Self {
            key_type,
            len,
            sensitive: template.boolean(CKA_SENSITIVE)?.unwrap_or(false),
            extractable: template.boolean(CKA_EXTRACTABLE)?.unwrap_or(true),
        })
    }

    fn into_object(self, session: SessionRef, template: &Template, value: Zeroizing<Vec<u8>>) -> SessionObject {
        let mut attributes = Template::default();
        let mut set = |attribute, value: Vec<u8>| attributes.set(attribute, Zeroizing::new(value));
        for (attribute, given) in [(CKA_LABEL, &[][..]), (CKA_ID, &[]), (CKA_START_DATE, &[]), (CKA_END_DATE, &[])] {
            set(attribute, template.bytes(attribute).unwrap_or(given).to_vec());
        }
        for attribute in [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE] {
            // No mechanism of this token works with keys on the host.
            set(attribute, bool_value(false));
        }
        set(CKA_CLASS, ulong_value(CKO_SECRET_KEY));
        set(CKA_KEY_TYPE, ulong_value(self.key_type));
        set(CKA_VALUE_LEN, ulong_value(self.len as CK_ULONG));
        set(CKA_SENSITIVE, bool_value(self.sensitive));
        set(CKA_EXTRACTABLE, bool_value(self.extractable));
        for attribute in [
            CKA_TOKEN,
            CKA_PRIVATE,
            CKA_COPYABLE,
            CKA_LOCAL,
            CKA_ALWAYS_SENSITIVE,
            CKA_NEVER_EXTRACTABLE,
            CKA_TRUSTED,
            CKA_WRAP_WITH_TRUSTED,
        ] {
            set(attribute, bool_value(false));
        }
        set(CKA_MODIFIABLE, bool_value(true));
        set(CKA_DESTROYABLE, bool_value(true));
        set(CKA_KEY_GEN_MECHANISM, ulong_value(CK_UNAVAILABLE_INFORMATION));
        attributes.set(CKA_VALUE, value);
        SessionObject { session: session.id, attributes }
    }
}
