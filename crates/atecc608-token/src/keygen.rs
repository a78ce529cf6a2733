//! C_GenerateKeyPair and the destruction of private keys: what replaces a key in the chip, for good.

use cryptoki_sys::*;

use super::attribute::{slot_asked_for, CKA_ATECC608_SLOT};
use super::device::Device;
use super::error::{Error, Result};
use super::identity::Identity;
use super::kept::{Kept, KeptFor};
use super::layout::KeySlot;
use super::mechanism::Mechanism;
use super::object::KeyRef;
use super::point::{Point, P256_PARAMS};
use super::state::{Intent, Purpose};
use super::template::Template;
use crate::bus::Bus;
use atecc608::ops::Before;
use atecc608::{self as chip, Chip};
use atecc608_wire::Slot;

/// What may stand in a key pair's templates. What a key may do is not theirs to say: usage flags are accepted
/// and the truth is reported.
pub(super) const KEY_ATTRIBUTES: &[CK_ATTRIBUTE_TYPE] = &[
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_KEY_TYPE,
    CKA_SUBJECT,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_UNWRAP,
    CKA_SIGN,
    CKA_SIGN_RECOVER,
    CKA_VERIFY,
    CKA_VERIFY_RECOVER,
    CKA_DERIVE,
    CKA_START_DATE,
    CKA_END_DATE,
    CKA_EXTRACTABLE,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
    CKA_EC_PARAMS,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_WRAP_WITH_TRUSTED,
    CKA_ALLOWED_MECHANISMS,
    CKA_TRUSTED,
    CKA_ATECC608_SLOT,
];

/// What the two templates of C_GenerateKeyPair ask for.
pub(super) struct KeyPairRequest {
    label: Option<String>,
    public_label: Option<String>,
    id: Option<Vec<u8>>,
    slot: Option<Slot>,
    kept: Kept,
}

impl KeyPairRequest {
    /// A key pair with this label, in this slot; what is not given is chosen as for any other.
    pub(super) fn named(label: Option<String>, slot: Option<Slot>) -> Self {
        Self { label, public_label: None, id: None, slot, kept: Kept::default() }
    }

    /// Reads the templates that stock tools send.
    ///
    /// # Errors
    /// What contradicts a key born in the chip: [`Error::TemplateInconsistent`], [`Error::TemplateIncomplete`],
    /// [`Error::CurveNotSupported`], [`Error::AttributeValueInvalid`], [`Error::AttributeTypeInvalid`].
    pub(super) fn new<'t>(mechanism: &Mechanism, public: &'t Template, private: &'t Template) -> Result<Self> {
        if mechanism.mechanism != CKM_EC_KEY_PAIR_GEN {
            return Err(Error::MechanismInvalid(mechanism.mechanism));
        }
        super::digest::no_parameter(mechanism)?;
        let inconsistent = |text: &str| Err(Error::TemplateInconsistent(text.to_owned()));
        for (template, class) in [(public, CKO_PUBLIC_KEY), (private, CKO_PRIVATE_KEY)] {
            if let Some((unknown, _)) = template.iter().find(|(attribute, _)| !KEY_ATTRIBUTES.contains(attribute)) {
                return Err(Error::AttributeTypeInvalid(unknown));
            }
            if template.ulong(CKA_CLASS)?.is_some_and(|given| given != class) {
                return inconsistent("CKA_CLASS does not fit the half of the key pair");
            }
            if template.ulong(CKA_KEY_TYPE)?.is_some_and(|given| given != CKK_EC) {
                return inconsistent("CKA_KEY_TYPE: the mechanism makes CKK_EC keys");
            }
        }
        match public.bytes(CKA_EC_PARAMS).or_else(|| private.bytes(CKA_EC_PARAMS)) {
            None => {
                return Err(Error::TemplateIncomplete("CKA_EC_PARAMS is missing from the public template".to_owned()))
            }
            Some(params) if params == P256_PARAMS => {}
            Some(_) => {
                return Err(Error::CurveNotSupported(
                    "CKA_EC_PARAMS: the chip makes P-256 (prime256v1) keys only".to_owned(),
                ))
            }
        }
        if private.boolean(CKA_TOKEN)? != Some(true) {
            return inconsistent(
                "CKA_TOKEN must be true in the private template: a key born in the chip stays there and is a token object",
            );
        }
        if private.boolean(CKA_SENSITIVE)? == Some(false) || private.boolean(CKA_EXTRACTABLE)? == Some(true) {
            return inconsistent("CKA_SENSITIVE=false, CKA_EXTRACTABLE=true: a private key never leaves the chip");
        }
        if private.boolean(CKA_ALWAYS_AUTHENTICATE)? == Some(true) {
            return inconsistent("CKA_ALWAYS_AUTHENTICATE=true: the chip does not ask for a PIN at each use");
        }
        let text =
            |template: &Template| Ok(template.text(CKA_LABEL)?.filter(|label| !label.is_empty()).map(str::to_owned));
        // python-pkcs11 sends empty ones for names that were not given; a private key must have an id.
        let id = |template: &'t Template| template.bytes(CKA_ID).filter(|id| !id.is_empty());
        let (public_label, private_label): (_, Option<String>) = (text(public)?, text(private)?);
        let label = private_label.or_else(|| public_label.clone());
        Ok(Self {
            public_label: public_label.filter(|public| label.as_ref() != Some(public)),
            label,
            id: id(private).or_else(|| id(public)).map(<[u8]>::to_vec),
            slot: slot_asked_for(&[private, public])?,
            kept: Kept::of(KeptFor::Key, &[private, public])?,
        })
    }
}

