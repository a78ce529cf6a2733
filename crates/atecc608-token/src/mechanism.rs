// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mechanisms: the table of supported ones, with sizes and flags, and a caller's mechanism as typed values.

use cryptoki_sys::*;

use super::state::SecretKind;

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
    /// No parameter.
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
    /// CK_AES_CTR_PARAMS.
    Ctr {
        /// Number of the block's last bits that are the counter.
        bits: u64,
        /// The first counter block.
        block: [u8; 16],
    },
    /// CK_GCM_PARAMS.
    Gcm {
        /// Initialization vector.
        iv: Vec<u8>,
        /// Additional authenticated data.
        associated: Vec<u8>,
        /// Bits of the tag.
        tag_bits: u64,
    },
    /// CK_HKDF_PARAMS.
    Hkdf {
        /// Whether the first step is included.
        extract: bool,
        /// Whether the second step is included.
        expand: bool,
        /// CKM code of the hash.
        hash: CK_MECHANISM_TYPE,
        /// The salt of the first step.
        salt: HkdfSalt,
        /// The info of the second step.
        info: Vec<u8>,
    },
    /// CK_TLS_KDF_PARAMS.
    TlsKdf {
        /// CKM code of the hash.
        hash: CK_MECHANISM_TYPE,
        /// The label.
        label: Vec<u8>,
        /// Client's random, server's random, and if there is a context its length in two bytes and the context (RFC
        /// 5705).
        seed: Vec<u8>,
    },
    /// A single CK_ULONG, such as CK_MAC_GENERAL_PARAMS.
    Number(u64),
    /// Other bytes, such as an IV.
    Other(Vec<u8>),
}

/// The salt of HKDF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HkdfSalt {
    /// As many zeros as the hash is long.
    Null,
    /// These bytes.
    Data(Vec<u8>),
    /// A secret key, by its handle.
    Key(u64),
}

/// The contents of C_GetMechanismInfo.
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

/// Key sizes and point formats of the only curve. Points are returned uncompressed, and accepted compressed, too.
const EC_FLAGS: CK_FLAGS = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
const P256_BITS: CK_ULONG = 256;

/// The uses of keys that a chip's configuration allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Some slot's key may sign.
    pub sign: bool,
    /// Some slot's key may do ECDH.
    pub derive: bool,
    /// Some slot accepts a new key.
    pub generate: bool,
    /// AES is enabled (AES_Enable): without it there are no AES mechanisms at all.
    pub aes_enabled: bool,
    /// Some slot holds AES keys.
    pub aes: bool,
    /// Some slot holds HMAC keys.
    pub hmac: bool,
}

