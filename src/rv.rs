//! The one place where an error becomes a CK_RV, and a CK_RV gets its name.

use cryptoki_sys::*;
use log::Level;

use super::error::Error;
use atecc608 as chip;
use atecc608_token as token;

impl Error {
    /// The return value that the standard names for it. No wildcard: a new error must be given its code here.
    pub fn rv(&self) -> CK_RV {
        match self {
            Self::Token(error) => token_rv(error),
            Self::ArgumentsBad(_) => CKR_ARGUMENTS_BAD,
            Self::AttributeValueInvalid(..) => CKR_ATTRIBUTE_VALUE_INVALID,
            Self::BufferTooSmall(_) => CKR_BUFFER_TOO_SMALL,
            Self::Configuration(_) => CKR_GENERAL_ERROR,
            Self::CryptokiAlreadyInitialized => CKR_CRYPTOKI_ALREADY_INITIALIZED,
            Self::CryptokiNotInitialized => CKR_CRYPTOKI_NOT_INITIALIZED,
            Self::FunctionNotParallel => CKR_FUNCTION_NOT_PARALLEL,
            Self::FunctionNotSupported => CKR_FUNCTION_NOT_SUPPORTED,
            Self::Internal(_) => CKR_GENERAL_ERROR,
            Self::MechanismParamInvalid(_) => CKR_MECHANISM_PARAM_INVALID,
            Self::NoEvent => CKR_NO_EVENT,
            Self::OperationActive(_) => CKR_OPERATION_ACTIVE,
            Self::OperationNotInitialized(_) => CKR_OPERATION_NOT_INITIALIZED,
            Self::RandomSeedNotSupported => CKR_RANDOM_SEED_NOT_SUPPORTED,
            Self::SavedStateInvalid => CKR_SAVED_STATE_INVALID,
            Self::SessionAsyncNotSupported => CKR_SESSION_ASYNC_NOT_SUPPORTED,
            Self::SessionExists => CKR_SESSION_EXISTS,
            Self::SessionHandleInvalid(_) => CKR_SESSION_HANDLE_INVALID,
            Self::SessionParallelNotSupported => CKR_SESSION_PARALLEL_NOT_SUPPORTED,
            Self::SessionReadWriteSoExists => CKR_SESSION_READ_WRITE_SO_EXISTS,
            Self::SessionReadOnlyExists => CKR_SESSION_READ_ONLY_EXISTS,
            Self::SlotIdInvalid(_) => CKR_SLOT_ID_INVALID,
            Self::StateUnsaveable => CKR_STATE_UNSAVEABLE,
        }
    }

    /// How loudly it is logged.
    pub fn level(&self) -> Level {
        match self.rv() {
            // The chip, the bus, the state folder, the configuration, or a defect here: someone must act.
            CKR_GENERAL_ERROR | CKR_DEVICE_ERROR | CKR_DEVICE_REMOVED | CKR_FUNCTION_FAILED => Level::Error,
            // The token's own refusals say what to do about them, so they must be seen without turning the log up.
            CKR_ACTION_PROHIBITED
            | CKR_ATTRIBUTE_VALUE_INVALID
            | CKR_CURVE_NOT_SUPPORTED
            | CKR_DEVICE_MEMORY
            | CKR_PIN_INVALID
            | CKR_PIN_LEN_RANGE
            | CKR_RANDOM_NO_RNG
            | CKR_TEMPLATE_INCOMPLETE
            | CKR_TEMPLATE_INCONSISTENT
            | CKR_TOKEN_NOT_PRESENT
            | CKR_TOKEN_NOT_RECOGNIZED
            | CKR_TOKEN_WRITE_PROTECTED
            | CKR_USER_PIN_NOT_INITIALIZED
            | CKR_USER_TYPE_INVALID => Level::Warn,
            // Answers that are part of a normal conversation.
            CKR_ATTRIBUTE_SENSITIVE | CKR_ATTRIBUTE_TYPE_INVALID | CKR_BUFFER_TOO_SMALL | CKR_NO_EVENT => Level::Debug,
            // A caller's mistake.
            _ => Level::Info,
        }
    }
}

