//! What can go wrong with a token, in PKCS#11 terms. The module's error table gives each variant its CK_RV.

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE};

use atecc608 as chip;
use atecc608::error::Text;
use atecc608::latch::Latch;
use atecc608_wire::Slot;

/// Result of a token operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the token did not do what was asked. The text of each says what, where and what to do; it never holds a
/// secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The slot, key or object forbids it whoever asks.
    #[error("{0}")]
    ActionProhibited(Text),
    /// A message's tag is wrong.
    #[error("the message does not decrypt with this key: it is damaged, or not for it")]
    AeadDecryptFailed,
    /// The attribute can never be changed (CKA code).
    #[error("attribute {0:#x} can't be changed")]
    AttributeReadOnly(CK_ATTRIBUTE_TYPE),
    /// The attribute's value never leaves the token (CKA code).
    #[error("attribute {0:#x} never leaves the chip")]
    AttributeSensitive(CK_ATTRIBUTE_TYPE),
    /// The object has no such attribute (CKA code).
    #[error("the object has no attribute {0:#x}")]
    AttributeTypeInvalid(CK_ATTRIBUTE_TYPE),
    /// The slot's key works only while the persistent latch is set, and the chip refused to use it.
    #[error(
        "slot {slot} works only while the chip's persistent latch is set{}: `atecc608 latch show` shows it, and what sets it",
        match latch { Latch::NotTold => ", and the chip refuses to say whether it is", _ => ", and it is not" }
    )]
    BehindLatch {
        /// The slot.
        slot: Slot,
        /// What the chip says about the latch.
        latch: Latch,
    },
    /// A template's value is malformed or not possible.
    #[error("{0}")]
    AttributeValueInvalid(Text),
    /// The curve is not P-256.
    #[error("{0}")]
    CurveNotSupported(Text),
    /// The data to sign or digest has a length that is not possible.
    #[error("{0}")]
    DataLenRange(Text),
    /// CKA_EC_PARAMS is not DER.
    #[error("{0}")]
    DomainParamsInvalid(Text),
    /// The chip, or the bus to it, failed.
    #[error("{}", explain(.0))]
    Device(#[source] Box<chip::Error>),
    /// Something else about the device failed, for instance the lock on the bus.
    #[error("{0}")]
    DeviceError(Text),
    /// What was to be decrypted is damaged, or not for this key: padding or tag are wrong.
    #[error("the encrypted data does not decrypt with this key: it is damaged, or not for it")]
    EncryptedDataInvalid,
    /// The encrypted data has a length that is not possible.
    #[error("{0}")]
    EncryptedDataLenRange(Text),
    /// No slot is free, or the state folder is full.
    #[error("{0}")]
    DeviceMemory(Text),
    /// The host has no memory for it.
    #[error("{0}")]
    HostMemory(Text),
    /// The key may not be used for this.
    #[error("{0}")]
    KeyFunctionNotPermitted(Text),
    /// The handle names no key, or a key that is no longer in the chip.
    #[error("{0}")]
    KeyHandleInvalid(Text),
    /// The key's value can't be digested.
    #[error("{0}")]
    KeyIndigestible(Text),
    /// The key has a length that is not possible.
    #[error("{0}")]
    KeySizeRange(Text),
    /// The key can't be wrapped.
    #[error("{0}")]
    KeyNotWrappable(Text),
    /// The key can't leave: CKA_EXTRACTABLE is false.
    #[error("{0}")]
    KeyUnextractable(Text),
    /// The key's type does not fit the mechanism.
    #[error("{0}")]
    KeyTypeInconsistent(Text),
    /// The mechanism is unknown, or not for this.
    #[error("mechanism {0:#x} is not supported for this operation")]
    MechanismInvalid(CK_MECHANISM_TYPE),
    /// The mechanism's parameter is wrong.
    #[error("{0}")]
    MechanismParamInvalid(Text),
    /// The handle names no object.
    #[error("object handle {0} is not valid")]
    ObjectHandleInvalid(u64),
    /// No operation is under way that this belongs to.
    #[error("{0}")]
    OperationNotInitialized(Text),
    /// The PIN is wrong: the chip says so, or it is no recovery code.
    #[error("the PIN is wrong")]
    PinIncorrect,
    /// The chip does not take part in a change of the PIN.
    #[error("{0}")]
    PinNotChanged(Text),
    /// What is to become a PIN can't be one.
    #[error("{0}")]
    PinInvalid(Text),
    /// What is to become a PIN is too short or too long.
    #[error("{0}")]
    PinLenRange(Text),
    /// The chip has no random numbers to give (its configuration is not locked).
    #[error("{0}")]
    RandomNoRng(Text),
    /// A read-only session can't change token objects.
    #[error("a read-only session can't change token objects: open one with CKF_RW_SESSION")]
    SessionReadOnly,
    /// The signature is wrong.
    #[error("the signature does not match")]
    SignatureInvalid,
    /// The signature has a length that is not possible.
    #[error("{0}")]
    SignatureLenRange(Text),
    /// The state has no text: a defect of this module.
    #[error("{0}")]
    State(Text),
    /// A template lacks an attribute.
    #[error("{0}")]
    TemplateIncomplete(Text),
    /// A template's attributes contradict each other or what a slot can be.
    #[error("{0}")]
    TemplateInconsistent(Text),
    /// The bus that a chip was on is no longer there: a USB adapter was unplugged.
    #[error("{0}")]
    AdapterGone(Text),
    /// No chip answers where the configuration says.
    #[error("{0}")]
    TokenNotPresent(Text),
    /// Something answers, but it is not an ATECC608.
    #[error("{0}")]
    TokenNotRecognized(Text),
    /// The state folder can't be written.
    #[error("{0}")]
    TokenWriteProtected(Text),
    /// Something is wrong with the key to unwrap with.
    #[error("the unwrapping key: {0}")]
    UnwrappingKey(Box<Error>),
    /// Something is wrong with the key to wrap with.
    #[error("the wrapping key: {0}")]
    WrappingKey(Box<Error>),
    /// The wrapped key is damaged, or not for this key.
    #[error("the wrapped key does not decrypt with this key: it is damaged, or not for it")]
    WrappedKeyInvalid,
    /// The wrapped key has a length that is not possible.
    #[error("{0}")]
    WrappedKeyLenRange(Text),
    /// Somebody else is logged in: user and security officer exclude each other.
    #[error("somebody else is logged in: log out first")]
    UserAnotherAlreadyLoggedIn,
    /// The user has no PIN.
    #[error("{0}")]
    UserPinNotInitialized(Text),
    /// The user is logged in already.
    #[error("already logged in")]
    UserAlreadyLoggedIn,
    /// Nobody is logged in.
    #[error("not logged in")]
    UserNotLoggedIn,
    /// The user type is not one of this token.
    #[error("{0}")]
    UserTypeInvalid(Text),
}

