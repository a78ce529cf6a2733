// SPDX-License-Identifier: MIT OR Apache-2.0
//! Converts the parameters of mechanisms and messages, structures with pointers, to values. A part of [`ptr`](super),
//! with the same contract.

use std::ptr;

use cryptoki_sys::*;

use super::{copy_bytes, optional};
use crate::error::{Error, Result};
use crate::types::from_ulong;
use atecc608_token::{HkdfSalt, Mechanism, MessageVector, Parameter};

/// Longer than any mechanism's parameter.
const MAX_PARAMETER: usize = 1 << 16;

/// A mechanism with its parameter copied; NULL is an error.
///
/// # Safety
/// See the module's contract.
pub unsafe fn mechanism(mechanism: *const CK_MECHANISM) -> Result<Mechanism> {
    // SAFETY: the same contract.
    unsafe { optional_mechanism(mechanism) }?.ok_or(Error::ArgumentsBad(&"the mechanism is NULL"))
}

/// A mechanism with its parameter copied; `None` for NULL (3.0: cancels the operation).
///
/// # Safety
/// See the module's contract.
pub unsafe fn optional_mechanism(mechanism: *const CK_MECHANISM) -> Result<Option<Mechanism>> {
    // SAFETY: the same contract.
    let Some(CK_MECHANISM { mechanism, pParameter, ulParameterLen }) = (unsafe { optional(mechanism) }) else {
        return Ok(None);
    };
    let len = usize::try_from(ulParameterLen)
        .ok()
        .filter(|len| *len <= MAX_PARAMETER)
        .ok_or(Error::MechanismParamInvalid(&"the mechanism's parameter has an impossible length"))?;
    let parameter = match mechanism {
        // SAFETY: the same contract.
        CKM_ECDH1_DERIVE | CKM_ECDH1_COFACTOR_DERIVE => unsafe { ecdh1(pParameter.cast(), len) }?,
        // SAFETY: the same contract.
        CKM_AES_CTR => unsafe { ctr(pParameter.cast(), len) }?,
        // SAFETY: the same contract.
        CKM_AES_GCM => unsafe { gcm(pParameter.cast(), len) }?,
        // SAFETY: the same contract.
        CKM_HKDF_DERIVE | CKM_HKDF_DATA => unsafe { hkdf(pParameter.cast(), len) }?,
        // SAFETY: the same contract.
        CKM_TLS12_KDF => unsafe { tls_kdf(pParameter.cast(), len) }?,
        CKM_SHA256_HMAC_GENERAL | CKM_AES_CMAC_GENERAL => {
            // SAFETY: the same contract.
            let number: CK_MAC_GENERAL_PARAMS = unsafe { structure(pParameter.cast(), len) }?;
            Parameter::Number(from_ulong(number))
        }
        _ if len == 0 => Parameter::None,
        // SAFETY: the same contract.
        _ => Parameter::Other(unsafe { copy_bytes(pParameter.cast(), len) }?.ok_or(NULL_PARAMETER)?),
    };
    Ok(Some(Mechanism { mechanism, parameter }))
}

/// The mechanism of a series of messages. Each message has its own parameter, so none is needed here (the standard
/// passes only the key). A parameter is not used, but must have the size of the structure.
///
/// # Safety
/// See the module's contract.
pub unsafe fn optional_message_mechanism(mechanism: *const CK_MECHANISM) -> Result<Option<Mechanism>> {
    // SAFETY: the same contract.
    let Some(CK_MECHANISM { mechanism, pParameter, ulParameterLen }) = (unsafe { optional(mechanism) }) else {
        return Ok(None);
    };
    if mechanism == CKM_AES_GCM && ulParameterLen != 0 {
        // SAFETY: the same contract.
        unsafe { structure::<CK_GCM_MESSAGE_PARAMS>(pParameter.cast(), size(ulParameterLen)) }?;
    }
    Ok(Some(Mechanism { mechanism, parameter: Parameter::None }))
}

const NULL_PARAMETER: Error =
    Error::MechanismParamInvalid(&"the mechanism's parameter is NULL, but its length is not 0");

