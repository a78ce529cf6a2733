//! What can go wrong at the C interface, the token's errors among them. [`rv`](super::rv) turns each into its CK_RV.

use crate::config::ConfigError;
use crate::token;

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
    /// Keys can't be digested.
    #[error("keys of this token can't be digested: their value never leaves the chip")]
    KeyIndigestible,
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
    /// CKF_ASYNC_SESSION was asked.
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
}
