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

/// Key sizes and form of the only curve.
const EC_FLAGS: CK_FLAGS = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
const P256_BITS: CK_ULONG = 256;

/// What a chip's configuration lets its keys do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Some slot's key may sign.
    pub sign: bool,
    /// Some slot's key may do ECDH.
    pub derive: bool,
    /// Some slot takes a new key.
    pub generate: bool,
}

/// The mechanisms of a token: keys' as its configuration allows, digests always. CKF_HW where the chip does it.
pub fn offered(abilities: Abilities) -> Vec<MechanismInfo> {
    let ec = |mechanism, flags| MechanismInfo {
        mechanism,
        min_key_size: P256_BITS,
        max_key_size: P256_BITS,
        flags: flags | EC_FLAGS,
    };
    let mut offered = Vec::new();
    if abilities.generate {
        offered.push(ec(CKM_EC_KEY_PAIR_GEN, CKF_HW | CKF_GENERATE_KEY_PAIR));
    }
    if abilities.sign {
        // Verification is done on the host.
        for mechanism in ECDSA {
            offered.push(ec(mechanism, CKF_HW | CKF_SIGN | CKF_VERIFY));
        }
    }
    if abilities.derive {
        offered.push(ec(CKM_ECDH1_DERIVE, CKF_HW | CKF_DERIVE));
    }
    for mechanism in [CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512] {
        offered.push(MechanismInfo { mechanism, min_key_size: 0, max_key_size: 0, flags: CKF_DIGEST });
    }
    offered
}

/// The signature mechanisms.
pub const ECDSA: [CK_MECHANISM_TYPE; 6] =
    [CKM_ECDSA, CKM_ECDSA_SHA1, CKM_ECDSA_SHA224, CKM_ECDSA_SHA256, CKM_ECDSA_SHA384, CKM_ECDSA_SHA512];

/// CKA_ALLOWED_MECHANISMS of a key that may do this.
pub fn allowed(sign: bool, derive: bool) -> Vec<CK_MECHANISM_TYPE> {
    let mut allowed = if sign { ECDSA.to_vec() } else { Vec::new() };
    if derive {
        allowed.push(CKM_ECDH1_DERIVE);
    }
    allowed
}