/// # Safety
/// See the module's contract.
unsafe fn ecdh1(params: *const CK_ECDH1_DERIVE_PARAMS, len: usize) -> Result<Parameter> {
    // SAFETY: the same contract.
    let params = unsafe { structure(params, len) }?;
    // SAFETY: the caller promises as many bytes at each pointer as its length says.
    unsafe {
        Ok(Parameter::Ecdh1 {
            kdf: params.kdf,
            shared_data: inner_bytes(params.pSharedData, params.ulSharedDataLen)?,
            public_data: inner_bytes(params.pPublicData, params.ulPublicDataLen)?,
        })
    }
}

/// # Safety
/// See the module's contract.
unsafe fn ctr(params: *const CK_AES_CTR_PARAMS, len: usize) -> Result<Parameter> {
    // SAFETY: the same contract.
    let params = unsafe { structure(params, len) }?;
    Ok(Parameter::Ctr { bits: from_ulong(params.ulCounterBits), block: params.cb })
}

/// # Safety
/// See the module's contract.
unsafe fn gcm(params: *const CK_GCM_PARAMS, len: usize) -> Result<Parameter> {
    // SAFETY: the same contract.
    let params = unsafe { structure(params, len) }?;
    // SAFETY: the caller promises as many bytes at each pointer as its length says. (ulIvBits is not read: the standard
    // says to ignore it, and callers leave it 0.)
    unsafe {
        Ok(Parameter::Gcm {
            iv: inner_bytes(params.pIv, params.ulIvLen)?,
            associated: inner_bytes(params.pAAD, params.ulAADLen)?,
            tag_bits: from_ulong(params.ulTagBits),
        })
    }
}

/// # Safety
/// See the module's contract.
unsafe fn hkdf(params: *const CK_HKDF_PARAMS, len: usize) -> Result<Parameter> {
    // SAFETY: the same contract.
    let params = unsafe { structure(params, len) }?;
    // SAFETY: the caller promises as many bytes at each pointer as its length says.
    unsafe {
        Ok(Parameter::Hkdf {
            extract: params.bExtract != CK_FALSE,
            expand: params.bExpand != CK_FALSE,
            hash: params.prfHashMechanism,
            salt: match params.ulSaltType {
                CKF_HKDF_SALT_NULL => HkdfSalt::Null,
                CKF_HKDF_SALT_DATA => HkdfSalt::Data(inner_bytes(params.pSalt, params.ulSaltLen)?),
                CKF_HKDF_SALT_KEY => HkdfSalt::Key(from_ulong(params.hSaltKey)),
                // Without the first step there is no salt.
                _ if params.bExtract == CK_FALSE => HkdfSalt::Null,
                _ => return Err(Error::MechanismParamInvalid(&"CK_HKDF_PARAMS: ulSaltType is not known")),
            },
            info: inner_bytes(params.pInfo, params.ulInfoLen)?,
        })
    }
}

/// # Safety
/// See the module's contract.
unsafe fn tls_kdf(params: *const CK_TLS_KDF_PARAMS, len: usize) -> Result<Parameter> {
    // SAFETY: the same contract.
    let params = unsafe { structure(params, len) }?;
    let random = &params.RandomInfo;
    // SAFETY: the caller promises as many bytes at each pointer as its length says.
    unsafe {
        let mut seed = inner_bytes(random.pClientRandom, random.ulClientRandomLen)?;
        seed.extend(inner_bytes(random.pServerRandom, random.ulServerRandomLen)?);
        if !params.pContextData.is_null() {
            let context = inner_bytes(params.pContextData, params.ulContextDataLength)?;
            let len = u16::try_from(context.len()).map_err(|_| {
                Error::MechanismParamInvalid(&"CK_TLS_KDF_PARAMS: the context is longer than 65535 bytes")
            })?;
            seed.extend(len.to_be_bytes());
            seed.extend(context);
        }
        Ok(Parameter::TlsKdf {
            hash: params.prfMechanism,
            label: inner_bytes(params.pLabel, params.ulLabelLength)?,
            seed,
        })
    }
}