/// What replaces the key in a slot, which holds what is said: one GenKey that takes effect. Answers X ‖ Y.
pub(super) type Create<'c> = &'c mut dyn FnMut(&mut Chip<Bus>, Slot, Before) -> chip::Result<[u8; 64]>;

/// Generates a key pair with `create`; answers its slot.
///
/// # Errors
/// [`Error::DeviceMemory`] if no slot is free, [`Error::ActionProhibited`] if the one asked for can't take a key,
/// [`Error::AttributeValueInvalid`] if the label is another key's, those of state folder and chip.
pub(super) fn generate(device: &mut Device, request: KeyPairRequest, create: Create<'_>) -> Result<Slot> {
    device.with_chip(|chip, identity| {
        if !identity.is_provisioned() {
            return Err(Error::DeviceError("the chip is not provisioned: run `atecc608 provision`".to_owned()));
        }
        let (slot, before) = choose_slot(chip, identity, &request)?;
        let label = settled_label(chip, identity, slot, request.label)?;
        if !is_free(identity, slot, before)? {
            let same_label = identity.pair(slot).is_some_and(|pair| Some(pair.label()) == label.as_deref());
            return Err(match label {
                Some(label) if same_label => second_label(slot, &label),
                _ => Error::DeviceMemory(format!("slot {slot} holds a key: destroy it first")),
            });
        }
        let intent = Intent {
            before: public_bytes(before)?,
            after: None,
            kept: request.kept,
            purpose: Purpose::Generate,
            label,
            public_label: request.public_label,
            id: request.id,
        };
        replace_key(chip, identity, slot, before, intent, create)?;
        Ok(slot)
    })
}

/// Overwrites a private key with a random one that nobody uses, and remembers that one as the slot's tombstone.
///
/// # Errors
/// [`Error::ActionProhibited`] if the slot's configuration keeps the key, those of state folder and chip.
pub(super) fn destroy(device: &mut Device, key: KeyRef) -> Result<()> {
    let slot = key.slot;
    device.with_key(key, |chip, identity| {
        if !identity.key_slot(slot).is_some_and(|key| key.generate) {
            return Err(Error::ActionProhibited(format!(
                "the key in slot {slot} is permanent: the slot's configuration or lock forbids GenKey (CKA_DESTROYABLE is \
                 false)"
            )));
        }
        if let Some(state) = identity.store.state().slot(slot) {
            state.kept.check_destroyable()?;
        }
        let known = identity.known_point(slot);
        let now = identity.read_point_anew(chip, slot)?;
        if known.is_some_and(|known| known != now) {
            return Err(Error::KeyHandleInvalid(format!("slot {slot} holds another key than the one that was found")));
        }
        let before = Before::Holds(now.xy());
        let intent = Intent {
            before: public_bytes(before)?,
            after: None,
            kept: Kept::default(),
            purpose: Purpose::Destroy,
            label: None,
            public_label: None,
            id: None,
        };
        replace_key(chip, identity, slot, before, intent, &mut Chip::generate_key)
    })
}

/// GenKey between an intent that is on disk before and a commit after: whoever comes later can tell what happened.
fn replace_key(
    chip: &mut Chip<Bus>,
    identity: &mut Identity,
    slot: Slot,
    before: Before,
    intent: Intent,
    create: Create<'_>,
) -> Result<()> {
    identity.confirm_chip(chip)?;
    identity.store.change(|state| state.slot_mut(slot).intent = Some(intent.clone()))?;
    let generated = create(chip, slot, before);
    if let Err(error) = &generated {
        if !matches!(error, chip::Error::Uncertain { .. }) {
            // Nothing happened. If this can't be written either, the next look at the slot finds it out.
            if let Err(error) = identity.store.change(|state| state.slot_mut(slot).intent = None) {
                log::warn!("slot {slot}: {error}");
            }
        }
    }
    let point = Point::from_xy(&generated.map_err(Error::Device)?)
        .ok_or_else(|| Error::DeviceError(format!("slot {slot}: the new public key is not on the curve P-256")))?;
    let live = intent.purpose == Purpose::Generate;
    identity.key_was_replaced(slot, Some(point).filter(|_| live));
    identity.store.change(|state| {
        state.slot_mut(slot).intent_took_effect(&intent, Some(point.uncompressed().to_vec()));
    })
}

