// SPDX-License-Identifier: MIT OR Apache-2.0
//! The errors of the C interface, and one table with each error's CK_RV and log level. The texts are with the variants:
//! here, and for the token's errors in the token, because the tool prints them too.

use atecc608 as chip;
use atecc608::error::Text;
use atecc608_token as token;
use cryptoki_sys::*;
use log::Level;

/// The result of a C function's body.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A text that is part of the module. One word in size, so that results that carry an [`Error`] stay small.
pub type FixedText = &'static &'static str;

/// Why a C function failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token refused or failed.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// A pointer is NULL, or a length or count is impossible.
    #[error("{0}")]
    ArgumentsBad(FixedText),
    /// The caller's buffer is too short. The caller has received the required length.
    #[error("the buffer is too small: {0} needed")]
    BufferTooSmall(usize),
    /// The configuration can't be used.
    #[error("{0}")]
    Configuration(Text),
    /// C_Initialize was called already.
    #[error("the module is initialised already")]
    CryptokiAlreadyInitialized,
    /// C_Initialize was not called in this process, or C_Finalize was called after it.
    #[error("C_Initialize has not been called in this process")]
    CryptokiNotInitialized,
    /// A legacy function for parallel execution, which no token supports.
    #[error("functions are not executed in parallel")]
    FunctionNotParallel,
    /// A defect in this module; the text is that of the panic.
    #[error("internal error, please report it: {0}")]
    Internal(Text),
    /// The mechanism's parameter can't be read.
    #[error("{0}")]
    MechanismParamInvalid(FixedText),
    /// No slot has an event to report.
    #[error("no slot event")]
    NoEvent,
    /// The named operation is active already, or has processed some of its parts.
    #[error("{0} is active already in this session")]
    OperationActive(FixedText),
    /// The named operation has not been started.
    #[error("no {0} is active in this session")]
    OperationNotInitialized(FixedText),
    /// The random generator accepts no seed.
    #[error("the chip's random generator can't be seeded")]
    RandomSeedNotSupported,
    /// The argument of C_SetOperationState is not a saved state: this module saves none.
    #[error("this module can't save operation states, so this state is not valid")]
    SavedStateInvalid,
    /// CKF_ASYNC_SESSION was requested, or a function that requires it.
    #[error("asynchronous sessions are not supported")]
    SessionAsyncNotSupported,
    /// A session is open where none may be.
    #[error("a session is open with the token")]
    SessionExists,
    /// The handle names no open session.
    #[error("session handle {0} is not valid")]
    SessionHandleInvalid(u64),
    /// CKF_SERIAL_SESSION is missing.
    #[error("CKF_SERIAL_SESSION is missing from the flags")]
    SessionParallelNotSupported,
    /// The security officer, who can't have read-only sessions, is logged in.
    #[error("the security officer is logged in: only read-write sessions can be opened")]
    SessionReadWriteSoExists,
    /// The security officer can't log in while a read-only session is open.
    #[error("a read-only session is open, so the security officer can't log in")]
    SessionReadOnlyExists,
    /// No such slot.
    #[error("there is no slot {0}")]
    SlotIdInvalid(u64),
    /// The state of an operation in progress can't be saved.
    #[error("an operation in progress can't be saved")]
    StateUnsaveable,
}

/// A row of the table: the return value and the log level of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The return value from the standard.
    pub rv: CK_RV,
    /// The return value's name.
    pub name: &'static str,
    /// The log level: Error if a person must act on the chip, the bus, the state folder, the configuration or a defect
    /// of the module; Warn for a refusal by the token, which contains a remedy and so must be visible at the default
    /// level; Info for a caller's mistake; Debug for a part of normal use.
    pub level: Level,
}

macro_rules! row {
    ($rv:ident, $level:ident) => {
        Row { rv: $rv, name: stringify!($rv), level: Level::$level }
    };
}

impl Error {
    /// Returns the error's row for a function (`C_Sign`), with a return value that the standard allows for it.
    pub fn row_for(&self, function: &str) -> Row {
        let row = self.row();
        let own = match (row.rv, function) {
            (CKR_ACTION_PROHIBITED, "C_CopyObject" | "C_SetAttributeValue" | "C_DestroyObject") => return row,
            (CKR_ACTION_PROHIBITED, "C_CreateObject" | "C_GenerateKey" | "C_GenerateKeyPair") => {
                row!(CKR_TEMPLATE_INCONSISTENT, Warn)
            }
            (CKR_ACTION_PROHIBITED, _) => row!(CKR_FUNCTION_FAILED, Warn),
            // The length of a new key is an attribute of its template.
            (CKR_KEY_SIZE_RANGE, "C_CreateObject" | "C_GenerateKey") => row!(CKR_ATTRIBUTE_VALUE_INVALID, Info),
            (CKR_KEY_SIZE_RANGE, "C_UnwrapKey" | "C_UnwrapKeyAuthenticated") => row!(CKR_WRAPPED_KEY_LEN_RANGE, Info),
            // These name the token. For the others it was present when the session was opened.
            (
                CKR_TOKEN_NOT_PRESENT | CKR_TOKEN_NOT_RECOGNIZED,
                "C_GetTokenInfo" | "C_GetMechanismList" | "C_GetMechanismInfo" | "C_InitToken" | "C_OpenSession",
            ) => return row,
            (CKR_TOKEN_NOT_PRESENT | CKR_TOKEN_NOT_RECOGNIZED, _) => row!(CKR_DEVICE_REMOVED, Warn),
            _ => return row,
        };
        Row { level: row.level, ..own }
    }

