// SPDX-License-Identifier: MIT OR Apache-2.0
//! The errors of a token, in terms of PKCS#11. The module's error table assigns a CK_RV to each variant.

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE};

use atecc608 as chip;
use atecc608::error::Text;
use atecc608::latch::Latch;
use atecc608_wire::Slot;

/// The result of a token operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a token operation failed. The text says what failed, where and what to do; it never contains a secret.
///
/// # Turn errors
/// Every operation that accesses the chip can fail with these:
///
/// - [`Error::DeviceError`]: the chip or the bus was in use until the deadline, or can't be used at all.
/// - [`Error::AdapterGone`]: the adapter was unplugged.
/// - [`Error::TokenNotPresent`]: no chip responds, or another chip than before.
/// - [`Error::TokenNotRecognized`]: the chip is not an ATECC608.
/// - [`Error::Device`]: the chip or the bus failed.
/// - [`Error::UserNotLoggedIn`]: the operation requires a login.
///
/// # First contact errors
/// An operation that only needs the facts about the chip accesses it at the first contact of the process. It can fail
/// with the same errors, except [`Error::UserNotLoggedIn`].
///
/// # State folder errors
/// An operation that changes the state can fail with these, before it changes the chip unless it says otherwise:
///
/// - [`Error::TokenWriteProtected`]: the state can't be written.
/// - [`Error::DeviceMemory`]: the disk is full.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The slot, key or object forbids the operation for every user.
    #[error("{0}")]
    ActionProhibited(Text),
    /// A message's tag is wrong.
    #[error("cannot decrypt the message: it is damaged, or was encrypted with another key")]
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
        "slot {slot} works only while the chip's persistent latch is set{}: `atecc608 latch show` prints its state, \
         and what sets it",
        match latch { Latch::NotTold => ", and the chip refuses to report whether it is", _ => ", and it is not" }
    )]
    BehindLatch {
        /// The slot.
        slot: Slot,
        /// The state of the latch.
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
    /// Another failure of the device, for instance of the bus lock.
    #[error("{0}")]
    DeviceError(Text),
    /// The encrypted data is damaged, or encrypted with another key: padding or tag are wrong.
    #[error("cannot decrypt the data: it is damaged, or was encrypted with another key")]
    EncryptedDataInvalid,
    /// The encrypted data has a length that is not possible.
    #[error("{0}")]
    EncryptedDataLenRange(Text),
    /// No slot is free, or the state folder is full.
    #[error("{0}")]
    DeviceMemory(Text),
    /// The host has no memory for the operation.
    #[error("{0}")]
    HostMemory(Text),
    /// The key may not be used for this.
    #[error("{0}")]
    KeyFunctionNotPermitted(Text),
    /// The handle names no key, or one that is no longer in the chip.
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
    /// The key can't be exported: CKA_EXTRACTABLE is false.
    #[error("{0}")]
    KeyUnextractable(Text),
    /// The key's type does not fit the mechanism.
    #[error("{0}")]
    KeyTypeInconsistent(Text),
    /// The mechanism is unknown, or not for this operation.
    #[error("mechanism {0:#x} is not supported for this operation")]
    MechanismInvalid(CK_MECHANISM_TYPE),
    /// The mechanism's parameter is wrong.
    #[error("{0}")]
    MechanismParamInvalid(Text),
    /// The handle names no object.
    #[error("object handle {0} is not valid")]
    ObjectHandleInvalid(u64),
    /// The operation that this call continues is not active.
    #[error("{0}")]
    OperationNotInitialized(Text),
    /// The PIN is wrong according to the chip, or it is not a recovery code.
    #[error("the PIN is wrong")]
    PinIncorrect,
    /// The chip refused the change of the PIN.
    #[error("{0}")]
    PinNotChanged(Text),
    /// The new PIN is invalid.
    #[error("{0}")]
    PinInvalid(Text),
    /// The new PIN is too short or too long.
    #[error("{0}")]
    PinLenRange(Text),
    /// The chip has no random numbers (its configuration is not locked).
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
    /// The state can't be expressed as text: a defect of this module.
    #[error("{0}")]
    State(Text),
    /// A template lacks an attribute.
    #[error("{0}")]
    TemplateIncomplete(Text),
    /// A template's attributes contradict each other or the rules of the slot.
    #[error("{0}")]
    TemplateInconsistent(Text),
    /// The bus of a chip has disappeared: a USB adapter was unplugged.
    #[error("{0}")]
    AdapterGone(Text),
    /// No chip responds where the configuration says.
    #[error("{0}")]
    TokenNotPresent(Text),
    /// A device responds, but it is not an ATECC608.
    #[error("{0}")]
    TokenNotRecognized(Text),
    /// The state folder can't be written.
    #[error("{0}")]
    TokenWriteProtected(Text),
    /// An error of the unwrapping key.
    #[error("the unwrapping key: {0}")]
    UnwrappingKey(Box<Error>),
    /// An error of the wrapping key.
    #[error("the wrapping key: {0}")]
    WrappingKey(Box<Error>),
    /// The wrapped key is damaged, or wrapped with another key.
    #[error("cannot decrypt the wrapped key: it is damaged, or was wrapped with another key")]
    WrappedKeyInvalid,
    /// The wrapped key has a length that is not possible.
    #[error("{0}")]
    WrappedKeyLenRange(Text),
    /// Another user is logged in: user and security officer exclude each other.
    #[error("another user is logged in: log out first")]
    UserAnotherAlreadyLoggedIn,
    /// The user has no PIN.
    #[error("{0}")]
    UserPinNotInitialized(Text),
    /// The user is logged in already.
    #[error("already logged in")]
    UserAlreadyLoggedIn,
    /// No user is logged in.
    #[error("not logged in")]
    UserNotLoggedIn,
    /// The token has no users of this type.
    #[error("{0}")]
    UserTypeInvalid(Text),
}

impl Error {
    /// The error of a signature or MAC with `got` bytes instead of `expected`.
    pub(crate) fn signature_len(got: usize, expected: usize) -> Self {
        Self::SignatureLenRange(format!("the signature has {got} bytes instead of {expected}").into())
    }

    /// The same error for a function that takes a key: another thread may destroy the key at any moment.
    pub(crate) fn of_key(self) -> Self {
        match self {
            Self::ObjectHandleInvalid(handle) => {
                Self::KeyHandleInvalid(format!("the key of handle {handle} no longer exists").into())
            }
            other => other,
        }
    }
}

impl From<chip::Error> for Error {
    fn from(error: chip::Error) -> Self {
        Self::Device(Box::new(error))
    }
}

impl Error {
    /// Whether the chip refused a query about one slot: the others can be used.
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

/// Returns the message of a driver's error for users of a token or of the tool: with the remedy, and with a login
/// instead of an authorisation.
pub fn explain(error: &chip::Error) -> String {
    match error {
        chip::Error::SelfTestFailed => format!("{error}; run `atecc608 doctor`"),
        chip::Error::NotAuthorised { slot, refused: false } => format!("slot {slot} works only after a login"),
        chip::Error::NotAuthorised { slot, refused: true } => format!(
            "slot {slot} works only after a login, and the chip no longer accepts this one: another process changed or \
             reset the PIN. Log in again"
        ),
        error => error.to_string(),
    }
}
