//! What can go wrong at the C interface, the token's errors among them. [`rv`](super::rv) turns each into its CK_RV.

use atecc608_token as token;
use atecc608_token::config::ConfigError;

/// Result of a C function's body.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a C function did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token refused or failed.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// A pointer is NULL, or a length or count is impossible.
    #[error("{0}")]
    ArgumentsBad(&'static str),
    /// A template's value is malformed in itself.
    #[error("attribute {0:#x}: {1}")]
    AttributeValueInvalid(u64, &'static str),
    /// The caller's buffer is too short. It was told the length needed.
    #[error("the buffer is too small: {0} needed")]
    BufferTooSmall(usize),
    /// The configuration can't be used.
    #[error("{0}")]
    Configuration(#[from] ConfigError),
    /// C_Initialize was called already.
    #[error("the module is initialised already")]
    CryptokiAlreadyInitialized,
    /// C_Initialize was not called, not in this process, or C_Finalize came after it.
    #[error("C_Initialize has not been called in this process")]
    CryptokiNotInitialized,
    /// A legacy function for parallel execution, which no token has.
    #[error("functions are not executed in parallel")]
    FunctionNotParallel,
    /// The function is not supported.
    #[error("not supported")]
    FunctionNotSupported,
    /// A defect in this module; the text is the panic's.
    #[error("internal error, please report it: {0}")]
    Internal(String),
    /// The mechanism's parameter can't be read.
    #[error("{0}")]
    MechanismParamInvalid(&'static str),
    /// No slot has an event to report.
    #[error("no slot event")]
    NoEvent,
    /// The operation named is active already, or in the middle of its parts.
    #[error("{0} is active already in this session")]
    OperationActive(&'static str),
    /// The operation named has not been started.
    #[error("no {0} is active in this session")]
    OperationNotInitialized(&'static str),
    /// The random generator takes no seed.
    #[error("the chip's random generator takes no seed")]
    RandomSeedNotSupported,
    /// What C_SetOperationState is given is no state of an operation of this module: it saves none.
    #[error("this module saves no operations' states, so it can't have given this one")]
    SavedStateInvalid,
    /// CKF_ASYNC_SESSION was asked, or what needs one.
    #[error("asynchronous sessions are not supported")]
    SessionAsyncNotSupported,
    /// Sessions are open where none may be.
    #[error("a session is open with the token")]
    SessionExists,
    /// The handle names no open session.
    #[error("session handle {0} is not valid")]
    SessionHandleInvalid(u64),
    /// CKF_SERIAL_SESSION is missing.
    #[error("CKF_SERIAL_SESSION is missing from the flags")]
    SessionParallelNotSupported,
    /// The security officer is logged in, who has no read-only sessions.
    #[error("the security officer is logged in: only read-write sessions can be opened")]
    SessionReadWriteSoExists,
    /// A read-only session keeps the security officer out.
    #[error("a read-only session is open, so the security officer can't log in")]
    SessionReadOnlyExists,
    /// No such slot.
    #[error("there is no slot {0}")]
    SlotIdInvalid(u64),
    /// The state of the operations in progress can't leave the session.
    #[error("an operation in progress can't be saved")]
    StateUnsaveable,
}
