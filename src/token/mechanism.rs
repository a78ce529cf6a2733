//! Mechanisms: the one table of what is offered, with sizes and flags, and a caller's mechanism as typed values.

use cryptoki_sys::*;

/// A mechanism with its parameter, copied out of the caller's memory.
#[derive(Clone, Debug)]
pub struct Mechanism {
    /// CKM code.
    pub mechanism: CK_MECHANISM_TYPE,
    /// Its parameter.
    pub parameter: Parameter,
}

/// A mechanism's parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// None was given.
    None,
    /// CK_ECDH1_DERIVE_PARAMS.
    Ecdh1 {
        /// CKD code.
        kdf: CK_EC_KDF_TYPE,
        /// Shared info of the key derivation function.
        shared_data: Vec<u8>,
        /// The other side's public key: 04 ‖ X ‖ Y, bare or in a DER OCTET STRING.
        public_data: Vec<u8>,
    },
    /// Bytes that no supported mechanism knows how to read.
    Other(Vec<u8>),
}

/// What C_GetMechanismInfo says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MechanismInfo {
    /// CKM code.
    pub mechanism: CK_MECHANISM_TYPE,
    /// Smallest key size: bits for EC, unused (0) for digests.
    pub min_key_size: CK_ULONG,
    /// Largest key size.
    pub max_key_size: CK_ULONG,
    /// CKF flags.
    pub flags: CK_FLAGS,
}