fn token_rv(error: &token::Error) -> CK_RV {
    use token::Error;
    match error {
        Error::ActionProhibited(_) => CKR_ACTION_PROHIBITED,
        Error::AeadDecryptFailed => CKR_AEAD_DECRYPT_FAILED,
        Error::AttributeReadOnly(_) => CKR_ATTRIBUTE_READ_ONLY,
        Error::AttributeSensitive(_) => CKR_ATTRIBUTE_SENSITIVE,
        Error::AttributeTypeInvalid(_) => CKR_ATTRIBUTE_TYPE_INVALID,
        Error::AttributeValueInvalid(_) => CKR_ATTRIBUTE_VALUE_INVALID,
        Error::CurveNotSupported(_) => CKR_CURVE_NOT_SUPPORTED,
        Error::DataLenRange(_) => CKR_DATA_LEN_RANGE,
        Error::Device(error) => chip_rv(error),
        Error::DeviceError(_) => CKR_DEVICE_ERROR,
        Error::DeviceMemory(_) => CKR_DEVICE_MEMORY,
        Error::EncryptedDataInvalid => CKR_ENCRYPTED_DATA_INVALID,
        Error::EncryptedDataLenRange(_) => CKR_ENCRYPTED_DATA_LEN_RANGE,
        Error::KeyFunctionNotPermitted(_) => CKR_KEY_FUNCTION_NOT_PERMITTED,
        Error::KeyHandleInvalid(_) => CKR_KEY_HANDLE_INVALID,
        Error::KeyIndigestible(_) => CKR_KEY_INDIGESTIBLE,
        Error::KeySizeRange(_) => CKR_KEY_SIZE_RANGE,
        Error::KeyNotWrappable(_) => CKR_KEY_NOT_WRAPPABLE,
        Error::KeyUnextractable(_) => CKR_KEY_UNEXTRACTABLE,
        Error::KeyTypeInconsistent(_) => CKR_KEY_TYPE_INCONSISTENT,
        Error::MechanismInvalid(_) => CKR_MECHANISM_INVALID,
        Error::MechanismParamInvalid(_) => CKR_MECHANISM_PARAM_INVALID,
        Error::ObjectHandleInvalid(_) => CKR_OBJECT_HANDLE_INVALID,
        Error::OperationNotInitialized(_) => CKR_OPERATION_NOT_INITIALIZED,
        Error::PinIncorrect => CKR_PIN_INCORRECT,
        Error::PinInvalid(_) => CKR_PIN_INVALID,
        Error::PinLenRange(_) => CKR_PIN_LEN_RANGE,
        Error::RandomNoRng(_) => CKR_RANDOM_NO_RNG,
        Error::SessionReadOnly => CKR_SESSION_READ_ONLY,
        Error::SignatureInvalid => CKR_SIGNATURE_INVALID,
        Error::SignatureLenRange { .. } => CKR_SIGNATURE_LEN_RANGE,
        Error::State(_) => CKR_FUNCTION_FAILED,
        Error::TemplateIncomplete(_) => CKR_TEMPLATE_INCOMPLETE,
        Error::TemplateInconsistent(_) => CKR_TEMPLATE_INCONSISTENT,
        Error::TokenNotPresent(_) => CKR_TOKEN_NOT_PRESENT,
        Error::TokenNotRecognized(_) => CKR_TOKEN_NOT_RECOGNIZED,
        Error::TokenWriteProtected(_) => CKR_TOKEN_WRITE_PROTECTED,
        Error::UnwrappingKey(error) => match token_rv(error) {
            CKR_KEY_HANDLE_INVALID => CKR_UNWRAPPING_KEY_HANDLE_INVALID,
            CKR_KEY_TYPE_INCONSISTENT => CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT,
            CKR_KEY_SIZE_RANGE => CKR_UNWRAPPING_KEY_SIZE_RANGE,
            other => other,
        },
        Error::WrappingKey(error) => match token_rv(error) {
            CKR_KEY_HANDLE_INVALID => CKR_WRAPPING_KEY_HANDLE_INVALID,
            CKR_KEY_TYPE_INCONSISTENT => CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
            CKR_KEY_SIZE_RANGE => CKR_WRAPPING_KEY_SIZE_RANGE,
            other => other,
        },
        Error::WrappedKeyInvalid => CKR_WRAPPED_KEY_INVALID,
        Error::WrappedKeyLenRange(_) => CKR_WRAPPED_KEY_LEN_RANGE,
        Error::UserAlreadyLoggedIn => CKR_USER_ALREADY_LOGGED_IN,
        Error::UserAnotherAlreadyLoggedIn => CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
        Error::UserPinNotInitialized(_) => CKR_USER_PIN_NOT_INITIALIZED,
        Error::UserNotLoggedIn => CKR_USER_NOT_LOGGED_IN,
        Error::UserTypeInvalid(_) => CKR_USER_TYPE_INVALID,
    }
}