/// Returns the mechanisms of a token: those of keys as its configuration allows, digests always. CKF_HW for those that
/// the chip computes.
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
        // Verification runs on the host.
        for mechanism in ECDSA {
            offered.push(ec(mechanism, CKF_HW | CKF_SIGN | CKF_VERIFY | CKF_EC_COMPRESS));
        }
    }
    if abilities.derive {
        // The cofactor of P-256 is 1: both mechanisms are the same.
        for mechanism in ECDH {
            offered.push(ec(mechanism, CKF_HW | CKF_DERIVE | CKF_EC_COMPRESS));
        }
    }
    let mut secret = |mechanism, sizes: (CK_ULONG, CK_ULONG), in_chip: bool, flags| {
        offered.push(MechanismInfo {
            mechanism,
            min_key_size: sizes.0,
            max_key_size: sizes.1,
            flags: flags | if in_chip { CKF_HW } else { 0 },
        });
    };
    // Session keys can be used with any configuration of the slots. Sizes are in bytes, except for this one: bits
    // (PKCS#11, "Generic secret key generation").
    secret(CKM_GENERIC_SECRET_KEY_GEN, (8 * SECRET_BYTES.0, 8 * SECRET_BYTES.1), false, CKF_GENERATE);
    for mechanism in [CKM_HKDF_DERIVE, CKM_TLS12_KDF] {
        secret(mechanism, SECRET_BYTES, abilities.hmac, CKF_DERIVE);
    }
    // The result is readable data, so keys in the chip do not support it.
    secret(CKM_HKDF_DATA, SECRET_BYTES, false, CKF_DERIVE);
    if abilities.aes_enabled {
        secret(CKM_AES_KEY_GEN, AES_BYTES, false, CKF_GENERATE);
        for mechanism in AES_CIPHERS {
            let more = match mechanism {
                CKM_AES_CTR => 0,
                CKM_AES_GCM => CKF_WRAP | CKF_UNWRAP | CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT | CKF_MULTI_MESSAGE,
                _ => CKF_WRAP | CKF_UNWRAP,
            };
            secret(mechanism, AES_BYTES, abilities.aes, CKF_ENCRYPT | CKF_DECRYPT | more);
        }
        for mechanism in AES_MACS {
            secret(mechanism, AES_BYTES, abilities.aes, CKF_SIGN | CKF_VERIFY);
        }
    }
    for mechanism in HMACS {
        secret(mechanism, SECRET_BYTES, abilities.hmac, CKF_SIGN | CKF_VERIFY);
    }
    for mechanism in [CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512] {
        offered.push(MechanismInfo { mechanism, min_key_size: 0, max_key_size: 0, flags: CKF_DIGEST });
    }
    offered
}

/// The signature mechanisms.
pub const ECDSA: [CK_MECHANISM_TYPE; 6] =
    [CKM_ECDSA, CKM_ECDSA_SHA1, CKM_ECDSA_SHA224, CKM_ECDSA_SHA256, CKM_ECDSA_SHA384, CKM_ECDSA_SHA512];

/// The key agreements.
pub const ECDH: [CK_MECHANISM_TYPE; 2] = [CKM_ECDH1_DERIVE, CKM_ECDH1_COFACTOR_DERIVE];

/// The modes of C_Encrypt and C_Decrypt.
pub const AES_CIPHERS: [CK_MECHANISM_TYPE; 5] = [CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_CTR, CKM_AES_GCM];
const AES_MACS: [CK_MECHANISM_TYPE; 2] = [CKM_AES_CMAC, CKM_AES_CMAC_GENERAL];
const HMACS: [CK_MECHANISM_TYPE; 2] = [CKM_SHA256_HMAC, CKM_SHA256_HMAC_GENERAL];

/// Key sizes of AES, in bytes.
const AES_BYTES: (CK_ULONG, CK_ULONG) = (16, 32);
/// Sizes of generic secrets, in bytes.
const SECRET_BYTES: (CK_ULONG, CK_ULONG) = (1, 1024);

/// Returns CKA_ALLOWED_MECHANISMS of a key with these uses.
pub fn allowed(sign: bool, derive: bool) -> Vec<CK_MECHANISM_TYPE> {
    let mut allowed = if sign { ECDSA.to_vec() } else { Vec::new() };
    if derive {
        allowed.extend(ECDH);
    }
    allowed
}

/// Returns CKA_ALLOWED_MECHANISMS of a secret key in the chip.
pub fn allowed_for_secret(kind: SecretKind) -> Vec<CK_MECHANISM_TYPE> {
    match kind {
        SecretKind::Aes => [&AES_CIPHERS[..], &AES_MACS].concat(),
        SecretKind::Generic => [&HMACS[..], &[CKM_HKDF_DERIVE, CKM_TLS12_KDF]].concat(),
    }
}

/// Returns CKA_ALLOWED_MECHANISMS of a secret key in the session, unless its template restricts them.
pub fn allowed_for_session_secret(kind: SecretKind) -> Vec<CK_MECHANISM_TYPE> {
    let mut allowed = allowed_for_secret(kind);
    if kind == SecretKind::Generic {
        allowed.push(CKM_HKDF_DATA);
    }
    allowed
}