    /// Returns the error's row. No wildcard in this table: a new error must get its own row.
    fn row(&self) -> Row {
        match self {
            Self::Token(error) => token_row(error),
            Self::ArgumentsBad(_) => row!(CKR_ARGUMENTS_BAD, Info),
            Self::BufferTooSmall(_) => row!(CKR_BUFFER_TOO_SMALL, Debug),
            Self::Configuration(_) => row!(CKR_GENERAL_ERROR, Error),
            Self::CryptokiAlreadyInitialized => row!(CKR_CRYPTOKI_ALREADY_INITIALIZED, Info),
            Self::CryptokiNotInitialized => row!(CKR_CRYPTOKI_NOT_INITIALIZED, Info),
            Self::FunctionNotParallel => row!(CKR_FUNCTION_NOT_PARALLEL, Info),
            Self::Internal(_) => row!(CKR_GENERAL_ERROR, Error),
            Self::MechanismParamInvalid(_) => row!(CKR_MECHANISM_PARAM_INVALID, Info),
            Self::NoEvent => row!(CKR_NO_EVENT, Debug),
            Self::OperationActive(_) => row!(CKR_OPERATION_ACTIVE, Info),
            Self::OperationNotInitialized(_) => row!(CKR_OPERATION_NOT_INITIALIZED, Info),
            Self::RandomSeedNotSupported => row!(CKR_RANDOM_SEED_NOT_SUPPORTED, Info),
            Self::SavedStateInvalid => row!(CKR_SAVED_STATE_INVALID, Info),
            Self::SessionAsyncNotSupported => row!(CKR_SESSION_ASYNC_NOT_SUPPORTED, Info),
            Self::SessionExists => row!(CKR_SESSION_EXISTS, Info),
            Self::SessionHandleInvalid(_) => row!(CKR_SESSION_HANDLE_INVALID, Info),
            Self::SessionParallelNotSupported => row!(CKR_SESSION_PARALLEL_NOT_SUPPORTED, Info),
            Self::SessionReadWriteSoExists => row!(CKR_SESSION_READ_WRITE_SO_EXISTS, Info),
            Self::SessionReadOnlyExists => row!(CKR_SESSION_READ_ONLY_EXISTS, Info),
            Self::SlotIdInvalid(_) => row!(CKR_SLOT_ID_INVALID, Info),
            Self::StateUnsaveable => row!(CKR_STATE_UNSAVEABLE, Info),
        }
    }
}