/// A failure of the chip or the bus in the middle of something.
fn chip_rv(error: &chip::Error) -> CK_RV {
    match error {
        error if error.is_absence() => CKR_DEVICE_REMOVED,
        chip::Error::NotAuthorised { .. } => CKR_USER_NOT_LOGGED_IN,
        _ => CKR_DEVICE_ERROR,
    }
}

macro_rules! names {
    ($($name:ident)*) => {
        /// The name of a return value that this module gives, for the log.
        pub fn name(rv: CK_RV) -> &'static str {
            match rv {
                $($name => stringify!($name),)*
                _ => "an unnamed CK_RV",
            }
        }
    };
}

names! {
    CKR_OK CKR_ACTION_PROHIBITED CKR_AEAD_DECRYPT_FAILED CKR_ARGUMENTS_BAD CKR_ATTRIBUTE_READ_ONLY CKR_ATTRIBUTE_SENSITIVE
    CKR_ATTRIBUTE_TYPE_INVALID CKR_ATTRIBUTE_VALUE_INVALID CKR_BUFFER_TOO_SMALL CKR_CRYPTOKI_ALREADY_INITIALIZED
    CKR_CRYPTOKI_NOT_INITIALIZED CKR_CURVE_NOT_SUPPORTED CKR_DATA_LEN_RANGE CKR_DEVICE_ERROR CKR_DEVICE_MEMORY
    CKR_DEVICE_REMOVED CKR_ENCRYPTED_DATA_INVALID CKR_ENCRYPTED_DATA_LEN_RANGE CKR_FUNCTION_FAILED CKR_FUNCTION_NOT_PARALLEL CKR_FUNCTION_NOT_SUPPORTED CKR_GENERAL_ERROR
    CKR_KEY_FUNCTION_NOT_PERMITTED CKR_KEY_HANDLE_INVALID CKR_KEY_INDIGESTIBLE CKR_KEY_SIZE_RANGE CKR_KEY_UNEXTRACTABLE CKR_KEY_TYPE_INCONSISTENT
    CKR_MECHANISM_INVALID CKR_MECHANISM_PARAM_INVALID CKR_NO_EVENT CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE
    CKR_OPERATION_NOT_INITIALIZED CKR_RANDOM_NO_RNG CKR_RANDOM_SEED_NOT_SUPPORTED CKR_SAVED_STATE_INVALID
    CKR_SESSION_ASYNC_NOT_SUPPORTED CKR_SESSION_EXISTS CKR_SESSION_HANDLE_INVALID CKR_SESSION_PARALLEL_NOT_SUPPORTED
    CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE CKR_SESSION_READ_WRITE_SO_EXISTS
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN CKR_USER_PIN_NOT_INITIALIZED
    CKR_SESSION_READ_ONLY CKR_SESSION_READ_ONLY_EXISTS CKR_SIGNATURE_INVALID CKR_SIGNATURE_LEN_RANGE
    CKR_SLOT_ID_INVALID CKR_STATE_UNSAVEABLE CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT CKR_TOKEN_NOT_PRESENT
    CKR_TOKEN_NOT_RECOGNIZED CKR_TOKEN_WRITE_PROTECTED CKR_USER_ALREADY_LOGGED_IN CKR_USER_NOT_LOGGED_IN
    CKR_USER_TYPE_INVALID CKR_KEY_NOT_WRAPPABLE CKR_WRAPPED_KEY_INVALID CKR_WRAPPED_KEY_LEN_RANGE
    CKR_UNWRAPPING_KEY_HANDLE_INVALID CKR_UNWRAPPING_KEY_SIZE_RANGE CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT
    CKR_WRAPPING_KEY_HANDLE_INVALID CKR_WRAPPING_KEY_SIZE_RANGE CKR_WRAPPING_KEY_TYPE_INCONSISTENT
}