/// Returns the size of a parameter; an impossible length gives a size that no structure has.
fn size(len: CK_ULONG) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// A parameter that is one structure.
///
/// # Safety
/// See the module's contract.
unsafe fn structure<T: Copy>(params: *const T, len: usize) -> Result<T> {
    if len != size_of::<T>() {
        return Err(Error::MechanismParamInvalid(&"the mechanism's parameter does not have the size of its structure"));
    }
    // SAFETY: NULL is none, and the size is right.
    unsafe { optional(params) }.ok_or(NULL_PARAMETER)
}

/// Bytes that a parameter points to.
///
/// # Safety
/// See the module's contract.
unsafe fn inner_bytes(data: *const CK_BYTE, len: CK_ULONG) -> Result<Vec<u8>> {
    const INVALID: Error = Error::MechanismParamInvalid(&"the parameter has a NULL pointer, or an impossible length");
    let len = usize::try_from(len).ok().filter(|len| *len <= MAX_PARAMETER).ok_or(INVALID)?;
    // SAFETY: the same contract.
    unsafe { copy_bytes(data, len) }?.ok_or(INVALID)
}

/// The parameter of one message: the place of its vector and its tag.
pub struct MessageParameter(CK_GCM_MESSAGE_PARAMS);

/// CK_GCM_MESSAGE_PARAMS, the only parameter of a message that is supported.
///
/// # Safety
/// See the module's contract, which includes the pointers in the structure.
pub unsafe fn message_parameter(parameter: *const std::ffi::c_void, len: CK_ULONG) -> Result<MessageParameter> {
    // SAFETY: the same contract.
    let params: CK_GCM_MESSAGE_PARAMS = unsafe { structure(parameter.cast(), size(len)) }?;
    let lengths = [params.ulIvLen, params.ulTagBits.div_ceil(8)];
    let known = |(pointer, len): (*mut CK_BYTE, CK_ULONG)| !pointer.is_null() && from_ulong(len) <= 256;
    if [params.pIv, params.pTag].into_iter().zip(lengths).all(known) {
        Ok(MessageParameter(params))
    } else {
        Err(Error::MechanismParamInvalid(&"CK_GCM_MESSAGE_PARAMS: NULL, or an impossible length"))
    }
}

impl MessageParameter {
    /// Returns the source of the vector.
    ///
    /// # Errors
    /// [`Error::MechanismParamInvalid`] if its pointer is NULL or its length impossible.
    pub fn vector(&self) -> Result<MessageVector> {
        let Self(params) = self;
        Ok(MessageVector {
            // SAFETY: not NULL (checked by `message_parameter`), and the caller promised `ulIvLen` bytes there.
            iv: unsafe { inner_bytes(params.pIv, params.ulIvLen) }?,
            fixed_bits: from_ulong(params.ulIvFixedBits),
            generator: params.ivGenerator,
            tag_bits: from_ulong(params.ulTagBits),
        })
    }

    /// Returns the caller's tag.
    ///
    /// # Errors
    /// [`Error::MechanismParamInvalid`] if its pointer is NULL or its length impossible.
    pub fn tag(&self) -> Result<Vec<u8>> {
        // SAFETY: not NULL (checked by `message_parameter`), and the caller promised as many bytes as `ulTagBits` needs.
        unsafe { inner_bytes(self.0.pTag, self.0.ulTagBits.div_ceil(8)) }
    }

    /// Writes the vector, which must have the length of the caller's.
    pub fn set_iv(&self, iv: &[u8]) {
        let len = iv.len().min(self.0.ulIvLen as usize);
        // SAFETY: not NULL, and the caller promised `ulIvLen` bytes there, which `len` is at most.
        unsafe { ptr::copy(iv.as_ptr(), self.0.pIv, len) };
    }

    /// Writes the tag.
    ///
    /// # Errors
    /// [`Error::MechanismParamInvalid`] if its length differs from that in the parameter.
    pub fn set_tag(&self, tag: &[u8]) -> Result<()> {
        if tag.len() as u64 != from_ulong(self.0.ulTagBits.div_ceil(8)) {
            return Err(Error::MechanismParamInvalid(&"CK_GCM_MESSAGE_PARAMS: ulTagBits is not that of the message"));
        }
        // SAFETY: not NULL, and the caller promised as many bytes as `ulTagBits` needs, which the tag has.
        unsafe { ptr::copy(tag.as_ptr(), self.0.pTag, tag.len()) };
        Ok(())
    }
}
