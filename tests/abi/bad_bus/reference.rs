// SPDX-License-Identifier: MIT OR Apache-2.0
//! The results of the mechanisms, by another implementation (RustCrypto).

use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockEncrypt, BlockEncryptMut, KeyInit as _, KeyIvInit, StreamCipher};
use aes::Aes128;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::Aes128Gcm;
use cmac::Cmac;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::steps::{Hash, Mode};

pub const IV: [u8; 16] = [7; 16];
pub const GCM_IV: [u8; 12] = [9; 12];
pub const HEADER: &[u8] = b"header";

pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha1 => Sha1::digest(data).to_vec(),
        Hash::Sha224 => Sha224::digest(data).to_vec(),
        Hash::Sha256 => Sha256::digest(data).to_vec(),
        Hash::Sha384 => Sha384::digest(data).to_vec(),
        Hash::Sha512 => Sha512::digest(data).to_vec(),
    }
}

pub fn encrypt(mode: Mode, key: &[u8; 16], text: &[u8]) -> Vec<u8> {
    match mode {
        Mode::Ecb => {
            let (aes, mut out) = (Aes128::new(key.into()), text.to_vec());
            out.chunks_mut(16).for_each(|block| aes.encrypt_block(block.into()));
            out
        }
        Mode::Cbc => cbc::Encryptor::<Aes128>::new(key.into(), &IV.into()).encrypt_padded_vec_mut::<NoPadding>(text),
        Mode::CbcPad => cbc::Encryptor::<Aes128>::new(key.into(), &IV.into()).encrypt_padded_vec_mut::<Pkcs7>(text),
        Mode::Ctr => {
            let mut out = text.to_vec();
            ctr::Ctr128BE::<Aes128>::new(key.into(), &IV.into()).apply_keystream(&mut out);
            out
        }
        Mode::Gcm => Aes128Gcm::new(key.into()).encrypt(&GCM_IV.into(), Payload { msg: text, aad: HEADER }).unwrap(),
    }
}

pub fn cmac(key: &[u8; 16], data: &[u8]) -> Vec<u8> {
    <Cmac<Aes128> as Mac>::new(key.into()).chain_update(data).finalize().into_bytes().to_vec()
}

pub fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
}

/// HKDF's second step. The crate takes no key that is shorter than the hash: such a key is padded with zeros.
pub fn hkdf_expand(key: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let mut prk = [0; 32];
    prk[..key.len()].copy_from_slice(key);
    let mut out = vec![0; length];
    Hkdf::<Sha256>::from_prk(&prk).unwrap().expand(info, &mut out).unwrap();
    out
}

/// P_SHA256 of RFC 5246.
pub fn tls12(key: &[u8], seed: &[u8], length: usize) -> Vec<u8> {
    let (mut a, mut out) = (hmac(key, seed), Vec::new());
    while out.len() < length {
        out.extend(hmac(key, &[&a[..], seed].concat()));
        a = hmac(key, &a);
    }
    out.truncate(length);
    out
}

/// X9.63 with SHA-256, one round.
pub fn x963(secret: &[u8], info: &[u8]) -> Vec<u8> {
    Sha256::digest([secret, &[0, 0, 0, 1], info].concat()).to_vec()
}

pub fn ecdh(scalar: &[u8; 32], point: &[u8]) -> Vec<u8> {
    let (theirs, ours) =
        (p256::SecretKey::from_slice(scalar).unwrap(), p256::PublicKey::from_sec1_bytes(point).unwrap());
    p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), ours.as_affine()).raw_secret_bytes().to_vec()
}

pub fn sign(scalar: &[u8], digest: &[u8; 32]) -> Vec<u8> {
    let signature: Signature = SigningKey::from_slice(scalar).unwrap().sign_prehash(digest).unwrap();
    signature.to_vec()
}

pub fn verifies(point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let mut bits = [0; 32];
    let taken = &digest[..digest.len().min(32)];
    bits[32 - taken.len()..].copy_from_slice(taken);
    let key = VerifyingKey::from_sec1_bytes(point).unwrap();
    Signature::from_slice(signature).is_ok_and(|signature| key.verify_prehash(&bits, &signature).is_ok())
}
