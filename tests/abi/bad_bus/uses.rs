// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that do not change the EEPROM. Their results are right, or they fail.

use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;

use super::reference::{self, GCM_IV, HEADER, IV};
use super::steps::{Hash, Mode, Use};
use super::token::Token;
use crate::common::chip;
use crate::common::keys::without;
use crate::common::module::{boolean, c, ulong, Result};
use crate::common::secrets::{self, check, code, given, parts, whole, Kind};
use crate::common::templates::{self, P256};
use crate::kdf::{derive, Hkdf, Salt};
use crate::wrap::{unwrap, wrap};
use atecc608_sim::image::Part;

fn kind(mode: Mode) -> Kind<'static> {
    match mode {
        Mode::Ecb => Kind::Plain(CKM_AES_ECB),
        Mode::Cbc => Kind::Iv(CKM_AES_CBC, IV),
        Mode::CbcPad => Kind::Iv(CKM_AES_CBC_PAD, IV),
        Mode::Ctr => Kind::Ctr(128, IV),
        Mode::Gcm => Kind::Gcm { iv: &GCM_IV, associated: HEADER, tag_bits: 128 },
    }
}

fn signing(hash: Option<Hash>) -> CK_MECHANISM_TYPE {
    match hash {
        None => CKM_ECDSA,
        Some(Hash::Sha1) => CKM_ECDSA_SHA1,
        Some(Hash::Sha224) => CKM_ECDSA_SHA224,
        Some(Hash::Sha256) => CKM_ECDSA_SHA256,
        Some(Hash::Sha384) => CKM_ECDSA_SHA384,
        Some(Hash::Sha512) => CKM_ECDSA_SHA512,
    }
}

fn hashing(hash: Hash) -> CK_MECHANISM_TYPE {
    match hash {
        Hash::Sha1 => CKM_SHA_1,
        Hash::Sha224 => CKM_SHA224,
        Hash::Sha256 => CKM_SHA256,
        Hash::Sha384 => CKM_SHA384,
        Hash::Sha512 => CKM_SHA512,
    }
}

impl Token {
    pub fn make_use(&mut self, what: &Use) -> Result<()> {
        match what {
            Use::Sign { key, hash, data, parts } => {
                let Some(number) = pick(*key, self.pairs.len()) else { return self.random(8) };
                self.sign(number, *hash, data, *parts)
            }
            Use::Verify { key, right } => self.verify(*key, *right),
            Use::Ecdh { key, x963, cofactor, scalar } => self.ecdh(*key, *x963, *cofactor, *scalar),
            Use::Cipher { key, mode, encrypt, parts, data } => {
                let Some(number) = self.pick_secret(*key, true) else { return self.random(8) };
                self.cipher(number, *mode, *encrypt, *parts, data)
            }
            Use::Code { key, short, verify, data } => {
                let Some(number) = pick(*key, self.secrets.len()) else { return self.random(8) };
                self.code(number, *short, *verify, data)
            }
            Use::Hkdf { key, salt, info, length } => self.hkdf(*key, *salt, info, usize::from(*length)),
            Use::Tls12 { key, label, length } => self.tls12(*key, label, usize::from(*length)),
            Use::Wrap { key, gcm, value } => self.wrap(*key, *gcm, value),
            Use::Digest(hash, data) => {
                let digest = self.module.digest_parts(self.session, hashing(*hash), &[data])?;
                assert_eq!(digest, reference::digest(*hash, data));
                Ok(())
            }
            Use::Random(length) => self.random(*length),
            Use::SessionPair => self.session_pair(),
            Use::SessionSecret { aes } => {
                let (kind, length) = if *aes { (CKM_AES_KEY_GEN, 32) } else { (CKM_GENERIC_SECRET_KEY_GEN, 20) };
                let key = secrets::generate(&self.module, self.session, kind, &secrets::aes(false, length))?;
                let value = self.module.attribute(self.session, key, CKA_VALUE).unwrap();
                assert!(value.len() == length as usize && value.iter().any(|byte| *byte != value[0]));
                self.destroy_in_session(key);
                Ok(())
            }
            Use::Find => {
                let found = self.objects()?;
                assert_eq!(found, self.expected());
                Ok(())
            }
            Use::TokenInfo => self.module.token_info(0).map(drop),
        }
    }

    /// The first use of a key after a calm.
    pub fn use_pair(&mut self, number: usize) -> Result<()> {
        self.sign(number, None, &[number as u8; 32], false)
    }

    pub fn use_secret(&mut self, number: usize) -> Result<()> {
        self.code(number, false, false, b"is it still the same?")
    }

    fn pick_secret(&self, key: u8, aes: bool) -> Option<usize> {
        let of_kind: Vec<usize> = (0..self.secrets.len()).filter(|number| self.secrets[*number].aes == aes).collect();
        pick(key, of_kind.len()).map(|number| of_kind[number])
    }

    fn private(&mut self, number: usize) -> Result<CK_OBJECT_HANDLE> {
        let label = self.pairs[number].label.clone();
        self.handle(CKO_PRIVATE_KEY, &label)
    }