impl Error {
    /// A signature or MAC of `got` bytes, where `expected` are right.
    pub(crate) fn signature_len(got: usize, expected: usize) -> Self {
        Self::SignatureLenRange(format!("a signature of {got} bytes, where {expected} were expected").into())
    }
}

impl From<chip::Error> for Error {
    fn from(error: chip::Error) -> Self {
        Self::Device(Box::new(error))
    }
}

impl Error {
    /// Whether the chip refused one question about one slot: the others can be used.
    pub(crate) fn is_about_one_slot(&self) -> bool {
        match self {
            Self::Device(error) => {
                error.refusal().is_some()
                    || matches!(**error, chip::Error::KeyNotTold { .. } | chip::Error::PublicKeyNotTold(_))
            }
            Self::BehindLatch { .. } => true,
            _ => false,
        }
    }
}

/// Returns the message of a driver's error as the user of a token or of the tool reads it: with what to do, and a login in the
/// place of an authorisation.
pub fn explain(error: &chip::Error) -> String {
    match error {
        chip::Error::SelfTestFailed => format!("{error}; run `atecc608 doctor`"),
        chip::Error::NotAuthorised { slot, refused: false } => format!("slot {slot} works only after a login"),
        chip::Error::NotAuthorised { slot, refused: true } => format!(
            "slot {slot} works only after a login, and the chip no longer takes this one: the PIN was changed or reset elsewhere"
        ),
        error => error.to_string(),
    }
}