fn token_row(error: &token::Error) -> Row {
    use token::Error;
    match error {
        Error::ActionProhibited(_) => row!(CKR_ACTION_PROHIBITED, Warn),
        Error::AeadDecryptFailed => row!(CKR_AEAD_DECRYPT_FAILED, Info),
        // Neither the chip nor the bus failed: the key may not be used at the moment.
        Error::BehindLatch { .. } => row!(CKR_KEY_FUNCTION_NOT_PERMITTED, Warn),
        Error::AttributeReadOnly(_) => row!(CKR_ATTRIBUTE_READ_ONLY, Info),
        Error::AttributeSensitive(_) => row!(CKR_ATTRIBUTE_SENSITIVE, Debug),
        Error::AttributeTypeInvalid(_) => row!(CKR_ATTRIBUTE_TYPE_INVALID, Debug),
        Error::AttributeValueInvalid(_) => row!(CKR_ATTRIBUTE_VALUE_INVALID, Warn),
        Error::CurveNotSupported(_) => row!(CKR_CURVE_NOT_SUPPORTED, Warn),
        Error::DataLenRange(_) => row!(CKR_DATA_LEN_RANGE, Info),
        Error::Device(error) => chip_row(error),
        Error::DeviceError(_) => row!(CKR_DEVICE_ERROR, Error),
        Error::DeviceMemory(_) => row!(CKR_DEVICE_MEMORY, Warn),
        Error::DomainParamsInvalid(_) => row!(CKR_DOMAIN_PARAMS_INVALID, Warn),
        Error::EncryptedDataInvalid => row!(CKR_ENCRYPTED_DATA_INVALID, Info),
        Error::EncryptedDataLenRange(_) => row!(CKR_ENCRYPTED_DATA_LEN_RANGE, Info),
        Error::HostMemory(_) => row!(CKR_HOST_MEMORY, Error),
        Error::KeyFunctionNotPermitted(_) => row!(CKR_KEY_FUNCTION_NOT_PERMITTED, Info),
        Error::KeyHandleInvalid(_) => row!(CKR_KEY_HANDLE_INVALID, Info),
        Error::KeyIndigestible(_) => row!(CKR_KEY_INDIGESTIBLE, Info),
        Error::KeySizeRange(_) => row!(CKR_KEY_SIZE_RANGE, Info),
        Error::KeyNotWrappable(_) => row!(CKR_KEY_NOT_WRAPPABLE, Info),
        Error::KeyUnextractable(_) => row!(CKR_KEY_UNEXTRACTABLE, Info),
        Error::KeyTypeInconsistent(_) => row!(CKR_KEY_TYPE_INCONSISTENT, Info),
        Error::MechanismInvalid(_) => row!(CKR_MECHANISM_INVALID, Info),
        Error::MechanismParamInvalid(_) => row!(CKR_MECHANISM_PARAM_INVALID, Info),
        Error::ObjectHandleInvalid(_) => row!(CKR_OBJECT_HANDLE_INVALID, Info),
        Error::OperationNotInitialized(_) => row!(CKR_OPERATION_NOT_INITIALIZED, Info),
        Error::PinIncorrect => row!(CKR_PIN_INCORRECT, Warn),
        Error::PinInvalid(_) => row!(CKR_PIN_INVALID, Warn),
        Error::PinNotChanged(_) => row!(CKR_FUNCTION_FAILED, Warn),
        Error::PinLenRange(_) => row!(CKR_PIN_LEN_RANGE, Warn),
        Error::RandomNoRng(_) => row!(CKR_RANDOM_NO_RNG, Warn),
        Error::SessionReadOnly => row!(CKR_SESSION_READ_ONLY, Info),
        Error::SignatureInvalid => row!(CKR_SIGNATURE_INVALID, Info),
        Error::SignatureLenRange(_) => row!(CKR_SIGNATURE_LEN_RANGE, Info),
        Error::State(_) => row!(CKR_FUNCTION_FAILED, Error),
        Error::TemplateIncomplete(_) => row!(CKR_TEMPLATE_INCOMPLETE, Warn),
        Error::TemplateInconsistent(_) => row!(CKR_TEMPLATE_INCONSISTENT, Warn),
        Error::AdapterGone(_) => row!(CKR_DEVICE_REMOVED, Warn),
        Error::TokenNotPresent(_) => row!(CKR_TOKEN_NOT_PRESENT, Warn),
        Error::TokenNotRecognized(_) => row!(CKR_TOKEN_NOT_RECOGNIZED, Warn),
        Error::TokenWriteProtected(_) => row!(CKR_TOKEN_WRITE_PROTECTED, Warn),
        Error::UnwrappingKey(cause) => key_row(
            cause,
            [
                row!(CKR_UNWRAPPING_KEY_HANDLE_INVALID, Info),
                row!(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, Info),
                row!(CKR_UNWRAPPING_KEY_SIZE_RANGE, Info),
            ],
        ),
        Error::WrappingKey(cause) => key_row(
            cause,
            [
                row!(CKR_WRAPPING_KEY_HANDLE_INVALID, Info),
                row!(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, Info),
                row!(CKR_WRAPPING_KEY_SIZE_RANGE, Info),
            ],
        ),
        Error::WrappedKeyInvalid => row!(CKR_WRAPPED_KEY_INVALID, Info),
        Error::WrappedKeyLenRange(_) => row!(CKR_WRAPPED_KEY_LEN_RANGE, Info),
        Error::UserAlreadyLoggedIn => row!(CKR_USER_ALREADY_LOGGED_IN, Info),
        Error::UserAnotherAlreadyLoggedIn => row!(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, Info),
        Error::UserPinNotInitialized(_) => row!(CKR_USER_PIN_NOT_INITIALIZED, Warn),
        Error::UserNotLoggedIn => row!(CKR_USER_NOT_LOGGED_IN, Info),
        Error::UserTypeInvalid(_) => row!(CKR_USER_TYPE_INVALID, Warn),
    }
}

/// Returns the row of an error about a key that wraps or unwraps: the standard has own codes for three errors.
fn key_row(cause: &token::Error, own: [Row; 3]) -> Row {
    let general = [CKR_KEY_HANDLE_INVALID, CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_SIZE_RANGE];
    let row = token_row(cause);
    general.iter().position(|rv| *rv == row.rv).map_or(row, |index| own[index])
}

/// Returns the row of a failure of the chip or the bus during an operation.
fn chip_row(error: &chip::Error) -> Row {
    use chip::Error;
    match error {
        Error::NotAnswering(_) | Error::AnotherChip { .. } => row!(CKR_DEVICE_REMOVED, Error),
        Error::NotAuthorised { .. } => row!(CKR_USER_NOT_LOGGED_IN, Info),
        Error::KeyNotTold { .. } | Error::PublicKeyNotTold(_) => row!(CKR_ACTION_PROHIBITED, Warn),
        Error::WakeResponse { .. }
        | Error::SelfTestFailed
        | Error::Bus(_)
        | Error::Lost(_)
        | Error::Timeout { .. }
        | Error::Damaged { .. }
        | Error::Status { .. }
        | Error::Response(_)
        | Error::Uncertain { .. }
        | Error::OtherConfiguration(_)
        | Error::HostRandom(_)
        | Error::Mismatch(_) => row!(CKR_DEVICE_ERROR, Error),
    }
}