    fn secret(&mut self, number: usize) -> Result<CK_OBJECT_HANDLE> {
        let label = self.secrets[number].label.clone();
        self.handle(CKO_SECRET_KEY, &label)
    }

    fn sign(&mut self, number: usize, hash: Option<Hash>, data: &[u8], in_parts: bool) -> Result<()> {
        let key = self.private(number)?;
        let (module, session, kind) = (&self.module, self.session, signing(hash));
        let signature = match hash {
            Some(_) if in_parts => {
                module.sign_parts(session, kind, key, &[&data[..data.len() / 2], &data[data.len() / 2..]])?
            }
            _ => module.sign_with(session, kind, key, data)?,
        };
        let digest = hash.map_or(data.to_vec(), |hash| reference::digest(hash, data));
        assert!(reference::verifies(&self.pairs[number].point, &digest, &signature), "a wrong signature");
        Ok(())
    }

    fn verify(&mut self, key: u8, right: bool) -> Result<()> {
        let Some(number) = pick(key, self.pairs.len()) else { return self.random(8) };
        let (label, slot) = (self.pairs[number].label.clone(), self.pairs[number].slot);
        let public = self.handle(CKO_PUBLIC_KEY, &label)?;
        let digest = [key; 32];
        let mut signature = reference::sign(&self.image.part(Part::Slot(chip::slot(slot)))[4..36], &digest);
        signature[20] ^= u8::from(!right);
        match self.module.verify_with(self.session, CKM_ECDSA, public, &digest, &signature) {
            Err(CKR_SIGNATURE_INVALID) if !right => Ok(()),
            Ok(()) if !right => panic!("a wrong signature is taken for a right one"),
            other => other,
        }
    }