pub(super) fn public_bytes(before: Before) -> Result<Option<Vec<u8>>> {
    match before {
        Before::Empty => Ok(None),
        Before::Holds(xy) => Point::from_xy(&xy)
            .map(|point| Some(point.uncompressed().to_vec()))
            .ok_or_else(|| Error::DeviceError("the slot's public key is not on the curve P-256".to_owned())),
    }
}

/// A slot is free if it holds no key, or the very key that its tombstone names.
pub(super) fn is_free(identity: &Identity, slot: Slot, before: Before) -> Result<bool> {
    let tombstone = identity.store.state().slot(slot).and_then(|state| state.tombstone.clone());
    Ok(public_bytes(before)?.is_none_or(|key| tombstone == Some(key)))
}

/// The slot for a request, and what it holds now.
fn choose_slot(chip: &mut Chip<Bus>, identity: &mut Identity, request: &KeyPairRequest) -> Result<(Slot, Before)> {
    let named = named_slot(identity, request)?;
    if let Some(slot) = named {
        return Ok((slot, chip.slot_before_generation(slot).map_err(Error::Device)?));
    }
    let candidates: Vec<Slot> =
        identity.keys.iter().filter(|key| key.generate && key.public).map(|key| key.slot).collect();
    identity.learn_presence(chip, &candidates)?;
    for slot in candidates.iter().copied() {
        if identity.known_presence(slot) == Some(false) {
            let before = chip.slot_before_generation(slot).map_err(Error::Device)?;
            if is_free(identity, slot, before)? {
                return Ok((slot, before));
            }
            // Somebody who keeps another state, or none, was there since the chip was asked.
            identity.holds_a_key(slot);
        }
    }
    Err(Error::DeviceMemory(match candidates.as_slice() {
        [] => "no slot of this chip takes a new key: their keys are permanent".to_owned(),
        slots => format!(
            "no slot is free: slots {} hold keys; destroy one first",
            slots.iter().map(Slot::to_string).collect::<Vec<_>>().join(", ")
        ),
    }))
}

/// The slot that a request names by number or label.
fn named_slot(identity: &Identity, request: &KeyPairRequest) -> Result<Option<Slot>> {
    if let Some(slot) = request.slot {
        return match identity.key_slot(slot) {
            Some(key) if key.generate => Ok(Some(slot)),
            _ => Err(Error::ActionProhibited(format!(
                "CKA_ATECC608_SLOT: the configuration or lock of slot {slot} does not let it take a new signing key"
            ))),
        };
    }
    let named = |key: &&KeySlot| Some(&key.default_label) == request.label.as_ref();
    if let Some(key) = identity.keys.iter().find(named) {
        if key.generate {
            return Ok(Some(key.slot));
        }
        return Err(Error::ActionProhibited(format!(
            "CKA_LABEL names slot {} (\"{}\"), whose key is permanent",
            key.slot, key.default_label
        )));
    }
    Ok(None)
}

/// The label that a new key in this slot gets: none means the slot's name, unless another key was given that.
///
/// # Errors
/// [`Error::AttributeValueInvalid`] if the label asked for is another private key's, those of the chip.
pub(super) fn settled_label(
    chip: &mut Chip<Bus>,
    identity: &mut Identity,
    slot: Slot,
    label: Option<String>,
) -> Result<Option<String>> {
    if let Some(label) = label {
        refuse_second_label(chip, identity, slot, &label)?;
        return Ok(Some(label));
    }
    let default = identity.key_slot(slot).map(|key| key.default_label.clone()).unwrap_or_default();
    let taken = refuse_second_label(chip, identity, slot, &default);
    Ok(matches!(taken, Err(Error::AttributeValueInvalid(_))).then(|| format!("slot-{slot}")))
}

/// Labels of private keys are unique: AWS clients refuse a token with two.
pub(super) fn refuse_second_label(
    chip: &mut Chip<Bus>,
    identity: &mut Identity,
    slot: Slot,
    label: &str,
) -> Result<()> {
    let same: Vec<Slot> = identity
        .keys
        .iter()
        .map(|key| key.slot)
        .filter(|other| *other != slot && identity.pair(*other).is_some_and(|pair| pair.label() == label))
        .collect();
    identity.learn_presence(chip, &same)?;
    match same.iter().find(|other| identity.known_presence(**other) == Some(true)) {
        Some(other) => Err(second_label(*other, label)),
        None => Ok(()),
    }
}

fn second_label(slot: Slot, label: &str) -> Error {
    Error::AttributeValueInvalid(format!(
        "the private key in slot {slot} is called \"{label}\" already; labels of private keys are unique"
    ))
}