    fn ecdh(&mut self, key: u8, x963: bool, cofactor: bool, scalar: u8) -> Result<()> {
        let Some(number) = pick(key, self.pairs.len()) else { return self.random(8) };
        let base = self.private(number)?;
        let theirs = p256::SecretKey::from_slice(&[scalar; 32]).unwrap().public_key().to_encoded_point(false);
        let (kdf, shared) = if x963 { (CKD_SHA256_KDF, &b"info"[..]) } else { (CKD_NULL, &[][..]) };
        let parameter = CK_ECDH1_DERIVE_PARAMS {
            kdf,
            ulSharedDataLen: shared.len() as CK_ULONG,
            pSharedData: if x963 { shared.as_ptr().cast_mut() } else { std::ptr::null_mut() },
            ulPublicDataLen: 65,
            pPublicData: theirs.as_bytes().as_ptr().cast_mut(),
        };
        let kind = if cofactor { CKM_ECDH1_COFACTOR_DERIVE } else { CKM_ECDH1_DERIVE };
        let template = [(CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET)), (CKA_VALUE_LEN, ulong(32))];
        let derived = derive(&self.module, self.session, kind, parameter, base, &template)?;
        let secret = reference::ecdh(&[scalar; 32], &self.pairs[number].point);
        self.assert_value(derived, &if x963 { reference::x963(&secret, shared) } else { secret });
        Ok(())
    }

    /// The value of an object of the session, which is then destroyed.
    fn assert_value(&self, object: CK_OBJECT_HANDLE, expected: &[u8]) {
        assert_eq!(self.module.attribute(self.session, object, CKA_VALUE).as_deref(), Ok(expected));
        self.destroy_in_session(object);
    }

    fn cipher(&mut self, number: usize, mode: Mode, encrypt: bool, in_parts: bool, data: &[u8]) -> Result<()> {
        let key = self.secret(number)?;
        let text = if let Mode::Ecb | Mode::Cbc = mode { &data[..data.len() / 16 * 16] } else { data };
        let value: [u8; 16] = self.secrets[number].value.as_slice().try_into().unwrap();
        let encrypted = reference::encrypt(mode, &value, text);
        let (input, expected) = if encrypt { (text, &encrypted[..]) } else { (&encrypted[..], text) };
        let (module, session) = (&self.module, self.session);
        let output = match in_parts {
            true => {
                let (one, two) = input.split_at(input.len() / 3);
                parts(module, session, encrypt, &kind(mode), key, &[one, two])?
            }
            false => whole(module, session, encrypt, &kind(mode), key, input)?,
        };
        assert_eq!(output, expected);
        Ok(())
    }

    fn code(&mut self, number: usize, short: bool, verify: bool, data: &[u8]) -> Result<()> {
        let key = self.secret(number)?;
        let secret = &self.secrets[number];
        let (plain, general, mut expected) = match secret.aes {
            true => {
                let code = reference::cmac(secret.value.as_slice().try_into().unwrap(), data);
                (CKM_AES_CMAC, CKM_AES_CMAC_GENERAL, code)
            }
            false => (CKM_SHA256_HMAC, CKM_SHA256_HMAC_GENERAL, reference::hmac(&secret.value, data)),
        };
        let kind = if short { Kind::Length(general, 10) } else { Kind::Plain(plain) };
        expected.truncate(if short { 10 } else { 32 });
        if verify {
            return check(&self.module, self.session, &kind, key, data, &expected);
        }
        assert_eq!(code(&self.module, self.session, &kind, key, data)?, expected);
        Ok(())
    }

    fn hkdf(&mut self, key: u8, salt: bool, info: &[u8], length: usize) -> Result<()> {
        let Some(number) = self.pick_secret(key, false) else { return self.random(8) };
        let in_chip = self.secret(number)?;
        let (module, session, value) = (&self.module, self.session, &self.secrets[number].value);
        if salt {
            let input = module.create_object(session, &given(false, CKK_GENERIC_SECRET, b"input")).unwrap();
            let hkdf = Hkdf { steps: (true, false), salt: Salt::Key(in_chip), info: &[] };
            let template = [(CKA_VALUE_LEN, ulong(32))];
            let derived = derive(module, session, CKM_HKDF_DERIVE, hkdf.parameter(), input, &template);
            self.destroy_in_session(input);
            self.assert_value(derived?, &reference::hmac(value, b"input"));
        } else {
            let hkdf = Hkdf { steps: (false, true), salt: Salt::Null, info };
            let template = [(CKA_VALUE_LEN, ulong(length as CK_ULONG))];
            let derived = derive(module, session, CKM_HKDF_DERIVE, hkdf.parameter(), in_chip, &template)?;
            self.assert_value(derived, &reference::hkdf_expand(value, info, length));
        }
        Ok(())
    }

    fn tls12(&mut self, key: u8, label: &[u8], length: usize) -> Result<()> {
        let Some(number) = self.pick_secret(key, false) else { return self.random(8) };
        let base = self.secret(number)?;
        let seed = [0x5E; 64];
        let parameter = CK_TLS_KDF_PARAMS {
            prfMechanism: CKM_SHA256,
            pLabel: label.as_ptr().cast_mut(),
            ulLabelLength: label.len() as CK_ULONG,
            RandomInfo: CK_SSL3_RANDOM_DATA {
                pClientRandom: seed.as_ptr().cast_mut(),
                ulClientRandomLen: 32,
                pServerRandom: seed[32..].as_ptr().cast_mut(),
                ulServerRandomLen: 32,
            },
            pContextData: std::ptr::null_mut(),
            ulContextDataLength: 0,
        };
        let template = [(CKA_VALUE_LEN, ulong(length as CK_ULONG))];
        let derived = derive(&self.module, self.session, CKM_TLS12_KDF, parameter, base, &template)?;
        let seed = [label, &seed].concat();
        self.assert_value(derived, &reference::tls12(&self.secrets[number].value, &seed, length));
        Ok(())
    }

    fn wrap(&mut self, key: u8, gcm: bool, value: &[u8]) -> Result<()> {
        let Some(number) = self.pick_secret(key, true) else { return self.random(8) };
        let with = self.secret(number)?;
        let (module, session) = (&self.module, self.session);
        let mode = if gcm { Mode::Gcm } else { Mode::CbcPad };
        let secret = module.create_object(session, &given(false, CKK_GENERIC_SECRET, value)).unwrap();
        let wrapped = wrap(module, session, &kind(mode), with, secret);
        self.destroy_in_session(secret);
        let wrapped = wrapped?;
        assert_eq!(wrapped, reference::encrypt(mode, self.secrets[number].value.as_slice().try_into().unwrap(), value));
        let template = [(CKA_KEY_TYPE, ulong(CKK_GENERIC_SECRET))];
        let back = unwrap(module, session, &kind(mode), with, &wrapped, &template)?;
        self.assert_value(back, value);
        Ok(())
    }

    /// The steps that also run without such a key.
    fn random(&self, length: usize) -> Result<()> {
        let random = self.module.random(self.session, length)?;
        assert!(length < 8 || random.iter().any(|byte| *byte != random[0]));
        Ok(())
    }

    fn session_pair(&mut self) -> Result<()> {
        let public = vec![(CKA_TOKEN, boolean(false)), (CKA_VERIFY, boolean(true)), (CKA_EC_PARAMS, P256.to_vec())];
        let private = vec![(CKA_TOKEN, boolean(false)), (CKA_SIGN, boolean(true))];
        let (public, private) = self.module.generate_key_pair(self.session, &public, &without(&private, CKA_LABEL))?;
        let point = templates::unwrapped(&self.module.attribute(self.session, public, CKA_EC_POINT).unwrap());
        let signature = self.module.sign_with(self.session, CKM_ECDSA, private, &[3; 32]).unwrap();
        assert!(reference::verifies(&point, &[3; 32], &signature));
        self.destroy_in_session(private);
        let _ = c!(self.module, C_DestroyObject(self.session, public));
        Ok(())
    }
}

/// One of this many, if there are any.
pub fn pick(which: u8, count: usize) -> Option<usize> {
    (count > 0).then(|| usize::from(which) % count)
}
